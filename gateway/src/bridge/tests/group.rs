//! The group as the center tells of it: its members, and its user list.

use intergroup_schemas::ids::{AccountId, HistoryHash, Incarnation, ListVersion, Seq};
use intergroup_schemas::link::{About, GroupInfo, MemberInfo, ResponseBody, Standing};
use intergroup_schemas::list::{AccountEdit, AccountRow, ListPage, Listed, Role as ListRole, Roster};

use super::rig::GROUP;

pub(super) fn incarnation() -> Incarnation {
    "i1".parse().unwrap()
}

pub(super) fn member(enterprise: &str, display: &str) -> MemberInfo {
    MemberInfo {
        enterprise: enterprise.parse().unwrap(),
        display: display.parse().unwrap(),
        gateway: "main".parse().unwrap(),
        settled: Seq(1),
        online: true,
    }
}

pub(super) fn info() -> GroupInfo {
    GroupInfo {
        number: GROUP,
        about: Box::new(About { name: "Apollo".into(), ..About::default() }),
        owner: "acme".parse().unwrap(),
        incarnation: incarnation(),
        head: Seq(1),
        head_hash: HistoryHash([1; 16]),
        list: ListVersion(1),
        digest: Default::default(),
        accounts: 0,
        standing: Standing::Member,
        joined_at: Seq(1),
        joined_hash: HistoryHash([1; 16]),
        allowed: Vec::new(),
        members: Vec::new(),
    }
}

/// The list with these accounts, as the center tells it.
pub(super) fn list_of(version: u64, rows: Vec<AccountRow>) -> ListPage {
    let mut roster = Roster::default();
    for AccountRow { account, listed, .. } in &rows {
        roster.apply(&account.enterprise, &[AccountEdit { user: account.user.clone(), listed: listed.clone() }]);
    }
    let (digest, accounts) = (roster.digest(), roster.len() as u64);
    ListPage { version: ListVersion(version), digest, accounts, rows, more: false }
}

pub(super) fn row(account: &str, display: &str, version: u64) -> AccountRow {
    let listed = Some(Listed { display: display.parse().unwrap(), role: ListRole::Speak });
    AccountRow { account: account.parse().unwrap(), version: ListVersion(version), listed }
}

/// What changed behind a row of the list.
pub(super) fn page(list: &ListPage, since: ListVersion, after: Option<&AccountId>) -> ResponseBody {
    let behind = |row: &&AccountRow| match after {
        Some(after) => (row.version, &row.account) > (since, after),
        None => row.version > since,
    };
    let rows = list.rows.iter().filter(behind).cloned().collect();
    ResponseBody::List { group: GROUP, page: ListPage { rows, ..list.clone() } }
}
