//! What can be booked: appointment types and their rules.
//!
//! This file holds the words. A type is shared by the practice or belongs to one provider; who offers it
//! is the schedule room's business.

pub mod check;
pub mod commands;
pub mod questions;
pub mod reach;
pub mod service;
pub mod store;

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod questions_tests;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::{
    identity::permit,
    kernel::{
        id::{ProviderId, TypeId},
        stamp::{Revision, Stamp},
        time::Instant,
    },
};

/// How many random bytes a link code is made of: 144 bits, which nobody guesses.
pub const LINK_CODE_BYTES: usize = 18;

/// A kind of appointment that can be booked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppointmentType {
    /// Unique id.
    pub id: TypeId,
    /// Whose own it is; nobody's means the practice's.
    pub owner: Option<ProviderId>,
    /// What it is, and its rules.
    pub terms: Terms,
    /// What opens it where it is private: a random word, made with the type.
    pub link_code: String,
    /// Whether it can be booked no more.
    pub archived: bool,
    /// The number of its last event.
    pub version: i64,
    /// Of the write that last changed it.
    #[serde(default)]
    pub stamp: Stamp,
    /// When it was added.
    pub created_at: Instant,
    /// When it was last changed.
    pub updated_at: Instant,
}

/// What a type is, and its rules. Lengths are in whole minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// What customers see.
    pub display_name: String,
    /// More about it.
    pub description: String,
    /// The lengths to choose from; the first is meant when none is asked for. Never empty.
    pub durations: Vec<u32>,
    /// What is kept free before each appointment.
    pub buffer_before: u32,
    /// What is kept free after each appointment.
    pub buffer_after: u32,
    /// The distance of the starts on offer; the first of the durations where absent.
    pub slot_step: Option<u32>,
    /// How far the first start is from the window's.
    pub grid_offset: u32,
    /// How long before its start it must be booked.
    pub minimum_notice: u32,
    /// How far ahead can be booked.
    pub horizon: Option<Horizon>,
    /// How much of it can be booked.
    pub limits: Limits,
    /// How long before the start customers may cancel.
    pub cancel_cutoff: u32,
    /// How long before the start customers may move it.
    pub reschedule_cutoff: u32,
    /// Whether a booking is a request.
    pub requires_approval: bool,
    /// After how long a request ends unanswered.
    pub request_expiry: u32,
    /// The price, for customers to read.
    pub price: String,
    /// The place, for customers to read.
    pub place: String,
    /// What is asked when booking.
    pub questions: Vec<Question>,
    /// Whether it takes the link code to see and book it.
    pub private: bool,
}

/// How far ahead can be booked, in local dates of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Horizon {
    /// From today to so many days later.
    RollingDays(u32),
    /// From the first date to the last, both included.
    Fixed {
        /// First bookable date, inclusive.
        first: NaiveDate,
        /// Last bookable date, inclusive.
        last: NaiveDate,
    },
}

/// How much of a type can be booked; absent means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Appointments with one provider on a local day.
    pub per_day: Option<u32>,
    /// Appointments with one provider in a local week from Monday.
    pub per_week: Option<u32>,
    /// Minutes with one provider on a local day.
    pub minutes_per_day: Option<u32>,
    /// Minutes with one provider in a local week from Monday.
    pub minutes_per_week: Option<u32>,
    /// Appointments that one customer has requested or booked and not yet begun.
    pub open_per_customer: Option<u32>,
}

/// What is asked of the customer when booking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The id among the questions of the type.
    pub id: String,
    /// What is asked.
    pub text: String,
    /// What an answer looks like.
    pub kind: QuestionKind,
    /// Whether there must be an answer.
    pub required: bool,
}

/// What an answer looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// Free text.
    Text,
    /// A finite number.
    Number,
    /// One of these.
    Choice(Vec<String>),
    /// Yes or no.
    YesNo,
}

/// What a customer answered, with the question as it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The id of the question.
    pub question: String,
    /// The question as it was asked.
    pub text: String,
    /// What the customer answered.
    pub value: AnswerValue,
}

/// The value of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerValue {
    /// To a question for text.
    Text(String),
    /// To a question for a number; finite.
    Number(f64),
    /// To a question with choices.
    Choice(String),
    /// To a question for yes or no.
    YesNo(bool),
}

fn link_code(random: &[u8; LINK_CODE_BYTES]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}

impl AppointmentType {
    /// Which state of it this is.
    pub const fn revision(&self) -> Revision {
        Revision::new(self.version, self.stamp)
    }

    /// A new type. It has no stamp before it is written.
    pub fn new(
        id: TypeId,
        owner: Option<ProviderId>,
        terms: Terms,
        random: &[u8; LINK_CODE_BYTES],
        now: Instant,
    ) -> Self {
        let link_code = link_code(random);
        Self {
            id,
            owner,
            terms,
            link_code,
            archived: false,
            version: 1,
            stamp: Stamp::default(),
            created_at: now,
            updated_at: now,
        }
    }

    /// Gives it another link code; the one before opens nothing any more.
    pub fn renew_link_code(&mut self, random: &[u8; LINK_CODE_BYTES]) {
        self.link_code = link_code(random);
    }

    /// What permits look at.
    pub fn subject(&self) -> permit::TypeSubject<'_> {
        permit::TypeSubject {
            id: self.id,
            owner: self.owner,
            link_code: self.terms.private.then_some(&self.link_code),
        }
    }
}

impl Terms {
    /// The length that is meant when none is asked for.
    pub fn default_duration(&self) -> TimeDelta {
        minutes(self.durations.first().copied().unwrap_or_default())
    }

    /// Whether this is one of the lengths.
    pub fn allows(&self, duration: TimeDelta) -> bool {
        self.durations.iter().any(|each| minutes(*each) == duration)
    }

    /// The distance of the starts on offer.
    pub fn step(&self) -> TimeDelta {
        self.slot_step.map_or_else(|| self.default_duration(), minutes)
    }
}

impl Limits {
    /// Whether anything about a provider's day or week is limited.
    pub fn limit_providers(&self) -> bool {
        self.per_day.is_some()
            || self.per_week.is_some()
            || self.minutes_per_day.is_some()
            || self.minutes_per_week.is_some()
    }
}

/// So many minutes.
pub fn minutes(count: u32) -> TimeDelta {
    TimeDelta::minutes(count.into())
}
