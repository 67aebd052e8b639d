//! A server as a child process, and what the kernel says of it.

use std::process::{Child, Command};

use anyhow::{Context, Result};

/// A child that is ended with its owner.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Starts a command.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_owned();
        Ok(Self(command.spawn().with_context(|| format!("starting {}", name.display()))?))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The standard output, if it was piped and not taken before.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.0.stdout.take()
    }

    /// Seconds of processor time so far, all threads, user and system.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu_s(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The second field, the name in parentheses, may hold anything.
        let behind_name = stat.rsplit_once(')').context("no process status")?.1;
        let ticks = |n: usize| behind_name.split_whitespace().nth(n).and_then(|t| t.parse::<u64>().ok());
        let total = ticks(11).zip(ticks(12)).map(|(user, system)| user + system).context("no processor time")?;
        Ok(total as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Resident memory, its highest so far, in mebibytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_mib(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What has ended by itself needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
