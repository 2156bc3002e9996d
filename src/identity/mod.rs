//! Who is calling, and what they may do.
//!
//! Authentication is not authorisation. A token says *who* (`accounts::signing::token`); the policy table of the gRPC
//! porch says which roles may call a method at all; a [`permit`] is the proof, as a value, that this
//! caller may do one thing to one subject, and service functions ask for it as an argument.

pub mod authority;
pub mod desk_permit;
pub mod email;
pub mod feed_permit;
pub mod master_key;
mod opaque;
pub mod password;
pub mod pepper;
pub mod permit;
pub mod phone;
mod workers;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kernel::{
    fault::{Fault, Reason},
    id::{ServiceAccountId, UserId},
};

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person who books appointments.
    Customer,
    /// Has a schedule that others book, and may book other providers.
    Provider,
    /// Manages accounts, schedules and appointments of everybody.
    Admin,
}

impl Role {
    /// The word used in tokens and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Provider => "provider",
            Self::Admin => "admin",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Customer, Self::Provider, Self::Admin].into_iter().find(|role| role.word() == word)
    }
}

/// Who is calling; attached to each request by the interceptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The user; of a service account that acts as itself, the id of that.
    pub user: UserId,
    /// The user's role when the token was handed out; a changed role ends the token.
    pub role: Role,
    /// The log-in that the token came from, or the API key.
    pub session: Uuid,
    /// The service account that calls, for the user or as itself.
    pub service: Option<ServiceAccountId>,
    /// What the call showed. The authority of a write is judged by it again; see [`authority`].
    pub credential: Credential,
}

/// What a call showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// An access token.
    Token {
        /// The user's token generation when it was handed out.
        generation: i64,
    },
    /// An API key.
    ApiKey {
        /// The method that was called, as scopes name it.
        method: &'static str,
    },
}

impl Caller {
    /// Whether it is a service account that acts for nobody.
    pub fn is_service(self) -> bool {
        self.service.is_some_and(|service| service.as_user() == self.user)
    }
}

/// Where a call comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, if the connection has one.
    pub address: Option<IpAddr>,
    /// What the client says it is, as much of it as is kept.
    pub user_agent: String,
    /// The id of the call: what its answer carries in `x-request-id`. Empty where there is no call.
    pub call_id: String,
}

impl Origin {
    /// The address as text; empty where there is none.
    pub fn address_text(&self) -> String {
        self.address.map(|address| address.to_canonical().to_string()).unwrap_or_default()
    }
}

/// What a token stands for: the caller, and how long the token is good for beside its expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The authenticated caller.
    pub caller: Caller,
    /// The user's token generation: tokens of an earlier one are no longer accepted.
    pub generation: i64,
}

/// Which tokens of a user are still accepted, after a change that ended the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCutoff {
    /// The least generation that is accepted.
    pub least: i64,
    /// The log-in that is accepted all the same: the one that changed the password.
    pub kept: Option<Uuid>,
}

/// The one answer to every missing or refused token.
pub fn not_authenticated() -> Fault {
    Fault::new(
        Reason::NotAuthenticated,
        "this call needs a valid access token: log in and send `authorization: Bearer TOKEN`",
    )
}
