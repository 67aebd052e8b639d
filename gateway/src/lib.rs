//! The enterprise's side of Intergroup: bridges rooms of its own XMPP server to groups of the center.

pub mod app;
pub mod bridge;
pub mod cli;
pub mod config;
pub mod control;
mod desk;
pub mod enrol;
pub mod ids;
pub mod link;
mod monitor;
pub mod payload;
pub mod store;
#[cfg(test)]
mod testing;
pub mod xmpp;
