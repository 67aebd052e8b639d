//! What all rooms share: the time, the links, the actions to come, and the one commit that is under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use intergroup_schemas::ids::{AccountId, EnterpriseId, Epoch, GatewayId, GroupNumber, Incarnation, ListVersion};
use intergroup_schemas::limits;
use intergroup_schemas::link::{Credit, Timestamp, ToCenter};
use intergroup_schemas::rate::Rate;
use ring::digest;

use super::action::{Action, CommandId, Level, Reply, Report, RequestId, RoomAction, Ticket};
use super::limits::{
    AUTHOR_RATE, CAUTIOUS_FOR, CREDIT_BYTES, JOIN_HISTORY, OFFLINE_BYTES, OFFLINE_DAYS, OFFLINE_MESSAGES, PARTS,
    UNSEEN_DAYS,
};
use super::names::{self, IdMaker};
use super::room::{After, StandingText};
use crate::ids::{BareJid, Nick, RoomJid};
use crate::store::Change;

/// What is kept in each room for members who are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfflineBounds {
    /// So many messages at most,
    pub messages: u64,
    /// of so many bytes together,
    pub bytes: u64,
    /// for so many days.
    pub days: u32,
    /// Messages that rooms show to whoever comes in.
    pub join_history: usize,
}

impl Default for OfflineBounds {
    fn default() -> Self {
        let (messages, bytes, days) = (OFFLINE_MESSAGES, OFFLINE_BYTES, OFFLINE_DAYS);
        Self { messages, bytes, days, join_history: JOIN_HISTORY }
    }
}

/// What the bridge is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The enterprise's domains; accounts of any other are foreign. The first one's accounts have short user ids.
    pub domains: Vec<String>,
    /// The room service (`conference.acme.example`).
    pub rooms: String,
    /// The component's domain.
    pub component: String,
    /// The ear's nick.
    pub nick: Nick,
    /// Most messages of a room that are sent and not decided; the center bears no more.
    pub relay_window: u32,
    /// What a person may say across from one room.
    pub author_rate: Rate,
    /// Where rooms name the companies that they are shared with.
    pub standing: StandingText,
    /// Where whoever comes into a room is a member, who was not seen for so many days is not any more.
    pub unseen_days: u32,
    /// What is kept for members who are away.
    pub offline: OfflineBounds,
    /// Who we are to the center, as far as that is known before there is a link.
    pub me: Option<GatewayId>,
    /// Fresh random bytes of this process: names of epochs and jitter come from them.
    pub entropy: [u8; 32],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            rooms: String::new(),
            component: String::new(),
            nick: Nick::from("Intergroup"),
            relay_window: limits::RELAY_WINDOW,
            author_rate: AUTHOR_RATE,
            unseen_days: UNSEEN_DAYS,
            standing: StandingText::default(),
            offline: OfflineBounds::default(),
            me: None,
            entropy: [0; 32],
        }
    }
}

impl Config {
    /// The user id of an account; none when it is of a domain that is not the enterprise's.
    pub(super) fn user(&self, jid: &BareJid) -> Option<intergroup_schemas::ids::UserId> {
        let (local, domain) = jid.as_str().split_once('@')?;
        match self.domains.iter().position(|d| d == domain)? {
            0 => local.parse().ok(),
            _ => jid.as_str().parse().ok(),
        }
    }

    /// The user id of a person as an administrator writes it: a user name of the first domain, or a bare JID of any domain of
    /// the enterprise; none when it is neither.
    pub(super) fn person(&self, written: &str) -> Option<intergroup_schemas::ids::UserId> {
        // Local parts and domains are compared without regard to case (RFC 7622 section 3.3).
        let written = written.trim().to_lowercase();
        let shown = intergroup_schemas::text::is_neutral(&written);
        if written.contains('@') { self.user(&BareJid::from(written.as_str())) } else { written.parse().ok() }
            .filter(|_| shown)
    }

    /// The account of a user id.
    pub(super) fn account(&self, user: &intergroup_schemas::ids::UserId) -> BareJid {
        match (user.as_str().contains('@'), self.domains.first()) {
            (false, Some(domain)) => BareJid::from(format!("{user}@{domain}").as_str()),
            _ => BareJid::from(user.as_str()),
        }
    }
}

/// The commit that is being gathered.
#[derive(Debug, Default)]
struct Batch {
    changes: Vec<Change>,
    /// Rooms whose mapping has changed.
    dirty: BTreeSet<GroupNumber>,
    after: Vec<(GroupNumber, After)>,
    replies: Vec<(CommandId, Reply)>,
}

/// What may happen now that a commit is on disk.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Rooms that have come further.
    pub(super) rooms: BTreeSet<GroupNumber>,
    pub(super) after: Vec<(GroupNumber, After)>,
    pub(super) replies: Vec<(CommandId, Reply)>,
}

/// A page of a group's user list that a room wants: what changed since a version, behind a row.
#[derive(Debug)]
pub(super) struct WantedPage {
    pub(super) group: GroupNumber,
    pub(super) request: RequestId,
    pub(super) since: ListVersion,
    pub(super) after: Option<AccountId>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) ids: IdMaker,
    /// This run of the process, by a random name.
    pub(super) run: Incarnation,
    pub(super) now: Timestamp,
    /// Set while the component link is up: whether its live stream is ours alone.
    pub(super) server: Option<bool>,
    /// Set while the link to the center is up: who we are there.
    pub(super) link: Option<GatewayId>,
    /// Since when it has been down; none while it is up.
    pub(super) unlinked: Option<Timestamp>,
    /// Who we are, also while the link is down.
    pub(super) me: Option<GatewayId>,
    pub(super) counters: BTreeMap<String, u64>,
    /// Messages that may still be said one at a time.
    pub(super) caution: u32,
    /// Messages said in any room and not yet reflected.
    unreflected: usize,
    /// While things are said one at a time: the next room may speak.
    turn_is_free: bool,
    actions: VecDeque<Action>,
    batch: Batch,
    flying: Option<(Ticket, Done)>,
    tickets: u64,
    requests: u64,
    drawn: u64,
    /// Pages of user lists that rooms want.
    wanted: Vec<WantedPage>,
    /// What the center announced: entries and stanzas, each the part after which it is told how far we are.
    pub(super) window_step: u32,
    credit_step: u32,
    credit: u32,
    credit_bytes: usize,
}

impl Context {
    pub(super) fn new(config: Config, key: &[u8; 32]) -> Self {
        let run = names::run(&config.entropy);
        Self {
            me: config.me.clone(),
            config,
            ids: IdMaker::new(key),
            run,
            now: Timestamp(0),
            server: None,
            link: None,
            unlinked: None,
            counters: BTreeMap::new(),
            caution: 0,
            unreflected: 0,
            turn_is_free: false,
            actions: VecDeque::new(),
            batch: Batch::default(),
            flying: None,
            tickets: 0,
            requests: 0,
            drawn: 0,
            wanted: Vec::new(),
            window_step: limits::GROUP_WINDOW / PARTS,
            credit_step: limits::LINK_CREDIT / PARTS,
            credit: 0,
            credit_bytes: 0,
        }
    }

    pub(super) fn in_ms(&self, ms: i64) -> Timestamp {
        Timestamp(self.now.0 + ms)
    }

    /// A moment about so far away: nobody tries again in step with everybody else.
    pub(super) fn about(&mut self, ms: i64) -> Timestamp {
        let extra = i64::from(self.draw()[0]) * ms / 512;
        self.in_ms(ms + extra)
    }

    fn draw(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.config.entropy);
        context.update(b"draw");
        context.update(&self.drawn.to_be_bytes());
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        out
    }

    pub(super) fn new_epoch(&mut self) -> Epoch {
        self.drawn += 1;
        names::epoch(&self.config.entropy, self.drawn)
    }

    pub(super) fn enterprise(&self) -> Option<&EnterpriseId> {
        self.me.as_ref().map(|me| &me.enterprise)
    }

    pub(super) fn count(&mut self, what: &str) {
        *self.counters.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn report(&mut self, room: Option<&RoomJid>, level: Level, text: impl Into<String>) {
        self.actions.push_back(Action::Report(Report { room: room.cloned(), level, text: text.into() }));
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn room(&mut self, room: &RoomJid, action: RoomAction) {
        self.actions.push_back(Action::Room { room: room.clone(), action });
    }

    /// Sends to the center; what cannot be sent now is sent again, or asked again, when the link is back.
    pub(super) fn send(&mut self, stanza: ToCenter) {
        if self.link.is_some() {
            self.actions.push_back(Action::Link(stanza));
        }
    }

    pub(super) fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    /// A room wants a page of its group's user list from the center. The page comes with the id that is given here.
    pub(super) fn want_list(&mut self, group: GroupNumber, since: ListVersion, after: Option<AccountId>) -> RequestId {
        let request = self.next_request();
        self.wanted.push(WantedPage { group, request, since, after });
        request
    }

    pub(super) fn take_wanted(&mut self) -> Vec<WantedPage> {
        std::mem::take(&mut self.wanted)
    }

    /// A stanza of a group's stream is in our hands.
    pub(super) fn give_credit(&mut self, bytes: usize) {
        self.credit += 1;
        self.credit_bytes += bytes;
        if self.credit >= self.credit_step || self.credit_bytes >= CREDIT_BYTES {
            let count = std::mem::take(&mut self.credit);
            self.credit_bytes = 0;
            self.send(ToCenter::Credit(Credit { count }));
        }
    }

    /// A new link counts from the beginning, by what its welcome says.
    pub(super) fn begin_link(&mut self, window: u32, credit: u32) {
        (self.window_step, self.credit_step) = ((window / PARTS).max(1), (credit / PARTS).max(1));
        (self.credit, self.credit_bytes) = (0, 0);
    }

    pub(super) fn become_cautious(&mut self) {
        self.caution = CAUTIOUS_FOR;
    }

    /// Whether something may be said now.
    pub(super) fn may_say(&self) -> bool {
        self.caution == 0 || self.unreflected == 0
    }

    pub(super) fn said(&mut self) {
        self.unreflected += 1;
    }

    /// So many messages are no longer without an answer.
    pub(super) fn came_back(&mut self, count: usize) {
        self.unreflected -= count;
        self.turn_is_free |= self.caution > 0 && self.unreflected == 0;
    }

    /// Whether rooms that waited for their turn are to be asked again.
    pub(super) fn take_turn(&mut self) -> bool {
        std::mem::take(&mut self.turn_is_free)
    }

    // ------------------------------------------------------------ commits

    pub(super) fn change(&mut self, change: Change) {
        self.batch.changes.push(change);
    }

    /// The room's mapping is to be written with the next commit.
    pub(super) fn dirty(&mut self, group: GroupNumber) {
        self.batch.dirty.insert(group);
    }

    /// What may happen once all that has been changed so far is on disk.
    pub(super) fn after(&mut self, group: GroupNumber, what: After) {
        self.batch.after.push((group, what));
    }

    /// A reply that must not be given before what it reports is on disk.
    pub(super) fn reply_after(&mut self, id: CommandId, reply: Reply) {
        self.batch.replies.push((id, reply));
    }

    pub(super) fn reply(&mut self, id: CommandId, reply: Reply) {
        self.actions.push_back(Action::Reply { id, reply });
    }

    /// A mapping has ended: nothing of it that was to be written or done is any more.
    pub(super) fn forget_room(&mut self, group: GroupNumber) {
        self.batch.dirty.remove(&group);
        self.batch.after.retain(|(g, _)| *g != group);
    }

    pub(super) fn pop_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Begins the next commit, if there is something to write and none is under way. `write` adds the mapping of a room.
    pub(super) fn begin_commit(&mut self, mut write: impl FnMut(GroupNumber) -> Option<Change>) -> Option<Action> {
        let batch = &self.batch;
        let idle =
            batch.changes.is_empty() && batch.dirty.is_empty() && batch.after.is_empty() && batch.replies.is_empty();
        if self.flying.is_some() || idle {
            return None;
        }
        let Batch { mut changes, dirty, after, replies } = std::mem::take(&mut self.batch);
        changes.extend(dirty.iter().filter_map(|group| write(*group)));
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.flying = Some((ticket, Done { rooms: dirty, after, replies }));
        Some(Action::Commit { ticket, changes })
    }

    pub(super) fn committed(&mut self, ticket: Ticket) -> Option<Done> {
        self.flying.take_if(|(flying, _)| *flying == ticket).map(|(_, done)| done)
    }
}
