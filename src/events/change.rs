//! What the events of an appointment tell those who see it.

use super::{
    EventData,
    appointment::{
        Claimed, Correction, Decision, HeldToMove, HoldPlaced, Moved, Outcome, Reassignment,
    },
};
use crate::kernel::time::Instant;

/// What an event tells those who see the appointment; each field as far as the event has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change<'a> {
    /// Why, for both parties to read; may be empty.
    pub reason: &'a str,
    /// The start.
    pub start: Option<Instant>,
    /// The end.
    pub end: Option<Instant>,
    /// The start before.
    pub previous_start: Option<Instant>,
    /// The end before.
    pub previous_end: Option<Instant>,
    /// Why staff acted against the rules; may be empty. For the provider's side alone.
    pub override_reason: &'a str,
    /// The corrected outcome.
    pub state: Option<Outcome>,
    /// Whether the customer cancelled after the cut-off. For the provider's side alone.
    pub late: bool,
}

impl EventData {
    /// What it tells those who see the appointment.
    pub fn change(&self) -> Change<'_> {
        match self {
            Self::AppointmentBooked(claimed)
            | Self::AppointmentRequested(claimed)
            | Self::HoldPlaced(HoldPlaced::New(claimed)) => claimed.change(),
            Self::AppointmentCancelled(decision)
            | Self::AppointmentCompleted(decision)
            | Self::AppointmentNoShow(decision)
            | Self::AppointmentApproved(decision)
            | Self::AppointmentDeclined(decision)
            | Self::AppointmentMoveDeclined(decision)
            | Self::AppointmentMoveWithdrawn(decision) => decision.change(),
            Self::AppointmentExpired(expiry)
            | Self::AppointmentMoveExpired(expiry)
            | Self::HoldExpired(expiry) => Change { reason: &expiry.reason, ..Change::default() },
            Self::AppointmentRescheduled(moved) | Self::AppointmentMoveRequested(moved) => {
                moved.change()
            }
            Self::AppointmentReassigned(Reassignment { reason, override_reason, .. }) => Change {
                reason: text(reason.as_ref()),
                override_reason: text(override_reason.as_ref()),
                ..Change::default()
            },
            Self::AppointmentCorrected(correction) => correction.change(),
            Self::HoldPlaced(HoldPlaced::ToMove(HeldToMove { start, end, .. })) => {
                Change { start: Some(*start), end: Some(*end), ..Change::default() }
            }
            _ => Change::default(),
        }
    }
}

impl Claimed {
    fn change(&self) -> Change<'_> {
        Change {
            reason: text(self.reason.as_ref()),
            start: Some(self.start),
            end: Some(self.end),
            override_reason: text(self.override_reason.as_ref()),
            ..Change::default()
        }
    }
}

impl Decision {
    fn change(&self) -> Change<'_> {
        Change {
            reason: text(self.reason.as_ref()),
            start: self.start,
            end: self.end,
            previous_start: self.previous_start,
            previous_end: self.previous_end,
            late: self.late,
            ..Change::default()
        }
    }
}

impl Moved {
    fn change(&self) -> Change<'_> {
        Change {
            reason: text(self.reason.as_ref()),
            start: Some(self.start),
            end: Some(self.end),
            previous_start: Some(self.previous_start),
            previous_end: Some(self.previous_end),
            override_reason: text(self.override_reason.as_ref()),
            ..Change::default()
        }
    }
}

impl Correction {
    fn change(&self) -> Change<'_> {
        Change {
            reason: text(self.reason.as_ref()),
            end: self.end,
            previous_end: self.previous_end,
            state: self.state,
            ..Change::default()
        }
    }
}

fn text(text: Option<&String>) -> &str {
    text.map(String::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::events::ProviderEventKind;

    const ID: &str = "0199c1de-7a4e-7c3a-9f5e-2b8f6d1c0a01";
    const TIMES: [&str; 4] = [
        "2026-11-23T09:00:00Z",
        "2026-11-23T10:00:00Z",
        "2026-11-24T09:00:00Z",
        "2026-11-24T10:00:00Z",
    ];

    fn change(kind: ProviderEventKind, stored: Value, check: impl FnOnce(Change<'_>)) {
        check(EventData::decode(kind, stored).unwrap().change());
    }

    #[test]
    fn an_event_tells_what_it_has() {
        let at = |place: usize| Some(TIMES[place].parse().unwrap());
        let claimed = json!({
            "start": TIMES[0], "end": TIMES[1], "customer": ID, "reason": "ill", "override": "urgent",
        });
        change(ProviderEventKind::AppointmentBooked, claimed, |told| {
            let (start, end) = (at(0), at(1));
            let (reason, override_reason) = ("ill", "urgent");
            assert_eq!(told, Change { reason, start, end, override_reason, ..Change::default() });
        });
        let moved = json!({
            "start": TIMES[0], "end": TIMES[1], "previous_start": TIMES[2], "previous_end": TIMES[3],
            "reason": "work", "override": "",
        });
        for kind in
            [ProviderEventKind::AppointmentRescheduled, ProviderEventKind::AppointmentMoveRequested]
        {
            change(kind, moved.clone(), |told| {
                assert_eq!((told.start, told.end), (at(0), at(1)));
                assert_eq!((told.previous_start, told.previous_end), (at(2), at(3)));
                assert_eq!((told.reason, told.override_reason), ("work", ""));
            });
        }
        change(
            ProviderEventKind::AppointmentCancelled,
            json!({ "reason": "ill", "late": true }),
            |told| {
                assert_eq!(told, Change { reason: "ill", late: true, ..Change::default() });
            },
        );
        let corrected = json!({
            "state": "booked", "previous_state": "no_show", "reason": "was there",
            "end": TIMES[1], "previous_end": TIMES[0],
        });
        change(ProviderEventKind::AppointmentCorrected, corrected, |told| {
            assert_eq!((told.state, told.reason), (Some(Outcome::Booked), "was there"));
            assert_eq!((told.end, told.previous_end), (at(1), at(0)));
        });
        let reassigned =
            json!({ "to": ID, "successor": ID, "reason": "ill", "override": "urgent" });
        change(ProviderEventKind::AppointmentReassigned, reassigned, |told| {
            let (reason, override_reason) = ("ill", "urgent");
            assert_eq!(told, Change { reason, override_reason, ..Change::default() });
        });
        change(
            ProviderEventKind::AppointmentExpired,
            json!({ "reason": "nobody answered in time" }),
            |told| {
                assert_eq!(told.reason, "nobody answered in time");
            },
        );
        change(ProviderEventKind::AppointmentNoted, json!({}), |told| {
            assert_eq!(told, Change::default());
        });
    }
}
