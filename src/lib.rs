//! Daybook: an appointment-booking backend that speaks gRPC and gRPC-Web.
//!
//! A house with rooms and four porches. A room is one concept, with the same doors in each case: the
//! words in `mod.rs`, rules as pure functions beside it, `commands.rs` for the units of work,
//! `service.rs` for what callers can ask, `store.rs` for the queries. Rooms use only rooms to their
//! left: kernel ◂ identity ◂ mail ◂ events ◂ catalogue ◂ claims ◂ schedule ◂ accounts ◂ availability ◂ booking ◂
//! `personal_data` ◂ live. The porches are the only places where the outside's words are spoken: [`grpc`] (tonic, prost),
//! [`storage`] (SeaORM), [`zone_sources`] (zone files) and [`carrier`] (mail servers). [`app`] names every concrete part. Read in this order.
//!
//! What an RPC, a reason, a setting, a table and other usual changes touch is told in `ARCHITECTURE.md`, "Twelve changes, and
//! what each touches".

pub mod kernel;

pub mod identity;

pub mod mail;

pub mod events;

pub mod catalogue;

pub mod claims;

pub mod schedule;

pub mod accounts;

pub mod availability;

pub mod booking;

pub mod personal_data;

pub mod live;

pub mod storage;

pub mod bulkhead;

pub mod carrier;

pub mod zone_sources;

pub mod grpc;

pub mod config;

pub mod telemetry;

pub mod app;

pub mod cli;
