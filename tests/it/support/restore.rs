//! A dump that is put back while servers run: what is lost by a failover or a restore.

use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};

use super::{Engine, World};

/// Tables that others refer to.
const PARENTS: &[&str] = &["users", "providers", "appointment_types", "service_accounts"];

/// What the database was.
pub struct Dump {
    tables: Vec<String>,
}

impl Dump {
    /// Copies every table but the one that numbers the schema's changes.
    pub async fn of(world: &World) -> Self {
        let (backend, names) = match world.engine {
            Engine::Sqlite => (
                DatabaseBackend::Sqlite,
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
            ),
            Engine::Postgres => (
                DatabaseBackend::Postgres,
                "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
            ),
        };
        let db = world.sql().await;
        let rows = db.query_all_raw(Statement::from_string(backend, names)).await.unwrap();
        let mut tables: Vec<String> =
            rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
        tables.retain(|name| name != "seaql_migrations" && !name.starts_with("dumped_"));
        let place = |name: &String| PARENTS.iter().position(|parent| parent == name);
        tables.sort_by_key(|name| place(name).unwrap_or(PARENTS.len()));
        let copy = |name: &String| {
            format!(
                "DROP TABLE IF EXISTS dumped_{name}; CREATE TABLE dumped_{name} AS SELECT * FROM {name};"
            )
        };
        let copies: String = tables.iter().map(copy).collect();
        db.execute_unprepared(&format!("BEGIN; {copies} COMMIT")).await.unwrap();
        Self { tables }
    }

    /// Puts it back, in one transaction and without the servers' knowing.
    pub async fn restore(&self, world: &World) {
        let back = |name: &String| format!("INSERT INTO {name} SELECT * FROM dumped_{name};");
        let back: String = self.tables.iter().map(back).collect();
        let gone: String = match world.engine {
            Engine::Postgres => format!("TRUNCATE {};", self.tables.join(", ")),
            Engine::Sqlite => {
                self.tables.iter().rev().map(|name| format!("DELETE FROM {name};")).collect()
            }
        };
        let begin = match world.engine {
            Engine::Postgres => "BEGIN",
            Engine::Sqlite => "BEGIN IMMEDIATE",
        };
        let sql = format!("{begin}; {gone} {back} COMMIT");
        world.sql().await.execute_unprepared(&sql).await.unwrap();
    }
}
