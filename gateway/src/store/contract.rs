//! What every store must do, run against each of them.

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{GroupNumber, HistoryHash, ListVersion, N, OriginKey, Seq};
use intergroup_schemas::link::Timestamp;
use intergroup_schemas::list::{Listed, Role};

use super::embedded::EmbeddedStore;
use super::memory::MemoryStore;
use super::*;
use crate::ids::Account;

const A: GroupNumber = GroupNumber(10_001);
const B: GroupNumber = GroupNumber(10_002);
/// The largest number that keeps its order in a store with signed integers.
const MAX: u64 = i64::MAX.cast_unsigned();

fn key(n: u64) -> OriginKey {
    OriginKey { epoch: "k7".parse().unwrap(), n: N(n) }
}

fn place(id: &str) -> Place {
    let audience = Some(Audience { list: ListVersion(2), alone: true, since: Some(Timestamp(-9)) });
    Place { id: id.into(), stamp: Timestamp(-5), audience }
}

fn mapping(group: GroupNumber) -> Mapping {
    Mapping {
        group,
        name: "Apollo \"11\"".into(),
        room: "apollo@conference.acme.test".into(),
        archive: true,
        source: Some(Source::Explicit),
        offline: Some(Offline::Queue),
        kept: Kept { next: Spot(9), heard: Spot(8), parts: vec![Part { from: Spot(3), bytes: 70, at: Timestamp(4) }] },
        waits: true,
        ending: Some(Ending::Leave),
        closed: true,
        members: vec![("acme/main".parse().unwrap(), "Acme".parse().unwrap())],
        suspended: vec!["globex".parse().unwrap()],
        list: ListVersion(3),
        list_from: Seq(11),
        list_at: Some(ListVersion(2)),
        judged: ["globex".parse().unwrap()].into(),
        alone: true,
        news: vec![Audience { list: ListVersion(3), alone: false, since: None }],
        floor: Some(place("f")),
        announced: ListVersion(2),
        cursor: Some(place("c")),
        newest: Some("n".into()),
        checkpoints: vec![Checkpoint {
            generation: Generation(5),
            place: place("p"),
            settled: Seq(6),
            hash: HistoryHash([8; 16]),
            made: Timestamp(9),
        }],
        generation: Generation(7),
        life: Life(4),
        epoch: "k7".parse().unwrap(),
        last_n: N(40),
        run: Some("r1".parse().unwrap()),
        offered: N(39),
        decided: N(39),
        decided_at: vec![(Timestamp(1), N(30))],
        incarnation: Some("i1".parse().unwrap()),
        settled: Seq(6),
        hash: HistoryHash([1; 16]),
        places: vec![(Seq(5), HistoryHash([2; 16]))],
        suspect: Some((Seq(7), 1)),
        refused: vec![(Seq(4), key(3), Condition::Banned)],
        fates_told: vec![("globex/main".parse().unwrap(), key(2))],
    }
}

fn outbox(group: GroupNumber, n: u64) -> OutboxRow {
    let what = if n == 4 { an_edit() } else { Outgoing::Message(message(n)) };
    OutboxRow { group, n: N(n), what }
}

fn an_edit() -> Outgoing {
    let listed = Some(Listed { display: "Alice \u{2602}".parse().unwrap(), role: Role::ReadOnly });
    let alice = AccountEdit { user: "alice".parse().unwrap(), listed };
    let gone = AccountEdit { user: "bob@other.test".parse().unwrap(), listed: None };
    Outgoing::Edit { base: ListVersion(7), accounts: vec![alice, gone] }
}

fn message(n: u64) -> OutMessage {
    OutMessage {
        source: (!n.is_multiple_of(2)).then(|| format!("r:{n}").parse().unwrap()),
        list: ListVersion(3),
        user: "alice".parse().unwrap(),
        nick: "Alice ☂".parse().unwrap(),
        at: Timestamp(1_000),
        late: n == 3,
        payload: Bytes::from_static(b"<body>hi</body>"),
    }
}

fn posted(group: GroupNumber, id: &str, generation: u64, seq: Option<u64>) -> PostedRow {
    PostedRow {
        group,
        id: id.into(),
        stanza_id: seq.map(|s| format!("s{s}").as_str().into()),
        generation: Generation(generation),
        at: Timestamp(generation.cast_signed() * 100),
        seq: seq.map(Seq),
        key: seq.map(|s| ("globex".parse().unwrap(), key(s))),
    }
}

fn parked(group: GroupNumber, id: &str) -> ParkedRow {
    ParkedRow {
        group,
        id: id.into(),
        occupant: "o9".into(),
        nick: "Bob".parse().unwrap(),
        at: Timestamp(12),
        list: ListVersion(1),
        payload: Bytes::from_static(b"<body/>"),
    }
}

fn missed(group: GroupNumber, spot: u64) -> MissedRow {
    MissedRow {
        group,
        spot: Spot(spot),
        id: format!("m{spot}").as_str().into(),
        user: spot.is_multiple_of(2).then(|| "alice@other.test".parse().unwrap()),
        author: "Carol \u{2602} (Globex)".into(),
        at: Timestamp(-7),
        payload: Bytes::from_static(b"<body>hi</body>"),
    }
}

fn absent(group: GroupNumber, user: &str, spans: &[(u64, u64)], since: Option<u64>) -> AbsentRow {
    let spans = spans.iter().map(|(from, to)| (Spot(*from), Spot(*to))).collect();
    let absence = Absence { spans, since: since.map(Spot), follows: user == "alice" };
    AbsentRow { group, user: user.parse().unwrap(), absence }
}

fn notice(group: GroupNumber, count: u64) -> NoticeRow {
    NoticeRow { group, author: "alice@acme.test".into(), condition: Condition::Encrypted, count, told: 1 }
}

fn listed(is: bool) -> Option<Listed> {
    is.then(|| Listed { display: "Alice \u{2602}".parse().unwrap(), role: Role::ReadOnly })
}

fn own(group: GroupNumber, user: &str, is: bool, n: Option<u64>) -> OwnRow {
    OwnRow { group, user: user.parse().unwrap(), listed: listed(is), n: n.map(N), here: user != "bob" }
}

fn attendance(group: GroupNumber, user: &str, day: i64, barred: bool) -> AttendanceRow {
    AttendanceRow { group, user: user.parse().unwrap(), day, barred }
}

fn account(account: &str, version: u64, is: bool) -> AccountRow {
    AccountRow { account: account.parse().unwrap(), version: ListVersion(version), listed: listed(is) }
}

fn puppet(life: u64) -> Mouth {
    let account = Account { enterprise: "globex".parse().unwrap(), user: "bob@other.test".parse().unwrap() };
    Mouth { who: Who::Puppet(account), life: Life(life) }
}

fn ear(life: u64) -> Mouth {
    Mouth { who: Who::Ear, life: Life(life) }
}

/// One row of everything in a group.
fn filled(group: GroupNumber) -> Vec<Change> {
    let seen = |id: &str, generation| Change::Seen { group, id: id.into(), generation: Generation(generation) };
    let mut batch = vec![
        Change::Mapping(Box::new(Mapping { name: "old".into(), ..mapping(group) })),
        Change::Mapping(Box::new(mapping(group))),
        seen("a", 4),
        seen("b", 5),
        seen("c", MAX),
        Change::Posted(posted(group, "m1", 4, Some(1))),
        Change::Posted(posted(group, "m2", 5, None)),
        Change::Posted(posted(group, "m2", 5, Some(2))),
        Change::Posted(posted(group, "m3", 6, Some(3))),
        Change::Posted(posted(group, "notice", 6, None)),
        Change::Occupant { group, id: "o1".into(), owner: Owner::Person("alice@acme.test".into()) },
        Change::Occupant { group, id: "o2".into(), owner: Owner::Ours(puppet(1).who) },
        Change::Occupant { group, id: "o3".into(), owner: Owner::Ours(Who::Ear) },
        Change::Parked(parked(group, "z first")),
        Change::Parked(parked(group, "a second")),
        Change::Parked(parked(group, "gone")),
        Change::ParkedGone { group, id: "gone".into() },
        Change::Entered { group, mouth: ear(3) },
        Change::Entered { group, mouth: puppet(3) },
        Change::Entered { group, mouth: ear(4) },
        Change::Fenced { group, life: Life(4) },
        Change::Entered { group, mouth: puppet(4) },
        Change::Entered { group, mouth: puppet(4) },
        Change::Notice(notice(group, 1)),
        Change::Notice(notice(group, 2)),
        Change::Attendance(attendance(group, "gone", 1, false)),
        Change::Attendance(attendance(group, "alice", 20_000, false)),
        Change::Attendance(attendance(group, "alice", 20_001, true)),
        Change::AttendanceGone { group, user: "gone".parse().unwrap() },
        Change::Absent(absent(group, "gone", &[(1, 2)], None)),
        Change::Absent(absent(group, "gone", &[], None)),
        Change::Absent(absent(group, "alice", &[(1, 2), (5, 9)], Some(10))),
        Change::Absent(absent(group, "bob@other.test", &[(1, 2)], None)),
        Change::Own(own(group, "gone", true, None)),
        Change::Own(own(group, "gone", false, None)),
        Change::Own(own(group, "removed", false, Some(4))),
        Change::Own(own(group, "alice", true, Some(3))),
        Change::Own(own(group, "alice", true, None)),
        Change::Listed { group, rows: vec![account("globex/z", 1, true), account("acme/b", 2, true)] },
        Change::Listed { group, rows: vec![account("globex/a", 2, true), account("initech/a", 3, true)] },
        Change::Listed { group, rows: vec![account("globex/z", 4, false), account("acme/b", 5, true)] },
        Change::Unlisted { group, enterprise: Some("initech".parse().unwrap()) },
    ];
    batch.extend((1..=5).map(|n| Change::Outbox(outbox(group, n))));
    batch.extend((1..=4).map(|spot| Change::Missed(missed(group, spot))));
    batch
}

fn keeps_everything(mut store: Box<dyn Store>, reopen: impl Fn(Box<dyn Store>) -> Box<dyn Store>) {
    let empty = store.load().unwrap();
    assert_eq!(empty, Snapshot { key: empty.key, ..Snapshot::default() });
    store.commit(&filled(A)).unwrap();
    store.commit(&filled(B)).unwrap();
    let mut store = reopen(store);

    let all = store.load().unwrap();
    assert_eq!(all.key, empty.key, "the key is made once");
    assert_eq!(all.mappings, [mapping(A), mapping(B)]);
    let seen: Vec<_> = all.seen.iter().map(|(g, id, n)| (*g, id.as_str(), n.0)).collect();
    assert_eq!(seen[..3], [(A, "a", 4), (A, "b", 5), (A, "c", MAX)]);
    let ids: Vec<_> = all.posted.iter().filter(|p| p.group == A).map(|p| p.id.as_str()).collect();
    assert_eq!(ids, ["m2", "m3", "notice"], "m1 is of a generation before the oldest checkpoint");
    assert_eq!(all.posted[0], posted(A, "m2", 5, Some(2)));
    assert_eq!(all.posted[2], posted(A, "notice", 6, None));
    let owners: Vec<_> = all.occupants.iter().filter(|o| o.0 == B).map(|(_, _, owner)| owner.clone()).collect();
    assert_eq!(owners, [Owner::Person("alice@acme.test".into()), Owner::Ours(puppet(1).who), Owner::Ours(Who::Ear)]);
    assert_eq!(all.parked, [parked(A, "z first"), parked(A, "a second"), parked(B, "z first"), parked(B, "a second")]);
    let mut entered = all.entered.clone();
    entered.sort();
    assert_eq!(entered, [(A, ear(4)), (A, puppet(4)), (B, ear(4)), (B, puppet(4))]);
    assert_eq!(all.notices, [notice(A, 2), notice(B, 2)]);
    assert_eq!(all.attendance, [attendance(A, "alice", 20_001, true), attendance(B, "alice", 20_001, true)]);
    let absent_of =
        |group| [absent(group, "alice", &[(1, 2), (5, 9)], Some(10)), absent(group, "bob@other.test", &[(1, 2)], None)];
    assert_eq!(all.absent, [absent_of(A), absent_of(B)].concat());
    assert_eq!(store.missed(A, Spot(2), 2).unwrap(), [missed(A, 2), missed(A, 3)]);
    assert_eq!(store.missed(A, Spot(4), 9).unwrap(), [missed(A, 4)]);
    assert_eq!(store.missed(GroupNumber(9), Spot(0), 9).unwrap(), []);
    let own_of = |group| [own(group, "alice", true, None), own(group, "removed", false, Some(4))];
    assert_eq!(all.own, [own_of(A), own_of(B)].concat());
    let list = [account("acme/b", 5, true), account("globex/a", 2, true)];
    assert_eq!(store.listed(A, None, 9).unwrap(), list);
    assert_eq!(store.listed(A, None, 1).unwrap(), list[..1]);
    assert_eq!(store.listed(A, Some(&list[0].account), 9).unwrap(), list[1..]);
    assert_eq!(store.listed(A, Some(&list[1].account), 9).unwrap(), []);

    let rows = |of: std::ops::RangeInclusive<u64>| of.map(|n| outbox(A, n)).collect::<Vec<_>>();
    assert_eq!(store.outbox(A, N(1), 99).unwrap(), rows(1..=5));
    assert_eq!(store.outbox(A, N(2), 2).unwrap(), rows(2..=3));
    assert_eq!(store.outbox(A, N(6), 2).unwrap(), []);
    assert_eq!(store.outbox(GroupNumber(9), N(1), 2).unwrap(), []);
    let behind: Vec<_> = store.posted(A, Seq(1)).unwrap().into_iter().map(|p| p.id).collect();
    assert_eq!(behind, ["m2".into(), "m3".into()], "of whatever generation, but with a known entry");
    assert_eq!(store.posted(A, Seq(0)).unwrap().len(), 3);

    trims(store.as_mut());
}

fn trims(store: &mut dyn Store) {
    let untouched = |all: &Snapshot| {
        let of_b = |n: usize, total: usize| assert_eq!(total, n, "rows of the other group");
        of_b(3, all.seen.iter().filter(|r| r.0 == B).count());
        of_b(3, all.posted.iter().filter(|r| r.group == B).count());
        of_b(3, all.occupants.iter().filter(|r| r.0 == B).count());
        of_b(2, all.parked.iter().filter(|r| r.group == B).count());
        of_b(2, all.entered.iter().filter(|r| r.0 == B).count());
        of_b(1, all.notices.iter().filter(|r| r.group == B).count());
        of_b(2, all.own.iter().filter(|r| r.group == B).count());
    };
    store
        .commit(&[
            Change::OutboxTrim { group: A, upto: N(3) },
            Change::SeenTrim { group: A, before: Generation(5) },
            Change::PostedTrim { group: A, before: Timestamp(600) },
            Change::MissedTrim { group: A, before: Spot(4) },
        ])
        .unwrap();
    assert_eq!(store.outbox(A, N(0), 9).unwrap(), [outbox(A, 4), outbox(A, 5)]);
    assert_eq!(store.missed(A, Spot(0), 9).unwrap(), [missed(A, 4)]);
    assert_eq!(store.missed(B, Spot(0), 9).unwrap().len(), 4);
    let all = store.load().unwrap();
    assert_eq!(all.seen.iter().filter(|r| r.0 == A).count(), 2);
    assert_eq!(store.posted(A, Seq(0)).unwrap(), [posted(A, "m3", 6, Some(3))]);
    untouched(&all);

    store.commit(&[Change::OutboxClear(A), Change::Outbox(outbox(A, 1))]).unwrap();
    assert_eq!(store.outbox(A, N(0), 9).unwrap(), [outbox(A, 1)], "a new epoch begins anew");

    store.commit(&[Change::Unlisted { group: A, enterprise: None }]).unwrap();
    assert_eq!(store.listed(A, None, 9).unwrap(), []);
    store.commit(&[Change::Listed { group: A, rows: vec![account("acme/b", 5, true)] }]).unwrap();
    store.commit(&[Change::MappingGone(A)]).unwrap();
    assert_eq!(store.listed(A, None, 9).unwrap(), []);
    assert_eq!(store.listed(B, None, 9).unwrap().len(), 2);
    let all = store.load().unwrap();
    assert_eq!(all.mappings, [mapping(B)]);
    assert_eq!(store.outbox(A, N(0), 9).unwrap(), []);
    assert_eq!(store.posted(A, Seq(0)).unwrap(), []);
    assert_eq!(store.outbox(B, N(0), 9).unwrap().len(), 5);
    assert!(all.occupants.iter().all(|o| o.0 == B) && all.entered.iter().all(|e| e.0 == B));
    untouched(&all);
}

#[test]
fn memory() {
    keeps_everything(Box::new(MemoryStore::new([7; 32])), |store| store);
}

#[test]
fn embedded() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Box::new(EmbeddedStore::open(&dir.path().join("gateway.db")).unwrap());
    keeps_everything(open(), |old| {
        drop(old);
        open()
    });
}

/// With a redis-server of its own.
mod on_servers {
    use std::cell::RefCell;

    use intergroup_redis::Settings;
    use intergroup_redis::testing::Server;

    use super::*;
    use crate::store::redis::RedisStore;

    fn open(server: &Server) -> RedisStore {
        let settings = Settings { address: server.address().parse().unwrap(), password: None, authorities: None };
        RedisStore::open(&settings, "groups.acme.test").unwrap()
    }

    #[test]
    fn redis_that_is_killed_between() {
        let server = RefCell::new(Server::start());
        let first = Box::new(open(&server.borrow()));
        keeps_everything(first, |old| {
            server.borrow_mut().kill();
            server.borrow_mut().restart();
            drop(old);
            Box::new(open(&server.borrow()))
        });
    }

    #[test]
    fn redis_keeps_the_order_of_what_was_parked() {
        let server = Server::start();
        let mut store = open(&server);
        for id in ["c", "a", "b", "a"] {
            store.commit(&[Change::Parked(parked(A, id))]).unwrap();
        }
        let mut store = open(&server);
        store.commit(&[Change::Parked(parked(A, "0"))]).unwrap();
        let order: Vec<_> = store.load().unwrap().parked.into_iter().map(|row| row.id).collect();
        assert_eq!(order, ["c".into(), "a".into(), "b".into(), "0".into()]);
    }

    #[test]
    fn whoever_opens_redis_last_has_it() {
        let server = Server::start();
        let mut first = open(&server);
        first.commit(&filled(A)).unwrap();
        let mut second = open(&server);
        let text = first.commit(&filled(B)).unwrap_err().to_string();
        assert!(text.starts_with(intergroup_redis::TAKEN_OVER), "{text}");
        assert_eq!(second.load().unwrap().mappings, [mapping(A)]);
        second.commit(&filled(B)).unwrap();
    }
}

#[test]
fn what_was_not_synced_is_gone_after_a_crash() {
    let mut store = MemoryStore::holding_back([7; 32]);
    store.commit(&filled(A)).unwrap();
    store.commit(&filled(B)).unwrap();
    assert_eq!(store.load().unwrap().mappings, [], "nothing is on disk before it is synced");
    assert!(store.sync());
    store.crash();
    assert_eq!(store.load().unwrap().mappings, [mapping(A)], "the first batch was synced, the second was not");
    assert!(!store.sync());
}

/// What a crash leaves is the files as they were when the last commit returned. A copy taken then, while the store is
/// still open and has not been able to tidy up, must open and hold that commit; a transaction that was under way, nothing.
#[test]
fn files_taken_while_open_hold_every_commit_and_nothing_of_what_was_under_way() {
    let (dir, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = EmbeddedStore::open(&dir.path().join("gateway.db")).unwrap();
    let key = store.load().unwrap().key;
    store.commit(&filled(A)).unwrap();
    let mut other = rusqlite::Connection::open(dir.path().join("gateway.db")).unwrap();
    let under_way = other.transaction().unwrap();
    under_way.execute("DELETE FROM mapping", []).unwrap();
    for file in ["gateway.db", "gateway.db-wal"] {
        std::fs::copy(dir.path().join(file), crashed.path().join(file)).unwrap();
    }
    let mut after = EmbeddedStore::open(&crashed.path().join("gateway.db")).unwrap();
    let all = after.load().unwrap();
    assert_eq!((all.key, all.mappings), (key, vec![mapping(A)]));
    assert_eq!(after.outbox(A, N(1), 99).unwrap().len(), 5);
}

#[test]
fn a_batch_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.db");
    let mut store = EmbeddedStore::open(&path).unwrap();
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON notice BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        .unwrap();
    assert!(store.commit(&filled(A)).unwrap_err().to_string().contains("disk full"));
    let all = store.load().unwrap();
    assert_eq!(all, Snapshot { key: all.key, ..Snapshot::default() });
    assert_eq!(store.outbox(A, N(0), 9).unwrap(), []);
}

/// Version 1 had no edits in its outbox, version 2 no lists.
#[test]
fn a_store_of_an_older_version_goes_on_as_it_is() {
    const LISTS: &str =
        "DROP TABLE missed; DROP TABLE absent; DROP TABLE attendance; DROP TABLE own; DROP TABLE listed;";
    goes_on_as_it_is(&format!("{LISTS} ALTER TABLE outbox DROP COLUMN edit; PRAGMA user_version = 1;"));
    goes_on_as_it_is(&format!("{LISTS} PRAGMA user_version = 2;"));
    const HERE: &str = "DROP TABLE missed; DROP TABLE absent; ALTER TABLE own DROP COLUMN here;";
    goes_on_as_it_is(&format!("{HERE} DROP TABLE attendance; PRAGMA user_version = 3;"));
    goes_on_as_it_is(&format!("{HERE} PRAGMA user_version = 4;"));
    goes_on_as_it_is("DROP TABLE missed; DROP TABLE absent; PRAGMA user_version = 5;");
}

fn goes_on_as_it_is(older: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.db");
    let message = |n| Change::Outbox(OutboxRow { group: A, n: N(n), what: Outgoing::Message(message(n)) });
    EmbeddedStore::open(&path).unwrap().commit(&[message(1), message(2)]).unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(older).unwrap();
    drop(db);
    for _ in 0..2 {
        let mut store = EmbeddedStore::open(&path).unwrap();
        assert_eq!(store.outbox(A, N(1), 2).unwrap().len(), 2);
        store.commit(&[Change::Outbox(outbox(A, 4))]).unwrap();
        assert_eq!(store.outbox(A, N(4), 1).unwrap(), [outbox(A, 4)]);
        let list = [account("globex/a", 2, true)];
        store.commit(&[Change::Listed { group: A, rows: list.to_vec() }]).unwrap();
        assert_eq!(store.listed(A, None, 9).unwrap(), list);
        store.commit(&[Change::Missed(missed(A, 1))]).unwrap();
        assert_eq!(store.missed(A, Spot(0), 9).unwrap(), [missed(A, 1)]);
    }
}

#[test]
fn a_store_of_somebody_else_or_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.db");
    drop(EmbeddedStore::open(&path).unwrap());
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    let text = EmbeddedStore::open(&path).unwrap_err().to_string();
    assert!(text.contains("format 99"), "{text}");
    db.pragma_update(None, "application_id", 7).unwrap();
    let text = EmbeddedStore::open(&path).unwrap_err().to_string();
    assert!(text.contains("not a gateway's store"), "{text}");
}

#[test]
fn a_store_is_for_its_owner_alone_and_has_a_key_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let rights =
        |name| std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(dir.path().join(name)).unwrap()) & 0o777;
    let key = |name| EmbeddedStore::open(&dir.path().join(name)).unwrap().load().unwrap().key;
    assert_ne!(key("a.db"), key("b.db"));
    assert_eq!(rights("a.db"), 0o600);
}
