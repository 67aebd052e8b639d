//! One link: what may still be sent on it, and where each group's stream stands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use intergroup_schemas::ids::{GatewayId, GroupNumber, Incarnation, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::link::{Hello, ToCenter};

use super::run::Run;

/// How far the first words of a link have come.
#[derive(Debug, Default)]
pub(super) enum Greeting {
    /// The gateway has said nothing yet.
    #[default]
    Awaited,
    /// Nodes that share the store are told whose link this is.
    Taking(Hello),
    /// The gateway's groups are read anew, since other nodes may have changed them.
    Refreshing(Hello),
    /// Waits for the running hashes that welcome compares.
    Comparing(Hello),
    /// Welcome waits for what it says to be on disk. If that is refused, it is thought over.
    Writing(Option<Hello>),
    /// The gateway was welcomed.
    Done,
}

/// A link in memory.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) gateway: GatewayId,
    /// SHA-256 of the certificate that it showed.
    pub(super) certificate: [u8; 32],
    /// What came before it was known whether the gateway is welcome; none when that is known.
    pub(super) held: Option<Vec<ToCenter>>,
    /// Where nodes share the store: which of the gateway's links this is,
    pub(super) generation: Option<u64>,
    /// the newest of them that was heard of,
    pub(super) newest: u64,
    /// which run of the gateway's process named each group before,
    pub(super) before: BTreeMap<GroupNumber, Incarnation>,
    /// and how many units are read anew before hello is judged.
    pub(super) waits: usize,
    /// Most stream stanzas that may be out without credit.
    most: usize,
    pub(super) greeting: Greeting,
    /// A page of a user list is being read for it.
    pub(super) fetching: bool,
    /// Sizes of the stream stanzas that are out without credit, oldest first.
    pub(super) out: VecDeque<usize>,
    pub(super) out_bytes: usize,
    pub(super) streams: BTreeMap<GroupNumber, Stream>,
    /// Streams that may have something to send.
    pub(super) ready: BTreeSet<GroupNumber>,
}

/// Where a group's stream stands on one link.
#[derive(Debug)]
pub(super) struct Stream {
    /// The next entry to send.
    pub(super) next: Seq,
    /// The last settled entry, or where the gateway asked to resume: the window is counted from here.
    pub(super) base: Seq,
    pub(super) pause: Pause,
}

/// Why a stream sends nothing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// It has something to send, or will look.
    No,
    /// It has sent all there is.
    CaughtUp,
    /// Too many entries are unsettled.
    Window,
    /// Too many stanzas of the link are out without credit.
    Credit,
    /// Entries are being read from the store.
    Reading,
}

impl Pause {
    pub(super) fn as_str(self) -> Option<&'static str> {
        match self {
            Pause::No | Pause::CaughtUp => None,
            Pause::Window => Some("the room has not taken what was sent"),
            Pause::Credit => Some("the gateway has not taken what was sent"),
            Pause::Reading => Some("older messages are being read"),
        }
    }
}

impl Link {
    pub(super) fn new(gateway: GatewayId, certificate: [u8; 32], most: u32) -> Self {
        Self {
            gateway,
            certificate,
            held: Some(Vec::new()),
            generation: None,
            newest: 0,
            before: BTreeMap::new(),
            waits: 0,
            most: most as usize,
            greeting: Greeting::default(),
            fetching: false,
            out: VecDeque::new(),
            out_bytes: 0,
            streams: BTreeMap::new(),
            ready: BTreeSet::new(),
        }
    }

    pub(super) fn is_greeted(&self) -> bool {
        matches!(self.greeting, Greeting::Done)
    }

    pub(super) fn has_credit(&self) -> bool {
        let (stanzas, bytes) = self.credit();
        stanzas > 0 && bytes > 0
    }

    /// Whether a whole run may be sent without more credit.
    pub(super) fn has_credit_for(&self, run: &Run) -> bool {
        let (stanzas, bytes) = self.credit();
        run.stanzas().len() <= stanzas && run.bytes() <= bytes
    }

    /// Stanzas and bytes that may still be sent without more credit.
    pub(super) fn credit(&self) -> (usize, usize) {
        let stanzas = self.most.saturating_sub(self.out.len());
        (stanzas, limits::LINK_CREDIT_BYTES.saturating_sub(self.out_bytes))
    }

    pub(super) fn give_back(&mut self, count: u32) {
        for _ in 0..count {
            let Some(size) = self.out.pop_front() else { return };
            self.out_bytes -= size;
        }
    }
}
