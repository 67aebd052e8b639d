//! The auditor: judges a run from outside, by what rooms accepted and what all rooms' archives hold at its end.
//!
//! In: for each room, the messages whose reflection their senders saw, and the room's whole archive as plain lines. Out: a
//! verdict that names every message lost, doubled, out of order or invented. Never here: sockets, clocks, the product.

mod collect;
mod verdict;

pub use collect::{archived, unprefixed};
pub use verdict::{Entry, Record, Sent, Verdict, audit};

#[cfg(test)]
mod tests;
