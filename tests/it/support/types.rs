//! Requests of CatalogueService that name something.

use daybook::grpc::proto::booking::{
    ArchiveAppointmentTypeRequest, GetAppointmentTypeRequest, ListAppointmentTypesRequest,
    ListOfferingsRequest, OfferAppointmentTypeRequest, WithdrawAppointmentTypeRequest,
};
use prost::Message;

/// The request of a method for the resource with this name, in wire form. Offerings are named by their
/// provider and their type, with a blank between.
pub fn request(method: &str, name: &str) -> Option<Vec<u8>> {
    let name = name.to_owned();
    let (provider, appointment_type) = match name.split_once(' ') {
        Some((provider, of)) => (provider.to_owned(), of.to_owned()),
        None => (name.clone(), String::new()),
    };
    Some(match method {
        "GetAppointmentType" => {
            GetAppointmentTypeRequest { name, ..Default::default() }.encode_to_vec()
        }
        "ArchiveAppointmentType" => {
            ArchiveAppointmentTypeRequest { name, archived: true, ..Default::default() }
                .encode_to_vec()
        }
        "ListAppointmentTypes" => {
            ListAppointmentTypesRequest { provider, ..Default::default() }.encode_to_vec()
        }
        "ListOfferings" => ListOfferingsRequest { provider, ..Default::default() }.encode_to_vec(),
        "OfferAppointmentType" => {
            OfferAppointmentTypeRequest { appointment_type, provider, ..Default::default() }
                .encode_to_vec()
        }
        "WithdrawAppointmentType" => {
            WithdrawAppointmentTypeRequest { appointment_type, provider, ..Default::default() }
                .encode_to_vec()
        }
        _ => return None,
    })
}
