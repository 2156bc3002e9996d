//! For operators: appointments whose instant is no longer the wall-clock time that was promised.

use super::{
    Appointment, Drift, State,
    service::Bookings,
    store::{Cursor, Filter},
};
use crate::{identity::permit::ListAppointments, kernel::fault::Fault, storage::Deadline};

/// How many appointments are looked at in one statement.
const PAGE: u64 = 500;

/// What was found.
#[derive(Debug, Clone)]
pub struct Drifted {
    /// How many upcoming appointments were looked at.
    pub checked: u64,
    /// Those that drifted, by start.
    pub found: Vec<(Appointment, Drift)>,
}

impl Bookings {
    /// Looks through all requested and booked appointments that are still to begin. Changes nothing.
    ///
    /// Page after page, so it is not of one moment: an appointment that is moved meanwhile may be missed,
    /// and what is moved is promised anew.
    pub async fn drifted(&self, deadline: impl Fn() -> Deadline) -> Result<Drifted, Fault> {
        let now = self.now();
        let filter = Filter {
            bounds: ListAppointments { provider: None, customer: None },
            states: vec![State::Pending, State::Booked],
            now,
            from: Some(now),
            until: None,
        };
        let mut all = Drifted { checked: 0, found: Vec::new() };
        let mut after = None;
        loop {
            let page = self.list(deadline(), filter.clone(), after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(Cursor { start: last.start, id: last.id.0 });
            for appointment in page.into_iter().filter(|each| each.start > now) {
                all.checked += 1;
                if let Some(drift) = appointment.drift() {
                    all.found.push((appointment, drift));
                }
            }
        }
    }
}
