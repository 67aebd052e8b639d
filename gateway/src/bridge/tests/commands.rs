//! Administrators' commands, and names as they cross.

use intergroup_schemas::link::{Request, RequestBody, ToCenter};
use intergroup_schemas::list::Policy;

use super::rig::{GROUP, Rig};
use super::{ALICE, Command, Reply};
use crate::bridge::AboutEdit;

#[test]
fn what_is_not_to_change_of_a_description_stays() {
    let mut rig = Rig::mapped();
    rig.sent.clear();
    rig.replies.clear();
    let changes =
        AboutEdit { subject: Some("Launch".into()), policy: Some(Policy::Announcements), ..Default::default() };
    rig.command(Command::Describe { group: GROUP, changes });
    let asked = |s: &ToCenter| if let ToCenter::Request(Request { body, .. }) = s { Some(body.clone()) } else { None };
    let asked: Vec<_> = rig.sent.iter().filter_map(asked).collect();
    let [RequestBody::ShowGroup { group: GROUP }, RequestBody::DescribeGroup { group: GROUP, about }] = &asked[..]
    else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (about.name.as_str(), about.subject.as_str(), about.policy),
        ("Apollo", "Launch", Policy::Announcements)
    );
    assert!(matches!(&rig.replies[..], [Reply::Group(..)]), "{:?}", rig.replies);
}

/// Whatever a client lets people call themselves, nothing crosses that does not show or turns its surroundings.
#[test]
fn nicks_cross_without_what_does_not_show() {
    let mut rig = Rig::mapped();
    let nicks = [("Al\u{202E}ice", "Alice"), ("A\u{200B}l", "Al"), ("Alice\n(Globex)\u{2028}x", "Alice (Globex) x")];
    for (nick, _) in nicks {
        rig.person(nick, ALICE);
        rig.says(nick, ALICE, "hello");
    }
    // Nothing of this one shows: the user id stands in its place.
    rig.person("\u{2066}\u{FEFF}", ALICE);
    rig.says("\u{2066}\u{FEFF}", ALICE, "hello");
    let nick = |s: &ToCenter| if let ToCenter::Relay(r) = s { Some(r.nick.to_string()) } else { None };
    let crossed: Vec<_> = rig.sent.iter().filter_map(nick).collect();
    let expected: Vec<_> = nicks.iter().map(|(_, clean)| *clean).chain(["alice"]).collect();
    assert_eq!(crossed, expected);
}
