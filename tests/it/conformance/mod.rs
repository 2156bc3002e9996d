//! One list of behaviours, run on both engines.

mod account_fields;
mod accounts;
mod admins;
mod agreed_terms;
mod agreement;
mod anybody;
mod asked_moves;
mod at_once;
mod audiences;
mod audit;
mod authority;
mod booking;
mod booking_fields;
mod booking_writes;
mod calendar;
mod calendar_bounds;
mod catalogue;
mod catalogue_changes;
mod catalogue_fields;
mod catalogue_writes;
mod claim_margins;
mod closing_races;
mod closures;
mod corrected_names;
mod days;
mod emails;
mod event_feed;
mod event_feed_commits;
mod event_watch;
mod forgetting;
mod front_desk;
mod guessing;
mod history;
mod holds;
mod intervals;
mod large_pages;
mod late_cancellations;
mod left_outside;
mod limits;
mod listing;
mod masks;
mod master_key;
mod meanwhile;
mod moving;
mod named_schedules;
mod offerings;
mod on_the_day;
mod one_call;
mod one_place;
mod overrides;
mod own_holds;
mod own_part;
mod own_property;
mod own_time;
mod passwords;
mod personal_data;
mod requests;
mod restored;
mod retries;
mod rights;
mod schedule_fields;
mod schedule_writes;
mod schedules;
mod second_factor;
mod senseless;
mod services;
mod sessions;
mod signing_keys;
mod slots;
mod standing;
mod tampering;
mod time_off;
mod twins;
mod typed;
mod unreadable;
mod upkeep;
mod who_acted;
mod writes;
mod zone_rules;

/// Expands a list of `async fn(World)` into a test for each engine.
macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let engine = crate::support::Engine::Sqlite;
                super::$name(crate::support::World::new(engine).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let engine = crate::support::Engine::Postgres;
                super::$name(crate::support::World::new(engine).await).await;
            })*
        }
    };
}
pub(crate) use behaviours;
