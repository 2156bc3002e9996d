//! The gRPC porch: where tonic and prost are spoken.
//!
//! [`api`] has one thin file a service, which turns messages into the words of the rooms and back. [`edge`] is what
//! surrounds every call. [`server`] puts both together, with CORS and gRPC-Web; [`policy`] says who may call a method.

mod api;
pub(crate) mod edge;
pub mod health;
pub(crate) mod healthcheck;
pub mod policy;
pub mod proto;
pub mod server;
pub mod services;
pub mod status;
