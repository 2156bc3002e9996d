//! Erasures as rows, and what they take from other rows.

pub mod appointments;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockType},
};
use uuid::Uuid;

use super::Erasure;
use crate::{
    accounts::User,
    events::erase,
    identity::Role,
    kernel::{
        fault::Fault,
        id::{ProviderId, TypeId, UserId},
        time::Instant,
    },
    storage::{
        Engine, Executor, Tx, engine,
        entity::{
            appointment_types, audit_events, email_codes, erasures, events, offerings,
            recovery_codes, requests, second_factors, sessions, type_events, user_events, users,
        },
        readable,
    },
};

/// The admins who may act, locked in the order of their ids.
pub async fn lock_admins(tx: &Tx) -> Result<Vec<UserId>, Fault> {
    let mut query = users::Entity::find()
        .filter(users::Column::Role.eq(Role::Admin.word()))
        .filter(users::Column::Disabled.eq(false))
        .filter(users::Column::ErasedAt.is_null())
        .order_by_asc(users::Column::UserId);
    if tx.engine() == Engine::Postgres {
        query = query.lock(LockType::Update);
    }
    let rows: Vec<Uuid> = query
        .select_only()
        .column(users::Column::UserId)
        .into_tuple()
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(rows.into_iter().map(UserId).collect())
}

/// Notes in a locked account that it was erased, and removes what is kept beside it: sessions, second
/// factor, codes, answers to requests; and what its records say beyond that something happened.
pub async fn erase(tx: &Tx, before: &User, now: Instant) -> Result<(), Fault> {
    let (db, id) = (tx.db(), before.id.0);
    let fault = |e: sea_orm::DbErr| engine::fault(&e);
    users::Entity::update_many()
        .col_expr(users::Column::ErasedAt, Expr::value(now))
        .filter(users::Column::UserId.eq(id))
        .exec(db)
        .await
        .map_err(fault)?;
    let of = sessions::Column::UserId.eq(id);
    sessions::Entity::delete_many().filter(of).exec(db).await.map_err(fault)?;
    let of = recovery_codes::Column::UserId.eq(id);
    recovery_codes::Entity::delete_many().filter(of).exec(db).await.map_err(fault)?;
    let of = second_factors::Column::UserId.eq(id);
    second_factors::Entity::delete_many().filter(of).exec(db).await.map_err(fault)?;
    let of = Condition::any()
        .add(email_codes::Column::UserId.eq(id))
        .add(email_codes::Column::Email.eq(before.email.as_str()));
    email_codes::Entity::delete_many().filter(of).exec(db).await.map_err(fault)?;
    forget_requests(tx, before.id).await?;
    user_events::Entity::update_many()
        .col_expr(user_events::Column::Detail, Expr::value(erase::nothing()))
        .filter(user_events::Column::UserId.eq(id))
        .exec(db)
        .await
        .map_err(fault)?;
    // What happened, when and to whom stays; from where the person acted does not, nor the ids of calls,
    // which are what a client likes to write there.
    audit_events::Entity::update_many()
        .col_expr(audit_events::Column::Address, Expr::value(""))
        .col_expr(audit_events::Column::CallId, Expr::value(""))
        .filter(
            Condition::any()
                .add(audit_events::Column::UserId.eq(id))
                .add(audit_events::Column::ActorId.eq(id)),
        )
        .exec(db)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Forgets the answers that the account got, and those about it. Answers to customers of the provider that
/// it may be are theirs: they are appointments.
async fn forget_requests(tx: &Tx, user: UserId) -> Result<(), Fault> {
    use requests::Column;
    let own = Condition::all()
        .add(Column::OwnerId.eq(user.0))
        // Within a text of JSON the quotes would be escaped.
        .add(Column::Response.not_like("%\"customer_display_name\":\"%"));
    let done = requests::Entity::delete_many()
        .filter(Condition::any().add(Column::CallerId.eq(user.0)).add(own))
        .exec(tx.db())
        .await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// The provider's own types.
pub async fn own_types(tx: &Tx, provider: ProviderId) -> Result<Vec<TypeId>, Fault> {
    let ids: Vec<Uuid> = appointment_types::Entity::find()
        .select_only()
        .column(appointment_types::Column::TypeId)
        .filter(appointment_types::Column::OwnerId.eq(provider.0))
        .order_by_asc(appointment_types::Column::TypeId)
        .into_tuple()
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(ids.into_iter().map(TypeId).collect())
}

/// Forgets what the history of a type says beyond that it changed, and the answers about it.
pub async fn forget_type_details(tx: &Tx, id: TypeId) -> Result<(), Fault> {
    type_events::Entity::update_many()
        .col_expr(type_events::Column::Detail, Expr::value(erase::nothing()))
        .filter(type_events::Column::TypeId.eq(id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let done = requests::Entity::delete_many()
        .filter(requests::Column::OwnerId.eq(id.0))
        .exec(tx.db())
        .await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Withdraws everything that a locked provider offers.
pub async fn withdraw_all(tx: &Tx, provider: ProviderId) -> Result<(), Fault> {
    let done = offerings::Entity::delete_many()
        .filter(offerings::Column::ProviderId.eq(provider.0))
        .exec(tx.db())
        .await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Forgets what the provider's events say beyond what happened, where they are not about appointments.
pub async fn forget_schedule_details(tx: &Tx, provider: ProviderId) -> Result<(), Fault> {
    let done = events::Entity::update_many()
        .col_expr(events::Column::Detail, Expr::value(erase::nothing()))
        .filter(events::Column::ProviderId.eq(provider.0))
        .filter(events::Column::AppointmentId.is_null())
        .exec(tx.db())
        .await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Notes that there is something left to do.
pub async fn insert(tx: &Tx, erasure: Erasure) -> Result<(), Fault> {
    let row = erasures::ActiveModel {
        user_id: Set(erasure.user.0),
        actor_id: Set(erasure.actor.0),
        created_at: Set(erasure.at),
    };
    let done = erasures::Entity::insert(row).exec_without_returning(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// The erasures that are not finished, the oldest first, but for some that wait.
pub async fn list(
    at: &impl Executor,
    waiting: &[UserId],
    limit: u64,
) -> Result<Vec<Erasure>, Fault> {
    let query = erasures::Entity::find()
        .filter(erasures::Column::UserId.is_not_in(waiting.iter().map(|user| user.0)))
        .order_by_asc(erasures::Column::CreatedAt)
        .limit(limit);
    let erasure = |row: erasures::Model| {
        let (user, actor) = (UserId(row.user_id), UserId(row.actor_id));
        Ok(Erasure { user, actor, at: row.created_at })
    };
    readable::all(at, query, erasure).await
}

/// Finds an erasure that is not finished.
pub async fn find(at: &impl Executor, user: UserId) -> Result<Option<Erasure>, Fault> {
    let row = erasures::Entity::find_by_id(user.0).one(at.db()).await;
    Ok(row.map_err(|e| engine::fault(&e))?.map(|row| Erasure {
        user,
        actor: UserId(row.actor_id),
        at: row.created_at,
    }))
}

/// Nothing is left to do. Takes once more what calls under way may have written meanwhile.
pub async fn finish(tx: &Tx, user: UserId) -> Result<(), Fault> {
    let of = email_codes::Column::UserId.eq(user.0);
    let done = email_codes::Entity::delete_many().filter(of).exec(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    let of = requests::Column::CallerId.eq(user.0);
    let done = requests::Entity::delete_many().filter(of).exec(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    let done = erasures::Entity::delete_by_id(user.0).exec(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}
