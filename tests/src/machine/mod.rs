//! The machine that the tests run on: which packages it needs, and how a long step is shown.
//!
//! In: names of packages, commands to run. Out: an installed package, a step's outcome with its time. Never here: anything
//! of the product.

mod build;
mod packages;
mod steps;

pub use build::{build_programs, cargo};
pub use packages::{NEEDED, SERVERS, install};
pub use steps::{Steps, run};
