//! The task that owns the hub: events in, actions performed, in turns; what belongs together shares a wake-up, a commit
//! and a write.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result};
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::link::Bye;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::outbox::Outbox;
use super::storage::{Done, Read, Storage};
use super::{Engine, Input, now};
use crate::hub::{self, Action, AdminId, AdminReply, Event, Frames, Hub, LinkId};
use crate::store::place::Place;
use crate::store::shared::{Node, Unit, Version, Word};
use crate::store::{Snapshot, StoreError};

/// Inputs taken in one turn: enough to share a commit and a write, few enough that nobody waits long.
const INPUTS_PER_TURN: usize = 64;
/// After a failure the store is opened again after this long,
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// and, failing again and again, at most this long.
const RETRY_MOST: Duration = Duration::from_secs(30);
/// So often a node looks at what others have done that share the store, should a word of it have been lost.
const LOOK: Duration = Duration::from_secs(5);
/// Far enough to mean never.
const IDLE: Duration = Duration::from_secs(3600);

/// Opens the store and starts the task.
///
/// # Errors
/// The store cannot be used.
pub fn start(place: Place, mut config: hub::Config, addresses: Vec<String>) -> Result<Engine> {
    config.shared = place.is_shared();
    let mut store = place.open().context("opening the store")?;
    let snapshot = store.load().context("reading the store")?;
    let (storage, results) = Storage::start(place, store).context("starting the store's threads")?;
    let (engine, inputs) = Engine::new(addresses.clone());
    let owner = Owner {
        hub: None,
        life: 0,
        config,
        storage,
        links: HashMap::new(),
        dirty: Vec::new(),
        asked: HashMap::new(),
        asks: 0,
        committing: false,
        stopping: None,
        retry: RETRY_FIRST,
        retry_at: None,
        aside: false,
        addresses,
        known: engine.addresses.clone(),
        look_at: None,
        figures: Figures::default(),
    };
    tokio::spawn(owner.run(snapshot, inputs, results));
    Ok(engine)
}

struct Out {
    outbox: Arc<Outbox>,
    /// Frames of this turn.
    frames: Vec<Frames>,
}

#[derive(Default)]
struct Figures {
    commit_us: u64,
    commit_longest_us: u64,
    failures: u64,
    /// The store's own.
    store: Vec<(&'static str, u64)>,
}

struct Owner {
    /// None while the store cannot be used.
    hub: Option<Hub>,
    /// Counts the hubs there have been, so that what was read for one is not taken for another's.
    life: u64,
    config: hub::Config,
    storage: Storage,
    links: HashMap<LinkId, Out>,
    /// Links with frames of this turn.
    dirty: Vec<LinkId>,
    asked: HashMap<AdminId, oneshot::Sender<AdminReply>>,
    asks: u64,
    committing: bool,
    stopping: Option<oneshot::Sender<()>>,
    retry: Duration,
    retry_at: Option<Instant>,
    /// Another process has the store: to open it again would take it from that one, and so on for ever.
    aside: bool,
    /// Where gateways dial this node; the first is its name.
    addresses: Vec<String>,
    /// Where they dial this node and the others.
    known: Arc<RwLock<Vec<String>>>,
    /// Where nodes share the store: when this one looks at what the others have done, should it not have heard it.
    look_at: Option<Instant>,
    figures: Figures,
}

impl Owner {
    async fn run(mut self, snapshot: Snapshot, mut inputs: Receiver<Input>, mut results: UnboundedReceiver<Done>) {
        self.begin(snapshot);
        let mut taken = Vec::with_capacity(INPUTS_PER_TURN);
        loop {
            let due = self.next_timeout();
            tokio::select! {
                biased;
                done = results.recv() => match done {
                    Some(done) => self.done(done),
                    None => return,
                },
                count = inputs.recv_many(&mut taken, INPUTS_PER_TURN) => {
                    if count == 0 {
                        return;
                    }
                    taken.drain(..).for_each(|input| self.input(input));
                }
                () = sleep_until(due) => self.timeout(),
            }
            while let Ok(done) = results.try_recv() {
                self.done(done);
            }
            self.perform();
            if self.stopped() {
                return;
            }
        }
    }

    fn begin(&mut self, snapshot: Snapshot) {
        self.life += 1;
        self.committing = false;
        self.retry_at = None;
        // Each hub names incarnations of its own.
        let mut config = self.config.clone();
        for (byte, of_life) in config.entropy.iter_mut().zip(self.life.to_le_bytes()) {
            *byte ^= of_life;
        }
        self.look_at = config.shared.then(Instant::now);
        self.hub = Some(Hub::new(snapshot, config));
    }

    fn next_timeout(&self) -> Instant {
        let idle = Instant::now() + IDLE;
        let retry = self.retry_at.unwrap_or(idle).min(self.look_at.unwrap_or(idle));
        match self.hub.as_ref().and_then(Hub::next_timeout) {
            Some(at) => {
                let wait = u64::try_from(at.0 - now().0).unwrap_or(0);
                retry.min(Instant::now() + Duration::from_millis(wait))
            }
            None => retry,
        }
    }

    fn timeout(&mut self) {
        if self.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.retry_at = None;
            self.storage.reopen();
        }
        if self.look_at.is_some_and(|at| at <= Instant::now()) {
            self.look();
        }
        if let Some(hub) = &mut self.hub {
            hub.handle_timeout(now());
        }
    }

    // ------------------------------------------------------------ in

    fn input(&mut self, input: Input) {
        match input {
            Input::Open { link, gateway, certificate, outbox } => {
                let Some(hub) = self.hub.as_mut().filter(|_| self.stopping.is_none()) else {
                    let stopping = self.stopping.is_some();
                    let why = if stopping { Condition::ShuttingDown } else { Condition::StoreUnavailable };
                    return outbox.end(bye(why), true);
                };
                self.links.insert(link, Out { outbox, frames: Vec::new() });
                hub.handle(Event::LinkOpened { link, gateway, certificate }, now());
            }
            Input::Events(events) => {
                let Some(hub) = self.hub.as_mut() else { return };
                let now = now();
                for event in events {
                    if let Event::LinkClosed { link } = &event {
                        self.links.remove(link);
                    } else if self.stopping.is_some() {
                        continue;
                    }
                    hub.handle(event, now);
                }
            }
            Input::Ask { request, answer } => {
                let Some(hub) = self.hub.as_mut().filter(|_| self.stopping.is_none()) else {
                    // Nobody may be waiting any more.
                    let _ = answer.send(unavailable());
                    return;
                };
                self.asks += 1;
                let id = AdminId(self.asks);
                self.asked.insert(id, answer);
                hub.handle(Event::Admin { id, request }, now());
            }
            Input::Stop { done } => self.stopping = Some(done),
        }
    }

    fn done(&mut self, done: Done) {
        let event = match done {
            Done::Opened(snapshot) => {
                tracing::info!("the store is open again");
                return self.begin(*snapshot);
            }
            Done::Failed(error) => return self.failed(&error),
            Done::Committed { ticket, refused, took, figures } => {
                self.figures.store = figures;
                self.committing = false;
                self.retry = RETRY_FIRST;
                let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.figures.commit_us += us;
                self.figures.commit_longest_us = self.figures.commit_longest_us.max(us);
                if refused.is_empty() { Event::Committed(ticket) } else { Event::CommittedInPart(ticket, refused) }
            }
            Done::Log { life, .. }
            | Done::Hashes { life, .. }
            | Done::Sources { life, .. }
            | Done::List { life, .. }
            | Done::News { life, .. }
            | Done::Taken { life, .. }
            | Done::Looked { life, .. }
                if life != self.life =>
            {
                return;
            }
            Done::Log { link, group, after, records, .. } => Event::Log { link, group, after, records },
            Done::Hashes { link, hashes, .. } => Event::Hashes { link, hashes },
            Done::Sources { group, gateway, sources, .. } => Event::Sources { group, gateway, sources },
            Done::List { reader, group, page, .. } => Event::List { reader, group, page },
            Done::News { unit, news, .. } => Event::News { unit, news },
            Done::Taken { link, taken, versions, .. } => Event::Taken { link, taken, versions },
            Done::Looked { nodes, versions, .. } => return self.looked(nodes, versions),
            Done::Heard(word) => return self.heard(word),
        };
        if let Some(hub) = &mut self.hub {
            hub.handle(event, now());
        }
    }

    /// Another node says something.
    fn heard(&mut self, word: Word) {
        let Some(hub) = &mut self.hub else { return };
        match word {
            Word::Changed(version, units) => {
                hub.handle(Event::Versions(units.into_iter().map(|unit| (unit, version)).collect()), now());
            }
            Word::Taken(gateway, generation) => hub.handle(Event::TakenElsewhere { gateway, generation }, now()),
            Word::Met(name) => {
                let known = self.known.read().unwrap_or_else(PoisonError::into_inner).contains(&name);
                if !known {
                    self.look_at = Some(Instant::now());
                }
            }
            Word::Anew => self.look_at = Some(Instant::now()),
        }
    }

    /// Looks at what other nodes have done, and tells them of this one.
    fn look(&mut self) {
        self.look_at = Some(Instant::now() + LOOK);
        if let Some(hub) = &self.hub {
            let online = hub.online().map(|(gateway, generation)| (gateway.clone(), generation)).collect();
            let here = Node { addresses: self.addresses.clone(), online, up: true };
            self.storage.read(Read::Look { life: self.life, here });
        }
    }

    fn looked(&mut self, nodes: Vec<Node>, versions: Vec<(Unit, Version)>) {
        let Some(hub) = &mut self.hub else { return };
        let others = || nodes.iter().filter(|node| node.addresses.first() != self.addresses.first());
        let mut addresses = self.addresses.clone();
        for address in others().flat_map(|node| &node.addresses) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = addresses;
        let elsewhere = others().flat_map(|node| node.online.iter().map(|(gateway, _)| gateway.clone())).collect();
        hub.handle(Event::Elsewhere(elsewhere), now());
        for (gateway, generation) in others().flat_map(|node| node.online.iter().cloned()) {
            hub.handle(Event::TakenElsewhere { gateway, generation }, now());
        }
        hub.handle(Event::Versions(versions), now());
    }

    /// Nothing of what waits has been acknowledged. The links are ended, and what is true is read from the disk.
    fn failed(&mut self, error: &StoreError) {
        self.figures.failures += 1;
        self.committing = false;
        if self.retry_at.is_some() || self.aside {
            return;
        }
        self.aside = error.0.starts_with(intergroup_redis::TAKEN_OVER);
        tracing::error!(
            %error,
            retry_ms = u64::try_from(self.retry.as_millis()).unwrap_or(0),
            "the store failed: nothing was acknowledged, all links are ended until it can be used again"
        );
        (self.hub, self.look_at) = (None, None);
        for (_, out) in self.links.drain() {
            out.outbox.end(bye(Condition::StoreUnavailable), true);
        }
        self.dirty.clear();
        for (_, answer) in self.asked.drain() {
            let _ = answer.send(unavailable());
        }
        if self.aside {
            return;
        }
        self.retry_at = Some(Instant::now() + self.retry);
        self.retry = (self.retry * 2).min(RETRY_MOST);
    }

    // ------------------------------------------------------------ out

    /// Does what the hub wants done. Frames reach the outboxes once a turn.
    fn perform(&mut self) {
        loop {
            let Some(hub) = &mut self.hub else { return };
            while let Some(action) = hub.poll_action() {
                match action {
                    Action::Commit { ticket, changes, claims } => {
                        self.committing = true;
                        self.storage.commit(ticket, changes, claims);
                    }
                    Action::ReadNews { unit, known } => {
                        self.storage.read(Read::News { life: self.life, unit, known });
                    }
                    Action::TakeLink { link, gateway, runs, units } => {
                        self.storage.read(Read::Take { life: self.life, link, gateway, runs, units });
                    }
                    Action::Lost => {
                        let error = StoreError(intergroup_redis::Error::Lost.to_string());
                        return self.failed(&error);
                    }
                    Action::Send { link, frames } => {
                        if let Some(out) = self.links.get_mut(&link) {
                            if out.frames.is_empty() {
                                self.dirty.push(link);
                            }
                            out.frames.push(frames);
                        }
                    }
                    Action::Close { link, condition, text } => {
                        if let Some(mut out) = self.links.remove(&link) {
                            let at_once = out_at_once(condition);
                            if !at_once {
                                // Too much is no matter any more.
                                let _ = out.outbox.push(&mut out.frames);
                            }
                            out.outbox.end(Bye { condition, text }, at_once);
                        }
                    }
                    Action::ReadLog { link, group, after, entries, bytes } => {
                        self.storage.read(Read::Log { life: self.life, link, group, after, entries, bytes });
                    }
                    Action::ReadHashes { link, places } => {
                        self.storage.read(Read::Hashes { life: self.life, link, places });
                    }
                    Action::ReadSources { group, gateway } => {
                        self.storage.read(Read::Sources { life: self.life, group, gateway });
                    }
                    Action::ReadList { reader, query } => {
                        self.storage.read(Read::List { life: self.life, reader, query });
                    }
                    Action::Reply { id, mut reply } => {
                        if let AdminReply::Status(status) = &mut reply {
                            let own = self.figures.store.iter().map(|(name, value)| ((*name).to_owned(), *value));
                            status.store.extend(own);
                            status.store.insert("commit-us".into(), self.figures.commit_us);
                            status.store.insert("commit-longest-us".into(), self.figures.commit_longest_us);
                            status.store.insert("failures".into(), self.figures.failures);
                        }
                        if let Some(answer) = self.asked.remove(&id) {
                            let _ = answer.send(reply);
                        }
                    }
                }
            }
            let mut over = Vec::new();
            for link in self.dirty.drain(..) {
                if let Some(out) = self.links.get_mut(&link)
                    && !out.outbox.push(&mut out.frames)
                {
                    over.push(link);
                }
            }
            if over.is_empty() {
                return;
            }
            for link in over {
                let text = "the gateway asks for more than it reads".to_owned();
                hub.handle(Event::LinkBroken { link, condition: Condition::OverLimit, text }, now());
            }
        }
    }

    /// When asked to stop: no link gets another event; when the last commit is done and told, all get bye.
    fn stopped(&mut self) -> bool {
        if self.stopping.is_none() || self.committing {
            return false;
        }
        for (_, out) in self.links.drain() {
            out.outbox.end(bye(Condition::ShuttingDown), false);
        }
        if let Some(done) = self.stopping.take() {
            let _ = done.send(());
        }
        true
    }
}

/// Whether what waits for a link is dropped when it ends so: it may not have it, or will not read it.
fn out_at_once(condition: Condition) -> bool {
    matches!(
        condition,
        Condition::Suspended
            | Condition::Removed
            | Condition::BadCertificate
            | Condition::OverLimit
            | Condition::Replaced
            | Condition::StoreUnavailable
    )
}

fn bye(condition: Condition) -> Bye {
    Bye { condition, text: condition.admin_text().to_owned() }
}

fn unavailable() -> AdminReply {
    let condition = Condition::StoreUnavailable;
    AdminReply::Refused { condition: Some(condition), text: condition.admin_text().to_owned() }
}
