//! The display names of providers, beside their appointments: the present ones.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryResult, QuerySelect as _,
    sea_query::{Expr, SimpleExpr},
};
use uuid::Uuid;

use crate::{
    booking::Appointment,
    kernel::fault::Fault,
    storage::{Executor, engine, entity::providers, readable},
};

/// The column of a provider's name beside those of an appointment.
pub(super) const COLUMN: &str = "provider_display_name";

/// The name of the provider of an appointment that is selected.
pub(super) fn of_provider() -> SimpleExpr {
    Expr::cust(
        "(SELECT p.display_name FROM providers p WHERE p.provider_id = appointments.provider_id)",
    )
}

/// The name in a row that has it.
fn read(row: &QueryResult) -> String {
    // Of a provider that is not there, or cannot be read, there is no name to tell.
    row.try_get::<Option<String>>("", COLUMN).ok().flatten().unwrap_or_default()
}

/// The appointment of a row that has its provider's name too.
pub(super) fn appointment(row: &QueryResult) -> Result<Appointment, Fault> {
    let found = readable::decoded(row).and_then(super::appointment)?;
    Ok(Appointment { provider_display_name: read(row), ..found })
}

/// Fills in the names of the providers of these appointments.
pub(super) async fn fill(at: &impl Executor, all: &mut [Appointment]) -> Result<(), Fault> {
    let mut ids: Vec<Uuid> = all.iter().map(|a| a.provider.0).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(());
    }
    let names: Vec<(Uuid, String)> = providers::Entity::find()
        .select_only()
        .columns([providers::Column::ProviderId, providers::Column::DisplayName])
        .filter(providers::Column::ProviderId.is_in(ids))
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let mut names: HashMap<Uuid, String> = names.into_iter().collect();
    for each in all {
        each.provider_display_name.clone_from(names.entry(each.provider.0).or_default());
    }
    Ok(())
}
