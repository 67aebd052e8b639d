//! Authors are told, privately and in the room, when a message of theirs did not cross: the first time at once, then by count.
//! What cannot be told since the author is not there is told at the author's next join.

use std::collections::BTreeMap;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::link::Timestamp;

use super::{After, NoticeKey, Room};
use crate::bridge::action::RoomAction;
use crate::bridge::context::Context;
use crate::bridge::limits::NOTICE_EVERY;
use crate::ids::{BareJid, Who};
use crate::store::{Change, NoticeRow};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Notices {
    notices: BTreeMap<NoticeKey, Notice>,
}

#[derive(Debug, Default)]
struct Notice {
    count: u64,
    told: u64,
    told_at: Option<Timestamp>,
    /// A commit is awaited, or the author.
    waits: bool,
}

impl Notices {
    pub(super) fn new(rows: Vec<NoticeRow>) -> Self {
        let notice = |row: &NoticeRow| Notice { count: row.count, told: row.told, ..Notice::default() };
        Self { notices: rows.into_iter().map(|row| ((row.author.clone(), row.condition), notice(&row))).collect() }
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.notices.values().filter_map(Notice::due).min()
    }
}

impl Notice {
    fn due(&self) -> Option<Timestamp> {
        let owed = self.count > self.told && !self.waits;
        owed.then(|| self.told_at.map_or(Timestamp(0), |at| Timestamp(at.0 + NOTICE_EVERY)))
    }
}

impl Room {
    /// A message of an author did not cross.
    pub(super) fn refuse(&mut self, cx: &mut Context, author: &BareJid, condition: Condition) {
        if condition.author_text().is_none() {
            return;
        }
        cx.count("authors-refused");
        let key = (author.clone(), condition);
        self.notices.notices.entry(key.clone()).or_default().count += 1;
        self.write_notice(cx, &key);
    }

    fn write_notice(&self, cx: &mut Context, key: &NoticeKey) {
        let Some(notice) = self.notices.notices.get(key) else { return };
        let (author, condition) = key.clone();
        let row = NoticeRow { group: self.group(), author, condition, count: notice.count, told: notice.told };
        cx.change(Change::Notice(row));
    }

    pub(super) fn watch_notices(&mut self, cx: &mut Context) {
        if !self.door.is_ready() || self.notices.deadline().is_none_or(|at| at > cx.now) {
            return;
        }
        let due: Vec<_> = self
            .notices
            .notices
            .iter_mut()
            .filter(|(_, n)| n.due().is_some_and(|at| at <= cx.now))
            .map(|(key, notice)| {
                notice.waits = true;
                key.clone()
            })
            .collect();
        for key in due {
            // Told once what it tells is on disk.
            cx.after(self.group(), After::Tell(key));
        }
    }

    pub(super) fn tell(&mut self, cx: &mut Context, key: &NoticeKey) {
        let Some(nick) = self.people.nick_of(&key.0).cloned().filter(|_| self.door.is_ready()) else {
            return; // at the next join
        };
        let why = self.author_is_told(key.1);
        let (Some(notice), Some(why)) = (self.notices.notices.get_mut(key), why) else { return };
        let new = notice.count - notice.told;
        let text = match (notice.told, new) {
            (_, 0) => {
                notice.waits = false;
                return;
            }
            (0, 1) => format!("Your message did not reach the other companies: {why}."),
            (_, 1) => format!("Another message of yours did not reach the other companies: {why}."),
            (_, n) => format!("{n} more messages of yours did not reach the other companies: {why}."),
        };
        (notice.told, notice.told_at, notice.waits) = (notice.count, Some(cx.now), false);
        self.act(cx, RoomAction::Tell { mouth: self.mouth(Who::Ear), nick, text });
        self.write_notice(cx, key);
    }

    /// An author is in the room again: what is owed is told now.
    pub(super) fn author_is_back(&mut self, author: &BareJid) {
        let first = (author.clone(), Condition::ALL[0]);
        for ((of, _), notice) in self.notices.notices.range_mut(first..) {
            if of != author {
                break;
            }
            notice.waits = false;
        }
    }
}
