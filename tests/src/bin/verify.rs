//! `cargo verify`: runs all the tests, from packages to crash runs, and stops at the first failure.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Parser;
use intergroup_tests::machine::{NEEDED, Steps, cargo, install, run};
use intergroup_tests::world::program;

/// Runs all the tests: formatting, lints, unit and property tests, the simulator, scenarios on real servers, crash runs.
#[derive(Debug, Parser)]
#[command(name = "cargo verify")]
struct Args {
    /// Leave out what starts XMPP servers.
    #[arg(long)]
    quick: bool,
}

/// Tests that start servers lie in modules of this name, so that they can be left out.
const ON_SERVERS: &str = "on_servers";

/// The lines of `cargo test` that show how far it is.
fn progress(line: &str) -> bool {
    ["Running ", "Doc-tests ", "test result:", "Compiling intergroup", "seed", "covered"]
        .iter()
        .any(|word| line.trim_start().starts_with(word))
}

fn verify(args: &Args) -> Result<()> {
    let steps = Steps::default();
    if !args.quick {
        steps.step("Debian packages", || install(NEEDED, |text| println!("   {text}")))?;
    }
    steps.step("formatting", || run(&mut cargo(&["fmt", "--all", "--check"]), |_| false))?;
    steps.step("lints", || {
        run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]), |_| false)
    })?;
    steps.step("build", || run(&mut cargo(&["build", "--workspace"]), |_| false))?;
    let mut tests = vec!["test", "--workspace"];
    if args.quick {
        tests.extend(["--", "--skip", ON_SERVERS]);
    }
    steps.step("tests", || run(&mut cargo(&tests), progress))?;
    if !args.quick {
        let faults = program("faults")?;
        steps.step("crash runs, short form", || run(Command::new(faults).args(["--short", "--built"]), |_| true))?;
    }
    println!("all is well, after {}", steps.elapsed());
    Ok(())
}

fn main() -> ExitCode {
    match verify(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("cargo verify: {problem:#}");
            ExitCode::FAILURE
        }
    }
}
