//! Calls past the generated clients: any path, any bytes, any headers.

use std::future::poll_fn;

use bytes::{Buf, BufMut};
use daybook::grpc::policy::{self, Class};
use http::uri::PathAndQuery;
use http_body_util::Full;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::Service,
    transport::Channel,
};

/// Messages as they are on the wire.
#[derive(Debug, Clone, Copy)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let all = from.remaining();
        Ok(Some(from.copy_to_bytes(all).to_vec()))
    }
}

/// A request with this text as its one `authorization` header, or with none.
pub fn authorized(body: Vec<u8>, authorization: Option<&str>) -> Request<Vec<u8>> {
    let mut request = Request::new(body);
    if let Some(text) = authorization {
        request.metadata_mut().insert("authorization", text.parse().unwrap());
    }
    request
}

/// Calls the method at this path.
pub async fn unary(
    channel: &Channel,
    path: &str,
    request: Request<Vec<u8>>,
) -> Result<Response<Vec<u8>>, Status> {
    let entry = policy::entry(path);
    if entry.is_some_and(|entry| entry.class == Class::Watch) {
        // It answers for as long as somebody listens: its first message is the answer.
        let mut messages = stream(channel, path, request).await?.into_inner();
        return Ok(Response::new(messages.message().await?.unwrap_or_default()));
    }
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    grpc.unary(request, PathAndQuery::try_from(path).unwrap(), Bytes).await
}

/// Calls the streaming method at this path with one message.
pub async fn stream(
    channel: &Channel,
    path: &str,
    request: Request<Vec<u8>>,
) -> Result<Response<Streaming<Vec<u8>>>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    grpc.server_streaming(request, PathAndQuery::try_from(path).unwrap(), Bytes).await
}

/// Sends one message as any HTTP method and content type, and returns the bare answer.
pub async fn http(
    channel: &Channel,
    (method, path): (&str, &str),
    content_type: &str,
    message: &[u8],
) -> http::Response<Body> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    let request = http::Request::builder().method(method).uri(path);
    let request = request.header("content-type", content_type);
    let request = request.body(Body::new(Full::new(bytes::Bytes::from(framed)))).unwrap();
    let mut channel = channel.clone();
    poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    channel.call(request).await.unwrap()
}

/// What a caller can see of a refusal, but for the id of the call.
pub fn seen(status: &Status) -> (tonic::Code, String, Vec<u8>) {
    (status.code(), status.message().to_owned(), status.details().to_vec())
}
