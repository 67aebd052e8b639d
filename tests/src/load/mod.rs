//! Light XMPP clients for load, fault runs and audits: many people in few threads, at little cost to the machine that
//! is being measured.
//!
//! In: an account and a room. Out: what the room sent, with the moment it came. Never here: anything of the product; the
//! auditor and the benchmarks judge it from outside, through the same servers that people use.

mod client;
mod stanza;
mod wire;

pub use client::{Account, Client, Heard};
pub use stanza::Stanza;
pub use wire::Splitter;
