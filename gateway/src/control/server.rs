//! The daemon's end of the socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::{Answer, Request};

/// Longest request.
const REQUEST_BYTES: u64 = 64 * 1024;
/// How long a client may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Most clients at once; the next one waits.
const CLIENTS: usize = 32;

/// A request, with where its answer goes. An answer that is not wanted any more (the client has gone) is dropped.
#[derive(Debug)]
pub struct Served {
    /// What is asked for.
    pub request: Request,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// The listening socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // Should that fail, the next start removes it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Listens at the path, for its owner alone. The caller holds the directory's lock, so a file that is there is a dead one.
///
/// # Errors
/// The path cannot be listened at.
pub fn listen(path: &Path, requests: mpsc::Sender<Served>) -> Result<Control> {
    // Made under another name, restricted, and only then put in place: at no moment may others open it.
    let new = path.with_extension("new");
    for old in [path, &new] {
        match fs::remove_file(old) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("removing {}", old.display()));
            }
            _ => {}
        }
    }
    let listener = UnixListener::bind(&new).with_context(|| format!("listening at {}", path.display()))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, path).with_context(|| format!("listening at {}", path.display()))?;
    let task = tokio::spawn(async move {
        let clients = Arc::new(Semaphore::new(CLIENTS));
        while let Ok(permit) = clients.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let requests = requests.clone();
                    tokio::spawn(async move {
                        if let Err(e) = serve(stream, &requests).await {
                            tracing::debug!("a command went away: {e:#}");
                        }
                        drop(permit);
                    });
                }
                Err(e) => {
                    tracing::warn!("the local socket cannot be served: {e}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(Control { path: path.to_owned(), task })
}

async fn serve(mut stream: UnixStream, requests: &mpsc::Sender<Served>) -> Result<()> {
    let (read, mut write) = stream.split();
    let mut reader = BufReader::new(read.take(REQUEST_BYTES));
    let mut line = String::new();
    timeout(REQUEST_TIMEOUT, reader.read_line(&mut line)).await.context("no request came")??;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => {
            let (send, answer) = oneshot::channel();
            let served = requests.send(Served { request, answer: send }).await;
            // The owner drops what it cannot answer when it ends.
            let (mut more, stopping) = (String::new(), || refused("the gateway is shutting down"));
            match served {
                // A client that hangs up frees its place; what it asked for goes on.
                Ok(()) => tokio::select! {
                    answer = answer => answer.unwrap_or_else(|_| stopping()),
                    gone = reader.read_line(&mut more) => anyhow::bail!("hung up: {gone:?}"),
                },
                Err(_) => stopping(),
            }
        }
        Err(e) => refused(&format!("the request was not understood ({e}): are command and daemon of one version?")),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    Ok(())
}

fn refused(text: &str) -> Answer {
    Answer::Refused { condition: None, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Failure, ask};

    fn echo() -> mpsc::Sender<Served> {
        let (requests, mut served) = mpsc::channel::<Served>(1);
        tokio::spawn(async move {
            while let Some(Served { request, answer }) = served.recv().await {
                let reply = match request {
                    Request::Status => continue,
                    Request::List => Answer::Groups { groups: Vec::new() },
                    _ => Answer::Done,
                };
                drop(answer.send(reply));
            }
        });
        requests
    }

    #[tokio::test]
    async fn serves_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.sock");
        fs::write(&path, "left behind by a crash").unwrap();
        let control = listen(&path, echo()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let asked = async |request: Request| {
            let path = path.clone();
            tokio::task::spawn_blocking(move || ask(&path, &request, Duration::from_secs(60))).await.unwrap()
        };
        assert_eq!(asked(Request::List).await.unwrap(), Answer::Groups { groups: Vec::new() });
        assert_eq!(asked(Request::Reconnect).await.unwrap(), Answer::Done);
        let Answer::Refused { text, .. } = asked(Request::Status).await.unwrap() else { panic!("not refused") };
        assert!(text.contains("shutting down"), "what the owner drops is still answered: {text}");
        drop(control);
        assert!(!path.exists());
        assert!(matches!(asked(Request::List).await, Err(Failure::NotRunning)));
    }

    #[tokio::test]
    async fn says_what_is_wrong_with_a_request() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.sock");
        let _control = listen(&path, echo()).unwrap();
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"{\"command\":\"dance\"}\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("not understood"), "{answer}");
    }
}
