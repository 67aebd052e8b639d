//! Who is in a group: read from the list that is kept here, or, while that is being fetched, from the center's; whoever asked gets
//! what of it is wanted: visitors of the group's address, and administrators.
//!
//! Of the company's own people the list is told as it is meant to be, with edits that are on their way, so that nobody is named who
//! has been taken off.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use intergroup_schemas::ids::{AccountId, EnterpriseId, GroupNumber, ListDigest, ListVersion};
use intergroup_schemas::link::RequestBody;
use intergroup_schemas::list::{AccountRow, ListPage, Role};

use super::{Caller, Declined, VisitAnswer};
use crate::bridge::action::{Action, CommandId, Reply};
use crate::bridge::commands::{Asked, refused};
use crate::bridge::limits::{LISTED_ROWS, MEMBERS_SHOWN, VISITS_WAITING};
use crate::bridge::{Bridge, Room};
use crate::ids::{Account, BareJid, Who};

/// Which members are wanted (XEP-0059).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Behind this one; none: from the first on.
    pub after: Option<Mark>,
    /// At most so many; never more are given than one answer may hold.
    pub max: usize,
}

impl Default for Span {
    fn default() -> Self {
        Self { after: None, max: MEMBERS_SHOWN }
    }
}

/// A place in the order of members. Who began to read one list cannot go on in the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// In the list that is kept here, by account.
    Here(AccountId),
    /// In the center's, by version and account.
    Center(ListVersion, AccountId),
}

/// What stands before an account for the version of the list that is kept here.
const HERE: &str = "-";

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Here(account) => write!(f, "{HERE}/{account}"),
            Mark::Center(version, account) => write!(f, "{version}/{account}"),
        }
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().ok_or(());
        let version = part()?;
        let (enterprise, user) = (part()?.parse().map_err(|_| ())?, part()?.parse().map_err(|_| ())?);
        let account = AccountId { enterprise, user };
        match version {
            HERE => Ok(Mark::Here(account)),
            version => Ok(Mark::Center(version.parse().map_err(|_| ())?, account)),
        }
    }
}

/// Some members of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// Those of this page.
    pub members: Vec<Member>,
    /// How many there are in all, if that is known.
    pub count: Option<u64>,
    /// Others follow.
    pub more: bool,
}

/// A member of a group, as the visitor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The place of this one.
    pub mark: Mark,
    /// What people call it.
    pub name: String,
    /// What people call its enterprise.
    pub company: String,
    /// Read and speak, or read only.
    pub role: Role,
    /// Where it is written to: an account of the company, or one of our occupants.
    pub at: MemberAt,
}

/// The address of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberAt {
    /// An account of the company.
    Own(BareJid),
    /// Who speaks for it here.
    Remote(Who),
}

/// A page of a group's user list, for an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Of the center's list: what changed behind the place asked for, removals included. Of the list that is kept here: who is on
    /// it, in order of account, edits of our own that are on their way included.
    pub rows: Vec<AccountRow>,
    /// Others follow.
    pub more: bool,
    /// The list's version when the page was read.
    pub version: ListVersion,
    /// The digest of the whole list and the accounts on it, at that version; none where memory does not hold it.
    pub whole: Option<(ListDigest, u64)>,
    /// It is the center's; else the one that is kept here, and the center was not asked.
    pub center_asked: bool,
    /// There is a link to the center: what is kept here is not older than it by more than what is on its way.
    pub link: bool,
}

/// Who waits for members.
#[derive(Debug, Default)]
pub(in crate::bridge) struct Waiting {
    /// For the center.
    asked: usize,
    /// For the disk, by what the answer names.
    reading: BTreeMap<u64, Reading>,
    begun: u64,
}

/// Somebody for whom the list that is kept here is read.
#[derive(Debug)]
struct Reading {
    asker: Asker,
    group: GroupNumber,
    max: usize,
    after: Option<AccountId>,
    /// One more than are wanted shows that others follow.
    found: Vec<AccountRow>,
}

#[derive(Debug)]
enum Asker {
    Visitor(Wait),
    Administrator(CommandId),
}

/// A visitor who waits.
#[derive(Debug)]
pub(in crate::bridge) struct Wait {
    caller: Caller,
    group: GroupNumber,
    max: usize,
    /// Set when it is the command that asked.
    name: Option<String>,
}

/// The center's list is read with other marks.
const BEING_FETCHED: &str = "the list that is kept here is being fetched anew: ask again, from the beginning";

impl Listing {
    /// What the center has answered.
    pub(in crate::bridge) fn of_the_center(page: ListPage) -> Self {
        let ListPage { version, digest, accounts, rows, more } = page;
        Self { rows, more, version, whole: Some((digest, accounts)), center_asked: true, link: true }
    }
}

impl Bridge {
    pub(super) fn members(&mut self, caller: Caller, group: GroupNumber, span: Span, name: Option<String>) {
        let wait = Wait { caller, group, max: span.max.min(MEMBERS_SHOWN), name };
        if self.waiting.asked + self.waiting.reading.len() >= VISITS_WAITING {
            return self.not_now(wait, "too many ask at once; try again later");
        }
        let kept = self.cx.enterprise().is_some() && self.rooms.get(&group).is_some_and(Room::list_is_kept);
        let (since, after) = match span.after {
            Some(Mark::Here(account)) if kept => return self.read_members(wait, Some(account)),
            None if kept => return self.read_members(wait, None),
            Some(Mark::Here(_)) => return self.not_now(wait, "the list is being fetched anew; begin again later"),
            Some(Mark::Center(version, account)) => (version, Some(account)),
            None => (ListVersion(0), None),
        };
        if self.cx.link.is_none() {
            return self.not_now(wait, "the center cannot be reached now; try again later");
        }
        self.waiting.asked += 1;
        self.want_page(RequestBody::FetchList { group, since, after }, Asked::Visit(wait));
    }

    fn not_now(&mut self, wait: Wait, why: &str) {
        self.answer(wait.caller, VisitAnswer::Refused(Declined::later(why)));
    }

    // ------------------------------------------------------------ from the disk

    fn read_members(&mut self, wait: Wait, after: Option<AccountId>) {
        let (group, max) = (wait.group, wait.max);
        self.begin_reading(Asker::Visitor(wait), group, max, after);
    }

    fn begin_reading(&mut self, asker: Asker, group: GroupNumber, max: usize, after: Option<AccountId>) {
        self.waiting.begun += 1;
        let visit = self.waiting.begun;
        self.read_on(visit, Reading { asker, group, max, after, found: Vec::new() });
    }

    fn read_on(&mut self, visit: u64, reading: Reading) {
        let (group, after, max) = (reading.group, reading.after.clone(), reading.max + 1);
        self.waiting.reading.insert(visit, reading);
        self.cx.act(Action::LoadListed { group, after, max, visit: Some(visit) });
    }

    /// Rows of the list that is kept here, for whoever asked.
    pub(in crate::bridge) fn members_read(&mut self, visit: u64, rows: Vec<AccountRow>) {
        let Some(mut reading) = self.waiting.reading.remove(&visit) else { return };
        let (group, max) = (reading.group, reading.max);
        let Some(room) = self.rooms.get(&group).filter(|room| room.list_is_kept()) else {
            return match reading.asker {
                Asker::Visitor(wait) => self.tell_members(wait, None),
                Asker::Administrator(id) => self.cx.reply(id, refused(BEING_FETCHED)),
            };
        };
        let last = rows.last().filter(|_| rows.len() > max).map(|row| row.account.clone());
        reading.found.extend(room.as_meant(&self.cx, reading.after.as_ref(), last.as_ref(), rows));
        if let Some(last) = last.filter(|_| reading.found.len() <= max) {
            reading.after = Some(last);
            return self.read_on(visit, reading);
        }
        let more = reading.found.len() > max;
        reading.found.truncate(max);
        let rows = reading.found;
        match reading.asker {
            Asker::Visitor(wait) => {
                let count = room.list_count(&self.cx);
                let member = |row: AccountRow| self.member(group, Mark::Here(row.account.clone()), row);
                let members = rows.into_iter().filter_map(member).collect();
                self.tell_members(wait, Some(Members { members, count, more }));
            }
            Asker::Administrator(id) => {
                let (version, whole) = room.list_figures();
                let link = self.cx.link.is_some();
                let listing = Listing { rows, more, version, whole, center_asked: false, link };
                self.cx.reply(id, Reply::Members(listing));
            }
        }
    }

    // ------------------------------------------------------------ for administrators

    /// A page of the list: of the one that is kept here, by account, as long as it is there; of the center's else, by version and
    /// account. Who goes on in the center's names a version.
    pub(in crate::bridge) fn list_by_command(
        &mut self,
        id: CommandId,
        group: GroupNumber,
        since: ListVersion,
        after: Option<AccountId>,
    ) {
        let kept = self.rooms.get(&group).is_some_and(Room::list_is_kept);
        if since == ListVersion(0) && kept {
            self.begin_reading(Asker::Administrator(id), group, LISTED_ROWS, after);
        } else if since == ListVersion(0) && after.is_some() {
            self.cx.reply(id, refused(BEING_FETCHED));
        } else if self.has_link(id) {
            self.want_page(RequestBody::FetchList { group, since, after }, Asked::Answer(id));
        }
    }

    // ------------------------------------------------------------ from the center

    /// The center's answer for a visitor; none when it does not come.
    pub(in crate::bridge) fn members_came(&mut self, wait: Wait, page: Option<ListPage>) {
        self.waiting.asked = self.waiting.asked.saturating_sub(1);
        let members = page.map(|page| self.shown(wait.group, page, wait.max));
        self.tell_members(wait, members);
    }

    fn shown(&self, group: GroupNumber, page: ListPage, max: usize) -> Members {
        let member = |row: AccountRow| self.member(group, Mark::Center(row.version, row.account.clone()), row);
        let mut members: Vec<Member> = page.rows.into_iter().filter_map(member).collect();
        let more = page.more || members.len() > max;
        members.truncate(max);
        Members { members, count: Some(page.accounts), more }
    }

    // ------------------------------------------------------------ to whoever asked

    fn tell_members(&mut self, wait: Wait, members: Option<Members>) {
        let Wait { caller, group, name, .. } = wait;
        // Who was taken off the list meanwhile is not told any more.
        let is_in = self.rooms.get(&group).is_some_and(|r| r.own_member(&self.cx, &caller.account()).is_some());
        let answer = match (members.filter(|_| is_in), name) {
            (Some(members), None) => VisitAnswer::Members(members),
            (Some(members), Some(name)) => VisitAnswer::Who(name, members),
            (None, _) if is_in => VisitAnswer::Refused(Declined::later("the center did not answer; try again later")),
            (None, _) => VisitAnswer::Refused(Declined::unknown()),
        };
        self.answer(caller, answer);
    }

    fn member(&self, group: GroupNumber, mark: Mark, row: AccountRow) -> Option<Member> {
        let AccountRow { account, listed, .. } = row;
        let listed = listed?;
        let company = self.company(group, &account.enterprise);
        let at = if self.cx.enterprise() == Some(&account.enterprise) {
            MemberAt::Own(self.cx.config.account(&account.user))
        } else {
            let AccountId { enterprise, user } = account;
            MemberAt::Remote(Who::Puppet(Account { enterprise, user }))
        };
        Some(Member { mark, name: listed.display.to_string(), company, role: listed.role, at })
    }

    fn company(&self, group: GroupNumber, enterprise: &EnterpriseId) -> String {
        self.rooms.get(&group).map_or_else(|| enterprise.to_string(), |room| room.display_of(enterprise).to_string())
    }
}
