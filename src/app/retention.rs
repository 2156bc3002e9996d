//! Which rows are forgotten: all that have a time after which nobody asks for them.

use tokio_util::sync::CancellationToken;

use crate::{
    accounts::{emails, second_factor, sessions, throttling},
    kernel::time::Instant,
    mail,
    storage::{
        Store,
        cleanup::{Backlog, forget},
        idempotency,
    },
};

/// Removes what is old, one kind after the other, until nothing is left or `stop`. A kind that fails is told
/// of in the log and does not keep the others from their turn.
pub async fn forget_all(store: &Store, now: Instant, backlog: &Backlog, stop: &CancellationToken) {
    let all = async {
        forget::<idempotency::ExpiredRequests>(store, now, backlog).await;
        forget::<sessions::store::ExpiredSessions>(store, now, backlog).await;
        forget::<mail::store::ExpiredEmails>(store, now, backlog).await;
        forget::<emails::store::ExpiredCodes>(store, now, backlog).await;
        forget::<second_factor::store::NeverOn>(store, now, backlog).await;
        forget::<second_factor::store::Unconfirmed>(store, now, backlog).await;
        forget::<throttling::store::ExpiredAttempts>(store, now, backlog).await;
    };
    tokio::select! {
        () = all => {}
        () = stop.cancelled() => {}
    }
}
