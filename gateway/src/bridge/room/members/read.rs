//! The room's lists: read, and compared with the group's.

use std::collections::BTreeMap;

use intergroup_schemas::link::Timestamp;

use super::{Room, account, is_member, is_staff};
use crate::bridge::action::{Level, RequestId, RoomAction};
use crate::bridge::context::Context;
use crate::bridge::event::{Affiliation, Answer, Refusal};
use crate::bridge::limits::{LISTS_EVERY, RETRY};
use crate::ids::BareJid;
use crate::store::Source;

/// Lists that are being read, one after the other.
#[derive(Debug)]
pub(super) struct Reading {
    request: RequestId,
    of: Affiliation,
    rest: &'static [Affiliation],
    people: BTreeMap<BareJid, Affiliation>,
    /// Something changed meanwhile: it is done again.
    pub(super) is_stale: bool,
}

impl Source {
    /// The lists of the room that matter.
    fn lists(self) -> &'static [Affiliation] {
        match self {
            Source::Affiliations | Source::Explicit => {
                &[Affiliation::Owner, Affiliation::Admin, Affiliation::Member, Affiliation::Outcast]
            }
            Source::Occupants => &[Affiliation::Outcast],
        }
    }
}

impl Room {
    /// Reads the room's lists; when that was done for the first time since we entered, the archive is read.
    pub(in crate::bridge::room) fn read_members(&mut self, cx: &mut Context) {
        self.members.due = cx.about(LISTS_EVERY);
        self.ask_for_list_of(cx, self.source().lists(), BTreeMap::new(), false);
    }

    fn ask_for_list_of(
        &mut self,
        cx: &mut Context,
        of: &'static [Affiliation],
        people: BTreeMap<BareJid, Affiliation>,
        is_stale: bool,
    ) {
        let Some((of, rest)) = of.split_first() else {
            self.members.reading = None;
            return if is_stale { self.read_members(cx) } else { self.compare_members(cx, &people) };
        };
        let request = cx.next_request();
        self.act(cx, RoomAction::ReadAffiliations { request, affiliation: *of });
        self.members.reading = Some(Reading { request, of: *of, rest, people, is_stale });
    }

    /// Whether it was an answer to that.
    pub(super) fn list_came(&mut self, cx: &mut Context, request: RequestId, answer: &Result<Answer, Refusal>) -> bool {
        let Some(mut reading) = self.members.reading.take_if(|r| r.request == request) else { return false };
        match answer {
            Ok(Answer::People(people)) => {
                let of = reading.of;
                reading.people.extend(people.iter().map(|jid| (jid.clone(), of)));
                self.ask_for_list_of(cx, reading.rest, reading.people, reading.is_stale);
            }
            Err(refusal) if matches!(&*refusal.condition, "forbidden" | "not-allowed" | "not-authorized") => {
                let why = "the room does not tell the gateway who its members are: make gateway@COMPONENT an admin of the room \
                           service (see the README), or an owner of this room";
                self.park(cx, why);
            }
            _ if self.members.known => self.members.due = cx.about(RETRY),
            _ => self.restart(cx, "the room did not tell its members"),
        }
        true
    }

    /// When the lists are read again: what is due, or what could not be compared yet.
    pub(in crate::bridge::room) fn members_deadline(&self) -> Option<Timestamp> {
        let can = self.door.is_ready() || (!self.members.known && self.can_compare());
        (can && self.members.reading.is_none()).then_some(self.members.due)
    }

    pub(super) fn go_on_reading(&mut self, cx: &mut Context) {
        if self.members_deadline().is_some_and(|due| due <= cx.now) {
            self.sweep(cx);
            self.read_members(cx);
        }
    }

    /// Where the list is kept by command, nothing can be said of the room's members before it is known.
    fn can_judge(&self) -> bool {
        self.source() != Source::Explicit || self.mapping.list_at.is_some()
    }

    /// Where the list does not come any more, the room goes on without it, and its members stay what they are.
    fn can_compare(&self) -> bool {
        self.can_judge() || !self.list_may_come()
    }

    /// The list does not come any more: a room that has waited for it goes on without.
    pub(in crate::bridge::room) fn goes_on_without_list(&mut self, cx: &Context) {
        if !self.members.known {
            self.read_soon(cx);
        }
    }

    fn compare_members(&mut self, cx: &mut Context, people: &BTreeMap<BareJid, Affiliation>) {
        if !self.can_compare() {
            return;
        }
        let who = |is: fn(Affiliation) -> bool| people.iter().filter(move |(_, a)| is(**a)).map(|(jid, _)| jid.clone());
        self.members.staff = who(is_staff).collect();
        self.members.outcasts = who(|affiliation| affiliation == Affiliation::Outcast).collect();
        if self.can_judge() && !self.is_closed() {
            self.judge_members(cx, people);
        }
        if !std::mem::replace(&mut self.members.known, true) {
            self.catch_up(cx);
        }
        for (nick, real, affiliation) in self.people.who_is_here() {
            match self.source() {
                Source::Occupants if self.shares_part(cx) => self.attends(cx, &nick, &real, affiliation),
                Source::Occupants => {}
                Source::Affiliations | Source::Explicit => self.watch_stranger(cx, &nick, &real, affiliation),
            }
        }
    }

    /// Those in the room's lists, against the list.
    fn judge_members(&mut self, cx: &mut Context, people: &BTreeMap<BareJid, Affiliation>) {
        let mut readers = Vec::new();
        let mut adds = Vec::new();
        let mut here = Vec::new();
        for (jid, affiliation) in people {
            if self.members.tasks.is_pending(jid) {
                continue;
            }
            let user = account(cx, jid);
            let listed = user.as_ref().is_some_and(|user| self.is_listed(user));
            match (self.source(), user, affiliation) {
                (_, Some(user), Affiliation::Outcast) => drop(self.members.leaving.insert(user)),
                (Source::Affiliations, Some(user), affiliation) if is_member(*affiliation) => {
                    self.members.leaving.remove(&user);
                    if !listed {
                        adds.push(self.listing(&user, self.people.nick_of(jid)));
                    }
                    here.push(user);
                }
                (Source::Affiliations | Source::Explicit, _, Affiliation::Member) if !listed => {
                    self.members.tasks.set(jid, Affiliation::None);
                }
                (Source::Affiliations | Source::Explicit, _, affiliation) if !listed && is_staff(*affiliation) => {
                    readers.push(jid.to_string());
                }
                _ => {}
            }
        }
        self.edit_list(cx, &adds);
        here.iter().for_each(|user| self.is_for_here(cx, user));
        self.compare_listed(cx, people);
        self.tell_of_readers(cx, &readers);
    }

    /// Those on the list, against the room's lists.
    fn compare_listed(&mut self, cx: &mut Context, people: &BTreeMap<BareJid, Affiliation>) {
        let users: Vec<_> = self.own_people().keys().cloned().collect();
        for user in users {
            let jid = cx.config.account(&user);
            let affiliation = people.get(&jid).copied().unwrap_or(Affiliation::None);
            if self.members.tasks.is_pending(&jid) {
                continue;
            }
            match self.source() {
                Source::Affiliations if !is_member(affiliation) => drop(self.members.leaving.insert(user)),
                Source::Explicit if affiliation == Affiliation::None => {
                    self.members.tasks.set(&jid, Affiliation::Member)
                }
                _ => {}
            }
        }
        self.let_go(cx);
    }

    /// Owners and admins cannot be kept from reading: somebody must know.
    fn tell_of_readers(&mut self, cx: &mut Context, readers: &[String]) {
        const NAMED: usize = 10;
        let alarm = (!readers.is_empty()).then(|| {
            let more = if readers.len() > NAMED { " and others" } else { "" };
            let named = readers[..readers.len().min(NAMED)].join(", ");
            format!(
                "{named}{more}: owners or admins of the room who are not on the group's user list. They read what other companies \
                 say: put them on the list, or take their affiliation"
            )
        });
        if alarm != self.members.alarm {
            match &alarm {
                Some(text) => self.report(cx, Level::Alarm, text.clone()),
                None => self.report(cx, Level::Info, "nobody reads along any more who is not on the group's user list"),
            }
            self.members.alarm = alarm;
        }
    }
}
