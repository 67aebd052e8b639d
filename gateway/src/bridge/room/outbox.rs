//! From the outbox to the center: rows go out once they are on disk, in order of n, as far as the window allows, and stay until
//! they are decided (and some hours longer, for a center that loses its end).

use std::collections::{BTreeMap, VecDeque};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{N, OriginKey, UserId};
use intergroup_schemas::link::{Confirm, Decided, Edit, Expect, Fate, Relay, ToCenter};
use intergroup_schemas::list::{self, AccountEdit};

use super::{After, Room};
use crate::bridge::action::{Action, Level};
use crate::bridge::context::Context;
use crate::bridge::limits::{FATES_KEPT, KEEP_DECIDED, KEEP_STEP, LOAD_ROWS};
use crate::store::{Change, Mapping, OutMessage, OutboxRow, Outgoing};

/// See the module.
#[derive(Debug)]
pub(super) struct Outbox {
    /// The next n to send.
    next: N,
    /// Rows from `next` on, without a gap; those behind them are in the store.
    unsent: VecDeque<OutboxRow>,
    /// What was asked of the store.
    asked: Option<Asked>,
    /// Authors of what was sent and is not decided; none for edits.
    authors: BTreeMap<N, Option<UserId>>,
    /// Refusals whose author must be looked up.
    unattributed: VecDeque<(N, Condition)>,
    /// The n that the center asked for last: asked again, it is the echo of what was under way.
    expected: Option<N>,
    renumbering: Option<Renumbering>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    ToSend,
    Author(N),
    ToRenumber,
    /// For what our own entries bring into the room.
    Own(N),
}

/// A new epoch: what is undecided gets new numbers.
#[derive(Debug)]
struct Renumbering {
    /// Rows of the old epoch, out of the store.
    rows: Vec<OutboxRow>,
    /// The next row to load, and the last.
    from: N,
    upto: N,
    /// Rows that came meanwhile.
    later: Vec<OutboxRow>,
    /// The center has decided the old epoch up to here, by whatever copy of this store: an edit of those is history, and sent
    /// again it would bring back whoever was removed since.
    known: N,
}

impl Outbox {
    pub(super) fn new(mapping: &Mapping) -> Self {
        Self {
            next: mapping.decided.next(),
            unsent: VecDeque::new(),
            asked: None,
            authors: BTreeMap::new(),
            unattributed: VecDeque::new(),
            expected: None,
            renumbering: None,
        }
    }

    /// Goes on from `next`, with what the store has.
    fn go_on_from(&mut self, next: N) {
        self.next = next;
        self.unsent.clear();
    }
}

impl Room {
    /// Whether numbers that go to disk now may be sent: the center knows none of this epoch that we did not send, and
    /// nobody else could have sent them meanwhile under our certificate.
    pub(super) fn may_offer(&self) -> bool {
        self.stream.is_welcome() && self.outbox.renumbering.is_none()
    }

    /// Messages on their way that the center has not decided.
    pub(in crate::bridge) fn undecided(&self) -> u64 {
        self.mapping.last_n.0 - self.mapping.decided.0
    }

    /// Gives a message its number and its row.
    pub(super) fn relay(&mut self, cx: &mut Context, said: OutMessage) {
        cx.count("relayed");
        self.note_waiting(cx);
        self.queue(cx, Outgoing::Message(said));
    }

    /// Edits the enterprise's part of the user list, behind everything said before and before everything said after. As many
    /// edits as the accounts need.
    pub(in crate::bridge) fn edit_list(&mut self, cx: &mut Context, accounts: &[AccountEdit]) {
        let base = self.mapping.list;
        let news = self.own_changes(accounts);
        let mut rest = &news[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(list::fits(rest).max(1));
            cx.count("list-edits");
            self.queue(cx, Outgoing::Edit { base, accounts: now.to_vec() });
            self.own_edited(cx, now, self.mapping.last_n);
            rest = later;
        }
    }

    fn queue(&mut self, cx: &mut Context, what: Outgoing) {
        self.mapping.last_n = self.mapping.last_n.next();
        let row = OutboxRow { group: self.group(), n: self.mapping.last_n, what };
        cx.change(Change::Outbox(row.clone()));
        self.dirty(cx);
        if let Some(renumbering) = &mut self.outbox.renumbering {
            return renumbering.later.push(row);
        }
        let follows = self.outbox.unsent.back().map_or(self.outbox.next, |last| last.n.next()) == row.n;
        if follows && self.outbox.unsent.len() < cx.config.relay_window as usize {
            self.outbox.unsent.push_back(row);
        }
    }

    pub(super) fn send_outbox(&mut self, cx: &mut Context) {
        if !self.stream.is_welcome() || cx.link.is_none() || self.outbox.renumbering.is_some() {
            return;
        }
        if self.outbox.asked.is_none()
            && let Some((n, _)) = self.outbox.unattributed.front()
        {
            self.load(cx, Asked::Author(*n), *n, 1);
        }
        let last = self.durable.offered.min(N(self.mapping.decided.0 + u64::from(cx.config.relay_window)));
        while self.outbox.next <= last {
            if self.outbox.unsent.front().is_none_or(|row| row.n != self.outbox.next) {
                self.outbox.unsent.clear();
                if self.outbox.asked.is_none() {
                    self.load(cx, Asked::ToSend, self.outbox.next, LOAD_ROWS);
                }
                return;
            }
            let Some(row) = self.outbox.unsent.pop_front() else { return };
            self.outbox.next = row.n.next();
            self.outbox.authors.insert(row.n, author(&row).cloned());
            let OutboxRow { group, n, what } = row;
            let epoch = self.mapping.epoch.clone();
            // A center that lost its end never gave the versions behind its own.
            let newest = self.mapping.list;
            cx.send(match what {
                Outgoing::Message(OutMessage { source, list, user, nick, at, late, payload }) => {
                    let list = list.min(newest);
                    ToCenter::Relay(Relay { group, epoch, n, source, list, user, nick, at, late, payload })
                }
                Outgoing::Edit { base, accounts } => {
                    let Some(enterprise) = cx.enterprise().cloned() else { return };
                    let base = base.min(newest);
                    ToCenter::Edit(Edit { group, epoch, n, enterprise, base, accounts })
                }
            });
        }
    }

    fn load(&mut self, cx: &mut Context, why: Asked, from: N, max: usize) {
        self.outbox.asked = Some(why);
        cx.act(Action::LoadOutbox { group: self.group(), from, max });
    }

    /// Reads what we have sent, from `from` on, unless something else is being read.
    pub(super) fn load_own(&mut self, cx: &mut Context, from: N) {
        if self.outbox.asked.is_none() && self.outbox.renumbering.is_none() {
            self.load(cx, Asked::Own(from), from, LOAD_ROWS);
        }
    }

    pub(in crate::bridge) fn outbox_rows(&mut self, cx: &mut Context, rows: Vec<OutboxRow>) {
        match self.outbox.asked.take() {
            Some(Asked::ToSend) if self.outbox.renumbering.is_none() && self.outbox.unsent.is_empty() => {
                match rows.first() {
                    Some(first) if first.n == self.outbox.next => self.outbox.unsent = rows.into(),
                    // What to send next has changed meanwhile: it is asked for again.
                    Some(first) if first.n < self.outbox.next => {}
                    _ => {
                        cx.count("outbox-gaps");
                        self.report(
                            cx,
                            Level::Alarm,
                            format!(
                                "the center asks for message {} of this room, which is no longer kept here: the center lost \
                                 older messages that cannot be fed back",
                                self.outbox.next
                            ),
                        );
                        self.new_epoch(cx, self.mapping.decided);
                    }
                }
            }
            Some(Asked::Author(n)) => {
                if let Some((n, condition)) = self.outbox.unattributed.pop_front().filter(|(first, _)| *first == n)
                    && let Some(row) = rows.into_iter().find(|row| row.n == n)
                {
                    self.refuse_row(cx, author(&row), condition);
                }
            }
            Some(Asked::ToRenumber) => self.rows_to_renumber(cx, rows),
            Some(Asked::Own(from)) => self.own_rows(from, rows),
            Some(Asked::ToSend) | None => {}
        }
    }

    // ------------------------------------------------------------ what the center answers

    /// A new link: the center says up to where it has decided.
    pub(super) fn outbox_welcome(&mut self, cx: &mut Context, decided: N, copied: bool) {
        self.outbox.expected = None;
        self.told.1 = N(0);
        if copied && decided > self.mapping.decided {
            cx.count("copies");
            self.report(
                cx,
                Level::Warning,
                "the center was spoken to by another copy of this gateway's store: what may not have arrived is sent again. \
                 Run one gateway for each certificate",
            );
            return self.new_epoch(cx, self.mapping.decided);
        }
        if decided > self.mapping.offered {
            self.report(cx, Level::Warning, "the center knows more of our messages than this store: it was restored");
            return self.new_epoch(cx, self.mapping.offered);
        }
        if self.mapping.offered < self.mapping.last_n {
            // What was given meanwhile may be sent once that is on disk.
            self.dirty(cx);
        }
        if decided < self.mapping.decided {
            // The center lost its end; what is still kept here goes again.
            self.report(cx, Level::Warning, "the center has lost messages that it had stored: they are sent again");
            self.undecide(cx, decided);
        }
        self.outbox.go_on_from(decided.next());
    }

    pub(in crate::bridge) fn decided(&mut self, cx: &mut Context, decided: Decided) {
        if decided.epoch != self.mapping.epoch || self.outbox.renumbering.is_some() {
            return;
        }
        let mut edit_refused = false;
        for (n, condition) in decided.refused {
            if n > self.mapping.decided {
                // Of what was sent before we started anew it is not known what it was.
                edit_refused |= self.outbox.authors.get(&n).is_none_or(Option::is_none);
                cx.count(condition.as_str());
                self.refuse_by_n(cx, n, condition);
            }
        }
        let n = decided.n.min(self.mapping.last_n);
        if n <= self.mapping.decided {
            return;
        }
        let before = std::mem::replace(&mut self.mapping.decided, n);
        self.own_decided(cx, before, n, edit_refused);
        self.outbox.expected = None;
        self.outbox.authors = self.outbox.authors.split_off(&n.next());
        if self.outbox.next <= n {
            self.outbox.go_on_from(n.next());
        }
        self.trim_outbox(cx);
        self.dirty(cx);
    }

    fn refuse_by_n(&mut self, cx: &mut Context, n: N, condition: Condition) {
        match self.outbox.authors.get(&n).cloned() {
            Some(author) => self.refuse_row(cx, author.as_ref(), condition),
            None => self.outbox.unattributed.push_back((n, condition)),
        }
    }

    /// The author of a message is told, and the administrator of an edit.
    fn refuse_row(&mut self, cx: &mut Context, author: Option<&UserId>, condition: Condition) {
        match author {
            Some(user) => {
                let author = cx.config.account(user);
                self.refuse(cx, &author, condition);
            }
            None => self.report(
                cx,
                Level::Alarm,
                format!(
                    "the center refused an edit of the user list ({}): {}",
                    condition.as_str(),
                    condition.admin_text()
                ),
            ),
        }
    }

    fn trim_outbox(&mut self, cx: &mut Context) {
        let m = &mut self.mapping;
        if m.decided_at.last().is_none_or(|(at, _)| at.0 + KEEP_STEP <= cx.now.0) {
            m.decided_at.push((cx.now, m.decided));
        }
        let old = m.decided_at.partition_point(|(at, _)| at.0 + KEEP_DECIDED <= cx.now.0);
        let group = m.group;
        let gone = m.decided_at.drain(..old).next_back();
        if let Some((_, upto)) = gone {
            cx.change(Change::OutboxTrim { group, upto });
            self.own_trimmed(cx, upto);
        }
    }

    pub(in crate::bridge) fn expect(&mut self, cx: &mut Context, expect: &Expect) {
        if expect.epoch != self.mapping.epoch || self.outbox.renumbering.is_some() {
            return;
        }
        if expect.fork || expect.n > self.mapping.offered.next() {
            self.report(cx, Level::Warning, "another copy of this gateway's store has used the same numbers");
            let decided = N(expect.n.0.saturating_sub(1));
            return self.new_epoch(cx, decided.min(self.mapping.offered));
        }
        if self.outbox.expected.replace(expect.n) != Some(expect.n) {
            cx.count("out-of-turn");
            if expect.n <= self.mapping.decided {
                self.undecide(cx, N(expect.n.0 - 1));
            }
            self.outbox.go_on_from(expect.n);
        }
    }

    /// The center has not decided what it had decided behind this.
    fn undecide(&mut self, cx: &mut Context, decided: N) {
        self.mapping.decided = decided;
        self.own_undecided(decided);
        self.dirty(cx);
    }

    pub(super) fn confirm(&mut self, cx: &mut Context, n: N) {
        cx.send(ToCenter::Confirm(Confirm { group: self.group(), epoch: self.mapping.epoch.clone(), n }));
    }

    /// What became of our messages in another room.
    pub(in crate::bridge) fn fate(&mut self, cx: &mut Context, fate: Fate) {
        let member = intergroup_schemas::ids::GatewayId { enterprise: fate.enterprise, gateway: fate.gateway };
        for (key, condition) in fate.refused {
            if key.epoch != self.mapping.epoch || key.n > self.mapping.last_n {
                continue;
            }
            let told = &mut self.mapping.fates_told;
            // The center names them in order, and all of them again on each new link.
            match told.iter_mut().find(|(m, before)| *m == member && before.epoch == key.epoch) {
                Some((_, before)) if before.n >= key.n => continue,
                Some((_, before)) => *before = OriginKey::clone(&key),
                None => {
                    told.retain(|(m, _)| *m != member);
                    told.truncate(FATES_KEPT - 1);
                    told.insert(0, (member.clone(), key.clone()));
                }
            }
            cx.count("refused-elsewhere");
            self.refuse_by_n(cx, key.n, condition);
            self.dirty(cx);
        }
    }

    // ------------------------------------------------------------ a new epoch

    /// Our numbers are not to be trusted any more: begins a new epoch. What the center has under the old one, it knows again
    /// by its source.
    fn new_epoch(&mut self, cx: &mut Context, known: N) {
        if self.outbox.renumbering.is_some() {
            return;
        }
        cx.count("new-epochs");
        let (from, upto) = (self.mapping.decided.next(), self.mapping.last_n);
        self.outbox.renumbering = Some(Renumbering { rows: Vec::new(), from, upto, later: Vec::new(), known });
        self.outbox.asked = None;
        // Rows that are being written must be there before they are read.
        self.dirty(cx);
        cx.after(self.group(), After::Renumber);
    }

    pub(super) fn load_to_renumber(&mut self, cx: &mut Context) {
        let Some(renumbering) = &self.outbox.renumbering else { return };
        if renumbering.from > renumbering.upto {
            return self.renumber(cx);
        }
        let from = renumbering.from;
        self.load(cx, Asked::ToRenumber, from, LOAD_ROWS);
    }

    fn rows_to_renumber(&mut self, cx: &mut Context, rows: Vec<OutboxRow>) {
        let Some(renumbering) = &mut self.outbox.renumbering else { return };
        renumbering.from = rows.last().map_or(renumbering.upto, |row| row.n).next();
        renumbering.rows.extend(rows.into_iter().filter(|row| row.n <= renumbering.upto));
        self.load_to_renumber(cx);
    }

    fn renumber(&mut self, cx: &mut Context) {
        let Some(Renumbering { rows, later, known, .. }) = self.outbox.renumbering.take() else { return };
        // An edit that the center has taken is not one any more.
        let is_history = |row: &OutboxRow| matches!(row.what, Outgoing::Edit { .. }) && row.n <= known;
        let rows: Vec<_> = rows.into_iter().filter(|row| !is_history(row)).collect();
        // What no archive keeps has no source by which the center would know it again: it crosses at most once.
        let known_again = |row: &OutboxRow| match &row.what {
            Outgoing::Message(said) => said.source.is_some(),
            Outgoing::Edit { .. } => true,
        };
        let (rows, doubtful): (Vec<_>, Vec<_>) = rows.into_iter().partition(known_again);
        if !doubtful.is_empty() {
            let count = doubtful.len();
            let text = format!("{count} messages that no archive keeps may not have crossed: they are not sent twice");
            self.report(cx, Level::Warning, text);
        }
        let epoch = cx.new_epoch();
        cx.change(Change::OutboxClear(self.group()));
        let m = &mut self.mapping;
        let decided = std::mem::take(&mut m.decided);
        (m.epoch, m.last_n, m.offered) = (epoch, N(0), N(0));
        m.decided_at.clear();
        m.fates_told.clear();
        self.era += 1;
        (self.durable.n, self.durable.offered, self.durable.decided) = (N(0), N(0), N(0));
        self.told.1 = N(0);
        self.outbox = Outbox::new(&self.mapping);
        self.own_begins_new_epoch();
        let mut edits = BTreeMap::new();
        for mut row in rows.into_iter().chain(later) {
            self.mapping.last_n = self.mapping.last_n.next();
            row.n = self.mapping.last_n;
            if let Outgoing::Edit { accounts, .. } = &row.what {
                edits.extend(accounts.iter().map(|account| (account.user.clone(), row.n)));
            }
            cx.change(Change::Outbox(row.clone()));
            self.said_renumbered(&row);
            if self.outbox.unsent.len() < cx.config.relay_window as usize {
                self.outbox.unsent.push_back(row);
            }
        }
        self.own_part_renumbered(cx, decided, &edits);
        self.dirty(cx);
    }
}

fn author(row: &OutboxRow) -> Option<&UserId> {
    match &row.what {
        Outgoing::Message(said) => Some(&said.user),
        Outgoing::Edit { .. } => None,
    }
}
