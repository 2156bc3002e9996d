//! The second factor, from enrolment to recovery.

mod guessing;
mod log_in;
mod own;
mod required;
mod resealing;
pub(super) mod writes;

use daybook::grpc::proto::auth::{
    AuditEvent, GetMeRequest, ListAuditEventsRequest, RefreshTokensRequest, audit_event::Kind,
};

use crate::support::{
    World,
    people::{Person, with_token},
};

async fn works(world: &World, access_token: &str) -> bool {
    let answer = world.auth().get_me(with_token(GetMeRequest {}, access_token)).await;
    answer.is_ok_and(|answer| answer.into_inner().user.is_some())
}

async fn refreshes(world: &World, token: &str) -> bool {
    let request = RefreshTokensRequest { refresh_token: token.to_owned() };
    world.auth().refresh_tokens(request).await.is_ok()
}

/// What the trail has of a kind about somebody.
async fn trail(world: &World, admin: &Person, user: &str, kind: Kind) -> Vec<AuditEvent> {
    let (user, kind) = (user.to_owned(), kind.into());
    let request = ListAuditEventsRequest { user, kind, ..Default::default() };
    let answer = world.auth().list_audit_events(admin.asks(request)).await.unwrap();
    answer.into_inner().audit_events
}
