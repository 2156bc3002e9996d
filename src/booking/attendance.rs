//! Further time that an appointment claims, beside the row that it is: a person is in one place, and who asks for
//! another time keeps both.

use uuid::Uuid;

use super::{Appointment, Beyond, State};
use crate::{
    catalogue::minutes,
    kernel::{
        id::{AppointmentId, ProviderId, TypeId},
        time::Instant,
    },
};

/// A claim on a provider's time that an appointment makes in a row of its own: the customer's own time,
/// or the time of a requested move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtraClaim {
    /// Id of the provider.
    pub provider: ProviderId,
    /// The id of the row, which follows from the appointment's.
    pub id: AppointmentId,
    /// The first instant, and the first one after it.
    pub interval: (Instant, Instant),
    /// The same with buffers.
    pub claim: (Instant, Instant),
    /// Whether it keeps the customer busy as well.
    pub is_customers: bool,
    /// For whose limits it counts.
    pub type_id: Option<TypeId>,
    /// Until when it claims; for good where nothing ends it.
    pub expires_at: Option<Instant>,
}

/// The ids of the rows of further time of an appointment: of itself, and of the move that is asked for.
pub fn ids(of: AppointmentId) -> [AppointmentId; 2] {
    [of, AppointmentId(Uuid::from_u128(of.0.as_u128() ^ 1))]
}

/// The time of a customer who is a provider too: who is treated then treats nobody. No buffers, which are for
/// what the provider does before and after.
pub fn attended(a: &Appointment) -> Vec<ExtraClaim> {
    let is_live = a.state.is_open() || matches!(a.state, State::Completed | State::NoShow);
    if !is_live {
        return Vec::new();
    }
    let [own, moved] = ids(a.id);
    let further = |id, interval, expires_at| ExtraClaim {
        provider: a.customer.as_provider(),
        id,
        interval,
        claim: interval,
        is_customers: false,
        type_id: None,
        expires_at,
    };
    let mut all = vec![further(own, (a.start, a.end), a.expires_at)];
    if let Some(asked) = &a.terms.asked_move {
        let rest = beyond((a.start, a.end), (asked.start, asked.end));
        all.push(further(moved, rest, Some(asked.expires_at)));
    }
    all
}

/// The time to which a customer asks to move an appointment, as far as it is not claimed already.
pub fn asked_for(a: &Appointment) -> Option<ExtraClaim> {
    let asked = a.terms.asked_move.as_ref()?;
    let (before, after) = (minutes(a.terms.buffer_before), minutes(a.terms.buffer_after));
    let whole = (asked.start - before, asked.end + after);
    let claim = beyond(a.claim(), whole);
    let interval = (asked.start.max(claim.0), asked.end.min(claim.1));
    // Where no more than a buffer is new, there is nothing new of the customer's time either.
    let is_customers = interval.0 < interval.1;
    let [_, id] = ids(a.id);
    Some(ExtraClaim {
        provider: a.provider,
        id,
        interval: if is_customers { interval } else { claim },
        claim,
        is_customers,
        // Close by, the appointment itself counts already.
        type_id: a.type_id.filter(|_| claim == whole),
        expires_at: Some(asked.expires_at),
    })
}

/// What a hold for a move of an appointment claims, where it overlaps what the appointment claims already, be it as
/// agreed or as its customer has asked to move it. Nothing where they do not overlap, or where not just one stretch
/// is left.
pub fn beyond_own(a: &Appointment, held: &Appointment) -> Option<Beyond> {
    let asked = a.terms.asked_move.as_ref();
    let asked = asked.map(|asked| Appointment { start: asked.start, end: asked.end, ..a.clone() });
    let own = [Some(a.claim()), asked.map(|asked| asked.claim())];
    let mut rest = vec![held.claim()];
    for (from, until) in own.into_iter().flatten() {
        let pieces = rest
            .into_iter()
            .flat_map(|(start, end)| [(start, end.min(from)), (start.max(until), end)]);
        rest = pieces.filter(|(start, end)| start < end).collect();
    }
    let &[claim] = rest.as_slice() else { return None };
    if claim == held.claim() {
        return None;
    }
    let part = (held.start.max(claim.0), held.end.min(claim.1));
    // No more than a buffer may be new.
    let part = if part.0 < part.1 { part } else { claim };
    Some(Beyond { of: a.id, whole: (held.start, held.end), part, claim })
}

/// The part of a stretch that an equally long one does not have.
fn beyond(old: (Instant, Instant), new: (Instant, Instant)) -> (Instant, Instant) {
    if new.0 >= old.1 || new.1 <= old.0 {
        new
    } else if new.0 > old.0 {
        (old.1, new.1)
    } else {
        (new.0, old.0)
    }
}
