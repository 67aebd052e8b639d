//! Whoever comes is a member: until a ban, until an administrator's removal, or until not seen for some days.

use std::collections::BTreeMap;

use intergroup_schemas::ids::UserId;
use intergroup_schemas::link::Timestamp;
use intergroup_schemas::list::AccountEdit;
use intergroup_schemas::text;

use super::{Room, account};
use crate::bridge::context::Context;
use crate::bridge::event::Affiliation;
use crate::ids::{BareJid, Nick};
use crate::store::{AttendanceRow, Change, Source};

/// A day, in milliseconds.
const DAY: i64 = 24 * 3_600_000;

/// When each was seen last, and who is kept off; on disk.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    seen: BTreeMap<UserId, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    day: i64,
    barred: bool,
}

impl Attendance {
    pub(super) fn new(rows: Vec<AttendanceRow>) -> Self {
        let seen = rows.into_iter().map(|row| (row.user, Seen { day: row.day, barred: row.barred }));
        Self { seen: seen.collect() }
    }

    pub(super) fn is_barred(&self, user: &UserId) -> bool {
        self.seen.get(user).is_some_and(|seen| seen.barred)
    }
}

fn day(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY)
}

impl Room {
    /// Somebody is in the room.
    pub(super) fn attends(&mut self, cx: &mut Context, nick: &Nick, real: &BareJid, affiliation: Affiliation) {
        let Some(user) = account(cx, real).filter(|_| affiliation != Affiliation::Outcast) else { return };
        if self.members.attendance.is_barred(&user) {
            // Should somebody have lifted the ban: `member add` is what lets the person in again.
            return self.members.tasks.set(real, Affiliation::Outcast);
        }
        // Banned, and let in again before that was worked off.
        self.members.leaving.remove(&user);
        self.admit(cx, &user, Some(nick));
    }

    /// Puts an account on the list, unless it is kept off. Says whether it is on it.
    pub(super) fn admit(&mut self, cx: &mut Context, user: &UserId, nick: Option<&Nick>) -> bool {
        let shown = text::is_neutral(user.as_str());
        if self.members.attendance.is_barred(user) || self.is_closed() || !shown {
            return false;
        }
        self.seen_today(cx, user);
        if !self.is_listed(user) {
            let edit = self.listing(user, nick);
            self.edit_list(cx, &[edit]);
            if self.members.outcasts.contains(&cx.config.account(user)) {
                // Said before the ban and read behind it, or the ban was lifted unseen.
                self.read_soon(cx);
            }
        }
        self.is_for_here(cx, user);
        true
    }

    /// Somebody who is on the list speaks, perhaps while we were away.
    pub(super) fn is_heard(&mut self, cx: &mut Context, user: &UserId) {
        if self.source() == Source::Occupants {
            self.seen_today(cx, user);
        }
    }

    fn seen_today(&mut self, cx: &mut Context, user: &UserId) {
        let today = day(cx.now);
        if self.members.attendance.seen.get(user).is_none_or(|seen| seen.day < today) {
            self.attendance_is(cx, user, Seen { day: today, barred: false });
        }
    }

    fn attendance_is(&mut self, cx: &mut Context, user: &UserId, seen: Seen) {
        self.members.attendance.seen.insert(user.clone(), seen);
        let row = AttendanceRow { group: self.group(), user: user.clone(), day: seen.day, barred: seen.barred };
        cx.change(Change::Attendance(row));
    }

    /// Keeps somebody off the list, or lets them on again. Says whether that is a change.
    pub(super) fn bar(&mut self, cx: &mut Context, user: &UserId, barred: bool) -> bool {
        let before = self.members.attendance.is_barred(user);
        self.attendance_is(cx, user, Seen { day: day(cx.now), barred });
        before != barred
    }

    /// Who has not been seen for too long goes.
    pub(super) fn sweep(&mut self, cx: &mut Context) {
        if self.source() != Source::Occupants || !self.archive_is_read() {
            return;
        }
        let present: Vec<_> = self.people.persons().filter_map(|real| account(cx, real)).collect();
        for user in present {
            if !self.members.attendance.is_barred(&user) {
                self.seen_today(cx, &user);
            }
        }
        let last = day(cx.now) - i64::from(cx.config.unseen_days);
        let mut gone = Vec::new();
        for user in self.own_people().keys().cloned().collect::<Vec<_>>() {
            match self.members.attendance.seen.get(&user) {
                Some(seen) if seen.day < last => gone.push(user),
                Some(_) => {}
                // Put on the list by other means: counted from today.
                None if self.is_ours_to_remove(cx, &user) => self.seen_today(cx, &user),
                None => {}
            }
        }
        for user in &gone {
            self.members.attendance.seen.remove(user);
            cx.change(Change::AttendanceGone { group: self.group(), user: user.clone() });
        }
        gone.retain(|user| self.is_ours_to_remove(cx, user));
        let edits: Vec<_> = gone.into_iter().map(|user| AccountEdit { user, listed: None }).collect();
        self.edit_list(cx, &edits);
    }
}
