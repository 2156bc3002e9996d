//! Permits of the front desk, beside those in [`permit`](super::permit): who finds people with their contact
//! data, makes accounts for them, corrects these and merges them.

use super::{
    Caller, Role,
    permit::{manage_users, role_not_allowed},
};
use crate::kernel::{
    fault::{Fault, Reason},
    id::{ProviderId, UserId},
};

/// Whose contact data somebody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactScope {
    /// Of all accounts.
    Everybody,
    /// Of those who have or had an appointment, a request or a hold with this provider, and of those whom the
    /// provider enrolled.
    KnownTo(ProviderId),
}

/// May find people and read their contact data, as far as this reaches.
#[derive(Debug, Clone, Copy)]
pub struct FindCustomers {
    /// Which contact data the permit covers.
    pub reach: ContactScope,
}

/// May make accounts of customers, and invite these to take them over.
#[derive(Debug, Clone, Copy)]
pub struct EnrolCustomers {
    /// The staff member who enrols.
    pub caller: Caller,
    /// Whose accounts they see.
    pub reach: ContactScope,
}

/// May make accounts of any role.
#[derive(Debug, Clone, Copy)]
pub struct CreateUsers {
    /// The admin.
    pub caller: Caller,
}

/// May correct this account.
#[derive(Debug, Clone, Copy)]
pub struct CorrectCustomer {
    /// The admin.
    pub caller: Caller,
    /// The account.
    pub subject: UserId,
}

/// May let one account go into another one of the same person.
#[derive(Debug, Clone, Copy)]
pub struct MergeCustomers {
    /// The admin.
    pub caller: Caller,
    /// The account that stays.
    pub survivor: UserId,
    /// The account that goes.
    pub duplicate: UserId,
}

/// Admins, and service accounts with their role, see everybody; providers see those whom they know.
fn reach(caller: Caller) -> Result<ContactScope, Fault> {
    match caller.role {
        Role::Customer => Err(role_not_allowed()),
        Role::Provider => Ok(ContactScope::KnownTo(caller.user.as_provider())),
        Role::Admin => Ok(ContactScope::Everybody),
    }
}

/// Staff find people, as far as each of them reaches.
pub fn find_customers(caller: Caller) -> Result<FindCustomers, Fault> {
    reach(caller).map(|reach| FindCustomers { reach })
}

/// Staff enrol customers.
pub fn enrol_customers(caller: Caller) -> Result<EnrolCustomers, Fault> {
    reach(caller).map(|reach| EnrolCustomers { caller, reach })
}

/// Admins make accounts of any role, in person.
pub fn create_users(caller: Caller) -> Result<CreateUsers, Fault> {
    in_person(caller).map(|caller| CreateUsers { caller })
}

/// Admins correct accounts, in person. Their own they change themselves.
pub fn correct_customer(caller: Caller, subject: UserId) -> Result<CorrectCustomer, Fault> {
    let caller = in_person(caller)?;
    if caller.user == subject {
        return Err(Fault::new(
            Reason::OwnAccount,
            "this is the caller's own account: change it with UpdateMe and RequestEmailChange",
        ));
    }
    Ok(CorrectCustomer { caller, subject })
}

/// Admins merge accounts, in person.
pub fn merge_customers(
    caller: Caller,
    (survivor, duplicate): (UserId, UserId),
) -> Result<MergeCustomers, Fault> {
    in_person(caller).map(|caller| MergeCustomers { caller, survivor, duplicate })
}

fn in_person(caller: Caller) -> Result<Caller, Fault> {
    if caller.service.is_some() {
        return Err(role_not_allowed());
    }
    manage_users(caller).map(|_| caller)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{identity::Credential, kernel::id::ServiceAccountId};

    fn caller(role: Role, service: bool) -> Caller {
        Caller {
            user: UserId(Uuid::from_u128(1)),
            role,
            session: Uuid::nil(),
            service: service.then(|| ServiceAccountId(Uuid::from_u128(1))),
            credential: Credential::Token { generation: 0 },
        }
    }

    #[test]
    fn who_may_what_at_the_desk() {
        let other = UserId(Uuid::from_u128(2));
        let all = |caller| {
            [
                find_customers(caller).is_ok(),
                enrol_customers(caller).is_ok(),
                create_users(caller).is_ok(),
                correct_customer(caller, other).is_ok(),
                merge_customers(caller, (other, other)).is_ok(),
            ]
        };
        assert_eq!(all(caller(Role::Customer, false)), [false; 5]);
        assert_eq!(all(caller(Role::Customer, true)), [false; 5]);
        assert_eq!(all(caller(Role::Provider, false)), [true, true, false, false, false]);
        assert_eq!(all(caller(Role::Admin, false)), [true; 5]);
        assert_eq!(all(caller(Role::Admin, true)), [true, true, false, false, false]);
        let provider = caller(Role::Provider, false);
        let own = ContactScope::KnownTo(provider.user.as_provider());
        assert_eq!(find_customers(provider).map(|permit| permit.reach).ok(), Some(own));
        assert_eq!(enrol_customers(provider).map(|permit| permit.reach).ok(), Some(own));
        let everybody = find_customers(caller(Role::Admin, true)).map(|permit| permit.reach);
        assert_eq!(everybody.ok(), Some(ContactScope::Everybody));
        let admin = caller(Role::Admin, false);
        let own = correct_customer(admin, admin.user).map_err(|fault| fault.reason());
        assert_eq!(own.err(), Some(Reason::OwnAccount));
    }
}
