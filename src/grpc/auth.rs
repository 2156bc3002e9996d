//! `daybook.auth.v1.AuthService`.

use secrecy::SecretString;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    caller::{caller, deadline},
    convert::{Requests, etag, etag_version, mask, name, timestamp, zone},
    page::cut,
    proto::auth::{self as pb, auth_service_server::AuthService},
};
use crate::{
    accounts::{
        LONGEST_NAME, User,
        commands::Change,
        service::{Accounts, NewUser},
    },
    identity::{Caller, Role, email::Email, password, permit},
    kernel::{
        fault::{Fault, Violations},
        id::{ProviderId, UserId},
        page::{PageTokens, page_size},
        text,
    },
    storage::{Deadline, request::Once},
};

const USER_NAME: &str = "must be users/{user} with a UUID in lower case";

#[derive(Debug)]
pub(super) struct Auth {
    pub(super) accounts: Accounts,
    pub(super) requests: Requests,
    pub(super) pages: PageTokens,
    pub(super) shortest_password: usize,
}

#[tonic::async_trait]
impl AuthService for Auth {
    async fn sign_up(
        &self,
        request: Request<pb::SignUpRequest>,
    ) -> Result<Response<pb::SignUpResponse>, Status> {
        let deadline = deadline(&request)?;
        let mut message = request.into_inner();
        message.request_id.make_ascii_lowercase();
        let mut violations = Violations::new();
        let once =
            self.requests.once(None, "SignUp", &message.request_id, &message, &mut violations);
        let display_name =
            violations.keep("display_name", text::line(&message.display_name, LONGEST_NAME));
        let email = violations.keep("email", Email::parse(&message.email));
        let time_zone = violations.keep("time_zone", zone(&message.time_zone));
        let role = match role(message.role) {
            Some(role @ (Role::Customer | Role::Provider)) => Some(role),
            _ => violations.keep("role", Err::<Role, _>("must be ROLE_CUSTOMER or ROLE_PROVIDER")),
        };
        let password = SecretString::from(message.password);
        violations.keep("password", password::check(&password, self.shortest_password));
        violations.finish()?;
        let (Some(display_name), Some(email), Some(role), Some(time_zone)) =
            (display_name, email, role, time_zone)
        else {
            return Err(Fault::unchecked().into());
        };
        let new = NewUser { display_name, email, password, role, time_zone };
        let user = self.accounts.sign_up(deadline, new, once).await?;
        Ok(Response::new(pb::SignUpResponse { user: Some(wire(&user)) }))
    }

    async fn log_in(
        &self,
        request: Request<pb::LogInRequest>,
    ) -> Result<Response<pb::LogInResponse>, Status> {
        let deadline = deadline(&request)?;
        let message = request.into_inner();
        let mut violations = Violations::new();
        let email = violations.keep("email", Email::parse(&message.email));
        let password = SecretString::from(message.password);
        violations.keep("password", present(&password));
        violations.finish()?;
        let Some(email) = email else { return Err(Fault::unchecked().into()) };
        let (user, token) = self.accounts.log_in(deadline, email, password).await?;
        Ok(Response::new(pb::LogInResponse {
            access_token: token.text,
            expire_time: Some(timestamp(token.expires_at)),
            user: Some(wire(&user)),
        }))
    }

    async fn get_me(
        &self,
        request: Request<pb::GetMeRequest>,
    ) -> Result<Response<pb::GetMeResponse>, Status> {
        let user = self.accounts.me(deadline(&request)?, caller(&request)?).await?;
        Ok(Response::new(pb::GetMeResponse { user: Some(wire(&user)) }))
    }

    async fn update_me(
        &self,
        request: Request<pb::UpdateMeRequest>,
    ) -> Result<Response<pb::UpdateMeResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let mut message = request.into_inner();
        message.request_id.make_ascii_lowercase();
        let mut violations = Violations::new();
        let who = Some(caller.user);
        let once =
            self.requests.once(who, "UpdateMe", &message.request_id, &message, &mut violations);
        let known = ["display_name", "time_zone"];
        let named = violations.keep("update_mask", mask(message.update_mask.as_ref(), &known));
        let Some(user) = message.user else {
            violations.add("user", "must be set");
            return Err(violations.into_fault().into());
        };
        let wants = |field: &str, value: &str| match &named {
            Some(Some(paths)) => paths.contains(&field),
            Some(None) => !value.is_empty(),
            None => false,
        };
        let display_name = wants("display_name", &user.display_name)
            .then(|| {
                let line = text::line(&user.display_name, LONGEST_NAME);
                violations.keep("user.display_name", line)
            })
            .flatten();
        let time_zone = wants("time_zone", &user.time_zone)
            .then(|| violations.keep("user.time_zone", zone(&user.time_zone)))
            .flatten();
        if !user.name.is_empty() && user.name != caller.user.name() {
            violations.add("user.name", "must be empty or the caller's own name");
        }
        if named == Some(None) && user.display_name.is_empty() && user.time_zone.is_empty() {
            violations
                .add("user", "must set display_name or time_zone, or name them in update_mask");
        }
        let expected = violations.keep("user.etag", etag_version(&user.etag)).flatten();
        violations.finish()?;
        let user = self
            .accounts
            .update_me(deadline, caller, display_name, time_zone, expected, once)
            .await?;
        Ok(Response::new(pb::UpdateMeResponse { user: Some(wire(&user)) }))
    }

    async fn change_password(
        &self,
        request: Request<pb::ChangePasswordRequest>,
    ) -> Result<Response<pb::ChangePasswordResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let mut message = request.into_inner();
        message.request_id.make_ascii_lowercase();
        let mut violations = Violations::new();
        let who = Some(caller.user);
        let id = &message.request_id;
        let once = self.requests.once(who, "ChangePassword", id, &message, &mut violations);
        let current = SecretString::from(message.current_password);
        violations.keep("current_password", present(&current));
        let new = SecretString::from(message.new_password);
        violations.keep("new_password", password::check(&new, self.shortest_password));
        violations.finish()?;
        self.accounts.change_password(deadline, caller, current, new, once).await?;
        Ok(Response::new(pb::ChangePasswordResponse {}))
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let permit = permit::manage_users(caller)?;
        let message = request.into_inner();
        let query = format!("users {}", caller.user);
        let mut violations = Violations::new();
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let after = self.pages.read::<Uuid>(&query, &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        violations.finish()?;
        let users = self.accounts.list(deadline, permit, after, u64::from(size) + 1).await?;
        let (users, next_page_token) = cut(users, size, &self.pages, &query, |user| user.id.0);
        let users = users.iter().map(wire).collect();
        Ok(Response::new(pb::ListUsersResponse { users, next_page_token }))
    }

    async fn get_user(
        &self,
        request: Request<pb::GetUserRequest>,
    ) -> Result<Response<pb::GetUserResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let permit = permit::manage_users(caller)?;
        let id = user_id(&request.get_ref().name)?;
        let user = self.accounts.get(deadline, permit, id).await?;
        Ok(Response::new(pb::GetUserResponse { user: Some(wire(&user)) }))
    }

    async fn set_user_role(
        &self,
        request: Request<pb::SetUserRoleRequest>,
    ) -> Result<Response<pb::SetUserRoleResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let mut message = request.into_inner();
        message.request_id.make_ascii_lowercase();
        let mut violations = Violations::new();
        let who = Some(caller.user);
        let once =
            self.requests.once(who, "SetUserRole", &message.request_id, &message, &mut violations);
        let wanted = role(message.role).ok_or("must be ROLE_CUSTOMER, ROLE_PROVIDER or ROLE_ADMIN");
        let change = violations.keep("role", wanted).map(Change::Role);
        let whose = (&*message.name, &*message.etag);
        let user = self.change(deadline, caller, whose, change, once, violations).await?;
        Ok(Response::new(pb::SetUserRoleResponse { user: Some(user) }))
    }

    async fn disable_user(
        &self,
        request: Request<pb::DisableUserRequest>,
    ) -> Result<Response<pb::DisableUserResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let mut message = request.into_inner();
        message.request_id.make_ascii_lowercase();
        let mut violations = Violations::new();
        let who = Some(caller.user);
        let once =
            self.requests.once(who, "DisableUser", &message.request_id, &message, &mut violations);
        let whose = (&*message.name, &*message.etag);
        let change = Some(Change::Disabled(true));
        let user = self.change(deadline, caller, whose, change, once, violations).await?;
        Ok(Response::new(pb::DisableUserResponse { user: Some(user) }))
    }

    async fn enable_user(
        &self,
        request: Request<pb::EnableUserRequest>,
    ) -> Result<Response<pb::EnableUserResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let mut message = request.into_inner();
        message.request_id.make_ascii_lowercase();
        let mut violations = Violations::new();
        let who = Some(caller.user);
        let once =
            self.requests.once(who, "EnableUser", &message.request_id, &message, &mut violations);
        let whose = (&*message.name, &*message.etag);
        let change = Some(Change::Disabled(false));
        let user = self.change(deadline, caller, whose, change, once, violations).await?;
        Ok(Response::new(pb::EnableUserResponse { user: Some(user) }))
    }
}

impl Auth {
    /// What `SetUserRole`, `DisableUser` and `EnableUser` have in common. `whose` is the account's name
    /// and etag as they came, and no `change` is one that `violations` has something about.
    async fn change(
        &self,
        deadline: Deadline,
        caller: Caller,
        whose: (&str, &str),
        change: Option<Change>,
        once: Once,
        mut violations: Violations,
    ) -> Result<pb::User, Fault> {
        let id = violations.keep("name", name(whose.0, UserId::parse, USER_NAME));
        let expected = violations.keep("etag", etag_version(whose.1)).flatten();
        violations.finish()?;
        let permit = permit::change_user(caller, id.ok_or_else(Fault::unchecked)?)?;
        let change = change.ok_or_else(Fault::unchecked)?;
        let user = self.accounts.change(deadline, permit, change, expected, once).await?;
        Ok(wire(&user))
    }
}

fn user_id(text: &str) -> Result<UserId, Fault> {
    let mut violations = Violations::new();
    let id = violations.keep("name", name(text, UserId::parse, USER_NAME));
    id.ok_or_else(|| violations.into_fault())
}

/// A password to verify: any length up to the cap, which is told before anything is hashed.
fn present(password: &SecretString) -> Result<(), String> {
    password::check(password, 1)
}

fn role(wire: i32) -> Option<Role> {
    match pb::Role::try_from(wire) {
        Ok(pb::Role::Customer) => Some(Role::Customer),
        Ok(pb::Role::Provider) => Some(Role::Provider),
        Ok(pb::Role::Admin) => Some(Role::Admin),
        Ok(pb::Role::Unspecified) | Err(_) => None,
    }
}

fn wire(user: &User) -> pb::User {
    let role = match user.role {
        Role::Customer => pb::Role::Customer,
        Role::Provider => pb::Role::Provider,
        Role::Admin => pb::Role::Admin,
    };
    pb::User {
        name: user.id.name(),
        display_name: user.display_name.clone(),
        email: user.email.as_str().to_owned(),
        role: role.into(),
        time_zone: user.time_zone.name().to_owned(),
        disabled: user.disabled,
        provider: user.provider().map(ProviderId::name).unwrap_or_default(),
        create_time: Some(timestamp(user.created_at)),
        update_time: Some(timestamp(user.updated_at)),
        etag: etag(user.version),
    }
}
