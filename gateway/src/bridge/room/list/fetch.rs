//! Fetching of a user list: what changed behind the version that is kept here, or all of it; page after page.

use std::collections::BTreeSet;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{ListVersion, UserId};
use intergroup_schemas::link::Timestamp;
use intergroup_schemas::list::{ListPage, Roster, Standing};

use super::{Held, Room, put};
use crate::bridge::action::{Level, RequestId};
use crate::bridge::context::Context;
use crate::bridge::limits::{LIST_CHECK_EVERY, RETRY};
use crate::store::Change;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Fetch {
    /// When to look next.
    due: Timestamp,
    running: Option<Running>,
    /// The center does not give the list any more: the group has ended, or we have no part in it.
    denied: bool,
}

#[derive(Debug)]
struct Running {
    /// The page that is awaited. One that was asked for before the fetch began anew is of no use.
    asked: RequestId,
    /// From the beginning.
    whole: bool,
    /// The last row that is known.
    since: ListVersion,
    /// The newest version that came by in the stream meanwhile: it must be in the pages.
    passed: ListVersion,
    /// Our own accounts that were in the pages.
    own: BTreeSet<UserId>,
    /// Our own accounts of which the center had decided the last edit before anything was asked: the pages have it.
    decided: BTreeSet<UserId>,
}

impl Fetch {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { due: now, ..Self::default() }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    fn awaits(&self, request: RequestId) -> bool {
        self.running.as_ref().is_some_and(|running| running.asked == request)
    }

    pub(super) fn is_due(&mut self, now: Timestamp) {
        self.due = self.due.min(now);
    }

    pub(super) fn is_denied(&mut self, denied: bool) {
        self.denied = denied;
    }

    /// A change of the list came by. True while a fetch will bring it.
    pub(super) fn notes(&mut self, version: ListVersion) -> bool {
        if let Some(running) = &mut self.running {
            running.passed = running.passed.max(version);
        }
        self.running.is_some()
    }
}

impl Room {
    /// Whether something is to be done, and when; only while there is a link.
    pub(in crate::bridge::room) fn list_deadline(&self, cx: &Context) -> Option<Timestamp> {
        let loading = matches!(self.list.roster, Held::Loading(_));
        let can = cx.link.is_some() && self.stream.is_welcome() && self.list.fetch.running.is_none() && !loading;
        (can && self.list_may_come()).then_some(self.list.fetch.due)
    }

    /// Whether the center will give the list. Of a mapping that is being ended nobody asks for it any more.
    pub(in crate::bridge::room) fn list_may_come(&self) -> bool {
        self.mapping.ending.is_none() && !self.list.fetch.denied
    }

    pub(in crate::bridge::room) fn watch_list(&mut self, cx: &mut Context) {
        let due = self.list_deadline(cx).is_some_and(|due| due <= cx.now);
        if !due {
            return;
        }
        let whole = self.mapping.list_at.is_none();
        if whole {
            // What was kept here is not to be trusted.
            cx.change(Change::Unlisted { group: self.group(), enterprise: None });
            self.list.roster = Held::Here(Roster::default());
            self.mapping.judged.clear();
            self.dirty(cx);
        } else if !self.list_at_hand(cx) {
            return;
        }
        let since = self.mapping.list_at.unwrap_or_default();
        let (own, decided) = (BTreeSet::new(), self.own_settling());
        let asked = cx.want_list(self.group(), since, None);
        self.list.fetch.running = Some(Running { asked, whole, since, passed: since, own, decided });
    }

    /// What is kept here may not be what the center has (entries are missing, the log has forked, an edit was refused): it is fetched as a whole.
    pub(in crate::bridge::room) fn list_missed_changes(&mut self, cx: &mut Context) {
        self.list.fetch.running = None;
        self.list.fetch.due = cx.now;
        self.mapping.list_at = None;
        self.dirty(cx);
    }

    /// What is kept here is surely not what the center has.
    pub(super) fn list_is_wrong(&mut self, cx: &mut Context) {
        cx.count("list-repairs");
        self.list.repairs += 1;
        self.list_missed_changes(cx);
    }

    /// The link is down: what was asked for is not answered any more.
    pub(in crate::bridge::room) fn list_link_down(&mut self, cx: &Context) {
        if self.list.fetch.running.take().is_some() {
            self.list.fetch.due = cx.now;
        }
    }

    /// The center did not give the page.
    pub(in crate::bridge) fn list_refused(&mut self, cx: &mut Context, request: RequestId, why: Option<Condition>) {
        if self.list.fetch.awaits(request) {
            self.list.fetch.running = None;
            self.list.fetch.due = cx.about(RETRY);
            if matches!(why, Some(Condition::NotAMember | Condition::UnknownGroup)) {
                self.list.fetch.denied = true;
                self.goes_on_without_list(cx);
            }
        }
    }

    /// A page of the list, from the center.
    pub(in crate::bridge) fn list_page(&mut self, cx: &mut Context, request: RequestId, page: &ListPage) {
        if !self.list.fetch.awaits(request) {
            return;
        }
        let Held::Here(roster) = &mut self.list.roster else { return };
        for row in &page.rows {
            put(roster, &row.account, row.listed.as_ref());
        }
        if !page.rows.is_empty() {
            self.mapping.judged.extend(page.rows.iter().map(|row| row.account.enterprise.clone()));
            self.dirty(cx);
            cx.change(Change::Listed { group: self.mapping.group, rows: page.rows.clone() });
            self.own_from_page(cx, &page.rows);
        }
        let Some(running) = &mut self.list.fetch.running else { return };
        let behind = page.version < running.passed;
        let goes_on = page.more || (behind && !page.rows.is_empty());
        if goes_on && self.mapping.list_at.take().is_some() {
            // Of part of a change nobody is judged, here or after a break: all of it, or the whole list anew.
            cx.dirty(self.mapping.group);
        }
        let own = page.rows.iter().filter(|row| cx.enterprise() == Some(&row.account.enterprise));
        running.own.extend(own.map(|row| row.account.user.clone()));
        let last = page.rows.last();
        running.since = last.map_or(running.since, |row| row.version);
        if goes_on {
            let after = last.map(|row| row.account.clone());
            running.asked = cx.want_list(self.mapping.group, running.since, after);
            return;
        }
        if behind {
            return self.list_is_older(cx);
        }
        self.list_fetched(cx, page);
    }

    /// The center's list is of an older version than what the stream has brought: it is not the list that is kept here. Asked
    /// for as a whole, and not as fast as the center answers.
    fn list_is_older(&mut self, cx: &mut Context) {
        self.list_is_wrong(cx);
        self.list.fetch.due = cx.about(RETRY);
    }

    fn list_fetched(&mut self, cx: &mut Context, page: &ListPage) {
        let Some(running) = self.list.fetch.running.take() else { return };
        self.own_settled(cx, &running.decided);
        if running.whole {
            self.own_is_only(cx, &running.own);
        }
        self.list.fetch.due = cx.about(LIST_CHECK_EVERY);
        if self.mapping.list_at != Some(page.version) {
            self.mapping.list_at = Some(page.version);
            self.dirty(cx);
        }
        // Who was removed by a change that the center did not keep long enough goes now.
        for account in self.puppets.accounts() {
            if self.standing(&account.enterprise, &account.user) == Standing::Off {
                self.retire(cx, &account);
            }
        }
        if !self.compare_list(cx, page.version, page.digest) && running.whole {
            // Fetched anew and wrong again: not in a circle as fast as the center answers.
            self.report(cx, Level::Alarm, "the user list came from the center with a digest that is not its own");
            self.list.fetch.due = cx.about(LIST_CHECK_EVERY);
        }
    }
}
