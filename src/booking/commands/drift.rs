//! Telling a provider of appointments that are no longer at the wall-clock time that was promised.

use std::fmt::Write as _;

use crate::{
    accounts,
    booking::store::drifts,
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, UserId},
        time::Instant,
        zone::Zone,
    },
    mail::{self, EmailTemplate, service::EmailDraft},
    storage::{Tx, UnitOfWork},
};

/// How many appointments one email lists; it counts all.
const LISTED: usize = 50;

/// An appointment that drifted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drifted {
    /// The id of the appointment.
    pub id: AppointmentId,
    /// Start time, UTC.
    pub start: Instant,
    /// The wall-clock time that was promised.
    pub promised: String,
    /// The wall-clock time of the start by the present rules.
    pub present: String,
    /// The zone of both.
    pub zone: Zone,
}

/// Tells a provider of those that drifted and were not told before, in one email.
#[derive(Debug, Clone)]
pub struct TellDrifts {
    /// The provider of the appointments, who is told.
    pub provider: ProviderId,
    /// Those that drifted.
    pub drifted: Vec<Drifted>,
    /// The version of the zone data by which they did.
    pub zone_data: String,
    /// What the email is written on.
    pub email_draft: EmailDraft,
    /// Current time.
    pub now: Instant,
}

/// What became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// How many were not told before.
    pub new: usize,
    /// Whether an email waits to be sent.
    pub by_email: bool,
}

impl UnitOfWork for TellDrifts {
    type Output = Told;
    const AUTHORITY: crate::storage::Authority = crate::storage::Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<Told, Fault> {
        // Whoever else is at it waits here, and finds none new then. In the order of ids, so that nobody waits
        // in a circle.
        let mut all: Vec<_> = self.drifted.iter().collect();
        all.sort_unstable();
        let mut new = Vec::new();
        for drifted in all {
            if drifts::note(tx, self.provider, drifted, self.now).await? {
                new.push(drifted);
            }
        }
        if new.is_empty() {
            return Ok(Told::default());
        }
        new.sort_by_key(|drifted| (drifted.start, drifted.id));
        let account = accounts::store::find(tx, UserId(self.provider.0)).await?;
        // Nothing goes to an address that is not known to be theirs.
        let verified = account.filter(|account| account.user.email_verified_at.is_some());
        let mut by_email = false;
        if let Some(account) = verified {
            let text = self.text(account.user.display_name.clone(), &new);
            let lifetime = text.lifetime();
            let letter = self.email_draft.letter(&account.user.email, text, self.now, lifetime)?;
            mail::store::insert(tx, &letter).await?;
            by_email = letter.is_some();
        }
        Ok(Told { new: new.len(), by_email })
    }
}

impl TellDrifts {
    fn text(&self, name: String, new: &[&Drifted]) -> EmailTemplate {
        let mut list = String::new();
        for Drifted { promised, present, zone, .. } in new.iter().take(LISTED) {
            let (promised, present) = (readable(promised), readable(present));
            // Writing to a text does not fail.
            let _ = writeln!(list, "- promised for {promised}, now at {present} ({zone})");
        }
        if let Some(more) = new.len().checked_sub(LISTED).filter(|more| *more > 0) {
            let _ = writeln!(list, "- and {more} more");
        }
        let count = match new.len() {
            1 => "1 appointment".to_owned(),
            count => format!("{count} appointments"),
        };
        let list = list.trim_end().to_owned();
        EmailTemplate::AppointmentsDrifted { name, count, list, zone_data: self.zone_data.clone() }
    }
}

/// A stored wall-clock time for people, without its seconds where they are zero.
fn readable(wall: &str) -> String {
    let wall = wall.replacen('T', " ", 1);
    wall.strip_suffix(":00").map(str::to_owned).unwrap_or(wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_times_are_readable() {
        assert_eq!(readable("2026-12-07T09:00:00"), "2026-12-07 09:00");
        assert_eq!(readable("2026-12-07T09:00:30"), "2026-12-07 09:00:30");
    }
}
