//! The hub of Intergroup: enterprises, groups, logs and fan-out.

pub mod hub;
pub mod store;
