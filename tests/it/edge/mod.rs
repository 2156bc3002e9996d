//! The edge: what strangers can do before anybody knows who they are. `docs/security.md` has the table.

mod bodies;
mod budgets;
mod crowds;
mod floods;
mod panics;
mod rates;
mod siege;
mod sockets;
mod stop;
mod stuffing;
mod tls;
mod unfinished;
mod unread;
mod web;
