//! The shipped hub and bridges, with model rooms and people, through faults.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use intergroup_tests::sim::{self, Coverage};

/// Schedules, and the seed of the first.
const SCHEDULES: u64 = 10_000;
const FIRST: u64 = 1;

/// What these schedules must have met: actions, events, changes, kinds of faults, and points of crashes.
const MET: &[&str] = &[
    "action: enter",
    "action: leave",
    "action: say",
    "action: say with prefix",
    "action: tell",
    "action: info",
    "action: read archive",
    "action: fence",
    "action: set member",
    "action: edit",
    "action: set affiliation",
    "action: read affiliations",
    "action: make members only",
    "action: relay",
    "action: resume",
    "action: settled",
    "action: confirm",
    "action: request",
    "action: load outbox",
    "action: load posted",
    "action: load missed",
    "action: send to a member",
    "action: reply",
    "action: report",
    "event: in",
    "event: in, room created",
    "event: join refused",
    "event: occupant",
    "event: gone",
    "event: out",
    "event: message",
    "event: message, not archived",
    "event: say refused",
    "event: refusal as answer",
    "event: request timed out",
    "event: affiliation changed",
    "event: hole in the live stream",
    "event: copy lost on a dead link",
    "event: copy for a ghost lost",
    "event: occupant put out as unreachable",
    "event: message of a dead link worked off",
    "gateway commits: mapping",
    "gateway commits: outbox",
    "gateway commits: missed",
    "gateway commits: missed trim",
    "gateway commits: absent",
    "gateway commits: outbox clear",
    "gateway commits: seen",
    "gateway commits: seen trim",
    "gateway commits: posted",
    "gateway commits: occupant",
    "gateway commits: parked",
    "gateway commits: parked gone",
    "gateway commits: attendance",
    "gateway commits: own",
    "gateway commits: listed",
    "gateway commits: unlisted",
    "gateway commits: entered",
    "gateway commits: fenced",
    "gateway commits: notice",
    "center commits: append",
    "center commits: mark",
    "center commits: member",
    "center commits: group",
    "center commits: fate",
    "center reads: log",
    "center reads: sources",
    "center closes: replaced",
    "welcome: Same",
    "welcome: Forked",
    "fault: center crash",
    "fault: center commit fails",
    "fault: center restore",
    "fault: gateway crash",
    "fault: gateway commit fails",
    "fault: gateway restored",
    "fault: second process on a copy of the store",
    "fault: first process stopped",
    "fault: second process stopped",
    "event: component connection replaced",
    "event: answer to another connection",
    "fault: to be mapped",
    "fault: to be unmapped",
    "fault: to leave",
    "fault: group to be deleted",
    "gateway commits: mapping gone",
    "fault: link cut",
    "fault: center unreachable",
    "fault: gateway frozen",
    "fault: gateway goes on",
    "event: message of a room without archive relayed",
    "retention: small",
    "fault: component link cut",
    "fault: stanzas of a dead link arrive late",
    "fault: live stream with holes",
    "fault: server crash",
    "fault: server restart",
    "fault: archive lost its tail",
    "fault: puppet kicked",
    "fault: puppet banned",
    "fault: ear kicked",
    "fault: nick taken",
    "fault: room full",
    "fault: room destroyed",
    "fault: poison",
    "crash point, center: commit under way",
    "crash point, center: commit done, nobody told",
    "crash point, gateway: commit under way",
    "crash point, gateway: commit done, nobody told",
    "crash with uncommitted, gateway: mapping",
    "crash with uncommitted, gateway: outbox",
    "crash with uncommitted, gateway: posted",
    "crash with uncommitted, gateway: seen",
    "crash with uncommitted, gateway: entered",
    "crash with uncommitted, gateway: fenced",
    "crash with uncommitted, gateway: occupant",
    "crash at: enter",
    "crash at: leave",
    "crash at: say",
    "crash at: fence",
    "crash at: read archive",
    "crash at: relay",
    "crash at: resume",
    "crash at: settled",
    "crash at: before mapping",
    "crash at: before outbox",
    "crash at: before posted",
    "crash at: before fenced",
    "crash at: after mapping",
    "crash at: after outbox",
    "crash at: after posted",
    "crash at: after fenced",
    "people: plain",
    "people: forged id",
    "people: same id twice",
    "people: not archived",
    "people: encrypted",
    "people: chat state",
    "people: poison",
    "people: rename",
    "people: affiliation changes",
    "people: command about a person",
    "people: command about a person of a list kept by command",
    "list: kept by command",
    "companies: two branches of one",
    "window: small",
    "credit: small",
    "relay window: small",
    "server: prosody with SQL",
    "server: prosody with files",
    "server: ejabberd with SQL",
    "server: ejabberd with SQL and occupant-ids",
    "server: ejabberd with Mnesia",
];

#[test]
fn nothing_is_lost_doubled_or_reordered_through_faults() {
    let next = AtomicU64::new(FIRST);
    let sum = Mutex::new((Coverage::default(), Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= FIRST + SCHEDULES {
                        return;
                    }
                    let outcome = sim::whole::run(seed, None, false);
                    let mut sum = sum.lock().expect("no thread panics with the sum in its hands");
                    sum.0.merge(&outcome.coverage);
                    if !outcome.violations.is_empty() {
                        sum.1.push((seed, outcome.violations));
                    }
                }
            });
        }
    });
    let (coverage, failed) = sum.into_inner().expect("no thread panicked");
    println!("{coverage}");
    assert!(
        failed.is_empty(),
        "replay with `cargo run -p intergroup-tests --bin sim -- --seed N --trace`: {failed:#?}"
    );
    assert_eq!(coverage.missing(MET), Vec::<&str>::new(), "these schedules have not met");
}

#[test]
fn a_schedule_is_the_same_every_time() {
    let (once, again) = (sim::whole::run(7, None, false), sim::whole::run(7, None, false));
    assert_eq!((once.steps, once.coverage.to_string()), (again.steps, again.coverage.to_string()));
}
