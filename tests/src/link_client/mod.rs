//! A gateway's end of the link without a gateway: for tests and benchmarks of the center alone.
//!
//! In: an enrolment code. Out: a certificate, and a link on which stanzas (or any bytes) are sent and received. Never here:
//! anything that a gateway decides.

mod client;
mod enrol;
mod process;

pub use client::{LinkClient, relay};
pub use enrol::{Identity, enrol, post, renew, tls_config};
pub use process::{CenterProcess, free_port, program};
