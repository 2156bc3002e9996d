//! What callers can ask about the slots of appointment types.

use std::collections::BTreeMap;

use chrono::{SubsecRound, TimeDelta};

use super::{
    Asked,
    compute::slots,
    explain::{self, Exclusion},
    service::LONGEST_SPAN,
    store::{Offered, Offering},
};
use crate::{
    catalogue::{AppointmentType, service::Types},
    identity::Caller,
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason, Violations},
        id::{ProviderId, TypeId},
        time::{Instant, Interval},
    },
    schedule::store::claims::Remembered,
    storage::{Deadline, Store},
};

/// How far [`Slots::first`] looks before it looks everywhere: most providers have something this soon,
/// and a week is cheap to read.
const NEAR: TimeDelta = TimeDelta::days(7);
/// The days around a start in which its local week lies, whatever the zone.
const WEEK: TimeDelta = TimeDelta::days(8);

/// Slots, derived at each call.
#[derive(Debug, Clone)]
pub struct Slots {
    /// The database.
    pub store: Store,
    /// The types.
    pub types: Types,
    /// What is known of schedules.
    pub remembered: Remembered,
    /// The clock.
    pub ambient: Ambient,
}

/// A question for slots.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who asks, if anybody is known.
    pub caller: Option<Caller>,
    /// Of which type.
    pub type_id: TypeId,
    /// What opens it, where it is private.
    pub link_code: String,
    /// How long, if not the type's first length.
    pub duration: Option<TimeDelta>,
    /// With whom; none means with whoever offers the type.
    pub providers: Option<Vec<ProviderId>>,
    /// From when on slots start; none means from now on.
    pub from: Option<Instant>,
    /// Until when they end; none means as far as one question may reach.
    pub until: Option<Instant>,
}

/// A start at which the type could be booked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// From when until when.
    pub interval: Interval,
    /// Who could take it, in the order of their ids.
    pub providers: Vec<ProviderId>,
}

/// A type, and how long it shall take.
#[derive(Debug, Clone)]
pub struct Kind {
    /// The type.
    pub appointment_type: AppointmentType,
    /// What it asks of a provider's time.
    pub asked: Asked,
}

impl Slots {
    /// Those who may see the type: the slots that start after `after`, in time order, at most so many.
    pub async fn list(
        &self,
        deadline: Deadline,
        question: &Question,
        after: Option<Instant>,
        most: usize,
    ) -> Result<Vec<Slot>, Fault> {
        let now = self.ambient.now();
        let kind = self.kind(deadline, question).await?;
        let Some(range) = range(question, now)?.and_then(|range| {
            let start = after.map_or(range.start(), |after| after + TimeDelta::seconds(1));
            Interval::new(range.start().max(start), range.end())
        }) else {
            return Ok(Vec::new());
        };
        if kind.appointment_type.archived {
            return Ok(Vec::new());
        }
        let all = self.offered(deadline, question, &kind, range, now).await?;
        Ok(merge(&all, &kind.asked, range, now, most))
    }

    /// Those who may see the type: the first slot.
    pub async fn first(
        &self,
        deadline: Deadline,
        question: &Question,
    ) -> Result<Option<Slot>, Fault> {
        let now = self.ambient.now();
        let kind = self.kind(deadline, question).await?;
        let Some(range) = range(question, now)? else { return Ok(None) };
        if kind.appointment_type.archived {
            return Ok(None);
        }
        // Nothing is offered sooner than the notice, so the near part begins there.
        let soonest = range.start().max(now + kind.asked.notice);
        let near = Interval::new(range.start(), range.end().min(soonest + NEAR));
        for range in near.into_iter().chain(near.filter(|near| *near != range).map(|_| range)) {
            let all = self.offered(deadline, question, &kind, range, now).await?;
            let found = merge(&all, &kind.asked, range, now, 1).into_iter().next();
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Those who may see the type: everything against a start with a provider.
    pub async fn explain(
        &self,
        deadline: Deadline,
        question: &Question,
        provider: ProviderId,
        start: Instant,
    ) -> Result<Vec<Exclusion>, Fault> {
        let now = self.ambient.now();
        let kind = self.kind(deadline, question).await?;
        let all =
            self.around(deadline, question.type_id, Some(provider), &kind, start, now).await?;
        let (interval, all) = all;
        let Some(found) = all.into_iter().next() else {
            return Err(Fault::not_found(provider.name()));
        };
        Ok(against(&kind, &found, interval, now))
    }

    /// Everybody who offers a type, with their time around a start, or the one provider whether or not
    /// the type is offered.
    pub async fn around(
        &self,
        deadline: Deadline,
        type_id: TypeId,
        provider: Option<ProviderId>,
        kind: &Kind,
        start: Instant,
        now: Instant,
    ) -> Result<(Interval, Vec<Offered>), Fault> {
        let interval = start
            .checked_add_signed(kind.asked.duration)
            .and_then(|end| Interval::new(start, end))
            .ok_or_else(Fault::unchecked)?;
        let offering = Offering {
            type_id,
            providers: provider.map(|provider| vec![provider]),
            also_others: provider.is_some(),
            range: kind.asked.claim(interval),
            joined: false,
            counted: Interval::new(start - WEEK, start + WEEK),
            now: now.trunc_subsecs(0),
            remembered: self.remembered.clone(),
        };
        Ok((interval, self.store.read(deadline, offering).await?))
    }

    /// The type of a question and what it asks, for those who may see it.
    pub async fn kind(&self, deadline: Deadline, question: &Question) -> Result<Kind, Fault> {
        let Question { caller, type_id, link_code, .. } = question;
        let found = self.types.get(deadline, *caller, *type_id, link_code).await?;
        let duration = question.duration.unwrap_or_else(|| found.terms.default_duration());
        if !found.terms.allows(duration) {
            let mut violations = Violations::new();
            violations.add("duration", "must be one of the appointment type's durations");
            return Err(violations.into_fault());
        }
        Ok(Kind { asked: Asked::of(&found.terms, duration), appointment_type: found })
    }

    async fn offered(
        &self,
        deadline: Deadline,
        question: &Question,
        kind: &Kind,
        range: Interval,
        now: Instant,
    ) -> Result<Vec<Offered>, Fault> {
        // Buffers reach out of the range.
        let reach = kind.asked.claim(range);
        let counted = Interval::new(range.start() - WEEK, range.end() + WEEK)
            .filter(|_| kind.asked.limits.limit_providers());
        let offering = Offering {
            type_id: question.type_id,
            providers: question.providers.clone(),
            also_others: false,
            range: reach,
            joined: true,
            counted,
            now: now.trunc_subsecs(0),
            remembered: self.remembered.clone(),
        };
        self.store.read(deadline, offering).await
    }
}

/// Everything against an interval with one provider, the type itself included.
pub fn against(kind: &Kind, offered: &Offered, interval: Interval, now: Instant) -> Vec<Exclusion> {
    let mut all = Vec::new();
    if kind.appointment_type.archived {
        all.push(Exclusion::new(Reason::TypeArchived, "the appointment type is archived"));
    }
    if !offered.is_offered {
        let text = "the provider does not offer this appointment type";
        all.push(Exclusion::new(Reason::NotOffered, text));
    }
    all.extend(explain::against(&offered.time, &kind.asked, interval, now));
    all
}

/// The instants that a question is about, if any; not more than so many days.
fn range(question: &Question, now: Instant) -> Result<Option<Interval>, Fault> {
    let from = question.from.unwrap_or(now);
    let most = from + TimeDelta::days(LONGEST_SPAN);
    let until = question.until.unwrap_or(most);
    let mut violations = Violations::new();
    if until > most {
        let text = format!("must be at most {LONGEST_SPAN} days after start_time, or after now");
        violations.add("end_time", text);
    }
    violations.finish()?;
    Ok(Interval::new(from.max(now), until))
}

/// The slots of all providers, joined by their starts.
fn merge(all: &[Offered], asked: &Asked, range: Interval, now: Instant, most: usize) -> Vec<Slot> {
    let mut merged = BTreeMap::<Interval, Vec<ProviderId>>::new();
    for each in all {
        for slot in slots(&each.time, asked, range, now, most) {
            merged.entry(slot).or_default().push(each.provider);
        }
    }
    let joined = merged.into_iter().take(most);
    joined.map(|(interval, providers)| Slot { interval, providers }).collect()
}
