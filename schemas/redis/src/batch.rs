//! What is to change, in the words of `apply.lua`: rows put and deleted, ranges of rows, and entries appended to logs.
//!
//! A row is one member of the sorted set of its slot, where all have the same score and so lie in the order of their bytes:
//! key, a zero, value. Keys hold no zero. A row with indexes has between zero and value a list of them, and each index is a member
//! of its own: index, a zero, the row's key.

use std::collections::{BTreeMap, BTreeSet};

/// What shares a slot of a Cluster, and so can change together anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// What belongs to no group, and the register of groups.
    Main,
    /// All of a group.
    Group(u64),
}

impl Slot {
    /// As it is called in words to other writers.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Slot::Main => "main".to_owned(),
            Slot::Group(group) => group.to_string(),
        }
    }

    /// The slot of this name. None: there is no such name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name == "main" { Some(Slot::Main) } else { name.parse().ok().map(Slot::Group) }
    }
}

/// The key of a row, or of an index: a letter for the table, then its parts, in the order in which they sort.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub(crate) Vec<u8>);

/// Parts of a key are told apart by this byte, which sorts before every other that they hold.
const BETWEEN: u8 = 1;

impl Key {
    /// The key of a table's only row, or the beginning of any.
    #[must_use]
    pub fn of(table: u8) -> Self {
        Self(vec![table])
    }

    /// With a number behind it; numbers sort as numbers do.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(format!("{number:016x}").as_bytes());
        self
    }

    /// With a number that may be negative behind it.
    #[must_use]
    pub fn signed(self, number: i64) -> Self {
        self.number(number.cast_unsigned() ^ (1 << 63))
    }

    /// With a last part behind it. A byte that has a meaning here, which no id can hold, becomes another.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.0.extend(text.bytes().map(|b| if b <= BETWEEN { b'?' } else { b }));
        self
    }

    /// With a part behind it that another follows.
    #[must_use]
    pub fn part(self, text: &str) -> Self {
        let mut key = self.text(text);
        key.0.push(BETWEEN);
        key
    }

    /// The first key behind all that begin so.
    #[must_use]
    pub fn end(mut self) -> Self {
        self.0.push(u8::MAX);
        self
    }

    /// The first key behind this one.
    #[must_use]
    pub fn behind(mut self) -> Self {
        self.0.push(BETWEEN);
        self
    }
}

/// A row as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    member: Vec<u8>,
    zero: usize,
}

impl Row {
    /// None: it is not a row.
    pub(crate) fn new(member: Vec<u8>) -> Option<Self> {
        let zero = member.iter().position(|b| *b == 0)?;
        (zero > 0).then_some(Self { member, zero })
    }

    /// The letter of its table.
    #[must_use]
    pub fn table(&self) -> u8 {
        self.member[0]
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Key {
        Key(self.member[..self.zero].to_vec())
    }

    /// The parts of its key behind the table's letter and the first `skip` bytes. None: these are not there, or not text.
    #[must_use]
    pub fn parts(&self, skip: usize) -> Option<Vec<&str>> {
        let text = std::str::from_utf8(self.member.get(1 + skip..self.zero)?).ok()?;
        Some(text.split(char::from(BETWEEN)).collect())
    }

    /// The number of 16 digits that stands in the key behind the table's letter and `skip` bytes. None: there is none.
    #[must_use]
    pub fn number(&self, skip: usize) -> Option<u64> {
        let digits = self.member.get(1 + skip..1 + skip + NUMBER)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// What stands behind the key.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.member[self.zero + 1..]
    }

    /// The number of 16 digits that stands in the first index of a row that was put with some, behind `skip` bytes.
    #[must_use]
    pub fn first_index(&self, skip: usize) -> Option<u64> {
        const LENGTHS: usize = 3;
        let digits = self.value().get(LENGTHS + skip..LENGTHS + skip + NUMBER)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// The value of a row that was put with indexes. None: it was not.
    #[must_use]
    pub fn indexed(&self) -> Option<&[u8]> {
        let (count, mut rest) = self.value().split_first()?;
        for _ in 0..*count {
            let (length, behind) = rest.split_first_chunk()?;
            rest = behind.get(usize::from(u16::from_be_bytes(*length))..)?;
        }
        Some(rest)
    }
}

/// Digits of a number in a key.
pub const NUMBER: usize = 16;

/// What one commit adds to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The place of the first entry.
    pub first: u64,
    /// The place of the last.
    pub last: u64,
    /// How much they count.
    pub size: u64,
    /// The log's state behind the last.
    pub state: Vec<u8>,
    /// A row to put, to whose value the count of the whole log up to here is appended.
    pub milestone: Option<(Key, Vec<u8>)>,
    /// The entries.
    pub entries: Vec<u8>,
}

#[derive(Debug)]
struct Op {
    name: &'static str,
    arguments: Vec<Vec<u8>>,
}

/// Under which versions one of several writers changes slots. Versions are words without spaces, never used twice.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The version that they have then.
    pub version: String,
    /// Each slot that changes, with the version that it must have now: none at the beginning, any for `*`.
    pub bases: Vec<(Slot, String)>,
}

/// Changes, in order. What is of one slot is done all or nothing, and on anything but a Cluster all of it is.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) registered: BTreeSet<u64>,
    slots: BTreeMap<Slot, Vec<Op>>,
}

impl Batch {
    fn push(&mut self, slot: Slot, name: &'static str, arguments: Vec<Vec<u8>>) {
        if let Slot::Group(group) = slot {
            self.registered.insert(group);
        }
        self.slots.entry(slot).or_default().push(Op { name, arguments });
    }

    /// Puts a row in the place of any that has its key.
    pub fn put(&mut self, slot: Slot, key: Key, value: Vec<u8>) {
        self.push(slot, "put", vec![key.0, value]);
    }

    /// Puts a row whose value begins with its place in an order, of [`NUMBER`] bytes; one that is there keeps its own.
    pub fn put_in_place(&mut self, slot: Slot, key: Key, value: Vec<u8>) {
        self.push(slot, "place", vec![key.0, value]);
    }

    /// Puts a row that is found by its indexes, too.
    pub fn put_indexed(&mut self, slot: Slot, key: Key, indexes: &[Key], value: &[u8]) {
        let mut tail = vec![u8::try_from(indexes.len()).unwrap_or(u8::MAX)];
        for index in indexes.iter().take(usize::from(u8::MAX)) {
            tail.extend_from_slice(&u16::try_from(index.0.len()).unwrap_or(u16::MAX).to_be_bytes());
            tail.extend_from_slice(&index.0);
        }
        tail.extend_from_slice(value);
        self.push(slot, "index", vec![key.0, tail]);
    }

    /// Deletes a row that has no indexes.
    pub fn delete(&mut self, slot: Slot, key: Key) {
        self.push(slot, "delete", vec![key.0]);
    }

    /// Deletes rows that have no indexes, from a key up to another.
    pub fn delete_range(&mut self, slot: Slot, from: Key, to: Key) {
        self.push(slot, "range", vec![from.0, to.0]);
    }

    /// Deletes the rows that are found by indexes from one up to another.
    pub fn delete_indexed(&mut self, slot: Slot, from: Key, to: Key) {
        self.push(slot, "found", vec![from.0, to.0]);
    }

    /// Deletes every row of the slot.
    pub fn clear(&mut self, slot: Slot) {
        self.push(slot, "clear", Vec::new());
    }

    /// Appends to the slot's log. Refused, with the whole batch, where the first is not the next of the log.
    pub fn append(&mut self, slot: Slot, append: Append) {
        let number = |n: u64| n.to_string().into_bytes();
        let (key, value) = append.milestone.map_or_else(Default::default, |(key, value)| (key.0, value));
        let (first, last, size) = (number(append.first), number(append.last), number(append.size));
        self.push(slot, "append", vec![first, last, size, append.state, key, value, append.entries]);
    }

    /// Removes from the slot's log what was appended up to a place; what was appended together stays together.
    pub fn trim(&mut self, slot: Slot, upto: u64) {
        self.push(slot, "trim", vec![format!("{}-0", upto.saturating_add(1)).into_bytes()]);
    }

    /// Empties every row from a key up to another that has a value, and gives it the one index that `index` begins and the row's
    /// key without its letter ends.
    pub fn empty(&mut self, slot: Slot, from: Key, to: Key, index: Key) {
        self.push(slot, "empty", vec![from.0, to.0, index.0]);
    }

    /// Whether nothing is to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What is to change, by slot, as arguments of the script: the place of the slot among the slots given, by the first of its
    /// keys, stands in for the slot itself.
    pub(crate) fn arguments<'a>(&'a self, slots: &'a [Slot], first_key: usize) -> impl Iterator<Item = Vec<u8>> + 'a {
        slots.iter().enumerate().flat_map(move |(at, slot)| {
            let key = (first_key + at * crate::script::KEYS_OF_A_SLOT).to_string().into_bytes();
            self.slots.get(slot).into_iter().flatten().flat_map(move |op| {
                [op.name.as_bytes().to_vec(), key.clone()].into_iter().chain(op.arguments.iter().cloned())
            })
        })
    }

    /// The slots that change, groups first: what belongs to no group says what has been done to groups.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let groups = self.slots.keys().copied().filter(|slot| *slot != Slot::Main);
        groups.chain(self.slots.contains_key(&Slot::Main).then_some(Slot::Main)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_what_they_are_made_of() {
        let key = || Key::of(b'x');
        assert!(key().number(9) < key().number(10) && key().number(u64::MAX - 1) < key().number(u64::MAX));
        assert!(key().signed(-5) < key().signed(-4) && key().signed(-1) < key().signed(0));
        assert!(key().part("a").text("z") < key().part("a-b").text("a"), "by part, not by letter");
        assert!(key().number(7).text("zz") < key().number(7).end() && key().number(7).end() < key().number(8));
        assert!(key().text("a") < key().text("a").behind() && key().text("a").behind() < key().text("a!"));
    }

    #[test]
    fn rows_are_taken_apart() {
        let row = Row::new(b"x000000000000000aone\x01two\x00value\x00more".to_vec()).unwrap();
        assert_eq!((row.table(), row.number(0)), (b'x', Some(10)));
        assert_eq!(row.parts(NUMBER), Some(vec!["one", "two"]));
        assert_eq!(row.value(), b"value\x00more");
        assert_eq!(Row::new(b"no zero".to_vec()), None);
        let indexed = Row::new(b"x\x00\x02\x00\x01a\x00\x02bcvalue".to_vec()).unwrap();
        assert_eq!(indexed.indexed(), Some(&b"value"[..]));
        assert_eq!(Row::new(b"x\x00\x02\x00\x01a".to_vec()).unwrap().indexed(), None);
    }
}
