//! The simulator: the shipped cores of a center and of gateways, in one thread, through schedules of faults that a seed draws.
//!
//! In: a seed. Out: an [`Outcome`], the same for the same seed. Time is virtual and jumps to the next thing that is due;
//! disks lose what was not synced, links and processes die, and at the end everything heals and all must be well.
//! Never here: sockets, threads, clocks, and any chance but the seed's.
//!
//! Modelled: center and gateways that crash at every point, fail to commit, freeze, are restored from backups, or run twice on
//! copies of one store; links that are cut and late; room servers that crash, lose their archive's end, cap and expire it, share or
//! replace component connections, work off stanzas of dead ones, put occupants out or keep ghosts; moderators; mappings that
//! end and begin again, companies that leave and come back, a group that is deleted; owners of rooms and administrators who change
//! who may speak, in rooms whose affiliations make the list, in open ones, and in those that are made to fit a list kept by command;
//! members who come and go, with what they see of it all.
//!
//! Promised of two processes on copies of one store: nothing is lost, nothing is twice in the log, and other companies notice
//! nothing but that words may come out of order; in the company's own room words may stand twice while both run.
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
mod gateway;
pub mod hub;
mod lists;
mod lists_check;
mod lists_saboteur;
mod mail;
mod memory;
mod moves;
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
