//! The desk: takes administrators' commands from the socket to the core and its replies back, keeps what was reported,
//! and puts `status` together. It outlives the core, so that it can say what is wrong while there is none.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::GatewayId;
use intergroup_schemas::link::Timestamp;
use tokio::sync::{Notify, oneshot};

use crate::bridge::{self, Command, CommandId, Level, Listing, Reply, status::Status as BridgeStatus};
use crate::config::{Config, Dir};
use crate::control::{Answer, Center, Group, Members, Report, Request, Served, Server, Status, StoreHealth};
use crate::enrol::Identity;
use crate::{link, xmpp};

/// Reports that `status` shows, the last ones.
const REPORTS: usize = 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    dir: Dir,
    config: Config,
    started: Timestamp,
    /// What the component link shows of itself.
    pub(crate) server: Arc<xmpp::Monitor>,
    /// What the link to the center shows of itself.
    pub(crate) center: Arc<link::Monitor>,
    /// Has the link to the center opened anew.
    pub(crate) again: Arc<Notify>,
    store: Result<Vec<(&'static str, u64)>, String>,
    reports: VecDeque<Report>,
    commands: u64,
    waiting: BTreeMap<CommandId, oneshot::Sender<Answer>>,
    ready: bool,
}

impl Desk {
    pub(crate) fn new(dir: Dir, config: Config, started: Timestamp) -> Self {
        Self {
            dir,
            config,
            started,
            server: Arc::default(),
            center: Arc::default(),
            again: Arc::default(),
            store: Ok(Vec::new()),
            reports: VecDeque::new(),
            commands: 0,
            waiting: BTreeMap::new(),
            ready: false,
        }
    }

    /// What the core is asked on behalf of a client; none when the client has its answer already.
    pub(crate) fn serve(&mut self, served: Served) -> Option<(CommandId, Command)> {
        let Served { request, answer } = served;
        let command = match self.command(request) {
            Ok(Some(command)) => command,
            Ok(None) => {
                send(answer, Answer::Done);
                return None;
            }
            Err(e) => {
                send(answer, refused(None, format!("{e:#}")));
                return None;
            }
        };
        self.waiting.retain(|_, answer| !answer.is_closed());
        self.commands += 1;
        let id = CommandId(self.commands);
        self.waiting.insert(id, answer);
        Some((id, command))
    }

    /// Answers a client while there is no core.
    pub(crate) fn serve_without_core(&mut self, served: Served) {
        let Served { request, answer } = served;
        let reply = match request {
            Request::Status => Answer::Status(Box::new(self.status(BridgeStatus::default()))),
            Request::Reconnect => Answer::Done,
            _ => self.store_refusal(),
        };
        send(answer, reply);
    }

    /// The core's reply to a command.
    pub(crate) fn reply(&mut self, id: CommandId, reply: Reply) {
        // A client that has gone, or a reply given twice, concerns nobody.
        let Some(client) = self.waiting.remove(&id) else { return };
        let group = |info, room| Group { info, room };
        let answer = match reply {
            Reply::Done => Answer::Done,
            Reply::Group(info, room) => Answer::Group(group(info, room)),
            Reply::Groups(groups) => {
                Answer::Groups { groups: groups.into_iter().map(|(info, room)| group(info, room)).collect() }
            }
            Reply::Offline(kept, absent) => Answer::Offline { kept, absent },
            Reply::Members(Listing { rows, more, version, whole, center_asked, link }) => {
                let (digest, accounts) = whole.unzip();
                Answer::Members(Members { rows, more, version, digest, accounts, center_asked, link })
            }
            Reply::Status(status) => Answer::Status(Box::new(self.status(status))),
            Reply::Refused { condition, text } => refused(condition, text),
        };
        send(client, answer);
    }

    /// Logs and keeps what an administrator should know.
    pub(crate) fn report(&mut self, report: bridge::Report, at: Timestamp) {
        let bridge::Report { room, level, text } = report;
        let of = room.as_ref().map_or_else(String::new, |room| format!("{room}: "));
        let word = match level {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Alarm => "alarm",
        };
        match level {
            Level::Info => tracing::info!("{of}{text}"),
            Level::Warning => tracing::warn!("{of}{text}"),
            Level::Alarm => tracing::error!("{of}{text}"),
        }
        if self.reports.len() >= REPORTS {
            self.reports.pop_front();
        }
        self.reports.push_back(Report { at, level: word.to_owned(), room, text });
    }

    /// The store has taken a transaction.
    pub(crate) fn store_serves(&mut self, figures: Vec<(&'static str, u64)>) {
        self.store = Ok(figures);
    }

    /// The store cannot be used. What the core was asked for is in doubt, and its clients are told so.
    pub(crate) fn store_failed(&mut self, why: &str) {
        tracing::error!("the store cannot be used ({why}); nothing is acknowledged until it can, so nothing is lost");
        self.store = Err(why.to_owned());
        for (_, client) in std::mem::take(&mut self.waiting) {
            send(client, self.store_refusal());
        }
    }

    /// Says once in the log that both connections are up.
    pub(crate) fn note_ready(&mut self) {
        let up =
            matches!(self.server.state(), xmpp::State::Up { .. }) && matches!(self.center.state(), link::State::Up(_));
        if up && !self.ready {
            self.ready = true;
            tracing::info!("ready: connected to the server and to the center");
        }
    }

    fn store_refusal(&self) -> Answer {
        let why = self.store.as_ref().err().map_or("", String::as_str);
        let text = format!("the store cannot be used ({why}). {}", Condition::StoreUnavailable.admin_text());
        refused(Some(Condition::StoreUnavailable), text)
    }

    fn command(&self, request: Request) -> anyhow::Result<Option<Command>> {
        let room = |text: String| self.config.room(&text);
        Ok(Some(match request {
            Request::Reconnect => {
                self.again.notify_one();
                return Ok(None);
            }
            Request::Status => Command::Status,
            Request::Create { name, room: r, members } => Command::Create { name, room: room(r)?, members },
            Request::Join { group, room: r, members } => Command::Join { group, room: room(r)?, members },
            Request::Map { group, room: r, members } => Command::Map { group, room: room(r)?, members },
            Request::SetSource { group, members } => Command::SetSource { group, source: members },
            Request::Offline { group, how } => Command::Offline { group, how },
            Request::Unmap { group } => Command::Unmap { group },
            Request::Leave { group } => Command::Leave { group },
            Request::Allow { group, enterprise } => Command::Allow { group, enterprise },
            Request::Describe { group, changes } => Command::Describe { group, changes },
            Request::Transfer { group, enterprise } => Command::Transfer { group, enterprise },
            Request::Delete { group } => Command::Delete { group },
            Request::List => Command::List,
            Request::Show { group } => Command::Show { group },
            Request::Edit { group, people } => Command::Edit { group, people },
            Request::Role { group, person, role } => Command::Role { group, person, role },
            Request::Members { group, since, after } => Command::Members { group, since, after },
        }))
    }

    fn status(&self, bridge: BridgeStatus) -> Status {
        let identity = Identity::load(&self.dir).ok().flatten();
        let closed = || "closed until the store can be used".to_owned();
        let connecting = || "connecting".to_owned();
        // A connection is up when the core knows it: what is asked for next must find it so.
        let server = match self.server.state() {
            _ if self.store.is_err() => (false, Some(closed())),
            xmpp::State::Up { .. } if !bridge.server => (false, Some(connecting())),
            xmpp::State::Up { exclusive: true } => (true, None),
            xmpp::State::Up { exclusive: false } => {
                (true, Some("another connection shares the stream; the archives are read instead".to_owned()))
            }
            xmpp::State::Connecting => (false, Some(connecting())),
            xmpp::State::Down(text) => (false, Some(text)),
        };
        let center = match self.center.state() {
            _ if self.store.is_err() => Center { up: false, address: None, text: Some(closed()) },
            link::State::Up(_) if !bridge.link => Center { up: false, address: None, text: Some(connecting()) },
            link::State::Up(address) => Center { up: true, address: Some(address), text: None },
            link::State::Connecting => Center { up: false, address: None, text: Some(connecting()) },
            link::State::Down(text) => Center { up: false, address: None, text: Some(text) },
        };
        let mut counters = bridge.counters;
        let figures = [self.server.figures(), self.center.figures(), self.store.clone().unwrap_or_default()];
        counters.extend(figures.into_iter().flatten().map(|(name, value)| (name.replace('_', "-"), value)));
        let text = self.store.as_ref().err().map(|why| format!("the store cannot be written ({why})"));
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            certificate_ends: identity.as_ref().and_then(|i| Some(i.validity().ok()?.1)),
            identity: identity.map(|i| GatewayId { enterprise: i.enterprise, gateway: i.gateway }),
            server: Server { up: server.0, address: self.config.server.clone(), text: server.1 },
            center,
            store: StoreHealth { ok: text.is_none(), text },
            rooms: bridge.rooms,
            reports: self.reports.iter().cloned().collect(),
            counters,
        }
    }
}

fn refused(condition: Option<Condition>, text: String) -> Answer {
    Answer::Refused { condition, text }
}

fn send(client: oneshot::Sender<Answer>, answer: Answer) {
    // A client that has gone does not want it any more.
    let _ = client.send(answer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use intergroup_schemas::ids::GroupNumber;

    fn desk() -> (tempfile::TempDir, Desk) {
        let parent = tempfile::tempdir().unwrap();
        let config = Config {
            server: "127.0.0.1:5347".into(),
            component: "groups.acme.example".into(),
            rooms: "conference.acme.example".into(),
            domains: vec!["acme.example".into()],
            nick: "Intergroup".into(),
            proxy: None,
            store: None,
            standing: Default::default(),
            author_rate: Default::default(),
            members: Default::default(),
            offline: Default::default(),
        };
        let desk = Desk::new(Dir(parent.path().to_owned()), config, Timestamp(1));
        (parent, desk)
    }

    fn served(request: Request) -> (Served, oneshot::Receiver<Answer>) {
        let (answer, got) = oneshot::channel();
        (Served { request, answer }, got)
    }

    #[test]
    fn a_command_gets_its_own_reply_with_the_room_in_normal_form() {
        let (_parent, mut desk) = desk();
        let (join, mut joined) = served(Request::Join { group: GroupNumber(1), room: "Apollo".into(), members: None });
        let (leave, mut left) = served(Request::Leave { group: GroupNumber(2) });
        let (first, command) = desk.serve(join).unwrap();
        assert!(matches!(command, Command::Join { room, .. } if room.as_str() == "apollo@conference.acme.example"));
        let (second, _) = desk.serve(leave).unwrap();
        desk.reply(second, Reply::Done);
        desk.reply(second, Reply::Done);
        assert_eq!(left.try_recv().unwrap(), Answer::Done);
        assert!(joined.try_recv().is_err(), "not answered yet");
        desk.reply(first, Reply::Refused { condition: Some(Condition::NotAllowed), text: "no".into() });
        assert!(matches!(joined.try_recv().unwrap(), Answer::Refused { condition: Some(Condition::NotAllowed), .. }));
        let (wrong, mut refused) =
            served(Request::Map { group: GroupNumber(1), room: "a@elsewhere.example".into(), members: None });
        assert!(desk.serve(wrong).is_none());
        assert!(matches!(refused.try_recv().unwrap(), Answer::Refused { condition: None, .. }));
    }

    #[test]
    fn a_store_that_fails_is_told_to_whoever_waits_and_to_whoever_asks() {
        let (_parent, mut desk) = desk();
        let (list, mut waiting) = served(Request::List);
        desk.serve(list).unwrap();
        desk.store_failed("disk full");
        let unavailable = Some(Condition::StoreUnavailable);
        assert!(matches!(waiting.try_recv().unwrap(), Answer::Refused { condition, .. } if condition == unavailable));
        let (status, mut shown) = served(Request::Status);
        desk.serve_without_core(status);
        let Answer::Status(status) = shown.try_recv().unwrap() else { panic!("no status") };
        assert_eq!(status.store.text.as_deref(), Some("the store cannot be written (disk full)"));
        assert!(!status.store.ok && !status.server.up && !status.center.up);
        desk.store_serves(Vec::new());
        let (status, mut shown) = served(Request::Status);
        desk.serve_without_core(status);
        assert!(matches!(shown.try_recv().unwrap(), Answer::Status(status) if status.store.ok));
    }

    #[test]
    fn the_last_reports_are_kept() {
        let (_parent, mut desk) = desk();
        for n in 0..REPORTS + 5 {
            desk.report(bridge::Report { room: None, level: Level::Info, text: n.to_string() }, Timestamp(0));
        }
        let reports = desk.status(BridgeStatus::default()).reports;
        assert_eq!((reports.len(), reports[0].text.as_str()), (REPORTS, "5"));
    }
}
