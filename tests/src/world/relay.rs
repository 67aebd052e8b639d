//! A TCP relay in this process: what passes it can be cut or held.
//!
//! It forwards to one address, or acts as an HTTP CONNECT proxy (RFC 9110 section 9.3.6), which is how a gateway that must
//! believe that it talks to the center's own address is led through it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::load::Splitter;

/// Longest request head of a CONNECT.
const HEAD_BYTES: usize = 4096;
/// What is read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// What the relay does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Everything passes.
    Open,
    /// Connections stay, nothing passes.
    Held,
    /// Connections are ended, new ones are ended at once.
    Cut,
}

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    flow: watch::Sender<Flow>,
    cuts: watch::Sender<u64>,
    withheld: Arc<OnceLock<String>>,
    connections: Arc<AtomicU64>,
    acceptor: JoinHandle<()>,
}

impl Relay {
    /// Listens on a port of the kernel's choice. Without a target it is a CONNECT proxy.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(target: Option<SocketAddr>) -> Result<Relay> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (flow, watched) = watch::channel(Flow::Open);
        let (cuts, counted) = watch::channel(0);
        let connections = Arc::new(AtomicU64::new(0));
        let counter = connections.clone();
        let withheld = Arc::new(OnceLock::new());
        let withhold = withheld.clone();
        let acceptor = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (watched, mut cut) = (watched.clone(), counted.clone());
                if *watched.borrow() == Flow::Cut {
                    continue;
                }
                cut.mark_unchanged();
                let (counter, withhold) = (counter.clone(), withhold.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        _ = carry(stream, target, watched, &counter, &withhold) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Ok(Relay { address, flow, cuts, withheld, connections, acceptor })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that reached the other side so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Changes what it does from now on.
    pub fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
        if flow == Flow::Cut {
            self.cuts.send_modify(|cuts| *cuts += 1);
        }
    }

    /// From the next connection on, stanzas on their way to the target that contain this text vanish.
    pub fn withhold(&self, text: &str) {
        // A second text would be a mistake of the test; the first stays.
        let _ = self.withheld.set(text.to_owned());
    }

    /// Ends all connections; new ones pass.
    pub fn cut_once(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.set(Flow::Cut);
        self.acceptor.abort();
    }
}

/// Reads the head of a CONNECT and answers it; returns the address asked for.
async fn asked(stream: &mut TcpStream) -> Result<SocketAddr> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(head.len() < HEAD_BYTES, "a CONNECT without an end");
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let to = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).context("not a CONNECT")?;
    Ok(to.parse()?)
}

async fn carry(
    mut near: TcpStream,
    target: Option<SocketAddr>,
    flow: watch::Receiver<Flow>,
    counter: &AtomicU64,
    withheld: &OnceLock<String>,
) -> Result<()> {
    near.set_nodelay(true)?;
    let far = match target {
        Some(target) => TcpStream::connect(target).await?,
        None => {
            let target = asked(&mut near).await?;
            match TcpStream::connect(target).await {
                Ok(far) => {
                    near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                    far
                }
                Err(problem) => {
                    near.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await?;
                    return Err(problem.into());
                }
            }
        }
    };
    far.set_nodelay(true)?;
    counter.fetch_add(1, Ordering::Relaxed);
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        ended = one_way(near_in, far_out, flow.clone(), withheld.get()) => ended,
        ended = one_way(far_in, near_out, flow, None) => ended,
    }
}

async fn one_way(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut flow: watch::Receiver<Flow>,
    withheld: Option<&String>,
) -> Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut stanzas = Splitter::default();
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        flow.wait_for(|flow| *flow != Flow::Held).await?;
        let Some(text) = withheld else {
            to.write_all(&chunk[..read]).await?;
            continue;
        };
        stanzas.push(&chunk[..read]);
        while let Some(stanza) = stanzas.next() {
            if !stanza.contains(text.as_str()) {
                to.write_all(stanza.as_bytes()).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_cut_ends_and_what_is_held_comes_later() -> Result<()> {
        let echo = TcpListener::bind("127.0.0.1:0").await?;
        let target = echo.local_addr()?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        let relay = Relay::start(None).await?;
        let mut stream = TcpStream::connect(relay.address()).await?;
        stream.write_all(format!("CONNECT {target} HTTP/1.1\r\n\r\n").as_bytes()).await?;
        let mut head = [0; 39];
        stream.read_exact(&mut head).await?;
        assert!(head.starts_with(b"HTTP/1.1 200"));
        relay.set(Flow::Held);
        stream.write_all(b"a").await?;
        relay.set(Flow::Open);
        assert_eq!(stream.read_u8().await?, b'a');
        relay.cut_once();
        assert!(stream.read_u8().await.is_err(), "a cut connection ends");
        assert_eq!(relay.connections(), 1);
        Ok(())
    }
}
