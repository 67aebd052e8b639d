//! A redis-server of its own for a test: on a free port of the loopback, in its own directory, as durable as it can be.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A running redis-server, which ends with it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    dir: TempDir,
    settings: Vec<String>,
}

impl Server {
    /// Starts one with `appendonly yes` and `appendfsync always`.
    ///
    /// # Panics
    /// There is no redis-server (Debian's package redis-server), or it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts one with these settings, as on its command line.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn with(settings: &[&str]) -> Self {
        let (port, dir) = (free_port(), tempfile::tempdir().expect("a directory"));
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        let child = spawn(port, dir.path(), &settings);
        Self { child, port, dir, settings }
    }

    /// Its address as a store's.
    #[must_use]
    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        // One that has ended needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub fn restart(&mut self) {
        self.child = spawn(self.port, self.dir.path(), &self.settings);
    }

    /// Forgets everything on its disk; only while it is not running.
    ///
    /// # Panics
    /// The directory cannot be emptied.
    pub fn forget(&mut self) {
        self.dir = tempfile::tempdir().expect("a directory");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A Sentinel that watches a master by the name `main`, and makes its replica the master soon after it has died.
#[derive(Debug)]
pub struct Sentinel {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Sentinel {
    /// Starts one.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn watching(master: &Server) -> Self {
        let (port, dir) = (free_port(), tempfile::tempdir().expect("a directory"));
        let file = dir.path().join("sentinel.conf");
        let watched = master.port;
        let settings = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsentinel monitor main 127.0.0.1 {watched} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n",
            dir.path().display()
        );
        std::fs::write(&file, settings).expect("its settings can be written");
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null());
        Self { child: listening(&mut command, port), port, _dir: dir }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

fn spawn(port: u16, dir: &Path, settings: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--daemonize", "no"]);
    command.args(settings).arg("--dir").arg(dir).stdin(Stdio::null()).stdout(Stdio::null());
    listening(&mut command, port)
}

fn listening(command: &mut Command, port: u16) -> Child {
    let mut child = command.spawn().expect("redis-server runs (Debian's package redis-server)");
    // It accepts connections as soon as it has started.
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if let Some(status) = child.try_wait().expect("its state can be asked for") {
            panic!("redis-server has ended: {status}");
        }
        std::thread::yield_now();
    }
    child
}
