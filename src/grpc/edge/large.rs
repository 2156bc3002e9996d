//! Large requests wait for one another.
//!
//! A schedule of 1,000 dates or the questions of a type take milliseconds to check and to write, and on SQLite
//! all writes wait for one another. No more of them are worked on at once than there are cores, so a booking
//! waits behind a few of them at most.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body::Body as _;

use super::gate::refuse;
use crate::grpc::policy::{Class, Entry};
use crate::{bulkhead::Turns, identity::Caller};

/// Requests of more bytes than this are large. No booking is, not even with the answers to a usual form.
const LARGE: u64 = 16 * 1024;

/// Lets a call in when its turn comes; `OVERLOADED` when too many wait. The call's deadline ends the wait.
pub(in crate::grpc) async fn wait(
    State(turns): State<Turns>,
    request: Request,
    next: Next,
) -> Response {
    if !is_large(&request) {
        return next.run(request).await;
    }
    match turns.turn().await {
        Ok(_turn) => next.run(request).await,
        Err(fault) => refuse(&fault),
    }
}

/// Whether a request waits for its turn. Strangers and calls that hash a password do not: they have limits of
/// their own, and would keep these waiting.
fn is_large(request: &Request) -> bool {
    let extensions = request.extensions();
    let entry = extensions.get::<Entry>();
    let is_short = entry.is_some_and(|entry| matches!(entry.class, Class::Read | Class::Write));
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
        bulkhead::QUEUE,
        grpc::policy::{Access, Method, Scoped},
        identity::{Credential, Role},
        kernel::id::UserId,
    };

    fn request(bytes: u64, class: Class, is_known: bool) -> Request {
        let mut request = Request::new(Body::from(vec![0; usize::try_from(bytes).unwrap()]));
        let (method, access, scoped) = (Method("/x"), Access::Open, Scoped::People);
        let entry = Entry { method, access, scoped, class, is_stream: false };
        request.extensions_mut().insert(entry);
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
        let turns = Turns::new(1);
        let answers = async || Response::new(Body::empty());
        let router = Router::new().fallback(answers);
        let router = router.layer(from_fn_with_state(turns.clone(), wait));
        let call = |request: Request| Box::pin(router.clone().oneshot(request));
        let turn = turns.turn().await.unwrap();
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
        let mut waiting: Vec<_> = (1..QUEUE).map(|_| Box::pin(turns.turn())).collect();
        for each in &mut waiting {
            assert!(poll!(each).is_pending());
        }
        let refused = call(request(LARGE + 1, Class::Write, true)).now_or_never().unwrap();
        assert_eq!(refused.unwrap().headers()["grpc-status"], "8");
        drop(waiting);
        drop(turn);
        assert!(waits.now_or_never().is_some());
    }
}
