//! Attempts at secrets: reserved before anything is hashed, given back to whoever was right. The rule stands
//! in `identity::attempts`.

pub mod commands;
pub mod service;
pub mod store;
