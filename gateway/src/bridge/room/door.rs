//! Getting into the room, and staying in: look at the room, fence what older lives may still say, enter, read the archive.

use std::collections::BTreeSet;

use intergroup_schemas::link::Timestamp;

use super::{After, Room};
use crate::bridge::action::{Level, RequestId, RoomAction};
use crate::bridge::context::Context;
use crate::bridge::event::{Affiliation, Answer, Gone, Refusal, RoomInfo};
use crate::bridge::limits::{ENTERED_WITHIN, PARKED_RETRY, RETRY};
use crate::ids::{Mouth, Nick, OccupantId, Who};
use crate::store::{Change, Owner, Source};

/// Where we are with the room.
#[derive(Debug, Default)]
enum Phase {
    /// The component link is down.
    #[default]
    Down,
    /// Something went wrong; tried again then.
    Waiting(Timestamp),
    /// disco#info is asked for.
    Looking(RequestId),
    /// The room is being closed to all but its members.
    Closing(RequestId),
    /// The number of our new life is being written.
    Numbering,
    /// Everybody of older lives was sent out; the fence is awaited.
    Fencing(RequestId),
    /// The ear is entering, until then.
    Entering(Timestamp),
    /// The ear is in, and the archive is being read.
    CatchingUp,
    /// All is well.
    Ready,
    /// An administrator must act; looked at again then.
    Parked(Timestamp),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Door {
    phase: Phase,
    alarm: Option<String>,
    /// Occupants of ours that may be in the room, on disk.
    entered: BTreeSet<Mouth>,
    nick: Option<Nick>,
    attempt: u32,
}

impl Door {
    pub(super) fn new(entered: BTreeSet<Mouth>) -> Self {
        Self { entered, ..Self::default() }
    }

    pub(super) fn down(&mut self) {
        self.phase = Phase::Down;
    }

    pub(super) fn is_up(&self) -> bool {
        !matches!(self.phase, Phase::Down)
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    pub(super) fn is_catching_up(&self) -> bool {
        matches!(self.phase, Phase::CatchingUp)
    }

    pub(super) fn is_entering(&self) -> bool {
        matches!(self.phase, Phase::Entering(_))
    }

    pub(super) fn awaits(&self, request: RequestId) -> bool {
        matches!(self.phase, Phase::Looking(r) | Phase::Closing(r) | Phase::Fencing(r) if r == request)
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Waiting(at) | Phase::Entering(at) | Phase::Parked(at) => Some(at),
            _ => None,
        }
    }

    pub(super) fn state(&self) -> &'static str {
        match self.phase {
            Phase::Down => "waits for the server",
            Phase::Waiting(_) => "tries again in a moment",
            Phase::Looking(_) | Phase::Closing(_) | Phase::Numbering | Phase::Fencing(_) | Phase::Entering(_) => {
                "is entering the room"
            }
            Phase::CatchingUp => "is reading the room's archive",
            Phase::Ready => "connected",
            Phase::Parked(_) => "stopped",
        }
    }

    pub(super) fn alarm(&self) -> Option<String> {
        self.alarm.clone()
    }

    /// Whether that one may be in the room already, as far as the disk knows.
    pub(super) fn knows(&self, mouth: &Mouth) -> bool {
        self.entered.contains(mouth)
    }
}

/// Why a room cannot serve: what an administrator must change.
pub(in crate::bridge) fn unfit(affiliation: Affiliation, created: bool) -> Option<&'static str> {
    if created {
        return Some(
            "the room did not exist any more and was made anew by our joining it, with default settings: nothing is posted there",
        );
    }
    if !matches!(affiliation, Affiliation::Owner | Affiliation::Admin) {
        return Some(
            "the gateway is neither owner nor admin of the room, so it cannot see who speaks: make gateway@COMPONENT an \
             admin of the room service (see the README), or an owner of this room",
        );
    }
    None
}

/// Why a room whose list says who reads cannot be closed to others.
pub(in crate::bridge) fn cannot_close(condition: &str) -> String {
    format!(
        "the room cannot be made for members only ({condition}), so anybody could read what other companies say: make gateway@COMPONENT \
         an admin of the room service (see the README) or an owner of this room, or let everybody in it be a member with `group \
         members NUMBER occupants`"
    )
}

impl Room {
    /// Begins anew: everything in doubt is judged again from what is on disk and in the archive.
    pub(super) fn restart(&mut self, cx: &mut Context, why: &str) {
        if !self.door.is_up() {
            return;
        }
        cx.count("room-restarts");
        self.report(cx, Level::Info, format!("the room link is begun anew: {why}"));
        self.forget_room(cx);
        let at = cx.about(RETRY);
        self.door.phase = Phase::Waiting(at);
    }

    /// Stops until an administrator has acted; looks again from time to time.
    pub(super) fn park(&mut self, cx: &mut Context, why: impl Into<String>) {
        let why = why.into();
        if self.door.alarm.as_ref() != Some(&why) {
            cx.count("room-alarms");
            self.report(cx, Level::Alarm, why.clone());
        }
        self.door.alarm = Some(why);
        self.forget_room(cx);
        let at = cx.about(PARKED_RETRY);
        self.door.phase = Phase::Parked(at);
    }

    pub(super) fn look(&mut self, cx: &mut Context) {
        if cx.server.is_none() {
            return;
        }
        let request = cx.next_request();
        self.act(cx, RoomAction::Info { request });
        self.door.phase = Phase::Looking(request);
    }

    pub(super) fn door_answered(&mut self, cx: &mut Context, answer: Result<Answer, Refusal>) {
        match (&self.door.phase, answer) {
            (Phase::Looking(_), Ok(Answer::Info(info))) => self.looked(cx, &info),
            (Phase::Looking(_), Err(r)) if matches!(r.condition.as_ref(), "item-not-found" | "gone") => {
                self.park(cx, "the room does not exist any more: make it again, or end the mapping with `unmap`");
            }
            (Phase::Closing(_), Ok(_)) => self.will_begin_life(cx),
            (Phase::Closing(_), Err(r)) if &*r.condition != "remote-server-timeout" => {
                self.park(cx, cannot_close(&r.condition));
            }
            (Phase::Fencing(_), Ok(_)) => self.fenced(cx),
            (_, other) => {
                let why = other.err().map_or("no usable answer".into(), |r| format!("{} {}", r.condition, r.text));
                self.restart(cx, &format!("the room did not answer ({why})"));
            }
        }
    }

    fn looked(&mut self, cx: &mut Context, info: &RoomInfo) {
        if info.archive != self.mapping.archive {
            let why = if info.archive {
                "the room keeps an archive now and did not when it was mapped: unmap it and map it again"
            } else {
                "the room does not keep an archive any more, so nothing can be promised: turn its archive on again"
            };
            return self.park(cx, why);
        }
        if self.mapping.source.is_none() {
            self.mapping.source = Some(Source::of_room(info.members_only));
            self.dirty(cx);
        }
        if self.source().protects_reading() && (!info.members_only || info.moderated) {
            let request = cx.next_request();
            self.act(cx, RoomAction::MakeMembersOnly { request });
            self.door.phase = Phase::Closing(request);
            return;
        }
        self.will_begin_life(cx);
    }

    fn will_begin_life(&mut self, cx: &mut Context) {
        // A number that was used before is never used again, whatever happens next.
        self.mapping.life.0 += 1;
        self.will_enter(cx, self.mouth(Who::Ear));
        self.dirty(cx);
        cx.after(self.group(), After::Life);
        self.door.phase = Phase::Numbering;
    }

    /// Notes on disk that one of ours may be in the room from now on.
    pub(super) fn will_enter(&mut self, cx: &mut Context, mouth: Mouth) {
        if self.door.entered.insert(mouth.clone()) {
            cx.change(Change::Entered { group: self.group(), mouth });
        }
    }

    pub(super) fn life_is_durable(&mut self, cx: &mut Context) {
        if !matches!(self.door.phase, Phase::Numbering) {
            return;
        }
        let life = self.mapping.life;
        let older: Vec<_> = self.door.entered.iter().filter(|m| m.life < life).cloned().collect();
        for mouth in older {
            self.act(cx, RoomAction::Leave { mouth });
        }
        let request = cx.next_request();
        self.act(cx, RoomAction::Fence { request });
        self.door.phase = Phase::Fencing(request);
    }

    fn fenced(&mut self, cx: &mut Context) {
        let life = self.mapping.life;
        self.door.entered.retain(|m| m.life >= life);
        cx.change(Change::Fenced { group: self.group(), life });
        self.door.attempt = 1;
        self.enter(cx);
    }

    fn enter(&mut self, cx: &mut Context) {
        let base = cx.config.nick.clone();
        let nick = match self.door.attempt {
            0 | 1 => base,
            more => Nick::from(format!("{base} {more}").as_str()),
        };
        self.act(cx, RoomAction::Enter { mouth: self.mouth(Who::Ear), nick });
        self.door.phase = Phase::Entering(cx.in_ms(ENTERED_WITHIN));
    }

    pub(super) fn ear_is_in(
        &mut self,
        cx: &mut Context,
        nick: Nick,
        affiliation: Affiliation,
        occupant_id: Option<OccupantId>,
        created: bool,
    ) {
        if let Some(why) = unfit(affiliation, created) {
            self.act(cx, RoomAction::Leave { mouth: self.mouth(Who::Ear) });
            return self.park(cx, why);
        }
        if let Some(id) = occupant_id.clone() {
            self.learn_owner(cx, id, Owner::Ours(Who::Ear));
        }
        self.occupant_is_in(cx, nick.clone(), None, Some(self.mouth(Who::Ear)), occupant_id);
        self.door.nick = Some(nick);
    }

    pub(super) fn ear_has_entered(&mut self, cx: &mut Context) {
        if !matches!(self.door.phase, Phase::Entering(_)) {
            return;
        }
        if self.door.alarm.take().is_some() {
            self.report(cx, Level::Info, "the room is in order again");
        }
        self.door.phase = Phase::CatchingUp;
        self.presence_is_known(cx);
        // Who belongs to the group now comes before what was said meanwhile.
        self.read_members(cx);
    }

    /// The archive has been read to its end, and live messages go on from there.
    pub(super) fn caught_up(&mut self, cx: &mut Context) {
        self.door.phase = Phase::Ready;
        self.stream.begin_anew();
        if !self.mapping.archive && self.mapping.announced < self.mapping.list {
            // Without an archive there is no floor: what is heard from now on crosses.
            self.announce(cx, cx.ids.announcement(self.group(), self.mapping.list));
            self.told_all(cx);
            self.dirty(cx);
        }
    }

    pub(super) fn ear_is_kept_out(&mut self, cx: &mut Context, refusal: &Refusal) {
        if !matches!(self.door.phase, Phase::Entering(_)) {
            return;
        }
        match refusal.condition.as_ref() {
            "conflict" => {
                self.door.attempt += 1;
                self.enter(cx);
            }
            "forbidden" | "registration-required" | "not-allowed" | "not-authorized" => {
                let condition = &refusal.condition;
                self.park(
                    cx,
                    format!(
                        "the room does not let the gateway in ({condition}): make gateway@COMPONENT an admin of the room \
                         service, or an owner of this room"
                    ),
                );
            }
            other => self.restart(cx, &format!("the room did not let us in ({other})")),
        }
    }

    pub(super) fn ear_is_out(&mut self, cx: &mut Context, how: &Gone) {
        if matches!(self.door.phase, Phase::Parked(_) | Phase::Waiting(_)) {
            return;
        }
        match how {
            Gone::Destroyed => self.park(cx, "the room was destroyed: make it again, or end the mapping with `unmap`"),
            Gone::Banned => self.park(cx, "a moderator banned the gateway from the room: lift the ban"),
            Gone::Renamed(_) => {}
            Gone::Kicked => self.restart(cx, "a moderator kicked the gateway"),
            Gone::Left | Gone::Removed | Gone::Unreachable => self.restart(cx, "the room put the gateway out"),
        }
    }

    pub(super) fn watch_door(&mut self, cx: &mut Context) {
        match self.door.phase {
            Phase::Waiting(at) | Phase::Parked(at) if at <= cx.now => self.look(cx),
            Phase::Entering(at) if at <= cx.now => self.restart(cx, "the room did not let us in in time"),
            _ => {}
        }
    }
}
