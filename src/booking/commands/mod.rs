//! Units of work on appointments and holds. Each locks the provider's row first, which puts the changes
//! of one provider's time into one order, and then settles what has expired.

mod assigned;
pub mod book;
pub mod decide;
pub mod drift;
mod elsewhere;
pub mod erase;
pub mod hold;
pub mod hold_to_move;
pub mod merge;
mod own_holds;
pub mod relocate;

use chrono::TimeDelta;

use elsewhere::{Elsewhere, lock_customer};

use super::{
    Appointment, EXPIRED, attendance,
    store::{self, Expiring, Overlap},
};
use crate::{
    accounts,
    availability::{Asked, Time, practice::Practice},
    catalogue::{self, AppointmentType},
    events::{self, Event, EventData, appointment::Expiry, schedule::Attendance},
    kernel::{
        fault::{Fault, Reason},
        id::{AppointmentId, ProviderId, ServiceAccountId, UserId},
        stamp::Revision,
        time::{Instant, Interval},
        zone::{UnknownZone, ZoneData},
    },
    schedule::{self, hours::Hours, plan::TimeOff, provider::Provider},
    storage::{Authority, Tx, UnitOfWork, request::Once},
};

/// The refusal of a time that somebody has; not by whom.
pub fn slot_taken() -> Fault {
    Fault::new(Reason::SlotTaken, "this time is no longer free; ask for availability again")
}

/// The refusal of what stands in the way.
pub(super) fn refused(overlap: Overlap) -> Fault {
    match overlap {
        Overlap::Provider => slot_taken(),
        Overlap::Customer => Fault::new(
            Reason::CustomerBusy,
            "the customer has another appointment that overlaps this time",
        ),
    }
}

/// Writes down what has expired at a locked provider: a hold is gone, a request is declined. Locks its customers, as
/// all do who write what somebody has booked: first the provider, then the customers, then the rows. Nothing
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
    let expired = store::expired(tx, provider, now).await?;
    let ids: Vec<_> = expired.iter().map(|(id, ..)| *id).collect();
    store::states::lock_customers(tx, provider, &ids).await?;
    for (id, at, what) in expired {
        *version += 1;
        let reason = EXPIRED.to_owned();
        let (data, appointment) = match what {
            Expiring::Hold => {
                store::remove_hold(tx, provider, id).await?;
                (EventData::HoldExpired(Expiry { reason }), Some(id))
            }
            Expiring::Request => {
                store::decline_expired(tx, (provider, id), at, *version).await?;
                (EventData::AppointmentExpired(Expiry { reason }), Some(id))
            }
            Expiring::Attended => {
                store::attended::remove(tx, provider, id).await?;
                (EventData::AttendanceChanged(Attendance { reason: Some(reason) }), None)
            }
            Expiring::Move(of) => {
                store::attended::remove(tx, provider, id).await?;
                store::attended::end_move(tx, (provider, of), at, *version).await?;
                (EventData::AppointmentMoveExpired(Expiry { reason }), Some(of))
            }
        };
        schedule::store::set_version(tx, provider, *version).await?;
        let event =
            Event { provider, version: *version, appointment, actor: None, via: None, at, data };
        events::store::insert(tx, event).await?;
    }
    Ok(())
}

/// Writes back an appointment that goes on keeping its customer busy, or tells what is in the way.
///
/// Locks the customer, after the provider. PostgreSQL looks for overlaps again whenever such a row is
/// written, also where its time stays: two rows of one customer at two providers would wait for each other.
///
/// The customer's own time follows, where they are a provider too.
async fn write_live(
    tx: &Tx,
    a: &Appointment,
    elsewhere: &mut Option<Elsewhere>,
    now: Instant,
) -> Result<Option<Overlap>, Fault> {
    lock_customer(tx, a.customer, elsewhere.as_ref()).await?;
    // Its own further time is in nobody's way.
    let asked = attendance::asked_for(a);
    let wanted = asked.as_slice();
    let is_same = store::attended::is(tx, a.provider, a.id, wanted).await?;
    if !is_same {
        store::attended::release(tx, a.provider, a.id).await?;
    }
    if let Some(overlap) = store::update(tx, a).await? {
        return Ok(Some(overlap));
    }
    if let Some(asked) = asked.filter(|_| !is_same)
        && let Some(overlap) = store::attended::claim(tx, &asked, a, a.version).await?
    {
        return Ok(Some(overlap));
    }
    follow(tx, a, elsewhere, now).await
}

/// Lets the own time of a customer who is a provider too follow an appointment that was written, or tells that
/// it is not free.
async fn follow(
    tx: &Tx,
    a: &Appointment,
    elsewhere: &mut Option<Elsewhere>,
    now: Instant,
) -> Result<Option<Overlap>, Fault> {
    let Some(elsewhere) = elsewhere else { return Ok(None) };
    let is_free = elsewhere.follow(tx, a, now).await?;
    Ok((!is_free).then_some(Overlap::Customer))
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

/// When something is judged, by which rules of time zones, and by which settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) now: Instant,
    pub(super) zones: &'a ZoneData,
    pub(super) practice: &'a Practice,
}

/// The provider's time around an interval, claims left out: those the database decides.
pub(super) async fn time(
    tx: &Tx,
    moment: Moment<'_>,
    provider: &Provider,
    hours: &Hours,
    interval: Interval,
    of_type: Option<&AppointmentType>,
    except: &[AppointmentId],
) -> Result<Time, Fault> {
    let closures = schedule::store::closures::closures(tx, interval).await?;
    let mut time = around(moment, provider, hours, interval, closures)?;
    if let Some(kind) = of_type.filter(|kind| kind.terms.limits.limit_providers())
        && let Some(week) = time.days.around_week(interval.start())
    {
        time.counted = store::counted(tx, provider.id, kind.id, week, except).await?;
    }
    Ok(time)
}

/// The same without what only the database knows.
pub(super) fn around(
    Moment { now, zones, practice }: Moment<'_>,
    provider: &Provider,
    hours: &Hours,
    interval: Interval,
    closures: Vec<Interval>,
) -> Result<Time, UnknownZone> {
    let off = |off: &TimeOff| Some(off.interval).filter(|off| off.overlaps(&interval));
    // For absurd lengths, which are refused already, nothing is expanded: nothing that long is open.
    let sensible = interval.duration() <= *schedule::LONGEST_RANGE.end();
    Ok(Time {
        days: practice.days(hours, zones, interval, now)?,
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

/// Refuses a provider who is disabled, or a provider no more: nobody gets an appointment with them.
pub(super) fn bookable(provider: &Provider) -> Result<(), Fault> {
    if provider.enabled { Ok(()) } else { Err(Fault::not_found(provider.id.name())) }
}

/// Refuses a customer whose account is disabled or erased: they get no new appointment.
pub(super) async fn is_present(tx: &Tx, customer: UserId) -> Result<(), Fault> {
    let account = accounts::store::find_to_book(tx, customer).await?;
    if account.is_some_and(|account| !account.user.disabled) {
        return Ok(());
    }
    Err(Fault::not_found(customer.name()))
}

/// What an appointment of a type asks, with the buffers that were agreed.
pub fn asked_by(a: &Appointment, kind: &AppointmentType, duration: TimeDelta) -> Asked {
    Asked {
        buffer_before: catalogue::minutes(a.terms.buffer_before),
        buffer_after: catalogue::minutes(a.terms.buffer_after),
        ..Asked::of(&kind.terms, duration)
    }
}

/// What is written down about a change.
pub(super) struct Act {
    pub(super) data: EventData,
    pub(super) actor: UserId,
    /// The service account that acts for them, if one does.
    pub(super) via: Option<ServiceAccountId>,
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
        appointment: Some(appointment.id),
        actor: Some(act.actor),
        via: act.via,
        at: now,
        data: act.data,
    };
    events::store::insert(tx, event).await
}

/// The refusal where the etag is of another state than this caller sees, if one was told. `before` is the one
/// until the expiry was written down just now: readers were shown the request as declined with it.
pub(super) fn check_version(
    expected: Option<Revision>,
    found: &Appointment,
    before: Revision,
    is_staff: bool,
) -> Result<(), Fault> {
    match expected {
        Some(seen) if seen != found.seen(is_staff).0 && seen != before => Err(Fault::stale()),
        _ => Ok(()),
    }
}
