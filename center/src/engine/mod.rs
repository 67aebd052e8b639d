//! Runs the hub: one task owns it, one thread commits, one thread reads.
//!
//! In: what link readers decoded, operators' requests, what the store did. Out: frames into the links' outboxes, batches to
//! the store, answers. Never here: decisions (the hub's), sockets (`listen`), or waiting for anybody who is slow.

mod outbox;
mod run;
mod storage;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::GatewayId;
use intergroup_schemas::link::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::hub::{AdminReply, AdminRequest, Event, LinkId};

pub use outbox::{Control, Outbox, Taken};
pub use run::start;

/// Batches of decoded stanzas that may wait for the hub; a reader that finds no room waits, and TCP with it.
const INPUTS: usize = 64;
/// How long the end of the program waits for links that do not read their last words.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What reaches the owner of the hub.
#[derive(Debug)]
enum Input {
    /// A link is up.
    Open { link: LinkId, gateway: GatewayId, certificate: [u8; 32], outbox: Arc<Outbox> },
    /// What a link's reader has found.
    Events(Vec<Event>),
    /// An operator, or the enrolment service, asks.
    Ask { request: AdminRequest, answer: oneshot::Sender<AdminReply> },
    /// Say bye to all, finish, and say so.
    Stop { done: oneshot::Sender<()> },
}

/// The way to the hub, for as many as need it.
#[derive(Debug, Clone)]
pub struct Engine {
    inputs: mpsc::Sender<Input>,
    links: Arc<AtomicU64>,
    up: watch::Sender<usize>,
    addresses: Arc<RwLock<Vec<String>>>,
}

/// The hub's task has ended, which it does only when the program ends.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the center is shutting down")]
pub struct Stopped;

impl Engine {
    fn new(addresses: Vec<String>) -> (Self, mpsc::Receiver<Input>) {
        let (inputs, receiver) = mpsc::channel(INPUTS);
        let (links, up) = (Arc::new(AtomicU64::new(1)), watch::Sender::new(0));
        (Self { inputs, links, up, addresses: Arc::new(RwLock::new(addresses)) }, receiver)
    }

    /// Where gateways dial this node, and behind that all others that share its store.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Announces a link; its frames arrive in the outbox. The hub may refuse it, which arrives there too.
    ///
    /// # Errors
    /// The center is shutting down.
    pub async fn open(&self, gateway: GatewayId, certificate: [u8; 32]) -> Result<(LinkId, Arc<Outbox>), Stopped> {
        let link = LinkId(self.links.fetch_add(1, Ordering::Relaxed));
        let outbox = Arc::new(Outbox::default());
        let input = Input::Open { link, gateway, certificate, outbox: outbox.clone() };
        self.inputs.send(input).await.map_err(|_| Stopped)?;
        Ok((link, outbox))
    }

    /// Hands over what a link's reader has found; waits while the hub is busy.
    ///
    /// # Errors
    /// The center is shutting down.
    pub async fn events(&self, events: Vec<Event>) -> Result<(), Stopped> {
        self.inputs.send(Input::Events(events)).await.map_err(|_| Stopped)
    }

    /// Asks, and waits for the answer, which comes when what was asked for is on disk.
    pub async fn ask(&self, request: AdminRequest) -> AdminReply {
        let (answer, reply) = oneshot::channel();
        let refused = || AdminReply::Refused {
            condition: Some(Condition::ShuttingDown),
            text: Condition::ShuttingDown.admin_text().to_owned(),
        };
        match self.inputs.send(Input::Ask { request, answer }).await {
            Ok(()) => reply.await.unwrap_or_else(|_| refused()),
            Err(_) => refused(),
        }
    }

    /// Counts a link for as long as the answer is kept: the program ends only when all have had their last words.
    #[must_use]
    pub fn count(&self) -> Counted {
        self.up.send_modify(|n| *n += 1);
        Counted(self.up.clone())
    }

    /// Says bye to every link and returns when all that was accepted is on disk and all have been told.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.inputs.send(Input::Stop { done }).await.is_ok() {
            // An error means that it has stopped already.
            let _ = stopped.await;
        }
        // Whoever does not read goes without.
        let _ = timeout(LAST_WORDS, self.up.subscribe().wait_for(|n| *n == 0)).await;
    }
}

/// See [`Engine::count`].
#[derive(Debug)]
pub struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n = n.saturating_sub(1));
    }
}

/// The time, for the hub.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(chrono::Utc::now().timestamp_millis())
}
