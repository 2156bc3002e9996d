//! Weekly hours as they are written in the settings: `mon 09:00-17:00`.

use std::fmt;

use chrono::Weekday;

/// The days of a week.
pub(super) const DAYS: [Weekday; 7] = [
    Weekday::Mon,
    Weekday::Tue,
    Weekday::Wed,
    Weekday::Thu,
    Weekday::Fri,
    Weekday::Sat,
    Weekday::Sun,
];

/// The name of a day in the settings.
pub(super) fn day_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "mon",
        Weekday::Tue => "tue",
        Weekday::Wed => "wed",
        Weekday::Thu => "thu",
        Weekday::Fri => "fri",
        Weekday::Sat => "sat",
        Weekday::Sun => "sun",
    }
}

/// One window of a week, in a provider's own wall-clock time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenHours {
    /// As it was written: `mon 09:00-17:00`.
    pub text: String,
    /// Day of the week.
    pub day: Weekday,
    /// Minutes from midnight, 0 to 1439, included.
    pub start_minutes: u32,
    /// Minutes from midnight, 1 to 1440 and after the start, not included.
    pub end_minutes: u32,
}

impl OpenHours {
    /// Reads `day from-to`; `None` when it is anything else or the end is not after the start.
    pub fn parse(text: &str) -> Option<Self> {
        let (day, window) = text.trim().split_once(char::is_whitespace)?;
        let (start, end) = window.split_once('-')?;
        let day = day.to_ascii_lowercase();
        let day = DAYS.into_iter().find(|each| day_name(*each) == day)?;
        let (start_minutes, end_minutes) = (minutes(start)?, minutes(end)?);
        let text = text.trim().to_owned();
        (start_minutes < end_minutes).then_some(Self { text, day, start_minutes, end_minutes })
    }

    /// Whether some minute is in both windows.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.day == other.day
            && self.start_minutes < other.end_minutes
            && other.start_minutes < self.end_minutes
    }
}

impl fmt::Display for OpenHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `HH:MM` as minutes from midnight, up to `24:00`.
fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes) = (hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= 24 * 60).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_windows() {
        for (text, day, start, end) in [
            ("mon 09:00-17:00", Weekday::Mon, 540, 1020),
            ("Sun 00:00-24:00", Weekday::Sun, 0, 1440),
            (" sat  23:59 - 24:00 ", Weekday::Sat, 1439, 1440),
        ] {
            let hours = OpenHours::parse(text).unwrap();
            assert_eq!((hours.day, hours.start_minutes, hours.end_minutes), (day, start, end));
            assert_eq!(hours.to_string(), text.trim());
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "mon",
            "mon 9-17",
            "mon 9:00-17:00",
            "mon 09:00",
            "day 09:00-17:00",
            "mon 17:00-09:00",
            "mon 09:00-09:00",
            "mon 09:60-17:00",
            "mon 09:00-24:01",
            "mon +9:00-17:00",
            "mon 22:00-26:00",
        ] {
            assert_eq!(OpenHours::parse(text), None, "{text}");
        }
    }
}
