//! The services of this room, as the composition root joins them.

use std::sync::Arc;

use super::{
    audit::service::AuditTrail,
    customers::service::Customers,
    emails::service::Emails,
    master_keys::service::MasterKeys,
    passwords::service::Passwords,
    second_factor::service::SecondFactors,
    service::Users,
    service_accounts::service::ServiceAccounts,
    sessions::{log_in_service::LogIns, service::Sessions},
    signing::{service::SigningKeys, token::Tokens},
    throttling::service::Throttle,
};

/// One of each, shared: a clone is the same service, and small. It has no methods: whoever calls takes the service that it
/// needs.
#[derive(Debug, Clone)]
pub struct AccountServices {
    /// The accounts themselves: signing up, profiles, and what admins change.
    pub users: Arc<Users>,
    /// Logging in, in one step or two.
    pub log_ins: Arc<LogIns>,
    /// Sessions and their refresh tokens.
    pub sessions: Arc<Sessions>,
    /// Counts attempts at secrets.
    pub throttle: Throttle,
    /// Passwords: their strength, their verification under throttling, their change.
    pub passwords: Arc<Passwords>,
    /// Email addresses and the codes that are sent to them.
    pub emails: Arc<Emails>,
    /// Second factors.
    pub second_factors: Arc<SecondFactors>,
    /// The front desk.
    pub customers: Arc<Customers>,
    /// Service accounts and their API keys.
    pub service_accounts: ServiceAccounts,
    /// The audit trail.
    pub audit_trail: AuditTrail,
    /// Issues and verifies access tokens.
    pub tokens: Tokens,
    /// The keys that sign access tokens.
    pub signing: SigningKeys,
    /// What becomes of secrets when the master key changes.
    pub master_keys: Arc<MasterKeys>,
}
