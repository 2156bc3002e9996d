//! `daybook.auth.v1.ServiceAccountService`.

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Api,
    auth::USER_NAME,
    auth_wire,
    convert::{Mask, end, etag, mask, name, only_name, read_etag, timestamp},
    open::{Opened, OpenedWrite, open, open_as},
    page::cut,
};
use crate::grpc::{
    policy,
    proto::auth::{self as pb, service_account_service_server::ServiceAccountService},
};
use crate::{
    accounts::{
        LONGEST_NAME,
        service_accounts::{
            LONGEST_LIFE, MOST_CUSTOMERS, MOST_SCOPES, ServiceAccount, StoredApiKey, api_key,
            commands::Change,
        },
    },
    identity::{Caller, Origin, Role, authority::ActFor, permit},
    kernel::{
        fault::{Fault, Violations},
        id::{ApiKeyId, ServiceAccountId, UserId},
        page::page_size,
        text,
    },
};

const ACCOUNT_NAME: &str = "must be serviceAccounts/{service_account} with a UUID in lower case";
const KEY_NAME: &str =
    "must be serviceAccounts/{service_account}/apiKeys/{api_key} with UUIDs in lower case";

#[tonic::async_trait]
impl ServiceAccountService for Api {
    async fn create_service_account(
        &self,
        request: Request<pb::CreateServiceAccountRequest>,
    ) -> Result<Response<pb::CreateServiceAccountResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            mut violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let permit = permit::manage_services(caller)?;
        let Some(wanted) = message.service_account else {
            violations.add("service_account", "must be set");
            return Err(violations.into_fault().into());
        };
        let line = text::line(&wanted.display_name, LONGEST_NAME);
        let display_name = violations.keep("service_account.display_name", line);
        let role = match auth_wire::role(wanted.role) {
            Some(role @ (Role::Customer | Role::Admin)) => Ok(role),
            _ => Err("must be ROLE_ADMIN or ROLE_CUSTOMER"),
        };
        let role = violations.keep("service_account.role", role);
        let act_for = act_for(wanted.act_for.as_ref(), &mut violations);
        let (display_name, role) = violations.finish_with((display_name, role))?;
        let new = (display_name, role, act_for);
        let create = |idempotency_key| {
            self.accounts.service_accounts.create(deadline, permit, new, idempotency_key, origin)
        };
        let made = idempotency_key.carry_out(deadline, create).await?;
        let service_account = Some(wire_account(&made));
        Ok(Response::new(pb::CreateServiceAccountResponse { service_account }))
    }

    async fn get_service_account(
        &self,
        request: Request<pb::GetServiceAccountRequest>,
    ) -> Result<Response<pb::GetServiceAccountResponse>, Status> {
        let Opened { deadline, caller, message, .. } = open(request)?;
        let permit = permit::manage_services(caller)?;
        let id = only_name("name", &message.name, ServiceAccountId::parse, ACCOUNT_NAME)?;
        let found = self.accounts.service_accounts.get(deadline, permit, id).await?;
        let service_account = Some(wire_account(&found));
        Ok(Response::new(pb::GetServiceAccountResponse { service_account }))
    }

    async fn list_service_accounts(
        &self,
        request: Request<pb::ListServiceAccountsRequest>,
    ) -> Result<Response<pb::ListServiceAccountsResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } = open(request)?;
        let permit = permit::manage_services(caller)?;
        let query = format!("service accounts {}", caller.user);
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let after = self.pages.read::<Uuid>(&query, &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        violations.finish()?;
        let found = self
            .accounts
            .service_accounts
            .list(deadline, permit, after, u64::from(size) + 1)
            .await?;
        let (found, next_page_token) = cut(found, size, &self.pages, &query, |each| each.id.0);
        let service_accounts = found.iter().map(wire_account).collect();
        Ok(Response::new(pb::ListServiceAccountsResponse { service_accounts, next_page_token }))
    }

    async fn update_service_account(
        &self,
        request: Request<pb::UpdateServiceAccountRequest>,
    ) -> Result<Response<pb::UpdateServiceAccountResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            mut violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let permit = permit::manage_services(caller)?;
        let known = ["display_name", "act_for"];
        let named = violations.keep("update_mask", mask(message.update_mask.as_ref(), &known));
        let Some(wanted) = message.service_account else {
            violations.add("service_account", "must be set");
            return Err(violations.into_fault().into());
        };
        let wants = |field: &str, is_set: bool| {
            named.as_ref().is_some_and(|mask| mask.wants(field, is_set))
        };
        let names = !wanted.display_name.is_empty();
        // Also an empty one: a grant that is taken back must not go on.
        let acts = wanted.act_for.is_some();
        let display_name = wants("display_name", names)
            .then(|| {
                let line = text::line(&wanted.display_name, LONGEST_NAME);
                violations.keep("service_account.display_name", line)
            })
            .flatten();
        let act_for =
            wants("act_for", acts).then(|| act_for(wanted.act_for.as_ref(), &mut violations));
        if named == Some(Mask::Set) && !names && !acts {
            violations.add(
                "service_account",
                "must set display_name or act_for, or name them in update_mask",
            );
        }
        let subject = name(&wanted.name, ServiceAccountId::parse, ACCOUNT_NAME);
        let subject = violations.keep("service_account.name", subject);
        let expected = violations.keep("service_account.etag", read_etag(&wanted.etag)).flatten();
        let subject = violations.finish_with(subject)?;
        let change = (subject, Change::Fields { display_name, act_for }, expected);
        let change = |idempotency_key| {
            self.accounts.service_accounts.change(deadline, permit, change, idempotency_key, origin)
        };
        let changed = idempotency_key.carry_out(deadline, change).await?;
        let service_account = Some(wire_account(&changed));
        Ok(Response::new(pb::UpdateServiceAccountResponse { service_account }))
    }

    async fn disable_service_account(
        &self,
        request: Request<pb::DisableServiceAccountRequest>,
    ) -> Result<Response<pb::DisableServiceAccountResponse>, Status> {
        let call = self.requests.open_as(request)?;
        let service_account = Some(self.disable(call, |m| (&m.name, &m.etag), true).await?);
        Ok(Response::new(pb::DisableServiceAccountResponse { service_account }))
    }

    async fn enable_service_account(
        &self,
        request: Request<pb::EnableServiceAccountRequest>,
    ) -> Result<Response<pb::EnableServiceAccountResponse>, Status> {
        let call = self.requests.open_as(request)?;
        let service_account = Some(self.disable(call, |m| (&m.name, &m.etag), false).await?);
        Ok(Response::new(pb::EnableServiceAccountResponse { service_account }))
    }

    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Result<Response<pb::CreateApiKeyResponse>, Status> {
        let Opened { deadline, caller: (caller, origin), message, mut violations } =
            open_as(request)?;
        let permit = permit::manage_services(caller)?;
        let parent = name(&message.parent, ServiceAccountId::parse, ACCOUNT_NAME);
        let parent = violations.keep("parent", parent);
        let scopes = scopes(message.scopes, &mut violations);
        let now = self.ambient.now();
        let expires_at = end(message.expire_time.as_ref()).map_err(str::to_owned).and_then(|at| {
            let fits = now < at && at <= now + LONGEST_LIFE;
            let days = LONGEST_LIFE.num_days();
            fits.then_some(at).ok_or(format!("must be later than now and within {days} days"))
        });
        let expires_at = violations.keep("expire_time", expires_at);
        let (parent, expires_at) = violations.finish_with((parent, expires_at))?;
        let key = (scopes, expires_at);
        let fresh = self
            .accounts
            .service_accounts
            .create_key(deadline, permit, parent, key, origin)
            .await?;
        let api_key = Some(wire_key(&fresh.stored));
        Ok(Response::new(pb::CreateApiKeyResponse { api_key, key: fresh.key.text() }))
    }

    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Result<Response<pb::ListApiKeysResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } = open(request)?;
        let permit = permit::manage_services(caller)?;
        let query = format!("api keys {} {}", caller.user, message.parent);
        let parent = name(&message.parent, ServiceAccountId::parse, ACCOUNT_NAME);
        let parent = violations.keep("parent", parent);
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let after = self.pages.read::<Uuid>(&query, &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        let (parent, limit) = (violations.finish_with(parent)?, u64::from(size) + 1);
        let found =
            self.accounts.service_accounts.keys_of(deadline, permit, parent, after, limit).await?;
        let (found, next_page_token) = cut(found, size, &self.pages, &query, |each| each.id.0);
        let api_keys = found.iter().map(wire_key).collect();
        Ok(Response::new(pb::ListApiKeysResponse { api_keys, next_page_token }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<pb::RevokeApiKeyRequest>,
    ) -> Result<Response<pb::RevokeApiKeyResponse>, Status> {
        let Opened { deadline, caller: (caller, origin), message, .. } = open_as(request)?;
        let permit = permit::manage_services(caller)?;
        let named = only_name("name", &message.name, ApiKeyId::parse, KEY_NAME)?;
        self.accounts.service_accounts.revoke_key(deadline, permit, named, origin).await?;
        Ok(Response::new(pb::RevokeApiKeyResponse {}))
    }
}

impl Api {
    /// What `DisableServiceAccount` and `EnableServiceAccount` have in common. `which` gives the name and the etag.
    async fn disable<M>(
        &self,
        call: OpenedWrite<M, (Caller, Origin)>,
        which: impl Fn(&M) -> (&String, &String),
        disabled: bool,
    ) -> Result<pb::ServiceAccount, Fault> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            mut violations,
            idempotency_key,
        } = call;
        let permit = permit::manage_services(caller)?;
        let (id, etag) = which(&message);
        let id = violations.keep("name", name(id, ServiceAccountId::parse, ACCOUNT_NAME));
        let expected = violations.keep("etag", read_etag(etag)).flatten();
        let change = (violations.finish_with(id)?, Change::Disabled(disabled), expected);
        let change = |idempotency_key| {
            self.accounts.service_accounts.change(deadline, permit, change, idempotency_key, origin)
        };
        let changed = idempotency_key.carry_out(deadline, change).await?;
        Ok(wire_account(&changed))
    }
}

/// Whom a service account shall act for; absent, nobody.
fn act_for(wanted: Option<&pb::ActFor>, violations: &mut Violations) -> ActFor {
    const FIELD: &str = "service_account.act_for.customers";
    let Some(wanted) = wanted else { return ActFor::default() };
    let mut customers = Vec::new();
    if wanted.customers.len() > MOST_CUSTOMERS {
        violations.add(FIELD, format!("must be at most {MOST_CUSTOMERS}"));
        return ActFor::default();
    }
    if wanted.any_customer && !wanted.customers.is_empty() {
        violations.add(FIELD, "must be empty where any_customer is set");
    }
    for (place, text) in wanted.customers.iter().enumerate() {
        let field = format!("{FIELD}[{place}]");
        let customer = violations.keep(&field, name(text, UserId::parse, USER_NAME));
        if customer.is_some_and(|customer| customers.contains(&customer)) {
            violations.add(field, "must not be there twice");
        }
        customers.extend(customer);
    }
    ActFor { any_customer: wanted.any_customer, customers }
}

/// The scopes of a key, each of them once.
fn scopes(wanted: Vec<String>, violations: &mut Violations) -> Vec<String> {
    if wanted.is_empty() || wanted.len() > MOST_SCOPES {
        violations.add("scopes", format!("must be 1 to {MOST_SCOPES}"));
        return Vec::new();
    }
    for (place, scope) in wanted.iter().enumerate() {
        if !policy::is_scope(scope) {
            violations.add(
                format!("scopes[{place}]"),
                "must be a service or a method that API keys may be for, such as \
                 daybook.booking.v1.BookingService/BookAppointment",
            );
        } else if wanted.iter().take(place).any(|earlier| earlier == scope) {
            violations.add(format!("scopes[{place}]"), "must not be there twice");
        }
    }
    wanted
}

fn wire_account(account: &ServiceAccount) -> pb::ServiceAccount {
    let role = match account.role {
        Role::Customer => pb::Role::Customer,
        Role::Provider => pb::Role::Provider,
        Role::Admin => pb::Role::Admin,
    };
    pb::ServiceAccount {
        name: account.id.name(),
        display_name: account.display_name.clone(),
        role: role.into(),
        act_for: Some(pb::ActFor {
            any_customer: account.act_for.any_customer,
            customers: account.act_for.customers.iter().map(|user| user.name()).collect(),
        }),
        disabled: account.disabled,
        create_time: Some(timestamp(account.created_at)),
        update_time: Some(timestamp(account.updated_at)),
        etag: etag(account.revision()),
    }
}

fn wire_key(key: &StoredApiKey) -> pb::ApiKey {
    pb::ApiKey {
        name: key.id.name(key.account),
        prefix: api_key::prefix(key.id),
        scopes: key.scopes.clone(),
        create_time: Some(timestamp(key.created_at)),
        expire_time: Some(timestamp(key.expires_at)),
        revoke_time: key.revoked_at.map(timestamp),
        last_use_time: key.last_used_at.map(timestamp),
        last_address: key.last_address.clone(),
    }
}
