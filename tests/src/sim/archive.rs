//! The model room's archive, with the habits of the real ones.

use bytes::Bytes;
use intergroup_gateway::bridge::{Answer, Content, Page, ReadFrom, Refusal, RoomMessage};
use intergroup_gateway::ids::{BareJid, MessageId, Nick, OccupantId, StanzaId, Who};
use intergroup_schemas::link::Timestamp;

use super::flavour::{Flavour, UnknownAfter};

/// Who said something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Author {
    Person(BareJid),
    Ours(Who),
}

/// One message of the archive.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: StanzaId,
    /// Milliseconds since 1970, of the server's clock.
    pub(super) at: i64,
    pub(super) author: Author,
    pub(super) nick: Nick,
    pub(super) occupant_id: Option<OccupantId>,
    pub(super) message_id: MessageId,
    pub(super) content: Content,
    /// Put before it by the gateway, if it was said by one.
    pub(super) prefix: Option<String>,
    /// Said by the gateway with its original time.
    pub(super) delayed: bool,
}

impl Entry {
    /// The text of what was said.
    pub(super) fn text(&self) -> String {
        match &self.content {
            Content::Speech(payload) => text(payload),
            _ => String::new(),
        }
    }

    /// As the ear hears it live.
    pub(super) fn live(&self) -> RoomMessage {
        RoomMessage {
            nick: Some(self.nick.clone()),
            id: Some(self.message_id.clone()),
            stanza_id: Some(self.id.clone()),
            occupant_id: self.occupant_id.clone(),
            real: None,
            ours: None,
            stamp: None,
            content: self.content.clone(),
        }
    }
}

/// The text of a payload's first body.
pub(super) fn text(payload: &Bytes) -> String {
    let payload = String::from_utf8_lossy(payload);
    let body = payload.split_once("<body").and_then(|(_, rest)| rest.split_once('>'));
    body.and_then(|(_, rest)| rest.split_once('<')).map(|(text, _)| text.to_owned()).unwrap_or_default()
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Archive {
    pub(super) entries: Vec<Entry>,
    /// Said in a room without archive: only those who were there know.
    unkept: Vec<Entry>,
    /// Removed for age or number; they were there.
    pub(super) expired: Vec<Entry>,
    /// Gone in a crash, as if they had never been.
    pub(super) lost: Vec<Entry>,
    last_micros: i64,
    ids: u64,
}

impl Archive {
    /// The id of a new message.
    pub(super) fn next_id(&mut self, flavour: &Flavour, now: i64, salt: u64) -> StanzaId {
        self.ids += 1;
        if flavour.numeric_ids {
            self.last_micros = (self.last_micros + 1).max(now * 1000);
            return StanzaId::from(self.last_micros.to_string().as_str());
        }
        let mixed = (self.ids ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        StanzaId::from(format!("{mixed:016x}-{}", self.ids).as_str())
    }

    pub(super) fn push(&mut self, flavour: &Flavour, entry: Entry) {
        if !flavour.archive {
            return self.unkept.push(entry);
        }
        self.entries.push(entry);
        while flavour.cap.is_some_and(|cap| self.entries.len() > cap) {
            self.expired.push(self.entries.remove(0));
        }
    }

    /// What is too old goes; a server does that whenever it likes.
    pub(super) fn expire(&mut self, flavour: &Flavour, now: i64) {
        if let Some(ms) = flavour.expires_after {
            let old = self.entries.partition_point(|e| e.at < now - ms);
            self.expired.extend(self.entries.drain(..old));
        }
    }

    /// A crash takes everything that is not older than `since`.
    pub(super) fn lose_tail(&mut self, since: i64) {
        let at = self.entries.partition_point(|e| e.at < since);
        self.lost.extend(self.entries.drain(at..));
    }

    /// Everything that was said and did not get lost, oldest first.
    pub(super) fn history(&self) -> impl Iterator<Item = &Entry> {
        self.expired.iter().chain(&self.entries).chain(&self.unkept)
    }

    fn stamp(flavour: &Flavour, at: i64) -> i64 {
        if flavour.whole_seconds { at - at.rem_euclid(1000) } else { at }
    }

    /// One page, as the server answers; `seated`: the one who asks is the ear in the room.
    pub(super) fn read(&self, flavour: &Flavour, from: &ReadFrom, max: u32, seated: bool) -> Result<Answer, Refusal> {
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(flavour.page);
        let show = |e: &Entry| self.show(flavour, e, seated);
        let (start, after) = match from {
            ReadFrom::Latest => {
                let first = self.entries.len().saturating_sub(max);
                let messages: Vec<_> = self.entries[first..].iter().map(show).collect();
                let last = messages.last().and_then(|m| m.stanza_id.clone());
                return Ok(Answer::Page(Page { messages, last, complete: first == 0 }));
            }
            ReadFrom::Start { start, after } => (start.map_or(i64::MIN, |t| t.0), after),
        };
        let mut first = 0;
        if let Some(after) = after {
            match self.entries.iter().position(|e| e.id == *after) {
                Some(at) => first = at + 1,
                None if flavour.unknown_after == UnknownAfter::NotFound => {
                    return Err(Refusal { condition: "item-not-found".into(), text: "".into() });
                }
                None if flavour.unknown_after == UnknownAfter::EmptyAndComplete => {
                    return Ok(Answer::Page(Page { messages: Vec::new(), last: None, complete: true }));
                }
                // Ids are stamps: whatever is younger than the number; a word is no number, and everything is younger.
                None => {
                    let micros: i64 = after.as_str().parse().unwrap_or(0);
                    first = self.entries.partition_point(|e| e.id.as_str().parse::<i64>().is_ok_and(|i| i <= micros));
                }
            }
        }
        let rest: Vec<_> = self.entries[first..].iter().filter(|e| Self::stamp(flavour, e.at) >= start).collect();
        let complete = rest.len() <= max;
        let messages: Vec<_> = rest.into_iter().take(max).map(show).collect();
        let last = messages.last().and_then(|m| m.stanza_id.clone());
        Ok(Answer::Page(Page { messages, last, complete }))
    }

    fn show(&self, flavour: &Flavour, entry: &Entry, seated: bool) -> RoomMessage {
        let named = flavour.jids_in_archive && seated;
        let (real, ours) = match &entry.author {
            Author::Person(jid) => (Some(jid.clone()), None),
            Author::Ours(who) => (None, Some(who.clone())),
        };
        let (real, ours) = if named { (real, ours) } else { (None, None) };
        let stamp = Some(Timestamp(Self::stamp(flavour, entry.at)));
        RoomMessage { real, ours, stamp, ..entry.live() }
    }
}
