//! `daybook.booking.v1.AvailabilityService`.

use tonic::{Request, Response, Status};

use super::proto::booking::{self as pb, availability_service_server::AvailabilityService};
use crate::kernel::fault::Fault;

#[derive(Debug)]
pub(super) struct AvailabilityApi;

#[tonic::async_trait]
impl AvailabilityService for AvailabilityApi {
    async fn list_slots(
        &self,
        _: Request<pb::ListSlotsRequest>,
    ) -> Result<Response<pb::ListSlotsResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn find_first_slot(
        &self,
        _: Request<pb::FindFirstSlotRequest>,
    ) -> Result<Response<pb::FindFirstSlotResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn explain_slot(
        &self,
        _: Request<pb::ExplainSlotRequest>,
    ) -> Result<Response<pb::ExplainSlotResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }
}
