//! The company's own people on the group's list, with their names: who may use the group's number.
//!
//! Fetched from the center when the link comes up, as far as it has changed, and kept in step by the stream. Of two things told of
//! a person the one of the later version counts, in whatever order they come. Edits made here count at once, so that nobody
//! who was just taken off the list is served any more.

use std::collections::BTreeMap;

use intergroup_schemas::ids::{AccountId, DisplayName, EnterpriseId, ListVersion, UserId};
use intergroup_schemas::link::Change as GroupChange;
use intergroup_schemas::list::{AccountEdit, ListPage, Listed, Role};

use super::Room;
use crate::bridge::context::Context;
use crate::bridge::number::OwnMember;
use crate::ids::BareJid;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct OwnList {
    /// Everybody who is on the list, or was taken off it.
    people: BTreeMap<UserId, (ListVersion, Option<Listed>)>,
    /// Everything up to here is known; none before the whole list was seen once.
    complete: Option<ListVersion>,
    fetch: Fetch,
}

/// Whether the center is to be asked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Fetch {
    /// Asked from the place that is complete.
    #[default]
    Wanted,
    /// The next page, behind this row.
    Next(ListVersion, AccountId),
    Asked,
    Done,
}

impl OwnList {
    fn put(&mut self, user: UserId, version: ListVersion, listed: Option<Listed>) {
        let known = self.people.entry(user).or_insert((version, None));
        if version >= known.0 {
            *known = (version, listed);
        }
    }

    /// What was asked will not be answered, or the answer cannot be relied on.
    pub(super) fn ask_again(&mut self) {
        self.fetch = Fetch::Wanted;
    }

    /// What is known may be wrong: an edit that was taken for done was refused.
    pub(super) fn ask_for_all(&mut self) {
        *self = Self::default();
    }
}

impl Room {
    /// What the center is to be asked, if anything: the place of the last row known.
    pub(in crate::bridge) fn asks_for_own_list(&mut self, cx: &Context) -> Option<(ListVersion, Option<AccountId>)> {
        let place = match &self.own_list.fetch {
            Fetch::Wanted => (self.own_list.complete.unwrap_or_default(), None),
            Fetch::Next(version, account) => (*version, Some(account.clone())),
            Fetch::Asked | Fetch::Done => return None,
        };
        if cx.link.is_none() || !self.stream.is_welcome() {
            return None;
        }
        self.own_list.fetch = Fetch::Asked;
        Some(place)
    }

    /// A page came; none: the center refused it.
    pub(in crate::bridge) fn own_list_came(&mut self, cx: &Context, page: Option<ListPage>) {
        let (Some(me), Fetch::Asked) = (cx.enterprise(), &self.own_list.fetch) else { return };
        self.own_list.fetch = Fetch::Done;
        let Some(page) = page else { return };
        let last = page.rows.last().map(|row| (row.version, row.account.clone()));
        match last.filter(|_| page.more) {
            Some((version, account)) => self.own_list.fetch = Fetch::Next(version, account),
            None => self.own_list.complete = Some(page.version),
        }
        for row in page.rows.into_iter().filter(|row| row.account.enterprise == *me) {
            self.own_list.put(row.account.user, row.version, row.listed);
        }
    }

    /// The stream brings a change.
    pub(super) fn own_list_changed(&mut self, cx: &Context, list: ListVersion, change: &GroupChange) {
        let mine = |enterprise: &EnterpriseId| cx.enterprise() == Some(enterprise);
        match change {
            GroupChange::Listed { enterprise, accounts, .. } if mine(enterprise) => {
                for AccountEdit { user, listed } in accounts {
                    self.own_list.put(user.clone(), list, listed.clone());
                }
            }
            GroupChange::Unlisted { enterprise, .. } if mine(enterprise) => {
                for known in self.own_list.people.values_mut().filter(|known| known.0 <= list) {
                    *known = (list, None);
                }
            }
            _ => {}
        }
    }

    /// Edits that are on their way to the center.
    pub(super) fn own_list_edited(&mut self, accounts: &[AccountEdit]) {
        for AccountEdit { user, listed } in accounts {
            // What the center knew until now is older, what it will say is as new or newer.
            let version = self.own_list.people.get(user).map_or(self.mapping.list, |known| known.0);
            self.own_list.put(user.clone(), version.max(self.mapping.list), listed.clone());
        }
    }

    /// How a person stands on the list, as far as it is known here.
    pub(in crate::bridge) fn own_listed(&self, user: &UserId) -> Option<&Listed> {
        self.own_list.people.get(user)?.1.as_ref()
    }

    /// Whether an account is one of the company's members of the group, and as what. As long as the company has nobody on the list,
    /// nobody of it is judged, and whoever is in the room is a member.
    pub(in crate::bridge) fn own_member(&self, cx: &Context, account: &BareJid) -> Option<OwnMember> {
        let user = cx.config.user(account)?;
        if !self.own_list.people.is_empty() {
            let Listed { display, role } = self.own_listed(&user)?.clone();
            return Some(OwnMember { display, role });
        }
        let nick = self.people.nick_of(account)?;
        let display = DisplayName::neutral(nick.as_str()).or_else(|| DisplayName::neutral(user.as_str()))?;
        Some(OwnMember { display, role: Role::Speak })
    }
}
