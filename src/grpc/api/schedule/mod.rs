//! `daybook.booking.v1.ScheduleService`.

mod fields;
pub(in crate::grpc) mod wire;

use tonic::{Request, Response, Status};
use uuid::Uuid;

use self::fields::{Kind, changes, known_fields, off};
use super::{
    Api,
    convert::{Mask, mask, name, only_name, read_etag},
    open::{Opened, OpenedWrite, open, open_as},
    page::cut,
};
use crate::grpc::proto::booking::{self as pb, schedule_service_server::ScheduleService};
use crate::{
    identity::{Caller, Role, permit},
    kernel::{
        id::{ClosureId, ProviderId, TimeOffId},
        page::page_size,
    },
    schedule::{
        name::{ScheduleName, is_schedule_id},
        store::closures::Cursor,
    },
};

pub(in crate::grpc) const PROVIDER_NAME: &str =
    "must be providers/{provider} with a UUID in lower case";
const SCHEDULE_NAME: &str = "must be providers/{provider}/schedule or \
    providers/{provider}/schedules/{schedule}, with a UUID in lower case";
const NAMED: &str = "must be providers/{provider}/schedules/{schedule}, with a UUID in lower case";
const SCHEDULE_ID: &str = "must be 1 to 40 of a to z, 0 to 9 and -, beginning with a letter";
const TIME_OFF_NAME: &str =
    "must be providers/{provider}/timeOff/{time_off} with UUIDs in lower case";
const CLOSURE_NAME: &str = "must be closures/{closure} with a UUID in lower case";

#[tonic::async_trait]
impl ScheduleService for Api {
    async fn list_providers(
        &self,
        request: Request<pb::ListProvidersRequest>,
    ) -> Result<Response<pb::ListProvidersResponse>, Status> {
        let Opened { deadline, message, mut violations, .. } =
            open_as::<_, Option<Caller>>(request)?;
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        // The list is the same for everybody, so the token is not bound to a caller.
        let after = self.pages.read::<Uuid>("providers", &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        violations.finish()?;
        let found = self.schedules.list(deadline, after, u64::from(size) + 1).await?;
        let (found, next_page_token) =
            cut(found, size, &self.pages, "providers", |provider| provider.id.0);
        let providers = found.iter().map(wire::provider).collect();
        Ok(Response::new(pb::ListProvidersResponse { providers, next_page_token }))
    }

    async fn get_provider(
        &self,
        request: Request<pb::GetProviderRequest>,
    ) -> Result<Response<pb::GetProviderResponse>, Status> {
        let Opened { deadline, caller, message, .. } = open_as::<_, Option<Caller>>(request)?;
        let id = only_name("name", &message.name, ProviderId::parse, PROVIDER_NAME)?;
        let provider = self.schedules.get(deadline, caller, id).await?;
        Ok(Response::new(pb::GetProviderResponse { provider: Some(wire::provider(&provider)) }))
    }

    async fn get_schedule(
        &self,
        request: Request<pb::GetScheduleRequest>,
    ) -> Result<Response<pb::GetScheduleResponse>, Status> {
        let Opened { deadline, caller, message, .. } = open(request)?;
        let name = only_name("name", &message.name, ScheduleName::parse, SCHEDULE_NAME)?;
        let also_disabled = caller.role == Role::Admin;
        let asked = || name.to_string();
        let found = self.schedules.schedules(deadline, name.provider, also_disabled, asked).await?;
        let schedule = Some(wire::schedule(&found, &name)?);
        Ok(Response::new(pb::GetScheduleResponse { schedule }))
    }

    async fn update_schedule(
        &self,
        request: Request<pb::UpdateScheduleRequest>,
    ) -> Result<Response<pb::UpdateScheduleResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let update_mask = message.update_mask.as_ref();
        let Some(schedule) = &message.schedule else {
            violations.add("schedule", "must be set");
            violations.keep("update_mask", mask(update_mask, known_fields(Kind::Default)));
            return Err(violations.into_fault().into());
        };
        let name = name(&schedule.name, ScheduleName::parse, SCHEDULE_NAME);
        let name = violations.keep("schedule.name", name);
        let is_named = name.as_ref().is_some_and(|name| name.id.is_some());
        let kind = if is_named { Kind::Named } else { Kind::Default };
        let expected = violations.keep("schedule.etag", read_etag(&schedule.etag)).flatten();
        let zones = self.schedules.ambient.zones();
        let mask = violations.keep("update_mask", mask(update_mask, known_fields(kind)));
        let changes = mask.map(|mask| changes(schedule, kind, &mask, &zones, &mut violations));
        let changes = changes.unwrap_or_default();
        if let Some(name) = name.as_ref().filter(|_| !violations.is_empty())
            && let Ok(permit) = permit::edit_plan(caller, name.provider, || name.to_string())
        {
            let of = (name.id.as_deref(), false);
            self.schedules.also_wrong(deadline, permit, of, &changes, &mut violations).await?;
        }
        let name = violations.finish_with(name)?;
        let permit = permit::edit_plan(caller, name.provider, || name.to_string())?;
        let change = (changes, expected);
        let id = name.id.clone();
        let update =
            |idempotency_key| self.schedules.update(deadline, permit, id, change, idempotency_key);
        let changed = idempotency_key.carry_out(deadline, update).await?;
        let schedule = Some(wire::schedule(&changed.provider, &name)?);
        let (outside_times, outside_count) = wire::times(&changed.outside);
        let answer = pb::UpdateScheduleResponse { schedule, outside_times, outside_count };
        Ok(Response::new(answer))
    }

    async fn create_schedule(
        &self,
        request: Request<pb::CreateScheduleRequest>,
    ) -> Result<Response<pb::CreateScheduleResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let parent = name(&message.parent, ProviderId::parse, PROVIDER_NAME);
        let parent = violations.keep("parent", parent);
        let id = message.schedule_id;
        if !is_schedule_id(&id) {
            violations.add("schedule_id", SCHEDULE_ID);
        }
        let Some(schedule) = &message.schedule else {
            violations.add("schedule", "must be set");
            return Err(violations.into_fault().into());
        };
        if !schedule.name.is_empty() {
            violations.add("schedule.name", "must be empty; schedule_id names it");
        }
        let zones = self.schedules.ambient.zones();
        let changes = changes(schedule, Kind::Named, &Mask::All, &zones, &mut violations);
        if let Some(provider) = parent.filter(|_| !violations.is_empty())
            && let Ok(permit) = permit::edit_plan(caller, provider, || provider.name())
        {
            let of = (Some(id.as_str()), true);
            self.schedules.also_wrong(deadline, permit, of, &changes, &mut violations).await?;
        }
        let provider = violations.finish_with(parent)?;
        let permit = permit::edit_plan(caller, provider, || provider.name())?;
        let name = ScheduleName { provider, id: Some(id.clone()) };
        let create =
            |idempotency_key| self.schedules.create(deadline, permit, id, changes, idempotency_key);
        let made = idempotency_key.carry_out(deadline, create).await?;
        let schedule = Some(wire::schedule(&made, &name)?);
        Ok(Response::new(pb::CreateScheduleResponse { schedule }))
    }

    async fn delete_schedule(
        &self,
        request: Request<pb::DeleteScheduleRequest>,
    ) -> Result<Response<pb::DeleteScheduleResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let named = name(&message.name, ScheduleName::parse_named, NAMED);
        let named = violations.keep("name", named);
        let id = named.as_ref().and_then(|name| name.id.clone());
        let expected = violations.keep("etag", read_etag(&message.etag)).flatten();
        let (name, id) = violations.finish_with((named, id))?;
        let permit = permit::edit_plan(caller, name.provider, || name.to_string())?;
        let delete = |idempotency_key| {
            self.schedules.delete(deadline, permit, id, expected, idempotency_key)
        };
        idempotency_key.carry_out(deadline, delete).await?;
        Ok(Response::new(pb::DeleteScheduleResponse {}))
    }

    async fn list_schedules(
        &self,
        request: Request<pb::ListSchedulesRequest>,
    ) -> Result<Response<pb::ListSchedulesResponse>, Status> {
        let Opened { deadline, caller, message, .. } = open(request)?;
        let id = only_name("parent", &message.parent, ProviderId::parse, PROVIDER_NAME)?;
        let also_disabled = caller.role == Role::Admin;
        let found = self.schedules.schedules(deadline, id, also_disabled, || id.name()).await?;
        let schedules = wire::schedules(&found)?;
        Ok(Response::new(pb::ListSchedulesResponse { schedules }))
    }

    async fn create_time_off(
        &self,
        request: Request<pb::CreateTimeOffRequest>,
    ) -> Result<Response<pb::CreateTimeOffResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let parent = name(&message.parent, ProviderId::parse, PROVIDER_NAME);
        let parent = violations.keep("parent", parent);
        let Some(new) = &message.time_off else {
            violations.add("time_off", "must be set");
            return Err(violations.into_fault().into());
        };
        let (from, until) = (new.start_time.as_ref(), new.end_time.as_ref());
        let what = (&*new.name, from, until, &*new.reason);
        let read = off(what, "time_off", self.schedules.ambient.now(), &mut violations);
        let (id, (interval, reason)) = violations.finish_with((parent, read))?;
        let permit = permit::edit_plan(caller, id, || id.name())?;
        let take = |idempotency_key| {
            self.schedules.take_time_off(deadline, permit, interval, reason, idempotency_key)
        };
        let taken = idempotency_key.carry_out(deadline, take).await?;
        let (touched_appointments, touched_count) = wire::touched(&taken.1);
        let (touched_times, touched_time_count) = wire::times(&taken.1.times);
        let answer = pb::CreateTimeOffResponse {
            time_off: Some(wire::time_off(id, taken.0)),
            touched_appointments,
            touched_count,
            touched_times,
            touched_time_count,
        };
        Ok(Response::new(answer))
    }

    async fn delete_time_off(
        &self,
        request: Request<pb::DeleteTimeOffRequest>,
    ) -> Result<Response<pb::DeleteTimeOffResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let parsed = name(&message.name, TimeOffId::parse, TIME_OFF_NAME);
        let parsed = violations.keep("name", parsed);
        let (provider, id) = violations.finish_with(parsed)?;
        let permit = permit::edit_plan(caller, provider, || id.name(provider))?;
        let give =
            |idempotency_key| self.schedules.give_time_off(deadline, permit, id, idempotency_key);
        idempotency_key.carry_out(deadline, give).await?;
        Ok(Response::new(pb::DeleteTimeOffResponse {}))
    }

    async fn list_time_off(
        &self,
        request: Request<pb::ListTimeOffRequest>,
    ) -> Result<Response<pb::ListTimeOffResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } = open(request)?;
        let parent = name(&message.parent, ProviderId::parse, PROVIDER_NAME);
        let parent = violations.keep("parent", parent);
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let query = format!("time off {} {:?}", caller.user, message.parent);
        let after = self.pages.read::<Cursor>(&query, &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        let id = violations.finish_with(parent)?;
        let permit = permit::see_time_off(caller, id)?;
        let limit = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1);
        let found = self.schedules.time_off(deadline, permit, after, limit).await?;
        let (found, next_page_token) = cut(found, size, &self.pages, &query, |last| Cursor {
            start: last.interval.start(),
            id: last.id.0,
        });
        let time_off = found.into_iter().map(|each| wire::time_off(id, each)).collect();
        Ok(Response::new(pb::ListTimeOffResponse { time_off, next_page_token }))
    }

    async fn create_closure(
        &self,
        request: Request<pb::CreateClosureRequest>,
    ) -> Result<Response<pb::CreateClosureResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let Some(new) = &message.closure else {
            violations.add("closure", "must be set");
            return Err(violations.into_fault().into());
        };
        let (from, until) = (new.start_time.as_ref(), new.end_time.as_ref());
        let what = (&*new.name, from, until, &*new.reason);
        let read = off(what, "closure", self.schedules.ambient.now(), &mut violations);
        let (interval, reason) = violations.finish_with(read)?;
        let permit = permit::close_practice(caller)?;
        let close = |idempotency_key| {
            self.schedules.close(deadline, permit, interval, reason, idempotency_key)
        };
        let closed = idempotency_key.carry_out(deadline, close).await?;
        let (touched_appointments, touched_count) = wire::touched(&closed.touched);
        let (touched_times, touched_time_count) = wire::times(&closed.touched.times);
        let answer = pb::CreateClosureResponse {
            closure: Some(wire::closure(closed.closure()?)),
            touched_appointments,
            touched_count,
            touched_times,
            touched_time_count,
        };
        Ok(Response::new(answer))
    }

    async fn delete_closure(
        &self,
        request: Request<pb::DeleteClosureRequest>,
    ) -> Result<Response<pb::DeleteClosureResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let id = violations.keep("name", name(&message.name, ClosureId::parse, CLOSURE_NAME));
        let id = violations.finish_with(id)?;
        let permit = permit::close_practice(caller)?;
        let reopen = |idempotency_key| self.schedules.reopen(deadline, permit, id, idempotency_key);
        idempotency_key.carry_out(deadline, reopen).await?;
        Ok(Response::new(pb::DeleteClosureResponse {}))
    }

    async fn list_closures(
        &self,
        request: Request<pb::ListClosuresRequest>,
    ) -> Result<Response<pb::ListClosuresResponse>, Status> {
        // Who it is makes no difference.
        let Opened { deadline, message, mut violations, .. } = open(request)?;
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let after = self.pages.read::<Cursor>("closures", &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        violations.finish()?;
        let found = self.schedules.closures(deadline, after, u64::from(size) + 1).await?;
        let (found, next_page_token) = cut(found, size, &self.pages, "closures", |last| Cursor {
            start: last.interval.start(),
            id: last.id.0,
        });
        let closures = found.into_iter().map(wire::closure).collect();
        Ok(Response::new(pb::ListClosuresResponse { closures, next_page_token }))
    }
}
