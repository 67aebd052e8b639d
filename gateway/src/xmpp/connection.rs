//! One connection to the server: opened with a handshake, then served until it ends.
//!
//! One task reads and writes, so that neither waits for the other: actions are taken and bytes offered to the socket whether or not
//! the server takes them, and while `events` is full nothing is read, which the server feels as back-pressure.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::handshake::{FOOTER, header, proof, stream_id};
use super::session::{Outcome, Session};
use super::splitter::{Piece, STANZA_BYTES, Splitter};
use super::{Monitor, Order, Settings, State};
use crate::bridge::Event;

/// Room made for one read of the socket, before events and actions get their turn.
const READ_BYTES: usize = 64 * 1024;
/// Batches of actions taken before they are written.
const BATCHES_A_TURN: usize = 64;
/// Most bytes that wait for the server to take them. The bridge's windows stay far below; beyond it something is wrong.
const OUT_BYTES: usize = 64 * 1024 * 1024;

/// How long things may take. Tests have little patience.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// To connect, and once more to prove ourselves.
    pub(super) open: Duration,
    /// For the test's stanzas to come back.
    pub(super) test: Duration,
    /// Silence after which, and after every further such time, the server is pinged,
    pub(super) ping: Duration,
    /// and after which the connection is given up.
    pub(super) dead: Duration,
    /// Between two looks at all this.
    pub(super) tick: Duration,
    /// To say goodbye.
    pub(super) close: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            open: Duration::from_secs(15),
            test: Duration::from_secs(5),
            ping: Duration::from_secs(15),
            dead: Duration::from_secs(60),
            tick: Duration::from_secs(1),
            close: Duration::from_secs(2),
        }
    }
}

/// Why a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// We were asked to stop.
    Stopped,
    /// It broke. What happened, what it means, what to do.
    Lost(String),
    /// The server ended it for what may be something we sent: the condition and its own words.
    Blamed(String),
}

/// A connection whose handshake is done.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    splitter: Splitter,
}

/// Stream errors (RFC 6120 section 4.9.3) that can be about a stanza of ours. The others are about the connection.
const BLAMING: &[&str] = &[
    "bad-format",
    "bad-namespace-prefix",
    "improper-addressing",
    "internal-server-error",
    "invalid-from",
    "invalid-namespace",
    "invalid-xml",
    "not-well-formed",
    "policy-violation",
    "restricted-xml",
    "undefined-condition",
    "unsupported-encoding",
    "unsupported-stanza-type",
];

fn stream_error(condition: &str, text: &str) -> End {
    let told = if text.is_empty() { condition.to_owned() } else { format!("{condition}: {text}") };
    if BLAMING.contains(&condition) {
        return End::Blamed(told);
    }
    let what_to_do = match condition {
        "not-authorized" => "Compare the component's name and secret with the server's configuration.",
        "host-unknown" => "The server has no component of that name: add it to the server's configuration.",
        "conflict" => {
            "Another connection has this component's name: run one gateway only, and let new connections replace old ones \
             (Prosody: component_conflict_resolve = \"kick_old\")."
        }
        _ => "It is tried again.",
    };
    End::Lost(format!("the server ended the component's stream ({told}). {what_to_do}"))
}

fn broken(server: &str, what: &str) -> End {
    End::Lost(format!("the connection to {server} broke: {what}. It is tried again."))
}

/// Connects and proves that we are the component.
pub(super) async fn open(settings: &Settings, times: &Times) -> Result<Connection, End> {
    let server = &settings.server;
    let late = |_| broken(server, "no answer in time");
    let failed = |e: std::io::Error| broken(server, &e.to_string());
    let connected = tokio::time::timeout(times.open, TcpStream::connect(server)).await.map_err(late)?;
    let stream = connected.map_err(|e| {
        End::Lost(format!(
            "cannot connect to {server}: {e}. Is the server running, and is its component listener there?"
        ))
    })?;
    // Writes are gathered here already; the server is not to wait for more.
    stream.set_nodelay(true).map_err(failed)?;
    let mut connection = Connection { stream, buffer: BytesMut::new(), splitter: Splitter::new(STANZA_BYTES) };
    tokio::time::timeout(times.open, connection.shake_hands(settings)).await.map_err(late)??;
    Ok(connection)
}

impl Connection {
    async fn shake_hands(&mut self, settings: &Settings) -> Result<(), End> {
        let server = &settings.server;
        let failed = |e: std::io::Error| broken(server, &e.to_string());
        self.stream.write_all(header(&settings.component).as_bytes()).await.map_err(failed)?;
        loop {
            let piece = self.splitter.next(&self.buffer).map_err(|fault| broken(server, &fault.to_string()))?;
            match piece {
                None => {
                    if self.stream.read_buf(&mut self.buffer).await.map_err(failed)? == 0 {
                        return Err(broken(server, "it closed the connection during the handshake"));
                    }
                }
                Some(Piece::Header(length)) => {
                    let header = self.buffer.split_to(length);
                    let id = std::str::from_utf8(&header).ok().and_then(stream_id);
                    let id = id.ok_or_else(|| broken(server, "what answers there is no component listener"))?;
                    self.stream.write_all(proof(&id, &settings.secret).as_bytes()).await.map_err(failed)?;
                }
                Some(Piece::Stanza(from, to)) => {
                    let stanza = self.buffer.split_to(to);
                    if stanza[from..].starts_with(b"<handshake") {
                        return Ok(());
                    }
                    let mut reader = Session::new(&settings.component, Instant::now());
                    if let Outcome::StreamError { condition, text } = reader.stanza(&stanza[from..]) {
                        // Nothing was sent that could be blamed for it.
                        return Err(match stream_error(&condition, &text) {
                            End::Blamed(told) => broken(server, &told),
                            end => end,
                        });
                    }
                }
                Some(Piece::Nothing(length) | Piece::Oversized(length)) => self.buffer.advance(length),
                Some(Piece::Footer(_)) => return Err(broken(server, "it ended the stream during the handshake")),
            }
        }
    }

    /// Serves the connection until it ends. Says whether it had been announced as up.
    pub(super) async fn serve(
        mut self,
        settings: &Settings,
        times: &Times,
        session: &mut Session,
        events: &mpsc::Sender<Vec<Event>>,
        actions: &mut mpsc::Receiver<Vec<Order>>,
        monitor: &Monitor,
    ) -> (bool, End) {
        let mut up = false;
        let mut out = BytesMut::new();
        let opened = Instant::now();
        let mut heard = opened;
        let mut pinged = opened;
        session.now = opened;
        session.test();
        let mut ticks = tokio::time::interval(times.tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let end = loop {
            if !up && (session.exclusive() || opened.elapsed() >= times.test) {
                up = true;
                let exclusive = session.exclusive();
                if !exclusive {
                    tracing::warn!(
                        "another connection shares the component's stream: rooms are read from their archives"
                    );
                }
                // What came before belongs to a life that is over.
                session.events.clear();
                session.events.push(Event::ServerUp { exclusive });
                monitor.set(State::Up { exclusive });
                monitor.server_connections.fetch_add(1, Ordering::Relaxed);
            }
            out.extend_from_slice(session.out.as_bytes());
            session.out.clear();
            if let Err(e) = self.write(&mut out, monitor) {
                break broken(&settings.server, &e.to_string());
            }
            if out.len() > OUT_BYTES {
                break broken(&settings.server, "the server has not taken what we send for too long");
            }
            if !up {
                session.events.clear();
            } else if !session.events.is_empty() {
                match events.try_reserve() {
                    Ok(permit) => permit.send(std::mem::take(&mut session.events)),
                    Err(mpsc::error::TrySendError::Full(())) => {}
                    Err(mpsc::error::TrySendError::Closed(())) => break End::Stopped,
                }
            }
            let full = !session.events.is_empty();
            let (mut reader, writer) = self.stream.split();
            self.buffer.reserve(READ_BYTES);
            tokio::select! {
                // One system call for what is there, and none to find that nothing more is.
                read = reader.read_buf(&mut self.buffer), if !full => {
                    session.now = Instant::now();
                    heard = session.now;
                    match read {
                        Ok(0) => break broken(&settings.server, "the server closed it"),
                        Ok(length) => count(&monitor.server_bytes_in, length),
                        Err(e) => break broken(&settings.server, &e.to_string()),
                    }
                    if let Err(end) = self.read(settings, session, monitor) {
                        break end;
                    }
                }
                // What the socket takes is written above.
                ready = writer.writable(), if !out.is_empty() => {
                    if let Err(e) = ready {
                        break broken(&settings.server, &e.to_string());
                    }
                }
                permit = events.reserve(), if full => match permit {
                    Ok(permit) => permit.send(std::mem::take(&mut session.events)),
                    Err(_) => break End::Stopped,
                },
                batch = actions.recv() => {
                    let Some(batch) = batch else { break End::Stopped };
                    session.now = Instant::now();
                    let more = std::iter::from_fn(|| actions.try_recv().ok()).take(BATCHES_A_TURN);
                    for order in std::iter::once(batch).chain(more).flatten() {
                        // Before we said that we are up, they can only be meant for a connection that is gone.
                        match order {
                            _ if !up => {}
                            Order::Room(room, action) => session.act(&room, action),
                            Order::Answer(caller, answer) => session.answer_visitor(&caller, answer),
                        }
                    }
                }
                _ = ticks.tick() => {
                    session.now = Instant::now();
                    let expired = session.expire();
                    monitor.server_requests_timed_out.fetch_add(expired as u64, Ordering::Relaxed);
                    let silent = session.now.duration_since(heard);
                    if silent >= times.dead && !full {
                        break broken(&settings.server, "the server has been silent for too long, pings included");
                    }
                    if silent >= times.ping && session.now.duration_since(pinged) >= times.ping {
                        pinged = session.now;
                        session.ping();
                    }
                }
            }
        };
        if end == End::Stopped {
            self.close(out, times).await;
        }
        (up, end)
    }

    /// Writes what the socket takes.
    fn write(&mut self, out: &mut BytesMut, monitor: &Monitor) -> std::io::Result<()> {
        while !out.is_empty() {
            match self.stream.try_write(out) {
                Ok(written) => {
                    out.advance(written);
                    count(&monitor.server_bytes_out, written);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Handles what has been read whole.
    fn read(&mut self, settings: &Settings, session: &mut Session, monitor: &Monitor) -> Result<(), End> {
        let server = &settings.server;
        let mut at = 0;
        loop {
            let rest = &self.buffer[at..];
            match self.splitter.next(rest) {
                Err(fault) => return Err(broken(server, &fault.to_string())),
                Ok(None) => break,
                Ok(Some(Piece::Stanza(from, to))) => {
                    at += to;
                    count(&monitor.server_stanzas_in, 1);
                    match session.stanza(&rest[from..to]) {
                        Outcome::Read => {}
                        Outcome::Copy => count(&monitor.server_copies_dropped, 1),
                        Outcome::Malformed => count(&monitor.server_malformed_dropped, 1),
                        Outcome::StreamError { condition, text } => return Err(stream_error(&condition, &text)),
                    }
                }
                Ok(Some(Piece::Oversized(length))) => {
                    at += length;
                    count(&monitor.server_oversized_dropped, 1);
                    tracing::warn!(limit_bytes = STANZA_BYTES, "a stanza over the size limit was dropped");
                }
                Ok(Some(Piece::Header(length) | Piece::Nothing(length))) => at += length,
                Ok(Some(Piece::Footer(_))) => return Err(broken(server, "the server ended the stream")),
            }
        }
        self.buffer.advance(at);
        Ok(())
    }

    /// Writes what is left and ends the stream.
    async fn close(mut self, mut out: BytesMut, times: &Times) {
        out.extend_from_slice(FOOTER.as_bytes());
        let goodbye = async {
            self.stream.write_all(&out).await?;
            self.stream.shutdown().await
        };
        // Nobody waits for a server that does not take it.
        let _ = tokio::time::timeout(times.close, goodbye).await;
    }
}

fn count(figure: &AtomicU64, n: usize) {
    figure.fetch_add(n as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_about_stanzas_blame_what_was_sent() {
        let blamed = stream_error("policy-violation", "XML stanza is too big");
        assert_eq!(blamed, End::Blamed("policy-violation: XML stanza is too big".to_owned()));
        for condition in ["conflict", "system-shutdown", "reset", "connection-timeout", "not-authorized"] {
            assert!(matches!(stream_error(condition, ""), End::Lost(_)), "{condition}");
        }
    }
}
