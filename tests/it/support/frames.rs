//! HTTP/2 by hand, for what no client does: frames as they are on the wire (RFC 9113).

use std::{collections::HashSet, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// `CANCEL` and `ENHANCE_YOUR_CALM`.
pub const CANCEL: u32 = 8;
pub const CALM: u32 = 11;

/// The last thing that is sent, to see whether anybody still listens.
const FAREWELL: &[u8; 8] = b"farewell";

/// One frame.
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A frame as it is sent.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Headers as literals without an index (RFC 7541, 6.2.2).
pub fn literals(headers: &[(&str, &str)]) -> Vec<u8> {
    fn text(bytes: &mut Vec<u8>, text: &str) {
        match text.len().checked_sub(127) {
            None => bytes.push(u8::try_from(text.len()).unwrap()),
            Some(mut rest) => {
                bytes.push(127);
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128 + 128).unwrap());
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
        }
        bytes.extend(text.as_bytes());
    }
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(0);
        text(&mut bytes, name);
        text(&mut bytes, value);
    }
    bytes
}

/// The headers of a call of this method.
pub fn call(path: &str, token: Option<&str>) -> Vec<u8> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    literals(&headers)
}

/// A message with the five bytes that gRPC puts before it.
pub fn message(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

/// The next frame, or nothing at the end.
pub async fn next(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0; 9];
    match from.read_exact(&mut head).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    };
    let [a, b, c, kind, flags, id @ ..] = head;
    let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
    from.read_exact(&mut payload).await?;
    Ok(Some(Frame { kind, flags, stream: u32::from_be_bytes(id), payload }))
}

/// A connection that has said what it must: the preface, and these settings.
pub async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut payload = Vec::new();
    for (name, value) in settings {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &payload), &frame(SETTINGS, ACK, 0, &[])].concat();
    stream.write_all(&bytes).await.unwrap();
    stream
}

/// What a server did about a flood.
#[derive(Debug, Default)]
pub struct Seen {
    /// How many parts were sent before the connection was closed.
    pub sent: usize,
    /// The error code of a GOAWAY.
    pub goaway: Option<u32>,
    /// Whether it still answered after everything was sent.
    pub alive: bool,
    /// Streams that the server reset.
    pub resets: usize,
    /// Streams that it answered.
    pub answers: usize,
    /// Streams that it answered or reset.
    pub closed: HashSet<u32>,
    /// PINGs that it answered.
    pub pongs: usize,
}

/// Sends everything on a connection of its own, reads whatever comes, and tells what it was.
pub async fn flood(address: SocketAddr, parts: impl Iterator<Item = Vec<u8>>) -> Seen {
    let (mut from, mut to) = connect(address, &[]).await.into_split();
    let reading = tokio::spawn(async move {
        let mut seen = Seen::default();
        // A reset by the other side is an end like any other.
        while let Ok(Some(frame)) = next(&mut from).await {
            if [RST_STREAM, HEADERS].contains(&frame.kind) {
                seen.closed.insert(frame.stream);
            }
            match frame.kind {
                PING if frame.payload == FAREWELL => {
                    seen.alive = true;
                    return seen;
                }
                PING if frame.flags & ACK != 0 => seen.pongs += 1,
                RST_STREAM => seen.resets += 1,
                HEADERS => seen.answers += 1,
                GOAWAY => {
                    let code = frame.payload[4..8].try_into().unwrap();
                    seen.goaway = Some(u32::from_be_bytes(code));
                }
                _ => {}
            }
        }
        seen
    });
    let mut sent = 0;
    let mut broken = false;
    for part in parts {
        if reading.is_finished() || to.write_all(&part).await.is_err() {
            broken = true;
            break;
        }
        sent += 1;
    }
    if !broken {
        // Refused when the connection is gone by now, which the reader sees.
        let _ = to.write_all(&frame(PING, 0, 0, FAREWELL)).await;
    }
    let ended = tokio::time::timeout(Duration::from_secs(60), reading).await;
    let seen = ended.expect("an end of the flood").unwrap();
    Seen { sent, ..seen }
}
