//! Updates without a mask, which change what is set and nothing else, and with `*`, which replace all.

use daybook::grpc::proto::{
    auth::{ActFor, Role, ServiceAccount, UpdateMeRequest, UpdateServiceAccountRequest, User},
    booking::{
        Appointment, AppointmentType, BookingLimits, Schedule, UpdateAppointmentRequest,
        appointment_type::{Horizon, Visibility},
    },
};
use prost_types::{Duration, FieldMask};

use super::{
    behaviours, catalogue,
    overrides::{own, stay},
    schedules::{self, schedule_of},
};
use crate::support::{
    World, berlin,
    refusal::{fields_of, invalid},
    types::minutes,
};

behaviours!(
    one_field_of_a_type_changes_alone,
    clearing_a_field_of_a_type_takes_the_mask,
    one_field_of_a_schedule_changes_alone,
    closing_the_week_takes_the_mask,
    notes_change_one_by_one,
    accounts_change_what_is_set,
    what_sets_nothing_changes_nothing,
);

fn star() -> Option<FieldMask> {
    Some(FieldMask { paths: vec!["*".to_owned()] })
}

/// A type with something in every field.
async fn a_type(world: &World, admin: &crate::support::people::Person) -> AppointmentType {
    let wanted = AppointmentType {
        visibility: Visibility::PrivateLink.into(),
        requires_approval: true,
        limits: Some(BookingLimits {
            per_provider_day: 3,
            per_provider_week: 9,
            time_per_provider_day: minutes(240),
            time_per_provider_week: minutes(600),
            open_per_customer: 2,
        }),
        ..catalogue::full()
    };
    catalogue::create(world, admin, wanted).await.unwrap()
}

/// The same but for what every write changes.
fn terms(kind: &AppointmentType) -> AppointmentType {
    AppointmentType {
        etag: String::new(),
        update_time: None,
        link_code: String::new(),
        ..kind.clone()
    }
}

async fn one_field_of_a_type_changes_alone(world: World) {
    let admin = world.admin().await;
    let mut present = a_type(&world, &admin).await;
    let name = || AppointmentType { name: present.name.clone(), ..Default::default() };
    type Change = (AppointmentType, fn(&mut AppointmentType));
    let changes: Vec<Change> = vec![
        (AppointmentType { display_name: "New".to_owned(), ..name() }, |t| {
            t.display_name = "New".to_owned();
        }),
        (AppointmentType { price: "90 €".to_owned(), ..name() }, |t| t.price = "90 €".to_owned()),
        (AppointmentType { buffer_after: minutes(25), ..name() }, |t| t.buffer_after = minutes(25)),
        (AppointmentType { horizon: Some(Horizon::RollingDays(0)), ..name() }, |t| {
            t.horizon = Some(Horizon::RollingDays(0));
        }),
        (
            AppointmentType {
                limits: Some(BookingLimits { per_provider_day: 4, ..Default::default() }),
                ..name()
            },
            |t| t.limits.as_mut().unwrap().per_provider_day = 4,
        ),
        (AppointmentType { visibility: Visibility::Public.into(), ..name() }, |t| {
            t.visibility = Visibility::Public.into();
        }),
    ];
    for (change, expected) in changes {
        let changed = catalogue::update(&world, &admin, change, &[]).await.unwrap();
        expected(&mut present);
        assert_eq!(terms(&changed), terms(&present));
    }
}

async fn clearing_a_field_of_a_type_takes_the_mask(world: World) {
    let admin = world.admin().await;
    let present = a_type(&world, &admin).await;
    // False, zero and empty are not set, also where they were sent as such.
    let zero = Some(Duration::default());
    let cleared = AppointmentType {
        name: present.name.clone(),
        display_name: present.display_name.clone(),
        durations: present.durations.clone(),
        buffer_before: zero,
        buffer_after: zero,
        grid_offset: zero,
        minimum_notice: zero,
        cancel_cutoff: zero,
        reschedule_cutoff: zero,
        limits: Some(BookingLimits::default()),
        ..Default::default()
    };
    let changed = catalogue::update(&world, &admin, cleared.clone(), &[]).await.unwrap();
    assert_eq!(terms(&changed), terms(&present));
    let fields = ["requires_approval", "price", "limits", "buffer_before"];
    let changed = catalogue::update(&world, &admin, cleared.clone(), &fields).await.unwrap();
    let expected = AppointmentType {
        requires_approval: false,
        price: String::new(),
        limits: None,
        buffer_before: None,
        ..present.clone()
    };
    assert_eq!(terms(&changed), terms(&expected));
    // The star replaces all, as if it were made anew; what must be there must be there.
    let changed = catalogue::update(&world, &admin, cleared.clone(), &["*"]).await.unwrap();
    let fresh = AppointmentType { name: String::new(), ..cleared.clone() };
    let fresh = catalogue::create(&world, &admin, fresh).await.unwrap();
    let same = |t: &AppointmentType| AppointmentType {
        name: String::new(),
        create_time: None,
        ..terms(t)
    };
    assert_eq!(same(&changed), same(&fresh));
    let bare = AppointmentType { name: present.name, ..Default::default() };
    let refusal = catalogue::update(&world, &admin, bare, &["*"]).await;
    let fields = ["appointment_type.display_name", "appointment_type.durations"];
    assert_eq!(fields_of(&refusal.unwrap_err()), fields);
}

async fn one_field_of_a_schedule_changes_alone(world: World) {
    let provider = world.provider().await;
    let filled = Schedule {
        date_overrides: vec![own((2026, 12, 24), &[((9, 0), (12, 0))])],
        stays: vec![stay((2027, 1, 1), (2027, 1, 2), "UTC")],
        accepts_intervals: Some(false),
        ..schedule_of(&world, &provider).await
    };
    let mut present = schedules::update(&world, &provider, filled, &[]).await.unwrap();
    let same = |s: &Schedule| Schedule { etag: String::new(), update_time: None, ..s.clone() };
    let name = || Schedule { name: provider.schedule(), ..Default::default() };
    let (zone, half) = ("Pacific/Auckland".to_owned(), minutes(15));
    for change in [
        Schedule { time_zone: zone.clone(), ..name() },
        Schedule { slot_duration: half, ..name() },
        Schedule { accepts_intervals: Some(true), ..name() },
    ] {
        if !change.time_zone.is_empty() {
            present.time_zone.clone_from(&zone);
        }
        present.slot_duration = change.slot_duration.or(present.slot_duration);
        present.accepts_intervals = change.accepts_intervals.or(present.accepts_intervals);
        let changed = schedules::update(&world, &provider, change, &[]).await.unwrap();
        assert_eq!(same(&changed), same(&present));
    }
}

async fn closing_the_week_takes_the_mask(world: World) {
    let provider = world.provider().await;
    let before = schedule_of(&world, &provider).await;
    let bare = Schedule {
        name: provider.schedule(),
        time_zone: before.time_zone.clone(),
        slot_duration: before.slot_duration,
        longest_booking: before.longest_booking,
        ..Default::default()
    };
    let changed = schedules::update(&world, &provider, bare.clone(), &[]).await.unwrap();
    assert_eq!(changed.weekly_windows, before.weekly_windows);
    let changed = schedules::update(&world, &provider, bare.clone(), &["*"]).await.unwrap();
    assert_eq!((changed.weekly_windows, changed.accepts_intervals), (Vec::new(), Some(true)));
    let refusal = Schedule { name: provider.schedule(), ..Default::default() };
    let refusal = schedules::update(&world, &provider, refusal, &["*"]).await;
    let fields = ["schedule.longest_booking", "schedule.slot_duration", "schedule.time_zone"];
    assert_eq!(fields_of(&refusal.unwrap_err()), fields);
}

async fn notes_change_one_by_one(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (from, until) = (berlin("2026-11-23 09:00"), berlin("2026-11-23 09:30"));
    let name = world.book(&customer, &provider, from, until).await.unwrap().name;
    let write = async |message: &str, note: &str, update_mask: Option<FieldMask>| {
        let appointment = Appointment {
            name: name.clone(),
            customer_message: message.to_owned(),
            private_note: note.to_owned(),
            ..Default::default()
        };
        let request = UpdateAppointmentRequest {
            appointment: Some(appointment),
            update_mask,
            ..Default::default()
        };
        let answer = world.booking().update_appointment(provider.asks(request)).await.unwrap();
        let appointment = answer.into_inner().appointment.unwrap();
        (appointment.customer_message, appointment.private_note)
    };
    let pair = |message: &str, note: &str| (message.to_owned(), note.to_owned());
    assert_eq!(write("bring papers", "anxious", None).await, pair("bring papers", "anxious"));
    assert_eq!(write("bring all", "", None).await, pair("bring all", "anxious"));
    assert_eq!(write("", "calm", None).await, pair("bring all", "calm"));
    assert_eq!(write("", "better", star()).await, pair("", "better"));
}

async fn accounts_change_what_is_set(world: World) {
    let admin = world.admin().await;
    let person = world.customer().await;
    let update = async |display_name: &str, time_zone: &str, update_mask: Option<FieldMask>| {
        let (display_name, time_zone) = (display_name.to_owned(), time_zone.to_owned());
        let user = Some(User { display_name, time_zone, ..Default::default() });
        let request = UpdateMeRequest { user, update_mask, ..Default::default() };
        world.auth().update_me(person.asks(request)).await
    };
    let user = update("Ada", "", None).await.unwrap().into_inner().user.unwrap();
    assert_eq!((&*user.display_name, &*user.time_zone), ("Ada", "Europe/Berlin"));
    let user = update("Eve", "UTC", star()).await.unwrap().into_inner().user.unwrap();
    assert_eq!((&*user.display_name, &*user.time_zone), ("Eve", "UTC"));
    invalid(update("Ada", "", star()).await, &["user.time_zone"]);

    let any = Some(ActFor { any_customer: true, customers: Vec::new() });
    let account = world.service_account(&admin, Role::Admin, any.clone()).await;
    let update = async |display_name: &str, act_for: Option<ActFor>, mask: Option<FieldMask>| {
        let service_account = ServiceAccount {
            name: account.name.clone(),
            display_name: display_name.to_owned(),
            act_for,
            ..Default::default()
        };
        let request = UpdateServiceAccountRequest {
            service_account: Some(service_account),
            update_mask: mask,
            ..Default::default()
        };
        let answer = world.services().update_service_account(admin.asks(request)).await.unwrap();
        let account = answer.into_inner().service_account.unwrap();
        (account.display_name, account.act_for.is_some_and(|act_for| act_for.any_customer))
    };
    assert_eq!(update("Shop", None, None).await, ("Shop".to_owned(), true));
    assert_eq!(update("Desk", None, star()).await, ("Desk".to_owned(), false));
    assert_eq!(update("", any, None).await, ("Desk".to_owned(), true));
    // What is taken back is, also without the mask.
    assert_eq!(update("", Some(ActFor::default()), None).await, ("Desk".to_owned(), false));
}

async fn what_sets_nothing_changes_nothing(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let customer = world.customer().await;
    let kind = a_type(&world, &admin).await;
    let (from, until) = (berlin("2026-11-23 09:00"), berlin("2026-11-23 09:30"));
    let booked = world.book(&customer, &provider, from, until).await.unwrap();
    let schedule = schedule_of(&world, &provider).await;
    let before = world.state().await;
    let bare = AppointmentType { name: kind.name.clone(), ..Default::default() };
    assert_eq!(catalogue::update(&world, &admin, bare, &[]).await.unwrap(), kind);
    let bare = Schedule { name: provider.schedule(), ..Default::default() };
    assert_eq!(schedules::update(&world, &provider, bare, &[]).await.unwrap(), schedule);
    let appointment = Some(Appointment { name: booked.name, ..Default::default() });
    let request = UpdateAppointmentRequest { appointment, ..Default::default() };
    let same = world.booking().update_appointment(provider.asks(request)).await.unwrap();
    assert_eq!(same.into_inner().appointment.unwrap().etag, booked.etag);
    assert_eq!(world.state().await, before);
}
