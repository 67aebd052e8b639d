//! StandingText text: the room names the companies that it is shared with, and nobody's own subject is lost.

use intergroup_schemas::ids::{ListVersion, Seq};
use intergroup_schemas::link::{Change, Entry, MemberInfo, ToGateway};

use super::group::member;
use super::rig::{GROUP, Rig};
use super::{Event, RoomEvent};
use crate::bridge::StandingText;

fn entry(rig: &mut Rig, seq: u64, change: Change) {
    let entry = Entry { group: GROUP, seq: Seq(seq), list: ListVersion(seq), change };
    rig.event(Event::Link(ToGateway::Entry(entry)));
}

fn joined(display: &str) -> Change {
    joined_at(display, "main")
}

fn joined_at(display: &str, gateway: &str) -> Change {
    let enterprise = display.to_lowercase().parse().unwrap();
    Change::Joined { enterprise, gateway: gateway.parse().unwrap(), display: display.parse().unwrap() }
}

fn left_at(display: &str, gateway: &str) -> Change {
    let enterprise = display.to_lowercase().parse().unwrap();
    Change::Left { enterprise, gateway: gateway.parse().unwrap(), display: display.parse().unwrap() }
}

fn with(standing: StandingText) -> Rig {
    let mut rig = Rig::mapped();
    rig.standing = standing;
    rig.crash();
    rig.up();
    rig.resumed();
    rig
}

fn last(rig: &Rig) -> String {
    rig.archive.last().unwrap().text.clone()
}

#[test]
fn each_change_of_companies_ends_with_all_of_them() {
    let mut rig = with(StandingText::Line);
    entry(&mut rig, 2, joined("Initech"));
    assert!(last(&rig).ends_with("Group 10001 (Apollo): shared with Globex, Initech.</body>"), "{}", last(&rig));
    entry(&mut rig, 3, Change::Suspended { enterprise: "globex".parse().unwrap() });
    assert!(last(&rig).ends_with("shared with Initech.</body>"), "{}", last(&rig));
    rig.crash();
    rig.up();
    // What came before comes by once more.
    assert_eq!(rig.resumed(), Seq(1));
    entry(&mut rig, 2, joined("Initech"));
    entry(&mut rig, 3, Change::Suspended { enterprise: "globex".parse().unwrap() });
    entry(&mut rig, 4, Change::Resumed { enterprise: "globex".parse().unwrap() });
    assert!(last(&rig).ends_with("shared with Globex, Initech.</body>"), "{}", last(&rig));
    assert!(rig.subjects.is_empty());
}

#[test]
fn a_branch_that_comes_or_goes_is_not_taken_for_its_company() {
    let mut rig = with(StandingText::None);
    let told = |rig: &mut Rig, seq: u64, change: Change, words: &str| {
        entry(rig, seq, change);
        assert!(last(rig).contains(words), "{} is not {words:?}", last(rig));
    };
    told(&mut rig, 2, joined_at("Globex", "east"), "Another branch of Globex has joined group 10001");
    told(
        &mut rig,
        3,
        left_at("Globex", "main"),
        "A branch of Globex has left group 10001 (Apollo); Globex still reads",
    );
    told(&mut rig, 4, left_at("Globex", "east"), ">Globex has left group 10001");
    told(&mut rig, 5, joined_at("Globex", "east"), ">Globex has joined group 10001");
    told(&mut rig, 6, joined_at("Acme", "west"), "Another branch of Acme has joined group 10001");
    told(&mut rig, 7, left_at("Acme", "west"), "Another branch of Acme has left group 10001");
    // A room that is new to the group is told of each company once, and of the other branches of its own.
    let mut rig = Rig::new();
    for (company, gateway) in [("globex", "east"), ("acme", "west")] {
        let display = if company == "acme" { "Acme" } else { "Globex" };
        rig.members.push(MemberInfo { gateway: gateway.parse().unwrap(), ..member(company, display) });
    }
    rig.share(None);
    let notice = rig.archive.iter().find(|e| e.text.contains("shared from now on")).map(|e| e.text.clone());
    assert!(notice.is_some_and(|text| text.contains("with: Globex, another branch of Acme.")), "{:?}", rig.archive);
}

#[test]
fn the_subject_names_them_until_somebody_gives_the_room_another() {
    let mut rig = with(StandingText::Subject);
    assert!(rig.subjects.is_empty(), "what the subject is is not known yet");
    rig.room_event(RoomEvent::Subject("".into()));
    assert_eq!(rig.subjects, ["Group 10001 (Apollo): shared with Globex"]);
    rig.room_event(RoomEvent::Subject(rig.subjects[0].as_str().into()));
    rig.pass(200_000);
    assert_eq!(rig.subjects.len(), 1, "once is enough");
    entry(&mut rig, 2, joined("Initech"));
    assert_eq!(rig.subjects[1..], ["Group 10001 (Apollo): shared with Globex, Initech"]);
    rig.room_event(RoomEvent::Subject("Launch on Friday".into()));
    entry(&mut rig, 3, joined("Umbrella"));
    assert_eq!(rig.subjects.len(), 2, "what people write there stays");
    rig.room_event(RoomEvent::Subject("".into()));
    assert_eq!(rig.subjects.len(), 3);
}

#[test]
fn where_it_is_not_wanted_there_is_none() {
    let mut rig = with(StandingText::None);
    rig.room_event(RoomEvent::Subject("".into()));
    entry(&mut rig, 2, joined("Initech"));
    assert!(last(&rig).ends_with("reads along from now on.</body>"), "{}", last(&rig));
    assert!(rig.subjects.is_empty());
}
