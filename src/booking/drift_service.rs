//! Appointments whose instant is no longer the wall-clock time that was promised: listed for operators, and told
//! to their providers.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Appointment, Drift, State,
    commands::drift::{self, TellDrifts},
    service::Bookings,
    store::{AppointmentCursor, Filter, drifts::ForgetDrifts, order::Order},
};
use crate::{
    identity::permit::ListAppointments,
    kernel::{
        fault::{Fault, Reason},
        id::ProviderId,
        time::Instant,
        zone::ZoneData,
    },
    mail::service::Mail,
    storage::Deadline,
};

/// How many appointments are looked at in one statement.
const PAGE: u64 = 500;
/// How many that drifted are kept before their providers are told.
const MOST_KEPT: usize = 5000;
/// How many of one provider are told in one transaction.
const MOST_TOLD: usize = 500;
/// The pause between two pages where nobody waits for the end, so that callers go first.
const PAUSE: Duration = Duration::from_millis(20);
/// For work that no caller waits for.
const BACKGROUND: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug, Clone)]
pub struct Drifted {
    /// How many upcoming appointments were looked at.
    pub checked: u64,
    /// Those that drifted, by start.
    pub found: Vec<(Appointment, Drift)>,
    /// Those that are in a zone that the zone data do not have.
    pub unknown: Vec<Appointment>,
    /// The version of the zone data by which they did.
    pub zone_data: String,
}

/// What providers were told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many upcoming appointments were looked at.
    pub checked: u64,
    /// How many drifted.
    pub drifted: usize,
    /// How many of these were not told before.
    pub new: usize,
    /// How many emails were written.
    pub letters: usize,
}

impl Bookings {
    /// Looks through all requested and booked appointments that are still to begin. Changes nothing.
    ///
    /// Page after page, so it is not of one moment: an appointment that is moved meanwhile may be missed,
    /// and what is moved is promised anew.
    pub async fn drifted(&self, deadline: impl Fn() -> Deadline) -> Result<Drifted, Fault> {
        let (now, zones) = (self.now(), self.zones());
        let mut all = Drifted {
            checked: 0,
            found: Vec::new(),
            unknown: Vec::new(),
            zone_data: zones.about().version_text(),
        };
        let mut after = None;
        while let Some(page) = self.upcoming(deadline(), now, &mut after).await? {
            for appointment in page {
                all.checked += 1;
                match appointment.drift(&zones) {
                    Ok(Some(drift)) => all.found.push((appointment, drift)),
                    Ok(None) => {}
                    Err(_) => all.unknown.push(appointment),
                }
            }
        }
        Ok(all)
    }

    /// Looks through them by these zone data, and writes to the providers of those that drifted: once about
    /// each drift, whichever process does it, and however often.
    pub async fn tell_drifted(
        &self,
        mail: &Mail,
        zones: &ZoneData,
        now: Instant,
    ) -> Result<Summary, Fault> {
        let deadline = || Deadline::after(BACKGROUND);
        let mut summary = Summary::default();
        let mut kept: BTreeMap<ProviderId, Vec<drift::Drifted>> = BTreeMap::new();
        let mut count = 0;
        let mut after = None;
        while let Some(page) = self.upcoming(deadline(), now, &mut after).await? {
            for appointment in page {
                summary.checked += 1;
                let drifted = match appointment.drift(zones) {
                    Ok(drifted) => drifted,
                    Err(unknown) => {
                        let appointment = appointment.id.name(appointment.provider);
                        tracing::warn!(appointment, %unknown, "looking for drift");
                        continue;
                    }
                };
                let Some(Drift { present }) = drifted else { continue };
                count += 1;
                kept.entry(appointment.provider).or_default().push(drift::Drifted {
                    id: appointment.id,
                    start: appointment.start,
                    promised: appointment.local_start,
                    present,
                    zone: appointment.time_zone,
                });
            }
            if count >= MOST_KEPT {
                self.tell(mail, zones, std::mem::take(&mut kept), &mut summary).await?;
                count = 0;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.tell(mail, zones, kept, &mut summary).await?;
        while self.store.run(deadline(), ForgetDrifts { now }).await? > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(summary)
    }

    async fn tell(
        &self,
        mail: &Mail,
        zones: &ZoneData,
        all: BTreeMap<ProviderId, Vec<drift::Drifted>>,
        summary: &mut Summary,
    ) -> Result<(), Fault> {
        for (provider, drifted) in all {
            summary.drifted += drifted.len();
            for some in drifted.chunks(MOST_TOLD) {
                let now = self.now();
                let unit = TellDrifts {
                    provider,
                    drifted: some.to_vec(),
                    zone_data: zones.about().version_text(),
                    email_draft: mail.email_draft(now),
                    now,
                };
                let told = match self.store.run(Deadline::after(BACKGROUND), unit).await {
                    Ok(told) => told,
                    // What is wrong with one provider gives way to the next; a later look tries again.
                    Err(fault) if fault.reason() == Reason::Internal => {
                        let provider = provider.name();
                        tracing::warn!(provider, %fault, "telling of appointments that drifted");
                        continue;
                    }
                    Err(fault) => return Err(fault),
                };
                summary.new += told.new;
                summary.letters += usize::from(told.by_email);
            }
        }
        Ok(())
    }

    /// The next page of appointments that are still to begin; none after the last.
    async fn upcoming(
        &self,
        deadline: Deadline,
        now: Instant,
        after: &mut Option<AppointmentCursor>,
    ) -> Result<Option<Vec<Appointment>>, Fault> {
        let filter = Filter {
            bounds: ListAppointments { provider: None, customer: None, is_staff: true },
            states: vec![State::Pending, State::Booked],
            now,
            from: Some(now),
            until: None,
            type_id: None,
            changed_from: None,
            changed_until: None,
            order: Order::default(),
        };
        let page = self.list(deadline, filter, *after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        *after = Some(AppointmentCursor { start: last.start, id: last.id.0 });
        Ok(Some(page.into_iter().filter(|each| each.start > now).collect()))
    }
}
