//! Which terms a type can have: everything that is wrong with a draft, by field, at once.
//!
//! A draft holds lengths as they were given, so that the rules about them stand in one place. A change
//! is a draft of some fields, laid over a draft of what is stored; what comes out is checked as a whole.

use std::{collections::HashMap, hash::Hash, ops::RangeInclusive};

use chrono::TimeDelta;

use super::{Horizon, Limits, Question, QuestionKind, Terms, minutes};
use crate::kernel::{
    fault::{Fault, Violations},
    text,
};

/// The longest display name, in characters.
pub const LONGEST_NAME: usize = 100;
/// The longest description, in characters.
pub const LONGEST_DESCRIPTION: usize = 2000;
/// The longest price, in characters.
pub const LONGEST_PRICE: usize = 100;
/// The longest place, in characters.
pub const LONGEST_PLACE: usize = 500;
/// The most durations to choose from.
pub const MOST_DURATIONS: usize = 20;
/// The most questions.
pub const MOST_QUESTIONS: usize = 50;
/// The longest id of a question.
pub const LONGEST_ID: usize = 40;
/// The longest question, in characters.
pub const LONGEST_QUESTION: usize = 500;
/// The most choices of a question.
pub const MOST_CHOICES: usize = 50;
/// The longest choice, in characters.
pub const LONGEST_CHOICE: usize = 200;
/// The furthest rolling horizon, in days.
pub const MOST_DAYS: u32 = 3650;
/// The highest limit that counts appointments.
pub const MOST_APPOINTMENTS: i32 = 1000;
/// After how long a request ends unanswered, where the type does not say: 48 hours.
pub const REQUEST_EXPIRY: u32 = 48 * 60;

const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;

/// A range of lengths in minutes, and how it is told.
struct Range(RangeInclusive<i64>, &'static str);

const DURATION: Range = Range(5..=DAY, "must be 5 minutes to 24 hours in whole minutes");
const BUFFER: Range = Range(0..=4 * HOUR, "must be at most 4 hours in whole minutes");
const OFFSET: Range = Range(0..=DAY, "must be less than the slot step, in whole minutes");
const NOTICE: Range = Range(0..=365 * DAY, "must be at most 365 days in whole minutes");
const EXPIRY: Range = Range(5..=30 * DAY, "must be 5 minutes to 30 days in whole minutes");
const PER_DAY: Range = Range(0..=DAY, "must be at most 24 hours in whole minutes, or absent");
const PER_WEEK: Range = Range(0..=7 * DAY, "must be at most 168 hours in whole minutes, or absent");

/// What was given for a field that may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given<T>(pub Option<T>);

/// Terms as somebody wishes them. A field that is not named, or could not be read, is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of Terms, described there")]
pub struct Draft {
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub durations: Option<Vec<TimeDelta>>,
    pub buffer_before: Option<TimeDelta>,
    pub buffer_after: Option<TimeDelta>,
    pub slot_step: Option<Given<TimeDelta>>,
    pub grid_offset: Option<TimeDelta>,
    pub minimum_notice: Option<TimeDelta>,
    pub horizon: Option<Given<Horizon>>,
    pub limits: Option<LimitsDraft>,
    /// Whether limits that are none stay as they are.
    pub keeps_limits: bool,
    pub cancel_cutoff: Option<TimeDelta>,
    pub reschedule_cutoff: Option<TimeDelta>,
    pub requires_approval: Option<bool>,
    pub request_expiry: Option<TimeDelta>,
    pub price: Option<String>,
    pub place: Option<String>,
    pub questions: Option<Vec<QuestionDraft>>,
    pub private: Option<bool>,
}

/// Limits as somebody wishes them; zero means none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of Limits, described there")]
pub struct LimitsDraft {
    pub per_day: i32,
    pub per_week: i32,
    pub time_per_day: TimeDelta,
    pub time_per_week: TimeDelta,
    pub open_per_customer: i32,
}

/// A question as somebody wishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of Question, described there")]
pub struct QuestionDraft {
    pub id: String,
    pub text: String,
    /// Absent where it is none that there is.
    pub kind: Option<AnswerFormat>,
    pub required: bool,
    pub choices: Vec<String>,
}

/// What an answer looks like, without the choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants of QuestionKind, described there")]
pub enum AnswerFormat {
    Text,
    Number,
    Choice,
    YesNo,
}

impl Draft {
    /// The draft of terms that there are.
    pub fn of(terms: &Terms) -> Self {
        let limits = &terms.limits;
        let count =
            |limit: Option<u32>| limit.map_or(0, |limit| i32::try_from(limit).unwrap_or(i32::MAX));
        let time = |limit: Option<u32>| minutes(limit.unwrap_or_default());
        Self {
            display_name: Some(terms.display_name.clone()),
            description: Some(terms.description.clone()),
            durations: Some(terms.durations.iter().copied().map(minutes).collect()),
            buffer_before: Some(minutes(terms.buffer_before)),
            buffer_after: Some(minutes(terms.buffer_after)),
            slot_step: Some(Given(terms.slot_step.map(minutes))),
            grid_offset: Some(minutes(terms.grid_offset)),
            minimum_notice: Some(minutes(terms.minimum_notice)),
            horizon: Some(Given(terms.horizon)),
            limits: Some(LimitsDraft {
                per_day: count(limits.per_day),
                per_week: count(limits.per_week),
                time_per_day: time(limits.minutes_per_day),
                time_per_week: time(limits.minutes_per_week),
                open_per_customer: count(limits.open_per_customer),
            }),
            keeps_limits: false,
            cancel_cutoff: Some(minutes(terms.cancel_cutoff)),
            reschedule_cutoff: Some(minutes(terms.reschedule_cutoff)),
            requires_approval: Some(terms.requires_approval),
            request_expiry: Some(minutes(terms.request_expiry)),
            price: Some(terms.price.clone()),
            place: Some(terms.place.clone()),
            questions: Some(terms.questions.iter().map(QuestionDraft::of).collect()),
            private: Some(terms.private),
        }
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        *self == Self { keeps_limits: self.keeps_limits, ..Self::default() }
    }

    /// This draft, and what it does not name from another one.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        Self {
            display_name: self.display_name.or(base.display_name),
            description: self.description.or(base.description),
            durations: self.durations.or(base.durations),
            buffer_before: self.buffer_before.or(base.buffer_before),
            buffer_after: self.buffer_after.or(base.buffer_after),
            slot_step: self.slot_step.or(base.slot_step),
            grid_offset: self.grid_offset.or(base.grid_offset),
            minimum_notice: self.minimum_notice.or(base.minimum_notice),
            horizon: self.horizon.or(base.horizon),
            limits: match (self.limits, base.limits) {
                (Some(limits), Some(base)) if self.keeps_limits => Some(limits.over(base)),
                (limits, base) => limits.or(base),
            },
            keeps_limits: base.keeps_limits,
            cancel_cutoff: self.cancel_cutoff.or(base.cancel_cutoff),
            reschedule_cutoff: self.reschedule_cutoff.or(base.reschedule_cutoff),
            requires_approval: self.requires_approval.or(base.requires_approval),
            request_expiry: self.request_expiry.or(base.request_expiry),
            price: self.price.or(base.price),
            place: self.place.or(base.place),
            questions: self.questions.or(base.questions),
            private: self.private.or(base.private),
        }
    }

    /// Notes everything that is wrong with what is named, each by itself and together.
    pub fn check(&self, violations: &mut Violations) {
        let mut told = Told(violations);
        told.text(self.display_name.as_ref(), "display_name", |t| text::line(t, LONGEST_NAME));
        told.text(self.description.as_ref(), "description", |t| {
            text::lines(t, LONGEST_DESCRIPTION)
        });
        told.text(self.price.as_ref(), "price", |t| text::lines(t, LONGEST_PRICE));
        told.text(self.place.as_ref(), "place", |t| text::lines(t, LONGEST_PLACE));
        self.check_durations(&mut told);
        for (length, field, range) in [
            (self.buffer_before, "buffer_before", &BUFFER),
            (self.buffer_after, "buffer_after", &BUFFER),
            (self.slot_step.and_then(|step| step.0), "slot_step", &DURATION),
            (self.minimum_notice, "minimum_notice", &NOTICE),
            (self.cancel_cutoff, "cancel_cutoff", &NOTICE),
            (self.reschedule_cutoff, "reschedule_cutoff", &NOTICE),
            (self.request_expiry, "request_expiry", &EXPIRY),
        ] {
            if length.is_some_and(|length| range.minutes(length).is_none()) {
                told.add(field, range.1);
            }
        }
        if let Some(offset) = self.grid_offset {
            let known = OFFSET.minutes(offset).filter(|_| self.step().is_none_or(|s| offset < s));
            if known.is_none() {
                told.add("grid_offset", OFFSET.1);
            }
        }
        self.check_horizon(&mut told);
        if let Some(limits) = &self.limits {
            limits.check(&mut told);
        }
        if let Some(questions) = &self.questions {
            check_questions(questions, &mut told);
        }
    }

    /// The terms, when nothing is wrong with them.
    pub fn terms(self) -> Result<Terms, Fault> {
        let mut violations = Violations::new();
        self.check(&mut violations);
        violations.finish()?;
        self.build().ok_or_else(Fault::unchecked)
    }

    /// The distance of the starts, where it is known and can be one.
    fn step(&self) -> Option<TimeDelta> {
        let step = match self.slot_step? {
            Given(Some(step)) => step,
            Given(None) => self.durations.as_ref()?.first().copied()?,
        };
        DURATION.minutes(step).map(minutes)
    }

    fn check_durations(&self, told: &mut Told<'_>) {
        let Some(durations) = &self.durations else { return };
        if durations.is_empty() || durations.len() > MOST_DURATIONS {
            return told.add("durations", format!("must be 1 to {MOST_DURATIONS} lengths"));
        }
        let least = self.limits.as_ref().and_then(LimitsDraft::least_time);
        let mut seen = Seen::default();
        for (index, duration) in durations.iter().enumerate() {
            let field = format!("durations[{index}]");
            if DURATION.minutes(*duration).is_none() {
                told.add(&field, DURATION.1);
            } else if let Some(before) = seen.before(duration, index) {
                told.add(&field, format!("must differ from durations[{before}]"));
            } else if least.is_some_and(|least| *duration > least) {
                told.add(&field, "must not be longer than the time that the limits allow");
            }
        }
    }

    fn check_horizon(&self, told: &mut Told<'_>) {
        match self.horizon {
            Some(Given(Some(Horizon::RollingDays(days)))) if days > MOST_DAYS => {
                told.add("rolling_days", format!("must be 0 to {MOST_DAYS}"));
            }
            Some(Given(Some(Horizon::RollingDays(days)))) => {
                // The horizon's last date ends in less than so many days, but for a change of the clocks.
                let notice = self.minimum_notice.filter(|n| NOTICE.minutes(*n).is_some());
                let reach = TimeDelta::days(i64::from(days) + 1);
                if notice.is_some_and(|notice| notice >= reach) {
                    told.add("minimum_notice", "must be shorter than rolling_days reach");
                }
            }
            Some(Given(Some(Horizon::Fixed { first, last }))) if last < first => {
                told.add("fixed_window.end_date", "must not be before start_date");
            }
            Some(Given(Some(Horizon::Fixed { .. }) | None)) | None => {}
        }
    }

    fn build(self) -> Option<Terms> {
        let durations: Option<Vec<u32>> =
            self.durations?.into_iter().map(|d| DURATION.minutes(d)).collect();
        let slot_step = match self.slot_step?.0 {
            Some(step) => Some(DURATION.minutes(step)?),
            None => None,
        };
        let questions: Option<Vec<Question>> =
            self.questions?.into_iter().map(QuestionDraft::build).collect();
        Some(Terms {
            display_name: text::line(&self.display_name?, LONGEST_NAME).ok()?,
            description: self.description?,
            durations: durations?,
            buffer_before: BUFFER.minutes(self.buffer_before?)?,
            buffer_after: BUFFER.minutes(self.buffer_after?)?,
            slot_step,
            grid_offset: OFFSET.minutes(self.grid_offset?)?,
            minimum_notice: NOTICE.minutes(self.minimum_notice?)?,
            horizon: self.horizon?.0,
            limits: self.limits?.build()?,
            cancel_cutoff: NOTICE.minutes(self.cancel_cutoff?)?,
            reschedule_cutoff: NOTICE.minutes(self.reschedule_cutoff?)?,
            requires_approval: self.requires_approval?,
            request_expiry: EXPIRY.minutes(self.request_expiry?)?,
            price: self.price?,
            place: self.place?,
            questions: questions?,
            private: self.private?,
        })
    }
}

impl LimitsDraft {
    /// These limits, and from others those that are none here.
    fn over(self, base: Self) -> Self {
        let count = |limit: i32, base: i32| if limit == 0 { base } else { limit };
        let time = |limit: TimeDelta, base: TimeDelta| if limit.is_zero() { base } else { limit };
        Self {
            per_day: count(self.per_day, base.per_day),
            per_week: count(self.per_week, base.per_week),
            time_per_day: time(self.time_per_day, base.time_per_day),
            time_per_week: time(self.time_per_week, base.time_per_week),
            open_per_customer: count(self.open_per_customer, base.open_per_customer),
        }
    }

    fn check(&self, told: &mut Told<'_>) {
        for (limit, field) in [
            (self.per_day, "per_provider_day"),
            (self.per_week, "per_provider_week"),
            (self.open_per_customer, "open_per_customer"),
        ] {
            if !(0..=MOST_APPOINTMENTS).contains(&limit) {
                let text = format!("must be 1 to {MOST_APPOINTMENTS}, or absent");
                told.add(&format!("limits.{field}"), text);
            }
        }
        for (limit, field, range) in [
            (self.time_per_day, "time_per_provider_day", &PER_DAY),
            (self.time_per_week, "time_per_provider_week", &PER_WEEK),
        ] {
            if range.minutes(limit).is_none() {
                told.add(&format!("limits.{field}"), range.1);
            }
        }
    }

    /// The least time that a limit allows, of those that are limits.
    fn least_time(&self) -> Option<TimeDelta> {
        let of = |limit, range: &Range| range.minutes(limit).filter(|m| *m > 0).map(minutes);
        let day = of(self.time_per_day, &PER_DAY);
        day.into_iter().chain(of(self.time_per_week, &PER_WEEK)).min()
    }

    fn build(self) -> Option<Limits> {
        let some = |limit: u32| (limit > 0).then_some(limit);
        let count = |limit: i32| u32::try_from(limit).ok().map(some);
        Some(Limits {
            per_day: count(self.per_day)?,
            per_week: count(self.per_week)?,
            minutes_per_day: some(PER_DAY.minutes(self.time_per_day)?),
            minutes_per_week: some(PER_WEEK.minutes(self.time_per_week)?),
            open_per_customer: count(self.open_per_customer)?,
        })
    }
}

impl QuestionDraft {
    fn of(question: &Question) -> Self {
        let (kind, choices) = match &question.kind {
            QuestionKind::Text => (AnswerFormat::Text, Vec::new()),
            QuestionKind::Number => (AnswerFormat::Number, Vec::new()),
            QuestionKind::Choice(choices) => (AnswerFormat::Choice, choices.clone()),
            QuestionKind::YesNo => (AnswerFormat::YesNo, Vec::new()),
        };
        Self {
            id: question.id.clone(),
            text: question.text.clone(),
            kind: Some(kind),
            required: question.required,
            choices,
        }
    }

    fn build(self) -> Option<Question> {
        let kind = match self.kind? {
            AnswerFormat::Text => QuestionKind::Text,
            AnswerFormat::Number => QuestionKind::Number,
            AnswerFormat::Choice => {
                QuestionKind::Choice(self.choices.iter().map(|c| c.trim().to_owned()).collect())
            }
            AnswerFormat::YesNo => QuestionKind::YesNo,
        };
        let text = self.text.trim().to_owned();
        Some(Question { id: self.id, text, kind, required: self.required })
    }
}

fn check_questions(questions: &[QuestionDraft], told: &mut Told<'_>) {
    if questions.len() > MOST_QUESTIONS {
        return told.add("questions", format!("must be at most {MOST_QUESTIONS}"));
    }
    let mut seen = Seen::default();
    for (index, question) in questions.iter().enumerate() {
        let field = |name: &str| format!("questions[{index}].{name}");
        if !is_id(&question.id) {
            let text = format!("must be 1 to {LONGEST_ID} of a to z, 0 to 9 and _");
            told.add(&field("id"), text);
        } else if let Some(before) = seen.before(&question.id, index) {
            told.add(&field("id"), format!("must differ from questions[{before}].id"));
        }
        if let Err(text) = text::filled(&question.text, LONGEST_QUESTION) {
            told.add(&field("text"), text);
        }
        match question.kind {
            None => told
                .add(&field("kind"), "must be KIND_TEXT, KIND_NUMBER, KIND_CHOICE or KIND_YES_NO"),
            Some(AnswerFormat::Choice) => check_choices(&question.choices, &field("choices"), told),
            Some(_) if !question.choices.is_empty() => {
                told.add(&field("choices"), "must be empty unless the kind is KIND_CHOICE");
            }
            Some(_) => {}
        }
    }
}

fn check_choices(choices: &[String], field: &str, told: &mut Told<'_>) {
    if choices.is_empty() || choices.len() > MOST_CHOICES {
        return told.add(field, format!("must be 1 to {MOST_CHOICES}"));
    }
    let mut seen = Seen::default();
    for (index, choice) in choices.iter().enumerate() {
        let path = format!("{field}[{index}]");
        if let Err(text) = text::filled(choice, LONGEST_CHOICE) {
            told.add(&path, text);
        } else if choice.trim().contains(['\n', '\r']) {
            told.add(&path, "must be one line");
        } else if let Some(before) = seen.before(choice.trim(), index) {
            told.add(&path, format!("must differ from choices[{before}]"));
        }
    }
}

fn is_id(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(plain)
}

impl Range {
    /// The length in minutes, where it is whole minutes in this range.
    fn minutes(&self, length: TimeDelta) -> Option<u32> {
        let count = length.num_minutes();
        let whole = TimeDelta::try_minutes(count) == Some(length);
        u32::try_from(count).ok().filter(|_| whole && self.0.contains(&count))
    }
}

/// Violations of the fields of a type.
struct Told<'v>(&'v mut Violations);

impl Told<'_> {
    fn add(&mut self, field: &str, text: impl Into<String>) {
        self.0.add(format!("appointment_type.{field}"), text);
    }

    fn text(
        &mut self,
        given: Option<&String>,
        field: &str,
        read: impl Fn(&str) -> Result<String, String>,
    ) {
        if let Some(Err(text)) = given.map(|given| read(given)) {
            self.add(field, text);
        }
    }
}

/// Where values were met first.
struct Seen<'v, T: ?Sized>(HashMap<&'v T, usize>);

impl<T: ?Sized> Default for Seen<'_, T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<'v, T: ?Sized + Eq + Hash> Seen<'v, T> {
    /// The place where this value was met before; notes it otherwise.
    fn before(&mut self, value: &'v T, index: usize) -> Option<usize> {
        let first = *self.0.entry(value).or_insert(index);
        (first != index).then_some(first)
    }
}
