//! When each room wants to be looked at.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_schemas::ids::GroupNumber;
use intergroup_schemas::link::Timestamp;

/// One deadline for each room, the next one at hand.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_group: BTreeMap<GroupNumber, Timestamp>,
    by_time: BTreeSet<(Timestamp, GroupNumber)>,
}

impl Timers {
    pub(super) fn set(&mut self, group: GroupNumber, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.by_group.insert(group, at),
            None => self.by_group.remove(&group),
        };
        if before != at {
            if let Some(before) = before {
                self.by_time.remove(&(before, group));
            }
            self.by_time.extend(at.map(|at| (at, group)));
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(super) fn due(&self, now: Timestamp) -> Vec<GroupNumber> {
        self.by_time.iter().take_while(|(at, _)| *at <= now).map(|(_, group)| *group).collect()
    }
}
