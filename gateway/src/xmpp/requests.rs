//! Requests to rooms that wait for their answer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::bridge::{Page, Refusal, RequestId, RoomEvent, RoomMessage};
use crate::ids::RoomJid;

/// How long a room may take to answer; for an archive, how long between two results. Generous: servers under load take
/// seconds, and an answer that comes after its request has been given up does nothing.
const ANSWER_TIME: Duration = Duration::from_secs(45);

/// What is asked.
#[derive(Debug)]
pub(super) enum Asked {
    /// disco#info of the room.
    Info,
    /// Anything whose result is all there is to know.
    Done,
    /// The accounts that have an affiliation.
    People,
    /// The form of a room's configuration, to be sent back with one change.
    Form,
    /// Anything whose result or error alike proves what was to be proved.
    Fence,
    /// Self-ping (XEP-0410).
    Ping,
    /// A page of the archive; the results so far.
    Page(Vec<RoomMessage>),
}

/// One request.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) room: RoomJid,
    pub(super) request: RequestId,
    pub(super) asked: Asked,
    deadline: Instant,
}

/// All of one connection.
#[derive(Debug)]
pub(super) struct Requests {
    /// Nobody can guess it, so that nobody but who was asked can answer.
    nonce: String,
    next: u64,
    pending: HashMap<String, Pending>,
}

impl Requests {
    pub(super) fn new(nonce: &str) -> Self {
        Self { nonce: nonce.to_owned(), next: 0, pending: HashMap::new() }
    }

    /// Remembers a request; gives the id to send it with, which is also the queryid of an archive query.
    pub(super) fn add(&mut self, room: &RoomJid, request: RequestId, asked: Asked, now: Instant) -> String {
        let id = format!("{}-{}", self.nonce, self.next);
        self.next += 1;
        let pending = Pending { room: room.clone(), request, asked, deadline: now + ANSWER_TIME };
        self.pending.insert(id.clone(), pending);
        id
    }

    /// Takes the request that an answer from `from` is for.
    pub(super) fn take(&mut self, id: &str, from: &str) -> Option<Pending> {
        if self.pending.get(id)?.room.as_str() != from {
            return None;
        }
        self.pending.remove(id)
    }

    /// Adds a result to a page, if it comes from the room that was asked.
    pub(super) fn result(&mut self, id: &str, from: &str, now: Instant) -> Option<&mut Vec<RoomMessage>> {
        let pending = self.pending.get_mut(id).filter(|pending| pending.room.as_str() == from)?;
        pending.deadline = now + ANSWER_TIME;
        match &mut pending.asked {
            Asked::Page(messages) => Some(messages),
            _ => None,
        }
    }

    /// Gives up what has waited too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(RoomJid, RoomEvent)> {
        let gone = self.pending.extract_if(|_, pending| pending.deadline <= now);
        gone.map(|(_, pending)| (pending.room, refused(pending.request, "remote-server-timeout", ""))).collect()
    }
}

/// The answer of a request that was refused.
pub(super) fn refused(request: RequestId, condition: &str, text: &str) -> RoomEvent {
    RoomEvent::Answer { request, answer: Err(Refusal { condition: condition.into(), text: text.into() }) }
}

/// A page out of the results and the end that the server told.
pub(super) fn page(messages: Vec<RoomMessage>, last: Option<String>, complete: bool) -> Page {
    let last = last.map(|id| id.as_str().into());
    let last = last.or_else(|| messages.last().and_then(|message| message.stanza_id.clone()));
    Page { messages, last, complete }
}
