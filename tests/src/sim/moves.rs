//! Mappings that come and go: what an administrator wishes, what the disk says of it, and what may cross meanwhile.

use std::collections::BTreeSet;

use intergroup_gateway::bridge::Command;
use intergroup_gateway::ids::{StanzaId, Who};
use intergroup_gateway::store::{Change, Mapping, Source, Store};
use intergroup_schemas::ids::Seq;

use super::archive::{Author, Entry};
use super::center::COMPANIES;
use super::company::{Firm, GROUP, Wake};
use super::net::Net;

/// What a company's administrator wants of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// A room is mapped to it.
    In,
    /// No room is, but the company belongs to it.
    Unmapped,
    /// The company does not belong to it.
    Out,
}

/// One mapping, as the disk had it.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// The last entry before it.
    pub(super) from: Seq,
    /// The last entry that has its outcome in it.
    pub(super) to: Seq,
    /// The notice behind which words may cross.
    pub(super) floor: Option<StanzaId>,
    /// When its end was asked for first, by the server's clock.
    pub(super) asked: Option<i64>,
    /// When it was gone, by the server's clock.
    pub(super) gone: Option<i64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Moves {
    pub(super) wish: Wish,
    pub(super) spans: Vec<Span>,
    /// Said by people who were still unknown when a mapping ended.
    pub(super) parked: BTreeSet<StanzaId>,
    /// The administrator wanted to leave once.
    left: bool,
    /// The administrator wants the group to end.
    pub(super) deletes: bool,
}

impl Default for Moves {
    fn default() -> Self {
        Self { wish: Wish::In, spans: Vec::new(), parked: BTreeSet::new(), left: false, deletes: false }
    }
}

impl Moves {
    /// Something has happened to mappings here beside the first.
    pub(super) fn happened(&self) -> bool {
        self.spans.len() > 1 || self.spans.iter().any(|s| s.asked.is_some() || s.gone.is_some())
    }
}

impl Firm {
    /// Looks at what becomes durable.
    pub(super) fn note_durable(&mut self, now: i64, kept: bool) {
        if !kept {
            return;
        }
        let changes: Vec<&Change> = self.gateway.disk.unsynced().flatten().collect();
        self.lists.note_dealt(now, &changes);
        let now = self.server.clock(now);
        let moves = &mut self.moves;
        let mut ends = false;
        for change in changes {
            match change {
                Change::Mapping(m) => {
                    if moves.spans.last().is_none_or(|span| span.gone.is_some()) {
                        let (from, to) = (m.settled, m.settled);
                        moves.spans.push(Span { from, to, floor: None, asked: None, gone: None });
                    }
                    if let Some(span) = moves.spans.last_mut() {
                        span.to = m.settled;
                        span.floor = m.floor.as_ref().map(|f| f.id.clone()).or(span.floor.take());
                        if m.ending.is_some() {
                            span.asked.get_or_insert(now);
                        }
                    }
                }
                // Too late to cross.
                Change::ParkedGone { id, .. } if moves.spans.last().is_some_and(|s| s.asked.is_some()) => {
                    moves.parked.insert(id.clone());
                }
                Change::MappingGone(_) => {
                    ends = true;
                    if let Some(span) = moves.spans.last_mut() {
                        span.gone.get_or_insert(now);
                    }
                }
                _ => {}
            }
        }
        if ends {
            let parked = self.gateway.disk.durable().load().expect("memory can be read").parked;
            self.moves.parked.extend(parked.into_iter().map(|row| row.id));
        }
    }

    /// The administrator changes his mind.
    pub(super) fn wishes(&mut self, net: &mut Net<Wake>, wish: Wish) {
        net.say(|| format!("{} wishes {wish:?}", COMPANIES[self.me]));
        self.moves.wish = wish;
        self.moves.left |= wish == Wish::Out;
        if let Some(span) = self.moves.spans.last_mut().filter(|s| s.gone.is_none() && wish != Wish::In) {
            // What is said from now on may cross or not.
            span.asked.get_or_insert(self.server.clock(net.now));
        }
        net.wake(self.me, 1, Wake::Ask(self.gateway.life));
    }

    /// What is still to be asked for; none when all is as it should be.
    pub(super) fn to_ask(&self, net: &mut Net<Wake>, mapping: Option<&Mapping>) -> Option<Command> {
        let room = self.room.clone();
        let group = GROUP;
        let members = (self.source == Source::Explicit).then_some(self.source);
        let member = net.center.is_member(self.me);
        if net.center.has_ended() {
            return None;
        }
        let ending = mapping.is_some_and(|m| m.ending.is_some());
        match (self.moves.wish, mapping) {
            _ if ending => None,
            (Wish::In, Some(_)) if self.moves.deletes && net.center.joined() == COMPANIES.len() => {
                Some(Command::Delete { group })
            }
            // Its room will not come back.
            (Wish::In, None) if self.server.ruined => None,
            (Wish::In, None) if self.me == 0 && net.center.joined() == 0 => {
                Some(Command::Create { name: "Apollo".to_owned(), room, members })
            }
            (Wish::In, None) if member && !self.moves.spans.is_empty() => Some(Command::Map { group, room, members }),
            (Wish::In, None) => Some(Command::Join { group, room, members }),
            (Wish::Unmapped, Some(_)) => Some(Command::Unmap { group }),
            (Wish::Out, None) if !member => None,
            (Wish::Out, _) => Some(Command::Leave { group }),
            (Wish::In, Some(_)) | (Wish::Unmapped, None) => None,
        }
    }

    /// Whether all is as it should be at the end; else what is not.
    pub(super) fn is_as_wished(&mut self, member: bool, ended: bool) -> Result<(), String> {
        let mapped = self.mapping().is_some();
        let name = COMPANIES[self.me];
        match self.moves.wish {
            _ if ended && mapped => Err(format!("{name}: the group has ended, and its room is still mapped")),
            _ if ended => Ok(()),
            Wish::In if !mapped => Err(format!("{name} is not mapped")),
            Wish::Unmapped | Wish::Out if mapped => Err(format!("{name} is still mapped")),
            Wish::Unmapped if !member && !self.moves.left && !self.moves.spans.is_empty() => {
                Err(format!("{name} does not belong to the group any more"))
            }
            Wish::Out if member => Err(format!("{name} still belongs to the group")),
            _ => Ok(()),
        }
    }

    /// Whether what stands at a place of the room's history must cross, and whether it may; none: nobody can tell.
    pub(super) fn shared_at(&self, history: &[Entry], at: usize) -> Option<(bool, bool)> {
        let (mut must, mut may) = (false, false);
        for span in &self.moves.spans {
            let floor = span.floor.as_ref()?;
            let floor = history.iter().position(|e| e.id == *floor)?;
            if at < floor {
                continue;
            }
            let said = history[at].at;
            let goodbye = history.iter().skip(floor).position(is_goodbye).map(|behind| floor + behind);
            let before_the_end = match (goodbye, span.gone) {
                (Some(goodbye), _) => at < goodbye,
                (None, Some(gone)) => said <= gone,
                (None, None) => true,
            };
            may |= before_the_end;
            let asked_before = goodbye.is_none() && span.asked.is_some_and(|asked| asked <= said);
            must |= before_the_end && !asked_before;
        }
        Some((must, may))
    }

    /// Mappings that ended without a word in the room.
    pub(super) fn silent_ends(&self) -> Vec<String> {
        let lost = !self.server.room.archive.lost.is_empty();
        if self.server.ruined || lost || !self.server.room.flavour.archive {
            return Vec::new();
        }
        let told = self.server.room.archive.history().filter(|e| is_goodbye(e)).count();
        let shared = |s: &&Span| s.gone.is_some() && s.floor.is_some();
        let ended = self.moves.spans.iter().filter(shared).count();
        let name = COMPANIES[self.me];
        if told < ended {
            vec![format!("{name}: {ended} mappings ended, and {told} times the room was told")]
        } else {
            Vec::new()
        }
    }
}

/// The room is told that it is not shared any more.
fn is_goodbye(entry: &Entry) -> bool {
    matches!(entry.author, Author::Ours(Who::Ear)) && entry.text().starts_with("This room is not shared with group")
}
