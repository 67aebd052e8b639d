//! The product's own programs, run as an administrator would run them: by their commands, from their folders.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::process::{Process, Recipe};

/// A built program of this workspace: it lies beside the test's own executable.
///
/// # Errors
/// It has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.exists());
    found.with_context(|| format!("{name} has not been built; run `cargo build --workspace` first"))
}

/// Runs a command to its end, with the text on its standard input.
async fn command(program: &Path, args: &[&str], input: &str) -> Result<Output> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| program.display().to_string())?;
    let mut stdin = child.stdin.take().context("a pipe was asked for")?;
    // A command that does not read its input may close it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    Ok(child.wait_with_output().await?)
}

/// Runs a command that must succeed; returns what it printed.
async fn succeed(program: &Path, args: &[&str], input: &str) -> Result<String> {
    let out = command(program, args, input).await?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let problem = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{} {}: {}\n{text}{problem}", program.display(), args.join(" "), out.status);
    Ok(text)
}

/// A center or a gateway: its program, its folder, and its running process.
#[derive(Debug)]
pub struct Daemon {
    /// The running program.
    pub process: Process,
    program: PathBuf,
    dir: PathBuf,
}

impl Daemon {
    fn new(name: &str, program: PathBuf, above: &Path) -> Result<Daemon> {
        let dir = above.join(name);
        let folder = dir.to_string_lossy().into_owned();
        let command = vec![program.to_string_lossy().into_owned(), "serve".into(), "--dir".into(), folder];
        let level = std::env::var("INTERGROUP_LOG").unwrap_or_else(|_| "info".into());
        let env =
            vec![("RUST_LOG".into(), level), ("RUST_BACKTRACE".into(), "1".into()), ("NO_COLOR".into(), "1".into())];
        let process = Process::new(Recipe { name: name.into(), command, env, dir: above.to_owned() });
        Ok(Daemon { process, program, dir })
    }

    /// Runs one of its commands on its folder; returns what it printed.
    ///
    /// # Errors
    /// The command failed; its output is in the error.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with(args, "").await
    }

    async fn run_with(&self, args: &[&str], input: &str) -> Result<String> {
        let dir = self.dir.to_string_lossy().into_owned();
        let mut all = args.to_vec();
        all.extend(["--dir", &dir]);
        succeed(&self.program, &all, input).await
    }

    /// Runs a command with `--json`.
    ///
    /// # Errors
    /// The command failed, or did not print JSON.
    pub async fn json(&self, args: &[&str]) -> Result<Value> {
        let mut all = args.to_vec();
        all.push("--json");
        let text = self.run(&all).await?;
        serde_json::from_str(&text).with_context(|| format!("{} did not print JSON: {text}", args.join(" ")))
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Sets a center up.
pub(super) async fn center(above: &Path, listen: SocketAddr, store: Option<&str>) -> Result<Daemon> {
    let daemon = Daemon::new("center", program("intergroup-center")?, above)?;
    let listen = listen.to_string();
    let mut args = vec!["init", "--name", "Test Hub", "--listen", &listen];
    args.extend(store.iter().flat_map(|store| ["--store", store]));
    daemon.run(&args).await?;
    Ok(daemon)
}

/// Sets another node of a center up.
pub(super) async fn node(above: &Path, listen: SocketAddr, first: &Daemon) -> Result<Daemon> {
    let daemon = Daemon::new("center-second", program("intergroup-center")?, above)?;
    let bundle = first.run(&["bundle"]).await?;
    daemon.run_with(&["init", "--join", "-", "--listen", &listen.to_string()], &bundle).await?;
    Ok(daemon)
}

/// What a gateway is set up with.
pub(super) struct GatewayPlan<'a> {
    /// The company's short id.
    pub(super) company: &'a str,
    /// Where the gateway finds its server.
    pub(super) server: SocketAddr,
    /// The component's domain and password.
    pub(super) component: String,
    pub(super) secret: &'a str,
    /// The room service.
    pub(super) rooms: String,
    /// The company's domains, the main one first.
    pub(super) domains: &'a [String],
    /// The HTTP proxy on the way to the center.
    pub(super) proxy: Option<SocketAddr>,
    /// The Redis that keeps everything, if one does.
    pub(super) store: Option<&'a str>,
}

/// Sets a gateway up and enrols it with a code.
pub(super) async fn gateway(above: &Path, plan: &GatewayPlan<'_>, code: &str) -> Result<Daemon> {
    let daemon = Daemon::new(&format!("{}-gateway", plan.company), program("intergroup-gateway")?, above)?;
    let secret = above.join(format!("{}-component-secret", plan.company));
    std::fs::write(&secret, plan.secret)?;
    let (server, secret) = (plan.server.to_string(), secret.to_string_lossy().into_owned());
    let mut args = vec!["init", "--server", &server, "--component", &plan.component, "--secret-file", &secret];
    args.extend(["--rooms", &plan.rooms]);
    args.extend(plan.domains.iter().flat_map(|domain| ["--domain", domain]));
    let proxy = plan.proxy.map(|proxy| format!("http://{proxy}"));
    if let Some(proxy) = &proxy {
        args.extend(["--proxy", proxy]);
    }
    args.extend(plan.store.iter().flat_map(|store| ["--store", store]));
    daemon.run(&args).await?;
    daemon.run_with(&["enroll", "-"], code).await?;
    Ok(daemon)
}
