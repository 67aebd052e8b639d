//! The enterprise's own part of a user list: as it is to be, with what of it the center has not decided yet.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_schemas::ids::{DisplayName, GatewayId, N, UserId};
use intergroup_schemas::list::{AccountEdit, AccountRow, Listed, Role};

use super::Room;
use crate::bridge::context::Context;
use crate::ids::BareJid;
use crate::store::{Change, OwnRow};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Own {
    people: BTreeMap<UserId, Listed>,
    /// Those who are on the list for the room here; see [`Room::is_ours_to_remove`].
    here: BTreeSet<UserId>,
    /// Accounts by the edit that changed them last, as long as the outbox keeps it: a center that has lost its end is given it
    /// again, though it was decided.
    edited: BTreeMap<UserId, N>,
    /// Accounts whose last edit is decided and has not come by in the stream, with what came by instead: earlier edits, which
    /// the stream is still at.
    settling: BTreeMap<UserId, Option<AccountEdit>>,
    /// Who came onto the list or went off it since that was asked last.
    touched: BTreeSet<UserId>,
}

impl Own {
    pub(super) fn new(rows: Vec<OwnRow>) -> Self {
        let mut own = Self::default();
        for OwnRow { user, listed, n, here, .. } in rows {
            own.here.extend((here && listed.is_some()).then(|| user.clone()));
            own.people.extend(listed.map(|listed| (user.clone(), listed)));
            own.edited.extend(n.map(|n| (user, n)));
        }
        own
    }

    /// Whether the account's last edit is on its way.
    fn is_pending(&self, user: &UserId, decided: N) -> bool {
        self.edited.get(user).is_some_and(|n| *n > decided)
    }

    /// Accounts whose last edit is one of these.
    fn edited_within(&self, after: N, upto: N) -> Vec<UserId> {
        self.edited.iter().filter(|(_, n)| **n > after && **n <= upto).map(|(user, _)| user.clone()).collect()
    }

    fn set(&mut self, user: &UserId, listed: Option<&Listed>) {
        if self.people.contains_key(user) != listed.is_some() {
            self.touched.insert(user.clone());
        }
        match listed {
            Some(listed) => drop(self.people.insert(user.clone(), listed.clone())),
            None => {
                self.people.remove(user);
                self.here.remove(user);
            }
        }
    }
}

impl Room {
    /// The enterprise's own accounts on the list, edits that are on their way included.
    pub(in crate::bridge) fn own_people(&self) -> &BTreeMap<UserId, Listed> {
        &self.list.own.people
    }

    /// How a person stands on the list.
    pub(in crate::bridge) fn own_listed(&self, user: &UserId) -> Option<&Listed> {
        self.list.own.people.get(user)
    }

    /// See [`Own::touched`].
    pub(in crate::bridge::room) fn take_touched(&mut self) -> BTreeSet<UserId> {
        std::mem::take(&mut self.list.own.touched)
    }

    /// Whether an account is one of the company's members of the group, and as what. As long as the company has never edited the
    /// list, nobody of it is judged, and whoever is in the room is a member.
    pub(in crate::bridge) fn own_member(&self, cx: &Context, account: &BareJid) -> Option<Listed> {
        let user = cx.config.user(account)?;
        let judged = cx.enterprise().is_some_and(|me| self.mapping.judged.contains(me));
        if judged || !self.list.own.people.is_empty() {
            return self.own_listed(&user).cloned();
        }
        let nick = self.people.nick_of(account)?;
        let display = DisplayName::neutral(nick.as_str()).or_else(|| DisplayName::neutral(user.as_str()))?;
        Some(Listed { display, role: Role::Speak })
    }

    /// What of an edit changes anything. While the list is being fetched as a whole, nobody knows.
    pub(in crate::bridge::room) fn own_changes(&self, edits: &[AccountEdit]) -> Vec<AccountEdit> {
        let known = self.mapping.list_at.is_some();
        let news = |edit: &&AccountEdit| !known || self.list.own.people.get(&edit.user) != edit.listed.as_ref();
        edits.iter().filter(news).cloned().collect()
    }

    /// An edit has its number: from here on the list is meant so.
    pub(in crate::bridge::room) fn own_edited(&mut self, cx: &mut Context, edits: &[AccountEdit], n: N) {
        for edit in edits {
            self.list.own.set(&edit.user, edit.listed.as_ref());
            self.list.own.settling.remove(&edit.user);
            self.list.own.edited.insert(edit.user.clone(), n);
            self.write_own(cx, &edit.user);
        }
    }

    fn write_own(&self, cx: &mut Context, user: &UserId) {
        let listed = self.list.own.people.get(user).cloned();
        let n = self.list.own.edited.get(user).copied();
        let here = self.list.own.here.contains(user);
        cx.change(Change::Own(OwnRow { group: self.group(), user: user.clone(), listed, n, here }));
    }

    // ------------------------------------------------------------ several gateways of the enterprise

    /// The room here has this account as a member, or a command here named it.
    pub(in crate::bridge::room) fn is_for_here(&mut self, cx: &mut Context, user: &UserId) {
        if self.list.own.people.contains_key(user) && self.list.own.here.insert(user.clone()) {
            self.list.own.touched.insert(user.clone());
            self.write_own(cx, user);
        }
    }

    /// Whether an account that the room here does not have may be taken off the list: not when it may be there for the room of
    /// another gateway of ours. What the mirror is ahead of in the stream may be that another has joined.
    pub(in crate::bridge::room) fn is_ours_to_remove(&self, cx: &Context, user: &UserId) -> bool {
        let alone = cx.enterprise().is_some() && !self.shares_part(cx) && !self.list_is_ahead();
        alone || self.list.own.here.contains(user)
    }

    /// Whether an account is on the list, and not for the room of another gateway of ours alone.
    pub(in crate::bridge::room) fn belongs_here(&self, cx: &Context, user: &UserId) -> bool {
        self.own_listed(user).is_some() && (!self.shares_part(cx) || self.list.own.here.contains(user))
    }

    /// Another gateway of the enterprise belongs to the group, too.
    pub(in crate::bridge::room) fn shares_part(&self, cx: &Context) -> bool {
        let ours = |(member, _): &&(GatewayId, DisplayName)| Some(&member.enterprise) == cx.enterprise();
        self.mapping.members.iter().filter(ours).count() > 1
    }

    /// What the list says is newer than what is known of the members, or is being fetched.
    pub(in crate::bridge::room) fn list_is_ahead(&self) -> bool {
        self.mapping.list_at.is_none_or(|at| at > self.mapping.list)
    }

    /// Whoever is on the list for the room here goes, as we leave the group and another gateway of ours stays.
    pub(in crate::bridge::room) fn leave_part(&mut self, cx: &mut Context) {
        if self.shares_part(cx) {
            let gone = self.list.own.here.iter().map(|user| AccountEdit { user: user.clone(), listed: None });
            let gone: Vec<_> = gone.collect();
            self.edit_list(cx, &gone);
        }
    }

    // ------------------------------------------------------------ what the center says

    /// The center has decided everything up to `upto`. An edit that it refused is not what the list says.
    pub(in crate::bridge::room) fn own_decided(&mut self, cx: &mut Context, before: N, upto: N, refused: bool) {
        let decided = self.list.own.edited_within(before, upto);
        if refused && !decided.is_empty() {
            self.list_missed_changes(cx);
        } else {
            self.list.own.settling.extend(decided.into_iter().map(|user| (user, None)));
        }
    }

    /// The center knows nothing behind `decided` any more: what it had decided there is on its way again.
    pub(in crate::bridge::room) fn own_undecided(&mut self, decided: N) {
        let Own { settling, edited, .. } = &mut self.list.own;
        settling.retain(|user, _| edited.get(user).is_none_or(|n| *n <= decided));
    }

    /// The outbox keeps nothing up to `upto`: those edits are not sent again.
    pub(in crate::bridge::room) fn own_trimmed(&mut self, cx: &mut Context, upto: N) {
        for user in self.list.own.edited_within(N(0), upto) {
            self.list.own.edited.remove(&user);
            self.write_own(cx, &user);
        }
    }

    /// See [`Own::settling`].
    pub(super) fn own_settling(&self) -> BTreeSet<UserId> {
        self.list.own.settling.keys().cloned().collect()
    }

    /// All that the center had of these accounts when it had decided has come by: the last of it counts, and where nothing did,
    /// the edit changed nothing there.
    pub(super) fn own_settled(&mut self, cx: &mut Context, users: &BTreeSet<UserId>) {
        for user in users {
            if let Some(Some(edit)) = self.list.own.settling.remove(user) {
                self.own_from_center(cx, &[edit]);
            }
        }
    }

    /// What was undecided behind `decided` has other numbers now: these edits, and no others.
    pub(in crate::bridge::room) fn own_part_renumbered(
        &mut self,
        cx: &mut Context,
        decided: N,
        edits: &BTreeMap<UserId, N>,
    ) {
        let before = std::mem::replace(&mut self.list.own.edited, edits.clone());
        for user in before.keys().chain(edits.keys()) {
            self.write_own(cx, user);
        }
        if before.iter().any(|(user, n)| *n > decided && !edits.contains_key(user)) {
            self.list_missed_changes(cx);
        }
    }

    /// So the center has our part. What we have edited since is on its way there.
    pub(super) fn own_from_center(&mut self, cx: &mut Context, accounts: &[AccountEdit]) {
        let decided = self.mapping.decided;
        for edit in accounts {
            let own = &mut self.list.own;
            if own.people.get(&edit.user) == edit.listed.as_ref() {
                own.settling.remove(&edit.user);
            } else if let Some(earlier) = own.settling.get_mut(&edit.user) {
                *earlier = Some(edit.clone());
            } else if !own.is_pending(&edit.user, decided) {
                // Not by us: by another gateway of the company, or by a store that this one is an older copy of.
                self.list.own.set(&edit.user, edit.listed.as_ref());
                self.write_own(cx, &edit.user);
                self.read_soon(cx);
            }
        }
    }

    /// The same, out of a page.
    pub(super) fn own_from_page(&mut self, cx: &mut Context, rows: &[AccountRow]) {
        let own = rows.iter().filter(|row| cx.enterprise() == Some(&row.account.enterprise));
        let edits = own.map(|row| AccountEdit { user: row.account.user.clone(), listed: row.listed.clone() });
        let edits: Vec<_> = edits.collect();
        self.own_from_center(cx, &edits);
    }

    /// The whole list was fetched: whoever was not in it is not on it.
    pub(super) fn own_is_only(&mut self, cx: &mut Context, seen: &BTreeSet<UserId>) {
        let (own, decided) = (&self.list.own, self.mapping.decided);
        let ours = |user: &UserId| own.is_pending(user, decided) || own.settling.contains_key(user);
        let stray = |user: &&UserId| !seen.contains(*user) && !ours(user);
        let strays: Vec<_> = own.people.keys().filter(stray).cloned().collect();
        for user in strays {
            self.list.own.set(&user, None);
            self.write_own(cx, &user);
        }
    }
}
