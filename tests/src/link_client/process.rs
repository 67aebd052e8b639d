//! A center as a child process in a directory of its own.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::enrol::{Identity, enrol};

/// Nothing that is waited for takes longer; it only bounds a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A center that runs. It is killed, and its directory removed, when this is dropped.
#[derive(Debug)]
pub struct CenterProcess {
    dir: PathBuf,
    child: Option<Child>,
    /// How the daemon is started: a program and arguments that come before it (`ip netns exec …`), or nothing.
    wrapper: Vec<String>,
    _temp: Option<TempDir>,
}

/// The program, built as this test was.
///
/// # Panics
/// It cannot be built.
#[must_use]
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        let profile = test.ancestors().find(|p| p.ends_with("debug") || p.ends_with("release"));
        let folder = profile.expect("a test lies below debug or release").to_owned();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        // With the whole workspace its dependencies have the features that they were built with: nothing is built twice.
        build.args(["build", "-q", "--workspace", "--bin", "intergroup-center"]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        build.env("CARGO_TARGET_DIR", folder.parent().expect("the folder lies in the target folder"));
        let status = build.status().expect("cargo runs");
        assert!(status.success(), "the center cannot be built");
        folder.join("intergroup-center")
    })
}

/// A port of the loopback interface that is free now.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl CenterProcess {
    /// Makes a center on one free loopback port and starts it.
    ///
    /// # Errors
    /// It does not start.
    pub fn start() -> Result<Self> {
        let temp = tempfile::tempdir()?;
        let dir = temp.path().join("center");
        let mut center = Self::init(&dir, &[format!("127.0.0.1:{}", free_port()?)])?;
        center._temp = Some(temp);
        center.serve()?;
        Ok(center)
    }

    /// Makes a center without starting it.
    ///
    /// # Errors
    /// `init` fails.
    pub fn init(dir: &Path, listen: &[String]) -> Result<Self> {
        Self::init_with(dir, listen, &["--name", "Test Hub"])
    }

    /// Makes a center on a Redis without starting it.
    ///
    /// # Errors
    /// `init` fails.
    pub fn on_redis(dir: &Path, listen: &str, store: &str) -> Result<Self> {
        Self::init_with(dir, &[listen.to_owned()], &["--name", "Test Hub", "--store", store])
    }

    /// Makes another node of this center without starting it.
    ///
    /// # Errors
    /// `bundle` or `init` fails.
    pub fn node(&self, dir: &Path, listen: &str) -> Result<Self> {
        let bundle = dir.with_extension("bundle");
        std::fs::write(&bundle, self.run(&["bundle"])?)?;
        Self::init_with(dir, &[listen.to_owned()], &["--join", &bundle.to_string_lossy()])
    }

    fn init_with(dir: &Path, listen: &[String], more: &[&str]) -> Result<Self> {
        let center = Self { dir: dir.to_owned(), child: None, wrapper: Vec::new(), _temp: None };
        let mut args = vec!["init".to_owned()];
        args.extend(more.iter().map(|word| (*word).to_owned()));
        for address in listen {
            args.extend(["--listen".into(), address.clone()]);
        }
        center.run(&args.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(center)
    }

    /// Starts the daemon by another program that takes it as its last arguments.
    #[must_use]
    pub fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|w| (*w).to_owned()).collect();
        self
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts the daemon and waits until it listens.
    ///
    /// # Errors
    /// It ends before it listens.
    pub fn serve(&mut self) -> Result<()> {
        let program = program().to_string_lossy().into_owned();
        let words: Vec<&str> = self.wrapper.iter().map(String::as_str).chain([program.as_str()]).collect();
        let (first, rest) = words.split_first().context("there is a program")?;
        let mut child = Command::new(first)
            .args(rest)
            .args(["serve", "--dir"])
            .arg(&self.dir)
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {first}"))?;
        let out = child.stdout.take().context("the daemon has an output")?;
        self.child = Some(child);
        let (said, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // The first line comes when every address is bound; the rest is read so that the daemon never waits.
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let line = lines.recv_timeout(PATIENCE).context("the center did not begin to listen")?;
        ensure!(line.starts_with("listening on "), "the center said {line:?}");
        Ok(())
    }

    /// Kills the daemon as `kill -9` does, and waits for its end.
    ///
    /// # Errors
    /// It is not running.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the center is not running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Ends the daemon as `kill` does; says whether it ended well.
    ///
    /// # Errors
    /// It is not running.
    pub fn terminate(&mut self) -> Result<bool> {
        let mut child = self.child.take().context("the center is not running")?;
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        Ok(child.wait()?.success())
    }

    /// The daemon's process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Runs a command of the center and returns its standard output.
    ///
    /// # Errors
    /// It fails; its standard error is in the text.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let out = Command::new(program()).args(args).arg("--dir").arg(&self.dir).output()?;
        if !out.status.success() {
            bail!("{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        }
        Ok(String::from_utf8(out.stdout)?)
    }

    /// Runs a command of the center with `--json`.
    ///
    /// # Errors
    /// See [`CenterProcess::run`].
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let mut args = args.to_vec();
        args.push("--json");
        Ok(serde_json::from_str(&self.run(&args)?)?)
    }

    /// Adds an enterprise and enrols its gateway `main`.
    ///
    /// # Errors
    /// The center refuses.
    pub async fn enrol(&self, enterprise: &str) -> Result<Identity> {
        enrol(&self.run(&["enterprise", "add", enterprise])?).await
    }
}

impl Drop for CenterProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
