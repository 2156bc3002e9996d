//! The edge: what strangers can do before anybody knows who they are. `docs/security.md` has the table.

mod tls;
