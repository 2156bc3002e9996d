//! Requests that are still on their way: taken in before the call has a place under the concurrency limits.
//!
//! A place that is taken with the headers is kept by whoever sends no more than those. So the body comes
//! first. Nearly always it is right behind the headers, and nothing else is needed; a body that is not
//! there yet needs a place among those that are awaited, and one address has few of these.

use std::{
    mem,
    net::Ipv6Addr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, extract::Request};
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant as Moment, timeout_at};
use tonic::Status;

use super::{address::ClientAddress, address_limiter::AddressLimiter};
use crate::grpc::policy::Class;
use crate::{
    config::ServerConfig,
    kernel::fault::{Fault, Reason},
};

/// In which a request must be there whole, counted from its headers: the default largest one takes that
/// long at 13 kB a second. A deadline of the caller's own does not make it longer.
pub(in crate::grpc) const IN_TIME: Duration = Duration::from_secs(5);
/// How often a body is looked for before it needs a place: from some clients it comes a moment after the
/// headers, and over HTTP/1.1 the connection hands a piece on only when the one before was taken.
const LOOKS: usize = 3;
/// One address has this part of the places at most,
const PART: usize = 8;
/// and not fewer than these.
const FEWEST: usize = 8;
/// Whoever waits is gone within [`IN_TIME`].
const LATER: Duration = Duration::from_secs(1);
/// What gRPC puts before a message: a flag, and its length in four bytes.
const HEAD: usize = 5;

/// What requests are held to while they arrive.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Receiver {
    longest: usize,
    places: AddressLimiter,
    /// Those of probes, which nothing else takes.
    for_probes: AddressLimiter,
}

impl Receiver {
    pub(in crate::grpc) fn new(server: &ServerConfig) -> Self {
        let in_all = server.max_in_flight.max(FEWEST);
        let places = AddressLimiter::new(in_all, (in_all / PART).max(FEWEST));
        let for_probes = AddressLimiter::new(in_all, FEWEST);
        Self { longest: server.max_message_bytes, places, for_probes }
    }

    /// The longest message that is accepted, in bytes.
    pub(in crate::grpc) fn longest(&self) -> usize {
        self.longest
    }

    /// Takes in the body and puts it back whole. Refuses where too many are awaited already, and when it has
    /// not come by `until`.
    ///
    /// What is too long, or broken off, is told by the body that is put back: who is calling comes first.
    pub(in crate::grpc) async fn receive(
        &self,
        request: &mut Request,
        class: Class,
        until: Moment,
    ) -> Result<(), Fault> {
        let mut arriving = Arriving::new(mem::take(request.body_mut()), self.longest);
        if !arriving.is_here(until).await {
            // A socket without an address is gone before it reads the answer.
            let address = request.extensions().get::<ClientAddress>();
            let address = address.map_or(Ipv6Addr::UNSPECIFIED.into(), |address| address.0);
            let places = if class == Class::Probe { &self.for_probes } else { &self.places };
            let place = places.take(address).ok_or_else(|| Fault::overloaded(LATER))?;
            let late = timeout_at(until, std::future::poll_fn(|cx| arriving.poll(cx))).await;
            drop(place);
            late.map_err(|_| {
                Fault::new(Reason::DeadlineExceeded, "the request did not arrive whole in time")
            })?;
        }
        *request.body_mut() = Body::new(arriving.whole());
        Ok(())
    }
}

/// A body as far as it has come.
struct Arriving {
    from: Body,
    longest: usize,
    /// The only frame, as it came; nothing once there is a second one.
    one: Bytes,
    /// More frames, joined: each by itself would keep the buffer that it was read into.
    joined: BytesMut,
    end: Option<End>,
}

/// What comes after the data: trailers, or why there is no more.
type End = Result<Frame<Bytes>, axum::Error>;

impl Arriving {
    fn new(from: Body, longest: usize) -> Self {
        Self { from, longest, one: Bytes::new(), joined: BytesMut::new(), end: None }
    }

    /// Whether it is there without waiting.
    async fn is_here(&mut self, until: Moment) -> bool {
        for look in 0..LOOKS {
            // A call whose time is up gives no turn away: it is told so at once.
            if look > 0 && Moment::now() < until {
                tokio::task::yield_now().await;
            }
            if std::future::poll_fn(|cx| Poll::Ready(self.poll(cx).is_ready())).await {
                return true;
            }
        }
        false
    }

    /// Ready when there is no more to come. Not to be called again then.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let end = match ready!(Pin::new(&mut self.from).poll_frame(cx)) {
                None => return Poll::Ready(()),
                Some(Err(error)) => Err(error),
                Some(Ok(frame)) => match frame.into_data() {
                    Err(trailers) => Ok(trailers),
                    Ok(data) => {
                        self.add(data);
                        if !self.is_too_long() {
                            continue;
                        }
                        // The rest is not waited for. tonic, which sees only this, says the same of a
                        // message whose head tells that it is too long.
                        Err(axum::Error::new(Status::out_of_range("the request is too long")))
                    }
                },
            };
            self.end = Some(end);
            return Poll::Ready(());
        }
    }

    fn add(&mut self, data: Bytes) {
        if self.so_far().is_empty() {
            self.one = data;
            return;
        }
        if self.joined.is_empty() {
            self.joined.reserve(self.one.len() + data.len());
            self.joined.extend_from_slice(&mem::take(&mut self.one));
        }
        self.joined.extend_from_slice(&data);
    }

    fn so_far(&self) -> &[u8] {
        if self.joined.is_empty() { &self.one } else { &self.joined }
    }

    /// Whether there is more than one message of the allowed length, or the first one says that it is longer.
    fn is_too_long(&self) -> bool {
        let so_far = self.so_far();
        so_far.len() > HEAD + self.longest
            || message_length(so_far).is_some_and(|length| length > self.longest)
    }

    /// As long as the first message is; a call that is not a stream has no second one.
    fn whole(self) -> Whole {
        let data = if self.joined.is_empty() { self.one } else { self.joined.freeze() };
        let is_one = message_length(&data).is_none_or(|length| data.len() <= HEAD + length);
        if is_one || matches!(self.end, Some(Err(_))) {
            return Whole { data, end: self.end };
        }
        let text = "the request has more than one message";
        let second = Status::from(Fault::new(Reason::MalformedRequest, text));
        Whole { data: Bytes::new(), end: Some(Err(axum::Error::new(second))) }
    }
}

/// How long the first message is, as its head tells.
fn message_length(body: &[u8]) -> Option<usize> {
    let [_, a, b, c, d, ..] = body else { return None };
    Some(usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX - HEAD))
}

/// A body that has arrived.
struct Whole {
    data: Bytes,
    end: Option<End>,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.data.is_empty() {
            return Poll::Ready(self.end.take());
        }
        Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.data)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.data.len()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http_body_util::{BodyExt, StreamBody};
    use tokio_stream::StreamExt;
    use tonic::Code;

    use super::*;
    use crate::config::{Config, Sources};

    const LONGEST: usize = 16;

    /// A message of this length with its head.
    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        bytes.resize(HEAD + length, 7);
        bytes
    }

    #[expect(clippy::unnecessary_wraps, reason = "as bodies give it")]
    fn data(bytes: &[u8]) -> End {
        Ok(Frame::data(Bytes::copy_from_slice(bytes)))
    }

    /// These frames, and then the end or, where it is withheld, nothing.
    fn body(frames: Vec<End>, is_withheld: bool) -> Body {
        let frames = tokio_stream::iter(frames);
        if is_withheld {
            return Body::new(StreamBody::new(frames.chain(tokio_stream::pending())));
        }
        Body::new(StreamBody::new(frames))
    }

    fn receiver(in_all: usize, of_one: usize) -> Receiver {
        let places = || AddressLimiter::new(in_all, of_one);
        Receiver { longest: LONGEST, places: places(), for_probes: places() }
    }

    /// What a handler gets to read of a body for which there is no place to wait: all data, and the rest.
    async fn received(frames: Vec<End>, is_withheld: bool) -> Result<(Vec<u8>, Vec<End>), Fault> {
        let mut request = Request::new(body(frames, is_withheld));
        receiver(0, 0).receive(&mut request, Class::Read, Moment::now()).await?;
        let (mut bytes, mut rest, mut body) = (Vec::new(), Vec::new(), request.into_body());
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => bytes.extend(data),
                Ok(Err(trailers)) => rest.push(Ok(trailers)),
                Err(error) => rest.push(Err(error)),
            }
        }
        Ok((bytes, rest))
    }

    fn code(end: &End) -> Code {
        let error: &(dyn std::error::Error + 'static) = end.as_ref().unwrap_err();
        // Each body that it came through has wrapped it.
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.find_map(|cause| cause.downcast_ref::<Status>()).unwrap().code()
    }

    #[tokio::test]
    async fn a_body_comes_out_as_it_went_in() {
        let all = message(LONGEST);
        for size in 1..=all.len() {
            let frames = all.chunks(size).map(data).collect();
            let (bytes, rest) = received(frames, false).await.unwrap();
            assert!(bytes == all && rest.is_empty(), "{size}: {bytes:?} {rest:?}");
        }
        for frames in [vec![], vec![data(&[])], vec![data(&[]), data(&all), data(&[])]] {
            let length = frames.len();
            let (bytes, rest) = received(frames, false).await.unwrap();
            assert!(rest.is_empty() && bytes.len() == if length == 3 { all.len() } else { 0 });
        }
        // With what comes after it.
        let mut trailers = HeaderMap::new();
        trailers.insert("x", "y".parse().unwrap());
        let frames = vec![data(&all), Ok(Frame::trailers(trailers.clone()))];
        let (bytes, mut rest) = received(frames, false).await.unwrap();
        assert_eq!((bytes, rest.len()), (all.clone(), 1));
        assert_eq!(rest.remove(0).unwrap().into_trailers().unwrap(), trailers);
        let broken = Err(axum::Error::new(Status::cancelled("gone")));
        let (bytes, rest) = received(vec![data(&all[..7]), broken], false).await.unwrap();
        assert_eq!((bytes, rest.len()), (all[..7].to_vec(), 1));
        assert_eq!(code(&rest[0]), Code::Cancelled);
    }

    #[tokio::test]
    async fn a_second_message_takes_the_first_one_with_it() {
        for second in [message(0), message(3), vec![0]] {
            let both = [message(2), second].concat();
            for size in [1, 7, both.len()] {
                let frames = both.chunks(size).map(data).collect();
                let (bytes, rest) = received(frames, false).await.unwrap();
                assert_eq!((bytes.len(), rest.len()), (0, 1));
                assert_eq!(code(&rest[0]), Code::InvalidArgument);
            }
        }
    }

    #[tokio::test]
    async fn a_body_of_one_frame_is_not_copied() {
        let frame = Bytes::from(message(3));
        let mut request = Request::new(body(vec![Ok(Frame::data(frame.clone()))], false));
        receiver(0, 0).receive(&mut request, Class::Read, Moment::now()).await.unwrap();
        // Large requests are told by it.
        assert_eq!(request.body().size_hint().exact(), Some(frame.len() as u64));
        let data = request.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((data.as_ptr(), data.len()), (frame.as_ptr(), frame.len()));
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_waited_for() {
        let longer = message(LONGEST + 1);
        let mut two = message(2);
        two.extend(message(LONGEST));
        for bytes in [&longer[..], &longer[..HEAD], &two] {
            for size in [1, 4, bytes.len()] {
                let frames = bytes.chunks(size).map(data).collect();
                let (_, rest) = received(frames, true).await.unwrap();
                assert_eq!(rest.len(), 1, "{size}: {bytes:?}");
                assert_eq!(code(&rest[0]), Code::OutOfRange);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_needs_a_place_until_the_deadline() {
        let receiver = receiver(4, 2);
        let until = Moment::now() + IN_TIME;
        let wait = async |address: &str| {
            let mut request = Request::new(body(vec![data(&[0])], true));
            let address = ClientAddress(address.parse().unwrap());
            request.extensions_mut().insert(address);
            receiver.receive(&mut request, Class::Read, until).await.unwrap_err().reason()
        };
        let full = async {
            tokio::task::yield_now().await;
            for _ in 0..2 * LOOKS {
                tokio::task::yield_now().await;
            }
            let refused = [wait("2001:db8::3").await, wait("192.0.2.3").await];
            assert!(Moment::now() < until);
            refused
        };
        let waiting = async {
            tokio::join!(
                wait("2001:db8::1"),
                wait("2001:db8::2"),
                wait("192.0.2.1"),
                wait("192.0.2.2")
            )
        };
        let (late, refused) = tokio::join!(waiting, full);
        let late = [late.0, late.1, late.2, late.3];
        assert_eq!(late, [Reason::DeadlineExceeded; 4]);
        assert_eq!(refused, [Reason::Overloaded; 2]);
        assert_eq!(Moment::now(), until);
        // The places are free again.
        assert_eq!(wait("192.0.2.3").await, Reason::DeadlineExceeded);
    }

    #[test]
    fn one_address_has_an_eighth_and_at_least_eight() {
        for (in_flight, of_one, in_all) in [("512", 64, 512), ("64", 8, 64), ("1", 8, 8)] {
            let flag = crate::config::Flag {
                name: "--set server.max_in_flight".to_owned(),
                key: "server.max_in_flight".to_owned(),
                value: in_flight.to_owned(),
            };
            let sources = Sources { flags: vec![flag], ..Sources::default() };
            let receiver = Receiver::new(&Config::load(sources).unwrap().0.server);
            let mut taken = Vec::new();
            for host in 0..=255 {
                let address = std::net::Ipv4Addr::new(192, 0, 2, host).into();
                let before = taken.len();
                taken.extend(std::iter::from_fn(|| receiver.places.take(address)));
                assert!(taken.len() <= before + of_one);
            }
            assert_eq!(taken.len(), in_all);
        }
    }
}
