//! `daybook.auth.v1.CustomerService`.

use tonic::{Request, Response, Status};

use super::{
    Api,
    auth::USER_NAME,
    auth_wire as wire,
    convert::{Mask, etag, mask, name, only_name, optional, read_etag, timestamp, zone},
    open::{Opened, OpenedWrite, open},
    page::cut,
};
use crate::grpc::proto::auth::{self as pb, customer_service_server::CustomerService};
use crate::{
    accounts::{
        LONGEST_NAME, User,
        customers::{Correction, Cursor, search_terms::SearchTerm, service::Newcomer},
    },
    identity::{Role, desk_permit, email::Email, phone::Phone},
    kernel::{
        fault::{Fault, Violations},
        id::UserId,
        page::page_size,
        text,
        zone::ZoneData,
    },
};

/// The longest prefix that is looked for, in characters: that of an address.
const LONGEST_PREFIX: usize = 254;
/// The fields that an admin corrects.
const CORRECTED: [&str; 4] = ["display_name", "email", "phone", "time_zone"];

#[tonic::async_trait]
impl CustomerService for Api {
    async fn search_customers(
        &self,
        request: Request<pb::SearchCustomersRequest>,
    ) -> Result<Response<pb::SearchCustomersResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } = open(request)?;
        let permit = desk_permit::find_customers(caller)?;
        let query = format!("customers {} {:?}", caller.user, message.prefix);
        let prefix = violations.keep("prefix", text::lines(&message.prefix, LONGEST_PREFIX));
        let needle = prefix.and_then(|prefix| {
            let needle = SearchTerm::new(&prefix).ok_or("must hold a letter, a digit or a plus");
            violations.keep("prefix", needle)
        });
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let after = self.pages.read::<Cursor>(&query, &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        violations.finish()?;
        let (needle, limit) = (needle.ok_or_else(Fault::unchecked)?, u64::from(size) + 1);
        let found = self.accounts.customers.search(deadline, permit, needle, after, limit).await?;
        let last = |(_, cursor): &(User, Cursor)| cursor.clone();
        let (found, next_page_token) = cut(found, size, &self.pages, &query, last);
        let customers = found.iter().map(|(user, _)| customer(user)).collect();
        Ok(Response::new(pb::SearchCustomersResponse { customers, next_page_token }))
    }

    async fn get_customer(
        &self,
        request: Request<pb::GetCustomerRequest>,
    ) -> Result<Response<pb::GetCustomerResponse>, Status> {
        let Opened { deadline, caller, message, .. } = open(request)?;
        let permit = desk_permit::find_customers(caller)?;
        let id = only_name("name", &message.name, UserId::parse, USER_NAME)?;
        let found = self.accounts.customers.get(deadline, permit, id).await?;
        Ok(Response::new(pb::GetCustomerResponse { customer: Some(customer(&found)) }))
    }

    async fn enrol_customer(
        &self,
        request: Request<pb::EnrolCustomerRequest>,
    ) -> Result<Response<pb::EnrolCustomerResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            mut violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let permit = desk_permit::enrol_customers(caller)?;
        let new = enrolled(&message, &self.ambient.zones(), &mut violations);
        let new = violations.finish_with(new)?;
        let enrol = |idempotency_key| {
            self.accounts.customers.enrol(deadline, permit, new, idempotency_key, origin)
        };
        let user = idempotency_key.carry_out(deadline, enrol).await?;
        Ok(Response::new(pb::EnrolCustomerResponse { customer: Some(customer(&user)) }))
    }

    async fn invite_customer(
        &self,
        request: Request<pb::InviteCustomerRequest>,
    ) -> Result<Response<pb::InviteCustomerResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            mut violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let permit = desk_permit::enrol_customers(caller)?;
        let id = violations.keep("name", name(&message.name, UserId::parse, USER_NAME));
        let id = violations.finish_with(id)?;
        let invite = |idempotency_key| {
            self.accounts.customers.invite(deadline, permit, id, idempotency_key, origin)
        };
        idempotency_key.carry_out(deadline, invite).await?;
        Ok(Response::new(pb::InviteCustomerResponse {}))
    }

    async fn update_customer(
        &self,
        request: Request<pb::UpdateCustomerRequest>,
    ) -> Result<Response<pb::UpdateCustomerResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            mut violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let named = violations.keep("update_mask", mask(message.update_mask.as_ref(), &CORRECTED));
        let Some(wanted) = &message.customer else {
            violations.add("customer", "must be set");
            return Err(violations.into_fault().into());
        };
        let id = violations.keep("customer.name", name(&wanted.name, UserId::parse, USER_NAME));
        let expected = violations.keep("customer.etag", read_etag(&wanted.etag)).flatten();
        let zones = self.ambient.zones();
        let correction = named.map(|mask| corrected(wanted, &mask, &zones, &mut violations));
        let (id, correction) = violations.finish_with((id, correction))?;
        let permit = desk_permit::correct_customer(caller, id)?;
        let what = (correction, expected);
        let correct = |idempotency_key| {
            self.accounts.customers.correct(deadline, permit, what, idempotency_key, origin)
        };
        let user = idempotency_key.carry_out(deadline, correct).await?;
        Ok(Response::new(pb::UpdateCustomerResponse { customer: Some(customer(&user)) }))
    }

    async fn merge_customers(
        &self,
        request: Request<pb::MergeCustomersRequest>,
    ) -> Result<Response<pb::MergeCustomersResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            mut violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let survivor = violations.keep("name", name(&message.name, UserId::parse, USER_NAME));
        let duplicate = name(&message.duplicate, UserId::parse, USER_NAME);
        let duplicate = violations.keep("duplicate", duplicate);
        if survivor.is_some() && survivor == duplicate {
            violations.add("duplicate", "must be another account");
        }
        let expected = violations.keep("etag", read_etag(&message.etag)).flatten();
        let both = violations.finish_with((survivor, duplicate))?;
        let permit = desk_permit::merge_customers(caller, both)?;
        let merge = |idempotency_key| {
            self.merging.merge(deadline, permit, expected, idempotency_key, origin)
        };
        let user = idempotency_key.carry_out(deadline, merge).await?;
        Ok(Response::new(pb::MergeCustomersResponse { customer: Some(customer(&user)) }))
    }
}

/// A person as the front desk sees them.
fn customer(user: &User) -> pb::Customer {
    pb::Customer {
        name: user.id.name(),
        display_name: user.display_name.clone(),
        email: user.email.address().to_owned(),
        phone: wire::phone(user),
        time_zone: user.time_zone.name().to_owned(),
        email_verified: user.email_verified_at.is_some(),
        password_set: user.has_password,
        disabled: user.disabled,
        create_time: Some(timestamp(user.created_at)),
        update_time: Some(timestamp(user.updated_at)),
        etag: etag(user.revision()),
    }
}

/// A phone number that is set, or empty for none; an error where it is wrong, which is noted.
pub(in crate::grpc) fn phone(
    field: &str,
    text: &str,
    violations: &mut Violations,
) -> Result<Option<Phone>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    violations.keep(field, Phone::parse(text)).map(Some).ok_or(())
}

/// Who is enrolled.
fn enrolled(
    message: &pb::EnrolCustomerRequest,
    zones: &ZoneData,
    violations: &mut Violations,
) -> Option<Newcomer> {
    let Some(wanted) = &message.customer else {
        violations.add("customer", "must be set");
        return None;
    };
    let name = text::line(&wanted.display_name, LONGEST_NAME);
    let display_name = violations.keep("customer.display_name", name);
    let email =
        optional(&wanted.email, |text| violations.keep("customer.email", Email::parse(text)));
    let phone = phone("customer.phone", &wanted.phone, violations);
    let time_zone = optional(&wanted.time_zone, |text| {
        violations.keep("customer.time_zone", zone(zones, text))
    });
    if wanted.email.is_empty() && wanted.phone.is_empty() {
        violations.add("customer.phone", "must be set where there is no email");
    }
    if message.invite && wanted.email.is_empty() {
        violations.add("invite", "must be false where there is no email");
    }
    let (role, invite) = (Role::Customer, message.invite);
    Some(Newcomer {
        display_name: display_name?,
        email,
        phone: phone.ok()?,
        role,
        time_zone,
        invite,
    })
}

/// Whose account an admin makes.
pub(in crate::grpc) fn created(
    message: &pb::CreateUserRequest,
    zones: &ZoneData,
    violations: &mut Violations,
) -> Option<Newcomer> {
    let name = text::line(&message.display_name, LONGEST_NAME);
    let display_name = violations.keep("display_name", name);
    let email = violations.keep("email", Email::parse(&message.email));
    let phone = phone("phone", &message.phone, violations);
    let time_zone =
        optional(&message.time_zone, |text| violations.keep("time_zone", zone(zones, text)));
    let role = wire::role(message.role).ok_or("must be ROLE_CUSTOMER, ROLE_PROVIDER or ROLE_ADMIN");
    let role = violations.keep("role", role);
    Some(Newcomer {
        display_name: display_name?,
        email: Some(email?),
        phone: phone.ok()?,
        role: role?,
        time_zone,
        invite: message.invite,
    })
}

/// What an admin corrects.
fn corrected(
    wanted: &pb::Customer,
    mask: &Mask<'_>,
    zones: &ZoneData,
    violations: &mut Violations,
) -> Correction {
    let wants = |field: &str, value: &str| mask.wants(field, !value.is_empty());
    let mut correction = Correction::default();
    if wants("display_name", &wanted.display_name) {
        let line = text::line(&wanted.display_name, LONGEST_NAME);
        correction.display_name = violations.keep("customer.display_name", line);
    }
    if wants("email", &wanted.email) {
        correction.email = if wanted.email.is_empty() {
            Some(None)
        } else {
            violations.keep("customer.email", Email::parse(&wanted.email)).map(Some)
        };
    }
    if wants("phone", &wanted.phone) {
        correction.phone = phone("customer.phone", &wanted.phone, violations).ok();
    }
    if wants("time_zone", &wanted.time_zone) {
        let zone = zone(zones, &wanted.time_zone);
        correction.time_zone = violations.keep("customer.time_zone", zone);
    }
    correction
}
