//! What the server does for itself while it serves: bring the schema up, follow readiness, follow which
//! tokens were ended, forget old requests and sessions. Each in a loop of its own, so that none waits for another.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    accounts::{emails, guessing, service::Accounts, sessions},
    app::{Error, operator_text},
    grpc::health::{self, Health},
    identity::token::Tokens,
    kernel::fault::Reason,
    mail::service::Mail,
    storage::{self, Deadline, Store},
};

/// How often to try again while the database cannot be reached at the start.
const RETRY: Duration = Duration::from_secs(1);
/// How often processes look which tokens others ended.
const FOLLOW: Duration = Duration::from_secs(1);
/// How soon to ask again when that failed; at the start the tables may not be there yet.
const RETRY_FOLLOW: Duration = Duration::from_millis(50);
/// After how long without an answer to that no token is accepted any more.
const STALE: Duration = Duration::from_secs(30);
/// How often to look for letters that wait.
const LOOK_FOR_MAIL: Duration = Duration::from_secs(1);
/// How often old requests and sessions are forgotten.
const FORGET: Duration = Duration::from_hours(1);
/// For work that no caller waits for.
const BACKGROUND: Duration = Duration::from_secs(5);

/// Brings the schema up, then follows readiness and ended tokens until it is told to stop.
pub(crate) async fn follow(
    store: Store,
    accounts: Accounts,
    health: Health,
    migrate: bool,
    stop: CancellationToken,
) -> Result<(), Error> {
    let followed = async {
        tokio::try_join!(
            follow_readiness(&store, &accounts.tokens, &health, migrate),
            follow_tokens(&accounts),
            forget_old(&store, &accounts),
            send_mail(&accounts.mail),
        )?;
        Ok(())
    };
    tokio::select! {
        result = followed => result,
        () = stop.cancelled() => Ok(()),
    }
}

/// Ready is: the schema is current, the database answers, and it is known which tokens were ended.
async fn follow_readiness(
    store: &Store,
    tokens: &Tokens,
    health: &Health,
    migrate: bool,
) -> Result<(), Error> {
    bring_up(store, migrate).await?;
    let (mut was_ready, mut was_ever_ready) = (false, false);
    loop {
        let looked = store.ready().await;
        let ready = looked.is_ok() && tokens.is_trusted();
        if ready != was_ready {
            match &looked {
                Ok(()) => tracing::info!(ready, "readiness changed"),
                Err(fault) => tracing::error!(%fault, "not ready"),
            }
            health.set(ready).await;
            was_ready = ready;
        }
        was_ever_ready |= ready;
        // At the start only what was ended is not known yet, which takes milliseconds.
        tokio::time::sleep(if was_ever_ready { health::INTERVAL } else { RETRY_FOLLOW }).await;
    }
}

/// Learns every second which tokens other processes ended. When that fails for long, no token is
/// accepted.
async fn follow_tokens(accounts: &Accounts) -> Result<(), Error> {
    let mut known = None;
    loop {
        let now = tokio::time::Instant::now();
        match tokio::time::timeout(BACKGROUND, accounts.follow_ended_tokens()).await {
            Ok(Ok(())) => known = Some(now),
            Ok(Err(fault)) => tracing::debug!(%fault, "asking for ended tokens"),
            Err(_) => tracing::debug!("asking for ended tokens took too long"),
        }
        accounts.tokens.set_trusted(known.is_some_and(|last| last.elapsed() < STALE));
        let pause = if known == Some(now) { FOLLOW } else { RETRY_FOLLOW };
        tokio::time::sleep(pause).await;
    }
}

/// Once an hour. A failure costs nothing but disk space until the next time.
async fn forget_old(store: &Store, accounts: &Accounts) -> Result<(), Error> {
    loop {
        tokio::time::sleep(FORGET).await;
        let now = accounts.ambient.now();
        match store.run(Deadline::after(BACKGROUND), storage::request::Forget { now }).await {
            Ok(forgotten) => tracing::info!(forgotten, "forgot old requests"),
            Err(fault) => tracing::warn!(%fault, "forgetting old requests"),
        }
        match store.run(Deadline::after(BACKGROUND), sessions::store::Forget { now }).await {
            Ok(forgotten) => tracing::info!(forgotten, "forgot old sessions"),
            Err(fault) => tracing::warn!(%fault, "forgetting old sessions"),
        }
        match store.run(Deadline::after(BACKGROUND), emails::store::Forget { now }).await {
            Ok(forgotten) => tracing::info!(forgotten, "forgot old codes"),
            Err(fault) => tracing::warn!(%fault, "forgetting old codes"),
        }
        match store.run(Deadline::after(BACKGROUND), guessing::store::Forget { now }).await {
            Ok(forgotten) => tracing::info!(forgotten, "forgot old attempts"),
            Err(fault) => tracing::warn!(%fault, "forgetting old attempts"),
        }
    }
}

/// Sends letters as soon as they are written here, and those of other processes and what has to be tried
/// again at the next look.
async fn send_mail(mail: &Mail) -> Result<(), Error> {
    loop {
        if let Err(fault) = mail.deliver().await {
            tracing::debug!(%fault, "looking for letters");
        }
        tokio::select! {
            () = mail.written() => {}
            () = tokio::time::sleep(LOOK_FOR_MAIL) => {}
        }
    }
}

async fn bring_up(store: &Store, migrate: bool) -> Result<(), Error> {
    loop {
        let result = if migrate { storage::migrate_up(store).await } else { store.ready().await };
        match result {
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
