//! The gRPC porch: where tonic and prost are spoken.
//!
//! One thin file a service turns messages into the words of the rooms and back. Around them, from the
//! outside: connections ([`incoming`], [`places`], [`serving`]) and TLS ([`tls`]), CORS and gRPC-Web ([`server`]), the gate that every call goes
//! through ([`gate`]), and the interceptor that says who is calling ([`caller`]).

pub mod address;
mod auth;
mod auth_wire;
mod availability;
mod body;
mod booking;
mod booking_answers;
mod booking_events;
mod booking_list;
mod booking_wire;
mod budgets;
mod calendar;
mod caller;
mod catalogue;
mod catalogue_wire;
mod certificates;
mod convert;
mod customer;
pub(crate) mod descriptors;
mod email;
mod frames;
mod gate;
pub mod health;
pub(crate) mod healthcheck;
mod holds;
mod incoming;
mod large;
mod page;
mod personal_data;
mod personal_data_wire;
mod places;
pub mod policy;
pub mod proto;
mod rates;
mod receive;
mod reflection;
mod requests;
mod schedule;
mod second_factor;
mod second_factor_wire;
pub mod server;
mod service_account;
mod serving;
mod shares;
pub mod status;
pub(crate) mod tls;
mod unread;
mod whom;
