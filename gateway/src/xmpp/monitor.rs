//! What an administrator can see of the component link: its state, and figures.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

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

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the process began. Shared between the link's task and whoever asks.
        #[derive(Debug, Default)]
        pub struct Monitor {
            state: Mutex<State>,
            $($(#[$doc])* pub(super) $name: AtomicU64,)*
        }

        impl Monitor {
            /// Every figure, by name.
            pub fn figures(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed)),)*]
            }
        }
    };
}

figures! {
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

impl Monitor {
    /// How the link is.
    pub fn state(&self) -> State {
        // A holder cannot panic between two words; what it left is as good as any.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = state;
    }
}
