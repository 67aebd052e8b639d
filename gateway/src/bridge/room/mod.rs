//! One mapped room: all that happens between a room and its group.
//!
//! In: what the room's server, the link and the store tell of this room. Out: actions and changes, through the context.
//! Never here: other rooms. A room that is in trouble is begun again from what is on disk, and nobody else notices.
//!
//! The files, in the order in which a message meets them: `door` (our occupants enter), `reader` (the archive is read),
//! `intake` (what of it crosses), `audience` (for whom it was said), `pace` (how fast), `outbox` (to the center), `stream` (from the
//! center), `list` (who may speak), `members` (where that comes from), `post` (into the room), `puppets`, `by_number` (what is said to
//! the group's number), `away` (members who are not there), `standing` (the companies are named), `notices` (authors are told), `waiting` (for the link),
//! `ending`.

mod announcements;
mod audience;
mod away;
mod by_number;
mod door;
mod ending;
mod intake;
mod list;
mod members;
mod notices;
mod outbox;
mod pace;
mod people;
mod post;
mod posted;
mod puppets;
mod reader;
mod standing;
mod stream;
mod waiting;

use std::collections::BTreeSet;

use intergroup_schemas::ids::{GatewayId, GroupNumber, HistoryHash, Incarnation, N, Seq};
use intergroup_schemas::limits as shared;
use intergroup_schemas::link::{HelloGroup, Settled, Timestamp, ToCenter};

use super::action::{CommandId, Level, RequestId, RoomAction};
use super::context::Context;
use super::event::{Answer, Refusal, RoomEvent};
use super::status::RoomStatus;
use crate::ids::{Account, Mouth, Nick, Who};
use crate::store::{AbsentRow, AttendanceRow, Change, Mapping, NoticeRow, OwnRow, Owner, ParkedRow, PostedRow, Spot};

pub(super) use door::{cannot_close, unfit};
pub use standing::StandingText;

use away::Away;
use by_number::ByNumber;
use door::Door;
use list::List;
use members::Members;
use notices::Notices;
use outbox::Outbox;
use pace::Pace;
use people::People;
use post::Post;
use puppets::Puppets;
use reader::Archive;
use standing::Subject;
use stream::Stream;

/// What waits for a commit, besides what every commit does.
#[derive(Debug, Clone)]
pub(super) enum After {
    /// The new life may be used.
    Life,
    /// One of ours may enter: that it may be in the room is known on disk.
    Enter {
        /// Who.
        mouth: Mouth,
        /// The nick to ask for.
        nick: Nick,
    },
    /// A puppet may speak: its occupant-id is known on disk.
    Speak(Account),
    /// May be said.
    Say(Box<RoomAction>),
    /// May leave.
    Leave(Box<RoomAction>),
    /// The room may be told that it is not shared any more.
    End,
    /// All rows of the old epoch can be read.
    Renumber,
    /// The author may be told.
    Tell(NoticeKey),
}

/// Names a notice: the author, and why.
pub(super) type NoticeKey = (crate::ids::BareJid, intergroup_schemas::conditions::Condition);

/// How far everything has come, as of some commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Marks {
    /// Numbers of another era (a new epoch, a forked log) say nothing of this one.
    era: u64,
    n: N,
    offered: N,
    decided: N,
    settled: Seq,
    hash: HistoryHash,
    kept: Spot,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) mapping: Mapping,
    door: Door,
    people: People,
    archive: Archive,
    outbox: Outbox,
    stream: Stream,
    post: Post,
    puppets: Puppets,
    notices: Notices,
    pace: Pace,
    by_number: ByNumber,
    subject: Subject,
    list: List,
    members: Members,
    away: Away,
    /// Something was said while there was no link.
    said_unlinked: bool,
    /// What is on disk.
    durable: Marks,
    /// What will be when the commit under way is.
    flying: Marks,
    era: u64,
    /// The last entry of which the center was told, and the last decision that it may forget.
    told: (Seq, N),
    ending: ending::End,
}

/// The rows of one group in a snapshot.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) seen: Vec<(crate::ids::StanzaId, crate::store::Generation)>,
    pub(super) posted: Vec<PostedRow>,
    pub(super) occupants: Vec<(crate::ids::OccupantId, Owner)>,
    pub(super) parked: Vec<ParkedRow>,
    pub(super) entered: BTreeSet<Mouth>,
    pub(super) notices: Vec<NoticeRow>,
    pub(super) own: Vec<OwnRow>,
    pub(super) attendance: Vec<AttendanceRow>,
    pub(super) absent: Vec<AbsentRow>,
}

impl Room {
    pub(super) fn new(mapping: Mapping, rows: Rows, now: Timestamp) -> Self {
        let marks = marks(&mapping, 0);
        Self {
            door: Door::new(rows.entered),
            people: People::new(rows.occupants),
            archive: Archive::new(rows.seen, rows.parked, now),
            outbox: Outbox::new(&mapping),
            stream: Stream::new(mapping.settled),
            post: Post::new(rows.posted),
            puppets: Puppets::default(),
            notices: Notices::new(rows.notices),
            pace: Pace::default(),
            by_number: ByNumber::new(&mapping),
            subject: Subject::default(),
            list: List::new(rows.own, now),
            members: Members::new(rows.attendance),
            away: Away::new(rows.absent),
            said_unlinked: false,
            durable: marks,
            flying: marks,
            era: 0,
            told: (Seq(0), N(0)),
            ending: ending::End::new(mapping.ending.is_some()),
            mapping,
        }
    }

    pub(super) fn group(&self) -> GroupNumber {
        self.mapping.group
    }

    fn dirty(&self, cx: &mut Context) {
        cx.dirty(self.mapping.group);
    }

    /// Something that an administrator should know of this room.
    fn report(&self, cx: &mut Context, level: Level, text: impl Into<String>) {
        cx.report(Some(&self.mapping.room), level, text);
    }

    fn act(&self, cx: &mut Context, action: RoomAction) {
        cx.room(&self.mapping.room, action);
    }

    fn mouth(&self, who: Who) -> Mouth {
        Mouth { who, life: self.mapping.life }
    }

    // ------------------------------------------------------------ events

    pub(super) fn server_up(&mut self, cx: &mut Context) {
        self.look(cx);
    }

    /// The room has just been mapped, over a link that is up.
    pub(super) fn mapped(&mut self, cx: &mut Context) {
        self.stream.welcome_at_once();
        self.look(cx);
    }

    /// `blamed`: the server ended the stream for something that we sent.
    pub(super) fn server_down(&mut self, cx: &mut Context, blamed: bool) {
        if blamed {
            self.suspect_deliveries(cx);
        }
        self.forget_room(cx);
        self.away.server_down();
        self.door.down();
    }

    /// Everything that only holds while we are in the room.
    fn forget_room(&mut self, cx: &mut Context) {
        self.people.all_gone();
        self.members.forget();
        self.away.forget(cx);
        self.puppets.all_gone();
        self.archive.stop();
        self.subject.forget();
        self.stop_posting(cx);
        self.ending.stop();
        self.stream.stop();
    }

    pub(super) fn room_event(&mut self, cx: &mut Context, event: RoomEvent) {
        match event {
            RoomEvent::In { mouth, nick, affiliation, role: _, occupant_id, created } => {
                if mouth.life == self.mapping.life {
                    match &mouth.who {
                        Who::Ear => self.ear_is_in(cx, nick, affiliation, occupant_id, created),
                        Who::Puppet(account) => self.puppet_is_in(cx, account.clone(), nick, occupant_id),
                    }
                }
            }
            RoomEvent::JoinDone { mouth } => {
                if mouth == self.mouth(Who::Ear) {
                    self.ear_has_entered(cx);
                }
            }
            RoomEvent::JoinRefused { mouth, refusal } => {
                if mouth.life == self.mapping.life {
                    match &mouth.who {
                        Who::Ear => self.ear_is_kept_out(cx, &refusal),
                        Who::Puppet(account) => self.puppet_is_kept_out(cx, &account.clone(), &refusal),
                    }
                }
            }
            RoomEvent::Occupant { nick, real, ours, occupant_id, affiliation, .. } => {
                if let (Some(real), None) = (&real, &ours) {
                    self.is_here(cx, &nick, real, affiliation);
                }
                if let Some(mouth) = &ours {
                    self.send_out_ghost(cx, mouth);
                }
                self.occupant_is_in(cx, nick.clone(), real, ours, occupant_id);
                self.people.set_affiliation(&nick, affiliation);
                if let Some(account) = self.people.real(&nick).cloned() {
                    self.presence_changed(cx, &account);
                }
            }
            RoomEvent::Gone { nick, how } => {
                self.has_gone(cx, &nick, &how);
                let account = self.people.real(&nick).cloned();
                self.people.gone(&nick, &how);
                if let Some(account) = account {
                    self.presence_changed(cx, &account);
                }
            }
            RoomEvent::Out { mouth, how } => {
                if mouth.life == self.mapping.life {
                    match &mouth.who {
                        Who::Ear => self.ear_is_out(cx, &how),
                        Who::Puppet(account) => self.puppet_is_out(cx, &account.clone(), &how),
                    }
                }
            }
            RoomEvent::Message(message) => {
                self.begin_hearing(cx, &message);
                self.live(cx, message);
                self.end_hearing();
            }
            RoomEvent::Subject(text) => self.subject.heard(text),
            // A refusal that answers an older life says nothing of this one.
            RoomEvent::SayRefused { mouth, id, refusal } => {
                if mouth.life == self.mapping.life {
                    self.away.is_refused(&id);
                    self.was_refused(cx, &id, &refusal);
                }
            }
            RoomEvent::Answer { request, answer } => self.answered(cx, request, answer),
            RoomEvent::Private { mouth, from } => self.explain_private(cx, mouth, from),
            RoomEvent::AffiliationChanged { ours: Some(Who::Puppet(account)), affiliation, .. } => {
                self.puppet_affiliation(cx, &account, affiliation);
            }
            RoomEvent::AffiliationChanged { ours: Some(Who::Ear), .. } => {}
            RoomEvent::AffiliationChanged { real, ours: None, affiliation } => {
                self.affiliation_is(cx, &real, None, affiliation, true);
            }
            RoomEvent::Configured => self.is_configured(cx),
        }
    }

    /// Who of ours is there before the ear has come in this life is known to no store but one that was put back, or another
    /// process's. (Of the latter there may be more later: they would come again.)
    fn send_out_ghost(&mut self, cx: &mut Context, mouth: &Mouth) {
        if self.door.is_entering() && mouth.who != Who::Ear {
            cx.count("ghosts-sent-out");
            self.act(cx, RoomAction::Leave { mouth: mouth.clone() });
        }
    }

    fn answered(&mut self, cx: &mut Context, request: RequestId, answer: Result<Answer, Refusal>) {
        if self.door.awaits(request) {
            self.door_answered(cx, answer);
        } else if self.archive.awaits(request) {
            self.page_came(cx, answer);
        } else if self.awaits_taking(request) {
            self.portion_is_taken(cx, request, &answer);
        } else if !self.members_answered(cx, request, &answer) {
            self.member_set(cx, request, &answer);
        }
    }

    /// What was asked to wait for a commit.
    pub(super) fn after(&mut self, cx: &mut Context, what: After) {
        match what {
            After::Life => self.life_is_durable(cx),
            After::Enter { mouth, nick } if mouth.life == self.mapping.life && self.door.is_up() => {
                self.act(cx, RoomAction::Enter { mouth, nick });
            }
            After::Speak(account) => self.puppet_may_speak(&account),
            After::Say(action) => self.say_suspect(cx, *action),
            After::Leave(action) => self.act(cx, *action),
            After::Tell(key) => self.tell(cx, &key),
            After::End => self.end_is_durable(),
            After::Renumber => self.load_to_renumber(cx),
            After::Enter { .. } => {}
        }
    }

    /// The mapping as it goes to disk.
    pub(super) fn write(&mut self, now: Timestamp) -> Change {
        self.note_heard(now);
        if self.may_offer() {
            self.mapping.offered = self.mapping.last_n;
        }
        self.flying = marks(&self.mapping, self.era);
        Change::Mapping(Box::new(self.mapping.clone()))
    }

    /// The mapping that was written is on disk.
    pub(super) fn written(&mut self) {
        if self.flying.era == self.era {
            let kept = self.durable.kept;
            self.durable = self.flying;
            if self.durable.kept > kept {
                self.kept_is_durable();
            }
        }
    }

    /// Tells the center what is on disk of its decisions and of the outcomes here.
    fn tell_center(&mut self, cx: &mut Context) {
        if cx.link.is_none() || !self.stream.is_welcome() {
            return;
        }
        let group = self.mapping.group;
        let told = self.told.0;
        // After a break entries pass that were settled long ago: they open the window again without a commit, some at a time.
        let upto = self.durable.settled.min(self.stream.passed);
        if upto > told && (upto == self.durable.settled || upto.0 >= told.0 + u64::from(cx.window_step)) {
            self.told.0 = upto;
            let news = |seq: &Seq| *seq > told && *seq <= upto;
            let refused = self.mapping.refused.iter().filter(|(seq, ..)| news(seq));
            let refused = refused.take(shared::REFUSED_PER_STANZA).cloned().collect();
            cx.send(ToCenter::Settled(Settled { group, upto, refused }));
        }
        if self.durable.decided > self.told.1 {
            self.told.1 = self.durable.decided;
            self.confirm(cx, self.durable.decided);
        }
    }

    // ------------------------------------------------------------ time

    /// Does all that can be done now. Called after everything that happened.
    pub(super) fn work(&mut self, cx: &mut Context) {
        self.watch_door(cx);
        self.watch_archive(cx);
        self.watch_members(cx);
        self.resume(cx);
        self.go_on_posting(cx);
        self.send_outbox(cx);
        self.tell_center(cx);
        self.watch_puppets(cx);
        self.watch_notices(cx);
        self.watch_standing(cx);
        self.watch_list(cx);
        self.watch_away(cx);
        self.watch_waiting(cx);
        self.watch_ending(cx);
    }

    /// When `work` is to be called though nothing happened.
    pub(super) fn deadline(&self, cx: &Context) -> Option<Timestamp> {
        let in_room = self.door.is_ready();
        // A mapping that ends before the room was shared has nothing to read.
        let m = &self.mapping;
        let reads = m.archive && (m.floor.is_some() || m.ending.is_none());
        let archive = self.archive.deadline(in_room, cx.server == Some(true), reads);
        let inside = [
            archive,
            self.post.deadline(),
            self.puppets.deadline(),
            self.notices.deadline(),
            self.ending.deadline(),
            self.members_deadline(),
            self.away_deadline(),
            self.waiting_deadline(cx),
        ];
        let always = [self.door.deadline(), self.list_deadline(cx)];
        inside.into_iter().filter(|_| in_room).chain(always).flatten().min()
    }

    // ------------------------------------------------------------ what others see

    /// What we remember of the group's history.
    pub(super) fn hello(&self, most_places: usize, run: &Incarnation) -> HelloGroup {
        let m = &self.mapping;
        let settled = (self.durable.settled, self.durable.hash);
        // What is on its way into the room may be of an end that the center has lost, though what is settled is not.
        let (cursor, hash) = self.stream.last_received().filter(|(seq, _)| *seq > settled.0).unwrap_or(settled);
        let ahead = [settled].into_iter().filter(|_| cursor > settled.0);
        let older = m.places.iter().filter(|(seq, _)| *seq < settled.0).copied();
        HelloGroup {
            group: m.group,
            incarnation: m.incarnation.clone(),
            cursor,
            hash,
            settled: settled.0,
            places: ahead.chain(older).take(most_places).collect(),
            epoch: m.epoch.clone(),
            last_n: self.durable.n,
            run: Some(run.clone()),
        }
    }

    pub(super) fn status(&self) -> RoomStatus {
        RoomStatus {
            group: self.mapping.group,
            name: self.mapping.name.clone(),
            room: self.mapping.room.to_string(),
            state: self.door.state().to_owned(),
            alarm: self.door.alarm().or_else(|| self.members.alarm()),
            source: self.mapping.source,
            waiting: self.undecided(),
            settled: self.mapping.settled,
            received: self.stream.received(),
            puppets: self.puppets.count(),
            parked: self.archive.parked(),
            list: self.mapping.list_at,
            accounts: self.list.accounts(),
            list_repairs: self.list.repairs,
            own: self.own_people().len(),
            offline: Some(self.offline_status()),
        }
    }

    /// Whether a gateway is ourselves.
    fn is_me(cx: &Context, gateway: &GatewayId) -> bool {
        cx.me.as_ref() == Some(gateway)
    }

    /// A command ends the mapping; it is answered when that is done.
    pub(super) fn end(&mut self, cx: &mut Context, how: crate::store::Ending, command: Option<CommandId>) {
        self.begin_ending(cx, how, command);
    }
}

fn marks(m: &Mapping, era: u64) -> Marks {
    Marks {
        era,
        n: m.last_n,
        offered: m.offered,
        decided: m.decided,
        settled: m.settled,
        hash: m.hash,
        kept: m.kept.next,
    }
}
