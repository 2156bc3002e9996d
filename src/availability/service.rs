//! What callers can ask about free time.

use chrono::{NaiveDate, SubsecRound, TimeDelta};

use super::{
    Availability, ProviderTime, SlotRules, compute,
    customer_time::{AppointmentToMove, CustomerContext, CustomerTime},
    customer_time_service::CustomerTimes,
    practice::Practice,
};
use crate::{
    bulkhead::{Bulkhead, Stop},
    identity::permit,
    kernel::{
        ambient::Ambient,
        fault::{Fault, Violations},
        id::ProviderId,
        time::{Instant, Interval},
        zone::{Zone, ZoneData, ZoneRules},
    },
    schedule::{
        LONGEST_RANGE,
        expand::local_days,
        provider::Provider,
        store::provider_time::{Found, ProviderTimeBatch, ProviderTimeQuery},
    },
    storage::{Deadline, batch::Batcher},
};

/// How many steps of the grid a range has that is answered at once, without waiting for other such
/// questions: a month of half hours.
const FEW_SLOTS: i64 = 2_000;

/// The most days that one question may span.
pub const LONGEST_SPAN: i64 = 62;

/// Availability, derived at each call.
#[derive(Debug, Clone)]
pub struct Availabilities {
    /// Providers and their claims, asked for together.
    pub claims: Batcher<ProviderTimeBatch>,
    /// Customers' own parts.
    pub customer_times: CustomerTimes,
    /// Where long answers wait for one another.
    pub bulkhead: Bulkhead,
    /// Source of time, ids, randomness and zone rules.
    pub ambient: Ambient,
    /// What bare intervals must be like.
    pub practice: Practice,
}

/// A question for free time.
#[derive(Debug, Clone)]
pub struct FreeTimeQuery {
    /// Whose own part is looked at too, if anybody's.
    pub customer_context: Option<CustomerContext>,
    /// Id of the provider.
    pub provider: ProviderId,
    /// The first local date.
    pub first: NaiveDate,
    /// The last local date, itself included.
    pub last: NaiveDate,
    /// The zone in which the dates are meant, if not the provider's.
    pub zone: Option<Zone>,
    /// The length of the slots, if not the provider's; positive, in whole minutes.
    pub duration: Option<TimeDelta>,
}

impl FreeTimeQuery {
    /// The same, if the provider and what shall be moved are such that it can be asked.
    pub fn checked(mut self) -> Result<Self, Fault> {
        // Providers look at what others can book with them.
        let own_time = |customer_context: &CustomerContext| {
            customer_context.customer.as_provider() == self.provider
        };
        if self.customer_context.as_ref().is_some_and(own_time) {
            self.customer_context = None;
        }
        let mut violations = Violations::new();
        if self.moving().is_some_and(|moving| moving.kind.is_some()) {
            violations.add("rescheduling", "must be an appointment without a type; ask ListSlots");
        } else if self.moving().is_some_and(|moving| moving.provider != self.provider) {
            violations.add("rescheduling", "must be an appointment with this provider");
        }
        violations.finish()?;
        let only =
            self.customer_context.as_ref().and_then(|customer_context| customer_context.only);
        permit::ask_about(only, self.provider)?;
        Ok(self)
    }

    fn moving(&self) -> Option<&AppointmentToMove> {
        self.customer_context.as_ref()?.moving.as_deref()
    }
}

/// The answer, and the zone in which its dates were understood.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Free intervals and slots.
    pub availability: Availability,
    /// Time zone.
    pub zone: Zone,
}

impl Availabilities {
    /// Public: what is free, from now on, as `finish` makes an answer of it. Where that is much, other such
    /// questions are waited for.
    pub async fn ask<T: Send + 'static>(
        &self,
        deadline: Deadline,
        question: FreeTimeQuery,
        finish: impl FnOnce(Answer) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let FreeTimeQuery { provider: id, first, last, .. } = question;
        // The zone may be the provider's, which is not known yet; no zone is further from UTC than
        // this. What starts in the range may end a day after it.
        let (margin, longest) = (TimeDelta::hours(16), *LONGEST_RANGE.end());
        let range = local_days(&ZoneRules::default(), first, last)
            .and_then(|days| Interval::new(days.start() - margin, days.end() + margin + longest))
            .ok_or_else(|| Fault::internal("a checked range of dates has no instants"))?;
        let now = self.ambient.now();
        let asked =
            ProviderTimeQuery { provider: id, type_id: None, range, now: now.trunc_subsecs(0) };
        let own = self.customer_times.of(
            deadline,
            question.customer_context.as_ref(),
            (None, None),
            range,
            now,
        );
        let (found, own) = tokio::try_join!(self.claims.ask(deadline, asked), own)?;
        let found = found?;
        let found = found
            .filter(|found| found.known.provider.enabled)
            .ok_or_else(|| Fault::not_found(id.name()))?;
        let schedule = &found.known.provider.schedule;
        let (least, longest) = (self.practice.intervals.least, schedule.longest());
        let moved = question.moving().map(|moving| moving.interval.duration());
        let duration = question.duration.or(moved);
        let duration = duration.unwrap_or_else(|| schedule.slot().max(least));
        let refused = if moved == Some(duration) {
            None
        } else if question.duration.is_some_and(|duration| duration > longest) {
            Some(("longer", "provider's longest", longest))
        } else if duration < least {
            Some(("shorter", "practice's shortest", least))
        } else {
            None
        };
        if let Some((comparison, whose, bound)) = refused {
            let mut violations = Violations::new();
            let minutes = bound.num_minutes();
            let text =
                format!("must not be {comparison} than the {whose} booking, {minutes} minutes");
            violations.add("duration", text);
            return Err(violations.into_fault());
        }
        let asked = self.practice.intervals.offered(duration, schedule.slot());
        let zones = self.ambient.zones();
        let steps = range.duration().num_seconds().checked_div(schedule.slot().num_seconds());
        if steps.is_some_and(|steps| steps <= FEW_SLOTS) {
            let answer = answer((&found, &own), &question, &zones, (&asked, &self.practice), now)?;
            return Ok(finish(answer));
        }
        let turn = self.bulkhead.turn(deadline).await?;
        let practice = self.practice;
        let job = move |_: &Stop| {
            Some(answer((&found, &own), &question, &zones, (&asked, &practice), now).map(finish))
        };
        self.bulkhead.compute(deadline, &turn, job).await?
    }
}

/// What is free of a provider's time.
fn answer(
    (found, own): (&Found, &CustomerTime),
    question: &FreeTimeQuery,
    zones: &ZoneData,
    (asked, practice): (&SlotRules, &Practice),
    now: Instant,
) -> Result<Answer, Fault> {
    let provider = &found.known.provider;
    let schedule = &provider.schedule;
    let zone = question.zone.unwrap_or_else(|| schedule.zone());
    let availability = match local_days(&zones.rules(zone)?, question.first, question.last) {
        Some(range) => {
            let reach = compute::reach(range, asked.duration);
            let mut time = ProviderTime {
                days: practice.days(schedule.hours(), zones, reach, now)?,
                windows: schedule.windows(zones, reach)?,
                time_off: time_off(provider, reach),
                closures: found.closures.clone(),
                claims: found.known.claims(reach).to_vec(),
                counted: Vec::new(),
            };
            own.clear(provider.id, &mut time);
            let busy = own.busy_times().collect();
            let free = compute::free(&time, range, now).subtract(&busy).into();
            // Slots are of bookings without a type, and there are none where those are refused; what was
            // agreed stays movable.
            let accepts = provider.accepts_intervals() || question.moving().is_some();
            let slots = if accepts && asked.duration <= schedule.longest() {
                compute::slots(&time, asked, range, now).of(own, provider.id, None).collect()
            } else {
                Vec::new()
            };
            Availability { free, slots }
        }
        // All of the dates are left out in this zone.
        None => Availability::default(),
    };
    Ok(Answer { availability, zone })
}

/// A provider's time off that overlaps a range.
pub(super) fn time_off(provider: &Provider, range: Interval) -> Vec<Interval> {
    let all = provider.time_off().iter().map(|off| off.interval);
    all.filter(|off| off.overlaps(&range)).collect()
}
