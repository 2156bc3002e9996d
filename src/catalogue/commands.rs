//! Units of work on appointment types.

use super::{AppointmentType, LINK_CODE_BYTES, check::Draft, reach, store};
use crate::{
    events::{
        table::Document,
        types::{TypeChanged, TypeCreated, TypeEvent},
    },
    identity::{
        Caller,
        permit::{self, ManageType},
    },
    kernel::{
        fault::{Fault, Violations},
        id::{ProviderId, TypeId, UserId},
        stamp::Revision,
        time::Instant,
    },
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// Adds a shared type. A provider's own type is added with its offering, in the schedule room.
#[derive(Debug, Clone)]
pub struct Create {
    /// The new type.
    pub new: AppointmentType,
    /// Who adds it.
    pub editor: UserId,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
}

impl UnitOfWork for Create {
    type Output = AppointmentType;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<AppointmentType, Fault> {
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        reach::check_terms(&self.new.terms, None, self.new.created_at)?;
        add(tx, &self.new, self.editor, &self.idempotency_key).await
    }
}

/// Adds a type, records that, and keeps the answer. A step of a unit of work, not a unit by itself.
pub async fn add(
    tx: &Tx,
    new: &AppointmentType,
    editor: UserId,
    idempotency_key: &IdempotencyKey,
) -> Result<AppointmentType, Fault> {
    let new = AppointmentType { stamp: tx.stamp(), ..new.clone() };
    // Nobody else can hold the new type: the request id is what two twins meet at.
    store::insert(tx, &new).await?;
    let created = TypeCreated { owner: new.owner, terms: Document::of(&new.terms)? };
    store::record(tx, &new, editor, new.created_at, &TypeEvent::Created(created)).await?;
    idempotency_key.keep(tx, new.id.0, new.version, &new, new.created_at).await?;
    Ok(new)
}

/// Changes a type.
#[derive(Debug, Clone)]
pub struct Update {
    /// Who changes it.
    pub caller: Caller,
    /// The id of the type that is changed.
    pub id: TypeId,
    /// What to change; what is absent stays.
    pub draft: Draft,
    /// Whose own it is, if told: that cannot be changed.
    pub owner: Option<ProviderId>,
    /// What another link code is made of, where it shall have one.
    pub random: Option<[u8; LINK_CODE_BYTES]>,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Update {
    type Output = AppointmentType;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<AppointmentType, Fault> {
        let begun = begin(tx, self.caller, self.id, &self.idempotency_key, self.expected).await?;
        let (permit, mut changed) = match begun {
            Begun::Done(earlier) => return Ok(earlier),
            Begun::Found(permit, found) => (permit, found),
        };
        if self.owner.is_some() && self.owner != changed.owner {
            let mut violations = Violations::new();
            violations.add("appointment_type.owner", "cannot be changed; leave it out");
            return Err(violations.into_fault());
        }
        if self.draft.is_empty() && self.random.is_none() {
            self.idempotency_key
                .keep(tx, changed.id.0, changed.version, &changed, self.now)
                .await?;
            return Ok(changed);
        }
        let terms = self.draft.clone().over(Draft::of(&changed.terms)).terms()?;
        reach::check_terms(&terms, Some(&changed.terms), self.now)?;
        changed.terms = terms;
        let terms = Document::of(&changed.terms)?;
        if let Some(random) = &self.random {
            changed.renew_link_code(random);
        }
        let event =
            TypeEvent::Changed(TypeChanged { terms, link_code_replaced: self.random.is_some() });
        finish(tx, changed, (permit, event), &self.idempotency_key, self.now).await
    }
}

/// Ends the booking of a type, or begins it again.
#[derive(Debug, Clone)]
pub struct Archive {
    /// Who changes it.
    pub caller: Caller,
    /// The id of the type that is archived, or taken back.
    pub id: TypeId,
    /// Whether it shall be archived.
    pub archived: bool,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Archive {
    type Output = AppointmentType;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<AppointmentType, Fault> {
        let begun = begin(tx, self.caller, self.id, &self.idempotency_key, self.expected).await?;
        let (permit, mut changed) = match begun {
            Begun::Done(earlier) => return Ok(earlier),
            Begun::Found(permit, found) => (permit, found),
        };
        if changed.archived == self.archived {
            self.idempotency_key
                .keep(tx, changed.id.0, changed.version, &changed, self.now)
                .await?;
            return Ok(changed);
        }
        changed.archived = self.archived;
        let event = if self.archived { TypeEvent::Archived } else { TypeEvent::Restored };
        finish(tx, changed, (permit, event), &self.idempotency_key, self.now).await
    }
}

enum Begun {
    /// The request came before, and got this answer.
    Done(AppointmentType),
    /// The type, locked, as its editor saw it.
    Found(ManageType, AppointmentType),
}

/// Locks the type, asks whether the caller may change it, looks for an earlier answer, and checks the
/// version that was seen.
async fn begin(
    tx: &Tx,
    caller: Caller,
    id: TypeId,
    idempotency_key: &IdempotencyKey,
    expected: Option<Revision>,
) -> Result<Begun, Fault> {
    let found = store::lock(tx, id).await?.ok_or_else(|| Fault::not_found(id.name()))?;
    let permit = permit::manage_type(caller, found.subject())?;
    if let Some((earlier, _)) = idempotency_key.earlier(tx).await? {
        return Ok(Begun::Done(earlier));
    }
    if expected.is_some_and(|seen| seen != found.revision()) {
        return Err(Fault::stale());
    }
    Ok(Begun::Found(permit, found))
}

/// Writes the type back with its next version, records the change, and keeps the answer.
async fn finish(
    tx: &Tx,
    mut changed: AppointmentType,
    (permit, event): (ManageType, TypeEvent),
    idempotency_key: &IdempotencyKey,
    now: Instant,
) -> Result<AppointmentType, Fault> {
    changed.version += 1;
    changed.stamp = tx.stamp();
    changed.updated_at = now;
    store::update(tx, &changed).await?;
    store::record(tx, &changed, permit.editor, now, &event).await?;
    idempotency_key.keep(tx, changed.id.0, changed.version, &changed, now).await?;
    Ok(changed)
}
