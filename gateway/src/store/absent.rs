//! What is kept for members who are not in the room: what was said meanwhile, and who has missed what of it.
//!
//! What was said is kept once for a room, however many have missed it; each person's row names the places of it that they missed.

use std::collections::BTreeSet;

use bytes::Bytes;
use intergroup_schemas::ids::{GroupNumber, UserId};
use intergroup_schemas::link::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{MessageId, Nick};

/// How members get what was said in the group while they were not in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offline {
    /// From the room's archive, which their clients read.
    Archive,
    /// From a queue here, when they are back.
    Queue,
    /// At once, at their own addresses: their server keeps it for them.
    Inbox,
}

impl Offline {
    /// What fits a room as it is.
    #[must_use]
    pub fn of_room(archive: bool) -> Self {
        if archive { Offline::Archive } else { Offline::Queue }
    }
}

/// A place among what was said in a group's room. Numbers only grow, without a gap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spot(pub u64);

impl Spot {
    /// The one behind it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Something said in a group's room, for those who were not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedRow {
    /// The group.
    pub group: GroupNumber,
    /// Its place.
    pub spot: Spot,
    /// The id under which it is delivered: the same at each attempt.
    pub id: MessageId,
    /// Who said it, if it was one of the company's own people: to them it is not delivered.
    pub user: Option<UserId>,
    /// The nick it was said under.
    pub author: Nick,
    /// When it was said.
    pub at: Timestamp,
    /// What was said, mentions already resolved.
    pub payload: Bytes,
}

/// What a member has missed of a group and not got yet. A row with nothing in it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsentRow {
    /// The group.
    pub group: GroupNumber,
    /// Who.
    pub user: UserId,
    /// What.
    pub absence: Absence,
}

/// What somebody has missed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// Spans of what was said, each from its first spot up to before its second, in order, apart from each other.
    pub spans: Vec<(Spot, Spot)>,
    /// Everything from here on, as long as the person is away.
    pub since: Option<Spot>,
    /// The person shares presence with the group's number (RFC 6121 section 3): asked for when the gateway starts.
    pub follows: bool,
}

impl Absence {
    /// Nothing is to be kept.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The first spot that the person may have missed.
    #[must_use]
    pub fn first(&self) -> Option<Spot> {
        self.spans.first().map(|(from, _)| *from).or(self.since)
    }

    /// How much that is, as long as `next` is the next spot.
    #[must_use]
    pub fn count(&self, next: Spot) -> u64 {
        let open = self.since.map_or(0, |since| next.0.saturating_sub(since.0));
        self.spans.iter().map(|(from, to)| to.0 - from.0).sum::<u64>() + open
    }

    /// The person is away from here on.
    pub fn begin(&mut self, at: Spot) {
        if self.since.is_none() {
            self.since = Some(at);
        }
    }

    /// The person is there: sees for themselves what is said from `until` on, and was shown some of what was said before. At most
    /// `most` spans are kept apart.
    pub fn end(&mut self, until: Spot, shown: &BTreeSet<Spot>, most: usize) {
        let Some(mut from) = self.since.take() else { return };
        for spot in shown.iter().copied().chain([until]).filter(|spot| *spot <= until) {
            if from < spot {
                self.add(from, spot, most);
            }
            from = from.max(spot.next());
        }
    }

    /// A span was missed after all.
    pub fn add(&mut self, from: Spot, to: Spot, most: usize) {
        self.spans.push((from, to));
        self.spans.sort_unstable();
        let mut apart: Vec<(Spot, Spot)> = Vec::with_capacity(self.spans.len());
        for (from, to) in std::mem::take(&mut self.spans) {
            match apart.last_mut() {
                Some(last) if last.1 >= from => last.1 = last.1.max(to),
                _ => apart.push((from, to)),
            }
        }
        // Rather something twice than not at all.
        while apart.len() > most {
            let (_, to) = apart.remove(1);
            apart[0].1 = to;
        }
        self.spans = apart;
    }

    /// Everything up to before `upto` has its outcome.
    pub fn got(&mut self, upto: Spot) {
        self.spans.retain(|(_, to)| *to > upto);
        if let Some((from, _)) = self.spans.first_mut() {
            *from = upto.max(*from);
        }
        self.since = self.since.map(|since| since.max(upto));
    }
}

/// How much of what was said is kept, by parts that go as wholes, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The next spot.
    pub next: Spot,
    /// Up to here the room has shown that it has what was said: whoever left before, and whose leaving was not heard, has
    /// missed no more than what follows.
    pub heard: Spot,
    /// The parts.
    pub parts: Vec<Part>,
}

/// A part of what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its first spot.
    pub from: Spot,
    /// Bytes of all its messages.
    pub bytes: u64,
    /// When its last message was kept, by our clock.
    pub at: Timestamp,
}

impl Kept {
    /// The oldest spot that there is; the next one when nothing is kept.
    #[must_use]
    pub fn first(&self) -> Spot {
        self.parts.first().map_or(self.next, |part| part.from)
    }

    /// Bytes of all that is kept.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// How many messages that is.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.next.0 - self.first().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(absence: &Absence) -> Vec<(u64, u64)> {
        absence.spans.iter().map(|(from, to)| (from.0, to.0)).collect()
    }

    #[test]
    fn spans_stay_in_order_and_apart() {
        let mut absence = Absence::default();
        absence.begin(Spot(3));
        absence.begin(Spot(9));
        absence.end(Spot(7), &BTreeSet::new(), 8);
        absence.begin(Spot(10));
        assert_eq!((spans(&absence), absence.count(Spot(12))), (vec![(3, 7)], 6));
        absence.end(Spot(12), &BTreeSet::from([Spot(9), Spot(12)]), 8);
        assert_eq!(spans(&absence), [(3, 7), (10, 12)]);
        absence.add(Spot(7), Spot(8), 8);
        absence.add(Spot(1), Spot(2), 8);
        assert_eq!(spans(&absence), [(1, 2), (3, 8), (10, 12)]);
        absence.add(Spot(20), Spot(21), 2);
        assert_eq!(spans(&absence), [(1, 12), (20, 21)]);
    }

    #[test]
    fn what_somebody_got_is_not_missed_any_more() {
        let mut absence = Absence { spans: vec![(Spot(3), Spot(7)), (Spot(10), Spot(12))], ..Absence::default() };
        absence.begin(Spot(20));
        absence.got(Spot(5));
        assert_eq!((spans(&absence), absence.first()), (vec![(5, 7), (10, 12)], Some(Spot(5))));
        absence.got(Spot(12));
        assert_eq!((spans(&absence), absence.first()), (Vec::new(), Some(Spot(20))));
        absence.got(Spot(23));
        assert_eq!(absence.since, Some(Spot(23)));
        absence.end(Spot(23), &BTreeSet::new(), 8);
        assert!(absence.is_nothing());
        absence.begin(Spot(5));
        absence.end(Spot(12), &[3, 5, 8, 10, 11].map(Spot).into(), 8);
        assert_eq!(spans(&absence), [(6, 8), (9, 10)]);
    }
}
