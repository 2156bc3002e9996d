//! Every write of the API as data: a request with an id, and the same with one field changed.

use std::collections::BTreeSet;

use daybook::grpc::proto::{
    DESCRIPTORS,
    auth::{
        ChangePasswordRequest, DisableUserRequest, EnableUserRequest, Role, SetUserRoleRequest,
        SignUpRequest, UpdateMeRequest, User,
    },
    booking::{
        CancelAppointmentRequest, CompleteAppointmentRequest, Schedule, UpdateScheduleRequest,
        WeeklyWindow,
    },
};
use prost::Message;
use prost_reflect::DescriptorPool;
use prost_types::FieldMask;
use tonic::Status;

use super::{
    booking_writes, catalogue_writes, emails, front_desk,
    overrides::{own, stay},
    personal_data, schedule_writes,
    schedules::{minutes, schedule_of},
    second_factor, services,
};
use crate::support::{
    World, berlin,
    people::{PASSWORD, Person, sign_up, uuid},
    raw::{authorized, unary},
};

/// A write with a request id, and the same with something changed.
pub(super) struct Case {
    pub(super) path: &'static str,
    authorization: Option<String>,
    request: Vec<u8>,
    /// The changed field, and the request.
    pub(super) changed: Vec<(&'static str, Vec<u8>)>,
}

impl Case {
    pub(super) fn new<M: Message>(
        path: &'static str,
        caller: Option<&Person>,
        request: &M,
        changed: Vec<(&'static str, M)>,
    ) -> Self {
        let encoded = |(field, message): (&'static str, M)| (field, message.encode_to_vec());
        Self {
            path,
            authorization: caller.map(|caller| format!("Bearer {}", caller.token)),
            request: request.encode_to_vec(),
            changed: changed.into_iter().map(encoded).collect(),
        }
    }

    pub(super) async fn send(&self, world: &World, request: &[u8]) -> Result<Vec<u8>, Status> {
        let request = authorized(request.to_vec(), self.authorization.as_deref());
        Ok(unary(&world.channel, self.path, request).await?.into_inner())
    }

    /// Whether it is sent with a token.
    pub(super) fn is_of_a_caller(&self) -> bool {
        self.authorization.is_some()
    }

    pub(super) async fn answer(&self, world: &World) -> Result<Vec<u8>, Status> {
        self.send(world, &self.request).await
    }

    pub(super) async fn call(&self, world: &World) -> Vec<u8> {
        let answer = self.answer(world).await;
        answer.unwrap_or_else(|status| panic!("{}: {status:?}", self.path))
    }
}

/// Who and what the cases are about.
pub(super) struct Cast {
    pub(super) admin: Person,
    pub(super) customer: Person,
    pub(super) provider: Person,
    pub(super) other_provider: Person,
    /// Whose appointments are completed and cancelled.
    pub(super) busy: Person,
    /// Each is changed by one case.
    pub(super) people: Vec<Person>,
    pub(super) appointments: Vec<String>,
}

pub(super) async fn cast(world: &World) -> Cast {
    let (customer, busy) = (world.customer().await, world.provider().await);
    let mut appointments = Vec::new();
    for hour in 9..13 {
        let (start, end) = (format!("2026-11-23 {hour:02}:00"), format!("2026-11-23 {hour:02}:30"));
        let booked = world.book(&customer, &busy, berlin(&start), berlin(&end)).await.unwrap();
        appointments.push(booked.name);
    }
    world.move_to("2026-11-23 12:45", "Europe/Berlin");
    let mut people = Vec::new();
    for _ in 0..13 {
        people.push(world.customer().await);
    }
    Cast {
        admin: world.admin().await,
        customer,
        provider: world.provider().await,
        other_provider: world.provider().await,
        busy,
        people,
        appointments,
    }
}

/// One case for every write. The request of each is valid, and changes something.
pub(super) async fn cases(world: &World, cast: &Cast) -> Vec<Case> {
    let (request_id, admin) = (uuid, Some(&cast.admin));
    // First, because they take versions of schedules.
    let of_schedules = schedule_writes::cases(world, cast).await;
    let [renamed, repassworded, promoted, disabled, spare, ..] = &cast.people[..] else {
        panic!("too few people")
    };

    let signed = SignUpRequest { request_id: request_id(), ..sign_up(Role::Customer) };
    let sign_ups = vec![
        ("display_name", SignUpRequest { display_name: "Eve".to_owned(), ..signed.clone() }),
        ("email", SignUpRequest { email: "eve@example.org".to_owned(), ..signed.clone() }),
        ("password", SignUpRequest { password: "another password".to_owned(), ..signed.clone() }),
        ("role", SignUpRequest { role: Role::Provider.into(), ..signed.clone() }),
        ("time_zone", SignUpRequest { time_zone: "UTC".to_owned(), ..signed.clone() }),
        ("log_in", SignUpRequest { log_in: true, ..signed.clone() }),
    ];

    let user = User { display_name: "Grace".to_owned(), ..Default::default() };
    let update =
        UpdateMeRequest { user: Some(user.clone()), update_mask: None, request_id: request_id() };
    let with = |user: User| UpdateMeRequest { user: Some(user), ..update.clone() };
    let mask = |path: &str| Some(FieldMask { paths: vec![path.to_owned()] });
    let name = renamed.user.name.clone();
    let updates = vec![
        ("user", with(User { display_name: "Eve".to_owned(), ..user.clone() })),
        ("user", with(User { time_zone: "UTC".to_owned(), ..user.clone() })),
        ("user", with(User { etag: renamed.user.etag.clone(), ..user.clone() })),
        ("user", with(User { name, ..user.clone() })),
        ("update_mask", UpdateMeRequest { update_mask: mask("display_name"), ..update.clone() }),
    ];

    let change = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: "a new password".to_owned(),
        request_id: request_id(),
    };
    let new = "a newer password".to_owned();
    let changes = vec![
        (
            "current_password",
            ChangePasswordRequest { current_password: new.clone(), ..change.clone() },
        ),
        ("new_password", ChangePasswordRequest { new_password: new, ..change.clone() }),
    ];

    let role = SetUserRoleRequest {
        name: promoted.user.name.clone(),
        role: Role::Provider.into(),
        etag: promoted.user.etag.clone(),
        request_id: request_id(),
    };
    let roles = vec![
        ("name", SetUserRoleRequest { name: spare.user.name.clone(), ..role.clone() }),
        ("role", SetUserRoleRequest { role: Role::Admin.into(), ..role.clone() }),
        ("etag", SetUserRoleRequest { etag: String::new(), ..role.clone() }),
    ];

    let disable = DisableUserRequest {
        name: disabled.user.name.clone(),
        etag: disabled.user.etag.clone(),
        request_id: request_id(),
    };
    let disables = vec![
        ("name", DisableUserRequest { name: spare.user.name.clone(), ..disable.clone() }),
        ("etag", DisableUserRequest { etag: String::new(), ..disable.clone() }),
    ];
    let enable = EnableUserRequest {
        name: disabled.user.name.clone(),
        etag: String::new(),
        request_id: request_id(),
    };
    let enables = vec![
        ("name", EnableUserRequest { name: spare.user.name.clone(), ..enable.clone() }),
        ("etag", EnableUserRequest { etag: "\"2\"".to_owned(), ..enable.clone() }),
    ];

    let schedule =
        Schedule { slot_duration: minutes(20), ..schedule_of(world, &cast.provider).await };
    let reschedule = UpdateScheduleRequest {
        schedule: Some(schedule.clone()),
        update_mask: None,
        request_id: request_id(),
    };
    let with = |schedule: Schedule| UpdateScheduleRequest {
        schedule: Some(schedule),
        ..reschedule.clone()
    };
    let fewer: Vec<WeeklyWindow> = schedule.weekly_windows[1..].to_vec();
    let name = cast.other_provider.schedule();
    let day = (2026, 12, 24);
    let reschedules = vec![
        ("schedule", with(Schedule { name, ..schedule.clone() })),
        ("schedule", with(Schedule { time_zone: "UTC".to_owned(), ..schedule.clone() })),
        ("schedule", with(Schedule { weekly_windows: fewer, ..schedule.clone() })),
        ("schedule", with(Schedule { slot_duration: minutes(25), ..schedule.clone() })),
        ("schedule", with(Schedule { longest_booking: minutes(240), ..schedule.clone() })),
        ("schedule", with(Schedule { etag: String::new(), ..schedule.clone() })),
        ("schedule", with(Schedule { accepts_intervals: Some(false), ..schedule.clone() })),
        ("schedule", with(Schedule { stays: vec![stay(day, day, "UTC")], ..schedule.clone() })),
        ("schedule", with(Schedule { date_overrides: vec![own(day, &[])], ..schedule.clone() })),
        (
            "update_mask",
            UpdateScheduleRequest { update_mask: mask("slot_duration"), ..reschedule.clone() },
        ),
    ];

    let cancel = CancelAppointmentRequest {
        name: cast.appointments[0].clone(),
        reason: "a cold".to_owned(),
        etag: String::new(),
        request_id: request_id(),
        only_move: false,
    };
    let cancels = vec![
        ("name", CancelAppointmentRequest { name: cast.appointments[1].clone(), ..cancel.clone() }),
        ("reason", CancelAppointmentRequest { reason: String::new(), ..cancel.clone() }),
        ("etag", CancelAppointmentRequest { etag: "\"2\"".to_owned(), ..cancel.clone() }),
        ("only_move", CancelAppointmentRequest { only_move: true, ..cancel.clone() }),
    ];
    let complete = CompleteAppointmentRequest {
        name: cast.appointments[2].clone(),
        etag: String::new(),
        request_id: request_id(),
        free_rest: false,
    };
    let completes = vec![
        (
            "name",
            CompleteAppointmentRequest { name: cast.appointments[1].clone(), ..complete.clone() },
        ),
        ("etag", CompleteAppointmentRequest { etag: "\"4\"".to_owned(), ..complete.clone() }),
        ("free_rest", CompleteAppointmentRequest { free_rest: true, ..complete.clone() }),
    ];

    let mut all = vec![
        Case::new("/daybook.auth.v1.AuthService/SignUp", None, &signed, sign_ups),
        Case::new("/daybook.auth.v1.AuthService/UpdateMe", Some(renamed), &update, updates),
        Case::new(
            "/daybook.auth.v1.AuthService/ChangePassword",
            Some(repassworded),
            &change,
            changes,
        ),
        Case::new("/daybook.auth.v1.AuthService/SetUserRole", admin, &role, roles),
        Case::new("/daybook.auth.v1.AuthService/DisableUser", admin, &disable, disables),
        Case::new("/daybook.auth.v1.AuthService/EnableUser", admin, &enable, enables),
        Case::new(
            "/daybook.booking.v1.ScheduleService/UpdateSchedule",
            admin,
            &reschedule,
            reschedules,
        ),
        Case::new(
            "/daybook.booking.v1.BookingService/CancelAppointment",
            Some(&cast.busy),
            &cancel,
            cancels,
        ),
        Case::new(
            "/daybook.booking.v1.BookingService/CompleteAppointment",
            Some(&cast.busy),
            &complete,
            completes,
        ),
    ];
    all.extend(booking_writes::cases(world, cast).await);
    all.extend(catalogue_writes::cases(world).await);
    all.extend(of_schedules);
    all.extend(emails::writes::cases(world, cast).await);
    all.extend(second_factor::writes::cases(world, cast).await);
    all.extend(services::writes::cases(world, cast).await);
    all.extend(personal_data::cases(cast));
    all.extend(front_desk::writes::cases(world, cast).await);
    covers_every_write(&all);
    all
}

/// Every method whose request has a request id is among the cases, with every other field changed.
fn covers_every_write(cases: &[Case]) {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let mut writes = BTreeSet::new();
    for service in pool.services() {
        for method in service.methods() {
            if method.input().get_field_by_name("request_id").is_none() {
                continue;
            }
            let path = format!("/{}/{}", service.full_name(), method.name());
            let case = cases.iter().find(|case| case.path == path);
            let case = case.unwrap_or_else(|| panic!("{path} has no case"));
            let fields: BTreeSet<String> =
                method.input().fields().map(|field| field.name().to_owned()).collect();
            let mut changed: BTreeSet<String> =
                case.changed.iter().map(|(field, _)| (*field).to_owned()).collect();
            changed.insert("request_id".to_owned());
            assert_eq!(changed, fields, "{path}");
            writes.insert(path);
        }
    }
    assert_eq!(writes.len(), cases.len());
}
