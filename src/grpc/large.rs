//! Large requests wait for one another.
//!
//! A schedule of 1,000 dates or the questions of a type take milliseconds to check and to write, and on SQLite
//! all writes wait for one another. With no more of them at once than there are cores, bookings never wait
//! behind a queue of them, and what they hold in memory is bounded.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body::Body as _;
use tokio::sync::Semaphore;

use super::gate::refuse;
use crate::kernel::fault::Fault;

/// Requests of more bytes than this are large: no booking is, nor its answers as most forms have them.
const LARGE: u64 = 16 * 1024;

/// How many large requests are worked on at once. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Large(Arc<Semaphore>);

impl Large {
    pub(super) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once.max(1))))
    }
}

/// Lets a call in when its turn comes. It stands behind the check of who is calling, so that strangers keep
/// nobody waiting, and the call's deadline ends the wait.
pub(super) async fn wait(State(large): State<Large>, request: Request, next: Next) -> Response {
    // The body has arrived whole before, but for that of a stream.
    if request.body().size_hint().lower() <= LARGE {
        return next.run(request).await;
    }
    let Ok(_turn) = large.0.acquire().await else {
        return refuse(&Fault::internal("the turns of large requests are closed"));
    };
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn_with_state};
    use futures_util::{FutureExt as _, poll};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn large_requests_wait_for_one_another_and_small_ones_for_nobody() {
        let large = Large::new(1);
        let answers = async || Response::new(Body::empty());
        let router = Router::new().fallback(answers);
        let router = router.layer(from_fn_with_state(large.clone(), wait));
        let call = |bytes: u64| {
            let body = Body::from(vec![0; usize::try_from(bytes).unwrap()]);
            Box::pin(router.clone().oneshot(Request::new(body)))
        };
        let turn = large.0.acquire().await.unwrap();
        let mut waits = call(LARGE + 1);
        assert!(poll!(&mut waits).is_pending());
        assert!(call(LARGE).now_or_never().is_some());
        drop(turn);
        assert!(waits.now_or_never().is_some());
    }
}
