//! Writing emails, and sending those that wait.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{
    Contents, EmailTemplate, LeasedEmail, OutboxEmail, Recipient,
    commands::{Outcome, Settle, Take},
    pause, recipient,
    render::TemplateSet,
    store, told,
};
use crate::{
    carrier::{Carrier, DeliveryError, Sent},
    identity::{
        email::Email,
        master_key::{MasterKey, NONCE},
    },
    kernel::{
        ambient::Ambient,
        fault::Fault,
        time::Instant,
        zone::{Zone, ZoneData},
    },
    storage::{Deadline, Query, Reader, Store},
};

/// What emails are sealed for.
const SEALED: &str = "letters";
/// What the hashes of their recipients are made for.
const RECIPIENTS: &str = "letter recipients";
/// For taking letters and noting what became of them.
const BACKGROUND: Duration = Duration::from_secs(5);

/// Mail, where there is any.
#[derive(Debug, Clone)]
pub struct Mail(Option<Arc<Inner>>);

/// The parts of the mail service.
#[derive(Debug)]
pub struct Inner {
    /// Database handle.
    pub store: Store,
    /// Clock, ids and randomness.
    pub ambient: Ambient,
    /// Encrypts emails at rest.
    pub master: MasterKey,
    /// What emails say.
    pub texts: TemplateSet,
    /// How they leave.
    pub carrier: Carrier,
    /// How often to look for emails that wait, on average.
    pub look: Duration,
    /// What was taken and is on its way. Whoever stops sending does not stop that.
    pub under_way: TaskTracker,
}

impl Mail {
    /// Mail that is sent.
    pub fn on(inner: Inner) -> Self {
        Self(Some(Arc::new(inner)))
    }

    /// A mail service that sends nothing.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Whether mail is sent at all.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// An email, to be put into the transaction of what it tells; none where no mail is sent.
    pub fn letter(
        &self,
        to: &Email,
        text: EmailTemplate,
        now: Instant,
        lifetime: TimeDelta,
    ) -> Result<Option<OutboxEmail>, Fault> {
        self.email_draft(now).letter(to, text, now, lifetime)
    }

    /// What one email can be written on inside a transaction.
    pub fn email_draft(&self, now: Instant) -> EmailDraft {
        let inner = self.0.as_ref();
        EmailDraft(inner.map(|inner| Blank {
            id: inner.ambient.id(now),
            nonce: inner.ambient.bytes(),
            zones: inner.ambient.zones(),
            inner: Arc::clone(inner),
        }))
    }

    /// What emails to this address are found by, under each master key that is known.
    pub fn recipients(&self, to: &Email) -> Vec<Recipient> {
        let Some(inner) = &self.0 else { return Vec::new() };
        inner.master.all_derived(RECIPIENTS).iter().map(|key| recipient(key, to)).collect()
    }

    /// When to look for emails again: after half of the usual time to one and a half of it; never where no
    /// mail is sent.
    ///
    /// Not as soon as one is written, and not at moments that can be known. What it takes of the machine to
    /// send an email holds up whatever is asked for meanwhile, and would tell whoever asks for something right
    /// after a request whether there was an email.
    pub fn next_look(&self) -> Duration {
        let Some(inner) = &self.0 else { return Duration::MAX };
        let random = u16::from_be_bytes(inner.ambient.bytes());
        inner.look / 2 + inner.look * u32::from(random) / u32::from(u16::MAX)
    }

    /// Sends all emails that are due, and says how many left.
    pub async fn deliver(&self) -> Result<usize, Fault> {
        let Some(inner) = &self.0 else { return Ok(0) };
        let mut sent = 0;
        loop {
            let now = inner.ambient.now();
            // A look first, which costs a busy database less than a transaction.
            if !inner.store.look(IsAnyDue(now)).await? {
                return Ok(sent);
            }
            // In a task of its own: what was taken may have left already, and would leave again.
            let round = inner.under_way.spawn(Arc::clone(inner).round(now));
            sent += round.await.map_err(|e| Fault::internal(format!("sending emails: {e}")))??;
        }
    }

    /// Returns when nothing is on its way any more, once nobody calls [`Self::deliver`] again.
    pub async fn settled(&self) {
        if let Some(inner) = &self.0 {
            inner.under_way.close();
            inner.under_way.wait().await;
        }
    }
}

/// An email whose id and nonce are fixed before the transaction, so that a retried transaction writes the
/// same email. Content and recipient are decided inside.
#[derive(Debug, Clone)]
pub struct EmailDraft(Option<Blank>);

#[derive(Debug, Clone)]
struct Blank {
    inner: Arc<Inner>,
    id: Uuid,
    nonce: [u8; NONCE],
    zones: ZoneData,
}

impl EmailDraft {
    /// A time as somebody reads it in their own zone; nothing where no mail is sent.
    pub fn told(&self, at: Instant, zone: Zone) -> String {
        self.0.as_ref().map_or_else(String::new, |blank| told(&blank.zones, at, zone))
    }

    /// The email; none where no mail is sent, or to an account without an address. A sheet is good for one.
    pub fn letter(
        &self,
        to: &Email,
        text: EmailTemplate,
        now: Instant,
        lifetime: TimeDelta,
    ) -> Result<Option<OutboxEmail>, Fault> {
        let Some(Blank { inner, id, nonce, .. }) = &self.0 else { return Ok(None) };
        if !to.is_address() {
            return Ok(None);
        }
        let (id, kind) = (*id, text.kind());
        let contents = serde_json::to_vec(&Contents { to: to.clone(), text })
            .map_err(|e| Fault::internal(format!("an email does not encode: {e}")))?;
        let sealed = inner.master.seal(SEALED, id.as_bytes(), &contents, *nonce)?;
        let recipient = recipient(&inner.master.derived(RECIPIENTS), to);
        let expires_at = now + lifetime;
        Ok(Some(OutboxEmail { id, kind, sealed, recipient, written_at: now, expires_at }))
    }
}

impl Inner {
    /// Takes emails that are due and sends them. Returns how many left.
    async fn round(self: Arc<Self>, now: Instant) -> Result<usize, Fault> {
        let taken = self.store.run(Deadline::after(BACKGROUND), Take { now }).await?;
        let mut under_way = JoinSet::new();
        for letter in taken {
            under_way.spawn(Arc::clone(&self).dispatch(letter));
        }
        let mut sent = 0;
        // All of them first, for the same reason.
        for done in under_way.join_all().await {
            sent += usize::from(done?);
        }
        Ok(sent)
    }

    /// Sends one email, and notes what became of it. Returns whether it left.
    async fn dispatch(self: Arc<Self>, letter: LeasedEmail) -> Result<bool, Fault> {
        let (left, outcome) = self.send(&letter).await;
        let settle = Settle { letter: letter.id, outcome };
        self.store.run(Deadline::after(BACKGROUND), settle).await?;
        let Some(sent) = left else { return Ok(false) };
        sent.part().await;
        Ok(true)
    }

    async fn send(&self, letter: &LeasedEmail) -> (Option<Sent>, Outcome) {
        let (id, kind) = (letter.id, &letter.kind);
        let now = self.ambient.now();
        if now >= letter.expires_at {
            tracing::warn!(%id, kind, "gave an email up: it could not be sent in time");
            return (None, Outcome::Over);
        }
        let contents = match self.open(letter) {
            Ok(contents) => contents,
            // Another process may have the key, or know the kind.
            Err(cause) => return self.later(letter, &format!("it cannot be read: {cause}")),
        };
        let rendered = match self.texts.letter(&contents) {
            Ok(Some(rendered)) => rendered,
            Ok(None) => return (None, Outcome::Over),
            Err(cause) => return self.later(letter, &format!("its template failed: {cause}")),
        };
        match self.carrier.send((id, now), &contents.to, rendered).await {
            Ok(sent) => {
                tracing::debug!(%id, kind, "sent an email");
                (Some(sent), Outcome::Over)
            }
            Err(DeliveryError::Never(cause)) => {
                tracing::warn!(%id, kind, cause, "gave an email up: it was refused");
                (None, Outcome::Over)
            }
            Err(DeliveryError::Later(cause)) => self.later(letter, &cause),
        }
    }

    fn later(&self, letter: &LeasedEmail, cause: &str) -> (Option<Sent>, Outcome) {
        let (id, kind, attempts) = (letter.id, &letter.kind, letter.attempts);
        if attempts.is_power_of_two() {
            tracing::warn!(%id, kind, attempts, cause, "an email has to wait");
        } else {
            tracing::debug!(%id, kind, attempts, cause, "an email has to wait");
        }
        (None, Outcome::Later(self.ambient.now() + pause(attempts)))
    }

    fn open(&self, letter: &LeasedEmail) -> Result<Contents, String> {
        use secrecy::ExposeSecret as _;
        let opened = self.master.open(SEALED, letter.id.as_bytes(), &letter.sealed);
        let opened = opened.map_err(|e| e.to_string())?;
        serde_json::from_slice(opened.expose_secret()).map_err(|_| "not an email".to_owned())
    }
}

struct IsAnyDue(Instant);

impl Query for IsAnyDue {
    type Output = bool;

    async fn run(&self, at: &Reader) -> Result<bool, Fault> {
        store::is_any_due(at, self.0).await
    }
}
