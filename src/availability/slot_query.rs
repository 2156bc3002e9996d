//! A question for the slots of a type.

use chrono::TimeDelta;

use super::{customer_time::CustomerContext, service::LONGEST_SPAN, slots_service::RequestedType};
use crate::{
    catalogue::AppointmentType,
    identity::{Caller, permit},
    kernel::{
        fault::{Fault, Violations},
        id::{ProviderId, TypeId},
        time::{Instant, Interval},
    },
};

/// How many provider-days are read, and slots computed, without waiting for a turn: those of a few providers,
/// or of one provider for a page that is not the longest.
const FEW_DAYS: i64 = 500;

/// A question for slots.
#[derive(Debug, Clone)]
pub struct SlotQuery {
    /// Who asks, if anybody is known.
    pub caller: Option<Caller>,
    /// Whose own part is looked at too, if anybody's.
    pub customer_context: Option<CustomerContext>,
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
    /// Until when slots start; none means as far as one question may reach.
    pub until: Option<Instant>,
}

impl SlotQuery {
    /// What shall be moved, if that is why somebody asks: its type with what was agreed.
    pub(super) fn moved(&self) -> Option<RequestedType> {
        self.customer_context.as_ref()?.moving.as_ref()?.kind.clone()
    }

    /// The same, if what shall be moved and those who are asked about are such that it can be asked: what shall be
    /// moved stays with its provider and as long as it is. `provider` is the one that alone is asked about.
    pub fn checked(mut self, provider: Option<ProviderId>) -> Result<Self, Fault> {
        let moving = self
            .customer_context
            .as_ref()
            .and_then(|customer_context| customer_context.moving.clone());
        if let Some(moving) = moving {
            let mut violations = Violations::new();
            let of_type = moving.kind.as_ref().map(|kind| kind.appointment_type.id);
            if of_type != Some(self.type_id) {
                violations.add("rescheduling", "must be an appointment of the appointment type");
            }
            if self.duration.is_some_and(|duration| duration != moving.interval.duration()) {
                violations.add("duration", "must be the appointment's, or absent");
            }
            let named = provider.is_some_and(|provider| provider != moving.provider);
            let others = self.providers.as_ref().is_some_and(|all| !all.contains(&moving.provider));
            if named || others {
                violations.add("rescheduling", "must be an appointment with the provider");
            }
            violations.finish()?;
            self.providers = Some(vec![moving.provider]);
            return Ok(self);
        }
        let Some(only) =
            self.customer_context.as_ref().and_then(|customer_context| customer_context.only)
        else {
            return Ok(self);
        };
        for other in provider.iter().chain(self.providers.iter().flatten()) {
            permit::ask_about(Some(only), *other)?;
        }
        self.providers = Some(vec![only]);
        Ok(self)
    }

    /// The length that is asked for, and whether the type has it.
    pub(super) fn duration(&self, of: &AppointmentType, violations: &mut Violations) -> TimeDelta {
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

    pub(super) fn violations(&self, now: Instant) -> Violations {
        let mut violations = Violations::new();
        let (_, most) = self.bounds(now);
        if self.until.is_some_and(|until| until > most) {
            let text =
                format!("must be at most {LONGEST_SPAN} days after start_time, or after now");
            violations.add("end_time", text);
        }
        violations
    }

    /// Whether so much may be read for it, of at most so many days from an instant on, that other such
    /// questions are waited for first.
    pub(super) fn is_large(
        &self,
        crowd: Option<usize>,
        now: Instant,
        (from, most): (Instant, i64),
    ) -> bool {
        let days = self.range(now).map_or(0, |range| (range.end() - from).num_days()).min(most);
        let crowd = crowd.and_then(|crowd| i64::try_from(crowd).ok());
        crowd.is_none_or(|crowd| crowd.saturating_mul(days) > FEW_DAYS)
    }

    /// The instants that it is about, if any.
    pub(super) fn range(&self, now: Instant) -> Option<Interval> {
        let (from, most) = self.bounds(now);
        Interval::new(from.max(now), self.until.unwrap_or(most))
    }
}
