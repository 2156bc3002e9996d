//! Every field of the requests of CatalogueService, wrong: told by path, all at once, nothing written.

use daybook::grpc::proto::booking::{
    AppointmentType, ArchiveAppointmentTypeRequest, BookingLimits, CreateAppointmentTypeRequest,
    CreateAppointmentTypeResponse, DateRange, GetAppointmentTypeRequest, IntakeQuestion,
    ListAppointmentTypesRequest, ListOfferingsRequest, OfferAppointmentTypeRequest,
    UpdateAppointmentTypeRequest, WithdrawAppointmentTypeRequest, appointment_type::Horizon,
    intake_question::Kind,
};
use prost_types::{Duration, FieldMask};
use tonic::{Response, Status};

use super::{
    behaviours,
    catalogue::{create, full, mins, plain},
};
use crate::support::{
    World,
    people::{Person, date},
    refusal::{invalid, refused},
};

behaviours!(
    bad_words_of_a_type_are_told,
    bad_lengths_of_a_type_are_told,
    bad_horizons_and_limits_are_told,
    bad_questions_of_a_type_are_told_by_index,
    all_violations_of_a_type_are_told_at_once,
    bad_updates_of_a_type_are_told,
    bad_names_of_types_and_providers_are_told,
    bad_lists_of_types_and_offerings_are_told,
);

async fn make(
    world: &World,
    caller: &Person,
    change: impl Fn(&mut AppointmentType),
) -> Result<Response<CreateAppointmentTypeResponse>, Status> {
    let mut wanted = plain();
    change(&mut wanted);
    let request =
        CreateAppointmentTypeRequest { appointment_type: Some(wanted), request_id: String::new() };
    world.catalogue().create_appointment_type(caller.asks(request)).await
}

fn of(field: &str) -> String {
    format!("appointment_type.{field}")
}

async fn bad_words_of_a_type_are_told(world: World) {
    let admin = world.admin().await;
    let before = world.state().await;
    let try_to = async |f: &dyn Fn(&mut AppointmentType)| make(&world, &admin, f).await;
    let long = |length: usize| "é".repeat(length);
    for bad in ["", " ", "a\nb", "a\0", "\u{202e}a", "...", &long(101)] {
        invalid(try_to(&|t| bad.clone_into(&mut t.display_name)).await, &[&of("display_name")]);
    }
    for bad in ["\0", &long(2001)] {
        invalid(try_to(&|t| bad.clone_into(&mut t.description)).await, &[&of("description")]);
    }
    for bad in ["\u{7f}", &long(101)] {
        invalid(try_to(&|t| bad.clone_into(&mut t.price)).await, &[&of("price")]);
    }
    for bad in ["\u{1b}[31m", &long(501)] {
        invalid(try_to(&|t| bad.clone_into(&mut t.place)).await, &[&of("place")]);
    }
    let name = admin.provider();
    for bad in ["x", "providers/x", &admin.user.name, &name.to_uppercase(), &long(9000)] {
        invalid(try_to(&|t| bad.clone_into(&mut t.owner)).await, &[&of("owner")]);
    }
    for bad in [3, -1, i32::MAX, i32::MIN] {
        invalid(try_to(&|t| t.visibility = bad).await, &[&of("visibility")]);
    }
    let request = CreateAppointmentTypeRequest { request_id: "x".to_owned(), ..Default::default() };
    let answer = world.catalogue().create_appointment_type(admin.asks(request)).await;
    invalid(answer, &["appointment_type", "request_id"]);
    refused(try_to(&|t| t.description = "x".repeat(1 << 20)).await, "MESSAGE_TOO_LARGE");
    assert_eq!(world.state().await, before);
    try_to(&|t| {
        t.display_name = long(100);
        t.description = long(2000);
        t.price = long(100);
        t.place = long(500);
    })
    .await
    .unwrap();
}

/// Lengths that are none.
fn senseless() -> [Duration; 7] {
    let length = |seconds, nanos| Duration { seconds, nanos };
    [
        length(61, 0),
        length(3600, 1),
        length(3600, -1),
        length(-3600, 0),
        length(i64::MAX, i32::MAX),
        length(i64::MIN, i32::MIN),
        length(i64::MAX, 0),
    ]
}

async fn bad_lengths_of_a_type_are_told(world: World) {
    let admin = world.admin().await;
    let before = world.state().await;
    let try_to = async |f: &dyn Fn(&mut AppointmentType)| make(&world, &admin, f).await;
    type Set = fn(&mut AppointmentType, Option<Duration>);
    // The field, the ends of its range in minutes, and how to set it.
    let year = 365 * 1440;
    let rows: [(&str, i64, i64, Set); 8] = [
        ("buffer_before", 0, 240, |t, l| t.buffer_before = l),
        ("buffer_after", 0, 240, |t, l| t.buffer_after = l),
        ("slot_step", 5, 1440, |t, l| t.slot_step = l),
        ("grid_offset", 0, 29, |t, l| t.grid_offset = l),
        ("minimum_notice", 0, year, |t, l| t.minimum_notice = l),
        ("cancel_cutoff", 0, year, |t, l| t.cancel_cutoff = l),
        ("reschedule_cutoff", 0, year, |t, l| t.reschedule_cutoff = l),
        ("request_expiry", 5, 30 * 1440, |t, l| t.request_expiry = l),
    ];
    let mut bad = senseless().to_vec();
    for (field, least, most, set) in rows {
        bad.truncate(7);
        bad.extend([mins(least - 1).unwrap(), mins(most + 1).unwrap()]);
        for length in &bad {
            invalid(try_to(&|t| set(t, Some(*length))).await, &[&of(field)]);
        }
    }
    bad.truncate(7);
    bad.extend([mins(0).unwrap(), mins(4).unwrap(), mins(1441).unwrap()]);
    let all: Vec<String> = (0..10).map(|index| of(&format!("durations[{index}]"))).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    invalid(try_to(&|t| t.durations.clone_from(&bad)).await, &all);
    let many = |count: i64| (5..5 + count).filter_map(mins).collect::<Vec<_>>();
    for bad in [Vec::new(), many(21)] {
        invalid(try_to(&|t| t.durations.clone_from(&bad)).await, &[&of("durations")]);
    }
    let twice = [mins(30), mins(45), mins(30)].into_iter().flatten().collect::<Vec<_>>();
    invalid(try_to(&|t| t.durations.clone_from(&twice)).await, &[&of("durations[2]")]);
    let step = |t: &mut AppointmentType| {
        t.slot_step = mins(10);
        t.grid_offset = mins(10);
    };
    invalid(try_to(&step).await, &[&of("grid_offset")]);
    assert_eq!(world.state().await, before);
    // The ends of the ranges are valid.
    for (_, least, most, set) in rows {
        for length in [least, most] {
            try_to(&|t| set(t, mins(length))).await.unwrap();
        }
    }
    try_to(&|t| t.durations = many(20)).await.unwrap();
}

async fn bad_horizons_and_limits_are_told(world: World) {
    let admin = world.admin().await;
    let before = world.state().await;
    let try_to = async |f: &dyn Fn(&mut AppointmentType)| make(&world, &admin, f).await;
    for bad in [-1, 3651, i32::MIN, i32::MAX] {
        let change = |t: &mut AppointmentType| t.horizon = Some(Horizon::RollingDays(bad));
        invalid(try_to(&change).await, &[&of("rolling_days")]);
    }
    let window = |from: (i32, i32, i32), until: (i32, i32, i32)| {
        let range = DateRange { start_date: Some(date(from)), end_date: Some(date(until)) };
        Some(Horizon::FixedWindow(range))
    };
    let (start, end) = (of("fixed_window.start_date"), of("fixed_window.end_date"));
    for (horizon, told) in [
        (Some(Horizon::FixedWindow(DateRange::default())), &[&*start, &*end][..]),
        (window((2026, 2, 29), (2026, 3, 1)), &[&*start]),
        (window((1969, 12, 31), (2200, 1, 1)), &[&*start, &*end]),
        (window((2026, 0, 1), (2026, 12, 0)), &[&*start, &*end]),
        (window((2026, 12, 2), (2026, 12, 1)), &[&*end]),
    ] {
        invalid(try_to(&|t| t.horizon = horizon).await, told);
    }
    let late = |t: &mut AppointmentType| {
        t.horizon = Some(Horizon::RollingDays(1));
        t.minimum_notice = mins(2 * 1440 + 1);
    };
    invalid(try_to(&late).await, &[&of("minimum_notice")]);
    type Set = fn(&mut BookingLimits, i32);
    let counts: [(&str, Set); 3] = [
        ("per_provider_day", |l, n| l.per_provider_day = n),
        ("per_provider_week", |l, n| l.per_provider_week = n),
        ("open_per_customer", |l, n| l.open_per_customer = n),
    ];
    let limited = |set: &dyn Fn(&mut BookingLimits)| {
        let mut limits = BookingLimits::default();
        set(&mut limits);
        Some(limits)
    };
    for (field, set) in counts {
        let field = of(&format!("limits.{field}"));
        for bad in [-1, 1001, i32::MAX, i32::MIN] {
            invalid(try_to(&|t| t.limits = limited(&|l| set(l, bad))).await, &[&field]);
        }
    }
    type SetTime = fn(&mut BookingLimits, Duration);
    let times: [(&str, i64, SetTime); 2] = [
        ("time_per_provider_day", 1440, |l, t| l.time_per_provider_day = Some(t)),
        ("time_per_provider_week", 168 * 60, |l, t| l.time_per_provider_week = Some(t)),
    ];
    for (field, most, set) in times {
        let field = of(&format!("limits.{field}"));
        for bad in senseless().into_iter().chain(mins(most + 1)) {
            invalid(try_to(&|t| t.limits = limited(&|l| set(l, bad))).await, &[&field]);
        }
        // No appointment would fit.
        let short = |t: &mut AppointmentType| {
            t.durations = [20, 30, 40].into_iter().filter_map(mins).collect();
            t.limits = limited(&|l| set(l, mins(20).unwrap()));
        };
        invalid(try_to(&short).await, &[&of("durations[1]"), &of("durations[2]")]);
    }
    assert_eq!(world.state().await, before);
    for (_, set) in counts {
        try_to(&|t| t.limits = limited(&|l| set(l, 1000))).await.unwrap();
    }
    for (_, most, set) in times {
        try_to(&|t| t.limits = limited(&|l| set(l, mins(most).unwrap()))).await.unwrap();
    }
    try_to(&|t| t.horizon = window((2026, 12, 1), (2026, 12, 1))).await.unwrap();
    try_to(&|t| t.horizon = window((1970, 1, 1), (2199, 12, 31))).await.unwrap();
    try_to(&|t| t.horizon = Some(Horizon::RollingDays(3650))).await.unwrap();
}

fn question(id: &str, kind: i32, choices: &[&str]) -> IntakeQuestion {
    IntakeQuestion {
        id: id.to_owned(),
        text: "Why?".to_owned(),
        kind,
        required: true,
        choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
    }
}

async fn bad_questions_of_a_type_are_told_by_index(world: World) {
    let admin = world.admin().await;
    let before = world.state().await;
    let with = async |questions: Vec<IntakeQuestion>| {
        make(&world, &admin, |t| t.questions.clone_from(&questions)).await
    };
    let (text, choice) = (i32::from(Kind::Text), i32::from(Kind::Choice));
    let fine = || question("fine", text, &[]);
    let told = |field: &str| of(&format!("questions[1].{field}"));
    for bad in ["", "A", "a b", "a-b", "fine", "é", &"x".repeat(41)] {
        invalid(with(vec![fine(), question(bad, text, &[])]).await, &[&told("id")]);
    }
    for bad in ["", " \n", "a\0", &"x".repeat(501)] {
        let asked = IntakeQuestion { text: bad.to_owned(), ..question("a", text, &[]) };
        invalid(with(vec![fine(), asked]).await, &[&told("text")]);
    }
    for bad in [0, 5, -1, i32::MAX] {
        invalid(with(vec![fine(), question("a", bad, &[])]).await, &[&told("kind")]);
    }
    for kind in [Kind::Text, Kind::Number, Kind::YesNo] {
        let asked = question("a", kind.into(), &["x"]);
        invalid(with(vec![fine(), asked]).await, &[&told("choices")]);
    }
    let many: Vec<String> = (0..51).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for bad in [&[][..], &many] {
        invalid(with(vec![fine(), question("a", choice, bad)]).await, &[&told("choices")]);
    }
    let odd = question("a", choice, &["x", "", "y\ny", "x", &"x".repeat(201)]);
    let paths = [1, 2, 3, 4].map(|n| told(&format!("choices[{n}]")));
    invalid(with(vec![fine(), odd]).await, &paths.each_ref().map(String::as_str));
    let asked = |count: usize| (0..count).map(|n| question(&format!("q{n}"), text, &[])).collect();
    invalid(with(asked(51)).await, &[&of("questions")]);
    assert_eq!(world.state().await, before);
    with(asked(50)).await.unwrap();
    with(vec![question(&"x".repeat(40), choice, &many[..50])]).await.unwrap();
}

async fn all_violations_of_a_type_are_told_at_once(world: World) {
    let admin = world.admin().await;
    let before = world.state().await;
    let bad = AppointmentType {
        owner: "x".to_owned(),
        display_name: String::new(),
        durations: vec![Duration::default()],
        buffer_before: mins(241),
        grid_offset: mins(-1),
        horizon: Some(Horizon::FixedWindow(DateRange::default())),
        limits: Some(BookingLimits { per_provider_day: -1, ..Default::default() }),
        questions: vec![IntakeQuestion::default()],
        visibility: 9,
        ..plain()
    };
    let paths = [
        "owner",
        "display_name",
        "durations[0]",
        "buffer_before",
        "grid_offset",
        "fixed_window.start_date",
        "fixed_window.end_date",
        "limits.per_provider_day",
        "questions[0].id",
        "questions[0].text",
        "questions[0].kind",
        "visibility",
    ]
    .map(of);
    let mut told: Vec<&str> = paths.iter().map(String::as_str).collect();
    told.push("request_id");
    let request = CreateAppointmentTypeRequest {
        appointment_type: Some(bad.clone()),
        request_id: "1".to_owned(),
    };
    invalid(world.catalogue().create_appointment_type(admin.asks(request)).await, &told);
    let request = UpdateAppointmentTypeRequest {
        appointment_type: Some(AppointmentType {
            name: "x".to_owned(),
            etag: "1".to_owned(),
            ..bad
        }),
        update_mask: None,
        request_id: "1".to_owned(),
    };
    // What is not set is not changed.
    told.retain(|path| *path != "appointment_type.display_name");
    told.extend(["appointment_type.name", "appointment_type.etag"]);
    invalid(world.catalogue().update_appointment_type(admin.asks(request)).await, &told);
    assert_eq!(world.state().await, before);
}

async fn bad_updates_of_a_type_are_told(world: World) {
    let admin = world.admin().await;
    let made = create(&world, &admin, full()).await.unwrap();
    let before = world.state().await;
    let ask = async |wanted: Option<AppointmentType>, paths: Option<&[&str]>| {
        let mask = |paths: &[&str]| FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        };
        let request = UpdateAppointmentTypeRequest {
            appointment_type: wanted,
            update_mask: paths.map(mask),
            request_id: String::new(),
        };
        world.catalogue().update_appointment_type(admin.asks(request)).await
    };
    for paths in [
        &[][..],
        &[""],
        &["*", "place"],
        &["name"],
        &["owner"],
        &["etag"],
        &["link_code"],
        &["archived"],
        &["rolling_days"],
        &["limits.per_provider_day"],
        &["displayName"],
        &["place", "\0"],
    ] {
        invalid(ask(Some(made.clone()), Some(paths)).await, &["update_mask"]);
    }
    invalid(ask(None, Some(&["name"])).await, &["appointment_type", "update_mask"]);
    for bad in ["1", "\"\"", "\"x\"", "\"-1\"", "\0"] {
        let wanted = AppointmentType { etag: bad.to_owned(), ..made.clone() };
        invalid(ask(Some(wanted), None).await, &["appointment_type.etag"]);
    }
    // Only what is named is looked at.
    let odd = AppointmentType {
        name: made.name.clone(),
        buffer_after: mins(-5),
        visibility: 9,
        ..Default::default()
    };
    invalid(ask(Some(odd.clone()), Some(&["buffer_after"])).await, &[&of("buffer_after")]);
    assert_eq!(world.state().await, before);
    ask(Some(odd), Some(&["buffer_before", "buffer_before"])).await.unwrap();
}

async fn bad_names_of_types_and_providers_are_told(world: World) {
    let admin = world.admin().await;
    let made = create(&world, &admin, plain()).await.unwrap();
    let before = world.state().await;
    let (good, by) = (made.name.clone(), admin.provider());
    let long = "x".repeat(60 * 1024);
    let name = |text: &str| text.to_owned();
    for bad in
        ["", "x", "appointmentTypes/x", &good.to_uppercase(), &by, &format!("{good}/"), &long]
    {
        let get = GetAppointmentTypeRequest { name: name(bad), ..Default::default() };
        invalid(world.catalogue().get_appointment_type(admin.asks(get)).await, &["name"]);
        let archive = ArchiveAppointmentTypeRequest {
            name: name(bad),
            etag: "1".to_owned(),
            request_id: "1".to_owned(),
            ..Default::default()
        };
        let answer = world.catalogue().archive_appointment_type(admin.asks(archive)).await;
        invalid(answer, &["name", "etag", "request_id"]);
        let update = UpdateAppointmentTypeRequest {
            appointment_type: Some(AppointmentType { name: name(bad), ..plain() }),
            ..Default::default()
        };
        let answer = world.catalogue().update_appointment_type(admin.asks(update)).await;
        invalid(answer, &["appointment_type.name"]);
        let offer = OfferAppointmentTypeRequest {
            appointment_type: name(bad),
            provider: by.clone(),
            schedule: "x".to_owned(),
            request_id: "1".to_owned(),
        };
        let answer = world.catalogue().offer_appointment_type(admin.asks(offer)).await;
        invalid(answer, &["appointment_type", "schedule", "request_id"]);
        let withdraw = WithdrawAppointmentTypeRequest {
            appointment_type: name(bad),
            provider: by.clone(),
            request_id: "1".to_owned(),
        };
        let answer = world.catalogue().withdraw_appointment_type(admin.asks(withdraw)).await;
        invalid(answer, &["appointment_type", "request_id"]);
    }
    for bad in ["", "x", "providers/x", &by.to_uppercase(), &good, &admin.user.name, &long] {
        let (appointment_type, provider) = (good.clone(), name(bad));
        let offer =
            OfferAppointmentTypeRequest { appointment_type, provider, ..Default::default() };
        let answer = world.catalogue().offer_appointment_type(admin.asks(offer)).await;
        invalid(answer, &["provider"]);
        let (appointment_type, provider) = (good.clone(), name(bad));
        let withdraw =
            WithdrawAppointmentTypeRequest { appointment_type, provider, ..Default::default() };
        let answer = world.catalogue().withdraw_appointment_type(admin.asks(withdraw)).await;
        invalid(answer, &["provider"]);
    }
    assert_eq!(world.state().await, before);
}

async fn bad_lists_of_types_and_offerings_are_told(world: World) {
    let admin = world.admin().await;
    let types = async |request: ListAppointmentTypesRequest| {
        world.catalogue().list_appointment_types(admin.asks(request)).await
    };
    let offerings = async |request: ListOfferingsRequest| {
        world.catalogue().list_offerings(admin.asks(request)).await
    };
    let bad = ListAppointmentTypesRequest {
        provider: "x".to_owned(),
        page_size: -1,
        page_token: "x".to_owned(),
        show_archived: true,
    };
    invalid(types(bad).await, &["provider", "page_size", "page_token"]);
    let bad = ListOfferingsRequest {
        appointment_type: "x".to_owned(),
        provider: "x".to_owned(),
        page_size: i32::MIN,
        page_token: "\0".to_owned(),
        link_code: "x".repeat(60 * 1024),
    };
    let all = ["appointment_type", "provider", "page_size", "page_token"];
    invalid(offerings(bad).await, &all);
    invalid(offerings(ListOfferingsRequest::default()).await, &["appointment_type"]);
    // A code without what it opens.
    let (provider, link_code) = (admin.provider(), "x".to_owned());
    let bad = ListOfferingsRequest { provider, link_code, ..Default::default() };
    invalid(offerings(bad).await, &["link_code"]);
    refused(
        types(ListAppointmentTypesRequest {
            page_token: "x".repeat(1 << 20),
            ..Default::default()
        })
        .await,
        "MESSAGE_TOO_LARGE",
    );
}
