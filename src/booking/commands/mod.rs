//! Units of work on appointments and holds. Each locks the provider's row first, which puts the changes
//! of one provider's time into one order, and then writes down what has expired.

mod assigned;
pub mod book;
pub(crate) mod customer_as_provider;
pub mod decide;
pub mod drift;
pub mod hold;
pub mod hold_to_move;
mod own_holds;
pub mod relocate;

use chrono::TimeDelta;

use customer_as_provider::{CustomerAsProvider, lock_customer};

use super::{
    Appointment, EXPIRED,
    attendance::{self, owner},
    store,
};
use crate::{
    accounts,
    availability::{ProviderTime, SlotRules, practice::Practice},
    catalogue::{self, AppointmentType},
    claims::{self, Overlap, Subject, kind::Kind},
    events::{self, Event, EventData, appointment::Expiry, schedule::Attendance},
    kernel::{
        fault::{Fault, Reason},
        id::{AppointmentId, ProviderId, ServiceAccountId, UserId},
        stamp::Revision,
        time::{Instant, Interval},
        zone::{UnknownZone, ZoneData},
    },
    schedule::{self, hours::Hours, plan::TimeOff, provider::Provider},
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// The fault `SLOT_TAKEN`: another claim of the provider overlaps this time. It does not say whose claim.
pub fn slot_taken() -> Fault {
    Fault::new(Reason::SlotTaken, "this time is no longer free; ask for availability again")
}

/// Maps an overlap to its fault: `SLOT_TAKEN` for the provider's time, `CUSTOMER_BUSY` for the
/// customer's.
pub(super) fn refused(overlap: Overlap) -> Fault {
    match overlap {
        Overlap::Provider => slot_taken(),
        Overlap::Customer => Fault::new(
            Reason::CustomerBusy,
            "the customer has another appointment that overlaps this time",
        ),
    }
}

/// Writes the effect of every claim of this provider that expired at or before `now`: a hold is removed, a
/// pending request is declined, a requested move ends, and a claim on the provider's own time as a customer is
/// removed. Each becomes one event with the
/// provider's next version. The provider must be locked; this locks the customers of the expired claims
/// after it. Lock order everywhere: provider, customers, rows. Must run before a new claim is inserted,
/// because expired rows still count for the database constraint.
pub(super) async fn expire_claims(
    tx: &Tx,
    provider: &mut Provider,
    now: Instant,
) -> Result<(), Fault> {
    expire_claims_at(tx, provider.id, &mut provider.version, now).await
}

/// Like [`expire_claims`], for a provider that is locked and of which only the version is loaded.
/// Advances `version` by one for each event.
pub(crate) async fn expire_claims_at(
    tx: &Tx,
    provider: ProviderId,
    version: &mut i64,
    now: Instant,
) -> Result<(), Fault> {
    let expired = claims::store::expired::expired(tx, provider, now).await?;
    let ids: Vec<_> = expired.iter().map(|(id, ..)| *id).collect();
    claims::store::expired::lock_customers(tx, provider, &ids).await?;
    for (id, at, what) in expired {
        *version += 1;
        let reason = EXPIRED.to_owned();
        let (data, appointment) = match what {
            Kind::Hold => {
                claims::store::remove_hold(tx, provider, id).await?;
                (EventData::HoldExpired(Expiry { reason }), Some(id))
            }
            // Nothing else ends by itself.
            Kind::Request | Kind::Appointment => {
                store::decline_expired(tx, (provider, id), at, *version).await?;
                (EventData::AppointmentExpired(Expiry { reason }), Some(id))
            }
            Kind::Attended => {
                claims::store::extra::remove(tx, provider, id).await?;
                (EventData::AttendanceChanged(Attendance { reason: Some(reason) }), None)
            }
            Kind::Move(of) => {
                claims::store::extra::remove(tx, provider, id).await?;
                store::end_move(tx, (provider, of), at, *version).await?;
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

/// Updates an appointment that stays live. Returns the overlap if another claim is in the way;
/// the caller must then fail the transaction. Locks the customer after the provider: PostgreSQL checks the constraint again on
/// every update, also of an unchanged interval, so two updates of one customer at two providers would
/// deadlock. Also updates the customer's claim on their own time, where the customer is a provider.
async fn write_live(
    tx: &Tx,
    a: &Appointment,
    elsewhere: &mut Option<CustomerAsProvider>,
    now: Instant,
) -> Result<Option<Overlap>, Fault> {
    lock_customer(tx, a.customer, elsewhere.as_ref()).await?;
    // Its own further time is in nobody's way.
    let subject = Subject::Provider(a.provider);
    let asked = attendance::asked_for(a);
    let wanted = asked.as_slice();
    let is_same = claims::store::extra::is(tx, subject, a.id, wanted).await?;
    if !is_same {
        claims::store::extra::release(tx, subject, a.id).await?;
    }
    if let Some(overlap) = store::update(tx, a).await? {
        return Ok(Some(overlap));
    }
    if let Some(asked) = asked.filter(|_| !is_same)
        && let Some(overlap) = claims::store::extra::claim(tx, &asked, &owner(a, a.version)).await?
    {
        return Ok(Some(overlap));
    }
    follow(tx, a, elsewhere, now).await
}

/// Updates the claim on the customer's own time after their appointment was written, where the customer
/// is a provider. Returns `Overlap::Customer` if that time is taken; the caller must then fail the transaction.
async fn follow(
    tx: &Tx,
    a: &Appointment,
    elsewhere: &mut Option<CustomerAsProvider>,
    now: Instant,
) -> Result<Option<Overlap>, Fault> {
    let Some(elsewhere) = elsewhere else { return Ok(None) };
    let is_free = elsewhere.follow(tx, a, now).await?;
    Ok((!is_free).then_some(Overlap::Customer))
}

/// Unit of work: expires the overdue claims of one provider. Used when an expired request at this
/// provider still blocks a customer elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct ExpireClaims {
    /// The id of the provider whose claims are expired.
    pub provider: ProviderId,
    /// Current time.
    pub now: Instant,
}

impl UnitOfWork for ExpireClaims {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        match schedule::store::lock_version(tx, self.provider).await? {
            Some(mut version) => expire_claims_at(tx, self.provider, &mut version, self.now).await,
            None => Ok(()),
        }
    }
}

/// What the booking rules are evaluated with: the current time, the zone rules and the practice's
/// settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleContext<'a> {
    pub(super) now: Instant,
    pub(super) zones: &'a ZoneData,
    pub(super) practice: &'a Practice,
}

/// Loads the provider's open windows, time off, closures and counted appointments around `interval`.
/// Claims are not loaded; the database constraint checks them.
pub(super) async fn time(
    tx: &Tx,
    moment: RuleContext<'_>,
    provider: &Provider,
    hours: &Hours,
    interval: Interval,
    of_type: Option<&AppointmentType>,
    except: &[AppointmentId],
) -> Result<ProviderTime, Fault> {
    let closures = schedule::store::closures::closures(tx, interval).await?;
    let mut time = around(moment, provider, hours, interval, closures)?;
    if let Some(kind) = of_type.filter(|kind| kind.terms.limits.limit_providers())
        && let Some(week) = time.days.around_week(interval.start())
    {
        time.counted =
            claims::store::counted::counted(tx, provider.id, kind.id, week, except).await?;
    }
    Ok(time)
}

/// Like [`time`], from data already in memory: closures are given, and appointments that count for limits
/// are left out. Windows are empty if `interval` is longer than [`schedule::LONGEST_RANGE`].
pub(super) fn around(
    RuleContext { now, zones, practice }: RuleContext<'_>,
    provider: &Provider,
    hours: &Hours,
    interval: Interval,
    closures: Vec<Interval>,
) -> Result<ProviderTime, UnknownZone> {
    let off = |off: &TimeOff| Some(off.interval).filter(|off| off.overlaps(&interval));
    // For absurd lengths, which are refused already, nothing is expanded: nothing that long is open.
    let sensible = interval.duration() <= *schedule::LONGEST_RANGE.end();
    Ok(ProviderTime {
        days: practice.days(hours, zones, interval, now)?,
        windows: if sensible { hours.windows(zones, interval)? } else { Vec::new() },
        time_off: provider.time_off().iter().filter_map(off).collect(),
        closures,
        claims: Vec::new(),
        counted: Vec::new(),
    })
}

/// An appointment type and the hours in which one provider offers it.
pub(super) struct Offered<'p> {
    pub(super) kind: AppointmentType,
    /// None where the provider does not offer it.
    pub(super) hours: Option<&'p Hours>,
}

/// Loads an appointment type and how this provider offers it. `NOT_FOUND` if there is no such type;
/// `INTERNAL` if the offering names a schedule that does not exist.
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

/// The fault `INTERVALS_NOT_ACCEPTED`: this provider can be booked by appointment type only.
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

/// Returns `NOT_FOUND` if the provider is disabled or no longer a provider.
pub(super) fn bookable(provider: &Provider) -> Result<(), Fault> {
    if provider.enabled { Ok(()) } else { Err(Fault::not_found(provider.id.name())) }
}

/// Returns `NOT_FOUND` if the customer's account is disabled or erased.
pub(super) async fn is_present(tx: &Tx, customer: UserId) -> Result<(), Fault> {
    let account = accounts::store::find_to_book(tx, customer).await?;
    if account.is_some_and(|account| !account.user.disabled) {
        return Ok(());
    }
    Err(Fault::not_found(customer.name()))
}

/// The slot rules for an existing appointment of a type: the type's current rules, with the buffers that
/// were agreed at booking.
pub fn asked_by(a: &Appointment, kind: &AppointmentType, duration: TimeDelta) -> SlotRules {
    SlotRules {
        buffer_before: catalogue::minutes(a.terms.buffer_before),
        buffer_after: catalogue::minutes(a.terms.buffer_after),
        ..SlotRules::of(&kind.terms, duration)
    }
}

/// The provider event to append for a change: kind, actor, acting service account, detail.
pub(crate) struct EventDraft {
    pub(crate) data: EventData,
    pub(crate) actor: UserId,
    /// The service account that acts for them, if one does.
    pub(crate) via: Option<ServiceAccountId>,
}

/// Takes the provider's next version, appends the event, and stores the response under the idempotency
/// key.
pub(super) async fn finish(
    tx: &Tx,
    appointment: &Appointment,
    act: EventDraft,
    idempotency_key: &IdempotencyKey,
    now: Instant,
) -> Result<(), Fault> {
    record(tx, appointment, act, now).await?;
    idempotency_key.keep(tx, appointment.provider.0, appointment.version, appointment, now).await
}

/// Takes the provider's next version and appends the event with it.
pub(crate) async fn record(
    tx: &Tx,
    appointment: &Appointment,
    act: EventDraft,
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

/// Returns `ETAG_STALE` if `expected` is set and is neither the revision that this caller sees now nor
/// `before`, the revision before [`expire_claims`] ran in this transaction. Readers saw the expired
/// request as declined under `before`.
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
