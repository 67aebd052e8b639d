//! What an administrator can see of the link to the center: its state, and figures.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Links that came up.
    link_connections,
    /// Stanzas read.
    link_stanzas_in,
    /// Stanzas written.
    link_stanzas_out,
    /// Flushes, each of which writes all that waited.
    link_flushes,
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

pub(super) fn count(figure: &AtomicU64, more: usize) {
    figure.fetch_add(more as u64, Ordering::Relaxed);
}
