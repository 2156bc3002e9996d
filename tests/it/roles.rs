//! The role that serves can do no more than serving needs.

use sea_orm::{ConnectionTrait, Database};

use crate::support::{
    Engine, World, options,
    postgres::{self, ROLES, as_app},
    process::session,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_that_serves_changes_no_schema_and_sees_nothing_else() {
    let owner = postgres::database().await;
    let folder = tempfile::tempdir().unwrap();
    daybook::app::commands::migrate_up(&crate::support::config(&owner, folder.path(), &[]))
        .await
        .unwrap();
    let db = session(&owner).await;
    db.execute_unprepared(ROLES).await.unwrap();
    // Run twice, as operators do.
    db.execute_unprepared(ROLES).await.unwrap();
    db.execute_unprepared("CREATE SCHEMA payroll; CREATE TABLE payroll.wages (n int)")
        .await
        .unwrap();
    let app = session(&as_app(&owner)).await;
    for refused in [
        "CREATE TABLE more (n int)",
        "CREATE TEMPORARY TABLE more (n int)",
        "CREATE SCHEMA more",
        "ALTER TABLE users ADD COLUMN more int",
        "ALTER TABLE appointments DROP CONSTRAINT appointments_pkey",
        "DROP TABLE appointments",
        "TRUNCATE appointments",
        "CREATE INDEX more ON users (email)",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TRIGGER more BEFORE INSERT ON users EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE EXTENSION pg_trgm",
        "CREATE ROLE more",
        "GRANT SELECT ON users TO PUBLIC",
        "SELECT n FROM payroll.wages",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('postmaster.pid')",
        "COPY users TO PROGRAM 'cat'",
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999', 0)",
        "DELETE FROM seaql_migrations",
        "DELETE FROM audit_events",
        "UPDATE audit_events SET kind = 'logged_in'",
        "SET SESSION AUTHORIZATION postgres",
    ] {
        let answer = app.execute_unprepared(refused).await;
        let text = answer.err().map(|error| error.to_string()).unwrap_or_default();
        // A grant of what one does not own is no error in PostgreSQL, and does nothing.
        let harmless = refused.starts_with("GRANT");
        let denied = ["permission denied", "must be owner", "must be superuser"];
        assert!(harmless || denied.iter().any(|words| text.contains(words)), "{refused}: {text}");
    }
    let public = "SELECT has_table_privilege('public', 'users', 'SELECT')";
    let backend = sea_orm::DatabaseBackend::Postgres;
    let row = db.query_one_raw(sea_orm::Statement::from_string(backend, public)).await.unwrap();
    assert!(!row.unwrap().try_get_by_index::<bool>(0).unwrap());
    app.execute_unprepared("SELECT count(*) FROM users").await.unwrap();
    drop(Database::connect(options(&as_app(&owner))).await.unwrap());
}

/// What the conformance suite runs as.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_runs_as_that_role() {
    let world = World::new(Engine::Postgres).await;
    let user = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = 'daybook_app'";
    assert!(world.count(user).await > 0);
    let owners = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND usename <> 'daybook_app' AND application_name LIKE 'daybook%'";
    assert_eq!(world.count(owners).await, 0);
}
