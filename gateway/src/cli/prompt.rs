//! Questions to a person at a terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Whether a person can be asked.
pub(super) fn possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks until `check` is content. An empty answer is `default`, where there is one.
pub(super) fn ask<T>(question: &str, default: Option<&str>, check: impl Fn(&str) -> Result<T>) -> Result<T> {
    loop {
        match default {
            Some(default) => eprint!("{question} [{default}]: "),
            None => eprint!("{question}: "),
        }
        let line = line()?;
        let given = match (line.trim(), default) {
            ("", Some(default)) => default,
            (given, _) => given,
        };
        match check(given) {
            Ok(value) => return Ok(value),
            Err(e) => eprintln!("  {e:#}"),
        }
    }
}

/// Asks without showing what is typed.
pub(super) fn ask_hidden<T>(question: &str, check: impl Fn(&str) -> Result<T>) -> Result<T> {
    loop {
        eprint!("{question} (not shown): ");
        let line = {
            let _hidden = Hidden::new()?;
            line()?
        };
        eprintln!();
        match check(&line) {
            Ok(value) => return Ok(value),
            Err(e) => eprintln!("  {e:#}"),
        }
    }
}

fn line() -> Result<String> {
    io::stderr().flush()?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).context("reading from the terminal")?;
    anyhow::ensure!(read > 0, "nothing was answered");
    Ok(line)
}

/// While it lives, the terminal does not show what is typed.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    fn new() -> Result<Self> {
        let before = tcgetattr(io::stdin()).context("asking the terminal")?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &quiet).context("setting the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Should that fail, the person sees it, and `stty echo` helps.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
