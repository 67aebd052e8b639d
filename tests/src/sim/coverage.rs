//! What the schedules have met: by this a run shows that it looked at what it claims to have looked at.

use std::collections::BTreeMap;
use std::fmt;

/// Counts, by name. A name is a kind and a thing, as in `fault: center crash`.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    /// It happened.
    pub fn note(&mut self, kind: &str, what: &str) {
        self.add(kind, what, 1);
    }

    /// It happened so many times.
    pub fn add(&mut self, kind: &str, what: &str, times: u64) {
        let name = format!("{kind}: {what}");
        *self.0.entry(name).or_default() += times;
    }

    /// Takes in what another schedule met.
    pub fn merge(&mut self, other: &Coverage) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// How often it happened.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Those of the names that never happened.
    #[must_use]
    pub fn missing<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        names.iter().copied().filter(|name| self.count(name) == 0).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, count)| writeln!(f, "{count:>10}  {name}"))
    }
}
