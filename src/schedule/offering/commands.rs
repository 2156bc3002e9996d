//! Units of work on offerings. Each locks the provider first, and makes a version of its schedule.

use serde::{Deserialize, Serialize};

use super::Offering;
use crate::{
    catalogue::{self, AppointmentType, Terms},
    claims::{self, affected::Times},
    events::{self, EventData, schedule::Withdrawn},
    identity::permit,
    kernel::{
        fault::{Fault, Violations},
        id::{ProviderId, TypeId, UserId},
        time::Instant,
        zone::{UnknownZone, ZoneData},
    },
    schedule::{
        commands::record,
        expand::local_date,
        hours::Hours,
        provider::Provider,
        store::{self, offerings},
    },
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// Adds a provider's own type, which the provider offers from then on.
#[derive(Debug, Clone)]
pub struct CreateOwn {
    /// The new type.
    pub new: AppointmentType,
    /// Whose own it is.
    pub owner: ProviderId,
    /// Who adds it.
    pub editor: UserId,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The zone data of that time.
    pub zones: ZoneData,
}

impl UnitOfWork for CreateOwn {
    type Output = AppointmentType;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<AppointmentType, Fault> {
        let provider = store::lock(tx, self.owner).await?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let provider = enabled(provider, self.owner)?;
        let now = self.new.created_at;
        let terms = &self.new.terms;
        let mut violations = Violations::new();
        catalogue::reach::check(
            terms.horizon,
            catalogue::minutes(terms.minimum_notice),
            now,
            &mut violations,
        );
        if let Err((_, longest)) = fits(terms, provider.schedule.hours(), (now, &self.zones))? {
            let text = format!(
                "must have one of at most {longest} minutes, as long as the schedule is open"
            );
            violations.add("appointment_type.durations", text);
        }
        violations.finish()?;
        let new =
            catalogue::commands::add(tx, &self.new, self.editor, &self.idempotency_key).await?;
        let offering = Offering { provider: self.owner, type_id: self.new.id, schedule: None };
        offerings::insert(tx, &offering, now).await?;
        changed(tx, provider, &offering, self.editor, now).await?;
        Ok(new)
    }
}

/// What came of offering a type, as it is stored for retries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offered {
    /// The offering after the change.
    #[serde(flatten)]
    pub offering: Offering,
    /// What is of the type and lies outside the hours by which it is offered now.
    #[serde(default)]
    pub outside: Times,
}

/// Lets a provider be booked for a type, or changes by which schedule.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The right to.
    pub permit: permit::Offer,
    /// For what.
    pub type_id: TypeId,
    /// By which named schedule; none is the default one.
    pub schedule: Option<String>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
    /// The zone data of that time.
    pub zones: ZoneData,
}

impl UnitOfWork for Offer {
    type Output = Offered;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Offered, Fault> {
        let permit::Offer { provider: id, editor, everything } = self.permit;
        let provider = store::lock(tx, id).await?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let provider = enabled(provider, id)?;
        let found = catalogue::store::find(tx, self.type_id).await?;
        let before = offerings::find(tx, id, self.type_id).await?;
        // What is private is known to those who manage or offer it only.
        let knows = |found: &AppointmentType| {
            everything || before.is_some() || !found.terms.private || found.owner == Some(id)
        };
        let found = found.filter(knows).ok_or_else(|| Fault::not_found(self.type_id.name()))?;
        if found.owner.is_some_and(|owner| owner != id) {
            let mut violations = Violations::new();
            violations.add("provider", "must be the owner of the appointment type");
            return Err(violations.into_fault());
        }
        if before.is_none() {
            permit::begin_offering(self.permit, found.owner)?;
        }
        let schedule = self.schedule.clone();
        let offering = Offering { provider: id, type_id: self.type_id, schedule };
        let hours = provider.hours(offering.schedule.as_deref());
        let hours = hours.ok_or_else(|| Fault::not_found(offering.schedule_name().to_string()))?;
        if before.as_ref() != Some(&offering)
            && let Err((shortest, longest)) = fits(&found.terms, hours, (self.now, &self.zones))?
        {
            let mut violations = Violations::new();
            let text = format!(
                "must be open for {shortest} minutes without a break, the type's shortest duration; \
                 it is open for {longest} at most"
            );
            violations.add("schedule", text);
            return Err(violations.into_fault());
        }
        if before.as_ref() == Some(&offering) {
            let offered = Offered { offering, outside: Times::default() };
            self.idempotency_key.keep(tx, id.0, provider.version, &offered, self.now).await?;
            return Ok(offered);
        }
        match &before {
            Some(_) => offerings::update(tx, &offering).await?,
            None => offerings::insert(tx, &offering, self.now).await?,
        }
        let of = (offering.schedule.as_deref(), Some(self.type_id));
        let is_open = |interval| Ok(hours.is_open(&self.zones, interval)?);
        let outside = claims::store::affected::outside(tx, id, of, self.now, is_open).await?;
        let version = changed(tx, provider, &offering, editor, self.now).await?;
        let offered = Offered { offering, outside };
        self.idempotency_key.keep(tx, id.0, version, &offered, self.now).await?;
        Ok(offered)
    }
}

/// Ends that a provider can be booked for a type. Appointments stay.
#[derive(Debug, Clone)]
pub struct Withdraw {
    /// The right to.
    pub permit: permit::Offer,
    /// For what.
    pub type_id: TypeId,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Withdraw {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let permit::Offer { provider: id, editor, .. } = self.permit;
        let provider = store::lock(tx, id).await?.ok_or_else(|| Fault::not_found(id.name()))?;
        if self.idempotency_key.earlier::<()>(tx).await?.is_some() {
            return Ok(());
        }
        if !offerings::delete(tx, id, self.type_id).await? {
            return Err(Fault::not_found(self.type_id.name()));
        }
        let data = EventData::OfferingWithdrawn(Withdrawn { appointment_type: self.type_id });
        let version = finish(tx, provider, (editor, data), self.now).await?;
        self.idempotency_key.keep(tx, id.0, version, &(), self.now).await
    }
}

/// Whether the shortest of a type's durations fits into these hours somewhere from now on. If not, both in
/// minutes: the shortest, and the longest that the hours are open.
fn fits(
    terms: &Terms,
    hours: &Hours,
    (now, zones): (Instant, &ZoneData),
) -> Result<Result<(), (i64, i64)>, UnknownZone> {
    let shortest = catalogue::minutes(terms.durations.iter().copied().min().unwrap_or_default());
    let today = local_date(&zones.rules(hours.zone())?, now);
    let longest = today.map(|today| hours.longest_open(today)).unwrap_or_default();
    let fits = shortest <= longest;
    Ok(if fits { Ok(()) } else { Err((shortest.num_minutes(), longest.num_minutes())) })
}

/// A provider who cannot be booked is, to everybody, none.
fn enabled(provider: Option<Provider>, id: ProviderId) -> Result<Provider, Fault> {
    provider.filter(|provider| provider.enabled).ok_or_else(|| Fault::not_found(id.name()))
}

async fn changed(
    tx: &Tx,
    provider: Provider,
    offering: &Offering,
    editor: UserId,
    now: Instant,
) -> Result<i64, Fault> {
    let (appointment_type, schedule) = (offering.type_id, offering.schedule.clone());
    let offered = events::schedule::Offered { appointment_type, schedule };
    finish(tx, provider, (editor, EventData::OfferingChanged(offered)), now).await
}

/// Writes the provider back with its next version, which is one of its schedule, so that schedules that
/// were remembered are read again; and records the change.
async fn finish(
    tx: &Tx,
    mut provider: Provider,
    (editor, data): (UserId, EventData),
    now: Instant,
) -> Result<i64, Fault> {
    provider.reschedule(tx.stamp(), now);
    store::update(tx, &provider).await?;
    record(tx, (provider.id, provider.version), Some(editor), now, data).await?;
    Ok(provider.version)
}
