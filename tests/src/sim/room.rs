//! The model room: occupants, nicks, affiliations and reflections, as XEP-0045 and the real servers have them.

use std::collections::BTreeMap;

use intergroup_gateway::bridge::{
    Affiliation, Answer, Content, Gone, Refusal, Role, RoomAction, RoomEvent, RoomInfo, RoomMessage,
};
use intergroup_gateway::ids::{BareJid, MessageId, Mouth, Nick, OccupantId, StanzaId, Who};

use super::archive::{Archive, Author, Entry, text};
use super::flavour::{Flavour, OccupantIds};
use super::mail::Eyes;

/// Who is in: a person, or one of ours in one life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seat {
    Person(BareJid),
    Ours(Mouth),
}

/// An occupant.
#[derive(Debug, Clone)]
pub(super) struct Occupant {
    pub(super) seat: Seat,
    pub(super) nick: Nick,
}

/// A stanza on its way to the gateway: to whom, and what it comes to.
pub(super) type Out = (Option<Mouth>, RoomEvent);

/// See the module.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) flavour: Flavour,
    pub(super) exists: bool,
    /// Made anew by a join: open, and without archive.
    pub(super) remade: bool,
    pub(super) occupants: Vec<Occupant>,
    pub(super) affiliations: BTreeMap<String, Affiliation>,
    pub(super) archive: Archive,
    pub(super) most_occupants: usize,
    pub(super) members_only: bool,
    pub(super) eyes: Eyes,
    /// Ids of what ours said here, for those who forge.
    pub(super) our_ids: Vec<MessageId>,
    /// Which occupant-ids are given now.
    salt: u64,
}

/// The key of an account in the list of affiliations, and of its occupant-id.
fn bare(seat: &Seat) -> String {
    match seat {
        Seat::Person(jid) => jid.to_string(),
        Seat::Ours(mouth) => who(&mouth.who),
    }
}

fn who(who: &Who) -> String {
    match who {
        Who::Ear => "gateway@groups".to_owned(),
        Who::Puppet(account) => format!("{account}@groups"),
    }
}

fn refusal(condition: &str) -> Refusal {
    Refusal { condition: condition.into(), text: "".into() }
}

impl Room {
    pub(super) fn new(flavour: Flavour) -> Self {
        Self {
            members_only: flavour.members_only,
            flavour,
            exists: true,
            remade: false,
            occupants: Vec::new(),
            affiliations: BTreeMap::new(),
            archive: Archive::default(),
            most_occupants: usize::MAX,
            eyes: Eyes::default(),
            our_ids: Vec::new(),
            salt: 0,
        }
    }

    // ------------------------------------------------------------ what people do

    /// A person comes in; says whether it worked.
    pub(super) fn join(&mut self, jid: &BareJid, nick: &Nick, out: &mut Vec<Out>) -> bool {
        let seat = Seat::Person(jid.clone());
        let taken = self.occupants.iter().any(|o| o.nick == *nick && bare(&o.seat) != bare(&seat));
        let kept_out = match self.affiliation(&seat) {
            Affiliation::Outcast => true,
            Affiliation::None => self.members_only && !self.remade,
            _ => false,
        };
        if !self.exists || taken || kept_out || self.find(&seat).is_some() {
            return false;
        }
        self.occupants.push(Occupant { seat: seat.clone(), nick: nick.clone() });
        self.eyes.comes(jid);
        self.show(&seat, nick, out);
        true
    }

    pub(super) fn leave(&mut self, seat: &Seat, how: &Gone, out: &mut Vec<Out>) {
        let Some(at) = self.find(seat) else { return };
        let Occupant { nick, .. } = self.occupants.remove(at);
        if let Seat::Ours(mouth) = seat {
            out.push((Some(mouth.clone()), RoomEvent::Out { mouth: mouth.clone(), how: how.clone() }));
        }
        // Who sits here with several resources is gone with the last of them.
        if !self.occupants.iter().any(|o| o.nick == nick) {
            self.tell_ears(&RoomEvent::Gone { nick, how: how.clone() }, out);
        }
    }

    pub(super) fn rename(&mut self, jid: &BareJid, new: &Nick, out: &mut Vec<Out>) {
        let seat = Seat::Person(jid.clone());
        if self.occupants.iter().any(|o| o.nick == *new) {
            return;
        }
        let Some(at) = self.find(&seat) else { return };
        let old = std::mem::replace(&mut self.occupants[at].nick, new.clone());
        self.tell_ears(&RoomEvent::Gone { nick: old, how: Gone::Renamed(new.clone()) }, out);
        self.show(&seat, new, out);
    }

    /// A person says something; the entry's id when it was archived.
    pub(super) fn say(
        &mut self,
        jid: &BareJid,
        id: MessageId,
        content: Content,
        archived: bool,
        now: i64,
        out: &mut Vec<Out>,
    ) -> Option<StanzaId> {
        let at = self.find(&Seat::Person(jid.clone()))?;
        let occupant = self.occupants[at].clone();
        let entry = self.entry(&occupant, id, content, now);
        self.is_seen(&entry);
        if archived {
            self.archive.push(&self.flavour, entry.clone());
        }
        let stanza_id = (archived && self.flavour.archive).then(|| entry.id.clone());
        let message = RoomMessage { stanza_id: stanza_id.clone(), ..entry.live() };
        self.tell_ears(&RoomEvent::Message(message), out);
        stanza_id
    }

    pub(super) fn kick(&mut self, who: &Who, out: &mut Vec<Out>) {
        self.put_out(who, &Gone::Kicked, out);
    }

    pub(super) fn ban(&mut self, account: &Who, out: &mut Vec<Out>) {
        self.affiliations.insert(who(account), Affiliation::Outcast);
        if !self.put_out(account, &Gone::Banned, out) && *account != Who::Ear {
            let Who::Puppet(_) = account else { return };
            let real = BareJid::from(who(account).as_str());
            let (ours, affiliation) = (Some(account.clone()), Affiliation::Outcast);
            self.tell_ears(&RoomEvent::AffiliationChanged { real, ours, affiliation }, out);
        }
    }

    fn put_out(&mut self, who: &Who, how: &Gone, out: &mut Vec<Out>) -> bool {
        let ours = |o: &&Occupant| matches!(&o.seat, Seat::Ours(m) if m.who == *who);
        let seats: Vec<Seat> = self.occupants.iter().filter(ours).map(|o| o.seat.clone()).collect();
        for seat in &seats {
            self.leave(seat, how, out);
        }
        !seats.is_empty()
    }

    pub(super) fn destroy(&mut self, out: &mut Vec<Out>) {
        for seat in self.occupants.iter().map(|o| o.seat.clone()).collect::<Vec<_>>() {
            self.leave(&seat, &Gone::Destroyed, out);
        }
        self.exists = false;
        self.affiliations.clear();
    }

    /// The server's process ends. Returns the people who were in.
    pub(super) fn stop(&mut self, graceful: bool, now: i64, tail_ms: i64) {
        if !(graceful && self.flavour.keeps_occupants) {
            self.occupants.clear();
        }
        self.occupants.retain(|o| matches!(o.seat, Seat::Ours(_)));
        self.eyes.forget();
        if self.flavour.occupant_ids == OccupantIds::ChangeAtRestart {
            self.salt += 1;
        }
        if !graceful && self.flavour.loses_tail {
            self.archive.lose_tail(now - tail_ms);
        }
    }

    // ------------------------------------------------------------ what the gateway does

    /// Works off one stanza of the gateway. False: the stream ends for it.
    pub(super) fn act(&mut self, action: RoomAction, now: i64, out: &mut Vec<Out>) -> bool {
        let answer = |request, answer| (None, RoomEvent::Answer { request, answer });
        match action {
            RoomAction::Enter { mouth, nick } => self.enter(mouth, nick, out),
            RoomAction::Leave { mouth } => self.leave(&Seat::Ours(mouth), &Gone::Left, out),
            RoomAction::Say { mouth, id, payload, prefix, delay } => {
                if self.flavour.poisonable && text(&payload).contains("poison") {
                    return false;
                }
                let Some(at) = self.find(&Seat::Ours(mouth.clone())) else {
                    let refusal = refusal("not-acceptable");
                    out.push((Some(mouth.clone()), RoomEvent::SayRefused { mouth, id, refusal }));
                    return true;
                };
                let occupant = self.occupants[at].clone();
                self.our_ids.push(id.clone());
                let entry = Entry {
                    prefix: prefix.map(|p| p.to_string()),
                    delayed: delay.is_some(),
                    ..self.entry(&occupant, id, Content::Speech(payload), now)
                };
                self.is_seen(&entry);
                let mut message = entry.live();
                if self.remade || !self.flavour.archive {
                    message.stanza_id = None;
                }
                if !self.remade {
                    self.archive.push(&self.flavour, entry);
                }
                self.tell_ears(&RoomEvent::Message(message), out);
            }
            RoomAction::Tell { .. } | RoomAction::SetSubject { .. } | RoomAction::Probe { .. } => {}
            RoomAction::Send { to, id, payload, .. } => {
                if self.flavour.poisonable && text(&payload).contains("poison") {
                    return false;
                }
                self.eyes.mail.push((to, id, text(&payload)));
            }
            RoomAction::Info { request } => {
                let info = RoomInfo {
                    archive: !self.remade && self.flavour.archive,
                    occupant_ids: self.flavour.occupant_ids != OccupantIds::None,
                    members_only: self.members_only && !self.remade,
                    persistent: !self.remade,
                    moderated: false,
                    non_anonymous: false,
                };
                let found = if self.exists { Ok(Answer::Info(info)) } else { Err(refusal("item-not-found")) };
                out.push(answer(request, found));
            }
            RoomAction::ReadArchive { request, ear, from, max } => {
                let seated = self.find(&Seat::Ours(ear)).is_some();
                self.archive.expire(&self.flavour, now);
                let page = match self.exists && self.flavour.archive {
                    true => self.archive.read(&self.flavour, &from, max, seated),
                    false => Err(refusal("item-not-found")),
                };
                out.push(answer(request, page));
            }
            RoomAction::Ping { request, mouth } => {
                let seated = self.find(&Seat::Ours(mouth)).is_some();
                let pong = if seated { Ok(Answer::Done) } else { Err(refusal("not-acceptable")) };
                out.push(answer(request, pong));
            }
            RoomAction::Fence { request } => out.push(answer(request, Ok(Answer::Done))),
            RoomAction::SetMember { request, who: member } => {
                self.affiliations.insert(who(&member), Affiliation::Member);
                out.push(answer(request, Ok(Answer::Done)));
            }
            RoomAction::ReadAffiliations { request, affiliation } => {
                let people =
                    self.affiliations.iter().filter(|(jid, a)| **a == affiliation && !jid.ends_with("@groups"));
                let people = people.map(|(jid, _)| BareJid::from(jid.as_str())).collect();
                out.push(answer(request, Ok(Answer::People(people))));
            }
            RoomAction::SetAffiliation { request, account, affiliation } => {
                self.affiliate(&account, affiliation, out);
                out.push(answer(request, Ok(Answer::Done)));
            }
            RoomAction::MakeMembersOnly { request } => {
                self.members_only = true;
                for seat in self.occupants.iter().map(|o| o.seat.clone()).collect::<Vec<_>>() {
                    if self.affiliation(&seat) == Affiliation::None {
                        self.leave(&seat, &Gone::Removed, out);
                    }
                }
                out.push(answer(request, Ok(Answer::Done)));
            }
            RoomAction::PutOut { request, nick } => {
                if let Some(seat) = self.occupants.iter().find(|o| o.nick == nick).map(|o| o.seat.clone()) {
                    self.leave(&seat, &Gone::Kicked, out);
                }
                out.push(answer(request, Ok(Answer::Done)));
            }
        }
        true
    }

    /// A person's affiliation changes, by whomever. Who may not stay is put out, and the ear is told.
    pub(super) fn affiliate(&mut self, jid: &BareJid, affiliation: Affiliation, out: &mut Vec<Out>) {
        self.affiliations.insert(jid.to_string(), affiliation);
        let seat = Seat::Person(jid.clone());
        let gone = match affiliation {
            Affiliation::Outcast => Some(Gone::Banned),
            Affiliation::None if self.members_only => Some(Gone::Removed),
            _ => None,
        };
        match (self.find(&seat), gone) {
            (Some(_), Some(how)) => self.leave(&seat, &how, out),
            (Some(at), None) => {
                let nick = self.occupants[at].nick.clone();
                self.show(&seat, &nick, out);
            }
            (None, _) => {
                let event = RoomEvent::AffiliationChanged { real: jid.clone(), ours: None, affiliation };
                self.tell_ears(&event, out);
            }
        }
    }

    fn enter(&mut self, mouth: Mouth, nick: Nick, out: &mut Vec<Out>) {
        let seat = Seat::Ours(mouth.clone());
        let created = !self.exists;
        if created {
            (self.exists, self.remade) = (true, true);
        }
        let affiliation = self.affiliation(&seat);
        let again = self.find(&seat);
        let taken = self.occupants.iter().any(|o| o.nick == nick && bare(&o.seat) != bare(&seat));
        let keeps_out = match affiliation {
            Affiliation::Outcast => Some("forbidden"),
            Affiliation::None if self.members_only && !self.remade => Some("registration-required"),
            _ if taken => Some("conflict"),
            _ if again.is_none() && self.occupants.len() >= self.most_occupants && mouth.who != Who::Ear => {
                Some("service-unavailable")
            }
            _ => None,
        };
        if let Some(condition) = keeps_out {
            let refusal = refusal(condition);
            return out.push((Some(mouth.clone()), RoomEvent::JoinRefused { mouth, refusal }));
        }
        match again {
            Some(at) => self.occupants[at].nick = nick.clone(),
            None => self.occupants.push(Occupant { seat: seat.clone(), nick: nick.clone() }),
        }
        if mouth.who == Who::Ear {
            for other in self.occupants.clone() {
                if other.seat != seat {
                    out.push((Some(mouth.clone()), self.presence(&other.seat, &other.nick)));
                }
            }
        }
        let occupant_id = self.occupant_id(&seat);
        let role = Role::Participant;
        let inside =
            RoomEvent::In { mouth: mouth.clone(), nick: nick.clone(), affiliation, role, occupant_id, created };
        out.push((Some(mouth.clone()), inside));
        out.push((Some(mouth.clone()), RoomEvent::JoinDone { mouth: mouth.clone() }));
        if mouth.who != Who::Ear {
            self.show(&seat, &nick, out);
        }
    }

    // ------------------------------------------------------------

    /// Whoever is in sees it.
    fn is_seen(&mut self, entry: &Entry) {
        if !matches!(entry.content, Content::Nothing) {
            let people = self.occupants.iter().filter_map(|o| match &o.seat {
                Seat::Person(jid) => Some(jid),
                Seat::Ours(_) => None,
            });
            self.eyes.see(people, entry.text());
        }
    }

    /// A person is in.
    pub(super) fn holds(&self, jid: &BareJid) -> bool {
        self.find(&Seat::Person(jid.clone())).is_some()
    }

    pub(super) fn find(&self, seat: &Seat) -> Option<usize> {
        self.occupants.iter().position(|o| o.seat == *seat)
    }

    fn affiliation(&self, seat: &Seat) -> Affiliation {
        match seat {
            Seat::Ours(mouth) if mouth.who == Who::Ear => Affiliation::Owner,
            other => self.affiliations.get(&bare(other)).copied().unwrap_or(Affiliation::None),
        }
    }

    fn occupant_id(&self, seat: &Seat) -> Option<OccupantId> {
        let id = || OccupantId::from(format!("occupant-{}-{}", self.salt, bare(seat)).as_str());
        (self.flavour.occupant_ids != OccupantIds::None).then(id)
    }

    fn entry(&mut self, occupant: &Occupant, message_id: MessageId, content: Content, now: i64) -> Entry {
        Entry {
            id: self.archive.next_id(&self.flavour, now, self.salt),
            at: now,
            author: match &occupant.seat {
                Seat::Person(jid) => Author::Person(jid.clone()),
                Seat::Ours(mouth) => Author::Ours(mouth.who.clone()),
            },
            nick: occupant.nick.clone(),
            occupant_id: self.occupant_id(&occupant.seat),
            message_id,
            content,
            prefix: None,
            delayed: false,
        }
    }

    fn presence(&self, seat: &Seat, nick: &Nick) -> RoomEvent {
        let (real, ours) = match seat {
            Seat::Person(jid) => (Some(jid.clone()), None),
            Seat::Ours(mouth) => (None, Some(mouth.clone())),
        };
        RoomEvent::Occupant {
            nick: nick.clone(),
            real,
            ours,
            occupant_id: self.occupant_id(seat),
            affiliation: self.affiliation(seat),
            role: Role::Participant,
        }
    }

    fn show(&self, seat: &Seat, nick: &Nick, out: &mut Vec<Out>) {
        self.tell_ears(&self.presence(seat, nick), out);
    }

    fn tell_ears(&self, event: &RoomEvent, out: &mut Vec<Out>) {
        for occupant in &self.occupants {
            if let Seat::Ours(mouth) = &occupant.seat
                && mouth.who == Who::Ear
            {
                out.push((Some(mouth.clone()), event.clone()));
            }
        }
    }
}
