//! Appointment types: who makes them, who sees them, and who changes what.

use daybook::grpc::proto::{
    auth::{DisableUserRequest, Role},
    booking::{
        AppointmentType, ArchiveAppointmentTypeRequest, BookingLimits,
        CreateAppointmentTypeRequest, DateRange, GetAppointmentTypeRequest, IntakeQuestion,
        ListAppointmentTypesRequest, OfferAppointmentTypeRequest, UpdateAppointmentTypeRequest,
        appointment_type::{Horizon, Visibility},
        intake_question::Kind,
    },
};
use prost_types::{Duration, FieldMask};
use tonic::{Request, Status};

use super::{behaviours, schedules::schedule_of};
use crate::support::{
    World,
    people::{Person, date},
    raw::seen,
    refusal::{reason_of, refused},
    version,
};

behaviours!(
    a_type_is_told_as_it_was_made,
    a_plain_type_has_the_defaults,
    admins_make_shared_and_anybodys_own_types_and_providers_their_own,
    an_own_type_is_offered_from_the_start,
    a_private_type_is_shown_to_those_who_manage_or_offer_it_or_have_its_code,
    link_codes_differ_and_are_shown_to_those_who_manage_a_private_type,
    a_type_is_changed_by_those_who_manage_it,
    only_what_the_mask_of_a_type_names_changes,
);

pub(super) const NOBODYS: &str = "01980000-0000-7000-8000-000000000000";

pub(super) fn mins(count: i64) -> Option<Duration> {
    Some(Duration { seconds: count * 60, nanos: 0 })
}

/// A type with nothing but what it needs.
pub(super) fn plain() -> AppointmentType {
    AppointmentType {
        display_name: "Check-up".to_owned(),
        durations: mins(30).into_iter().collect(),
        ..Default::default()
    }
}

/// A shared type, or somebody's own.
pub(super) fn own(provider: &Person) -> AppointmentType {
    AppointmentType { owner: provider.provider(), ..plain() }
}

pub(super) fn private(of: AppointmentType) -> AppointmentType {
    AppointmentType { visibility: Visibility::PrivateLink.into(), ..of }
}

/// A type with something in every field.
pub(super) fn full() -> AppointmentType {
    let question = |id: &str, kind: Kind, choices: &[&str]| IntakeQuestion {
        id: id.to_owned(),
        text: format!("What about {id}?"),
        kind: kind.into(),
        required: kind == Kind::Choice,
        choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
    };
    let window =
        DateRange { start_date: Some(date((2026, 12, 1))), end_date: Some(date((2026, 12, 24))) };
    AppointmentType {
        display_name: "Long talk".to_owned(),
        description: "About\nthis and that.".to_owned(),
        durations: [60, 90].into_iter().filter_map(mins).collect(),
        buffer_before: mins(10),
        buffer_after: mins(240),
        slot_step: mins(15),
        grid_offset: mins(5),
        minimum_notice: mins(120),
        horizon: Some(Horizon::FixedWindow(window)),
        limits: Some(BookingLimits {
            per_provider_day: 4,
            per_provider_week: 10,
            time_per_provider_day: mins(300),
            time_per_provider_week: mins(900),
            open_per_customer: 2,
        }),
        cancel_cutoff: mins(1440),
        reschedule_cutoff: mins(2880),
        requires_approval: true,
        request_expiry: mins(60),
        price: "80 EUR".to_owned(),
        place: "Room 5".to_owned(),
        questions: vec![
            question("why", Kind::Text, &[]),
            question("age", Kind::Number, &[]),
            question("size", Kind::Choice, &["small", "large"]),
            question("first_visit", Kind::YesNo, &[]),
        ],
        visibility: Visibility::Public.into(),
        ..Default::default()
    }
}

pub(super) async fn create(
    world: &World,
    caller: &Person,
    wanted: AppointmentType,
) -> Result<AppointmentType, Status> {
    let request =
        CreateAppointmentTypeRequest { appointment_type: Some(wanted), request_id: String::new() };
    let answer = world.catalogue().create_appointment_type(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment_type.unwrap())
}

pub(super) async fn update(
    world: &World,
    caller: &Person,
    wanted: AppointmentType,
    mask: &[&str],
) -> Result<AppointmentType, Status> {
    let paths: Vec<String> = mask.iter().map(|path| (*path).to_owned()).collect();
    let request = UpdateAppointmentTypeRequest {
        appointment_type: Some(wanted),
        update_mask: (!paths.is_empty()).then_some(FieldMask { paths }),
        request_id: String::new(),
    };
    let answer = world.catalogue().update_appointment_type(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment_type.unwrap())
}

pub(super) async fn archive(
    world: &World,
    caller: &Person,
    name: &str,
    archived: bool,
) -> Result<AppointmentType, Status> {
    let name = name.to_owned();
    let request = ArchiveAppointmentTypeRequest { name, archived, ..Default::default() };
    let answer = world.catalogue().archive_appointment_type(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment_type.unwrap())
}

pub(super) async fn get(
    world: &World,
    caller: Option<&Person>,
    name: &str,
    link_code: &str,
) -> Result<AppointmentType, Status> {
    let request =
        GetAppointmentTypeRequest { name: name.to_owned(), link_code: link_code.to_owned() };
    let request = caller.map_or_else(|| Request::new(request.clone()), |c| c.asks(request.clone()));
    let answer = world.catalogue().get_appointment_type(request).await?;
    Ok(answer.into_inner().appointment_type.unwrap())
}

/// The names of all types that are listed, on one page.
pub(super) async fn listed(world: &World, caller: &Person, show_archived: bool) -> Vec<String> {
    let request = ListAppointmentTypesRequest { show_archived, ..Default::default() };
    let answer = world.catalogue().list_appointment_types(caller.asks(request)).await.unwrap();
    answer.into_inner().appointment_types.into_iter().map(|found| found.name).collect()
}

async fn a_type_is_told_as_it_was_made(world: World) {
    let admin = world.admin().await;
    let made = create(&world, &admin, full()).await.unwrap();
    let now = world.clock.now();
    let time = Some(prost_types::Timestamp {
        seconds: now.timestamp(),
        nanos: i32::try_from(now.timestamp_subsec_nanos()).unwrap(),
    });
    let (name, etag) = (made.name.clone(), made.etag.clone());
    assert_eq!(version(&etag), 1);
    let told = AppointmentType { name, create_time: time, update_time: time, etag, ..full() };
    assert_eq!(made, told);
    assert_eq!(made.name.split_once('/').unwrap().0, "appointmentTypes");
    for person in [&admin, &world.customer().await, &world.provider().await] {
        assert_eq!(get(&world, Some(person), &made.name, "").await.unwrap(), told);
    }
    let absent = format!("appointmentTypes/{NOBODYS}");
    refused(get(&world, Some(&admin), &absent, "").await, "NOT_FOUND");
}

async fn a_plain_type_has_the_defaults(world: World) {
    let admin = world.admin().await;
    let wanted = AppointmentType { display_name: "  Check-up ".to_owned(), ..plain() };
    let made = create(&world, &admin, wanted).await.unwrap();
    let told = AppointmentType {
        name: made.name.clone(),
        create_time: made.create_time,
        update_time: made.update_time,
        etag: made.etag.clone(),
        visibility: Visibility::Public.into(),
        request_expiry: mins(48 * 60),
        ..plain()
    };
    assert_eq!(made, told);
    // Zero is the same as nothing, where nothing is meant by it.
    let zero = AppointmentType {
        buffer_before: mins(0),
        minimum_notice: mins(0),
        limits: Some(BookingLimits { time_per_provider_day: mins(0), ..Default::default() }),
        ..plain()
    };
    let made = create(&world, &admin, zero).await.unwrap();
    assert_eq!((made.buffer_before, made.minimum_notice, made.limits), (None, None, None));
    // What only the server says is not looked at.
    let odd = AppointmentType {
        name: "x".to_owned(),
        link_code: "x".to_owned(),
        archived: true,
        etag: "x".to_owned(),
        ..plain()
    };
    let made = create(&world, &admin, odd).await.unwrap();
    assert!(!made.archived && made.link_code.is_empty() && version(&made.etag) == 1);
}

async fn admins_make_shared_and_anybodys_own_types_and_providers_their_own(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let before = world.state().await;
    refused(create(&world, &one, plain()).await, "ROLE_NOT_ALLOWED");
    let foreign = refused(create(&world, &one, own(&two)).await, "NOT_FOUND");
    let nobody = AppointmentType { owner: format!("providers/{NOBODYS}"), ..plain() };
    let absent = refused(create(&world, &one, nobody.clone()).await, "NOT_FOUND");
    assert_eq!((foreign.code(), foreign.message()), (absent.code(), absent.message()));
    for wanted in [plain(), own(&customer), own(&one)] {
        refused(create(&world, &customer, wanted).await, "ROLE_NOT_ALLOWED");
    }
    refused(create(&world, &admin, nobody).await, "NOT_FOUND");
    refused(create(&world, &admin, own(&customer)).await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
    for (caller, wanted) in [(&admin, plain()), (&admin, own(&two)), (&one, own(&one))] {
        let owner = wanted.owner.clone();
        assert_eq!(create(&world, caller, wanted).await.unwrap().owner, owner);
    }
    let shut = DisableUserRequest { name: two.user.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(shut)).await.unwrap();
    refused(create(&world, &admin, own(&two)).await, "NOT_FOUND");
}

async fn an_own_type_is_offered_from_the_start(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let before = schedule_of(&world, &provider).await;
    create(&world, &admin, plain()).await.unwrap();
    assert_eq!(schedule_of(&world, &provider).await, before);
    assert_eq!(world.count("SELECT count(*) FROM offerings").await, 0);
    for caller in [&provider, &admin] {
        create(&world, caller, own(&provider)).await.unwrap();
    }
    assert_eq!(world.count("SELECT count(*) FROM offerings").await, 2);
    // Each is a version of the schedule, and an event of the provider's.
    assert_eq!(version(&schedule_of(&world, &provider).await.etag), 3);
    let events =
        "SELECT count(*) FROM events WHERE kind = 'offering_changed' AND version IN (2, 3)";
    assert_eq!(world.count(events).await, 2);
}

async fn a_private_type_is_shown_to_those_who_manage_or_offer_it_or_have_its_code(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let owned = create(&world, &one, private(own(&one))).await.unwrap();
    let shared = create(&world, &admin, private(plain())).await.unwrap();
    let other = create(&world, &admin, private(plain())).await.unwrap();
    let code = |of: &AppointmentType| of.link_code.clone();
    let sees = async |person: &Person, of: &AppointmentType, code: &str| {
        match get(&world, Some(person), &of.name, code).await {
            Ok(found) => assert_eq!(found.name, of.name),
            Err(status) => {
                // As if there were none.
                assert_eq!(reason_of(&status), "NOT_FOUND");
                let absent = format!("appointmentTypes/{NOBODYS}");
                let absent = get(&world, Some(person), &absent, code).await.unwrap_err();
                assert_eq!(seen(&status).0, seen(&absent).0);
                assert_eq!(seen(&status).1, seen(&absent).1);
                return false;
            }
        }
        true
    };
    for (person, of_owned, of_shared) in
        [(&admin, true, true), (&one, true, false), (&two, false, false), (&customer, false, false)]
    {
        assert_eq!(sees(person, &owned, "").await, of_owned);
        assert_eq!(sees(person, &shared, "").await, of_shared);
        assert!(sees(person, &owned, &code(&owned)).await);
        assert!(sees(person, &shared, &code(&shared)).await);
        let list = listed(&world, person, true).await;
        assert_eq!(list.contains(&owned.name), of_owned);
        assert_eq!(list.contains(&shared.name), of_shared);
    }
    let half = code(&shared)[..12].to_owned();
    for wrong in [&code(&other), &half, &code(&shared).to_uppercase(), &format!("{half}\0")] {
        assert!(!sees(&customer, &shared, wrong).await, "{wrong}");
    }
    // Who offers it must know what they are booked for.
    let request = OfferAppointmentTypeRequest {
        appointment_type: shared.name.clone(),
        provider: two.provider(),
        ..Default::default()
    };
    world.catalogue().offer_appointment_type(admin.asks(request)).await.unwrap();
    assert!(sees(&two, &shared, "").await);
    assert!(listed(&world, &two, false).await.contains(&shared.name));
    assert!(!sees(&one, &shared, "").await);
}

async fn link_codes_differ_and_are_shown_to_those_who_manage_a_private_type(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let mut codes = Vec::new();
    for wanted in [private(own(&one)), private(own(&one)), own(&one)] {
        codes.push(create(&world, &one, wanted).await.unwrap());
    }
    let [first, second, public] = &codes[..] else { panic!() };
    assert_ne!(first.link_code, second.link_code);
    for code in [&first.link_code, &second.link_code] {
        // 18 random bytes.
        assert_eq!(code.len(), 24, "{code}");
        assert!(code.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{code}");
    }
    assert_eq!(public.link_code, "");
    let code = &first.link_code;
    for (person, shown) in [(&one, true), (&admin, true), (&two, false), (&customer, false)] {
        let found = get(&world, Some(person), &first.name, code).await.unwrap();
        assert_eq!(found.link_code, if shown { &**code } else { "" });
    }
    // It stays when a type is opened to all for a while.
    let public = AppointmentType { visibility: Visibility::Public.into(), ..first.clone() };
    let changed = update(&world, &one, public, &["visibility"]).await.unwrap();
    assert_eq!(changed.link_code, "");
    let hidden = private(AppointmentType { etag: String::new(), ..changed });
    let changed = update(&world, &one, hidden, &["visibility"]).await.unwrap();
    assert_eq!(&changed.link_code, code);
}

async fn a_type_is_changed_by_those_who_manage_it(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let shared = create(&world, &admin, plain()).await.unwrap();
    let owned = create(&world, &one, own(&one)).await.unwrap();
    let hidden = create(&world, &one, private(own(&one))).await.unwrap();
    let hidden_shared = create(&world, &admin, private(plain())).await.unwrap();
    let absent = format!("appointmentTypes/{NOBODYS}");
    let (not_allowed, not_found) = (Some("ROLE_NOT_ALLOWED"), Some("NOT_FOUND"));
    let rows = [
        (&shared.name, [None, not_allowed, not_allowed, not_allowed]),
        (&owned.name, [None, None, not_allowed, not_allowed]),
        (&hidden.name, [None, None, not_found, not_allowed]),
        (&hidden_shared.name, [None, not_found, not_found, not_allowed]),
        (&absent, [not_found, not_found, not_found, not_allowed]),
    ];
    for (name, wanted) in rows {
        for (person, wanted) in [&admin, &one, &two, &customer].into_iter().zip(wanted) {
            let change =
                AppointmentType { name: name.clone(), place: "Here".to_owned(), ..plain() };
            let before = world.state().await;
            let answers = [
                update(&world, person, change, &["place"]).await,
                archive(&world, person, name, true).await,
            ];
            for answer in answers {
                let reason = answer.err().map(|status| reason_of(&status));
                assert_eq!(reason.as_deref(), wanted, "{name} as {:?}", person.user.role());
            }
            assert_eq!(world.state().await == before, wanted.is_some());
            if wanted.is_none() {
                archive(&world, person, name, false).await.unwrap();
            }
        }
    }
    // The role of now counts: who is no provider any more manages nothing.
    let demoted = world.promote(&admin, &one, Role::Customer).await;
    refused(archive(&world, &demoted, &owned.name, true).await, "ROLE_NOT_ALLOWED");
    refused(get(&world, Some(&demoted), &hidden.name, "").await, "NOT_FOUND");
    let promoted = world.promote(&admin, &demoted, Role::Provider).await;
    archive(&world, &promoted, &owned.name, true).await.unwrap();
}

async fn only_what_the_mask_of_a_type_names_changes(world: World) {
    let admin = world.admin().await;
    let new = private(full());
    // Buffers, offset and notice fit what is there before, so that each can come alone.
    type Take = fn(&mut AppointmentType, &AppointmentType);
    let rows: [(&str, Take); 18] = [
        ("display_name", |to, from| to.display_name.clone_from(&from.display_name)),
        ("description", |to, from| to.description.clone_from(&from.description)),
        ("durations", |to, from| to.durations.clone_from(&from.durations)),
        ("buffer_before", |to, from| to.buffer_before = from.buffer_before),
        ("buffer_after", |to, from| to.buffer_after = from.buffer_after),
        ("slot_step", |to, from| to.slot_step = from.slot_step),
        ("grid_offset", |to, from| to.grid_offset = from.grid_offset),
        ("minimum_notice", |to, from| to.minimum_notice = from.minimum_notice),
        ("horizon", |to, from| to.horizon = from.horizon),
        ("limits", |to, from| to.limits = from.limits),
        ("cancel_cutoff", |to, from| to.cancel_cutoff = from.cancel_cutoff),
        ("reschedule_cutoff", |to, from| to.reschedule_cutoff = from.reschedule_cutoff),
        ("requires_approval", |to, from| to.requires_approval = from.requires_approval),
        ("request_expiry", |to, from| to.request_expiry = from.request_expiry),
        ("price", |to, from| to.price.clone_from(&from.price)),
        ("place", |to, from| to.place.clone_from(&from.place)),
        ("questions", |to, from| to.questions.clone_from(&from.questions)),
        ("visibility", |to, from| to.visibility = from.visibility),
    ];
    let mut expected = create(&world, &admin, plain()).await.unwrap();
    for (number, (field, take)) in (2..).zip(rows) {
        world.move_to(&format!("2026-11-22 14:{number:02}"), "Europe/Berlin");
        let wanted = AppointmentType { name: expected.name.clone(), ..new.clone() };
        let changed = update(&world, &admin, wanted, &[field]).await.unwrap();
        let before = expected.clone();
        take(&mut expected, &new);
        assert_ne!(expected, before, "{field}");
        assert_eq!(version(&changed.etag), number);
        expected.etag.clone_from(&changed.etag);
        expected.update_time.as_mut().unwrap().seconds = world.clock.now().timestamp();
        expected.link_code.clone_from(&changed.link_code);
        assert_eq!(changed, expected, "{field}");
    }
    assert!(!expected.link_code.is_empty());
    // With a star everything: back to plain, by rolling days this time.
    let back = AppointmentType {
        name: expected.name.clone(),
        horizon: Some(Horizon::RollingDays(0)),
        ..plain()
    };
    let changed = update(&world, &admin, back.clone(), &["*"]).await.unwrap();
    let told = AppointmentType {
        create_time: expected.create_time,
        update_time: changed.update_time,
        etag: changed.etag.clone(),
        request_expiry: mins(48 * 60),
        visibility: Visibility::Public.into(),
        ..back
    };
    assert_eq!((&changed, version(&told.etag)), (&told, 20));
    assert_eq!(get(&world, Some(&admin), &told.name, "").await.unwrap(), told);
}
