//! How fast people may speak across: by the room's time, and told when it is too fast.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{N, Seq};
use intergroup_schemas::link::History;

use super::rig::{Archived, Rig};
use super::{ALICE, BOB, body};
use crate::bridge::{AUTHOR_RATE, Event};

/// Long enough that the archive has been read again.
const READ_AGAIN: i64 = 70_000;
const BURST: usize = AUTHOR_RATE.burst as usize;

fn of(rig: &Rig, prefix: &str) -> usize {
    rig.relays().iter().filter(|(_, text)| text.contains(prefix)).count()
}

fn refused(rig: &Rig) -> u64 {
    rig.bridge.cx.counters.get(Condition::TooFast.as_str()).copied().unwrap_or(0)
}

/// Somebody says so many things, one each 100 ms, while nobody listens.
fn at_a_human_pace(rig: &mut Rig, count: usize) -> Vec<Archived> {
    let said = (0..count).map(|n| {
        rig.now.0 += 100;
        rig.spoken(ALICE, &format!("a{n}."))
    });
    said.collect()
}

#[test]
fn a_program_gone_wild_is_refused_and_told_and_the_others_go_on() {
    let mut rig = Rig::mapped();
    for n in 0..500 {
        rig.says("Alice", ALICE, &format!("a{n}."));
    }
    rig.says("Bob", BOB, "b");
    rig.pass(READ_AGAIN);
    assert_eq!((of(&rig, "a"), of(&rig, "b<")), (BURST, 1));
    assert_eq!(refused(&rig), 500 - BURST as u64);
    let told: Vec<_> = rig.told.iter().filter(|(_, text)| text.contains("too fast")).collect();
    assert!((1..=2).contains(&told.len()), "{told:?}");
    assert!(told.iter().all(|(nick, _)| nick.as_str() == "Alice"), "{told:?}");
    rig.says("Alice", ALICE, "calm again");
    assert_eq!(of(&rig, "calm again"), 1);
}

#[test]
fn after_an_outage_nothing_said_at_a_human_pace_is_refused() {
    let mut rig = Rig::mapped();
    rig.crash();
    at_a_human_pace(&mut rig, 3 * BURST);
    rig.event(Event::ServerUp { exclusive: true });
    rig.link_up(N(0), History::Same, Seq(0));
    assert_eq!((of(&rig, "a"), refused(&rig)), (3 * BURST, 0));
}

#[test]
fn live_copies_that_come_all_at_once_are_judged_by_the_archive() {
    let mut rig = Rig::mapped();
    let said = at_a_human_pace(&mut rig, 3 * BURST);
    for entry in &said {
        rig.hears("Alice", entry);
    }
    rig.pass(READ_AGAIN);
    let all: Vec<_> = (0..3 * BURST).map(|n| (n as u64 + 1, body(&format!("a{n}.")))).collect();
    assert_eq!(rig.relays(), all, "in order, and none of them twice");
    assert_eq!(refused(&rig), 0);
}
