//! One commit for all that came while the last one was under way, and what may happen only when it is on disk.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{Epoch, GatewayId, GroupNumber, N, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::link::{Decided, Response, ResponseBody, ToGateway, Welcome};

use super::Hub;
use super::action::{Action, AdminReply};
use super::event::{AdminId, LinkId, Ticket};
use super::group::{Group, Head};
use crate::store::Change;

/// The epochs that a hello named.
pub(super) type KnownEpochs = Vec<(GroupNumber, Epoch)>;

/// Changes, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) changes: Vec<Change>,
    /// Marks that moved: written once a batch, however many messages moved them.
    pub(super) marks: Vec<(GroupNumber, GatewayId, Epoch)>,
    /// Members that came further.
    pub(super) members: BTreeSet<(GroupNumber, GatewayId)>,
    /// Groups with new entries, and how far each will have come.
    pub(super) appended: BTreeMap<GroupNumber, Head>,
    /// Origins to be told of refusals by members' rooms.
    pub(super) fates: Vec<(GroupNumber, GatewayId, Seq)>,
    /// Groups whose log was cut before a member had all of it.
    pub(super) expired: Vec<GroupNumber>,
    pub(super) responses: Vec<(LinkId, u64, ResponseBody)>,
    /// Welcomes that name a new incarnation, with the epochs that hello named.
    pub(super) welcomes: Vec<(LinkId, Welcome, KnownEpochs)>,
    pub(super) replies: Vec<(AdminId, AdminReply)>,
    /// Gateways whose links end with this change.
    pub(super) close: Vec<(GatewayId, Condition, String)>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.marks.is_empty() && self.members.is_empty()
    }
}

impl Hub {
    pub(super) fn begin_commit(&mut self) -> Option<Action> {
        if self.flying.is_some() || self.batch.is_empty() {
            return None;
        }
        let mut batch = std::mem::take(&mut self.batch);
        for (number, gateway, epoch) in &batch.marks {
            if let Some(mark) = self.groups.get_mut(number).and_then(|g| g.known_mark(gateway, epoch)) {
                mark.dirty = false;
                // What was given by now is what this commit makes durable.
                mark.flying = mark.given;
                let (group, gateway, epoch) = (*number, gateway.clone(), epoch.clone());
                batch.changes.push(Change::Mark { group, gateway, epoch, n: mark.given });
            }
        }
        for (number, gateway) in &batch.members {
            if let Some(member) = self.groups.get(number).and_then(|g| g.members.get(gateway)) {
                batch.changes.push(Change::Member(member.clone()));
            }
        }
        let changes = std::mem::take(&mut batch.changes);
        for (number, head) in &mut batch.appended {
            *head = self.groups.get(number).map_or(*head, Group::newest);
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.flying = Some((ticket, batch));
        Some(Action::Commit { ticket, changes })
    }

    /// Answers when everything that has been given is on disk.
    pub(super) fn respond_after(&mut self, link: LinkId, request: u64, body: ResponseBody) {
        let response = (link, request, body);
        match &mut self.flying {
            Some((_, flying)) if self.batch.is_empty() => flying.responses.push(response),
            _ => self.batch.responses.push(response),
        }
    }

    pub(super) fn committed(&mut self, ticket: Ticket) {
        let Some((_, batch)) = self.flying.take_if(|(flying, _)| *flying == ticket) else { return };
        self.counters.commits += 1;
        for (number, gateway, epoch) in batch.marks {
            let Some(group) = self.groups.get_mut(&number) else { continue };
            if let Some(mark) = group.known_mark(&gateway, &epoch) {
                mark.committed = mark.flying;
            }
            self.tell_decided(number, &gateway, &epoch);
        }
        for (number, head) in batch.appended {
            let Some(group) = self.groups.get_mut(&number) else { continue };
            group.commit(head);
            let members: Vec<_> = group.members.keys().cloned().collect();
            let members: Vec<_> = members.iter().filter_map(|g| self.listening(g)).collect();
            for link in members {
                self.wake(link, number);
            }
            // Who has not taken them now is behind, and gets entries one by one.
            self.groups.entry(number).and_modify(|g| g.fresh.clear());
        }
        for (link, welcome, known) in batch.welcomes {
            self.send_welcome(link, &welcome, known);
        }
        for (link, id, body) in batch.responses {
            self.send(link, &ToGateway::Response(Response { id, body }));
        }
        for (id, reply) in batch.replies {
            self.actions.push_back(Action::Reply { id, reply });
        }
        for (group, member, seq) in batch.fates {
            self.tell_fate(group, &member, seq);
        }
        for number in batch.expired {
            if let Some(group) = self.groups.get_mut(&number) {
                group.untold = false;
            }
            self.expire(number);
        }
        self.tell_progress(batch.members);
        for (gateway, condition, text) in batch.close {
            if let Some(link) = self.online.get(&gateway).copied() {
                self.close(link, condition, text);
            }
        }
        self.bound_cache();
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
