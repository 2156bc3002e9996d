//! Appointment types as rows.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{Expr, ExprTrait, LockType},
};
use serde_json::Value;
use uuid::Uuid;

use super::{AppointmentType, Terms};
use crate::{
    events::types::TypeEvent,
    identity::permit::ListTypes,
    kernel::{
        fault::Fault,
        id::{ProviderId, TypeId, UserId},
        stamp::Stamp,
        time::Instant,
    },
    storage::{
        Engine, Executor, Tx, engine,
        entity::{appointment_types, appointments, offerings, providers, type_events},
        readable,
    },
};

/// Which types to list.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// The bounds that the caller has.
    pub bounds: ListTypes,
    /// Only what this provider offers, if set.
    pub provider: Option<ProviderId>,
    /// Also archived ones, of those that the caller manages.
    pub archived: bool,
}

/// Finds a type.
pub async fn find(at: &impl Executor, id: TypeId) -> Result<Option<AppointmentType>, Fault> {
    let row = appointment_types::Entity::find_by_id(id.0).one(at.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(appointment_type).transpose()
}

/// Finds a type and locks it until the transaction ends. Every change of a type begins with this, which
/// is what makes its versions gap-free and in commit order.
pub async fn lock(tx: &Tx, id: TypeId) -> Result<Option<AppointmentType>, Fault> {
    let mut query = appointment_types::Entity::find_by_id(id.0);
    if tx.engine() == Engine::Postgres {
        // NO KEY, so that foreign-key checks of other transactions do not wait.
        query = query.lock(LockType::NoKeyUpdate);
    }
    let row = query.one(tx.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(appointment_type).transpose()
}

/// Whether a provider offers a type.
pub async fn offers(at: &impl Executor, provider: ProviderId, id: TypeId) -> Result<bool, Fault> {
    let row = offerings::Entity::find_by_id((provider.0, id.0)).one(at.db()).await;
    Ok(row.map_err(|e| engine::fault(&e))?.is_some())
}

/// The types after this one in the order of their ids, which is the order of their making.
pub async fn list(
    at: &impl Executor,
    filter: &Filter,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<AppointmentType>, Fault> {
    use appointment_types::Column;
    let mut query = appointment_types::Entity::find();
    if let Some(provider) = filter.provider {
        query = query.filter(offered_by(provider));
    }
    let ListTypes { everything, own } = filter.bounds;
    if !everything {
        let bookable = providers::Entity::find()
            .select_only()
            .column(providers::Column::ProviderId)
            .filter(providers::Column::Enabled.eq(true));
        let mut visible = Condition::any().add(
            Condition::all().add(is_private(at.engine()).not()).add(
                Condition::any()
                    .add(Column::OwnerId.is_null())
                    .add(Column::OwnerId.in_subquery(bookable.into_query())),
            ),
        );
        if let Some(own) = own {
            visible = visible.add(Column::OwnerId.eq(own.0)).add(offered_by(own));
        }
        query = query.filter(visible);
    }
    if !(filter.archived && everything) {
        let mut shown = Condition::any().add(Column::Archived.eq(false));
        if let Some(own) = own.filter(|_| filter.archived) {
            shown = shown.add(Column::OwnerId.eq(own.0));
        }
        query = query.filter(shown);
    }
    readable::page_by_id(at, query, Column::TypeId, (after, limit), appointment_type).await
}

/// The provider's own types after this one, in the order of their ids.
pub async fn owned_by(
    at: &impl Executor,
    owner: ProviderId,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<AppointmentType>, Fault> {
    use appointment_types::Column;
    let query = appointment_types::Entity::find().filter(Column::OwnerId.eq(owner.0));
    readable::page_by_id(at, query, Column::TypeId, (after, limit), appointment_type).await
}

/// Whether a row of the types is private. One that does not say so clearly is, and is no error for the others.
pub fn is_private(engine: Engine) -> Expr {
    Expr::cust(match engine {
        Engine::Postgres => "((terms ->> 'private') IS DISTINCT FROM 'false')",
        Engine::Sqlite => {
            "coalesce(CASE WHEN json_valid(terms) THEN json_extract(terms, '$.private') END, 1)"
        }
    })
}

/// Whether somebody has an appointment of a type that is requested or booked and not over.
pub async fn is_agreed(
    at: &impl Executor,
    customer: UserId,
    id: TypeId,
    now: Instant,
) -> Result<bool, Fault> {
    use appointments::Column;
    let found: Option<Uuid> = appointments::Entity::find()
        .select_only()
        .column(Column::AppointmentId)
        .filter(Column::CustomerId.eq(customer.0))
        .filter(Column::TypeId.eq(id.0))
        .filter(Column::ClaimOf.is_null())
        .filter(Column::State.is_in(["pending", "booked"]))
        .filter(Column::EndsAt.gt(now))
        .filter(Condition::any().add(Column::ExpiresAt.is_null()).add(Column::ExpiresAt.gt(now)))
        .limit(1)
        .into_tuple()
        .one(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(found.is_some())
}

/// Adds a type.
pub async fn insert(tx: &Tx, new: &AppointmentType) -> Result<(), Fault> {
    let row = appointment_types::ActiveModel {
        type_id: Set(new.id.0),
        owner_id: Set(new.owner.map(|owner| owner.0)),
        link_code: Set(new.link_code.clone()),
        created_at: Set(new.created_at),
        ..active(tx, new)?
    };
    appointment_types::Entity::insert(row)
        .exec_without_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Writes back a type that was locked before.
pub async fn update(tx: &Tx, changed: &AppointmentType) -> Result<(), Fault> {
    appointment_types::Entity::update_many()
        .set(active(tx, changed)?)
        .col_expr(appointment_types::Column::LinkCode, changed.link_code.clone().into())
        .filter(appointment_types::Column::TypeId.eq(changed.id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Appends to the history of a type, in the transaction of the change.
pub async fn record(
    tx: &Tx,
    changed: &AppointmentType,
    actor: UserId,
    at: Instant,
    event: &TypeEvent,
) -> Result<(), Fault> {
    let row = type_events::ActiveModel {
        type_id: Set(changed.id.0),
        version: Set(changed.version),
        kind: Set(event.kind().word().to_owned()),
        actor_id: Set(Some(actor.0)),
        occurred_at: Set(at),
        detail: Set(event.encode()?),
    };
    type_events::Entity::insert(row)
        .exec_without_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

fn offered_by(provider: ProviderId) -> Expr {
    let offered = offerings::Entity::find()
        .select_only()
        .column(offerings::Column::TypeId)
        .filter(offerings::Column::ProviderId.eq(provider.0));
    appointment_types::Column::TypeId.in_subquery(offered.into_query())
}

fn active(tx: &Tx, changed: &AppointmentType) -> Result<appointment_types::ActiveModel, Fault> {
    Ok(appointment_types::ActiveModel {
        terms: Set(encode(&changed.terms)?),
        archived: Set(changed.archived),
        version: Set(changed.version),
        updated_at: Set(changed.updated_at),
        stamp: Set(tx.stamp().0),
        ..Default::default()
    })
}

/// Terms as they are stored.
fn encode(terms: &Terms) -> Result<Value, Fault> {
    serde_json::to_value(terms).map_err(|e| Fault::internal(format!("terms do not encode: {e}")))
}

fn appointment_type(row: appointment_types::Model) -> Result<AppointmentType, Fault> {
    let id = row.type_id;
    let terms = serde_json::from_value(row.terms)
        .map_err(|e| Fault::internal(format!("appointment_types row {id}: {e}")))?;
    Ok(AppointmentType {
        id: TypeId(id),
        owner: row.owner_id.map(ProviderId),
        terms,
        link_code: row.link_code,
        archived: row.archived,
        version: row.version,
        stamp: Stamp(row.stamp),
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
