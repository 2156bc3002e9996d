//! Accounts that staff make.

use daybook::grpc::proto::{
    auth::{
        AuditEvent, CreateUserRequest, Customer, DisableUserRequest, EnrolCustomerRequest,
        ListAuditEventsRequest, ListUsersRequest, Role, audit_event::Kind,
    },
    booking::GetScheduleRequest,
};
use futures_util::future::{join, join_all};
use tonic_types::StatusExt as _;

use super::{PHONE, by_key, caller, desk, enrol, enrolment, found, get, person};
use crate::{
    conformance::behaviours,
    support::{
        World,
        people::{PASSWORD, Person, sign_up, uuid},
        refusal::{fields_of, invalid, reason_of, refused},
        services::any_customer,
    },
};

behaviours!(
    staff_enrol_who_calls,
    an_enrolment_is_safe_to_retry,
    an_address_that_is_taken_is_named_to_those_who_see_it,
    bad_enrolments_are_told_by_field,
    of_many_enrolments_with_one_address_one_counts,
    an_enrolment_beside_a_sign_up_makes_one_account,
    an_api_key_enrols_within_its_scopes,
    admins_make_accounts_of_every_role,
);

const ENROL: &str = "daybook.auth.v1.CustomerService/EnrolCustomer";
const SEARCH: &str = "daybook.auth.v1.CustomerService/SearchCustomers";

async fn trail(world: &World, admin: &Person, kind: Kind) -> Vec<AuditEvent> {
    let request = ListAuditEventsRequest { kind: kind.into(), ..Default::default() };
    let answer = world.auth().list_audit_events(admin.asks(request)).await.unwrap();
    answer.into_inner().audit_events
}

async fn staff_enrol_who_calls(world: World) {
    let (admin, provider, customer) =
        (world.admin().await, world.provider().await, world.customer().await);
    for (number, by) in [&admin, &provider].into_iter().enumerate() {
        let email = format!(" Kunde{number}@EXAMPLE.org ");
        let new = caller("  Kim Kunde ", &email, "+49 30 1234 5678");
        let made = enrol(&world, by, new).await.unwrap();
        let expected = Customer {
            display_name: "Kim Kunde".to_owned(),
            email: format!("kunde{number}@example.org"),
            phone: PHONE.to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            ..made.clone()
        };
        assert_eq!(made, expected);
        assert!(!made.email_verified && !made.password_set && !made.disabled);
        assert_eq!(get(&world, by, &made.name).await.unwrap(), made);
        let lines = trail(&world, &admin, Kind::CustomerEnrolled).await;
        let line = lines.iter().find(|line| line.user == made.name).unwrap();
        assert_eq!((&line.actor, &*line.address), (&by.user.name, "127.0.0.1"));
        assert!(!line.detail.contains("unde"), "{}", line.detail);
        // The zone is that of whoever makes the account.
        let new = Customer { time_zone: String::new(), ..caller("Kim", "", PHONE) };
        let made = enrol(&world, by, new).await.unwrap();
        assert_eq!((&made.time_zone, &*made.email), (&by.user.time_zone, ""));
    }
    assert_eq!(trail(&world, &admin, Kind::AccountCreated).await.len(), 3, "those with a log-in");
    refused(enrol(&world, &customer, caller("Kim", "", PHONE)).await, "ROLE_NOT_ALLOWED");
}

async fn an_enrolment_is_safe_to_retry(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let request = enrolment(caller("Kim", "kim@example.org", PHONE));
    let send = async |by: &Person, request: &EnrolCustomerRequest| {
        let answer = desk(&world).enrol_customer(by.asks(request.clone())).await?;
        Ok::<_, tonic::Status>(answer.into_inner().customer.unwrap())
    };
    let made = send(&admin, &request).await.unwrap();
    let before = world.state().await;
    assert_eq!(send(&admin, &request).await.unwrap(), made);
    let other = EnrolCustomerRequest {
        customer: Some(caller("Kim", "kim2@example.org", PHONE)),
        ..request.clone()
    };
    refused(send(&admin, &other).await, "REQUEST_ID_REUSED");
    // An id belongs to its caller.
    refused(send(&provider, &request).await, "EMAIL_TAKEN");
    assert_eq!(world.state().await, before);
    // Twins over two processes, without anything that two accounts could not share.
    let beside = world.beside().await;
    let request = enrolment(caller("Twin", "", PHONE));
    let both = join_all([&world, &beside, &world, &beside].map(|world| {
        let request = admin.asks(request.clone());
        async move { desk(world).enrol_customer(request).await.unwrap().into_inner() }
    }));
    let mut names: Vec<_> =
        both.await.into_iter().map(|answer| answer.customer.unwrap().name).collect();
    names.dedup();
    assert_eq!(names.len(), 1);
    assert_eq!(found(&world, &admin, "twin", 0).await, names);
}

async fn an_address_that_is_taken_is_named_to_those_who_see_it(world: World) {
    let (admin, one, two) = (world.admin().await, world.provider().await, world.provider().await);
    let own = enrol(&world, &one, caller("Kim", "kim@example.org", "")).await.unwrap();
    let named = async |by: &Person, email: &str| {
        let before = world.state().await;
        let status = enrol(&world, by, caller("Kim", email, "")).await.unwrap_err();
        assert_eq!(world.state().await, before);
        assert_eq!(reason_of(&status), "EMAIL_TAKEN");
        assert_eq!(fields_of(&status), ["customer.email"]);
        status.get_error_details().error_info().unwrap().metadata.get("user").cloned()
    };
    assert_eq!(named(&admin, "KIM@example.org").await, Some(own.name.clone()));
    assert_eq!(named(&one, "kim@example.org").await, Some(own.name));
    assert_eq!(named(&two, "kim@example.org").await, None);
    assert_eq!(named(&two, &one.user.email).await, None);
    assert_eq!(named(&admin, &one.user.email).await, Some(one.user.name));
}

async fn bad_enrolments_are_told_by_field(world: World) {
    let admin = world.admin().await;
    let send = async |customer: Customer, invite: bool| {
        let request = EnrolCustomerRequest { invite, ..enrolment(customer) };
        desk(&world).enrol_customer(admin.asks(request)).await
    };
    let before = world.state().await;
    invalid(send(caller("Kim", "", ""), false).await, &["customer.phone"]);
    invalid(send(caller("", "kim@example.org", ""), false).await, &["customer.display_name"]);
    invalid(send(caller("Kim", "kim", "030"), false).await, &["customer.email", "customer.phone"]);
    invalid(send(caller("Kim", "", PHONE), true).await, &["invite"]);
    let nowhere = Customer { time_zone: "Berlin".to_owned(), ..caller("Kim", "", PHONE) };
    invalid(send(nowhere, false).await, &["customer.time_zone"]);
    let request = EnrolCustomerRequest { request_id: "x".to_owned(), ..Default::default() };
    invalid(desk(&world).enrol_customer(admin.asks(request)).await, &["customer", "request_id"]);
    // Nobody is invited by a server that sends no mail, and nobody is enrolled by the way.
    refused(send(caller("Kim", "kim@example.org", ""), true).await, "MAIL_OFF");
    assert_eq!(world.state().await, before);
}

async fn of_many_enrolments_with_one_address_one_counts(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let beside = world.beside().await;
    let tries = (0..12).map(|number| {
        let world = if number % 2 == 0 { &world } else { &beside };
        let by = if number % 3 == 0 { &provider } else { &admin };
        enrol(world, by, caller(&format!("Kim {number}"), "kim@example.org", PHONE))
    });
    let done = join_all(tries).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    for refusal in done.into_iter().filter_map(Result::err) {
        assert_eq!(reason_of(&refusal), "EMAIL_TAKEN");
    }
    assert_eq!(found(&world, &admin, "kim@", 0).await.len(), 1);
    assert_eq!(found(&world, &admin, PHONE, 0).await.len(), 1, "what was refused left nothing");
}

async fn an_enrolment_beside_a_sign_up_makes_one_account(world: World) {
    let admin = world.admin().await;
    let beside = world.beside().await;
    for _ in 0..crate::support::rounds(4, 40) {
        let request = sign_up(Role::Customer);
        let enrolled = enrol(&world, &admin, caller("Kim", &request.email, ""));
        let signed_up = async { beside.auth().sign_up(request.clone()).await };
        let (enrolled, signed_up) = join(enrolled, signed_up).await;
        assert_ne!(enrolled.is_ok(), signed_up.is_ok());
        let refusal = enrolled.map(drop).and(signed_up.map(drop));
        refused(refusal, "EMAIL_TAKEN");
        assert_eq!(found(&world, &admin, &request.email, 0).await.len(), 1);
    }
}

async fn an_api_key_enrols_within_its_scopes(world: World) {
    let admin = world.admin().await;
    let backend = world.backend(&admin, Role::Admin, any_customer(), &[ENROL, SEARCH]).await;
    let (world, mut client) = (&world, desk(&world));
    let mut send = async |customer: Customer| {
        client.enrol_customer(by_key(&backend.key, enrolment(customer))).await
    };
    let made = send(caller("Kim", "kim@example.org", PHONE)).await.unwrap().into_inner();
    let made = made.customer.unwrap();
    // It is nowhere, so it says where the customer is.
    let nowhere = Customer { time_zone: String::new(), ..caller("Kim", "", PHONE) };
    invalid(send(nowhere).await, &["customer.time_zone"]);
    let taken = send(caller("Kim", "kim@example.org", "")).await.unwrap_err();
    let details = taken.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata.get("user"), Some(&made.name));
    let request = super::searching("kim", 0, String::new());
    let page = desk(world).search_customers(by_key(&backend.key, request)).await.unwrap();
    assert_eq!(page.into_inner().customers, std::slice::from_ref(&made));
    let request = daybook::grpc::proto::auth::GetCustomerRequest { name: made.name.clone() };
    refused(desk(world).get_customer(by_key(&backend.key, request)).await, "SCOPE_MISSING");
    // For a customer it is that customer, who may nothing of this.
    let request = backend.asks_for(enrolment(caller("Kim", "", PHONE)), &made.name);
    refused(desk(world).enrol_customer(request).await, "ROLE_NOT_ALLOWED");
}

async fn admins_make_accounts_of_every_role(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let create = async |by: &Person, role: Role, email: &str| {
        let request = CreateUserRequest {
            display_name: "Dr. New".to_owned(),
            email: email.to_owned(),
            role: role.into(),
            time_zone: "Europe/Berlin".to_owned(),
            phone: PHONE.to_owned(),
            request_id: uuid(),
            ..Default::default()
        };
        world.auth().create_user(by.asks(request)).await
    };
    for role in [Role::Customer, Role::Provider, Role::Admin] {
        let email = format!("{}@example.org", role.as_str_name().to_lowercase());
        let user = create(&admin, role, &email).await.unwrap().into_inner().user.unwrap();
        assert_eq!((user.role(), &*user.email, &*user.phone), (role, &*email, PHONE));
        let refusal = super::log_in(&world, &email, PASSWORD).await;
        refused(refusal, "LOG_IN_FAILED");
        let status = create(&admin, role, &email).await.unwrap_err();
        assert_eq!(
            (reason_of(&status), fields_of(&status)),
            ("EMAIL_TAKEN".into(), vec!["email".into()])
        );
        refused(create(&provider, role, "other@example.org").await, "ROLE_NOT_ALLOWED");
        if role == Role::Provider {
            let name = format!("{}/schedule", user.provider);
            let request = GetScheduleRequest { name };
            let schedule = world.schedule().get_schedule(admin.asks(request)).await.unwrap();
            assert_eq!(schedule.into_inner().schedule.unwrap().time_zone, "Europe/Berlin");
        }
    }
    let request = CreateUserRequest::default();
    let answer = world.auth().create_user(admin.asks(request)).await;
    invalid(answer, &["display_name", "email", "role"]);
    let created = trail(&world, &admin, Kind::AccountCreated).await;
    assert_eq!(created.iter().filter(|line| line.actor == admin.user.name).count(), 3);
    // They are accounts like others.
    let request = ListUsersRequest { prefix: "dr. new".to_owned(), ..Default::default() };
    let users = world.auth().list_users(admin.asks(request)).await.unwrap().into_inner().users;
    assert_eq!(users.len(), 3);
    let request = DisableUserRequest { name: users[0].name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    let disabled = person(&get(&world, &admin, &users[0].name).await.unwrap());
    assert!(get(&world, &admin, &disabled.user.name).await.unwrap().disabled);
}
