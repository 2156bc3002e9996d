//! Permits: proof, as a value, that a caller may do one thing to one subject.
//!
//! Made only by the functions here, which are pure functions of caller and subject. A service function
//! that changes or shows something takes the permit as an argument, so a forgotten check does not
//! compile. Another person's resource is `NOT_FOUND`, as if it did not exist; `PERMISSION_DENIED` is for
//! what a role may never do, and is decided by the policy table before.

use aws_lc_rs::constant_time;

use super::{Caller, Role};
use crate::kernel::{
    fault::{Fault, Reason},
    id::{AppointmentId, ProviderId, TypeId, UserId},
};

/// May look after all accounts.
#[derive(Debug, Clone, Copy)]
pub struct ManageUsers {
    /// The admin.
    pub admin: UserId,
    /// The same, with what was shown.
    pub caller: Caller,
}

/// May see and end the log-ins of this account.
#[derive(Debug, Clone, Copy)]
pub struct RunSessions {
    /// The account.
    pub user: UserId,
}

/// May change this other account.
#[derive(Debug, Clone, Copy)]
pub struct ChangeUser {
    /// The admin.
    pub admin: UserId,
    /// The account.
    pub subject: UserId,
}

/// May change this schedule.
#[derive(Debug, Clone, Copy)]
pub struct EditSchedule {
    /// Who changes it.
    pub editor: UserId,
    /// Whose schedule it is.
    pub provider: ProviderId,
}

/// May see this provider's time off, and why it is taken.
#[derive(Debug, Clone, Copy)]
pub struct SeeTimeOff {
    /// Whose it is.
    pub provider: ProviderId,
}

/// May see this provider's calendar: hours, appointments, holds and time off.
#[derive(Debug, Clone, Copy)]
pub struct SeeCalendar {
    /// Whose it is.
    pub provider: ProviderId,
}

/// May close the whole practice.
#[derive(Debug, Clone, Copy)]
pub struct ClosePractice {
    /// The admin.
    pub admin: UserId,
}

/// May book this provider's time for this customer.
#[derive(Debug, Clone, Copy)]
pub struct Book {
    /// The authenticated caller.
    pub caller: Caller,
    /// Who will come.
    pub customer: UserId,
    /// Whose time it is.
    pub provider: ProviderId,
    /// Whether the caller is the provider or an admin.
    pub is_staff: bool,
}

/// May see this appointment.
#[derive(Debug, Clone, Copy)]
pub struct SeeAppointment(());

/// May cancel this appointment.
#[derive(Debug, Clone, Copy)]
pub struct CancelAppointment(());

/// May answer, mark, annotate and reassign this appointment.
#[derive(Debug, Clone, Copy)]
pub struct RunAppointment(());

/// May list appointments within these bounds, which every query carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListAppointments {
    /// Only this provider's, if set.
    pub provider: Option<ProviderId>,
    /// Only this customer's, if set.
    pub customer: Option<UserId>,
    /// The caller sees all of them as the provider's side does, and not as their customer.
    pub is_staff: bool,
}

/// What decides who may do what with an appointment type.
#[derive(Debug, Clone, Copy)]
pub struct TypeSubject<'t> {
    /// The appointment type.
    pub id: TypeId,
    /// Whose own it is; nobody's means the practice's.
    pub owner: Option<ProviderId>,
    /// What opens it, where it is private.
    pub link_code: Option<&'t str>,
}

/// May add an appointment type.
#[derive(Debug, Clone, Copy)]
pub struct CreateType {
    /// Who adds it.
    pub editor: UserId,
    /// Whose own it will be; nobody's means the practice's.
    pub owner: Option<ProviderId>,
}

/// May change this appointment type.
#[derive(Debug, Clone, Copy)]
pub struct ManageType {
    /// Who changes it.
    pub editor: UserId,
}

/// May see this appointment type.
#[derive(Debug, Clone, Copy)]
pub struct SeeType(());

/// May list appointment types, and who offers them, within these bounds, which every query carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListTypes {
    /// All there are: what is private, and what is of providers who cannot be booked.
    pub everything: bool,
    /// Also what is private to this provider.
    pub own: Option<ProviderId>,
}

/// May say what this provider offers.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Who says so.
    pub editor: UserId,
    /// Who will be booked.
    pub provider: ProviderId,
    /// Whether the editor manages every type.
    pub everything: bool,
}

/// Admins look after accounts.
pub fn manage_users(caller: Caller) -> Result<ManageUsers, Fault> {
    match caller.role {
        Role::Admin => Ok(ManageUsers { admin: caller.user, caller }),
        Role::Customer | Role::Provider => Err(role_not_allowed()),
    }
}

/// Admins look after service accounts, in person: no API key makes another one.
pub fn manage_services(caller: Caller) -> Result<ManageUsers, Fault> {
    if caller.service.is_some() {
        return Err(role_not_allowed());
    }
    manage_users(caller)
}

/// Everybody sees and ends their own log-ins, admins anybody's.
pub fn run_sessions(caller: Caller, user: UserId) -> Result<RunSessions, Fault> {
    if caller.user == user || caller.role == Role::Admin {
        return Ok(RunSessions { user });
    }
    Err(Fault::not_found(user.name()))
}

/// Admins change other accounts, not their own.
pub fn change_user(caller: Caller, subject: UserId) -> Result<ChangeUser, Fault> {
    let ManageUsers { admin, .. } = manage_users(caller)?;
    if admin == subject {
        return Err(Fault::new(
            Reason::OwnAccount,
            "admins cannot do this to their own account; ask another admin",
        ));
    }
    Ok(ChangeUser { admin, subject })
}

/// Providers change their own schedule, admins anybody's.
pub fn edit_schedule(caller: Caller, provider: ProviderId) -> Result<EditSchedule, Fault> {
    edit_plan(caller, provider, || provider.schedule_name())
}

/// Providers change what belongs to their own schedules, admins anybody's. `resource` is what the caller
/// asked for, which is as if it did not exist for others.
pub fn edit_plan(
    caller: Caller,
    provider: ProviderId,
    resource: impl FnOnce() -> String,
) -> Result<EditSchedule, Fault> {
    let allowed = match caller.role {
        Role::Customer => return Err(role_not_allowed()),
        Role::Provider => caller.user.as_provider() == provider,
        Role::Admin => true,
    };
    if !allowed {
        return Err(Fault::not_found(resource()));
    }
    Ok(EditSchedule { editor: caller.user, provider })
}

/// Whether somebody manages the types of this owner: admins all, providers their own.
pub fn manages_types(caller: Option<Caller>, owner: Option<ProviderId>) -> bool {
    caller.is_some_and(|caller| match caller.role {
        Role::Customer => false,
        Role::Provider => owner == Some(caller.user.as_provider()),
        Role::Admin => true,
    })
}

/// Admins add shared types and anybody's own, providers their own.
pub fn create_type(caller: Caller, owner: Option<ProviderId>) -> Result<CreateType, Fault> {
    if manages_types(Some(caller), owner) {
        return Ok(CreateType { editor: caller.user, owner });
    }
    match (caller.role, owner) {
        (Role::Provider, Some(other)) => Err(Fault::not_found(other.name())),
        _ => Err(role_not_allowed()),
    }
}

/// Admins change all types, providers their own. Of the others a public one is told apart from one that
/// does not exist, since everybody sees it.
pub fn manage_type(caller: Caller, subject: TypeSubject<'_>) -> Result<ManageType, Fault> {
    if manages_types(Some(caller), subject.owner) {
        return Ok(ManageType { editor: caller.user });
    }
    if caller.role == Role::Customer || subject.link_code.is_none() {
        return Err(role_not_allowed());
    }
    Err(Fault::not_found(subject.id.name()))
}

/// Everybody sees public types; private ones are seen by those who manage or offer them, and by those who
/// have the link code.
pub fn see_type(
    caller: Option<Caller>,
    subject: TypeSubject<'_>,
    link_code: &str,
    offers: bool,
) -> Result<SeeType, Fault> {
    let opens = |code: &str| {
        // In constant time, so that a code cannot be found character by character.
        constant_time::verify_slices_are_equal(code.as_bytes(), link_code.as_bytes()).is_ok()
    };
    if subject.link_code.is_none_or(opens) || manages_types(caller, subject.owner) || offers {
        return Ok(SeeType(()));
    }
    Err(Fault::not_found(subject.id.name()))
}

/// Everybody lists types and offerings: admins all, others the public ones, and providers what is their
/// own too.
pub fn list_types(caller: Option<Caller>) -> ListTypes {
    let is = |role| caller.filter(|caller| caller.role == role);
    ListTypes {
        everything: is(Role::Admin).is_some(),
        own: is(Role::Provider).map(|caller| caller.user.as_provider()),
    }
}

/// Providers say what they offer themselves, admins what anybody offers.
pub fn offer(caller: Caller, provider: ProviderId) -> Result<Offer, Fault> {
    let everything = match caller.role {
        Role::Customer => return Err(role_not_allowed()),
        Role::Provider if caller.user.as_provider() != provider => {
            return Err(Fault::not_found(provider.name()));
        }
        Role::Provider => false,
        Role::Admin => true,
    };
    Ok(Offer { editor: caller.user, provider, everything })
}

/// Admins begin every offering, providers that of their own types: what the practice offers, and so whom
/// it trusts with its customers, is for the practice to say.
pub fn begin_offering(permit: Offer, owner: Option<ProviderId>) -> Result<(), Fault> {
    if permit.everything || owner == Some(permit.provider) {
        return Ok(());
    }
    Err(Fault::new(
        Reason::RoleNotAllowed,
        "an admin lets a provider be booked for a shared appointment type; ask one",
    ))
}

/// Providers see their own time off, admins anybody's.
pub fn see_time_off(caller: Caller, provider: ProviderId) -> Result<SeeTimeOff, Fault> {
    edit_plan(caller, provider, || provider.name()).map(|_| SeeTimeOff { provider })
}

/// Providers see their own calendar, admins anybody's.
pub fn see_calendar(caller: Caller, provider: ProviderId) -> Result<SeeCalendar, Fault> {
    edit_plan(caller, provider, || provider.name()).map(|_| SeeCalendar { provider })
}

/// Admins close the practice.
pub fn close_practice(caller: Caller) -> Result<ClosePractice, Fault> {
    manage_users(caller).map(|ManageUsers { admin, .. }| ClosePractice { admin })
}

/// Everybody books for themselves, with anybody but themselves; providers book their own time for a
/// customer, and admins anybody's.
pub fn book(caller: Caller, provider: ProviderId, customer: Option<UserId>) -> Result<Book, Fault> {
    let is_staff = is_staff(caller, provider);
    let customer = customer_of(caller, customer)?;
    if customer != caller.user && !is_staff {
        return Err(role_not_allowed());
    }
    not_own_time(customer, provider)?;
    Ok(Book { caller, customer, provider, is_staff })
}

/// For whom a caller books: whom they name, or themselves. A service account is nobody's customer.
fn customer_of(caller: Caller, customer: Option<UserId>) -> Result<UserId, Fault> {
    let customer = customer.unwrap_or(caller.user);
    if customer == caller.user && caller.is_service() {
        return Err(Fault::new(
            Reason::RoleNotAllowed,
            "a service account is nobody's customer: name one, or act for one",
        ));
    }
    Ok(customer)
}

/// Nobody is their own customer.
pub fn not_own_time(customer: UserId, provider: ProviderId) -> Result<(), Fault> {
    if customer.as_provider() != provider {
        return Ok(());
    }
    Err(Fault::new(Reason::OwnTime, "providers cannot book themselves; choose another provider"))
}

/// Whether the caller acts for a provider: is the provider, or an admin. Who is a provider no more keeps
/// no right to the appointments of that time.
pub fn is_staff(caller: Caller, provider: ProviderId) -> bool {
    match caller.role {
        Role::Customer => false,
        Role::Provider => caller.user.as_provider() == provider,
        Role::Admin => true,
    }
}

/// With whom a caller may book for this customer where no provider is named; none is anybody. Providers
/// book their own time for others, admins anybody's.
pub fn book_anybody(caller: Caller, customer: Option<UserId>) -> Result<Option<ProviderId>, Fault> {
    let for_other = customer_of(caller, customer)? != caller.user;
    match caller.role {
        Role::Customer if for_other => Err(role_not_allowed()),
        Role::Provider if for_other => Ok(Some(caller.user.as_provider())),
        Role::Customer | Role::Provider | Role::Admin => Ok(None),
    }
}

/// Whether somebody may ask about this provider's time for a customer, where they may ask about one alone.
pub fn ask_about(only: Option<ProviderId>, provider: ProviderId) -> Result<(), Fault> {
    match only {
        Some(only) if only != provider => Err(role_not_allowed()),
        _ => Ok(()),
    }
}

/// Those who act for a provider may act against the rules, with a reason; an empty one is none.
pub fn override_rules(caller: Caller, provider: ProviderId, reason: &str) -> Result<(), Fault> {
    if reason.is_empty() || is_staff(caller, provider) {
        return Ok(());
    }
    Err(role_not_allowed())
}

/// Its customer, its provider and admins see an appointment.
pub fn see_appointment(
    caller: Caller,
    provider: ProviderId,
    id: AppointmentId,
    customer: UserId,
) -> Result<SeeAppointment, Fault> {
    if is_party(caller, provider, customer) {
        return Ok(SeeAppointment(()));
    }
    Err(Fault::not_found(id.name(provider)))
}

/// Those who see an appointment see what happened to it, and so does who has it now, where it was
/// reassigned. The providers are its own and the present one.
pub fn see_events(
    caller: Caller,
    (provider, present): (ProviderId, ProviderId),
    id: AppointmentId,
    customer: UserId,
) -> Result<SeeAppointment, Fault> {
    if is_staff(caller, present) {
        return Ok(SeeAppointment(()));
    }
    see_appointment(caller, provider, id, customer)
}

/// Its customer, its provider and admins cancel an appointment.
pub fn cancel_appointment(
    caller: Caller,
    provider: ProviderId,
    id: AppointmentId,
    customer: UserId,
) -> Result<CancelAppointment, Fault> {
    see_appointment(caller, provider, id, customer).map(|_| CancelAppointment(()))
}

/// Its provider and admins answer, mark, annotate and reassign an appointment. Its customer, who may see
/// it, is told that the role does not allow it.
pub fn run_appointment(
    caller: Caller,
    provider: ProviderId,
    id: AppointmentId,
    customer: UserId,
) -> Result<RunAppointment, Fault> {
    see_appointment(caller, provider, id, customer)?;
    if is_staff(caller, provider) {
        return Ok(RunAppointment(()));
    }
    Err(role_not_allowed())
}

/// Everybody lists the appointments in which they take part, admins all. With no bounds asked for, an
/// admin lists everybody's and anybody else their own as customer.
pub fn list_appointments(
    caller: Caller,
    provider: Option<ProviderId>,
    customer: Option<UserId>,
) -> Result<ListAppointments, Fault> {
    let own_provider = provider.is_some_and(|provider| is_staff(caller, provider));
    let own_customer = customer == Some(caller.user);
    if caller.role == Role::Admin || own_customer || own_provider {
        let is_staff = caller.role == Role::Admin || own_provider;
        return Ok(ListAppointments { provider, customer, is_staff });
    }
    match (provider, customer) {
        (None, None) => {
            Ok(ListAppointments { provider, customer: Some(caller.user), is_staff: false })
        }
        (Some(other), None) => Err(Fault::not_found(other.name())),
        (_, Some(other)) => Err(Fault::not_found(other.name())),
    }
}

fn is_party(caller: Caller, provider: ProviderId, customer: UserId) -> bool {
    caller.user == customer || is_staff(caller, provider)
}

pub(super) fn role_not_allowed() -> Fault {
    Fault::new(Reason::RoleNotAllowed, "the caller's role does not allow this")
}
