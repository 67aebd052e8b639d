//! Several hubs over one store: commits, reads and words of each are held back, lost and mixed as a seed says, gateways move between
//! nodes and leave zombies behind, nodes die; and there is one order, nothing is lost and nothing is twice.
//!
//! In: a seed. Out: a panic that says what must never happen and did. Never here: any chance but the seed's. `many` has the nodes
//! and gateways and what can happen to them; here is what must be true in the end.

mod many;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::hub::status::GroupStatus;
use crate::store::RecordKind;
use crate::store::shared::Version;
use many::{Client, NAMES, Nodes};

impl Nodes {
    fn all_well(&self) -> bool {
        let done = |client: &Client| {
            client.up
                && client.rooms.iter().all(|(number, room)| {
                    let head = self.book.range(..=(*number, Seq(u64::MAX))).next_back().map(|((_, seq), _)| *seq);
                    room.given == self.each && room.decided == self.each && Some(room.cursor) == head
                })
        };
        self.clients.iter().all(done)
    }

    fn group_at(&mut self, at: usize, number: GroupNumber) -> GroupStatus {
        self.ask(at, AdminRequest::ShowGroup(number));
        match self.replies.get(&AdminId(1_000 + self.asked)) {
            Some(AdminReply::Groups(all)) => all[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    /// One order, everything in it once, and all nodes know the same.
    fn check(&mut self) {
        let numbers: BTreeSet<_> = self.book.keys().map(|(number, _)| *number).collect();
        for number in numbers {
            let mut stored = BTreeMap::new();
            let mut suspended = BTreeSet::new();
            let joined = |record: &&crate::store::Record| {
                matches!(&record.kind, RecordKind::Change(intergroup_schemas::link::Change::Joined { .. }))
            };
            let of = || self.book.range((number, Seq(0))..=(number, Seq(u64::MAX))).map(|(_, record)| record);
            assert!(of().filter(joined).count() <= 3, "a group is made once");
            for record in self.book.range((number, Seq(0))..=(number, Seq(u64::MAX))).map(|(_, record)| record) {
                if let RecordKind::Message { key, .. } = &record.kind {
                    assert_eq!(stored.insert(key.to_string(), record.seq), None, "{key} is there twice");
                }
                match &record.kind {
                    RecordKind::Change(intergroup_schemas::link::Change::Suspended { enterprise }) => {
                        suspended.insert(enterprise.clone());
                    }
                    RecordKind::Change(intergroup_schemas::link::Change::Resumed { enterprise }) => {
                        suspended.remove(enterprise);
                    }
                    RecordKind::Message { origin, .. } => {
                        assert!(!suspended.contains(&origin.enterprise), "who is suspended does not speak");
                    }
                    RecordKind::Change(_) => {}
                }
            }
            for client in &self.clients {
                let Some(room) = client.rooms.get(&number) else { continue };
                let mut before = Seq(0);
                for n in (1..=self.each).filter(|n| !n.is_multiple_of(7) && !n.is_multiple_of(5)) {
                    let seq = *stored.get(&format!("k{}.{n}", client.me)).expect("nothing is lost");
                    assert!(seq > before, "a sender's messages keep their order");
                    before = seq;
                }
                for (seq, word) in room.got.iter().filter(|(_, word)| word != "entry") {
                    assert_eq!(stored.get(word), Some(seq), "all see the log's order");
                }
            }
            let known: Vec<_> = (0..self.nodes.len())
                .map(|at| {
                    let status = self.group_at(at, number);
                    (status.head, status.list, status.digest, status.accounts, status.bytes, status.listed)
                })
                .collect();
            assert!(known.windows(2).all(|pair| pair[0] == pair[1]), "all nodes know the same: {known:?}");
            let on_disk = self.store.load().unwrap().groups.into_iter().find(|g| g.group.number == number).unwrap();
            assert_eq!((known[0].2, known[0].4), (on_disk.group.digest, on_disk.bytes));
        }
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step(true);
        }
        for (at, name) in NAMES.iter().enumerate() {
            let node = at % self.nodes.len();
            self.ask(node, AdminRequest::Resume(name.parse().unwrap()));
        }
        let mut left = 400_000;
        while !self.all_well() {
            self.step(false);
            left -= 1;
            assert!(left > 0, "all heals");
        }
        for at in 0..self.nodes.len() {
            while self.nodes[at].commits.len() + self.nodes[at].news.len() + self.nodes[at].words.len() > 0 {
                self.step(false);
            }
            let versions = self.store.versions(None).unwrap();
            self.event(at, Event::Versions(versions));
            while let Some(job) = self.nodes[at].news.pop_front() {
                self.job(at, job);
            }
        }
        self.check();
    }
}

#[test]
fn whatever_happens_there_is_one_order_and_nothing_is_lost_or_twice() {
    let mut conflicts = 0;
    for seed in 0..60 {
        let nodes = 2 + usize::try_from(seed % 2).unwrap();
        let cache_bytes = [0, 2000, 1 << 24][usize::try_from(seed % 3).unwrap()];
        println!("seed {seed}");
        let mut all = Nodes::new(seed, nodes, Config { cache_bytes, ..Config::default() });
        all.run(6000);
        conflicts += all.conflicts;
    }
    assert!(conflicts > 1000, "nodes were in each other's way: {conflicts}");
}

#[test]
fn nodes_that_cut_the_same_logs_agree() {
    let mut floors = 0;
    for seed in 1_000..1_010 {
        println!("seed {seed}");
        let config = Config { retention_bytes: 10_000, cache_bytes: 2000, ..Config::default() };
        let mut all = Nodes::new(seed, 2, config);
        all.each = 150;
        all.run(20_000);
        floors += all.store.load().unwrap().groups.iter().filter(|group| group.floor > Seq(0)).count();
    }
    assert!(floors > 10, "logs were cut: {floors}");
}

#[test]
fn a_version_is_never_taken_for_another() {
    assert_ne!(Version::of(1, 2), Version::of(2, 1));
    assert_eq!(Version::of(7, 9).parts(), (7, 9));
}
