//! The link to the center: the gateway dials out, proves itself by its certificate, and both speak stanzas in WebSocket
//! frames (RFC 6455) over TLS 1.3.
//!
//! In: stanzas for the center. Out: [`FromLink`]. Never here: decisions about groups, credit and windows; those are the
//! bridge's. A link that breaks is opened again for ever, with growing, jittered pauses, over each of the addresses in turn.

mod backoff;
pub(crate) mod dial;
mod monitor;
mod proxy;
mod session;
#[cfg(test)]
mod tests;
pub(crate) mod tls;

use std::sync::Arc;
use std::time::Duration;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::link::{HelloGroup, ToCenter, ToGateway, Welcome};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::config::Dir;
use crate::enrol::Identity;
use backoff::Backoff;

pub use monitor::{Monitor, State};
pub use proxy::Proxy;

/// A link that was up for so long has shown that the center serves: the next pause is a short one.
const PROVEN: Duration = Duration::from_secs(10);
/// How often a gateway that has not enrolled looks whether it has.
const ENROLLED_POLL: Duration = Duration::from_secs(5);

/// What the link needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the identity is; read anew for each connection, as it may have been renewed.
    pub dir: Dir,
    /// The way out, if not direct.
    pub proxy: Option<Proxy>,
    /// Ends a pause, or the present link, so that another is opened at once: the identity has changed.
    pub again: Arc<Notify>,
}

/// What the link tells its owner, in this order for each connection: `Hello`, `Up`, `Stanzas`…, `Down`. (A connection may end
/// without a word before `Up`.)
#[derive(Debug)]
pub enum FromLink {
    /// A connection is open; what does the gateway remember?
    Hello(oneshot::Sender<Vec<HelloGroup>>),
    /// The center has welcomed us. Stanzas for this connection go to this sender; what still waits in it when the
    /// connection ends is dropped with it, as the bridge forgets it with `LinkDown`. How much can wait is bounded by
    /// the bridge's windows.
    Up(Welcome, mpsc::UnboundedSender<ToCenter>),
    /// What came, in order.
    Stanzas(Vec<ToGateway>),
    /// The connection has ended.
    Down,
}

/// Why a connection ended.
#[derive(Debug)]
struct Ended {
    /// The condition, where the center gave one.
    condition: Option<Condition>,
    /// What happened, in words.
    text: String,
}

impl From<anyhow::Error> for Ended {
    fn from(e: anyhow::Error) -> Self {
        Ended { condition: None, text: format!("{e:#}") }
    }
}

/// Keeps the link up until nobody listens to `owner` any more.
pub async fn run(settings: Settings, owner: mpsc::Sender<FromLink>, monitor: Arc<Monitor>) {
    tokio::select! {
        () = keep_up(&settings, &owner, &monitor) => {}
        () = owner.closed() => {}
    }
}

async fn keep_up(settings: &Settings, owner: &mpsc::Sender<FromLink>, monitor: &Monitor) {
    let mut backoff = Backoff::default();
    let mut turn = 0;
    loop {
        let identity = match Identity::load(&settings.dir) {
            Ok(Some(identity)) if !identity.addresses.is_empty() => identity,
            other => {
                let text = match other {
                    Err(e) => format!("{e:#}"),
                    Ok(_) => "not enrolled yet: get a code from the center's operator and run `intergroup-gateway \
                              enroll`"
                        .to_owned(),
                };
                if monitor.state() != State::Down(text.clone()) {
                    tracing::warn!("link to the center: {text}");
                }
                monitor.set(State::Down(text));
                // An elapsed pause and a notice that the identity has changed both lead to another look.
                let _ = timeout(ENROLLED_POLL, settings.again.notified()).await;
                continue;
            }
        };
        let address = &identity.addresses[turn % identity.addresses.len()];
        let began = Instant::now();
        let ended = session::session(&identity, address, settings, owner, monitor).await;
        if began.elapsed() >= PROVEN {
            backoff.reset();
        }
        // The next address is tried at once when this one did not serve, and a pause follows each round.
        turn += 1;
        let round = turn % identity.addresses.len() == 0;
        let pause = if round || ended.condition.is_some() { backoff.next(ended.condition) } else { Duration::ZERO };
        let text = match ended.condition {
            Some(condition) => format!("{}: {} {}", condition.as_str(), ended.text, condition.admin_text()),
            None => ended.text,
        };
        tracing::warn!("link to the center over {address}: {text} (next try in {} ms)", pause.as_millis());
        monitor.set(State::Down(text));
        let _ = timeout(pause, settings.again.notified()).await;
    }
}
