//! Requests that may be sent again: those with a `request_id`.

use std::future::Future;

use aws_lc_rs::hmac;
use prost::Message;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::convert::name;
use crate::grpc::proto::{auth, booking};
use crate::{
    identity::Caller,
    kernel::{
        fault::{Fault, FaultKind, Reason, Violations},
        id::RequestId,
    },
    storage::{
        Deadline, Store,
        idempotency::{EarlierResponse, IdempotencyKey},
    },
};

/// A request message with a `request_id` field.
pub(in crate::grpc) trait IdempotentRequest: Message {
    /// The name of its method.
    const METHOD: &'static str;

    /// The field `request_id`.
    fn request_id(&mut self) -> &mut String;
}

macro_rules! idempotent_requests {
    ($($package:ident :: $request:ident, $method:literal;)+) => {
        $(
            impl IdempotentRequest for $package::$request {
                const METHOD: &'static str = $method;

                fn request_id(&mut self) -> &mut String {
                    &mut self.request_id
                }
            }
        )+
    };
}

// Of each method whose request has a `request_id`; written by the build script.
include!(concat!(env!("OUT_DIR"), "/idempotent_requests.rs"));

/// A request that may come again, or for the second time. Its [`IdempotencyKey`] is given to whoever carries it out
/// within [`IdempotentCall::carry_out`] and to nobody else, so that no method can refuse what its twin has done.
#[must_use]
pub(in crate::grpc) struct IdempotentCall {
    idempotency_key: IdempotencyKey,
    store: Store,
}

impl IdempotentCall {
    /// Carries the request out. Before a refusal is given, whatever it is about and wherever it comes from,
    /// the request is looked for once more: its twin may have been carried out meanwhile, by another
    /// process as well, and what it changed be the reason of the refusal. Then its answer is given.
    ///
    /// `T` is what [`IdempotencyKey::keep`] stores for the method. Faults: those of the work; `REQUEST_ID_REUSED` in
    /// the place of a refusal when the id belongs to another request by now; those of the look, when nobody
    /// can tell whether the refusal is true.
    pub(in crate::grpc) async fn carry_out<T, W>(
        self,
        deadline: Deadline,
        work: impl FnOnce(IdempotencyKey) -> W,
    ) -> Result<T, Fault>
    where
        T: DeserializeOwned + Send + 'static,
        W: Future<Output = Result<T, Fault>>,
    {
        let Self { idempotency_key, store } = self;
        if idempotency_key.id.is_none() {
            return Box::pin(work(idempotency_key)).await;
        }
        // Boxed, because some of these are large futures, and this one is moved.
        let refusal = match Box::pin(work(idempotency_key.clone())).await {
            Err(fault) if is_refusal(&fault) => fault,
            other => return other,
        };
        store.read(deadline, EarlierResponse::new(idempotency_key)).await?.ok_or(refusal)
    }

    /// Like [`Self::carry_out`], for methods with an empty response.
    pub(in crate::grpc) async fn carry_out_untold<W>(
        self,
        deadline: Deadline,
        work: impl FnOnce(IdempotencyKey) -> W,
    ) -> Result<(), Fault>
    where
        W: Future<Output = Result<(), Fault>>,
    {
        let work = |idempotency_key| {
            let work = work(idempotency_key);
            async { work.await.map(|()| IgnoredAny) }
        };
        self.carry_out::<IgnoredAny, _>(deadline, work).await.map(drop)
    }
}

/// Whether a fault is a refusal by the rules, and not a temporary failure.
fn is_refusal(fault: &Fault) -> bool {
    let reason = fault.reason();
    let of_circumstances = matches!(
        reason.kind(),
        FaultKind::Unavailable | FaultKind::DeadlineExceeded | FaultKind::Internal
    );
    !of_circumstances && ![Reason::Overloaded, Reason::RequestIdReused].contains(&reason)
}

/// Makes an [`IdempotentCall`] of each request.
#[derive(Clone)]
pub(in crate::grpc) struct IdempotencyKeys {
    keys: Vec<hmac::Key>,
    store: Store,
}

impl std::fmt::Debug for IdempotencyKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Requests")
    }
}

impl IdempotencyKeys {
    /// With the keys of the fingerprints: the first one makes them, all of them are known.
    pub(in crate::grpc) fn new(keys: &[[u8; 32]], store: Store) -> Self {
        let keys = keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect();
        Self { keys, store }
    }

    /// Reads the `request_id` (case-insensitive UUID) and computes the fingerprint: HMAC-SHA-256 over
    /// method and message. An invalid id becomes a violation.
    pub(in crate::grpc) fn idempotency_key<M: IdempotentRequest>(
        &self,
        caller: Option<Caller>,
        message: &mut M,
        violations: &mut Violations,
    ) -> IdempotentCall {
        let id = message.request_id();
        id.make_ascii_lowercase();
        let id = if id.is_empty() {
            None
        } else {
            violations.keep("request_id", name(id, RequestId::parse, "must be a UUID"))
        };
        let encoded = if id.is_some() { message.encode_to_vec() } else { Vec::new() };
        let mut fingerprints = self.keys.iter().filter(|_| id.is_some()).map(|key| {
            let mut context = hmac::Context::with_key(key);
            context.update(M::METHOD.as_bytes());
            context.update(&[0]);
            context.update(&encoded);
            let mut fingerprint = [0; 32];
            let tag = context.sign();
            fingerprint.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
            fingerprint
        });
        let fingerprint = fingerprints.next().unwrap_or_default();
        let idempotency_key =
            IdempotencyKey { caller, id, fingerprint, older_fingerprints: fingerprints.collect() };
        IdempotentCall { idempotency_key, store: self.store.clone() }
    }
}
