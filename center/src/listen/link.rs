//! One link: reads and decodes what the gateway sends, beside the writer of its outbox. Neither waits for the other.

use std::time::Duration;

use bytes::BytesMut;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::limits;
use intergroup_schemas::link::decode::{DecodeError, to_center};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::CERTIFICATE_ENDED;
use super::frame::{Assembler, Broken, Received};
use super::writer;
use crate::engine::{self, Control, Engine, Outbox};
use crate::hub::{Event, LinkId};
use crate::pki::Peer;

/// Bytes asked for at once; grows with a frame that is larger.
const READ_BYTES: usize = 32 * 1024;
/// A link that was told bye is ended after this long, whether the gateway has read it or not.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long is waited for a certificate's end before the clock is looked at again: it may have been set.
const CLOCK_LOOK: Duration = Duration::from_secs(3600);
/// A silent link is pinged after this long,
const PING: Duration = Duration::from_secs(limits::LINK_PING_S);
/// and given up after so many of these.
const SILENT_PINGS: u64 = limits::LINK_DEAD_S / limits::LINK_PING_S;

/// Why reading ended.
enum End {
    /// The gateway has gone, or is silent.
    Gone,
    /// It broke the protocol.
    Broken(Broken),
}

/// Serves a link until it ends.
pub(super) async fn run(upgraded: Upgraded, peer: Peer, engine: &Engine) {
    let Ok(parts) = upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>() else { return };
    let (mut read, write) = tokio::io::split(parts.io.into_inner());
    let mut input = BytesMut::from(&parts.read_buf[..]);
    let gateway = peer.gateway.clone();
    let _counted = engine.count();
    let Ok((link, outbox)) = engine.open(peer.gateway, peer.fingerprint).await else { return };
    tracing::info!(%gateway, link = link.0, "a link is up");
    let writing = writer::write_all(&outbox, write);
    tokio::pin!(writing);
    let end = tokio::select! {
        end = read_all(&mut read, &mut input, link, engine, &outbox) => Some(end),
        end = certificate_end(peer.ends_s) => Some(end),
        // The hub has ended the link, or the connection broke.
        _ = &mut writing => None,
    };
    match end {
        Some(End::Broken(Broken { condition, text })) => {
            tracing::warn!(%gateway, condition = condition.as_str(), text, "a link broke the protocol");
            let event = Event::LinkBroken { link, condition, text };
            if engine.events(vec![event]).await.is_ok() {
                // The last words are the hub's; a peer that does not read them goes without.
                let _ = timeout(FAREWELL, writing).await;
            }
        }
        Some(End::Gone) => drop(engine.events(vec![Event::LinkClosed { link }]).await),
        None => drop(engine.events(vec![Event::LinkClosed { link }]).await),
    }
    // Closing a socket with unread input would destroy the last words on their way.
    let _ = timeout(FAREWELL, discard(&mut read)).await;
    tracing::info!(%gateway, link = link.0, "a link is down");
}

/// A link lives no longer than the certificate that it was opened with. Gateways renew theirs long before.
async fn certificate_end(ends_s: i64) -> End {
    loop {
        let left_ms = ends_s.saturating_mul(1000) - engine::now().0;
        match u64::try_from(left_ms) {
            Ok(left) if left > 0 => sleep(Duration::from_millis(left).min(CLOCK_LOOK)).await,
            _ => break,
        }
    }
    End::Broken(Broken { condition: Condition::BadCertificate, text: CERTIFICATE_ENDED.to_owned() })
}

async fn discard(read: &mut (impl AsyncRead + Unpin)) {
    let mut nowhere = [0; 4096];
    while read.read(&mut nowhere).await.is_ok_and(|n| n > 0) {}
}

async fn read_all(
    read: &mut (impl AsyncRead + Unpin),
    input: &mut BytesMut,
    link: LinkId,
    engine: &Engine,
    outbox: &Outbox,
) -> End {
    let mut assembler = Assembler::default();
    let mut silent = 0;
    loop {
        let mut events = Vec::new();
        let found = decode_all(&mut assembler, input, link, outbox, &mut events);
        if !events.is_empty() && engine.events(events).await.is_err() {
            return End::Gone;
        }
        if let Err(end) = found {
            return end;
        }
        input.reserve(READ_BYTES);
        match timeout(PING, read.read_buf(input)).await {
            Ok(Ok(0) | Err(_)) => return End::Gone,
            Ok(Ok(_)) => silent = 0,
            Err(_) => {
                silent += 1;
                if silent >= SILENT_PINGS {
                    return End::Gone;
                }
                outbox.control(Control::Ping);
            }
        }
    }
}

/// Decodes every whole frame that has come.
fn decode_all(
    assembler: &mut Assembler,
    input: &mut BytesMut,
    link: LinkId,
    outbox: &Outbox,
    events: &mut Vec<Event>,
) -> Result<(), End> {
    while let Some(received) = assembler.next(input).map_err(End::Broken)? {
        match received {
            Received::Text(frame) => match to_center(&frame) {
                Ok(stanza) => events.push(Event::Stanza { link, stanza }),
                Err(DecodeError::Relay { group, epoch, n, condition }) => {
                    events.push(Event::BadRelay { link, group, epoch, n, condition });
                }
                Err(DecodeError::Link { condition, text }) => return Err(End::Broken(Broken { condition, text })),
            },
            Received::Ping(echo) => outbox.control(Control::Pong(echo)),
            Received::Pong => {}
            Received::Close => return Err(End::Gone),
        }
    }
    Ok(())
}

const _: () = assert!(SILENT_PINGS > 1, "a link is pinged before it is given up");
