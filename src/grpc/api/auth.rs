//! `daybook.auth.v1.AuthService`.

use secrecy::SecretString;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Api, auth_wire as wire,
    convert::{Mask, mask, moment, name, only_name, read_etag, timestamp, zone},
    customer,
    open::{Opened, OpenedWrite, open, open_as},
    page::cut,
    second_factor_wire,
};
use crate::grpc::proto::auth::{self as pb, auth_service_server::AuthService};
use crate::{
    accounts::{
        LONGEST_NAME, NewUser, User,
        audit::Filter,
        commands::AccountChange,
        service::ProfileUpdate,
        sessions::service::{LoggedIn, session_name},
    },
    identity::{
        Caller, Origin, Role, desk_permit,
        email::Email,
        password,
        permit::{self, ChangeUser},
    },
    kernel::{
        fault::{Fault, Violations},
        id::UserId,
        page::page_size,
        stamp::Revision,
        text,
    },
};

const SESSION_NAME: &str = "must be users/{user}/sessions/{session} with UUIDs in lower case";
pub(in crate::grpc) const USER_NAME: &str = "must be users/{user} with a UUID in lower case";

#[tonic::async_trait]
impl AuthService for Api {
    async fn sign_up(
        &self,
        request: Request<pb::SignUpRequest>,
    ) -> Result<Response<pb::SignUpResponse>, Status> {
        let OpenedWrite { deadline, caller: origin, mut message, mut violations, idempotency_key } =
            self.requests.open_as(request)?;
        let display_name =
            violations.keep("display_name", text::line(&message.display_name, LONGEST_NAME));
        let email = violations.keep("email", Email::parse(&message.email));
        let time_zone =
            violations.keep("time_zone", zone(&self.ambient.zones(), &message.time_zone));
        let role = match wire::role(message.role) {
            Some(role @ (Role::Customer | Role::Provider)) => Some(role),
            _ => violations.keep("role", Err::<Role, _>("must be ROLE_CUSTOMER or ROLE_PROVIDER")),
        };
        let password = SecretString::from(std::mem::take(&mut message.password));
        let fits = password::check(&password, self.shortest_password);
        let fits = violations.keep("password", fits).is_some();
        let id = self.accounts.users.new_id();
        let sign_up = async |idempotency_key| {
            if fits {
                // Before the first thing that takes a while.
                self.accounts.emails.count_request(deadline, &origin).await?;
                let name = display_name.as_deref().unwrap_or_default();
                let email = email.as_ref().map_or("", Email::as_str);
                if let Some(weak) =
                    self.accounts.passwords.weakness(password.clone(), name, email).await?
                {
                    violations.add("password", weak);
                }
            }
            violations.finish()?;
            let (Some(display_name), Some(email), Some(role), Some(time_zone)) =
                (display_name, email, role, time_zone)
            else {
                return Err(Fault::unchecked());
            };
            let password = password.clone();
            let new = NewUser { id, display_name, email, password, role, time_zone };
            self.accounts.users.sign_up(deadline, new, idempotency_key, origin.clone()).await
        };
        let user: Option<User> = idempotency_key.carry_out(deadline, sign_up).await?;
        let log_in = match &user {
            Some(user) if message.log_in => {
                let (user, accounts) = ((user, user.id == id), &self.accounts);
                let answer =
                    accounts.log_ins.log_in_signed_up(deadline, user, password, origin).await?;
                Some(second_factor_wire::log_in(answer))
            }
            _ => None,
        };
        let (user, verification_sent) = (user.as_ref().map(wire::user), user.is_none());
        Ok(Response::new(pb::SignUpResponse { user, verification_sent, log_in }))
    }

    async fn log_in(
        &self,
        request: Request<pb::LogInRequest>,
    ) -> Result<Response<pb::LogInResponse>, Status> {
        let Opened { deadline, caller: origin, message, mut violations } = open_as(request)?;
        let email = violations.keep("email", Email::parse(&message.email));
        let password = SecretString::from(message.password);
        violations.keep("password", present(&password));
        let email = violations.finish_with(email)?;
        let device = &message.device_token;
        let answer =
            self.accounts.log_ins.log_in(deadline, email, password, device, origin).await?;
        Ok(Response::new(second_factor_wire::log_in(answer)))
    }

    async fn complete_log_in(
        &self,
        request: Request<pb::CompleteLogInRequest>,
    ) -> Result<Response<pb::CompleteLogInResponse>, Status> {
        let Opened { deadline, caller: origin, message, .. } = open_as(request)?;
        let (challenge, typed) = second_factor_wire::completes(&message)?;
        let answer = self.accounts.log_ins.complete(deadline, &challenge, typed, origin).await?;
        Ok(Response::new(second_factor_wire::completed(answer)))
    }

    async fn refresh_tokens(
        &self,
        request: Request<pb::RefreshTokensRequest>,
    ) -> Result<Response<pb::RefreshTokensResponse>, Status> {
        let Opened { deadline, caller: origin, message, mut violations } = open_as(request)?;
        let text = message.refresh_token;
        if text.is_empty() {
            violations.add("refresh_token", "must be set");
            return Err(violations.into_fault().into());
        }
        let LoggedIn { access, refresh, .. } =
            self.accounts.sessions.refresh(deadline, &text, origin).await?;
        Ok(Response::new(pb::RefreshTokensResponse {
            access_token: access.text,
            expire_time: Some(timestamp(access.expires_at)),
            refresh_token: refresh.text,
            refresh_expire_time: Some(timestamp(refresh.expires_at)),
        }))
    }

    async fn log_out(
        &self,
        request: Request<pb::LogOutRequest>,
    ) -> Result<Response<pb::LogOutResponse>, Status> {
        let Opened { deadline, caller: (caller, origin), .. } = open_as(request)?;
        self.accounts.sessions.log_out(deadline, caller, origin).await?;
        Ok(Response::new(pb::LogOutResponse {}))
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        let Opened { deadline, caller, message, .. } = open(request)?;
        let permit = permit::run_sessions(caller, parent(&message.parent, caller)?)?;
        let sessions = self.accounts.sessions.list(deadline, permit).await?;
        let sessions = sessions.iter().map(|(found, due)| wire::session(found, *due, caller));
        Ok(Response::new(pb::ListSessionsResponse { sessions: sessions.collect() }))
    }

    async fn revoke_session(
        &self,
        request: Request<pb::RevokeSessionRequest>,
    ) -> Result<Response<pb::RevokeSessionResponse>, Status> {
        let Opened { deadline, caller: (caller, origin), message, .. } = open_as(request)?;
        let (user, session) = only_name("name", &message.name, wire::parse_session, SESSION_NAME)?;
        let permit = permit::run_sessions(caller, user)
            .map_err(|_| Fault::not_found(session_name(user, session)))?;
        self.accounts.sessions.revoke(deadline, caller, permit, session, origin).await?;
        Ok(Response::new(pb::RevokeSessionResponse {}))
    }

    async fn revoke_all_sessions(
        &self,
        request: Request<pb::RevokeAllSessionsRequest>,
    ) -> Result<Response<pb::RevokeAllSessionsResponse>, Status> {
        let Opened { deadline, caller: (caller, origin), message, .. } = open_as(request)?;
        let permit = permit::run_sessions(caller, parent(&message.parent, caller)?)?;
        let keep = message.keep_current;
        self.accounts.sessions.revoke_all(deadline, caller, permit, keep, origin).await?;
        Ok(Response::new(pb::RevokeAllSessionsResponse {}))
    }

    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } = open(request)?;
        let permit = permit::manage_users(caller)?;
        let query = format!(
            "audit {} {} {} {:?} {:?}",
            caller.user, message.user, message.kind, message.start_time, message.end_time
        );
        let user = (!message.user.is_empty())
            .then(|| violations.keep("user", name(&message.user, UserId::parse, USER_NAME)))
            .flatten();
        let act = (message.kind != 0)
            .then(|| {
                let act = wire::act(message.kind).ok_or("must be one of the kinds");
                violations.keep("kind", act)
            })
            .flatten();
        let from = message.start_time.as_ref();
        let from = from.and_then(|at| violations.keep("start_time", moment(at)));
        let until = message.end_time.as_ref();
        let until = until.and_then(|at| violations.keep("end_time", moment(at)));
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let before = self.pages.read::<Uuid>(&query, &message.page_token);
        let before = violations.keep("page_token", before).flatten();
        violations.finish()?;
        let filter = Filter { user, act, from, until };
        let limit = u64::from(size) + 1;
        let found = self.accounts.audit_trail.list(deadline, permit, filter, before, limit).await?;
        let (found, next_page_token) = cut(found, size, &self.pages, &query, |entry| entry.id);
        let audit_events = found.iter().map(wire::audit_event).collect();
        Ok(Response::new(pb::ListAuditEventsResponse { audit_events, next_page_token }))
    }

    async fn get_jwks(
        &self,
        _: Request<pb::GetJwksRequest>,
    ) -> Result<Response<pb::GetJwksResponse>, Status> {
        let (keys, max_age) = self.accounts.signing.shown()?;
        Ok(Response::new(wire::jwks(&keys, max_age)))
    }

    async fn get_me(
        &self,
        request: Request<pb::GetMeRequest>,
    ) -> Result<Response<pb::GetMeResponse>, Status> {
        let Opened { deadline, caller, .. } = open(request)?;
        let user = self.accounts.users.me(deadline, caller).await?;
        Ok(Response::new(pb::GetMeResponse { user: Some(wire::user(&user)) }))
    }

    async fn update_me(
        &self,
        request: Request<pb::UpdateMeRequest>,
    ) -> Result<Response<pb::UpdateMeResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let known = ["display_name", "time_zone", "phone"];
        let named = violations.keep("update_mask", mask(message.update_mask.as_ref(), &known));
        let Some(user) = message.user else {
            violations.add("user", "must be set");
            return Err(violations.into_fault().into());
        };
        let wants = |field: &str, value: &str| {
            named.as_ref().is_some_and(|mask| mask.wants(field, !value.is_empty()))
        };
        let display_name = wants("display_name", &user.display_name)
            .then(|| {
                let line = text::line(&user.display_name, LONGEST_NAME);
                violations.keep("user.display_name", line)
            })
            .flatten();
        let time_zone = wants("time_zone", &user.time_zone)
            .then(|| {
                violations.keep("user.time_zone", zone(&self.ambient.zones(), &user.time_zone))
            })
            .flatten();
        let phone = wants("phone", &user.phone)
            .then(|| customer::phone("user.phone", &user.phone, &mut violations).ok())
            .flatten();
        if !user.name.is_empty() && user.name != caller.user.name() {
            violations.add("user.name", "must be empty or the caller's own name");
        }
        let all = [&user.display_name, &user.time_zone, &user.phone];
        if named == Some(Mask::Set) && all.iter().all(|field| field.is_empty()) {
            let text = "must set display_name, time_zone or phone, or name them in update_mask";
            violations.add("user", text);
        }
        let expected = violations.keep("user.etag", read_etag(&user.etag)).flatten();
        violations.finish()?;
        let (accounts, own) = (&self.accounts, ProfileUpdate { display_name, time_zone, phone });
        let update = |idempotency_key| {
            accounts.users.update_me(deadline, caller, own, expected, idempotency_key)
        };
        let user = idempotency_key.carry_out(deadline, update).await?;
        Ok(Response::new(pb::UpdateMeResponse { user: Some(wire::user(&user)) }))
    }

    async fn change_password(
        &self,
        request: Request<pb::ChangePasswordRequest>,
    ) -> Result<Response<pb::ChangePasswordResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            mut violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let current = SecretString::from(message.current_password);
        violations.keep("current_password", present(&current));
        let new = SecretString::from(message.new_password);
        violations.keep("new_password", password::check(&new, self.shortest_password));
        violations.finish()?;
        let words = (current, new);
        let change = |idempotency_key| {
            self.accounts.passwords.change(deadline, caller, words, idempotency_key, origin)
        };
        idempotency_key.carry_out_untold(deadline, change).await?;
        Ok(Response::new(pb::ChangePasswordResponse {}))
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } = open(request)?;
        let permit = permit::manage_users(caller)?;
        let query = format!(
            "users {} {:?} {} {}",
            caller.user, message.prefix, message.role, message.state
        );
        let filter = wire::user_filter(&message, &mut violations);
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let after = self.pages.read::<Uuid>(&query, &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        violations.finish()?;
        let users =
            self.accounts.users.list(deadline, permit, filter, after, u64::from(size) + 1).await?;
        let (users, next_page_token) = cut(users, size, &self.pages, &query, |user| user.id.0);
        let users = users.iter().map(wire::user).collect();
        Ok(Response::new(pb::ListUsersResponse { users, next_page_token }))
    }

    async fn get_user(
        &self,
        request: Request<pb::GetUserRequest>,
    ) -> Result<Response<pb::GetUserResponse>, Status> {
        let Opened { deadline, caller, message, .. } = open(request)?;
        let permit = permit::manage_users(caller)?;
        let id = only_name("name", &message.name, UserId::parse, USER_NAME)?;
        let user = self.accounts.users.get(deadline, permit, id).await?;
        Ok(Response::new(pb::GetUserResponse { user: Some(wire::user(&user)) }))
    }

    async fn create_user(
        &self,
        request: Request<pb::CreateUserRequest>,
    ) -> Result<Response<pb::CreateUserResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            mut violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let permit = desk_permit::create_users(caller)?;
        let zones = self.ambient.zones();
        let new = customer::created(&message, &zones, &mut violations);
        let new = violations.finish_with(new)?;
        let create = |idempotency_key| {
            self.accounts.customers.create_user(deadline, permit, new, idempotency_key, origin)
        };
        let user = idempotency_key.carry_out(deadline, create).await?;
        Ok(Response::new(pb::CreateUserResponse { user: Some(wire::user(&user)) }))
    }

    async fn set_user_role(
        &self,
        request: Request<pb::SetUserRoleRequest>,
    ) -> Result<Response<pb::SetUserRoleResponse>, Status> {
        let mut call = self.requests.open_as(request)?;
        let wanted = wire::role(call.message.role)
            .ok_or("must be ROLE_CUSTOMER, ROLE_PROVIDER or ROLE_ADMIN");
        let change = call.violations.keep("role", wanted).map(AccountChange::Role);
        let user = self.change(call, |m| (&m.name, &m.etag), change).await?;
        Ok(Response::new(pb::SetUserRoleResponse { user: Some(user) }))
    }

    async fn disable_user(
        &self,
        request: Request<pb::DisableUserRequest>,
    ) -> Result<Response<pb::DisableUserResponse>, Status> {
        let (call, change) = (self.requests.open_as(request)?, AccountChange::Disabled(true));
        let user = self.change(call, |m| (&m.name, &m.etag), Some(change)).await?;
        Ok(Response::new(pb::DisableUserResponse { user: Some(user) }))
    }

    async fn enable_user(
        &self,
        request: Request<pb::EnableUserRequest>,
    ) -> Result<Response<pb::EnableUserResponse>, Status> {
        let (call, change) = (self.requests.open_as(request)?, AccountChange::Disabled(false));
        let user = self.change(call, |m| (&m.name, &m.etag), Some(change)).await?;
        Ok(Response::new(pb::EnableUserResponse { user: Some(user) }))
    }
}

impl Api {
    /// What `SetUserRole`, `DisableUser` and `EnableUser` have in common. `whose` gives the account's name and etag,
    /// and no `change` is one about which something was noted.
    async fn change<M>(
        &self,
        call: OpenedWrite<M, (Caller, Origin)>,
        whose: impl Fn(&M) -> (&String, &String),
        change: Option<AccountChange>,
    ) -> Result<pb::User, Fault> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            violations,
            idempotency_key,
        } = call;
        let (permit, expected) = another(caller, whose(&message), violations)?;
        let change = change.ok_or_else(Fault::unchecked)?;
        let change = |idempotency_key| {
            self.accounts.users.change(deadline, permit, change, expected, idempotency_key, origin)
        };
        let user = idempotency_key.carry_out(deadline, change).await?;
        Ok(wire::user(&user))
    }
}

/// The account that a request is about: the caller's own where none is named.
fn parent(text: &str, caller: Caller) -> Result<UserId, Fault> {
    if text.is_empty() {
        return Ok(caller.user);
    }
    only_name("parent", text, UserId::parse, USER_NAME)
}

/// The right to change another account, and the version of it that was seen: by its name and etag as they
/// came.
pub(in crate::grpc) fn another(
    caller: Caller,
    (account, etag): (&String, &String),
    mut violations: Violations,
) -> Result<(ChangeUser, Option<Revision>), Fault> {
    let subject = violations.keep("name", name(account, UserId::parse, USER_NAME));
    let expected = violations.keep("etag", read_etag(etag)).flatten();
    let subject = violations.finish_with(subject)?;
    Ok((permit::change_user(caller, subject)?, expected))
}

/// A password to verify: any length up to the cap, which is told before anything is hashed.
pub(in crate::grpc) fn present(password: &SecretString) -> Result<(), String> {
    password::check_given(password, 1)
}
