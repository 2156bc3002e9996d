//! What the server does for itself while it serves: bring the schema up, follow readiness, follow which
//! tokens were ended and which keys there are, send emails, follow the zone data; and what is simply done again and
//! again, each with its name and interval in [`follow`]. Each has a loop of its own, so that none waits for another.

use std::{collections::BTreeSet, time::Duration};

use tokio::{sync::Mutex, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Error, error::operator_text, retention::forget_all};
use crate::{
    accounts::{services::AccountServices, signing::service::SigningKeys},
    grpc::{
        health::{self, Health},
        services::Services,
    },
    kernel::{
        backoff::Backoff,
        fault::{Fault, Reason},
        id::UserId,
    },
    mail::service::Mail,
    personal_data::erasure::service::Erasures,
    storage::{self, Deadline, Store, cleanup::Backlog},
    zone_sources::watch::Watch,
};

/// How often to try again while the database cannot be reached at the start.
const RETRY: Duration = Duration::from_secs(1);
/// How often processes look which tokens others ended.
const FOLLOW: Duration = Duration::from_secs(1);
/// How soon to ask again when that failed; at the start the tables may not be there yet.
const RETRY_FOLLOW: Duration = Duration::from_millis(50);
/// How long the database may take to answer that.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(1);
/// After how long without an answer to that no token is accepted any more. With the time that one more question
/// takes it is within five seconds that nothing is accepted that ended elsewhere.
const STALE: Duration = Duration::from_millis(3500);
/// How many rounds of emails are on their way at a time. Each has ten emails at most, and a minute.
const MAIL_ROUNDS: usize = 4;
/// How often to look for erasures that are not ended.
const LOOK_FOR_ERASURES: Duration = Duration::from_secs(2);
/// How often old requests and sessions are forgotten,
const FORGET: Duration = Duration::from_hours(1);
/// and how soon after the start: a process may not live for an hour.
const FORGET_FIRST: Duration = Duration::from_mins(5);
/// For work that no caller waits for.
const BACKGROUND: Duration = Duration::from_secs(5);

/// Brings the schema up, then follows readiness and ended tokens until it is told to stop.
pub(crate) async fn follow(
    services: Services,
    health: Health,
    watch: Watch,
    migrate: bool,
    (started, stop): (CancellationToken, CancellationToken),
) -> Result<(), Error> {
    // Until it is known that the master key is the right one nothing that it sealed is touched.
    let established = CancellationToken::new();
    let Services { store, accounts, ambient, mail, erasures, feed, watches, .. } = services;
    let (failed, backlog) = (Mutex::new(Backoff::default()), Backlog::default());
    let followed = async {
        tokio::try_join!(
            follow_readiness(&store, &accounts, &health, migrate, (&established, &started)),
            follow_tokens(&accounts, &established),
            send_mail(&mail, &established),
            watch.follow(&established),
            async {
                watches.follow().await;
                Ok(())
            },
            again("rotating signing keys", (FOLLOW, FOLLOW), || rotate_keys(&accounts.signing)),
            again("noting the use of API keys", (FOLLOW, FOLLOW), || {
                accounts.service_accounts.note_uses(BACKGROUND)
            }),
            again("ending erasures", (LOOK_FOR_ERASURES, LOOK_FOR_ERASURES), || {
                end_erasures(&erasures, &failed)
            }),
            again("removing old positions of events", (FORGET_FIRST, FORGET), || {
                feed.remove_old()
            }),
            again("removing old rows", (FORGET_FIRST, FORGET), || async {
                forget_all(&store, ambient.now(), &backlog, &stop).await;
                Ok(())
            }),
        )?;
        Ok(())
    };
    tokio::select! {
        result = followed => result,
        () = stop.cancelled() => Ok(()),
    }
}

/// Ready is: the schema is current, the database answers and acknowledges commits, and it is known which tokens were ended and
/// which key signs.
async fn follow_readiness(
    store: &Store,
    accounts: &AccountServices,
    health: &Health,
    migrate: bool,
    (established, started): (&CancellationToken, &CancellationToken),
) -> Result<(), Error> {
    bring_up(store, migrate).await?;
    patiently(|| accounts.signing.establish(Deadline::after(BACKGROUND))).await?;
    established.cancel();
    let tokens = &accounts.tokens;
    let (mut was_ready, mut was_ever_ready) = (false, false);
    // Why it is not ready. Each cause is told once: the first one seen may be a consequence of another.
    let mut told = BTreeSet::new();
    loop {
        let looked = store.probe().await;
        let signs = tokens.keys().signing.is_some();
        let ready = looked.is_ok() && tokens.is_trusted() && signs;
        match &looked {
            Ok(()) if ready != was_ready => tracing::info!(ready, "readiness changed"),
            Err(fault) if told.insert(fault.to_string()) => tracing::error!(%fault, "not ready"),
            _ => {}
        }
        if ready != was_ready {
            health.set(ready).await;
            was_ready = ready;
        }
        if ready {
            told.clear();
            started.cancel();
        }
        was_ever_ready |= ready;
        // At the start only what was ended is not known yet, which takes milliseconds.
        tokio::time::sleep(if was_ever_ready { health::INTERVAL } else { RETRY_FOLLOW }).await;
    }
}

/// Learns every second which tokens other processes ended, and which keys there are. When that fails for
/// long, no token is accepted. Half of what a key is shown before it signs is too long as well, so nobody
/// is refused for a key that this process has not seen yet.
async fn follow_tokens(
    accounts: &AccountServices,
    established: &CancellationToken,
) -> Result<(), Error> {
    // With the wrong master key the start fails, and says so; each key that it does not know would say it again.
    established.cancelled().await;
    let lead = accounts.signing.lead().to_std().unwrap_or(STALE);
    let stale = STALE.min(lead / 2);
    let (mut known, mut under_way, mut asked) = (None, None, Seldom::default());
    loop {
        // One at a time: what takes too long is waited for, or they would pile up.
        let (now, mut asking) = under_way.take().unwrap_or_else(|| {
            let (signing, api_keys) = (accounts.signing.clone(), accounts.service_accounts.clone());
            let asking = tokio::spawn(async move {
                signing.follow().await?;
                api_keys.follow().await
            });
            (tokio::time::Instant::now(), asking)
        });
        match tokio::time::timeout(FOLLOW_PATIENCE, &mut asking).await {
            Ok(Ok(Ok(()))) => {
                known = Some(now);
                asked.worked();
            }
            // At the start the tables may not be there yet.
            Ok(Ok(Err(fault))) if known.is_none() => {
                tracing::debug!(%fault, "asking for ended tokens");
            }
            Ok(Ok(Err(fault))) => asked.failed(&fault, "asking for ended tokens"),
            Ok(Err(error)) => tracing::error!(%error, "asking for ended tokens"),
            Err(_) => {
                tracing::debug!("asking for ended tokens takes long");
                under_way = Some((now, asking));
            }
        }
        let has_keys = !accounts.tokens.keys().keys.is_empty();
        let fresh = known.is_some_and(|last| last.elapsed() < stale);
        accounts.tokens.set_trusted(fresh && has_keys);
        let pause = if has_keys && known == Some(now) { FOLLOW } else { RETRY_FOLLOW };
        tokio::time::sleep(pause).await;
    }
}

/// Does something again and again: for the first time so long after the start, then so long after it ended. A failure is
/// told, and the next time is waited for as usual.
async fn again<F: Future<Output = Result<(), Fault>>>(
    chore: &'static str,
    (first, interval): (Duration, Duration),
    work: impl Fn() -> F,
) -> Result<(), Error> {
    let (mut pause, mut telling) = (first, Seldom::default());
    loop {
        tokio::time::sleep(pause).await;
        match work().await {
            Ok(()) => telling.worked(),
            Err(fault) => telling.failed(&fault, chore),
        }
        pause = interval;
    }
}

/// Lets the next signing key take over when the present one is old. All processes look; one does it.
async fn rotate_keys(signing: &SigningKeys) -> Result<(), Fault> {
    if signing.rotate_if_due(Deadline::after(BACKGROUND)).await? {
        tracing::info!("the signing key was old: the next one took over");
    }
    Ok(())
}

/// Sends the emails that wait. While some are on their way for long, as a mail server lets them wait, others
/// follow.
async fn send_mail(mail: &Mail, established: &CancellationToken) -> Result<(), Error> {
    established.cancelled().await;
    if !mail.is_on() {
        return std::future::pending().await;
    }
    let (mut rounds, mut looking) = (JoinSet::new(), Seldom::default());
    loop {
        while let Some(done) = rounds.try_join_next() {
            match done {
                Ok(Ok(_)) => looking.worked(),
                Ok(Err(fault)) => looking.failed(&fault, "looking for emails"),
                Err(error) => tracing::error!(%error, "looking for emails"),
            }
        }
        if rounds.len() < MAIL_ROUNDS {
            let mail = mail.clone();
            rounds.spawn(async move { mail.deliver().await });
        }
        tokio::time::sleep(mail.next_look()).await;
    }
}

/// Ends the erasures that their callers did not wait for, or that a process left behind. All processes look;
/// each batch is done once, because it is looked for again under its provider's lock.
async fn end_erasures(erasures: &Erasures, failed: &Mutex<Backoff<UserId>>) -> Result<(), Fault> {
    let ended = erasures.carry_through_all(&mut *failed.lock().await).await?;
    if ended > 0 {
        tracing::info!(ended, "ended erasures");
    }
    Ok(())
}

/// What is tried again and again is told when it fails: at the first time, and then each time it failed twice as
/// often.
#[derive(Default)]
struct Seldom(u32);

impl Seldom {
    fn worked(&mut self) {
        self.0 = 0;
    }

    fn failed(&mut self, fault: &Fault, what: &'static str) {
        self.0 = self.0.saturating_add(1);
        if self.0.is_power_of_two() {
            tracing::warn!(%fault, times = self.0, what, "failed, and is tried again");
        }
    }
}

async fn bring_up(store: &Store, migrate: bool) -> Result<(), Error> {
    patiently(|| async {
        if migrate { storage::migrate_up(store).await } else { store.ready().await }
    })
    .await
}

/// Tries again for as long as the database is away.
async fn patiently<F: Future<Output = Result<(), Fault>>>(
    work: impl Fn() -> F,
) -> Result<(), Error> {
    loop {
        match work().await {
            Ok(()) => return Ok(()),
            Err(fault)
                if [Reason::DatabaseUnavailable, Reason::DeadlineExceeded]
                    .contains(&fault.reason())
                    && !storage::engine::needs_an_operator(&operator_text(&fault)) =>
            {
                tracing::warn!(cause = operator_text(&fault), "waiting for the database");
                tokio::time::sleep(RETRY).await;
            }
            Err(fault) => return Err(fault.into()),
        }
    }
}
