//! The hub of Intergroup: enterprises, groups, logs and fan-out.

pub mod admin;
pub mod app;
pub mod bundle;
pub mod cli;
pub mod config;
pub mod engine;
pub mod hub;
pub mod listen;
pub mod pki;
pub mod store;
