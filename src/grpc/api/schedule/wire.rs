//! From the schedule room's words to messages.

use chrono::{Datelike, NaiveDate};

use crate::{
    claims::affected::{AffectedAppointments, Claim, ClaimedTime, Times},
    grpc::{
        api::convert::{day_of_week, duration, etag, timestamp, wire_time_of_day},
        proto::{
            booking::{self as pb, touched_time::Kind as WireKind},
            google::r#type::Date,
        },
    },
    kernel::{
        fault::Fault,
        id::{HoldId, ProviderId},
    },
    schedule::{
        commands::Closure, hours::Hours, name::ScheduleName, plan::TimeOff, provider::Provider,
    },
};

pub(in crate::grpc) fn provider(provider: &Provider) -> pb::Provider {
    pb::Provider {
        name: provider.id.name(),
        display_name: provider.display_name.clone(),
        time_zone: provider.schedule.zone().name().to_owned(),
        slot_duration: Some(duration(provider.schedule.slot())),
        longest_booking: Some(duration(provider.schedule.longest())),
        disabled: !provider.enabled,
    }
}

/// One of the provider's schedules.
pub(super) fn schedule(provider: &Provider, name: &ScheduleName) -> Result<pb::Schedule, Fault> {
    let hours = provider.hours(name.id.as_deref());
    let hours = hours.ok_or_else(|| Fault::not_found(name.to_string()))?;
    let common = hours_of(provider, hours, name.to_string());
    if name.id.is_some() {
        return Ok(common);
    }
    Ok(pb::Schedule {
        slot_duration: Some(duration(provider.schedule.slot())),
        longest_booking: Some(duration(provider.schedule.longest())),
        accepts_intervals: Some(provider.accepts_intervals()),
        ..common
    })
}

/// All of the provider's schedules, the default one first.
pub(in crate::grpc) fn schedules(provider: &Provider) -> Result<Vec<pb::Schedule>, Fault> {
    let ids = std::iter::once(None).chain(provider.plan.named.keys().map(|id| Some(id.clone())));
    ids.map(|id| schedule(provider, &ScheduleName { provider: provider.id, id })).collect()
}

fn hours_of(provider: &Provider, hours: &Hours, name: String) -> pb::Schedule {
    let windows = hours.weekly().windows().iter();
    let overrides = hours.overrides().as_slice().iter();
    let stays = hours.stays().as_slice().iter();
    pb::Schedule {
        name,
        time_zone: hours.zone().name().to_owned(),
        weekly_windows: windows
            .map(|window| pb::WeeklyWindow {
                day: day_of_week(window.day).into(),
                start_time: Some(wire_time_of_day(window.start)),
                end_time: Some(wire_time_of_day(window.end)),
            })
            .collect(),
        date_overrides: overrides
            .map(|each| pb::DateOverride {
                date: Some(date(each.date)),
                windows: each
                    .windows
                    .iter()
                    .map(|window| pb::TimeWindow {
                        start_time: Some(wire_time_of_day(window.start)),
                        end_time: Some(wire_time_of_day(window.end)),
                    })
                    .collect(),
            })
            .collect(),
        stays: stays
            .map(|stay| pb::Stay {
                start_date: Some(date(stay.first)),
                end_date: Some(date(stay.last)),
                time_zone: stay.zone.name().to_owned(),
            })
            .collect(),
        update_time: Some(timestamp(provider.schedule_updated_at)),
        etag: etag(provider.schedule_revision()),
        ..pb::Schedule::default()
    }
}

pub(in crate::grpc) fn date(date: NaiveDate) -> Date {
    let part = |value: u32| i32::try_from(value).unwrap_or_default();
    Date { year: date.year(), month: part(date.month()), day: part(date.day()) }
}

pub(in crate::grpc) fn time_off(provider: ProviderId, time_off: TimeOff) -> pb::TimeOff {
    pb::TimeOff {
        name: time_off.id.name(provider),
        start_time: Some(timestamp(time_off.interval.start())),
        end_time: Some(timestamp(time_off.interval.end())),
        reason: time_off.reason,
    }
}

pub(in crate::grpc) fn closure(closure: Closure) -> pb::Closure {
    pb::Closure {
        name: closure.id.name(),
        start_time: Some(timestamp(closure.interval.start())),
        end_time: Some(timestamp(closure.interval.end())),
        reason: closure.reason,
    }
}

/// The names of the first appointments that are touched, and how many there are.
pub(super) fn touched(touched: &AffectedAppointments) -> (Vec<String>, i32) {
    let names = touched.first.iter().map(|(provider, id)| id.name(*provider)).collect();
    (names, i32::try_from(touched.count).unwrap_or(i32::MAX))
}

/// Claimed time, the first of it, and how much there is.
pub(in crate::grpc) fn times(times: &Times) -> (Vec<pb::TouchedTime>, i32) {
    let first = times.first.iter().map(time).collect();
    (first, i32::try_from(times.count).unwrap_or(i32::MAX))
}

fn time(time: &ClaimedTime) -> pb::TouchedTime {
    let kind = match time.claim {
        Claim::Appointment => WireKind::Appointment,
        Claim::Request => WireKind::Request,
        Claim::Move => WireKind::Move,
        Claim::Hold => WireKind::Hold,
    };
    let (appointment, hold) = match time.claim {
        Claim::Hold => (String::new(), HoldId(time.id.0).name(time.provider)),
        Claim::Appointment | Claim::Request | Claim::Move => {
            (time.id.name(time.provider), String::new())
        }
    };
    pb::TouchedTime {
        kind: kind.into(),
        appointment,
        hold,
        start_time: Some(timestamp(time.start)),
        end_time: Some(timestamp(time.end)),
        expire_time: time.expires_at.map(timestamp),
    }
}
