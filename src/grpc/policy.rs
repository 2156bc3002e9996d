//! The policy table: which roles may call a method at all, and what sort of call it is.
//!
//! Everything that is served has an entry; what has none is refused as unknown, and a test compares
//! the table with the descriptor set, so a new method without an entry fails the build.

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
pub const TABLE: &[(&str, Access, Class)] = &[
    ("/daybook.auth.v1.AuthService/SignUp", Access::Open, Class::LogIn),
    ("/daybook.auth.v1.AuthService/LogIn", Access::Open, Class::LogIn),
    ("/daybook.auth.v1.AuthService/CompleteLogIn", Access::Open, Class::Write),
    ("/daybook.auth.v1.AuthService/RefreshTokens", Access::Open, Class::Write),
    ("/daybook.auth.v1.AuthService/LogOut", ALL, Class::Write),
    ("/daybook.auth.v1.AuthService/ListSessions", ALL, Class::Read),
    ("/daybook.auth.v1.AuthService/RevokeSession", ALL, Class::Write),
    ("/daybook.auth.v1.AuthService/RevokeAllSessions", ALL, Class::Write),
    ("/daybook.auth.v1.AuthService/ListAuditEvents", ADMINS, Class::Read),
    ("/daybook.auth.v1.EmailService/VerifyEmail", Access::Open, Class::LogIn),
    ("/daybook.auth.v1.EmailService/RequestEmailVerification", ALL, Class::Write),
    ("/daybook.auth.v1.EmailService/RequestPasswordReset", Access::Open, Class::Write),
    ("/daybook.auth.v1.EmailService/ResetPassword", Access::Open, Class::LogIn),
    ("/daybook.auth.v1.EmailService/RequestEmailChange", ALL, Class::LogIn),
    ("/daybook.auth.v1.EmailService/ConfirmEmailChange", Access::Open, Class::Write),
    ("/daybook.auth.v1.AuthService/GetJwks", Access::Open, Class::Read),
    ("/daybook.auth.v1.AuthService/GetMe", ALL, Class::Read),
    ("/daybook.auth.v1.AuthService/UpdateMe", ALL, Class::Write),
    ("/daybook.auth.v1.AuthService/ChangePassword", ALL, Class::LogIn),
    ("/daybook.auth.v1.AuthService/ListUsers", ADMINS, Class::Read),
    ("/daybook.auth.v1.AuthService/GetUser", ADMINS, Class::Read),
    ("/daybook.auth.v1.AuthService/CreateUser", ADMINS, Class::Write),
    ("/daybook.auth.v1.AuthService/SetUserRole", ADMINS, Class::Write),
    ("/daybook.auth.v1.AuthService/DisableUser", ADMINS, Class::Write),
    ("/daybook.auth.v1.AuthService/EnableUser", ADMINS, Class::Write),
    ("/daybook.auth.v1.SecondFactorService/GetSecondFactor", ALL, Class::Read),
    ("/daybook.auth.v1.SecondFactorService/EnrolTotp", ALL, Class::LogIn),
    ("/daybook.auth.v1.SecondFactorService/ConfirmTotp", ALL, Class::Write),
    ("/daybook.auth.v1.SecondFactorService/RegenerateRecoveryCodes", ALL, Class::LogIn),
    ("/daybook.auth.v1.SecondFactorService/DisableTotp", ALL, Class::LogIn),
    ("/daybook.auth.v1.SecondFactorService/EnrolTotpAtLogIn", Access::Open, Class::Write),
    ("/daybook.auth.v1.SecondFactorService/ResetSecondFactor", ADMINS, Class::Write),
    ("/daybook.auth.v1.ServiceAccountService/CreateServiceAccount", ADMINS, Class::Write),
    ("/daybook.auth.v1.ServiceAccountService/GetServiceAccount", ADMINS, Class::Read),
    ("/daybook.auth.v1.ServiceAccountService/ListServiceAccounts", ADMINS, Class::Read),
    ("/daybook.auth.v1.ServiceAccountService/UpdateServiceAccount", ADMINS, Class::Write),
    ("/daybook.auth.v1.ServiceAccountService/DisableServiceAccount", ADMINS, Class::Write),
    ("/daybook.auth.v1.ServiceAccountService/EnableServiceAccount", ADMINS, Class::Write),
    ("/daybook.auth.v1.ServiceAccountService/CreateApiKey", ADMINS, Class::Write),
    ("/daybook.auth.v1.ServiceAccountService/ListApiKeys", ADMINS, Class::Read),
    ("/daybook.auth.v1.ServiceAccountService/RevokeApiKey", ADMINS, Class::Write),
    ("/daybook.auth.v1.CustomerService/SearchCustomers", STAFF, Class::Read),
    ("/daybook.auth.v1.CustomerService/GetCustomer", STAFF, Class::Read),
    ("/daybook.auth.v1.CustomerService/EnrolCustomer", STAFF, Class::Write),
    ("/daybook.auth.v1.CustomerService/InviteCustomer", STAFF, Class::Write),
    ("/daybook.auth.v1.CustomerService/UpdateCustomer", ADMINS, Class::Write),
    ("/daybook.auth.v1.CustomerService/MergeCustomers", ADMINS, Class::Write),
    ("/daybook.auth.v1.PersonalDataService/ExportMyData", ALL, Class::LogIn),
    ("/daybook.auth.v1.PersonalDataService/DeleteMyAccount", ALL, Class::LogIn),
    ("/daybook.auth.v1.PersonalDataService/EraseUser", ADMINS, Class::Write),
    ("/daybook.booking.v1.ScheduleService/ListProviders", Access::Pages, Class::Read),
    ("/daybook.booking.v1.ScheduleService/GetProvider", Access::Pages, Class::Read),
    ("/daybook.booking.v1.ScheduleService/GetSchedule", ALL, Class::Read),
    ("/daybook.booking.v1.ScheduleService/UpdateSchedule", STAFF, Class::Write),
    ("/daybook.booking.v1.BookingService/BookAppointment", ALL, Class::Write),
    ("/daybook.booking.v1.BookingService/GetAppointment", ALL, Class::Read),
    ("/daybook.booking.v1.BookingService/BatchGetAppointments", ALL, Class::Read),
    ("/daybook.booking.v1.BookingService/ListAppointments", ALL, Class::Read),
    ("/daybook.booking.v1.BookingService/CancelAppointment", ALL, Class::Write),
    ("/daybook.booking.v1.BookingService/CompleteAppointment", STAFF, Class::Write),
    ("/daybook.booking.v1.BookingService/GetAvailability", Access::Pages, Class::Read),
    ("/daybook.booking.v1.CatalogueService/CreateAppointmentType", STAFF, Class::Write),
    ("/daybook.booking.v1.CatalogueService/UpdateAppointmentType", STAFF, Class::Write),
    ("/daybook.booking.v1.CatalogueService/ArchiveAppointmentType", STAFF, Class::Write),
    ("/daybook.booking.v1.CatalogueService/OfferAppointmentType", STAFF, Class::Write),
    ("/daybook.booking.v1.CatalogueService/WithdrawAppointmentType", STAFF, Class::Write),
    ("/daybook.booking.v1.CatalogueService/GetAppointmentType", Access::Pages, Class::Read),
    ("/daybook.booking.v1.CatalogueService/ListAppointmentTypes", Access::Pages, Class::Read),
    ("/daybook.booking.v1.CatalogueService/ListOfferings", Access::Pages, Class::Read),
    ("/daybook.booking.v1.AvailabilityService/ListSlots", Access::Pages, Class::Read),
    ("/daybook.booking.v1.AvailabilityService/FindFirstSlot", Access::Pages, Class::Read),
    ("/daybook.booking.v1.AvailabilityService/ExplainSlot", Access::Pages, Class::Read),
    ("/daybook.booking.v1.ScheduleService/CreateSchedule", STAFF, Class::Write),
    ("/daybook.booking.v1.ScheduleService/DeleteSchedule", STAFF, Class::Write),
    ("/daybook.booking.v1.ScheduleService/CreateTimeOff", STAFF, Class::Write),
    ("/daybook.booking.v1.ScheduleService/DeleteTimeOff", STAFF, Class::Write),
    ("/daybook.booking.v1.ScheduleService/ListTimeOff", STAFF, Class::Read),
    ("/daybook.booking.v1.ScheduleService/ListSchedules", ALL, Class::Read),
    ("/daybook.booking.v1.ScheduleService/ListClosures", ALL, Class::Read),
    ("/daybook.booking.v1.ScheduleService/CreateClosure", ADMINS, Class::Write),
    ("/daybook.booking.v1.ScheduleService/DeleteClosure", ADMINS, Class::Write),
    ("/daybook.booking.v1.BookingService/ApproveAppointment", STAFF, Class::Write),
    ("/daybook.booking.v1.BookingService/DeclineAppointment", STAFF, Class::Write),
    ("/daybook.booking.v1.BookingService/MarkNoShow", STAFF, Class::Write),
    ("/daybook.booking.v1.BookingService/CorrectAppointment", STAFF, Class::Write),
    ("/daybook.booking.v1.BookingService/ReassignAppointment", STAFF, Class::Write),
    ("/daybook.booking.v1.BookingService/UpdateAppointment", STAFF, Class::Write),
    ("/daybook.booking.v1.BookingService/RescheduleAppointment", ALL, Class::Write),
    ("/daybook.booking.v1.BookingService/ListAppointmentEvents", ALL, Class::Read),
    ("/daybook.booking.v1.BookingService/GetCalendar", STAFF, Class::Read),
    ("/daybook.booking.v1.BookingService/ListHolds", ALL, Class::Read),
    ("/daybook.booking.v1.BookingService/HoldSlot", ALL, Class::Write),
    ("/daybook.booking.v1.BookingService/ExtendHold", ALL, Class::Write),
    ("/daybook.booking.v1.BookingService/ReleaseHold", ALL, Class::Write),
    // Probes and tools have no token. Reflection is not served at all where the setting is off.
    ("/grpc.health.v1.Health/Check", Access::Open, Class::Probe),
    ("/grpc.health.v1.Health/Watch", Access::Open, Class::Probe),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Open, Class::Stream),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Open, Class::Stream),
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

/// The methods that answer with a stream. They have no deadline unless the caller sets one.
const STREAMS: &[&str] = &[
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Who may call the method with this path and what sort of call it is, if there is such a method. Paths
/// are compared byte by byte.
pub fn entry(path: &str) -> Option<(Access, Class)> {
    let found = TABLE.iter().find(|(method, ..)| *method == path);
    found.map(|(_, access, class)| (*access, *class))
}

/// A method that is served, as the table spells its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method(pub &'static str);

impl Method {
    /// The method with this path, if there is such a method.
    pub fn of(path: &str) -> Option<Self> {
        let found = TABLE.iter().find(|(method, ..)| *method == path);
        found.map(|(method, ..)| Self(method))
    }

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

/// Whether the method answers with a stream.
pub fn is_stream(path: &str) -> bool {
    STREAMS.contains(&path)
}
