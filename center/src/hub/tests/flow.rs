//! Streams on their way out: window, credit, re-reads, retention, and what became of messages.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::Seq;
use intergroup_schemas::limits;
use intergroup_schemas::link::{Credit, Fate, Resume, Settled, ToCenter, ToGateway};

use super::{Config, World, stream, words};
use crate::store::Store;
use crate::store::memory::MemoryStore;

const WINDOW: u64 = limits::GROUP_WINDOW as u64;
const CREDIT: u64 = limits::LINK_CREDIT as u64;

fn fates(got: &[ToGateway]) -> Vec<&Fate> {
    got.iter().filter_map(|s| if let ToGateway::Fate(f) = s { Some(f) } else { None }).collect()
}

#[test]
fn a_room_that_takes_nothing_pauses_its_own_group_alone() {
    let (mut world, slow, [a, b, c]) = World::three();
    let other = world.group(&[("acme", a), ("globex", b), ("initech", c)]);
    world.relays(a, slow, "ka", 1..=WINDOW + 500);
    let got = world.take(b);
    // Its stream began with its own joining, entry 2.
    assert_eq!(stream(&got, slow).last().unwrap().1, Seq(WINDOW + 1));
    world.say(b, ToCenter::Credit(Credit { count: 10_000 }));
    assert!(stream(&world.take(b), slow).is_empty(), "credit does not open a window");
    world.relays(a, other, "kx", 1..=3);
    assert_eq!(words(&world.take(b), other).len(), 3);
    world.settle(b, slow, Seq(10));
    let got = stream(&world.take(b), slow);
    assert_eq!((got[0].0, got.last().unwrap().1), (Seq(WINDOW + 2), Seq(WINDOW + 10)));
}

#[test]
fn a_link_that_gives_no_credit_pauses_alone() {
    let mut world = World::new();
    ["acme", "globex", "initech"].iter().for_each(|name| world.enrol(name));
    let [a, b, c] = ["acme", "globex", "initech"].map(|name| world.greet(name, Vec::new()).0);
    let groups: Vec<_> = (0..6).map(|_| world.group(&[("acme", a), ("globex", b), ("initech", c)])).collect();
    for link in [a, b, c] {
        world.say(link, ToCenter::Credit(Credit { count: 10_000 }));
    }
    let mut received = [0, 0];
    for n in 1..=900 {
        for group in &groups {
            world.relays(a, *group, "ka", n..=n);
        }
        world.say(a, ToCenter::Credit(Credit { count: 10_000 }));
        world.say(c, ToCenter::Credit(Credit { count: 10_000 }));
        for (link, count) in [(b, 0), (c, 1)] {
            let got = world.take(link);
            received[count] += groups.iter().map(|g| stream(&got, *g).len() as u64).sum::<u64>();
        }
    }
    assert_eq!(received, [CREDIT, 5400]);
    world.say(b, ToCenter::Credit(Credit { count: 100 }));
    let got = world.take(b);
    assert_eq!(groups.iter().map(|g| stream(&got, *g).len()).sum::<usize>(), 100);
}

#[test]
fn a_stream_is_read_again_from_any_place_also_when_memory_has_let_it_go() {
    let config = Config { cache_bytes: 20_000, ..Config::default() };
    let mut world = World::with(config, MemoryStore::default());
    ["acme", "globex"].iter().for_each(|name| world.enrol(name));
    let [a, b] = ["acme", "globex"].map(|name| world.greet(name, Vec::new()).0);
    let group = world.group(&[("acme", a), ("globex", b)]);
    for n in 1..=3000 {
        world.relays(a, group, "ka", n..=n);
        world.settle(b, group, Seq(n));
        world.say(b, ToCenter::Credit(Credit { count: 1 }));
    }
    world.take(b);
    for from in [2999, 1500, 3, 0] {
        world.say(b, ToCenter::Resume(Resume { group, after: Seq(from) }));
        let mut got = Vec::new();
        loop {
            let more = world.take(b);
            let Some(last) = stream(&more, group).last().map(|(_, to, _)| *to) else { break };
            got.extend(more);
            world.say(b, ToCenter::Credit(Credit { count: 10_000 }));
            world.settle(b, group, last);
        }
        let stream = stream(&got, group);
        // Nothing before the gateway's own joining, which is entry 2.
        assert_eq!((stream[0].0, stream.last().unwrap().1), (Seq(from.max(1) + 1), Seq(3002)), "from {from}");
        words(&got, group);
    }
    assert!(world.hub.counters.pages > 10);
    assert!(world.hub.counters.pages < 100, "a page is read for many entries: {}", world.hub.counters.pages);
}

#[test]
fn what_is_too_old_is_skipped_and_said_to_be() {
    let config = Config { retention_age_ms: 60_000, ..Config::default() };
    let mut world = World::with(config, MemoryStore::default());
    ["acme", "globex"].iter().for_each(|name| world.enrol(name));
    let [a, b] = ["acme", "globex"].map(|name| world.greet(name, Vec::new()).0);
    let group = world.group(&[("acme", a), ("globex", b)]);
    world.event(super::Event::LinkClosed { link: b });
    world.relays(a, group, "ka", 1..=600);
    world.later(70_000);
    world.relays(a, group, "ka", 601..=602);
    world.later(20_000);
    let (b, welcome) = world.greet("globex", vec![super::memory(group, Seq(2), Default::default(), "kb", 0)]);
    assert_eq!(welcome.groups[0].history, intergroup_schemas::link::History::Trimmed);
    world.say(b, ToCenter::Resume(Resume { group, after: Seq(2) }));
    let got = world.take(b);
    let stream = stream(&got, group);
    assert_eq!(stream[0], (Seq(3), Seq(512), "skip Expired".to_owned()));
    assert_eq!(stream.last().unwrap().1, Seq(604));
    words(&got, group);
    let mut world = world.restart();
    let (b, _) = world.greet("globex", Vec::new());
    world.say(b, ToCenter::Resume(Resume { group, after: Seq(2) }));
    let got = world.take(b);
    assert_eq!(super::stream(&got, group)[0].1, Seq(512), "the floor is durable");
}

#[test]
fn what_a_member_never_got_is_told_to_its_origin_as_expired() {
    let config = Config { retention_age_ms: 60_000, ..Config::default() };
    let mut world = World::with(config, MemoryStore::default());
    ["acme", "globex", "initech"].iter().for_each(|name| world.enrol(name));
    let [a, b, c] = ["acme", "globex", "initech"].map(|name| world.greet(name, Vec::new()).0);
    let group = world.group(&[("acme", a), ("globex", b), ("initech", c)]);
    world.event(super::Event::LinkClosed { link: b });
    world.relays(a, group, "ka", 1..=300);
    world.take(a);
    world.later(70_000);
    world.later(10_000);
    // Entries 1 to 3 are the joinings; the log is cut at 256; initech was sent all, though it has settled nothing.
    let names = |got: &[ToGateway]| {
        let all = fates(got).into_iter().filter(|f| f.enterprise.as_str() == "globex");
        all.flat_map(|f| f.refused.clone()).collect::<Vec<_>>()
    };
    let expected: Vec<_> = (1..=253).map(|n| (format!("ka.{n}").parse().unwrap(), Condition::Expired)).collect();
    let got = world.take(a);
    assert_eq!(names(&got), expected);
    assert!(fates(&got).iter().all(|f| f.refused.is_empty() || f.enterprise.as_str() == "globex"));
    assert_eq!(world.hub.counters.fates.get("expired"), Some(&253));
    assert_eq!(world.hub.counters.expired, 256);

    // An origin that was away when it happened is told when it is back.
    let mut world = world.restart();
    let a = world.open("acme");
    let groups = vec![super::memory(group, Seq(3), Default::default(), "ka", 300)];
    let hello = intergroup_schemas::link::Hello { version: 1, software: "t".into(), groups };
    world.say(a, ToCenter::Hello(hello));
    assert_eq!(names(&world.take(a)), expected);
}

#[test]
fn by_bytes_too() {
    let config = Config { retention_bytes: 100_000, ..Config::default() };
    let mut world = World::with(config, MemoryStore::default());
    world.enrol("acme");
    let (a, _) = world.greet("acme", Vec::new());
    let group = world.group(&[("acme", a)]);
    world.relays(a, group, "ka", 1..=2000);
    world.later(20_000);
    let kept = world.store.load().unwrap().groups[0].bytes;
    assert!(kept < 200_000 && kept > 50_000, "{kept}");
}

#[test]
fn what_a_room_refused_is_told_to_the_origin_at_once_and_after_a_restart() {
    let (mut world, group, [a, b, _]) = World::three();
    world.relays(a, group, "ka", 1..=2);
    let key = || "ka.1".parse().unwrap();
    let refused = vec![(Seq(4), key(), Condition::Banned)];
    world.take(a);
    world.say(b, ToCenter::Settled(Settled { group, upto: Seq(5), refused }));
    let got = world.take(a);
    assert_eq!(fates(&got)[0].refused, [(key(), Condition::Banned)]);
    assert_eq!((fates(&got)[0].enterprise.as_str(), fates(&got)[0].upto), ("globex", Seq(5)));
    world.later(2_000);
    assert!(fates(&world.take(a)).iter().any(|f| f.upto == Seq(5) && f.refused.is_empty()), "progress is told");

    let mut world = world.restart();
    let link = world.open("acme");
    let groups = vec![super::memory(group, Seq(5), Default::default(), "ka", 2)];
    let hello = intergroup_schemas::link::Hello { version: 1, software: "t".into(), groups };
    world.say(link, ToCenter::Hello(hello));
    let got = world.take(link);
    assert!(fates(&got).iter().any(|f| f.refused == [(key(), Condition::Banned)]));
}
