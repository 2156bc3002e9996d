//! Requests of CatalogueService that name something.

use daybook::grpc::proto::booking::{
    AppointmentType, ArchiveAppointmentTypeRequest, CreateAppointmentTypeRequest,
    GetAppointmentTypeRequest, ListAppointmentTypesRequest, ListOfferingsRequest,
    OfferAppointmentTypeRequest, WithdrawAppointmentTypeRequest, appointment_type::Visibility,
};
use prost::Message;
use prost_types::Duration;

use super::{World, people::Person};

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

impl World {
    /// Makes a private type of this provider, and a public shared one; their names.
    pub async fn types_of(&self, admin: &Person, provider: &Person) -> (String, String) {
        let make = async |owner: String, visibility: Visibility| {
            let wanted = AppointmentType {
                owner,
                display_name: "Check-up".to_owned(),
                durations: vec![Duration { seconds: 1800, nanos: 0 }],
                visibility: visibility.into(),
                ..Default::default()
            };
            let request = CreateAppointmentTypeRequest {
                appointment_type: Some(wanted),
                ..Default::default()
            };
            let answer = self.catalogue().create_appointment_type(admin.asks(request)).await;
            answer.unwrap().into_inner().appointment_type.unwrap().name
        };
        let hidden = make(provider.provider(), Visibility::PrivateLink).await;
        (hidden, make(String::new(), Visibility::Public).await)
    }
}
