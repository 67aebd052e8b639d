//! Members who are not in the room: what was said meanwhile reaches them when they are back, once and in order.

use intergroup_schemas::ids::{ListVersion, N, Seq};
use intergroup_schemas::link::{Change, Deliver, Entry, History, ToGateway};
use intergroup_schemas::list::AccountEdit;

use super::group::{delivered, list_of, row};
use super::rig::{GROUP, Rig, refusal};
use super::{ALICE, BOB, Command, Event, Reply, RoomEvent};
use crate::bridge::{Answer, Caller, OfflineBounds, PersonEdit, Visit, VisitAnswer};
use crate::ids::MessageId;
use crate::store::Offline;

/// A room without archive, shared, with Alice and Bob in it.
fn quiet(offline: OfflineBounds) -> Rig {
    let mut rig = Rig::new();
    (rig.archives, rig.offline) = (false, offline);
    rig.crash();
    rig.share(None);
    rig.person("Alice", ALICE);
    rig.person("Bob", BOB);
    rig
}

fn without_history() -> OfflineBounds {
    OfflineBounds { join_history: 0, ..OfflineBounds::default() }
}

fn visit(rig: &mut Rig, who: &str, visit: Visit) {
    let (from, to) = (format!("{who}/desk").as_str().into(), "10001@groups.acme.test".into());
    let caller = Caller { from, to, id: "".into(), kind: "presence" };
    rig.event(Event::Visit { caller, group: Some(GROUP), visit });
}

fn mail(rig: &mut Rig, to: &str) -> Vec<String> {
    let (now, rest) = std::mem::take(&mut rig.mail).into_iter().partition(|(whom, ..)| whom == to);
    rig.mail = rest;
    let now: Vec<(String, MessageId, String)> = now;
    now.into_iter().map(|(.., text)| text).collect()
}

#[test]
fn who_was_away_gets_what_was_said_by_all_companies_in_order_and_once() {
    let mut rig = quiet(without_history());
    rig.says("Alice", ALICE, "while bob is here");
    rig.leaves("Bob");
    rig.says("Alice", ALICE, "one");
    rig.deliver(2, "carol", "two");
    rig.says("Alice", ALICE, "three");
    rig.pass(200_000);
    assert!(rig.mail.is_empty(), "{:?}", rig.mail);
    rig.crash();
    rig.up();
    rig.resumed();
    rig.person("Alice", ALICE);
    rig.deliver(3, "carol", "four");
    rig.person("Bob", BOB);
    let expected = ["Alice: one", "carol (Globex): two", "Alice: three", "carol (Globex): four"];
    assert_eq!(mail(&mut rig, BOB), expected);
    rig.says("Alice", ALICE, "seen");
    rig.leaves("Bob");
    rig.person("Bob", BOB);
    rig.crash();
    rig.up();
    rig.person("Bob", BOB);
    assert!(rig.mail.is_empty(), "{:?}", rig.mail);
}

#[test]
fn what_the_room_shows_to_whoever_comes_is_not_sent_as_well() {
    let mut rig = quiet(OfflineBounds { join_history: 2, ..OfflineBounds::default() });
    rig.leaves("Bob");
    rig.says("Alice", ALICE, "one");
    rig.deliver(2, "carol", "two");
    rig.says("Alice", ALICE, "three");
    rig.person("Bob", BOB);
    assert_eq!(mail(&mut rig, BOB), ["Alice: one"]);
    // Guests' words take their place in it, too.
    rig.person("Guest", "guest@elsewhere.test");
    rig.leaves("Bob");
    rig.says("Alice", ALICE, "four");
    rig.says("Guest", "guest@elsewhere.test", "hello");
    rig.says("Guest", "guest@elsewhere.test", "anybody?");
    rig.person("Bob", BOB);
    assert_eq!(mail(&mut rig, BOB), ["Alice: four"]);
    // What another connection got, the ear has not: nobody knows what the room shows.
    rig.leaves("Bob");
    rig.event(Event::ServerDown { stream_error: None });
    rig.event(Event::ServerUp { exclusive: false });
    rig.person("Alice", ALICE);
    rig.says("Alice", ALICE, "five");
    rig.person("Bob", BOB);
    assert_eq!(mail(&mut rig, BOB), ["Alice: five"]);
}

#[test]
fn a_portion_that_was_not_taken_for_sure_comes_again_under_the_same_ids() {
    let mut rig = quiet(without_history());
    rig.leaves("Bob");
    for n in 1..=100 {
        rig.says("Alice", ALICE, &n.to_string());
    }
    rig.slow_fences = Some(Vec::new());
    rig.person("Bob", BOB);
    let first = std::mem::take(&mut rig.mail);
    assert_eq!(first.len(), 64, "one portion, and then the fence");
    rig.crash();
    rig.slow_fences = None;
    rig.up();
    rig.person("Bob", BOB);
    assert_eq!(rig.mail.len(), 100);
    assert_eq!(rig.mail[..64], first);
    let texts: Vec<_> = rig.mail.iter().map(|(.., text)| text.clone()).collect();
    assert_eq!(texts, (1..=100).map(|n| format!("Alice: {n}")).collect::<Vec<_>>());
    rig.mail.clear();
    rig.crash();
    rig.up();
    rig.person("Bob", BOB);
    assert!(rig.mail.is_empty());
}

#[test]
fn a_silent_server_is_asked_again() {
    let mut rig = quiet(without_history());
    rig.leaves("Bob");
    rig.says("Alice", ALICE, "one");
    rig.slow_fences = Some(Vec::new());
    rig.person("Bob", BOB);
    let request = rig.slow_fences.take().unwrap()[0];
    rig.room_event(RoomEvent::Answer { request, answer: Err(refusal("remote-server-timeout")) });
    rig.pass(10_000);
    assert_eq!(mail(&mut rig, BOB), ["Alice: one", "Alice: one"]);
    rig.pass(1_000_000);
    assert!(rig.mail.is_empty());
}

#[test]
fn whoever_shares_presence_with_the_number_gets_it_there_and_what_follows_at_once() {
    let mut rig = quiet(without_history());
    rig.leaves("Bob");
    rig.says("Alice", ALICE, "one");
    visit(&mut rig, BOB, Visit::Follow(true));
    assert_eq!(std::mem::take(&mut rig.answers), [VisitAnswer::Followed(Some("Apollo".into()))]);
    visit(&mut rig, BOB, Visit::Presence(true));
    assert_eq!(std::mem::take(&mut rig.answers), [VisitAnswer::Present("Apollo".into())]);
    rig.says("Alice", ALICE, "two");
    rig.deliver(2, "carol", "three");
    assert_eq!(mail(&mut rig, BOB), ["Alice: one", "Alice: two", "carol (Globex): three"]);
    visit(&mut rig, BOB, Visit::Presence(false));
    rig.says("Alice", ALICE, "four");
    assert!(rig.mail.is_empty());
    rig.crash();
    rig.up();
    assert_eq!(rig.probed, [BOB.into()], "a new process asks who is there");
    visit(&mut rig, BOB, Visit::Presence(true));
    assert_eq!(mail(&mut rig, BOB), ["Alice: four"]);
    // In the room, the room is enough.
    rig.person("Bob", BOB);
    rig.person("Alice", ALICE);
    rig.says("Alice", ALICE, "five");
    assert!(rig.mail.is_empty());
    // To a stranger the number is nobody.
    rig.answers.clear();
    let stranger = "mallory@acme.test";
    for what in [Visit::Presence(true), Visit::Probe, Visit::Bounce("x".into())] {
        visit(&mut rig, stranger, what);
    }
    assert!(rig.answers.is_empty());
    visit(&mut rig, stranger, Visit::Follow(true));
    assert_eq!(rig.answers, [VisitAnswer::Followed(None)]);
}

#[test]
fn nobody_is_sent_what_they_have_said_themselves() {
    let mut rig = quiet(without_history());
    rig.leaves("Bob");
    let content = crate::bridge::Content::Speech("<body>by number</body>".into());
    visit(&mut rig, BOB, Visit::Presence(true));
    visit(&mut rig, BOB, Visit::Say { id: None, content });
    super::number::takes(&mut rig, 1, 2);
    assert_eq!(rig.heard(), ["by number"]);
    assert!(rig.mail.is_empty(), "{:?}", rig.mail);
    rig.says("Alice", ALICE, "an answer");
    assert_eq!(mail(&mut rig, BOB), ["Alice: an answer"]);
}

#[test]
fn an_inbox_gets_all_at_once_wherever_its_owner_is() {
    let mut rig = quiet(without_history());
    rig.leaves("Bob");
    rig.says("Alice", ALICE, "one");
    rig.command(Command::Offline { group: GROUP, how: Some(Offline::Inbox) });
    assert!(matches!(rig.replies.last(), Some(Reply::Offline(kept, _)) if kept.how == Offline::Inbox));
    rig.deliver(2, "carol", "two");
    assert_eq!(mail(&mut rig, BOB), ["Alice: one", "carol (Globex): two"]);
    rig.person("Bob", BOB);
    rig.deliver(3, "carol", "three");
    assert!(rig.mail.is_empty());
    rig.command(Command::Offline { group: GROUP, how: Some(Offline::Archive) });
    assert!(matches!(rig.replies.last(), Some(Reply::Refused { text, .. }) if text.contains("no archive")));
}

#[test]
fn what_is_refused_is_kept_until_its_owner_is_back() {
    let mut rig = quiet(without_history());
    rig.leaves("Bob");
    rig.command(Command::Offline { group: GROUP, how: Some(Offline::Inbox) });
    rig.says("Alice", ALICE, "one");
    rig.says("Alice", ALICE, "two");
    let first = rig.mail[0].1.clone();
    assert_eq!(mail(&mut rig, BOB), ["Alice: one", "Alice: two"]);
    // The errors come after the fence, and before it.
    visit(&mut rig, BOB, Visit::Bounce("of somebody else".into()));
    rig.says("Alice", ALICE, "three");
    let third = rig.mail[0].1.clone();
    assert_eq!(mail(&mut rig, BOB), ["Alice: three"]);
    visit(&mut rig, BOB, Visit::Bounce(first));
    visit(&mut rig, BOB, Visit::Bounce(third));
    rig.slow_fences = Some(Vec::new());
    rig.person("Bob", BOB);
    assert_eq!(mail(&mut rig, BOB), ["Alice: three"]);
    let request = rig.slow_fences.take().unwrap()[0];
    rig.room_event(RoomEvent::Answer { request, answer: Ok(Answer::Done) });
    rig.pass(1_000_000);
    assert!(rig.mail.is_empty());
    rig.leaves("Bob");
    rig.slow_fences = Some(Vec::new());
    rig.says("Alice", ALICE, "four");
    let (fourth, request) = (rig.mail[0].1.clone(), rig.slow_fences.take().unwrap()[0]);
    visit(&mut rig, BOB, Visit::Bounce(fourth));
    rig.room_event(RoomEvent::Answer { request, answer: Ok(Answer::Done) });
    assert_eq!(mail(&mut rig, BOB), ["Alice: four"]);
    rig.pass(400_000);
    assert_eq!(mail(&mut rig, BOB), ["Alice: four"], "the server may have room again");
}

#[test]
fn what_ends_the_servers_stream_is_found_and_given_up() {
    let mut rig = quiet(without_history());
    rig.leaves("Bob");
    for text in ["one", "poison", "three"] {
        rig.says("Alice", ALICE, text);
    }
    let mut got = Vec::new();
    for _ in 0..9 {
        rig.slow_fences = Some(Vec::new());
        rig.person("Bob", BOB);
        // A server that ends the stream at that word.
        while let Some(request) = rig.slow_fences.as_mut().and_then(Vec::pop) {
            let sent = mail(&mut rig, BOB);
            if sent.iter().any(|text| text.ends_with("poison")) {
                rig.event(Event::ServerDown { stream_error: Some("policy-violation".into()) });
                rig.slow_fences = None;
                rig.event(Event::ServerUp { exclusive: true });
            } else {
                got.extend(sent);
                rig.room_event(RoomEvent::Answer { request, answer: Ok(Answer::Done) });
            }
        }
    }
    assert_eq!(got, ["Alice: one", "Alice: three"]);
}

#[test]
fn more_than_is_kept_is_counted_and_told() {
    let mut rig = quiet(OfflineBounds { messages: 32, days: 3, ..without_history() });
    rig.leaves("Bob");
    for n in 1..=100 {
        rig.says("Alice", ALICE, &n.to_string());
    }
    rig.command(Command::Offline { group: GROUP, how: None });
    let Some(Reply::Offline(kept, absent)) = rig.replies.last() else { panic!("{:?}", rig.replies) };
    assert!(kept.messages <= 32 && kept.messages >= 30 && kept.people == 1 && kept.most == 100, "{kept:?}");
    assert_eq!((absent[0].user.as_str(), absent[0].missed, absent[0].away), ("bob", 100, true));
    let dropped = absent[0].dropped;
    assert_eq!(dropped + kept.messages, 100);
    rig.person("Bob", BOB);
    let got = mail(&mut rig, BOB);
    assert_eq!(got[0], format!("{dropped} older messages of Apollo were not kept."));
    let rest: Vec<_> = (dropped + 1..=100).map(|n| format!("Alice: {n}")).collect();
    assert_eq!(got[1..], rest);
    // By age, too.
    rig.leaves("Bob");
    rig.says("Alice", ALICE, "old");
    rig.pass(5 * 24 * 3_600_000);
    rig.says("Alice", ALICE, "new");
    rig.person("Bob", BOB);
    assert_eq!(mail(&mut rig, BOB), ["1 older messages of Apollo were not kept.", "Alice: new"]);
}

#[test]
fn what_everybody_has_is_let_go_of() {
    let mut rig = quiet(without_history());
    rig.says("Alice", ALICE, "all are here");
    rig.leaves("Bob");
    rig.says("Alice", ALICE, "bob is not");
    rig.pass(200_000);
    let kept = |rig: &mut Rig| {
        rig.command(Command::Offline { group: GROUP, how: None });
        let Some(Reply::Offline(kept, _)) = rig.replies.last() else { panic!("{:?}", rig.replies) };
        kept.messages
    };
    assert!(kept(&mut rig) >= 1);
    rig.person("Bob", BOB);
    rig.pass(200_000);
    assert_eq!(kept(&mut rig), 0);
    rig.command(Command::Offline { group: GROUP, how: None });
    assert!(matches!(rig.replies.last(), Some(Reply::Offline(_, absent)) if absent.is_empty()));
}

/// Both come with one commit, so what follows it must keep their order.
#[test]
fn who_goes_off_the_list_with_the_next_entry_has_spoken_before() {
    let mut rig = Rig::new();
    rig.archives = false;
    let listed = |version, more: &[&str]| {
        let rows = ["acme/alice", "acme/bob"].iter().chain(more).map(|account| row(account, "A", 1));
        list_of(version, rows.collect())
    };
    rig.list = Some(listed(3, &["globex/carol"]));
    rig.crash();
    rig.share(None);
    let deliver = Deliver { list: ListVersion(3), ..delivered(2, "carol", "last words") };
    rig.bridge.handle(Event::Link(ToGateway::Deliver(deliver)), rig.now);
    let accounts = vec![AccountEdit { user: "carol".parse().unwrap(), listed: None }];
    let change = Change::Listed { enterprise: "globex".parse().unwrap(), accounts, digest: listed(4, &[]).digest };
    let entry = Entry { group: GROUP, seq: Seq(3), list: ListVersion(4), change };
    rig.bridge.handle(Event::Link(ToGateway::Entry(entry)), rig.now);
    rig.run();
    assert_eq!(rig.heard(), ["last words"]);
    assert_eq!(rig.inside.len(), 1, "the puppet has gone: {:?}", rig.inside);
}

#[test]
fn who_is_taken_off_the_list_gets_nothing_more() {
    let mut rig = quiet(without_history());
    rig.leaves("Bob");
    rig.says("Alice", ALICE, "one");
    let people = vec![PersonEdit { person: "bob".into(), listed: None }];
    rig.command(Command::Edit { group: GROUP, people });
    rig.says("Alice", ALICE, "two");
    rig.person("Bob", BOB);
    visit(&mut rig, BOB, Visit::Presence(true));
    assert!(rig.mail.is_empty(), "{:?}", rig.mail);
}

#[test]
fn where_the_archive_serves_nothing_is_kept_unless_it_is_chosen() {
    let mut rig = Rig::mapped();
    rig.offline = without_history();
    rig.crash();
    rig.up();
    rig.resumed();
    rig.person("Alice", ALICE);
    rig.says("Alice", ALICE, "archived");
    rig.person("Bob", BOB);
    assert!(rig.mail.is_empty());
    rig.command(Command::Offline { group: GROUP, how: Some(Offline::Queue) });
    rig.leaves("Bob");
    rig.says("Alice", ALICE, "one");
    rig.deliver(2, "carol", "two");
    rig.crash();
    rig.spoken(ALICE, "three");
    rig.up();
    rig.resumed();
    rig.deliver(2, "carol", "two");
    rig.person("Alice", ALICE);
    rig.person("Bob", BOB);
    let got = mail(&mut rig, BOB);
    assert_eq!(got, ["Alice: one", "carol (Globex): two", "somebody: three"], "what the archive brings is kept, too");
    assert_eq!(rig.heard(), ["two"]);
}

#[test]
fn the_room_is_told_that_words_wait_for_the_link_and_that_they_have_gone() {
    let mut rig = Rig::mapped();
    rig.event(Event::LinkDown);
    rig.pass(60_000);
    assert!(lines(&rig).is_empty(), "nothing was said that waits");
    rig.says("Alice", ALICE, "one");
    rig.says("Alice", ALICE, "two");
    rig.pass(60_000);
    assert_eq!(lines(&rig), ["waits"]);
    rig.crash();
    rig.event(Event::ServerUp { exclusive: true });
    rig.person("Alice", ALICE);
    rig.says("Alice", ALICE, "three");
    rig.pass(60_000);
    assert_eq!(lines(&rig), ["waits"], "once is enough");
    rig.link_up(N(0), History::Same, Seq(0));
    assert_eq!(rig.relays().len(), 3);
    assert_eq!(lines(&rig), ["waits"], "not before the center has them");
    rig.decides(3);
    assert_eq!(lines(&rig), ["waits", "gone"]);
    rig.event(Event::LinkDown);
    rig.pass(5_000);
    rig.link_up(N(3), History::Same, Seq(0));
    assert_eq!(lines(&rig).len(), 2, "a short break is nobody's concern");
}

fn lines(rig: &Rig) -> Vec<&'static str> {
    let line = |text: &str| match text {
        text if text.contains("What is said here is kept") => Some("waits"),
        text if text.contains("has gone out") => Some("gone"),
        _ => None,
    };
    rig.archive.iter().filter_map(|entry| line(&entry.text)).collect()
}
