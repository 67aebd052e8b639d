//! What an administrator can see of the link to the center: its state, and figures.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::monitor::monitor;

/// How the link is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// Not up yet.
    #[default]
    Connecting,
    /// Up, over this address.
    Up(String),
    /// Down, and tried again. What happened, what it means, what to do.
    Down(String),
}

monitor! {
    State;
    /// Links that came up.
    link_connections,
    /// Stanzas read.
    link_stanzas_in,
    /// Stanzas written.
    link_stanzas_out,
    /// Flushes, each of which writes all that waited.
    link_flushes,
}

pub(super) fn count(figure: &AtomicU64, more: usize) {
    figure.fetch_add(more as u64, Ordering::Relaxed);
}
