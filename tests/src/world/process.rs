//! A child process: started, killed, frozen and started again by its own process id; it never outlives us.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long a process may take until it listens, or to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a port is tried that nobody listens on yet.
const RETRY: Duration = Duration::from_millis(50);

type Spawned = mpsc::Sender<std::io::Result<Child>>;

/// Starts a command on a thread that lives as long as this program does: the kernel's death signal follows the thread
/// that started a child, and a test's thread ends with its test.
fn spawn(command: Command) -> Result<Child> {
    static KEEPER: OnceLock<mpsc::Sender<(Command, Spawned)>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (tx, rx) = mpsc::channel::<(Command, Spawned)>();
        std::thread::spawn(move || {
            for (mut command, answer) in rx {
                let _ = answer.send(command.spawn());
            }
        });
        tx
    });
    let (tx, rx) = mpsc::channel();
    keeper.send((command, tx)).context("the thread that starts processes is gone")?;
    Ok(rx.recv().context("the thread that starts processes is gone")??)
}

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// For messages and the log's name.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables set in its environment.
    pub env: Vec<(String, String)>,
    /// Its working directory, in which its log is kept, too.
    pub dir: PathBuf,
}

/// A process that may be running.
#[derive(Debug)]
pub struct Process {
    recipe: Recipe,
    child: Option<Child>,
}

impl Process {
    /// A process that is not running yet.
    pub fn new(recipe: Recipe) -> Self {
        Self { recipe, child: None }
    }

    /// Where its output goes.
    pub fn log(&self) -> PathBuf {
        self.recipe.dir.join(format!("{}.log", self.recipe.name))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.recipe.name
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it, in a process group of its own.
    ///
    /// # Errors
    /// It runs already, or the program cannot be started.
    pub fn start(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("{} runs already", self.recipe.name);
        }
        let out = OpenOptions::new().create(true).append(true).open(self.log())?;
        // setpriv gives the child the signal that ends it with us, then becomes the program: same process id.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(&self.recipe.command)
            .envs(self.recipe.env.iter().map(|(k, v)| (k, v)))
            .current_dir(&self.recipe.dir)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0);
        let child = spawn(command).with_context(|| format!("{} cannot be started", self.recipe.name))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it listens on all the addresses.
    ///
    /// # Errors
    /// It ended, or does not listen after a minute.
    pub async fn listening(&self, addresses: &[SocketAddr]) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        for address in addresses {
            while TcpStream::connect(address).await.is_err() {
                if let Some(status) = self.ended()? {
                    bail!("{} ended at its start: {status}\n{}", self.recipe.name, tail(&self.log()));
                }
                if Instant::now() > until {
                    bail!("{} does not listen on {address}\n{}", self.recipe.name, tail(&self.log()));
                }
                sleep(RETRY).await;
            }
        }
        Ok(())
    }

    /// How it ended by itself, if it has.
    ///
    /// # Errors
    /// Its state cannot be read.
    pub fn ended(&self) -> Result<Option<String>> {
        let Some(child) = &self.child else { return Ok(Some("it was not started".into())) };
        let pid = WaitId::Pid(Pid::from_child(child));
        // Looks without reaping: the process id stays ours until we let it go.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::io::retry_on_intr(|| waitid(pid.clone(), options))?;
        Ok(status.map(|s| match (s.exit_status(), s.terminating_signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        }))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process_group(pid, signal);
        }
    }

    /// kill -9, of all its process group.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Stops it as an administrator would; kills it if it does not end.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let Some(mut child) = self.child.take() else { return };
        let pid = Pid::from_child(&child);
        let ended = tokio::task::spawn_blocking(move || child.wait());
        if timeout(PATIENCE, ended).await.is_err() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Stops its clock: SIGSTOP.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on: SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// CPU time used so far, of the process alone, in seconds.
    ///
    /// # Errors
    /// It does not run.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.recipe.name))?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Memory in use and its peak so far, in KiB.
    ///
    /// # Errors
    /// It does not run.
    pub fn memory_kib(&self) -> Result<(u64, u64)> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.recipe.name))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find(|l| l.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Ok((field("VmRSS:").unwrap_or(0), field("VmHWM:").unwrap_or(0)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Longest piece of a log that is shown.
const TAIL_LINES: usize = 30;

/// The end of a log, as text.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    format!("--- {}\n{}\n", log.display(), lines[from..].join("\n"))
}
