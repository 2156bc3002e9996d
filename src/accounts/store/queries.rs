//! Accounts as they are found outside of a transaction.

use super::{Account, find, find_by_email};
use crate::{
    identity::email::Email,
    kernel::{fault::Fault, id::UserId},
    storage::{Deadline, Query, Reader, Store},
};

/// The account with an id, if there is one.
pub(crate) struct ById(pub(crate) UserId);

impl Query for ById {
    type Output = Option<Account>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        find(at, self.0).await
    }
}

/// The account with an email address, if there is one.
pub(crate) struct ByEmail(pub(crate) Email);

impl Query for ByEmail {
    type Output = Option<Account>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        find_by_email(at, &self.0).await
    }
}

/// The account with an id; `NOT_FOUND` if there is none.
pub(crate) async fn existing(
    store: &Store,
    deadline: Deadline,
    id: UserId,
) -> Result<Account, Fault> {
    let found = store.read(deadline, ById(id)).await?;
    found.ok_or_else(|| Fault::not_found(id.name()))
}
