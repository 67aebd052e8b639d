//! Addressed by number: who is told of a group, and what becomes of what its members say to its address.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{AccountId, ListVersion, N, OriginKey, Seq};
use intergroup_schemas::link::{Change, Decided, Entry, History, Own, ToCenter, ToGateway};
use intergroup_schemas::list::{AccountEdit, AccountRow, Listed, Role};

use super::group::list_of;
use super::rig::{GROUP, Rig, Speaker, room};
use super::{ALICE, BOB, Command, Event, Reply};
use crate::bridge::{
    Caller, CommandsOf, Content, Listing, Mark, MemberAt, Members, PersonEdit, Span, Visit, VisitAnswer,
};
use crate::ids::{BareJid, MessageId, Who};

const OUTSIDER: &str = "mallory@acme.test";

fn visit(rig: &mut Rig, who: &str, visit: Visit) -> Vec<VisitAnswer> {
    let group = (!matches!(visit, Visit::Groups)).then_some(GROUP);
    let (from, to) = (format!("{who}/desk").as_str().into(), "10001@groups.acme.test".into());
    rig.event(Event::Visit { caller: Caller { from, to, id: "q1".into(), kind: "iq" }, group, visit });
    std::mem::take(&mut rig.answers)
}

fn write(rig: &mut Rig, who: &str, id: &str, text: &str) -> Vec<VisitAnswer> {
    let content = Content::Speech(format!("<body>{text}</body>").into());
    visit(rig, who, Visit::Say { id: Some(MessageId::from(id)), content })
}

fn refusal(answers: &[VisitAnswer]) -> Option<&'static str> {
    if let [VisitAnswer::Refused(declined)] = answers { Some(declined.condition) } else { None }
}

/// The center takes our message as entry `seq`, and the stream brings it by.
pub(super) fn takes(rig: &mut Rig, n: u64, seq: u64) {
    let epoch = rig.decides(n);
    let own = Own { group: GROUP, seq: Seq(seq), key: OriginKey { epoch, n: N(n) } };
    rig.event(Event::Link(ToGateway::Own(own)));
}

/// What was said in the room for people of this company, and by whom.
fn said_for_own(rig: &Rig) -> Vec<(String, String)> {
    let own = |who: &Who| {
        if let Who::Puppet(a) = who { Some(a.to_string()).filter(|a| a.starts_with("acme/")) } else { None }
    };
    let said = rig.archive.iter().filter_map(|e| match &e.from {
        Speaker::Ours(who) => Some((own(who)?, e.text.clone())),
        _ => None,
    });
    said.collect()
}

fn row(enterprise: &str, user: &str, display: &str, version: u64) -> AccountRow {
    let account = AccountId { enterprise: enterprise.parse().unwrap(), user: user.parse().unwrap() };
    let listed = Some(Listed { display: display.parse().unwrap(), role: Role::Speak });
    AccountRow { account, version: ListVersion(version), listed }
}

#[test]
fn only_members_learn_that_a_group_is_there() {
    let mut rig = Rig::mapped();
    let questions = || {
        let say = Visit::Say { id: None, content: Content::Speech("<body>hi</body>".into()) };
        [
            Visit::Group,
            Visit::Members(Span::default()),
            Visit::Commands(CommandsOf::Items),
            Visit::Who,
            Visit::Join,
            say,
        ]
    };
    for stranger in [OUTSIDER, "alice@globex.test", "alice@acme.test.evil.example", ""] {
        assert_eq!(visit(&mut rig, stranger, Visit::Groups), [VisitAnswer::Groups(Vec::new())]);
        for question in questions() {
            let group = visit(&mut rig, stranger, question.clone());
            assert_eq!(refusal(&group), Some("item-not-found"), "{stranger} {question:?}");
            // A group that there is not looks the same in every way.
            let (from, to) = (format!("{stranger}/x").as_str().into(), "4@groups.acme.test".into());
            let caller = Caller { from, to, id: "q1".into(), kind: "iq" };
            let number = Some(intergroup_schemas::ids::GroupNumber(4));
            rig.event(Event::Visit { caller, group: number, visit: question });
            assert_eq!(std::mem::take(&mut rig.answers), group);
        }
    }
    assert!(rig.relays().is_empty());
    assert_eq!(visit(&mut rig, ALICE, Visit::Groups), [VisitAnswer::Groups(vec![(GROUP, "Apollo".into())])]);
    assert_eq!(visit(&mut rig, ALICE, Visit::Group), [VisitAnswer::Group("Apollo".into())]);
    let moved = VisitAnswer::Moved { group: GROUP, name: "Apollo".into(), room: room() };
    assert_eq!(visit(&mut rig, ALICE, Visit::Join), [moved]);
}

#[test]
fn the_list_says_who_may_use_the_number_wherever_people_are() {
    let mut rig = Rig::mapped();
    rig.event(Event::LinkDown);
    let gone = AccountRow { listed: None, ..row("acme", "bob", "Bob", 4) };
    rig.list = Some(list_of(9, vec![row("acme", "carol", "Carol C.", 2), row("globex", "alice", "Alice", 3), gone]));
    rig.link_up(N(0), History::Same, Seq(0));
    rig.resumed();
    // In the room, and not on the list.
    for person in [ALICE, BOB] {
        assert_eq!(refusal(&write(&mut rig, person, "m1", "x")), Some("item-not-found"));
    }
    // On the list, and not in the room.
    let carol = "carol@acme.test";
    assert!(write(&mut rig, carol, "m1", "by number").is_empty());
    let nick =
        |s: &ToCenter| if let ToCenter::Relay(r) = s { Some((r.user.to_string(), r.nick.to_string())) } else { None };
    assert_eq!(rig.sent.iter().filter_map(nick).collect::<Vec<_>>(), [("carol".into(), "Carol C.".into())]);
    // The stream keeps it in step.
    let listed = |display: &str, role| Some(Listed { display: display.parse().unwrap(), role });
    let accounts = vec![AccountEdit { user: "carol".parse().unwrap(), listed: listed("Carol", Role::ReadOnly) }];
    let carol_now = AccountRow { listed: listed("Carol", Role::ReadOnly), ..row("acme", "carol", "Carol", 10) };
    let digest = list_of(9, vec![carol_now, row("globex", "alice", "Alice", 3)]).digest;
    let change = Change::Listed { enterprise: "acme".parse().unwrap(), accounts, digest };
    rig.event(Event::Link(ToGateway::Entry(Entry { group: GROUP, seq: Seq(2), list: ListVersion(10), change })));
    assert_eq!(refusal(&write(&mut rig, carol, "m2", "x")), Some("forbidden"));
    // A command keeps the name, and counts at once.
    rig.command(Command::Role { group: GROUP, person: "carol".into(), role: Role::Speak });
    assert!(write(&mut rig, carol, "m3", "x").is_empty());
    let edit =
        rig.sent.iter().rev().find_map(|s| if let ToCenter::Edit(e) = s { Some(e.accounts.clone()) } else { None });
    assert_eq!(edit.unwrap()[0].listed, listed("Carol", Role::Speak));
    let gone = PersonEdit { person: "carol".into(), listed: None };
    rig.command(Command::Edit { group: GROUP, people: vec![gone] });
    assert_eq!(refusal(&write(&mut rig, carol, "m4", "x")), Some("item-not-found"));
    rig.replies.clear();
    rig.command(Command::Role { group: GROUP, person: "alice".into(), role: Role::Speak });
    assert!(matches!(&rig.replies[..], [Reply::Refused { condition: Some(Condition::NotOnList), .. }]));
}

#[test]
fn an_edit_that_the_center_refuses_is_taken_back() {
    let mut rig = Rig::mapped();
    let carol = "carol@acme.test";
    rig.list = Some(list_of(9, vec![row("acme", "alice", "Alice", 2)]));
    let listed = Some(Listed { display: "Carol".parse().unwrap(), role: Role::Speak });
    rig.command(Command::Edit { group: GROUP, people: vec![PersonEdit { person: "carol".into(), listed }] });
    assert!(write(&mut rig, carol, "m1", "x").is_empty());
    let epoch = rig.bridge.hello()[0].epoch.clone();
    let refused = vec![(N(1), Condition::ListFull)];
    rig.event(Event::Link(ToGateway::Decided(Decided { group: GROUP, epoch, n: N(1), refused })));
    assert_eq!(refusal(&write(&mut rig, carol, "m2", "x")), Some("item-not-found"));
    assert!(write(&mut rig, ALICE, "m1", "x").is_empty());
}

/// The center has this list, and the gateway has fetched it.
fn with_list(rows: &[AccountRow]) -> Rig {
    let mut rig = Rig::mapped();
    rig.event(Event::LinkDown);
    rig.list = Some(list_of(9, rows.to_vec()));
    rig.link_up(N(0), History::Same, Seq(0));
    rig.resumed();
    rig
}

fn page_of(rig: &mut Rig, after: Option<Mark>, max: usize) -> Members {
    let mut answers = visit(rig, ALICE, Visit::Members(Span { after, max }));
    let Some(VisitAnswer::Members(page)) = answers.pop() else { panic!("{answers:?}") };
    page
}

fn pages_asked_of_center(rig: &Rig) -> usize {
    let fetches = |s: &&ToCenter| format!("{s:?}").contains("FetchList");
    rig.sent.iter().filter(fetches).count()
}

#[test]
fn members_are_shown_in_pages_with_their_companies_out_of_what_is_kept_here() {
    let gone = AccountRow { listed: None, ..row("globex", "gone", "Gone", 4) };
    let rows = [
        row("acme", "alice", "Alice", 2),
        row("acme", "carol", "Carol", 2),
        row("globex", "pat", "Pat", 3),
        row("globex", "quentin", "Q", 3),
        gone,
    ];
    let mut rig = with_list(&rows);
    let asked = pages_asked_of_center(&rig);
    // Also while the center is away; and of the company's own people as they are to be.
    rig.event(Event::LinkDown);
    let off = PersonEdit { person: "carol".into(), listed: None };
    let on = Listed { display: "Zoe".parse().unwrap(), role: Role::ReadOnly };
    let on = PersonEdit { person: "zoe".into(), listed: Some(on) };
    rig.command(Command::Edit { group: GROUP, people: vec![off, on] });
    let page = page_of(&mut rig, None, 2);
    let named: Vec<_> = page.members.iter().map(|m| (m.name.as_str(), m.company.as_str())).collect();
    assert_eq!((named, page.more, page.count), (vec![("Alice", "Acme"), ("Zoe", "Acme")], true, Some(4)));
    assert_eq!(page.members[0].at, MemberAt::Own(BareJid::from(ALICE)));
    let mark = page.members[1].mark.to_string();
    assert_eq!(mark.parse(), Ok(page.members[1].mark.clone()));
    let page = page_of(&mut rig, mark.parse().ok(), 2);
    let named: Vec<_> = page.members.iter().map(|m| m.name.as_str()).collect();
    assert_eq!((named, page.more), (vec!["Pat", "Q"], false));
    assert!(matches!(&page.members[0].at, MemberAt::Remote(Who::Puppet(a)) if a.to_string() == "globex/pat"));
    assert!(
        matches!(&visit(&mut rig, ALICE, Visit::Who)[..], [VisitAnswer::Who(name, m)] if name == "Apollo" && m.members.len() == 4)
    );
    // One at a time: whoever is on the list is named once, and nobody else.
    let (mut after, mut named) = (None, Vec::new());
    loop {
        let page = page_of(&mut rig, after, 1);
        named.extend(page.members.iter().map(|m| m.name.clone()));
        after = page.members.last().map(|m| m.mark.clone());
        if !page.more {
            break;
        }
    }
    assert_eq!(named, ["Alice", "Zoe", "Pat", "Q"]);
    assert_eq!(pages_asked_of_center(&rig), asked, "the center is not troubled");
}

#[test]
fn a_list_that_is_not_kept_here_whole_is_the_centers_to_tell() {
    let rows = [row("acme", "alice", "Alice", 2), row("globex", "pat", "Pat", 3), row("globex", "quentin", "Q", 3)];
    let mut rig = with_list(&rows);
    let mark = page_of(&mut rig, None, 1).members[0].mark.clone();
    rig.list = None;
    let lose = |rig: &mut Rig| rig.bridge.rooms.get_mut(&GROUP).unwrap().mapping.list_at = None;
    lose(&mut rig);
    assert_eq!(
        refusal(&visit(&mut rig, ALICE, Visit::Members(Span { after: Some(mark), max: 1 }))),
        Some("resource-constraint")
    );
    rig.event(Event::LinkDown);
    assert_eq!(refusal(&visit(&mut rig, ALICE, Visit::Who)), Some("resource-constraint"), "nobody can tell");
    rig.list = Some(list_of(9, rows.to_vec()));
    rig.link_up(N(0), History::Same, Seq(0));
    lose(&mut rig);
    let asked = pages_asked_of_center(&rig);
    let page = page_of(&mut rig, None, 2);
    assert!(pages_asked_of_center(&rig) > asked);
    assert_eq!((page.members.len(), page.more, page.count), (2, true, Some(3)));
    let mark = page.members[1].mark.to_string();
    assert_eq!(mark.parse(), Ok(Mark::Center(ListVersion(3), "globex/pat".parse().unwrap())));
    // Begun at the center, it goes on there, though the list is kept here again.
    let page = page_of(&mut rig, mark.parse().ok(), 2);
    assert_eq!(page.members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["Q"]);
}

fn listing(rig: &mut Rig, since: u64, after: Option<&str>) -> Listing {
    let after = after.map(|account| account.parse().unwrap());
    rig.command(Command::Members { group: GROUP, since: ListVersion(since), after });
    match rig.replies.pop() {
        Some(Reply::Members(listing)) => listing,
        other => panic!("{other:?}"),
    }
}

#[test]
fn administrators_read_the_list_that_is_kept_here_also_without_a_link() {
    let rows = [row("acme", "alice", "Alice", 2), row("acme", "carol", "Carol", 2), row("globex", "pat", "Pat", 3)];
    let mut rig = with_list(&rows);
    let asked = pages_asked_of_center(&rig);
    let named = |l: &Listing| l.rows.iter().map(|row| row.account.to_string()).collect::<Vec<_>>();
    let with_link = listing(&mut rig, 0, None);
    assert_eq!((with_link.version, with_link.center_asked, with_link.link), (ListVersion(9), false, true));
    assert_eq!(named(&with_link), ["acme/alice", "acme/carol", "globex/pat"]);
    rig.event(Event::LinkDown);
    let off = PersonEdit { person: "carol".into(), listed: None };
    rig.command(Command::Edit { group: GROUP, people: vec![off] });
    let without = listing(&mut rig, 0, None);
    assert_eq!(
        (without.version, without.center_asked, without.link, without.more),
        (ListVersion(9), false, false, false)
    );
    assert_eq!(named(&without), ["acme/alice", "globex/pat"], "the company's own part as it is to be");
    assert_eq!(named(&listing(&mut rig, 0, Some("acme/alice"))), ["globex/pat"], "a page goes on behind an account");
    assert_eq!(pages_asked_of_center(&rig), asked, "the center is not troubled");
    // While it is not kept here, it is the center's to tell.
    rig.bridge.rooms.get_mut(&GROUP).unwrap().mapping.list_at = None;
    for (after, why) in [(None, "no link to the center"), (Some("acme/alice"), "being fetched anew")] {
        let after = after.map(|account: &str| account.parse().unwrap());
        rig.command(Command::Members { group: GROUP, since: ListVersion(0), after });
        let refused = matches!(rig.replies.pop(), Some(Reply::Refused { text, .. }) if text.contains(why));
        assert!(refused, "{why}");
    }
    rig.link_up(N(0), History::Same, Seq(0));
    rig.bridge.rooms.get_mut(&GROUP).unwrap().mapping.list_at = None;
    let center = listing(&mut rig, 0, None);
    assert!(center.center_asked && pages_asked_of_center(&rig) > asked);
}

#[test]
fn what_is_said_to_the_number_crosses_and_is_in_the_room_once_in_the_group_s_order() {
    let mut rig = Rig::mapped();
    rig.says("Bob", BOB, "in the room");
    assert!(write(&mut rig, ALICE, "m1", "by number").is_empty());
    assert_eq!(rig.relays().len(), 2);
    assert!(rig.relays_on_disk);
    assert!(said_for_own(&rig).is_empty(), "not before it has its place");
    takes(&mut rig, 1, 2);
    rig.deliver(3, "pat", "between");
    takes(&mut rig, 2, 4);
    rig.deliver(5, "pat", "after");
    let expected = [("acme/alice".to_owned(), "<body>by number</body>".to_owned())];
    assert_eq!(said_for_own(&rig), expected);
    assert_eq!(rig.heard(), ["between", "by number", "after"]);
    // Its echo is ours: it does not cross a second time, also not out of the archive.
    rig.pass(70_000);
    assert_eq!(rig.relays().len(), 2);
    assert_eq!(rig.settled(), Some(5));
}

#[test]
fn through_crashes_it_is_in_the_room_exactly_once() {
    let mut rig = Rig::mapped();
    write(&mut rig, ALICE, "m1", "one");
    // Decided, and not in the room yet, when the process dies: what it was is in the outbox.
    rig.crash();
    rig.event(Event::ServerUp { exclusive: true });
    rig.link_up(N(0), History::Same, Seq(0));
    rig.resumed();
    assert_eq!(rig.relays().len(), 1, "what was not decided goes again");
    takes(&mut rig, 1, 2);
    assert_eq!(said_for_own(&rig).len(), 1);
    rig.person("Alice", ALICE);
    rig.says("Alice", ALICE, "two");
    takes(&mut rig, 2, 3);
    // In the room; the entries come by once more.
    rig.crash();
    rig.event(Event::ServerUp { exclusive: true });
    rig.link_up(N(2), History::Same, Seq(0));
    let after = rig.resumed();
    for seq in after.0 + 1..=3 {
        takes(&mut rig, seq - 1, seq);
    }
    assert_eq!(said_for_own(&rig).len(), 1, "{:?}", rig.archive);
    assert_eq!(rig.settled(), Some(3));
}

#[test]
fn while_nobody_else_is_in_the_group_the_room_is_where_one_talks() {
    let mut rig = Rig::mapped();
    let (enterprise, gateway) = ("globex".parse().unwrap(), "main".parse().unwrap());
    let change = Change::Left { enterprise, gateway, display: "Globex".parse().unwrap() };
    rig.event(Event::Link(ToGateway::Entry(Entry { group: GROUP, seq: Seq(2), list: ListVersion(10), change })));
    let answers = write(&mut rig, ALICE, "m1", "hello?");
    let [VisitAnswer::Refused(declined)] = &answers[..] else { panic!("{answers:?}") };
    assert!(declined.text.contains(room().as_str()), "{declined:?}");
    assert!(rig.relays().is_empty());
}

#[test]
fn a_client_that_sends_again_is_heard_once() {
    let mut rig = Rig::mapped();
    for _ in 0..3 {
        assert!(write(&mut rig, ALICE, "m1", "hello").is_empty());
    }
    assert_eq!(rig.relays().len(), 1);
    write(&mut rig, BOB, "m1", "hello");
    assert_eq!(rig.relays().len(), 2, "another's id is another message");
    rig.pass(70_000);
    write(&mut rig, ALICE, "m1", "hello");
    assert_eq!(rig.relays().len(), 3, "clients begin anew with their ids");
}

#[test]
fn what_cannot_cross_is_answered_with_the_reason() {
    let mut rig = Rig::mapped();
    let say = |content| Visit::Say { id: None, content };
    let encrypted = visit(&mut rig, ALICE, say(Content::Refused(Condition::Encrypted)));
    assert_eq!(refusal(&encrypted), Some("not-acceptable"));
    let large = Content::Refused(Condition::TooLarge);
    assert_eq!(refusal(&visit(&mut rig, ALICE, say(large))), Some("policy-violation"));
    assert!(visit(&mut rig, ALICE, say(Content::Nothing)).is_empty(), "chat states are not answered");
    assert!(visit(&mut rig, OUTSIDER, say(Content::Nothing)).is_empty());
    assert!(rig.relays().is_empty());
}

#[test]
fn the_pace_of_people_holds_here_too() {
    let mut rig = Rig::mapped();
    let burst = crate::bridge::AUTHOR_RATE.burst;
    for n in 0..burst {
        assert!(write(&mut rig, ALICE, &format!("m{n}"), "x").is_empty(), "{n}");
    }
    assert_eq!(refusal(&write(&mut rig, ALICE, "more", "x")), Some("resource-constraint"));
    // What was refused may be said again with the same id, when it is time.
    rig.pass(1_000);
    assert!(write(&mut rig, ALICE, "more", "x").is_empty());
    assert!(write(&mut rig, BOB, "b1", "x").is_empty(), "nobody else is held to it");
}
