//! The authority of a write, read in its transaction together with the answer that the same request got
//! before, so that judging costs no round trip of its own.

use std::sync::atomic::Ordering;

use sea_orm::{ConnectionTrait as _, FromQueryResult, Statement};
use serde_json::Value;
use uuid::Uuid;

use super::{Executor as _, Tx, engine};
use crate::{
    identity::{
        Caller, Credential, Role,
        authority::{self, CallerState, StoredKey, StoredUser},
    },
    kernel::{fault::Fault, id::RequestId},
};

/// Whose authority a unit of work needs. Every unit says it; one that needs a caller's is not committed
/// unless that was judged in its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Of the caller, judged by [`IdempotencyKey::earlier`](super::idempotency::IdempotencyKey::earlier) or [`Tx::judge`].
    Caller,
    /// Of nobody who is logged in: the server's own work, and that of whoever shows a password, a code or a
    /// refresh token, which the unit judges itself.
    Nobody,
}

const OF_TOKEN: &str = "
SELECT u.role, u.disabled, u.token_generation, u.kept_session, s.session_id AS ended_session,
    NULL AS account_role, NULL AS scopes, NULL AS act_for, r.fingerprint, r.version, r.response
FROM (SELECT 1 AS one) AS one
LEFT JOIN users u ON u.user_id = $1 AND u.erased_at IS NULL
LEFT JOIN sessions s ON s.user_id = $1 AND s.session_id = $2 AND s.ended_at IS NOT NULL
LEFT JOIN requests r ON r.caller_id = $1 AND r.request_id = $3";

const OF_KEY: &str = "
SELECT u.role, u.disabled, u.token_generation, u.kept_session, NULL AS ended_session,
    a.role AS account_role, k.scopes, a.act_for, r.fingerprint, r.version, r.response
FROM (SELECT 1 AS one) AS one
LEFT JOIN users u ON u.user_id = $1 AND u.erased_at IS NULL
LEFT JOIN api_keys k ON k.api_key_id = $2 AND k.revoked_at IS NULL
LEFT JOIN service_accounts a ON a.service_account_id = k.service_account_id AND NOT a.disabled
LEFT JOIN requests r ON r.caller_id = $1 AND r.request_id = $3";

#[derive(FromQueryResult)]
struct OfUser {
    role: Option<String>,
    disabled: Option<bool>,
    token_generation: Option<i64>,
    kept_session: Option<Uuid>,
}

#[derive(FromQueryResult)]
struct OfKey {
    account_role: Option<String>,
    scopes: Option<Value>,
    act_for: Option<Value>,
}

#[derive(FromQueryResult)]
struct OfRequest {
    fingerprint: Option<Vec<u8>>,
    version: Option<i64>,
    response: Option<String>,
}

/// What is kept of a request that was carried out.
pub(super) struct Kept {
    pub(super) fingerprint: Vec<u8>,
    pub(super) version: i64,
    pub(super) response: String,
}

impl Tx {
    /// Judges the authority of a caller by what is stored; for units of work without a
    /// [`IdempotencyKey`](super::idempotency::IdempotencyKey). Faults: see [`authority::judge`].
    pub async fn judge(&self, caller: Caller) -> Result<(), Fault> {
        let (standing, _) = self.standing(caller, None).await?;
        authority::judge(caller, &standing)
    }

    /// Says that what this unit does needs no authority, although a caller asks for it: ending one's own
    /// session, which harms nobody who has a token of it.
    pub fn needs_no_authority(&self) {
        self.judged.store(true, Ordering::SeqCst);
    }

    /// What is stored about a caller, and about a request of theirs. Whoever asks judges it.
    pub(super) async fn standing(
        &self,
        caller: Caller,
        request: Option<RequestId>,
    ) -> Result<(CallerState, Option<Kept>), Fault> {
        self.judged.store(true, Ordering::SeqCst);
        let sql = match caller.credential {
            Credential::Token { .. } => OF_TOKEN,
            Credential::ApiKey { .. } => OF_KEY,
        };
        let values = [caller.user.0.into(), caller.session.into(), request.map(|id| id.0).into()];
        let statement =
            Statement::from_sql_and_values(self.db().get_database_backend(), sql, values);
        let row = self.query_one(statement).await.map_err(|e| engine::fault(&e))?;
        let row = row.ok_or_else(|| Fault::internal("a row that is always there is not"))?;
        let read = |e| engine::fault(&e);
        let user = OfUser::from_query_result(&row, "").map_err(read)?;
        let mut standing = CallerState { user: stored_user(user)?, ..CallerState::default() };
        match caller.credential {
            Credential::Token { .. } => {
                let ended: Option<Uuid> = row.try_get("", "ended_session").map_err(read)?;
                standing.session_ended = ended.is_some();
            }
            Credential::ApiKey { .. } => {
                standing.key = stored_key(OfKey::from_query_result(&row, "").map_err(read)?)?;
            }
        }
        let of_request = OfRequest::from_query_result(&row, "").map_err(read)?;
        let kept = match of_request {
            OfRequest {
                fingerprint: Some(fingerprint),
                version: Some(version),
                response: Some(response),
            } => Some(Kept { fingerprint, version, response }),
            _ => None,
        };
        Ok((standing, kept))
    }
}

fn role(word: &str) -> Result<Role, Fault> {
    Role::parse(word).ok_or_else(|| Fault::internal("a stored role does not read"))
}

fn stored_user(row: OfUser) -> Result<Option<StoredUser>, Fault> {
    let OfUser { role: word, disabled, token_generation, kept_session: kept } = row;
    let (Some(word), Some(disabled), Some(generation)) = (word, disabled, token_generation) else {
        return Ok(None);
    };
    Ok(Some(StoredUser { role: role(&word)?, disabled, generation, kept }))
}

fn stored_key(row: OfKey) -> Result<Option<StoredKey>, Fault> {
    let (Some(word), Some(scopes), Some(act_for)) = (row.account_role, row.scopes, row.act_for)
    else {
        return Ok(None);
    };
    let senseless = |e| Fault::internal(format!("a stored API key does not read: {e}"));
    Ok(Some(StoredKey {
        scopes: serde_json::from_value(scopes).map_err(senseless)?,
        role: role(&word)?,
        act_for: serde_json::from_value(act_for).map_err(senseless)?,
    }))
}
