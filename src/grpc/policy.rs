//! The policy table: which roles may call a method at all.
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

const ALL: Access = Access::Roles(&[Role::Customer, Role::Provider, Role::Admin]);
const STAFF: Access = Access::Roles(&[Role::Provider, Role::Admin]);
const ADMINS: Access = Access::Roles(&[Role::Admin]);

/// Every method that is served.
pub const TABLE: &[(&str, Access)] = &[
    ("/daybook.auth.v1.AuthService/SignUp", Access::Open),
    ("/daybook.auth.v1.AuthService/LogIn", Access::Open),
    ("/daybook.auth.v1.AuthService/RefreshTokens", Access::Open),
    ("/daybook.auth.v1.AuthService/LogOut", ALL),
    ("/daybook.auth.v1.AuthService/ListSessions", ALL),
    ("/daybook.auth.v1.AuthService/RevokeSession", ALL),
    ("/daybook.auth.v1.AuthService/RevokeAllSessions", ALL),
    ("/daybook.auth.v1.AuthService/ListAuditEvents", ADMINS),
    ("/daybook.auth.v1.AuthService/GetMe", ALL),
    ("/daybook.auth.v1.AuthService/UpdateMe", ALL),
    ("/daybook.auth.v1.AuthService/ChangePassword", ALL),
    ("/daybook.auth.v1.AuthService/ListUsers", ADMINS),
    ("/daybook.auth.v1.AuthService/GetUser", ADMINS),
    ("/daybook.auth.v1.AuthService/SetUserRole", ADMINS),
    ("/daybook.auth.v1.AuthService/DisableUser", ADMINS),
    ("/daybook.auth.v1.AuthService/EnableUser", ADMINS),
    ("/daybook.booking.v1.ScheduleService/ListProviders", Access::Pages),
    ("/daybook.booking.v1.ScheduleService/GetProvider", Access::Pages),
    ("/daybook.booking.v1.ScheduleService/GetSchedule", ALL),
    ("/daybook.booking.v1.ScheduleService/UpdateSchedule", STAFF),
    ("/daybook.booking.v1.BookingService/BookAppointment", ALL),
    ("/daybook.booking.v1.BookingService/GetAppointment", ALL),
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
    ("/daybook.booking.v1.BookingService/ReassignAppointment", STAFF),
    ("/daybook.booking.v1.BookingService/UpdateAppointment", STAFF),
    ("/daybook.booking.v1.BookingService/RescheduleAppointment", ALL),
    ("/daybook.booking.v1.BookingService/ListAppointmentEvents", ALL),
    ("/daybook.booking.v1.BookingService/HoldSlot", ALL),
    ("/daybook.booking.v1.BookingService/ExtendHold", ALL),
    ("/daybook.booking.v1.BookingService/ReleaseHold", ALL),
    // Probes and tools have no token. Reflection is not served at all where the setting is off.
    ("/grpc.health.v1.Health/Check", Access::Open),
    ("/grpc.health.v1.Health/Watch", Access::Open),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Open),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Open),
];

/// The methods that answer with a stream. They have no deadline unless the caller sets one.
const STREAMS: &[&str] = &[
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Who may call the method with this path, if there is such a method. Paths are compared byte by byte.
pub fn access(path: &str) -> Option<Access> {
    TABLE.iter().find(|(method, _)| *method == path).map(|(_, access)| *access)
}

/// Whether the method answers with a stream.
pub fn is_stream(path: &str) -> bool {
    STREAMS.contains(&path)
}

/// Whether the call is a probe, which is never shed.
pub fn is_probe(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/")
}
