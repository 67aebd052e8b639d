//! Where the company's part of the group's user list comes from: the room's affiliations, whoever comes into the room, or
//! administrators' commands.
//!
//! Each time the ear has entered, the room's lists are read and compared with ours: who is missing is added before the archive
//! is read, so that what they said meanwhile crosses; who is too much is removed after it, so that what they said before does. From
//! then on changes are followed as the room tells them, and a slow timer reads the lists again.
//!
//! Where the list says who may read, too, the room is for members only, and its members are those on the list: `affiliations`
//! changes the list to fit the room, `explicit` changes the room to fit the list.
//!
//! Several gateways of one company in one group share the company's part of the list. Each vouches for the people of its own room and takes
//! nobody else off; whom another took off is added again where the room here still has them.

mod attendance;
mod commands;
mod read;
mod tasks;

use std::collections::BTreeSet;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{DisplayName, UserId};
use intergroup_schemas::link::Timestamp;
use intergroup_schemas::list::{AccountEdit, Listed, Role};
use intergroup_schemas::text;

use super::Room;
use crate::bridge::action::{Level, RequestId, RoomAction};
use crate::bridge::context::Context;
use crate::bridge::event::{Affiliation, Answer, Gone, Refusal};
use crate::bridge::limits::RETRY;
use crate::ids::{BareJid, Nick};
use crate::store::{AttendanceRow, Source};

use attendance::Attendance;
use read::Reading;
use tasks::Tasks;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Members {
    reading: Option<Reading>,
    /// The room's lists have been read since we entered.
    known: bool,
    /// The lists are read again then.
    due: Timestamp,
    /// The group's list was known when that was looked at last.
    list_known: bool,
    /// Who goes off the list once what they said before has been read.
    leaving: BTreeSet<UserId>,
    /// Owners and admins of the room.
    staff: BTreeSet<BareJid>,
    /// Who is banned there.
    outcasts: BTreeSet<BareJid>,
    /// Who reads though not on the list, and cannot be put out: for the administrator's eyes.
    alarm: Option<String>,
    tasks: Tasks,
    /// Whether the room is still for members only is being asked.
    checking: Option<RequestId>,
    attendance: Attendance,
}

impl Members {
    pub(super) fn new(rows: Vec<AttendanceRow>) -> Self {
        Self { attendance: Attendance::new(rows), ..Self::default() }
    }

    /// We are not in the room any more: nothing of it is known.
    pub(super) fn forget(&mut self) {
        self.reading = None;
        self.known = false;
        self.checking = None;
        self.leaving.clear();
        self.staff.clear();
        self.outcasts.clear();
        self.tasks = Tasks::default();
    }

    /// Nothing is to be said in the room now: who listens there is being found out.
    pub(super) fn is_checking(&self) -> bool {
        self.checking.is_some()
    }

    pub(super) fn alarm(&self) -> Option<String> {
        self.alarm.clone()
    }
}

/// Whether the account may be on a list at all, and as whom.
pub(super) fn account(cx: &Context, jid: &BareJid) -> Option<UserId> {
    cx.config.user(jid).filter(|user| text::is_neutral(user.as_str()))
}

fn is_member(affiliation: Affiliation) -> bool {
    matches!(affiliation, Affiliation::Owner | Affiliation::Admin | Affiliation::Member)
}

fn is_staff(affiliation: Affiliation) -> bool {
    matches!(affiliation, Affiliation::Owner | Affiliation::Admin)
}

impl Room {
    /// Where this room's part of the list comes from. Chosen at the latest when the room is looked at before it is entered.
    pub(super) fn source(&self) -> Source {
        self.mapping.source.unwrap_or(Source::Occupants)
    }

    fn is_listed(&self, user: &UserId) -> bool {
        self.own_listed(user).is_some()
    }

    fn listing(&self, user: &UserId, nick: Option<&Nick>) -> AccountEdit {
        let local = user.as_str().split('@').next().unwrap_or_default();
        let shown = nick.and_then(|nick| DisplayName::neutral(nick.as_str())).or_else(|| DisplayName::neutral(local));
        let listed = shown.map(|display| Listed { display, role: Role::Speak });
        AccountEdit { user: user.clone(), listed }
    }

    // ------------------------------------------------------------ what the room tells

    /// An occupant is in, or has changed; told before what the occupant says is dealt with.
    pub(super) fn is_here(&mut self, cx: &mut Context, nick: &Nick, real: &BareJid, affiliation: Affiliation) {
        let changed = self.people.affiliation(nick).is_some_and(|before| before != affiliation);
        self.affiliation_is(cx, real, Some(nick), affiliation, changed);
        match self.source() {
            Source::Occupants => self.attends(cx, nick, real, affiliation),
            Source::Affiliations | Source::Explicit => self.watch_stranger(cx, nick, real, affiliation),
        }
    }

    /// An occupant has gone; banned, or no longer a member of a room that is for members only.
    pub(super) fn has_gone(&mut self, cx: &mut Context, nick: &Nick, how: &Gone) {
        let affiliation = match how {
            Gone::Banned => Affiliation::Outcast,
            Gone::Removed => Affiliation::None,
            _ => return,
        };
        if let Some(real) = self.people.real(nick).cloned() {
            self.affiliation_is(cx, &real, None, affiliation, true);
        }
    }

    /// The affiliation of somebody of whom the room tells it.
    pub(super) fn affiliation_is(
        &mut self,
        cx: &mut Context,
        real: &BareJid,
        nick: Option<&Nick>,
        affiliation: Affiliation,
        changed: bool,
    ) {
        if let Some(reading) = self.members.reading.as_mut().filter(|_| changed) {
            // Some lists are of before the change, others of after it.
            reading.is_stale = true;
        }
        let known = [
            (is_staff(affiliation), &mut self.members.staff),
            (affiliation == Affiliation::Outcast, &mut self.members.outcasts),
        ];
        for (belongs, known) in known {
            if belongs {
                known.insert(real.clone());
            } else {
                known.remove(real);
            }
        }
        if self.members.tasks.is_pending(real) || self.is_closed() {
            return;
        }
        let Some(user) = account(cx, real) else {
            return self.foreigner_is(cx, real, affiliation, changed);
        };
        let listed = self.is_listed(&user);
        match (self.source(), affiliation) {
            (_, Affiliation::Outcast) => self.take_off(cx, user),
            (Source::Affiliations, affiliation) if is_member(affiliation) => {
                self.members.leaving.remove(&user);
                if !listed {
                    let edit = self.listing(&user, nick);
                    self.edit_list(cx, &[edit]);
                }
                self.is_for_here(cx, &user);
            }
            (Source::Affiliations, _) => self.take_off(cx, user),
            (Source::Explicit, Affiliation::Member) if !listed && self.knows_list() => {
                self.members.tasks.set(real, Affiliation::None);
            }
            (Source::Explicit, Affiliation::None) if listed => self.members.tasks.set(real, Affiliation::Member),
            (Source::Explicit, Affiliation::Owner | Affiliation::Admin) if !listed && changed => self.read_soon(cx),
            (Source::Explicit | Source::Occupants, _) => {}
        }
    }

    /// People of other servers are never on the list: where it says who reads, they are no members either.
    fn foreigner_is(&mut self, cx: &mut Context, real: &BareJid, affiliation: Affiliation, changed: bool) {
        match (self.source().protects_reading(), affiliation) {
            (true, Affiliation::Member) => self.members.tasks.set(real, Affiliation::None),
            (true, Affiliation::Owner | Affiliation::Admin) if changed => self.read_soon(cx),
            _ => {}
        }
    }

    /// Somebody in the room who should not be able to read there. Some servers let in who was removed.
    fn watch_stranger(&mut self, cx: &mut Context, nick: &Nick, real: &BareJid, affiliation: Affiliation) {
        let listed = account(cx, real).is_some_and(|user| self.is_listed(&user));
        if self.members.known && !listed && matches!(affiliation, Affiliation::None | Affiliation::Outcast) {
            cx.count("strangers-put-out");
            let request = cx.next_request();
            self.act(cx, RoomAction::PutOut { request, nick: nick.clone() });
        }
    }

    /// Takes somebody off the list, as soon as nothing waits to be read that was said before.
    fn take_off(&mut self, cx: &mut Context, user: UserId) {
        self.members.leaving.insert(user);
        self.let_go(cx);
    }

    fn let_go(&mut self, cx: &mut Context) {
        if self.members.leaving.is_empty() || !self.archive_is_read() {
            return;
        }
        let leaving = std::mem::take(&mut self.members.leaving);
        let (ours, others): (Vec<_>, Vec<_>) =
            leaving.into_iter().filter(|user| self.is_listed(user)).partition(|user| self.is_ours_to_remove(cx, user));
        if !others.is_empty() && !self.shares_part(cx) {
            // They may be another gateway's, of which the stream has not told yet.
            self.members.due = self.members.due.min(cx.in_ms(RETRY));
        }
        let edits: Vec<_> = ours.into_iter().map(|user| AccountEdit { user, listed: None }).collect();
        self.edit_list(cx, &edits);
    }

    /// Whether everything that was said so far has been dealt with.
    fn archive_is_read(&self) -> bool {
        let unread = self.mapping.archive && (self.archive.is_holding() || self.archive.behind);
        self.door.is_ready() && !unread
    }

    fn knows_list(&self) -> bool {
        self.mapping.list_at.is_some()
    }

    /// The room's lists are to be compared with the group's.
    pub(super) fn read_soon(&mut self, cx: &Context) {
        self.members.due = cx.now;
    }

    // ------------------------------------------------------------ who speaks

    /// Why a message of an account of ours stays here, if it does. In a room whose members are whoever comes, a new author is
    /// put on the list before the message.
    pub(super) fn keeps_here(&mut self, cx: &mut Context, user: &UserId, nick: Option<&Nick>) -> Option<Condition> {
        match self.own_listed(user).map(|listed| listed.role) {
            Some(Role::Speak) => {
                self.is_heard(cx, user);
                None
            }
            Some(Role::ReadOnly) => Some(Condition::ReadOnly),
            None if self.source() == Source::Occupants && self.admit(cx, user, nick) => None,
            None => Some(Condition::NotOnList),
        }
    }

    /// What an author is told of a condition; how one gets on the list depends on where it comes from.
    pub(super) fn author_is_told(&self, condition: Condition) -> Option<&'static str> {
        match (condition, self.source()) {
            (Condition::NotOnList, Source::Affiliations) => Some(
                "you are not on the group's user list; ask an owner or admin of this room to make you a member of it",
            ),
            (Condition::NotOnList, Source::Occupants) => {
                Some("you were taken off the group's user list; ask your administrator to put you on it again")
            }
            (condition, _) => condition.author_text(),
        }
    }

    // ------------------------------------------------------------ requests, time

    /// Whether the answer was for us.
    pub(super) fn members_answered(
        &mut self,
        cx: &mut Context,
        request: RequestId,
        answer: &Result<Answer, Refusal>,
    ) -> bool {
        if self.members.checking == Some(request) {
            self.members.checking = None;
            match answer {
                Ok(Answer::Info(info)) if info.members_only => {}
                _ => self.restart(cx, "the room may have been opened to everybody"),
            }
            return true;
        }
        if let Some((account, refusal)) = self.members.tasks.answered(request, answer) {
            if let Some(refusal) = refusal {
                let text = format!(
                    "the room does not let the gateway change what {account} may do there ({}): change it with any client",
                    refusal.condition
                );
                self.report(cx, Level::Warning, text);
            }
            return true;
        }
        self.list_came(cx, request, answer)
    }

    /// The room's configuration has changed, by whomever.
    pub(super) fn is_configured(&mut self, cx: &mut Context) {
        if self.source().protects_reading() && self.door.is_ready() {
            let request = cx.next_request();
            self.act(cx, RoomAction::Info { request });
            self.members.checking = Some(request);
        }
    }

    pub(super) fn watch_members(&mut self, cx: &mut Context) {
        if !self.door.is_ready() && !self.door.is_catching_up() {
            return;
        }
        let knows = self.knows_list();
        let knew = std::mem::replace(&mut self.members.list_known, knows);
        if knows && !knew {
            self.read_soon(cx);
        }
        self.let_go(cx);
        self.go_on_reading(cx);
        for (request, account, affiliation) in self.members.tasks.next(cx) {
            self.act(cx, RoomAction::SetAffiliation { request, account, affiliation });
        }
    }
}
