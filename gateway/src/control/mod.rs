//! The local socket by which the commands reach the running gateway.
//!
//! In: one [`Request`] a connection, as a line of JSON. Out: one [`Answer`], as a line of JSON. The socket is for the owner of the
//! directory alone; whoever may open it may do everything. Never here: what the requests do.

mod client;
mod server;
mod wire;

pub use client::{Failure, ask};
pub use server::{Control, Served, listen};
pub use wire::{Answer, Center, Group, Members, Report, Request, Server, Status, StoreHealth};
