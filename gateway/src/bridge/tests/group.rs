//! The group as the center tells of it: its members, its user list, and its stream.

use intergroup_schemas::ids::{AccountId, Epoch, HistoryHash, Incarnation, ListVersion, N, OriginKey, Seq};
use intergroup_schemas::link::{
    About, Decided, Deliver, GroupInfo, MemberInfo, ResponseBody, Standing, Timestamp, ToCenter, ToGateway,
};
use intergroup_schemas::list::{AccountEdit, AccountRow, ListPage, Listed, Role as ListRole, Roster};

use super::archive::Archived;
use super::rig::{GROUP, Rig, Speaker};
use crate::bridge::Event;

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

/// A message of Globex.
pub(super) fn delivered(seq: u64, user: &str, text: &str) -> Deliver {
    Deliver {
        group: GROUP,
        seq: Seq(seq),
        enterprise: "globex".parse().unwrap(),
        key: OriginKey { epoch: "g1".parse().unwrap(), n: N(seq) },
        list: ListVersion(1),
        user: user.parse().unwrap(),
        nick: user.parse().unwrap(),
        at: Timestamp(0),
        late: false,
        payload: format!("<body>{text}</body>").into(),
    }
}

impl Rig {
    /// The center has decided all up to `n`.
    pub(super) fn decides(&mut self, n: u64) -> Epoch {
        let epoch = self.bridge.hello()[0].epoch.clone();
        let decided = Decided { group: GROUP, epoch: epoch.clone(), n: N(n), refused: Vec::new() };
        self.event(Event::Link(ToGateway::Decided(decided)));
        epoch
    }

    pub(super) fn relays(&self) -> Vec<(u64, String)> {
        let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
        let relay = |s: &ToCenter| match s {
            ToCenter::Relay(r) => Some((r.n.0, text(&r.payload))),
            _ => None,
        };
        self.sent.iter().filter_map(relay).collect()
    }

    pub(super) fn deliver(&mut self, seq: u64, user: &str, text: &str) {
        self.event(Event::Link(ToGateway::Deliver(delivered(seq, user, text))));
    }

    /// What is in the room of remote people, in order.
    pub(super) fn heard(&self) -> Vec<String> {
        let remote = |e: &&Archived| match &e.from {
            Speaker::Ours(_) => e.text.contains("<body>") && !e.text.contains("shared"),
            Speaker::Person(_) | Speaker::Nobody => false,
        };
        let plain = |e: &Archived| e.text.replace("<body>", "").replace("</body>", "");
        self.archive.iter().filter(remote).map(plain).collect()
    }
}
