//! One commit for all that came while the last one was under way, and what may happen only when it is on disk.
//!
//! A batch has a part for each unit. Where nodes share a store each part comes back by itself: done, or refused since another node
//! has changed the unit; then `nodes` decides it again.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{Epoch, GatewayId, GroupNumber, N, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::link::{Decided, Request, Response, ResponseBody, ToGateway, Welcome};

use super::Hub;
use super::action::{Action, AdminReply};
use super::event::{AdminId, LinkId, Ticket};
use super::group::{Group, Head};
use super::nodes::Intent;
use crate::store::Change;
use crate::store::shared::{Claims, Unit, Version};

/// The epochs that a hello named.
pub(super) type KnownEpochs = Vec<(GroupNumber, Epoch)>;

/// Changes, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) parts: BTreeMap<Unit, Part>,
    /// Welcomes that name a new incarnation, with the epochs that hello named.
    pub(super) welcomes: Vec<(LinkId, Welcome, KnownEpochs)>,
    /// Answers that change nothing, but name what is still being written.
    pub(super) answers: Vec<(LinkId, Request, ResponseBody)>,
    /// Grows with each change.
    pub(super) count: usize,
}

/// What changes of one unit.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) changes: Vec<Change>,
    /// Marks that moved: written once a batch, however many messages moved them.
    pub(super) marks: Vec<(GatewayId, Epoch)>,
    /// Members that came further.
    pub(super) members: BTreeSet<GatewayId>,
    /// There are new entries, and how far the log will have come.
    pub(super) appended: Option<Head>,
    /// Origins to be told of refusals by members' rooms.
    pub(super) fates: Vec<(GatewayId, Seq)>,
    /// The log was cut,
    pub(super) trims: bool,
    /// and before a member had all of it.
    pub(super) expired: bool,
    pub(super) responses: Vec<(LinkId, u64, ResponseBody)>,
    pub(super) replies: Vec<(AdminId, AdminReply)>,
    /// Gateways whose links end with this change.
    pub(super) close: Vec<(GatewayId, Condition, String)>,
    /// Where nodes share the store: what all this was decided on, in order, to be decided again.
    pub(super) intents: Vec<Intent>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The part of a unit, which is about to change.
    pub(super) fn part(&mut self, unit: Unit) -> &mut Part {
        self.count += 1;
        self.parts.entry(unit).or_default()
    }

    /// The part of a group, which is about to change.
    pub(super) fn group(&mut self, number: GroupNumber) -> &mut Part {
        self.part(Unit::Group(number))
    }

    /// Notes a change.
    pub(super) fn change(&mut self, change: Change) {
        self.part(change.unit()).changes.push(change);
    }
}

impl Hub {
    pub(super) fn begin_commit(&mut self) -> Option<Action> {
        if self.flying.is_some() || self.batch.is_empty() {
            return None;
        }
        let mut batch = std::mem::take(&mut self.batch);
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let (mut changes, mut claims) = (Vec::new(), Claims::default());
        if self.config.shared {
            claims.version = Version::of(self.nodes.life, ticket.0);
            claims.bases = batch.parts.keys().map(|unit| (*unit, self.version_of(*unit))).collect();
        }
        for (unit, part) in &mut batch.parts {
            changes.append(&mut part.changes);
            let Unit::Group(number) = *unit else { continue };
            let Some(group) = self.groups.get_mut(&number) else { continue };
            for (gateway, epoch) in &part.marks {
                if let Some(mark) = group.known_mark(gateway, epoch) {
                    mark.dirty = false;
                    // What was given by now is what this commit makes durable.
                    mark.flying = mark.given;
                    let (group, gateway, epoch) = (number, gateway.clone(), epoch.clone());
                    changes.push(Change::Mark { group, gateway, epoch, n: mark.given });
                }
            }
            let further = part.members.iter().filter_map(|gateway| group.members.get(gateway));
            changes.extend(further.cloned().map(Change::Member));
            part.appended = part.appended.map(|_| group.newest());
        }
        self.flying = Some((ticket, batch));
        Some(Action::Commit { ticket, changes, claims })
    }

    /// Answers when everything that has been given is on disk.
    pub(super) fn answer_after(&mut self, link: LinkId, request: Request, body: ResponseBody) {
        let answer = (link, request, body);
        match &mut self.flying {
            Some((_, flying)) if self.batch.is_empty() => flying.answers.push(answer),
            _ => self.batch.answers.push(answer),
        }
    }

    /// The commit is done, but for what was refused.
    pub(super) fn committed(&mut self, ticket: Ticket, refused: &[Unit]) {
        let Some((_, mut batch)) = self.flying.take_if(|(flying, _)| *flying == ticket) else { return };
        self.counters.commits += 1;
        let again: Vec<_> = refused.iter().filter_map(|unit| Some((*unit, batch.parts.remove(unit)?))).collect();
        let version = Version::of(self.nodes.life, ticket.0);
        for (unit, part) in batch.parts {
            if self.config.shared {
                self.has_version(unit, version);
            }
            self.part_committed(unit, part);
        }
        match again.first() {
            None => {
                for (link, welcome, known) in batch.welcomes {
                    self.send_welcome(link, &welcome, known);
                }
                for (link, Request { id, .. }, body) in batch.answers {
                    self.send(link, &ToGateway::Response(Response { id, body }));
                }
            }
            Some((unit, _)) => {
                let unit = *unit;
                for (unit, part) in again {
                    self.refused(unit, part);
                }
                self.say_again(unit, batch.welcomes, batch.answers);
            }
        }
        self.after_flight(version);
        self.bound_cache();
    }

    fn part_committed(&mut self, unit: Unit, part: Part) {
        if let Unit::Group(number) = unit {
            for (gateway, epoch) in part.marks {
                let Some(group) = self.groups.get_mut(&number) else { continue };
                if let Some(mark) = group.known_mark(&gateway, &epoch) {
                    mark.committed = mark.flying;
                }
                self.tell_decided(number, &gateway, &epoch);
            }
            if let Some(head) = part.appended {
                self.fan_out(number, head);
            }
        }
        for (link, id, body) in part.responses {
            self.send(link, &ToGateway::Response(Response { id, body }));
        }
        for (id, reply) in part.replies {
            self.actions.push_back(Action::Reply { id, reply });
        }
        if let Unit::Group(number) = unit {
            for (member, seq) in part.fates {
                self.tell_fate(number, &member, seq);
            }
            if part.expired {
                if let Some(group) = self.groups.get_mut(&number) {
                    group.untold = false;
                }
                self.expire(number);
            }
            self.tell_progress(number, part.members);
        }
        for (gateway, condition, text) in part.close {
            if let Some(link) = self.online.get(&gateway).copied() {
                self.close(link, condition, text);
            }
        }
        self.told(unit, &part.intents);
    }

    /// Entries up to there are on disk, and go to whoever has a stream.
    pub(super) fn fan_out(&mut self, number: GroupNumber, head: Head) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        group.commit(head);
        let members: Vec<_> = group.members.keys().cloned().collect();
        let members: Vec<_> = members.iter().filter_map(|g| self.listening(g)).collect();
        for link in members {
            self.wake(link, number);
        }
        // Who has not taken them now is behind, and gets entries one by one.
        self.groups.entry(number).and_modify(|g: &mut Group| g.fresh.clear());
    }

    /// Tells a gateway what is decided of its messages, naming every refusal that it has not confirmed.
    pub(super) fn tell_decided(&mut self, number: GroupNumber, gateway: &GatewayId, epoch: &Epoch) {
        let Some(link) = self.listening(gateway) else { return };
        let Some(mark) = self.groups.get_mut(&number).and_then(|g| g.known_mark(gateway, epoch)) else { return };
        let upto = mark.committed;
        let refused: Vec<(N, Condition)> = mark.refused.range(..=upto).map(|(n, c)| (*n, *c)).collect();
        let mut rest = refused.as_slice();
        loop {
            let (now, later) = rest.split_at(rest.len().min(limits::REFUSED_PER_STANZA));
            // A stanza that cannot name all refusals decides no further than it names.
            let n = if later.is_empty() { upto } else { now.last().map_or(upto, |(n, _)| *n) };
            let decided = Decided { group: number, epoch: epoch.clone(), n, refused: now.to_vec() };
            self.send(link, &ToGateway::Decided(decided));
            rest = later;
            if rest.is_empty() {
                return;
            }
        }
    }
}
