//! Rates: what comes faster waits its turn, in order; who keeps to the rate does not notice.

use intergroup_schemas::ids::{GroupNumber, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::link::{Relay, ToCenter, ToGateway};
use intergroup_schemas::rate::Rate;

use super::{AdminReply, AdminRequest, Condition, Config, LinkId, World, decided, relay, words};
use crate::hub::status::{EnterpriseStatus, GroupStatus};
use crate::store::memory::MemoryStore;

const WIDE: Rate = Rate { per_second: 1_000_000, burst: 1_000_000 };
const NARROW: Rate = Rate { per_second: 100, burst: 10 };

fn world(enterprise_rate: Rate, group_rate: Rate) -> (World, GroupNumber, GroupNumber, [LinkId; 3]) {
    let config = Config { enterprise_rate, group_rate, ..Config::default() };
    let mut world = World::with(config, MemoryStore::default());
    let names = ["acme", "globex", "initech"];
    names.iter().for_each(|name| world.enrol(name));
    let links = names.map(|name| world.greet(name, Vec::new()).0);
    let members = [(names[0], links[0]), (names[1], links[1]), (names[2], links[2])];
    let (first, second) = (world.group(&members), world.group(&members));
    (world, first, second, links)
}

fn enterprise(world: &mut World, id: &str) -> EnterpriseStatus {
    match world.admin(AdminRequest::ShowEnterprise(id.parse().unwrap())) {
        Some(AdminReply::Enterprises(all)) => all.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn group(world: &mut World, number: GroupNumber) -> GroupStatus {
    match world.admin(AdminRequest::ShowGroup(number)) {
        Some(AdminReply::Groups(all)) => all.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn messages(world: &mut World, link: LinkId, number: GroupNumber) -> Vec<String> {
    let all = words(&world.take(link), number);
    all.into_iter().filter(|word| word != "entry").collect()
}

#[test]
fn an_enterprise_over_its_rate_waits_and_the_others_go_on() {
    let (mut world, first, second, [a, b, c]) = world(NARROW, WIDE);
    world.relays(a, first, "ka", 1..=100);
    assert_eq!(messages(&mut world, c, first).len(), 10, "the burst");
    let acme = enterprise(&mut world, "acme");
    assert_eq!((acme.paced, acme.waiting), (90, 90));
    assert_eq!(group(&mut world, first).waiting, 90);
    // Another enterprise speaks in the same group and in another one; the first enterprise waits in all of its groups.
    world.relays(b, first, "kb", 1..=1);
    world.relays(b, second, "kc", 1..=1);
    world.relays(a, second, "kd", 1..=1);
    let got = world.take(c);
    assert_eq!((words(&got, first), words(&got, second)), (vec!["kb.1".into()], vec!["kc.1".into()]));
    assert_eq!(enterprise(&mut world, "globex").paced, 0);
    world.later(50);
    let got = world.take(c);
    assert_eq!(words(&got, first), ["ka.11", "ka.12", "ka.13", "ka.14"], "a message each 10 ms, its groups in turn");
    assert_eq!(words(&got, second), ["kd.1"]);
    for _ in 0..100 {
        world.later(10);
    }
    let rest: Vec<_> = (15..=100).map(|n| format!("ka.{n}")).collect();
    assert_eq!(messages(&mut world, c, first), rest, "nothing lost, nothing out of order");
    assert_eq!(enterprise(&mut world, "acme").waiting, 0);
    assert_eq!(world.hub.next_timeout(), world.hub.expire_at.min(world.hub.progress_at.or(world.hub.expire_at)));
}

#[test]
fn a_group_over_its_rate_waits_alone_and_its_members_take_turns() {
    let (mut world, busy, quiet, [a, b, c]) = world(WIDE, NARROW);
    world.relays(a, busy, "ka", 1..=50);
    world.relays(b, busy, "kb", 1..=50);
    world.relays(a, quiet, "kq", 1..=1);
    let got = world.take(c);
    assert_eq!(words(&got, quiet), ["kq.1"]);
    assert_eq!(words(&got, busy).len(), 10);
    assert_eq!((group(&mut world, busy).paced, group(&mut world, quiet).paced), (90, 0));
    world.later(100);
    let got = messages(&mut world, c, busy);
    assert_eq!(got, ["ka.11", "kb.1", "ka.12", "kb.2", "ka.13", "kb.3", "ka.14", "kb.4", "ka.15", "kb.5"]);
}

#[test]
fn a_link_that_ends_takes_what_waits_with_it_and_it_is_sent_again() {
    let (mut world, first, _, [a, _, c]) = world(NARROW, WIDE);
    world.relays(a, first, "ka", 1..=20);
    let (again, _) = world.greet("acme", Vec::new());
    assert_eq!(enterprise(&mut world, "acme").waiting, 0);
    world.later(1000);
    assert_eq!(messages(&mut world, c, first).len(), 10);
    world.relays(again, first, "ka", 11..=20);
    assert_eq!(messages(&mut world, c, first).len(), 10);
}

#[test]
fn too_many_bytes_that_wait_are_let_fall_and_asked_for_again() {
    let (mut world, first, _, [a, _, c]) = world(NARROW, WIDE);
    let body = format!("<body>{}</body>", "x".repeat(100 * 1024));
    let large = |n| Relay { payload: body.clone().into(), ..relay(first, "ka", n, &format!("ka-{n}")) };
    let mut next = 1;
    // A gateway that sends all it has, and goes on where the center says.
    for _ in 0..400 {
        while next <= 60 {
            world.say(a, ToCenter::Relay(large(next)));
            next += 1;
        }
        world.later(10);
        for stanza in world.take(a) {
            if let ToGateway::Expect(expect) = stanza {
                assert!(!expect.fork);
                next = next.min(expect.n.0);
            }
        }
        world.say(c, ToCenter::Credit(intergroup_schemas::link::Credit { count: 100 }));
    }
    let all: Vec<_> = (1..=60).map(|n| format!("ka.{n}")).collect();
    assert_eq!(messages(&mut world, c, first), all);
    assert!(world.hub.counters.fallen > 0, "{:?}", world.hub.counters);
}

#[test]
fn who_sends_more_than_a_window_while_it_waits_is_put_out() {
    let (mut world, first, _, [a, ..]) = world(NARROW, WIDE);
    world.relays(a, first, "ka", 1..=2 * u64::from(limits::RELAY_WINDOW) + 20);
    assert_eq!(world.closed.get(&a), Some(&Condition::OverLimit));
    assert_eq!(enterprise(&mut world, "acme").waiting, 0);
}

#[test]
fn what_is_not_sound_keeps_its_place_in_the_queue() {
    let (mut world, first, _, [a, ..]) = world(NARROW, WIDE);
    world.relays(a, first, "ka", 1..=12);
    let (epoch, condition) = ("ka".parse().unwrap(), Condition::Malformed);
    let n = intergroup_schemas::ids::N(13);
    world.event(crate::hub::Event::BadRelay { link: a, group: first, epoch, n, condition });
    world.relays(a, first, "ka", 14..=14);
    world.later(40);
    let got = world.take(a);
    assert_eq!(decided(&got).last(), Some(&(14, vec![(13, Condition::Malformed)])));
    assert!(!got.iter().any(|s| matches!(s, ToGateway::Expect(_))));
    world.settle(a, first, Seq(1));
}
