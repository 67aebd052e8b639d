//! What must be true at the end, when nothing goes wrong any more: compares what people said with the log and the rooms.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_center::store::{Member, Record, RecordKind};
use intergroup_gateway::ids::{Account, StanzaId, Who};
use intergroup_gateway::store::Store;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::Seq;
use intergroup_schemas::link::{Deliver, ToGateway, decode};

use super::archive::{Author, Entry, text};
use super::center::{COMPANIES, Membership};
use super::company::{Firm, GROUP};
use super::flavour::OccupantIds;
use super::lists_check;
use super::mail;
use super::moves::Wish;
use super::names::{self, STRANGER, USERS};
use super::people::{Kind, Said};
use super::world::World;

/// A message of the log.
struct Logged {
    record: Record,
    deliver: Deliver,
    company: usize,
    user: Option<usize>,
    text: String,
    /// Which of its sender's it is.
    count: usize,
}

/// Everything that is not as it must be.
pub(super) fn complaints(world: &mut World<Firm>) -> Vec<String> {
    let mut out = Vec::new();
    let members: BTreeMap<usize, Member> = members(world);
    let head = world.net.center.book.keys().rfind(|(g, _)| *g == GROUP).map_or(Seq(0), |(_, seq)| *seq);
    // The cheap ones first: as long as they fail, the rest would too.
    for (me, firm) in world.companies.iter_mut().enumerate() {
        if firm.server.ruined {
            continue;
        }
        let name = COMPANIES[me];
        let (member, ended) = (world.net.center.is_member(me), world.net.center.has_ended());
        if let Err(why) = firm.is_as_wished(member, ended) {
            out.push(why);
            continue;
        }
        out.extend(firm.silent_ends());
        if firm.moves.wish != Wish::In || ended {
            continue;
        }
        match (firm.mapping(), members.get(&me)) {
            (Some(m), Some(member)) => {
                if m.decided != m.last_n {
                    out.push(format!("{name}: decided {} of {}", m.decided, m.last_n));
                }
                if member.settled != head || m.settled != head {
                    out.push(format!(
                        "{name}: settled {} here, {} at the center, of {head}",
                        m.settled, member.settled
                    ));
                }
            }
            _ => out.push(format!("{name} is not mapped")),
        }
    }
    if !out.is_empty() {
        return out;
    }
    lists_check::complaints(world, &mut out);
    if !out.is_empty() {
        return out;
    }
    mail::complaints(world, &mut out);
    if !out.is_empty() {
        return out;
    }
    let log = log(world, &mut out);
    let floor = world.net.center.floor(GROUP);
    order_in_log(world, &log, &mut out);
    // What ends a server's stream takes others' words along.
    let poisoned = world.companies.iter().any(|firm| firm.people.said.iter().any(|said| said.kind == Kind::Poison));
    let layout = world.net.center.plan.layout;
    for me in 0..COMPANIES.len() {
        said(&mut world.companies[me], &log, &mut out);
        if !world.companies[me].server.ruined {
            let fates = world.net.center.fates();
            let fates: BTreeMap<Seq, Condition> =
                fates.into_iter().filter(|f| f.member == layout.gateway(me)).map(|f| (f.seq, f.condition)).collect();
            let log_is = Log {
                entries: &log,
                memberships: world.net.center.memberships(me),
                floor,
                restored: world.net.center.restored,
                calm: world.faults.is_empty() && !poisoned,
            };
            room(&world.companies[me], &log_is, &fates, &mut out);
        }
    }
    out
}

fn members(world: &mut World<Firm>) -> BTreeMap<usize, Member> {
    let (all, layout) = (world.net.center.members(), world.net.center.plan.layout);
    let of = |me: usize| all.iter().find(|m| m.group == GROUP && m.gateway == layout.gateway(me)).cloned();
    (0..COMPANIES.len()).filter_map(|me| Some((me, of(me)?))).collect()
}

fn log(world: &World<Firm>, out: &mut Vec<String>) -> Vec<Logged> {
    let mut log: Vec<Logged> = Vec::new();
    let mut seen: BTreeMap<String, Seq> = BTreeMap::new();
    let (mut next, layout) = (0, world.net.center.plan.layout);
    for ((_, seq), record) in world.net.center.book.iter().filter(|((g, _), _)| *g == GROUP) {
        next += 1;
        if seq.0 != next {
            out.push(format!("the log has {seq} where {next} is next"));
            next = seq.0;
        }
        let RecordKind::Message { origin, deliver, .. } = &record.kind else { continue };
        let Ok(ToGateway::Deliver(deliver)) = decode::to_gateway(deliver) else {
            out.push(format!("entry {seq} cannot be read"));
            continue;
        };
        let text = text(&deliver.payload);
        if let Some(before) = seen.insert(text.clone(), *seq) {
            out.push(format!("twice in the log: {text} at {before} and {seq}"));
        }
        let company = (0..COMPANIES.len()).find(|c| layout.gateway(*c) == *origin).unwrap_or(0);
        let user = (0..USERS.len()).find(|user| layout.user_id(company, *user) == deliver.user.as_str());
        let count = text.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        log.push(Logged { record: record.clone(), deliver, company, user, text, count });
    }
    log
}

/// Each sender's messages are in order, but for those that an archive revealed late.
fn order_in_log(world: &World<Firm>, log: &[Logged], out: &mut Vec<String>) {
    if world.net.center.restored {
        // What a restored center is fed back comes behind what it was not.
        return;
    }
    let mut last: BTreeMap<(usize, Option<usize>), usize> = BTreeMap::new();
    for logged in log.iter().filter(|l| !l.deliver.late) {
        let sender = (logged.company, logged.user);
        let said = world.companies[logged.company].people.said.get(logged.count);
        // What is not archived has no place in the archive; a gateway with an older store cannot know what went before.
        // Nor does one of two processes know what the other one has not sent yet.
        let firm = &world.companies[logged.company];
        if firm.gateway.restored || firm.cloned || said.is_some_and(|s| s.id.is_none()) {
            continue;
        }
        let before = last.insert(sender, logged.count);
        if before.is_some_and(|before| before > logged.count) {
            out.push(format!("out of its sender's order in the log: {} at {}", logged.text, logged.record.seq));
        }
    }
}

/// Another branch of the room's own company.
const BRANCH: &str = "branch";

/// Whether nobody else belongs to the group, by what a room's people were told before a place.
fn alone(entries: &[Entry], at: usize, enterprise: &str) -> bool {
    let mut others: Option<BTreeSet<&str>> = None;
    // Who joins beside a branch of another company is told of, too, and changes nothing.
    let branch = format!("nother branch of {enterprise}");
    let known = |words: &str| {
        let company = COMPANIES.into_iter().find(|company| words.starts_with(company));
        company.or_else(|| words[1..].starts_with(&branch).then_some(BRANCH))
    };
    for entry in entries[..at].iter().filter(|entry| entry.author == Author::Ours(Who::Ear)) {
        let text = entry.text();
        if let Some((_, with)) = text.split_once("shared from now on").and_then(|(_, rest)| rest.split_once("with:")) {
            others = Some(with.trim_start().split(", ").filter_map(known).collect());
        }
        let Some(company) = known(&text) else { continue };
        if text.contains("has joined") {
            others.get_or_insert_default().insert(company);
        } else if text.contains("has left") {
            others.get_or_insert_default().remove(company);
        }
    }
    others.is_some_and(|others| others.is_empty())
}

/// What a company's people said, against the log.
fn said(firm: &mut Firm, log: &[Logged], out: &mut Vec<String>) {
    let me = firm.me;
    let entries: Vec<Entry> = firm.server.room.archive.history().cloned().collect();
    let place = |id: &StanzaId| entries.iter().position(|e| e.id == *id);
    let in_log: BTreeMap<&str, &Logged> =
        log.iter().filter(|l| l.company == me).map(|l| (l.text.as_str(), l)).collect();
    for logged in in_log.values() {
        let true_author = firm.people.said.get(logged.count).map(|s| s.user);
        if logged.user != true_author {
            out.push(format!("{} is in the log as of {}", logged.text, logged.deliver.user));
        }
    }
    for said in &firm.people.said.clone() {
        let is_in = in_log.contains_key(said.text.as_str());
        let may = said.user != STRANGER && !matches!(said.kind, Kind::Encrypted | Kind::Chatter);
        let speaks = firm.might_speak(said);
        if is_in && speaks == Some(false) {
            out.push(format!("{} crossed, though its author was not to speak", said.text));
        }
        let may = may && speaks == Some(true);
        if is_in && !may && speaks.is_some() {
            out.push(format!("{} crossed and must not ({:?})", said.text, said.kind));
        }
        let at = said.id.as_ref().and_then(&place);
        let shared = at.and_then(|at| firm.shared_at(&entries, at));
        if is_in && shared.is_some_and(|(_, may)| !may) {
            out.push(format!("{} was said while its room was not shared and crossed", said.text));
        }
        let alone = at.is_some_and(|at| alone(&entries, at, firm.layout.enterprise(me)));
        // What a server forgets of such lines is not said again.
        // Nor is the line that the last other company has left known again by a gateway that forgot to have said it; what
        // crosses then is for nobody.
        let left = entries.iter().any(|e| e.text().contains("has left"));
        if is_in && alone && !left && firm.server.room.archive.lost.is_empty() {
            out.push(format!("{} was said while nobody else belonged to the group and crossed", said.text));
        }
        let expired = firm.server.room.archive.expired.iter().any(|e| Some(&e.id) == said.id.as_ref());
        let given_up = firm.moves.happened() && firm.refused.contains(&said.text)
            || said.id.as_ref().is_some_and(|id| firm.moves.parked.contains(id));
        let must = may && shared.is_some_and(|(must, _)| must) && !alone && attributable(firm, said) && !given_up;
        if must && !is_in && !firm.server.ruined && !expired {
            out.push(format!("{} never reached the log", said.text));
        }
        // An end of a mapping comes before the next look at its archive.
        if must && !is_in && expired && !gap_is_reported(firm) && !firm.moves.happened() {
            out.push(format!("{} left the archive unread, and nobody was told", said.text));
        }
    }
}

/// A mapping ended while the archive had let go of what was said in it.
fn forgets_early(firm: &Firm) -> bool {
    firm.moves.happened() && !firm.server.room.archive.expired.is_empty()
}

/// The administrator knows that the archive did not keep enough.
fn gap_is_reported(firm: &Firm) -> bool {
    firm.gateway.alarms.iter().any(|alarm| alarm.contains("no longer reaches back"))
}

/// Whether the gateway can know who said it, however long it was away.
fn attributable(firm: &mut Firm, said: &Said) -> bool {
    let flavour = &firm.server.room.flavour;
    if flavour.jids_in_archive || flavour.occupant_ids != OccupantIds::Stable {
        return flavour.jids_in_archive;
    }
    // Who may not come in any more is not seen again.
    let parked = firm.gateway.disk.durable().load().expect("memory can be read").parked;
    let waits = parked.iter().any(|row| Some(&row.id) == said.id.as_ref());
    !waits || firm.server.room.holds(&names::jid(firm.me, said.user))
}

/// The log, and what else is known of it.
struct Log<'a> {
    entries: &'a [Logged],
    /// When the company belonged to the group.
    memberships: Vec<Membership>,
    /// Up to here its entries are gone; who did not have them is told.
    floor: Seq,
    restored: bool,
    /// Nothing went wrong at all.
    calm: bool,
}

/// A company's room, against the log.
fn room(firm: &Firm, log: &Log<'_>, fates: &BTreeMap<Seq, Condition>, out: &mut Vec<String>) {
    let name = COMPANIES[firm.me];
    let mut there: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
    for entry in firm.server.room.archive.history() {
        if let Author::Ours(_) = entry.author {
            there.entry(entry.text()).or_default().push(entry);
        }
    }
    let mut known: BTreeMap<&str, &Logged> = BTreeMap::new();
    let expired = &firm.server.room.archive.expired;
    let gone = |entry: &Entry| expired.iter().any(|e| e.id == entry.id);
    let forgotten: BTreeSet<String> = firm.server.room.archive.lost.iter().map(Entry::text).collect();
    let told = there.keys().any(|text| text.contains("were not kept long enough"));
    for logged in log.entries {
        known.insert(&logged.text, logged);
        let copies = there.get(&logged.text).map_or(&[][..], Vec::as_slice);
        let seq = logged.record.seq;
        if logged.company == firm.me {
            if !copies.is_empty() {
                out.push(format!("{name}: its own {} came back", logged.text));
            }
            continue;
        }
        let poisonous = |l: &Logged| l.text.starts_with("poison") && firm.server.room.flavour.poisonable;
        let belonged = log.memberships.iter().find(|m| seq > m.from && m.until.is_none_or(|until| seq < until));
        let announced = belonged.is_some_and(|m| logged.record.list >= m.list);
        let spans = &firm.moves.spans;
        // The last entries of a group are delivered whatever comes next; of a mapping that was ended, what it had taken.
        let is_mapped = spans.iter().any(|s| seq > s.from && (s.gone.is_none() || seq <= s.to));
        let is_open = spans.iter().any(|s| seq > s.from && s.gone.is_none());
        let perhaps = !is_mapped && copies.len() == 1 && spans.iter().any(|s| s.gone.is_some() && seq > s.to);
        if announced && perhaps {
            continue;
        }
        match (announced && is_mapped, fates.get(&seq), copies) {
            (true, None, [one]) => voice(name, logged, one, out),
            (true, None, []) if firm.server.emptied && !firm.gateway.alarms.is_empty() => {}
            // What was said there is known to nobody; without any fault it is there nevertheless.
            (true, None, []) if !firm.server.room.flavour.archive && (!log.calm || poisonous(logged)) => {}
            (true, None, []) if gap_is_reported(firm) && forgotten.contains(&logged.text) => {}
            // Nobody puts back what a server forgets of a mapping that has ended.
            (true, None, []) if forgotten.contains(&logged.text) && !is_open => {}
            // A refusal goes with its entry.
            (true, None, []) if seq <= log.floor && (told || firm.server.may_refuse || poisonous(logged)) => {}
            (true, None, []) => out.push(format!("{name}: {} (entry {seq}) is not in the room", logged.text)),
            (false, _, []) => {}
            (false, _, _) => out.push(format!("{name}: {} was not for this room", logged.text)),
            // An older store cannot know there what it said since, but for what it had told the center.
            (_, _, [_, _, ..])
                if !firm.server.room.flavour.archive
                    && (log.restored || firm.gateway.told_at_restore.is_some_and(|told| seq > told)) => {}
            // Two processes in one room cannot see what the other one is about to say.
            (_, _, [_, _, ..]) if firm.cloned => {}
            // Of what was in doubt when its place had gone nobody can know whether it was there.
            (_, _, [old @ .., _])
                if !old.is_empty()
                    && (gap_is_reported(firm) || firm.moves.happened())
                    && old.iter().all(|e| gone(e)) => {}
            (_, _, [_, _, ..]) => {
                out.push(format!("{name}: {} is {} times in the room", logged.text, copies.len()));
            }
            (true, Some(condition), copies) => {
                let poisoned = poisonous(logged);
                // It went from the log before the member had settled it; it may have been on its way into the room.
                let expired = *condition == Condition::Expired && seq <= log.floor;
                if !poisoned && !expired && !firm.server.may_refuse {
                    out.push(format!("{name}: refused {} as {} for no reason", logged.text, condition.as_str()));
                }
                if !copies.is_empty()
                    && !expired
                    && !firm.gateway.restored
                    && !firm.cloned
                    && !log.restored
                    && !gap_is_reported(firm)
                {
                    out.push(format!("{name}: {} is in the room and was refused", logged.text));
                }
            }
        }
    }
    for text in there.keys().filter(|t| t.contains("-alice-") || t.contains("-bob-") || t.contains("-carol-")) {
        if !known.contains_key(text.as_str()) {
            out.push(format!("{name}: {text} is in the room and not in the log"));
        }
    }
    order_in_room(firm, &known, log.restored, out);
}

fn voice(name: &str, logged: &Logged, entry: &Entry, out: &mut Vec<String>) {
    let account = Account { enterprise: logged.deliver.enterprise.clone(), user: logged.deliver.user.clone() };
    let right = match &entry.author {
        Author::Ours(Who::Puppet(who)) => *who == account,
        Author::Ours(Who::Ear) => entry.prefix.as_ref().is_some_and(|p| !p.starts_with('[')),
        Author::Person(_) => false,
    };
    if !right {
        out.push(format!("{name}: {} was said by {:?}", logged.text, entry.author));
    }
}

/// Foreign messages stand in the log's order, but for those marked late; each sender's stand in its order.
fn order_in_room(firm: &Firm, known: &BTreeMap<&str, &Logged>, center_restored: bool, out: &mut Vec<String>) {
    // A gateway with an older store may say now what it refused then.
    if center_restored || firm.gateway.restored || firm.cloned || gap_is_reported(firm) || forgets_early(firm) {
        return;
    }
    let name = COMPANIES[firm.me];
    let mut last = Seq(0);
    let mut of_sender: BTreeMap<(usize, Option<usize>), Seq> = BTreeMap::new();
    for entry in firm.server.room.archive.history() {
        let said = entry.text();
        let Some(logged) = known.get(said.as_str()).filter(|_| matches!(entry.author, Author::Ours(_))) else {
            continue;
        };
        let seq = logged.record.seq;
        if !entry.delayed {
            if seq < last {
                out.push(format!("{name}: {said} (entry {seq}) stands behind entry {last} and is not marked late"));
            }
            last = last.max(seq);
        }
        let before = of_sender.entry((logged.company, logged.user)).or_default();
        if seq < *before {
            out.push(format!("{name}: {said} (entry {seq}) is out of its sender's order"));
        }
        *before = seq;
    }
}
