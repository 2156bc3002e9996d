//! What callers can ask about the slots of appointment types.

use std::sync::Arc;

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
    schedule::store::{
        claims::{self, WithClaims},
        remembered::Remembered,
    },
    storage::{Deadline, Store, batch::Batch},
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
    /// Providers and their claims, asked for together.
    pub claims: Batch<WithClaims>,
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
    pub appointment_type: Arc<AppointmentType>,
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
        let from = after.map_or(now, |after| after + TimeDelta::seconds(1));
        let range = |_: &Kind| {
            let range = question.range(now)?;
            Interval::new(range.start().max(from), range.end())
        };
        let found = self.possible(deadline, question, range, now).await?;
        Ok(found.map(|found| found.slots(now, most)).unwrap_or_default())
    }

    /// Those who may see the type: the first slot.
    pub async fn first(
        &self,
        deadline: Deadline,
        question: &Question,
    ) -> Result<Option<Slot>, Fault> {
        let now = self.ambient.now();
        // Nothing is offered sooner than the notice, so the near part begins there.
        let near = |kind: &Kind| {
            let range = question.range(now)?;
            let soonest = range.start().max(now + kind.asked.notice);
            Interval::new(range.start(), range.end().min(soonest + NEAR))
        };
        let found = self.possible(deadline, question, near, now).await?;
        let Some(found) = found else { return Ok(None) };
        let slot = found.slots(now, 1).pop();
        if slot.is_some() || question.range(now) == Some(found.range) {
            return Ok(slot);
        }
        let everywhere = |_: &Kind| question.range(now);
        let found = self.possible(deadline, question, everywhere, now).await?;
        Ok(found.and_then(|found| found.slots(now, 1).pop()))
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
            counted: Interval::new(start - WEEK, start + WEEK),
            now: now.trunc_subsecs(0),
            remembered: self.remembered.clone(),
        };
        Ok((interval, self.store.read(deadline, offering).await?))
    }

    /// The type of a question and what it asks, for those who may see it.
    async fn kind(&self, deadline: Deadline, question: &Question) -> Result<Kind, Fault> {
        let found = self.find(deadline, question).await?;
        let mut violations = Violations::new();
        let duration = question.duration(&found, &mut violations);
        violations.finish()?;
        Ok(Kind { asked: Asked::of(&found.terms, duration), appointment_type: found })
    }

    /// Everybody whom a question is about, with their time of the range that follows from the type;
    /// nothing if the type is archived or there is no such range.
    async fn possible(
        &self,
        deadline: Deadline,
        question: &Question,
        range: impl Fn(&Kind) -> Option<Interval>,
        now: Instant,
    ) -> Result<Option<Possible>, Fault> {
        let mut violations = question.violations(now);
        if violations.is_empty()
            && let Some(kind) = self.likely(question)
            && let Some(range) = range(&kind)
        {
            let all = self.offered(deadline, question, &kind, range, now).await?;
            // As the type was in the statement that found them.
            let stored = all.first().and_then(|offered| offered.type_revision);
            if stored == Some(kind.appointment_type.revision()) {
                return Ok(Some(Possible { kind, range, all }));
            }
        }
        let found = self.find(deadline, question).await?;
        let duration = question.duration(&found, &mut violations);
        violations.finish()?;
        let kind = Kind { asked: Asked::of(&found.terms, duration), appointment_type: found };
        let Some(range) = range(&kind).filter(|_| !kind.appointment_type.archived) else {
            return Ok(None);
        };
        let all = self.offered(deadline, question, &kind, range, now).await?;
        Ok(Some(Possible { kind, range, all }))
    }

    /// The type as it was met last, where nothing is against the question.
    fn likely(&self, question: &Question) -> Option<Kind> {
        let found = self.remembered.appointment_type(question.type_id)?;
        let duration = question.duration.unwrap_or_else(|| found.terms.default_duration());
        found
            .terms
            .allows(duration)
            .then(|| Kind { asked: Asked::of(&found.terms, duration), appointment_type: found })
    }

    /// The type, for those who may see it. One that everybody may book is remembered.
    async fn find(
        &self,
        deadline: Deadline,
        question: &Question,
    ) -> Result<Arc<AppointmentType>, Fault> {
        let Question { caller, type_id, link_code, .. } = question;
        let found = self.types.get(deadline, *caller, *type_id, link_code).await?;
        let found = Arc::new(found);
        if !found.terms.private && !found.archived {
            self.remembered.keep_type(Arc::clone(&found));
        }
        Ok(found)
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
        if let (Some(&[provider]), None) = (question.providers.as_deref(), counted) {
            let (type_id, now) = (Some(question.type_id), now.trunc_subsecs(0));
            let asked = claims::Question { provider, type_id, range: reach, now };
            let found = self.claims.ask(deadline, asked).await??;
            let offers =
                found.filter(|found| found.known.provider.enabled && found.offer.is_some());
            return offers.map(|found| Offered::of(found, reach)).into_iter().collect();
        }
        let offering = Offering {
            type_id: question.type_id,
            providers: question.providers.clone(),
            also_others: false,
            range: reach,
            counted,
            now: now.trunc_subsecs(0),
            remembered: self.remembered.clone(),
        };
        self.store.read(deadline, offering).await
    }
}

impl Question {
    /// The length that is asked for, and whether the type has it.
    fn duration(&self, of: &AppointmentType, violations: &mut Violations) -> TimeDelta {
        let duration = self.duration.unwrap_or_else(|| of.terms.default_duration());
        if !of.terms.allows(duration) {
            violations.add("duration", "must be one of the appointment type's durations");
        }
        duration
    }

    /// From when on, and until when at most.
    fn bounds(&self, now: Instant) -> (Instant, Instant) {
        let from = self.from.unwrap_or(now);
        (from, from + TimeDelta::days(LONGEST_SPAN))
    }

    fn violations(&self, now: Instant) -> Violations {
        let mut violations = Violations::new();
        let (_, most) = self.bounds(now);
        if self.until.is_some_and(|until| until > most) {
            let text =
                format!("must be at most {LONGEST_SPAN} days after start_time, or after now");
            violations.add("end_time", text);
        }
        violations
    }

    /// The instants that it is about, if any.
    fn range(&self, now: Instant) -> Option<Interval> {
        let (from, most) = self.bounds(now);
        Interval::new(from.max(now), self.until.unwrap_or(most))
    }
}

/// What there is to find slots in.
struct Possible {
    kind: Kind,
    range: Interval,
    all: Vec<Offered>,
}

impl Possible {
    /// The slots of all providers, joined by their starts; at most so many.
    fn slots(&self, now: Instant, most: usize) -> Vec<Slot> {
        let one = |each: &Offered| {
            let slots = slots(&each.time, &self.kind.asked, self.range, now, most);
            let provider = each.provider;
            slots.into_iter().map(move |slot| (slot, provider))
        };
        let mut all: Vec<(Interval, ProviderId)> = self.all.iter().flat_map(one).collect();
        all.sort_unstable();
        let joined = all.chunk_by(|(one, _), (next, _)| one == next).take(most);
        let slot = |same: &[(Interval, ProviderId)]| {
            let interval = same.first()?.0;
            Some(Slot { interval, providers: same.iter().map(|(_, provider)| *provider).collect() })
        };
        joined.filter_map(slot).collect()
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
