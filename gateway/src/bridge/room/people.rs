//! Who is in the room, and whose the occupant-ids are.

use std::collections::BTreeMap;

use super::Room;
use crate::bridge::context::Context;
use crate::bridge::event::{Affiliation, Gone};
use crate::ids::{BareJid, Mouth, Nick, OccupantId, Who};
use crate::store::{Change, Owner};

/// The room's occupants as the ear sees them.
#[derive(Debug, Default)]
pub(super) struct People {
    present: BTreeMap<Nick, Present>,
    /// On disk. An archived message is attributed by it, never by who has a nick now.
    owners: BTreeMap<OccupantId, Owner>,
}

#[derive(Debug)]
struct Present {
    real: Option<BareJid>,
    ours: Option<Mouth>,
    affiliation: Option<Affiliation>,
}

/// Who a live message is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Speaker {
    /// One of ours.
    Ours(Who),
    /// A person.
    Person(BareJid),
    /// Somebody of whom no presence was seen.
    Unknown,
}

impl People {
    pub(super) fn new(owners: Vec<(OccupantId, Owner)>) -> Self {
        Self { present: BTreeMap::new(), owners: owners.into_iter().collect() }
    }

    pub(super) fn all_gone(&mut self) {
        self.present.clear();
    }

    pub(super) fn gone(&mut self, nick: &Nick, how: &Gone) {
        let occupant = self.present.remove(nick);
        if let (Some(occupant), Gone::Renamed(new)) = (occupant, how) {
            self.present.insert(new.clone(), occupant);
        }
    }

    /// Who has a nick now.
    pub(super) fn speaker(&self, nick: &Nick) -> Speaker {
        match self.present.get(nick) {
            Some(Present { ours: Some(mouth), .. }) => Speaker::Ours(mouth.who.clone()),
            Some(Present { real: Some(real), .. }) => Speaker::Person(real.clone()),
            _ => Speaker::Unknown,
        }
    }

    pub(super) fn owner(&self, id: &OccupantId) -> Option<&Owner> {
        self.owners.get(id)
    }

    pub(super) fn set_affiliation(&mut self, nick: &Nick, affiliation: Affiliation) {
        if let Some(present) = self.present.get_mut(nick) {
            present.affiliation = Some(affiliation);
        }
    }

    /// What the room said last of somebody who is in.
    pub(super) fn affiliation(&self, nick: &Nick) -> Option<Affiliation> {
        self.present.get(nick)?.affiliation
    }

    /// Who has a nick, if it is a person.
    pub(super) fn real(&self, nick: &Nick) -> Option<&BareJid> {
        self.present.get(nick).filter(|p| p.ours.is_none())?.real.as_ref()
    }

    /// Everybody who is in and known.
    pub(super) fn persons(&self) -> impl Iterator<Item = &BareJid> {
        self.present.values().filter(|p| p.ours.is_none()).filter_map(|p| p.real.as_ref())
    }

    /// The same, with nicks and affiliations.
    pub(super) fn who_is_here(&self) -> Vec<(Nick, BareJid, Affiliation)> {
        let persons = self.present.iter().filter(|(_, p)| p.ours.is_none());
        persons.filter_map(|(nick, p)| Some((nick.clone(), p.real.clone()?, p.affiliation?))).collect()
    }

    /// A nick under which an account is in.
    pub(super) fn nick_of(&self, account: &BareJid) -> Option<&Nick> {
        self.present.iter().find(|(_, p)| p.ours.is_none() && p.real.as_ref() == Some(account)).map(|(nick, _)| nick)
    }
}

impl Room {
    pub(super) fn occupant_is_in(
        &mut self,
        cx: &mut Context,
        nick: Nick,
        real: Option<BareJid>,
        ours: Option<Mouth>,
        id: Option<OccupantId>,
    ) {
        let owner = match (&ours, &real) {
            (Some(mouth), _) => Some(Owner::Ours(mouth.who.clone())),
            (None, Some(real)) => Some(Owner::Person(real.clone())),
            (None, None) => None,
        };
        let arrived = !self.people.present.contains_key(&nick);
        self.people.present.insert(nick, Present { real: real.clone(), ours, affiliation: None });
        if let (Some(id), Some(owner)) = (id, owner) {
            self.learn_owner(cx, id, owner);
        }
        if let Some(real) = real.filter(|_| arrived) {
            self.author_is_back(&real);
        }
    }

    /// Keeps whose an occupant-id is; what was parked for want of that goes on.
    pub(super) fn learn_owner(&mut self, cx: &mut Context, id: OccupantId, owner: Owner) {
        if self.people.owners.get(&id) == Some(&owner) {
            return;
        }
        self.people.owners.insert(id.clone(), owner.clone());
        cx.change(Change::Occupant { group: self.group(), id: id.clone(), owner: owner.clone() });
        self.release_parked(cx, &id, &owner);
    }
}
