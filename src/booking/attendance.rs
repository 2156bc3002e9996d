//! Further time that an appointment claims, beside the row that it is: a person is in one place, and who asks for
//! another time keeps both.

use super::{Appointment, Beyond};
use crate::claims::{
    Subject,
    extra::{ExtraClaim, Owner, ids},
    overlap::beyond,
};

/// An appointment as what extra claims are of, in a version of the provider in whose time they are made.
pub fn owner(a: &Appointment, version: i64) -> Owner<'_> {
    Owner {
        id: a.id,
        customer: a.customer,
        time_zone: a.time_zone,
        local_start: &a.local_start,
        updated_at: a.updated_at,
        version,
    }
}

/// The time of a customer who is a provider too: who is treated then treats nobody. No buffers, which are for
/// what the provider does before and after.
pub fn attended(a: &Appointment) -> Vec<ExtraClaim> {
    if !a.state.keeps_busy() {
        return Vec::new();
    }
    let [own, moved] = ids(a.id);
    let further = |id, interval, expires_at| ExtraClaim {
        subject: Subject::Customer(a.customer),
        id,
        interval,
        claim: interval,
        is_customers: false,
        type_id: None,
        expires_at,
    };
    let mut all = vec![further(own, (a.start, a.end), a.expires_at)];
    if let Some(asked) = &a.terms.asked_move {
        let rest = beyond([(a.start, a.end)], (asked.start, asked.end));
        all.extend(rest.map(|rest| further(moved, rest, Some(asked.expires_at))));
    }
    all
}

/// The time to which a customer asks to move an appointment, as far as it is not claimed already.
pub fn asked_for(a: &Appointment) -> Option<ExtraClaim> {
    let asked = a.terms.asked_move.as_ref()?;
    let whole = a.after_asked_move()?.claim();
    let claim = beyond([a.claim()], whole)?;
    let interval = (asked.start.max(claim.0), asked.end.min(claim.1));
    // Where no more than a buffer is new, there is nothing new of the customer's time either.
    let is_customers = interval.0 < interval.1;
    let [_, id] = ids(a.id);
    Some(ExtraClaim {
        subject: Subject::Provider(a.provider),
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
    let own = [Some(a.claim()), a.after_asked_move().map(|after| after.claim())];
    let claim = beyond(own.into_iter().flatten(), held.claim())?;
    if claim == held.claim() {
        return None;
    }
    let part = (held.start.max(claim.0), held.end.min(claim.1));
    // No more than a buffer may be new.
    let part = if part.0 < part.1 { part } else { claim };
    Some(Beyond { of: a.id, whole: (held.start, held.end), part, claim })
}
