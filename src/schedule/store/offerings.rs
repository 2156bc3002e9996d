//! Offerings as rows.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, IdenStatic as _, QueryFilter,
    QueryOrder, QueryResult, QuerySelect, QueryTrait, sea_query::ExprTrait,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::schedule::offering::Offering;
use crate::{
    catalogue,
    identity::permit::ListTypes,
    kernel::{
        fault::Fault,
        id::{ProviderId, TypeId},
        time::Instant,
    },
    storage::{
        Executor, Tx, engine,
        entity::{appointment_types, offerings, providers},
        readable::{self, PagePosition},
    },
};

/// Which offerings to list: of a type or of a provider.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// The bounds that the caller has.
    pub bounds: ListTypes,
    /// Only of this type, which the caller may see, if set.
    pub type_id: Option<TypeId>,
    /// Only of this provider, if set.
    pub provider: Option<ProviderId>,
}

/// The last offering of a page.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OfferingCursor {
    /// When it began.
    pub at: Instant,
    /// Id of the provider.
    pub provider: Uuid,
    /// The id of the offered type.
    pub type_id: Uuid,
}

/// Finds what a provider offers of a type.
pub async fn find(
    at: &impl Executor,
    provider: ProviderId,
    type_id: TypeId,
) -> Result<Option<Offering>, Fault> {
    let row = offerings::Entity::find_by_id((provider.0, type_id.0)).one(at.db()).await;
    Ok(row.map_err(|e| engine::fault(&e))?.map(offering))
}

/// Offerings after this one, oldest first, each with the time when it began.
pub async fn list(
    at: &impl Executor,
    filter: &Filter,
    after: Option<OfferingCursor>,
    limit: u64,
) -> Result<Vec<(Offering, Instant)>, Fault> {
    use offerings::Column;
    let mut query = offerings::Entity::find();
    if let Some(id) = filter.type_id {
        query = query.filter(Column::TypeId.eq(id.0));
    }
    if let Some(id) = filter.provider {
        query = query.filter(Column::ProviderId.eq(id.0));
    }
    let ListTypes { everything, own } = filter.bounds;
    if !everything {
        let bookable = providers::Entity::find()
            .select_only()
            .column(providers::Column::ProviderId)
            .filter(providers::Column::Enabled.eq(true));
        query = query.filter(Column::ProviderId.in_subquery(bookable.into_query()));
    }
    // Who names a type may see it; what a provider offers beside is shown where everybody sees the type.
    if !everything && filter.type_id.is_none() {
        let public = appointment_types::Entity::find()
            .select_only()
            .column(appointment_types::Column::TypeId)
            .filter(appointment_types::Column::Archived.eq(false))
            .filter(catalogue::store::is_private(at.engine()).not());
        let mut visible = Condition::any().add(Column::TypeId.in_subquery(public.into_query()));
        if let Some(own) = own {
            visible = visible.add(Column::ProviderId.eq(own.0));
        }
        query = query.filter(visible);
    }
    let later = |OfferingCursor { at, provider, type_id }: &OfferingCursor| {
        let later =
            Condition::all().add(Column::ProviderId.eq(*provider)).add(Column::TypeId.gt(*type_id));
        let later = Condition::any().add(Column::ProviderId.gt(*provider)).add(later);
        let later = Condition::all().add(Column::CreatedAt.eq(*at)).add(later);
        Condition::any().add(Column::CreatedAt.gt(*at)).add(later)
    };
    let of = |row: &QueryResult| {
        let id = |column: Column| row.try_get("", column.as_str());
        let at = row.try_get("", Column::CreatedAt.as_str())?;
        Ok(OfferingCursor { at, provider: id(Column::ProviderId)?, type_id: id(Column::TypeId)? })
    };
    let query = query
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::ProviderId)
        .order_by_asc(Column::TypeId);
    let began = |row: offerings::Model| {
        let began = row.created_at;
        Ok((offering(row), began))
    };
    readable::page(at, query, PagePosition { after, later, of }, limit, began).await
}

/// Adds an offering.
pub async fn insert(tx: &Tx, new: &Offering, now: Instant) -> Result<(), Fault> {
    let row = offerings::ActiveModel {
        provider_id: Set(new.provider.0),
        type_id: Set(new.type_id.0),
        schedule_id: Set(new.schedule.clone()),
        created_at: Set(now),
    };
    offerings::Entity::insert(row)
        .exec_without_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Writes back by which schedule something is offered.
pub async fn update(tx: &Tx, changed: &Offering) -> Result<(), Fault> {
    offerings::Entity::update_many()
        .col_expr(offerings::Column::ScheduleId, changed.schedule.clone().into())
        .filter(offerings::Column::ProviderId.eq(changed.provider.0))
        .filter(offerings::Column::TypeId.eq(changed.type_id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Deletes an offering. Whether there was one.
pub async fn delete(tx: &Tx, provider: ProviderId, type_id: TypeId) -> Result<bool, Fault> {
    let done = offerings::Entity::delete_by_id((provider.0, type_id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(done.rows_affected > 0)
}

fn offering(row: offerings::Model) -> Offering {
    Offering {
        provider: ProviderId(row.provider_id),
        type_id: TypeId(row.type_id),
        schedule: row.schedule_id,
    }
}
