//! One person, two accounts: one goes into the other.

use chrono::TimeDelta;
use daybook::grpc::proto::{
    auth::{
        AuditEvent, Customer, EraseUserRequest, GetMeRequest, GetUserRequest,
        ListAuditEventsRequest, MergeCustomersRequest, RefreshTokensRequest, Role,
        audit_event::Kind, personal_data_service_client::PersonalDataServiceClient,
    },
    booking::{
        Appointment, AppointmentType, BookAppointmentRequest, HoldSlotRequest,
        ListAppointmentsRequest, ListHoldsRequest, appointment::State, appointment_event,
    },
};
use tonic::Status;

use super::{
    INVITATION, NEW_PASSWORD, PHONE, caller, desk, enrol, found, get, invite, log_in, reset,
};
use crate::{
    conformance::behaviours,
    support::{
        World, books,
        dump::{digits, dump},
        people::{PASSWORD, Person, uuid},
        refusal::{fields_of, invalid, refused},
        types::{holding, kind, typed},
    },
};

behaviours!(
    everything_that_was_booked_is_the_survivors,
    the_duplicate_is_closed_for_good,
    a_merge_done_twice_changes_nothing,
    the_survivor_takes_what_it_lacks,
    only_customers_who_are_no_more_than_that_are_merged,
    who_was_booked_twice_at_one_time_is_not_merged,
    what_was_merged_is_erased_with_the_survivor,
);

pub(super) async fn merge(
    world: &World,
    by: &Person,
    survivor: &str,
    duplicate: &str,
) -> Result<Customer, Status> {
    let request = MergeCustomersRequest {
        name: survivor.to_owned(),
        duplicate: duplicate.to_owned(),
        request_id: uuid(),
        ..Default::default()
    };
    Ok(desk(world).merge_customers(by.asks(request)).await?.into_inner().customer.unwrap())
}

/// Books a type for somebody.
pub(super) async fn book_for(
    world: &World,
    by: &Person,
    (provider, of): (&Person, &AppointmentType),
    customer: &str,
    start: &str,
) -> Result<Appointment, Status> {
    let request = BookAppointmentRequest {
        customer: customer.to_owned(),
        request_id: uuid(),
        ..typed(provider, of, start)
    };
    world.send(by, request).await
}

/// The names of the appointments of a customer, by start.
pub(super) async fn of(world: &World, admin: &Person, customer: &str) -> Vec<Appointment> {
    let request = ListAppointmentsRequest { customer: customer.to_owned(), ..Default::default() };
    let answer = world.booking().list_appointments(admin.asks(request)).await.unwrap();
    answer.into_inner().appointments
}

async fn lines(world: &World, admin: &Person, kind: Kind) -> Vec<AuditEvent> {
    let request = ListAuditEventsRequest { kind: kind.into(), ..Default::default() };
    let answer = world.auth().list_audit_events(admin.asks(request)).await.unwrap();
    answer.into_inner().audit_events
}

async fn everything_that_was_booked_is_the_survivors(world: World) {
    let (admin, one, two) = (world.admin().await, world.provider().await, world.provider().await);
    let plain = world.shared_type(&admin, kind(&[30]), &[&one, &two]).await;
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.shared_type(&admin, asked, &[&one]).await;
    let owner = world.customer().await;
    let kept =
        enrol(&world, &admin, caller("Kim Kunde", "kim@example.org", "")).await.unwrap().name;
    let gone = owner.user.name.clone();
    book_for(&world, &admin, (&one, &plain), &kept, "2026-11-23 09:00").await.unwrap();
    let booked = world.book_type(&owner, &one, &plain, "2026-11-23 10:00").await.unwrap();
    let pending = world.book_type(&owner, &one, &asked, "2026-11-23 11:00").await.unwrap();
    let cancelled = world.book_type(&owner, &two, &plain, "2026-11-23 12:00").await.unwrap();
    world.cancel(&owner, &cancelled.name).await.unwrap();
    let moved = world.book_type(&owner, &one, &asked, "2026-11-24 11:00").await.unwrap();
    let approve = daybook::grpc::proto::booking::ApproveAppointmentRequest {
        name: moved.name.clone(),
        ..Default::default()
    };
    world.booking().approve_appointment(one.asks(approve)).await.unwrap();
    // It waits for an answer beside what is agreed, and claims both times.
    world.reschedule(&owner, &moved.name, "2026-11-24 15:00").await.unwrap();
    let hold = world.hold(&owner, holding(&two, &plain, "2026-11-23 14:00")).await.unwrap();

    let survivor = merge(&world, &admin, &kept, &gone).await.unwrap();
    assert_eq!((&survivor.name, &*survivor.display_name), (&kept, "Kim Kunde"));
    let all = of(&world, &admin, &kept).await;
    let names: Vec<_> = all.iter().map(|each| &each.name).collect();
    assert_eq!(names[1..], [&booked.name, &pending.name, &cancelled.name, &moved.name]);
    assert!(all.iter().all(|each| each.customer == kept));
    // What is to come is in the name that the person has; what is over stays as it was.
    let called: Vec<_> = all[1..].iter().map(|each| &*each.customer_display_name).collect();
    assert_eq!(called, ["Kim Kunde", "Kim Kunde", &owner.user.display_name, "Kim Kunde"]);
    assert_eq!(all[2].state(), State::Pending);
    assert!(all[4].move_start_time.is_some());
    for (name, by) in [(&booked.name, &one), (&cancelled.name, &two)] {
        let events = world.events_of(by, name).await.unwrap();
        let last = events.last().unwrap();
        assert_eq!(
            (last.kind(), &last.actor),
            (appointment_event::Kind::CustomerMerged, &admin.user.name)
        );
        // It is one person: what the duplicate did the survivor did.
        assert_eq!(events[0].actor, kept);
    }
    let request = ListHoldsRequest { customer: kept.clone(), ..Default::default() };
    let holds = world.booking().list_holds(admin.asks(request)).await.unwrap().into_inner().holds;
    assert_eq!(holds.iter().map(|hold| &hold.name).collect::<Vec<_>>(), [&hold.name]);
    books::check(&world.sql().await).await;
    // It goes on as if it had always been so.
    let (world, mail) = world.mailing(&[]).await;
    invite(&world, &admin, &kept).await.unwrap();
    reset(&world, &mail.about("kim@example.org", INVITATION).await.code()).await.unwrap();
    let person = super::taken_over(&world, "kim@example.org").await;
    world.cancel(&person, &booked.name).await.unwrap();
    world.book_hold(&person, &hold).await.unwrap();
    let approve = daybook::grpc::proto::booking::ApproveAppointmentRequest {
        name: moved.name.clone(),
        ..Default::default()
    };
    world.booking().approve_appointment(one.asks(approve)).await.unwrap();
    refused(
        book_for(&world, &admin, (&two, &plain), &kept, "2026-11-24 15:00").await,
        "CUSTOMER_BUSY",
    );
    // And a provider knows the one who is there.
    assert!(found(&world, &two, "kim", 0).await.contains(&kept));
    books::check(&world.sql().await).await;
}

async fn the_duplicate_is_closed_for_good(world: World) {
    let (admin, owner) = (world.admin().await, world.customer().await);
    let (world, mail) = world.mailing(&[]).await;
    let beside = world.mailing_to(&mail, &[]).await;
    let sql = "UPDATE users SET email_verified_at = created_at";
    world.execute(sql, sql).await;
    let begun = log_in(&world, &owner.user.email, PASSWORD).await.unwrap();
    let kept = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap();
    let gone = &owner.user.name;
    merge(&world, &admin, &kept.name, gone).await.unwrap();
    refused(world.auth().get_me(owner.asks(GetMeRequest {})).await, "NOT_AUTHENTICATED");
    let refresh = RefreshTokensRequest { refresh_token: begun.refresh_token };
    refused(beside.auth().refresh_tokens(refresh).await, "REFRESH_REFUSED");
    refused(log_in(&beside, &owner.user.email, PASSWORD).await, "LOG_IN_FAILED");
    refused(get(&world, &admin, gone).await, "NOT_FOUND");
    let request = GetUserRequest { name: gone.clone() };
    refused(world.auth().get_user(admin.asks(request)).await, "NOT_FOUND");
    for prefix in [&owner.user.email, &owner.user.display_name] {
        assert!(found(&world, &admin, prefix, 0).await.is_empty(), "{prefix}");
    }
    let letter = mail.about(&owner.user.email, "Your accounts at").await;
    assert!(letter.body.contains("one"), "{}", letter.body);
    let merged = lines(&world, &admin, Kind::CustomersMerged).await;
    assert_eq!((&merged[0].user, &merged[0].actor), (&kept.name, &admin.user.name));
    assert!(merged[0].detail.contains(gone.trim_start_matches("users/")), "{}", merged[0].detail);
    let erased = lines(&world, &admin, Kind::AccountErased).await;
    assert_eq!(&erased[0].user, gone);
    // The address is free, and leads nobody to the account that is gone.
    let again = enrol(&world, &admin, caller("Kim", &owner.user.email, "")).await.unwrap();
    assert_ne!(&again.name, gone);
}

async fn a_merge_done_twice_changes_nothing(world: World) {
    let admin = world.admin().await;
    let kept = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap().name;
    let gone = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap().name;
    let other = enrol(&world, &admin, caller("Lee", "", PHONE)).await.unwrap().name;
    let request = MergeCustomersRequest {
        name: kept.clone(),
        duplicate: gone.clone(),
        request_id: uuid(),
        ..Default::default()
    };
    let first = desk(&world).merge_customers(admin.asks(request.clone())).await.unwrap();
    let before = world.state().await;
    let retry = desk(&world).merge_customers(admin.asks(request)).await.unwrap();
    assert_eq!(retry.into_inner(), first.into_inner());
    assert_eq!(world.state().await, before);
    // Asked for anew it is done already.
    let events = world.count("SELECT count(*) FROM audit_events").await;
    assert_eq!(merge(&world, &admin, &kept, &gone).await.unwrap().name, kept);
    assert_eq!(world.count("SELECT count(*) FROM audit_events").await, events);
    // What is gone goes nowhere else, and takes nobody in.
    let before = world.state().await;
    refused(merge(&world, &admin, &other, &gone).await, "NOT_FOUND");
    refused(merge(&world, &admin, &gone, &other).await, "NOT_FOUND");
    refused(merge(&world, &admin, &gone, &kept).await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
}

async fn the_survivor_takes_what_it_lacks(world: World) {
    let admin = world.admin().await;
    // By phone at first, with a log-in later: the log-in goes on.
    let (by_phone, owner) =
        (enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap(), world.customer().await);
    let now = merge(&world, &admin, &by_phone.name, &owner.user.name).await.unwrap();
    assert_eq!((&now.email, &*now.phone), (&owner.user.email, PHONE));
    assert!(now.password_set);
    let user = log_in(&world, &owner.user.email, PASSWORD).await.unwrap().user.unwrap();
    assert_eq!(user.name, by_phone.name);
    for prefix in [&owner.user.email, PHONE] {
        assert_eq!(found(&world, &admin, prefix, 0).await, [&*by_phone.name]);
    }
    // What is there stays.
    let other =
        enrol(&world, &admin, caller("Lee", "lee@example.org", "+12015550123")).await.unwrap();
    let now = merge(&world, &admin, &by_phone.name, &other.name).await.unwrap();
    assert_eq!((&now.email, &*now.phone, &*now.display_name), (&owner.user.email, PHONE, "Kim"));
    refused(log_in(&world, "lee@example.org", NEW_PASSWORD).await, "LOG_IN_FAILED");
    log_in(&world, &owner.user.email, PASSWORD).await.unwrap();
}

async fn only_customers_who_are_no_more_than_that_are_merged(world: World) {
    let (admin, provider, owner) =
        (world.admin().await, world.provider().await, world.customer().await);
    let former = world.provider().await;
    world.promote(&admin, &former, Role::Customer).await;
    let kim = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap().name;
    let lee = enrol(&world, &provider, caller("Lee", "", PHONE)).await.unwrap().name;
    let secured = world.customer().await;
    world.turn_on(&secured).await;
    let before = world.state().await;
    for other in [&provider, &admin, &former] {
        refused(merge(&world, &admin, &kim, &other.user.name).await, "WRONG_STATE");
        refused(merge(&world, &admin, &other.user.name, &kim).await, "WRONG_STATE");
    }
    refused(merge(&world, &admin, &kim, &secured.user.name).await, "WRONG_STATE");
    refused(merge(&world, &provider, &kim, &lee).await, "ROLE_NOT_ALLOWED");
    refused(merge(&world, &owner, &kim, &lee).await, "ROLE_NOT_ALLOWED");
    let absent = "users/01980000-0000-7000-8000-000000000000";
    refused(merge(&world, &admin, &kim, absent).await, "NOT_FOUND");
    refused(merge(&world, &admin, absent, &kim).await, "NOT_FOUND");
    let status = refused(merge(&world, &admin, &kim, &kim).await, "INVALID_FIELDS");
    assert_eq!(fields_of(&status), ["duplicate"]);
    let request = MergeCustomersRequest { etag: "x".to_owned(), ..Default::default() };
    let answer = desk(&world).merge_customers(admin.asks(request)).await;
    invalid(answer, &["duplicate", "etag", "name"]);
    let stale = MergeCustomersRequest {
        name: kim.clone(),
        duplicate: lee.clone(),
        etag: get(&world, &admin, &lee).await.unwrap().etag.replace("\"1-", "\"2-"),
        ..Default::default()
    };
    refused(desk(&world).merge_customers(admin.asks(stale)).await, "ETAG_STALE");
    assert_eq!(world.state().await, before);
    // Who is secured may be the one that stays.
    merge(&world, &admin, &secured.user.name, &kim).await.unwrap();
}

async fn who_was_booked_twice_at_one_time_is_not_merged(world: World) {
    let (admin, one, two) = (world.admin().await, world.provider().await, world.provider().await);
    let plain = world.shared_type(&admin, kind(&[30]), &[&one, &two]).await;
    let kept = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap().name;
    let gone = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap().name;
    let book = async |provider: &Person, customer: &str, start: &str| {
        book_for(&world, &admin, (provider, &plain), customer, start).await.unwrap()
    };
    book(&one, &gone, "2026-11-23 10:00").await;
    let twice = book(&one, &kept, "2026-11-23 09:00").await;
    book(&two, &gone, "2026-11-23 09:00").await;
    let before = world.state().await;
    refused(merge(&world, &admin, &kept, &gone).await, "CUSTOMER_BUSY");
    // All of it or nothing.
    assert_eq!(world.state().await, before);
    assert_eq!(of(&world, &admin, &gone).await.len(), 2);
    world.cancel(&admin, &twice.name).await.unwrap();
    merge(&world, &admin, &kept, &gone).await.unwrap();
    assert_eq!(of(&world, &admin, &kept).await.len(), 3);
    books::check(&world.sql().await).await;
}

async fn what_was_merged_is_erased_with_the_survivor(world: World) {
    let (admin, one) = (world.admin().await, world.provider().await);
    let plain = world.own_type(&one, kind(&[30])).await;
    let kept = enrol(&world, &admin, caller("Xylocopa", "", PHONE)).await.unwrap().name;
    let gone = enrol(&world, &admin, caller("Xylocopa", "xylocopa@example.org", "")).await.unwrap();
    let request = BookAppointmentRequest {
        note: "Xylocopa called".to_owned(),
        customer: gone.name.clone(),
        request_id: uuid(),
        ..typed(&one, &plain, "2026-11-23 09:00")
    };
    let booked = world.send(&one, request.clone()).await.unwrap();
    let hold = HoldSlotRequest {
        customer: gone.name.clone(),
        request_id: uuid(),
        ..holding(&one, &plain, "2026-11-23 11:00")
    };
    world.hold(&one, hold).await.unwrap();
    world.forward(TimeDelta::minutes(1));
    merge(&world, &admin, &kept, &gone.name).await.unwrap();
    // Who booked gets the same appointment for the same request, of the account that is there.
    let again = world.send(&one, request).await.unwrap();
    assert_eq!((again.name, again.customer), (booked.name, kept.clone()));
    let request = EraseUserRequest { name: kept, ..Default::default() };
    let mut data = PersonalDataServiceClient::new(world.channel.clone());
    data.erase_user(admin.asks(request)).await.unwrap();
    let stored = dump(&world).await;
    for word in ["Xylocopa", "xylocopa", PHONE] {
        assert!(!stored.contains(&digits(word.as_bytes())), "{word}");
    }
}
