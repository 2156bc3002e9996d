//! Attempts at secrets: reserved before anything is hashed, given back to whoever was right. The rule stands
//! in `policy`.

pub mod commands;
pub mod policy;
pub mod service;
pub mod store;
