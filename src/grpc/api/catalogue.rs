//! `daybook.booking.v1.CatalogueService`.

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Api,
    catalogue_wire::{draft, named, wire, wire_offering},
    convert::{Mask, TYPE_NAME, name, optional, read_etag},
    open::{Opened, OpenedWrite, open_as},
    page::{cut, fill},
    schedule::{PROVIDER_NAME, wire::times},
};
use crate::grpc::proto::booking::{self as pb, catalogue_service_server::CatalogueService};
use crate::{
    catalogue::{self, service::Change},
    identity::{Caller, permit},
    kernel::{
        fault::Violations,
        id::{ProviderId, TypeId},
        page::page_size,
    },
    schedule::{
        name::ScheduleName,
        offering::{Offering, commands::Offered},
        store::offerings::{self, OfferingCursor},
    },
};

#[tonic::async_trait]
impl CatalogueService for Api {
    async fn create_appointment_type(
        &self,
        request: Request<pb::CreateAppointmentTypeRequest>,
    ) -> Result<Response<pb::CreateAppointmentTypeResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let Some(asked) = &message.appointment_type else {
            violations.add("appointment_type", "must be set");
            return Err(violations.into_fault().into());
        };
        let owner = optional(&asked.owner, |text| provider(OWNER, text, &mut violations));
        let draft = draft(asked, &Mask::All, &mut violations);
        if !violations.is_empty() {
            // What the time is against is told beside what else is wrong; where nothing is, later.
            let horizon = draft.horizon.and_then(|horizon| horizon.0);
            let notice = draft.minimum_notice.unwrap_or_default();
            catalogue::reach::check(horizon, notice, self.types.ambient.now(), &mut violations);
        }
        violations.finish()?;
        let permit = permit::create_type(caller, owner)?;
        let terms = draft.terms()?;
        let create = async |idempotency_key| match owner {
            None => self.types.create(deadline, permit, terms, idempotency_key).await,
            Some(own) => {
                self.offerings.create_own(deadline, permit, own, terms, idempotency_key).await
            }
        };
        let made = idempotency_key.carry_out(deadline, create).await?;
        let appointment_type = Some(wire(&made, Some(caller)));
        Ok(Response::new(pb::CreateAppointmentTypeResponse { appointment_type }))
    }

    async fn get_appointment_type(
        &self,
        request: Request<pb::GetAppointmentTypeRequest>,
    ) -> Result<Response<pb::GetAppointmentTypeResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } =
            open_as::<_, Option<Caller>>(request)?;
        let id = type_id("name", &message.name, &mut violations);
        let id = violations.finish_with(id)?;
        let found = self.types.get(deadline, caller, id, &message.link_code).await?;
        let appointment_type = Some(wire(&found, caller));
        Ok(Response::new(pb::GetAppointmentTypeResponse { appointment_type }))
    }

    async fn list_appointment_types(
        &self,
        request: Request<pb::ListAppointmentTypesRequest>,
    ) -> Result<Response<pb::ListAppointmentTypesResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } =
            open_as::<_, Option<Caller>>(request)?;
        let of = optional(&message.provider, |text| provider("provider", text, &mut violations));
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let who = caller.map(|caller| caller.user);
        let query = format!("types {who:?} {:?} {}", message.provider, message.show_archived);
        let after = self.pages.read::<Uuid>(&query, &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        violations.finish()?;
        let bounds = permit::list_types(caller);
        if let Some(id) = of {
            self.offerings.known(deadline, bounds, id).await?;
        }
        let archived = message.show_archived;
        let filter = catalogue::store::Filter { bounds, provider: of, archived };
        let page = fill(
            (&self.types.bulkhead, deadline),
            Some(&self.weight),
            (size, after),
            |after, limit| self.types.list(deadline, filter, after, limit),
            |found| wire(found, caller),
            |last| last.id.0,
        );
        let page = page.await?;
        let next_page_token = page.next.map(|next| self.pages.make(&query, &next));
        let answer = pb::ListAppointmentTypesResponse {
            appointment_types: page.messages,
            next_page_token: next_page_token.unwrap_or_default(),
        };
        Ok(Response::new(answer))
    }

    async fn update_appointment_type(
        &self,
        request: Request<pb::UpdateAppointmentTypeRequest>,
    ) -> Result<Response<pb::UpdateAppointmentTypeResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let named = violations.keep("update_mask", named(message.update_mask.as_ref()));
        let Some(asked) = &message.appointment_type else {
            violations.add("appointment_type", "must be set");
            return Err(violations.into_fault().into());
        };
        let id = type_id("appointment_type.name", &asked.name, &mut violations);
        let owner = optional(&asked.owner, |text| provider(OWNER, text, &mut violations));
        let expected = violations.keep("appointment_type.etag", read_etag(&asked.etag));
        let draft = named.map(|named| draft(asked, &named, &mut violations));
        let (id, draft) = violations.finish_with((id, draft))?;
        let new_link_code = message.replace_link_code;
        let change = Change { id, draft, owner, expected: expected.flatten(), new_link_code };
        let update = |idempotency_key| self.types.update(deadline, caller, change, idempotency_key);
        let changed = idempotency_key.carry_out(deadline, update).await?;
        let appointment_type = Some(wire(&changed, Some(caller)));
        Ok(Response::new(pb::UpdateAppointmentTypeResponse { appointment_type }))
    }

    async fn archive_appointment_type(
        &self,
        request: Request<pb::ArchiveAppointmentTypeRequest>,
    ) -> Result<Response<pb::ArchiveAppointmentTypeResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let id = type_id("name", &message.name, &mut violations);
        let expected = violations.keep("etag", read_etag(&message.etag)).flatten();
        let id = violations.finish_with(id)?;
        let archived = message.archived;
        let archive = |idempotency_key| {
            self.types.archive(deadline, caller, id, archived, expected, idempotency_key)
        };
        let changed = idempotency_key.carry_out(deadline, archive).await?;
        let appointment_type = Some(wire(&changed, Some(caller)));
        Ok(Response::new(pb::ArchiveAppointmentTypeResponse { appointment_type }))
    }

    async fn offer_appointment_type(
        &self,
        request: Request<pb::OfferAppointmentTypeRequest>,
    ) -> Result<Response<pb::OfferAppointmentTypeResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let id = type_id("appointment_type", &message.appointment_type, &mut violations);
        let by = provider("provider", &message.provider, &mut violations);
        let schedule =
            by.and_then(|by| violations.keep("schedule", schedule_of(by, &message.schedule)));
        let (id, schedule) = violations.finish_with((id, schedule))?;
        let permit = permit::offer(caller, schedule.provider)?;
        let offer = |idempotency_key| {
            self.offerings.offer(deadline, permit, id, schedule.id, idempotency_key)
        };
        let Offered { offering, outside } = idempotency_key.carry_out(deadline, offer).await?;
        let names = self.schedules.names(deadline, [offering.provider].into()).await?;
        let offering = Some(wire_offering(&offering, names.get(&offering.provider)));
        let (outside_times, outside_count) = times(&outside);
        let answer = pb::OfferAppointmentTypeResponse { offering, outside_times, outside_count };
        Ok(Response::new(answer))
    }

    async fn withdraw_appointment_type(
        &self,
        request: Request<pb::WithdrawAppointmentTypeRequest>,
    ) -> Result<Response<pb::WithdrawAppointmentTypeResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let id = type_id("appointment_type", &message.appointment_type, &mut violations);
        let by = provider("provider", &message.provider, &mut violations);
        let (id, by) = violations.finish_with((id, by))?;
        let permit = permit::offer(caller, by)?;
        let withdraw =
            |idempotency_key| self.offerings.withdraw(deadline, permit, id, idempotency_key);
        idempotency_key.carry_out(deadline, withdraw).await?;
        Ok(Response::new(pb::WithdrawAppointmentTypeResponse {}))
    }

    async fn list_offerings(
        &self,
        request: Request<pb::ListOfferingsRequest>,
    ) -> Result<Response<pb::ListOfferingsResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } =
            open_as::<_, Option<Caller>>(request)?;
        let of = &message.appointment_type;
        let of = optional(of, |text| type_id("appointment_type", text, &mut violations));
        let by = optional(&message.provider, |text| provider("provider", text, &mut violations));
        if message.appointment_type.is_empty() {
            if message.provider.is_empty() {
                violations.add("appointment_type", "must be set where provider is not");
            }
            if !message.link_code.is_empty() {
                violations.add("link_code", "must be left out where appointment_type is not set");
            }
        }
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let query = format!(
            "offerings {:?} {:?} {:?} {:?}",
            caller.map(|caller| caller.user),
            message.appointment_type,
            message.provider,
            message.link_code
        );
        let after = self.pages.read::<OfferingCursor>(&query, &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        violations.finish()?;
        let bounds = permit::list_types(caller);
        if let Some(id) = of {
            self.types.get(deadline, caller, id, &message.link_code).await?;
        }
        if let Some(id) = by {
            self.offerings.known(deadline, bounds, id).await?;
        }
        let filter = offerings::Filter { bounds, type_id: of, provider: by };
        let found = self.offerings.list(deadline, filter, after, u64::from(size) + 1).await?;
        let (found, next_page_token) = cut(found, size, &self.pages, &query, |(last, began)| {
            OfferingCursor { at: *began, provider: last.provider.0, type_id: last.type_id.0 }
        });
        let by = found.iter().map(|(found, _)| found.provider).collect();
        let names = self.schedules.names(deadline, by).await?;
        let named = |found: &Offering| wire_offering(found, names.get(&found.provider));
        let offerings = found.iter().map(|(found, _)| named(found)).collect();
        Ok(Response::new(pb::ListOfferingsResponse { offerings, next_page_token }))
    }
}

const OWNER: &str = "appointment_type.owner";

fn type_id(field: &str, text: &str, violations: &mut Violations) -> Option<TypeId> {
    violations.keep(field, name(text, TypeId::parse, TYPE_NAME))
}

fn provider(field: &str, text: &str, violations: &mut Violations) -> Option<ProviderId> {
    violations.keep(field, name(text, ProviderId::parse, PROVIDER_NAME))
}

/// The name of a schedule of this provider; empty is the default one.
fn schedule_of(provider: ProviderId, text: &str) -> Result<ScheduleName, &'static str> {
    const FORM: &str = "must be the provider's schedule, providers/{provider}/schedule or \
                        providers/{provider}/schedules/{schedule}";
    if text.is_empty() {
        return Ok(ScheduleName::default_of(provider));
    }
    ScheduleName::parse(text).filter(|name| name.provider == provider).ok_or(FORM)
}
