//! What differs on single dates: windows that replace the week's, and stays in another zone.

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::TimeOfDay;
use crate::kernel::zone::Zone;

/// The most dates that may have windows of their own, of those that are not over; and in all. Of those that
/// are over the latest stay.
pub const MAX_OVERRIDES: usize = 1000;
/// The most dates that are looked at when they are given, those that are over included.
pub const MOST_GIVEN: usize = 4000;
/// The most windows that one date may have.
pub const MAX_DATE_WINDOWS: usize = 24;
/// The most stays that hours may have, of those that are not over; and in all, like the dates.
pub const MAX_STAYS: usize = 100;

/// One opening of a date, `[start, end)` in wall-clock time.
///
/// Only [`DateOverrides`] checks that it is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeWindow {
    /// When it opens.
    pub start: TimeOfDay,
    /// When it closes; 24:00 for midnight at the end of the day.
    pub end: TimeOfDay,
}

/// The windows of one date, instead of the week's. None means closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateOverride {
    /// The local date.
    pub date: NaiveDate,
    /// When it is open.
    pub windows: Vec<TimeWindow>,
}

/// One reason why date overrides are none. Everything is counted as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum OverrideViolation {
    /// There are more than [`MAX_OVERRIDES`].
    #[error("must be at most {MAX_OVERRIDES} dates, not {count}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// An earlier one has the same date.
    #[error("override {index} has the date of override {with}")]
    Twice {
        /// The offending override: of the two, the later in the list.
        index: usize,
        /// The one with the same date.
        with: usize,
    },
    /// It has more than [`MAX_DATE_WINDOWS`].
    #[error("override {index} has more than {MAX_DATE_WINDOWS} windows")]
    TooManyWindows {
        /// The offending override.
        index: usize,
    },
    /// A window does not end after it starts.
    #[error("override {index}: window {window} must end after it starts")]
    Empty {
        /// The offending override.
        index: usize,
        /// The offending window in it.
        window: usize,
    },
    /// A window starts before an earlier one has ended.
    #[error("override {index}: window {window} overlaps window {with}")]
    Overlap {
        /// The offending override.
        index: usize,
        /// The offending window in it: of the two, the one that starts later.
        window: usize,
        /// The window it overlaps.
        with: usize,
    },
}

/// The dates that have windows of their own.
///
/// At most [`MAX_OVERRIDES`], one for a date, sorted; the windows of each at most
/// [`MAX_DATE_WINDOWS`], none empty, none overlapping (they may touch), sorted. As data, the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct DateOverrides(Vec<DateOverride>);

impl DateOverrides {
    /// Checks and sorts; reports every violation, sorted by place. If there are too many, that alone is
    /// reported.
    pub fn new(overrides: Vec<DateOverride>) -> Result<Self, Vec<OverrideViolation>> {
        let count = overrides.len();
        if count > MAX_OVERRIDES {
            return Err(vec![OverrideViolation::TooMany { count }]);
        }
        Self::latest(overrides)
    }

    /// Of those that were given the latest [`MAX_OVERRIDES`]; checked like by [`DateOverrides::new`].
    pub fn latest(mut overrides: Vec<DateOverride>) -> Result<Self, Vec<OverrideViolation>> {
        let count = overrides.len();
        if count > MOST_GIVEN {
            return Err(vec![OverrideViolation::TooMany { count }]);
        }
        let mut violations = Vec::new();
        let mut dates: Vec<_> = overrides.iter().map(|o| o.date).zip(0..).collect();
        dates.sort_unstable();
        for group in dates.chunk_by(|a, b| a.0 == b.0) {
            let Some(((_, with), others)) = group.split_first() else { continue };
            let twice = others.iter().map(|(_, index)| (*index, *with));
            violations.extend(twice.map(|(index, with)| OverrideViolation::Twice { index, with }));
        }
        for (index, each) in overrides.iter_mut().enumerate() {
            violations.extend(check_windows(index, &mut each.windows));
        }
        if violations.is_empty() {
            overrides.sort_unstable_by_key(|o| o.date);
            overrides.drain(..count.saturating_sub(MAX_OVERRIDES));
            return Ok(Self(overrides));
        }
        violations.sort_unstable_by_key(|violation| violation.place());
        Err(violations)
    }

    /// All of them, sorted by date.
    pub fn as_slice(&self) -> &[DateOverride] {
        &self.0
    }

    /// The windows of a date that has its own.
    pub fn on(&self, date: NaiveDate) -> Option<&[TimeWindow]> {
        let place = self.0.binary_search_by_key(&date, |o| o.date).ok()?;
        self.0.get(place).map(|o| o.windows.as_slice())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of this date and later ones.
    #[must_use]
    pub fn since(&self, date: NaiveDate) -> Self {
        Self(self.0.iter().filter(|each| each.date >= date).cloned().collect())
    }
}

impl OverrideViolation {
    fn place(self) -> (usize, usize) {
        match self {
            Self::TooMany { .. } => (0, 0),
            Self::Twice { index, .. } | Self::TooManyWindows { index } => (index, 0),
            Self::Empty { index, window } | Self::Overlap { index, window, .. } => {
                (index, window + 1)
            }
        }
    }
}

/// Sorts the windows of a date, and tells what is wrong with them.
fn check_windows(index: usize, windows: &mut Vec<TimeWindow>) -> Vec<OverrideViolation> {
    if windows.len() > MAX_DATE_WINDOWS {
        return vec![OverrideViolation::TooManyWindows { index }];
    }
    let mut violations = Vec::new();
    let mut sorted: Vec<(TimeWindow, usize)> = windows.iter().copied().zip(0..).collect();
    sorted.sort_unstable();
    // Among those before, the one whose end reaches furthest: who overlaps any, overlaps it.
    let mut furthest: Option<(TimeWindow, usize)> = None;
    for (each, window) in sorted.iter().copied() {
        if each.end <= each.start {
            violations.push(OverrideViolation::Empty { index, window });
            continue;
        }
        if let Some((before, with)) = furthest
            && each.start < before.end
        {
            violations.push(OverrideViolation::Overlap { index, window, with });
        }
        if furthest.is_none_or(|(before, _)| before.end < each.end) {
            furthest = Some((each, window));
        }
    }
    *windows = sorted.into_iter().map(|(window, _)| window).collect();
    violations
}

impl<'de> Deserialize<'de> for DateOverrides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(|all| D::Error::custom(joined(&all)))
    }
}

/// Dates on which the hours are meant in another zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stay {
    /// The first date.
    pub first: NaiveDate,
    /// The last date, itself included.
    pub last: NaiveDate,
    /// Time zone.
    pub zone: Zone,
}

/// One reason why stays are none. `index` counts the stays as they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StayViolation {
    /// There are more than [`MAX_STAYS`].
    #[error("must be at most {MAX_STAYS} stays, not {count}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// It ends before it starts.
    #[error("stay {index} must not end before it starts")]
    Reversed {
        /// The offending stay.
        index: usize,
    },
    /// It starts before an earlier one has ended.
    #[error("stay {index} overlaps stay {with}")]
    Overlap {
        /// The offending stay: of the two, the one that starts later.
        index: usize,
        /// The stay it overlaps.
        with: usize,
    },
}

/// The stays of a provider: at most [`MAX_STAYS`], sorted, no date in two. As data, the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Stays(Vec<Stay>);

impl Stays {
    /// Checks and sorts; reports every violation, sorted by index. If there are too many, that alone is
    /// reported.
    pub fn new(stays: Vec<Stay>) -> Result<Self, Vec<StayViolation>> {
        if stays.len() > MAX_STAYS {
            return Err(vec![StayViolation::TooMany { count: stays.len() }]);
        }
        Self::latest(stays)
    }

    /// Of those that were given the latest [`MAX_STAYS`]; checked like by [`Stays::new`].
    pub fn latest(stays: Vec<Stay>) -> Result<Self, Vec<StayViolation>> {
        let count = stays.len();
        if count > MOST_GIVEN {
            return Err(vec![StayViolation::TooMany { count }]);
        }
        let mut sorted: Vec<(usize, Stay)> = stays.into_iter().enumerate().collect();
        sorted.sort_by_key(|(index, stay)| (stay.first, stay.last, *index));
        let mut violations = Vec::new();
        let mut furthest: Option<(usize, Stay)> = None;
        for (index, stay) in sorted.iter().copied() {
            if stay.last < stay.first {
                violations.push((index, StayViolation::Reversed { index }));
                continue;
            }
            if let Some((with, before)) = furthest
                && stay.first <= before.last
            {
                violations.push((index, StayViolation::Overlap { index, with }));
            }
            if furthest.is_none_or(|(_, before)| before.last < stay.last) {
                furthest = Some((index, stay));
            }
        }
        if violations.is_empty() {
            let over = count.saturating_sub(MAX_STAYS);
            return Ok(Self(sorted.into_iter().skip(over).map(|(_, stay)| stay).collect()));
        }
        violations.sort_unstable_by_key(|(index, _)| *index);
        Err(violations.into_iter().map(|(_, violation)| violation).collect())
    }

    /// All of them, in the order of their dates.
    pub fn as_slice(&self) -> &[Stay] {
        &self.0
    }

    /// The stay that a date falls into.
    pub fn on(&self, date: NaiveDate) -> Option<&Stay> {
        let place = self.0.partition_point(|stay| stay.last < date);
        self.0.get(place).filter(|stay| stay.first <= date)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that end on this date or a later one.
    #[must_use]
    pub fn since(&self, date: NaiveDate) -> Self {
        Self(self.0.iter().filter(|stay| stay.last >= date).copied().collect())
    }
}

impl<'de> Deserialize<'de> for Stays {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(|all| D::Error::custom(joined(&all)))
    }
}

fn joined(violations: &[impl ToString]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
