//! `intergroup-gateway`: the enterprise's side.

use std::process::ExitCode;

fn main() -> ExitCode {
    intergroup_gateway::cli::run()
}
