//! Callers: closed loops and paced ones, and what they saw.

use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tonic::Status;
use tonic_types::StatusExt as _;

/// What happened to the calls of one measurement.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// The latencies of all calls, in microseconds; sorted when the measurement is over.
    micros: Vec<u32>,
    /// How often each answer was given: `OK`, or the reason of a refusal.
    pub(crate) seen: BTreeMap<String, u64>,
    elapsed: Duration,
    /// Calls before the measurement, to warm up.
    warm: usize,
}

impl Tally {
    /// Notes one call.
    pub(crate) fn note(&mut self, began: Instant, result: Result<(), Status>) {
        self.micros.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        let answer = match result {
            Ok(()) => "OK".to_owned(),
            Err(status) => match status.get_details_error_info() {
                Some(info) => info.reason,
                None => format!("{:?}: {}", status.code(), status.message()),
            },
        };
        *self.seen.entry(answer).or_default() += 1;
    }

    /// One tally of several.
    pub(crate) fn sum(parts: impl IntoIterator<Item = Self>, elapsed: Duration) -> Self {
        let mut sum = Self { elapsed, ..Self::default() };
        for part in parts {
            sum.micros.extend(part.micros);
            for (answer, count) in part.seen {
                *sum.seen.entry(answer).or_default() += count;
            }
        }
        sum.micros.sort_unstable();
        sum
    }

    /// How many calls.
    pub(crate) fn calls(&self) -> usize {
        self.micros.len()
    }

    /// How many calls, those to warm up included.
    pub(crate) fn all_calls(&self) -> usize {
        self.warm + self.calls()
    }

    /// How many calls were answered with this.
    pub(crate) fn count(&self, answer: &str) -> u64 {
        self.seen.get(answer).copied().unwrap_or_default()
    }

    /// Successful calls a second.
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of seconds' worth of calls")]
        let done = self.count("OK") as f64;
        done / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the calls did not exceed, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count"
        )]
        let rank = (share * self.micros.len() as f64).ceil() as usize;
        let found = self.micros.get(rank.saturating_sub(1)).copied();
        f64::from(found.unwrap_or_default()) / 1000.0
    }

    /// An error when calls were refused for other reasons than these.
    pub(crate) fn only(self, expected: &[&str]) -> crate::Outcome<Self> {
        match self.seen.keys().find(|answer| !expected.contains(&answer.as_str())) {
            None => Ok(self),
            Some(_) => Err(format!("unexpected answers: {:?}", self.seen).into()),
        }
    }
}

/// So many callers, each of which calls again as soon as it has its answer. A tenth of the time is
/// for warming up and does not count.
pub(crate) async fn closed<C, F>(callers: usize, time: Duration, call: C) -> Tally
where
    C: Fn(usize, &mut Random) -> F,
    F: Future<Output = Result<(), Status>>,
{
    let call = &call;
    let loops = |until: Instant, salt: u64| {
        join_all((0..callers).map(move |caller| async move {
            let mut random = Random::new(salt ^ caller as u64);
            let mut tally = Tally::default();
            while Instant::now() < until {
                let began = Instant::now();
                let result = call(caller, &mut random).await;
                tally.note(began, result);
            }
            tally
        }))
    };
    let warm = loops(Instant::now() + time / 10, 0x5eed).await;
    let began = Instant::now();
    let parts = loops(began + time, 0xbe9c).await;
    let warm = warm.iter().map(Tally::calls).sum();
    Tally { warm, ..Tally::sum(parts, began.elapsed()) }
}

/// So many callers that together make so many calls a second, as long as answers come in time.
pub(crate) async fn paced<C, F>(callers: u32, per_second: u32, time: Duration, call: C) -> Tally
where
    C: Fn(usize, &mut Random) -> F,
    F: Future<Output = Result<(), Status>>,
{
    let call = &call;
    let began = Instant::now();
    let step = Duration::from_secs(1) * callers / per_second;
    let parts = join_all((0..callers).map(|caller| async move {
        let mut random = Random::new(u64::from(caller));
        let mut tally = Tally::default();
        let first = tokio::time::Instant::now() + step * caller / callers;
        let mut ticks = tokio::time::interval_at(first, step);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while began.elapsed() < time {
            ticks.tick().await;
            let began = Instant::now();
            let result = call(caller as usize, &mut random).await;
            tally.note(began, result);
        }
        tally
    }))
    .await;
    Tally::sum(parts, began.elapsed())
}

/// Numbers that need not be secret.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Different in each run.
    pub(crate) fn new(salt: u64) -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        Self(RandomState::new().hash_one(salt) | 1)
    }

    /// The next number (xorshift64*).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        // The high half, whose bits are the better ones; a bias of 2⁻¹² is of no matter here.
        u32::try_from((self.next() >> 32) % u64::from(end)).unwrap_or_default()
    }

    /// A UUID for one request.
    pub(crate) fn uuid(&mut self) -> uuid::Uuid {
        let bits = u128::from(self.next()) << 64 | u128::from(self.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}
