//! The enterprise's side of Intergroup: bridges rooms of its own XMPP server to groups of the center.

pub mod bridge;
pub mod ids;
pub mod payload;
pub mod store;
pub mod xmpp;
