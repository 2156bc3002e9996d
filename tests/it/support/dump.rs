//! Everything that is stored, to look for what should not be.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};

use super::{Engine, World};

/// Every stored value, as hexadecimal digits of its bytes or of its text.
pub async fn dump(world: &World) -> String {
    let db = world.sql().await;
    let (backend, columns, hex) = match world.engine {
        Engine::Sqlite => (
            DatabaseBackend::Sqlite,
            "SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p
             WHERE m.type = 'table'",
            "lower(hex(CAST({} AS BLOB)))",
        ),
        Engine::Postgres => (
            DatabaseBackend::Postgres,
            "SELECT table_name::text, column_name::text FROM information_schema.columns
             WHERE table_schema = 'public'",
            // Bytes print as digits; everything else as its text.
            "CASE WHEN pg_typeof({}) = 'bytea'::regtype THEN {}::text
                  ELSE encode(convert_to({}::text, 'UTF8'), 'hex') END",
        ),
    };
    let rows =
        async |sql: &str| db.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
    let (mut all, mut tables) = (String::new(), BTreeSet::new());
    for column in rows(columns).await {
        let (table, column): (String, String) =
            (column.try_get_by_index(0).unwrap(), column.try_get_by_index(1).unwrap());
        let sql = format!("SELECT {} FROM {table}", hex.replace("{}", &format!("\"{column}\"")));
        for value in rows(&sql).await {
            let value: Option<String> = value.try_get_by_index(0).unwrap();
            all.push_str(&value.unwrap_or_default());
            all.push('\n');
        }
        tables.insert(table);
    }
    assert!(tables.contains("second_factors") && tables.contains("recovery_codes"));
    all
}

/// The hexadecimal digits of bytes.
pub fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
