//! Offerings: who offers what by which hours, who says so, and who sees it.

use daybook::grpc::proto::{
    auth::DisableUserRequest,
    booking::{
        AppointmentType, ListOfferingsRequest, ListOfferingsResponse, OfferAppointmentTypeRequest,
        Offering, WithdrawAppointmentTypeRequest,
    },
};
use futures_util::future::join_all;
use tonic::{Response, Status};

use super::{
    behaviours,
    catalogue::{NOBODYS, archive, create, own, plain, private},
    schedules::schedule_of,
};
use crate::support::{
    World, berlin,
    people::Person,
    raw::seen,
    refusal::{fields_of, invalid, refused},
    version,
};

behaviours!(
    admins_let_anybody_offer_shared_types,
    an_own_type_is_offered_by_its_owner_only,
    what_cannot_be_seen_cannot_be_offered,
    an_offering_names_a_schedule_of_its_provider,
    an_offering_as_it_is_changes_nothing,
    what_is_not_offered_cannot_be_withdrawn,
    an_offering_is_a_version_of_the_schedule,
    offerings_at_once_come_one_by_one,
    offerings_are_listed_to_those_who_see_the_type,
    offerings_of_a_provider_who_is_shut_out_are_for_admins_only,
    offerings_are_listed_oldest_first_page_by_page,
    booking_pages_show_offerings_to_everybody,
);

pub(super) fn offering(of: &AppointmentType, provider: &Person) -> OfferAppointmentTypeRequest {
    OfferAppointmentTypeRequest {
        appointment_type: of.name.clone(),
        provider: provider.provider(),
        ..Default::default()
    }
}

async fn offer(
    world: &World,
    caller: &Person,
    of: &AppointmentType,
    provider: &Person,
) -> Result<Offering, Status> {
    let request = caller.asks(offering(of, provider));
    let answer = world.catalogue().offer_appointment_type(request).await?;
    Ok(answer.into_inner().offering.unwrap())
}

pub(super) async fn withdraw(
    world: &World,
    caller: &Person,
    of: &AppointmentType,
    provider: &Person,
) -> Result<(), Status> {
    let request = WithdrawAppointmentTypeRequest {
        appointment_type: of.name.clone(),
        provider: provider.provider(),
        ..Default::default()
    };
    world.catalogue().withdraw_appointment_type(caller.asks(request)).await.map(drop)
}

fn told(of: &AppointmentType, provider: &Person) -> Offering {
    Offering {
        appointment_type: of.name.clone(),
        provider: provider.provider(),
        schedule: provider.schedule(),
        provider_display_name: provider.user.display_name.clone(),
    }
}

async fn list(
    world: &World,
    caller: &Person,
    request: ListOfferingsRequest,
) -> Result<Response<ListOfferingsResponse>, Status> {
    world.catalogue().list_offerings(caller.asks(request)).await
}

pub(super) async fn of_type(world: &World, caller: &Person, of: &AppointmentType) -> Vec<Offering> {
    let request = ListOfferingsRequest { appointment_type: of.name.clone(), ..Default::default() };
    list(world, caller, request).await.unwrap().into_inner().offerings
}

async fn of_provider(world: &World, caller: &Person, provider: &Person) -> Vec<Offering> {
    let request = ListOfferingsRequest { provider: provider.provider(), ..Default::default() };
    list(world, caller, request).await.unwrap().into_inner().offerings
}

async fn shut_out(world: &World, admin: &Person, person: &Person) {
    let request = DisableUserRequest { name: person.user.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
}

async fn admins_let_anybody_offer_shared_types(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let shared = create(&world, &admin, plain()).await.unwrap();
    let before = world.state().await;
    for caller in [&one, &admin] {
        // Somebody who is no provider, and nobody.
        refused(offer(&world, caller, &shared, &customer).await, "NOT_FOUND");
        let nobody = OfferAppointmentTypeRequest {
            provider: format!("providers/{NOBODYS}"),
            ..offering(&shared, &one)
        };
        let answer = world.catalogue().offer_appointment_type(caller.asks(nobody)).await;
        refused(answer, "NOT_FOUND");
    }
    // Another provider looks like none.
    refused(offer(&world, &one, &shared, &two).await, "NOT_FOUND");
    refused(withdraw(&world, &one, &shared, &two).await, "NOT_FOUND");
    for provider in [&customer, &one] {
        refused(offer(&world, &customer, &shared, provider).await, "ROLE_NOT_ALLOWED");
        refused(withdraw(&world, &customer, &shared, provider).await, "ROLE_NOT_ALLOWED");
    }
    assert_eq!(world.state().await, before);
    assert_eq!(offer(&world, &admin, &shared, &one).await.unwrap(), told(&shared, &one));
    assert_eq!(offer(&world, &admin, &shared, &two).await.unwrap(), told(&shared, &two));
    // Each withdraws what was said by the other.
    withdraw(&world, &admin, &shared, &one).await.unwrap();
    withdraw(&world, &two, &shared, &two).await.unwrap();
    assert!(of_type(&world, &admin, &shared).await.is_empty());
    shut_out(&world, &admin, &two).await;
    refused(offer(&world, &admin, &shared, &two).await, "NOT_FOUND");
}

async fn an_own_type_is_offered_by_its_owner_only(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let admin = world.admin().await;
    let owned = create(&world, &one, own(&one)).await.unwrap();
    let before = world.state().await;
    for caller in [&two, &admin] {
        let status = refused(offer(&world, caller, &owned, &two).await, "INVALID_FIELDS");
        assert_eq!(fields_of(&status), ["provider"]);
    }
    assert_eq!(world.state().await, before);
    withdraw(&world, &one, &owned, &one).await.unwrap();
    for caller in [&one, &admin] {
        offer(&world, caller, &owned, &one).await.unwrap();
    }
    assert_eq!(of_type(&world, &two, &owned).await, [told(&owned, &one)]);
}

async fn what_cannot_be_seen_cannot_be_offered(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let admin = world.admin().await;
    let owned = create(&world, &one, private(own(&one))).await.unwrap();
    let shared = create(&world, &admin, private(plain())).await.unwrap();
    let absent = AppointmentType { name: format!("appointmentTypes/{NOBODYS}"), ..plain() };
    let before = world.state().await;
    let missing = refused(offer(&world, &two, &absent, &two).await, "NOT_FOUND");
    for hidden in [&owned, &shared] {
        let status = refused(offer(&world, &two, hidden, &two).await, "NOT_FOUND");
        assert_eq!((seen(&status).0, seen(&status).1), (seen(&missing).0, seen(&missing).1));
    }
    refused(offer(&world, &admin, &absent, &two).await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
    // Once it was assigned, it is known.
    offer(&world, &admin, &shared, &two).await.unwrap();
    offer(&world, &two, &shared, &two).await.unwrap();
    withdraw(&world, &two, &shared, &two).await.unwrap();
    refused(offer(&world, &two, &shared, &two).await, "NOT_FOUND");
}

async fn an_offering_names_a_schedule_of_its_provider(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let admin = world.admin().await;
    let shared = create(&world, &admin, plain()).await.unwrap();
    let ask = async |schedule: &str| {
        let request = OfferAppointmentTypeRequest {
            schedule: schedule.to_owned(),
            ..offering(&shared, &one)
        };
        world.catalogue().offer_appointment_type(admin.asks(request)).await
    };
    let before = world.state().await;
    let id = one.provider();
    for bad in [
        &two.schedule(),
        &format!("{}/schedules/evenings", two.provider()),
        &id,
        &format!("{id}/schedules"),
        &format!("{id}/schedules/"),
        &format!("{id}/schedules/Evenings"),
        &format!("{id}/schedules/1"),
        &format!("{id}/schedules/{}", "x".repeat(41)),
        &format!("{id}/schedule\0"),
        "evenings",
        &"x".repeat(60 * 1024),
    ] {
        invalid(ask(bad).await, &["schedule"]);
    }
    let absent = refused(ask(&format!("{id}/schedules/evenings")).await, "NOT_FOUND");
    assert!(format!("{:?}", absent.details()).len() > 2);
    assert_eq!(world.state().await, before);
    let given = ask(&one.schedule()).await.unwrap().into_inner().offering;
    assert_eq!(given, Some(told(&shared, &one)));
    let after = world.state().await;
    // Nothing means the same.
    ask("").await.unwrap();
    assert_eq!(world.state().await, after);
}

async fn an_offering_as_it_is_changes_nothing(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let shared = create(&world, &admin, plain()).await.unwrap();
    offer(&world, &admin, &shared, &provider).await.unwrap();
    let schedule = schedule_of(&world, &provider).await;
    let before = world.state().await;
    for caller in [&provider, &admin] {
        let again = offer(&world, caller, &shared, &provider).await.unwrap();
        assert_eq!(again, told(&shared, &provider));
    }
    assert_eq!(world.state().await, before);
    assert_eq!(schedule_of(&world, &provider).await, schedule);
}

async fn what_is_not_offered_cannot_be_withdrawn(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let shared = create(&world, &admin, plain()).await.unwrap();
    let hidden = create(&world, &admin, private(plain())).await.unwrap();
    let absent = AppointmentType { name: format!("appointmentTypes/{NOBODYS}"), ..plain() };
    let before = world.state().await;
    for caller in [&provider, &admin] {
        for of in [&shared, &hidden, &absent] {
            refused(withdraw(&world, caller, of, &provider).await, "NOT_FOUND");
        }
    }
    assert_eq!(world.state().await, before);
    offer(&world, &admin, &shared, &provider).await.unwrap();
    withdraw(&world, &provider, &shared, &provider).await.unwrap();
    refused(withdraw(&world, &provider, &shared, &provider).await, "NOT_FOUND");
    // Also of somebody who cannot be booked at present.
    offer(&world, &admin, &shared, &provider).await.unwrap();
    shut_out(&world, &admin, &provider).await;
    withdraw(&world, &admin, &shared, &provider).await.unwrap();
}

async fn an_offering_is_a_version_of_the_schedule(world: World) {
    let other = world.beside().await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let admin = world.admin().await;
    let shared = create(&world, &admin, plain()).await.unwrap();
    let book = async |server: &World, from: &str, until: &str| {
        let (from, until) = (format!("2026-11-23 {from}"), format!("2026-11-23 {until}"));
        server.book(&customer, &provider, berlin(&from), berlin(&until)).await.unwrap();
    };
    book(&world, "09:00", "09:30").await;
    book(&other, "09:30", "10:00").await;
    world.move_to("2026-11-22 20:00", "Europe/Berlin");
    offer(&world, &admin, &shared, &provider).await.unwrap();
    let schedule = schedule_of(&world, &provider).await;
    assert_eq!(version(&schedule.etag), 4);
    assert_eq!(schedule.update_time.unwrap().seconds, world.clock.now().timestamp());
    // Who remembers the schedule reads it anew, and books on.
    for (server, from, until) in [(&world, "10:00", "10:30"), (&other, "10:30", "11:00")] {
        book(server, from, until).await;
    }
    withdraw(&other, &admin, &shared, &provider).await.unwrap();
    assert_eq!(version(&schedule_of(&world, &provider).await.etag), 7);
    book(&world, "11:00", "11:30").await;
    let kinds = "SELECT count(*) FROM events WHERE kind = 'offering_changed' AND version = 4
        OR kind = 'offering_withdrawn' AND version = 7";
    assert_eq!(world.count(kinds).await, 2);
    crate::support::books::check(&world.sql().await).await;
}

async fn offerings_at_once_come_one_by_one(world: World) {
    let (other, provider, admin) =
        (world.beside().await, world.provider().await, world.admin().await);
    let mut types = Vec::new();
    for _ in 0..6 {
        types.push(create(&world, &admin, plain()).await.unwrap());
    }
    let acts = (0..24).map(|number| {
        let server = if number % 2 == 0 { &world } else { &other };
        let (of, admin, provider) = (&types[number % 6], &admin, &provider);
        async move { offer(server, admin, of, provider).await.unwrap() }
    });
    join_all(acts).await;
    assert_eq!(world.count("SELECT count(*) FROM offerings").await, 6);
    let events = "SELECT count(*) FROM events WHERE kind = 'offering_changed'";
    assert_eq!(world.count(events).await, 6);
    let acts = (0..12).map(|number| withdraw(&world, &admin, &types[number % 6], &provider));
    let done = join_all(acts).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(done, 6);
    let mut own_types =
        (0..6).map(|_| create(&world, &provider, own(&provider))).collect::<Vec<_>>();
    own_types.push(create(&other, &admin, own(&provider)));
    assert!(join_all(own_types).await.into_iter().all(|made| made.is_ok()));
    crate::support::books::check(&world.sql().await).await;
}

async fn offerings_are_listed_to_those_who_see_the_type(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let shared = create(&world, &admin, plain()).await.unwrap();
    let hidden = create(&world, &admin, private(plain())).await.unwrap();
    let gone = create(&world, &one, own(&one)).await.unwrap();
    archive(&world, &one, &gone.name, true).await.unwrap();
    for provider in [&one, &two] {
        offer(&world, &admin, &shared, provider).await.unwrap();
    }
    offer(&world, &admin, &hidden, &one).await.unwrap();
    for (person, knows) in [(&admin, true), (&one, true), (&two, false), (&customer, false)] {
        assert_eq!(of_type(&world, person, &shared).await.len(), 2);
        let all = of_provider(&world, person, &one).await;
        assert_eq!(all.len(), if knows { 3 } else { 1 });
        assert!(all.contains(&told(&shared, &one)));
        let request =
            ListOfferingsRequest { appointment_type: hidden.name.clone(), ..Default::default() };
        let with_code =
            ListOfferingsRequest { link_code: hidden.link_code.clone(), ..request.clone() };
        let wrong = ListOfferingsRequest { link_code: "x".to_owned(), ..request.clone() };
        for closed in [request, wrong] {
            let answer = list(&world, person, closed).await;
            assert_eq!(answer.is_ok(), knows);
            if !knows {
                refused(answer, "NOT_FOUND");
            }
        }
        let open = list(&world, person, with_code.clone()).await.unwrap().into_inner();
        assert_eq!(open.offerings, [told(&hidden, &one)]);
        // Both together: whether somebody offers it.
        for (provider, count) in [(&one, 1), (&two, 0)] {
            let both = ListOfferingsRequest { provider: provider.provider(), ..with_code.clone() };
            let found = list(&world, person, both).await.unwrap().into_inner();
            assert_eq!(found.offerings.len(), count);
        }
        // By name an archived one is seen as before.
        assert_eq!(of_type(&world, person, &gone).await, [told(&gone, &one)]);
    }
    let absent = AppointmentType { name: format!("appointmentTypes/{NOBODYS}"), ..plain() };
    let request =
        ListOfferingsRequest { appointment_type: absent.name.clone(), ..Default::default() };
    refused(list(&world, &admin, request).await, "NOT_FOUND");
    for provider in [customer.provider(), format!("providers/{NOBODYS}")] {
        let request = ListOfferingsRequest { provider, ..Default::default() };
        refused(list(&world, &admin, request.clone()).await, "NOT_FOUND");
        refused(list(&world, &customer, request).await, "NOT_FOUND");
    }
}

async fn offerings_of_a_provider_who_is_shut_out_are_for_admins_only(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let shared = create(&world, &admin, plain()).await.unwrap();
    for provider in [&one, &two] {
        offer(&world, &admin, &shared, provider).await.unwrap();
    }
    shut_out(&world, &admin, &one).await;
    assert_eq!(of_type(&world, &customer, &shared).await, [told(&shared, &two)]);
    assert_eq!(of_type(&world, &admin, &shared).await.len(), 2);
    let request = ListOfferingsRequest { provider: one.provider(), ..Default::default() };
    refused(list(&world, &customer, request).await, "NOT_FOUND");
    assert_eq!(of_provider(&world, &admin, &one).await, [told(&shared, &one)]);
}

async fn offerings_are_listed_oldest_first_page_by_page(world: World) {
    let admin = world.admin().await;
    let (first, second) = (world.provider().await, world.provider().await);
    let shared = create(&world, &admin, plain()).await.unwrap();
    let mut expected = Vec::new();
    for number in 0..7 {
        // Some at the same moment.
        world.move_to(&format!("2026-11-22 14:0{}", number / 2), "Europe/Berlin");
        let of = create(&world, &admin, plain()).await.unwrap();
        offer(&world, &admin, &of, &first).await.unwrap();
        offer(&world, &admin, &of, &second).await.unwrap();
        expected.push((number / 2, told(&of, &first)));
    }
    expected.sort_by_key(|(moment, each)| (*moment, each.appointment_type.clone()));
    let expected: Vec<Offering> = expected.into_iter().map(|(_, each)| each).collect();
    for page_size in [1, 2, 3, 7, 8] {
        let request =
            ListOfferingsRequest { provider: first.provider(), page_size, ..Default::default() };
        let (mut found, mut next) = (Vec::new(), request);
        loop {
            let page = list(&world, &admin, next.clone()).await.unwrap().into_inner();
            assert!(page.offerings.len() <= usize::try_from(page_size).unwrap());
            found.extend(page.offerings);
            next.page_token = page.next_page_token;
            if next.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "{page_size}");
    }
    let request =
        ListOfferingsRequest { provider: first.provider(), page_size: 2, ..Default::default() };
    let page_token = list(&world, &admin, request.clone()).await.unwrap().into_inner();
    let next = ListOfferingsRequest { page_token: page_token.next_page_token, ..request };
    invalid(list(&world, &first, next.clone()).await, &["page_token"]);
    let other = ListOfferingsRequest { provider: second.provider(), ..next.clone() };
    invalid(list(&world, &admin, other).await, &["page_token"]);
    let other = ListOfferingsRequest { appointment_type: shared.name, ..next };
    invalid(list(&world, &admin, other).await, &["page_token"]);
}

async fn booking_pages_show_offerings_to_everybody(world: World) {
    let open = World::with(world.engine, &[("server.public_booking_pages", "true")]).await;
    let (provider, admin) = (open.provider().await, open.admin().await);
    let shared = create(&open, &provider, own(&provider)).await.unwrap();
    let hidden = create(&open, &provider, private(own(&provider))).await.unwrap();
    let ask = async |request: ListOfferingsRequest| open.catalogue().list_offerings(request).await;
    let by = ListOfferingsRequest { provider: provider.provider(), ..Default::default() };
    assert_eq!(ask(by).await.unwrap().into_inner().offerings, [told(&shared, &provider)]);
    let of = ListOfferingsRequest { appointment_type: hidden.name.clone(), ..Default::default() };
    refused(ask(of.clone()).await, "NOT_FOUND");
    let of = ListOfferingsRequest { link_code: hidden.link_code.clone(), ..of };
    assert_eq!(ask(of.clone()).await.unwrap().into_inner().offerings, [told(&hidden, &provider)]);
    shut_out(&open, &admin, &provider).await;
    assert!(ask(of).await.unwrap().into_inner().offerings.is_empty());
}
