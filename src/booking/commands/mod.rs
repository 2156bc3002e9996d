//! Units of work on appointments and holds. Each locks the provider's row first, which puts the changes
//! of one provider's time into one order, and then settles what has expired.

pub mod book;
pub mod decide;
pub mod drift;
pub mod erase;
pub mod hold;
pub mod relocate;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Appointment, EXPIRED, store};
use crate::{
    accounts,
    availability::{Asked, Time, monday},
    catalogue::{self, AppointmentType},
    events::{self, Event, Kind},
    kernel::{
        fault::{Fault, Reason},
        id::{AppointmentId, ProviderId, ServiceAccountId, UserId},
        stamp::Revision,
        time::{Instant, Interval},
        zone::{UnknownZone, ZoneData},
    },
    schedule::{
        self,
        expand::{local_date, local_days},
        hours::Hours,
        plan::TimeOff,
        provider::Provider,
    },
    storage::{Authority, Tx, UnitOfWork, request::Once},
};

/// The refusal of a time that somebody has; not by whom.
pub fn slot_taken() -> Fault {
    Fault::new(Reason::SlotTaken, "this time is no longer free; ask for availability again")
}

/// The refusal of what stands in the way.
pub(super) fn refused(overlap: store::Overlap) -> Fault {
    match overlap {
        store::Overlap::Provider => slot_taken(),
        store::Overlap::Customer => Fault::new(
            Reason::CustomerBusy,
            "the customer has another appointment that overlaps this time",
        ),
    }
}

/// Writes down what has expired at a locked provider: a hold is gone, a request is declined. Nothing
/// depends on this being done soon, only the claims on its having been done before the next one.
pub(super) async fn settle(tx: &Tx, provider: &mut Provider, now: Instant) -> Result<(), Fault> {
    settle_at(tx, provider.id, &mut provider.version, now).await
}

/// The same at a provider of whom only the version is known.
pub(super) async fn settle_at(
    tx: &Tx,
    provider: ProviderId,
    version: &mut i64,
    now: Instant,
) -> Result<(), Fault> {
    for (id, at, is_hold) in store::expired(tx, provider, now).await? {
        *version += 1;
        let kind = if is_hold {
            store::remove_hold(tx, provider, id).await?;
            Kind::HoldExpired
        } else {
            store::decline_expired(tx, (provider, id), at, *version).await?;
            Kind::AppointmentExpired
        };
        schedule::store::set_version(tx, provider, *version).await?;
        let event = Event {
            provider,
            version: *version,
            kind,
            appointment: Some(id),
            actor: None,
            via: None,
            at,
            detail: json!({ "reason": EXPIRED }),
        };
        events::store::insert(tx, event).await?;
    }
    Ok(())
}

/// Writes back an appointment that goes on keeping its customer busy, or tells what is in the way.
///
/// Locks the customer, after the provider. PostgreSQL looks for overlaps again whenever such a row is
/// written, also where its time stays: two rows of one customer at two providers would wait for each other.
pub(super) async fn write_live(tx: &Tx, a: &Appointment) -> Result<Option<store::Overlap>, Fault> {
    accounts::store::lock(tx, a.customer).await?;
    store::update(tx, a).await
}

/// Settles one provider's expired requests, for a customer whom one of them still keeps busy.
#[derive(Debug, Clone, Copy)]
pub struct Settle {
    /// The id of the provider whose requests are settled.
    pub provider: ProviderId,
    /// The present.
    pub now: Instant,
}

impl UnitOfWork for Settle {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        match schedule::store::lock_version(tx, self.provider).await? {
            Some(mut version) => settle_at(tx, self.provider, &mut version, self.now).await,
            None => Ok(()),
        }
    }
}

/// The provider's time around an interval, claims left out: those the database decides.
pub(super) async fn time(
    tx: &Tx,
    zones: &ZoneData,
    provider: &Provider,
    hours: &Hours,
    interval: Interval,
    of_type: Option<&AppointmentType>,
    except: Option<AppointmentId>,
) -> Result<Time, Fault> {
    let closures = schedule::store::closures::closures(tx, interval).await?;
    let mut time = around(zones, provider, hours, interval, closures)?;
    if let Some(kind) = of_type.filter(|kind| kind.terms.limits.limit_providers())
        && let Some(week) = local_date(&time.zone, interval.start())
            .map(monday)
            .and_then(|first| local_days(&time.zone, first, first + TimeDelta::days(6)))
    {
        time.counted = store::counted(tx, provider.id, kind.id, week, except).await?;
    }
    Ok(time)
}

/// The same without what only the database knows.
pub(super) fn around(
    zones: &ZoneData,
    provider: &Provider,
    hours: &Hours,
    interval: Interval,
    closures: Vec<Interval>,
) -> Result<Time, UnknownZone> {
    let off = |off: &TimeOff| Some(off.interval).filter(|off| off.overlaps(&interval));
    // For absurd lengths, which are refused already, nothing is expanded: nothing that long is open.
    let sensible = interval.duration() <= *schedule::LONGEST_RANGE.end();
    Ok(Time {
        zone: zones.rules(hours.zone())?,
        windows: if sensible { hours.windows(zones, interval)? } else { Vec::new() },
        time_off: provider.time_off().iter().filter_map(off).collect(),
        closures,
        claims: Vec::new(),
        counted: Vec::new(),
    })
}

/// A type and the hours by which a provider takes it.
pub(super) struct Offered<'p> {
    pub(super) kind: AppointmentType,
    /// None where the provider does not offer it.
    pub(super) hours: Option<&'p Hours>,
}

/// Finds a type and how a provider offers it.
pub(super) async fn offered<'p>(
    tx: &Tx,
    provider: &'p Provider,
    id: crate::kernel::id::TypeId,
) -> Result<Offered<'p>, Fault> {
    let kind = catalogue::store::find(tx, id).await?.ok_or_else(|| Fault::not_found(id.name()))?;
    let offering = schedule::store::offerings::find(tx, provider.id, id).await?;
    let hours =
        match offering {
            None => None,
            Some(offering) => {
                let hours = provider.hours(offering.schedule.as_deref());
                Some(hours.ok_or_else(|| {
                    Fault::internal("an offering by a schedule that is not there")
                })?)
            }
        };
    Ok(Offered { kind, hours })
}

/// The refusal of bare intervals where a provider takes none.
pub(super) fn intervals_not_accepted() -> Fault {
    Fault::new(
        Reason::IntervalsNotAccepted,
        "the provider takes bookings by appointment type only; ask ListOfferings",
    )
}

/// The refusal where a provider does not offer a type.
pub(super) fn not_offered() -> Fault {
    Fault::new(Reason::NotOffered, "the provider does not offer this appointment type")
}

/// What an appointment of a type asks, with the buffers that were agreed.
pub(super) fn asked_by(a: &Appointment, kind: &AppointmentType, duration: TimeDelta) -> Asked {
    Asked {
        buffer_before: catalogue::minutes(a.terms.buffer_before),
        buffer_after: catalogue::minutes(a.terms.buffer_after),
        ..Asked::of(&kind.terms, duration)
    }
}

/// What is written down about a change.
pub(super) struct Act {
    pub(super) kind: Kind,
    pub(super) actor: UserId,
    /// The service account that acts for them, if one does.
    pub(super) via: Option<ServiceAccountId>,
    pub(super) detail: Value,
}

/// Takes the provider's next version, appends the event with it, and keeps the answer.
pub(super) async fn finish(
    tx: &Tx,
    appointment: &Appointment,
    act: Act,
    once: &Once,
    now: Instant,
) -> Result<(), Fault> {
    record(tx, appointment, act, now).await?;
    once.keep(tx, appointment.provider.0, appointment.version, appointment, now).await
}

/// Takes the provider's next version and appends the event with it.
pub(super) async fn record(
    tx: &Tx,
    appointment: &Appointment,
    act: Act,
    now: Instant,
) -> Result<(), Fault> {
    let provider = appointment.provider;
    schedule::store::set_version(tx, provider, appointment.version).await?;
    let event = Event {
        provider,
        version: appointment.version,
        kind: act.kind,
        appointment: Some(appointment.id),
        actor: Some(act.actor),
        via: act.via,
        at: now,
        detail: act.detail,
    };
    events::store::insert(tx, event).await
}

/// The refusal where the etag is of another state, if one was told. `before` is the one until the
/// expiry was written down just now: readers were shown the request as declined with it.
pub(super) fn check_version(
    expected: Option<Revision>,
    found: &Appointment,
    before: Revision,
) -> Result<(), Fault> {
    match expected {
        Some(seen) if seen != found.revision() && seen != before => Err(Fault::stale()),
        _ => Ok(()),
    }
}
