//! What must be true of the user list at the end: at the center, in every mirror, and of every message at its place.

use std::collections::BTreeMap;

use intergroup_center::store::RecordKind;
use intergroup_gateway::ids::Who;
use intergroup_gateway::store::{Source, Store};
use intergroup_schemas::ids::{AccountId, EnterpriseId, ListDigest, ListVersion, UserId};
use intergroup_schemas::link::{Change, ToGateway, decode};
use intergroup_schemas::list::{AccountRow, Listed, Role, Roster, UserKey, row_hash};

use super::center::COMPANIES;
use super::company::{Firm, GROUP};
use super::moves::Wish;
use super::names::{self, Layout, STRANGER, USERS};
use super::room::Seat;
use super::world::World;

/// The list as the center has it.
pub(super) struct CentersList {
    pub(super) version: ListVersion,
    pub(super) digest: ListDigest,
    pub(super) rows: Vec<AccountRow>,
}

type Part = BTreeMap<UserId, Listed>;

/// Everything that is not as it must be.
pub(super) fn complaints(world: &mut World<Firm>, out: &mut Vec<String>) {
    let Some(list) = world.net.center.list(GROUP) else { return };
    let parts = at_each_place(world, out);
    of_the_center(&list, &parts, world.net.center.plan.layout, out);
    let ended = world.net.center.has_ended();
    for firm in &mut world.companies {
        if !firm.server.ruined && firm.moves.wish == Wish::In && !ended {
            of_the_company(firm, &list, out);
        }
    }
}

/// Goes through the log: nobody edits another's part, and whoever speaks may, by the list at that place.
fn at_each_place(world: &World<Firm>, out: &mut Vec<String>) -> BTreeMap<EnterpriseId, Part> {
    let mut parts: BTreeMap<EnterpriseId, Part> = BTreeMap::new();
    let layout = world.net.center.plan.layout;
    for ((_, seq), record) in world.net.center.book.iter().filter(|((group, _), _)| *group == GROUP) {
        match &record.kind {
            RecordKind::Change(Change::Listed { enterprise, accounts, .. }) => {
                let firms = || layout.of(enterprise.as_str()).map(|at| &world.companies[at]);
                for edit in accounts {
                    if !firms().any(|firm| firm.lists.were_sent(edit)) {
                        out.push(format!("entry {seq}: {enterprise} never said {edit:?}"));
                    }
                    let part = parts.entry(enterprise.clone()).or_default();
                    match &edit.listed {
                        Some(listed) => drop(part.insert(edit.user.clone(), listed.clone())),
                        None => drop(part.remove(&edit.user)),
                    }
                }
                parts.entry(enterprise.clone()).or_default();
            }
            RecordKind::Change(Change::Unlisted { enterprise, .. }) => {
                parts.entry(enterprise.clone()).or_default().clear();
            }
            RecordKind::Message { deliver, .. } => {
                let Ok(ToGateway::Deliver(deliver)) = decode::to_gateway(deliver) else { continue };
                let Some(part) = parts.get(&deliver.enterprise) else { continue };
                if part.get(&deliver.user).is_none_or(|listed| listed.role != Role::Speak) {
                    let (enterprise, user) = (&deliver.enterprise, &deliver.user);
                    out.push(format!("entry {seq}: {enterprise}/{user} speaks and may not by the list at that place"));
                }
            }
            RecordKind::Change(_) => {}
        }
    }
    parts
}

/// The list is what its entries have made of it, and its digest its own.
fn of_the_center(list: &CentersList, parts: &BTreeMap<EnterpriseId, Part>, layout: Layout, out: &mut Vec<String>) {
    let mut roster = Roster::default();
    let mut has: BTreeMap<EnterpriseId, Part> = BTreeMap::new();
    for AccountRow { account, listed, .. } in &list.rows {
        let Some(listed) = listed else { continue };
        let row = (row_hash(&account.enterprise, &account.user, listed), listed.role);
        roster.begin(&account.enterprise);
        roster.put(&account.enterprise, UserKey::of(&account.user), Some(row));
        has.entry(account.enterprise.clone()).or_default().insert(account.user.clone(), listed.clone());
    }
    if roster.digest() != list.digest {
        out.push("the digest of the center's list is not its own".to_owned());
    }
    let mut made = parts.clone();
    made.retain(|_, part| !part.is_empty());
    if made != has {
        out.push(format!("the log makes the list {made:?}, and the center has {has:?}"));
    }
    for (enterprise, part) in &has {
        let people: Vec<String> = layout.of(enterprise.as_str()).flat_map(|me| colleagues(layout, me)).collect();
        for user in part.keys().filter(|user| !people.iter().any(|person| person == user.as_str())) {
            out.push(format!("{user} is on the list of {enterprise}"));
        }
    }
}

/// What those people of a company are called on lists who may be on one.
fn colleagues(layout: Layout, me: usize) -> impl Iterator<Item = String> {
    (0..STRANGER).map(move |user| layout.user_id(me, user))
}

/// The mirror, the company's own part, the room and its puppets.
fn of_the_company(firm: &mut Firm, list: &CentersList, out: &mut Vec<String>) {
    let (name, layout) = (COMPANIES[firm.me], firm.layout);
    let enterprise = layout.enterprise(firm.me);
    let Some(mapping) = firm.mapping() else { return };
    let here = firm.gateway.disk.durable().listed(GROUP, None, usize::MAX).expect("memory can be read");
    let mut here: Vec<AccountRow> = here.into_iter().filter(|row| row.listed.is_some()).collect();
    let mut there: Vec<AccountRow> = list.rows.iter().filter(|row| row.listed.is_some()).cloned().collect();
    here.sort_by(|a, b| a.account.cmp(&b.account));
    there.sort_by(|a, b| a.account.cmp(&b.account));
    if mapping.list_at != Some(list.version) {
        out.push(format!("{name}: its list is of version {:?}, the center's of {}", mapping.list_at, list.version));
    } else if here != there {
        out.push(format!("{name}: its list is {here:?}, the center's {there:?}"));
    }
    let of = |user: &str| {
        let account = AccountId { enterprise: enterprise.parse().expect("an id"), user: user.parse().expect("an id") };
        there.iter().find(|row| row.account == account).and_then(|row| row.listed.as_ref())
    };
    let own = firm.gateway.disk.durable().load().expect("memory can be read").own;
    let everybody = layout.of(enterprise).flat_map(|me| colleagues(layout, me));
    for user in everybody.collect::<Vec<_>>() {
        let (meant, listed) = (own.iter().find(|row| row.user.as_str() == user), of(&user));
        if meant.and_then(|row| row.listed.as_ref()) != listed {
            out.push(format!("{name}: {user} is meant to stand as {meant:?} and stands as {listed:?}"));
        }
    }
    if firm.server.room.remade {
        return;
    }
    let user_id = |user: usize| layout.user_id(firm.me, user);
    out.extend((0..USERS.len()).filter_map(|user| firm.listed_wrong(user, of(&user_id(user)))));
    if firm.source != Source::Occupants {
        for (user, name_of) in USERS.iter().enumerate() {
            if of(&user_id(user)).is_none() && firm.server.room.holds(&names::jid(firm.me, user)) {
                out.push(format!("{name}: {name_of} is not on the list, and reads in the room"));
            }
        }
    }
    if firm.cloned {
        // Who of a second process is still there is seen when the ear comes in next.
        return;
    }
    for occupant in &firm.server.room.occupants {
        let Seat::Ours(mouth) = &occupant.seat else { continue };
        let Who::Puppet(account) = &mouth.who else { continue };
        let listed =
            there.iter().any(|row| row.account.enterprise == account.enterprise && row.account.user == account.user);
        if !listed {
            out.push(format!("{name}: {account} is not on the list, and still in the room"));
        }
    }
}
