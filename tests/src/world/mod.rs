//! Small worlds of real programs: XMPP servers, a center, gateways, people and rooms, all on loopback in a folder of their own.
//!
//! In: which companies on which servers, with which people. Out: running processes that can be killed, frozen, cut off and
//! started again, and the logs of all of them when something fails. Never here: what a test expects.

mod addresses;
mod build;
mod daemon;
mod ejabberd;
mod process;
mod prosody;
mod redis;
mod relay;
mod rooms;
mod server;

pub use build::{Builder, Company, World, run};
pub use daemon::{Daemon, program};
pub use process::{Process, Recipe, tail};
pub use redis::Redis;
pub use relay::{Flow, Relay};
pub use server::{Kind, Plan, Server};
