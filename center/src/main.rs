//! `intergroup-center`: see `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    intergroup_center::cli::run()
}
