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
