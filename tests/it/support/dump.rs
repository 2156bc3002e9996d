//! Everything that is stored, to look for what should not be.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

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

/// The tables of which every row counts when nothing may have changed.
const WHOLE: [&str; 10] = [
    "users",
    "providers",
    "appointments",
    "events",
    "closures",
    "appointment_types",
    "type_events",
    "offerings",
    "user_events",
    "requests",
];

/// What changes when anything is written, as a text that is short enough to be read: of each table how many rows it
/// has and a number that follows from all of their contents. Of service accounts and keys, of which the server notes
/// when they were used, rows and versions alone.
pub async fn state(world: &World) -> String {
    let db = world.sql().await;
    let backend = match world.engine {
        Engine::Sqlite => DatabaseBackend::Sqlite,
        Engine::Postgres => DatabaseBackend::Postgres,
    };
    let rows =
        async |sql: &str| db.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
    let mut all = String::new();
    for table in WHOLE {
        let row = match world.engine {
            Engine::Postgres => "t::text".to_owned(),
            Engine::Sqlite => {
                let columns = rows(&format!("SELECT name FROM pragma_table_info('{table}')")).await;
                let columns = columns.iter().map(|row| row.try_get_by_index::<String>(0).unwrap());
                columns.map(|name| format!("quote(\"{name}\")")).collect::<Vec<_>>().join(" || ")
            }
        };
        let found = rows(&format!("SELECT {row} FROM {table} t")).await;
        // Of the rows in whatever order they come.
        let sum = found.iter().fold(0_u64, |sum, row| {
            let mut hasher = DefaultHasher::new();
            row.try_get_by_index::<String>(0).unwrap().hash(&mut hasher);
            sum.wrapping_add(hasher.finish())
        });
        all.push_str(&format!("{table} {}/{sum:016x} ", found.len()));
    }
    let keys = "SELECT 'service_accounts ' || (SELECT count(*) || '/' || coalesce(sum(version), 0)
        FROM service_accounts) || ' api_keys ' || (SELECT count(*) FROM api_keys)";
    let keys = rows(keys).await;
    all + &keys[0].try_get_by_index::<String>(0).unwrap()
}

/// The hexadecimal digits of bytes.
pub fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes behind hexadecimal digits.
pub fn from_digits(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
