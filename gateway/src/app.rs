//! The running gateway: one owner of the bridge core, with a shell on each side of it.
//!
//! ```text
//!   rooms  ──events──▶           ──actions──▶  rooms      gateway/src/xmpp
//!   center ──stanzas─▶   core    ──stanzas──▶  center     gateway/src/link
//!   disk   ──done────▶ (bridge)  ──commits──▶  disk       gateway/src/store
//!   socket ──request─▶           ──replies──▶  socket     gateway/src/control, by way of the desk
//! ```
//!
//! The core is told what happened and the time, and says what to do; all of it is done before it is told more. It alone
//! decides what waits for which commit. Everything but the disk runs on one thread, so nothing waits for a lock.

use std::time::Duration;

use anyhow::{Context, Result};
use intergroup_schemas::ids::GatewayId;
use intergroup_schemas::link::{Timestamp, ToCenter};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::bridge::{self, Action, Bridge, Event};
use crate::config::{Config, Dir, read_secret};
use crate::control::{self, Served};
use crate::desk::Desk;
use crate::enrol::{Identity, keep_renewed};
use crate::ids::Nick;
use crate::link::{self, FromLink};
use crate::store::place::Place;
use crate::store::task::{Done, Job, StoreTask};
use crate::store::{Snapshot, Store, StoreError};
use crate::xmpp;

/// Batches that may wait on their way from a shell to the core. A shell that finds them full stops reading.
const WAITING_BATCHES: usize = 64;
/// Most batches of one shell that are taken in one turn, so that none waits for another for long.
const BATCHES_A_TURN: usize = 16;
/// Commands that may wait.
const WAITING_COMMANDS: usize = 32;
/// Pauses before the store is opened again after it failed: the first, and the longest.
const STORE_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long commands wait for the store to be open before they are answered without it.
const OPENING: Duration = Duration::from_secs(2);
/// How long the component link may take to end.
const GOODBYE: Duration = Duration::from_secs(5);

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// The configuration makes no sense, or another process runs this gateway.
pub fn run(dir: &Dir) -> Result<()> {
    let config = Config::load(dir)?;
    let server = xmpp::Settings {
        server: config.server.clone(),
        component: config.component.clone(),
        secret: read_secret(&dir.secret())?,
    };
    let _lock = dir.lock()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
    runtime.block_on(serve(dir, &config, server))
}

async fn serve(dir: &Dir, config: &Config, server: xmpp::Settings) -> Result<()> {
    let (mut stop, clock) = (Stop::new()?, Clock::start());
    let (commands, mut served) = mpsc::channel(WAITING_COMMANDS);
    let _control = control::listen(&dir.socket(), commands)?;
    let mut desk = Desk::new(dir.clone(), config.clone(), clock.now());
    let place = Place::of(dir, config)?;
    let center = link::Settings { dir: dir.clone(), proxy: config.proxy()?, again: desk.again.clone() };
    let renewing = tokio::spawn(keep_renewed(dir.clone(), center.proxy.clone(), center.again.clone()));
    tracing::info!("gateway {} in {}", config.component, dir.0.display());

    let mut pause = STORE_PAUSE.0;
    loop {
        let began = Instant::now();
        let Some(opened) = open(&place, &mut desk, &mut served, &mut stop).await else { break };
        let started = opened.and_then(|opened| Session::start(opened, config, &server, &center, &desk, clock));
        let ended = match started {
            Ok(session) => {
                desk.store_serves(Vec::new());
                session.run(&mut desk, &mut served, &mut stop).await
            }
            Err(e) => Ended::Store(e.0),
        };
        match ended {
            Ended::Stopped => break,
            Ended::Store(why) if why.starts_with(intergroup_redis::TAKEN_OVER) => {
                // To open it again would take it from the other, and so on for ever.
                desk.store_failed(&why);
                while idle(STORE_PAUSE.1, &mut desk, &mut served, &mut stop).await.is_some() {}
                break;
            }
            Ended::Store(why) => desk.store_failed(&why),
            Ended::Lost(what) => tracing::error!("{what} has ended by a fault of the program; starting anew"),
        }
        if began.elapsed() > STORE_PAUSE.1 {
            pause = STORE_PAUSE.0;
        }
        if idle(pause, &mut desk, &mut served, &mut stop).await.is_none() {
            break;
        }
        pause = (pause * 2).min(STORE_PAUSE.1);
    }
    renewing.abort();
    tracing::info!("stopped");
    Ok(())
}

type Opened = (Box<dyn Store>, Snapshot);

/// Opens and reads the store, which may take its time where it is not on this machine, and answers commands meanwhile; none when
/// told to stop.
async fn open(
    place: &Place,
    desk: &mut Desk,
    served: &mut mpsc::Receiver<Served>,
    stop: &mut Stop,
) -> Option<Result<Opened, StoreError>> {
    let place = place.clone();
    let mut opening = tokio::task::spawn_blocking(move || {
        let mut store = place.open()?;
        let snapshot = store.load()?;
        Ok((store, snapshot))
    });
    let patient = Instant::now() + OPENING;
    loop {
        tokio::select! {
            opened = &mut opening => {
                return Some(opened.unwrap_or_else(|e| Err(StoreError(format!("opening it has failed: {e}")))));
            }
            () = stop.wait() => return None,
            () = sleep_until(patient), if Instant::now() < patient => {}
            Some(served) = served.recv(), if Instant::now() >= patient => desk.serve_without_core(served),
        }
    }
}

/// Waits, answering commands; none when told to stop.
async fn idle(pause: Duration, desk: &mut Desk, served: &mut mpsc::Receiver<Served>, stop: &mut Stop) -> Option<()> {
    let until = Instant::now() + pause;
    loop {
        tokio::select! {
            () = sleep_until(until) => return Some(()),
            () = stop.wait() => return None,
            Some(served) = served.recv() => desk.serve_without_core(served),
        }
    }
}

/// Why a session ended.
enum Ended {
    /// The gateway was told to stop.
    Stopped,
    /// The store cannot be used: the core no longer knows what is on disk, and is built anew.
    Store(String),
    /// A shell is gone.
    Lost(&'static str),
}

/// One life of the core: from a snapshot of the store to a signal, or to a failure of the store.
struct Session {
    bridge: Bridge,
    clock: Clock,
    store: StoreTask,
    stored: mpsc::UnboundedReceiver<Done>,
    rooms: mpsc::Sender<Vec<xmpp::Order>>,
    from_rooms: mpsc::Receiver<Vec<Event>>,
    center: Option<mpsc::UnboundedSender<ToCenter>>,
    from_center: mpsc::Receiver<FromLink>,
    component: JoinHandle<()>,
    link: JoinHandle<()>,
}

impl Session {
    fn start(
        (store, snapshot): Opened,
        config: &Config,
        server: &xmpp::Settings,
        center: &link::Settings,
        desk: &Desk,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let (done, stored) = mpsc::unbounded_channel();
        let store = StoreTask::start(store, move |d| done.send(d).is_ok())?;
        let mut entropy = [0; 32];
        SystemRandom::new().fill(&mut entropy).map_err(|_| StoreError("the system gives no random numbers".into()))?;
        let bridge = Bridge::new(
            snapshot,
            bridge::Config {
                domains: config.domains.clone(),
                rooms: config.rooms.clone(),
                component: config.component.clone(),
                nick: Nick::from(config.nick.as_str()),
                author_rate: config.author_rate.rate(),
                unseen_days: config.members.unseen_days,
                offline: config.offline.bounds(),
                standing: config.standing,
                me: Identity::load(&center.dir)
                    .ok()
                    .flatten()
                    .map(|i| GatewayId { enterprise: i.enterprise, gateway: i.gateway }),
                entropy,
                ..bridge::Config::default()
            },
        );
        let (rooms, actions) = mpsc::channel(WAITING_BATCHES);
        let (events, from_rooms) = mpsc::channel(WAITING_BATCHES);
        let component = tokio::spawn(xmpp::run(server.clone(), events, actions, desk.server.clone()));
        let (owner, from_center) = mpsc::channel(WAITING_BATCHES);
        let link = tokio::spawn(link::run(center.clone(), owner, desk.center.clone()));
        Ok(Self { bridge, clock, store, stored, rooms, from_rooms, center: None, from_center, component, link })
    }

    async fn run(mut self, desk: &mut Desk, served: &mut mpsc::Receiver<Served>, stop: &mut Stop) -> Ended {
        let ended = loop {
            let alarm = self.bridge.next_timeout().map(|at| self.clock.instant(at));
            let told = tokio::select! {
                () = stop.wait() => break Ended::Stopped,
                done = self.stored.recv() => match done {
                    Some(done) => self.disk_done(done, desk),
                    None => break Ended::Lost("the store's thread"),
                },
                events = self.from_rooms.recv() => match events {
                    Some(events) => self.room_events(events),
                    None => break Ended::Lost("the component link"),
                },
                what = self.from_center.recv() => match what {
                    Some(what) => self.center_said(what),
                    None => break Ended::Lost("the link to the center"),
                },
                Some(served) = served.recv() => self.socket_asked(served, desk),
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => Ok(()),
            };
            // What else is there is taken in the same turn: then one commit, one flush serves all of it.
            let told = told.and_then(|()| self.take_what_waits(desk));
            let now = self.clock.now();
            if self.bridge.next_timeout().is_some_and(|at| at <= now) {
                self.bridge.handle_timeout(now);
            }
            if let Err(why) = told {
                break Ended::Store(why);
            }
            self.perform(desk).await;
            desk.note_ready();
        };
        self.end().await;
        ended
    }

    fn take_what_waits(&mut self, desk: &mut Desk) -> Result<(), String> {
        while let Ok(done) = self.stored.try_recv() {
            self.disk_done(done, desk)?;
        }
        for _ in 0..BATCHES_A_TURN {
            let Ok(events) = self.from_rooms.try_recv() else { break };
            self.room_events(events)?;
        }
        for _ in 0..BATCHES_A_TURN {
            let Ok(what) = self.from_center.try_recv() else { break };
            self.center_said(what)?;
        }
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        self.bridge.handle(event, self.clock.now());
    }

    fn room_events(&mut self, events: Vec<Event>) -> Result<(), String> {
        events.into_iter().for_each(|event| self.tell(event));
        Ok(())
    }

    fn center_said(&mut self, what: FromLink) -> Result<(), String> {
        match what {
            // A link that has gone meanwhile does not want the answer any more.
            FromLink::Hello(answer) => drop(answer.send(self.bridge.hello())),
            FromLink::Up(welcome, center) => {
                self.center = Some(center);
                self.tell(Event::LinkUp(welcome));
            }
            FromLink::Stanzas(stanzas) => stanzas.into_iter().for_each(|stanza| self.tell(Event::Link(stanza))),
            FromLink::Down => {
                self.center = None;
                self.tell(Event::LinkDown);
            }
        }
        Ok(())
    }

    fn disk_done(&mut self, done: Done, desk: &mut Desk) -> Result<(), String> {
        match done {
            Done::Committed(ticket) => self.tell(Event::Committed(ticket)),
            Done::Outbox(group, rows) => self.tell(Event::Outbox { group, rows }),
            Done::Posted(group, rows) => self.tell(Event::Posted { group, rows }),
            Done::Listed { group, rows, visit } => self.tell(Event::Listed { group, rows, visit }),
            Done::Missed(group, rows) => self.tell(Event::Missed { group, rows }),
            Done::Figures(figures) => desk.store_serves(figures),
            Done::Failed(ticket, why) => {
                self.tell(Event::CommitFailed(ticket));
                return Err(why);
            }
            Done::Unreadable(why) => return Err(why),
        }
        Ok(())
    }

    fn socket_asked(&mut self, served: Served, desk: &mut Desk) -> Result<(), String> {
        if let Some((id, command)) = desk.serve(served) {
            self.tell(Event::Command { id, command });
        }
        Ok(())
    }

    /// Does all that the core asks for, in its order for each shell.
    async fn perform(&mut self, desk: &mut Desk) {
        let mut rooms = Vec::new();
        while let Some(action) = self.bridge.poll_action() {
            match action {
                Action::Room { room, action } => rooms.push(xmpp::Order::Room(room, action)),
                Action::Link(stanza) => {
                    if let Some(center) = &self.center {
                        // A link that has just ended says so next; until then what it is given is lost with it.
                        let _ = center.send(stanza);
                    }
                }
                Action::Commit { ticket, changes } => self.store.give(Job::Commit(ticket, changes)),
                Action::LoadOutbox { group, from, max } => self.store.give(Job::Outbox(group, from, max)),
                Action::LoadListed { group, after, max, visit } => {
                    self.store.give(Job::Listed { group, after, max, visit });
                }
                Action::LoadMissed { group, from, max } => self.store.give(Job::Missed(group, from, max)),
                Action::LoadPosted { group, after } => self.store.give(Job::Posted(group, after)),
                Action::Answer { caller, answer } => rooms.push(xmpp::Order::Answer(caller, answer)),
                Action::Reply { id, reply } => desk.reply(id, reply),
                Action::Report(report) => desk.report(report, self.clock.now()),
            }
        }
        if !rooms.is_empty() {
            // The component link takes actions at once, whatever the server does; it ends only with us.
            let _ = self.rooms.send(rooms).await;
        }
    }

    /// Ends both connections, and finishes what the store was given.
    async fn end(self) {
        let Self { rooms, from_rooms, from_center, mut component, mut link, store, .. } = self;
        drop((rooms, from_rooms, from_center));
        for task in [&mut component, &mut link] {
            if timeout(GOODBYE, &mut *task).await.is_err() {
                task.abort();
            }
        }
        // Joins the thread, so that no two ever have the file.
        drop(store);
    }
}

/// Time as the core knows it: the wall's when the process began, and a clock that never jumps from there on.
#[derive(Debug, Clone, Copy)]
struct Clock {
    wall: Timestamp,
    began: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Timestamp(chrono::Utc::now().timestamp_millis()), began: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.wall.0.saturating_add(i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)))
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.began + Duration::from_millis(u64::try_from(at.0.saturating_sub(self.wall.0)).unwrap_or(0))
    }
}

/// The signals that end the gateway.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
