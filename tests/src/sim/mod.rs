//! The simulator: the shipped cores of a center and of gateways, in one thread, through schedules of faults that a seed draws.
//!
//! In: a seed. Out: an [`Outcome`], the same for the same seed. Time is virtual and jumps to the next thing that is due;
//! disks lose what was not synced, links and processes die, and at the end everything heals and all must be well.
//! Never here: sockets, threads, clocks, and any chance but the seed's.
//!
//! [`hub`] runs the hub alone between scripted gateways; [`whole`] runs hub and bridges with model rooms and people.

mod admin;
mod archive;
mod center;
mod checker;
mod company;
mod coverage;
mod disk;
mod faults;
mod flavour;
pub mod hub;
mod memory;
mod names;
mod net;
mod people;
mod process;
mod rng;
mod room;
mod saboteur;
mod script;
mod server;
pub mod whole;
mod world;

pub use coverage::Coverage;
pub use saboteur::Broken;

/// What came of one schedule.
#[derive(Debug)]
pub struct Outcome {
    /// The seed, by which it can be run again.
    pub seed: u64,
    /// What must never happen and did; empty when all was well.
    pub violations: Vec<String>,
    /// What was met.
    pub coverage: Coverage,
    /// Things done.
    pub steps: u64,
}
