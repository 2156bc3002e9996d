//! What became of a schedule or a type since freezes nothing that was agreed.

use daybook::grpc::proto::booking::{
    AppointmentType, BookAppointmentRequest, Exclusion, ExplainSlotRequest,
    GetAppointmentTypeRequest, HoldSlotRequest, ListSlotsRequest, RescheduleAppointmentRequest,
    Schedule, UpdateAppointmentTypeRequest,
};
use prost_types::Timestamp;
use tonic::Status;

use super::{behaviours, catalogue::private, schedules::update};
use crate::support::{
    World, berlin, books,
    people::{Person, uuid},
    refusal::refused,
    types::{anybodys, holding, kind, local, minutes, on_day, typed},
};

behaviours!(
    a_longer_interval_is_moved_when_the_longest_sank,
    a_private_type_is_read_by_who_has_an_appointment_of_it,
    an_archived_type_has_slots_for_who_moves_there,
    a_leaked_link_code_is_replaced,
);

async fn read(
    world: &World,
    caller: &Person,
    name: &str,
    link_code: &str,
) -> Result<AppointmentType, Status> {
    let (name, link_code) = (name.to_owned(), link_code.to_owned());
    let request = GetAppointmentTypeRequest { name, link_code };
    let answer = world.catalogue().get_appointment_type(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment_type.unwrap())
}

async fn slots(world: &World, caller: &Person, of: &AppointmentType) -> Result<usize, Status> {
    slots_to_move(world, caller, of, "").await
}

/// The slots for what is moved, by its name; for something new where that is empty.
async fn slots_to_move(
    world: &World,
    caller: &Person,
    of: &AppointmentType,
    rescheduling: &str,
) -> Result<usize, Status> {
    let rescheduling = rescheduling.to_owned();
    let request = ListSlotsRequest { rescheduling, ..on_day(of, "2026-11-24") };
    Ok(world.slots().list_slots(caller.asks(request)).await?.into_inner().slots.len())
}

/// What is against a start for what is moved, by its name.
async fn explained(
    world: &World,
    (caller, rescheduling): (&Person, &str),
    (provider, of): (&Person, &AppointmentType),
    start: Timestamp,
) -> Vec<Exclusion> {
    let request = ExplainSlotRequest {
        appointment_type: of.name.clone(),
        provider: provider.provider(),
        start_time: Some(start),
        rescheduling: rescheduling.to_owned(),
        ..Default::default()
    };
    world.slots().explain_slot(caller.asks(request)).await.unwrap().into_inner().exclusions
}

async fn a_longer_interval_is_moved_when_the_longest_sank(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 12:00"));
    let name = world.book(&customer, &provider, start, end).await.unwrap().name;
    let schedule =
        Schedule { name: provider.schedule(), longest_booking: minutes(60), ..Default::default() };
    update(&world, &provider, schedule, &["longest_booking"]).await.unwrap();
    for (caller, start) in [(&customer, "2026-11-24 10:00"), (&provider, "2026-11-24 13:00")] {
        let moved = world.reschedule(caller, &name, start).await.unwrap();
        assert_eq!(local(moved.start_time), start);
    }
    // Not to more than was agreed, and nothing new.
    let request = RescheduleAppointmentRequest {
        name: name.clone(),
        start_time: Some(berlin("2026-11-24 10:00")),
        end_time: Some(berlin("2026-11-24 12:00:01")),
        ..Default::default()
    };
    let longer = world.booking().reschedule_appointment(customer.asks(request.clone())).await;
    refused(longer, "TOO_LONG");
    refused(world.book(&customer, &provider, start, end).await, "TOO_LONG");
    // Shortened, it is as long as that.
    let shorter =
        RescheduleAppointmentRequest { end_time: Some(berlin("2026-11-24 11:30")), ..request };
    world.booking().reschedule_appointment(customer.asks(shorter)).await.unwrap();
    world.reschedule(&customer, &name, "2026-11-25 10:00").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn a_private_type_is_read_by_who_has_an_appointment_of_it(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let hidden = world.own_type(&provider, private(kind(&[30]))).await;
    let code = hidden.link_code.clone();
    assert!(!code.is_empty());
    refused(read(&world, &customer, &hidden.name, "").await, "NOT_FOUND");
    let request = BookAppointmentRequest {
        link_code: code.clone(),
        ..typed(&provider, &hidden, "2026-11-23 10:00")
    };
    let booked = world.send(&customer, request).await.unwrap();
    let seen = read(&world, &customer, &hidden.name, "").await.unwrap();
    assert_eq!((&seen.display_name, seen.link_code.as_str()), (&hidden.display_name, ""));
    assert_eq!(slots(&world, &customer, &hidden).await.unwrap(), 16);
    world.reschedule(&customer, &booked.name, "2026-11-24 10:00").await.unwrap();
    // It opens nothing for others, and no booking without the code.
    refused(read(&world, &other, &hidden.name, "").await, "NOT_FOUND");
    refused(slots(&world, &other, &hidden).await, "NOT_FOUND");
    let again = world.book_type(&customer, &provider, &hidden, "2026-11-24 11:00").await;
    refused(again, "NOT_FOUND");
    // For as long as there is something to move.
    world.cancel(&customer, &booked.name).await.unwrap();
    refused(read(&world, &customer, &hidden.name, "").await, "NOT_FOUND");
    refused(slots(&world, &customer, &hidden).await, "NOT_FOUND");
    let hold =
        HoldSlotRequest { link_code: code, ..holding(&provider, &hidden, "2026-11-23 10:00") };
    let hold = world.hold(&customer, hold).await.unwrap();
    world.book_hold(&customer, &hold).await.unwrap();
    world.move_to("2026-11-23 10:29:59", "Europe/Berlin");
    read(&world, &customer, &hidden.name, "").await.unwrap();
    world.move_to("2026-11-23 10:30", "Europe/Berlin");
    refused(read(&world, &customer, &hidden.name, "").await, "NOT_FOUND");
    books::check(&world.sql().await).await;
}

async fn an_archived_type_has_slots_for_who_moves_there(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let old = world.own_type(&provider, kind(&[30])).await;
    let booked = world.book_type(&customer, &provider, &old, "2026-11-23 10:00").await.unwrap();
    world.archive(&provider, &old, true).await;
    assert!(read(&world, &customer, &old.name, "").await.unwrap().archived);
    assert_eq!(slots_to_move(&world, &customer, &old, &booked.name).await.unwrap(), 16);
    let start = berlin("2026-11-24 10:00");
    let explained = explained(&world, (&customer, &booked.name), (&provider, &old), start).await;
    assert_eq!(explained, []);
    // To nobody else, and not for something new.
    refused(slots_to_move(&world, &other, &old, &booked.name).await, "NOT_FOUND");
    for caller in [&customer, &other] {
        assert_eq!(slots(&world, caller, &old).await.unwrap(), 0);
        assert_eq!(world.explain(caller, &provider, &old, start).await.len(), 1);
    }
    world.reschedule(&customer, &booked.name, "2026-11-24 10:00").await.unwrap();
    // Nothing new of it is booked.
    let before = world.state().await;
    let again = world.book_type(&customer, &provider, &old, "2026-11-24 11:00").await;
    refused(again, "TYPE_ARCHIVED");
    refused(world.send(&customer, anybodys(&old, "2026-11-24 11:00")).await, "TYPE_ARCHIVED");
    assert_eq!(world.state().await, before);
    world.cancel(&customer, &booked.name).await.unwrap();
    assert_eq!(slots(&world, &customer, &old).await.unwrap(), 0);
    books::check(&world.sql().await).await;
}

async fn a_leaked_link_code_is_replaced(world: World) {
    let (provider, customer, stranger) =
        (world.provider().await, world.customer().await, world.provider().await);
    let hidden = world.own_type(&provider, private(kind(&[30]))).await;
    let request = BookAppointmentRequest {
        link_code: hidden.link_code.clone(),
        ..typed(&provider, &hidden, "2026-11-23 10:00")
    };
    let booked = world.send(&customer, request.clone()).await.unwrap();
    let replace = UpdateAppointmentTypeRequest {
        appointment_type: Some(AppointmentType {
            name: hidden.name.clone(),
            etag: hidden.etag.clone(),
            ..Default::default()
        }),
        request_id: uuid(),
        replace_link_code: true,
        ..Default::default()
    };
    let call = async |caller: &Person, request: UpdateAppointmentTypeRequest| {
        let answer = world.catalogue().update_appointment_type(caller.asks(request)).await?;
        Ok::<_, Status>(answer.into_inner().appointment_type.unwrap())
    };
    refused(call(&stranger, replace.clone()).await, "NOT_FOUND");
    let changed = call(&provider, replace.clone()).await.unwrap();
    assert_ne!(changed.link_code, hidden.link_code);
    assert_eq!(changed.link_code.len(), hidden.link_code.len());
    assert_ne!(changed.etag, hidden.etag);
    // A retry is told the same one.
    assert_eq!(call(&provider, replace).await.unwrap(), changed);
    let next = BookAppointmentRequest { start_time: Some(berlin("2026-11-23 11:00")), ..request };
    let other = world.customer().await;
    refused(world.send(&other, next.clone()).await, "NOT_FOUND");
    refused(read(&world, &other, &hidden.name, &hidden.link_code).await, "NOT_FOUND");
    read(&world, &other, &hidden.name, &changed.link_code).await.unwrap();
    let next = BookAppointmentRequest { link_code: changed.link_code, ..next };
    world.send(&other, next).await.unwrap();
    // What was booked with the old one stays, and is moved.
    world.reschedule(&customer, &booked.name, "2026-11-23 12:00").await.unwrap();
    books::check(&world.sql().await).await;
}
