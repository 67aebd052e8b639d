//! The hub alone, between scripted gateways.

use intergroup_tests::sim::{self, Broken, Coverage, Outcome};

/// Schedules of the hub alone.
const SCHEDULES: u64 = 2000;
/// Within so many seeds a broken rule must be noticed.
const SEEDS: u64 = 200;

/// What these schedules must have met.
const MET: &[&str] = &[
    "fault: center crash",
    "fault: center commit fails",
    "fault: center restore",
    "fault: gateway crash",
    "fault: gateway restore",
    "fault: link cut",
    "crash point, center: commit under way",
    "crash point, center: commit done, nobody told",
    "crash with uncommitted, center: append",
    "crash with uncommitted, center: mark",
    "crash with uncommitted, center: member",
    "center commits: fate",
    "center closes: replaced",
    "center reads: log",
    "center reads: sources",
    "welcome: Same",
    "welcome: Forked",
    "script: new epoch",
];

fn check(outcome: &Outcome) {
    assert!(
        outcome.violations.is_empty(),
        "cargo run -p intergroup-tests --bin sim -- --hub --seed {} --trace\n{:#?}",
        outcome.seed,
        outcome.violations
    );
}

#[test]
fn the_hub_keeps_its_word_through_faults() {
    let mut coverage = Coverage::default();
    for seed in 1..=SCHEDULES {
        let outcome = sim::hub::run(seed, None, false);
        check(&outcome);
        coverage.merge(&outcome.coverage);
    }
    println!("{coverage}");
    assert_eq!(coverage.missing(MET), Vec::<&str>::new());
}

#[test]
fn a_schedule_is_the_same_every_time() {
    let (once, again) = (sim::hub::run(7, None, false), sim::hub::run(7, None, false));
    assert_eq!((once.steps, once.coverage.to_string()), (again.steps, again.coverage.to_string()));
}

#[test]
fn a_center_that_acts_before_its_commit_is_noticed() {
    let noticed =
        (1..=SEEDS).any(|seed| !sim::hub::run(seed, Some(Broken::CenterActsBeforeCommit), false).violations.is_empty());
    assert!(noticed, "not within {SEEDS} seeds");
}
