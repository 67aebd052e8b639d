//! Redis Streams as the thing to compare with: one stream, each reader with its own blocking XREAD, no TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use memchr::memchr;

use super::process::Server;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_millis(200);
/// Most entries a reader takes at once.
const COUNT: &str = "512";
const STREAM: &str = "s";

/// Starts a server whose every write is on disk before it is answered.
///
/// # Errors
/// It does not start.
pub fn start(dir: &Path) -> Result<(Server, String)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "yes"]);
    command.args(["--appendfsync", "always", "--daemonize", "no", "--dir"]).arg(dir).stdout(Stdio::null());
    let server = Server::start(&mut command).context("is the package redis-server installed?")?;
    let address = format!("127.0.0.1:{port}");
    // It accepts connections as soon as it has started.
    while TcpStream::connect(&address).is_err() {
        std::thread::yield_now();
    }
    Ok((server, address))
}

/// A connection that speaks RESP.
#[derive(Debug)]
pub struct Client {
    socket: TcpStream,
    input: Vec<u8>,
    from: usize,
    to: usize,
    output: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// The connection's.
    pub fn connect(address: &str) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, input: vec![0; READ_BYTES], from: 0, to: 0, output: Vec::new() })
    }

    /// Appends a command.
    fn command(&mut self, parts: &[&[u8]]) -> Result<()> {
        write!(self.output, "*{}\r\n", parts.len())?;
        for part in parts {
            write!(self.output, "${}\r\n", part.len())?;
            self.output.extend_from_slice(part);
            self.output.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// Appends an XADD of one field.
    ///
    /// # Errors
    /// None in practice.
    pub fn add(&mut self, payload: &[u8]) -> Result<()> {
        self.command(&[b"XADD", STREAM.as_bytes(), b"*", b"m", payload])
    }

    /// Appends an XREAD that waits for entries behind `after`.
    ///
    /// # Errors
    /// None in practice.
    pub fn read_after(&mut self, after: &[u8]) -> Result<()> {
        self.command(&[b"XREAD", b"COUNT", COUNT.as_bytes(), b"BLOCK", b"0", b"STREAMS", STREAM.as_bytes(), after])
    }

    /// Sends what has been appended.
    ///
    /// # Errors
    /// The connection's.
    pub fn flush(&mut self) -> Result<()> {
        self.socket.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Waits for bytes, but not for ever.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn receive(&mut self) -> Result<()> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        } else if self.to == self.input.len() {
            self.input.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        match self.socket.read(&mut self.input[self.to..]) {
            Ok(0) => bail!("Redis has ended the connection"),
            Ok(count) => self.to += count,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) => return Err(e).context("reading from Redis"),
        }
        Ok(())
    }

    /// The next element of a reply: a bulk string's content, or the line of anything else; none when more must come.
    ///
    /// # Errors
    /// Redis says that something is wrong.
    pub fn next_element(&mut self) -> Result<Option<&[u8]>> {
        let input = &self.input[self.from..self.to];
        let Some(line) = memchr(b'\n', input) else { return Ok(None) };
        ensure!(input[0] != b'-', "Redis: {}", String::from_utf8_lossy(&input[..line]));
        let (start, end, next) = if input[0] == b'$' {
            let length: usize = std::str::from_utf8(&input[1..line - 1])?.parse()?;
            (line + 1, line + 1 + length, line + 1 + length + 2)
        } else {
            (0, line - 1, line + 1)
        };
        if input.len() < next {
            return Ok(None);
        }
        let from = self.from;
        self.from += next;
        Ok(Some(&self.input[from + start..from + end]))
    }
}
