//! World builder, simulator, scenarios, demo and benchmarks.

pub mod audit;
pub mod bench;
pub mod client;
pub mod faults;
pub mod link_client;
pub mod load;
pub mod machine;
pub mod settings;
pub mod sim;
pub mod world;
