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
    /// Answers for as long as the caller asks.
    Stream,
    /// Is told what happens, for as long as the caller listens.
    Watch,
    /// Asks for health; never held up and never counted.
    Probe,
}

const ALL: Access = Access::Roles(&[Role::Customer, Role::Provider, Role::Admin]);
const STAFF: Access = Access::Roles(&[Role::Provider, Role::Admin]);
const ADMINS: Access = Access::Roles(&[Role::Admin]);

/// Whether the scopes of API keys may name a method. Keys are for booking, and to find the customers to act for and to
/// enrol them; whatever an account does about itself, its log-ins or other accounts is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scoped {
    /// They may.
    Keys,
    /// Nobody calls it with an API key.
    People,
}

const KEYS: Scoped = Scoped::Keys;
const PEOPLE: Scoped = Scoped::People;

/// Every method that is served.
pub const TABLE: &[(&str, Access, Scoped)] = &[
    ("/daybook.auth.v1.AuthService/SignUp", Access::Open, PEOPLE),
    ("/daybook.auth.v1.AuthService/LogIn", Access::Open, PEOPLE),
    ("/daybook.auth.v1.AuthService/CompleteLogIn", Access::Open, PEOPLE),
    ("/daybook.auth.v1.AuthService/RefreshTokens", Access::Open, PEOPLE),
    ("/daybook.auth.v1.AuthService/LogOut", ALL, PEOPLE),
    ("/daybook.auth.v1.AuthService/ListSessions", ALL, PEOPLE),
    ("/daybook.auth.v1.AuthService/RevokeSession", ALL, PEOPLE),
    ("/daybook.auth.v1.AuthService/RevokeAllSessions", ALL, PEOPLE),
    ("/daybook.auth.v1.AuthService/ListAuditEvents", ADMINS, PEOPLE),
    ("/daybook.auth.v1.EmailService/VerifyEmail", Access::Open, PEOPLE),
    ("/daybook.auth.v1.EmailService/RequestEmailVerification", ALL, PEOPLE),
    ("/daybook.auth.v1.EmailService/RequestPasswordReset", Access::Open, PEOPLE),
    ("/daybook.auth.v1.EmailService/ResetPassword", Access::Open, PEOPLE),
    ("/daybook.auth.v1.EmailService/RequestEmailChange", ALL, PEOPLE),
    ("/daybook.auth.v1.EmailService/ConfirmEmailChange", Access::Open, PEOPLE),
    ("/daybook.auth.v1.AuthService/GetJwks", Access::Open, PEOPLE),
    ("/daybook.auth.v1.AuthService/GetMe", ALL, PEOPLE),
    ("/daybook.auth.v1.AuthService/UpdateMe", ALL, PEOPLE),
    ("/daybook.auth.v1.AuthService/ChangePassword", ALL, PEOPLE),
    ("/daybook.auth.v1.AuthService/ListUsers", ADMINS, KEYS),
    ("/daybook.auth.v1.AuthService/GetUser", ADMINS, KEYS),
    ("/daybook.auth.v1.AuthService/CreateUser", ADMINS, PEOPLE),
    ("/daybook.auth.v1.AuthService/SetUserRole", ADMINS, PEOPLE),
    ("/daybook.auth.v1.AuthService/DisableUser", ADMINS, PEOPLE),
    ("/daybook.auth.v1.AuthService/EnableUser", ADMINS, PEOPLE),
    ("/daybook.auth.v1.SecondFactorService/GetSecondFactor", ALL, PEOPLE),
    ("/daybook.auth.v1.SecondFactorService/EnrolTotp", ALL, PEOPLE),
    ("/daybook.auth.v1.SecondFactorService/ConfirmTotp", ALL, PEOPLE),
    ("/daybook.auth.v1.SecondFactorService/RegenerateRecoveryCodes", ALL, PEOPLE),
    ("/daybook.auth.v1.SecondFactorService/DisableTotp", ALL, PEOPLE),
    ("/daybook.auth.v1.SecondFactorService/EnrolTotpAtLogIn", Access::Open, PEOPLE),
    ("/daybook.auth.v1.SecondFactorService/ResetSecondFactor", ADMINS, PEOPLE),
    ("/daybook.auth.v1.ServiceAccountService/CreateServiceAccount", ADMINS, PEOPLE),
    ("/daybook.auth.v1.ServiceAccountService/GetServiceAccount", ADMINS, PEOPLE),
    ("/daybook.auth.v1.ServiceAccountService/ListServiceAccounts", ADMINS, PEOPLE),
    ("/daybook.auth.v1.ServiceAccountService/UpdateServiceAccount", ADMINS, PEOPLE),
    ("/daybook.auth.v1.ServiceAccountService/DisableServiceAccount", ADMINS, PEOPLE),
    ("/daybook.auth.v1.ServiceAccountService/EnableServiceAccount", ADMINS, PEOPLE),
    ("/daybook.auth.v1.ServiceAccountService/CreateApiKey", ADMINS, PEOPLE),
    ("/daybook.auth.v1.ServiceAccountService/ListApiKeys", ADMINS, PEOPLE),
    ("/daybook.auth.v1.ServiceAccountService/RevokeApiKey", ADMINS, PEOPLE),
    ("/daybook.auth.v1.CustomerService/SearchCustomers", STAFF, KEYS),
    ("/daybook.auth.v1.CustomerService/GetCustomer", STAFF, KEYS),
    ("/daybook.auth.v1.CustomerService/EnrolCustomer", STAFF, KEYS),
    ("/daybook.auth.v1.CustomerService/InviteCustomer", STAFF, KEYS),
    ("/daybook.auth.v1.CustomerService/UpdateCustomer", ADMINS, PEOPLE),
    ("/daybook.auth.v1.CustomerService/MergeCustomers", ADMINS, PEOPLE),
    ("/daybook.auth.v1.PersonalDataService/ExportMyData", ALL, PEOPLE),
    ("/daybook.auth.v1.PersonalDataService/DeleteMyAccount", ALL, PEOPLE),
    ("/daybook.auth.v1.PersonalDataService/EraseUser", ADMINS, PEOPLE),
    ("/daybook.booking.v1.ScheduleService/ListProviders", Access::Pages, KEYS),
    ("/daybook.booking.v1.ScheduleService/GetProvider", Access::Pages, KEYS),
    ("/daybook.booking.v1.ScheduleService/GetSchedule", ALL, KEYS),
    ("/daybook.booking.v1.ScheduleService/UpdateSchedule", STAFF, KEYS),
    ("/daybook.booking.v1.BookingService/BookAppointment", ALL, KEYS),
    ("/daybook.booking.v1.BookingService/GetAppointment", ALL, KEYS),
    ("/daybook.booking.v1.BookingService/BatchGetAppointments", ALL, KEYS),
    ("/daybook.booking.v1.BookingService/ListAppointments", ALL, KEYS),
    ("/daybook.booking.v1.BookingService/CancelAppointment", ALL, KEYS),
    ("/daybook.booking.v1.BookingService/CompleteAppointment", STAFF, KEYS),
    ("/daybook.booking.v1.BookingService/GetAvailability", Access::Pages, KEYS),
    ("/daybook.booking.v1.CatalogueService/CreateAppointmentType", STAFF, KEYS),
    ("/daybook.booking.v1.CatalogueService/UpdateAppointmentType", STAFF, KEYS),
    ("/daybook.booking.v1.CatalogueService/ArchiveAppointmentType", STAFF, KEYS),
    ("/daybook.booking.v1.CatalogueService/OfferAppointmentType", STAFF, KEYS),
    ("/daybook.booking.v1.CatalogueService/WithdrawAppointmentType", STAFF, KEYS),
    ("/daybook.booking.v1.CatalogueService/GetAppointmentType", Access::Pages, KEYS),
    ("/daybook.booking.v1.CatalogueService/ListAppointmentTypes", Access::Pages, KEYS),
    ("/daybook.booking.v1.CatalogueService/ListOfferings", Access::Pages, KEYS),
    ("/daybook.booking.v1.AvailabilityService/ListSlots", Access::Pages, KEYS),
    ("/daybook.booking.v1.AvailabilityService/FindFirstSlot", Access::Pages, KEYS),
    ("/daybook.booking.v1.AvailabilityService/ExplainSlot", Access::Pages, KEYS),
    ("/daybook.booking.v1.ScheduleService/CreateSchedule", STAFF, KEYS),
    ("/daybook.booking.v1.ScheduleService/DeleteSchedule", STAFF, KEYS),
    ("/daybook.booking.v1.ScheduleService/CreateTimeOff", STAFF, KEYS),
    ("/daybook.booking.v1.ScheduleService/DeleteTimeOff", STAFF, KEYS),
    ("/daybook.booking.v1.ScheduleService/ListTimeOff", STAFF, KEYS),
    ("/daybook.booking.v1.ScheduleService/ListSchedules", ALL, KEYS),
    ("/daybook.booking.v1.ScheduleService/ListClosures", ALL, KEYS),
    ("/daybook.booking.v1.ScheduleService/CreateClosure", ADMINS, KEYS),
    ("/daybook.booking.v1.ScheduleService/DeleteClosure", ADMINS, KEYS),
    ("/daybook.booking.v1.BookingService/ApproveAppointment", STAFF, KEYS),
    ("/daybook.booking.v1.BookingService/DeclineAppointment", STAFF, KEYS),
    ("/daybook.booking.v1.BookingService/MarkNoShow", STAFF, KEYS),
    ("/daybook.booking.v1.BookingService/CorrectAppointment", STAFF, KEYS),
    ("/daybook.booking.v1.BookingService/ReassignAppointment", STAFF, KEYS),
    ("/daybook.booking.v1.BookingService/UpdateAppointment", STAFF, KEYS),
    ("/daybook.booking.v1.BookingService/RescheduleAppointment", ALL, KEYS),
    ("/daybook.booking.v1.BookingService/ListAppointmentEvents", ALL, KEYS),
    ("/daybook.booking.v1.BookingService/GetCalendar", STAFF, KEYS),
    ("/daybook.booking.v1.BookingService/ListHolds", ALL, KEYS),
    ("/daybook.booking.v1.BookingService/HoldSlot", ALL, KEYS),
    ("/daybook.booking.v1.BookingService/ExtendHold", ALL, KEYS),
    ("/daybook.booking.v1.BookingService/ReleaseHold", ALL, KEYS),
    ("/daybook.booking.v1.WatchService/ListEvents", ALL, KEYS),
    ("/daybook.booking.v1.WatchService/WatchEvents", ALL, KEYS),
    // Probes and tools have no token. Reflection is not served at all where the setting is off.
    ("/grpc.health.v1.Health/Check", Access::Open, PEOPLE),
    ("/grpc.health.v1.Health/Watch", Access::Open, PEOPLE),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Open, PEOPLE),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Open, PEOPLE),
];

/// What is known of a method: its line in the table, and what follows from its descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The method.
    pub method: Method,
    /// Who may call it.
    pub access: Access,
    /// Whether scopes may name it.
    pub scoped: Scoped,
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
    let entry = |&(path, access, scoped): &(&'static str, Access, Scoped)| {
        let &(class, is_stream) = described.get(path)?;
        Some((path, Entry { method: Method(path), access, scoped, class, is_stream }))
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
        true if method.client_streaming() => Class::Stream,
        true => Class::Watch,
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
}

/// Whether an API key may have this scope: a method that it may be for, or a service all of whose methods
/// are such.
pub fn is_scope(scope: &str) -> bool {
    let is_of = |(path, ..): &&(&'static str, Access, Scoped)| {
        let rest = Method(path).scope().strip_prefix(scope);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut methods = TABLE.iter().filter(is_of).peekable();
    methods.peek().is_some() && methods.all(|(_, _, scoped)| *scoped == Scoped::Keys)
}
