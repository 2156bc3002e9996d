//! A provider's calendar, as messages.

use chrono::{SubsecRound as _, TimeDelta};

use super::{
    booking_wire::{ordered, wire, wire_hold, wire_interval},
    convert::{moment, moment_before, name, timestamp},
    open::Opened,
    schedule::{PROVIDER_NAME, wire as schedule_wire},
};
use crate::grpc::proto::booking as pb;
use crate::{
    availability::service::LONGEST_SPAN,
    booking::{
        calendar::{Calendar, Day, Opening},
        service::Bookings,
    },
    identity::{Caller, permit},
    kernel::{
        fault::{Fault, Violations},
        id::ProviderId,
        time::{Interval, ceil_to_second},
    },
    schedule::name::ScheduleName,
};

/// The calendar of a provider, for those who may see it.
pub(super) async fn get(
    bookings: &Bookings,
    call: Opened<pb::GetCalendarRequest>,
) -> Result<pb::GetCalendarResponse, Fault> {
    let Opened { deadline, caller, message, mut violations } = call;
    let provider = name(&message.provider, ProviderId::parse, PROVIDER_NAME);
    let provider = violations.keep("provider", provider);
    let range = range(&message, &mut violations);
    let (provider, range) = violations.finish_with((provider, range))?;
    let permit = permit::see_calendar(caller, provider)?;
    bookings.calendar(deadline, permit, range, move |calendar| answer(calendar, caller)).await
}

/// The range that is asked for, at whole seconds: all that is told starts and ends at such.
fn range(message: &pb::GetCalendarRequest, violations: &mut Violations) -> Option<Interval> {
    let from = message.start_time.as_ref().ok_or("must be set").and_then(moment_before);
    let from = violations.keep("start_time", from);
    let until = message.end_time.as_ref().ok_or("must be set").and_then(moment);
    let until = violations.keep("end_time", until);
    let range = ordered(from, until, violations)?;
    if range.duration() > TimeDelta::days(LONGEST_SPAN) {
        violations.add("end_time", format!("must be at most {LONGEST_SPAN} days after start_time"));
    }
    Interval::new(range.start().trunc_subsecs(0), ceil_to_second(range.end()))
}

fn answer(calendar: Calendar, caller: Caller) -> pb::GetCalendarResponse {
    let Calendar { provider, covered, openings, appointments, .. } = calendar;
    let id = provider.id;
    pb::GetCalendarResponse {
        provider: id.name(),
        end_time: Some(timestamp(covered.end())),
        schedules: openings.into_iter().map(|opening| wire_opening(id, opening)).collect(),
        appointments: appointments.iter().map(|each| wire(each, caller)).collect(),
        holds: calendar.holds.iter().map(wire_hold).collect(),
        attended_intervals: calendar.attended.into_iter().map(wire_interval).collect(),
        time_off: calendar
            .time_off
            .into_iter()
            .map(|each| schedule_wire::time_off(id, each))
            .collect(),
        closures: calendar.closures.into_iter().map(schedule_wire::closure).collect(),
        provider_display_name: provider.display_name,
    }
}

fn wire_opening(provider: ProviderId, opening: Opening) -> pb::CalendarSchedule {
    pb::CalendarSchedule {
        name: ScheduleName { provider, id: opening.schedule }.to_string(),
        time_zone: opening.zone.name().to_owned(),
        days: opening.days.into_iter().map(wire_day).collect(),
        free_intervals: opening.free.into_iter().map(wire_interval).collect(),
    }
}

fn wire_day(day: Day) -> pb::CalendarDay {
    pb::CalendarDay {
        date: Some(schedule_wire::date(day.date)),
        time_zone: day.zone.name().to_owned(),
        overridden: day.is_override,
        windows: day.windows.into_iter().map(wire_interval).collect(),
    }
}
