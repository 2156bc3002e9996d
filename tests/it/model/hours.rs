//! The model's hours: the same windows every day, in another zone on the days of a stay.

use chrono::{Datelike as _, TimeDelta};
use daybook::grpc::proto::booking::{
    Schedule, Stay as WireStay, UpdateScheduleRequest,
    schedule_service_client::ScheduleServiceClient,
};
use prost_types::FieldMask;
use tonic::transport::Channel;

use super::{
    plain::{DAY, HOUR, MINUTE, Provider},
    practice::monday,
};
use crate::support::people::{Person, date};

/// A zone, and how many seconds east of UTC it is in November.
type Zone = (&'static str, i64);

pub const AUCKLAND: Zone = ("Pacific/Auckland", 13 * HOUR);
pub const KATHMANDU: Zone = ("Asia/Kathmandu", 5 * HOUR + 45 * MINUTE);

/// Days that are worked in another zone; both are included.
#[derive(Debug, Clone, Copy)]
pub struct Stay {
    pub first: i64,
    pub last: i64,
    pub zone: Zone,
}

impl Stay {
    /// Puts it into the hours of a provider.
    pub async fn tell(&self, channel: &Channel, provider: &Person) {
        let date = |day: i64| {
            let on = (monday() + TimeDelta::days(day)).date_naive();
            let number = |number: u32| i32::try_from(number).unwrap();
            Some(date((on.year(), number(on.month()), number(on.day()))))
        };
        let stay = WireStay {
            start_date: date(self.first),
            end_date: date(self.last),
            time_zone: self.zone.0.to_owned(),
        };
        let schedule =
            Schedule { name: provider.schedule(), stays: vec![stay], ..Schedule::default() };
        let request = UpdateScheduleRequest {
            schedule: Some(schedule),
            update_mask: Some(FieldMask { paths: vec!["stays".to_owned()] }),
            ..UpdateScheduleRequest::default()
        };
        let mut schedules = ScheduleServiceClient::new(channel.clone());
        schedules.update_schedule(provider.asks(request)).await.unwrap();
    }
}

/// A window and its day.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub start: i64,
    pub end: i64,
    day: i64,
}

impl Provider {
    /// The windows that may overlap a stretch, by start.
    pub fn windows(&self, (from, until): (i64, i64)) -> Vec<Window> {
        let days = from.div_euclid(DAY) - 2..=until.div_euclid(DAY) + 2;
        let mut windows: Vec<Window> = days
            .map(|day| {
                let midnight = day * DAY - self.stay_on(day).map_or(0, |stay| stay.zone.1);
                Window { start: midnight + self.opens, end: midnight + self.closes, day }
            })
            .collect();
        windows.sort_by_key(|window| (window.start, window.end));
        windows
    }

    /// Whether an interval lies in the windows, joined where they touch.
    pub fn is_open(&self, (start, end): (i64, i64)) -> bool {
        let mut reached = start;
        for window in self.windows((start, end)) {
            if window.start <= reached && window.end > reached {
                reached = window.end;
            }
        }
        reached >= end && reached > start
    }

    /// The starts of the windows in which an instant lies.
    pub fn opened(&self, at: i64) -> impl Iterator<Item = i64> {
        let inside = self.windows((at, at)).into_iter();
        inside.filter(move |window| (window.start..window.end).contains(&at)).map(|it| it.start)
    }

    /// To which day an instant belongs, and the stay whose day it is.
    fn day_and_stay(&self, at: i64) -> (i64, Option<Stay>) {
        let windows = self.windows((at, at));
        if let Some(inside) = windows.iter().find(|each| (each.start..each.end).contains(&at)) {
            return (inside.day, self.stay_on(inside.day));
        }
        // Outside the windows it is what the calendars show, that of a stay first.
        let shown = |stay: Stay| (at + stay.zone.1).div_euclid(DAY);
        let stay = self.stay.filter(|stay| (stay.first..=stay.last).contains(&shown(*stay)));
        (stay.map_or(at.div_euclid(DAY), shown), stay)
    }

    pub fn day(&self, at: i64) -> i64 {
        self.day_and_stay(at).0
    }

    pub fn week(&self, at: i64) -> i64 {
        self.day(at).div_euclid(7)
    }

    /// The zone in which an instant is told.
    pub fn zone(&self, at: i64) -> &'static str {
        self.day_and_stay(at).1.map_or("UTC", |stay| stay.zone.0)
    }

    fn stay_on(&self, day: i64) -> Option<Stay> {
        self.stay.filter(|stay| (stay.first..=stay.last).contains(&day))
    }
}
