//! A center whose store was restored from a backup, or lost its tail.

use intergroup_schemas::ids::{HistoryHash, Seq};
use intergroup_schemas::link::{Hello, HelloGroup, History, Resume, ToCenter, ToGateway};

use super::{World, memory, relay, words};
use crate::store::Store;

fn hash(world: &mut World, group: super::GroupNumber, seq: u64) -> HistoryHash {
    world.store.hash_at(group, Seq(seq)).unwrap().unwrap()
}

#[test]
fn a_log_that_lost_its_tail_begins_a_new_life_and_says_how_far_both_agree() {
    let (mut world, group, [a, b, _]) = World::three();
    world.relays(a, group, "ka", 1..=3);
    let backup = world.store.clone();
    world.relays(a, group, "ka", 4..=8);
    let (h6, h11) = (hash(&mut world, group, 6), hash(&mut world, group, 11));
    let h5 = hash(&mut world, group, 5);
    world.settle(b, group, Seq(11));
    let (_, welcome) = world.greet("globex", vec![memory(group, Seq(11), h11, "kb", 0)]);
    assert_eq!((welcome.groups[0].history, welcome.groups[0].common), (History::Same, Seq(11)));
    let life = welcome.groups[0].incarnation.clone();

    // The backup is put back; Acme goes on from what the center says.
    let mut config = world.config.clone();
    config.entropy[0] = 77;
    let mut world = World::with(config, backup);
    let (a, welcome) = world.greet("acme", vec![memory(group, Seq(3), HistoryHash::default(), "ka", 8)]);
    assert_eq!(welcome.groups[0].decided.0, 3, "what was lost is fed back from here");
    world.relays(a, group, "ka", 4..=4);

    let place = |seq, hash| (Seq(seq), hash);
    let forked = HelloGroup {
        incarnation: Some(life.clone()),
        places: vec![place(10, HistoryHash([9; 16])), place(6, h6), place(5, h5)],
        ..memory(group, Seq(11), h11, "kb", 0)
    };
    // The new life is told only when it is on disk.
    world.hold = true;
    let link = world.open("globex");
    let hello = || ToCenter::Hello(Hello { version: 1, software: "t".into(), groups: vec![forked.clone()] });
    world.say(link, hello());
    assert!(world.take(link).is_empty());
    world.release();
    let got = world.take(link);
    let Some(ToGateway::Welcome(welcome)) = got.first() else { panic!("no welcome: {got:?}") };
    let told = &welcome.groups[0];
    assert_eq!((told.history, told.common, told.head), (History::Forked, Seq(6), Seq(7)));
    assert_ne!(told.incarnation, life);
    let after = told.incarnation.clone();
    world.say(link, ToCenter::Resume(Resume { group, after: Seq(6) }));
    assert_eq!(words(&world.take(link), group), ["ka.4"]);

    // Who comes with the old life again makes no third one.
    let (_, welcome) = world.greet("globex", vec![forked.clone()]);
    assert_eq!(welcome.groups[0].incarnation, after);
    let mut world = world.restart();
    let (_, welcome) = world.greet("globex", vec![forked]);
    assert_eq!(welcome.groups[0].incarnation, after, "it is durable");
}

#[test]
fn a_resume_or_a_settlement_beyond_the_log_is_brought_back_to_its_end() {
    let (mut world, group, [a, b, _]) = World::three();
    world.settle(b, group, Seq(1_000_000));
    world.say(b, ToCenter::Resume(Resume { group, after: Seq(1_000_000) }));
    let got = world.take(b);
    let resumed = got.iter().find_map(|s| if let ToGateway::Resumed(r) = s { Some(r.after) } else { None });
    assert_eq!(resumed, Some(Seq(3)));
    world.relays(a, group, "ka", 1..=1);
    assert_eq!(words(&world.take(b), group), ["ka.1"]);
    world.later(1000);
    let settled = world.store.load().unwrap().members.into_iter().find(|m| m.gateway == super::gateway("globex"));
    assert_eq!(settled.unwrap().settled, Seq(3));
}

#[test]
fn what_a_crash_forgot_of_a_members_progress_is_in_its_hello() {
    let (mut world, group, [a, b, _]) = World::three();
    world.relays(a, group, "ka", 1..=1);
    world.settle(b, group, Seq(4));
    let settled = |world: &mut World| {
        let members = world.store.load().unwrap().members;
        members.into_iter().find(|m| m.gateway == super::gateway("globex")).unwrap().settled
    };
    let mut world = world.restart();
    assert!(settled(&mut world) < Seq(4), "progress waits for company");
    let hash = world.store.hash_at(group, Seq(4)).unwrap().unwrap();
    world.greet("globex", vec![memory(group, Seq(4), hash, "kb", 0)]);
    world.later(1000);
    assert_eq!(settled(&mut world), Seq(4));
}

#[test]
fn two_copies_of_a_store_hear_of_each_other_and_of_what_is_settled() {
    let (mut world, group, [_, b, _]) = World::three();
    world.settle(b, group, Seq(3));
    let named = |run: &str| HelloGroup {
        run: Some(run.parse().unwrap()),
        ..memory(group, Seq(0), HistoryHash::default(), "kb", 0)
    };
    let (_, welcome) = world.greet("globex", vec![named("first")]);
    assert_eq!((welcome.groups[0].settled, &welcome.groups[0].before), (Seq(3), &None));
    let (_, welcome) = world.greet("globex", vec![named("second")]);
    assert_eq!(welcome.groups[0].before.as_ref().unwrap().as_str(), "first");
    let (_, welcome) = world.greet("globex", vec![named("second")]);
    assert_eq!(welcome.groups[0].before.as_ref().unwrap().as_str(), "second");
}

#[test]
fn an_older_epoch_that_goes_on_beside_a_newer_one_repeats_nothing() {
    let (mut world, group, [a, ..]) = World::three();
    world.relays(a, group, "ka", 1..=1);
    let head = world.store.load().unwrap().groups[0].head;
    // A second copy of the store has read the same message of the room.
    world.say(a, ToCenter::Relay(relay(group, "kc", 1, "place-2")));
    world.say(a, ToCenter::Relay(relay(group, "ka", 2, "place-2")));
    assert_eq!(world.store.load().unwrap().groups[0].head, Seq(head.0 + 1));
}
