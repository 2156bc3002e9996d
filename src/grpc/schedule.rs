//! `daybook.booking.v1.ScheduleService`.

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    caller::{caller, deadline},
    convert::{
        Requests, day_of_week, duration, etag, etag_version, mask, minutes, name, time_of_day,
        timestamp, weekday, wire_time_of_day, zone,
    },
    page::cut,
    proto::booking::{self as pb, schedule_service_server::ScheduleService},
};
use crate::{
    identity::{Role, permit},
    kernel::{
        fault::{Fault, Violations},
        id::ProviderId,
        page::{PageTokens, page_size},
    },
    schedule::{MAX_WINDOWS, Window, commands::Changes, provider::Provider, service::Schedules},
};

const SCHEDULE_NAME: &str = "must be providers/{provider}/schedule with a UUID in lower case";
/// What can be changed in a schedule.
const FIELDS: [&str; 4] = ["time_zone", "weekly_windows", "slot_duration", "longest_booking"];
pub(super) const PROVIDER_NAME: &str = "must be providers/{provider} with a UUID in lower case";

#[derive(Debug)]
pub(super) struct ScheduleApi {
    pub(super) schedules: Schedules,
    pub(super) requests: Requests,
    pub(super) pages: PageTokens,
}

#[tonic::async_trait]
impl ScheduleService for ScheduleApi {
    async fn list_providers(
        &self,
        request: Request<pb::ListProvidersRequest>,
    ) -> Result<Response<pb::ListProvidersResponse>, Status> {
        let deadline = deadline(&request)?;
        let message = request.into_inner();
        let mut violations = Violations::new();
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        // The list is the same for everybody, so the token is not bound to a caller.
        let after = self.pages.read::<Uuid>("providers", &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        violations.finish()?;
        let found = self.schedules.list(deadline, after, u64::from(size) + 1).await?;
        let (found, next_page_token) =
            cut(found, size, &self.pages, "providers", |provider| provider.id.0);
        let providers = found.iter().map(wire_provider).collect();
        Ok(Response::new(pb::ListProvidersResponse { providers, next_page_token }))
    }

    async fn get_provider(
        &self,
        request: Request<pb::GetProviderRequest>,
    ) -> Result<Response<pb::GetProviderResponse>, Status> {
        let id = read_name(&request.get_ref().name, ProviderId::parse, PROVIDER_NAME)?;
        let provider = self.schedules.get(deadline(&request)?, id).await?;
        Ok(Response::new(pb::GetProviderResponse { provider: Some(wire_provider(&provider)) }))
    }

    async fn get_schedule(
        &self,
        request: Request<pb::GetScheduleRequest>,
    ) -> Result<Response<pb::GetScheduleResponse>, Status> {
        let caller = caller(&request)?;
        let id = read_name(&request.get_ref().name, ProviderId::parse_schedule, SCHEDULE_NAME)?;
        let also_disabled = caller.role == Role::Admin;
        let provider = self.schedules.schedule(deadline(&request)?, id, also_disabled).await?;
        Ok(Response::new(pb::GetScheduleResponse { schedule: Some(wire_schedule(&provider)) }))
    }

    async fn update_schedule(
        &self,
        request: Request<pb::UpdateScheduleRequest>,
    ) -> Result<Response<pb::UpdateScheduleResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let mut message = request.into_inner();
        message.request_id.make_ascii_lowercase();
        let mut violations = Violations::new();
        let who = Some(caller.user);
        let id = &message.request_id;
        let once = self.requests.once(who, "UpdateSchedule", id, &message, &mut violations);
        let Some(schedule) = &message.schedule else {
            violations.add("schedule", "must be set");
            violations.keep("update_mask", mask(message.update_mask.as_ref(), &FIELDS));
            return Err(violations.into_fault().into());
        };
        let id = name(&schedule.name, ProviderId::parse_schedule, SCHEDULE_NAME);
        let id = violations.keep("schedule.name", id);
        let expected = violations.keep("schedule.etag", etag_version(&schedule.etag)).flatten();
        let changes = changes(schedule, message.update_mask.as_ref(), &mut violations);
        violations.finish()?;
        let id = id.ok_or_else(Fault::unchecked)?;
        let permit = permit::edit_schedule(caller, id)?;
        let provider = self.schedules.update(deadline, permit, changes, expected, once).await?;
        Ok(Response::new(pb::UpdateScheduleResponse { schedule: Some(wire_schedule(&provider)) }))
    }

    async fn create_schedule(
        &self,
        _: Request<pb::CreateScheduleRequest>,
    ) -> Result<Response<pb::CreateScheduleResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn delete_schedule(
        &self,
        _: Request<pb::DeleteScheduleRequest>,
    ) -> Result<Response<pb::DeleteScheduleResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn list_schedules(
        &self,
        _: Request<pb::ListSchedulesRequest>,
    ) -> Result<Response<pb::ListSchedulesResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn create_time_off(
        &self,
        _: Request<pb::CreateTimeOffRequest>,
    ) -> Result<Response<pb::CreateTimeOffResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn delete_time_off(
        &self,
        _: Request<pb::DeleteTimeOffRequest>,
    ) -> Result<Response<pb::DeleteTimeOffResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn list_time_off(
        &self,
        _: Request<pb::ListTimeOffRequest>,
    ) -> Result<Response<pb::ListTimeOffResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn create_closure(
        &self,
        _: Request<pb::CreateClosureRequest>,
    ) -> Result<Response<pb::CreateClosureResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn delete_closure(
        &self,
        _: Request<pb::DeleteClosureRequest>,
    ) -> Result<Response<pb::DeleteClosureResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn list_closures(
        &self,
        _: Request<pb::ListClosuresRequest>,
    ) -> Result<Response<pb::ListClosuresResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }
}

fn changes(
    schedule: &pb::Schedule,
    update_mask: Option<&prost_types::FieldMask>,
    violations: &mut Violations,
) -> Changes {
    let Some(named) = violations.keep("update_mask", mask(update_mask, &FIELDS)) else {
        return Changes::default();
    };
    let wants = |field: &str| named.as_ref().is_none_or(|paths| paths.contains(&field));
    let mut changes = Changes::default();
    if wants("time_zone") {
        changes.zone = violations.keep("schedule.time_zone", zone(&schedule.time_zone));
    }
    if wants("slot_duration") {
        let length = minutes(schedule.slot_duration.as_ref());
        changes.slot = violations.keep("schedule.slot_duration", length);
    }
    if wants("longest_booking") {
        let length = minutes(schedule.longest_booking.as_ref());
        changes.longest = violations.keep("schedule.longest_booking", length);
    }
    if wants("weekly_windows") {
        if schedule.weekly_windows.len() > MAX_WINDOWS {
            let text = format!("must have at most {MAX_WINDOWS} windows");
            violations.add("schedule.weekly_windows", text);
            return changes;
        }
        let windows = schedule.weekly_windows.iter().enumerate();
        let read: Vec<Option<Window>> =
            windows.map(|(index, wire)| window(index, wire, violations)).collect();
        changes.windows = read.into_iter().collect();
    }
    changes.check(violations);
    changes
}

fn window(index: usize, wire: &pb::WeeklyWindow, violations: &mut Violations) -> Option<Window> {
    let path = |field: &str| format!("schedule.weekly_windows[{index}].{field}");
    let day = violations.keep(&path("day"), weekday(wire.day));
    let start = violations.keep(&path("start_time"), time_of_day(wire.start_time.as_ref()));
    let end = violations.keep(&path("end_time"), time_of_day(wire.end_time.as_ref()));
    Some(Window { day: day?, start: start?, end: end? })
}

fn read_name<T>(
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
    form: &'static str,
) -> Result<T, Fault> {
    let mut violations = Violations::new();
    let read = violations.keep("name", name(text, parse, form));
    read.ok_or_else(|| violations.into_fault())
}

fn wire_provider(provider: &Provider) -> pb::Provider {
    pb::Provider {
        name: provider.id.name(),
        display_name: provider.display_name.clone(),
        time_zone: provider.schedule.zone().name().to_owned(),
        slot_duration: Some(duration(provider.schedule.slot())),
        longest_booking: Some(duration(provider.schedule.longest())),
    }
}

fn wire_schedule(provider: &Provider) -> pb::Schedule {
    let schedule = &provider.schedule;
    let windows = schedule.hours().weekly().windows().iter();
    pb::Schedule {
        name: provider.id.schedule_name(),
        time_zone: schedule.zone().name().to_owned(),
        weekly_windows: windows
            .map(|window| pb::WeeklyWindow {
                day: day_of_week(window.day).into(),
                start_time: Some(wire_time_of_day(window.start)),
                end_time: Some(wire_time_of_day(window.end)),
            })
            .collect(),
        slot_duration: Some(duration(schedule.slot())),
        longest_booking: Some(duration(schedule.longest())),
        update_time: Some(timestamp(provider.schedule_updated_at)),
        etag: etag(provider.schedule_version),
        ..pb::Schedule::default()
    }
}
