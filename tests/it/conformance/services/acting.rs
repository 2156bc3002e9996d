//! Acting for customers: who may, for whom, as what, and what is recorded.

use daybook::grpc::proto::{
    auth::{
        ActFor, DisableUserRequest, GetUserRequest, Role, ServiceAccount,
        UpdateServiceAccountRequest,
    },
    booking::{
        Appointment, AppointmentEvent, BookAppointmentRequest, CompleteAppointmentRequest,
        GetAppointmentRequest, HoldSlotRequest, ListAppointmentEventsRequest,
        ListAppointmentsRequest, ListProvidersRequest, Party,
    },
};
use tonic::{Request, Status};

use super::knock;
use crate::{
    conformance::behaviours,
    support::{
        World, berlin,
        people::{Person, booking},
        process::until,
        refusal::refused,
        services::{BOOKING, Backend, any_customer},
    },
};

behaviours!(
    a_backend_books_for_a_customer_and_both_are_recorded,
    a_backend_acts_for_whom_it_is_granted_and_for_nobody_else,
    who_acts_for_a_customer_has_the_rights_of_that_customer,
    a_disabled_customer_is_not_acted_for,
    whom_a_backend_names_is_one_customer,
    an_admin_backend_acts_as_itself_and_is_nobodys_customer,
    a_grant_that_is_taken_back_ends,
);

fn at(provider: &Person, hour: u32) -> BookAppointmentRequest {
    let (from, until) = (format!("2026-11-23 {hour}:00"), format!("2026-11-23 {hour}:30"));
    booking(provider, berlin(&from), berlin(&until))
}

async fn book(
    world: &World,
    request: Request<BookAppointmentRequest>,
) -> Result<Appointment, Status> {
    let answer = world.booking().book_appointment(request).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

async fn events(world: &World, person: &Person, name: &str) -> Vec<AppointmentEvent> {
    let parent = name.to_owned();
    let request = ListAppointmentEventsRequest { parent, ..Default::default() };
    let answer = world.booking().list_appointment_events(person.asks(request)).await.unwrap();
    answer.into_inner().events
}

async fn shop(world: &World, admin: &Person, act_for: Option<ActFor>) -> Backend {
    world.backend(admin, Role::Customer, act_for, &[BOOKING]).await
}

fn only(person: &Person) -> Option<ActFor> {
    Some(ActFor { any_customer: false, customers: vec![person.user.name.clone()] })
}

async fn a_backend_books_for_a_customer_and_both_are_recorded(world: World) {
    let (admin, provider, customer) =
        (world.admin().await, world.provider().await, world.customer().await);
    let backend = shop(&world, &admin, any_customer()).await;
    // In person first, so that the provider is remembered and the short way is open.
    let own = book(&world, customer.asks(at(&provider, 9))).await.unwrap();
    let own = events(&world, &customer, &own.name).await;
    assert_eq!((&*own[0].actor, &*own[0].service_account), (&*customer.user.name, ""));
    for hour in [10, 11] {
        let request = backend.asks_for(at(&provider, hour), &customer.user.name);
        let booked = book(&world, request).await.unwrap();
        assert_eq!(booked.customer, customer.user.name);
        assert_eq!(booked.customer_display_name, customer.user.display_name);
        let cancel = daybook::grpc::proto::booking::CancelAppointmentRequest {
            name: booked.name.clone(),
            ..Default::default()
        };
        let cancel = backend.asks_for(cancel, &customer.user.name);
        world.booking().cancel_appointment(cancel).await.unwrap();
        for reader in [&customer, &provider, &admin] {
            let found = events(&world, reader, &booked.name).await;
            assert_eq!(found.len(), 2);
            for event in found {
                assert_eq!(event.actor, customer.user.name);
                assert_eq!(event.service_account, backend.account.name);
            }
        }
    }
    assert_eq!(world.count("SELECT count(*) FROM events WHERE via_id IS NOT NULL").await, 4);
}

async fn a_backend_acts_for_whom_it_is_granted_and_for_nobody_else(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let (ada, bob) = (world.customer().await, world.customer().await);
    let of = async |backend: &Backend, name: &str| {
        knock(&world, |message| backend.asks_for(message, name)).await
    };
    let nobodys = shop(&world, &admin, None).await;
    let adas = shop(&world, &admin, only(&ada)).await;
    let anybodys = shop(&world, &admin, any_customer()).await;
    let strange = shop(&world, &admin, only(&provider)).await;
    refused(of(&nobodys, &ada.user.name).await, "ACT_FOR_REFUSED");
    of(&adas, &ada.user.name).await.unwrap();
    refused(of(&adas, &bob.user.name).await, "ACT_FOR_REFUSED");
    of(&anybodys, &ada.user.name).await.unwrap();
    of(&anybodys, &bob.user.name).await.unwrap();
    // Who is no customer is never acted for, whatever the grant says.
    for backend in [&anybodys, &strange] {
        refused(of(backend, &provider.user.name).await, "ACT_FOR_REFUSED");
        refused(of(backend, &admin.user.name).await, "ACT_FOR_REFUSED");
    }
    // Nor is another service account, or itself: there is nothing that it could do as that.
    let itself = backend_as_user(&anybodys);
    refused(book(&world, anybodys.asks_for(at(&provider, 9), &itself)).await, "ROLE_NOT_ALLOWED");
    let other = backend_as_user(&nobodys);
    refused(book(&world, anybodys.asks_for(at(&provider, 9), &other)).await, "ACT_FOR_REFUSED");
    // People act as themselves.
    for person in [&ada, &admin] {
        let mut request = person.asks(ListAppointmentsRequest::default());
        request.metadata_mut().insert("x-daybook-act-for", ada.user.name.parse().unwrap());
        let answer = world.booking().list_appointments(request).await;
        refused(answer, "ACT_FOR_REFUSED");
    }
    // Without the header it is nobody: it sees what everybody sees.
    refused(knock(&world, |message| anybodys.asks(message)).await, "ROLE_NOT_ALLOWED");
    let pages =
        world.backend(&admin, Role::Customer, None, &["daybook.booking.v1.ScheduleService"]).await;
    let request = pages.asks(ListProvidersRequest::default());
    let found = world.schedule().list_providers(request).await.unwrap().into_inner();
    assert_eq!(found.providers.len(), 1);
    refused(knock(&world, |message| pages.asks(message)).await, "SCOPE_MISSING");
}

/// The id of a service account, as if it were a user.
fn backend_as_user(backend: &Backend) -> String {
    backend.account.name.replace("serviceAccounts/", "users/")
}

async fn who_acts_for_a_customer_has_the_rights_of_that_customer(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let (ada, bob) = (world.customer().await, world.customer().await);
    // Also where the service account itself has the role of an admin.
    let scopes = &[BOOKING, "daybook.auth.v1.AuthService/GetUser"];
    for role in [Role::Customer, Role::Admin] {
        let backend = world.backend(&admin, role, any_customer(), scopes).await;
        let hour = if role == Role::Admin { 10 } else { 9 };
        let bobs = book(&world, bob.asks(at(&provider, hour))).await.unwrap().name;
        let get = GetAppointmentRequest { name: bobs.clone() };
        let request = backend.asks_for(get.clone(), &ada.user.name);
        refused(world.booking().get_appointment(request).await, "NOT_FOUND");
        let request = backend.asks_for(get, &bob.user.name);
        world.booking().get_appointment(request).await.unwrap();
        let complete = CompleteAppointmentRequest { name: bobs, ..Default::default() };
        let request = backend.asks_for(complete, &bob.user.name);
        refused(world.booking().complete_appointment(request).await, "ROLE_NOT_ALLOWED");
        let other =
            ListAppointmentsRequest { customer: bob.user.name.clone(), ..Default::default() };
        let request = backend.asks_for(other, &ada.user.name);
        refused(world.booking().list_appointments(request).await, "NOT_FOUND");
        let for_other =
            BookAppointmentRequest { customer: bob.user.name.clone(), ..at(&provider, 12) };
        let request = backend.asks_for(for_other, &ada.user.name);
        refused(book(&world, request).await, "ROLE_NOT_ALLOWED");
        let get = GetUserRequest { name: bob.user.name.clone() };
        let request = backend.asks_for(get, &bob.user.name);
        refused(world.auth().get_user(request).await, "ROLE_NOT_ALLOWED");
    }
}

async fn a_disabled_customer_is_not_acted_for(world: World) {
    let (admin, other) = (world.admin().await, world.beside().await);
    let (ada, bob) = (world.customer().await, world.customer().await);
    let backend = shop(&world, &admin, any_customer()).await;
    let acts = async |at: &World, person: &Person| {
        knock(at, |message| backend.asks_for(message, &person.user.name)).await
    };
    until(5, "the key works elsewhere", async || acts(&other, &ada).await.is_ok()).await;
    let request = DisableUserRequest { name: ada.user.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    let bob = world.promote(&admin, &bob, Role::Provider).await;
    for at in [&world, &other] {
        for person in [&ada, &bob] {
            until(5, "nobody acts for them", async || acts(at, person).await.is_err()).await;
            refused(acts(at, person).await, "ACT_FOR_REFUSED");
        }
    }
}

async fn whom_a_backend_names_is_one_customer(world: World) {
    let (admin, ada) = (world.admin().await, world.customer().await);
    let backend = shop(&world, &admin, any_customer()).await;
    let name = &ada.user.name;
    let id = name.trim_start_matches("users/");
    for bad in [
        String::new(),
        id.to_owned(),
        format!("users/{}", id.to_uppercase()),
        format!(" {name}"),
        format!("{name}/"),
        format!("{name},{name}"),
        format!("providers/{id}"),
        "users/".to_owned(),
        "users/*".to_owned(),
        "users/me".to_owned(),
        "*".to_owned(),
    ] {
        let answer = knock(&world, |message| backend.asks_for(message, &bad)).await;
        if bad.trim() == name {
            // Space around a value is not part of it.
            continue;
        }
        refused(answer, "ACT_FOR_REFUSED");
    }
    let mut request = backend.asks_for(ListAppointmentsRequest::default(), name);
    request.metadata_mut().append("x-daybook-act-for", name.parse().unwrap());
    refused(world.booking().list_appointments(request).await, "ACT_FOR_REFUSED");
    knock(&world, |message| backend.asks_for(message, name)).await.unwrap();
}

async fn an_admin_backend_acts_as_itself_and_is_nobodys_customer(world: World) {
    let (admin, provider, ada) =
        (world.admin().await, world.provider().await, world.customer().await);
    let backend = world.backend(&admin, Role::Admin, None, &[BOOKING]).await;
    let request = BookAppointmentRequest { customer: ada.user.name.clone(), ..at(&provider, 9) };
    let booked = book(&world, backend.asks(request)).await.unwrap();
    assert_eq!(booked.customer, ada.user.name);
    let found = events(&world, &admin, &booked.name).await;
    assert_eq!((&*found[0].actor, &*found[0].service_account), ("", &*backend.account.name));
    // The customer knows nobody of the practice by id.
    let found = events(&world, &ada, &booked.name).await;
    assert_eq!((&*found[0].actor, &*found[0].service_account), ("", ""));
    assert_eq!(found[0].actor_party(), Party::Practice);
    let get = GetAppointmentRequest { name: booked.name };
    world.booking().get_appointment(backend.asks(get)).await.unwrap();
    refused(book(&world, backend.asks(at(&provider, 10))).await, "ROLE_NOT_ALLOWED");
    let customer = backend_as_user(&backend);
    let request = BookAppointmentRequest { customer, ..at(&provider, 10) };
    refused(book(&world, backend.asks(request)).await, "ROLE_NOT_ALLOWED");
    let hold = HoldSlotRequest {
        provider: provider.provider(),
        start_time: Some(berlin("2026-11-23 10:00")),
        end_time: Some(berlin("2026-11-23 10:30")),
        ..Default::default()
    };
    refused(world.booking().hold_slot(backend.asks(hold)).await, "ROLE_NOT_ALLOWED");
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 1);
}

async fn a_grant_that_is_taken_back_ends(world: World) {
    let (admin, ada, other) = (world.admin().await, world.customer().await, world.beside().await);
    let backend = shop(&world, &admin, only(&ada)).await;
    let acts =
        async |at: &World| knock(at, |message| backend.asks_for(message, &ada.user.name)).await;
    acts(&world).await.unwrap();
    until(5, "the key works elsewhere", async || acts(&other).await.is_ok()).await;
    let changed = ServiceAccount {
        name: backend.account.name.clone(),
        act_for: Some(ActFor::default()),
        etag: backend.account.etag.clone(),
        ..Default::default()
    };
    let request =
        UpdateServiceAccountRequest { service_account: Some(changed), ..Default::default() };
    let stale = request.clone();
    world.services().update_service_account(admin.asks(request)).await.unwrap();
    refused(acts(&world).await, "ACT_FOR_REFUSED");
    until(5, "the grant ends elsewhere", async || acts(&other).await.is_err()).await;
    refused(world.services().update_service_account(admin.asks(stale)).await, "ETAG_STALE");
}
