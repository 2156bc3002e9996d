//! How appointment types change, one after the other, and how they are listed meanwhile.

use daybook::grpc::proto::{
    auth::{DisableUserRequest, EnableUserRequest},
    booking::{
        AppointmentType, ArchiveAppointmentTypeRequest, BookingLimits, ListAppointmentTypesRequest,
        appointment_type::Horizon,
    },
};
use futures_util::future::join_all;
use tonic::Code;

use super::{
    behaviours,
    catalogue::{archive, create, full, get, listed, mins, own, plain, private, update},
};
use crate::support::{
    World,
    people::Person,
    refusal::{fields_of, invalid, refused},
    version,
};

behaviours!(
    a_change_is_checked_with_what_is_stored,
    a_type_is_changed_only_as_it_was_seen,
    an_archived_type_is_listed_no_more_and_comes_back,
    every_change_of_a_type_is_one_event,
    changes_of_a_type_at_once_come_one_by_one,
    the_owner_of_a_type_cannot_be_changed,
    a_type_of_a_provider_who_is_shut_out_is_listed_for_admins_only,
    types_are_listed_oldest_first_page_by_page,
    a_page_of_large_types_is_shorter_than_asked,
    booking_pages_show_types_to_everybody,
);

async fn a_change_is_checked_with_what_is_stored(world: World) {
    let admin = world.admin().await;
    let wanted = AppointmentType {
        grid_offset: mins(20),
        minimum_notice: mins(3 * 1440),
        horizon: Some(Horizon::RollingDays(3)),
        ..plain()
    };
    let made = create(&world, &admin, wanted.clone()).await.unwrap();
    let named = |change: AppointmentType| AppointmentType { name: made.name.clone(), ..change };
    let before = world.state().await;
    let rows = [
        // Each is fine by itself.
        ("slot_step", AppointmentType { slot_step: mins(20), ..wanted.clone() }, "grid_offset"),
        (
            "durations",
            AppointmentType { durations: vec![mins(15).unwrap()], ..wanted.clone() },
            "grid_offset",
        ),
        (
            "horizon",
            AppointmentType { horizon: Some(Horizon::RollingDays(1)), ..wanted.clone() },
            "minimum_notice",
        ),
        (
            "limits",
            AppointmentType {
                limits: Some(BookingLimits {
                    time_per_provider_week: mins(29),
                    ..Default::default()
                }),
                ..wanted.clone()
            },
            "durations[0]",
        ),
    ];
    for (field, change, told) in rows {
        let status =
            refused(update(&world, &admin, named(change), &[field]).await, "INVALID_FIELDS");
        assert_eq!(fields_of(&status), [format!("appointment_type.{told}")]);
    }
    assert_eq!(world.state().await, before);
    // What is not named is not looked at.
    let odd = AppointmentType { place: "Here".to_owned(), ..Default::default() };
    let changed = update(&world, &admin, named(odd), &["place"]).await.unwrap();
    assert_eq!(changed.place, "Here");
    assert_eq!(changed.display_name, made.display_name);
}

async fn a_type_is_changed_only_as_it_was_seen(world: World) {
    let admin = world.admin().await;
    let seen = create(&world, &admin, plain()).await.unwrap();
    let with = |etag: &str| AppointmentType { etag: etag.to_owned(), ..seen.clone() };
    let archived = async |etag: &str| {
        let (name, etag) = (seen.name.clone(), etag.to_owned());
        let request =
            ArchiveAppointmentTypeRequest { name, archived: true, etag, ..Default::default() };
        world.catalogue().archive_appointment_type(admin.asks(request)).await
    };
    let changed = update(&world, &admin, with(&seen.etag), &[]).await.unwrap();
    // The same values are a change all the same.
    assert_eq!(version(&changed.etag), 2);
    let before = world.state().await;
    // The same version of another history, and one from before there were stamps.
    let other = changed.etag.replace(&changed.etag[3..19], "0123456789abcdef");
    for stale in [&*seen.etag, &other, "\"2\"", "\"3\"", "\"0\""] {
        let status = refused(update(&world, &admin, with(stale), &[]).await, "ETAG_STALE");
        assert_eq!(status.code(), Code::Aborted);
        refused(archived(stale).await, "ETAG_STALE");
    }
    assert_eq!(world.state().await, before);
    archived(&changed.etag).await.unwrap();
    // Without an etag the last one wins.
    let changed = update(&world, &admin, with(""), &[]).await.unwrap();
    assert_eq!(version(&changed.etag), 4);
    assert!(changed.archived, "a change of the terms does not bring it back");
}

async fn an_archived_type_is_listed_no_more_and_comes_back(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let shared = create(&world, &admin, plain()).await.unwrap();
    let owned = create(&world, &one, own(&one)).await.unwrap();
    let hidden = create(&world, &one, private(own(&one))).await.unwrap();
    let all = [&shared, &owned, &hidden];
    for made in all {
        let gone = archive(&world, &admin, &made.name, true).await.unwrap();
        assert!(gone.archived);
    }
    for (person, with_archived) in [(&admin, 3), (&one, 2), (&two, 0), (&customer, 0)] {
        assert_eq!(listed(&world, person, false).await.len(), 0);
        let list = listed(&world, person, true).await;
        assert_eq!(list.len(), with_archived);
        assert_eq!(list.contains(&owned.name), with_archived > 0);
        // By name it is seen as before, by whom it was seen before.
        for made in [&shared, &owned] {
            assert!(get(&world, Some(person), &made.name, "").await.unwrap().archived);
        }
        let found = get(&world, Some(person), &hidden.name, "").await;
        assert_eq!(found.is_ok(), with_archived > 1);
        get(&world, Some(person), &hidden.name, &hidden.link_code).await.unwrap();
    }
    // Offerings stay, for when it comes back.
    assert_eq!(world.count("SELECT count(*) FROM offerings").await, 2);
    let back = archive(&world, &one, &owned.name, false).await.unwrap();
    assert!(!back.archived);
    assert_eq!(listed(&world, &customer, false).await, [owned.name]);
}

/// Events with gaps, or that do not end at the version of their type.
const WRONG: &str = "SELECT count(*) FROM appointment_types t LEFT JOIN (
        SELECT type_id, count(*) AS n, min(version) AS first, max(version) AS last
        FROM type_events GROUP BY type_id) e ON e.type_id = t.type_id
    WHERE e.n IS NULL OR e.first <> 1 OR e.last <> e.n OR e.last <> t.version";

async fn every_change_of_a_type_is_one_event(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let made = create(&world, &provider, own(&provider)).await.unwrap();
    let id = made.name.split_once('/').unwrap().1.replace('-', "");
    let actor = async |person: &Person, version: i64, kind: &str| {
        let hex = |id: &str| id.replace('-', "");
        let user = hex(person.user.name.trim_start_matches("users/"));
        let text = |column: &str| match world.engine {
            crate::support::Engine::Sqlite => format!("lower(hex({column}))"),
            crate::support::Engine::Postgres => format!("replace({column}::text, '-', '')"),
        };
        let sql = format!(
            "SELECT count(*) FROM type_events WHERE version = {version} AND kind = '{kind}'
                AND {} = '{id}' AND {} = '{user}'",
            text("type_id"),
            text("actor_id")
        );
        assert_eq!(world.count(&sql).await, 1, "{kind}");
    };
    actor(&provider, 1, "created").await;
    let change = AppointmentType { place: "Here".to_owned(), ..made.clone() };
    update(&world, &admin, change, &["place"]).await.unwrap();
    actor(&admin, 2, "changed").await;
    for (archived, version, kind) in [(true, 3, "archived"), (false, 4, "restored")] {
        archive(&world, &provider, &made.name, archived).await.unwrap();
        actor(&provider, version, kind).await;
        // Nothing is changed by saying it again.
        let before = world.state().await;
        let again = archive(&world, &admin, &made.name, archived).await.unwrap();
        assert_eq!(crate::support::version(&again.etag), version);
        assert_eq!(world.state().await, before);
    }
    // The time of the provider was changed by the offering only.
    assert_eq!(world.count("SELECT max(version) FROM providers").await, 2);
    assert_eq!(world.count("SELECT count(*) FROM type_events").await, 4);
    assert_eq!(world.count(WRONG).await, 0);
}

async fn changes_of_a_type_at_once_come_one_by_one(world: World) {
    let (admin, other) = (world.admin().await, world.beside().await);
    let made = create(&world, &admin, plain()).await.unwrap();
    let changes = (0..24).map(|number| {
        let server = if number % 2 == 0 { &world } else { &other };
        let change = AppointmentType { place: format!("Room {number}"), ..made.clone() };
        let change = AppointmentType { etag: String::new(), ..change };
        let admin = &admin;
        async move { update(server, admin, change, &["place"]).await.unwrap() }
    });
    let mut etags: Vec<i64> = join_all(changes)
        .await
        .iter()
        .map(|changed| crate::support::version(&changed.etag))
        .collect();
    etags.sort_unstable();
    assert_eq!(etags, (2..26).collect::<Vec<i64>>());
    assert_eq!(world.count(WRONG).await, 0);
    // Of those who saw the same version, one wins.
    let seen = get(&world, Some(&admin), &made.name, "").await.unwrap();
    let changes = (0..8).map(|_| update(&world, &admin, seen.clone(), &[]));
    let won = join_all(changes).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1);
    assert_eq!(world.count(WRONG).await, 0);
}

async fn the_owner_of_a_type_cannot_be_changed(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let admin = world.admin().await;
    let shared = create(&world, &admin, plain()).await.unwrap();
    let owned = create(&world, &one, own(&one)).await.unwrap();
    let before = world.state().await;
    for (made, owner) in [(&shared, one.provider()), (&owned, two.provider())] {
        let change = AppointmentType { owner, ..made.clone() };
        let status = refused(update(&world, &admin, change, &[]).await, "INVALID_FIELDS");
        assert_eq!(fields_of(&status), ["appointment_type.owner"]);
    }
    assert_eq!(world.state().await, before);
    // Told as it is, or not at all.
    let changed = update(&world, &one, owned.clone(), &[]).await.unwrap();
    let change = AppointmentType { owner: String::new(), etag: String::new(), ..changed };
    assert_eq!(update(&world, &one, change, &[]).await.unwrap().owner, one.provider());
}

async fn a_type_of_a_provider_who_is_shut_out_is_listed_for_admins_only(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let customer = world.customer().await;
    let owned = create(&world, &provider, own(&provider)).await.unwrap();
    assert_eq!(listed(&world, &customer, false).await, std::slice::from_ref(&owned.name));
    let shut = DisableUserRequest { name: provider.user.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(shut)).await.unwrap();
    assert!(listed(&world, &customer, false).await.is_empty());
    assert_eq!(listed(&world, &admin, false).await, std::slice::from_ref(&owned.name));
    let of = async |person: &Person| {
        let request =
            ListAppointmentTypesRequest { provider: provider.provider(), ..Default::default() };
        world.catalogue().list_appointment_types(person.asks(request)).await
    };
    refused(of(&customer).await, "NOT_FOUND");
    assert_eq!(of(&admin).await.unwrap().into_inner().appointment_types.len(), 1);
    let back = EnableUserRequest { name: provider.user.name.clone(), ..Default::default() };
    world.auth().enable_user(admin.asks(back)).await.unwrap();
    assert_eq!(listed(&world, &customer, false).await, [owned.name]);
}

/// All pages of a list.
async fn pages(
    world: &World,
    caller: &Person,
    mut request: ListAppointmentTypesRequest,
) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let answer = world.catalogue().list_appointment_types(caller.asks(request.clone())).await;
        let page = answer.unwrap().into_inner();
        assert!(page.appointment_types.len() <= usize::try_from(request.page_size).unwrap());
        found.extend(page.appointment_types.into_iter().map(|each| each.name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return found;
        }
    }
}

async fn types_are_listed_oldest_first_page_by_page(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let (mut all, mut of_one) = (Vec::new(), Vec::new());
    for number in 0..9 {
        // In the order of the clock.
        world.move_to(&format!("2026-11-22 14:0{number}"), "Europe/Berlin");
        let wanted = match number % 3 {
            0 => plain(),
            1 => own(&one),
            _ => own(&two),
        };
        let made = create(&world, &admin, wanted).await.unwrap().name;
        if number % 3 == 1 {
            of_one.push(made.clone());
        }
        all.push(made);
    }
    // What does not belong there, in the middle.
    create(&world, &one, private(own(&one))).await.unwrap();
    let gone = create(&world, &admin, own(&one)).await.unwrap();
    archive(&world, &admin, &gone.name, true).await.unwrap();
    for page_size in [1, 2, 4, 8, 9, 10] {
        let request = ListAppointmentTypesRequest { page_size, ..Default::default() };
        assert_eq!(pages(&world, &customer, request.clone()).await, all, "{page_size}");
        let request = ListAppointmentTypesRequest { provider: one.provider(), ..request };
        assert_eq!(pages(&world, &customer, request).await, of_one, "{page_size}");
    }
    // A token is good for its own list and its own caller.
    let request = ListAppointmentTypesRequest { page_size: 2, ..Default::default() };
    let ask = async |caller: &Person, request: ListAppointmentTypesRequest| {
        world.catalogue().list_appointment_types(caller.asks(request)).await
    };
    let page_token = ask(&customer, request.clone()).await.unwrap().into_inner().next_page_token;
    let next = ListAppointmentTypesRequest { page_token, ..request };
    ask(&customer, ListAppointmentTypesRequest { page_size: 5, ..next.clone() }).await.unwrap();
    invalid(ask(&admin, next.clone()).await, &["page_token"]);
    let other = ListAppointmentTypesRequest { provider: one.provider(), ..next.clone() };
    invalid(ask(&customer, other).await, &["page_token"]);
    let other = ListAppointmentTypesRequest { show_archived: true, ..next };
    invalid(ask(&customer, other).await, &["page_token"]);
    let nobody = ListAppointmentTypesRequest {
        provider: format!("providers/{}", super::catalogue::NOBODYS),
        ..Default::default()
    };
    refused(ask(&admin, nobody.clone()).await, "NOT_FOUND");
    refused(ask(&customer, nobody).await, "NOT_FOUND");
}

async fn a_page_of_large_types_is_shorter_than_asked(world: World) {
    let admin = world.admin().await;
    // Nearly as large as a request can be.
    let choices: Vec<String> = (0..50).map(|n| format!("{n:02}{}", "x".repeat(198))).collect();
    let large = AppointmentType {
        questions: (0..5)
            .map(|n| daybook::grpc::proto::booking::IntakeQuestion {
                id: format!("q{n}"),
                choices: choices.clone(),
                ..full().questions[2].clone()
            })
            .collect(),
        ..plain()
    };
    for _ in 0..45 {
        create(&world, &admin, large.clone()).await.unwrap();
    }
    let request = ListAppointmentTypesRequest { page_size: 500, ..Default::default() };
    let answer = world.catalogue().list_appointment_types(admin.asks(request.clone())).await;
    let page = answer.unwrap().into_inner();
    assert!(!page.next_page_token.is_empty());
    assert!((30..45).contains(&page.appointment_types.len()));
    let mut all = pages(&world, &admin, request).await;
    assert_eq!(all.len(), 45);
    all.dedup();
    assert_eq!(all.len(), 45);
}

async fn booking_pages_show_types_to_everybody(world: World) {
    let open = World::with(world.engine, &[("server.public_booking_pages", "true")]).await;
    let admin = open.admin().await;
    let public = create(&open, &admin, full()).await.unwrap();
    let hidden = create(&open, &admin, private(plain())).await.unwrap();
    let request = ListAppointmentTypesRequest::default();
    let page = open.catalogue().list_appointment_types(request).await.unwrap().into_inner();
    assert_eq!(page.appointment_types, std::slice::from_ref(&public));
    assert_eq!(get(&open, None, &public.name, "").await.unwrap(), public);
    refused(get(&open, None, &hidden.name, "").await, "NOT_FOUND");
    let found = get(&open, None, &hidden.name, &hidden.link_code).await.unwrap();
    assert_eq!((found.name, &*found.link_code), (hidden.name.clone(), ""));
    assert_eq!(found.visibility, hidden.visibility);
    // Where they are shut, nobody without a token.
    refused(get(&world, None, &public.name, "").await, "NOT_AUTHENTICATED");
}
