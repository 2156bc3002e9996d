//! The shape of the tables, and nothing else. What the columns mean stands in the migrations.
#![expect(missing_docs, reason = "columns are described where they are made, in the migrations")]

pub mod api_keys;
pub mod appointment_drifts;
pub mod appointment_types;
pub mod appointments;
pub mod attempts;
pub mod audit_events;
pub mod closures;
pub mod email_codes;
pub mod erasures;
pub mod events;
pub mod letters;
pub mod offerings;
pub mod providers;
pub mod recovery_codes;
pub mod requests;
pub mod second_factors;
pub mod service_accounts;
pub mod sessions;
pub mod signing_keys;
pub mod type_events;
pub mod user_events;
pub mod user_words;
pub mod users;
pub mod zone_data_looks;
pub mod zone_data_processes;
