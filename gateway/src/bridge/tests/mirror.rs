//! The user list as it is kept here: moved on by the stream, fetched where something is missing or wrong, and judged by.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{AccountId, ListDigest, ListVersion, N, Seq};
use intergroup_schemas::link::{Change, Decided, Entry, History, Request, RequestBody, Response, ToCenter, ToGateway};
use intergroup_schemas::list::{AccountEdit, AccountRow, ListPage, Listed, Role, Roster};

use super::group::page;
use super::rig::{GROUP, Rig, Speaker};
use super::{ALICE, Command, Event};
use crate::bridge::PersonEdit;
use crate::ids::Who;

fn listed(role: Role) -> Option<Listed> {
    Some(Listed { display: "Somebody".parse().unwrap(), role })
}

/// The list as the center has it, and what the center says of each change.
#[derive(Default)]
struct Center {
    roster: Roster,
    rows: Vec<AccountRow>,
}

impl Center {
    fn change(&mut self, version: u64, account: &str, listed: Option<Listed>) -> Change {
        let account: AccountId = account.parse().unwrap();
        let accounts = vec![AccountEdit { user: account.user.clone(), listed: listed.clone() }];
        self.roster.apply(&account.enterprise, &accounts);
        self.rows.retain(|row| row.account != account);
        let enterprise = account.enterprise.clone();
        self.rows.push(AccountRow { account, version: ListVersion(version), listed });
        Change::Listed { enterprise, accounts, digest: self.roster.digest() }
    }

    fn page(&self, version: u64) -> ListPage {
        ListPage {
            version: ListVersion(version),
            digest: self.roster.digest(),
            accounts: self.roster.len() as u64,
            rows: self.rows.clone(),
            more: false,
        }
    }
}

fn entry(rig: &mut Rig, seq: u64, list: u64, change: Change) {
    let entry = Entry { group: GROUP, seq: Seq(seq), list: ListVersion(list), change };
    rig.event(Event::Link(ToGateway::Entry(entry)));
}

/// From which version on lists were asked for.
fn fetches(rig: &Rig) -> Vec<u64> {
    let since = |s: &ToCenter| match s {
        ToCenter::Request(Request { body: RequestBody::FetchList { since, .. }, .. }) => Some(since.0),
        _ => None,
    };
    rig.sent.iter().filter_map(since).collect()
}

fn refusals(rig: &Rig) -> Vec<(u64, Condition)> {
    let refused = |s: &ToCenter| match s {
        ToCenter::Settled(s) => s.refused.iter().map(|(seq, _, condition)| (seq.0, *condition)).collect(),
        _ => Vec::new(),
    };
    rig.sent.iter().flat_map(refused).collect()
}

fn kept(rig: &mut Rig) -> Vec<String> {
    use crate::store::Store;
    rig.store.listed(GROUP, None, 99).unwrap().iter().map(|row| row.account.to_string()).collect()
}

fn own(rig: &Rig) -> Vec<String> {
    rig.bridge.rooms[&GROUP].own_people().keys().map(ToString::to_string).collect()
}

#[test]
fn a_message_is_judged_by_the_list_at_its_place() {
    let (mut rig, mut center) = (Rig::bare(), Center::default());
    entry(&mut rig, 2, 2, center.change(2, "globex/bob", listed(Role::Speak)));
    rig.deliver(3, "bob", "listed");
    rig.deliver(4, "eve", "not listed");
    entry(&mut rig, 5, 3, center.change(3, "globex/bob", listed(Role::ReadOnly)));
    rig.deliver(6, "bob", "reads only");
    entry(&mut rig, 7, 4, center.change(4, "globex/bob", None));
    rig.deliver(8, "bob", "gone");
    assert_eq!(rig.heard(), ["listed"]);
    let in_order = [(4, Condition::NotOnList), (6, Condition::ReadOnly), (8, Condition::NotOnList)];
    assert_eq!(refusals(&rig), in_order);
    assert_eq!(rig.settled(), Some(8));
    assert_eq!(kept(&mut rig), Vec::<String>::new());
}

#[test]
fn who_is_removed_leaves_the_room_behind_the_last_word() {
    let (mut rig, mut center) = (Rig::mapped(), Center::default());
    entry(&mut rig, 2, 2, center.change(2, "globex/bob", listed(Role::Speak)));
    rig.deliver(3, "bob", "last words");
    let is_bob = |who: &Who| matches!(who, Who::Puppet(account) if account.to_string() == "globex/bob");
    let inside = |rig: &Rig| rig.inside.keys().any(|m| is_bob(&m.who));
    assert!(inside(&rig));
    entry(&mut rig, 4, 3, center.change(3, "globex/bob", None));
    assert_eq!((rig.heard(), inside(&rig)), (vec!["last words".to_owned()], false));
}

/// The server forgets what was said, and says it is said again, by an author who has been removed since.
#[test]
fn what_comes_by_once_more_is_not_judged_by_a_newer_list() {
    let (mut rig, mut center) = (Rig::mapped(), Center::default());
    entry(&mut rig, 2, 2, center.change(2, "globex/bob", listed(Role::Speak)));
    rig.deliver(3, "bob", "said in time");
    let off = center.change(3, "globex/bob", None);
    entry(&mut rig, 4, 3, off.clone());
    rig.archive.retain(|e| !e.text.contains("said in time"));
    rig.list = Some(center.page(3));
    rig.crash();
    rig.up();
    assert_eq!(rig.resumed(), Seq(1));
    entry(&mut rig, 2, 2, Center::default().change(2, "globex/bob", listed(Role::Speak)));
    rig.deliver(3, "bob", "said in time");
    entry(&mut rig, 4, 3, off);
    assert_eq!(rig.heard(), ["[late] said in time"]);
    assert_eq!(kept(&mut rig), Vec::<String>::new(), "an older entry brings nobody back");
    rig.deliver(5, "bob", "too late");
    assert_eq!(refusals(&rig), [(5, Condition::NotOnList)]);
}

#[test]
fn a_missing_change_is_fetched_and_nobody_is_judged_meanwhile() {
    let (mut rig, mut center) = (Rig::bare(), Center::default());
    rig.list = None;
    entry(&mut rig, 2, 2, center.change(2, "globex/bob", listed(Role::Speak)));
    center.change(3, "globex/carol", listed(Role::Speak));
    entry(&mut rig, 3, 4, center.change(4, "globex/dora", listed(Role::Speak)));
    assert_eq!(fetches(&rig), [0, 2], "all at first, then what is behind the version that is known");
    rig.deliver(4, "carol", "the center knows me");
    rig.event(Event::LinkDown);
    rig.list = Some(center.page(4));
    rig.link_up(N(0), History::Same, Seq(0));
    assert_eq!(kept(&mut rig), ["globex/bob", "globex/carol", "globex/dora"]);
    let after = rig.resumed().0;
    rig.deliver(after + 1, "eve", "nobody knows me");
    assert_eq!(rig.heard(), ["the center knows me"]);
    assert_eq!(refusals(&rig), [(after + 1, Condition::NotOnList)]);
}

#[test]
fn a_list_that_is_not_the_centers_is_fetched_anew() {
    let (mut rig, mut center) = (Rig::mapped(), Center::default());
    center.change(2, "globex/bob", listed(Role::Speak));
    let stray = Center::default().change(2, "globex/eve", listed(Role::Speak));
    rig.list = Some(center.page(2));
    let Change::Listed { enterprise, accounts, .. } = stray else { unreachable!() };
    entry(&mut rig, 2, 2, Change::Listed { enterprise, accounts, digest: center.roster.digest() });
    assert_eq!(fetches(&rig), [0, 0]);
    assert_eq!(kept(&mut rig), ["globex/bob"]);
    assert_eq!(rig.bridge.cx.counters["list-repairs"], 1);
}

/// The center says at every page that the list is another one.
#[test]
fn a_wrong_digest_is_not_chased_in_a_circle() {
    let (mut rig, mut center) = (Rig::mapped(), Center::default());
    let change = center.change(2, "globex/bob", listed(Role::Speak));
    rig.list = Some(ListPage { digest: ListDigest([7; 16]), ..center.page(2) });
    let Change::Listed { enterprise, accounts, .. } = change else { unreachable!() };
    entry(&mut rig, 2, 2, Change::Listed { enterprise, accounts, digest: ListDigest([7; 16]) });
    assert_eq!(fetches(&rig), [0, 0]);
    rig.deliver(3, "eve", "nobody is judged by what is wrong");
    assert_eq!(rig.heard().len(), 1);
    assert!(rig.reports.iter().any(|r| r.contains("not its own")), "{:?}", rig.reports);
}

#[test]
fn every_few_minutes_the_digest_is_compared() {
    let (mut rig, mut center) = (Rig::bare(), Center::default());
    let change = center.change(2, "globex/bob", listed(Role::Speak));
    entry(&mut rig, 2, 2, change);
    rig.list = Some(center.page(2));
    rig.pass(20 * 60_000);
    rig.pass(20 * 60_000);
    assert_eq!(fetches(&rig), [0, 2, 2], "only what changed since");
    center.change(3, "globex/carol", listed(Role::Speak));
    rig.list = Some(center.page(3));
    rig.pass(20 * 60_000);
    assert_eq!(kept(&mut rig), ["globex/bob", "globex/carol"], "a change that the stream did not bring");
}

#[test]
fn the_list_comes_from_the_disk_when_memory_has_let_go_of_it() {
    let (mut rig, mut center) = (Rig::bare(), Center::default());
    entry(&mut rig, 2, 2, center.change(2, "globex/bob", listed(Role::Speak)));
    for _ in 0..2 {
        rig.bridge.rooms.get_mut(&GROUP).unwrap().forget_list();
        let seq = rig.settled().unwrap() + 1;
        rig.deliver(seq, "bob", "known");
        rig.deliver(seq + 1, "eve", "unknown");
    }
    assert_eq!(rig.heard(), ["known", "known"]);
    assert_eq!(refusals(&rig).len(), 2);
    assert_eq!(rig.bridge.cx.counters["list-misses"], 2);
    assert_eq!(rig.bridge.cx.counters["list-hits"], 4, "each message was judged by it");
    rig.list = Some(center.page(2));
    rig.crash();
    rig.up();
    assert_eq!(kept(&mut rig), ["globex/bob"]);
}

// ---------------------------------------------------------------- the own part

fn add(rig: &mut Rig, person: &str) {
    let person = PersonEdit { person: person.into(), listed: listed(Role::Speak) };
    rig.command(Command::Edit { group: GROUP, people: vec![person] });
}

fn decided(rig: &mut Rig, n: u64, refused: Option<Condition>) {
    let edit = |s: &ToCenter| if let ToCenter::Edit(e) = s { Some(e.epoch.clone()) } else { None };
    let epoch = rig.sent.iter().find_map(edit).expect("an edit was sent");
    let refused = refused.map(|condition| (N(n), condition)).into_iter().collect();
    rig.event(Event::Link(ToGateway::Decided(Decided { group: GROUP, epoch, n: N(n), refused })));
}

#[test]
fn our_own_part_is_as_we_edited_it_until_the_center_refuses() {
    let (mut rig, mut center) = (Rig::bare(), Center::default());
    add(&mut rig, "alice");
    assert_eq!(own(&rig), ["alice"]);
    // While the edit is on its way, an older state of the center's does not undo it.
    let before = center.change(2, "acme/alice", None);
    entry(&mut rig, 2, 2, before);
    assert_eq!(own(&rig), ["alice"]);
    rig.crash();
    rig.up();
    assert_eq!(own(&rig), ["alice"], "on disk with the edit itself");
    center.change(3, "acme/bob", listed(Role::Speak));
    rig.list = Some(center.page(3));
    decided(&mut rig, 1, Some(Condition::ListFull));
    assert_eq!(own(&rig), ["bob"], "so the center has it");
}

#[test]
fn a_store_of_yesterday_brings_nobody_back() {
    let (mut rig, mut center) = (Rig::mapped(), Center::default());
    add(&mut rig, "alice");
    decided(&mut rig, 1, None);
    entry(&mut rig, 2, 2, center.change(2, "acme/alice", listed(Role::Speak)));
    let yesterday = rig.store.clone();
    let gone = PersonEdit { person: "alice".into(), listed: None };
    rig.command(Command::Edit { group: GROUP, people: vec![gone] });
    decided(&mut rig, 2, None);
    let off = center.change(3, "acme/alice", None);
    entry(&mut rig, 3, 3, off.clone());
    rig.store = yesterday;
    rig.list = Some(center.page(3));
    rig.crash();
    rig.event(Event::ServerUp { exclusive: true });
    rig.link_up(N(2), History::Same, Seq(0));
    rig.resumed();
    assert_eq!(own(&rig), Vec::<String>::new());
    assert!(!rig.sent.iter().any(|s| matches!(s, ToCenter::Edit(e) if e.accounts.iter().any(|a| a.listed.is_some()))));
}

// ---------------------------------------------------------------- alone

#[test]
fn while_nobody_else_belongs_to_the_group_nothing_crosses() {
    let mut rig = Rig::alone();
    rig.says("Alice", ALICE, "among ourselves");
    let globex = Change::Joined {
        enterprise: "globex".parse().unwrap(),
        gateway: "main".parse().unwrap(),
        display: "Globex".parse().unwrap(),
    };
    // Said before the room heard of it, and heard by us only after.
    let unheard = rig.spoken(ALICE, "not yet");
    entry(&mut rig, 2, 2, globex);
    let told = rig.archive.iter().position(|e| e.text.contains("has joined")).expect("the room is told");
    assert!(rig.archive[..told].iter().any(|e| e.id == unheard.id));
    rig.says("Alice", ALICE, "hello Globex");
    rig.crash();
    rig.up();
    let texts: Vec<_> = rig.relays().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["<body>hello Globex</body>"]);
    let left = Change::Left {
        enterprise: "globex".parse().unwrap(),
        gateway: "main".parse().unwrap(),
        display: "Globex".parse().unwrap(),
    };
    let after = rig.resumed().0;
    assert_eq!(after, 1);
    entry(&mut rig, 2, 2, Change::Described(Default::default()));
    entry(&mut rig, 3, 3, left);
    rig.says("Alice", ALICE, "alone again");
    assert_eq!(rig.relays().len(), 1);
    assert!(rig.archive.iter().any(|e| matches!(&e.from, Speaker::Ours(Who::Ear)) && e.text.contains("has left")));
}

#[test]
fn a_page_that_was_asked_for_before_the_list_is_fetched_as_a_whole_is_of_no_use() {
    let (mut rig, mut center) = (Rig::bare(), Center::default());
    entry(&mut rig, 2, 2, center.change(2, "globex/bob", listed(Role::Speak)));
    rig.list = None;
    center.change(3, "globex/eve", listed(Role::Speak));
    entry(&mut rig, 3, 4, center.change(4, "globex/mel", listed(Role::Speak)));
    assert_eq!(fetches(&rig).last(), Some(&2), "what is missing is asked for, and not answered yet");
    // The center refuses an edit: nobody knows what the list is.
    add(&mut rig, "alice");
    decided(&mut rig, 1, Some(Condition::NotAMember));
    let id = rig.sent.iter().rev().find_map(|s| match s {
        ToCenter::Request(Request { id, body: RequestBody::FetchList { .. } }) => Some(*id),
        _ => None,
    });
    let body = page(&center.page(4), ListVersion(2), None);
    rig.list = Some(center.page(4));
    rig.event(Event::Link(ToGateway::Response(Response { id: id.unwrap(), body })));
    assert_eq!(fetches(&rig).last(), Some(&0));
    assert_eq!(kept(&mut rig), ["globex/bob", "globex/eve", "globex/mel"]);
    assert!(!rig.reports.iter().any(|r| r.contains("not its own")), "{:?}", rig.reports);
}
