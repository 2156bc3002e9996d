//! Answers that were made and are not read yet. What they take of memory is bounded, in all and in time.
//!
//! An answer that is not read within half a minute is given up. So are, when all that are not read yet are too
//! much together, the oldest ones of the address that has most. The connection ends with it, since what the HTTP
//! library has of the answer stays with the connection. A connection of a trusted proxy stays: others use it too.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::time::Instant as Moment;
use tokio_util::sync::CancellationToken;

use super::rates::network;

/// How many bytes of answers may be unread. The largest answer has some 2 MiB.
const UNREAD: usize = 64 * 1024 * 1024;
/// What an answer takes beside its bytes, about.
const BESIDE: usize = 1024;
/// In which an answer must have been read: the largest one takes that long at 70 kB a second.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked which were not.
const LOOKS: Duration = Duration::from_secs(1);
/// How much of an answer is handed to the connection at once.
const PIECE: usize = 64 * 1024;

/// Who is to read an answer.
#[derive(Debug, Clone, Default)]
pub(in crate::grpc) struct Reader {
    /// Where it is, as far as that is known.
    pub(in crate::grpc) address: Option<IpAddr>,
    /// Ends the connection, where nobody else uses it.
    pub(in crate::grpc) cut: Option<CancellationToken>,
}

/// The answers that are not read yet. Clones share them.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct UnreadResponses(Arc<Mutex<Answers>>);

#[derive(Debug, Default)]
struct Answers {
    last: u64,
    /// By the order in which they were made.
    all: BTreeMap<u64, Answer>,
    bytes: usize,
    /// The bytes of each address; nobody is here without an answer.
    by: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Answer {
    address: IpAddr,
    bytes: usize,
    since: Moment,
    rest: Arc<Mutex<Option<Rest>>>,
    cut: Option<CancellationToken>,
}

impl Answers {
    fn remove(&mut self, key: u64) -> Option<Answer> {
        let answer = self.all.remove(&key)?;
        self.bytes = self.bytes.saturating_sub(answer.bytes);
        if let Some(bytes) = self.by.get_mut(&answer.address) {
            *bytes = bytes.saturating_sub(answer.bytes);
            if *bytes == 0 {
                self.by.remove(&answer.address);
            }
        }
        Some(answer)
    }

    /// Those that were made before this.
    fn late(&self, before: Moment) -> Vec<u64> {
        let late = self.all.iter().take_while(|(_, answer)| answer.since < before);
        late.map(|(key, _)| *key).collect()
    }

    /// The oldest ones of whoever has most, as many as are too much; some more, so that this is not done for
    /// each new one.
    fn too_much(&self, most: usize) -> Vec<u64> {
        let mut over = self.bytes.saturating_sub(most - most / 8);
        if self.bytes <= most {
            return Vec::new();
        }
        let Some(greedy) = self.by.iter().max_by_key(|(_, bytes)| **bytes) else {
            return Vec::new();
        };
        let theirs = self.all.iter().filter(|(_, answer)| answer.address == *greedy.0);
        let some = theirs.take_while(|(_, answer)| {
            let is_wanted = over > 0;
            over = over.saturating_sub(answer.bytes);
            is_wanted
        });
        some.map(|(key, _)| *key).collect()
    }
}

impl UnreadResponses {
    /// None so far. It is looked after until the last clone is dropped.
    pub(in crate::grpc) fn start() -> Self {
        let unread = Self(Arc::default());
        let all = Arc::downgrade(&unread.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOKS).await;
                let Some(all) = Weak::upgrade(&all) else { return };
                Self(all).give_up_late();
            }
        });
        unread
    }

    /// Hands an answer on as its reader takes it.
    pub(in crate::grpc) async fn keep(&self, response: Response, reader: Reader) -> Response {
        if response.body().is_end_stream() {
            return response;
        }
        let (parts, mut inner) = response.into_parts();
        // What is made when it is asked for is made now: the message is larger than its bytes.
        let first = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut inner).poll_frame(cx)));
        let first = first.await;
        let mut rest = Rest { data: Bytes::new(), first: None, inner };
        match first {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => rest.data = data,
                Err(other) => rest.first = Some(Ok(other)),
            },
            Poll::Ready(Some(Err(error))) => rest.first = Some(Err(error)),
            Poll::Ready(None) => return Response::from_parts(parts, Body::empty()),
            Poll::Pending => {}
        }
        Response::from_parts(parts, Body::new(self.add(rest, reader)))
    }

    fn add(&self, rest: Rest, reader: Reader) -> Sent {
        let bytes = rest.data.len() + BESIDE;
        let rest = Arc::new(Mutex::new(Some(rest)));
        let address = reader.address.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
        let answer = Answer {
            address: network(address),
            bytes,
            since: Moment::now(),
            rest: Arc::clone(&rest),
            cut: reader.cut,
        };
        let mut all = self.lock();
        all.last += 1;
        let key = all.last;
        all.bytes += bytes;
        *all.by.entry(answer.address).or_default() += bytes;
        all.all.insert(key, answer);
        let over = all.too_much(UNREAD);
        give_up(all, &over);
        Sent { rest, unread: self.clone(), key }
    }

    fn give_up_late(&self) {
        let all = self.lock();
        let late = Moment::now().checked_sub(READ_WITHIN).map(|before| all.late(before));
        give_up(all, &late.unwrap_or_default());
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn give_up(mut all: MutexGuard<'_, Answers>, which: &[u64]) {
    let gone: Vec<Answer> = which.iter().filter_map(|key| all.remove(*key)).collect();
    drop(all);
    for answer in gone {
        tracing::debug!(address = %answer.address, bytes = answer.bytes, "an answer was not read");
        answer.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(cut) = answer.cut {
            cut.cancel();
        }
    }
}

/// What is left of an answer.
#[derive(Debug)]
struct Rest {
    /// What the connection did not take yet of what `inner` gave.
    data: Bytes,
    /// What comes next, where that is no data.
    first: Option<Result<Frame<Bytes>, axum::Error>>,
    inner: Body,
}

/// The body of an answer. The HTTP library asks for the trailers when the reader has taken the data, or has room
/// for it, so this is there until then.
#[derive(Debug)]
struct Sent {
    /// Nothing once it was given up.
    rest: Arc<Mutex<Option<Rest>>>,
    unread: UnreadResponses,
    key: u64,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.unread.lock().remove(self.key);
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Rest { data, first, inner }) = &mut *rest else {
            return Poll::Ready(Some(Err(axum::Error::new("the answer was not read in time"))));
        };
        if data.is_empty() {
            if let Some(first) = first.take() {
                return Poll::Ready(Some(first));
            }
            match ready!(Pin::new(inner).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(whole))) => *data = whole,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        if data.len() <= PIECE {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))));
        }
        // A copy: a part of the whole would keep the whole in memory.
        let piece = Bytes::copy_from_slice(&data.split_to(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const KIB: usize = 1024;

    fn reader(address: &str) -> (Reader, CancellationToken) {
        let cut = CancellationToken::new();
        (Reader { address: Some(address.parse().unwrap()), cut: Some(cut.clone()) }, cut)
    }

    fn is_empty(unread: &UnreadResponses) -> bool {
        let all = unread.lock();
        all.bytes == 0 && all.all.is_empty() && all.by.is_empty()
    }

    fn of(length: usize) -> Response {
        Response::new(Body::from(vec![7; length]))
    }

    #[tokio::test]
    async fn an_answer_that_is_read_is_whole_and_forgotten() {
        let unread = UnreadResponses::start();
        for length in [1, PIECE, PIECE + 1, 3 * PIECE + 5] {
            let response = unread.keep(of(length), Reader::default()).await;
            assert_eq!(unread.lock().bytes, length + BESIDE);
            let read = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(read, vec![7; length]);
            assert!(is_empty(&unread));
        }
        // Trailers alone are no body.
        let refusal = unread.keep(Response::new(Body::empty()), Reader::default()).await;
        assert!(refusal.body().is_end_stream());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_in_time_is_given_up() {
        let unread = UnreadResponses::start();
        let (slow, slow_cut) = reader("192.0.2.1");
        let late = unread.keep(of(8), slow).await;
        tokio::time::sleep(READ_WITHIN / 2).await;
        let (quick, quick_cut) = reader("192.0.2.2");
        let early = unread.keep(of(8), quick).await;
        tokio::time::sleep(READ_WITHIN / 2 + 2 * LOOKS).await;
        assert!(slow_cut.is_cancelled() && !quick_cut.is_cancelled());
        assert!(late.into_body().collect().await.is_err());
        assert_eq!(early.into_body().collect().await.unwrap().to_bytes().len(), 8);
    }

    #[tokio::test]
    async fn when_there_are_too_many_the_oldest_of_whoever_has_most_are_given_up() {
        let unread = UnreadResponses::start();
        let mut kept = Vec::new();
        let (modest, modest_cut) = reader("192.0.2.1");
        kept.push(unread.keep(of(900 * KIB), modest).await);
        let mut cuts = Vec::new();
        for _ in 0..200 {
            let (greedy, cut) = reader("2001:db8::1");
            kept.push(unread.keep(of(1000 * KIB), greedy).await);
            cuts.push(cut);
            assert!(unread.lock().bytes <= UNREAD);
        }
        assert!(!modest_cut.is_cancelled());
        let first = cuts.iter().position(|cut| !cut.is_cancelled()).unwrap();
        assert!((100..170).contains(&first), "{first}");
        assert!(cuts[first..].iter().all(|cut| !cut.is_cancelled()));
        // What is there is what is counted.
        let all = unread.lock();
        assert_eq!(all.bytes, all.all.values().map(|answer| answer.bytes).sum::<usize>());
        drop(all);
        drop(kept);
        assert!(is_empty(&unread));
    }
}
