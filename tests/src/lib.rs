//! World builder, simulator, scenarios, demo and benchmarks.

pub mod load;
pub mod machine;
