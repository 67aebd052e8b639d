//! What of a room's messages crosses. Each is dealt with once: relayed, refused, parked, or of no concern.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{DisplayName, ListVersion, SourceId};
use intergroup_schemas::limits as shared;
use intergroup_schemas::rate::Bucket;
use ring::digest;

use super::people::Speaker;
use super::{Account, Room};
use crate::bridge::action::Level;
use crate::bridge::context::Context;
use crate::bridge::event::{Content, RoomMessage};
use crate::bridge::limits::{HELD, OUTBOX_ROWS, PARKED};
use crate::ids::{BareJid, OccupantId, RoomJid, StanzaId, Who};
use crate::payload;
use crate::store::{Audience, Change, OutMessage, Owner, ParkedRow};

/// Who said an archived message, by what the entry itself carries.
enum Author {
    Room,
    Ours(Who),
    Person(BareJid),
    Unknown(Option<OccupantId>),
}

impl Room {
    /// A message as the ear hears it. It makes things fast; the archive makes them true.
    pub(super) fn live(&mut self, cx: &mut Context, message: RoomMessage) {
        if self.door.is_catching_up() || self.archive.is_holding() {
            if !self.was_shared() {
                // Held until the room is shared, it would cross.
            } else if self.archive.held.len() < HELD {
                self.archive.held.push(message);
            } else {
                self.leave_to_archive(cx);
            }
            return;
        }
        if !self.door.is_ready() {
            return;
        }
        let Some(nick) = &message.nick else { return };
        match self.people.speaker(nick) {
            Speaker::Ours(who) => self.is_ours(cx, &who, &message, true),
            Speaker::Person(author) => self.live_person(cx, message, author),
            Speaker::Unknown => {
                cx.count("live-unknown-speakers");
                self.leave_to_archive(cx);
            }
        }
    }

    /// Whether the room's people have been told that they are heard elsewhere.
    fn was_shared(&self) -> bool {
        let m = &self.mapping;
        if m.archive { m.floor.is_some() } else { m.announced > ListVersion(0) }
    }

    fn live_person(&mut self, cx: &mut Context, message: RoomMessage, author: BareJid) {
        if self.ending.is_said() {
            return self.leave_to_archive(cx);
        }
        match &message.stanza_id {
            None if self.mapping.archive && self.mapping.floor.is_none() => {}
            None if self.mapping.archive => {
                // The room did not archive it: it has no identity, so it crosses at most once.
                if matches!(message.content, Content::Speech(_)) {
                    cx.count("unarchived");
                }
                self.at_most_once(cx, message, author);
            }
            None => self.at_most_once(cx, message, author),
            Some(id) => {
                let id = id.clone();
                if self.mapping.floor.is_none() || self.archive.seen.contains_key(&id) {
                    return;
                }
                // Shared with another connection, the live stream has holes; its order proves nothing.
                let full = self.undecided() >= OUTBOX_ROWS;
                if full || self.archive.behind || cx.server != Some(true) {
                    return self.leave_to_archive(cx);
                }
                if !self.live_in_time(cx, &author, &message) {
                    cx.count("live-too-fast");
                    return self.leave_to_archive(cx);
                }
                self.saw(cx, &id);
                self.mapping.newest = Some(id.clone());
                self.archive.since_read += 1;
                self.dirty(cx);
                let audience = self.audience();
                self.person(cx, message, author, Some(id), false, audience);
            }
        }
    }

    /// No archive has it.
    fn at_most_once(&mut self, cx: &mut Context, message: RoomMessage, author: BareJid) {
        if self.live_in_time(cx, &author, &message) {
            let audience = self.audience();
            self.person(cx, message, author, None, false, audience);
        } else {
            self.refuse_here(cx, &author, Condition::TooFast);
        }
    }

    /// A result of a gap-free read behind the floor. Says who of ours said it, if we did.
    pub(super) fn archived(
        &mut self,
        cx: &mut Context,
        message: RoomMessage,
        late: bool,
        audience: Audience,
    ) -> Option<Who> {
        let id = message.stanza_id.clone()?;
        let author = self.author(&message);
        if let Author::Ours(who) = author {
            self.is_ours(cx, &who, &message, false);
            return Some(who);
        }
        if let (Author::Unknown(Some(occupant)), Some(said)) = (&author, &message.id) {
            self.archive.perhaps_ours.entry(occupant.clone()).or_default().push((said.clone(), id.clone()));
        }
        if self.archive.seen.contains_key(&id) {
            if let Author::Person(author) = &author {
                self.archived_again(cx, author, &message);
            }
            return None;
        }
        self.saw(cx, &id);
        if late {
            cx.count("late-finds");
        }
        match author {
            Author::Room | Author::Ours(_) => {}
            Author::Person(author) => {
                if self.archived_in_time(cx, &author, &message, late) {
                    self.person(cx, message, author, Some(id), late, audience);
                }
            }
            Author::Unknown(occupant) => self.unknown(cx, message, occupant, id, audience),
        }
        None
    }

    /// Nothing crosses any more. (Without archive, from the moment on at which the end was asked for.)
    pub(super) fn is_closed(&self) -> bool {
        self.mapping.closed || (self.mapping.ending.is_some() && !self.mapping.archive)
    }

    fn author(&self, message: &RoomMessage) -> Author {
        if let Some(who) = &message.ours {
            return Author::Ours(who.clone());
        }
        if let Some(real) = &message.real {
            return Author::Person(real.clone());
        }
        match (&message.nick, &message.occupant_id) {
            (None, _) => Author::Room,
            (Some(_), Some(id)) => match self.people.owner(id) {
                Some(Owner::Ours(who)) => Author::Ours(who.clone()),
                Some(Owner::Person(jid)) => Author::Person(jid.clone()),
                None => Author::Unknown(Some(id.clone())),
            },
            (Some(_), None) => Author::Unknown(None),
        }
    }

    pub(super) fn saw(&mut self, cx: &mut Context, id: &StanzaId) {
        let generation = self.mapping.generation;
        if self.archive.seen.insert(id.clone(), generation).is_none() {
            cx.change(Change::Seen { group: self.group(), id: id.clone(), generation });
        }
    }

    fn person(
        &mut self,
        cx: &mut Context,
        message: RoomMessage,
        author: BareJid,
        id: Option<StanzaId>,
        late: bool,
        audience: Audience,
    ) {
        let payload = match message.content {
            Content::Speech(payload) => payload,
            Content::Refused(condition) => return self.refuse_here(cx, &author, condition),
            Content::Nothing | Content::Subject(_) => return,
        };
        if self.is_closed() || self.stays_here(cx, audience) {
            return;
        }
        let Some(user) = cx.config.user(&author) else {
            return self.refuse_here(cx, &author, Condition::ForeignAuthor);
        };
        if let Some(condition) = self.keeps_here(cx, &user, message.nick.as_ref()) {
            return self.refuse_here(cx, &author, condition);
        }
        let nick = message.nick.as_ref().and_then(|n| DisplayName::neutral(n.as_str()));
        let nick = nick.or_else(|| user.as_str().parse().ok()).unwrap_or_else(someone);
        let source = id.map(|id| source(&self.mapping.room, &id));
        let said = (payload.clone(), message.nick.map_or_else(|| nick.to_string(), |nick| nick.to_string()));
        let payload = payload::mark_mentions(&payload, &self.puppets.names());
        if payload.len() > shared::PAYLOAD_BYTES {
            return self.refuse_here(cx, &author, Condition::TooLarge);
        }
        let at = message.stamp.unwrap_or(cx.now);
        let list = audience.list;
        self.relay(cx, OutMessage { source, list, user: user.clone(), nick, at, late, payload });
        self.keep_own(cx, &user, &said.1, at, said.0);
    }

    /// The author of an archived message is somebody of whom nothing is known (yet).
    fn unknown(
        &mut self,
        cx: &mut Context,
        message: RoomMessage,
        occupant: Option<OccupantId>,
        id: StanzaId,
        audience: Audience,
    ) {
        let Content::Speech(payload) = message.content else { return };
        if self.is_closed() || self.stays_here(cx, audience) {
            return;
        }
        let nick = message.nick.as_ref().and_then(|n| DisplayName::neutral(n.as_str())).unwrap_or_else(someone);
        let at = message.stamp.unwrap_or(cx.now);
        let Some(occupant) = occupant else {
            cx.count(Condition::UnknownAuthor.as_str());
            return self.report(cx, Level::Warning, format!("from {nick}: {}", Condition::UnknownAuthor.admin_text()));
        };
        if self.archive.parked() >= PARKED {
            return cx.count(Condition::UnknownAuthor.as_str());
        }
        cx.count("parked");
        self.report(cx, Level::Warning, format!("a message of {nick} waits until it is known who that is"));
        let (group, list) = (self.group(), audience.list);
        let row = ParkedRow { group, id, occupant: occupant.clone(), nick, at, list, payload };
        cx.change(Change::Parked(row.clone()));
        self.archive.waiting.entry(occupant).or_default().push(row);
    }

    /// It is known now whose an occupant-id is.
    pub(super) fn release_parked(&mut self, cx: &mut Context, occupant: &OccupantId, owner: &Owner) {
        let perhaps_ours = self.archive.perhaps_ours.remove(occupant).unwrap_or_default();
        if let Owner::Ours(_) = owner {
            for (id, stanza_id) in perhaps_ours {
                self.reflected(cx, &id, Some(&stanza_id));
            }
        }
        let mut pace = Bucket::default();
        for row in self.archive.waiting.remove(occupant).unwrap_or_default() {
            cx.change(Change::ParkedGone { group: self.group(), id: row.id.clone() });
            let Owner::Person(author) = owner else { continue };
            if self.ending.is_ready() {
                continue;
            }
            let Some(user) = cx.config.user(author) else {
                self.refuse_here(cx, author, Condition::ForeignAuthor);
                continue;
            };
            if let Some(condition) = self.keeps_here(cx, &user, None) {
                self.refuse_here(cx, author, condition);
                continue;
            }
            if !pace.take(cx.config.author_rate, row.at) {
                self.refuse_here(cx, author, Condition::TooFast);
                continue;
            }
            let source = Some(source(&self.mapping.room, &row.id));
            let ParkedRow { list, nick, at, payload, .. } = row;
            let (author, said) = (nick.to_string(), payload.clone());
            self.relay(cx, OutMessage { source, list, user: user.clone(), nick, at, late: true, payload });
            self.keep_own(cx, &user, &author, at, said);
        }
    }

    /// Refused by us, before anybody else has seen it.
    pub(super) fn refuse_here(&mut self, cx: &mut Context, author: &BareJid, condition: Condition) {
        cx.count(condition.as_str());
        self.refuse(cx, author, condition);
    }

    /// Our own words came back, live or out of the archive.
    fn is_ours(&mut self, cx: &mut Context, who: &Who, message: &RoomMessage, live: bool) {
        if let Some(id) = &message.stanza_id {
            if live && self.mapping.floor.is_some() && !self.archive.seen.contains_key(id) {
                self.archive.since_read += 1;
            }
            if self.mapping.floor.is_some() || !live {
                self.saw(cx, id);
            }
        }
        let Some(id) = &message.id else { return };
        if *who == Who::Ear {
            self.heard_announcement(cx, id);
            self.heard_goodbye(cx, id, live);
            if let (true, Some(stanza_id)) = (live, &message.stanza_id) {
                self.floor_reflected(cx, id, stanza_id);
            }
        }
        self.reflected(cx, id, message.stanza_id.as_ref());
    }

    /// Names of remote people here, as their accounts.
    pub(super) fn account_nick(&self, cx: &Context, account: &Account) -> Option<crate::ids::Nick> {
        if cx.enterprise() == Some(&account.enterprise) {
            return self.people.nick_of(&cx.config.account(&account.user)).cloned();
        }
        self.puppets.nick_of(account)
    }
}

fn someone() -> DisplayName {
    "someone".parse().expect("a word is a display name")
}

/// Where a message stands, for the center's eyes: unique in this gateway, and nothing that tells the room's name.
pub(super) fn source(room: &RoomJid, id: &StanzaId) -> SourceId {
    let hash = digest::digest(&digest::SHA256, room.as_str().as_bytes());
    let room: String = hash.as_ref()[..6].iter().map(|b| format!("{b:02x}")).collect();
    let plain = format!("{room}:{id}");
    plain.parse().unwrap_or_else(|_| {
        // An id that is too long, or holds what must not cross, is told apart by its hash.
        let hash = digest::digest(&digest::SHA256, id.as_str().as_bytes());
        let id: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        format!("{room}:#{id}").parse().expect("hexadecimal digits are a source id")
    })
}
