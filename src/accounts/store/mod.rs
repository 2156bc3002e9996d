//! Accounts as rows.

mod queries;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::TimeDelta;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, DatabaseBackend, DbErr, EntityTrait, IdenStatic as _,
    QueryFilter, QueryOrder, QueryResult, QuerySelect, Select, Statement, sea_query::LockType,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    accounts::{Prefix, User, customers},
    events::users::UserEvent,
    identity::{Role, TokenCutoff, email::Email, phone::Phone},
    kernel::{
        fault::{Fault, Reason},
        id::UserId,
        stamp::Stamp,
        time::Instant,
        zone::Zone,
    },
    storage::{
        Engine, Executor, Tx,
        engine::{self, Constraint},
        entity::{user_events, users},
        readable::{self, PagePosition},
    },
};

pub(crate) use queries::{ByEmail, ById, existing};

/// An account with what is needed to log in. Does not print the hash.
#[derive(Clone)]
pub struct Account {
    /// What others may see.
    pub user: User,
    /// The PHC string of the password; empty where there is none yet.
    pub password_hash: String,
    /// Tokens of an earlier generation are no longer accepted.
    pub token_generation: i64,
    /// Who made it, where that was not its owner. Stays as it was when it was made.
    pub enrolled_by: Option<UserId>,
}

impl Account {
    /// The generation whose tokens are accepted once those before `now` are ended: later than any before, also
    /// than those that a failover or a restore took out of the database and that are still in tokens.
    pub fn next_generation(&self, now: Instant) -> i64 {
        (self.token_generation + 1).max(now.timestamp_micros())
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Finds an account. One that was erased is not found, here and below.
pub async fn find(at: &impl Executor, id: UserId) -> Result<Option<Account>, Fault> {
    let row = present().filter(users::Column::UserId.eq(id.0)).one(at.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(account).transpose()
}

/// Finds the account that logs in with this address.
///
/// Reads the first account whose address is this one or comes after it, so that there is a row to read
/// and to decode for an address that nobody has, too: 70 µs of difference told them apart.
pub async fn find_by_email(at: &impl Executor, email: &Email) -> Result<Option<Account>, Fault> {
    // Also those that were erased, which have an address that nobody can give: whoever asks for one just before
    // theirs must not have to go through all of them.
    let row = users::Entity::find()
        .filter(users::Column::Email.gte(email.as_str()))
        .order_by_asc(users::Column::Email)
        .limit(1);
    let rows = readable::rows(at, row).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let found: Result<String, _> = row.try_get("", users::Column::Email.as_str());
    let is_it = found.is_ok_and(|found| found == email.as_str());
    // Decoded in any case, and what is wrong with somebody else's row is nobody's concern here.
    let found = readable::decoded(row).and_then(account);
    if is_it { found.map(Some) } else { Ok(None) }
}

/// Finds an account and locks it until the transaction ends.
pub async fn lock(tx: &Tx, id: UserId) -> Result<Option<Account>, Fault> {
    lock_with(tx, id, LockType::NoKeyUpdate).await
}

/// Finds an account whose holder books. Keeps it from being erased until the transaction ends, and nothing
/// else from happening to it: after an erasure nobody books with what was read before it.
pub async fn find_to_book(tx: &Tx, id: UserId) -> Result<Option<Account>, Fault> {
    lock_with(tx, id, LockType::KeyShare).await
}

/// Finds an account whose name is to be corrected, and locks it until the transaction ends. Waits for bookings that
/// are under way, which have read the name, so that none is made with the old one afterwards.
pub async fn lock_to_rename(tx: &Tx, id: UserId) -> Result<Option<Account>, Fault> {
    lock_with(tx, id, LockType::Update).await
}

/// Finds an account that is to be erased, and locks it until the transaction ends. Waits for bookings that
/// are under way.
pub async fn lock_to_erase(tx: &Tx, id: UserId) -> Result<Option<Account>, Fault> {
    lock_with(tx, id, LockType::Update).await
}

async fn lock_with(tx: &Tx, id: UserId, lock: LockType) -> Result<Option<Account>, Fault> {
    let mut query = present().filter(users::Column::UserId.eq(id.0));
    if tx.engine() == Engine::Postgres {
        query = query.lock(lock);
    }
    let row = query.one(tx.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(account).transpose()
}

/// How many names one statement reads at most.
const NAMES_AT_ONCE: usize = 500;

/// The names of these accounts, as far as they are there.
pub async fn names(
    at: &impl Executor,
    ids: &BTreeSet<UserId>,
) -> Result<BTreeMap<UserId, String>, Fault> {
    let (ids, mut names) = (ids.iter().map(|id| id.0).collect::<Vec<_>>(), BTreeMap::new());
    for some in ids.chunks(NAMES_AT_ONCE) {
        let found: Vec<(Uuid, String)> = users::Entity::find()
            .select_only()
            .columns([users::Column::UserId, users::Column::DisplayName])
            .filter(users::Column::UserId.is_in(some.iter().copied()))
            .into_tuple()
            .all(at.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        names.extend(found.into_iter().map(|(id, name)| (UserId(id), name)));
    }
    Ok(names)
}

/// The accounts that were not erased.
fn present() -> Select<users::Entity> {
    users::Entity::find().filter(users::Column::ErasedAt.is_null())
}

/// Finds two accounts and locks them until the transaction ends. In the order of their ids, so that
/// two callers who lock the same two do not wait for each other in a circle.
pub async fn lock_both(
    tx: &Tx,
    one: UserId,
    other: UserId,
) -> Result<(Option<Account>, Option<Account>), Fault> {
    let mut query = present()
        .filter(users::Column::UserId.is_in([one.0, other.0]))
        .order_by_asc(users::Column::UserId);
    if tx.engine() == Engine::Postgres {
        query = query.lock(LockType::NoKeyUpdate);
    }
    let rows = query.all(tx.db()).await.map_err(|e| engine::fault(&e))?;
    let mut found = (None, None);
    for row in rows {
        let account = account(row)?;
        if account.user.id == one {
            found.0 = Some(account);
        } else {
            found.1 = Some(account);
        }
    }
    Ok(found)
}

/// The same, where the second one becomes a provider: what it is booking as a customer is waited for, since its
/// own time is claimed by that from now on.
pub async fn lock_both_to_open(
    tx: &Tx,
    one: UserId,
    other: UserId,
) -> Result<(Option<Account>, Option<Account>), Fault> {
    if one.0 < other.0 {
        let found = lock(tx, one).await?;
        return Ok((found, lock_to_erase(tx, other).await?));
    }
    let other = lock_to_erase(tx, other).await?;
    Ok((lock(tx, one).await?, other))
}

/// Locks two accounts, one of which is to be erased, in the order of their ids; the first of the two, if
/// it is there.
pub async fn lock_both_to_erase(
    tx: &Tx,
    one: UserId,
    erased: UserId,
) -> Result<Option<Account>, Fault> {
    if one.0 < erased.0 {
        let found = lock(tx, one).await?;
        lock_to_erase(tx, erased).await?;
        return Ok(found);
    }
    lock_to_erase(tx, erased).await?;
    lock(tx, one).await
}

/// Locks two accounts, one of which goes into the other one, in the order of their ids: whoever books for either is
/// waited for.
pub async fn lock_both_to_merge(
    tx: &Tx,
    one: UserId,
    other: UserId,
) -> Result<(Option<Account>, Option<Account>), Fault> {
    if one.0 < other.0 {
        let found = lock_to_erase(tx, one).await?;
        return Ok((found, lock_to_erase(tx, other).await?));
    }
    let other = lock_to_erase(tx, other).await?;
    Ok((lock_to_erase(tx, one).await?, other))
}

/// Which accounts to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// What the address, the name or a word of it begins with.
    pub prefix: Option<Prefix>,
    /// Only with this role, if set.
    pub role: Option<Role>,
    /// Only those that are shut out, or are not, if set.
    pub disabled: Option<bool>,
}

/// How many accounts are looked at at a time for a prefix.
const LOOKED_AT: u64 = 500;

/// The accounts after this one in the order of their ids, which is the order of their making.
pub async fn list(
    at: &impl Executor,
    filter: &Filter,
    mut after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<User>, Fault> {
    let user = |row| Ok(account(row)?.user);
    let mut query = present();
    if let Some(role) = filter.role {
        query = query.filter(users::Column::Role.eq(role.word()));
    }
    if let Some(disabled) = filter.disabled {
        query = query.filter(users::Column::Disabled.eq(disabled));
    }
    let id = users::Column::UserId;
    let Some(prefix) = &filter.prefix else {
        return readable::page_by_id(at, query, id, (after, limit), user).await;
    };
    // Compared here: SQLite knows only the cases of ASCII.
    let (mut found, size) = (Vec::new(), usize::try_from(limit).unwrap_or(usize::MAX));
    loop {
        let some = readable::page_by_id(at, query.clone(), id, (after, LOOKED_AT), user).await?;
        let is_last = u64::try_from(some.len()).is_ok_and(|count| count < LOOKED_AT);
        after = some.last().map(|user| user.id.0);
        found.extend(some.into_iter().filter(|user| prefix.begins(user)));
        if is_last || found.len() >= size {
            found.truncate(size);
            return Ok(found);
        }
    }
}

/// Whose tokens were ended since then, what is still accepted from them, and when that was.
pub async fn ended_since(
    at: &impl Executor,
    since: Instant,
) -> Result<HashMap<UserId, (TokenCutoff, Instant)>, Fault> {
    let query = users::Entity::find()
        .select_only()
        .columns([
            users::Column::UserId,
            users::Column::TokenGeneration,
            users::Column::KeptSession,
            users::Column::TokensEndedAt,
        ])
        .filter(users::Column::TokensEndedAt.gte(since));
    let ended = |row: &QueryResult| {
        let user = row.try_get::<Uuid>("", users::Column::UserId.as_str()).ok()?;
        let least = row.try_get("", users::Column::TokenGeneration.as_str());
        let kept = row.try_get("", users::Column::KeptSession.as_str());
        let at = row.try_get("", users::Column::TokensEndedAt.as_str());
        // Where it cannot be read which tokens are still good, none is.
        let ended = match (least, kept) {
            (Ok(least), Ok(kept)) => TokenCutoff { least, kept },
            (least, kept) => {
                let cause = [least.err(), kept.err()].into_iter().flatten().next();
                let cause = cause.map(|e| e.to_string()).unwrap_or_default();
                readable::left_out("users", &user.to_string(), &Fault::internal(cause));
                TokenCutoff { least: i64::MAX, kept: None }
            }
        };
        Some((UserId(user), (ended, at.unwrap_or(since))))
    };
    Ok(readable::rows(at, query).await?.iter().filter_map(ended).collect())
}

/// Adds an account. `EMAIL_TAKEN` when there is one with this address.
pub async fn insert(tx: &Tx, account: &Account) -> Result<(), Fault> {
    let user = &account.user;
    let row = users::ActiveModel {
        user_id: Set(user.id.0),
        created_at: Set(user.created_at),
        kept_session: Set(None),
        tokens_ended_at: Set(None),
        erased_at: Set(None),
        enrolled_by: Set(account.enrolled_by.map(|id| id.0)),
        merged_into: Set(None),
        ..active(account)
    };
    let done = users::Entity::insert(row).exec_without_returning(tx.db()).await;
    done.map_err(|e| taken(&e))?;
    customers::store::index(tx, user).await
}

/// Writes back an account that was locked before. With `ended`, its tokens of earlier generations
/// stop being accepted. `EMAIL_TAKEN` when another one has its address.
pub async fn update(
    tx: &Tx,
    account: &Account,
    ended: Option<(TokenCutoff, Instant)>,
) -> Result<(), Fault> {
    let mut row = active(account);
    if let Some((ended, at)) = ended {
        row.token_generation = Set(ended.least);
        row.kept_session = Set(ended.kept);
        row.tokens_ended_at = Set(Some(at));
    }
    users::Entity::update_many()
        .set(row)
        .filter(users::Column::UserId.eq(account.user.id.0))
        .exec(tx.db())
        .await
        .map_err(|e| taken(&e))?;
    customers::store::index(tx, &account.user).await
}

fn taken(error: &DbErr) -> Fault {
    if engine::violated(error) == Some(Constraint::Email) {
        return Fault::new(Reason::EmailTaken, "an account with this email address exists")
            .field("email", "must not belong to an account");
    }
    engine::fault(error)
}

/// Appends to the history of an account, in the transaction of the change.
pub async fn record(
    tx: &Tx,
    user: &User,
    actor: Option<UserId>,
    at: Instant,
    event: &UserEvent,
) -> Result<(), Fault> {
    let row = user_events::ActiveModel {
        user_id: Set(user.id.0),
        version: Set(user.version),
        kind: Set(event.kind().word().to_owned()),
        actor_id: Set(actor.map(|id| id.0)),
        occurred_at: Set(at),
        detail: Set(event.encode()?),
    };
    user_events::Entity::insert(row)
        .exec_without_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Something that happened to an account, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// Version of the account after this event.
    pub version: i64,
    /// The word of its kind.
    pub kind: String,
    /// Who did it, if that is known.
    pub actor: Option<UserId>,
    /// The time at which it happened, UTC.
    pub at: Instant,
    /// More about it, as it stands: it is told as JSON.
    pub detail: Value,
}

/// The history of an account after this number, oldest first.
pub async fn history(
    at: &impl Executor,
    user: UserId,
    after: i64,
    limit: u64,
) -> Result<Vec<Happened>, Fault> {
    let query = user_events::Entity::find()
        .filter(user_events::Column::UserId.eq(user.0))
        .order_by_asc(user_events::Column::Version);
    let place = PagePosition {
        after: Some(after),
        later: |after: &i64| Condition::all().add(user_events::Column::Version.gt(*after)),
        of: |row: &QueryResult| row.try_get("", user_events::Column::Version.as_str()),
    };
    let happened = |row: user_events::Model| {
        Ok(Happened {
            version: row.version,
            kind: row.kind,
            actor: row.actor_id.map(UserId),
            at: row.occurred_at,
            detail: row.detail,
        })
    };
    readable::page(at, query, place, limit, happened).await
}

fn active(account: &Account) -> users::ActiveModel {
    let user = &account.user;
    users::ActiveModel {
        email: Set(user.email.as_str().to_owned()),
        email_verified_at: Set(user.email_verified_at),
        display_name: Set(user.display_name.clone()),
        phone: Set(user.phone.as_ref().map(|phone| phone.as_str().to_owned()).unwrap_or_default()),
        password_hash: Set(account.password_hash.clone()),
        role: Set(user.role.word().to_owned()),
        time_zone: Set(user.time_zone.name().to_owned()),
        disabled: Set(user.disabled),
        token_generation: Set(account.token_generation),
        version: Set(user.version),
        stamp: Set(user.stamp.0),
        updated_at: Set(user.updated_at),
        ..Default::default()
    }
}

pub(in crate::accounts) fn account(row: users::Model) -> Result<Account, Fault> {
    let id = row.user_id;
    let senseless = |what: &str| Fault::internal(format!("users row {id}: {what}"));
    Ok(Account {
        user: User {
            id: UserId(id),
            display_name: row.display_name,
            email: Email::stored(row.email),
            email_verified_at: row.email_verified_at,
            phone: (!row.phone.is_empty()).then(|| Phone::stored(row.phone)),
            role: Role::parse(&row.role).ok_or_else(|| senseless("unknown role"))?,
            time_zone: Zone::named(&row.time_zone).ok_or_else(|| senseless("unknown zone"))?,
            disabled: row.disabled,
            has_password: !row.password_hash.is_empty(),
            version: row.version,
            stamp: Stamp(row.stamp),
            created_at: row.created_at,
            updated_at: row.updated_at,
        },
        password_hash: row.password_hash,
        token_generation: row.token_generation,
        enrolled_by: row.enrolled_by.map(UserId),
    })
}

// Only what claims time: what was cancelled is over. Another stamp is another etag, for the customer too: what was
// hidden from them before is no reason to show them an older state. No appointment is longer than a day; the bound
// gives the index something to begin at.
const RENAME: &str = "UPDATE appointments
    SET customer_display_name = $1, stamp = $2, updated_at = $3, customer_updated_at = NULL, terms = {terms}
    WHERE customer_id = $4 AND claim_of IS NULL AND starts_at > $5 AND ends_at > $3
      AND state IN ('held', 'pending', 'booked', 'completed', 'no_show') AND customer_display_name <> $1";

/// Writes the name of an account, which is locked with [`lock_to_rename`], into what it has booked, asked for or
/// holds and has not ended. What is over keeps the name of that time.
pub async fn rename_appointments(tx: &Tx, user: &User, now: Instant) -> Result<(), Fault> {
    let (backend, terms) = match tx.engine() {
        Engine::Postgres => (
            DatabaseBackend::Postgres,
            "CASE WHEN jsonb_typeof(terms) = 'object' THEN terms - 'shown' ELSE terms END",
        ),
        Engine::Sqlite => (
            DatabaseBackend::Sqlite,
            "CASE WHEN json_valid(terms) THEN json_remove(terms, '$.shown') ELSE terms END",
        ),
    };
    let values: [sea_orm::Value; 5] = [
        user.display_name.clone().into(),
        tx.stamp().0.into(),
        now.into(),
        user.id.0.into(),
        (now - TimeDelta::days(1)).into(),
    ];
    let sql = RENAME.replace("{terms}", terms);
    let statement = Statement::from_sql_and_values(backend, sql, values);
    tx.execute(statement).await.map_err(|e| engine::fault(&e))?;
    Ok(())
}
