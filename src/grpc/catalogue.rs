//! `daybook.booking.v1.CatalogueService`.

use tonic::{Request, Response, Status};

use super::proto::booking::{self as pb, catalogue_service_server::CatalogueService};
use crate::kernel::fault::Fault;

#[derive(Debug)]
pub(super) struct CatalogueApi;

#[tonic::async_trait]
impl CatalogueService for CatalogueApi {
    async fn create_appointment_type(
        &self,
        _: Request<pb::CreateAppointmentTypeRequest>,
    ) -> Result<Response<pb::CreateAppointmentTypeResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn get_appointment_type(
        &self,
        _: Request<pb::GetAppointmentTypeRequest>,
    ) -> Result<Response<pb::GetAppointmentTypeResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn list_appointment_types(
        &self,
        _: Request<pb::ListAppointmentTypesRequest>,
    ) -> Result<Response<pb::ListAppointmentTypesResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn update_appointment_type(
        &self,
        _: Request<pb::UpdateAppointmentTypeRequest>,
    ) -> Result<Response<pb::UpdateAppointmentTypeResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn archive_appointment_type(
        &self,
        _: Request<pb::ArchiveAppointmentTypeRequest>,
    ) -> Result<Response<pb::ArchiveAppointmentTypeResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn offer_appointment_type(
        &self,
        _: Request<pb::OfferAppointmentTypeRequest>,
    ) -> Result<Response<pb::OfferAppointmentTypeResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn withdraw_appointment_type(
        &self,
        _: Request<pb::WithdrawAppointmentTypeRequest>,
    ) -> Result<Response<pb::WithdrawAppointmentTypeResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn list_offerings(
        &self,
        _: Request<pb::ListOfferingsRequest>,
    ) -> Result<Response<pb::ListOfferingsResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }
}
