//! Follows the zone data while the server serves: takes newer data over, warns, tells what other processes
//! have, and has providers told of appointments that drifted.

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::{Found, Sources, described};
use crate::{
    app::Error,
    booking::service::Bookings,
    kernel::{ambient::Ambient, fault::Fault, time::Instant},
    mail::service::Mail,
    schedule::zones::{HEARTBEAT, differing, service::Processes},
    storage::Deadline,
};

/// How often the same warning is given.
const AGAIN: TimeDelta = TimeDelta::days(1);
/// How soon to try again what failed, such as at the start, when the tables may not be there yet.
const RETRY: Duration = Duration::from_secs(2);
/// For work that no caller waits for.
const BACKGROUND: Duration = Duration::from_secs(5);

/// The sources of zone data, and what was found at the start.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) sources: Sources,
    pub(crate) found: Found,
    pub(crate) interval: Duration,
    pub(crate) ambient: Ambient,
    pub(crate) processes: Processes,
    pub(crate) bookings: Bookings,
    pub(crate) mail: Mail,
}

/// Warnings, each given when it is new and then once a day.
#[derive(Debug, Default)]
struct Warned(Vec<(String, Instant)>);

impl Warned {
    /// Which of these are to be given now.
    fn due(&mut self, warnings: Vec<String>, now: Instant) -> Vec<String> {
        self.0.retain(|(text, at)| warnings.contains(text) && now < *at + AGAIN);
        let is_new = |text: &String| self.0.iter().all(|(given, _)| given != text);
        let due: Vec<_> = warnings.into_iter().filter(is_new).collect();
        self.0.extend(due.iter().map(|text| (text.clone(), now)));
        due
    }
}

impl Watch {
    /// Until the server stops. Never returns by itself. Nothing is written before it is `established` that this
    /// process may serve on this database.
    pub(crate) async fn follow(self, established: &CancellationToken) -> Result<(), Error> {
        let Self { sources, found, interval, ambient, processes, bookings, mail } = self;
        tokio::join!(look(sources, found, interval, ambient), async {
            established.cancelled().await;
            tokio::join!(
                compare(processes.clone(), interval),
                tell_drifted(bookings, mail, processes, interval),
            )
        },);
        Ok(())
    }
}

/// Takes newer zone data over, and warns.
async fn look(mut sources: Sources, mut found: Found, interval: Duration, ambient: Ambient) {
    let mut warned = Warned::default();
    loop {
        let now = ambient.now();
        for warning in warned.due(found.warnings(now), now) {
            tracing::warn!("{warning}");
        }
        tokio::time::sleep(interval).await;
        // On a thread that may wait for files.
        let looked = tokio::task::spawn_blocking(move || {
            let found = sources.look();
            (sources, found)
        });
        (sources, found) = match looked.await {
            Ok(looked) => looked,
            // Reading files does not panic, and nothing can be gone on with without them.
            Err(error) => {
                tracing::error!(%error, "looking at the zone data ended: what serves now goes on");
                return std::future::pending().await;
            }
        };
        let before = ambient.zones();
        if before.digest() != found.serving.digest() {
            ambient.set_zones(found.serving.clone());
            let zone_data = described(found.serving.about(), ambient.now());
            tracing::info!(before = %before.about(), zone_data, "other zone data serve from now on");
        }
    }
}

/// Tells others which zone data this process has, and the log which they have.
async fn compare(processes: Processes, interval: Duration) {
    let (mut noted, mut warned) = (None::<(String, Instant)>, Warned::default());
    loop {
        let (own, _) = processes.own();
        let is_known = noted.as_ref().is_some_and(|(digest, at)| {
            *digest == own.digest && *at <= own.seen_at && own.seen_at < *at + HEARTBEAT
        });
        if !is_known {
            match processes.note(Deadline::after(BACKGROUND)).await {
                Ok(own) => noted = Some((own.digest, own.seen_at)),
                // At the start the tables may not be there yet.
                Err(fault) if noted.is_none() => tracing::debug!(%fault, "noting the zone data"),
                Err(fault) => tracing::warn!(%fault, "noting the zone data of this process"),
            }
        }
        let told = match processes.others().await {
            Ok(others) => differing(own.version.as_ref(), &others),
            Err(fault) => {
                tracing::debug!(%fault, "asking for the zone data of other processes");
                Vec::new()
            }
        };
        if !told.is_empty() {
            let others = told.join(", ");
            let version = own.version.map_or_else(|| "unknown".to_owned(), |own| own.to_string());
            let text = format!(
                "processes on this database have different zone data: IANA {version} here, {others} elsewhere; they \
                 may disagree about when a provider is open until all have the same"
            );
            for warning in warned.due(vec![text], own.seen_at) {
                tracing::warn!("{warning}");
            }
        } else if noted.is_some() {
            warned = Warned::default();
        }
        tokio::time::sleep(if noted.is_some() { interval } else { RETRY }).await;
    }
}

/// Has providers told of appointments that drifted: after each change of the zone data, and once a day.
async fn tell_drifted(bookings: Bookings, mail: Mail, processes: Processes, interval: Duration) {
    loop {
        // Not before it is known what others have, which is noted at the same time.
        tokio::time::sleep(interval).await;
        if let Err(fault) = tell_if_due(&bookings, &mail, &processes).await {
            tracing::debug!(%fault, "looking for appointments that drifted");
        }
    }
}

async fn tell_if_due(bookings: &Bookings, mail: &Mail, processes: &Processes) -> Result<(), Fault> {
    let deadline = || Deadline::after(BACKGROUND);
    let Some((zones, now)) = processes.take_look(deadline()).await? else { return Ok(()) };
    let told = match bookings.tell_drifted(mail, &zones, now).await {
        Ok(told) => told,
        Err(fault) => {
            // What was told stays told.
            tracing::warn!(%fault, "looking for appointments that drifted: again in half an hour");
            return Ok(());
        }
    };
    processes.finish_look(deadline(), &zones, now).await?;
    if told.new > 0 {
        tracing::warn!(
            appointments = told.new, letters = told.letters, zone_data = %zones.about(),
            "appointments are no longer at the local time that was promised; \
             `daybook appointments drifted` lists them"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_given_when_it_is_new_and_then_once_a_day() {
        let mut warned = Warned::default();
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let mut due = |texts: &[&str], now: &str| {
            warned.due(texts.iter().map(ToString::to_string).collect(), at(now))
        };
        assert_eq!(due(&["old"], "2026-11-30T12:00:00Z"), ["old"]);
        assert_eq!(due(&["old"], "2026-12-01T11:59:59Z"), Vec::<String>::new());
        assert_eq!(due(&["damaged", "old"], "2026-12-01T11:59:59Z"), ["damaged"]);
        assert_eq!(due(&["damaged", "old"], "2026-12-01T12:00:00Z"), ["old"]);
        assert_eq!(due(&[], "2026-12-01T12:00:01Z"), Vec::<String>::new());
        assert_eq!(due(&["damaged"], "2026-12-01T12:00:02Z"), ["damaged"]);
    }
}
