//! A gateway's link, reduced to what a load needs: frames in, frames out, receipts in time.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use intergroup_schemas::ids::{GroupNumber, Seq};
use intergroup_schemas::link::{
    Credit, GroupInfo, Hello, PATH, Request, RequestBody, ResponseBody, Resume, SUBPROTOCOL, Settled, ToCenter,
    ToGateway, VERSION, decode, encode,
};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::center::connect;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// A read that finds nothing ends after this long, so that the end of a run is noticed.
const PATIENCE: Duration = Duration::from_millis(200);
/// Stream stanzas after which credit and `settled` are sent.
const RECEIPT_EVERY: u32 = 256;

/// See the module.
#[derive(Debug)]
pub struct Link {
    stream: StreamOwned<ClientConnection, TcpStream>,
    input: Vec<u8>,
    from: usize,
    to: usize,
    output: Vec<u8>,
    requests: u64,
    unreceipted: u32,
    settled: Seq,
}

impl Link {
    /// Opens a link, says hello and waits for welcome.
    ///
    /// # Errors
    /// Any step's.
    pub fn open(address: &str, tls: Arc<ClientConfig>) -> Result<Self> {
        let mut stream = connect(address, tls)?;
        write!(
            stream,
            "GET {PATH} HTTP/1.1\r\nHost: center\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
        )?;
        stream.flush()?;
        let mut link = Self {
            stream,
            input: vec![0; READ_BYTES],
            from: 0,
            to: 0,
            output: Vec::new(),
            requests: 0,
            unreceipted: 0,
            settled: Seq(0),
        };
        let head = loop {
            link.read()?;
            if let Some(end) = memchr::memmem::find(&link.input[..link.to], b"\r\n\r\n") {
                break end + 4;
            }
        };
        ensure!(link.input.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&link.input[..link.to]));
        link.from = head;
        link.send(&ToCenter::Hello(Hello { version: VERSION, software: "bench".into(), groups: Vec::new() }));
        link.flush()?;
        link.wait(|stanza| matches!(stanza, ToGateway::Welcome(_)).then_some(()))?;
        link.stream.sock.set_read_timeout(Some(PATIENCE))?;
        Ok(link)
    }

    /// Asks for something that is answered with a group.
    ///
    /// # Errors
    /// It was refused, or the link broke.
    pub fn ask(&mut self, body: RequestBody) -> Result<GroupInfo> {
        self.requests += 1;
        let id = self.requests;
        self.send(&ToCenter::Request(Request { id, body }));
        self.flush()?;
        let answer = self.wait(|stanza| match stanza {
            ToGateway::Response(response) if response.id == id => Some(response.body),
            _ => None,
        })?;
        match answer {
            ResponseBody::Group(info) => Ok(info),
            other => bail!("{other:?}"),
        }
    }

    /// Starts the stream of a group behind a place.
    ///
    /// # Errors
    /// The link broke.
    pub fn resume(&mut self, group: GroupNumber, after: Seq) -> Result<()> {
        self.settled = after;
        self.send(&ToCenter::Resume(Resume { group, after }));
        self.flush()
    }

    fn wait<T>(&mut self, wanted: impl Fn(ToGateway) -> Option<T>) -> Result<T> {
        loop {
            while let Some((from, to)) = self.next_stanza()? {
                let stanza = decode::to_gateway(&Bytes::copy_from_slice(&self.input[from..to]))?;
                if let Some(found) = wanted(stanza) {
                    return Ok(found);
                }
            }
            self.read()?;
        }
    }

    /// Appends a stanza; `flush` sends what has been appended.
    pub fn send(&mut self, stanza: &ToCenter) {
        let text = encode::to_center(stanza);
        let masked = 0x80;
        self.output.push(0x81);
        if let Ok(short) = u8::try_from(text.len())
            && short < 126
        {
            self.output.push(masked | short);
        } else if let Ok(medium) = u16::try_from(text.len()) {
            self.output.push(masked | 126);
            self.output.extend_from_slice(&medium.to_be_bytes());
        } else {
            self.output.push(masked | 127);
            self.output.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
        // A mask of zeros costs us nothing and the center as much as any other.
        self.output.extend_from_slice(&[0; 4]);
        self.output.extend_from_slice(text.as_bytes());
    }

    /// Sends what has been appended.
    ///
    /// # Errors
    /// The connection's.
    pub fn flush(&mut self) -> Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output)?;
            self.stream.flush()?;
            self.output.clear();
        }
        Ok(())
    }

    /// Waits for bytes, but not for ever. Errors: the connection has ended.
    fn read(&mut self) -> Result<()> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        } else if self.to == self.input.len() {
            self.input.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        match self.stream.read(&mut self.input[self.to..]) {
            Ok(0) => bail!("the center has ended the link"),
            Ok(count) => self.to += count,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) => return Err(e).context("reading from the center"),
        }
        Ok(())
    }

    /// Where the next whole frame's content is.
    fn next_frame(&mut self) -> Result<Option<(usize, usize)>> {
        let input = &self.input[self.from..self.to];
        let Some([kind, length]) = input.first_chunk::<2>().copied() else { return Ok(None) };
        let (head, length) = match length {
            127 => match input.get(2..10).and_then(|b| b.try_into().ok()) {
                Some(bytes) => (10, usize::try_from(u64::from_be_bytes(bytes))?),
                None => return Ok(None),
            },
            126 => match input.get(2..4).and_then(|b| b.try_into().ok()) {
                Some(bytes) => (4, usize::from(u16::from_be_bytes(bytes))),
                None => return Ok(None),
            },
            short => (2, usize::from(short)),
        };
        if input.len() < head + length {
            return Ok(None);
        }
        let from = self.from + head;
        self.from = from + length;
        match kind & 0x0F {
            1 => Ok(Some((from, from + length))),
            // Pings come only on silent links, and none of these is silent for so long.
            _ => self.next_frame(),
        }
    }

    /// The next whole stanza. Errors: one of the group's stream is missing before it, or the center is not content.
    fn next_stanza(&mut self) -> Result<Option<(usize, usize)>> {
        let Some((from, to)) = self.next_frame()? else { return Ok(None) };
        let frame = &self.input[from..to];
        if frame.starts_with(b"<deliver ") || frame.starts_with(b"<own ") || frame.starts_with(b"<entry ") {
            let seq = seq(frame).context("no seq")?;
            ensure!(seq == self.settled.next(), "{seq} follows {}", self.settled);
            self.settled = seq;
            self.unreceipted += 1;
        } else if frame.starts_with(b"<skip ") || frame.starts_with(b"<bye ") || frame.starts_with(b"<expect ") {
            bail!("{}", String::from_utf8_lossy(frame));
        }
        Ok(Some((from, to)))
    }

    /// Reads once, and shows each stanza to `each`. Checks that the stream of the group has no gap, and gives receipts.
    ///
    /// # Errors
    /// The link has ended, or a stanza of the stream is missing.
    pub fn turn(&mut self, group: GroupNumber, mut each: impl FnMut(&[u8])) -> Result<()> {
        self.read()?;
        while let Some((from, to)) = self.next_stanza()? {
            each(&self.input[from..to]);
        }
        if self.unreceipted >= RECEIPT_EVERY {
            self.send(&ToCenter::Credit(Credit { count: self.unreceipted }));
            self.send(&ToCenter::Settled(Settled { group, upto: self.settled, refused: Vec::new() }));
            self.unreceipted = 0;
            self.flush()?;
        }
        Ok(())
    }
}

/// A number among a stanza's attributes.
#[must_use]
pub fn number(frame: &[u8], before: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find(frame, before)? + before.len();
    let digits = frame[at..].iter().take_while(|b| b.is_ascii_digit());
    Some(digits.fold(0, |n, b| n * 10 + u64::from(b - b'0')))
}

fn seq(frame: &[u8]) -> Option<Seq> {
    number(frame, b" seq='").map(Seq)
}
