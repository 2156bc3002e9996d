//! What a practice at its limits has beside appointments: notes, and a service account with keys.

use daybook::{
    grpc::proto::{
        auth::{self, Role},
        booking::{Appointment, UpdateAppointmentRequest},
    },
    kernel::ambient::Ambient,
};
use prost_types::{FieldMask, Timestamp};

use crate::support::{people::Person, process::Process};

/// Gives the appointment as long a note as may be.
pub fn note_of(appointment: &str, number: usize) -> UpdateAppointmentRequest {
    let note = format!("{number} {}", "é".repeat(1990));
    let appointment =
        Appointment { name: appointment.to_owned(), private_note: note, ..Default::default() };
    UpdateAppointmentRequest {
        appointment: Some(appointment),
        update_mask: Some(FieldMask { paths: vec!["private_note".to_owned()] }),
        ..Default::default()
    }
}

/// A service account with as many keys as it may have.
pub async fn service_account(process: &Process, admin: &Person) -> String {
    let mut services = auth::service_account_service_client::ServiceAccountServiceClient::new(
        process.channel.clone(),
    );
    let wanted = auth::ServiceAccount {
        display_name: "keys".to_owned(),
        role: Role::Admin.into(),
        ..Default::default()
    };
    let request =
        auth::CreateServiceAccountRequest { service_account: Some(wanted), ..Default::default() };
    let answer = services.create_service_account(admin.asks(request)).await.unwrap();
    let parent = answer.into_inner().service_account.unwrap().name;
    for _ in 0..crate::support::rounds(2, 9) {
        services.create_api_key(admin.asks(api_key(&parent))).await.unwrap();
    }
    parent
}

/// A key that is good for all methods there are.
pub fn api_key(parent: &str) -> auth::CreateApiKeyRequest {
    let methods = super::methods().into_iter().filter(|path| path.contains(".booking."));
    let seconds = Ambient::system().now().timestamp() + 86_400;
    auth::CreateApiKeyRequest {
        parent: parent.to_owned(),
        scopes: methods.map(|path| path.trim_start_matches('/').to_owned()).take(100).collect(),
        expire_time: Some(Timestamp { seconds, nanos: 0 }),
    }
}
