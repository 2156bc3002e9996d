//! The body of a stream. It ends when the caller's deadline passes, when the process stops, or when its
//! connection gives way to others.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use pin_project_lite::pin_project;
use tokio::time::{Instant as Moment, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::concurrency;
use crate::grpc::status::status;
use crate::kernel::fault::{Fault, Reason};

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
        _place: Option<concurrency::Place>,
    }
}

impl Bounded {
    pub(super) fn new(
        inner: Body,
        until: Moment,
        (stopping, leaving): (CancellationToken, CancellationToken),
        place: Option<concurrency::Place>,
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
