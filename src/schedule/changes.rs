//! What to change in a schedule, and whether that is a schedule then.

use chrono::{NaiveDate, TimeDelta};

use super::{
    HoursViolation, LONGEST_RANGE, MAX_WINDOWS, SLOT_RANGE, Schedule, WeeklyHours, Window,
    dates::{
        DateOverride, DateOverrides, MAX_DATE_WINDOWS, MAX_OVERRIDES, MAX_STAYS, MOST_GIVEN,
        OverrideViolation, Stay, StayViolation, Stays, TimeWindow,
    },
    expand,
    hours::Hours,
};
use crate::kernel::{
    fault::{Fault, Violations},
    time::Instant,
    zone::{Zone, ZoneData},
};

/// What to change in a schedule; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Time zone.
    pub zone: Option<Zone>,
    /// The weekly windows.
    pub windows: Option<Vec<Window>>,
    /// The dates with windows of their own.
    pub overrides: Option<Vec<DateOverride>>,
    /// The dates spent elsewhere.
    pub stays: Option<Vec<Stay>>,
    /// The distance of the starts on offer; of the default schedule only.
    pub slot: Option<TimeDelta>,
    /// The longest bookable interval; of the default schedule only.
    pub longest: Option<TimeDelta>,
    /// Whether intervals can be booked; of the default schedule only.
    pub accepts_intervals: Option<bool>,
}

impl Changes {
    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        let Self { zone, windows, overrides, stays, slot, longest, accepts_intervals } = self;
        zone.is_none()
            && windows.is_none()
            && overrides.is_none()
            && stays.is_none()
            && slot.is_none()
            && longest.is_none()
            && accepts_intervals.is_none()
    }

    /// Whether the hours are to change.
    pub fn hours_change(&self) -> bool {
        let Self { zone, windows, overrides, stays, .. } = self;
        zone.is_some() || windows.is_some() || overrides.is_some() || stays.is_some()
    }

    /// Notes what is wrong with these values whatever the schedule is that they change, and whenever.
    pub fn check(&self, violations: &mut Violations) {
        const LENGTH: &str = "must be 5 minutes to 24 hours in whole minutes";
        if self.slot.is_some_and(|slot| !SLOT_RANGE.contains(&slot)) {
            violations.add("schedule.slot_duration", LENGTH);
        }
        if self.longest.is_some_and(|longest| !LONGEST_RANGE.contains(&longest)) {
            violations.add("schedule.longest_booking", LENGTH);
        }
        if let Some(Err(all)) = self.windows.clone().map(WeeklyHours::new) {
            for violation in all {
                add_hours_violation(violations, violation);
            }
        }
        if let Some(Err(all)) = self.overrides.clone().map(DateOverrides::latest) {
            for violation in all {
                add_override_violation(violations, violation);
            }
        }
        if let Some(Err(all)) = self.stays.clone().map(Stays::latest) {
            for violation in all {
                add_stay_violation(violations, violation);
            }
        }
        if let Some((slot, longest)) = self.slot.zip(self.longest)
            && LONGEST_RANGE.contains(&longest)
            && SLOT_RANGE.contains(&slot)
            && slot > longest
        {
            add_slot_over_longest(violations);
        }
    }

    /// Notes what is wrong with these values beside what is stored, which is the default schedule or a named
    /// one's hours, and at this time.
    pub fn check_against(
        &self,
        stored: &Stored<'_>,
        (now, zones): (Instant, &ZoneData),
        violations: &mut Violations,
    ) {
        let hours = stored.hours();
        if let Some(zone) = self.zone.or_else(|| hours.map(Hours::zone)) {
            // A zone that is not known any more is told when it is used.
            let rules = zones.rules(zone).ok();
            let today = rules.and_then(|rules| expand::local_date(&rules, now));
            if let Some(given) = &self.overrides {
                check_past(given, hours.map(Hours::overrides), today, violations);
            }
            self.check_counts(today, violations);
        }
        // Both together were checked before.
        if let Stored::Default(stored) = stored
            && self.slot.is_some() != self.longest.is_some()
        {
            let slot = self.slot.unwrap_or_else(|| stored.slot());
            let longest = self.longest.unwrap_or_else(|| stored.longest());
            if SLOT_RANGE.contains(&slot) && LONGEST_RANGE.contains(&longest) && slot > longest {
                add_slot_over_longest(violations);
            }
        }
    }

    /// Notes where there are too many of those that are not over on this date.
    fn check_counts(&self, today: Option<NaiveDate>, violations: &mut Violations) {
        let lasts = |last: NaiveDate| today.is_none_or(|today| last >= today);
        let overrides = self.overrides.iter().flatten().filter(|each| lasts(each.date)).count();
        if overrides > MAX_OVERRIDES {
            let text = format!("must have at most {MAX_OVERRIDES} dates that are not over");
            violations.add("schedule.date_overrides", text);
        }
        let stays = self.stays.iter().flatten().filter(|stay| lasts(stay.last)).count();
        if stays > MAX_STAYS {
            let text = format!("must have at most {MAX_STAYS} stays that are not over");
            violations.add("schedule.stays", text);
        }
    }

    /// The default schedule with these changes, which were checked by themselves before.
    pub fn apply(&self, to: &Schedule, at: (Instant, &ZoneData)) -> Result<Schedule, Fault> {
        let mut violations = Violations::new();
        self.check_against(&Stored::Default(to), at, &mut violations);
        violations.finish()?;
        let slot = self.slot.unwrap_or_else(|| to.slot());
        let longest = self.longest.unwrap_or_else(|| to.longest());
        Schedule::of(self.hours(Some(to.hours()))?, slot, longest)
            .map_err(|all| Fault::internal(format!("an unchecked schedule: {all:?}")))
    }

    /// The named hours with these changes, which were checked by themselves before; or new ones, for which
    /// there must be a zone.
    pub fn apply_named(
        &self,
        to: Option<&Hours>,
        at: (Instant, &ZoneData),
    ) -> Result<Hours, Fault> {
        let mut violations = Violations::new();
        self.check_against(&Stored::Named(to), at, &mut violations);
        violations.finish()?;
        self.hours(to)
    }

    fn hours(&self, to: Option<&Hours>) -> Result<Hours, Fault> {
        let zone = self.zone.or_else(|| to.map(Hours::zone)).ok_or_else(Fault::unchecked)?;
        let weekly = match &self.windows {
            Some(windows) => WeeklyHours::new(windows.clone())
                .map_err(|v| Fault::internal(format!("unchecked weekly hours: {v:?}")))?,
            None => to.map(|hours| hours.weekly().clone()).unwrap_or_default(),
        };
        let overrides = match &self.overrides {
            Some(given) => DateOverrides::latest(given.clone())
                .map_err(|v| Fault::internal(format!("unchecked overrides: {v:?}")))?,
            None => to.map(|hours| hours.overrides().clone()).unwrap_or_default(),
        };
        let stays = match &self.stays {
            Some(stays) => Stays::latest(stays.clone())
                .map_err(|v| Fault::internal(format!("unchecked stays: {v:?}")))?,
            None => to.map(|hours| hours.stays().clone()).unwrap_or_default(),
        };
        Ok(Hours::new(zone, weekly, overrides, stays))
    }
}

/// What changes are laid over.
#[derive(Debug, Clone, Copy)]
pub enum Stored<'s> {
    /// The default schedule.
    Default(&'s Schedule),
    /// The hours of a named one; none where it is new.
    Named(Option<&'s Hours>),
}

impl<'s> Stored<'s> {
    fn hours(&self) -> Option<&'s Hours> {
        match self {
            Self::Default(schedule) => Some(schedule.hours()),
            Self::Named(hours) => *hours,
        }
    }
}

/// A date that is over can stay as it is and go, and nothing else.
fn check_past(
    given: &[DateOverride],
    stored: Option<&DateOverrides>,
    today: Option<NaiveDate>,
    violations: &mut Violations,
) {
    for (index, each) in given.iter().enumerate() {
        if today.is_none_or(|today| each.date >= today) {
            continue;
        }
        let sorted = |windows: &[TimeWindow]| {
            let mut windows = windows.to_vec();
            windows.sort_unstable();
            windows
        };
        let before = stored.and_then(|stored| stored.on(each.date));
        if before.is_none_or(|before| sorted(before) != sorted(&each.windows)) {
            violations.add(
                format!("schedule.date_overrides[{index}].date"),
                "must not be over; a past date can be kept as it was or left out",
            );
        }
    }
}

fn add_slot_over_longest(violations: &mut Violations) {
    violations.add("schedule.slot_duration", "must not be longer than longest_booking");
}

const EMPTY: &str = "must end after it starts";

fn add_hours_violation(violations: &mut Violations, violation: HoursViolation) {
    let (index, text) = match violation {
        HoursViolation::Empty { index } => (index, EMPTY.to_owned()),
        HoursViolation::Overlap { index, with } => {
            (index, format!("must not overlap weekly_windows[{with}]"))
        }
        HoursViolation::TooMany { .. } => {
            let text = format!("must have at most {MAX_WINDOWS} windows");
            return violations.add("schedule.weekly_windows", text);
        }
    };
    violations.add(format!("schedule.weekly_windows[{index}]"), text);
}

fn add_override_violation(violations: &mut Violations, violation: OverrideViolation) {
    const FIELD: &str = "schedule.date_overrides";
    let (field, text) = match violation {
        OverrideViolation::TooMany { .. } => {
            (FIELD.to_owned(), format!("must have at most {MOST_GIVEN} dates"))
        }
        OverrideViolation::Twice { index, with } => (
            format!("{FIELD}[{index}].date"),
            format!("must not be the date of date_overrides[{with}]"),
        ),
        OverrideViolation::TooManyWindows { index } => (
            format!("{FIELD}[{index}].windows"),
            format!("must have at most {MAX_DATE_WINDOWS} windows"),
        ),
        OverrideViolation::Empty { index, window } => {
            (format!("{FIELD}[{index}].windows[{window}]"), EMPTY.to_owned())
        }
        OverrideViolation::Overlap { index, window, with } => (
            format!("{FIELD}[{index}].windows[{window}]"),
            format!("must not overlap windows[{with}]"),
        ),
    };
    violations.add(field, text);
}

fn add_stay_violation(violations: &mut Violations, violation: StayViolation) {
    const FIELD: &str = "schedule.stays";
    let (field, text) = match violation {
        StayViolation::TooMany { .. } => {
            (FIELD.to_owned(), format!("must have at most {MOST_GIVEN} stays"))
        }
        StayViolation::Reversed { index } => {
            (format!("{FIELD}[{index}].end_date"), "must not be before start_date".to_owned())
        }
        StayViolation::Overlap { index, with } => {
            (format!("{FIELD}[{index}]"), format!("must not overlap stays[{with}]"))
        }
    };
    violations.add(field, text);
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
