//! The integration tests: one binary, so that a change links once.

#![expect(unreachable_pub, reason = "a test binary has no callers")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![expect(clippy::indexing_slicing, reason = "a test may panic")]
#![expect(clippy::pedantic, reason = "tests are read as sentences, not as library code")]

mod architecture;
mod cancelled;
mod cli;
mod common_passwords;
mod conformance;
mod crashes;
mod drain;
mod edge;
mod expensive;
mod faults;
mod fixtures;
mod fuzz;
mod lock_order;
mod migrations;
mod model;
mod named;
mod operators;
mod paths;
mod provoked;
mod races;
mod reasons;
mod released;
mod roles;
mod rotation;
mod rpc;
mod secrets;
mod statements;
mod storms;
mod support;
mod surface;
mod tokens;
