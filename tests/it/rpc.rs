//! Who gets past the door: every method of the descriptor set, against every sort of caller.

use std::collections::BTreeSet;

use daybook::{
    grpc::{
        policy::{self, Access, TABLE},
        proto::{
            DESCRIPTORS,
            auth::{self},
        },
    },
    identity,
};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::support::{
    Engine, World, berlin,
    raw::{authorized, seen, stream, unary},
    refusal::{reason_of, refused},
    requests,
    services::BOOKING,
};

/// Everything that is served: our own services, health and reflection.
fn methods() -> Vec<(String, MethodDescriptor)> {
    let mut pool = DescriptorPool::new();
    for set in [
        DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        pool.decode_file_descriptor_set(set).unwrap();
    }
    let path = |m: &MethodDescriptor| format!("/{}/{}", m.parent_service().full_name(), m.name());
    let services: Vec<_> = pool.services().collect();
    services.iter().flat_map(|s| s.methods()).map(|method| (path(&method), method)).collect()
}

#[test]
fn every_method_has_one_entry_in_the_policy_table_and_every_entry_a_method() {
    let served: BTreeSet<String> = methods().into_iter().map(|(path, _)| path).collect();
    let known: BTreeSet<String> = TABLE.iter().map(|(path, ..)| (*path).to_owned()).collect();
    assert_eq!(known, served);
    assert_eq!(known.len(), TABLE.len(), "an entry stands twice");
    for (path, method) in methods() {
        let entry = policy::entry(&path).unwrap();
        assert_eq!(entry.is_stream, method.is_server_streaming(), "{path}");
    }
}

/// The callers of the matrix. Open methods do not look at tokens at all.
const CALLERS: [&str; 5] = ["nobody", "garbage", "customer", "provider", "admin"];

/// What the table says about a caller: the reason of the refusal, or none.
fn expected(access: Access, caller: &str) -> Option<&'static str> {
    let role = identity::Role::parse(caller);
    match (access, role) {
        (Access::Open, _) | (Access::Pages, Some(_)) => None,
        (Access::Pages | Access::Roles(_), None) => Some("NOT_AUTHENTICATED"),
        (Access::Roles(roles), Some(role)) => {
            (!roles.contains(&role)).then_some("ROLE_NOT_ALLOWED")
        }
    }
}

/// Calls a method with an empty message, and returns the reason of the refusal, if there was one.
async fn knock(world: &World, path: &str, authorization: Option<&str>) -> Option<String> {
    let request = authorized(Vec::new(), authorization);
    let answer = if policy::entry(path).unwrap().is_stream {
        let mut answers = match stream(&world.channel, path, request).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return Some(reason_of(&status)),
        };
        answers.message().await.map(|_| ())
    } else {
        unary(&world.channel, path, request).await.map(|_| ())
    };
    answer.err().map(|status| reason_of(&status))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_lets_in_whom_the_table_names_and_nobody_else() {
    let (world, _mail) = World::new(Engine::Sqlite).await.mailing(&[]).await;
    let admin = world.admin().await;
    let people = [world.customer().await, world.provider().await, admin];
    let mut rows = Vec::new();
    for (path, method) in methods() {
        let &policy::Entry { access, class, scoped, .. } = policy::entry(&path).unwrap();
        let mut passed = String::new();
        // Some of the methods end what they are called with.
        let mut tokens = vec![None, Some("Bearer garbage".to_owned())];
        for person in &people {
            let token = world.log_in(&person.user.email).await.token;
            tokens.push(Some(format!("Bearer {token}")));
        }
        for (caller, token) in CALLERS.iter().zip(&tokens) {
            let refusal = knock(&world, &path, token.as_deref()).await;
            let wanted = expected(access, caller);
            match wanted {
                Some(_) => assert_eq!(refusal.as_deref(), wanted, "{path} as {caller}"),
                // Past the door: an empty request is either fine or told by field.
                None => assert!(
                    matches!(refusal.as_deref(), None | Some("INVALID_FIELDS")),
                    "{path} as {caller}: {refusal:?}"
                ),
            }
            passed.push(if wanted.is_none() { caller.chars().next().unwrap() } else { '-' });
        }
        let service = method.parent_service();
        rows.push(format!("{passed} {class:?} {scoped:?} {}/{}", service.name(), method.name()));
    }
    // What the table is meant to say: nobody, garbage, customer, provider, admin; the cost; whether API keys may call it.
    insta::assert_snapshot!(rows.join("\n"), @r"
    ngcpa LogIn People AuthService/SignUp
    ngcpa LogIn People AuthService/LogIn
    ngcpa Write People AuthService/CompleteLogIn
    ngcpa Write People AuthService/RefreshTokens
    --cpa Write People AuthService/LogOut
    --cpa Read People AuthService/ListSessions
    --cpa Write People AuthService/RevokeSession
    --cpa Write People AuthService/RevokeAllSessions
    --cpa Read People AuthService/GetMe
    --cpa Write People AuthService/UpdateMe
    --cpa LogIn People AuthService/ChangePassword
    ----a Read Keys AuthService/ListUsers
    ----a Read Keys AuthService/GetUser
    ----a Write People AuthService/CreateUser
    ----a Write People AuthService/SetUserRole
    ----a Write People AuthService/DisableUser
    ----a Write People AuthService/EnableUser
    ----a Read People AuthService/ListAuditEvents
    ngcpa Read People AuthService/GetJwks
    ---pa Read Keys CustomerService/SearchCustomers
    ---pa Read Keys CustomerService/GetCustomer
    ---pa Write Keys CustomerService/EnrolCustomer
    ---pa Write Keys CustomerService/InviteCustomer
    ----a Write People CustomerService/UpdateCustomer
    ----a Write People CustomerService/MergeCustomers
    ngcpa LogIn People EmailService/VerifyEmail
    --cpa Write People EmailService/RequestEmailVerification
    ngcpa Write People EmailService/RequestPasswordReset
    ngcpa LogIn People EmailService/ResetPassword
    --cpa LogIn People EmailService/RequestEmailChange
    ngcpa Write People EmailService/ConfirmEmailChange
    --cpa Read People SecondFactorService/GetSecondFactor
    --cpa LogIn People SecondFactorService/EnrolTotp
    --cpa Write People SecondFactorService/ConfirmTotp
    --cpa LogIn People SecondFactorService/RegenerateRecoveryCodes
    --cpa LogIn People SecondFactorService/DisableTotp
    ngcpa Write People SecondFactorService/EnrolTotpAtLogIn
    ----a Write People SecondFactorService/ResetSecondFactor
    --cpa Read Keys ScheduleService/ListProviders
    --cpa Read Keys ScheduleService/GetProvider
    --cpa Read Keys ScheduleService/GetSchedule
    ---pa Write Keys ScheduleService/UpdateSchedule
    ---pa Write Keys ScheduleService/CreateSchedule
    ---pa Write Keys ScheduleService/DeleteSchedule
    --cpa Read Keys ScheduleService/ListSchedules
    ---pa Write Keys ScheduleService/CreateTimeOff
    ---pa Write Keys ScheduleService/DeleteTimeOff
    ---pa Read Keys ScheduleService/ListTimeOff
    ----a Write Keys ScheduleService/CreateClosure
    ----a Write Keys ScheduleService/DeleteClosure
    --cpa Read Keys ScheduleService/ListClosures
    --cpa Write Keys BookingService/BookAppointment
    --cpa Read Keys BookingService/GetAppointment
    --cpa Read Keys BookingService/BatchGetAppointments
    --cpa Read Keys BookingService/ListAppointments
    --cpa Write Keys BookingService/CancelAppointment
    ---pa Write Keys BookingService/CompleteAppointment
    --cpa Read Keys BookingService/GetAvailability
    ---pa Write Keys BookingService/ApproveAppointment
    ---pa Write Keys BookingService/DeclineAppointment
    ---pa Write Keys BookingService/MarkNoShow
    ---pa Write Keys BookingService/CorrectAppointment
    --cpa Write Keys BookingService/RescheduleAppointment
    ---pa Write Keys BookingService/ReassignAppointment
    ---pa Write Keys BookingService/UpdateAppointment
    --cpa Read Keys BookingService/ListAppointmentEvents
    ---pa Read Keys BookingService/GetCalendar
    --cpa Read Keys BookingService/ListHolds
    --cpa Write Keys BookingService/HoldSlot
    --cpa Write Keys BookingService/ExtendHold
    --cpa Write Keys BookingService/ReleaseHold
    ---pa Write Keys CatalogueService/CreateAppointmentType
    --cpa Read Keys CatalogueService/GetAppointmentType
    --cpa Read Keys CatalogueService/ListAppointmentTypes
    ---pa Write Keys CatalogueService/UpdateAppointmentType
    ---pa Write Keys CatalogueService/ArchiveAppointmentType
    ---pa Write Keys CatalogueService/OfferAppointmentType
    ---pa Write Keys CatalogueService/WithdrawAppointmentType
    --cpa Read Keys CatalogueService/ListOfferings
    --cpa LogIn People PersonalDataService/ExportMyData
    --cpa LogIn People PersonalDataService/DeleteMyAccount
    ----a Write People PersonalDataService/EraseUser
    ----a Write People ServiceAccountService/CreateServiceAccount
    ----a Read People ServiceAccountService/GetServiceAccount
    ----a Read People ServiceAccountService/ListServiceAccounts
    ----a Write People ServiceAccountService/UpdateServiceAccount
    ----a Write People ServiceAccountService/DisableServiceAccount
    ----a Write People ServiceAccountService/EnableServiceAccount
    ----a Write People ServiceAccountService/CreateApiKey
    ----a Read People ServiceAccountService/ListApiKeys
    ----a Write People ServiceAccountService/RevokeApiKey
    --cpa Read Keys AvailabilityService/ListSlots
    --cpa Read Keys AvailabilityService/FindFirstSlot
    --cpa Read Keys AvailabilityService/ExplainSlot
    --cpa Read Keys WatchService/ListEvents
    --cpa Watch Keys WatchService/WatchEvents
    ngcpa Probe People Health/Check
    ngcpa Probe People Health/Watch
    ngcpa Stream People ServerReflection/ServerReflectionInfo
    ngcpa Stream People ServerReflection/ServerReflectionInfo
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_for_want_of_a_token_is_the_same() {
    let world = World::new(Engine::Sqlite).await;
    let mut answers = BTreeSet::new();
    for (path, _) in methods() {
        if policy::entry(&path).is_some_and(|entry| entry.access == Access::Open) {
            continue;
        }
        for authorization in [None, Some("Bearer garbage"), Some("Bearer "), Some("Basic YTpi")] {
            let request = authorized(Vec::new(), authorization);
            let status = unary(&world.channel, &path, request).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated);
            answers.insert((seen(&status).1, seen(&status).2));
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bearer_token_and_nothing_else_is_looked_at() {
    const PATH: &str = "/daybook.auth.v1.AuthService/GetMe";
    let world = World::new(Engine::Sqlite).await;
    let (person, other) = (world.customer().await, world.customer().await);
    let token = &person.token;
    for good in [
        format!("Bearer {token}"),
        format!("bearer {token}"),
        format!("BEARER {token}"),
        format!("bEaReR {token}"),
    ] {
        unary(&world.channel, PATH, authorized(Vec::new(), Some(&good))).await.unwrap();
    }
    let long = "x".repeat(9 * 1024);
    let mut answers = BTreeSet::new();
    for bad in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        token.clone(),
        format!(" Bearer {token}").replacen(' ', "", 2),
        format!("Bearer  {token}"),
        format!("Bearer\t{token}"),
        format!("Bearer:{token}"),
        format!("Basic {token}"),
        format!("Digest {token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer {token},Bearer {}", other.token),
        format!("Bearer {token} {}", other.token),
        format!("Bearer {long}"),
        format!("Bearer {token}{long}"),
        format!("Bearer {token}.{long}"),
    ] {
        let answer = unary(&world.channel, PATH, authorized(Vec::new(), Some(&bad))).await;
        let status = refused(answer, "NOT_AUTHENTICATED");
        answers.insert((seen(&status).1, seen(&status).2));
    }
    // Two headers, also where both are good and the same.
    for second in [token, &other.token, ""] {
        let mut request = authorized(Vec::new(), Some(&format!("Bearer {token}")));
        let second = format!("Bearer {second}").parse().unwrap();
        request.metadata_mut().append("authorization", second);
        let status = refused(unary(&world.channel, PATH, request).await, "NOT_AUTHENTICATED");
        answers.insert((seen(&status).1, seen(&status).2));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    // A token elsewhere is none.
    for header in ["x-authorization", "cookie", "proxy-authorization", "grpc-authorization"] {
        let mut request = Request::new(Vec::new());
        request.metadata_mut().insert(header, format!("Bearer {token}").parse().unwrap());
        refused(unary(&world.channel, PATH, request).await, "NOT_AUTHENTICATED");
    }
}

/// What a caller sees of a refusal, with the name it asked for taken out.
fn without_name(status: &Status, name: &str) -> String {
    let details = status.get_error_details();
    let told = format!("{:?} {} {details:?}", status.code(), status.message());
    name.split(' ').fold(told, |told, part| told.replace(part, "NAME"))
}

const NOT_FOUND: Option<&str> = Some("NOT_FOUND");
const NOT_ALLOWED: Option<&str> = Some("ROLE_NOT_ALLOWED");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_callers_is_as_if_it_did_not_exist() {
    let world = World::new(Engine::Sqlite).await;
    let (ada, bob) = (world.customer().await, world.provider().await);
    let (shut, admin) = (world.provider().await, world.admin().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let appointment = world.book(&ada, &bob, start, end).await.unwrap().name;
    let (_, id) = appointment.rsplit_once('/').unwrap();
    let disable = auth::DisableUserRequest { name: shut.user.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(disable)).await.unwrap();
    let night = world.schedule_for(&bob, "night").await;
    let time_off = world.time_off(&bob, "2026-12-01 00:00", "2026-12-02 00:00").await;
    let closure = world.closure(&admin, "2026-12-01 00:00", "2026-12-02 00:00").await;
    let (hidden, shared) = world.types_of(&admin, &bob).await;
    let offering = format!("{} {shared}", bob.provider());
    let held = world.hold_interval(&ada, &bob, "2026-11-23 11:00", "2026-11-23 11:30").await;
    let session = world.auth().list_sessions(ada.asks(auth::ListSessionsRequest::default())).await;
    let session = session.unwrap().into_inner().sessions.remove(0).name;
    let backend = world.backend(&admin, auth::Role::Admin, None, &[BOOKING]).await;
    let service = &backend.account.name;
    let strangers = [world.customer().await, world.provider().await, admin];
    let moved = format!("{}/appointments/{id}", strangers[1].provider());

    // The method, somebody else's, and what a customer, a provider and an admin get for it.
    let rows: &[(&str, &str, [Option<&str>; 3])] = &[
        ("GetProvider", &ada.provider(), [NOT_FOUND; 3]),
        ("GetProvider", &shut.provider(), [NOT_FOUND; 3]),
        ("GetSchedule", &ada.schedule(), [NOT_FOUND; 3]),
        ("GetSchedule", &shut.schedule(), [NOT_FOUND, NOT_FOUND, None]),
        ("GetAppointmentType", &hidden, [NOT_FOUND, NOT_FOUND, None]),
        ("ArchiveAppointmentType", &hidden, [NOT_ALLOWED, NOT_FOUND, None]),
        ("OfferAppointmentType", &offering, [NOT_ALLOWED, NOT_FOUND, None]),
        ("WithdrawAppointmentType", &offering, [NOT_ALLOWED, NOT_FOUND, None]),
        ("ListAppointmentTypes", &ada.provider(), [NOT_FOUND; 3]),
        ("ListAppointmentTypes", &shut.provider(), [NOT_FOUND, NOT_FOUND, None]),
        ("ListOfferings", &ada.provider(), [NOT_FOUND; 3]),
        ("ListOfferings", &shut.provider(), [NOT_FOUND, NOT_FOUND, None]),
        ("GetAvailability", &ada.provider(), [NOT_FOUND; 3]),
        ("GetAvailability", &shut.provider(), [NOT_FOUND; 3]),
        ("BookAppointment", &ada.provider(), [NOT_FOUND; 3]),
        ("BookAppointment", &shut.provider(), [NOT_FOUND; 3]),
        ("UpdateSchedule", &bob.schedule(), [NOT_ALLOWED, NOT_FOUND, None]),
        ("UpdateSchedule", &ada.schedule(), [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("UpdateSchedule", &night, [NOT_ALLOWED, NOT_FOUND, None]),
        ("CreateSchedule", &bob.provider(), [NOT_ALLOWED, NOT_FOUND, None]),
        ("CreateSchedule", &ada.provider(), [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("DeleteSchedule", &night, [NOT_ALLOWED, NOT_FOUND, None]),
        ("ListSchedules", &ada.provider(), [NOT_FOUND; 3]),
        ("ListSchedules", &shut.provider(), [NOT_FOUND, NOT_FOUND, None]),
        ("CreateTimeOff", &bob.provider(), [NOT_ALLOWED, NOT_FOUND, None]),
        ("CreateTimeOff", &ada.provider(), [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("ListTimeOff", &bob.provider(), [NOT_ALLOWED, NOT_FOUND, None]),
        ("ListTimeOff", &ada.provider(), [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("DeleteTimeOff", &time_off, [NOT_ALLOWED, NOT_FOUND, None]),
        ("DeleteClosure", &closure, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("ListAppointments", &bob.provider(), [NOT_FOUND, NOT_FOUND, None]),
        ("ListAppointments", &ada.user.name, [NOT_FOUND, NOT_FOUND, None]),
        ("GetAppointment", &moved, [NOT_FOUND; 3]),
        ("GetAppointment", &appointment, [NOT_FOUND, NOT_FOUND, None]),
        ("BatchGetAppointments", &moved, [NOT_FOUND; 3]),
        ("BatchGetAppointments", &appointment, [NOT_FOUND, NOT_FOUND, None]),
        ("CancelAppointment", &moved, [NOT_FOUND; 3]),
        ("CompleteAppointment", &moved, [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("CompleteAppointment", &appointment, [NOT_ALLOWED, NOT_FOUND, Some("NOT_STARTED")]),
        ("CancelAppointment", &appointment, [NOT_FOUND, NOT_FOUND, None]),
        ("ListAppointmentEvents", &appointment, [NOT_FOUND, NOT_FOUND, None]),
        ("ListAppointmentEvents", &moved, [NOT_FOUND; 3]),
        ("RescheduleAppointment", &moved, [NOT_FOUND; 3]),
        ("RescheduleAppointment", &appointment, [NOT_FOUND, NOT_FOUND, Some("WRONG_STATE")]),
        ("ApproveAppointment", &moved, [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("ApproveAppointment", &appointment, [NOT_ALLOWED, NOT_FOUND, Some("WRONG_STATE")]),
        ("DeclineAppointment", &moved, [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("DeclineAppointment", &appointment, [NOT_ALLOWED, NOT_FOUND, Some("WRONG_STATE")]),
        ("MarkNoShow", &moved, [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("MarkNoShow", &appointment, [NOT_ALLOWED, NOT_FOUND, Some("WRONG_STATE")]),
        ("CorrectAppointment", &moved, [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("CorrectAppointment", &appointment, [NOT_ALLOWED, NOT_FOUND, Some("WRONG_STATE")]),
        ("ReassignAppointment", &moved, [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("ReassignAppointment", &appointment, [NOT_ALLOWED, NOT_FOUND, Some("WRONG_STATE")]),
        ("ListSlots", &ada.user.name, [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("FindFirstSlot", &ada.user.name, [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("GetCalendar", &bob.provider(), [NOT_ALLOWED, NOT_FOUND, None]),
        ("GetCalendar", &ada.provider(), [NOT_ALLOWED, NOT_FOUND, NOT_FOUND]),
        ("ListHolds", &bob.provider(), [NOT_FOUND, NOT_FOUND, None]),
        ("ListHolds", &ada.user.name, [NOT_FOUND, NOT_FOUND, None]),
        ("ListEvents", &bob.provider(), [NOT_FOUND, NOT_FOUND, None]),
        ("ListEvents", &ada.user.name, [NOT_FOUND, NOT_FOUND, None]),
        ("WatchEvents", &bob.provider(), [NOT_FOUND, NOT_FOUND, None]),
        ("WatchEvents", &ada.user.name, [NOT_FOUND, NOT_FOUND, None]),
        ("HoldSlot", &ada.provider(), [NOT_FOUND; 3]),
        ("HoldSlot", &shut.provider(), [NOT_FOUND; 3]),
        ("ExtendHold", &held, [NOT_FOUND; 3]),
        ("ReleaseHold", &held, [NOT_FOUND; 3]),
        ("ExplainSlot", &format!("{} {hidden}", bob.provider()), [NOT_FOUND, NOT_FOUND, None]),
        ("ListSessions", &ada.user.name, [NOT_FOUND, NOT_FOUND, None]),
        ("RevokeSession", &session, [NOT_FOUND, NOT_FOUND, None]),
        ("RevokeAllSessions", &ada.user.name, [NOT_FOUND, NOT_FOUND, None]),
        ("GetUser", &ada.user.name, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("SetUserRole", &ada.user.name, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("DisableUser", &ada.user.name, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("EnableUser", &ada.user.name, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("ResetSecondFactor", &ada.user.name, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("GetServiceAccount", service, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("DisableServiceAccount", service, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("EnableServiceAccount", service, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("CreateApiKey", service, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("ListApiKeys", service, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("RevokeApiKey", &backend.key_name, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("GetCustomer", &ada.user.name, [NOT_ALLOWED, NOT_FOUND, None]),
        ("InviteCustomer", &ada.user.name, [NOT_ALLOWED, NOT_FOUND, Some("MAIL_OFF")]),
        ("UpdateCustomer", &ada.user.name, [NOT_ALLOWED, NOT_ALLOWED, None]),
        ("MergeCustomers", &ada.user.name, [NOT_ALLOWED, NOT_ALLOWED, NOT_FOUND]),
        ("EraseUser", &ada.user.name, [NOT_ALLOWED, NOT_ALLOWED, None]),
    ];
    let covered: BTreeSet<&str> = rows.iter().map(|(method, _, _)| *method).collect();
    let naming = methods().into_iter().filter(|(path, method)| {
        let names = ["name", "names", "parent", "provider", "customer", "schedule"];
        // Who is enrolled has no name yet.
        path.starts_with("/daybook.")
            && method.name() != "EnrolCustomer"
            && names.iter().any(|name| method.input().get_field_by_name(name).is_some())
    });
    let naming: Vec<(String, MethodDescriptor)> = naming.collect();
    assert_eq!(covered, naming.iter().map(|(_, method)| method.name()).collect());

    for (method, foreign, wanted) in rows {
        let (path, _) = naming.iter().find(|(_, found)| found.name() == *method).unwrap();
        // The same name with other ids.
        let missing = nobodys(foreign);
        for (caller, wanted) in strangers.iter().zip(wanted) {
            let bearer = format!("Bearer {}", caller.token);
            let call = async |name: &str| {
                let request = authorized(requests::of(method, name), Some(&bearer));
                unary(&world.channel, path, request).await
            };
            let role = caller.user.role().as_str_name();
            let of_all = ["ListAppointments", "ListHolds", "ListEvents", "WatchEvents"];
            if of_all.contains(method) && wanted.is_none() {
                // An admin filters all of them; nobody's are none.
                call(&missing).await.unwrap();
                continue;
            }
            let absent = call(&missing).await.unwrap_err();
            let of_absent = if *wanted == NOT_ALLOWED { NOT_ALLOWED } else { NOT_FOUND };
            assert_eq!(Some(&*reason_of(&absent)), of_absent, "{method} of {missing} as {role}");
            let answer = call(foreign).await.err();
            let reason = answer.as_ref().map(reason_of);
            assert_eq!(reason.as_deref(), *wanted, "{method} of {foreign} as {role}");
            if let (Some(status), true) = (answer, *wanted == of_absent) {
                let told = without_name(&status, foreign);
                assert_eq!(told, without_name(&absent, &missing), "{method} as {role}");
            }
        }
    }
}

/// A name of the same form whose ids nobody has.
fn nobodys(name: &str) -> String {
    let parts = name.split('/').map(|part| {
        let is_id = part.len() == 36;
        if is_id { "01980000-0000-7000-8000-000000000000" } else { part }
    });
    parts.collect::<Vec<_>>().join("/")
}
