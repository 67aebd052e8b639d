//! The comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A message as its author sent it: the author (`acme/alice`) and the author's own running number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    /// The author.
    pub author: String,
    /// 1, 2, 3, … for each author.
    pub n: u64,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.author, self.n)
    }
}

/// One line of a room's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The message that it claims to be.
    pub sent: Sent,
    /// Whether the line came from another company (its author's company is not the room's).
    pub foreign: bool,
}

/// What is known of one room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The company of the room.
    pub company: String,
    /// Messages that this room accepted from its own people: they saw the reflection.
    pub accepted: Vec<Sent>,
    /// Messages that this room's people sent without seeing a reflection: they may be in the archive, or not.
    pub unsure: BTreeSet<Sent>,
    /// The archive, oldest first.
    pub archive: Vec<Entry>,
}

/// What the audit found. Every list names the room's company and the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Accepted by their own room, but missing from its own archive: the server lost them, nobody else can have them.
    pub lost_at_home: Vec<String>,
    /// In the archive of the author's room, but not in another's.
    pub lost: Vec<String>,
    /// More than once in an archive.
    pub doubled: Vec<String>,
    /// Behind a later message of the same author.
    pub disordered: Vec<String>,
    /// In an archive, but never sent.
    pub invented: Vec<String>,
    /// Two foreign messages that two rooms show in different order.
    pub split: Vec<String>,
    /// Messages in the archives of their authors' rooms.
    pub messages: usize,
    /// Copies compared in other companies' rooms.
    pub copies: usize,
}

impl Verdict {
    /// Whether the bridge kept its promise. What a server lost of its own people's messages is the server's affair, and
    /// reported.
    pub fn is_good(&self) -> bool {
        let all = [&self.lost, &self.doubled, &self.disordered, &self.invented, &self.split];
        all.iter().all(|list| list.is_empty()) && self.messages > 0
    }
}

/// How many examples of each defect are printed.
const SHOWN: usize = 5;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages, {} copies: {} lost, {} twice, {} out of order, {} invented, {} in another order elsewhere",
            self.messages,
            self.copies,
            self.lost.len(),
            self.doubled.len(),
            self.disordered.len(),
            self.invented.len(),
            self.split.len()
        )?;
        if !self.lost_at_home.is_empty() {
            write!(f, " ({} lost by the server that had accepted them)", self.lost_at_home.len())?;
        }
        let lists = [
            ("lost", &self.lost),
            ("twice", &self.doubled),
            ("out of order", &self.disordered),
            ("invented", &self.invented),
            ("another order", &self.split),
            ("lost by its own server", &self.lost_at_home),
        ];
        for (name, list) in lists {
            for example in list.iter().take(SHOWN) {
                write!(f, "\n    {name}: {example}")?;
            }
        }
        Ok(())
    }
}

/// Compares the rooms. All of them are connected in one group for the whole time.
pub fn audit(rooms: &[Record]) -> Verdict {
    let mut verdict = Verdict::default();
    let everywhere: BTreeSet<&Sent> = rooms.iter().flat_map(|r| r.archive.iter().map(|e| &e.sent)).collect();
    // What must be everywhere: what the author's own room has in its archive, and what it once accepted, then forgot in a
    // crash, but had passed on by then.
    let mut expected: BTreeMap<&str, BTreeSet<&Sent>> = BTreeMap::new();
    for room in rooms {
        let own: BTreeSet<&Sent> = room.archive.iter().filter(|e| !e.foreign).map(|e| &e.sent).collect();
        for sent in &room.accepted {
            if !own.contains(sent) {
                verdict.lost_at_home.push(format!("{sent} at {}", room.company));
            }
        }
        let known: BTreeSet<&Sent> = room.accepted.iter().chain(&room.unsure).collect();
        for stranger in own.difference(&known) {
            verdict.invented.push(format!("{stranger} at {}", room.company));
        }
        verdict.messages += own.len();
        let passed_on = known.intersection(&everywhere).copied();
        expected.insert(&room.company, own.iter().copied().chain(passed_on).collect());
    }
    for room in rooms {
        inside(room, &expected, &mut verdict);
    }
    for (i, one) in rooms.iter().enumerate() {
        for other in &rooms[i + 1..] {
            across(one, other, &mut verdict);
        }
    }
    verdict
}

/// One room's archive by itself: nothing missing, nothing twice, each author's messages in order.
fn inside(room: &Record, expected: &BTreeMap<&str, BTreeSet<&Sent>>, verdict: &mut Verdict) {
    let (mut seen, mut last) = (BTreeSet::new(), BTreeMap::new());
    for entry in &room.archive {
        if !seen.insert(&entry.sent) {
            verdict.doubled.push(format!("{} at {}", entry.sent, room.company));
            continue;
        }
        let highest = last.entry(&entry.sent.author).or_insert(0);
        if entry.sent.n < *highest {
            verdict.disordered.push(format!("{} after #{highest} at {}", entry.sent, room.company));
        }
        *highest = entry.sent.n.max(*highest);
    }
    let wanted: BTreeSet<&Sent> =
        expected.iter().filter(|(at, _)| **at != room.company).flat_map(|(_, set)| set.iter().copied()).collect();
    let got: BTreeSet<&Sent> = room.archive.iter().filter(|e| e.foreign).map(|e| &e.sent).collect();
    verdict.copies += got.len();
    verdict.lost.extend(wanted.difference(&got).map(|s| format!("{s} at {}", room.company)));
    verdict.invented.extend(got.difference(&wanted).map(|s| format!("{s} at {}", room.company)));
}

/// Two rooms: messages that are foreign to both stand in the same order in both.
fn across(one: &Record, other: &Record, verdict: &mut Verdict) {
    let mut place = BTreeMap::new();
    for (at, entry) in other.archive.iter().enumerate().filter(|(_, e)| e.foreign) {
        place.entry(&entry.sent).or_insert(at);
    }
    let (mut seen, mut before) = (BTreeSet::new(), None::<(usize, &Sent)>);
    for entry in one.archive.iter().filter(|e| e.foreign && seen.insert(&e.sent)) {
        let Some(&at) = place.get(&entry.sent) else { continue };
        if let Some((highest, earlier)) = before
            && at < highest
        {
            verdict.split.push(format!("{} and {earlier} at {} and {}", entry.sent, one.company, other.company));
        }
        if before.is_none_or(|(highest, _)| at > highest) {
            before = Some((at, &entry.sent));
        }
    }
}
