//! A command's side of the socket.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Answer, Ask, LINE_BYTES};
use crate::config::Dir;

/// The daemon answers when what was asked for is on disk; longer than this it never takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks the running daemon.
///
/// # Errors
/// It is not running (with how to start it), or does not answer.
pub fn ask(dir: &Dir, ask: &Ask) -> Result<Answer> {
    let mut stream = match UnixStream::connect(dir.socket()) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            let path = dir.0.display();
            if !dir.config().exists() {
                bail!("there is no center in {path}; make one with `intergroup-center init --dir {path} --name NAME`");
            }
            bail!("the center is not running; start it with `intergroup-center serve --dir {path}`")
        }
        Err(e) => return Err(e).with_context(|| format!("talking to {}", dir.socket().display())),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_string(ask)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).context("asking the center")?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES)).read_line(&mut answer).context("waiting for the center's answer")?;
    serde_json::from_str(&answer).context("the running center is of another version than this command: restart it")
}
