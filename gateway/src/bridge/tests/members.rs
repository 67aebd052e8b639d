//! Where members come from: the room's affiliations, whoever comes, or commands.

use intergroup_schemas::ids::{ListVersion, N, Seq};
use intergroup_schemas::link::{Change, Entry, History, MemberInfo, ToCenter, ToGateway};
use intergroup_schemas::list::{AccountEdit, Listed, Role};

use super::group::{list_of, member, row};
use super::rig::{GROUP, Rig, room};
use super::{ALICE, BOB, Command, Event, Gone, Reply, RoomEvent};
use crate::bridge::{Affiliation, PersonEdit};
use crate::ids::{Account, BareJid, Life, Mouth, Nick, Who};
use crate::store::Source;

const CAROL: &str = "carol@acme.test";
const EVE: &str = "eve@elsewhere.test";
const DAY: i64 = 24 * 3_600_000;

/// What went out, in order: whom an edit puts on the list or takes off it, and what was said.
fn went(rig: &Rig) -> Vec<String> {
    let mut out = Vec::new();
    for stanza in &rig.sent {
        match stanza {
            ToCenter::Edit(edit) => {
                let sign = |on: bool| if on { '+' } else { '-' };
                out.extend(edit.accounts.iter().map(|a| format!("{}{}", sign(a.listed.is_some()), a.user)));
            }
            ToCenter::Relay(relay) => {
                let text = String::from_utf8_lossy(&relay.payload).into_owned();
                out.push(text.replace("<body>", "").replace("</body>", ""));
            }
            _ => {}
        }
    }
    out
}

fn edit(rig: &mut Rig, person: &str, on: bool) {
    let listed = on.then(|| Listed { display: "Somebody".parse().unwrap(), role: Role::Speak });
    rig.replies.clear();
    rig.command(Command::Edit { group: GROUP, people: vec![PersonEdit { person: person.into(), listed }] });
}

fn has(rig: &Rig, jid: &str) -> Option<Affiliation> {
    rig.affiliations.get(&BareJid::from(jid)).copied()
}

fn changed(rig: &mut Rig, jid: &str, affiliation: Affiliation) {
    rig.affiliations.insert(BareJid::from(jid), affiliation);
    rig.room_event(RoomEvent::AffiliationChanged { real: BareJid::from(jid), ours: None, affiliation });
}

#[test]
fn whoever_comes_is_a_member_before_the_first_word_and_until_banned() {
    let mut rig = Rig::bare();
    rig.person_as("Alice", ALICE, Affiliation::None);
    rig.says("Alice", ALICE, "hi");
    rig.person_as("Eve", EVE, Affiliation::None);
    assert_eq!(went(&rig), ["+alice", "hi"], "a guest of another server is never a member");
    rig.room_event(RoomEvent::Gone { nick: Nick::from("Alice"), how: Gone::Banned });
    assert_eq!(went(&rig), ["+alice", "hi", "-alice"]);
    assert!(!rig.members_only);
}

#[test]
fn who_spoke_while_we_were_away_was_a_member_and_who_was_banned_is_none_behind_the_last_word() {
    let mut rig = Rig::bare();
    rig.person("Alice", ALICE);
    rig.crash();
    rig.spoken(ALICE, "before the ban");
    rig.affiliations.insert(BareJid::from(ALICE), Affiliation::Outcast);
    rig.spoken(BOB, "came and went");
    rig.up();
    assert_eq!(went(&rig), ["+alice", "before the ban", "+bob", "came and went", "-alice"]);
}

#[test]
fn who_was_not_seen_for_long_goes_and_comes_back() {
    let mut rig = Rig::bare();
    rig.person("Alice", ALICE);
    rig.person("Bob", BOB);
    rig.room_event(RoomEvent::Gone { nick: Nick::from("Bob"), how: Gone::Left });
    rig.pass(29 * DAY);
    assert_eq!(went(&rig), ["+alice", "+bob"]);
    rig.crash();
    rig.up();
    rig.person("Alice", ALICE);
    rig.pass(2 * DAY);
    assert_eq!(went(&rig), ["+alice", "+bob", "-bob"], "who stays in the room is seen every day");
    rig.says("Bob", BOB, "not heard: nobody of that nick is in");
    rig.person("Bob", BOB);
    assert_eq!(went(&rig)[3..], ["+bob"]);
}

#[test]
fn who_is_removed_by_command_stays_away_until_added() {
    let mut rig = Rig::bare();
    rig.person("Alice", ALICE);
    edit(&mut rig, "alice", false);
    assert!(matches!(&rig.replies[..], [Reply::Done]), "{:?}", rig.replies);
    assert_eq!(
        (went(&rig), has(&rig, ALICE)),
        (vec!["+alice".into(), "-alice".to_owned()], Some(Affiliation::Outcast))
    );
    rig.crash();
    // A moderator lifts the ban: that is not for moderators to do.
    rig.affiliations.clear();
    rig.up();
    rig.person_as("Alice", ALICE, Affiliation::None);
    assert_eq!(has(&rig, ALICE), Some(Affiliation::Outcast));
    rig.says("Alice", ALICE, "let me in");
    assert_eq!(went(&rig), ["+alice", "-alice"]);
    assert!(rig.told.iter().any(|(_, text)| text.contains("taken off")), "{:?}", rig.told);
    edit(&mut rig, "alice", true);
    assert_eq!((went(&rig)[2..].to_vec(), has(&rig, ALICE)), (vec!["+alice".to_owned()], Some(Affiliation::None)));
}

#[test]
fn members_of_the_room_are_members_of_the_group() {
    let affiliations = [
        (ALICE, Affiliation::Owner),
        (BOB, Affiliation::Member),
        (CAROL, Affiliation::Outcast),
        (EVE, Affiliation::Member),
    ];
    let mut rig = Rig::with_source(Source::Affiliations, &affiliations);
    assert_eq!(went(&rig), ["+alice", "+bob"]);
    assert!(rig.members_only, "the room is closed to others");
    assert_eq!(has(&rig, EVE), Some(Affiliation::None), "nobody of another server reads along");
    changed(&mut rig, CAROL, Affiliation::Admin);
    changed(&mut rig, BOB, Affiliation::None);
    assert_eq!(went(&rig)[2..], ["+carol", "-bob"]);
    rig.person_as("Carol", CAROL, Affiliation::Admin);
    rig.room_event(RoomEvent::Gone { nick: Nick::from("Carol"), how: Gone::Removed });
    assert_eq!(went(&rig)[4..], ["-carol"]);
    rig.person_as("Dave", "dave@acme.test", Affiliation::None);
    assert_eq!(rig.put_out, [Nick::from("Dave")], "some servers let in who was removed");
    rig.says("Dave", "dave@acme.test", "psst");
    assert!(rig.told.iter().any(|(_, text)| text.contains("make you a member")), "{:?}", rig.told);
    assert_eq!(went(&rig).len(), 5);
    edit(&mut rig, "dave", true);
    let follows = |text: &str| text.contains("follows the affiliations");
    assert!(matches!(&rig.replies[..], [Reply::Refused { text, .. }] if follows(text)), "{:?}", rig.replies);
    edit(&mut rig, "alice", true);
    assert!(matches!(&rig.replies[..], [Reply::Done]), "a name or a role is changed by command: {:?}", rig.replies);
}

#[test]
fn changes_while_we_were_away_have_their_place_among_what_was_said() {
    let mut rig = Rig::with_source(Source::Affiliations, &[(ALICE, Affiliation::Member), (BOB, Affiliation::Admin)]);
    rig.crash();
    rig.spoken(BOB, "last words");
    rig.affiliations.remove(&BareJid::from(BOB));
    rig.affiliations.insert(BareJid::from(CAROL), Affiliation::Owner);
    rig.spoken(CAROL, "first words");
    rig.up();
    assert_eq!(went(&rig), ["+alice", "+bob", "+carol", "last words", "first words", "-bob"]);
}

#[test]
fn what_nobody_told_is_found_after_a_while() {
    let mut rig = Rig::with_source(Source::Affiliations, &[(ALICE, Affiliation::Member)]);
    rig.affiliations.insert(BareJid::from(BOB), Affiliation::Member);
    rig.affiliations.remove(&BareJid::from(ALICE));
    rig.pass(30 * 60_000);
    assert_eq!(went(&rig), ["+alice", "+bob", "-alice"]);
}

#[test]
fn whom_commands_name_is_a_member_of_the_room_and_nobody_else() {
    let mut rig = Rig::with_source(Source::Explicit, &[(BOB, Affiliation::Member), (CAROL, Affiliation::Admin)]);
    assert!(rig.members_only && went(&rig).is_empty());
    assert_eq!((has(&rig, BOB), has(&rig, CAROL)), (Some(Affiliation::None), Some(Affiliation::Admin)));
    assert!(rig.reports.iter().any(|text| text.contains("carol@acme.test: owners or admins")), "{:?}", rig.reports);
    edit(&mut rig, "alice", true);
    edit(&mut rig, "carol", true);
    assert_eq!((has(&rig, ALICE), has(&rig, CAROL)), (Some(Affiliation::Member), Some(Affiliation::Admin)));
    rig.person("Alice", ALICE);
    rig.says("Alice", ALICE, "hi");
    assert_eq!(went(&rig), ["+alice", "+carol", "hi"]);
    // An ordinary client changes the room; the list changes it back.
    changed(&mut rig, BOB, Affiliation::Member);
    changed(&mut rig, ALICE, Affiliation::None);
    assert_eq!((has(&rig, ALICE), has(&rig, BOB)), (Some(Affiliation::Member), Some(Affiliation::None)));
    rig.person_as("Bob", BOB, Affiliation::None);
    rig.says("Bob", BOB, "psst");
    assert_eq!((&rig.put_out[..], went(&rig).len()), (&[Nick::from("Bob")][..], 3));
    edit(&mut rig, "alice", false);
    assert_eq!((went(&rig)[3..].to_vec(), has(&rig, ALICE)), (vec!["-alice".to_owned()], Some(Affiliation::None)));
}

#[test]
fn the_room_is_put_right_after_we_were_away() {
    let mut rig = Rig::with_source(Source::Explicit, &[]);
    edit(&mut rig, "alice", true);
    rig.crash();
    rig.affiliations = [(BareJid::from(BOB), Affiliation::Member)].into();
    rig.members_only = false;
    rig.up();
    assert_eq!((has(&rig, ALICE), has(&rig, BOB)), (Some(Affiliation::Member), Some(Affiliation::None)));
    assert!(rig.members_only);
    assert_eq!(went(&rig), ["+alice"]);
}

#[test]
fn a_room_that_is_opened_is_closed_again_before_anything_is_said_there() {
    let mut rig = Rig::with_source(Source::Explicit, &[]);
    rig.members_only = false;
    rig.room_event(RoomEvent::Configured);
    rig.deliver(2, "carol", "secret");
    assert_eq!((rig.members_only, rig.heard().len()), (false, 0));
    rig.pass(5_000);
    assert!(rig.members_only);
    rig.room_event(RoomEvent::Configured);
    assert_eq!(rig.bridge.cx.counters.get("room-restarts"), Some(&1), "a change of other things is no reason");
}

#[test]
fn a_room_that_cannot_be_closed_is_not_mapped() {
    let mut rig = Rig::new();
    rig.stays_open = true;
    rig.up();
    rig.command(Command::Create { name: "Apollo".into(), room: room(), members: Some(Source::Explicit) });
    let why = |text: &str| text.contains("members only") && text.contains("forbidden");
    assert!(matches!(&rig.replies[..], [Reply::Refused { text, .. }] if why(text)), "{:?}", rig.replies);
    assert!(rig.inside.is_empty() && rig.sent.is_empty());
}

#[test]
fn where_members_come_from_is_chosen_by_the_room_and_changed_by_command() {
    let mut rig = Rig::mapped();
    assert_eq!(rig.bridge.rooms[&GROUP].mapping.source, Some(Source::Occupants));
    rig.command(Command::SetSource { group: GROUP, source: Source::Explicit });
    rig.pass(5_000);
    assert!(rig.members_only);
    assert_eq!((has(&rig, ALICE), has(&rig, BOB)), (Some(Affiliation::Member), Some(Affiliation::Member)));
    // A store of a program that did not know of sources.
    rig.bridge.rooms.get_mut(&GROUP).unwrap().mapping.source = None;
    rig.event(Event::ServerDown { stream_error: None });
    rig.event(Event::ServerUp { exclusive: true });
    assert_eq!(rig.bridge.rooms[&GROUP].mapping.source, Some(Source::Affiliations));
    assert_eq!(went(&rig), Vec::<String>::new());
}

/// A list that is kept by command is not known, nor will it ever be: the room ends all the same, and its members stay.
#[test]
fn a_room_whose_list_does_not_come_any_more_ends() {
    for deleted in [true, false] {
        let mut rig = Rig::with_source(Source::Explicit, &[]);
        edit(&mut rig, "alice", true);
        assert_eq!(has(&rig, ALICE), Some(Affiliation::Member));
        rig.crash();
        rig.bridge.rooms.get_mut(&GROUP).unwrap().mapping.list_at = None;
        (rig.list, rig.list_is_denied) = (None, deleted);
        rig.event(Event::ServerUp { exclusive: true });
        rig.link_up(N(1), History::Same, Seq(0));
        if !deleted {
            rig.command(Command::Unmap { group: GROUP });
        }
        rig.resumed();
        if deleted {
            entry(&mut rig, 2, 2, Change::Deleted {});
        }
        // What was edited is decided, under whatever number it has now.
        let hello = rig.bridge.hello().remove(0);
        let (epoch, n) = (hello.epoch, hello.last_n);
        let decided = intergroup_schemas::link::Decided { group: GROUP, epoch, n, refused: Vec::new() };
        rig.event(Event::Link(ToGateway::Decided(decided)));
        rig.pass(200_000);
        let left: Vec<_> = rig.bridge.rooms.values().map(|room| room.status()).collect();
        assert!(left.is_empty(), "the mapping has not ended; deleted: {deleted}; {left:?}");
        assert!(rig.archive.iter().any(|e| e.text.contains("not shared")), "{:?}", rig.archive);
        assert_eq!(has(&rig, ALICE), Some(Affiliation::Member));
    }
}

// ---------------------------------------------------------------- several gateways of one company

/// A room that has Alice, in a group whose list has Bob, too; with another gateway of ours in the group, or without.
fn beside_a_branch(branch: bool, source: Source) -> Rig {
    let mut rig = Rig::new();
    rig.list = Some(list_of(1, vec![row("acme/bob", "Bob", 1)]));
    rig.affiliations = [(BareJid::from(ALICE), Affiliation::Member)].into();
    if branch {
        rig.members.push(MemberInfo { gateway: "branch".parse().unwrap(), ..member("acme", "Acme") });
    }
    rig.share(Some(source));
    rig
}

fn entry(rig: &mut Rig, seq: u64, list: u64, change: Change) {
    let entry = Entry { group: GROUP, seq: Seq(seq), list: ListVersion(list), change };
    rig.event(Event::Link(ToGateway::Entry(entry)));
}

/// The center takes our edit as it is, and the stream brings it by.
fn takes(rig: &mut Rig, n: u64, seq: u64, list: u64, rows: &[&str]) {
    let epoch = rig.bridge.hello()[0].epoch.clone();
    let decided = intergroup_schemas::link::Decided { group: GROUP, epoch, n: N(n), refused: Vec::new() };
    rig.event(Event::Link(ToGateway::Decided(decided)));
    brings(rig, seq, list, &[("alice", true)], rows);
}

/// An edit of our part comes by, after which the list has these accounts.
fn brings(rig: &mut Rig, seq: u64, list: u64, changes: &[(&str, bool)], rows: &[&str]) {
    let listed = |user: &str| Listed { display: user.parse().unwrap(), role: Role::Speak };
    let account =
        |(user, on): &(&str, bool)| AccountEdit { user: user.parse().unwrap(), listed: on.then(|| listed(user)) };
    let rows = rows.iter().map(|user| row(&format!("acme/{user}"), if *user == "bob" { "Bob" } else { user }, list));
    let page = list_of(list, rows.collect());
    let digest = page.digest;
    rig.list = Some(page);
    let accounts = changes.iter().map(account).collect();
    entry(rig, seq, list, Change::Listed { enterprise: "acme".parse().unwrap(), accounts, digest });
}

#[test]
fn whom_another_gateway_of_the_company_put_on_the_list_is_not_taken_off_for_this_room() {
    for source in [Source::Affiliations, Source::Occupants] {
        let mut rig = beside_a_branch(true, source);
        rig.person("Alice", ALICE);
        changed(&mut rig, BOB, Affiliation::Outcast);
        rig.pass(60 * DAY);
        assert_eq!(went(&rig), ["+alice"], "{source:?}");
        rig.crash();
        rig.up();
        changed(&mut rig, ALICE, Affiliation::Outcast);
        assert_eq!(went(&rig), ["+alice", "-alice"], "{source:?}: on disk it is known who is whose");
    }
    let rig = beside_a_branch(false, Source::Affiliations);
    assert_eq!(went(&rig), ["+alice", "-bob"], "without another gateway nobody else can have put Bob there");
}

#[test]
fn whom_another_gateway_took_off_is_added_again_while_the_room_here_has_them() {
    let mut rig = beside_a_branch(true, Source::Affiliations);
    takes(&mut rig, 1, 2, 2, &["alice", "bob"]);
    brings(&mut rig, 3, 3, &[("alice", false)], &["bob"]);
    assert_eq!(went(&rig), ["+alice", "+alice"]);
    brings(&mut rig, 4, 4, &[("bob", false)], &["alice"]);
    assert_eq!(went(&rig).len(), 2, "Bob is not of this room");
}

#[test]
fn nobody_is_taken_off_who_may_be_of_a_gateway_of_which_the_stream_has_not_told_yet() {
    let mut rig = beside_a_branch(false, Source::Affiliations);
    rig.sent.clear();
    rig.event(Event::LinkDown);
    rig.list = Some(list_of(5, vec![row("acme/bob", "Bob", 1), row("acme/carol", "Carol", 5)]));
    rig.link_up(N(2), History::Same, Seq(0));
    rig.resumed();
    rig.pass(30 * 60_000);
    assert!(!went(&rig).contains(&"-carol".to_owned()), "{:?}", went(&rig));
    let (enterprise, gateway) = (|| "acme".parse().unwrap(), || "branch".parse().unwrap());
    let display = || "Acme".parse().unwrap();
    entry(&mut rig, 2, 4, Change::Joined { enterprise: enterprise(), gateway: gateway(), display: display() });
    entry(&mut rig, 3, 5, Change::Resumed { enterprise: enterprise() });
    rig.pass(30 * 60_000);
    assert!(!went(&rig).contains(&"-carol".to_owned()), "{:?}", went(&rig));
    entry(&mut rig, 4, 6, Change::Left { enterprise: enterprise(), gateway: gateway(), display: display() });
    assert!(went(&rig).contains(&"-carol".to_owned()), "the gateway that stays has the whole part: {:?}", went(&rig));
}

#[test]
fn who_leaves_a_group_in_which_another_gateway_stays_takes_its_people_along() {
    let mut rig = beside_a_branch(true, Source::Affiliations);
    takes(&mut rig, 1, 2, 2, &["alice", "bob"]);
    rig.slow_archive = Some(Vec::new());
    rig.command(Command::Leave { group: GROUP });
    assert_eq!(went(&rig), ["+alice"], "what was said before the notice is not read yet");
    for (request, from) in rig.slow_archive.take().unwrap() {
        rig.page(request, &from);
    }
    rig.run();
    assert_eq!(went(&rig), ["+alice", "-alice"]);
}

#[test]
fn who_was_banned_with_a_client_is_let_in_by_command() {
    let mut rig = Rig::bare();
    rig.person("Alice", ALICE);
    changed(&mut rig, ALICE, Affiliation::Outcast);
    assert_eq!(went(&rig), ["+alice", "-alice"]);
    edit(&mut rig, "alice", true);
    assert_eq!((went(&rig)[2..].to_vec(), has(&rig, ALICE)), (vec!["+alice".to_owned()], Some(Affiliation::None)));
}

#[test]
fn who_is_banned_and_let_in_again_before_that_was_worked_off_stays_a_member() {
    let mut rig = Rig::bare();
    rig.person("Alice", ALICE);
    rig.slow_archive = Some(Vec::new());
    rig.crash();
    rig.event(Event::ServerUp { exclusive: true });
    // The archive is being read: nobody goes before it has been.
    changed(&mut rig, ALICE, Affiliation::Outcast);
    changed(&mut rig, ALICE, Affiliation::None);
    rig.person_as("Alice", ALICE, Affiliation::None);
    for (request, from) in rig.slow_archive.take().unwrap() {
        rig.page(request, &from);
    }
    rig.run();
    rig.link_up(N(0), History::Same, Seq(0));
    assert_eq!(went(&rig), ["+alice"]);
}

/// An older store was put back: it does not know whom it sent in since.
#[test]
fn ours_whom_no_store_knows_are_sent_out_of_the_room() {
    let mut rig = Rig::bare();
    let bob = Account { enterprise: "globex".parse().unwrap(), user: "bob".parse().unwrap() };
    let ghost = Mouth { who: Who::Puppet(bob), life: Life(77) };
    rig.crash();
    rig.inside.insert(ghost.clone(), Nick::from("Bob (globex)"));
    rig.up();
    assert!(!rig.inside.contains_key(&ghost));
}
