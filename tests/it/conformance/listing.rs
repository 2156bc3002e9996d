//! Lists: whose, which, and page by page; and what callers without a token may see.

use daybook::grpc::{
    policy::{Access, TABLE},
    proto::{
        auth::{ListUsersRequest, Role},
        booking::{
            Appointment, CancelAppointmentRequest, CompleteAppointmentRequest,
            ListAppointmentsRequest, ListAppointmentsResponse, ListProvidersRequest,
            appointment::State,
        },
    },
};
use prost_types::Timestamp;
use tonic::{Response, Status};

use super::behaviours;
use crate::support::{
    World, berlin,
    people::Person,
    raw::{authorized, seen, unary},
    refusal::{invalid, reason_of, refused},
};

behaviours!(
    everybody_lists_their_own_and_admins_all,
    lists_are_narrowed_by_state_and_range,
    pages_give_the_whole_list_while_it_grows,
    pages_give_the_whole_list_where_starts_are_equal,
    a_page_token_is_good_for_its_own_list_only,
    pages_have_fifty_unless_asked_and_at_most_five_hundred,
    bad_lists_are_told_by_field,
    providers_are_listed_oldest_first_page_by_page,
    booking_pages_are_open_only_where_it_is_set,
);

type Answer = Result<Response<ListAppointmentsResponse>, Status>;

async fn ask(world: &World, caller: &Person, request: ListAppointmentsRequest) -> Answer {
    world.booking().list_appointments(caller.asks(request)).await
}

async fn names(world: &World, caller: &Person, request: ListAppointmentsRequest) -> Vec<String> {
    let answer = ask(world, caller, request).await.unwrap().into_inner();
    answer.appointments.into_iter().map(|appointment| appointment.name).collect()
}

/// All pages of a list; `between` runs after each but the last.
async fn pages(
    world: &World,
    caller: &Person,
    request: ListAppointmentsRequest,
    mut between: impl AsyncFnMut(),
) -> Vec<Appointment> {
    let (mut found, mut request) = (Vec::new(), request);
    loop {
        let page = ask(world, caller, request.clone()).await.unwrap().into_inner();
        let size = usize::try_from(request.page_size).unwrap();
        assert!(page.appointments.len() <= size);
        found.extend(page.appointments);
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
        between().await;
    }
}

fn day(day: u32, time: &str) -> Timestamp {
    berlin(&format!("2026-11-{day} {time}"))
}

/// Books half an hour on a day from this hour on.
async fn book(
    world: &World,
    customer: &Person,
    provider: &Person,
    date: u32,
    hour: u32,
) -> Appointment {
    let (start, end) = (day(date, &format!("{hour:02}:00")), day(date, &format!("{hour:02}:30")));
    world.book(customer, provider, start, end).await.unwrap()
}

async fn everybody_lists_their_own_and_admins_all(world: World) {
    let (one, two, admin) = (world.provider().await, world.provider().await, world.admin().await);
    let (ada, ben) = (world.customer().await, world.customer().await);
    let a = book(&world, &ada, &one, 23, 10).await.name;
    let b = book(&world, &ben, &one, 23, 11).await.name;
    let c = book(&world, &ada, &two, 23, 12).await.name;
    let d = book(&world, &one, &two, 23, 13).await.name;
    let mine = ListAppointmentsRequest::default();
    let of = |provider: Option<&Person>, customer: Option<&Person>| ListAppointmentsRequest {
        provider: provider.map(Person::provider).unwrap_or_default(),
        customer: customer.map(|c| c.user.name.clone()).unwrap_or_default(),
        ..Default::default()
    };
    assert_eq!(names(&world, &ada, mine.clone()).await, [&*a, &c]);
    assert_eq!(names(&world, &ada, of(None, Some(&ada))).await, [&*a, &c]);
    assert_eq!(names(&world, &ada, of(Some(&one), Some(&ada))).await, [&*a]);
    // A provider without a filter lists what it booked itself.
    assert_eq!(names(&world, &one, mine.clone()).await, [&*d]);
    assert_eq!(names(&world, &one, of(Some(&one), None)).await, [&*a, &b]);
    assert_eq!(names(&world, &one, of(Some(&one), Some(&ben))).await, [&*b]);
    assert_eq!(names(&world, &two, mine.clone()).await, Vec::<String>::new());
    assert_eq!(names(&world, &admin, mine.clone()).await, [&*a, &b, &c, &d]);
    assert_eq!(names(&world, &admin, of(Some(&two), None)).await, [&*c, &d]);
    assert_eq!(names(&world, &admin, of(None, Some(&ada))).await, [&*a, &c]);
    assert_eq!(names(&world, &admin, of(Some(&two), Some(&ben))).await, Vec::<String>::new());
    // Somebody else's is as if there were nobody of that name.
    let absent = "01980000-0000-7000-8000-000000000000";
    for (caller, provider, customer) in [
        (&ada, Some(&one), None),
        (&ada, None, Some(&ben)),
        (&ada, Some(&one), Some(&ben)),
        (&one, Some(&two), None),
        (&two, None, Some(&ada)),
    ] {
        let foreign = of(provider, customer);
        let mut missing = foreign.clone();
        for name in [&mut missing.provider, &mut missing.customer] {
            if let Some((kind, _)) = name.split_once('/') {
                *name = format!("{kind}/{absent}");
            }
        }
        let foreign = ask(&world, caller, foreign).await.unwrap_err();
        let missing = ask(&world, caller, missing).await.unwrap_err();
        assert_eq!(reason_of(&foreign), "NOT_FOUND");
        assert_eq!((seen(&foreign).0, seen(&foreign).1), (seen(&missing).0, seen(&missing).1));
    }
}

async fn lists_are_narrowed_by_state_and_range(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    world.move_to("2026-11-22 21:00", "Europe/Berlin");
    let (provider, customer) =
        (world.log_in(&provider.user.email).await, world.log_in(&customer.user.email).await);
    let mut all = Vec::new();
    for hour in 9..14 {
        all.push(book(&world, &customer, &provider, 23, hour).await.name);
    }
    let request = CancelAppointmentRequest { name: all[1].clone(), ..Default::default() };
    world.booking().cancel_appointment(customer.asks(request)).await.unwrap();
    world.move_to("2026-11-23 12:00", "Europe/Berlin");
    let request = CompleteAppointmentRequest { name: all[2].clone(), ..Default::default() };
    world.booking().complete_appointment(provider.asks(request)).await.unwrap();
    let in_states = async |states: &[State]| {
        let states = states.iter().map(|state| i32::from(*state)).collect();
        let request = ListAppointmentsRequest { states, ..Default::default() };
        names(&world, &customer, request).await
    };
    assert_eq!(in_states(&[]).await, all);
    assert_eq!(in_states(&[State::Booked]).await, [&*all[0], &all[3], &all[4]]);
    assert_eq!(in_states(&[State::Cancelled]).await, [&*all[1]]);
    assert_eq!(in_states(&[State::Completed]).await, [&*all[2]]);
    assert_eq!(in_states(&[State::Completed, State::Cancelled]).await, [&*all[1], &all[2]]);
    assert_eq!(in_states(&[State::Cancelled; 16]).await, [&*all[1]]);
    let between = async |from: Option<&str>, until: Option<&str>| {
        let request = ListAppointmentsRequest {
            start_time: from.map(|time| day(23, time)),
            end_time: until.map(|time| day(23, time)),
            ..Default::default()
        };
        names(&world, &customer, request).await
    };
    // Half-open at both ends, and what reaches into the range belongs to it.
    assert_eq!(between(Some("10:30"), None).await, all[2..]);
    assert_eq!(between(Some("10:29:59"), None).await, all[1..]);
    assert_eq!(between(None, Some("11:00")).await, all[..2]);
    assert_eq!(between(None, Some("11:00:01")).await, all[..3]);
    assert_eq!(between(Some("11:10"), Some("11:20")).await, all[2..3]);
    assert_eq!(between(Some("11:30"), Some("12:00")).await, Vec::<String>::new());
}

async fn pages_give_the_whole_list_while_it_grows(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let mut all = Vec::new();
    for (date, hour) in [(23, 9), (23, 11), (24, 9), (24, 15), (25, 9), (26, 9), (27, 16)] {
        all.push(book(&world, &customer, &provider, date, hour).await);
    }
    let mut later = (23..28).flat_map(|date| [10, 12, 14].map(|hour| (date, hour))).cycle();
    for size in 1..=8 {
        let request = ListAppointmentsRequest { page_size: size, ..Default::default() };
        // After each page one more is booked, before or behind the place where the list is read.
        let grow = async || {
            let (date, hour) = later.next().unwrap();
            let (start, end) = (day(date, &format!("{hour}:00")), day(date, &format!("{hour}:30")));
            let made = world.book(&customer, &provider, start, end).await;
            // The days have come round: then it stands there already.
            assert!(made.as_ref().err().is_none_or(|status| reason_of(status) == "SLOT_TAKEN"));
        };
        let found = pages(&world, &customer, request, grow).await;
        let order: Vec<_> =
            found.iter().map(|a| (a.start_time.unwrap().seconds, a.name.clone())).collect();
        assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "in order and none twice");
        let stayed: Vec<_> = found.into_iter().filter(|a| all.contains(a)).collect();
        assert_eq!(stayed, all, "in pages of {size}");
    }
}

async fn pages_give_the_whole_list_where_starts_are_equal(world: World) {
    let admin = world.admin().await;
    let mut all = Vec::new();
    for _ in 0..5 {
        let (provider, customer) = (world.provider().await, world.customer().await);
        all.push(book(&world, &customer, &provider, 23, 9).await);
        all.push(book(&world, &customer, &provider, 23, 10).await);
    }
    let id = |a: &Appointment| a.name.rsplit('/').next().unwrap().to_owned();
    all.sort_by_key(|a| (a.start_time.unwrap().seconds, id(a)));
    for size in 1..=11 {
        let request = ListAppointmentsRequest { page_size: size, ..Default::default() };
        let found = pages(&world, &admin, request, async || {}).await;
        assert_eq!(found, all, "in pages of {size}");
    }
}

async fn a_page_token_is_good_for_its_own_list_only(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let second = world.promote(&admin, &world.customer().await, Role::Admin).await;
    world.provider().await;
    for hour in 9..12 {
        book(&world, &customer, &provider, 23, hour).await;
    }
    let first = ListAppointmentsRequest { page_size: 1, ..Default::default() };
    let page = ask(&world, &customer, first.clone()).await.unwrap().into_inner();
    let token = page.next_page_token;
    let with =
        |token: &str| ListAppointmentsRequest { page_token: token.to_owned(), ..first.clone() };
    ask(&world, &customer, with(&token)).await.unwrap();
    // Another size is the same query.
    let more = ListAppointmentsRequest { page_size: 7, ..with(&token) };
    assert_eq!(ask(&world, &customer, more).await.unwrap().into_inner().appointments.len(), 2);
    // Another query.
    for other in [
        ListAppointmentsRequest { states: vec![State::Booked.into()], ..with(&token) },
        ListAppointmentsRequest { customer: customer.user.name.clone(), ..with(&token) },
        ListAppointmentsRequest { start_time: Some(day(23, "09:00")), ..with(&token) },
        ListAppointmentsRequest { end_time: Some(day(24, "09:00")), ..with(&token) },
        ListAppointmentsRequest {
            provider: provider.provider(),
            customer: customer.user.name.clone(),
            ..with(&token)
        },
    ] {
        invalid(ask(&world, &customer, other).await, &["page_token"]);
    }
    // Another caller.
    for other in [&provider, &admin] {
        invalid(ask(&world, other, with(&token)).await, &["page_token"]);
    }
    // Other lists.
    let users = async |caller: &Person, token: &str| {
        let request =
            ListUsersRequest { page_size: 1, page_token: token.to_owned(), ..Default::default() };
        world.auth().list_users(caller.asks(request)).await
    };
    let providers = async |caller: &Person, token: &str| {
        let request = ListProvidersRequest { page_size: 1, page_token: token.to_owned() };
        world.schedule().list_providers(caller.asks(request)).await
    };
    let of_users = users(&admin, "").await.unwrap().into_inner().next_page_token;
    let of_providers = providers(&customer, "").await.unwrap().into_inner().next_page_token;
    users(&admin, &of_users).await.unwrap();
    invalid(users(&second, &of_users).await, &["page_token"]);
    invalid(users(&admin, &of_providers).await, &["page_token"]);
    invalid(users(&admin, &token).await, &["page_token"]);
    invalid(providers(&customer, &of_users).await, &["page_token"]);
    invalid(providers(&customer, &token).await, &["page_token"]);
    invalid(ask(&world, &admin, with(&of_users)).await, &["page_token"]);
    invalid(ask(&world, &customer, with(&of_providers)).await, &["page_token"]);
    // Tampered with: any one character, cut short, made longer.
    for place in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'Q' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        invalid(ask(&world, &customer, with(&changed)).await, &["page_token"]);
    }
    for changed in [&token[1..], &token[..token.len() - 4], &format!("{token}AAAA"), "=", "\0"] {
        invalid(ask(&world, &customer, with(changed)).await, &["page_token"]);
    }
}

async fn pages_have_fifty_unless_asked_and_at_most_five_hundred(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    book(&world, &customer, &provider, 23, 9).await;
    let numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers
        WHERE n < 510)";
    // 510 more of each, past the server.
    let appointments = "SELECT provider_id, ID, customer_id, customer_display_name, starts_at,
        ends_at, 'cancelled', note, time_zone, local_start, cancel_reason, version, created_at,
        updated_at, type_id, claim_starts_at, claim_ends_at, expires_at, terms, stamp, claim_of, NULL, NULL
        FROM appointments, numbers";
    let providers = "SELECT ID, display_name, enabled, time_zone, weekly_hours, slot_minutes,
        longest_minutes, version, schedule_version, schedule_updated_at, plan, last_assigned_at,
        stamp, schedule_stamp
        FROM providers, numbers";
    let users = "SELECT ID, n || email, display_name, password_hash, role, time_zone, disabled,
        token_generation, tokens_ended_at, kept_session, version, created_at, updated_at,
        email_verified_at, erased_at, stamp, '', NULL, NULL
        FROM users, numbers WHERE role = 'customer'";
    for (table, rows) in
        [("appointments", appointments), ("providers", providers), ("users", users)]
    {
        let insert =
            |id: &str| format!("INSERT INTO {table} {numbers} {}", rows.replacen("ID", id, 1));
        world.execute(&insert("randomblob(16)"), &insert("gen_random_uuid()")).await;
    }
    for (asked, got) in [(0, 50), (1, 1), (500, 500), (501, 500), (i32::MAX, 500)] {
        let request = ListAppointmentsRequest { page_size: asked, ..Default::default() };
        let page = ask(&world, &customer, request).await.unwrap().into_inner();
        assert_eq!(page.appointments.len(), got, "{asked}");
        assert_ne!(page.next_page_token, "");
        let request = ListProvidersRequest { page_size: asked, ..Default::default() };
        let page = world.schedule().list_providers(customer.asks(request)).await.unwrap();
        assert_eq!(page.into_inner().providers.len(), got, "{asked}");
        let request = ListUsersRequest { page_size: asked, ..Default::default() };
        let page = world.auth().list_users(admin.asks(request)).await.unwrap();
        assert_eq!(page.into_inner().users.len(), got, "{asked}");
    }
}

async fn bad_lists_are_told_by_field(world: World) {
    let customer = world.customer().await;
    let try_to = async |change: &dyn Fn(&mut ListAppointmentsRequest)| {
        let mut request = ListAppointmentsRequest::default();
        change(&mut request);
        ask(&world, &customer, request).await
    };
    let long = "x".repeat(60 * 1024);
    for bad in ["x", "\0", "providers/", "providers/x", &customer.user.name, &long] {
        invalid(try_to(&|r| bad.clone_into(&mut r.provider)).await, &["provider"]);
    }
    for bad in ["x", "\0", "users/", "users/x", &customer.provider(), &long] {
        invalid(try_to(&|r| bad.clone_into(&mut r.customer)).await, &["customer"]);
    }
    for bad in [0, 7, 99, -1, i32::MIN] {
        invalid(try_to(&|r| r.states = vec![1, bad, 2]).await, &["states[1]"]);
    }
    invalid(try_to(&|r| r.states = vec![1; 17]).await, &["states"]);
    invalid(try_to(&|r| r.states = vec![99; 2]).await, &["states[0]", "states[1]"]);
    let time = |seconds, nanos| Some(Timestamp { seconds, nanos });
    for bad in
        [time(-1, 0), time(0, -1), time(0, 1_000_000_000), time(i64::MAX, 0), time(i64::MIN, 0)]
    {
        invalid(try_to(&|r| r.start_time = bad).await, &["start_time"]);
        invalid(try_to(&|r| r.end_time = bad).await, &["end_time"]);
        invalid(
            try_to(&|r| (r.start_time, r.end_time) = (bad, bad)).await,
            &["start_time", "end_time"],
        );
    }
    let backwards = |r: &mut ListAppointmentsRequest| {
        (r.start_time, r.end_time) = (time(1000, 0), time(1000, 0));
    };
    invalid(try_to(&backwards).await, &["end_time"]);
    for bad in [-1, i32::MIN] {
        invalid(try_to(&|r| r.page_size = bad).await, &["page_size"]);
    }
    for bad in ["x", "AAAA", "\0", &long] {
        invalid(try_to(&|r| bad.clone_into(&mut r.page_token)).await, &["page_token"]);
    }
    let all = |r: &mut ListAppointmentsRequest| {
        *r = ListAppointmentsRequest {
            provider: "x".to_owned(),
            customer: "x".to_owned(),
            states: vec![99],
            start_time: time(-1, 0),
            end_time: time(0, -1),
            page_size: -1,
            page_token: "x".to_owned(),
            appointment_type: "x".to_owned(),
            update_start_time: time(-1, 0),
            update_end_time: time(0, 1_000_000_000),
            order_by: "state".to_owned(),
        };
    };
    invalid(
        try_to(&all).await,
        &[
            "provider",
            "customer",
            "states[0]",
            "start_time",
            "end_time",
            "page_size",
            "page_token",
            "appointment_type",
            "update_start_time",
            "update_end_time",
            "order_by",
        ],
    );
    refused(try_to(&|r| r.page_token = "x".repeat(1 << 20)).await, "MESSAGE_TOO_LARGE");
}

async fn providers_are_listed_oldest_first_page_by_page(world: World) {
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(world.provider().await);
    }
    let customer = world.customer().await;
    let mut expected: Vec<String> = all.iter().map(Person::provider).collect();
    expected.sort();
    for size in 1..=6 {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListProvidersRequest { page_size: size, page_token };
            let page = world.schedule().list_providers(customer.asks(request)).await.unwrap();
            let page = page.into_inner();
            found.extend(page.providers.into_iter().map(|provider| provider.name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "in pages of {size}");
    }
}

async fn booking_pages_are_open_only_where_it_is_set(world: World) {
    let open = World::with(world.engine, &[("server.public_booking_pages", "true")]).await;
    let provider = open.provider().await;
    for (path, access, _) in TABLE.iter().filter(|(path, ..)| path.starts_with("/daybook.")) {
        let call = async |world: &World, authorization: Option<&str>| {
            unary(&world.channel, path, authorized(Vec::new(), authorization)).await
        };
        let refusal = |answer: Result<_, Status>| answer.err().map(|status| reason_of(&status));
        let shut = Some("NOT_AUTHENTICATED".to_owned());
        assert_eq!(refusal(call(&world, None).await) == shut, *access != Access::Open, "{path}");
        let pages = [
            "ListProviders",
            "GetProvider",
            "GetAvailability",
            "ListSlots",
            "FindFirstSlot",
            "ExplainSlot",
            "GetAppointmentType",
            "ListAppointmentTypes",
            "ListOfferings",
        ];
        let is_page = pages.iter().any(|name| path.ends_with(&format!("/{name}")));
        assert_eq!(*access == Access::Pages, is_page, "{path}");
        let expected = *access != Access::Open && !is_page;
        assert_eq!(refusal(call(&open, None).await) == shut, expected, "{path}");
        // Who shows a token must show a good one. Some of the methods end it.
        let bearer = format!("Bearer {}", open.log_in(&provider.user.email).await.token);
        let bad = refusal(call(&open, Some("Bearer nonsense")).await);
        assert_eq!(bad == shut, *access != Access::Open, "{path}");
        assert_ne!(refusal(call(&open, Some(&bearer)).await), shut, "{path}");
    }
    let request = ListProvidersRequest::default();
    let listed = open.schedule().list_providers(request).await.unwrap().into_inner();
    assert_eq!(listed.providers.len(), 1);
}
