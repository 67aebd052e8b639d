//! The component link (XEP-0114) to the enterprise's own XMPP server.
//!
//! In: what our occupants are to do in rooms, and answers to who comes to groups' addresses. Out: what happened in rooms, who came,
//! whether the link is up. Never here: decisions
//! about what crosses; those are the bridge's.

mod act;
mod address;
mod archive;
mod connection;
mod handshake;
mod head;
mod iq;
mod members;
mod message;
mod monitor;
mod number;
mod presence;
mod requests;
mod rooms;
mod session;
mod splitter;
mod stanza;
mod task;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::bridge::{Caller, Event, RoomAction, VisitAnswer};
use crate::ids::RoomJid;

pub use monitor::{Monitor, State};

/// The component's secret. Never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes it as read from a file or a prompt.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the handshake alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where the server is, and who we are there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `HOST:PORT` of the server's component listener.
    pub server: String,
    /// The component's domain (`groups.acme.example`), normalised.
    pub component: String,
    /// What the component proves itself with.
    pub secret: Secret,
}

/// What the link is to do.
#[derive(Debug)]
pub enum Order {
    /// In a room.
    Room(RoomJid, RoomAction),
    /// To answer somebody who came to a group's address.
    Answer(Caller, VisitAnswer),
}

/// Keeps the link up until `actions` is closed: connects, proves itself, tests that no other connection shares the stream,
/// and connects again with growing, jittered pauses for ever.
///
/// Actions are always taken at once, whether or not the server takes bytes; those that come while the link is down are
/// dropped, as the core forgets them with `ServerDown`. When `events` is full nothing is read, and writing goes on. A core that
/// is built anew needs a new call with new channels: requests of the old one would be answered to the new one otherwise.
pub async fn run(
    settings: Settings,
    events: mpsc::Sender<Vec<Event>>,
    mut actions: mpsc::Receiver<Vec<Order>>,
    monitor: Arc<Monitor>,
) {
    task::keep_up(&settings, &connection::Times::default(), &events, &mut actions, &monitor).await;
}
