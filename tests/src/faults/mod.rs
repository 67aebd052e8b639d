//! Fault runs: three companies talk at a steady rate while processes are killed, frozen and cut off at instants from a
//! seed; then the auditor compares what rooms accepted with all archives.
//!
//! In: a seed and which faults. Out: a line for each run, with the verdict. Never here: anything that knows how the product
//! works inside; it is judged by the rooms alone.

mod crowd;
mod plan;
mod run;

pub use plan::{Fault, Happening, plan};
pub use run::{Outcome, Settings, Stage};
