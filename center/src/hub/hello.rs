//! A link's first words: who it is, what its gateway remembers, and how that compares with the log.

use std::collections::BTreeSet;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{Epoch, GatewayId, GroupNumber, HistoryHash, N, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::link::{Hello, History, OLDEST_VERSION, Standing, ToGateway, VERSION, Welcome, WelcomeGroup};

use super::event::LinkId;
use super::link::{Greeting, Link};
use super::nodes::Intent;
use super::{Action, Hub};
use crate::store::Change;
use crate::store::shared::Unit;

impl Hub {
    pub(super) fn link_opened(&mut self, id: LinkId, gateway: GatewayId, certificate: [u8; 32]) {
        let refused = self.refusal_of(&gateway, &certificate).is_some();
        self.links.insert(id, Link::new(gateway, certificate, self.config.credit));
        if refused || self.is_in_doubt(Unit::Registry) {
            // Another node may have let it in, or put it out, a moment ago.
            return self.when_fresh(Unit::Registry, Intent::Open(id));
        }
        self.judge_link(id);
    }

    pub(super) fn judge_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let (gateway, certificate) = (link.gateway.clone(), link.certificate);
        let held = link.held.take().unwrap_or_default();
        if let Some(condition) = self.refusal_of(&gateway, &certificate) {
            return self.close(id, condition, condition.admin_text());
        }
        if let Some(older) = self.online.get(&gateway).copied() {
            self.close(older, Condition::Replaced, Condition::Replaced.admin_text());
        }
        self.act(Unit::Registry, Intent::CertificateUsed(gateway.clone(), certificate));
        self.online.insert(gateway, id);
        held.into_iter().for_each(|stanza| self.stanza(id, stanza));
    }

    pub(super) fn link_closed(&mut self, id: LinkId) {
        self.forget_link(id);
    }

    pub(super) fn hello(&mut self, id: LinkId, hello: Hello) {
        if hello.version < OLDEST_VERSION {
            let text = format!("the gateway speaks version {}, the center at least {OLDEST_VERSION}", hello.version);
            return self.close(id, Condition::UnsupportedVersion, text);
        }
        let Some(link) = self.links.get(&id) else { return };
        if !matches!(link.greeting, Greeting::Awaited) {
            return self.close(id, Condition::BadRequest, "a link has one hello");
        }
        if self.config.shared {
            return self.take_link(id, hello);
        }
        self.compare(id, hello);
    }

    /// Reads what the log has at the places that the gateway remembers.
    pub(super) fn compare(&mut self, id: LinkId, hello: Hello) {
        // The cursor's hash first, then those of the older places, for each group.
        let mut places = Vec::new();
        for known in &hello.groups {
            places.push((known.group, known.cursor));
            places.extend(known.places.iter().map(|(seq, _)| (known.group, *seq)));
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.greeting = Greeting::Comparing(hello);
            self.actions.push_back(Action::ReadHashes { link: id, places });
        }
    }

    /// Tells all nodes that this one has the link, so that they end theirs, and wants to know what they have done till then.
    fn take_link(&mut self, id: LinkId, hello: Hello) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let gateway = link.gateway.clone();
        let runs = hello.groups.iter().filter_map(|known| Some((known.group, known.run.clone()?))).collect();
        let named = hello.groups.iter().map(|known| known.group);
        let member = self.groups.iter().filter(|(_, group)| group.is_member(&gateway)).map(|(number, _)| *number);
        let units: BTreeSet<_> = named.chain(member).map(Unit::Group).collect();
        link.greeting = Greeting::Taking(hello);
        let units = units.into_iter().collect();
        self.actions.push_back(Action::TakeLink { link: id, gateway, runs, units });
    }

    pub(super) fn hashes_read(&mut self, id: LinkId, hashes: &[Option<HistoryHash>]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Greeting::Comparing(hello) = std::mem::replace(&mut link.greeting, Greeting::Writing(None)) else { return };
        let mut named = hello.groups.iter().map(|known| Unit::Group(known.group));
        if let Some(unit) = named.find(|unit| self.nodes.is_stale(*unit)) {
            link.greeting = Greeting::Refreshing(hello);
            link.waits += 1;
            return self.act(unit, Intent::Greet(id));
        }
        let befores = std::mem::take(&mut link.before);
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
                Some(_) if self.config.shared => befores.get(&known.group).cloned(),
                Some(run) => group.runs.insert(gateway.clone(), run.clone()),
                None => None,
            };
            let mut welcome = self.welcome_group(&gateway, known.group, history, common, decided);
            welcome.iter_mut().for_each(|w| w.before.clone_from(&before));
            groups.push((welcome, history, same_life));
        }
        further.into_iter().for_each(|number| self.came_further(number, &gateway));
        // A gateway of this life of the log remembers what the log does not have: the log has lost its tail.
        let before = self.batch.count;
        for (welcome, history, same_life) in &mut groups {
            if *history == History::Forked && *same_life {
                let incarnation = self.new_incarnation();
                let Some(welcome) = welcome else { continue };
                if let Some(group) = self.groups.get_mut(&welcome.group) {
                    group.meta.incarnation = incarnation.clone();
                    welcome.incarnation = incarnation;
                    self.batch.change(Change::Group(group.meta.clone()));
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
        let known = hello.groups.iter().map(|known| (known.group, known.epoch.clone())).collect();
        if self.batch.count == before {
            self.send_welcome(id, &welcome, known);
        } else {
            // A new incarnation is told when it is on disk.
            if let Some(link) = self.links.get_mut(&id).filter(|_| self.config.shared) {
                link.before = befores;
                link.greeting = Greeting::Writing(Some(hello));
            }
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
