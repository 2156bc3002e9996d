//! The interceptor: says who is calling, and refuses whom the policy table does not let in.
//!
//! It sees metadata and extensions only; the gate before it has put the method's entry of the policy
//! table among the extensions. Without that it refuses, so a service that is served past the gate is
//! shut, not open.

use std::sync::Arc;

use tonic::{Request, Status, metadata::MetadataMap, service::Interceptor};

use super::{address::ClientAddress, gate::CallId, rates::Rates};
use crate::grpc::{
    policy::{Access, Class, Entry, Scoped},
    status::status,
};
use crate::{
    accounts::{
        service_accounts::api_key::{self, ApiKeys, Call, KeyUseRequest},
        signing::token::{self, Tokens},
    },
    identity::{Caller, Origin, Role, authority::act_for_refused, not_authenticated},
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason},
        id::UserId,
    },
    storage::Deadline,
};

/// For which customer a service account acts: `users/{user}`.
const ACT_FOR: &str = "x-daybook-act-for";

/// Attaches the [`Caller`] to each request.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Authenticate {
    pub(in crate::grpc) tokens: Tokens,
    pub(in crate::grpc) api_keys: ApiKeys,
    pub(in crate::grpc) ambient: Ambient,
    pub(in crate::grpc) public_booking_pages: bool,
    pub(in crate::grpc) rates: Rates,
}

impl Interceptor for Authenticate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        // Whatever was there is not ours.
        request.extensions_mut().remove::<Caller>();
        if let Some(caller) = self.identify(&request).map_err(|fault| status(&fault))? {
            request.extensions_mut().insert(caller);
            if request.extensions().get::<Entry>().is_some_and(|e| e.class == Class::Watch) {
                let standing = self.standing(&request, caller);
                request.extensions_mut().insert(standing);
            }
        }
        Ok(request)
    }
}

/// Whether a caller still is who they were when the call began, among the extensions of its request.
#[derive(Clone)]
pub(in crate::grpc) struct StillKnown(
    pub(in crate::grpc) Arc<dyn Fn() -> Result<(), Fault> + Send + Sync>,
);

impl Authenticate {
    /// Looks at what the call shows again, as if it came anew, and counts nothing.
    fn standing(&self, request: &Request<()>, caller: Caller) -> StillKnown {
        let again = Self { rates: Rates::none(), ..self.clone() };
        let mut same = Request::new(());
        for name in ["authorization", ACT_FOR] {
            if let Some(value) = request.metadata().get(name) {
                same.metadata_mut().insert(name, value.clone());
            }
        }
        let (from, to) = (request.extensions(), same.extensions_mut());
        from.get::<Entry>().map(|entry| to.insert(*entry));
        from.get::<ClientAddress>().map(|address| to.insert(*address));
        from.get::<CallId>().map(|id| to.insert(id.clone()));
        StillKnown(Arc::new(move || match again.identify(&same)? {
            Some(now) if (now.user, now.role) == (caller.user, caller.role) => Ok(()),
            _ => Err(not_authenticated()),
        }))
    }

    /// The caller, or nobody where nobody has to be known.
    fn identify(&self, request: &Request<()>) -> Result<Option<Caller>, Fault> {
        let extensions = request.extensions();
        let Some(&entry) = extensions.get::<Entry>() else {
            return Err(Fault::internal("a method is served past the gate"));
        };
        let Entry { access, class, .. } = entry;
        if !matches!(access, Access::Open)
            && let Some(key) = api_key(request.metadata())
        {
            return self.of_service(request, key, entry);
        }
        let known = match access {
            Access::Open => Ok(None),
            Access::Pages if self.public_booking_pages => self.shown(request),
            Access::Pages | Access::Roles(_) => self
                .shown(request)
                .and_then(|caller| caller.ok_or_else(not_authenticated).map(Some)),
        };
        let Ok(Some(caller)) = known else {
            // Whoever tries tokens is counted too.
            let address = extensions.get::<ClientAddress>().copied();
            self.rates.of_address(address, class)?;
            return known;
        };
        self.rates.of_user(caller.user, class)?;
        // People act as themselves.
        if request.metadata().contains_key(ACT_FOR) {
            return Err(act_for_refused());
        }
        match access {
            Access::Roles(roles) if !roles.contains(&caller.role) => Err(not_for_role()),
            _ => Ok(Some(caller)),
        }
    }

    /// Who calls with an API key: the service account, or the customer it acts for. One that is there to
    /// act for customers is nobody while it acts for none.
    fn of_service(
        &self,
        request: &Request<()>,
        key: &str,
        Entry { method, access, scoped, class, .. }: Entry,
    ) -> Result<Option<Caller>, Fault> {
        let address = request.extensions().get::<ClientAddress>().copied();
        let now = self.ambient.now();
        let by = Call { address: address.map(|address| address.0), id: call_id(request) };
        let checked = if self.tokens.is_trusted() {
            self.api_keys.check(key, by, now)
        } else {
            Err(token::unknown())
        };
        let (id, account) = match checked {
            Ok(checked) => checked,
            Err(fault) => {
                // Whoever tries keys is counted too.
                self.rates.of_address(address, class)?;
                return Err(fault);
            }
        };
        // By who has the key, whomever it acts for.
        self.rates.of_user(account.as_user(), class)?;
        let act_for = act_for(request.metadata())?;
        let (method, in_scopes) = (method.scope(), scoped == Scoped::Keys);
        let asked = KeyUseRequest { method, in_scopes, act_for, by };
        let caller = self.api_keys.admit(id, asked, now)?;
        if caller.is_service() && caller.role == Role::Customer {
            return match access {
                Access::Open | Access::Pages => Ok(None),
                Access::Roles(_) => Err(Fault::new(
                    Reason::RoleNotAllowed,
                    "this service account acts for customers only; name one in `x-daybook-act-for`",
                )),
            };
        }
        match access {
            Access::Roles(roles) if !roles.contains(&caller.role) => Err(not_for_role()),
            _ => Ok(Some(caller)),
        }
    }

    /// Whose token the call shows, if it shows one.
    fn shown(&self, request: &Request<()>) -> Result<Option<Caller>, Fault> {
        let token = bearer(request.metadata())?;
        token.map(|token| self.tokens.check(token, self.ambient.now())).transpose()
    }
}

/// The token of `authorization: Bearer TOKEN`. More than one header, or another scheme, is refused.
fn bearer(metadata: &MetadataMap) -> Result<Option<&str>, Fault> {
    let mut all = metadata.get_all("authorization").iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(not_authenticated());
    }
    let text = value.to_str().map_err(|_| not_authenticated())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(not_authenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(not_authenticated());
    }
    Ok(Some(token))
}

/// The API key that the call shows, if what it shows looks like one.
fn api_key(metadata: &MetadataMap) -> Option<&str> {
    let token = bearer(metadata).ok().flatten();
    token.filter(|token| token.starts_with(api_key::PREFIX))
}

/// Whom the call is to act for, if anybody. More than one header, or another form, is refused.
fn act_for(metadata: &MetadataMap) -> Result<Option<UserId>, Fault> {
    let mut all = metadata.get_all(ACT_FOR).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let user = value.to_str().ok().and_then(UserId::parse);
    if all.next().is_some() {
        return Err(act_for_refused());
    }
    user.map(Some).ok_or_else(act_for_refused)
}

fn not_for_role() -> Fault {
    Fault::new(Reason::RoleNotAllowed, "the caller's role does not allow this method")
}

/// The caller that the interceptor attached.
pub(in crate::grpc) fn caller<T>(request: &Request<T>) -> Result<Caller, Fault> {
    request.extensions().get::<Caller>().copied().ok_or_else(not_authenticated)
}

/// The caller, where there is one: booking pages may be open to everybody.
pub(in crate::grpc) fn visitor<T>(request: &Request<T>) -> Option<Caller> {
    request.extensions().get::<Caller>().copied()
}

/// The deadline that the gate attached.
pub(in crate::grpc) fn deadline<T>(request: &Request<T>) -> Result<Deadline, Fault> {
    let deadline = request.extensions().get::<Deadline>().copied();
    deadline.ok_or_else(|| Fault::internal("a call without a deadline"))
}

/// The id that the gate attached.
fn call_id<T>(request: &Request<T>) -> &str {
    let id = request.extensions().get::<CallId>();
    id.and_then(|CallId(id)| id.to_str().ok()).unwrap_or_default()
}

/// Where the call comes from, and which one it is.
pub(in crate::grpc) fn origin<T>(request: &Request<T>) -> Origin {
    let agent = request.metadata().get("x-user-agent").or(request.metadata().get("user-agent"));
    let agent = agent.and_then(|value| value.to_str().ok()).unwrap_or_default();
    Origin {
        address: request.extensions().get::<ClientAddress>().map(|address| address.0),
        user_agent: agent.to_owned(),
        call_id: call_id(request).to_owned(),
    }
}

/// Whether the caller that the interceptor attached still may call.
pub(in crate::grpc) fn still_known<T>(request: &Request<T>) -> Result<StillKnown, Fault> {
    let known = request.extensions().get::<StillKnown>().cloned();
    known.ok_or_else(|| Fault::internal("a watch without a caller"))
}
