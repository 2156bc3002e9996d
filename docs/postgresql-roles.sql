-- Two roles for PostgreSQL: the owner of the database changes the schema (`daybook migrate up`), and `daybook_app`
-- serves and can do no more than that. The whole conformance suite runs as `daybook_app`, made by this file.
--
-- Run it as the owner in Daybook's database, once the schema is there. Then give the role a password
-- (`\password daybook_app` in psql), serve with it and with `database.migrate_on_start = false`. New tables get their
-- grants by themselves when the same owner makes them.

DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'daybook_app') THEN
    CREATE ROLE daybook_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
  END IF;
END $$;

-- What PostgreSQL gives to everybody, and nobody needs here.
DO $$ BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO daybook_app', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO daybook_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO daybook_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO daybook_app;

-- Which changes of the schema were made is for the owner to say.
REVOKE INSERT, UPDATE, DELETE ON seaql_migrations FROM daybook_app;

-- The audit trail is added to. Only the network addresses in it, and the ids of calls, go with an account that is
-- deleted. Old lines go by `daybook audit forget`, which the owner runs.
REVOKE UPDATE, DELETE ON audit_events FROM daybook_app;
GRANT UPDATE (address, call_id) ON audit_events TO daybook_app;
