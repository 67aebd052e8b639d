//! Who may speak: owners of rooms and administrators change it while people talk, and every change is noted with the time in
//! which it may have begun to count.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_gateway::bridge::{Affiliation, Command, CommandId, PersonEdit, Reply};
use intergroup_gateway::ids::StanzaId;
use intergroup_gateway::store::{Change, Source};
use intergroup_schemas::link::Edit;
use intergroup_schemas::list::{AccountEdit, Listed, Role};

use super::center::COMPANIES;
use super::company::{Firm, GROUP, Wake};
use super::names::{self, STRANGER, USERS};
use super::net::Net;
use super::people::Said;
use super::rng::Rng;

/// Something is done about a person.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    /// An owner of the room changes an affiliation, with a client.
    Affiliation(Affiliation),
    /// An administrator gives a role.
    Role(Role),
    /// An administrator takes the person off the list.
    Remove,
    /// An administrator puts the person on the list.
    Add,
}

/// How a person stands, as far as one can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stand {
    /// Taken off by an administrator: coming is not enough.
    barred: bool,
    affiliation: Affiliation,
    /// Where commands alone say who is on the list: whether they have put the person there. None: nobody can tell.
    named: Option<bool>,
    /// None: a command was not answered, or its answer was forgotten.
    role: Option<Role>,
}

/// A change that began to count somewhere between two instants.
#[derive(Debug)]
struct Span {
    user: usize,
    from: i64,
    /// None: nobody knows whether it ever did.
    to: Option<i64>,
    before: Stand,
    after: Stand,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lists {
    spans: Vec<Span>,
    /// Commands that wait for their answer, by the gateway's life.
    asked: BTreeMap<(u64, CommandId), usize>,
    /// When a message was dealt with last.
    dealt: BTreeMap<StanzaId, i64>,
    /// Edits that left for the center.
    sent: Vec<AccountEdit>,
    /// When an owner banned each person last.
    banned: BTreeMap<usize, i64>,
}

/// After so long, in milliseconds, a running gateway has heard of what an owner did.
const HEARD_WITHIN: i64 = 90_000;

impl Lists {
    /// The accounts stood so in some edit of this company.
    /// Somebody's standing has changed in this schedule.
    pub(super) fn has_turned(&self) -> bool {
        !self.spans.is_empty()
    }

    pub(super) fn were_sent(&self, edit: &AccountEdit) -> bool {
        self.sent.contains(edit)
    }

    pub(super) fn note_sent(&mut self, edit: &Edit) {
        for account in &edit.accounts {
            if !self.sent.contains(account) {
                self.sent.push(account.clone());
            }
        }
    }

    /// What has been dealt with is on disk.
    pub(super) fn note_dealt(&mut self, now: i64, changes: &[&Change]) {
        for change in changes {
            if let Change::Seen { id, .. } | Change::ParkedGone { id, .. } = change {
                self.dealt.insert(id.clone(), now);
            }
        }
    }

    fn stand(&self, user: usize, source: Source) -> Stand {
        let last = self.spans.iter().rev().find(|span| span.user == user);
        last.map_or_else(|| Stand::first(user, source), |span| span.after)
    }

    /// Those whom no command has put on the list yet, as far as one knows.
    fn unnamed(&self) -> impl Iterator<Item = usize> {
        (0..STRANGER).filter(|user| !self.spans.iter().any(|span| span.user == *user && span.to.is_some()))
    }

    /// Changes that this life of the gateway has still to answer for.
    fn asked_of(&self, life: u64) -> BTreeSet<usize> {
        self.asked.iter().filter(|((of, _), _)| *of == life).map(|(_, at)| *at).collect()
    }
}

impl Stand {
    fn first(user: usize, source: Source) -> Self {
        let member = source == Source::Affiliations && user != STRANGER;
        let affiliation = if member { Affiliation::Member } else { Affiliation::None };
        Self { barred: false, affiliation, named: Some(false), role: Some(Role::Speak) }
    }

    /// None: nobody can tell.
    fn is_member(self, source: Source) -> Option<bool> {
        match (source, self.affiliation) {
            (Source::Explicit, _) => self.named,
            (_, Affiliation::Outcast) => Some(false),
            (_, Affiliation::None) => Some(source == Source::Occupants && !self.barred),
            _ => Some(!self.barred),
        }
    }

    /// Whether words cross; none: nobody can tell.
    fn speaks(self, source: Source) -> Option<bool> {
        if self.is_member(source)? { self.role.map(|role| role == Role::Speak) } else { Some(false) }
    }

    /// The same where commands alone put people on the list, and bans take them off it.
    fn turned_by_command(self, turn: Turn) -> Self {
        let unknown = Self { named: None, role: None, ..self };
        match turn {
            // A gateway that is away may never hear of it.
            Turn::Affiliation(Affiliation::Outcast) => Self { affiliation: Affiliation::Outcast, ..unknown },
            Turn::Affiliation(affiliation) => Self { affiliation, ..self },
            Turn::Role(role) => Self { role: (self.named == Some(true)).then_some(role), ..self },
            Turn::Remove => Self { named: Some(false), ..self },
            // The ban may be heard after the command.
            Turn::Add if self.affiliation == Affiliation::Outcast => Self { affiliation: Affiliation::None, ..unknown },
            Turn::Add => Self { named: Some(true), role: Some(Role::Speak), ..self },
        }
    }

    /// How one stands after that.
    fn turned(self, turn: Turn, source: Source) -> Self {
        if source == Source::Explicit {
            return self.turned_by_command(turn);
        }
        let is_member = self.is_member(source) == Some(true);
        let next = match turn {
            Turn::Affiliation(affiliation) => Self { affiliation, ..self },
            // The room has put the person out, and the gateway may not know yet.
            Turn::Role(role) => Self { role: is_member.then_some(role), ..self },
            Turn::Remove => Self { barred: true, affiliation: Affiliation::Outcast, ..self },
            Turn::Add if self.barred || self.affiliation == Affiliation::Outcast => {
                Self { barred: false, affiliation: Affiliation::None, role: Some(Role::Speak), ..self }
            }
            Turn::Add => Self { role: Some(Role::Speak), ..self },
        };
        // Who goes and comes again begins anew, unless nobody saw it.
        let went = next.is_member(source) != Some(true) && self.role != Some(Role::Speak);
        if went { Self { role: None, ..next } } else { next }
    }
}

impl Firm {
    /// Draws what will be done about people, with a chance of its own: schedules without it stay what they are.
    pub(super) fn will_change_lists(&mut self, net: &mut Net<Wake>, rng: &mut Rng, span_ms: i64) {
        for _ in 0..rng.range(1, 6) {
            let (at, user) = (rng.range(0, span_ms), rng.index(USERS.len()));
            let role = *rng.pick(&[Role::ReadOnly, Role::ReadOnly, Role::Speak]);
            use Source::{Affiliations, Explicit, Occupants};
            let turn = match (rng.below(4), self.source) {
                (0, Affiliations) => Turn::Affiliation(Affiliation::Outcast),
                (1, Affiliations) => Turn::Affiliation(Affiliation::None),
                (0, Occupants) => *rng.pick(&[Turn::Affiliation(Affiliation::Outcast), Turn::Remove]),
                (1, Occupants) => *rng.pick(&[Turn::Affiliation(Affiliation::None), Turn::Add]),
                (2, Affiliations) => Turn::Affiliation(Affiliation::Member),
                (2, Occupants) => Turn::Affiliation(Affiliation::None),
                (0, Explicit) => Turn::Remove,
                (1, Explicit) => Turn::Add,
                (2, Explicit) => {
                    let owners = [Affiliation::Member, Affiliation::None, Affiliation::Outcast];
                    Turn::Affiliation(*rng.pick(&owners))
                }
                _ => Turn::Role(role),
            };
            net.wake(self.me, at, Wake::Turn(user, turn));
        }
    }

    /// Whether commands have put everybody on the list, where nothing else does.
    pub(super) fn everybody_is_named(&self) -> bool {
        self.source != Source::Explicit || self.lists.unnamed().next().is_none()
    }

    /// The administrator puts people on the list, one after the other, until each is; whether there are others.
    pub(super) fn name_somebody(&mut self, net: &mut Net<Wake>) -> bool {
        let asked = self.lists.asked_of(self.gateway.life);
        if self.source == Source::Explicit && asked.is_empty() && self.mapping().is_some() {
            let next = self.lists.unnamed().next();
            if let Some(user) = next {
                self.turn_person(net, user, Turn::Add);
            }
        }
        !self.everybody_is_named()
    }

    pub(super) fn turn_person(&mut self, net: &mut Net<Wake>, user: usize, turn: Turn) {
        let before = self.lists.stand(user, self.source);
        let mut after = before.turned(turn, self.source);
        let (from, name) = (net.now, COMPANIES[self.me]);
        let just_banned = self.lists.banned.get(&user).is_some_and(|at| from - at < HEARD_WITHIN);
        if self.source == Source::Explicit && matches!(turn, Turn::Add) && just_banned {
            (after.named, after.role) = (None, None);
        }
        let jid = names::jid(self.me, user);
        let person = jid.to_string();
        let command = match turn {
            Turn::Affiliation(affiliation) => {
                if self.server.up && self.server.room.exists && !self.server.room.remade {
                    net.say(|| format!("{name} room: {person} is {affiliation:?} from now on"));
                    net.coverage.note("people", "affiliation changes");
                    if affiliation == Affiliation::Outcast {
                        self.lists.banned.insert(user, from);
                    }
                    let mut out = Vec::new();
                    self.server.room.affiliate(&jid, affiliation, &mut out);
                    self.lists.spans.push(Span { user, from, to: Some(from), before, after });
                    self.route(net, out);
                }
                return;
            }
            _ if user == STRANGER => return,
            Turn::Role(role) => Command::Role { group: GROUP, person, role },
            Turn::Remove => Command::Edit { group: GROUP, people: vec![PersonEdit { person, listed: None }] },
            Turn::Add => {
                let display = USERS[user].parse().expect("a display name");
                let listed = Some(Listed { display, role: Role::Speak });
                Command::Edit { group: GROUP, people: vec![PersonEdit { person, listed }] }
            }
        };
        if self.gateway.bridge.is_none() || self.gateway.is_frozen || self.twin.is_some() {
            return;
        }
        net.coverage.note("people", "command about a person");
        if self.source == Source::Explicit {
            net.coverage.note("people", "command about a person of a list kept by command");
        }
        self.lists.spans.push(Span { user, from, to: None, before, after });
        let id = CommandId(self.gateway.commands + 1);
        self.lists.asked.insert((self.gateway.life, id), self.lists.spans.len() - 1);
        let sent = self.command(net, command);
        debug_assert_eq!(sent, id);
    }

    /// An administrator has an answer.
    pub(super) fn person_is_turned(&mut self, net: &Net<Wake>, id: CommandId, reply: &Reply) {
        let Some(at) = self.lists.asked.remove(&(self.gateway.life, id)) else { return };
        let span = &mut self.lists.spans[at];
        span.to = Some(net.now);
        if let Reply::Refused { .. } = reply {
            let (user, undone) = (span.user, span.before);
            span.after = undone;
            // What came after it built on it.
            if self.lists.spans[at + 1..].iter().any(|later| later.user == user) {
                self.lists.spans[at].to = None;
            }
        } else if span.after.named.is_some() && self.source == Source::Explicit {
            // Whatever became of commands of earlier lives, from here on this one counts.
            let (user, asked) = (span.user, self.lists.asked_of(self.gateway.life));
            for (number, earlier) in self.lists.spans[..at].iter_mut().enumerate() {
                if earlier.user == user && earlier.to.is_none() && !asked.contains(&number) {
                    earlier.to = Some(net.now);
                }
            }
        }
    }

    /// Whether the words of a message were to cross by what the person might do from when it was said to when it was dealt
    /// with; none: that changed meanwhile, or nobody can tell.
    pub(super) fn might_speak(&self, said: &Said) -> Option<bool> {
        let dealt = said.id.as_ref().and_then(|id| self.lists.dealt.get(id)).copied();
        let of_user = || self.lists.spans.iter().filter(|span| span.user == said.user);
        let until = |span: &Span| span.to.unwrap_or(i64::MAX);
        let overlaps = |span: &Span| span.from <= dealt.unwrap_or(i64::MAX) && until(span) >= said.at;
        if of_user().any(overlaps) {
            return None;
        }
        let last = of_user().take_while(|span| span.from < said.at).last();
        let stand = last.map_or_else(|| Stand::first(said.user, self.source), |span| span.after);
        // A restored gateway may have forgotten the command.
        let forgets = self.gateway.restored || self.cloned || self.moves.happened();
        if forgets && of_user().next().is_some() { None } else { stand.speaks(self.source) }
    }

    /// What is not as it should be with a person on the list, at the end.
    pub(super) fn listed_wrong(&self, user: usize, listed: Option<&Listed>) -> Option<String> {
        let room = &self.server.room;
        let closed = self.source != Source::Occupants;
        let jid = names::jid(self.me, user);
        let affiliation = room.affiliations.get(&jid.to_string()).copied().unwrap_or(Affiliation::None);
        let is_member = matches!(affiliation, Affiliation::Member | Affiliation::Admin | Affiliation::Owner);
        // Where commands say who is on the list, the room is made to fit.
        let wants = match (closed, affiliation) {
            // A ban that another process heard is found when the lists are read again.
            (_, Affiliation::Outcast) => (!self.cloned).then_some(false),
            (true, _) => Some(is_member),
            // Who came in unseen, while another connection took our stanzas, is seen with the next word that an archive keeps.
            (false, _) => (room.holds(&jid) && !self.cloned && !self.server.lost_copies).then_some(true),
        };
        let (name, who) = (COMPANIES[self.me], USERS[user]);
        if user == STRANGER {
            return (closed && is_member).then(|| format!("{name}: {who} is no colleague and a member of the room"));
        }
        let certain = !self.gateway.restored && !self.cloned && !self.moves.happened();
        // A branch whose store does not know any more whom it put on the list leaves them to the other one.
        let shares = self.layout.of(self.layout.enterprise(self.me)).count() > 1;
        let wants = wants.filter(|wants| *wants || certain || !shares);
        if wants.is_some_and(|wants| wants != listed.is_some()) {
            return Some(format!("{name}: {who} is {affiliation:?} in the room and stands as {listed:?} on the list"));
        }
        let of_user: Vec<&Span> = self.lists.spans.iter().filter(|span| span.user == user).collect();
        let certain = certain && of_user.iter().all(|span| span.to.is_some());
        if let Some(last) = of_user.last().filter(|_| certain && self.source == Source::Explicit)
            && last.after.named.is_some_and(|named| named != listed.is_some())
        {
            return Some(format!("{name}: commands left {who} {last:?}, and the list has {listed:?}"));
        }
        match (of_user.last(), listed) {
            (Some(last), Some(listed)) if certain && last.after.role.is_some_and(|role| role != listed.role) => {
                Some(format!("{name}: {who} was given {:?} and has {:?}", last.after.role, listed.role))
            }
            _ => None,
        }
    }
}
