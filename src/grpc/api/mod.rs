//! One thin file a service: what a message asks for, who may, and the room that does it.

mod auth;
mod auth_wire;
mod availability;
mod booking;
mod booking_answers;
mod booking_events;
mod booking_list;
mod booking_wire;
mod calendar;
mod catalogue;
mod catalogue_wire;
mod convert;
mod customer;
mod customer_context;
mod email;
mod holds;
mod idempotency;
mod open;
mod page;
mod personal_data;
mod personal_data_wire;
pub(super) mod reflection;
mod schedule;
mod second_factor;
mod second_factor_wire;
mod service_account;
mod watch;
mod watch_wire;

use self::{idempotency::IdempotencyKeys, page::Weight};
use super::services::Services;
use crate::{
    accounts::services::AccountServices,
    availability::{service::Availabilities, slots_service::Slots},
    booking::service::Bookings,
    catalogue::service::Types,
    kernel::{ambient::Ambient, page::PageTokens},
    live::{service::Feed, watch_service::Watches},
    personal_data::{
        erasure::service::Erasures, export::service::Exports, merging::service::Merging,
    },
    schedule::{offering::service::Offerings, service::Schedules},
};

/// What answers the calls of every service: each file here implements the trait that is made of one service's proto.
#[derive(Debug)]
pub(super) struct Api {
    accounts: AccountServices,
    exports: Exports,
    erasures: Erasures,
    merging: Merging,
    schedules: Schedules,
    availabilities: Availabilities,
    slots: Slots,
    types: Types,
    offerings: Offerings,
    bookings: Bookings,
    feed: Feed,
    watches: Watches,
    ambient: Ambient,
    requests: IdempotencyKeys,
    pages: PageTokens,
    /// Of the list of appointment types.
    weight: Weight,
    /// The least length of a new password, in characters.
    shortest_password: usize,
}

impl Api {
    /// Of these services; `shortest_password` is the least length of a new password, in characters.
    pub(super) fn new(services: Services, shortest_password: usize) -> Self {
        let requests = IdempotencyKeys::new(&services.request_keys, services.store);
        let pages = PageTokens::new(&services.page_keys);
        Self {
            accounts: services.accounts,
            exports: services.exports,
            erasures: services.erasures,
            merging: services.merging,
            schedules: services.schedules,
            availabilities: services.availabilities,
            slots: services.slots,
            types: services.types,
            offerings: services.offerings,
            bookings: services.bookings,
            feed: services.feed,
            watches: services.watches,
            ambient: services.ambient,
            requests,
            pages,
            weight: Weight::default(),
            shortest_password,
        }
    }
}
