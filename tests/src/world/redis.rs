//! A Redis that keeps what it acknowledges.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::addresses;
use super::process::{Process, Recipe};

/// Its port.
const PORT: u16 = 16379;

/// See the module.
#[derive(Debug)]
pub struct Redis {
    /// The program.
    pub process: Process,
    listen: SocketAddr,
}

impl Redis {
    /// One that is not running yet.
    pub(super) fn new(above: &Path) -> Result<Self> {
        let listen = SocketAddr::from((addresses::fresh()?, PORT));
        let dir = above.join("redis");
        std::fs::create_dir(&dir).context("a folder for Redis")?;
        let (ip, port, dir) = (listen.ip().to_string(), PORT.to_string(), dir.to_string_lossy().into_owned());
        let mut command = vec!["redis-server", "--bind", &ip, "--port", &port, "--dir", &dir, "--save", ""];
        command.extend(["--appendonly", "yes", "--appendfsync", "always"]);
        let command = command.into_iter().map(str::to_owned).collect();
        let recipe = Recipe { name: "redis".into(), command, env: Vec::new(), dir: above.to_owned() };
        Ok(Self { process: Process::new(recipe), listen })
    }

    /// Starts it; returns when it listens.
    ///
    /// # Errors
    /// It does not start.
    pub async fn up(&mut self) -> Result<()> {
        self.process.start()?;
        self.process.listening(&[self.listen]).await
    }

    /// Its address, as a store's.
    #[must_use]
    pub fn address(&self) -> String {
        format!("redis://{}", self.listen)
    }
}
