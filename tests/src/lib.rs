//! World builder, simulator, scenarios, demo and benchmarks.

pub mod bench;
pub mod load;
pub mod machine;
