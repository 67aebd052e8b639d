//! Identifiers that never leave the enterprise: rooms, nicks, archive ids, and our own occupants.

use std::fmt;
use std::sync::Arc;

use intergroup_schemas::ids::{EnterpriseId, UserId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from).map(|s| Self(Arc::from(s)))
            }
        }

        impl From<&str> for $name {
            fn from(s: &str) -> Self {
                Self(Arc::from(s))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// The bare JID of a room (`talk@conference.acme.test`), normalised.
    RoomJid
}
text! {
    /// The bare JID of a person's account, normalised.
    BareJid
}
text! {
    /// An occupant's nick, as the room's server shows it (never as it was asked for).
    Nick
}
text! {
    /// The id that the room gave a message (XEP-0359), which is also its id in the room's archive (XEP-0313). Only
    /// ever one whose `by` is the room. The order of two ids says nothing.
    StanzaId
}
text! {
    /// The id of an occupant (XEP-0421), believed only where the room announces the feature.
    OccupantId
}
text! {
    /// A message's `id` attribute, chosen by the sender.
    MessageId
}

/// A person of another enterprise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// The enterprise.
    pub enterprise: EnterpriseId,
    /// The person there.
    pub user: UserId,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.enterprise, self.user)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Which of our occupants: the ear, or the puppet of a remote person. Each has one JID for ever.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Who {
    /// `gateway@COMPONENT`, who listens, asks, and speaks for the gateway itself.
    Ear,
    /// Who speaks for a remote person.
    Puppet(Account),
}

/// One life of our occupants in a room: the resource of their full JIDs. Numbers only grow, and are on disk before they
/// are used; stanzas of an older life that are still under way are refused by the room once that life has been fenced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Life(pub u64);

/// One of our occupants in one life: stands for the full JID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mouth {
    /// Ear or puppet.
    pub who: Who,
    /// The life.
    pub life: Life,
}
