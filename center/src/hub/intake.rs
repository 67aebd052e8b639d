//! What gateways send behind hello: messages, what became of messages, credit.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{Epoch, GatewayId, GroupNumber, N, OriginKey, Seq};
use intergroup_schemas::link::{Confirm, Expect, Relay, Settled, Timestamp, ToCenter, ToGateway, encode};
use ring::digest;

use super::event::LinkId;
use super::group::{Pending, Sources};
use super::nodes::Intent;
use super::{Action, Hub, PROGRESS_EVERY_MS};
use crate::store::shared::Unit;
use crate::store::{Change, Fate, RecordKind};

impl Hub {
    pub(super) fn stanza(&mut self, id: LinkId, stanza: ToCenter) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match &mut link.held {
            Some(held) if held.is_empty() => return held.push(stanza),
            Some(_) => return self.close(id, Condition::BadRequest, "hello is answered before more is said"),
            None => {}
        }
        if !link.is_greeted() && !matches!(stanza, ToCenter::Hello(_)) {
            return self.close(id, Condition::BadRequest, "the first stanza of a link is hello");
        }
        let gateway = link.gateway.clone();
        match stanza {
            ToCenter::Hello(hello) => self.hello(id, hello),
            ToCenter::Relay(relay) => self.paced(id, relay.group, Pending::Relay(relay)),
            ToCenter::Edit(edit) => self.paced(id, edit.group, Pending::Edit(edit)),
            ToCenter::Resume(resume) => self.resume(id, &resume),
            ToCenter::Settled(settled) => {
                self.act(Unit::Group(settled.group), Intent::Settled(id, gateway, settled));
            }
            ToCenter::Credit(credit) => {
                link.give_back(credit.count);
                self.wake_all(id);
            }
            ToCenter::Confirm(confirm) => self.act(Unit::Group(confirm.group), Intent::Confirm(gateway, confirm)),
            ToCenter::Request(request) => self.request_now(id, request, false),
        }
    }

    // ------------------------------------------------------------ messages

    pub(super) fn relay(&mut self, id: LinkId, relay: Relay) {
        if self.is_stale_group(relay.group) {
            return self.act(Unit::Group(relay.group), Intent::Pending(id, Pending::Relay(relay)));
        }
        let Some(gateway) = self.links.get(&id).map(|l| l.gateway.clone()) else { return };
        let source = relay.source.as_ref().map(|s| short_hash(s.as_str()));
        if !self.in_turn(id, &gateway, relay.group, &relay.epoch, relay.n, source) {
            return;
        }
        let Some(group) = self.groups.get_mut(&relay.group) else { return };
        if !group.mark(&gateway, &relay.epoch).fresh {
            return self.judge(id, &gateway, relay, source);
        }
        match group.sources.get_mut(&gateway) {
            Some(Sources::Loading { waiting, .. }) => waiting.push((id, Pending::Relay(relay))),
            Some(Sources::Known(known)) => {
                if source.is_some_and(|s| known.contains(&s)) {
                    self.counters.same_source += 1;
                    self.decide(&gateway, relay.group, &relay.epoch, relay.n, source, None);
                    return self.keep(Unit::Group(relay.group), Intent::Pending(id, Pending::Relay(relay)));
                }
                self.judge(id, &gateway, relay, source);
            }
            None if source.is_none() => self.judge(id, &gateway, relay, source),
            None => {
                let number = relay.group;
                let meanwhile = group.sources_in_memory(&gateway);
                let waiting = vec![(id, Pending::Relay(relay))];
                group.sources.insert(gateway.clone(), Sources::Loading { waiting, meanwhile, again: false });
                self.actions.push_back(Action::ReadSources { group: number, gateway });
            }
        }
    }

    pub(super) fn sources_read(&mut self, number: GroupNumber, gateway: &GatewayId, sources: Vec<u64>) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        match group.sources.remove(gateway) {
            // Whoever waited is gone, or waits for the group.
            Some(Sources::Loading { waiting, again: true, .. }) if waiting.is_empty() => {}
            Some(Sources::Loading { waiting, again: true, .. }) => {
                let meanwhile = group.sources_in_memory(gateway);
                group.sources.insert(gateway.clone(), Sources::Loading { waiting, meanwhile, again: false });
                self.actions.push_back(Action::ReadSources { group: number, gateway: gateway.clone() });
            }
            Some(Sources::Loading { waiting, meanwhile, .. }) => {
                let mut known = meanwhile;
                known.extend(sources);
                group.sources.insert(gateway.clone(), Sources::Known(known));
                for (link, pending) in waiting {
                    match pending {
                        Pending::Relay(relay) => self.relay(link, relay),
                        Pending::Edit(edit) => self.edit(link, edit),
                        Pending::Bad(epoch, n, condition) => self.bad_relay(link, number, epoch, n, condition),
                    }
                }
            }
            Some(known) => drop(group.sources.insert(gateway.clone(), known)),
            None => {}
        }
    }

    pub(super) fn bad_relay(&mut self, id: LinkId, number: GroupNumber, epoch: Epoch, n: N, condition: Condition) {
        if self.is_stale_group(number) {
            return self.act(Unit::Group(number), Intent::Pending(id, Pending::Bad(epoch, n, condition)));
        }
        let Some(gateway) = self.links.get(&id).map(|l| l.gateway.clone()) else { return };
        if !self.in_turn(id, &gateway, number, &epoch, n, None) {
            return;
        }
        let Some(group) = self.groups.get_mut(&number) else { return };
        match group.sources.get_mut(&gateway) {
            // It keeps its place behind those that wait.
            Some(Sources::Loading { waiting, .. }) if waiting.iter().any(|(_, p)| *p.epoch() == epoch) => {
                waiting.push((id, Pending::Bad(epoch, n, condition)));
            }
            _ => {
                self.decide(&gateway, number, &epoch, n, None, Some(condition));
                self.keep(Unit::Group(number), Intent::Pending(id, Pending::Bad(epoch, n, condition)));
            }
        }
    }

    /// Whether n is the next of its epoch. A repeat is answered as before; anything else is told what is expected.
    pub(super) fn in_turn(
        &mut self,
        id: LinkId,
        gateway: &GatewayId,
        number: GroupNumber,
        epoch: &Epoch,
        n: N,
        source: Option<u64>,
    ) -> bool {
        let Some(group) = self.groups.get_mut(&number).filter(|g| g.members.contains_key(gateway)) else {
            self.count_refusal(Condition::UnknownGroup);
            let refused = vec![(n, Condition::UnknownGroup)];
            let decided = intergroup_schemas::link::Decided { group: number, epoch: epoch.clone(), n, refused };
            self.send(id, &ToGateway::Decided(decided));
            return false;
        };
        let expected = group.expected(gateway, epoch);
        let mark = group.mark(gateway, epoch);
        if n == expected {
            if n.0 - mark.committed.0 > u64::from(self.config.relay_window) {
                self.close(id, Condition::OverLimit, "more messages are undecided than the window allows");
                return false;
            }
            return true;
        }
        let fork = n <= mark.given && mark.forks(n, source);
        if fork || n > expected {
            let n = expected;
            self.counters.forks += u64::from(fork);
            self.counters.out_of_turn += u64::from(!fork);
            let expect = Expect { group: number, epoch: epoch.clone(), n, fork };
            self.send(id, &ToGateway::Expect(expect));
        } else {
            self.counters.repeats += 1;
            if n <= mark.committed {
                self.tell_decided(number, gateway, epoch);
            }
        }
        false
    }

    fn judge(&mut self, id: LinkId, gateway: &GatewayId, relay: Relay, source: Option<u64>) {
        let Some(group) = self.groups.get_mut(&relay.group) else { return };
        let refused = if group.meta.deleted {
            Some(Condition::UnknownGroup)
        } else if !group.is_member(gateway) {
            Some(Condition::NotAMember)
        } else if relay.list > group.meta.list {
            Some(Condition::UnknownListVersion)
        } else {
            group.refusal_of(&gateway.enterprise, &relay.user)
        };
        if refused.is_none() {
            let deliver = encode::deliver(&relay, group.head.next(), &gateway.enterprise);
            let key = OriginKey { epoch: relay.epoch.clone(), n: relay.n };
            let kind = RecordKind::Message { origin: gateway.clone(), key, source, deliver: deliver.into() };
            let before = group.tail_bytes;
            let record = group.append(kind, relay.list, self.now);
            self.cached_bytes += group.tail_bytes - before;
            if let Some(Sources::Known(known) | Sources::Loading { meanwhile: known, .. }) =
                group.sources.get_mut(gateway)
            {
                known.extend(source);
            }
            let part = self.batch.group(relay.group);
            part.appended = Some(group.newest());
            part.changes.push(Change::Append(record));
            self.counters.stored += 1;
        }
        self.decide(gateway, relay.group, &relay.epoch, relay.n, source, refused);
        self.keep(Unit::Group(relay.group), Intent::Pending(id, Pending::Relay(relay)));
    }

    /// The message has its outcome, which the next commit makes durable.
    pub(super) fn decide(
        &mut self,
        gateway: &GatewayId,
        number: GroupNumber,
        epoch: &Epoch,
        n: N,
        source: Option<u64>,
        refused: Option<Condition>,
    ) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        let mark = group.mark(gateway, epoch);
        mark.note(n, source);
        if !std::mem::replace(&mut mark.dirty, true) {
            self.batch.group(number).marks.push((gateway.clone(), epoch.clone()));
        }
        if let Some(condition) = refused {
            mark.refused.insert(n, condition);
            let (gateway, epoch) = (gateway.clone(), epoch.clone());
            self.batch.change(Change::Refused { group: number, gateway, epoch, n, condition });
            self.count_refusal(condition);
        }
    }

    pub(super) fn confirm(&mut self, gateway: &GatewayId, confirm: Confirm) {
        let Confirm { group: number, epoch, n } = confirm.clone();
        let Some(mark) = self.groups.get_mut(&number).and_then(|g| g.known_mark(gateway, &epoch)) else { return };
        let n = n.min(mark.committed);
        if mark.refused.range(..=n).next().is_some() {
            mark.refused = mark.refused.split_off(&n.next());
            self.batch.change(Change::Confirmed { group: number, gateway: gateway.clone(), epoch, n });
            self.keep(Unit::Group(number), Intent::Confirm(gateway.clone(), confirm));
        }
    }

    // ------------------------------------------------------------ what became of messages

    /// A member came further: kept and told to the others a little later, together with what else comes until then. What a
    /// crash forgets of it is in the next hello.
    pub(super) fn came_further(&mut self, group: GroupNumber, gateway: &GatewayId) {
        self.progress.insert((group, gateway.clone()));
        self.progress_at.get_or_insert(Timestamp(self.now.0 + PROGRESS_EVERY_MS));
    }

    pub(super) fn settled(&mut self, id: LinkId, gateway: &GatewayId, settled: Settled) {
        let Some(group) = self.groups.get_mut(&settled.group) else { return };
        let upto = settled.upto.min(group.committed);
        let Some(member) = group.members.get_mut(gateway) else { return };
        let further = upto > member.settled;
        member.settled = member.settled.max(upto);
        let before = self.batch.count;
        let kept = (self.config.shared && !settled.refused.is_empty()).then(|| settled.clone());
        for (seq, key, condition) in settled.refused {
            let place = (gateway.clone(), seq);
            if seq > upto || seq <= group.floor || group.fates.contains_key(&place) {
                continue;
            }
            let fate = Fate { group: settled.group, member: gateway.clone(), seq, key, condition };
            *self.counters.fates.entry(condition.as_str().to_owned()).or_default() += 1;
            group.fates.insert(place, fate.clone());
            let part = self.batch.group(settled.group);
            part.changes.push(Change::Fate(fate));
            part.fates.push((gateway.clone(), seq));
        }
        if let Some(kept) = kept.filter(|_| self.batch.count != before) {
            self.keep(Unit::Group(kept.group), Intent::Settled(id, gateway.clone(), kept));
        }
        if further {
            self.came_further(settled.group, gateway);
        }
        if let Some(stream) = self.links.get_mut(&id).and_then(|l| l.streams.get_mut(&settled.group)) {
            // A gateway that resumed from further back settles again what it has settled before.
            stream.base = stream.base.max(upto.min(Seq(stream.next.0 - 1)));
            self.wake(id, settled.group);
        }
    }
}

pub(super) fn short_hash(text: &str) -> u64 {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    u64::from_be_bytes(digest.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes"))
}
