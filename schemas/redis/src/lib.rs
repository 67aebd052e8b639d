//! Ordered rows in Redis, in atomic batches under a fence: what the center's store and the gateway's store on Redis share.
//!
//! In: an [`Address`], batches of rows and of entries of logs. Out: pages of rows and of logs, in order; errors that say what
//! happened to the store. Never here: what rows mean (the two `store/redis` folders know), and decisions.
//!
//! Two ways to write. Whoever opens an [`Engine`] owns what is under its prefix: every batch carries the owner's token and its number, and is
//! refused when another has opened it since, or when an earlier batch is missing. So a process that was frozen can never
//! write behind the next one's back; an answer that was lost is asked for again without harm; and a Redis that forgot what it had
//! acknowledged is found out at the next batch. Whoever shares one writes beside others, slot by slot, each under the version on
//! which its change is based; what another has changed meanwhile is refused.

mod address;
mod batch;
mod connection;
mod durable;
mod engine;
mod files;
mod script;
mod shared;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use address::{Address, BadAddress};
pub use batch::{Append, Batch, Claims, Key, NUMBER, Row, Slot};
pub use connection::{Password, Settings};
pub use engine::{Engine, LogRow};
pub use files::Files;
pub use shared::{Listener, Unit};

/// Why a store on Redis cannot serve. Nothing of a batch that was refused is there, but for a Cluster, where slots that came first
/// may have theirs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Somebody else has opened the store.
    #[error(
        "{TAKEN_OVER}: nothing is written by this one any more. Stop one of the two; this one does nothing until it is restarted"
    )]
    TakenOver,
    /// Something that was acknowledged is not there.
    #[error(
        "Redis has lost what it had acknowledged (a crash without `appendfsync always`, or a fail-over to a replica that was behind); \
         everything is read anew, and what others still hold is asked of them"
    )]
    Lost,
    /// Redis is away, or does not do what it is asked.
    #[error("{0}")]
    Unusable(String),
}

/// How the text of [`Error::TakenOver`] begins.
pub const TAKEN_OVER: &str = "another process has taken over the store";
