//! Requests that were carried out: the same id and body gives the same answer and one effect.

use std::marker::PhantomData;

use chrono::TimeDelta;
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Executor, Query, Reader, Tx, authority::Kept, cleanup, engine, entity::requests};
use crate::{
    identity::{Caller, authority},
    kernel::{
        fault::{Fault, Reason},
        id::RequestId,
        time::Instant,
    },
};

/// How long a request can be retried.
pub const RETENTION: TimeDelta = TimeDelta::days(30);
/// Requests that are older than [`RETENTION`].
#[derive(Debug)]
pub struct ExpiredRequests;

impl cleanup::ExpiredRows for ExpiredRequests {
    type Entity = requests::Entity;
    const WHAT: &'static str = "requests";

    fn is_old(now: Instant) -> Condition {
        Condition::all().add(requests::Column::CreatedAt.lt(now - RETENTION))
    }

    fn age() -> Option<requests::Column> {
        Some(requests::Column::CreatedAt)
    }
}

/// An idempotency key: caller, request id and fingerprint of the request. Units of work look the key up
/// under the lock of what they change, so that of two equal requests the second one returns the stored
/// response.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// Who asks; nobody for sign-up.
    pub caller: Option<Caller>,
    /// The id that the caller gave, if any.
    pub id: Option<RequestId>,
    /// A keyed hash of the method and of every field. Keyed, because passwords are among them.
    pub fingerprint: [u8; 32],
    /// The same under older keys.
    pub older_fingerprints: Vec<[u8; 32]>,
}

impl IdempotencyKey {
    /// A request that cannot be retried, because its answer is not kept.
    pub const NEVER: Self =
        Self { caller: None, id: None, fingerprint: [0; 32], older_fingerprints: Vec::new() };

    /// Of a caller whose request cannot be retried, because its answer is not kept.
    pub fn never(caller: Caller) -> Self {
        Self { caller: Some(caller), ..Self::NEVER }
    }

    /// The answer that this request got before, with the version that its change had. Where there is none,
    /// the authority of the caller is judged by what is stored, in the same statement.
    ///
    /// `REQUEST_ID_REUSED` when the id belongs to another request of this caller; those of
    /// [`authority::judge`].
    pub async fn earlier<T: DeserializeOwned>(&self, tx: &Tx) -> Result<Option<(T, i64)>, Fault> {
        let kept = match self.caller {
            None => {
                tx.needs_no_authority();
                self.find(tx).await?
            }
            Some(caller) => {
                let (standing, kept) = tx.standing(caller, self.id).await?;
                if kept.is_none() {
                    authority::judge(caller, &standing)?;
                }
                kept
            }
        };
        kept.map(|kept| self.answer(&kept)).transpose()
    }

    async fn find(&self, at: &impl Executor) -> Result<Option<Kept>, Fault> {
        let Some(id) = self.id else { return Ok(None) };
        let row = requests::Entity::find()
            .filter(requests::Column::CallerId.eq(self.caller_id()))
            .filter(requests::Column::RequestId.eq(id.0))
            .one(at.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        Ok(row.map(|row| Kept {
            fingerprint: row.fingerprint,
            version: row.version,
            response: row.response,
        }))
    }

    fn answer<T: DeserializeOwned>(&self, kept: &Kept) -> Result<(T, i64), Fault> {
        let is = |fingerprint: &[u8; 32]| kept.fingerprint == fingerprint;
        if !is(&self.fingerprint) && !self.older_fingerprints.iter().any(is) {
            return Err(Fault::new(
                Reason::RequestIdReused,
                "this request_id was used for another request; use a fresh one for each new act",
            )
            .field("request_id", "must not have been used for another request"));
        }
        let answer = serde_json::from_str(&kept.response)
            .map_err(|e| Fault::internal(format!("a stored response does not read: {e}")))?;
        Ok((answer, kept.version))
    }

    /// Keeps the answer, in the transaction of the change. `owner` is what the change belongs to: the
    /// provider or the user.
    pub async fn keep(
        &self,
        tx: &Tx,
        owner: Uuid,
        version: i64,
        answer: &impl Serialize,
        now: Instant,
    ) -> Result<(), Fault> {
        let Some(id) = self.id else { return Ok(()) };
        let row = requests::ActiveModel {
            owner_id: Set(owner),
            caller_id: Set(self.caller_id()),
            request_id: Set(id.0),
            fingerprint: Set(self.fingerprint.to_vec()),
            version: Set(version),
            response: Set(Self::encode(answer)?),
            created_at: Set(now),
        };
        requests::Entity::insert(row)
            .exec_without_returning(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        Ok(())
    }

    /// The form in which an answer is stored.
    pub fn encode(answer: &impl Serialize) -> Result<String, Fault> {
        serde_json::to_string(answer)
            .map_err(|e| Fault::internal(format!("a response does not encode: {e}")))
    }

    /// The caller's id as stored; the nil UUID is nobody.
    pub fn caller_id(&self) -> Uuid {
        self.caller.map_or(Uuid::nil(), |caller| caller.user.0)
    }
}

/// Query: the stored response of a request, if it was carried out. Does not check whether the caller is
/// still authorised.
#[derive(Debug)]
pub struct EarlierResponse<T>(IdempotencyKey, PhantomData<fn() -> T>);

impl<T> EarlierResponse<T> {
    /// Of this request.
    pub fn new(idempotency_key: IdempotencyKey) -> Self {
        Self(idempotency_key, PhantomData)
    }
}

impl<T: DeserializeOwned + Send + 'static> Query for EarlierResponse<T> {
    type Output = Option<T>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        let kept = self.0.find(at).await?;
        kept.map(|kept| self.0.answer(&kept).map(|(answer, _)| answer)).transpose()
    }
}
