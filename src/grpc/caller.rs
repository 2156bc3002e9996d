//! The interceptor: says who is calling, and refuses whom the policy table does not let in.
//!
//! It sees metadata and extensions only; the gate before it has put the method's entry of the policy
//! table among the extensions. Without that it refuses, so a service that is served past the gate is
//! shut, not open.

use tonic::{Request, Status, metadata::MetadataMap, service::Interceptor};

use super::{
    address::ClientAddress,
    policy::{Access, Class},
    rates::Rates,
    status::status,
};
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
    pub(super) rates: Rates,
}

impl Interceptor for Authenticate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        // Whatever was there is not ours.
        request.extensions_mut().remove::<Caller>();
        if let Some(caller) = self.identify(&request).map_err(|fault| status(&fault))? {
            request.extensions_mut().insert(caller);
        }
        Ok(request)
    }
}

impl Authenticate {
    /// The caller, or nobody where nobody has to be known.
    fn identify(&self, request: &Request<()>) -> Result<Option<Caller>, Fault> {
        let extensions = request.extensions();
        let (Some(access), Some(class)) = (extensions.get::<Access>(), extensions.get::<Class>())
        else {
            return Err(Fault::internal("a method is served past the gate"));
        };
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
            self.rates.of_address(address, *class)?;
            return known;
        };
        self.rates.of_user(caller.user, *class)?;
        match access {
            Access::Roles(roles) if !roles.contains(&caller.role) => Err(Fault::new(
                Reason::RoleNotAllowed,
                "the caller's role does not allow this method",
            )),
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
    Origin {
        address: request.extensions().get::<ClientAddress>().map(|address| address.0),
        user_agent: agent.to_owned(),
    }
}
