//! What members say to the group's number: it goes into the outbox like anything said in the room, and is said in the room by a
//! puppet of its author, at its place in the group's order.
//!
//! No archive has it before that, so whatever is lost between the author's client and our disk is lost; from there on it is as durable
//! as any message: it crosses once, and is in the room once, since our own entry of the stream brings it there with the
//! id and the look-ups of any other.

use std::collections::BTreeMap;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{N, OriginKey, Seq, SourceId};
use intergroup_schemas::limits as shared;
use intergroup_schemas::link::{Deliver, Timestamp};
use intergroup_schemas::list::{Listed, Role};
use ring::digest;

use super::Room;
use super::stream::Item;
use crate::bridge::context::Context;
use crate::bridge::event::Content;
use crate::bridge::limits::{OUTBOX_ROWS, SAID_AGAIN_WITHIN, SAID_KNOWN};
use crate::bridge::number::Declined;
use crate::ids::{BareJid, MessageId};
use crate::payload;
use crate::store::{Mapping, OutMessage, OutboxRow, Outgoing};

/// What the source of such a message begins with; that of a message of the room begins with hexadecimal digits.
const SOURCE: &str = "number:";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ByNumber {
    /// Those that are on their way and not in the room yet.
    said: BTreeMap<OriginKey, OutMessage>,
    /// Rows of the outbox from here on
    unread: N,
    /// up to here may be such ones, and have not been read yet.
    until: N,
    /// What was said a moment ago, by its author and the id that the author's client gave it.
    recent: BTreeMap<(BareJid, MessageId), Timestamp>,
}

impl ByNumber {
    pub(super) fn new(mapping: &Mapping) -> Self {
        Self { until: mapping.last_n, ..Self::default() }
    }
}

/// How a condition is told to whoever wrote to a number.
fn declined(condition: Condition) -> Declined {
    let name = match condition {
        Condition::ReadOnly => "forbidden",
        Condition::TooFast => "resource-constraint",
        Condition::TooLarge => "policy-violation",
        _ => "not-acceptable",
    };
    Declined { condition: name, text: condition.author_text().unwrap_or(condition.as_str()).to_owned() }
}

impl Room {
    /// A member says something to the number.
    pub(in crate::bridge) fn say_by_number(
        &mut self,
        cx: &mut Context,
        author: &BareJid,
        member: &Listed,
        id: Option<MessageId>,
        content: Content,
    ) -> Result<(), Declined> {
        let payload = match content {
            Content::Nothing | Content::Subject(_) => return Ok(()),
            Content::Speech(payload) => payload,
            Content::Refused(condition) => return Err(self.declined(cx, condition)),
        };
        let Some(user) = cx.config.user(author) else { return Err(Declined::unknown()) };
        if member.role == Role::ReadOnly {
            return Err(self.declined(cx, Condition::ReadOnly));
        }
        if self.mapping.ending.is_some() || (self.mapping.archive && self.mapping.floor.is_none()) {
            return Err(Declined::later("the group's room is not shared at this moment; try again later"));
        }
        if self.is_alone(cx) {
            let room = &self.mapping.room;
            let text = format!("no other company is in the group yet; until then its people talk in the room {room}");
            return Err(Declined::later(&text));
        }
        if self.undecided() >= OUTBOX_ROWS {
            return Err(Declined::later("too much waits to go out already; try again later"));
        }
        if let Some(id) = &id
            && self.is_said_again(cx, author, id)
        {
            cx.count("said-again-by-number");
            return Ok(());
        }
        let payload = payload::mark_mentions(&payload, &self.puppets.names());
        if payload.len() > shared::PAYLOAD_BYTES {
            return Err(self.declined(cx, Condition::TooLarge));
        }
        if !self.in_time_by_number(cx, author) {
            return Err(self.declined(cx, Condition::TooFast));
        }
        if let Some(id) = id {
            self.by_number.recent.insert((author.clone(), id), cx.now);
        }
        cx.count("said-by-number");
        let (list, at) = (self.mapping.announced, cx.now);
        let source = Some(self.number_source(&payload, author, at));
        let said = OutMessage { source, list, user, nick: member.display.clone(), at, late: false, payload };
        self.relay(cx, said.clone());
        let key = OriginKey { epoch: self.mapping.epoch.clone(), n: self.mapping.last_n };
        self.by_number.said.insert(key, said);
        Ok(())
    }

    fn declined(&self, cx: &mut Context, condition: Condition) -> Declined {
        cx.count(condition.as_str());
        declined(condition)
    }

    /// A client that is not sure sends again with the same id.
    fn is_said_again(&mut self, cx: &Context, author: &BareJid, id: &MessageId) -> bool {
        let recent = &mut self.by_number.recent;
        let since = cx.in_ms(-SAID_AGAIN_WITHIN);
        recent.retain(|_, at| *at > since);
        if recent.len() >= SAID_KNOWN {
            let oldest = recent.iter().min_by_key(|(_, at)| **at).map(|(said, _)| said.clone());
            oldest.map(|said| recent.remove(&said));
        }
        recent.contains_key(&(author.clone(), id.clone()))
    }

    /// A name for it that nothing else has: the center takes one only once, also when our numbers begin anew.
    fn number_source(&self, payload: &[u8], author: &BareJid, at: Timestamp) -> SourceId {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.mapping.epoch.as_str().as_bytes());
        for number in [self.mapping.last_n.next().0, u64::try_from(at.0).unwrap_or(0), payload.len() as u64] {
            context.update(&number.to_be_bytes());
        }
        context.update(author.as_str().as_bytes());
        let hash: String = context.finish().as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect();
        format!("{SOURCE}{hash}").parse().expect("letters and digits are a source id")
    }

    // ------------------------------------------------------------ into the room

    /// The room is begun anew: entries come again, and what they bring is read from the store again.
    pub(super) fn begin_own_anew(&mut self) {
        (self.by_number.unread, self.by_number.until) = (N(0), self.mapping.last_n);
    }

    /// Whether it is known what the next entry is; reads the outbox when it is our own and may have been said to the number.
    pub(super) fn next_entry_is_known(&mut self, cx: &mut Context) -> bool {
        let Some(Item::Own(key)) = self.stream.queue.front().map(|queued| &queued.item) else { return true };
        let own = &self.by_number;
        let known = key.epoch != self.mapping.epoch || key.n < own.unread || key.n > own.until;
        if known || own.said.contains_key(key) {
            return true;
        }
        let from = key.n;
        self.load_own(cx, from);
        false
    }

    /// Rows of the outbox, from `from` on.
    pub(super) fn own_rows(&mut self, from: N, rows: Vec<OutboxRow>) {
        let epoch = self.mapping.epoch.clone();
        // What is not kept any more will not come either.
        self.by_number.unread = rows.last().map_or(from, |row| row.n).max(from).next();
        for row in rows {
            if let Outgoing::Message(said) = row.what
                && is_by_number(&said)
            {
                self.by_number.said.insert(OriginKey { epoch: epoch.clone(), n: row.n }, said);
            }
        }
    }

    /// Every row of the new epoch is seen when it gets its number.
    pub(super) fn own_begins_new_epoch(&mut self) {
        self.by_number.until = N(0);
    }

    /// Rows have got new numbers.
    pub(super) fn said_renumbered(&mut self, row: &OutboxRow) {
        if let Outgoing::Message(said) = &row.what
            && is_by_number(said)
        {
            let key = OriginKey { epoch: self.mapping.epoch.clone(), n: row.n };
            self.by_number.said.insert(key, said.clone());
        }
    }

    /// What one of our own entries brings into the room; none for what was said there.
    pub(super) fn own_message(&mut self, cx: &Context, seq: Seq, key: &OriginKey) -> Option<Deliver> {
        let OutMessage { list, user, nick, at, late, payload, .. } = self.by_number.said.remove(key)?;
        let (group, enterprise, key) = (self.group(), cx.enterprise()?.clone(), key.clone());
        Some(Deliver { group, seq, enterprise, key, list, user, nick, at, late, payload })
    }
}

fn is_by_number(said: &OutMessage) -> bool {
    said.source.as_ref().is_some_and(|source| source.as_str().starts_with(SOURCE))
}
