//! Large requests wait for one another.
//!
//! A schedule of 1,000 dates or the questions of a type take milliseconds to check and to write, and on SQLite
//! all writes wait for one another. No more of them are worked on at once than there are cores, so a booking
//! waits behind a few of them at most.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body::Body as _;
use tokio::sync::Semaphore;

use super::gate::refuse;
use crate::grpc::policy::Class;
use crate::{identity::Caller, kernel::fault::Fault};

/// Requests of more bytes than this are large. No booking is, not even with the answers to a usual form.
const LARGE: u64 = 16 * 1024;
/// How many may wait for their turn; the next one is refused.
const QUEUE: usize = 64;
/// Each takes some milliseconds, and others wait before this one.
const LATER: Duration = Duration::from_secs(1);

/// How many large requests are worked on at once, and how many wait. Clones share them.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Large {
    turns: Arc<Semaphore>,
    /// Those who have a turn and those who wait.
    queue: Arc<Semaphore>,
}

impl Large {
    pub(in crate::grpc) fn new(at_once: usize) -> Self {
        let at_once = at_once.max(1);
        let queue = Arc::new(Semaphore::new(at_once + QUEUE));
        Self { turns: Arc::new(Semaphore::new(at_once)), queue }
    }
}

/// Lets a call in when its turn comes; `OVERLOADED` when too many wait. The call's deadline ends the wait.
pub(in crate::grpc) async fn wait(
    State(large): State<Large>,
    request: Request,
    next: Next,
) -> Response {
    if !is_large(&request) {
        return next.run(request).await;
    }
    let Ok(_queued) = large.queue.try_acquire() else {
        return refuse(&Fault::overloaded(LATER));
    };
    let Ok(_turn) = large.turns.acquire().await else {
        return refuse(&Fault::internal("the turns of large requests are closed"));
    };
    next.run(request).await
}

/// Whether a request waits for its turn. Strangers and calls that hash a password do not: they have limits of
/// their own, and would keep these waiting.
fn is_large(request: &Request) -> bool {
    let extensions = request.extensions();
    let is_short = matches!(extensions.get(), Some(Class::Read | Class::Write));
    // The body has arrived whole before.
    is_short && extensions.get::<Caller>().is_some() && request.body().size_hint().lower() > LARGE
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn_with_state};
    use futures_util::{FutureExt as _, poll};
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        identity::{Credential, Role},
        kernel::id::UserId,
    };

    fn request(bytes: u64, class: Class, is_known: bool) -> Request {
        let mut request = Request::new(Body::from(vec![0; usize::try_from(bytes).unwrap()]));
        request.extensions_mut().insert(class);
        if is_known {
            let (user, session) = (UserId(uuid::Uuid::nil()), uuid::Uuid::nil());
            let credential = Credential::Token { generation: 0 };
            let caller = Caller { user, role: Role::Customer, session, service: None, credential };
            request.extensions_mut().insert(caller);
        }
        request
    }

    #[tokio::test]
    async fn large_requests_wait_for_one_another_and_others_for_nobody() {
        let large = Large::new(1);
        let answers = async || Response::new(Body::empty());
        let router = Router::new().fallback(answers);
        let router = router.layer(from_fn_with_state(large.clone(), wait));
        let call = |request: Request| Box::pin(router.clone().oneshot(request));
        let turn = large.turns.acquire().await.unwrap();
        let mut waits = call(request(LARGE + 1, Class::Write, true));
        assert!(poll!(&mut waits).is_pending());
        for other in [
            request(LARGE, Class::Write, true),
            request(LARGE + 1, Class::Write, false),
            request(LARGE + 1, Class::LogIn, true),
        ] {
            let answer = call(other).now_or_never();
            assert!(
                answer.is_some_and(|answer| !answer.unwrap().headers().contains_key("grpc-status"))
            );
        }
        let places = large.queue.acquire_many(u32::try_from(QUEUE).unwrap()).await.unwrap();
        let refused = call(request(LARGE + 1, Class::Write, true)).now_or_never().unwrap();
        assert_eq!(refused.unwrap().headers()["grpc-status"], "8");
        drop(places);
        drop(turn);
        assert!(waits.now_or_never().is_some());
    }
}
