//! Other backends: service accounts and their API keys.

mod acting;
mod fields;
mod keys;
mod scopes;
pub(super) mod writes;

use daybook::grpc::proto::booking::ListAppointmentsRequest;
use tonic::{Request, Status};

use crate::support::World;

/// A call that every role may make.
async fn knock(
    world: &World,
    asks: impl FnOnce(ListAppointmentsRequest) -> Request<ListAppointmentsRequest>,
) -> Result<(), Status> {
    let request = asks(ListAppointmentsRequest::default());
    world.booking().list_appointments(request).await.map(drop)
}
