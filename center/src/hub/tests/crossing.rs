//! Messages on their way in: order, commits, numbers, refusals, repeats.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{HistoryHash, ListVersion, N, Seq};
use intergroup_schemas::link::{Confirm, Credit, Expect, Relay, ToCenter, ToGateway};

use super::{Event, World, decided, memory, relay, words};

fn expects(got: &[ToGateway]) -> Vec<&Expect> {
    got.iter().filter_map(|s| if let ToGateway::Expect(e) = s { Some(e) } else { None }).collect()
}

#[test]
fn one_order_for_all_without_a_gap_and_own_in_its_place() {
    let (mut world, group, [a, b, c]) = World::three();
    world.relays(a, group, "ka", 1..=2);
    world.relays(b, group, "kb", 1..=2);
    world.relays(a, group, "ka", 3..=3);
    assert_eq!(words(&world.take(c), group), ["ka.1", "ka.2", "kb.1", "kb.2", "ka.3"]);
    assert_eq!(words(&world.take(a), group), ["own ka.1", "own ka.2", "kb.1", "kb.2", "own ka.3"]);
}

#[test]
fn nothing_leaves_before_its_commit_and_what_comes_meanwhile_shares_the_next() {
    let (mut world, group, [a, b, _]) = World::three();
    world.hold = true;
    world.relays(a, group, "ka", 1..=3);
    assert!(world.take(a).is_empty() && world.take(b).is_empty());
    assert_eq!(world.held.len(), 1, "one commit at a time");
    world.release();
    assert_eq!(decided(&world.take(a)), [(1, vec![]), (3, vec![])]);
    assert_eq!(words(&world.take(b), group), ["ka.1", "ka.2", "ka.3"]);
}

#[test]
fn a_commit_that_never_came_is_forgotten_with_the_process() {
    let (mut world, group, [a, ..]) = World::three();
    world.relays(a, group, "ka", 1..=1);
    world.hold = true;
    world.relays(a, group, "ka", 2..=5);
    let mut world = world.restart();
    let (a, welcome) = world.greet("acme", vec![memory(group, Seq(0), HistoryHash::default(), "ka", 5)]);
    assert_eq!(welcome.groups[0].decided, N(1));
    world.relays(a, group, "ka", 2..=5);
    assert_eq!(decided(&world.take(a)).last(), Some(&(5, vec![])));
}

#[test]
fn a_refusal_is_durable_and_repeated_until_confirmed() {
    let (mut world, group, [a, b, _]) = World::three();
    let future = Relay { list: ListVersion(99), ..relay(group, "ka", 1, "s1") };
    world.say(a, ToCenter::Relay(future.clone()));
    world.event(Event::BadRelay {
        link: a,
        group,
        epoch: "ka".parse().unwrap(),
        n: N(2),
        condition: Condition::Malformed,
    });
    world.relays(a, group, "ka", 3..=3);
    let refused = vec![(1, Condition::UnknownListVersion), (2, Condition::Malformed)];
    assert_eq!(decided(&world.take(a)).last(), Some(&(3, refused.clone())));
    assert_eq!(words(&world.take(b), group), ["ka.3"]);

    let mut world = world.restart();
    let known = || vec![memory(group, Seq(0), HistoryHash::default(), "ka", 3)];
    let link = world.open("acme");
    let hello = intergroup_schemas::link::Hello { version: 1, software: "t".into(), groups: known() };
    world.say(link, ToCenter::Hello(hello));
    assert_eq!(decided(&world.take(link)), [(3, refused)]);
    world.say(link, ToCenter::Confirm(Confirm { group, epoch: "ka".parse().unwrap(), n: N(1) }));

    let mut world = world.restart();
    let link = world.open("acme");
    let hello = intergroup_schemas::link::Hello { version: 1, software: "t".into(), groups: known() };
    world.say(link, ToCenter::Hello(hello));
    assert_eq!(decided(&world.take(link)), [(3, vec![(2, Condition::Malformed)])]);
}

#[test]
fn many_refusals_come_in_several_stanzas_none_of_which_decides_further_than_it_names() {
    let (mut world, group, [a, ..]) = World::three();
    world.hold = true;
    for n in 1..=100 {
        world.say(a, ToCenter::Relay(Relay { list: ListVersion(99), ..relay(group, "ka", n, "") }));
    }
    world.release();
    let decided = decided(&world.take(a));
    let last = decided.len() - 2;
    assert_eq!((decided[last].0, decided[last].1.len()), (64, 64));
    assert_eq!((decided[last + 1].0, decided[last + 1].1.len()), (100, 36));
}

#[test]
fn only_the_next_number_is_taken() {
    let (mut world, group, [a, b, _]) = World::three();
    world.relays(a, group, "ka", 3..=3);
    let got = world.take(a);
    assert_eq!(expects(&got).iter().map(|e| (e.n, e.fork)).collect::<Vec<_>>(), [(N(1), false)]);
    world.relays(a, group, "ka", 1..=2);
    world.relays(a, group, "ka", 2..=2);
    let got = world.take(a);
    assert!(expects(&got).is_empty());
    assert_eq!(decided(&got).last(), Some(&(2, vec![])), "a repeat is answered as before");
    assert_eq!(words(&world.take(b), group), ["ka.1", "ka.2"]);
    world.say(a, ToCenter::Relay(relay(group, "ka", 2, "another")));
    let got = world.take(a);
    assert_eq!(expects(&got).iter().map(|e| (e.n, e.fork)).collect::<Vec<_>>(), [(N(3), true)]);
    assert!(world.take(b).is_empty());
}

#[test]
fn a_copy_of_a_gateway_is_noticed_also_after_a_restart_of_the_center() {
    let (mut world, group, [a, ..]) = World::three();
    world.relays(a, group, "ka", 1..=2);
    let mut world = world.restart();
    let (a, _) = world.greet("acme", Vec::new());
    world.say(a, ToCenter::Relay(relay(group, "ka", 2, "another")));
    assert!(expects(&world.take(a))[0].fork);
}

#[test]
fn what_a_new_epoch_repeats_is_recognised_by_its_source() {
    let (mut world, group, [a, ..]) = World::three();
    world.relays(a, group, "ka", 1..=3);
    let mut world = world.restart();
    let (a, _) = world.greet("acme", Vec::new());
    let (b, _) = world.greet("globex", Vec::new());
    world.say(b, ToCenter::Resume(intergroup_schemas::link::Resume { group, after: Seq(6) }));
    for (n, source) in [(1, "ka-2"), (2, "new"), (3, "ka-3"), (4, "new"), (5, "")] {
        world.say(a, ToCenter::Relay(relay(group, "kz", n, source)));
    }
    assert_eq!(decided(&world.take(a)).last(), Some(&(5, vec![])));
    assert_eq!(words(&world.take(b), group), ["kz.2", "kz.5"]);
}

#[test]
fn what_comes_while_sources_are_read_keeps_its_order() {
    let (mut world, group, [a, b, _]) = World::three();
    world.relays(a, group, "ka", 1..=1);
    world.take(b);
    world.hold_reads = true;
    world.relays(a, group, "kb", 1..=1);
    world.say(a, ToCenter::Relay(relay(group, "kb", 2, "")));
    let epoch = || "kb".parse().unwrap();
    world.event(Event::BadRelay { link: a, group, epoch: epoch(), n: N(3), condition: Condition::TooLarge });
    world.relays(a, group, "kb", 4..=4);
    assert!(words(&world.take(b), group).is_empty());
    world.release();
    assert_eq!(words(&world.take(b), group), ["kb.1", "kb.2", "kb.4"]);
    assert_eq!(decided(&world.take(a)).last(), Some(&(4, vec![(3, Condition::TooLarge)])));
}

#[test]
fn a_link_that_ends_while_sources_are_read_takes_its_messages_along() {
    let (mut world, group, [a, b, _]) = World::three();
    world.relays(a, group, "ka", 1..=1);
    world.take(b);
    world.hold_reads = true;
    world.relays(a, group, "kb", 1..=5);
    world.event(Event::LinkClosed { link: a });
    let (a, welcome) = world.greet("acme", vec![memory(group, Seq(0), HistoryHash::default(), "kb", 5)]);
    assert_eq!(welcome.groups[0].decided, N(0));
    world.relays(a, group, "kb", 1..=2);
    world.release();
    assert_eq!(words(&world.take(b), group), ["kb.1", "kb.2"], "each once");
    assert_eq!(decided(&world.take(a)).last(), Some(&(2, vec![])));
}

#[test]
fn too_many_undecided_messages_end_the_link() {
    let (mut world, group, [a, ..]) = World::three();
    world.hold = true;
    world.relays(a, group, "ka", 1..=1025);
    assert_eq!(world.closed.get(&a), Some(&Condition::OverLimit));
}

#[test]
fn a_stranger_to_a_group_is_told_nothing_about_it() {
    let (mut world, group, _) = World::three();
    world.enrol("hooli");
    let (link, _) = world.greet("hooli", Vec::new());
    world.relays(link, group, "kh", 1..=1);
    assert_eq!(decided(&world.take(link)), [(1, vec![(1, Condition::UnknownGroup)])]);
    world.say(link, ToCenter::Resume(intergroup_schemas::link::Resume { group, after: Seq(0) }));
    assert!(world.take(link).is_empty());
    world.say(link, ToCenter::Credit(Credit { count: 5 }));
    let (_, welcome) = world.greet("hooli", vec![memory(group, Seq(3), HistoryHash::default(), "kh", 1)]);
    assert_eq!(welcome.groups[0].standing, intergroup_schemas::link::Standing::Unknown);
}

#[test]
fn the_first_stanza_is_hello_once_and_of_a_version_we_speak() {
    let (mut world, group, _) = World::three();
    let link = world.open("acme");
    world.relays(link, group, "ka", 1..=1);
    assert_eq!(world.closed.get(&link), Some(&Condition::BadRequest));
    let link = world.open("acme");
    let hello = |version| {
        ToCenter::Hello(intergroup_schemas::link::Hello { version, software: "t".into(), groups: Vec::new() })
    };
    world.say(link, hello(0));
    assert_eq!(world.closed.get(&link), Some(&Condition::UnsupportedVersion));
    let (link, _) = world.greet("acme", Vec::new());
    world.say(link, hello(1));
    assert_eq!(world.closed.get(&link), Some(&Condition::BadRequest));
}
