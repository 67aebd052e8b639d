//! What no server of ours can be brought to do, and what other companies' gateways tell of.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{Epoch, N, OriginKey, Seq};
use intergroup_schemas::link::{Decided, Fate, History, ToCenter, ToGateway};

use super::rig::{GROUP, Rig, Speaker};
use super::{ALICE, BOB, body};
use crate::bridge::Event;

fn counted(rig: &Rig, what: &str) -> u64 {
    rig.bridge.cx.counters.get(what).copied().unwrap_or(0)
}

/// A server that gives neither JIDs nor occupant-ids in its archive.
#[test]
fn who_cannot_be_known_is_not_guessed() {
    let mut rig = Rig::mapped();
    rig.crash();
    rig.spoken(ALICE, "known");
    let mut entry = rig.spoken(ALICE, "whose?");
    rig.archive.pop();
    entry.from = Speaker::Nobody;
    rig.archive.push(entry);
    rig.spoken(BOB, "known, too");
    rig.event(Event::ServerUp { exclusive: true });
    rig.link_up(N(0), History::Same, Seq(0));
    assert_eq!(rig.relays(), [(1, body("known")), (2, body("known, too"))]);
    let condition = Condition::UnknownAuthor;
    assert_eq!(counted(&rig, condition.as_str()), 1);
    assert!(rig.reports.iter().any(|text| text.contains(condition.admin_text())), "{:?}", rig.reports);
}

fn epoch(rig: &Rig) -> Epoch {
    let relay = |s: &ToCenter| if let ToCenter::Relay(relay) = s { Some(relay.epoch.clone()) } else { None };
    rig.sent.iter().find_map(relay).expect("something was relayed")
}

fn told(rig: &Rig, condition: Condition) -> usize {
    let why = condition.author_text().expect("authors are told");
    rig.told.iter().filter(|(nick, text)| nick.as_str() == "Alice" && text.contains(why)).count()
}

fn fated(condition: Condition) {
    let mut rig = Rig::mapped();
    rig.says("Alice", ALICE, "one");
    rig.says("Bob", BOB, "two");
    let epoch = epoch(&rig);
    rig.event(Event::Link(ToGateway::Decided(Decided {
        group: GROUP,
        epoch: epoch.clone(),
        n: N(2),
        refused: Vec::new(),
    })));
    let refused = vec![(OriginKey { epoch, n: N(1) }, condition)];
    let (enterprise, gateway) = ("globex".parse().unwrap(), "main".parse().unwrap());
    let fate = Fate { group: GROUP, enterprise, gateway, upto: Seq(3), refused };
    rig.event(Event::Link(ToGateway::Fate(fate.clone())));
    assert_eq!((told(&rig, condition), counted(&rig, "refused-elsewhere")), (1, 1), "{}", condition.as_str());
    // The center names it again on each new link.
    rig.event(Event::Link(ToGateway::Fate(fate)));
    assert_eq!((told(&rig, condition), rig.told.len()), (1, 1));
    rig.says("Alice", ALICE, "three");
    assert_eq!(rig.relays().len(), 3, "she goes on");
}

#[test]
fn what_expired_elsewhere_is_told_to_its_author() {
    fated(Condition::Expired);
}

#[test]
fn what_another_room_refused_is_told_to_its_author() {
    for condition in [Condition::RefusedByRoom, Condition::Banned, Condition::Kicked, Condition::Poisonous] {
        fated(condition);
    }
}
