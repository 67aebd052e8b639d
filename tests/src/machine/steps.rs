//! Steps of a long command: a heading each, the time it took, and of its output what matters.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How much of a failed command's output is shown.
const LINES_KEPT: usize = 400;
/// How long a command may be silent before a sign of life is printed.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// The steps of one run.
#[derive(Debug)]
pub struct Steps {
    begun: Instant,
    colour: bool,
}

impl Default for Steps {
    fn default() -> Self {
        Self { begun: Instant::now(), colour: std::io::stdout().is_terminal() }
    }
}

impl Steps {
    /// The time since the beginning, for people.
    pub fn elapsed(&self) -> String {
        clock(self.begun.elapsed())
    }

    /// Prints a heading, does the step, prints how long it took.
    ///
    /// # Errors
    /// The step's own.
    pub fn step<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (bold, off) = if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        println!("{bold}== {name}{off}  (at {})", self.elapsed());
        let _ = std::io::stdout().flush();
        let from = Instant::now();
        let done = work();
        let word = if done.is_ok() { "ok" } else { "FAILED" };
        println!("   {word}: {name}, {:.1} s", from.elapsed().as_secs_f64());
        let _ = std::io::stdout().flush();
        done
    }
}

fn clock(passed: Duration) -> String {
    format!("{}:{:02}", passed.as_secs() / 60, passed.as_secs() % 60)
}

/// Runs a command to its end. Lines for which `show` holds are printed as they come; all the last ones when it fails.
///
/// # Errors
/// The command cannot be started, or its exit status is not 0.
pub fn run(command: &mut Command, show: impl Fn(&str) -> bool) -> Result<()> {
    let what = format!("{command:?}");
    let (reader, writer) = std::io::pipe()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("{what} cannot be started"))?;
    // The command keeps copies of the pipe's end for as long as the builder lives; without this the pipe never ends.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (tx, lines) = mpsc::channel();
    let pump = std::thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            if tx.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    let (mut kept, mut dropped, from) = (VecDeque::new(), 0_usize, Instant::now());
    loop {
        match lines.recv_timeout(HEARTBEAT) {
            Ok(line) => {
                if show(&line) {
                    println!("   {}", line.trim());
                }
                kept.push_back(line);
                if kept.len() > LINES_KEPT {
                    kept.pop_front();
                    dropped += 1;
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let last = kept.back().map_or("", |l| l.trim());
                println!("   … still at it after {}: {last}", clock(from.elapsed()));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        let _ = std::io::stdout().flush();
    }
    let status = child.wait()?;
    let _ = pump.join();
    if !status.success() {
        if dropped > 0 {
            println!("   ({dropped} lines before these)");
        }
        for line in kept {
            println!("   | {line}");
        }
        bail!("{what}: {status}");
    }
    Ok(())
}
