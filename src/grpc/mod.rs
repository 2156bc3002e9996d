//! The gRPC porch: where tonic and prost are spoken.
//!
//! One thin file a service turns messages into the words of the rooms and back. Around them, from the
//! outside: connections ([`connections`], [`connection_limiter`], [`connection_service`]) and TLS ([`tls`]), CORS and gRPC-Web ([`server`]), the gate that every call goes
//! through ([`gate`]), and the interceptor that says who is calling ([`caller`]).

pub mod address;
mod address_limiter;
mod auth;
mod auth_wire;
mod availability;
mod body;
mod booking;
mod booking_answers;
mod booking_events;
mod booking_list;
mod booking_wire;
mod calendar;
mod caller;
mod catalogue;
mod catalogue_wire;
mod certificates;
mod concurrency;
mod connection_limiter;
mod connection_service;
mod connections;
mod convert;
mod customer;
mod customer_context;
pub(crate) mod descriptors;
mod email;
mod frame_counter;
mod gate;
pub mod health;
pub(crate) mod healthcheck;
mod holds;
mod idempotency;
mod large;
mod page;
mod personal_data;
mod personal_data_wire;
pub mod policy;
pub mod proto;
mod rates;
mod reflection;
mod request_body;
mod schedule;
mod second_factor;
mod second_factor_wire;
pub mod server;
mod service_account;
pub mod status;
pub(crate) mod tls;
mod unread_responses;
