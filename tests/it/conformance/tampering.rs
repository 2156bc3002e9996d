//! What only the server says stays as it is, whatever callers write into it.

use daybook::grpc::proto::{
    auth::{
        CreateServiceAccountRequest, GetMeRequest, Role, ServiceAccount, UpdateMeRequest, User,
    },
    booking::{
        Appointment, AppointmentType, CreateAppointmentTypeRequest, GetAppointmentRequest,
        UpdateAppointmentRequest, UpdateAppointmentTypeRequest, appointment::State,
    },
};
use prost_types::{Duration, FieldMask, Timestamp};

use super::behaviours;
use crate::support::{World, berlin, refusal::fields_of, types::kind};

behaviours!(
    nobody_gives_themselves_a_role,
    an_appointment_is_moved_and_priced_by_nobody_who_only_writes_a_message,
    types_and_service_accounts_are_made_as_they_are,
);

const LONG_AGO: Option<Timestamp> = Some(Timestamp { seconds: 0, nanos: 0 });

fn mask(path: &str) -> Option<FieldMask> {
    Some(FieldMask { paths: vec![path.to_owned()] })
}

async fn nobody_gives_themselves_a_role(world: World) {
    let (person, other) = (world.customer().await, world.provider().await);
    let tampered = User {
        display_name: "Ada".to_owned(),
        email: "else@example.org".to_owned(),
        role: Role::Admin.into(),
        disabled: true,
        provider: other.provider(),
        create_time: LONG_AGO,
        update_time: LONG_AGO,
        email_verified: true,
        ..User::default()
    };
    let request = UpdateMeRequest { user: Some(tampered.clone()), ..Default::default() };
    let changed = world.auth().update_me(person.asks(request)).await.unwrap().into_inner();
    let changed = changed.user.unwrap();
    let (update_time, etag) = (changed.update_time, changed.etag.clone());
    let expected =
        User { display_name: "Ada".to_owned(), update_time, etag, ..person.user.clone() };
    assert_eq!(changed, expected);
    let before = world.state().await;
    for field in ["role", "email", "disabled", "provider", "email_verified", "create_time"] {
        let user = Some(tampered.clone());
        let request = UpdateMeRequest { user, update_mask: mask(field), ..Default::default() };
        let status = world.auth().update_me(person.asks(request)).await.unwrap_err();
        assert_eq!(fields_of(&status), ["update_mask"], "{field}");
    }
    assert_eq!(world.state().await, before);
    let me = world.auth().get_me(person.asks(GetMeRequest {})).await.unwrap().into_inner();
    assert_eq!(me.user.unwrap(), changed);
}

async fn an_appointment_is_moved_and_priced_by_nobody_who_only_writes_a_message(world: World) {
    let (customer, provider) = (world.customer().await, world.provider().await);
    let (other, another) = (world.customer().await, world.provider().await);
    let at = |time: &str| berlin(&format!("2026-11-24 {time}"));
    let booked = world.book(&customer, &provider, at("09:00"), at("10:00")).await.unwrap();
    let tampered = Appointment {
        name: booked.name.clone(),
        provider: another.provider(),
        customer: other.user.name.clone(),
        customer_display_name: "Eve".to_owned(),
        start_time: Some(at("11:00")),
        end_time: Some(at("12:00")),
        state: State::Completed.into(),
        note: "free of charge".to_owned(),
        time_zone: "UTC".to_owned(),
        cancel_reason: "none".to_owned(),
        create_time: LONG_AGO,
        update_time: LONG_AGO,
        appointment_type: "appointmentTypes/x".to_owned(),
        buffer_after: Some(Duration { seconds: 3600, nanos: 0 }),
        price: "0 EUR".to_owned(),
        place: "elsewhere".to_owned(),
        expire_time: LONG_AGO,
        override_reason: "because".to_owned(),
        successor: booked.name.clone(),
        predecessor: booked.name.clone(),
        customer_message: "I am late".to_owned(),
        ..Appointment::default()
    };
    let request = |update_mask| UpdateAppointmentRequest {
        appointment: Some(tampered.clone()),
        update_mask,
        ..Default::default()
    };
    let send = async |update_mask| {
        world.booking().update_appointment(provider.asks(request(update_mask))).await
    };
    let changed = send(mask("customer_message")).await.unwrap().into_inner().appointment.unwrap();
    let (update_time, etag) = (changed.update_time, changed.etag.clone());
    let message = "I am late".to_owned();
    let expected = Appointment { customer_message: message, update_time, etag, ..booked.clone() };
    assert_eq!(changed, expected);
    let before = world.state().await;
    for field in ["state", "provider", "customer", "start_time", "price", "expire_time"] {
        let status = send(mask(field)).await.unwrap_err();
        assert_eq!(fields_of(&status), ["update_mask"], "{field}");
    }
    assert_eq!(world.state().await, before);
    let request = GetAppointmentRequest { name: booked.name };
    let found = world.booking().get_appointment(provider.asks(request)).await.unwrap();
    assert_eq!(found.into_inner().appointment.unwrap(), changed);
}

async fn types_and_service_accounts_are_made_as_they_are(world: World) {
    let admin = world.admin().await;
    let good = kind(&[30]);
    let tamper = |good: &AppointmentType| AppointmentType {
        link_code: "let-me-in".to_owned(),
        archived: true,
        create_time: LONG_AGO,
        update_time: LONG_AGO,
        ..good.clone()
    };
    let request = CreateAppointmentTypeRequest {
        appointment_type: Some(tamper(&good)),
        ..Default::default()
    };
    let made = world.catalogue().create_appointment_type(admin.asks(request)).await.unwrap();
    let made = made.into_inner().appointment_type.unwrap();
    assert!(!made.archived && made.link_code.is_empty() && made.create_time != LONG_AGO);
    for update_mask in [None, mask("archived"), mask("link_code")] {
        let is_named = update_mask.is_some();
        let appointment_type = Some(tamper(&made));
        let request =
            UpdateAppointmentTypeRequest { appointment_type, update_mask, ..Default::default() };
        match world.catalogue().update_appointment_type(admin.asks(request)).await {
            Ok(answer) => {
                let changed = answer.into_inner().appointment_type.unwrap();
                assert!(!is_named && !changed.archived && changed.link_code.is_empty());
                assert_eq!(changed.create_time, made.create_time);
            }
            Err(status) => assert_eq!(fields_of(&status), ["update_mask"]),
        }
    }
    let account = ServiceAccount {
        display_name: "Web shop".to_owned(),
        role: Role::Admin.into(),
        disabled: true,
        create_time: LONG_AGO,
        update_time: LONG_AGO,
        ..ServiceAccount::default()
    };
    let request =
        CreateServiceAccountRequest { service_account: Some(account), ..Default::default() };
    let made = world.services().create_service_account(admin.asks(request)).await.unwrap();
    let made = made.into_inner().service_account.unwrap();
    assert!(!made.disabled && made.create_time != LONG_AGO && !made.name.is_empty());
}
