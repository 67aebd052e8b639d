//! Who may speak, by the list as it is at a message's place; and what groups say of themselves.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{GroupNumber, ListDigest, ListVersion, N, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::link::{
    About, Change, Edit, Entry, Relay, RequestBody, ResponseBody, Resume, ToCenter, ToGateway,
};
use intergroup_schemas::list::{AccountEdit, ListPage, Listed, Policy, Role, Roster, RowHash, UserKey};

use super::{AdminReply, AdminRequest, LinkId, World, decided, memory, relay, words};
use crate::store::PageQuery;

fn on(user: &str, role: Role) -> AccountEdit {
    AccountEdit { user: user.parse().unwrap(), listed: Some(Listed { display: user.parse().unwrap(), role }) }
}

fn off(user: &str) -> AccountEdit {
    AccountEdit { user: user.parse().unwrap(), listed: None }
}

impl World {
    fn edit(&mut self, link: LinkId, group: GroupNumber, whose: &str, n: u64, accounts: Vec<AccountEdit>) {
        let epoch = format!("k{}", &whose[..1]).parse().unwrap();
        let (enterprise, base) = (whose.parse().unwrap(), ListVersion(0));
        self.say(link, ToCenter::Edit(Edit { group, epoch, n: N(n), enterprise, base, accounts }));
    }

    fn speaks(&mut self, link: LinkId, group: GroupNumber, epoch: &str, n: u64, user: &str) {
        let user = user.parse().unwrap();
        let message = relay(group, epoch, n, &format!("{epoch}-{n}"));
        self.say(link, ToCenter::Relay(Relay { user, list: self.list, ..message }));
    }

    fn page(&mut self, link: LinkId, query: &PageQuery) -> ListPage {
        let PageQuery { group, since, after } = query.clone();
        match self.ask(link, RequestBody::FetchList { group, since, after }) {
            ResponseBody::List { page, .. } => page,
            other => panic!("no page but {other:?}"),
        }
    }

    /// The whole list as a gateway would fetch it.
    fn fetch(&mut self, link: LinkId, group: GroupNumber) -> (Roster, ListPage) {
        let mut roster = Roster::default();
        let mut query = PageQuery { group, since: ListVersion(0), after: None };
        loop {
            let page = self.page(link, &query);
            for row in &page.rows {
                let edit = AccountEdit { user: row.account.user.clone(), listed: row.listed.clone() };
                roster.apply(&row.account.enterprise, &[edit]);
                (query.since, query.after) = (row.version, Some(row.account.clone()));
            }
            if !page.more {
                return (roster, page);
            }
        }
    }
}

fn entries(got: &[ToGateway]) -> Vec<Entry> {
    got.iter().filter_map(|s| if let ToGateway::Entry(e) = s { Some(e.clone()) } else { None }).collect()
}

#[test]
fn each_message_is_judged_by_the_list_at_its_place() {
    let (mut world, group, [a, b, _]) = World::three();
    world.speaks(a, group, "ka", 1, "alice");
    world.edit(a, group, "acme", 2, vec![on("alice", Role::Speak), on("bob", Role::ReadOnly)]);
    world.speaks(a, group, "ka", 3, "alice");
    world.speaks(a, group, "ka", 4, "bob");
    world.speaks(a, group, "ka", 5, "carol");
    world.edit(a, group, "acme", 6, vec![off("alice"), on("carol", Role::Speak)]);
    world.speaks(a, group, "ka", 7, "alice");
    world.speaks(a, group, "ka", 8, "carol");
    let refused: Vec<_> = decided(&world.take(a)).last().unwrap().1.clone();
    let (off, read) = (Condition::NotOnList, Condition::ReadOnly);
    assert_eq!(refused, [(4, read), (5, off), (7, off)]);
    let got = world.take(b);
    assert_eq!(words(&got, group), ["ka.1", "entry", "ka.3", "entry", "ka.8"]);
    let versions: Vec<_> = entries(&got).iter().map(|e| e.list.0).collect();
    assert_eq!(versions, [4, 5], "each edit is the next version");
    world.speaks(b, group, "kb", 1, "anybody");
    assert_eq!(words(&world.take(a), group), ["kb.1"], "who never edited the list is not judged");
}

#[test]
fn every_member_can_tell_from_its_stream_alone_what_the_list_is() {
    let (mut world, group, [a, b, c]) = World::three();
    world.edit(a, group, "acme", 1, vec![on("alice", Role::Speak), on("bob", Role::ReadOnly)]);
    world.edit(b, group, "globex", 1, vec![on("alice", Role::Speak)]);
    world.edit(a, group, "acme", 2, vec![off("alice"), on("bob", Role::Speak)]);
    for link in [a, b, c] {
        let mut roster = Roster::default();
        for entry in entries(&world.take(link)) {
            let Change::Listed { enterprise, accounts, digest } = entry.change else { panic!("another change") };
            roster.apply(&enterprise, &accounts);
            assert_eq!(roster.digest(), digest, "at version {}", entry.list);
        }
        assert_eq!(roster.len(), 2);
        let (fetched, page) = world.fetch(link, group);
        assert_eq!((fetched, page.digest), (roster.clone(), roster.digest()));
        assert_eq!((page.accounts, page.version), (2, ListVersion(6)));
    }
    let mut world = world.restart();
    let (a, welcome) = world.greet("acme", vec![memory(group, Seq(0), Default::default(), "ka", 2)]);
    let (_, page) = world.fetch(a, group);
    assert_eq!((welcome.groups[0].list, welcome.groups[0].digest), (page.version, page.digest), "after a restart");
    world.speaks(a, group, "ka", 3, "alice");
    assert_eq!(decided(&world.take(a)).last(), Some(&(3, vec![(3, Condition::NotOnList)])));
}

#[test]
fn an_edit_that_changes_nothing_is_no_entry_and_a_repeat_is_answered_alike() {
    let (mut world, group, [a, b, _]) = World::three();
    world.edit(a, group, "acme", 1, vec![on("alice", Role::Speak)]);
    world.take(a);
    world.edit(a, group, "acme", 1, vec![on("alice", Role::Speak)]);
    world.edit(a, group, "acme", 2, vec![on("alice", Role::Speak), off("nobody")]);
    assert_eq!(decided(&world.take(a)), [(1, vec![]), (2, vec![])]);
    assert_eq!(words(&world.take(b), group), ["entry"]);
    // The same number for something else: a copied store.
    world.edit(a, group, "acme", 2, vec![off("alice")]);
    assert!(world.take(a).iter().any(|s| matches!(s, ToGateway::Expect(e) if e.fork)));
    world.edit(b, group, "globex", 1, Vec::new());
    assert_eq!(words(&world.take(a), group), ["entry"], "an empty list is a list");
    world.speaks(b, group, "kg", 2, "bob");
    assert_eq!(decided(&world.take(b)).last(), Some(&(2, vec![(2, Condition::NotOnList)])));
}

#[test]
fn edits_that_cannot_be_taken_are_refused_and_change_nothing() {
    let (mut world, group, [a, b, _]) = World::three();
    let twice = vec![on("alice", Role::Speak), off("alice")];
    let strange = vec![on("ali\u{200B}ce", Role::Speak)];
    let many = (0..=limits::ACCOUNTS_PER_EDIT).map(|n| off(&format!("u{n}"))).collect();
    world.edit(a, group, "acme", 1, twice);
    world.edit(a, group, "acme", 2, strange);
    world.edit(a, group, "acme", 3, many);
    let (epoch, enterprise) = ("ka".parse().unwrap(), "globex".parse().unwrap());
    let foreign = vec![on("bob", Role::Speak)];
    let edit = Edit { group, epoch, n: N(4), enterprise, base: ListVersion(1), accounts: foreign };
    world.say(a, ToCenter::Edit(edit.clone()));
    let (n, base, enterprise) = (N(5), ListVersion(99), "acme".parse().unwrap());
    world.say(a, ToCenter::Edit(Edit { n, base, enterprise, ..edit }));
    let bad = Condition::InvalidAccount;
    let refused = [(1, bad), (2, bad), (3, bad), (4, Condition::NotYours), (5, Condition::UnknownListVersion)];
    assert_eq!(decided(&world.take(a)).last(), Some(&(5, refused.to_vec())));
    assert!(words(&world.take(b), group).is_empty());
    assert_eq!(world.fetch(a, group).1.digest, ListDigest::default());
    world.ask(b, RequestBody::LeaveGroup { group });
    world.edit(b, group, "globex", 1, vec![on("bob", Role::Speak)]);
    assert_eq!(decided(&world.take(b)), [(1, vec![(1, Condition::NotAMember)])]);
    let body = RequestBody::FetchList { group, since: ListVersion(0), after: None };
    assert!(matches!(world.ask(b, body), ResponseBody::Refused { condition: Condition::NotAMember, .. }));
}

#[test]
fn a_list_holds_so_many_and_no_more() {
    let (mut world, group, [a, _, _]) = World::three();
    let acme = "acme".parse().unwrap();
    let roster = &mut world.hub.groups.get_mut(&group).unwrap().roster;
    roster.apply(&acme, &[on("u1", Role::Speak)]);
    for n in 1..limits::ACCOUNTS_PER_GROUP as u128 {
        roster.put(&acme, UserKey(n.to_be_bytes()), Some((RowHash(n.to_be_bytes()), Role::Speak)));
    }
    world.edit(a, group, "acme", 1, vec![on("another", Role::Speak)]);
    world.edit(a, group, "acme", 2, vec![off("u1"), on("another", Role::Speak)]);
    world.edit(a, group, "acme", 3, vec![off("u1")]);
    world.edit(a, group, "acme", 4, vec![on("another", Role::Speak)]);
    let full = Condition::ListFull;
    assert_eq!(decided(&world.take(a)).last(), Some(&(4, vec![(1, full), (2, full)])));
}

#[test]
fn pages_bring_everything_though_the_list_changes_between_them() {
    let (mut world, group, [a, b, _]) = World::three();
    for n in 0..12u64 {
        let accounts = (0..200).map(|u| on(&format!("u{}", n * 200 + u), Role::Speak)).collect();
        world.edit(a, group, "acme", n + 1, accounts);
    }
    let first = world.page(b, &PageQuery { group, since: ListVersion(0), after: None });
    assert!(first.more && first.rows.len() <= limits::ACCOUNTS_PER_PAGE);
    // Changed behind the reader's back: on the page that it has, and on one that it has not.
    world.edit(a, group, "acme", 13, vec![off("u0"), on("u2399", Role::ReadOnly), on("new", Role::Speak)]);
    let mut roster = Roster::default();
    let mut page = first;
    loop {
        for row in &page.rows {
            let edit = AccountEdit { user: row.account.user.clone(), listed: row.listed.clone() };
            roster.apply(&row.account.enterprise, &[edit]);
        }
        if !page.more {
            break;
        }
        let last = page.rows.last().unwrap();
        let query = PageQuery { group, since: last.version, after: Some(last.account.clone()) };
        page = world.page(b, &query);
    }
    assert_eq!((roster.digest(), roster.len() as u64), (page.digest, page.accounts));
    let delta = world.page(b, &PageQuery { group, since: ListVersion(page.version.0 - 1), after: None });
    assert_eq!(delta.rows.len(), 3, "a delta is what changed, removals among it");
    assert!(delta.rows.iter().any(|row| row.listed.is_none()));
}

#[test]
fn whoever_leaves_takes_its_people_off_the_list_and_nobody_brings_them_back() {
    let (mut world, group, [a, b, c]) = World::three();
    world.edit(b, group, "globex", 1, vec![on("bob", Role::Speak)]);
    world.edit(c, group, "initech", 1, vec![on("ian", Role::Speak)]);
    world.take(a);
    world.ask(b, RequestBody::LeaveGroup { group });
    let changes: Vec<_> = entries(&world.take(a)).into_iter().map(|e| e.change).collect();
    assert!(matches!(&changes[..], [Change::Left { .. }, Change::Unlisted { .. }]), "{changes:?}");
    world.admin(AdminRequest::Remove("initech".parse().unwrap()));
    let (roster, page) = world.fetch(a, group);
    assert_eq!((roster.len(), page.accounts, page.digest), (0, 0, ListDigest::default()));
    assert_eq!(page.rows.len(), 2, "removals are rows");
    let info = world.info(b, RequestBody::JoinGroup { group });
    world.list = info.list;
    world.speaks(b, group, "kg", 2, "bob");
    assert_eq!(decided(&world.take(b)).last(), Some(&(2, vec![(2, Condition::NotOnList)])));
}

#[test]
fn only_the_owner_says_what_a_group_is_called_and_who_may_speak() {
    let (mut world, group, [a, b, _]) = World::three();
    let policy = Policy::Announcements;
    let about = |name: &str| About {
        name: name.into(),
        description: "To the\nmoon\u{202E}".into(),
        subject: "Landing".into(),
        policy,
    };
    let refused = |body: ResponseBody| match body {
        ResponseBody::Refused { condition, .. } => Some(condition),
        _ => None,
    };
    let describe = |name: &str| RequestBody::DescribeGroup { group, about: about(name) };
    assert_eq!(refused(world.ask(b, describe("Mine"))), Some(Condition::NotOwner));
    assert_eq!(refused(world.ask(a, describe("\u{200B}"))), Some(Condition::BadRequest));
    world.take(b);
    let info = world.info(a, describe("Artemis"));
    assert_eq!((info.about.name.as_str(), info.about.description.as_str()), ("Artemis", "To the moon"));
    let changes = entries(&world.take(b));
    assert!(matches!(&changes[..], [Entry { change: Change::Described(told), .. }] if *told == *info.about));
    world.list = info.list;
    world.speaks(b, group, "kb", 1, "bob");
    world.speaks(a, group, "ka", 1, "alice");
    assert_eq!(decided(&world.take(b)), [(1, vec![(1, Condition::ReadOnly)])]);

    let transfer = |to: &str| RequestBody::TransferGroup { group, enterprise: to.parse().unwrap() };
    assert_eq!(refused(world.ask(b, transfer("globex"))), Some(Condition::NotOwner));
    assert_eq!(refused(world.ask(a, transfer("hooli"))), Some(Condition::NotAMember));
    assert_eq!(world.info(a, transfer("globex")).owner.as_str(), "globex");
    let mut world = world.restart();
    let (b, _) = world.greet("globex", Vec::new());
    let info = world.info(b, RequestBody::ShowGroup { group });
    assert_eq!((info.owner.as_str(), info.about), ("globex", Box::new(about_kept(policy))));
    world.admin(AdminRequest::Remove("globex".parse().unwrap()));
    let (a, _) = world.greet("acme", Vec::new());
    let info = world.info(a, RequestBody::ShowGroup { group });
    assert_eq!(info.owner.as_str(), "acme", "the group of a removed enterprise goes to its oldest member");
    world.say(a, ToCenter::Resume(Resume { group, after: Seq(0) }));
    let last = entries(&world.take(a)).pop().unwrap();
    assert_eq!(last.change, Change::Owned { enterprise: "acme".parse().unwrap() });
}

fn about_kept(policy: Policy) -> About {
    About { name: "Artemis".into(), description: "To the moon".into(), subject: "Landing".into(), policy }
}

#[test]
fn the_operator_reads_a_list_and_sees_who_keeps_one() {
    let (mut world, group, [a, _, _]) = World::three();
    world.edit(a, group, "acme", 1, vec![on("alice", Role::Speak), on("bob", Role::ReadOnly)]);
    let query = PageQuery { group, since: ListVersion(0), after: None };
    let Some(AdminReply::Members(page)) = world.admin(AdminRequest::ListMembers(query.clone())) else { panic!() };
    assert_eq!(page.rows.len(), 2);
    let Some(AdminReply::Groups(groups)) = world.admin(AdminRequest::ShowGroup(group)) else { panic!() };
    assert_eq!((groups[0].accounts, groups[0].digest, groups[0].list), (2, page.digest, page.version));
    assert_eq!(groups[0].listed, [("acme".parse().unwrap(), 2)].into_iter().collect());
    let unknown = PageQuery { group: GroupNumber(9), ..query };
    assert!(matches!(world.admin(AdminRequest::ListMembers(unknown)), Some(AdminReply::Refused { .. })));
}

/// Numbers that look random and are the same each time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Three companies edit at the same time; the center dies with edits on their way, and they are sent again as gateways do.
#[test]
fn whatever_is_edited_and_whenever_the_center_dies_all_lists_are_equal_in_the_end() {
    let names = ["acme", "globex", "initech"];
    for seed in 0..20 {
        let (mut world, group, mut links) = World::three();
        let mut draw = Draw(seed);
        let mut model = Roster::default();
        let mut log: [Vec<Vec<AccountEdit>>; 3] = Default::default();
        for _ in 0..120 {
            let of = usize::try_from(draw.below(3)).unwrap();
            let mut accounts: Vec<AccountEdit> = Vec::new();
            for user in 0..8 {
                match draw.below(8) {
                    0 => accounts.push(on(&format!("u{user}"), Role::Speak)),
                    1 => accounts.push(on(&format!("u{user}"), Role::ReadOnly)),
                    2 => accounts.push(off(&format!("u{user}"))),
                    _ => {}
                }
            }
            model.apply(&names[of].parse().unwrap(), &accounts);
            log[of].push(accounts.clone());
            world.edit(links[of], group, names[of], log[of].len() as u64, accounts);
            match draw.below(12) {
                // From here on nothing reaches the disk any more.
                0 => world.hold = true,
                1 => {
                    world = world.restart();
                    for (of, name) in names.iter().enumerate() {
                        let given = log[of].len() as u64;
                        let memory = memory(group, Seq(0), Default::default(), &format!("k{}", &name[..1]), given);
                        let (link, welcome) = world.greet(name, vec![memory]);
                        links[of] = link;
                        let decided = usize::try_from(welcome.groups[0].decided.0).unwrap();
                        for (n, accounts) in log[of].iter().enumerate().skip(decided) {
                            world.edit(link, group, name, n as u64 + 1, accounts.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        world.release();
        for link in links {
            world.take(link);
            world.say(link, ToCenter::Resume(Resume { group, after: Seq(0) }));
            let mut streamed = Roster::default();
            for entry in entries(&world.take(link)) {
                if let Change::Listed { enterprise, accounts, digest } = entry.change {
                    streamed.apply(&enterprise, &accounts);
                    assert_eq!(streamed.digest(), digest, "seed {seed}");
                }
            }
            assert_eq!(streamed.digest(), model.digest(), "seed {seed}: no edit is lost, none is undone");
            let (fetched, page) = world.fetch(link, group);
            assert_eq!((fetched.digest(), page.digest), (model.digest(), model.digest()), "seed {seed}");
        }
    }
}
