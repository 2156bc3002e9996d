//! What surrounds every call, from the outside: connections ([`connections`], [`connection_limiter`],
//! [`connection_service`]) and TLS ([`tls`]), the gate that every call goes through ([`gate`]), the interceptor that says
//! who is calling ([`caller`]), and the turns of large requests ([`large`]).

mod address;
mod address_limiter;
mod body;
pub(super) mod caller;
mod certificates;
pub(super) mod concurrency;
mod connection_limiter;
pub(super) mod connection_service;
pub(super) mod connections;
pub(crate) mod descriptors;
mod frame_counter;
pub(super) mod gate;
pub(super) mod large;
pub(super) mod rates;
pub(super) mod request_body;
pub(crate) mod tls;
pub(super) mod unread_responses;
