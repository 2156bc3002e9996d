//! Bodies of answers. A stream ends when the caller's deadline passes, when the process stops, or when its
//! connection gives way to others; a large answer keeps its place in memory until it was read, or for half a
//! minute.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use pin_project_lite::pin_project;
use prost::Message;
use tokio::{
    task::AbortHandle,
    time::{Instant as Moment, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{budgets, status::status};
use crate::{
    bulkhead::Place,
    kernel::fault::{Fault, Reason},
};

/// How much of a large answer is handed to the connection at once.
const PIECE: usize = 64 * 1024;
/// An answer of more bytes is large: it takes a turn and keeps a place.
pub(super) const LARGE: usize = 256 * 1024;
/// In which a large answer must have been read: the largest one takes that long at 70 kB a second.
const SENT_WITHIN: Duration = Duration::from_secs(30);

/// An answer that keeps its place, if it has one and is large.
pub(super) fn kept<T: Message>(message: T, place: Option<Place>) -> tonic::Response<T> {
    let is_large = message.encoded_len() > LARGE;
    let mut response = tonic::Response::new(message);
    if let Some(place) = place.filter(|_| is_large) {
        response.extensions_mut().insert(place);
    }
    response
}

/// What is left of a large answer.
struct Rest {
    inner: Body,
    /// What the connection did not take yet of what `inner` gave.
    data: Bytes,
    _place: Place,
}

/// A large answer that is handed on piece by piece, as its reader takes it. It keeps its place until the last
/// piece is gone, and is given up when that takes too long: a reader who stops reading keeps neither the place
/// nor the memory.
pub(super) struct Kept {
    /// Nothing once its time is up.
    rest: Arc<Mutex<Option<Rest>>>,
    timer: AbortHandle,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

impl Kept {
    pub(super) fn new(inner: Body, place: Place) -> Self {
        let rest = Rest { inner, data: Bytes::new(), _place: place };
        let rest = Arc::new(Mutex::new(Some(rest)));
        let given_up = Arc::clone(&rest);
        let timer = tokio::spawn(async move {
            tokio::time::sleep(SENT_WITHIN).await;
            given_up.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
        Self { rest, timer: timer.abort_handle() }
    }
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Rest { inner, data, .. }) = &mut *rest else {
            return Poll::Ready(Some(Err(axum::Error::new("the answer was not read in time"))));
        };
        if data.is_empty() {
            match ready!(Pin::new(inner).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(whole))) => *data = whole,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = data.split_to(data.len().min(PIECE));
        // A copy: a part of the whole would keep the whole in memory.
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&piece)))))
    }
}

pin_project! {
    /// A streamed response with an end: trailers that say why.
    pub(super) struct Bounded {
        #[pin]
        inner: Body,
        #[pin]
        deadline: Sleep,
        #[pin]
        stopping: WaitForCancellationFutureOwned,
        #[pin]
        leaving: WaitForCancellationFutureOwned,
        ended: bool,
        // Held as long as the stream lasts.
        _place: Option<budgets::Place>,
    }
}

impl Bounded {
    pub(super) fn new(
        inner: Body,
        until: Moment,
        (stopping, leaving): (CancellationToken, CancellationToken),
        place: Option<budgets::Place>,
    ) -> Self {
        Self {
            inner,
            deadline: sleep_until(until),
            stopping: stopping.cancelled_owned(),
            leaving: leaving.cancelled_owned(),
            ended: false,
            _place: place,
        }
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = this.inner.poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let fault = if this.deadline.poll(cx).is_ready() {
            Fault::new(Reason::DeadlineExceeded, "the stream's deadline passed")
        } else if this.stopping.poll(cx).is_ready() {
            Fault::new(Reason::ShuttingDown, "the server is stopping; connect again")
        } else if this.leaving.poll(cx).is_ready() {
            let text = "the connection gives its place to others; connect again";
            Fault::new(Reason::ShuttingDown, text)
        } else {
            return Poll::Pending;
        };
        *this.ended = true;
        let mut trailers = http::HeaderMap::new();
        // Only a status that does not fit into headers fails here, and ours does.
        if let Err(error) = status(&fault).add_header(&mut trailers) {
            tracing::error!(%error, "trailers");
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}
