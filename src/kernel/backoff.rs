//! Work that failed and is tried again later, so that it gives way to the next.

use std::{collections::HashMap, hash::Hash};

use chrono::TimeDelta;

use super::time::Instant;

/// How long the first pause is.
const FIRST: TimeDelta = TimeDelta::seconds(2);
/// How often it is doubled at most: the longest pause is some 17 minutes.
const DOUBLED: u32 = 9;

/// What failed, how often in a row, and when it is due again.
#[derive(Debug, Clone)]
pub struct Backoff<K>(HashMap<K, (u32, Instant)>);

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Clone> Backoff<K> {
    /// What has to wait at this time.
    pub fn waiting(&self, now: Instant) -> impl Iterator<Item = &K> {
        self.0.iter().filter(move |(_, (_, due))| *due > now).map(|(key, _)| key)
    }

    /// It failed once more. Whether to tell of it: the first time, and then each time it was twice as often.
    pub fn failed(&mut self, key: K, now: Instant) -> bool {
        let (times, due) = self.0.entry(key).or_insert((0, now));
        *times = times.saturating_add(1);
        *due = now + FIRST * (1 << (*times - 1).min(DOUBLED));
        times.is_power_of_two()
    }

    /// It is done.
    pub fn done(&mut self, key: &K) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_told_ever_more_seldom() {
        let mut backoff = Backoff::default();
        let start: Instant = "2026-11-22T12:00:00Z".parse().unwrap();
        let (mut now, mut told, mut pauses) = (start, Vec::new(), Vec::new());
        for time in 1..=12 {
            assert_eq!(backoff.waiting(now).count(), 0);
            if backoff.failed("it", now) {
                told.push(time);
            }
            let mut pause = 0;
            while backoff.waiting(now + TimeDelta::seconds(pause)).count() > 0 {
                pause += 1;
            }
            pauses.push(pause);
            now += TimeDelta::seconds(pause);
        }
        assert_eq!(told, [1, 2, 4, 8]);
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
        backoff.done(&"it");
        assert!(backoff.failed("it", now));
    }
}
