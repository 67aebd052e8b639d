//! Scenarios on real servers. Everything that starts a server lies in a module `on_servers`, which `cargo verify --quick` skips.

mod branches;
mod crowd;
mod demo;
mod groups;
mod members;
mod moderation;
mod nodes;
mod number;
mod offline;
mod pair;
mod redis;
mod refusals;
mod servers;
mod standing;
mod talk;
