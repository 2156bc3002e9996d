//! Claims that end by themselves: a hold, a pending request, a requested move. Each claims until its expiry and not
//! from then on, for readers by comparing it with the present. The next unit of work on that provider writes it down.

use crate::kernel::time::Instant;

/// Whether what ends by itself at `expires_at` has ended.
pub fn has_ended(expires_at: Instant, now: Instant) -> bool {
    expires_at <= now
}

/// The expiry of what never ends by itself, where a row needs one: a row in the state `held` does. 2300-01-01, after
/// every instant that is accepted.
pub fn never() -> Instant {
    Instant::from_timestamp(10_413_792_000, 0).unwrap_or(Instant::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::kernel::time::LATEST;

    #[test]
    fn a_claim_lasts_until_its_expiry_and_not_longer() {
        let (now, second) = (Instant::UNIX_EPOCH, TimeDelta::seconds(1));
        assert!(!has_ended(now + second, now));
        assert!(has_ended(now, now));
        assert!(has_ended(now - second, now));
        assert!(!has_ended(never(), LATEST));
    }
}
