//! How every handler begins: who calls, by when, and what.

use tonic::Request;

use super::idempotency::{IdempotencyKeys, IdempotentCall, IdempotentRequest};
use crate::{
    grpc::edge::caller::{caller, deadline, origin, visitor},
    identity::{Caller, Origin},
    kernel::fault::{Fault, Violations},
    storage::Deadline,
};

/// A request that was opened. `W` is what the method needs to know of whoever calls.
pub(super) struct Opened<M, W = Caller> {
    pub(super) deadline: Deadline,
    pub(super) caller: W,
    pub(super) message: M,
    /// What is wrong with the message; nothing so far.
    pub(super) violations: Violations,
}

/// A request that may come again. What is wrong with its `request_id` is noted.
pub(super) struct OpenedWrite<M, W = Caller> {
    pub(super) deadline: Deadline,
    pub(super) caller: W,
    pub(super) message: M,
    pub(super) violations: Violations,
    pub(super) idempotency_key: IdempotentCall,
}

/// What a method needs to know of whoever calls.
pub(super) trait Who: Sized {
    /// As the interceptor and the gate attached it. Faults: `NOT_AUTHENTICATED` where somebody must be logged in.
    fn of<M>(request: &Request<M>) -> Result<Self, Fault>;

    /// The caller whose request ids these are; of somebody without an account there is none.
    fn caller(&self) -> Option<Caller>;
}

impl Who for Caller {
    fn of<M>(request: &Request<M>) -> Result<Self, Fault> {
        caller(request)
    }

    fn caller(&self) -> Option<Caller> {
        Some(*self)
    }
}

/// Booking pages may be open to everybody.
impl Who for Option<Caller> {
    fn of<M>(request: &Request<M>) -> Result<Self, Fault> {
        Ok(visitor(request))
    }

    fn caller(&self) -> Option<Caller> {
        *self
    }
}

/// Of methods for everybody: a token is not looked at.
impl Who for Origin {
    fn of<M>(request: &Request<M>) -> Result<Self, Fault> {
        Ok(origin(request))
    }

    fn caller(&self) -> Option<Caller> {
        None
    }
}

/// Of methods that the audit trail notes.
impl Who for (Caller, Origin) {
    fn of<M>(request: &Request<M>) -> Result<Self, Fault> {
        Ok((caller(request)?, origin(request)))
    }

    fn caller(&self) -> Option<Caller> {
        Some(self.0)
    }
}

/// Opens a request of somebody who is logged in. Faults: `NOT_AUTHENTICATED`.
pub(super) fn open<M>(request: Request<M>) -> Result<Opened<M>, Fault> {
    open_as(request)
}

/// Opens a request. Faults: those of [`Who::of`].
pub(super) fn open_as<M, W: Who>(request: Request<M>) -> Result<Opened<M, W>, Fault> {
    let (deadline, caller) = (deadline(&request)?, W::of(&request)?);
    let message = request.into_inner();
    Ok(Opened { deadline, caller, message, violations: Violations::new() })
}

impl IdempotencyKeys {
    /// Opens a request that may come again, of somebody who is logged in. Faults: `NOT_AUTHENTICATED`.
    pub(super) fn open<M: IdempotentRequest>(
        &self,
        request: Request<M>,
    ) -> Result<OpenedWrite<M>, Fault> {
        self.open_as(request)
    }

    /// Opens a request that may come again. Faults: those of [`Who::of`].
    pub(super) fn open_as<M: IdempotentRequest, W: Who>(
        &self,
        request: Request<M>,
    ) -> Result<OpenedWrite<M, W>, Fault> {
        let Opened { deadline, caller, mut message, mut violations } = open_as::<M, W>(request)?;
        let by = caller.caller();
        let idempotency_key = self.idempotency_key(by, &mut message, &mut violations);
        Ok(OpenedWrite { deadline, caller, message, violations, idempotency_key })
    }
}
