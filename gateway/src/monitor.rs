//! What an administrator can see of a connection: how it is now, and figures that only grow.

/// Makes a `Monitor` of a connection whose state is the given type, with the named figures.
macro_rules! monitor {
    ($state:ty; $($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the process began, and how the link is. Shared between the link's task and whoever asks.
        #[derive(Debug, Default)]
        pub struct Monitor {
            state: std::sync::Mutex<$state>,
            $($(#[$doc])* pub(super) $name: std::sync::atomic::AtomicU64,)*
        }

        impl Monitor {
            /// How the link is.
            pub fn state(&self) -> $state {
                // A holder cannot panic between two words; what it left is as good as any.
                self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
            }

            pub(super) fn set(&self, state: $state) {
                *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = state;
            }

            /// Every figure, by name.
            pub fn figures(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(std::sync::atomic::Ordering::Relaxed)),)*]
            }
        }
    };
}

pub(crate) use monitor;
