//! Booking, and holding.

use chrono::TimeDelta;

use super::{
    EventDraft, Offered, RuleContext, around, bookable,
    customer_as_provider::{CustomerAsProvider, lock_customer, not_since},
    expire_claims, finish, follow, intervals_not_accepted, not_offered, offered,
    own_holds::{OwnHolds, may_be_for_own_hold},
    refused, time,
};
use crate::{
    accounts,
    availability::{SlotRules, practice::Practice},
    booking::{
        AgreedTerms, Appointment, State,
        fairness::ProviderLoad,
        policy::{self, RuleSet},
        promised, store,
    },
    catalogue::{
        Answer, Question, Terms,
        questions::{self, Reply},
    },
    claims::{self, Overlap, store::busy::is_busy},
    events::{
        EventData,
        appointment::{Claimed, HoldPlaced},
        table::written,
    },
    identity::{
        not_authenticated,
        permit::{self, Book as BookPermit},
    },
    kernel::{
        fault::{Fault, Reason, Violations},
        id::{AppointmentId, TypeId, UserId},
        stamp::Stamp,
        time::{Instant, Interval, ceil_to_second},
        zone::ZoneData,
    },
    schedule::{self, hours::Hours, provider::Provider},
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// How many slots a customer may hold at a time.
pub const MOST_HOLDS: u64 = 5;

/// What to book: a bare interval, or an appointment type with a start.
#[derive(Debug, Clone)]
pub enum BookingTarget {
    /// A bare interval.
    Interval(Interval),
    /// An appointment of a type.
    Type(TypeTarget),
}

/// An appointment of a type.
#[derive(Debug, Clone)]
pub struct TypeTarget {
    /// The id of the appointment type.
    pub id: TypeId,
    /// From when on.
    pub start: Instant,
    /// How long, if not the type's first length.
    pub duration: Option<TimeDelta>,
    /// What opens a private type.
    pub link_code: String,
}

impl BookingTarget {
    /// From when on.
    pub fn start(&self) -> Instant {
        match self {
            Self::Interval(interval) => interval.start(),
            Self::Type(target) => target.start,
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
    pub target: BookingTarget,
    /// What the customer wrote.
    pub note: String,
    /// What the customer answered.
    pub replies: Vec<Reply>,
    /// Why staff book against the rules, if they do.
    pub override_reason: String,
    /// For how long to hold it, where it is not to be booked yet.
    pub hold: Option<TimeDelta>,
    /// Where the provider was chosen from those who are free: how far the choice holds.
    pub assigned: Option<Assigned>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the booking.
    pub now: Instant,
    /// The zone data of that time.
    pub zones: ZoneData,
    /// The settings of the practice.
    pub practice: Practice,
}

/// A provider was chosen automatically. The booking is made only if that choice still holds under the
/// lock.
#[derive(Debug, Clone, Copy)]
pub struct Assigned {
    /// What the next one had to do. Who has more by now gives way; with none, nobody does.
    pub next: Option<ProviderLoad>,
}

/// What came of a booking.
#[derive(Debug, Clone)]
pub enum Booked {
    /// It was made, with this provider.
    Made(Box<(Appointment, Provider)>),
    /// Nothing was made: the provider has so much to do by now that the next one comes first.
    Passed(ProviderLoad),
}

/// Result of a booking while the provider is locked.
pub(super) enum Made {
    /// It was made.
    Booked(Box<Appointment>),
    /// Nothing was made.
    Passed(ProviderLoad),
}

/// What the rules made of a booking target.
struct Checked {
    interval: Interval,
    terms: AgreedTerms,
    type_id: Option<TypeId>,
    /// After how long a request for it ends, where it takes one.
    request: Option<TimeDelta>,
    /// The most open ones of the type that the customer may have.
    open_per_customer: Option<u32>,
}

impl Book {
    fn moment(&self) -> RuleContext<'_> {
        RuleContext { now: self.now, zones: &self.zones, practice: &self.practice }
    }

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
            let time = around(self.moment(), provider, schedule.hours(), interval, closures)?;
            let bounds = (&self.practice.intervals, schedule.longest());
            let by = (self.now, self.bound());
            policy::may_book_interval(&time, bounds, interval, None, by)?;
        } else {
            policy::may_override(interval, self.now)?;
        }
        let terms =
            AgreedTerms { override_reason: self.override_reason.clone(), ..AgreedTerms::default() };
        let checked =
            Checked { interval, terms, type_id: None, request: None, open_per_customer: None };
        self.draft(provider, schedule.hours(), &checked)
    }

    /// Which rules bind the caller. Staff may book a past time to record it, but cannot hold one.
    fn bound(&self) -> RuleSet {
        let records = self.permit.is_staff && self.hold.is_none();
        if records { RuleSet::Recording } else { RuleSet::Whole }
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
            provider_display_name: provider.display_name.clone(),
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
        target: &TypeTarget,
        own: &OwnHolds,
    ) -> Result<(Checked, &'p Hours), Fault> {
        let Offered { kind, hours } = offered(tx, provider, target.id).await?;
        let (caller, is_staff) = (self.permit.caller, self.permit.is_staff);
        let offers = is_staff && hours.is_some();
        permit::see_type(Some(caller), kind.subject(), &target.link_code, offers)?;
        let overriding = !self.override_reason.is_empty();
        let terms = &kind.terms;
        let mut violations = Violations::new();
        // No length is against the rules where they are lifted, and a hold has no answers yet.
        let (length, replies) = (
            target.duration.filter(|_| !overriding),
            self.hold.is_none().then_some(&self.replies[..]),
        );
        let asker = Asker::of(is_staff);
        let answers = told_by_type(terms, length, (replies, asker), &mut violations);
        violations.finish()?;
        if kind.archived && !overriding {
            return Err(archived());
        }
        let duration = target.duration.unwrap_or_else(|| terms.default_duration());
        let interval = Self::interval(target, terms)?;
        let hours = match hours {
            Some(hours) => hours,
            None if overriding => provider.schedule.hours(),
            None => return Err(not_offered()),
        };
        let asked = SlotRules::of(terms, duration);
        if overriding {
            policy::may_override(interval, self.now)?;
        } else {
            let moment = self.moment();
            let own: Vec<_> = own.ids().collect();
            let time = time(tx, moment, provider, hours, interval, Some(&kind), &own).await?;
            policy::may_book_type(&time, &asked, interval, self.now, self.bound())?;
        }
        let request = terms.requires_approval && !self.permit.is_staff;
        let limits = terms.limits.open_per_customer;
        let checked = Checked {
            interval,
            request: request.then(|| crate::catalogue::minutes(terms.request_expiry)),
            open_per_customer: limits.filter(|_| !overriding),
            type_id: Some(kind.id),
            terms: AgreedTerms {
                type_display_name: terms.display_name.clone(),
                buffer_before: terms.buffer_before,
                buffer_after: terms.buffer_after,
                cancel_cutoff: terms.cancel_cutoff,
                reschedule_cutoff: terms.reschedule_cutoff,
                price: terms.price.clone(),
                place: terms.place.clone(),
                answers,
                override_reason: self.override_reason.clone(),
                ..AgreedTerms::default()
            },
        };
        Ok((checked, hours))
    }
}

/// Who answers a type's questions. Staff may leave required ones open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A customer, who answers what is required.
    Customer,
    /// The provider's side, who may leave every question open.
    Staff,
}

impl Asker {
    /// Who asks, by whether they act for the provider.
    pub fn of(is_staff: bool) -> Self {
        if is_staff { Self::Staff } else { Self::Customer }
    }
}

/// Notes what is wrong with the fields of a booking that only its type can tell: the length and the
/// answers, each if there is one to look at. Gives the answers.
pub fn told_by_type(
    terms: &Terms,
    duration: Option<TimeDelta>,
    (replies, asker): (Option<&[Reply]>, Asker),
    violations: &mut Violations,
) -> Vec<Answer> {
    if duration.is_some_and(|duration| !terms.allows(duration)) {
        violations.add("duration", "must be one of the appointment type's durations");
    }
    let Some(replies) = replies else { return Vec::new() };
    let binds = |question: &Question| {
        let required = question.required && asker == Asker::Customer;
        Question { required, ..question.clone() }
    };
    let questions: Vec<_> = terms.questions.iter().map(binds).collect();
    questions::answers(&questions, replies, violations)
}

/// The refusal of one more hold.
pub(super) fn too_many_holds() -> Fault {
    Fault::new(
        Reason::TooManyHolds,
        format!("a customer may hold {MOST_HOLDS} slots at a time; release one"),
    )
    .retry_after(std::time::Duration::from_mins(1))
}

/// The refusal of a type that cannot be booked any more.
pub fn archived() -> Fault {
    Fault::new(Reason::TypeArchived, "the appointment type is archived; choose another one")
}

/// Refuses a customer who has as many open appointments of a type as it allows. The customer was locked, so
/// that two bookings at two providers do not each count before the other.
pub(super) async fn check_customer_limit(
    tx: &Tx,
    customer: UserId,
    (type_id, most): (TypeId, u32),
    now: Instant,
) -> Result<(), Fault> {
    if claims::store::counted::open_of_customer(tx, customer, type_id, now).await? < u64::from(most)
    {
        return Ok(());
    }
    Err(Fault::new(
        Reason::CustomerLimit,
        format!("a customer may have {most} open appointments of this type"),
    ))
}

impl UnitOfWork for Book {
    type Output = Booked;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let BookPermit { customer, provider: id, .. } = self.permit;
        // A hold keeps its customer from nothing.
        let mut elsewhere = match self.hold {
            None => CustomerAsProvider::of_customer(tx, id, customer).await?,
            Some(_) => None,
        };
        let Some(mut provider) = schedule::store::lock(tx, id).await? else {
            return Err(Fault::not_found(id.name()));
        };
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(Booked::Made(Box::new((earlier, provider))));
        }
        bookable(&provider)?;
        expire_claims(tx, &mut provider, self.now).await?;
        let none = OwnHolds::default();
        let made = match self.make(tx, &mut provider, &none, &mut elsewhere).await {
            // Nothing was written.
            Err(refused) if may_be_for_own_hold(&refused) => {
                self.make_of_own_holds(tx, &mut provider, refused, &mut elsewhere).await
            }
            made => made,
        };
        Ok(match made? {
            Made::Booked(appointment) => Booked::Made(Box::new((*appointment, provider))),
            Made::Passed(load) => Booked::Passed(load),
        })
    }
}

impl Book {
    /// From when until when an appointment of a type is wished for.
    pub(super) fn interval(target: &TypeTarget, terms: &Terms) -> Result<Interval, Fault> {
        let duration = target.duration.unwrap_or_else(|| terms.default_duration());
        let end = target.start.checked_add_signed(duration);
        end.and_then(|end| Interval::new(target.start, end)).ok_or_else(Fault::unchecked)
    }

    /// Checks the rules, takes the place of the customer's own holds, and claims the time.
    pub(super) async fn make(
        &self,
        tx: &Tx,
        provider: &mut Provider,
        own: &OwnHolds,
        elsewhere: &mut Option<CustomerAsProvider>,
    ) -> Result<Made, Fault> {
        let BookPermit { customer, provider: id, .. } = self.permit;
        let (mut appointment, limit) = match &self.target {
            BookingTarget::Interval(interval) => {
                let closures = schedule::store::closures::closures(tx, *interval).await?;
                (self.draft_interval(provider, *interval, closures)?, None)
            }
            BookingTarget::Type(target) => {
                let (checked, hours) = self.check_type(tx, provider, target, own).await?;
                let limit = Some(target.id).zip(checked.open_per_customer);
                (self.draft(provider, hours, &checked)?, limit)
            }
        };
        if let Some(more) = self.gives_way(tx, provider, &appointment, own).await? {
            return Ok(Made::Passed(more));
        }
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
        if self.hold.is_none() && elsewhere.is_none() {
            not_since(tx, &account.user).await?;
        }
        own.give_up(tx, provider, (self.permit.caller, self.id), self.now).await?;
        appointment.version = provider.version + 1;
        appointment.customer_display_name = account.user.display_name;
        appointment.stamp = tx.stamp();
        if self.hold.is_some() {
            // Whoever it is: a hold claims nothing of the customer's own time.
            accounts::store::lock(tx, customer).await?;
        } else if limit.is_some() {
            lock_customer(tx, customer, elsewhere.as_ref()).await?;
        }
        if let Some(bounds) = limit {
            check_customer_limit(tx, customer, bounds, self.now).await?;
        }
        if self.hold.is_some()
            && claims::store::counted::held_by(tx, customer, self.now).await? >= MOST_HOLDS
        {
            return Err(too_many_holds());
        }
        if let Some(overlap) = store::claim(tx, &appointment).await? {
            return Err(refused(overlap));
        }
        if let Some(overlap) = follow(tx, &appointment, elsewhere, self.now).await? {
            return Err(refused(overlap));
        }
        if self.hold.is_some()
            && is_busy(tx, customer, (appointment.start, appointment.end), None, self.now).await?
        {
            return Err(refused(Overlap::Customer));
        }
        if self.assigned.is_some() {
            schedule::store::set_assigned(tx, id, self.now).await?;
        }
        (provider.version, provider.stamp) = (appointment.version, appointment.stamp);
        finish(tx, &appointment, self.act(&appointment), &self.idempotency_key, self.now).await?;
        Ok(Made::Booked(Box::new(appointment)))
    }

    fn act(&self, a: &Appointment) -> EventDraft {
        let claimed = Claimed {
            type_id: a.type_id,
            expires: a.expires_at,
            override_reason: written(&self.override_reason),
            ..Claimed::new(a.start, a.end, a.customer)
        };
        let data = match a.state {
            State::Held => EventData::HoldPlaced(HoldPlaced::New(claimed)),
            State::Pending => EventData::AppointmentRequested(claimed),
            _ => EventData::AppointmentBooked(claimed),
        };
        EventDraft { data, actor: self.permit.caller.user, via: self.permit.caller.service }
    }
}
