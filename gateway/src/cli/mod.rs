//! The command line: parses, does what needs no daemon, asks the daemon for the rest, and prints.
//!
//! In: arguments, a terminal or a pipe. Out: text for people, or one line of JSON with `--json`; an exit code. Never here: secrets
//! in arguments; they come from files, standard input, the environment or a prompt.

mod admin;
mod args;
mod enrol;
mod init;
mod member;
mod print;
mod prompt;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// How a command ended. The numbers are those of `sysexits.h`, where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// All is well.
    Ok = 0,
    /// The gateway or the center said no.
    Refused = 1,
    /// The command line or the configuration makes no sense.
    Usage = 64,
    /// The gateway is not running.
    NotRunning = 69,
    /// Something failed that may work later.
    Later = 75,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Runs the command line of the process.
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            // Nothing can be done when even that cannot be printed.
            let _ = e.print();
            let exit = if e.use_stderr() { Exit::Usage } else { Exit::Ok };
            return exit.into();
        }
    };
    let exit = match args.command {
        Command::Init(init) => init::run(&args.common, init),
        Command::Enroll { code } => enrol::run(&args.common, code.as_deref()),
        Command::Serve => serve(&args.common),
        other => admin::run(&args.common, other),
    };
    exit.into()
}

fn serve(common: &args::Common) -> Exit {
    let filter = tracing_subscriber::EnvFilter::try_from_env("INTERGROUP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    match crate::app::run(&common.dir()) {
        Ok(()) => Exit::Ok,
        Err(e) => fail(&e, Exit::Usage),
    }
}

fn fail(e: &anyhow::Error, exit: Exit) -> Exit {
    eprintln!("intergroup-gateway: {e:#}");
    exit
}
