//! The group's user list as it is kept here: a mirror of the center's, and ahead of it the enterprise's own part with the
//! edits that are on their way.
//!
//! The stream's entries move the mirror from version to version. Where one is missing, and every few minutes, what changed
//! behind the mirror's version is fetched; where the digest says that the mirror is wrong, all of it. Until a fetch is complete
//! nobody is judged by the mirror: the center has judged everybody already.

mod fetch;
mod own;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{AccountId, EnterpriseId, ListDigest, ListVersion, UserId};
use intergroup_schemas::link::{Change as GroupChange, Deliver, Entry, Timestamp};
use intergroup_schemas::list::{AccountEdit, AccountRow, Listed, Roster, Standing, UserKey, row_hash};

use super::Room;
use super::stream::Item;
use crate::bridge::action::{Action, Level};
use crate::bridge::context::Context;
use crate::bridge::limits::LISTED_ROWS;
use crate::ids::Account;
use crate::store::{Change, OwnRow};

use fetch::Fetch;
use own::Own;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct List {
    roster: Held,
    own: Own,
    fetch: Fetch,
    /// When the roster was last needed.
    used: Timestamp,
    /// How often what is kept here was wrong.
    pub(super) repairs: u64,
}

/// Whether the roster is in memory.
#[derive(Debug, Default)]
enum Held {
    #[default]
    OnDisk,
    /// Comes from the disk, page by page.
    Loading(Roster),
    Here(Roster),
}

/// Who is no longer on the list, or whose company has no part in the group any more.
#[derive(Debug)]
pub(super) enum Off {
    Account(Account),
    Enterprise(EnterpriseId),
}

impl List {
    pub(super) fn new(rows: Vec<OwnRow>, now: Timestamp) -> Self {
        Self { own: Own::new(rows), fetch: Fetch::new(now), ..Self::default() }
    }

    /// Accounts on the list, where memory holds it.
    pub(super) fn accounts(&self) -> Option<usize> {
        match &self.roster {
            Held::Here(roster) => Some(roster.len()),
            Held::OnDisk | Held::Loading(_) => None,
        }
    }

    /// A new link: what was missed meanwhile is fetched, and the digest compared, if we still belong to the group.
    pub(super) fn check_soon(&mut self, now: Timestamp, is_member: bool) {
        self.fetch.is_denied(!is_member);
        self.fetch.is_due(now);
    }

    fn roster(&mut self) -> Option<&mut Roster> {
        match &mut self.roster {
            Held::Here(roster) => Some(roster),
            Held::OnDisk | Held::Loading(_) => None,
        }
    }
}

impl Room {
    // ------------------------------------------------------------ the roster in memory

    /// Accounts that memory holds of the list, and when they were last needed; none when it could not let go of them now.
    pub(in crate::bridge) fn list_held(&self) -> Option<(usize, Timestamp)> {
        match &self.list.roster {
            Held::Here(roster) if self.list.fetch.is_idle() => Some((roster.len(), self.list.used)),
            _ => None,
        }
    }

    /// Lets go of it; the disk has it.
    pub(in crate::bridge) fn forget_list(&mut self) {
        self.list.roster = Held::OnDisk;
    }

    /// Whether the list is at hand; if not, it is sent for.
    fn list_at_hand(&mut self, cx: &mut Context) -> bool {
        self.list.used = cx.now;
        match self.list.roster {
            Held::Here(_) => true,
            Held::Loading(_) => false,
            Held::OnDisk => {
                cx.count("list-misses");
                self.list.roster = Held::Loading(Roster::default());
                self.load_list(cx, None);
                false
            }
        }
    }

    fn load_list(&self, cx: &mut Context, after: Option<AccountId>) {
        cx.act(Action::LoadListed { group: self.group(), after, max: LISTED_ROWS, visit: None });
    }

    /// A page of the list, from the disk.
    pub(in crate::bridge) fn list_rows(&mut self, cx: &mut Context, rows: &[AccountRow]) {
        let Held::Loading(roster) = &mut self.list.roster else { return };
        self.mapping.judged.iter().for_each(|enterprise| roster.begin(enterprise));
        for AccountRow { account, listed, .. } in rows {
            put(roster, account, listed.as_ref());
        }
        if rows.len() == LISTED_ROWS {
            return self.load_list(cx, rows.last().map(|row| row.account.clone()));
        }
        let roster = std::mem::take(roster);
        self.list.roster = Held::Here(roster);
    }

    /// Whether the list is at hand, where the next entry of the stream needs it.
    pub(super) fn next_entry_has_its_list(&mut self, cx: &mut Context) -> bool {
        let needs = match self.stream.queue.front().map(|queued| &queued.item) {
            None | Some(Item::Quiet | Item::Missing { .. }) => false,
            Some(Item::Message(_) | Item::Own(_)) => true,
            Some(Item::Change(entry)) => {
                matches!(entry.change, GroupChange::Listed { .. } | GroupChange::Unlisted { .. })
            }
        };
        !needs || self.mapping.list_at.is_none() || self.list_at_hand(cx)
    }

    // ------------------------------------------------------------ for visitors of the group's address, and administrators

    /// Whether the disk has the list, all of it.
    pub(in crate::bridge) fn list_is_kept(&self) -> bool {
        self.mapping.list_at.is_some()
    }

    /// Accounts on the list, own edits that are on their way included; none while memory does not hold it.
    pub(in crate::bridge) fn list_count(&self, cx: &Context) -> Option<u64> {
        let Held::Here(roster) = &self.list.roster else { return None };
        let own = cx.enterprise().and_then(|me| roster.len_of(me)).unwrap_or_default();
        u64::try_from(roster.len() - own + self.own_people().len()).ok()
    }

    /// The version of the list; and its digest and the accounts on it, where memory holds it.
    pub(in crate::bridge) fn list_figures(&self) -> (ListVersion, Option<(ListDigest, u64)>) {
        let whole = match &self.list.roster {
            Held::Here(roster) => u64::try_from(roster.len()).ok().map(|len| (roster.digest(), len)),
            Held::OnDisk | Held::Loading(_) => None,
        };
        (self.mapping.list_at.unwrap_or_default(), whole)
    }

    /// Rows of the disk as they are to be: of our own part what is meant, of others nobody whom the stream has taken off since.
    /// The rows are all there are behind `after`, up to `last`; none: up to the end.
    pub(in crate::bridge) fn as_meant(
        &self,
        cx: &Context,
        after: Option<&AccountId>,
        last: Option<&AccountId>,
        mut rows: Vec<AccountRow>,
    ) -> Vec<AccountRow> {
        let Some(me) = cx.enterprise() else { return rows };
        rows.retain(|row| {
            let AccountId { enterprise, user } = &row.account;
            enterprise != me && self.standing(enterprise, user).refusal() != Some(Condition::NotOnList)
        });
        let own = self.own_people().iter().map(|(user, listed)| AccountRow {
            account: AccountId { enterprise: me.clone(), user: user.clone() },
            version: ListVersion(0),
            listed: Some(listed.clone()),
        });
        let wanted = |row: &AccountRow| {
            after.is_none_or(|after| row.account > *after) && last.is_none_or(|last| row.account <= *last)
        };
        rows.extend(own.filter(wanted));
        rows.sort_unstable_by(|a, b| a.account.cmp(&b.account));
        rows
    }

    // ------------------------------------------------------------ changes

    /// An entry of the stream has its place in the list's versions. Says who has no part in the group any more.
    pub(super) fn list_entry(&mut self, cx: &mut Context, entry: &Entry) -> Vec<Off> {
        let off = offs(entry);
        if self.list.fetch.notes(entry.list) {
            return off;
        }
        let Some(at) = self.mapping.list_at else { return off };
        if entry.list <= at {
            return off;
        }
        if entry.list.0 > at.0 + 1 {
            // Changes are missing before this one.
            self.list.fetch.is_due(cx.now);
            return off;
        }
        let group = self.group();
        let digest = match &entry.change {
            GroupChange::Listed { enterprise, accounts, digest } => {
                let Some(roster) = self.list.roster() else { return off };
                roster.apply(enterprise, accounts);
                if !self.mapping.judged.contains(enterprise) {
                    self.mapping.judged.insert(enterprise.clone());
                }
                let row = |edit: &AccountEdit| AccountRow {
                    account: AccountId { enterprise: enterprise.clone(), user: edit.user.clone() },
                    version: entry.list,
                    listed: edit.listed.clone(),
                };
                cx.change(Change::Listed { group, rows: accounts.iter().map(row).collect() });
                if cx.enterprise() == Some(enterprise) {
                    self.own_from_center(cx, accounts);
                }
                Some(*digest)
            }
            GroupChange::Unlisted { enterprise, digest } => {
                let Some(roster) = self.list.roster() else { return off };
                roster.clear(enterprise);
                cx.change(Change::Unlisted { group, enterprise: Some(enterprise.clone()) });
                Some(*digest)
            }
            _ => None,
        };
        self.mapping.list_at = Some(entry.list);
        if let Some(digest) = digest {
            self.compare_list(cx, entry.list, digest);
        }
        off
    }

    /// Compares the mirror at a version with what the center says of it.
    fn compare_list(&mut self, cx: &mut Context, version: ListVersion, digest: ListDigest) -> bool {
        if self.mapping.list_at != Some(version) {
            return true;
        }
        let Some(roster) = self.list.roster() else { return true };
        if roster.digest() == digest {
            return true;
        }
        self.report(
            cx,
            Level::Warning,
            format!("the user list kept here is not the center's at version {version}: it is fetched anew"),
        );
        self.list_is_wrong(cx);
        false
    }

    // ------------------------------------------------------------ judging

    /// What the list says of an account.
    pub(super) fn standing(&self, enterprise: &EnterpriseId, user: &UserId) -> Standing {
        match &self.list.roster {
            Held::Here(roster) => roster.standing(enterprise, user),
            Held::OnDisk | Held::Loading(_) => Standing::Unjudged,
        }
    }

    /// Why a message of another company is not said here, by the list at the message's place. Only where the mirror is at that
    /// place: what comes by once more, settled or behind a change that has had its turn, was judged before by an older list.
    pub(super) fn list_refuses(&self, cx: &mut Context, deliver: &Deliver) -> Option<Condition> {
        let m = &self.mapping;
        if deliver.seq <= m.settled.max(m.list_from) || m.list_at != Some(m.list) {
            return None;
        }
        cx.count("list-hits");
        self.standing(&deliver.enterprise, &deliver.user).refusal()
    }

    /// Whether one has no part in the group any more: its puppet goes.
    pub(super) fn show_out(&mut self, cx: &mut Context, off: Vec<Off>) {
        for gone in off {
            match gone {
                Off::Account(account) => self.retire(cx, &account),
                Off::Enterprise(enterprise) => {
                    for account in self.puppets.of(&enterprise) {
                        self.retire(cx, &account);
                    }
                }
            }
        }
    }
}

fn offs(entry: &Entry) -> Vec<Off> {
    let gone = |enterprise: &EnterpriseId| vec![Off::Enterprise(enterprise.clone())];
    match &entry.change {
        GroupChange::Listed { enterprise, accounts, .. } => {
            let off = accounts.iter().filter(|a| a.listed.is_none());
            off.map(|a| Off::Account(Account { enterprise: enterprise.clone(), user: a.user.clone() })).collect()
        }
        GroupChange::Unlisted { enterprise, .. } | GroupChange::Suspended { enterprise } => gone(enterprise),
        _ => Vec::new(),
    }
}

fn put(roster: &mut Roster, account: &AccountId, listed: Option<&Listed>) {
    roster.begin(&account.enterprise);
    let row = listed.map(|l| (row_hash(&account.enterprise, &account.user, l), l.role));
    roster.put(&account.enterprise, UserKey::of(&account.user), row);
}
