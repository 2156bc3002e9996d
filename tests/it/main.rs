//! The integration tests: one binary, so that a change links once.

mod architecture;
mod cli;
mod conformance;
mod support;
