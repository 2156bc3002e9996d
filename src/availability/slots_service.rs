//! What callers can ask about the slots of appointment types.

use std::sync::Arc;

use chrono::{SubsecRound, TimeDelta};
use quick_cache::sync::Cache;

use super::{
    SlotRules,
    compute::slots,
    customer_time::CustomerTime,
    customer_time_service::CustomerTimes,
    explain::{self, Exclusion},
    merge::{Merged, Page, Stretch, days_at_once},
    practice::{Practice, WEEK},
    service::LONGEST_SPAN,
    store::{Offered, Offering},
};
pub use super::{merge::Slot, slot_query::SlotQuery};
use crate::{
    bulkhead::{Bulkhead, Stop, Turn},
    catalogue::{AppointmentType, service::Types},
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason, Violations},
        id::{ProviderId, TypeId},
        time::{Instant, Interval, ceil_to_second},
    },
    schedule::{
        cache::ScheduleCache,
        store::provider_time::{ProviderTimeBatch, ProviderTimeQuery},
    },
    storage::{Deadline, Store, batch::Batcher},
};

/// How many days [`Slots::first`] looks at before it looks further: most providers have something this soon,
/// and a week is cheap to read. The same where it is not known how many offer the type.
const NEAR: i64 = 7;

/// How many providers are read for who is free at one start, without waiting for a turn.
const FEW_PROVIDERS: usize = 30;
/// The same for lists, in slots.
const FEW_SLOTS: usize = 5_000;
/// Of how many types it is remembered how many offer them.
const TYPES: usize = 1_000;
/// How often a computation looks whether it is still wanted, in slots.
const LOOK_EVERY: usize = 64;

/// Slots, derived at each call.
#[derive(Debug, Clone)]
pub struct Slots {
    /// Database handle.
    pub store: Store,
    /// Appointment types.
    pub types: Types,
    /// Providers and their claims, asked for together.
    pub claims: Batcher<ProviderTimeBatch>,
    /// Customers' own parts.
    pub customer_times: CustomerTimes,
    /// What is known of schedules.
    pub schedule_cache: ScheduleCache,
    /// How many offered a type when it was asked for last.
    pub offer_counts: OfferCountCache,
    /// Where questions about many providers wait for one another.
    pub bulkhead: Bulkhead,
    /// Source of time, ids, randomness and zone rules.
    pub ambient: Ambient,
    /// The settings of the practice.
    pub practice: Practice,
}

/// Cache: how many providers offered each type at the last read. A hint for how many days to read at
/// once.
#[derive(Debug, Clone)]
pub struct OfferCountCache(Arc<Cache<TypeId, usize>>);

impl Default for OfferCountCache {
    fn default() -> Self {
        Self(Arc::new(Cache::new(TYPES)))
    }
}

/// What a page of slots holds at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// So many slots.
    pub slots: usize,
    /// So many bytes, and the slot that would not fit any more.
    pub bytes: usize,
}

/// A type, and how long it shall take.
#[derive(Debug, Clone)]
pub struct RequestedType {
    /// The appointment type.
    pub appointment_type: Arc<AppointmentType>,
    /// What it asks of a provider's time.
    pub asked: SlotRules,
}

impl Slots {
    /// Those who may see the type: the slots that start after `after`, in time order, as many as fit, as
    /// `finish` makes an answer of them. Where many providers or slots are looked at, other such questions
    /// are waited for.
    pub async fn list<T: Send + 'static>(
        &self,
        deadline: Deadline,
        question: &SlotQuery,
        (after, bounds): (Option<Instant>, Bounds),
        finish: impl FnOnce(Vec<Slot>) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let now = self.ambient.now();
        let from = after.map_or(now, |after| after + TimeDelta::seconds(1));
        self.search(deadline, question, (now, from, bounds), finish).await
    }

    /// Those who may see the type: the first slot.
    pub async fn first(
        &self,
        deadline: Deadline,
        question: &SlotQuery,
    ) -> Result<Option<Slot>, Fault> {
        let now = self.ambient.now();
        let bounds = Bounds { slots: 1, bytes: usize::MAX };
        let first = |mut slots: Vec<Slot>| slots.pop();
        self.search(deadline, question, (now, now, bounds), first).await
    }

    /// Looks for slots, stretch by stretch, until there are enough.
    async fn search<T: Send + 'static>(
        &self,
        deadline: Deadline,
        question: &SlotQuery,
        (now, mut from, bounds): (Instant, Instant, Bounds),
        finish: impl FnOnce(Vec<Slot>) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let mut turn = None;
        let mut page = Page::new(bounds.slots, bounds.bytes);
        let mut is_first = bounds.slots == 1;
        loop {
            let crowd = self.crowd(question);
            let stretch = |kind: &RequestedType| {
                let whole = question.range(now)?;
                // Nothing is offered sooner than the notice.
                let from = from.max(ceil_to_second(now.checked_add_signed(kind.asked.notice)?));
                let days = crowd.map_or(NEAR, days_at_once);
                let days = if is_first { days.min(NEAR) } else { days };
                Stretch::of(whole, from, days, kind.asked.duration)
            };
            let most = if is_first { NEAR } else { LONGEST_SPAN };
            if turn.is_none() && question.is_large(crowd, now, (from, most)) {
                turn = Some(self.bulkhead.turn(deadline).await?);
            }
            let found = self.possible(deadline, question, stretch, now).await?;
            let Some(found) = found else { break };
            is_first = false;
            from = found.stretch.starts.end();
            let is_last = found.stretch.is_last;
            if question.providers.is_none() {
                self.offer_counts.0.insert(question.type_id, found.all.len());
            }
            page = self.fill(deadline, &mut turn, found, now, page).await?;
            if page.is_full() || is_last {
                break;
            }
        }
        let slots = page.into_slots();
        match turn {
            None => Ok(finish(slots)),
            Some(turn) => {
                let finished = move |_: &Stop| Some(finish(slots));
                self.bulkhead.compute(deadline, &turn, finished).await
            }
        }
    }

    /// Adds the slots of a stretch to a page, on a thread of the bulkhead's where they may be many.
    async fn fill(
        &self,
        deadline: Deadline,
        turn: &mut Option<Turn>,
        found: Possible,
        now: Instant,
        page: Page,
    ) -> Result<Page, Fault> {
        if turn.is_none() && found.effort(&page) > FEW_SLOTS {
            *turn = Some(self.bulkhead.turn(deadline).await?);
        }
        match turn {
            None => found.fill(now, page, &Stop::never()).ok_or_else(Fault::unchecked),
            Some(turn) => {
                let fill = move |stop: &Stop| found.fill(now, page, stop);
                self.bulkhead.compute(deadline, turn, fill).await
            }
        }
    }

    /// How many providers a question is about, as far as that is known.
    fn crowd(&self, question: &SlotQuery) -> Option<usize> {
        match &question.providers {
            Some(providers) => Some(providers.len()),
            None => self.offer_counts.0.get(&question.type_id),
        }
    }

    /// Those who may see the type: everything against a start with a provider.
    pub async fn explain(
        &self,
        deadline: Deadline,
        question: &SlotQuery,
        provider: ProviderId,
        start: Instant,
    ) -> Result<Vec<Exclusion>, Fault> {
        let now = self.ambient.now();
        let moved = question.moved();
        let kind = match moved.clone() {
            Some(kind) => kind,
            None => self.kind(deadline, question).await?,
        };
        let (interval, all) =
            self.around(deadline, question.type_id, Some(provider), &kind, start, now).await?;
        let Some(mut found) = all.into_iter().next() else {
            return Err(Fault::not_found(provider.name()));
        };
        let own = self.own(deadline, question, &kind, interval, now).await?;
        let claim = kind.asked.claim(interval);
        own.clear_for((provider, question.type_id), claim, &mut found.time);
        let mut against = match moved {
            // What was agreed stays movable, offered or not.
            Some(_) => explain::against(&found.time, &kind.asked, interval, now),
            None => against(&kind, &found, interval, now),
        };
        against.extend(own.against(provider, interval));
        Ok(against)
    }

    /// The own part of whom a question is for.
    async fn own(
        &self,
        deadline: Deadline,
        question: &SlotQuery,
        kind: &RequestedType,
        range: Interval,
        now: Instant,
    ) -> Result<CustomerTime, Fault> {
        let most = kind.asked.limits.open_per_customer;
        let of_type = (Some(question.type_id), most);
        self.customer_times
            .of(deadline, question.customer_context.as_ref(), of_type, range, now)
            .await
    }

    /// Everybody whom a question is about, and the own part of whom it is for, taken out of their time.
    async fn read(
        &self,
        deadline: Deadline,
        question: &SlotQuery,
        kind: &RequestedType,
        range: Interval,
        now: Instant,
    ) -> Result<(Vec<Offered>, CustomerTime), Fault> {
        let offered = self.offered(deadline, question, kind, range, now);
        let own = self.own(deadline, question, kind, range, now);
        let (mut all, own) = tokio::try_join!(offered, own)?;
        for each in &mut all {
            own.clear(each.provider, &mut each.time);
        }
        Ok((all, own))
    }

    /// A turn at the bulkhead for a call that reads the time of everybody who offers a type around a start; none where few
    /// do. It lasts until it is dropped.
    pub async fn turn_for_all(
        &self,
        deadline: Deadline,
        type_id: TypeId,
    ) -> Result<Option<Turn>, Fault> {
        // What everybody has booked in two weeks may be much.
        let many = self.offer_counts.0.get(&type_id).is_none_or(|crowd| crowd > FEW_PROVIDERS);
        if many { self.bulkhead.turn(deadline).await.map(Some) } else { Ok(None) }
    }

    /// Everybody who offers a type, with their time around a start, or the one provider whether or not
    /// the type is offered.
    pub async fn around(
        &self,
        deadline: Deadline,
        type_id: TypeId,
        provider: Option<ProviderId>,
        kind: &RequestedType,
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
            schedule_cache: self.schedule_cache.clone(),
            zones: self.ambient.zones(),
            practice: self.practice,
        };
        let all = self.store.read(deadline, offering).await?;
        if provider.is_none() {
            self.offer_counts.0.insert(type_id, all.len());
        }
        Ok((interval, all))
    }

    /// The type of a question and what it asks, for those who may see it.
    async fn kind(&self, deadline: Deadline, question: &SlotQuery) -> Result<RequestedType, Fault> {
        let found = self.find(deadline, question).await?;
        let mut violations = Violations::new();
        let duration = question.duration(&found, &mut violations);
        violations.finish()?;
        Ok(RequestedType { asked: SlotRules::of(&found.terms, duration), appointment_type: found })
    }

    /// Everybody whom a question is about, with their time of the stretch that follows from the type;
    /// nothing if the type is archived or there is no such stretch.
    async fn possible(
        &self,
        deadline: Deadline,
        question: &SlotQuery,
        stretch: impl Fn(&RequestedType) -> Option<Stretch>,
        now: Instant,
    ) -> Result<Option<Possible>, Fault> {
        let mut violations = question.violations(now);
        if let Some(kind) = question.moved() {
            violations.finish()?;
            let Some(stretch) = stretch(&kind) else { return Ok(None) };
            let (all, own) = self.read(deadline, question, &kind, stretch.range, now).await?;
            return Ok(Some(Possible { kind, stretch, all, own }));
        }
        if violations.is_empty()
            && let Some(kind) = self.likely(question)
            && let Some(stretch) = stretch(&kind)
        {
            let (all, own) = self.read(deadline, question, &kind, stretch.range, now).await?;
            // As the type was in the statement that found them.
            let stored = all.first().and_then(|offered| offered.type_revision);
            if stored == Some(kind.appointment_type.revision()) {
                return Ok(Some(Possible { kind, stretch, all, own }));
            }
        }
        let found = self.find(deadline, question).await?;
        let duration = question.duration(&found, &mut violations);
        violations.finish()?;
        let kind =
            RequestedType { asked: SlotRules::of(&found.terms, duration), appointment_type: found };
        let Some(stretch) = stretch(&kind).filter(|_| !kind.appointment_type.archived) else {
            return Ok(None);
        };
        let (all, own) = self.read(deadline, question, &kind, stretch.range, now).await?;
        Ok(Some(Possible { kind, stretch, all, own }))
    }

    /// The type as it was met last, where nothing is against the question.
    fn likely(&self, question: &SlotQuery) -> Option<RequestedType> {
        let found = self.schedule_cache.appointment_type(question.type_id)?;
        let duration = question.duration.unwrap_or_else(|| found.terms.default_duration());
        found.terms.allows(duration).then(|| RequestedType {
            asked: SlotRules::of(&found.terms, duration),
            appointment_type: found,
        })
    }

    /// The type, for those who may see it. One that everybody may book is remembered.
    async fn find(
        &self,
        deadline: Deadline,
        question: &SlotQuery,
    ) -> Result<Arc<AppointmentType>, Fault> {
        let SlotQuery { caller, type_id, link_code, .. } = question;
        let found = self.types.get(deadline, *caller, *type_id, link_code).await?;
        let found = Arc::new(found);
        if !found.terms.private && !found.archived {
            self.schedule_cache.keep_type(Arc::clone(&found));
        }
        Ok(found)
    }

    async fn offered(
        &self,
        deadline: Deadline,
        question: &SlotQuery,
        kind: &RequestedType,
        range: Interval,
        now: Instant,
    ) -> Result<Vec<Offered>, Fault> {
        // Buffers reach out of the range.
        let reach = kind.asked.claim(range);
        let counted = Interval::new(range.start() - WEEK, range.end() + WEEK)
            .filter(|_| kind.asked.limits.limit_providers());
        let moves = question.moved().is_some();
        if let (Some(&[provider]), None) = (question.providers.as_deref(), counted)
            && !moves
        {
            let (type_id, now) = (Some(question.type_id), now.trunc_subsecs(0));
            let asked = ProviderTimeQuery { provider, type_id, range: reach, now };
            let found = self.claims.ask(deadline, asked).await??;
            let offers =
                found.filter(|found| found.known.provider.enabled && found.offer.is_some());
            let zones = self.ambient.zones();
            let of = |found| Offered::of(found, &zones, (&self.practice, now), reach);
            return offers.map(of).into_iter().collect();
        }
        let offering = Offering {
            type_id: question.type_id,
            providers: question.providers.clone(),
            // What was agreed stays movable, offered or not.
            also_others: moves,
            range: reach,
            counted,
            now: now.trunc_subsecs(0),
            schedule_cache: self.schedule_cache.clone(),
            zones: self.ambient.zones(),
            practice: self.practice,
        };
        self.store.read(deadline, offering).await
    }
}

/// What there is to find slots in.
struct Possible {
    kind: RequestedType,
    stretch: Stretch,
    all: Vec<Offered>,
    own: CustomerTime,
}

impl Possible {
    /// How many slots of single providers are found at most to fill the page.
    fn effort(&self, page: &Page) -> usize {
        let steps = self.stretch.starts.duration().num_seconds();
        let steps = steps.checked_div(self.kind.asked.step.num_seconds()).unwrap_or(i64::MAX);
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        self.all.len().saturating_mul(steps.min(page.room()))
    }

    /// Adds the slots of all providers to a page until it is full; nothing when that is not wanted any more.
    fn fill(&self, now: Instant, mut page: Page, stop: &Stop) -> Option<Page> {
        let Stretch { starts, .. } = self.stretch;
        let mut all = Vec::with_capacity(self.all.len());
        for each in &self.all {
            if all.len() % LOOK_EVERY == 0 && stop.is_now() {
                return None;
            }
            let of_type = Some(self.kind.appointment_type.id);
            let slots = slots(&each.time, &self.kind.asked, starts, now);
            let slots = slots.of(&self.own, each.provider, of_type);
            all.push((each.provider, slots));
        }
        let mut merged = Merged::new(all);
        let mut looked = 0;
        while !page.is_full()
            && let Some(slot) = merged.next()
        {
            if merged.pulled() >= looked + LOOK_EVERY {
                looked = merged.pulled();
                if stop.is_now() {
                    return None;
                }
            }
            page.push(slot);
        }
        Some(page)
    }
}

/// Everything against an interval with one provider, the type itself included.
pub fn against(
    kind: &RequestedType,
    offered: &Offered,
    interval: Interval,
    now: Instant,
) -> Vec<Exclusion> {
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
