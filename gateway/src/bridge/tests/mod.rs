//! What the bridge promises, each rule by itself, in a room that behaves.

mod archive;
mod commands;
mod group;
mod lists;
mod members;
mod mirror;
mod number;
mod offline;
mod pace;
mod refused;
mod rig;
mod standing;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{N, Seq};
use intergroup_schemas::link::{Decided, Expect, History, ToCenter, ToGateway};

use super::{Command, Event, Gone, Reply, RoomEvent};
use crate::ids::{Nick, Who};
use rig::{GROUP, Rig, Speaker, room};

const ALICE: &str = "alice@acme.test";
const BOB: &str = "bob@acme.test";

fn body(text: &str) -> String {
    format!("<body>{text}</body>")
}

#[test]
fn what_is_said_after_the_notice_crosses_once_and_in_order() {
    let mut rig = Rig::new();
    rig.spoken(ALICE, "before");
    rig.up();
    rig.command(Command::Create { name: "Apollo".into(), room: room(), members: None });
    assert!(matches!(&rig.replies[..], [Reply::Group(..)]), "{:?}", rig.replies);
    rig.person("Alice", ALICE);
    rig.says("Alice", ALICE, "one");
    rig.says("Alice", ALICE, "two");
    rig.pass(70_000);
    assert_eq!(rig.relays(), [(1, body("one")), (2, body("two"))]);
    assert!(rig.relays_on_disk, "nothing leaves before it is on disk");
}

#[test]
fn a_room_that_cannot_serve_is_not_mapped() {
    let mut rig = Rig::new();
    rig.affiliation = super::Affiliation::None;
    rig.up();
    rig.command(Command::Create { name: "Apollo".into(), room: room(), members: None });
    assert!(matches!(&rig.replies[..], [Reply::Refused { text, .. }] if text.contains("admin")), "{:?}", rig.replies);
    assert!(rig.inside.is_empty() && rig.sent.is_empty());
}

#[test]
fn what_was_said_while_we_were_away_comes_from_the_archive() {
    let mut rig = Rig::mapped();
    rig.says("Alice", ALICE, "one");
    rig.crash();
    for text in ["two", "three", "four", "five"] {
        rig.spoken(BOB, text);
    }
    rig.event(Event::ServerUp { exclusive: true });
    rig.person("Alice", ALICE);
    rig.says("Alice", ALICE, "six");
    rig.link_up(N(0), History::Same, Seq(0));
    let expected: Vec<_> =
        ["one", "two", "three", "four", "five", "six"].iter().zip(1..).map(|(t, n)| (n, body(t))).collect();
    assert_eq!(rig.relays(), expected);
}

#[test]
fn live_messages_do_not_overtake_what_the_archive_holds() {
    let mut rig = Rig::mapped();
    rig.crash();
    rig.spoken(ALICE, "one");
    rig.slow_archive = Some(Vec::new());
    rig.event(Event::ServerUp { exclusive: true });
    rig.person("Bob", BOB);
    rig.says("Bob", BOB, "two");
    let held = rig.slow_archive.take().unwrap();
    for (request, from) in held {
        rig.page(request, &from);
    }
    rig.run();
    rig.link_up(N(0), History::Same, Seq(0));
    assert_eq!(rig.relays(), [(1, body("one")), (2, body("two"))]);
}

#[test]
fn remote_people_speak_through_puppets_in_order() {
    let mut rig = Rig::mapped();
    rig.deliver(2, "carol", "hi");
    rig.deliver(3, "dave", "ho");
    rig.deliver(4, "carol", "again");
    assert_eq!(rig.heard(), ["hi", "ho", "again"]);
    assert_eq!(rig.settled(), Some(4));
    let nicks: Vec<_> = rig.inside.values().map(Nick::as_str).collect();
    assert_eq!(nicks, ["Intergroup", "carol (Globex)", "dave (Globex)"]);
}

#[test]
fn a_taken_nick_gets_a_number() {
    let mut rig = Rig::mapped();
    rig.refuse_nicks.insert("carol (Globex)");
    rig.deliver(2, "carol", "hi");
    assert!(rig.inside.values().any(|n| n.as_str() == "carol (Globex) 2"));
    assert_eq!(rig.heard(), ["hi"]);
}

#[test]
fn what_was_said_before_a_crash_is_not_said_again() {
    for archived in [true, false] {
        let mut rig = Rig::mapped();
        rig.deliver(2, "carol", "one");
        rig.mute = Some(archived);
        rig.deliver(3, "carol", "two");
        assert_eq!(rig.settled(), Some(2));
        rig.crash();
        rig.mute = None;
        rig.up();
        let after = rig.resumed();
        for (seq, text) in [(2, "one"), (3, "two"), (4, "three")].into_iter().filter(|(seq, _)| *seq > after.0) {
            rig.deliver(seq, "carol", text);
        }
        let texts: Vec<_> = rig.heard().iter().map(|t| t.replace("[late] ", "")).collect();
        assert_eq!(texts, ["one", "two", "three"], "archived: {archived}");
        assert_eq!(rig.settled(), Some(4));
    }
}

#[test]
fn a_fence_comes_before_any_judgement() {
    let mut rig = Rig::mapped();
    rig.deliver(2, "carol", "one");
    let before: Vec<_> = rig.inside.keys().cloned().collect();
    rig.crash();
    rig.event(Event::ServerUp { exclusive: true });
    for mouth in before {
        assert!(!rig.inside.contains_key(&mouth), "{mouth:?} of an older life was sent out");
    }
    assert_eq!(rig.inside.len(), 1, "the ear is in with a new life");
}

#[test]
fn a_silence_leads_to_the_archive_not_to_a_second_saying() {
    let mut rig = Rig::mapped();
    rig.mute = Some(true);
    rig.deliver(2, "carol", "one");
    rig.mute = None;
    rig.pass(31_000);
    rig.pass(10_000);
    let after = rig.resumed();
    assert!(after.0 < 2);
    rig.deliver(2, "carol", "one");
    assert_eq!(rig.heard(), ["one"]);
    assert_eq!(rig.settled(), Some(2));
}

#[test]
fn a_refusal_stops_what_follows_until_it_is_judged() {
    let mut rig = Rig::mapped();
    rig.deliver(2, "carol", "one");
    rig.refuse.insert(rig.says + 1, "not-acceptable");
    rig.deliver(3, "carol", "two");
    rig.deliver(4, "carol", "three");
    assert_eq!(rig.heard(), ["one", "two", "three"]);
    assert_eq!(rig.settled(), Some(4));
}

#[test]
fn what_was_overtaken_before_a_crash_comes_late() {
    let mut rig = Rig::mapped();
    rig.mute = Some(false);
    rig.deliver(2, "carol", "one");
    rig.mute = None;
    rig.deliver(3, "carol", "two");
    rig.crash();
    rig.up();
    rig.resumed();
    rig.deliver(2, "carol", "one");
    rig.deliver(3, "carol", "two");
    rig.deliver(4, "carol", "three");
    assert_eq!(rig.heard(), ["two", "[late] one", "three"]);
    assert_eq!(rig.settled(), Some(4));
}

#[test]
fn what_a_room_never_takes_is_given_up_and_told() {
    let mut rig = Rig::mapped();
    for say in 1..=3 {
        rig.refuse.insert(rig.says + say, "policy-violation");
    }
    rig.deliver(2, "carol", "bad");
    rig.deliver(3, "carol", "good");
    assert_eq!(rig.heard(), ["good"]);
    let refused = rig.sent.iter().filter_map(|s| match s {
        ToCenter::Settled(s) => s.refused.first().cloned(),
        _ => None,
    });
    let refused: Vec<_> = refused.collect();
    assert!(refused.iter().all(|(seq, _, c)| *seq == Seq(2) && *c == Condition::RefusedByRoom) && !refused.is_empty());
    assert_eq!(rig.bridge.cx.counters.get("refused-by-room"), Some(&1));
}

#[test]
fn a_kicked_person_is_quiet_for_a_while() {
    let mut rig = Rig::mapped();
    rig.deliver(2, "carol", "one");
    let mouth = rig.inside.keys().find(|m| m.who != Who::Ear).cloned().unwrap();
    rig.inside.remove(&mouth);
    rig.room_event(RoomEvent::Out { mouth, how: Gone::Kicked });
    rig.deliver(3, "carol", "two");
    rig.deliver(4, "dave", "three");
    assert_eq!(rig.heard(), ["one", "three"]);
    rig.pass(11 * 60_000);
    rig.deliver(5, "carol", "four");
    assert_eq!(rig.heard(), ["one", "three", "four"]);
}

#[test]
fn what_was_on_its_way_when_its_speaker_was_kicked_holds_up_nobody() {
    let mut rig = Rig::mapped();
    rig.deliver(2, "carol", "one");
    rig.mute = Some(true);
    rig.deliver(3, "carol", "two");
    let two = rig.archive.pop().unwrap();
    rig.mute = None;
    let mouth = rig.inside.keys().find(|m| m.who != Who::Ear).cloned().unwrap();
    rig.inside.remove(&mouth);
    rig.room_event(RoomEvent::Out { mouth: mouth.clone(), how: Gone::Kicked });
    rig.deliver(4, "carol", "three");
    let refusal = rig::refusal("not-acceptable");
    rig.room_event(RoomEvent::SayRefused { mouth: mouth.clone(), id: two.message, refusal });
    rig.deliver(5, "dave", "four");
    assert_eq!(rig.heard(), ["one", "four"]);
    assert_eq!(rig.settled(), Some(5));
    assert!(!rig.inside.contains_key(&mouth), "a kick is not fought by coming in again");
}

#[test]
fn authors_are_told_at_once_and_then_by_count() {
    let mut rig = Rig::mapped();
    for _ in 0..3 {
        rig.says("Alice", ALICE, "secret");
    }
    assert_eq!(rig.told.len(), 1, "{:?}", rig.told);
    rig.pass(61_000);
    assert_eq!(rig.told.len(), 2, "{:?}", rig.told);
    assert!(rig.told[1].1.starts_with("2 more messages"), "{:?}", rig.told);
    rig.says("Mallory", "mallory@elsewhere.test", "hi");
    rig.person("Mallory", "mallory@elsewhere.test");
    rig.pass(61_000);
    assert!(rig.told[2].1.contains("only members of this company"), "{:?}", rig.told);
    assert!(rig.relays().is_empty());
}

#[test]
fn refusals_of_the_center_reach_the_author() {
    let mut rig = Rig::mapped();
    rig.says("Alice", ALICE, "one");
    rig.says("Bob", BOB, "two");
    let Some(ToCenter::Relay(relay)) = rig.sent.iter().find(|s| matches!(s, ToCenter::Relay(_))).cloned() else {
        panic!("nothing was relayed");
    };
    let refused = vec![(N(2), Condition::NotAMember)];
    let decided = Decided { group: GROUP, epoch: relay.epoch.clone(), n: N(2), refused };
    rig.event(Event::Link(ToGateway::Decided(decided.clone())));
    rig.event(Event::Link(ToGateway::Decided(decided)));
    assert_eq!(rig.told.len(), 1);
    assert_eq!(rig.told[0].0.as_str(), "Bob");
    assert!(rig.sent.iter().any(|s| matches!(s, ToCenter::Confirm(c) if c.n == N(2))));
}

#[test]
fn used_numbers_lead_to_a_new_epoch_and_nothing_is_lost() {
    let mut rig = Rig::mapped();
    for text in ["one", "two", "three"] {
        rig.says("Alice", ALICE, text);
    }
    let epoch = rig.bridge.hello()[0].epoch.clone();
    let decided = Decided { group: GROUP, epoch: epoch.clone(), n: N(1), refused: Vec::new() };
    rig.event(Event::Link(ToGateway::Decided(decided)));
    rig.sent.clear();
    rig.event(Event::Link(ToGateway::Expect(Expect { group: GROUP, epoch: epoch.clone(), n: N(2), fork: true })));
    assert_eq!(rig.relays(), [(1, body("two")), (2, body("three"))]);
    assert_ne!(rig.bridge.hello()[0].epoch, epoch);
    assert!(rig.relays_on_disk);
}

#[test]
fn an_older_store_knows_itself_however_often_it_starts_alone() {
    let mut rig = Rig::mapped();
    rig.says("Alice", ALICE, "one");
    let backup = rig.store.clone();
    rig.says("Bob", BOB, "two, which no backup knows");
    assert_eq!(rig.relays().len(), 2);
    rig.store = backup;
    rig.archive.pop();
    let epoch = rig.bridge.hello()[0].epoch.clone();
    for text in ["three", "four", "five"] {
        rig.crash();
        rig.event(Event::ServerUp { exclusive: true });
        rig.person("Alice", ALICE);
        rig.says("Alice", ALICE, text);
    }
    assert!(rig.relays().is_empty());
    rig.link_up(N(2), History::Same, Seq(0));
    assert_ne!(rig.bridge.hello()[0].epoch, epoch, "two was number 2, and three must not pass for it");
    let expected = ["one", "three", "four", "five"].iter().zip(1..).map(|(t, n)| (n, body(t)));
    assert_eq!(rig.relays(), expected.collect::<Vec<_>>());
}

#[test]
fn a_store_that_is_not_older_keeps_its_numbers_however_often_it_starts_alone() {
    let mut rig = Rig::mapped();
    rig.says("Alice", ALICE, "one");
    let epoch = rig.bridge.hello()[0].epoch.clone();
    for text in ["two", "three"] {
        rig.crash();
        rig.event(Event::ServerUp { exclusive: true });
        rig.person("Alice", ALICE);
        rig.says("Alice", ALICE, text);
    }
    rig.link_up(N(1), History::Same, Seq(0));
    assert_eq!(rig.relays(), [(2, body("two")), (3, body("three"))]);
    assert_eq!(rig.bridge.hello()[0].epoch, epoch);
    assert!(rig.relays_on_disk);
}

#[test]
fn a_forked_log_is_compared_by_origin_key() {
    let mut rig = Rig::mapped();
    for seq in 2..=60 {
        rig.deliver(seq, "carol", &format!("t{seq}"));
    }
    let places = rig.bridge.hello()[0].places.clone();
    let common = places.iter().map(|(seq, _)| *seq).find(|seq| seq.0 < 50).unwrap_or(Seq(0));
    rig.event(Event::LinkDown);
    rig.link_up(N(0), History::Forked, common);
    assert_eq!(rig.resumed(), common);
    for seq in common.0 + 1..=61 {
        rig.deliver(seq, "carol", &format!("t{seq}"));
    }
    let expected: Vec<_> = (2..=61).map(|seq| format!("t{seq}")).collect();
    assert_eq!(rig.heard(), expected);
}

#[test]
fn what_is_on_its_way_into_the_room_is_compared_too() {
    let mut rig = Rig::mapped();
    rig.deliver(2, "carol", "one");
    rig.mute = Some(true);
    rig.deliver(3, "carol", "two");
    rig.event(Event::LinkDown);
    let hello = &rig.bridge.hello()[0];
    assert_eq!(hello.cursor, Seq(3), "received, and settled up to 2");
    assert_eq!(hello.places[0].0, Seq(2));
    rig.mute = None;
    rig.link_up(N(0), History::Forked, Seq(2));
    let after = rig.resumed();
    assert!(after <= Seq(2), "the log may have another entry 3 now: {after}");
    for seq in after.0 + 1..=3 {
        rig.deliver(seq, "carol", ["", "", "one", "two"][seq as usize]);
    }
    assert_eq!(rig.heard(), ["one", "two"]);
}

#[test]
fn an_archive_that_kept_nothing_is_reported_once() {
    let mut rig = Rig::mapped();
    rig.deliver(2, "carol", "one");
    for _ in 0..4 {
        rig.pass(61_000);
    }
    rig.crash();
    rig.archive.clear();
    let said = rig.says;
    rig.up();
    for seq in rig.resumed().0 + 1..=2 {
        rig.deliver(seq, "carol", "one");
    }
    for _ in 0..3 {
        rig.pass(61_000);
    }
    let told = rig.reports.iter().filter(|text| text.contains("no longer reaches back")).count();
    assert_eq!((told, rig.says), (1, said), "it was there for minutes: it has expired, and was not lost in a crash");
}

#[test]
fn what_a_server_forgot_in_a_crash_is_said_again() {
    let mut rig = Rig::mapped();
    rig.deliver(2, "carol", "one");
    rig.deliver(3, "carol", "two");
    assert_eq!(rig.settled(), Some(3));
    rig.archive.pop();
    rig.inside.clear();
    rig.event(Event::ServerDown { stream_error: None });
    rig.event(Event::ServerUp { exclusive: true });
    let after = rig.resumed();
    for (seq, text) in [(2, "one"), (3, "two")].into_iter().filter(|(seq, _)| *seq > after.0) {
        rig.deliver(seq, "carol", text);
    }
    assert_eq!(rig.heard(), ["one", "[late] two"]);
}

#[test]
fn unmapping_lets_go_what_is_on_its_way_first() {
    let mut rig = Rig::mapped();
    rig.says("Alice", ALICE, "one");
    rig.replies.clear();
    rig.command(Command::Unmap { group: GROUP });
    assert!(rig.replies.is_empty(), "the message is not decided yet");
    rig.says("Alice", ALICE, "two");
    let epoch = rig.bridge.hello()[0].epoch.clone();
    rig.event(Event::Link(ToGateway::Decided(Decided { group: GROUP, epoch, n: N(1), refused: Vec::new() })));
    assert!(matches!(&rig.replies[..], [Reply::Done]), "{:?}", rig.replies);
    assert_eq!(rig.relays(), [(1, body("one"))]);
    assert!(rig.inside.is_empty());
    assert!(rig.bridge.hello().is_empty());
    let entry = rig.archive.iter().rfind(|e| matches!(e.from, Speaker::Ours(_))).unwrap();
    assert!(entry.text.contains("not shared"), "{entry:?}");
}

#[test]
fn entries_that_come_again_open_the_window_again() {
    let mut rig = Rig::mapped();
    for seq in 2..=600 {
        rig.deliver(seq, "carol", &format!("t{seq}"));
    }
    assert_eq!(rig.settled(), Some(600));
    for crash in [true, false] {
        if crash {
            rig.crash();
            rig.up();
        } else {
            rig.inside.clear();
            rig.event(Event::ServerDown { stream_error: None });
            rig.event(Event::ServerUp { exclusive: true });
        }
        let after = rig.resumed();
        assert_eq!(after, Seq(1), "the only checkpoint is the floor");
        rig.sent.clear();
        for seq in 2..=400 {
            rig.deliver(seq, "carol", &format!("t{seq}"));
        }
        let upto = rig.settled().expect("the center is told though nothing new was settled");
        assert!((272..=400).contains(&upto), "{upto}");
        let told = rig.sent.iter().filter(|s| matches!(s, ToCenter::Settled(_))).count();
        assert!(told < 10, "{told} times");
        for seq in 401..=600 {
            rig.deliver(seq, "carol", &format!("t{seq}"));
        }
        assert_eq!(rig.settled(), Some(600));
        assert_eq!(rig.heard().len(), 599);
    }
}
