//! Edits of user lists go the way of messages, in their order.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{ListDigest, ListVersion, N, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::link::{Change, Decided, Edit, Entry, ToCenter, ToGateway};
use intergroup_schemas::list::{AccountEdit, Listed, Role};

use super::rig::{GROUP, Rig};
use super::{ALICE, Command, Event, Reply};
use crate::bridge::PersonEdit;

fn on(person: &str) -> PersonEdit {
    let listed = Some(Listed { display: "Somebody".parse().unwrap(), role: Role::Speak });
    PersonEdit { person: person.into(), listed }
}

fn edit(rig: &mut Rig, people: Vec<PersonEdit>) {
    rig.command(Command::Edit { group: GROUP, people });
}

fn edits(rig: &Rig) -> Vec<Edit> {
    rig.sent.iter().filter_map(|s| if let ToCenter::Edit(edit) = s { Some(edit.clone()) } else { None }).collect()
}

/// What went out, by its number.
fn sent(rig: &Rig) -> Vec<(u64, &'static str)> {
    let word = |s: &ToCenter| match s {
        ToCenter::Relay(r) => Some((r.n.0, "message")),
        ToCenter::Edit(e) => Some((e.n.0, "edit")),
        _ => None,
    };
    rig.sent.iter().filter_map(word).collect()
}

#[test]
fn an_edit_keeps_its_place_among_messages_also_through_a_crash() {
    let mut rig = Rig::mapped();
    rig.says("Alice", ALICE, "one");
    rig.replies.clear();
    let gone = PersonEdit { person: "carol".into(), listed: None };
    edit(&mut rig, vec![on("Alice@ACME.test"), on("bob@acme.example"), gone.clone()]);
    assert!(matches!(&rig.replies[..], [Reply::Done]), "{:?}", rig.replies);
    edit(&mut rig, vec![on("alice"), gone]);
    rig.says("Alice", ALICE, "two");
    let in_order = [(1, "message"), (2, "edit"), (3, "message")];
    assert_eq!(sent(&rig), in_order);
    let edit = edits(&rig).remove(0);
    assert_eq!(edit.enterprise.as_str(), "acme");
    let users: Vec<_> = edit.accounts.iter().map(|a| (a.user.as_str(), a.listed.is_some())).collect();
    assert_eq!(users, [("alice", true), ("bob@acme.example", true)], "what changes nothing is not sent");
    rig.crash();
    rig.up();
    assert_eq!(sent(&rig), in_order, "what was not decided goes again");
    assert_eq!(edits(&rig), [edit]);
}

#[test]
fn only_people_of_this_company_are_put_on_a_list() {
    let mut rig = Rig::mapped();
    for stranger in ["eve@globex.test", "ali\u{200B}ce", "two words", ""] {
        rig.replies.clear();
        edit(&mut rig, vec![on("alice"), on(stranger)]);
        let refused =
            |reply: &Reply| matches!(reply, Reply::Refused { condition: Some(Condition::InvalidAccount), .. });
        assert!(rig.replies.iter().all(refused) && rig.replies.len() == 1, "{stranger:?}: {:?}", rig.replies);
    }
    assert!(edits(&rig).is_empty(), "all of it or nothing");
}

#[test]
fn an_edit_that_the_center_refuses_is_told_to_the_administrator_and_to_nobody_in_the_room() {
    let mut rig = Rig::mapped();
    edit(&mut rig, vec![on("alice")]);
    let epoch = edits(&rig)[0].epoch.clone();
    let refused = vec![(N(1), Condition::ListFull)];
    rig.event(Event::Link(ToGateway::Decided(Decided { group: GROUP, epoch, n: N(1), refused })));
    assert!(rig.reports.iter().any(|r| r.contains("list-full")), "{:?}", rig.reports);
    assert!(rig.told.is_empty());
}

#[test]
fn a_large_upload_is_several_edits() {
    let mut rig = Rig::mapped();
    edit(&mut rig, (0..600).map(|n| on(&format!("user{n}"))).collect());
    let counts: Vec<_> = edits(&rig).iter().map(|e| e.accounts.len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 600);
    assert!(edits(&rig).iter().all(|e| intergroup_schemas::list::check(&e.accounts).is_ok()), "{counts:?}");
}

/// The center counts what is on its way in bytes, too: it must have them back before it has used them up.
#[test]
fn large_entries_give_their_credit_back_in_time_and_say_nothing_in_the_room() {
    let mut rig = Rig::mapped();
    let heard = rig.heard();
    let listed = Some(Listed { display: "Somebody".parse().unwrap(), role: Role::Speak });
    let account = |n: usize| AccountEdit { user: format!("user{n}").parse().unwrap(), listed: listed.clone() };
    let accounts: Vec<_> = (0..limits::ACCOUNTS_PER_EDIT).map(account).collect();
    let (enterprise, digest) = ("globex".parse().unwrap(), ListDigest::default());
    let change = Change::Listed { enterprise, accounts, digest };
    let mut bytes = 0;
    for seq in 2..60 {
        let entry = Entry { group: GROUP, seq: Seq(seq), list: ListVersion(seq), change: change.clone() };
        let stanza = ToGateway::Entry(entry);
        bytes += intergroup_schemas::link::encode::to_gateway(&stanza).len();
        rig.event(Event::Link(stanza));
    }
    let back: u32 =
        rig.sent.iter().filter_map(|s| if let ToCenter::Credit(c) = s { Some(c.count) } else { None }).sum();
    let share = u64::from(back) * bytes as u64 / 58;
    assert!(bytes as u64 - share < limits::LINK_CREDIT_BYTES as u64 / 2, "{back} of 58 entries of {bytes} bytes");
    assert_eq!(rig.heard(), heard, "no news for the room");
}
