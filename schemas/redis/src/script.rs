//! The scripts that run in Redis, and the names of keys.

use std::sync::LazyLock;

use redis::Script;

use crate::Slot;

/// Keys that `apply.lua` is given for each slot: rows, log, end of the log.
pub(crate) const KEYS_OF_A_SLOT: usize = 3;

pub(crate) static APPLY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("apply.lua")));
pub(crate) static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));
pub(crate) static RAISE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("raise.lua")));
pub(crate) static FOUND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("found.lua")));

pub(crate) static UNIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("unit.lua")));
pub(crate) static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));
pub(crate) static MEET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("meet.lua")));

/// The names of all keys under a prefix. What stands in braces decides the slot.
#[derive(Debug, Clone)]
pub(crate) struct Names(pub(crate) String);

impl Names {
    fn of(&self, slot: Slot, what: &str) -> String {
        match slot {
            Slot::Main => format!("{}:{{main}}:{what}", self.0),
            Slot::Group(group) => format!("{}:{{{group}}}:{what}", self.0),
        }
    }

    /// Whose store it is, and its format.
    pub(crate) fn format(&self) -> String {
        self.of(Slot::Main, "format")
    }

    /// Owner and last batch.
    pub(crate) fn fence(&self, slot: Slot) -> String {
        self.of(slot, "fence")
    }

    /// What one of several writers has done last.
    pub(crate) fn session(&self, slot: Slot, session: &str) -> String {
        self.of(slot, &format!("writer:{session}"))
    }

    /// How often each thing was taken that only one writer may have.
    pub(crate) fn taken(&self) -> String {
        self.of(Slot::Main, "taken")
    }

    /// Marks of such a thing.
    pub(crate) fn marks(&self, what: &str) -> String {
        self.of(Slot::Main, &format!("marks:{what}"))
    }

    /// The writers there are.
    pub(crate) fn writers(&self) -> String {
        self.of(Slot::Main, "writers")
    }

    /// Where writers hear of each other.
    pub(crate) fn channel(&self) -> String {
        format!("{}:words", self.0)
    }

    /// The sorted set of rows.
    pub(crate) fn rows(&self, slot: Slot) -> String {
        self.of(slot, "rows")
    }

    /// The stream of the log.
    pub(crate) fn log(&self, slot: Slot) -> String {
        self.of(slot, "log")
    }

    /// Where the log ends.
    pub(crate) fn end(&self, slot: Slot) -> String {
        self.of(slot, "end")
    }
}
