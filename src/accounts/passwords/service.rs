//! What callers can do with passwords, and the verification of every password under throttling.

use secrecy::SecretString;

use super::commands::{ChangePassword, Failed, Rehash, wrong_password};
use crate::{
    accounts::{
        User,
        audit::{AuditContext, AuditData},
        emails::service::composer::EmailComposer,
        signing::token::Tokens,
        store::{Account, existing},
        throttling::{
            service::{ReservedAttempt, Throttle},
            store::ThrottleKeySet,
        },
    },
    identity::{
        Caller, Origin,
        password::{Hasher, own_words},
    },
    kernel::{
        ambient::Ambient,
        fault::{Fault, Violations},
    },
    storage::{
        Deadline, Store,
        idempotency::{EarlierResponse, IdempotencyKey},
    },
};

/// Service layer for passwords.
#[derive(Debug, Clone)]
pub struct Passwords {
    store: Store,
    ambient: Ambient,
    hasher: Hasher,
    /// How hard a new password must be to guess, 0 to 4.
    least_strength: u8,
    throttle: Throttle,
    composer: EmailComposer,
    tokens: Tokens,
}

impl Passwords {
    /// With the hashing pool, and how hard new passwords must be to guess, 0 to 4.
    pub fn new(
        (store, ambient): (Store, Ambient),
        (hasher, least_strength): (Hasher, u8),
        throttle: Throttle,
        composer: EmailComposer,
        tokens: Tokens,
    ) -> Self {
        Self { store, ambient, hasher, least_strength, throttle, composer, tokens }
    }

    /// What is against a new password of somebody with this name and address, if anything is.
    pub async fn weakness(
        &self,
        password: SecretString,
        name: &str,
        email: &str,
    ) -> Result<Option<String>, Fault> {
        let own = own_words(name, email);
        self.hasher.weakness(password, own, self.least_strength).await
    }

    /// A violation of `new_password` where the new password of an account is too easily guessed.
    pub(in crate::accounts) async fn check_new(
        &self,
        new: &SecretString,
        user: &User,
    ) -> Result<(), Fault> {
        match self.weakness(new.clone(), &user.display_name, user.email.as_str()).await? {
            None => Ok(()),
            Some(weak) => {
                let mut violations = Violations::new();
                violations.add("new_password", weak);
                Err(violations.into_fault())
            }
        }
    }

    /// The hash of a new password, as a PHC string.
    pub(in crate::accounts) async fn hash(&self, password: SecretString) -> Result<String, Fault> {
        self.hasher.hash(password).await
    }

    /// Verifies a password under throttling. Reserves an attempt before the hash is computed. Returns
    /// `None` if the password is wrong (the attempt stays counted), otherwise the attempt, which the
    /// caller refunds after its work. `TOO_MANY_ATTEMPTS` with a delay.
    pub(in crate::accounts) async fn verify(
        &self,
        deadline: Deadline,
        counted: ThrottleKeySet,
        (password, stored): (SecretString, Option<String>),
        origin: &Origin,
    ) -> Result<Option<ReservedAttempt>, Fault> {
        let (throttle, hasher) = (self.throttle.clone(), self.hasher.clone());
        let origin = origin.clone();
        // In a task of its own: whoever leaves while it is hashed was not wrong by that.
        let task = tokio::spawn(async move {
            let attempt = throttle.reserve(deadline, counted, &origin).await?;
            match hasher.verify(password, stored).await {
                Ok(true) => Ok(Some(attempt)),
                Ok(false) => {
                    attempt.settle();
                    Ok(None)
                }
                Err(fault) => {
                    // Nothing was looked at.
                    attempt.give_back().await;
                    Err(fault)
                }
            }
        });
        task.await.unwrap_or_else(|error| Err(Fault::internal(format!("a guess: {error}"))))
    }

    /// Verifies the password of a user who is logged in, and reserves an attempt at a second-factor code too where
    /// one was sent. A wrong password is written to the audit trail with the session id, in its own transaction, and
    /// gives `CURRENT_PASSWORD_WRONG`.
    pub(crate) async fn verify_own(
        &self,
        deadline: Deadline,
        (caller, with_code): (Caller, bool),
        (password, stored): (SecretString, String),
        origin: &Origin,
    ) -> Result<ReservedAttempt, Fault> {
        let counted = self.throttle.own_password(caller.user, with_code, origin);
        let password = (password, Some(stored));
        if let Some(attempt) = self.verify(deadline, counted, password, origin).await? {
            return Ok(attempt);
        }
        let (user, session) = (Some(caller.user), Some(caller.session));
        let audit_context =
            AuditContext::new(&self.ambient, user, origin.clone(), self.ambient.now());
        let what = AuditData::CurrentPasswordWrong;
        self.store.run(deadline, Failed { what, user, session, audit_context }).await?;
        Err(wrong_password())
    }

    /// Replaces a hash of older parameters, made anew from the password that was right. A failure is not the caller's
    /// concern: the old hash still works.
    pub(in crate::accounts) async fn rehash_outdated(
        &self,
        deadline: Deadline,
        account: &Account,
        password: SecretString,
    ) {
        if !self.hasher.is_outdated(&account.password_hash) {
            return;
        }
        let unit = match self.hasher.hash(password).await {
            Ok(new) => Rehash { user: account.user.id, old: account.password_hash.clone(), new },
            Err(fault) => return tracing::warn!(%fault, "rehashing a password"),
        };
        if let Err(fault) = self.store.run(deadline, unit).await {
            tracing::warn!(%fault, "storing a better hash");
        }
    }

    /// Replaces the caller's own password, and ends all access tokens but those of this log-in.
    pub async fn change(
        &self,
        deadline: Deadline,
        caller: Caller,
        (current, new): (SecretString, SecretString),
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<(), Fault> {
        let earlier = EarlierResponse::<User>::new(idempotency_key.clone());
        if self.store.read(deadline, earlier).await?.is_some() {
            return Ok(());
        }
        let account = existing(&self.store, deadline, caller.user).await?;
        self.check_new(&new, &account.user).await?;
        let now = self.ambient.now();
        let letter = self.composer.password_changed(&account.user, now, &origin)?;
        let verified = account.password_hash;
        let password = (current, verified.clone());
        let attempt = self.verify_own(deadline, (caller, false), password, &origin).await?;
        let unit = ChangePassword {
            user: caller.user,
            verified,
            new_hash: self.hasher.hash(new).await?,
            session: caller.session,
            letter,
            idempotency_key,
            audit_context: AuditContext::new(&self.ambient, Some(caller.user), origin, now),
        };
        let (user, ended) = self.throttle.attempted(deadline, attempt, unit, |_| true).await?;
        self.tokens.end(user.id, ended, self.ambient.now());
        Ok(())
    }
}
