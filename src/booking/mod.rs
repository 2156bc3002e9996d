//! The promise: appointments, their states, and that no two claims overlap.

pub mod actors;
pub mod attendance;
pub mod calendar;
pub mod commands;
pub mod drift_service;
pub mod fairness;
pub mod policy;
pub mod service;
pub mod store;

pub use crate::claims::State;

use serde::{Deserialize, Serialize};

use self::actors::EndedBy;
use crate::{
    catalogue::{Answer, minutes},
    claims::expiry::has_ended,
    events::{Event, EventData, appointment::Expiry},
    kernel::{
        id::{AppointmentId, ProviderId, TypeId, UserId},
        stamp::{Revision, Stamp},
        time::{Instant, Interval},
        zone::{UnknownZone, Zone, ZoneData, ZoneRules},
    },
};

/// The longest note, in characters.
pub const LONGEST_NOTE: usize = 2000;
/// The longest reason, in characters.
pub const LONGEST_REASON: usize = 500;
/// What a request that nobody answered says as its reason.
pub const EXPIRED: &str = "nobody answered in time";

/// A customer's booking of a provider's time, or a hold, which may become one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Appointment {
    /// Whose time it is.
    pub provider: ProviderId,
    /// Unique id.
    pub id: AppointmentId,
    /// Id of the customer.
    pub customer: UserId,
    /// The customer's name when it was booked.
    pub customer_display_name: String,
    /// The provider's name, as it was when this was read.
    #[serde(default)]
    pub provider_display_name: String,
    /// The first instant.
    pub start: Instant,
    /// The first instant after it.
    pub end: Instant,
    /// Where it stands in its life.
    pub state: State,
    /// What the customer wrote.
    pub note: String,
    /// The provider's zone when it was booked.
    pub time_zone: Zone,
    /// The wall-clock time that was promised.
    pub local_start: String,
    /// Why it was cancelled or declined; empty unless it was.
    pub cancel_reason: String,
    /// The number of the event that last changed it.
    pub version: i64,
    /// Of the write that last changed it.
    #[serde(default)]
    pub stamp: Stamp,
    /// When it was booked.
    pub created_at: Instant,
    /// When it was last changed.
    pub updated_at: Instant,
    /// Of which type it is, if any.
    #[serde(default)]
    pub type_id: Option<TypeId>,
    /// When it ends by itself: of what is held or pending.
    #[serde(default)]
    pub expires_at: Option<Instant>,
    /// What was agreed.
    #[serde(default)]
    pub terms: AgreedTerms,
}

/// What was agreed when it was booked, and written since. A change of the type changes none of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgreedTerms {
    /// The type's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub type_display_name: String,
    /// What is kept free before it, in minutes.
    #[serde(skip_serializing_if = "is_zero")]
    pub buffer_before: u32,
    /// What is kept free after it, in minutes.
    #[serde(skip_serializing_if = "is_zero")]
    pub buffer_after: u32,
    /// How long before its start its customer may cancel it, in minutes.
    #[serde(skip_serializing_if = "is_zero")]
    pub cancel_cutoff: u32,
    /// How long before its start its customer may move it, in minutes.
    #[serde(skip_serializing_if = "is_zero")]
    pub reschedule_cutoff: u32,
    /// Price as free text; empty if none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub price: String,
    /// Place as free text; empty if none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// What the customer answered, in the order of the questions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// Why staff booked against the rules.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub override_reason: String,
    /// From the provider's side, for the customer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub customer_message: String,
    /// For the provider and admins.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub private_note: String,
    /// Which appointment it was before, when it was with another provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<(ProviderId, AppointmentId)>,
    /// Which appointment it is now, with another provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<(ProviderId, AppointmentId)>,
    /// Of a request: by when it must be answered, wherever it is moved. It ends at its start if that is
    /// sooner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_by: Option<Instant>,
    /// To where its customer asks to move it, until that is answered; see [`Appointment::asked_move`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_move: Option<AskedMove>,
    /// Its customer moved it when it was too late to cancel it.
    #[serde(skip_serializing_if = "is_false")]
    pub moved_late: bool,
    /// Its customer cancelled it late: after such a move, which the cut-off is not evaded by.
    #[serde(skip_serializing_if = "is_false")]
    pub late_cancellation: bool,
    /// By whom it was cancelled or declined, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndedBy>,
    /// What its customer sees, where what changed last is not for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<Shown>,
    /// When it was marked as completed or missed, until that is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome_at: Option<Instant>,
    /// What was agreed, where the rest of the time was freed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freed: Option<Freed>,
    /// Of a hold: it was extended.
    #[serde(skip_serializing_if = "is_false")]
    pub extended: bool,
    /// Of a hold for a move that overlaps the time of its own appointment: what it claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beyond: Option<Beyond>,
}

/// What a hold claims for a move that overlaps the time of its own appointment: the part that the appointment does not
/// claim already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beyond {
    /// The appointment that shall be moved.
    pub of: AppointmentId,
    /// The whole of what is held.
    pub whole: (Instant, Instant),
    /// What stands in the row: the part of it.
    pub part: (Instant, Instant),
    /// The same with buffers.
    pub claim: (Instant, Instant),
}

/// A move of a booked appointment that nobody has answered. What was agreed stays until it is approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedMove {
    /// The new start.
    pub start: Instant,
    /// The new end.
    pub end: Instant,
    /// The zone of the provider's hours then.
    pub time_zone: Zone,
    /// The wall-clock time that would be promised.
    pub local_start: String,
    /// By when it must be answered, however often another time is asked for.
    pub answer_by: Instant,
    /// When it ends by itself: at the latest at either start.
    pub expires_at: Instant,
    /// It was too late to cancel when it was asked for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub late: bool,
}

/// The state of an appointment that its customer sees while later changes are for the provider's side alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The version of the last change that hides nothing.
    pub version: i64,
    /// Of the write that made it.
    pub stamp: Stamp,
    /// When that was.
    pub updated_at: Instant,
    /// The version that is hidden. With any other one of the appointment this is of no account.
    pub hides: i64,
}

/// What was agreed of an appointment whose rest was freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freed {
    /// Until when it was to last.
    pub end: Instant,
    /// What was to be kept free after it, in minutes.
    pub buffer_after: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Appointment {
    /// Which state of it this is.
    pub const fn revision(&self) -> Revision {
        Revision::new(self.version, self.stamp)
    }

    /// Which state of it somebody sees, and since when it is so: the provider's side the last one, its customer
    /// the last one that is also for customers.
    pub fn seen(&self, is_staff: bool) -> (Revision, Instant) {
        match self.terms.shown.filter(|shown| !is_staff && shown.hides == self.version) {
            Some(shown) => (Revision::new(shown.version, shown.stamp), shown.updated_at),
            None => (self.revision(), self.updated_at),
        }
    }

    /// The interval with its buffers: what nothing else of the provider's may overlap.
    pub fn claim(&self) -> (Instant, Instant) {
        (
            self.start - minutes(self.terms.buffer_before),
            self.end + minutes(self.terms.buffer_after),
        )
    }

    /// What stands in its row: the interval, and the claim.
    pub fn row(&self) -> ((Instant, Instant), (Instant, Instant)) {
        match &self.terms.beyond {
            Some(beyond) => (beyond.part, beyond.claim),
            None => ((self.start, self.end), self.claim()),
        }
    }

    /// What the start is on the wall now, if that is not what was promised. It happens when the rules of a
    /// zone change after the booking: the instant stays.
    pub fn drift(&self, zones: &ZoneData) -> Result<Option<Drift>, UnknownZone> {
        let present = wall(self.start, &zones.rules(self.time_zone)?);
        Ok((present != self.local_start).then_some(Drift { present }))
    }

    /// The move that its customer asks for and nobody has answered.
    pub fn asked_move(&self, now: Instant) -> Option<&AskedMove> {
        let asked = self.terms.asked_move.as_ref();
        asked.filter(|asked| self.state == State::Booked && !has_ended(asked.expires_at, now))
    }

    /// The appointment as it is once the move that its customer asks for is approved; nothing where none is asked for.
    pub fn after_asked_move(&self) -> Option<Self> {
        let AskedMove { start, end, time_zone, ref local_start, late, .. } =
            *self.terms.asked_move.as_ref()?;
        let mut after =
            Self { start, end, time_zone, local_start: local_start.clone(), ..self.clone() };
        after.terms.asked_move = None;
        after.terms.moved_late |= late;
        Some(after)
    }

    /// When it was cancelled or declined, or was not answered in time; nothing where that was not kept.
    pub fn ended_at(&self) -> Option<Instant> {
        match self.terms.ended {
            Some(ended) => Some(ended.at),
            // As it was to end when it was asked for, wherever it was moved.
            None if self.state == State::Declined && self.cancel_reason == EXPIRED => {
                self.terms.answer_by.map(|at| at.min(self.start))
            }
            None => None,
        }
    }

    /// The end of a request that nobody answered in time, where it was not written down yet. It has no
    /// number before that.
    pub fn expiry(&self, now: Instant) -> Option<Event> {
        let pending = self.expires_at.filter(|_| self.state == State::Pending);
        let moved = self.terms.asked_move.as_ref().map(|asked| asked.expires_at);
        let expiry = Expiry { reason: EXPIRED.to_owned() };
        let (data, at) = match (pending, moved) {
            (Some(at), _) => (EventData::AppointmentExpired(expiry), at),
            (None, Some(at)) => (EventData::AppointmentMoveExpired(expiry), at),
            (None, None) => return None,
        };
        if !has_ended(at, now) {
            return None;
        }
        Some(Event {
            provider: self.provider,
            version: 0,
            appointment: Some(self.id),
            actor: None,
            via: None,
            at,
            data,
        })
    }

    /// How it stands at this moment: a request that nobody answered in time is declined, whether or not
    /// that was written down yet.
    #[must_use]
    pub fn as_of(mut self, now: Instant) -> Self {
        let moved = self.terms.asked_move.as_ref().map(|asked| asked.expires_at);
        if let Some(updated_at) = moved.filter(|at| has_ended(*at, now)) {
            self.terms.asked_move = None;
            self.terms.shown = self.terms.shown.map(|shown| Shown { updated_at, ..shown });
            self.updated_at = updated_at;
        }
        let ended =
            self.state == State::Pending && self.expires_at.is_some_and(|at| has_ended(at, now));
        if !ended {
            return self;
        }
        let updated_at = self.expires_at.unwrap_or(self.updated_at);
        let shown = self.terms.shown.map(|shown| Shown { updated_at, ..shown });
        Self {
            terms: AgreedTerms { shown, ..self.terms },
            state: State::Declined,
            cancel_reason: EXPIRED.to_owned(),
            expires_at: None,
            updated_at,
            ..self
        }
    }
}

/// A start that is no longer at the wall-clock time that was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Its wall-clock time now, in the appointment's zone.
    pub present: String,
}

/// The wall-clock time that is promised for a start, such as `2026-11-23T09:00:00`.
pub fn promised(interval: Interval, zone: &ZoneRules) -> String {
    wall(interval.start(), zone)
}

fn wall(instant: Instant, zone: &ZoneRules) -> String {
    // Instants are accepted far from the ends of chrono's calendar.
    let wall = zone.wall(instant).unwrap_or(instant.naive_utc());
    wall.format("%Y-%m-%dT%H:%M:%S").to_string()
}
