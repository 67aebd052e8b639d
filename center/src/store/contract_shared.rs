//! What every store must do that nodes share, run against each of them.

use intergroup_schemas::history;
use intergroup_schemas::ids::{GroupNumber, ListDigest, N, Seq};
use intergroup_schemas::link::Change as GroupChange;

use super::contract::{GROUP, group, listed, log, on};
use super::memory::MemoryStore;
use super::shared::{Claims, NEWS_ENTRIES, Node, Unit, Version};
use super::{Change, Group, Record, Store};

const UNIT: Unit = Unit::Group(GROUP);

fn version(number: u64) -> Version {
    Version::of(7, number)
}

fn claims(number: u64, bases: &[(Unit, Version)]) -> Claims {
    Claims { version: version(number), bases: bases.to_vec() }
}

fn appended(records: &[Record]) -> Vec<Change> {
    records.iter().cloned().map(Change::Append).collect()
}

fn mark(n: u64) -> Change {
    Change::Mark { group: GROUP, gateway: "acme/main".parse().unwrap(), epoch: "k7".parse().unwrap(), n: N(n) }
}

/// `other` is another way to the same store, if there is one.
fn is_shared(store: &mut dyn Store, other: Option<&mut dyn Store>) {
    let none = Version::default();
    assert_eq!(store.load().unwrap().versions.iter().filter(|(_, v)| *v != none).count(), 0);
    let begin = [vec![Change::Group(group())], appended(&log(2)), vec![mark(1)]].concat();
    assert!(store.commit_shared(&begin, &claims(1, &[(UNIT, none)])).unwrap().is_empty());

    // Whoever did not know that is refused, and nothing of it is there.
    let late = [appended(&log(3)[2..]), vec![mark(9)]].concat();
    assert_eq!(store.commit_shared(&late, &claims(2, &[(UNIT, none)])).unwrap(), [UNIT]);
    let news = store.news(UNIT, None).unwrap();
    assert_eq!((news.version, news.since), (version(1), None));
    assert_eq!(news.snapshot.groups[0].head, Seq(2));
    assert_eq!(news.snapshot.marks[0].3, N(1));

    // Of two units the one that nobody has changed is done.
    let next = Unit::Group(GroupNumber(GROUP.0 + 1));
    let new = Change::Group(Group { number: GroupNumber(GROUP.0 + 1), ..group() });
    let both = [appended(&log(3)[2..]), vec![new]].concat();
    let refused = store.commit_shared(&both, &claims(3, &[(UNIT, none), (next, none)])).unwrap();
    assert_eq!(refused, [UNIT]);
    // Whoever was refused has the next turn; the versions say what is so.
    assert!(store.commit_shared(&appended(&log(3)[2..]), &claims(4, &[(UNIT, version(1))])).unwrap().is_empty());
    let known = store.versions(Some(&[UNIT, next, Unit::Registry])).unwrap();
    assert_eq!(known, [(UNIT, version(4)), (next, version(3)), (Unit::Registry, none)]);
    let mut all = store.versions(None).unwrap();
    all.retain(|(_, version)| *version != none);
    assert_eq!(all, [(UNIT, version(4)), (next, version(3))]);
    let mut loaded = store.load().unwrap().versions;
    loaded.retain(|(_, version)| *version != none);
    loaded.sort_by_key(|(unit, _)| *unit);
    assert_eq!(loaded, all);

    // What is new behind what is known, with all that changes in place.
    let records = log(NEWS_ENTRIES as u64 * 2);
    let more = [appended(&records[3..100]), vec![mark(50)]].concat();
    assert!(store.commit_shared(&more, &claims(5, &[(UNIT, version(4))])).unwrap().is_empty());
    let store: &mut dyn Store = match other {
        Some(other) => other,
        None => store,
    };
    let known = |records: &[Record], seq: usize| Some((Seq(seq as u64), records[seq - 1].hash));
    let news = store.news(UNIT, known(&records, 3)).unwrap();
    assert_eq!(news.since.as_deref(), Some(&records[3..100]));
    assert_eq!((news.version, news.snapshot.marks[0].3), (version(5), N(50)));
    assert_eq!(news.snapshot.groups[0].head, Seq(100));
    assert_eq!(store.news(UNIT, known(&records, 100)).unwrap().since, Some(Vec::new()));
    // Another history, or one that was longer: the store has lost what it had.
    assert!(store.news(UNIT, known(&log(200), 150)).is_err());
    let forged = Some((Seq(50), intergroup_schemas::ids::HistoryHash([9; 16])));
    assert!(store.news(UNIT, forged).is_err());

    // Who is too far behind, or behind the floor, gets it as a whole.
    store.commit_shared(&appended(&records[100..]), &claims(6, &[(UNIT, version(5))])).unwrap();
    let news = store.news(UNIT, known(&records, 3)).unwrap();
    match news.since {
        // How far is too far a store says by what it likes to read at once.
        Some(since) => assert_eq!(since, records[3..]),
        None => assert_eq!(news.snapshot.groups[0].milestones.len(), 4),
    }
    let trim = Change::Trim { group: GROUP, upto: Seq(600), hash: records[599].hash };
    store.commit_shared(&[trim], &claims(7, &[(UNIT, version(6))])).unwrap();
    assert_eq!(store.news(UNIT, known(&records, 590)).unwrap().since, None);
    let news = store.news(UNIT, known(&records, 610)).unwrap();
    assert_eq!(news.since.as_deref(), Some(&records[610..]));
    assert_eq!(news.snapshot.groups[0].floor, Seq(600));

    // Lists come with the whole only: entries say how they change.
    let digest = ListDigest::default();
    let change =
        GroupChange::Listed { enterprise: "acme".parse().unwrap(), accounts: vec![on("alice", "Alice")], digest };
    let mut entry = listed(records.len() as u64 + 1, change);
    for change in &mut entry {
        if let Change::Append(record) = change {
            record.hash = history::advance(records[records.len() - 1].hash, record.seq, record.clone().identity());
        }
    }
    store.commit_shared(&entry, &claims(8, &[(UNIT, version(7))])).unwrap();
    assert_eq!(store.news(UNIT, None).unwrap().snapshot.parts[0].accounts.len(), 1);
    assert_eq!(store.news(UNIT, known(&records, records.len())).unwrap().snapshot.parts.len(), 0);
    assert_eq!(store.news(Unit::Group(GroupNumber(1)), None).unwrap().snapshot.groups.len(), 0);

    // Links: each one counts, and says which run named the group before.
    let (gateway, run) = ("acme/main".parse().unwrap(), |name: &str| (GROUP, name.parse().unwrap()));
    let taken = store.take_link(&gateway, &[run("r1")]).unwrap();
    assert_eq!((taken.generation, taken.before), (1, Vec::new()));
    let taken = store.take_link(&gateway, &[run("r2")]).unwrap();
    assert_eq!((taken.generation, taken.before), (2, vec![run("r1")]));
}

#[test]
fn memory() {
    is_shared(&mut MemoryStore::default(), None);
}

/// With a redis-server of its own.
mod on_servers {
    use std::sync::atomic::{AtomicU64, Ordering};

    use intergroup_redis::Settings;
    use intergroup_redis::testing::Server;

    use super::*;
    use crate::store::redis::RedisStore;
    use crate::store::shared::{Ear, Word};

    fn settings(server: &Server) -> Settings {
        Settings { address: server.address().parse().unwrap(), password: None, authorities: None }
    }

    fn open(server: &Server) -> RedisStore {
        RedisStore::open(&settings(server)).unwrap()
    }

    #[test]
    fn redis() {
        let server = Server::start();
        is_shared(&mut open(&server), Some(&mut open(&server)));
    }

    /// Two nodes write to one log as fast as they can: each entry has one place, and neither is kept from writing.
    #[test]
    fn nodes_in_each_others_way_take_turns() {
        const EACH: u64 = 300;
        let server = Server::start();
        let begin = [Change::Group(group())];
        open(&server).commit_shared(&begin, &claims(1, &[(UNIT, Version::default())])).unwrap();
        let records = log(2 * EACH + 1);
        let refused = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for node in 1..=2 {
                let (mut store, records, refused) = (open(&server), &records, &refused);
                scope.spawn(move || {
                    let (mut done, mut tried) = (0, 0);
                    while done < EACH {
                        let news = store.news(UNIT, None).unwrap();
                        let next = usize::try_from(news.snapshot.groups[0].head.0).unwrap();
                        tried += 1;
                        let claims = Claims { version: Version::of(node, tried), bases: vec![(UNIT, news.version)] };
                        match store.commit_shared(&appended(&records[next..=next]), &claims).unwrap().is_empty() {
                            true => done += 1,
                            false => drop(refused.fetch_add(1, Ordering::Relaxed)),
                        }
                    }
                });
            }
        });
        let mut store = open(&server);
        assert_eq!(
            store.read_log(GROUP, Seq(0), 2 * EACH as usize + 2, usize::MAX).unwrap(),
            records[..2 * EACH as usize]
        );
        let refused = refused.into_inner();
        assert!(refused > 0 && refused < 10 * EACH, "{refused} commits were refused");
    }

    #[test]
    fn words_are_heard_and_nodes_know_of_each_other() {
        let server = Server::start();
        let mut store = open(&server);
        let mut heard = Vec::new();
        let mut ear = RedisStore::ear(&settings(&server));
        let node = |name: &str, online: &[&str]| Node {
            addresses: vec![name.to_owned()],
            online: online.iter().map(|gateway| (gateway.parse().unwrap(), 7)).collect(),
            up: true,
        };
        let mut met = Vec::new();
        ear.listen(&mut |word| {
            if word == Some(Word::Anew) {
                store.commit_shared(&[Change::Group(group())], &claims(1, &[(UNIT, Version::default())])).unwrap();
                store.take_link(&"acme/main".parse().unwrap(), &[]).unwrap();
                store.meet(&node("a:1", &["acme/main"])).unwrap();
                met = store.meet(&node("b:1", &[])).unwrap();
                store.commit_shared(&[mark(1)], &claims(2, &[(UNIT, version(1))])).unwrap();
            }
            heard.extend(word);
            heard.len() < 6
        });
        let changed = |number| Word::Changed(version(number), vec![UNIT]);
        let met_word = |name: &str| Word::Met(name.to_owned());
        let taken = Word::Taken("acme/main".parse().unwrap(), 1);
        assert_eq!(heard, [Word::Anew, changed(1), taken, met_word("a:1"), met_word("b:1"), changed(2)]);
        met.sort_by(|a, b| a.addresses.cmp(&b.addresses));
        assert_eq!(met, [node("a:1", &["acme/main"]), node("b:1", &[])]);
    }
}
