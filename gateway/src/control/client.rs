//! A command's end of the socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Answer, Request};

/// How often a command that takes long says so.
const PROGRESS: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// Nobody listens.
    NotRunning,
    /// The socket cannot be used, for another reason.
    Socket(io::Error),
    /// No answer came in time. The gateway goes on with what it was asked for.
    Timeout,
    /// The gateway ended without an answer, or gave one that is none.
    NoAnswer(String),
}

/// Asks the running gateway, and waits for at most `bound`.
///
/// # Errors
/// See [`Failure`].
pub fn ask(socket: &Path, request: &Request, bound: Duration) -> Result<Answer, Failure> {
    let mut stream = UnixStream::connect(socket).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Failure::NotRunning,
        _ => Failure::Socket(e),
    })?;
    let mut line = serde_json::to_vec(request).map_err(|e| Failure::NoAnswer(e.to_string()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(Failure::Socket)?;
    stream.set_read_timeout(Some(PROGRESS.min(bound))).map_err(Failure::Socket)?;
    let (began, mut reader, mut answer) = (Instant::now(), BufReader::new(stream), Vec::new());
    loop {
        match reader.read_until(b'\n', &mut answer) {
            Ok(0) => return Err(Failure::NoAnswer("the gateway ended without an answer".into())),
            Ok(_) => break,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if began.elapsed() >= bound {
                    return Err(Failure::Timeout);
                }
                eprintln!("still waiting ({} s of at most {} s) …", began.elapsed().as_secs(), bound.as_secs());
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Failure::Socket(e)),
        }
    }
    serde_json::from_slice(&answer).map_err(|e| Failure::NoAnswer(format!("the answer was not understood: {e}")))
}
