//! What an administrator can see of the component link: its state, and figures.

use crate::monitor::monitor;

/// How the link is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// Not up yet.
    #[default]
    Connecting,
    /// Up. `exclusive`: no other connection shares the stream.
    Up {
        /// See above.
        exclusive: bool,
    },
    /// Down, and tried again. What happened, what it means, what to do.
    Down(String),
}

monitor! {
    State;
    /// Connections that came up.
    server_connections,
    /// Bytes read.
    server_bytes_in,
    /// Bytes written.
    server_bytes_out,
    /// Stanzas read.
    server_stanzas_in,
    /// Puppets' copies of what the ear gets as well, dropped unread.
    server_copies_dropped,
    /// Stanzas that are not well-formed inside, or in an encoding other than UTF-8: dropped.
    server_malformed_dropped,
    /// Stanzas over the size limit: dropped.
    server_oversized_dropped,
    /// Requests that were not answered in time.
    server_requests_timed_out,
}
