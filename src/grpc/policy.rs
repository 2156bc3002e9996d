//! The policy table: which roles may call a method at all. What sort of call it is follows from its descriptor.
//!
//! Everything that is served has an entry; what has none is refused as unknown, and a test compares
//! the table with the descriptor set, so a new method without an entry fails the build.

use std::{collections::HashMap, sync::LazyLock};

use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto, method_options::IdempotencyLevel};

use super::proto::DESCRIPTORS;
use crate::identity::Role;

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody; a token is not looked at.
    Open,
    /// Logged-in callers, and everybody where the setting `server.public_booking_pages` is on.
    Pages,
    /// Logged-in callers with one of these roles.
    Roles(&'static [Role]),
}

/// What a call costs, and so which budget and which rate it counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Hashes a password: by far the dearest.
    LogIn,
    /// A call that writes.
    Write,
    /// Changes nothing: `NO_SIDE_EFFECTS` in the proto.
    Read,
    /// Answers for as long as the caller listens.
    Stream,
    /// Asks for health; never held up and never counted.
    Probe,
}

const ALL: Access = Access::Roles(&[Role::Customer, Role::Provider, Role::Admin]);
const STAFF: Access = Access::Roles(&[Role::Provider, Role::Admin]);
const ADMINS: Access = Access::Roles(&[Role::Admin]);

/// Every method that is served.
pub const TABLE: &[(&str, Access)] = &[
    ("/daybook.auth.v1.AuthService/SignUp", Access::Open),
    ("/daybook.auth.v1.AuthService/LogIn", Access::Open),
    ("/daybook.auth.v1.AuthService/CompleteLogIn", Access::Open),
    ("/daybook.auth.v1.AuthService/RefreshTokens", Access::Open),
    ("/daybook.auth.v1.AuthService/LogOut", ALL),
    ("/daybook.auth.v1.AuthService/ListSessions", ALL),
    ("/daybook.auth.v1.AuthService/RevokeSession", ALL),
    ("/daybook.auth.v1.AuthService/RevokeAllSessions", ALL),
    ("/daybook.auth.v1.AuthService/ListAuditEvents", ADMINS),
    ("/daybook.auth.v1.EmailService/VerifyEmail", Access::Open),
    ("/daybook.auth.v1.EmailService/RequestEmailVerification", ALL),
    ("/daybook.auth.v1.EmailService/RequestPasswordReset", Access::Open),
    ("/daybook.auth.v1.EmailService/ResetPassword", Access::Open),
    ("/daybook.auth.v1.EmailService/RequestEmailChange", ALL),
    ("/daybook.auth.v1.EmailService/ConfirmEmailChange", Access::Open),
    ("/daybook.auth.v1.AuthService/GetJwks", Access::Open),
    ("/daybook.auth.v1.AuthService/GetMe", ALL),
    ("/daybook.auth.v1.AuthService/UpdateMe", ALL),
    ("/daybook.auth.v1.AuthService/ChangePassword", ALL),
    ("/daybook.auth.v1.AuthService/ListUsers", ADMINS),
    ("/daybook.auth.v1.AuthService/GetUser", ADMINS),
    ("/daybook.auth.v1.AuthService/CreateUser", ADMINS),
    ("/daybook.auth.v1.AuthService/SetUserRole", ADMINS),
    ("/daybook.auth.v1.AuthService/DisableUser", ADMINS),
    ("/daybook.auth.v1.AuthService/EnableUser", ADMINS),
    ("/daybook.auth.v1.SecondFactorService/GetSecondFactor", ALL),
    ("/daybook.auth.v1.SecondFactorService/EnrolTotp", ALL),
    ("/daybook.auth.v1.SecondFactorService/ConfirmTotp", ALL),
    ("/daybook.auth.v1.SecondFactorService/RegenerateRecoveryCodes", ALL),
    ("/daybook.auth.v1.SecondFactorService/DisableTotp", ALL),
    ("/daybook.auth.v1.SecondFactorService/EnrolTotpAtLogIn", Access::Open),
    ("/daybook.auth.v1.SecondFactorService/ResetSecondFactor", ADMINS),
    ("/daybook.auth.v1.ServiceAccountService/CreateServiceAccount", ADMINS),
    ("/daybook.auth.v1.ServiceAccountService/GetServiceAccount", ADMINS),
    ("/daybook.auth.v1.ServiceAccountService/ListServiceAccounts", ADMINS),
    ("/daybook.auth.v1.ServiceAccountService/UpdateServiceAccount", ADMINS),
    ("/daybook.auth.v1.ServiceAccountService/DisableServiceAccount", ADMINS),
    ("/daybook.auth.v1.ServiceAccountService/EnableServiceAccount", ADMINS),
    ("/daybook.auth.v1.ServiceAccountService/CreateApiKey", ADMINS),
    ("/daybook.auth.v1.ServiceAccountService/ListApiKeys", ADMINS),
    ("/daybook.auth.v1.ServiceAccountService/RevokeApiKey", ADMINS),
    ("/daybook.auth.v1.CustomerService/SearchCustomers", STAFF),
    ("/daybook.auth.v1.CustomerService/GetCustomer", STAFF),
    ("/daybook.auth.v1.CustomerService/EnrolCustomer", STAFF),
    ("/daybook.auth.v1.CustomerService/InviteCustomer", STAFF),
    ("/daybook.auth.v1.CustomerService/UpdateCustomer", ADMINS),
    ("/daybook.auth.v1.CustomerService/MergeCustomers", ADMINS),
    ("/daybook.auth.v1.PersonalDataService/ExportMyData", ALL),
    ("/daybook.auth.v1.PersonalDataService/DeleteMyAccount", ALL),
    ("/daybook.auth.v1.PersonalDataService/EraseUser", ADMINS),
    ("/daybook.booking.v1.ScheduleService/ListProviders", Access::Pages),
    ("/daybook.booking.v1.ScheduleService/GetProvider", Access::Pages),
    ("/daybook.booking.v1.ScheduleService/GetSchedule", ALL),
    ("/daybook.booking.v1.ScheduleService/UpdateSchedule", STAFF),
    ("/daybook.booking.v1.BookingService/BookAppointment", ALL),
    ("/daybook.booking.v1.BookingService/GetAppointment", ALL),
    ("/daybook.booking.v1.BookingService/BatchGetAppointments", ALL),
    ("/daybook.booking.v1.BookingService/ListAppointments", ALL),
    ("/daybook.booking.v1.BookingService/CancelAppointment", ALL),
    ("/daybook.booking.v1.BookingService/CompleteAppointment", STAFF),
    ("/daybook.booking.v1.BookingService/GetAvailability", Access::Pages),
    ("/daybook.booking.v1.CatalogueService/CreateAppointmentType", STAFF),
    ("/daybook.booking.v1.CatalogueService/UpdateAppointmentType", STAFF),
    ("/daybook.booking.v1.CatalogueService/ArchiveAppointmentType", STAFF),
    ("/daybook.booking.v1.CatalogueService/OfferAppointmentType", STAFF),
    ("/daybook.booking.v1.CatalogueService/WithdrawAppointmentType", STAFF),
    ("/daybook.booking.v1.CatalogueService/GetAppointmentType", Access::Pages),
    ("/daybook.booking.v1.CatalogueService/ListAppointmentTypes", Access::Pages),
    ("/daybook.booking.v1.CatalogueService/ListOfferings", Access::Pages),
    ("/daybook.booking.v1.AvailabilityService/ListSlots", Access::Pages),
    ("/daybook.booking.v1.AvailabilityService/FindFirstSlot", Access::Pages),
    ("/daybook.booking.v1.AvailabilityService/ExplainSlot", Access::Pages),
    ("/daybook.booking.v1.ScheduleService/CreateSchedule", STAFF),
    ("/daybook.booking.v1.ScheduleService/DeleteSchedule", STAFF),
    ("/daybook.booking.v1.ScheduleService/CreateTimeOff", STAFF),
    ("/daybook.booking.v1.ScheduleService/DeleteTimeOff", STAFF),
    ("/daybook.booking.v1.ScheduleService/ListTimeOff", STAFF),
    ("/daybook.booking.v1.ScheduleService/ListSchedules", ALL),
    ("/daybook.booking.v1.ScheduleService/ListClosures", ALL),
    ("/daybook.booking.v1.ScheduleService/CreateClosure", ADMINS),
    ("/daybook.booking.v1.ScheduleService/DeleteClosure", ADMINS),
    ("/daybook.booking.v1.BookingService/ApproveAppointment", STAFF),
    ("/daybook.booking.v1.BookingService/DeclineAppointment", STAFF),
    ("/daybook.booking.v1.BookingService/MarkNoShow", STAFF),
    ("/daybook.booking.v1.BookingService/CorrectAppointment", STAFF),
    ("/daybook.booking.v1.BookingService/ReassignAppointment", STAFF),
    ("/daybook.booking.v1.BookingService/UpdateAppointment", STAFF),
    ("/daybook.booking.v1.BookingService/RescheduleAppointment", ALL),
    ("/daybook.booking.v1.BookingService/ListAppointmentEvents", ALL),
    ("/daybook.booking.v1.BookingService/GetCalendar", STAFF),
    ("/daybook.booking.v1.BookingService/ListHolds", ALL),
    ("/daybook.booking.v1.BookingService/HoldSlot", ALL),
    ("/daybook.booking.v1.BookingService/ExtendHold", ALL),
    ("/daybook.booking.v1.BookingService/ReleaseHold", ALL),
    // Probes and tools have no token. Reflection is not served at all where the setting is off.
    ("/grpc.health.v1.Health/Check", Access::Open),
    ("/grpc.health.v1.Health/Watch", Access::Open),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Open),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Open),
];

/// What API keys may be for beside the whole of `daybook.booking.v1`: to find the customers to act for, and to
/// enrol them. Whatever an account does about itself, its log-ins or other accounts is for people.
const ALSO_IN_SCOPES: &[&str] = &[
    "/daybook.auth.v1.AuthService/GetUser",
    "/daybook.auth.v1.AuthService/ListUsers",
    "/daybook.auth.v1.CustomerService/SearchCustomers",
    "/daybook.auth.v1.CustomerService/GetCustomer",
    "/daybook.auth.v1.CustomerService/EnrolCustomer",
    "/daybook.auth.v1.CustomerService/InviteCustomer",
];

/// What is known of a method: its line in the table, and what follows from its descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The method.
    pub method: Method,
    /// Who may call it.
    pub access: Access,
    /// What a call costs.
    pub class: Class,
    /// Whether it answers with a stream. It has no deadline then, unless the caller sets one.
    pub is_stream: bool,
}

/// The method with this path, if there is such a method. Paths are compared byte by byte.
pub fn entry(path: &str) -> Option<&'static Entry> {
    static ENTRIES: LazyLock<HashMap<&str, Entry>> = LazyLock::new(entries);
    ENTRIES.get(path)
}

/// The lines of the table whose methods the descriptors know.
fn entries() -> HashMap<&'static str, Entry> {
    let sets: Vec<_> = [
        DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ]
    .into_iter()
    .filter_map(|bytes| FileDescriptorSet::decode(bytes).ok())
    .collect();
    let mut described = HashMap::new();
    for file in sets.iter().flat_map(|set| &set.file) {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let is_stream = method.server_streaming();
                described.insert(path.clone(), (class_of(&path, method, &sets), is_stream));
            }
        }
    }
    let entry = |&(path, access): &(&'static str, Access)| {
        let &(class, is_stream) = described.get(path)?;
        Some((path, Entry { method: Method(path), access, class, is_stream }))
    };
    TABLE.iter().filter_map(entry).collect()
}

/// What the descriptor says about a call's cost. A method whose request has a field named like a password hashes it.
fn class_of(path: &str, method: &MethodDescriptorProto, sets: &[FileDescriptorSet]) -> Class {
    let files = sets.iter().flat_map(|set| &set.file);
    let mut messages = files.flat_map(|file| {
        file.message_type.iter().map(|m| (format!(".{}.{}", file.package(), m.name()), m))
    });
    let input = messages.find(|(name, _)| name == method.input_type()).map(|(_, message)| message);
    let has_password =
        input.is_some_and(|m| m.field.iter().any(|field| field.name().contains("password")));
    let options = method.options.as_ref();
    let reads = options.is_some_and(|o| o.idempotency_level() == IdempotencyLevel::NoSideEffects);
    match method.server_streaming() {
        _ if path.starts_with("/grpc.health.") => Class::Probe,
        true => Class::Stream,
        _ if has_password => Class::LogIn,
        _ if reads => Class::Read,
        _ => Class::Write,
    }
}

/// A method that is served, as the table spells its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method(pub &'static str);

impl Method {
    /// As scopes name it, such as `daybook.booking.v1.BookingService/BookAppointment`.
    pub fn scope(self) -> &'static str {
        self.0.trim_start_matches('/')
    }

    /// Whether an API key may be for it.
    pub fn in_scopes(self) -> bool {
        self.0.starts_with("/daybook.booking.v1.") || ALSO_IN_SCOPES.contains(&self.0)
    }
}

/// Whether an API key may have this scope: a method that it may be for, or a service all of whose methods
/// are such.
pub fn is_scope(scope: &str) -> bool {
    let is_of = |method: &Method| {
        let rest = method.scope().strip_prefix(scope);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut methods = TABLE.iter().map(|(path, ..)| Method(path)).filter(is_of).peekable();
    methods.peek().is_some() && methods.all(Method::in_scopes)
}
