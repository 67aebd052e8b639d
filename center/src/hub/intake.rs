//! What gateways send: hello, messages, what became of messages, credit.

use std::collections::BTreeSet;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{Epoch, GatewayId, GroupNumber, HistoryHash, N, OriginKey, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::link::{
    Confirm, Expect, Hello, History, OLDEST_VERSION, Relay, Settled, Standing, Timestamp, ToCenter, ToGateway, VERSION,
    Welcome, WelcomeGroup, encode,
};
use ring::digest;

use super::event::LinkId;
use super::group::{Pending, Sources};
use super::link::{Greeting, Link};
use super::{Action, Hub, PROGRESS_EVERY_MS};
use crate::store::{Change, Fate, RecordKind};

impl Hub {
    pub(super) fn link_opened(&mut self, id: LinkId, gateway: GatewayId, certificate: [u8; 32]) {
        let refusal = self.refusal_of(&gateway, &certificate);
        if let Some(older) = self.online.get(&gateway).copied().filter(|_| refusal.is_none()) {
            self.close(older, Condition::Replaced, Condition::Replaced.admin_text());
        }
        self.links.insert(id, Link::new(gateway.clone(), self.config.credit));
        if let Some(condition) = refusal {
            return self.close(id, condition, condition.admin_text());
        }
        self.certificate_used(&gateway, &certificate);
        self.online.insert(gateway, id);
    }

    pub(super) fn link_closed(&mut self, id: LinkId) {
        self.forget_link(id);
    }

    pub(super) fn stanza(&mut self, id: LinkId, stanza: ToCenter) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.is_greeted() && !matches!(stanza, ToCenter::Hello(_)) {
            return self.close(id, Condition::BadRequest, "the first stanza of a link is hello");
        }
        let gateway = link.gateway.clone();
        match stanza {
            ToCenter::Hello(hello) => self.hello(id, hello),
            ToCenter::Relay(relay) => self.paced(id, relay.group, Pending::Relay(relay)),
            ToCenter::Edit(edit) => self.paced(id, edit.group, Pending::Edit(edit)),
            ToCenter::Resume(resume) => self.resume(id, &resume),
            ToCenter::Settled(settled) => self.settled(id, &gateway, settled),
            ToCenter::Credit(credit) => {
                link.give_back(credit.count);
                self.wake_all(id);
            }
            ToCenter::Confirm(confirm) => self.confirm(&gateway, confirm),
            ToCenter::Request(request) => self.request(id, request),
        }
    }

    // ------------------------------------------------------------ hello

    fn hello(&mut self, id: LinkId, hello: Hello) {
        if hello.version < OLDEST_VERSION {
            let text = format!("the gateway speaks version {}, the center at least {OLDEST_VERSION}", hello.version);
            return self.close(id, Condition::UnsupportedVersion, text);
        }
        // The cursor's hash first, then those of the older places, for each group.
        let mut places = Vec::new();
        for known in &hello.groups {
            places.push((known.group, known.cursor));
            places.extend(known.places.iter().map(|(seq, _)| (known.group, *seq)));
        }
        if let Some(link) = self.links.get_mut(&id) {
            if !matches!(link.greeting, Greeting::Awaited) {
                return self.close(id, Condition::BadRequest, "a link has one hello");
            }
            link.greeting = Greeting::Comparing(hello);
            self.actions.push_back(Action::ReadHashes { link: id, places });
        }
    }

    pub(super) fn hashes_read(&mut self, id: LinkId, hashes: &[Option<HistoryHash>]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Greeting::Comparing(hello) = std::mem::replace(&mut link.greeting, Greeting::Writing) else { return };
        let gateway = link.gateway.clone();
        let Some(enterprise) = self.enterprises.get(&gateway.enterprise) else { return };
        let display = enterprise.display.clone();
        let named: BTreeSet<_> = hello.groups.iter().map(|g| g.group).collect();
        let (mut groups, mut further) = (Vec::new(), Vec::new());
        let mut rest = hashes;
        for known in &hello.groups {
            let (of_group, others) = rest.split_at(rest.len().min(1 + known.places.len()));
            rest = others;
            let Some((hash, older)) = of_group.split_first() else { continue };
            let Some(group) = self.groups.get_mut(&known.group) else { continue };
            if !group.members.contains_key(&gateway) {
                continue;
            }
            let history = match hash {
                _ if known.cursor > group.committed => History::Forked,
                Some(hash) if *hash == known.hash => History::Same,
                Some(_) => History::Forked,
                None => History::Trimmed,
            };
            let same_at = |(place, hash): &(&(Seq, HistoryHash), &Option<HistoryHash>)| **hash == Some(place.1);
            let common = match history {
                History::Same | History::Trimmed => known.cursor,
                History::Forked => known.places.iter().zip(older).find(same_at).map_or(Seq(0), |(place, _)| place.0),
            };
            if history == History::Same
                && let Some(member) = group.members.get_mut(&gateway)
                && known.settled.min(known.cursor) > member.settled
            {
                member.settled = known.settled.min(known.cursor);
                further.push(known.group);
            }
            let decided = group.decided(&gateway, &known.epoch);
            let same_life = known.incarnation.as_ref() == Some(&group.meta.incarnation);
            let before = match &known.run {
                Some(run) => group.runs.insert(gateway.clone(), run.clone()),
                None => None,
            };
            let mut welcome = self.welcome_group(&gateway, known.group, history, common, decided);
            welcome.iter_mut().for_each(|w| w.before.clone_from(&before));
            groups.push((welcome, history, same_life));
        }
        further.into_iter().for_each(|number| self.came_further(number, &gateway));
        // A gateway of this life of the log remembers what the log does not have: the log has lost its tail.
        let before = self.batch.changes.len();
        for (welcome, history, same_life) in &mut groups {
            if *history == History::Forked && *same_life {
                let incarnation = self.new_incarnation();
                let Some(welcome) = welcome else { continue };
                if let Some(group) = self.groups.get_mut(&welcome.group) {
                    group.meta.incarnation = incarnation.clone();
                    welcome.incarnation = incarnation;
                    self.batch.changes.push(Change::Group(group.meta.clone()));
                }
            }
        }
        let mut groups: Vec<WelcomeGroup> = groups.into_iter().filter_map(|(welcome, _, _)| welcome).collect();
        let others: Vec<_> =
            self.groups.iter().filter(|(n, g)| !named.contains(n) && g.is_member(&gateway)).map(|(n, _)| *n).collect();
        groups.extend(others.into_iter().filter_map(|n| self.welcome_group(&gateway, n, History::Same, Seq(0), N(0))));
        for known in &hello.groups {
            if !groups.iter().any(|g| g.group == known.group) {
                groups.push(unknown_group(
                    known.group,
                    known.incarnation.clone().unwrap_or_else(|| self.new_incarnation()),
                ));
            }
        }
        let version = hello.version.min(VERSION);
        let welcome = Welcome {
            version,
            enterprise: gateway.enterprise.clone(),
            gateway: gateway.gateway.clone(),
            display,
            credit: self.config.credit,
            window: self.config.window,
            payload_bytes: u32::try_from(limits::PAYLOAD_BYTES).unwrap_or(u32::MAX),
            groups,
        };
        let known = hello.groups.into_iter().map(|known| (known.group, known.epoch)).collect();
        if self.batch.changes.len() == before {
            self.send_welcome(id, &welcome, known);
        } else {
            // A new incarnation is told when it is on disk.
            self.batch.welcomes.push((id, welcome, known));
        }
    }

    /// Welcome, and what a gateway that comes back must be told.
    pub(super) fn send_welcome(&mut self, id: LinkId, welcome: &Welcome, known: Vec<(GroupNumber, Epoch)>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.greeting = Greeting::Done;
        let gateway = link.gateway.clone();
        self.send(id, &ToGateway::Welcome(welcome.clone()));
        for (number, epoch) in known {
            self.tell_decided(number, &gateway, &epoch);
            self.tell_fates(id, number, &gateway);
        }
    }

    fn welcome_group(
        &self,
        gateway: &GatewayId,
        number: GroupNumber,
        history: History,
        common: Seq,
        decided: N,
    ) -> Option<WelcomeGroup> {
        let group = self.groups.get(&number)?;
        let member = group.members.get(gateway)?;
        let standing = match member.until {
            None => Standing::Member,
            Some(_) if group.meta.deleted => Standing::Deleted,
            Some(_) => Standing::Left,
        };
        let incarnation = group.meta.incarnation.clone();
        let (head, (list, digest)) = (group.committed, group.committed_list);
        let (settled, before) = (member.settled, None);
        Some(WelcomeGroup {
            group: number,
            standing,
            incarnation,
            head,
            history,
            common,
            decided,
            list,
            digest,
            settled,
            before,
        })
    }

    // ------------------------------------------------------------ messages

    pub(super) fn relay(&mut self, id: LinkId, relay: Relay) {
        let Some(gateway) = self.links.get(&id).map(|l| l.gateway.clone()) else { return };
        let source = relay.source.as_ref().map(|s| short_hash(s.as_str()));
        if !self.in_turn(id, &gateway, relay.group, &relay.epoch, relay.n, source) {
            return;
        }
        let Some(group) = self.groups.get_mut(&relay.group) else { return };
        if !group.mark(&gateway, &relay.epoch).fresh {
            return self.judge(&gateway, relay, source);
        }
        match group.sources.get_mut(&gateway) {
            Some(Sources::Loading { waiting, .. }) => waiting.push((id, Pending::Relay(relay))),
            Some(Sources::Known(known)) => {
                if source.is_some_and(|s| known.contains(&s)) {
                    self.counters.same_source += 1;
                    return self.decide(&gateway, relay.group, &relay.epoch, relay.n, source, None);
                }
                self.judge(&gateway, relay, source);
            }
            None if source.is_none() => self.judge(&gateway, relay, source),
            None => {
                let number = relay.group;
                let meanwhile = group.sources_in_memory(&gateway);
                let waiting = vec![(id, Pending::Relay(relay))];
                group.sources.insert(gateway.clone(), Sources::Loading { waiting, meanwhile });
                self.actions.push_back(Action::ReadSources { group: number, gateway });
            }
        }
    }

    pub(super) fn sources_read(&mut self, number: GroupNumber, gateway: &GatewayId, sources: Vec<u64>) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        match group.sources.remove(gateway) {
            Some(Sources::Loading { waiting, meanwhile }) => {
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
            _ => self.decide(&gateway, number, &epoch, n, None, Some(condition)),
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

    fn judge(&mut self, gateway: &GatewayId, relay: Relay, source: Option<u64>) {
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
            self.batch.appended.insert(relay.group, group.newest());
            self.batch.changes.push(Change::Append(record));
            self.counters.stored += 1;
        }
        self.decide(gateway, relay.group, &relay.epoch, relay.n, source, refused);
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
            self.batch.marks.push((number, gateway.clone(), epoch.clone()));
        }
        if let Some(condition) = refused {
            mark.refused.insert(n, condition);
            let (gateway, epoch) = (gateway.clone(), epoch.clone());
            self.batch.changes.push(Change::Refused { group: number, gateway, epoch, n, condition });
            self.count_refusal(condition);
        }
    }

    fn confirm(&mut self, gateway: &GatewayId, confirm: Confirm) {
        let Confirm { group: number, epoch, n } = confirm;
        let Some(mark) = self.groups.get_mut(&number).and_then(|g| g.known_mark(gateway, &epoch)) else { return };
        let n = n.min(mark.committed);
        if mark.refused.range(..=n).next().is_some() {
            mark.refused = mark.refused.split_off(&n.next());
            self.batch.changes.push(Change::Confirmed { group: number, gateway: gateway.clone(), epoch, n });
        }
    }

    // ------------------------------------------------------------ what became of messages

    /// A member came further: kept and told to the others a little later, together with what else comes until then. What a
    /// crash forgets of it is in the next hello.
    fn came_further(&mut self, group: GroupNumber, gateway: &GatewayId) {
        self.progress.insert((group, gateway.clone()));
        self.progress_at.get_or_insert(Timestamp(self.now.0 + PROGRESS_EVERY_MS));
    }

    fn settled(&mut self, id: LinkId, gateway: &GatewayId, settled: Settled) {
        let Some(group) = self.groups.get_mut(&settled.group) else { return };
        let upto = settled.upto.min(group.committed);
        let Some(member) = group.members.get_mut(gateway) else { return };
        let further = upto > member.settled;
        member.settled = member.settled.max(upto);
        for (seq, key, condition) in settled.refused {
            let place = (gateway.clone(), seq);
            if seq > upto || seq <= group.floor || group.fates.contains_key(&place) {
                continue;
            }
            let fate = Fate { group: settled.group, member: gateway.clone(), seq, key, condition };
            *self.counters.fates.entry(condition.as_str().to_owned()).or_default() += 1;
            group.fates.insert(place, fate.clone());
            self.batch.changes.push(Change::Fate(fate));
            self.batch.fates.push((settled.group, gateway.clone(), seq));
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

fn unknown_group(group: GroupNumber, incarnation: intergroup_schemas::ids::Incarnation) -> WelcomeGroup {
    WelcomeGroup {
        group,
        standing: Standing::Unknown,
        incarnation,
        head: Seq(0),
        history: History::Forked,
        common: Seq(0),
        decided: N(0),
        list: Default::default(),
        digest: Default::default(),
        settled: Seq(0),
        before: None,
    }
}

pub(super) fn short_hash(text: &str) -> u64 {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    u64::from_be_bytes(digest.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes"))
}
