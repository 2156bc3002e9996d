//! Lists of holds.

use super::{
    booking_wire::{CUSTOMER_NAME, ordered, wire_hold},
    convert::{end, name, optional, start},
    page::cut,
    proto::booking as pb,
    schedule::PROVIDER_NAME,
};
use crate::{
    booking::{
        service::Bookings,
        store::{Cursor, holds::Filter},
    },
    identity::{Caller, permit},
    kernel::{
        fault::{Fault, Violations},
        id::{ProviderId, UserId},
        page::{PageTokens, page_size},
    },
    storage::Deadline,
};

/// A page of holds within what the caller may see.
pub(super) async fn list(
    (bookings, pages): (&Bookings, &PageTokens),
    (deadline, caller): (Deadline, Caller),
    message: &pb::ListHoldsRequest,
) -> Result<pb::ListHoldsResponse, Fault> {
    let mut violations = Violations::new();
    let provider = optional(&message.provider, |text| {
        violations.keep("provider", name(text, ProviderId::parse, PROVIDER_NAME))
    });
    let customer = optional(&message.customer, |text| {
        violations.keep("customer", name(text, UserId::parse, CUSTOMER_NAME))
    });
    let from = message.start_time.as_ref();
    let from = from.and_then(|at| violations.keep("start_time", start(Some(at))));
    let until = message.end_time.as_ref();
    let until = until.and_then(|at| violations.keep("end_time", end(Some(at))));
    if from.is_some() {
        ordered(from, until, &mut violations);
    }
    let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
    let query = format!(
        "holds {} {:?} {:?} {from:?} {until:?}",
        caller.user, message.provider, message.customer
    );
    let after = violations.keep("page_token", pages.read::<Cursor>(&query, &message.page_token));
    violations.finish()?;
    // Nobody looks through the holds of everybody: with no bounds they are the caller's own.
    let own = (provider.is_none() && customer.is_none()).then_some(caller.user);
    let bounds = permit::list_appointments(caller, provider, customer.or(own))?;
    let filter = Filter { bounds, now: bookings.now(), from, until };
    let limit = u64::from(size) + 1;
    let found = bookings.list_holds(deadline, filter, after.flatten(), limit).await?;
    let (found, next_page_token) =
        cut(found, size, pages, &query, |last| Cursor { start: last.start, id: last.id.0 });
    Ok(pb::ListHoldsResponse { holds: found.iter().map(wire_hold).collect(), next_page_token })
}
