//! One thin file a service: what a message asks for, who may, and the room that does it.

pub(super) mod auth;
mod auth_wire;
pub(super) mod availability;
pub(super) mod booking;
mod booking_answers;
mod booking_events;
mod booking_list;
mod booking_wire;
mod calendar;
pub(super) mod catalogue;
mod catalogue_wire;
mod convert;
pub(super) mod customer;
mod customer_context;
pub(super) mod email;
mod holds;
pub(super) mod idempotency;
mod open;
pub(super) mod page;
pub(super) mod personal_data;
mod personal_data_wire;
pub(super) mod reflection;
pub(super) mod schedule;
pub(super) mod second_factor;
mod second_factor_wire;
pub(super) mod service_account;
