//! Booking, and holding.

use chrono::TimeDelta;
use serde_json::json;

use super::{
    Act, Offered, around, finish, intervals_not_accepted, not_offered, offered, refused, settle,
    time,
};
use crate::{
    accounts,
    availability::Asked,
    booking::{Agreed, Appointment, State, policy, promised, store},
    catalogue::{
        Answer, Terms,
        questions::{self, Reply},
    },
    events::Kind,
    identity::{
        permit::{self, Book as BookPermit},
        token::not_authenticated,
    },
    kernel::{
        fault::{Fault, Reason, Violations},
        id::{AppointmentId, TypeId, UserId},
        stamp::Stamp,
        time::{Instant, Interval, ceil_to_second},
        zone::ZoneData,
    },
    schedule::{self, hours::Hours, provider::Provider},
    storage::{Authority, Tx, UnitOfWork, request::Once},
};

/// How many slots a customer may hold at a time.
pub const MOST_HOLDS: u64 = 5;

/// What is to be booked.
#[derive(Debug, Clone)]
pub enum Wish {
    /// A bare interval.
    Interval(Interval),
    /// An appointment of a type.
    Type(OfType),
}

/// An appointment of a type.
#[derive(Debug, Clone)]
pub struct OfType {
    /// The id of the appointment type.
    pub id: TypeId,
    /// From when on.
    pub start: Instant,
    /// How long, if not the type's first length.
    pub duration: Option<TimeDelta>,
    /// What opens a private type.
    pub link_code: String,
}

impl Wish {
    /// From when on.
    pub fn start(&self) -> Instant {
        match self {
            Self::Interval(interval) => interval.start(),
            Self::Type(wish) => wish.start,
        }
    }
}

/// Books, or holds, an interval or an appointment of a type.
#[derive(Debug, Clone)]
pub struct Book {
    /// The right to: who comes, whose time it is, and who asks.
    pub permit: BookPermit,
    /// The id of the new appointment or hold.
    pub id: AppointmentId,
    /// What is to be booked.
    pub wish: Wish,
    /// What the customer wrote.
    pub note: String,
    /// What the customer answered.
    pub replies: Vec<Reply>,
    /// Why staff book against the rules, if they do.
    pub override_reason: String,
    /// For how long to hold it, where it is not to be booked yet.
    pub hold: Option<TimeDelta>,
    /// Whether the provider was chosen from those who are free.
    pub assigned: bool,
    /// The request, for retries.
    pub once: Once,
    /// The time of the booking.
    pub now: Instant,
    /// The zone data of that time.
    pub zones: ZoneData,
}

/// What the rules made of a wish.
struct Checked {
    interval: Interval,
    terms: Agreed,
    type_id: Option<TypeId>,
    /// After how long a request for it ends, where it takes one.
    request: Option<TimeDelta>,
    /// The most open ones of the type that the customer may have.
    open_per_customer: Option<u32>,
}

impl Book {
    /// The appointment that a bare interval would make, or every reason against it that the schedule
    /// has.
    pub fn draft_interval(
        &self,
        provider: &Provider,
        interval: Interval,
        closures: Vec<Interval>,
    ) -> Result<Appointment, Fault> {
        let schedule = &provider.schedule;
        if self.override_reason.is_empty() {
            if !provider.accepts_intervals() {
                return Err(intervals_not_accepted());
            }
            let time = around(&self.zones, provider, schedule.hours(), interval, closures)?;
            policy::may_book_interval(&time, schedule.longest(), interval, self.now)?;
        } else {
            policy::may_override(interval, self.now)?;
        }
        let terms = Agreed { override_reason: self.override_reason.clone(), ..Agreed::default() };
        let checked =
            Checked { interval, terms, type_id: None, request: None, open_per_customer: None };
        self.draft(provider, schedule.hours(), &checked)
    }

    fn draft(
        &self,
        provider: &Provider,
        hours: &Hours,
        checked: &Checked,
    ) -> Result<Appointment, Fault> {
        let Checked { interval, request, .. } = checked;
        let zone = hours.zone_at(&self.zones, interval.start())?;
        let after = |length| ceil_to_second(self.now + length);
        let mut terms = checked.terms.clone();
        let (state, expires_at) = match (self.hold, request) {
            (Some(hold), _) => (State::Held, Some(after(hold))),
            (None, Some(expiry)) => {
                terms.answer_by = Some(after(*expiry));
                // At the start there is nothing left to answer.
                (State::Pending, terms.answer_by.min(Some(interval.start())))
            }
            (None, None) => (State::Booked, None),
        };
        Ok(Appointment {
            provider: provider.id,
            id: self.id,
            customer: self.permit.customer,
            customer_display_name: String::new(),
            start: interval.start(),
            end: interval.end(),
            state,
            note: self.note.clone(),
            time_zone: zone.zone(),
            local_start: promised(*interval, &zone),
            cancel_reason: String::new(),
            version: provider.version + 1,
            // Of the write, which knows it.
            stamp: Stamp::default(),
            created_at: self.now,
            updated_at: self.now,
            type_id: checked.type_id,
            expires_at,
            terms,
        })
    }

    async fn check_type<'p>(
        &self,
        tx: &Tx,
        provider: &'p Provider,
        wish: &OfType,
    ) -> Result<(Checked, &'p Hours), Fault> {
        let Offered { kind, hours } = offered(tx, provider, wish.id).await?;
        let (caller, is_staff) = (self.permit.caller, self.permit.is_staff);
        let offers = is_staff && hours.is_some();
        permit::see_type(Some(caller), kind.subject(), &wish.link_code, offers)?;
        let overriding = !self.override_reason.is_empty();
        let terms = &kind.terms;
        let mut violations = Violations::new();
        // No length is against the rules where they are lifted, and a hold has no answers yet.
        let (length, replies) = (
            wish.duration.filter(|_| !overriding),
            self.hold.is_none().then_some(&self.replies[..]),
        );
        let answers = told_by_type(terms, length, replies, &mut violations);
        violations.finish()?;
        if kind.archived && !overriding {
            return Err(archived());
        }
        let duration = wish.duration.unwrap_or_else(|| terms.default_duration());
        let interval = wish.start.checked_add_signed(duration);
        let interval =
            interval.and_then(|end| Interval::new(wish.start, end)).ok_or_else(Fault::unchecked)?;
        let hours = match hours {
            Some(hours) => hours,
            None if overriding => provider.schedule.hours(),
            None => return Err(not_offered()),
        };
        let asked = Asked::of(terms, duration);
        if overriding {
            policy::may_override(interval, self.now)?;
        } else {
            let time = time(tx, &self.zones, provider, hours, interval, Some(&kind), None).await?;
            policy::may_book_type(&time, &asked, interval, self.now)?;
        }
        let request = terms.requires_approval && !self.permit.is_staff;
        let limits = terms.limits.open_per_customer;
        let checked = Checked {
            interval,
            request: request.then(|| crate::catalogue::minutes(terms.request_expiry)),
            open_per_customer: limits.filter(|_| self.hold.is_none() && !overriding),
            type_id: Some(kind.id),
            terms: Agreed {
                type_display_name: terms.display_name.clone(),
                buffer_before: terms.buffer_before,
                buffer_after: terms.buffer_after,
                cancel_cutoff: terms.cancel_cutoff,
                reschedule_cutoff: terms.reschedule_cutoff,
                price: terms.price.clone(),
                place: terms.place.clone(),
                answers,
                override_reason: self.override_reason.clone(),
                ..Agreed::default()
            },
        };
        Ok((checked, hours))
    }
}

/// Notes what is wrong with the fields of a booking that only its type can tell: the length and the
/// answers, each if there is one to look at. Gives the answers.
pub fn told_by_type(
    terms: &Terms,
    duration: Option<TimeDelta>,
    replies: Option<&[Reply]>,
    violations: &mut Violations,
) -> Vec<Answer> {
    if duration.is_some_and(|duration| !terms.allows(duration)) {
        violations.add("duration", "must be one of the appointment type's durations");
    }
    let replies = replies.map(|replies| questions::answers(&terms.questions, replies, violations));
    replies.unwrap_or_default()
}

/// The refusal of a type that cannot be booked any more.
pub fn archived() -> Fault {
    Fault::new(Reason::TypeArchived, "the appointment type is archived; choose another one")
}

/// Refuses a customer who has as many open appointments of a type as it allows. Locks the customer, so
/// that two bookings at two providers do not each count before the other.
pub(super) async fn check_customer_limit(
    tx: &Tx,
    customer: UserId,
    type_id: TypeId,
    most: Option<u32>,
    now: Instant,
) -> Result<(), Fault> {
    let Some(most) = most else { return Ok(()) };
    accounts::store::lock(tx, customer).await?;
    if store::open_of_customer(tx, customer, type_id, now).await? < u64::from(most) {
        return Ok(());
    }
    Err(Fault::new(
        Reason::CustomerLimit,
        format!("a customer may have {most} open appointments of this type"),
    ))
}

impl UnitOfWork for Book {
    type Output = (Appointment, Provider);
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let BookPermit { customer, provider: id, .. } = self.permit;
        let Some(mut provider) = schedule::store::lock(tx, id).await? else {
            return Err(Fault::not_found(id.name()));
        };
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok((earlier, provider));
        }
        if !provider.enabled {
            return Err(Fault::not_found(id.name()));
        }
        settle(tx, &mut provider, self.now).await?;
        let (mut appointment, limit) = match &self.wish {
            Wish::Interval(interval) => {
                let closures = schedule::store::closures::closures(tx, *interval).await?;
                (self.draft_interval(&provider, *interval, closures)?, None)
            }
            Wish::Type(wish) => {
                let (checked, hours) = self.check_type(tx, &provider, wish).await?;
                let limit = Some(wish.id).zip(checked.open_per_customer);
                (self.draft(&provider, hours, &checked)?, limit)
            }
        };
        let account = accounts::store::find_to_book(tx, customer).await?;
        let Some(account) = account.filter(|account| !account.user.disabled) else {
            let caller = self.permit.caller;
            return Err(if customer == caller.user && caller.service.is_none() {
                // Shut out since the token was checked.
                not_authenticated()
            } else {
                Fault::not_found(customer.name())
            });
        };
        appointment.customer_display_name = account.user.display_name;
        appointment.stamp = tx.stamp();
        if let Some((type_id, most)) = limit {
            check_customer_limit(tx, customer, type_id, Some(most), self.now).await?;
        }
        if self.hold.is_some() {
            accounts::store::lock(tx, customer).await?;
            if store::held_by(tx, customer, self.now).await? >= MOST_HOLDS {
                return Err(Fault::new(
                    Reason::TooManyHolds,
                    format!("a customer may hold {MOST_HOLDS} slots at a time; release one"),
                )
                .retry_after(std::time::Duration::from_mins(1)));
            }
        }
        if let Some(overlap) = store::claim(tx, &appointment).await? {
            return Err(refused(overlap));
        }
        if self.assigned {
            schedule::store::set_assigned(tx, id, self.now).await?;
        }
        (provider.version, provider.stamp) = (appointment.version, appointment.stamp);
        finish(tx, &appointment, self.act(&appointment), &self.once, self.now).await?;
        Ok((appointment, provider))
    }
}

impl Book {
    fn act(&self, a: &Appointment) -> Act {
        let kind = match a.state {
            State::Held => Kind::HoldPlaced,
            State::Pending => Kind::AppointmentRequested,
            _ => Kind::AppointmentBooked,
        };
        let mut detail = json!({ "start": a.start, "end": a.end, "customer": a.customer });
        if let Some(fields) = detail.as_object_mut() {
            if let Some(type_id) = a.type_id {
                fields.insert("type".to_owned(), json!(type_id));
            }
            if let Some(expires_at) = a.expires_at {
                fields.insert("expires".to_owned(), json!(expires_at));
            }
            if !self.override_reason.is_empty() {
                fields.insert("override".to_owned(), json!(self.override_reason));
            }
        }
        Act { kind, actor: self.permit.caller.user, via: self.permit.caller.service, detail }
    }
}
