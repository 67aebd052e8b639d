//! What every store must do, run against each of them.

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::history::{self, Identity};
use intergroup_schemas::ids::{GroupNumber, HistoryHash, ListDigest, ListVersion, N, OriginKey, Seq, UserId};
use intergroup_schemas::limits;
use intergroup_schemas::link::{About, Change as GroupChange, Timestamp};
use intergroup_schemas::list::{self, AccountEdit, AccountRow, Listed, Role, UserKey};

use super::embedded::EmbeddedStore;
use super::memory::MemoryStore;
use super::{
    Change, Enrolment, Enterprise, EnterpriseState, Fate, Gateway, Group, Member, PageQuery, Record, RecordKind, Store,
};

pub(super) const GROUP: GroupNumber = GroupNumber(10_001);

pub(super) fn group() -> Group {
    Group {
        number: GROUP,
        about: About { name: "Apollo".into(), subject: "Landing".into(), ..About::default() },
        owner: "acme".parse().unwrap(),
        incarnation: "i1".parse().unwrap(),
        list: ListVersion(1),
        digest: ListDigest([7; 16]),
        accounts: 2,
        allowed: vec!["globex".parse().unwrap(), "initech".parse().unwrap()],
        deleted: false,
    }
}

pub(super) fn log(count: u64) -> Vec<Record> {
    let mut hash = HistoryHash::default();
    let mut records = Vec::new();
    for n in 1..=count {
        let key = OriginKey { epoch: "k7".parse().unwrap(), n: N(n) };
        let end = GroupChange::Deleted {};
        let (acme, change) = ("acme".parse().unwrap(), n == 1);
        let identity = if change { Identity::Change(&end) } else { Identity::Message(&acme, &key) };
        hash = history::advance(hash, Seq(n), identity);
        let kind = if change {
            RecordKind::Change(GroupChange::Deleted {})
        } else {
            let deliver = Bytes::from(vec![b'x'; 100]);
            RecordKind::Message { origin: "acme/main".parse().unwrap(), key, source: Some(u64::MAX - n), deliver }
        };
        let stored = Timestamp(i64::try_from(n).unwrap());
        records.push(Record { group: GROUP, seq: Seq(n), hash, stored, list: ListVersion(1), kind });
    }
    records
}

fn keeps_everything(store: &mut dyn Store, reopen: impl Fn() -> Option<Box<dyn Store>>) {
    let gateway = || "acme/main".parse().unwrap();
    let epoch = || "k7".parse().unwrap();
    let member = Member {
        group: GROUP,
        gateway: gateway(),
        from: Seq(1),
        from_hash: HistoryHash([1; 16]),
        list: ListVersion(1),
        until: None,
        settled: Seq(7),
    };
    let key = OriginKey { epoch: epoch(), n: N(3) };
    let fate = Fate { group: GROUP, member: gateway(), seq: Seq(300), key, condition: Condition::Banned };
    let refused =
        |n| Change::Refused { group: GROUP, gateway: gateway(), epoch: epoch(), n, condition: Condition::TooLarge };
    let mut batch = vec![
        Change::Enterprise(Enterprise {
            id: "acme".parse().unwrap(),
            display: "Acme".parse().unwrap(),
            state: EnterpriseState::Suspended,
        }),
        Change::Gateway(Gateway {
            id: gateway(),
            certificate: [1; 32],
            previous: Some([2; 32]),
            expires: Timestamp(5),
        }),
        Change::Enrolment(Enrolment { secret: [3; 32], gateway: gateway(), expires: Timestamp(6) }),
        Change::Enrolment(Enrolment { secret: [4; 32], gateway: gateway(), expires: Timestamp(6) }),
        Change::EnrolmentGone([4; 32]),
        Change::Group(group()),
        Change::Member(Member { settled: Seq(2), ..member.clone() }),
        Change::Member(member.clone()),
        Change::Mark { group: GROUP, gateway: gateway(), epoch: epoch(), n: N(8) },
        Change::Mark { group: GROUP, gateway: gateway(), epoch: epoch(), n: N(9) },
        refused(N(4)),
        refused(N(5)),
        Change::Confirmed { group: GROUP, gateway: gateway(), epoch: epoch(), n: N(4) },
        Change::Fate(fate.clone()),
    ];
    let records = log(600);
    batch.extend(records.iter().cloned().map(Change::Append));
    store.commit(&batch).unwrap();
    let mut reopened = reopen();
    let store = reopened.as_deref_mut().unwrap_or(store);

    let snapshot = store.load().unwrap();
    assert_eq!(snapshot.enterprises.len(), 1);
    assert_eq!(snapshot.enterprises[0].state, EnterpriseState::Suspended);
    assert_eq!(snapshot.gateways[0].previous, Some([2; 32]));
    assert_eq!(snapshot.enrolments.iter().map(|e| e.secret).collect::<Vec<_>>(), [[3; 32]]);
    assert_eq!(snapshot.members, [member]);
    assert_eq!(snapshot.marks, [(GROUP, gateway(), epoch(), N(9))]);
    assert_eq!(snapshot.refusals, [(GROUP, gateway(), epoch(), N(5), Condition::TooLarge)]);
    assert_eq!(snapshot.fates, [fate]);
    let state = &snapshot.groups[0];
    assert_eq!(state.group, group());
    assert_eq!((state.head, state.head_hash), (Seq(600), records[599].hash));
    assert_eq!(state.bytes, 59_900);
    assert_eq!(
        state.milestones.iter().map(|m| (m.seq, m.bytes)).collect::<Vec<_>>(),
        [(Seq(256), 25_500), (Seq(512), 51_100)]
    );

    assert_eq!(store.read_log(GROUP, Seq(0), 10, 1 << 20).unwrap(), records[..10]);
    assert_eq!(store.read_log(GROUP, Seq(10), 10, 350).unwrap(), records[10..13], "bounded by bytes");
    assert_eq!(store.read_log(GROUP, Seq(10), 10, 1).unwrap(), records[10..11], "but for the first");
    assert_eq!(store.read_log(GROUP, Seq(600), 10, 1 << 20).unwrap(), []);
    assert_eq!(store.hash_at(GROUP, Seq(0)).unwrap(), Some(HistoryHash::default()));
    assert_eq!(store.hash_at(GROUP, Seq(42)).unwrap(), Some(records[41].hash));
    assert_eq!(store.hash_at(GROUP, Seq(601)).unwrap(), None);
    assert_eq!(store.sources(GROUP, &gateway()).unwrap().len(), 599);
    assert!(store.sources(GROUP, &"acme/other".parse().unwrap()).unwrap().is_empty());

    let hash = records[255].hash;
    store.commit(&[Change::Trim { group: GROUP, upto: Seq(256), hash }]).unwrap();
    let state = &store.load().unwrap().groups[0];
    assert_eq!((state.floor, state.floor_hash, state.head), (Seq(256), hash, Seq(600)));
    assert_eq!(store.read_log(GROUP, Seq(0), 1, 1).unwrap()[0].seq, Seq(257));
    assert_eq!(store.hash_at(GROUP, Seq(256)).unwrap(), Some(hash));
    assert_eq!(store.hash_at(GROUP, Seq(255)).unwrap(), None);
    assert_eq!(store.load().unwrap().fates.len(), 1, "fates go with their entries");
    store.commit(&[Change::Group(Group { deleted: true, ..group() })]).unwrap();
    assert_eq!(store.load().unwrap().groups[0].floor, Seq(256), "a changed group keeps its log's floor");
}

fn stores() -> [Box<dyn Store>; 2] {
    let dir = tempfile::tempdir().unwrap();
    // The directory goes with its name; the open file stays.
    [Box::new(MemoryStore::default()), Box::new(EmbeddedStore::open(&dir.path().join("center.db")).unwrap())]
}

pub(super) fn on(user: &str, display: &str) -> AccountEdit {
    let listed = Some(Listed { display: display.parse().unwrap(), role: Role::Speak });
    AccountEdit { user: user.parse().unwrap(), listed }
}

/// An entry of a group's log that changes its list, and the group with it.
pub(super) fn listed(seq: u64, change: GroupChange) -> Vec<Change> {
    let (hash, stored, list) = (HistoryHash::default(), Timestamp(1), ListVersion(seq));
    let kind = RecordKind::Change(change);
    let record = Record { group: GROUP, seq: Seq(seq), hash, stored, list, kind };
    let digest = ListDigest([u8::try_from(seq % 256).unwrap(); 16]);
    vec![Change::Group(Group { list, digest, accounts: seq, ..group() }), Change::Append(record)]
}

fn keeps_lists(store: &mut dyn Store, reopen: impl Fn() -> Option<Box<dyn Store>>) {
    let (acme, globex) = (|| "acme".parse().unwrap(), || "globex".parse().unwrap());
    let change = |enterprise, accounts| GroupChange::Listed { enterprise, accounts, digest: ListDigest::default() };
    let gone = |user: &str| AccountEdit { user: user.parse().unwrap(), listed: None };
    for (seq, change) in [
        change(acme(), vec![on("alice", "Alice"), on("bob", "Bob")]),
        change(globex(), vec![on("alice", "Alice")]),
        change(acme(), vec![gone("bob"), on("alice", "Alice S.")]),
        change(globex(), vec![on("bob", "Bob")]),
        GroupChange::Unlisted { enterprise: globex(), digest: ListDigest::default() },
        change("initech".parse().unwrap(), Vec::new()),
    ]
    .into_iter()
    .enumerate()
    {
        store.commit(&listed(seq as u64 + 1, change)).unwrap();
    }
    let mut reopened = reopen();
    let store = reopened.as_deref_mut().unwrap_or(store);
    let parts = store.load().unwrap().parts;
    let counts: Vec<_> = parts.iter().map(|p| (p.enterprise.as_str(), p.accounts.len())).collect();
    assert_eq!(counts, [("acme", 1), ("globex", 0), ("initech", 0)], "whoever has edited a list is known to");
    let listed = on("alice", "Alice S.").listed.unwrap();
    let alice: UserId = "alice".parse().unwrap();
    let row = (UserKey::of(&alice), list::row_hash(&acme(), &alice, &listed), Role::Speak);
    assert_eq!(parts[0].accounts, [row]);

    let mut page = |since, after: Option<&str>| {
        let after = after.map(|a| a.parse().unwrap());
        let page = store.list_page(&PageQuery { group: GROUP, since: ListVersion(since), after }).unwrap();
        assert_eq!((page.version, page.digest, page.accounts), (ListVersion(6), ListDigest([6; 16]), 6));
        let word = |row: &AccountRow| format!("{} {} {}", row.version, row.account, row.listed.is_some());
        (page.rows.iter().map(word).collect::<Vec<_>>(), page.more)
    };
    let all = ["3 acme/alice true", "3 acme/bob false", "5 globex/alice false", "5 globex/bob false"];
    assert_eq!(page(0, None), (all.map(str::to_owned).to_vec(), false));
    assert_eq!(page(3, None).0, all[2..], "all of a version");
    assert_eq!(page(3, Some("acme/alice")).0, all[1..], "from within a version");
    assert_eq!(page(6, None).0, [""; 0]);

    let mut batch = vec![Change::Group(Group { number: GroupNumber(10_002), ..group() })];
    for seq in 1..=5 {
        let accounts = (0..250).map(|n| on(&format!("u{}", seq * 1000 + n), &"x".repeat(200))).collect();
        batch.extend(self::listed(seq, change(acme(), accounts)).into_iter().filter_map(|c| match c {
            Change::Append(r) => Some(Change::Append(Record { group: GroupNumber(10_002), ..r })),
            _ => None,
        }));
    }
    store.commit(&batch).unwrap();
    let (mut seen, mut since, mut after) = (Vec::new(), ListVersion(0), None);
    loop {
        let page = store.list_page(&PageQuery { group: GroupNumber(10_002), since, after }).unwrap();
        assert!(!page.rows.is_empty() && page.rows.len() <= limits::ACCOUNTS_PER_PAGE);
        let last = page.rows.last().unwrap();
        (since, after) = (last.version, Some(last.account.clone()));
        seen.extend(page.rows.into_iter().map(|row| row.account));
        if !page.more {
            break;
        }
    }
    assert_eq!(seen.len(), 1250, "pages leave nothing out");
    seen.dedup();
    assert_eq!(seen.len(), 1250, "and bring nothing twice");
}

#[test]
fn memory() {
    keeps_everything(&mut MemoryStore::default(), || None);
    keeps_lists(&mut MemoryStore::default(), || None);
}

#[test]
fn embedded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("center.db");
    let open = || Box::new(EmbeddedStore::open(&path).unwrap());
    keeps_everything(open().as_mut(), || Some(open()));
    let path = dir.path().join("lists.db");
    let open = || Box::new(EmbeddedStore::open(&path).unwrap());
    keeps_lists(open().as_mut(), || Some(open()));
}

/// With a redis-server of its own.
mod on_servers {
    use std::cell::RefCell;

    use intergroup_redis::Settings;
    use intergroup_redis::testing::Server;

    use super::*;
    use crate::store::redis::RedisStore;

    fn settings(server: &Server) -> Settings {
        Settings { address: server.address().parse().unwrap(), password: None, authorities: None }
    }

    fn open(server: &Server) -> RedisStore {
        RedisStore::open(&settings(server)).unwrap()
    }

    type Reopen<'a> = &'a dyn Fn() -> Option<Box<dyn Store>>;

    fn killed(check: fn(&mut dyn Store, Reopen<'_>)) {
        let server = RefCell::new(Server::start());
        let mut store = open(&server.borrow());
        check(&mut store, &|| {
            server.borrow_mut().kill();
            server.borrow_mut().restart();
            Some(Box::new(open(&server.borrow())))
        });
    }

    #[test]
    fn redis_that_is_killed_between() {
        killed(|store, reopen| keeps_everything(store, reopen));
        killed(|store, reopen| keeps_lists(store, reopen));
    }

    #[test]
    fn a_log_on_redis_may_be_cut_anywhere() {
        let server = Server::start();
        cut_anywhere(&mut open(&server));
    }

    #[test]
    fn a_batch_that_fails_leaves_nothing_on_redis() {
        let server = Server::start();
        let mut store = open(&server);
        fails_and_leaves_nothing(&mut store);
        store.commit(&[Change::Group(group())]).unwrap();
    }

    #[test]
    fn a_look_at_redis_sees_what_was_committed_and_writes_nothing() {
        let server = Server::start();
        let mut store = open(&server);
        store.commit(&[Change::Group(group())]).unwrap();
        store.commit(&log(3).into_iter().map(Change::Append).collect::<Vec<_>>()).unwrap();
        let mut look = RedisStore::look(&settings(&server)).unwrap();
        assert_eq!(look.read_log(GROUP, Seq(1), 9, usize::MAX).unwrap(), log(3)[1..]);
        assert!(look.commit(&[Change::Group(group())]).is_err());
        store.commit(&[Change::Group(group())]).unwrap();
    }
}

#[test]
fn what_was_not_synced_is_gone_after_a_crash() {
    let mut store = MemoryStore::holding_back();
    store.commit(&[Change::Group(group())]).unwrap();
    store.commit(&log(1).into_iter().map(Change::Append).collect::<Vec<_>>()).unwrap();
    assert!(store.sync());
    store.crash();
    let groups = store.load().unwrap().groups;
    assert_eq!(groups[0].head, Seq(0), "the first batch was synced, the second was not");
    assert!(!store.sync());
}

#[test]
fn a_batch_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fails_and_leaves_nothing(&mut EmbeddedStore::open(&dir.path().join("center.db")).unwrap());
}

fn fails_and_leaves_nothing(store: &mut dyn Store) {
    let twice = [log(1), log(1)].concat();
    let mut batch = vec![Change::Group(group())];
    batch.extend(twice.into_iter().map(Change::Append));
    assert!(store.commit(&batch).is_err());
    assert_eq!(store.load().unwrap(), super::Snapshot::default());
}

#[test]
fn a_store_of_version_1_is_read_and_becomes_one_of_today() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("center.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(include_str!("embedded/version-1.sql")).unwrap();
    let records = log(600);
    let mut insert = db.prepare("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)").unwrap();
    for record in &records {
        let (grp, seq) = (record.group.0.cast_signed(), record.seq.0.cast_signed());
        let (hash, stored, list) = (record.hash.0, record.stored.0, record.list.0.cast_signed());
        match &record.kind {
            RecordKind::Change(change) => {
                let (none, body) = (None::<i64>, serde_json::to_vec(change).unwrap());
                insert.execute(rusqlite::params![grp, seq, hash, stored, list, none, none, none, none, 0, body])
            }
            RecordKind::Message { origin, key, source, deliver } => insert.execute(rusqlite::params![
                grp,
                seq,
                hash,
                stored,
                list,
                origin.to_string(),
                key.epoch.as_str(),
                key.n.0.cast_signed(),
                source.map(u64::cast_signed),
                i64::try_from(deliver.len()).unwrap(),
                deliver.as_ref()
            ]),
        }
        .unwrap();
    }
    drop(insert);
    drop(db);
    for parts in 0..2 {
        let mut store = EmbeddedStore::open(&path).unwrap();
        let snapshot = store.load().unwrap();
        assert_eq!(snapshot.groups[0].head, Seq(600 + parts));
        assert_eq!(snapshot.groups[0].group.about.name, "Apollo");
        assert_eq!(snapshot.parts.len() as u64, parts);
        assert_eq!(store.read_log(GROUP, Seq(0), 600, usize::MAX).unwrap(), records);
        let (enterprise, digest) = ("acme".parse().unwrap(), ListDigest::default());
        let change = GroupChange::Listed { enterprise, accounts: vec![on("alice", "Alice")], digest };
        let kind = RecordKind::Change(change);
        let record = Record { seq: Seq(601 + parts), list: ListVersion(2), kind, ..records[599].clone() };
        store.commit(&[Change::Append(record)]).unwrap();
    }
}

#[test]
fn a_log_may_be_cut_anywhere() {
    for mut store in stores() {
        cut_anywhere(store.as_mut());
    }
}

fn cut_anywhere(store: &mut dyn Store) {
    let records = log(600);
    store.commit(&[Change::Group(group())]).unwrap();
    store.commit(&records.iter().cloned().map(Change::Append).collect::<Vec<_>>()).unwrap();
    for upto in [1, 100, 256, 257, 599, 600] {
        let hash = records[usize::try_from(upto).unwrap() - 1].hash;
        store.commit(&[Change::Trim { group: GROUP, upto: Seq(upto), hash }]).unwrap();
        let rest = &records[usize::try_from(upto).unwrap()..];
        assert_eq!(store.read_log(GROUP, Seq(0), 1000, usize::MAX).unwrap(), rest);
        let state = &store.load().unwrap().groups[0];
        assert_eq!((state.floor, state.head, state.bytes), (Seq(upto), Seq(600), 100 * rest.len() as u64));
    }
}

#[test]
fn a_store_of_somebody_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("center.db");
    drop(EmbeddedStore::open(&path).unwrap());
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    let text = EmbeddedStore::open(&path).unwrap_err().to_string();
    assert!(text.contains("format 99"), "{text}");
    db.pragma_update(None, "application_id", 7).unwrap();
    let text = EmbeddedStore::open(&path).unwrap_err().to_string();
    assert!(text.contains("not a center's store"), "{text}");
}
