//! Whether a caller still may what its token or API key was good for when the call began.
//!
//! The interceptor judges by what this process saw last. A write is judged once more in its own transaction,
//! by what is stored: so nobody writes after their account was disabled, erased or given another role, their
//! session or key ended, or a grant was taken back, whichever process did that.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Caller, Credential, Role, not_authenticated};
use crate::kernel::{
    fault::{Fault, Reason},
    id::UserId,
};

/// What is stored about a caller.
#[derive(Debug, Clone, Default)]
pub struct CallerState {
    /// The user whom the call is by or for; nothing for one that does not exist or was erased.
    pub user: Option<StoredUser>,
    /// Whether the session of the token has ended.
    pub session_ended: bool,
    /// The API key; nothing for one that does not exist or was revoked, or whose service account is
    /// disabled.
    pub key: Option<StoredKey>,
}

/// A user, as far as it matters here.
#[derive(Debug, Clone)]
pub struct StoredUser {
    /// Role of the account.
    pub role: Role,
    /// Whether the account is shut out.
    pub disabled: bool,
    /// Tokens of an earlier generation are no longer accepted.
    pub generation: i64,
    /// Except those of this session.
    pub kept: Option<Uuid>,
}

/// An API key with its service account, as far as it matters here.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The services and methods that the key is good for.
    pub scopes: Vec<String>,
    /// What the service account may do as itself.
    pub role: Role,
    /// Whom it may act for.
    pub act_for: ActFor,
}

/// Whom a service account may act for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActFor {
    /// May act for every customer.
    pub any_customer: bool,
    /// The ids of these customers.
    pub customers: Vec<UserId>,
}

impl ActFor {
    /// Whether it may act for this customer.
    pub fn grants(&self, customer: UserId) -> bool {
        self.any_customer || self.customers.contains(&customer)
    }
}

/// Judges a caller by what is stored. `NOT_AUTHENTICATED`, `SCOPE_MISSING` or `ACT_FOR_REFUSED`, as the
/// interceptor would answer. The expiry of tokens and keys never changes, so the interceptor's look at that
/// stands.
pub fn judge(caller: Caller, standing: &CallerState) -> Result<(), Fault> {
    let is_open = |user: &&StoredUser| !user.disabled && user.role == caller.role;
    match caller.credential {
        Credential::Token { generation } => {
            let is_good = |user: &StoredUser| {
                user.generation <= generation || user.kept == Some(caller.session)
            };
            let good = standing.user.as_ref().filter(is_open).is_some_and(is_good);
            if good && !standing.session_ended { Ok(()) } else { Err(not_authenticated()) }
        }
        Credential::ApiKey { method } => {
            let key = standing.key.as_ref().ok_or_else(not_authenticated)?;
            if !covers(&key.scopes, method) {
                return Err(scope_missing(method));
            }
            if caller.is_service() {
                return if key.role == caller.role { Ok(()) } else { Err(not_authenticated()) };
            }
            let is_customer = standing.user.as_ref().is_some_and(|user| is_open(&user));
            if is_customer && key.act_for.grants(caller.user) {
                return Ok(());
            }
            Err(act_for_refused())
        }
    }
}

/// Whether one of the scopes is the method, or its service.
pub fn covers(scopes: &[String], method: &str) -> bool {
    let service = method.split('/').next().unwrap_or_default();
    scopes.iter().any(|scope| scope == method || scope == service)
}

/// The answer to a key that is not for the method.
pub fn scope_missing(method: &str) -> Fault {
    Fault::new(
        Reason::ScopeMissing,
        "the API key is not for this method; its scopes are told by ListApiKeys",
    )
    .with("method", method)
}

/// The one answer to who acts for whom they may not act for.
pub fn act_for_refused() -> Fault {
    Fault::new(
        Reason::ActForRefused,
        "the caller may not act for the user in `x-daybook-act-for`; send `users/{user}` of a customer \
         for whom its service account is granted it",
    )
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
