//! Stored events: what the server wrote is what it reads.

use daybook::{
    events::{
        EventData, ProviderEventKind,
        audit::{AuditAction, AuditData},
        types::{TypeEvent, TypeEventKind},
        users::{UserEvent, UserEventKind},
    },
    storage::entity::{audit_events, events, type_events, user_events},
};
use sea_orm::{DatabaseConnection, EntityTrait};
use serde_json::Value;

/// Asserts that a stored detail is read, and written as it was. Of a hold that was erased the type may be null, which
/// is not written again.
macro_rules! is_read {
    ($db:expr, $table:ident, $Kind:ident, $Data:ident) => {
        for row in $table::Entity::find().all($db).await.unwrap() {
            // A test may have written a kind of a newer version.
            let Some(kind) = $Kind::parse(&row.kind) else { continue };
            let data = $Data::decode(kind, row.detail.clone());
            let data = data.unwrap_or_else(|e| panic!("{} {}: {e}", row.kind, row.detail));
            let again = data.encode().unwrap();
            assert_eq!(without_nulls(again), without_nulls(row.detail), "{}", row.kind);
        }
    };
}

/// Asserts that every stored event is read by the type of its data.
pub async fn all_are_read(db: &DatabaseConnection) {
    is_read!(db, events, ProviderEventKind, EventData);
    is_read!(db, type_events, TypeEventKind, TypeEvent);
    is_read!(db, user_events, UserEventKind, UserEvent);
    is_read!(db, audit_events, AuditAction, AuditData);
}

fn without_nulls(detail: Value) -> Value {
    match detail {
        Value::Object(fields) => {
            fields.into_iter().filter(|(_, value)| !value.is_null()).collect::<Value>()
        }
        other => other,
    }
}
