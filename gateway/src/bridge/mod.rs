//! The core of the gateway: decides what crosses from a room to its group and what is said in the room.
//!
//! In: an [`Event`] and the time. Out: [`Action`]s, to be performed in order. Nothing that depends on a change leaves before
//! `Committed` says that the change is on disk. Never here: sockets, disks, clocks, randomness.
//!
//! Start reading at [`Bridge::handle`]; then `room` (all that happens between one room and its group), `number`
//! (groups' own addresses), `commands` (administrators), `context` (what all rooms share: the time, the actions, the one commit under way).

mod absences;
mod action;
mod commands;
mod context;
mod event;
mod limits;
mod names;
mod number;
mod people;
mod room;
pub mod status;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::{BTreeMap, BTreeSet};

use intergroup_schemas::ids::{GatewayId, GroupNumber};
use intergroup_schemas::limits as shared;
use intergroup_schemas::link::{HelloGroup, Timestamp, ToGateway, Welcome};

pub use action::{Action, CommandId, Level, ReadFrom, Reply, Report, RequestId, RoomAction, Ticket};
pub use context::{Config, OfflineBounds};
pub use event::{
    AboutEdit, Affiliation, Answer, Command, Content, Event, Gone, Page, PersonEdit, Refusal, Role, RoomEvent,
    RoomInfo, RoomMessage,
};
pub use limits::{AUTHOR_RATE, JOIN_HISTORY, OFFLINE_BYTES, OFFLINE_DAYS, OFFLINE_MESSAGES, UNSEEN_DAYS};
pub use number::{Caller, CommandsOf, Declined, Listing, Mark, Member, MemberAt, Members, Span, Visit, VisitAnswer};
pub use room::StandingText;

use crate::ids::RoomJid;
use crate::store::{Ending, Snapshot};
use commands::Commands;
use context::Context;
use number::Waiting;
use room::{Room, Rows};
use timers::Timers;

/// Places in all groups of a hello together; a frame holds them easily.
const HELLO_PLACES_IN_ALL: usize = 1200;

/// The bridge.
#[derive(Debug)]
pub struct Bridge {
    cx: Context,
    rooms: BTreeMap<GroupNumber, Room>,
    by_jid: BTreeMap<RoomJid, GroupNumber>,
    timers: Timers,
    commands: Commands,
    /// Visitors of groups' addresses who wait for members.
    waiting: Waiting,
    /// Rooms to which something happened since they last worked.
    touched: BTreeSet<GroupNumber>,
    /// A commit failed: what is here is ahead of the disk and must not act any more.
    dead: bool,
}

impl Bridge {
    /// A bridge that goes on from what is on disk.
    #[must_use]
    pub fn new(snapshot: Snapshot, config: Config) -> Self {
        let cx = Context::new(config, &snapshot.key);
        let mut rows: BTreeMap<GroupNumber, Rows> = BTreeMap::new();
        for (group, id, generation) in snapshot.seen {
            rows.entry(group).or_default().seen.push((id, generation));
        }
        for row in snapshot.posted {
            rows.entry(row.group).or_default().posted.push(row);
        }
        for (group, id, owner) in snapshot.occupants {
            rows.entry(group).or_default().occupants.push((id, owner));
        }
        for row in snapshot.parked {
            rows.entry(row.group).or_default().parked.push(row);
        }
        for (group, mouth) in snapshot.entered {
            rows.entry(group).or_default().entered.insert(mouth);
        }
        for row in snapshot.attendance {
            rows.entry(row.group).or_default().attendance.push(row);
        }
        for row in snapshot.notices {
            rows.entry(row.group).or_default().notices.push(row);
        }
        for row in snapshot.absent {
            rows.entry(row.group).or_default().absent.push(row);
        }
        for row in snapshot.own {
            rows.entry(row.group).or_default().own.push(row);
        }
        let by_jid = snapshot.mappings.iter().map(|m| (m.room.clone(), m.group)).collect();
        let rooms = snapshot.mappings.into_iter().map(|m| {
            let rows = rows.remove(&m.group).unwrap_or_default();
            (m.group, Room::new(m, rows, Timestamp(0)))
        });
        let rooms = rooms.collect();
        Self {
            cx,
            rooms,
            by_jid,
            timers: Timers::default(),
            commands: Commands::default(),
            waiting: Waiting::default(),
            touched: BTreeSet::new(),
            dead: false,
        }
    }

    /// Takes in one event. `now` never goes back.
    pub fn handle(&mut self, event: Event, now: Timestamp) {
        self.cx.now = self.cx.now.max(now);
        if self.dead {
            return;
        }
        if self.cx.link.is_none() {
            self.cx.unlinked.get_or_insert(now);
        }
        match event {
            Event::ServerUp { exclusive } => self.server_up(exclusive),
            Event::ServerDown { stream_error } => self.server_down(stream_error.as_deref()),
            Event::Room { room, event } => match self.by_jid.get(&room) {
                Some(group) => {
                    let group = *group;
                    self.with(group, |room, cx| room.room_event(cx, event));
                }
                None => self.probe_event(&room, event),
            },
            Event::LinkUp(welcome) => self.link_up(&welcome),
            Event::LinkDown => self.link_down(),
            Event::Link(stanza) => self.stanza(stanza),
            Event::Committed(ticket) => self.committed(ticket),
            Event::CommitFailed(_) => self.dead = true,
            Event::Posted { group, rows } => self.with(group, |room, cx| room.posted_rows(cx, rows)),
            Event::Outbox { group, rows } => self.with(group, |room, cx| room.outbox_rows(cx, rows)),
            Event::Missed { group, rows } => self.with(group, |room, cx| room.missed_rows(cx, &rows)),
            Event::Visit { caller, group, visit } => self.visit(caller, group, visit),
            Event::Listed { rows, visit: Some(visit), .. } => self.members_read(visit, rows),
            Event::Listed { group, rows, visit: None } => {
                self.with(group, |room, cx| room.list_rows(cx, &rows));
                self.bound_lists();
            }
            Event::Command { id, command } => self.command(id, command),
        }
        self.work();
    }

    /// Does what is due. Call it when [`Bridge::next_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.cx.now = self.cx.now.max(now);
        if self.dead {
            return;
        }
        self.touched.extend(self.timers.due(self.cx.now));
        self.watch_probes();
        self.work();
    }

    /// When [`Bridge::handle_timeout`] is to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Timestamp> {
        if self.dead {
            return None;
        }
        [self.timers.next(), self.commands.deadline()].into_iter().flatten().min()
    }

    /// What to do next. Call it until it has nothing more to say; a commit is proposed last, so that everything that came
    /// before shares it.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.dead {
            return None;
        }
        let (rooms, now) = (&mut self.rooms, self.cx.now);
        let write = |group: GroupNumber| rooms.get_mut(&group).map(|room| room.write(now));
        self.cx.pop_action().or_else(|| self.cx.begin_commit(write))
    }

    /// What the first stanza of a link says of each group.
    #[must_use]
    pub fn hello(&self) -> Vec<HelloGroup> {
        let places = (HELLO_PLACES_IN_ALL / self.rooms.len().max(1)).min(shared::HELLO_PLACES);
        self.rooms.values().map(|room| room.hello(places, &self.cx.run)).collect()
    }

    // ------------------------------------------------------------

    fn with(&mut self, group: GroupNumber, what: impl FnOnce(&mut Room, &mut Context)) {
        if let Some(room) = self.rooms.get_mut(&group) {
            what(room, &mut self.cx);
            self.touched.insert(group);
        }
    }

    fn with_all(&mut self, mut what: impl FnMut(&mut Room, &mut Context)) {
        for (group, room) in &mut self.rooms {
            what(room, &mut self.cx);
            self.touched.insert(*group);
        }
    }

    /// Keeps the accounts in memory bounded over all rooms.
    fn bound_lists(&mut self) {
        let held = |room: &Room| room.list_held().map(|(accounts, used)| (used, room.group(), accounts));
        let mut lists: Vec<_> = self.rooms.values().filter_map(held).collect();
        lists.sort_unstable();
        let mut surplus = lists.iter().map(|l| l.2).sum::<usize>().saturating_sub(limits::LISTED_AT_HAND);
        // The last one is the one that has just been asked for.
        lists.pop();
        for (_, group, accounts) in lists {
            if surplus == 0 {
                break;
            }
            surplus = surplus.saturating_sub(accounts);
            if let Some(room) = self.rooms.get_mut(&group) {
                room.forget_list();
            }
        }
    }

    /// Lets every room that something happened to do what it can do now.
    fn work(&mut self) {
        while let Some(group) = self.touched.pop_first() {
            let Some(room) = self.rooms.get_mut(&group) else { continue };
            room.work(&mut self.cx);
            self.timers.set(group, room.deadline(&self.cx));
            match room.can_end() {
                Some(Ending::Unmap) => self.end_mapping(group),
                Some(Ending::Leave) => self.leave_center(group),
                None => {}
            }
            if self.touched.is_empty() && self.cx.take_turn() {
                self.touched.extend(self.rooms.keys());
            }
        }
        self.fetch_lists();
    }

    fn server_up(&mut self, exclusive: bool) {
        self.cx.server = Some(exclusive);
        if !exclusive {
            let text = "another connection shares this component's stanzas: rooms are read from their archives. Run one \
                        gateway for each component name";
            self.cx.report(None, Level::Alarm, text);
        }
        self.with_all(|room, cx| room.server_up(cx));
    }

    fn server_down(&mut self, stream_error: Option<&str>) {
        self.cx.server = None;
        // Another connection in our place says nothing of what we sent.
        let blamed = stream_error.filter(|e| !matches!(*e, "conflict" | "system-shutdown" | "connection-timeout"));
        if let Some(error) = blamed {
            let text = format!("the server ended the stream ({error}): what is said next is said one at a time");
            self.cx.report(None, Level::Alarm, text);
            self.cx.count("stream-errors");
            self.cx.become_cautious();
        }
        self.with_all(|room, cx| room.server_down(cx, blamed.is_some()));
        self.probes_fail("the component link went down");
    }

    fn link_up(&mut self, welcome: &Welcome) {
        let me = GatewayId { enterprise: welcome.enterprise.clone(), gateway: welcome.gateway.clone() };
        self.cx.link = Some(me.clone());
        self.cx.unlinked = None;
        self.cx.me = Some(me);
        self.cx.begin_link(welcome.window, welcome.credit);
        let known: BTreeMap<_, _> = welcome.groups.iter().map(|g| (g.group, g)).collect();
        self.with_all(|room, cx| {
            let group = room.group();
            room.link_up(cx, known.get(&group).copied());
        });
    }

    fn link_down(&mut self) {
        self.cx.link = None;
        self.cx.unlinked.get_or_insert(self.cx.now);
        self.with_all(|room, cx| room.link_down(cx));
        self.requests_fail();
    }

    fn stanza(&mut self, stanza: ToGateway) {
        match stanza {
            ToGateway::Welcome(_) | ToGateway::Bye(_) => {}
            ToGateway::Decided(d) => self.with(d.group, |room, cx| room.decided(cx, d)),
            ToGateway::Expect(e) => self.with(e.group, |room, cx| room.expect(cx, &e)),
            ToGateway::Resumed(r) => self.with(r.group, |room, cx| room.resumed(cx, r.after)),
            ToGateway::Fate(f) => self.with(f.group, |room, cx| room.fate(cx, f)),
            ToGateway::Response(response) => self.response(response),
            // What follows costs credit, which is given back now that it is in our hands.
            ToGateway::Deliver(d) => {
                self.cx.give_credit(d.payload.len() + 256);
                self.with(d.group, |room, cx| room.deliver(cx, d));
            }
            ToGateway::Own(o) => {
                self.cx.give_credit(128);
                self.with(o.group, |room, cx| room.own(cx, &o));
            }
            ToGateway::Skip(s) => {
                self.cx.give_credit(128);
                self.with(s.group, |room, cx| room.skip(cx, &s));
            }
            ToGateway::Entry(e) => {
                self.cx.give_credit(256 + e.change.weight());
                self.with(e.group, |room, cx| room.entry(cx, e));
            }
        }
    }

    fn committed(&mut self, ticket: Ticket) {
        let Some(done) = self.cx.committed(ticket) else { return };
        for group in done.rooms {
            self.with(group, |room, _| room.written());
        }
        for (group, after) in done.after {
            self.with(group, |room, cx| room.after(cx, after));
        }
        for (id, reply) in done.replies {
            self.cx.reply(id, reply);
        }
    }
}
