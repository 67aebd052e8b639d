//! Rules that the harness can break on purpose, between a core and its shell, so that tests show that it would be noticed.

/// One broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The center acts on a commit before it is durable.
    CenterActsBeforeCommit,
}
