//! Who belongs, from when to when; and who is let in at all.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{ListVersion, Seq};
use intergroup_schemas::link::{Change, Relay, RequestBody, ResponseBody, Resume, Standing, ToCenter, ToGateway};

use super::{AdminReply, AdminRequest, Event, LinkId, Proof, Timestamp, World, certificate, decided, gateway, relay};
use super::{stream, words};

#[test]
fn what_was_said_before_the_room_knew_of_a_member_is_not_for_it() {
    let mut world = World::new();
    ["acme", "globex"].iter().for_each(|name| world.enrol(name));
    let [a, b] = ["acme", "globex"].map(|name| world.greet(name, Vec::new()).0);
    let group = world.group(&[("acme", a), ("globex", b)]);
    for (n, list) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
        world.say(a, ToCenter::Relay(Relay { list: ListVersion(list), ..relay(group, "ka", n, "") }));
    }
    let words = words(&world.take(b), group);
    assert_eq!(words[..2], ["skip BeforeYouJoined", "skip BeforeYouJoined"]);
    assert_eq!(words[2..], ["ka.3", "skip BeforeYouJoined"]);
}

#[test]
fn nothing_of_the_time_in_between_reaches_who_left_and_came_back() {
    let (mut world, group, [a, b, _]) = World::three();
    world.relays(a, group, "ka", 1..=1);
    world.ask(b, RequestBody::LeaveGroup { group });
    world.relays(a, group, "ka", 2..=2);
    let got = words(&world.take(b), group);
    assert_eq!(got, ["ka.1", "entry"], "its own leaving is the last it gets");
    let info = world.info(b, RequestBody::JoinGroup { group });
    assert_eq!(info.joined_at, Seq(7));
    world.relays(a, group, "ka", 3..=3);
    assert!(stream(&world.take(b), group).is_empty(), "the old stream has ended");
    world.say(b, ToCenter::Resume(Resume { group, after: Seq(4) }));
    // Said before Acme's room was told of the new membership.
    assert_eq!(words(&world.take(b), group), ["entry", "skip BeforeYouJoined"]);
    world.say(a, ToCenter::Relay(Relay { list: info.list, ..relay(group, "ka", 4, "") }));
    assert_eq!(words(&world.take(b), group), ["ka.4"]);
}

#[test]
fn who_left_cannot_speak_and_is_told_so_durably() {
    let (mut world, group, [a, b, _]) = World::three();
    world.ask(b, RequestBody::LeaveGroup { group });
    world.take(a);
    world.relays(b, group, "kb", 1..=1);
    assert_eq!(decided(&world.take(b)), [(1, vec![(1, Condition::NotAMember)])]);
    assert!(stream(&world.take(a), group).is_empty());
}

#[test]
fn only_whom_the_owner_allowed_joins() {
    let (mut world, group, [_, b, _]) = World::three();
    world.enrol("hooli");
    let (hooli, _) = world.greet("hooli", Vec::new());
    let refused = |body: ResponseBody| match body {
        ResponseBody::Refused { condition, .. } => condition,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(world.ask(hooli, RequestBody::JoinGroup { group })), Condition::NotAllowed);
    let enterprise = || "hooli".parse().unwrap();
    let allow = RequestBody::AllowEnterprise { group, enterprise: enterprise() };
    assert_eq!(refused(world.ask(b, allow)), Condition::NotOwner);
    assert_eq!(refused(world.ask(b, RequestBody::DeleteGroup { group })), Condition::NotOwner);
    let name = "x\u{0}".to_owned();
    assert_eq!(refused(world.ask(b, RequestBody::CreateGroup { name })), Condition::BadRequest);
    assert!(
        matches!(world.ask(hooli, RequestBody::ListGroups {}), ResponseBody::Groups { groups } if groups.is_empty())
    );
}

#[test]
fn the_end_of_a_group_is_its_last_entry_and_its_number_is_not_used_again() {
    let (mut world, group, [a, b, _]) = World::three();
    world.relays(b, group, "kb", 1..=1);
    world.take(b);
    assert!(matches!(world.admin(AdminRequest::DeleteGroup(group)), Some(AdminReply::Done)));
    let got = world.take(a);
    let last = got.iter().rev().find_map(|s| if let ToGateway::Entry(e) = s { Some(e.clone()) } else { None });
    assert_eq!(last.map(|e| (e.seq, e.change)), Some((Seq(5), Change::Deleted {})));
    world.relays(b, group, "kb", 2..=2);
    assert_eq!(decided(&world.take(b)).last(), Some(&(2, vec![(2, Condition::UnknownGroup)])));
    assert!(stream(&world.take(a), group).is_empty());
    let mut world = world.restart();
    let (a, welcome) = world.greet("acme", vec![super::memory(group, Seq(3), Default::default(), "ka", 0)]);
    assert_eq!(welcome.groups[0].standing, Standing::Deleted);
    world.say(a, ToCenter::Resume(Resume { group, after: Seq(3) }));
    assert_eq!(words(&world.take(a), group), ["kb.1", "entry"], "what came before is still delivered");
    assert!(world.info(a, RequestBody::CreateGroup { name: "Next".into() }).number > group);
}

#[test]
fn a_suspended_enterprise_is_out_at_once_and_comes_back_to_everything() {
    let (mut world, group, [a, b, c]) = World::three();
    let globex = || "globex".parse().unwrap();
    assert!(matches!(world.admin(AdminRequest::Suspend(globex())), Some(AdminReply::Done)));
    assert_eq!(world.closed.get(&b), Some(&Condition::Suspended));
    let again = world.open("globex");
    assert_eq!(world.closed.get(&again), Some(&Condition::Suspended));
    world.take(a);
    world.relays(a, group, "ka", 1..=2);
    assert_eq!(words(&world.take(c), group), ["entry", "ka.1", "ka.2"], "the others are told, and go on");
    let mut world = world.restart();
    let again = world.open("globex");
    assert_eq!(world.closed.get(&again), Some(&Condition::Suspended), "durably");
    world.admin(AdminRequest::Resume(globex()));
    let (b, _) = world.greet("globex", Vec::new());
    world.say(b, ToCenter::Resume(Resume { group, after: Seq(3) }));
    assert_eq!(words(&world.take(b), group), ["entry", "ka.1", "ka.2", "entry"]);
}

#[test]
fn a_removed_enterprise_stays_out_for_ever() {
    let (mut world, _, [a, b, _]) = World::three();
    let globex = || "globex".parse().unwrap();
    world.take(a);
    world.admin(AdminRequest::Remove(globex()));
    assert_eq!(world.closed.get(&b), Some(&Condition::Removed));
    let got = world.take(a);
    let left = got.iter().any(|s| matches!(s, ToGateway::Entry(e) if matches!(e.change, Change::Left { .. })));
    assert!(left, "the others are told");
    assert!(matches!(world.admin(AdminRequest::Resume(globex())), Some(AdminReply::Refused { .. })));
    let add = AdminRequest::AddEnterprise {
        gateway: gateway("globex"),
        display: None,
        secret: [9; 32],
        expires: Timestamp(i64::MAX),
        again: false,
    };
    assert!(matches!(world.admin(add), Some(AdminReply::Refused { .. })), "ids are not used again");
    let again = world.open("globex");
    assert_eq!(world.closed.get(&again), Some(&Condition::Removed));
}

#[test]
fn a_newer_link_takes_the_place_of_an_older_one() {
    let (mut world, group, [a, b, _]) = World::three();
    let (newer, _) = world.greet("globex", Vec::new());
    assert_eq!(world.closed.get(&b), Some(&Condition::Replaced));
    world.say(newer, ToCenter::Resume(Resume { group, after: Seq(3) }));
    world.event(Event::LinkClosed { link: b });
    world.relays(a, group, "ka", 1..=1);
    assert_eq!(words(&world.take(newer), group), ["ka.1"]);
}

fn opened(world: &mut World, link: u64, fingerprint: [u8; 32]) -> bool {
    let link = LinkId(link);
    world.event(Event::LinkOpened { link, gateway: gateway("acme"), certificate: fingerprint });
    !world.closed.contains_key(&link)
}

#[test]
fn a_code_works_once_and_puts_the_certificate_before_out() {
    let mut world = World::new();
    world.enrol("acme");
    let (old, _) = world.greet("acme", Vec::new());
    let secret = [5; 32];
    let (gateway, expires) = (gateway("acme"), Timestamp(i64::MAX));
    let add = AdminRequest::AddEnterprise { gateway: gateway.clone(), display: None, secret, expires, again: true };
    assert!(matches!(world.admin(add), Some(AdminReply::Done)));
    let certify = |n: u8| AdminRequest::Certify {
        gateway: gateway.clone(),
        certificate: [n; 32],
        expires,
        proof: Proof::Code(secret),
    };
    assert!(matches!(world.admin(certify(1)), Some(AdminReply::Gateway { .. })));
    assert_eq!(world.closed.get(&old), Some(&Condition::BadCertificate));
    let again = world.admin(certify(2));
    assert!(matches!(again, Some(AdminReply::Refused { condition: Some(Condition::BadCode), .. })));
    assert!(!opened(&mut world, 100, certificate("acme")));
    assert!(!opened(&mut world, 101, [2; 32]));
    assert!(opened(&mut world, 102, [1; 32]));
}

#[test]
fn a_code_ends() {
    let mut world = World::new();
    world.enrol("acme");
    let (secret, expires) = ([5; 32], Timestamp(world.now.0 + 1000));
    let add = AdminRequest::AddEnterprise { gateway: gateway("acme"), display: None, secret, expires, again: true };
    world.admin(add);
    assert!(matches!(world.admin(AdminRequest::CheckCode(secret)), Some(AdminReply::Gateway { .. })));
    world.later(1001);
    let refused = world.admin(AdminRequest::CheckCode(secret));
    assert!(matches!(refused, Some(AdminReply::Refused { condition: Some(Condition::BadCode), .. })));
}

#[test]
fn a_renewal_whose_answer_was_lost_twice_locks_nobody_out() {
    let mut world = World::new();
    world.enrol("acme");
    let held = certificate("acme");
    let renew = |n: u8, shown| AdminRequest::Certify {
        gateway: gateway("acme"),
        certificate: [n; 32],
        expires: Timestamp(i64::MAX),
        proof: Proof::Certificate(shown),
    };
    assert!(matches!(world.admin(renew(1, held)), Some(AdminReply::Gateway { .. })));
    assert!(matches!(world.admin(renew(2, held)), Some(AdminReply::Gateway { .. })));
    assert!(opened(&mut world, 100, held), "the one that the gateway holds");
    assert!(opened(&mut world, 101, [2; 32]), "the new one");
    assert!(!opened(&mut world, 102, held), "which ends the old");
    assert!(matches!(world.admin(renew(3, held)), Some(AdminReply::Refused { .. })));
}
