//! Who is in a group: the center is asked for a page of its list, and whoever asked gets what of it is wanted.

use std::fmt;
use std::str::FromStr;

use intergroup_schemas::ids::{AccountId, EnterpriseId, GroupNumber, ListVersion};
use intergroup_schemas::link::RequestBody;
use intergroup_schemas::list::{AccountRow, ListPage, Role};

use super::{Caller, Declined, VisitAnswer};
use crate::bridge::Bridge;
use crate::bridge::commands::Asked;
use crate::bridge::limits::{MEMBERS_SHOWN, VISITS_WAITING};
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

/// A place in the order of members: that of the list, by version and account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(pub ListVersion, pub AccountId);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().ok_or(());
        let version = part()?.parse().map_err(|_| ())?;
        let (enterprise, user) = (part()?.parse().map_err(|_| ())?, part()?.parse().map_err(|_| ())?);
        Ok(Self(version, AccountId { enterprise, user }))
    }
}

/// Some members of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// Those of this page.
    pub members: Vec<Member>,
    /// How many there are in all.
    pub count: u64,
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

/// Visitors who wait for the center.
#[derive(Debug, Default)]
pub(in crate::bridge) struct Waiting(usize);

/// A visitor who waits for the center's page.
#[derive(Debug)]
pub(in crate::bridge) struct Wait {
    caller: Caller,
    group: GroupNumber,
    max: usize,
    /// Set when it is the command that asked.
    name: Option<String>,
}

impl Bridge {
    pub(super) fn members(&mut self, caller: Caller, group: GroupNumber, span: Span, name: Option<String>) {
        let problem = if self.cx.link.is_none() {
            Some("the center cannot be reached now; try again later")
        } else if self.waiting.0 >= VISITS_WAITING {
            Some("too many ask at once; try again later")
        } else {
            None
        };
        if let Some(problem) = problem {
            return self.answer(caller, VisitAnswer::Refused(Declined::later(problem)));
        }
        self.waiting.0 += 1;
        let (since, after) = span.after.map_or((ListVersion(0), None), |Mark(v, account)| (v, Some(account)));
        let wait = Wait { caller, group, max: span.max.min(MEMBERS_SHOWN), name };
        self.want_page(RequestBody::FetchList { group, since, after }, Asked::Visit(wait));
    }

    /// The center's answer for a visitor; none when it does not come.
    pub(in crate::bridge) fn members_came(&mut self, wait: Wait, page: Option<ListPage>) {
        self.waiting.0 = self.waiting.0.saturating_sub(1);
        let Wait { caller, group, max, name } = wait;
        // Who was taken off the list meanwhile is not told any more.
        let is_in = self.rooms.get(&group).is_some_and(|r| r.own_member(&self.cx, &caller.account()).is_some());
        let answer = match page.filter(|_| is_in) {
            Some(page) => {
                let members = self.shown(group, page, max);
                match name {
                    None => VisitAnswer::Members(members),
                    Some(name) => VisitAnswer::Who(name, members),
                }
            }
            None if is_in => VisitAnswer::Refused(Declined::later("the center did not answer; try again later")),
            None => VisitAnswer::Refused(Declined::unknown()),
        };
        self.answer(caller, answer);
    }

    fn shown(&self, group: GroupNumber, page: ListPage, max: usize) -> Members {
        let mut members: Vec<Member> = page.rows.into_iter().filter_map(|row| self.member(group, row)).collect();
        let more = page.more || members.len() > max;
        members.truncate(max);
        Members { members, count: page.accounts, more }
    }

    fn member(&self, group: GroupNumber, row: AccountRow) -> Option<Member> {
        let AccountRow { account, version, listed } = row;
        let listed = listed?;
        let company = self.company(group, &account.enterprise);
        let at = if self.cx.enterprise() == Some(&account.enterprise) {
            MemberAt::Own(self.cx.config.account(&account.user))
        } else {
            let AccountId { enterprise, user } = account.clone();
            MemberAt::Remote(Who::Puppet(Account { enterprise, user }))
        };
        let (name, role) = (listed.display.to_string(), listed.role);
        Some(Member { mark: Mark(version, account), name, company, role, at })
    }

    fn company(&self, group: GroupNumber, enterprise: &EnterpriseId) -> String {
        self.rooms.get(&group).map_or_else(|| enterprise.to_string(), |room| room.display_of(enterprise).to_string())
    }
}
