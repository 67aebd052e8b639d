//! Building the product's programs from a command of this crate.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::steps::run;

/// cargo, in this checkout.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from));
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies below the top");
    // Failing tests shall say what failed, not where each frame was.
    command.args(args).current_dir(top).env("CARGO_TERM_COLOR", "never").env("RUST_BACKTRACE", "0");
    command
}

/// Builds the center and the gateway as they are used here, if they are not up to date.
///
/// # Errors
/// They do not compile; the compiler's output has been shown.
pub fn build_programs() -> Result<()> {
    // With this crate among them the dependencies have the features that it was built with: nothing is built twice.
    let mut args = vec!["build", "-p", "intergroup-tests", "-p", "intergroup-center", "-p", "intergroup-gateway"];
    args.extend(["--bin", "intergroup-center", "--bin", "intergroup-gateway"]);
    if !cfg!(debug_assertions) {
        args.push("--release");
    }
    run(&mut cargo(&args), |line| line.trim_start().starts_with("Compiling intergroup"))
}
