//! How long the database has said nothing, and when that is too long.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant as Moment;

/// How long the database may say nothing before its connections are given up: longer than one that is only
/// busy lets such a small question wait, and much shorter than the quarter of an hour after which TCP notices
/// that nobody is there any more, as after a failover.
const LIMIT: Duration = Duration::from_secs(5);

/// Detects that the database has stopped answering.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When it was heard of last; before that, when it was looked at first.
    since: Option<Moment>,
    has_answered: bool,
}

/// The connections are to be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong {
    /// Whether the database ever answered on them.
    pub(super) has_answered: bool,
}

impl Silence {
    /// Notes whether a look was answered, be it with an error. Tells when the silence was too long: once, and
    /// again when it has lasted as long once more. Connections on which nothing was ever answered count from the
    /// first look on: what can be connected to may fall silent before it says anything.
    pub(super) fn after(&self, is_answered: bool, now: Moment) -> Option<TooLong> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *state.since.get_or_insert(now);
        if is_answered {
            *state = State { since: Some(now), has_answered: true };
            return None;
        }
        if now.duration_since(since) < LIMIT {
            return None;
        }
        state.since = Some(now);
        Some(TooLong { has_answered: state.has_answered })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERED: bool = true;
    const SILENT: bool = false;

    #[test]
    fn connections_are_given_up_after_five_seconds_of_silence() {
        let (silence, start) = (Silence::default(), Moment::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(silence.after(ANSWERED, at(0)), None);
        assert_eq!(silence.after(SILENT, at(4_999)), None);
        assert_eq!(silence.after(SILENT, at(5_000)), Some(TooLong { has_answered: true }));
        // Told once, and again when it has lasted as long once more.
        assert_eq!(silence.after(SILENT, at(5_001)), None);
        assert_eq!(silence.after(SILENT, at(9_999)), None);
        assert_eq!(silence.after(SILENT, at(10_000)), Some(TooLong { has_answered: true }));
        assert_eq!(silence.after(ANSWERED, at(10_001)), None);
        assert_eq!(silence.after(SILENT, at(15_000)), None);
    }

    #[test]
    fn connections_on_which_nothing_was_ever_answered_are_given_up_as_well() {
        let (silence, start) = (Silence::default(), Moment::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(silence.after(SILENT, at(0)), None);
        assert_eq!(silence.after(SILENT, at(4_999)), None);
        assert_eq!(silence.after(SILENT, at(5_000)), Some(TooLong { has_answered: false }));
        assert_eq!(silence.after(SILENT, at(7_000)), None);
    }
}
