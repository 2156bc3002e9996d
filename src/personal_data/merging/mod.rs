//! Letting one account go into another one of the same person.

pub mod commands;
pub mod service;
pub mod store;
