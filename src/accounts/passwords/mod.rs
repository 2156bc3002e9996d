//! Passwords of accounts: how hard they must be to guess, their verification under throttling, and their change.

pub mod commands;
pub mod service;
