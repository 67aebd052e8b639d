//! What the room shows to whoever comes: its last messages (XEP-0045 section 7.2.13), as many as the server is set to. They are not sent
//! to the person once more.
//!
//! Only what the ear has heard in this life counts, since nobody knows what a room that was begun anew still shows: rather something
//! twice than not at all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use intergroup_schemas::link::Timestamp;

use crate::bridge::context::Context;
use crate::bridge::event::Content;
use crate::bridge::limits::{REFLECTED_WITHIN, UNREFLECTED};
use crate::ids::MessageId;
use crate::store::Spot;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The room's last messages, oldest first: those that it shows, and those that may still be kept.
    heard: VecDeque<Heard>,
    /// What puppets say, and the room has not reflected yet; and until when it may.
    unheard: BTreeMap<MessageId, (Spot, Timestamp)>,
    /// The last of `heard` is being dealt with.
    now: bool,
}

/// By whom something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Somebody here said it.
    Person,
    /// One of ours.
    Puppet {
        /// It is kept before it is said: the room will reflect it.
        to_come: bool,
    },
}

#[derive(Debug)]
struct Heard {
    /// The id, of what puppets say.
    id: Option<MessageId>,
    /// Where it is kept, if it is.
    spot: Option<Spot>,
}

impl History {
    /// The ear hears a message. Rooms show again what has a body or a subject.
    pub(super) fn hears(&mut self, ours: Option<&MessageId>, content: &Content, most: usize) {
        if matches!(content, Content::Nothing) {
            return;
        }
        let spot = ours.and_then(|id| self.unheard.remove(id)).map(|(spot, _)| spot);
        self.heard.push_back(Heard { id: ours.cloned(), spot });
        while self.heard.len() > most.max(UNREFLECTED) {
            self.heard.pop_front();
        }
        self.now = true;
    }

    pub(super) fn end_hearing(&mut self) {
        self.now = false;
    }

    /// Something is kept: what was just heard, or what a puppet says.
    pub(super) fn is_kept(&mut self, id: &MessageId, spot: Spot, by: By, now: Timestamp) {
        let heard = match by {
            By::Puppet { .. } => self.heard.iter_mut().rev().find(|heard| heard.id.as_ref() == Some(id)),
            By::Person if self.now => self.heard.back_mut(),
            By::Person => None,
        };
        match heard {
            Some(heard) => heard.spot = Some(spot),
            None if by == (By::Puppet { to_come: true }) => {
                self.unheard.retain(|_, (_, until)| *until > now);
                self.unheard.insert(id.clone(), (spot, Timestamp(now.0 + REFLECTED_WITHIN)));
            }
            None => {}
        }
    }

    /// The room did not take it.
    pub(super) fn is_refused(&mut self, id: &MessageId) {
        self.unheard.remove(id);
    }

    /// From here on, what is kept may not have been in the room when we heard last of it.
    pub(super) fn unheard_from(&self, next: Spot, now: Timestamp) -> Spot {
        let unheard = self.unheard.values().filter(|(_, until)| *until > now).map(|(spot, _)| *spot);
        unheard.min().map_or(next, |spot| spot.min(next))
    }

    /// What the room shows to whoever comes now. (What is about to be said may be seen live, and is not among it: rather twice than
    /// not at all.)
    pub(super) fn shown(&self, cx: &Context) -> BTreeSet<Spot> {
        if cx.server != Some(true) {
            // What we hear has holes, so that the room shows less of it than it seems.
            return BTreeSet::new();
        }
        let last = self.heard.iter().rev().take(cx.config.offline.join_history);
        last.filter_map(|heard| heard.spot).collect()
    }
}
