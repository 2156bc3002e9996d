//! The interceptor: says who is calling, and refuses whom the policy table does not let in.
//!
//! It sees metadata and extensions only; the gate before it has put the method's entry of the policy
//! table among the extensions. Without that it refuses, so a service that is served past the gate is
//! shut, not open.

use tonic::{Request, Status, metadata::MetadataMap, service::Interceptor};

use super::{policy::Access, status::status};
use crate::{
    identity::{
        Caller, Origin,
        token::{Tokens, not_authenticated},
    },
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason},
    },
    storage::Deadline,
};

/// Attaches the [`Caller`] to each request.
#[derive(Debug, Clone)]
pub(super) struct Authenticate {
    pub(super) tokens: Tokens,
    pub(super) ambient: Ambient,
    pub(super) public_booking_pages: bool,
}

impl Interceptor for Authenticate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let Some(access) = request.extensions().get::<Access>().copied() else {
            return Err(status(&Fault::internal("a method is served past the gate")));
        };
        // Whatever was there is not ours.
        request.extensions_mut().remove::<Caller>();
        let roles = match access {
            Access::Open => return Ok(request),
            Access::Pages => None,
            Access::Roles(roles) => Some(roles),
        };
        let token = bearer(request.metadata()).map_err(|fault| status(&fault))?;
        let caller = match token {
            Some(token) => self.tokens.check(token, self.ambient.now()),
            None if roles.is_none() && self.public_booking_pages => return Ok(request),
            None => Err(not_authenticated()),
        };
        let caller = caller.map_err(|fault| status(&fault))?;
        if roles.is_some_and(|roles| !roles.contains(&caller.role)) {
            return Err(status(&Fault::new(
                Reason::RoleNotAllowed,
                "the caller's role does not allow this method",
            )));
        }
        request.extensions_mut().insert(caller);
        Ok(request)
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

/// The caller that the interceptor attached.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Caller, Fault> {
    request.extensions().get::<Caller>().copied().ok_or_else(not_authenticated)
}

/// The caller, where there is one: booking pages may be open to everybody.
pub(super) fn visitor<T>(request: &Request<T>) -> Option<Caller> {
    request.extensions().get::<Caller>().copied()
}

/// The deadline that the gate attached.
pub(super) fn deadline<T>(request: &Request<T>) -> Result<Deadline, Fault> {
    let deadline = request.extensions().get::<Deadline>().copied();
    deadline.ok_or_else(|| Fault::internal("a call without a deadline"))
}

/// Where the call comes from.
pub(super) fn origin<T>(request: &Request<T>) -> Origin {
    let agent = request.metadata().get("x-user-agent").or(request.metadata().get("user-agent"));
    let agent = agent.and_then(|value| value.to_str().ok()).unwrap_or_default();
    Origin { address: request.remote_addr().map(|peer| peer.ip()), user_agent: agent.to_owned() }
}
