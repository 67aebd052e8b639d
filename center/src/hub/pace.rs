//! Rates of enterprises and groups: what comes faster waits its turn here, and nothing of it is lost.
//!
//! What waits is bounded twice. A gateway sends no more of a group than its window before it is decided; and of a link at
//! most so many bytes wait. What is over that is let fall: when the rest has had its turn, the gateway is told which n is
//! expected, and sends it again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{EnterpriseId, Epoch, GatewayId, GroupNumber, N};
use intergroup_schemas::link::{Expect, Timestamp, ToGateway};
use intergroup_schemas::rate::Bucket;

use super::Hub;
use super::event::LinkId;
use super::group::Pending;

/// Most messages of one gateway in one group that wait: so many windows, since it may have sent some again meanwhile.
const WAITING_WINDOWS: usize = 2;
/// Most bytes of payload that wait on one link; but of each group the first may wait, or it would never have its turn.
const WAITING_BYTES: usize = 2 * 1024 * 1024;
/// What an account of an edit of a user list counts for among them.
const ACCOUNT_BYTES: usize = 256;
/// Those who wait are looked at so often, in milliseconds: a longer time costs delay, a shorter one wake-ups.
const LOOK_EVERY_MS: i64 = 10;

/// A gateway's messages in a group.
type Key = (GatewayId, GroupNumber);

/// What waits, and what has been used of every rate.
#[derive(Debug, Default)]
pub(super) struct Pace {
    enterprises: BTreeMap<EnterpriseId, Used>,
    groups: BTreeMap<GroupNumber, Used>,
    queues: BTreeMap<Key, Queue>,
    /// Bytes of payload that wait, by link.
    bytes: BTreeMap<LinkId, usize>,
    /// Whose turn it was last: the next in order begins.
    last: Option<Key>,
    at: Option<Timestamp>,
}

/// Of one rate.
#[derive(Debug, Default)]
struct Used {
    bucket: Bucket,
    /// Messages that had to wait since the process began.
    paced: u64,
}

/// All of one link.
#[derive(Debug)]
struct Queue {
    link: LinkId,
    waiting: VecDeque<Pending>,
    /// The first that was let fall, since too many bytes wait.
    fallen: Option<(Epoch, N)>,
}

impl Pending {
    fn bytes(&self) -> usize {
        match self {
            Pending::Relay(relay) => relay.payload.len(),
            Pending::Edit(edit) => edit.accounts.len() * ACCOUNT_BYTES,
            Pending::Bad(..) => 0,
        }
    }
}

impl Pace {
    /// When somebody who waits may have a turn.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.at
    }

    /// Messages of an enterprise that had to wait since the process began, and that wait now.
    pub(super) fn of_enterprise(&self, id: &EnterpriseId) -> (u64, usize) {
        let waiting = self.queues.iter().filter(|((gateway, _), _)| gateway.enterprise == *id);
        (self.enterprises.get(id).map_or(0, |used| used.paced), waiting.map(|(_, q)| q.waiting.len()).sum())
    }

    /// The same of a group.
    pub(super) fn of_group(&self, number: GroupNumber) -> (u64, usize) {
        let waiting = self.queues.iter().filter(|((_, group), _)| *group == number);
        (self.groups.get(&number).map_or(0, |used| used.paced), waiting.map(|(_, q)| q.waiting.len()).sum())
    }

    /// A link is gone: what waited will be sent again.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.queues.retain(|_, queue| queue.link != link);
        self.bytes.remove(&link);
    }
}

impl Hub {
    /// A message has come. It is dealt with now, or when it is its turn.
    pub(super) fn paced(&mut self, id: LinkId, number: GroupNumber, pending: Pending) {
        let Some(gateway) = self.links.get(&id).map(|l| l.gateway.clone()) else { return };
        let key = (gateway, number);
        if !self.pace.queues.contains_key(&key) && self.take_turn(&key) {
            return self.pending(id, number, pending);
        }
        self.counters.paced += 1;
        self.pace.enterprises.entry(key.0.enterprise.clone()).or_default().paced += 1;
        // Only groups that there are: nobody fills this table with others.
        if self.groups.contains_key(&number) {
            self.pace.groups.entry(number).or_default().paced += 1;
        }
        let bytes = self.pace.bytes.entry(id).or_default();
        let new = || Queue { link: id, waiting: VecDeque::new(), fallen: None };
        let queue = self.pace.queues.entry(key).or_insert_with(new);
        if queue.waiting.len() >= WAITING_WINDOWS * self.config.relay_window as usize {
            return self.close(id, Condition::OverLimit, "more messages wait for their turn than the window allows");
        }
        let full = !queue.waiting.is_empty() && *bytes + pending.bytes() > WAITING_BYTES;
        if full || queue.fallen.is_some() {
            self.counters.fallen += 1;
            queue.fallen.get_or_insert_with(|| (pending.epoch().clone(), pending.n()));
        } else {
            *bytes += pending.bytes();
            queue.waiting.push_back(pending);
        }
        self.pace.at.get_or_insert(Timestamp(self.now.0 + LOOK_EVERY_MS));
    }

    /// Gives those who wait their turns, as far as the rates go.
    pub(super) fn pace_if_due(&mut self) {
        if self.pace.at.is_none_or(|at| at > self.now) {
            return;
        }
        // Round by round, one message of each, so that none waits for all of another.
        let mut out: BTreeSet<EnterpriseId> = BTreeSet::new();
        let mut full: BTreeSet<GroupNumber> = BTreeSet::new();
        let order = self.in_order();
        loop {
            let mut moved = false;
            for key in &order {
                let done = out.contains(&key.0.enterprise) || full.contains(&key.1);
                if done || !self.pace.queues.contains_key(key) {
                    continue;
                }
                if !self.take_turn(key) {
                    let (of_enterprise, of_group) = self.ready_at(key);
                    if of_enterprise > self.now {
                        out.insert(key.0.enterprise.clone());
                    }
                    if of_group > self.now {
                        full.insert(key.1);
                    }
                    continue;
                }
                moved = true;
                self.turn(key);
            }
            if !moved {
                break;
            }
        }
        let ready = self.pace.queues.keys().map(|key| self.ready_at(key)).map(|(e, g)| e.max(g)).min();
        self.pace.at = ready.map(|ready| ready.max(Timestamp(self.now.0 + LOOK_EVERY_MS)));
    }

    /// All who wait, beginning behind the one that had its turn last.
    fn in_order(&self) -> Vec<Key> {
        let (before, behind): (Vec<_>, Vec<_>) =
            self.pace.queues.keys().cloned().partition(|key| self.pace.last.as_ref().is_some_and(|last| key <= last));
        behind.into_iter().chain(before).collect()
    }

    /// The first that waits in a queue is dealt with.
    fn turn(&mut self, key: &Key) {
        let Some(queue) = self.pace.queues.get_mut(key) else { return };
        let (link, next) = (queue.link, queue.waiting.pop_front());
        let fallen = if queue.waiting.is_empty() { self.pace.queues.remove(key).and_then(|q| q.fallen) } else { None };
        let number = key.1;
        self.pace.last = Some(key.clone());
        if let Some(pending) = next {
            if let Some(bytes) = self.pace.bytes.get_mut(&link) {
                *bytes -= pending.bytes();
            }
            self.pending(link, number, pending);
        }
        if let Some((epoch, n)) = fallen {
            self.send_again(link, key, epoch, n);
        }
    }

    /// Asks for what was let fall.
    fn send_again(&mut self, link: LinkId, (gateway, number): &Key, epoch: Epoch, n: N) {
        let Some(group) = self.groups.get_mut(number) else { return };
        let expected = group.expected(gateway, &epoch);
        if n >= expected && self.links.contains_key(&link) {
            let expect = Expect { group: *number, epoch, n: expected, fork: false };
            self.send(link, &ToGateway::Expect(expect));
        }
    }

    pub(super) fn pending(&mut self, id: LinkId, number: GroupNumber, pending: Pending) {
        match pending {
            Pending::Relay(relay) => self.relay(id, relay),
            Pending::Edit(edit) => self.edit(id, edit),
            Pending::Bad(epoch, n, condition) => self.bad_relay(id, number, epoch, n, condition),
        }
    }

    /// Whether both rates let one more through; it is counted then.
    fn take_turn(&mut self, key: &Key) -> bool {
        let (of_enterprise, of_group) = self.ready_at(key);
        if of_enterprise > self.now || of_group > self.now {
            return false;
        }
        let (enterprise, group) = (self.config.enterprise_rate, self.config.group_rate);
        if !self.pace.enterprises.contains_key(&key.0.enterprise) {
            self.pace.enterprises.insert(key.0.enterprise.clone(), Used::default());
        }
        if let Some(used) = self.pace.enterprises.get_mut(&key.0.enterprise) {
            used.bucket.take(enterprise, self.now);
        }
        if self.groups.contains_key(&key.1) {
            self.pace.groups.entry(key.1).or_default().bucket.take(group, self.now);
        }
        true
    }

    /// When the enterprise's and the group's rate let one more through.
    fn ready_at(&self, (gateway, number): &Key) -> (Timestamp, Timestamp) {
        let pace = &self.pace;
        let ready = |used: Option<&Used>, rate| used.map_or(self.now, |used| used.bucket.ready_at(rate, self.now));
        (
            ready(pace.enterprises.get(&gateway.enterprise), self.config.enterprise_rate),
            ready(pace.groups.get(number), self.config.group_rate),
        )
    }
}
