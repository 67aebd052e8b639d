//! A gateway's mirror of a large user list, without sockets: the bridge and its embedded store, with pages out of a center's store.
//!
//! In: the center's store, where the gateway's is to be. Out: how long the first fetch took, how long and how large a start from
//! disk is. Never here: a room; the list is fetched before one is entered.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use intergroup_center::store::{PageQuery, Store as _};
use intergroup_gateway::bridge::{Action, Bridge, Command, CommandId, Config, Event, Reply};
use intergroup_gateway::ids::Life;
use intergroup_gateway::store::{Change, Generation, Mapping, Source, Store as _, embedded};
use intergroup_schemas::ids::{GroupNumber, HistoryHash, ListVersion, N, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::link::{
    History, RequestBody, Response, ResponseBody, Standing, Timestamp, ToCenter, ToGateway, VERSION, Welcome,
    WelcomeGroup,
};

/// A first fetch.
#[derive(Debug)]
pub struct Fetched {
    /// From the welcome until all of it was on disk.
    pub took: Duration,
    /// Pages, each a commit of its own.
    pub pages: usize,
    /// Bytes of the gateway's store, its write-ahead log included.
    pub disk: u64,
}

/// A start with the list on disk.
#[derive(Debug)]
pub struct Started {
    /// Until the whole list was in memory.
    pub took: Duration,
    /// Accounts in memory.
    pub accounts: usize,
}

/// What the bridge is answered from.
struct Gateway<'a> {
    bridge: Bridge,
    store: embedded::EmbeddedStore,
    center: Option<&'a mut intergroup_center::store::embedded::EmbeddedStore>,
    pages: usize,
    /// Pages that were asked for while there is nobody who answers.
    unanswered: usize,
    accounts: Option<usize>,
    fetched: bool,
}

fn mapping(group: GroupNumber, enterprise: &str) -> Result<Mapping> {
    Ok(Mapping {
        group,
        name: "Apollo".into(),
        room: "apollo@conference.example".into(),
        archive: true,
        offline: None,
        kept: Default::default(),
        waits: false,
        source: Some(Source::Occupants),
        ending: None,
        closed: false,
        members: vec![(format!("{enterprise}/main").parse()?, enterprise.parse()?)],
        suspended: Vec::new(),
        list: ListVersion(0),
        list_from: Seq(0),
        list_at: None,
        judged: Default::default(),
        alone: false,
        news: Vec::new(),
        floor: None,
        announced: ListVersion(0),
        cursor: None,
        newest: None,
        checkpoints: Vec::new(),
        generation: Generation(0),
        life: Life(0),
        epoch: "k1".parse()?,
        last_n: N(0),
        offered: N(0),
        run: None,
        decided: N(0),
        decided_at: Vec::new(),
        incarnation: Some("i1".parse()?),
        settled: Seq(0),
        hash: HistoryHash::default(),
        places: Vec::new(),
        suspect: None,
        refused: Vec::new(),
        fates_told: Vec::new(),
    })
}

impl Gateway<'_> {
    fn link_up(&mut self, group: GroupNumber, enterprise: &str) -> Result<()> {
        let of_group = WelcomeGroup {
            group,
            standing: Standing::Member,
            incarnation: "i1".parse()?,
            head: Seq(0),
            history: History::Same,
            common: Seq(0),
            decided: N(0),
            list: ListVersion(0),
            digest: Default::default(),
            settled: Seq(0),
            before: None,
        };
        self.event(Event::LinkUp(Welcome {
            version: VERSION,
            enterprise: enterprise.parse()?,
            gateway: "main".parse()?,
            display: enterprise.parse()?,
            credit: limits::LINK_CREDIT,
            window: limits::GROUP_WINDOW,
            payload_bytes: u32::try_from(limits::PAYLOAD_BYTES)?,
            groups: vec![of_group],
        }))
    }

    fn event(&mut self, event: Event) -> Result<()> {
        self.bridge.handle(event, Timestamp(1));
        while let Some(action) = self.bridge.poll_action() {
            let answer = match action {
                Action::Commit { ticket, changes } => {
                    self.store.commit(&changes)?;
                    Event::Committed(ticket)
                }
                Action::LoadListed { group, after, max, visit } => {
                    let rows = self.store.listed(group, after.as_ref(), max)?;
                    Event::Listed { group, rows, visit }
                }
                Action::LoadOutbox { group, from, max } => {
                    Event::Outbox { group, rows: self.store.outbox(group, from, max)? }
                }
                Action::Link(ToCenter::Request(request)) => {
                    let RequestBody::FetchList { group, since, after } = request.body else { continue };
                    let Some(center) = &mut self.center else {
                        self.unanswered += 1;
                        continue;
                    };
                    let page = center.list_page(&PageQuery { group, since, after })?;
                    self.pages += 1;
                    let body = ResponseBody::List { group, page };
                    Event::Link(ToGateway::Response(Response { id: request.id, body }))
                }
                Action::Reply { reply: Reply::Status(status), .. } => {
                    let room = status.rooms.first().context("the group is mapped")?;
                    (self.accounts, self.fetched) = (room.accounts, room.list.is_some());
                    continue;
                }
                _ => continue,
            };
            self.bridge.handle(answer, Timestamp(1));
        }
        Ok(())
    }

    fn look(&mut self) -> Result<()> {
        self.event(Event::Command { id: CommandId(1), command: Command::Status })
    }
}

fn gateway<'a>(
    path: &Path,
    center: Option<&'a mut intergroup_center::store::embedded::EmbeddedStore>,
    new: Option<Mapping>,
) -> Result<Gateway<'a>> {
    let mut store = embedded::EmbeddedStore::open(path)?;
    if let Some(mapping) = new {
        store.commit(&[Change::Mapping(Box::new(mapping))])?;
    }
    let config = Config { domains: vec!["example".into()], ..Config::default() };
    let bridge = Bridge::new(store.load()?, config);
    Ok(Gateway { bridge, store, center, pages: 0, unanswered: 0, accounts: None, fetched: false })
}

/// A gateway that has just joined fetches the whole list from the center's store, and puts it on disk at `path`.
///
/// # Errors
/// A store fails, or the list does not come whole.
pub fn fetch(
    path: &Path,
    center: &mut intergroup_center::store::embedded::EmbeddedStore,
    group: GroupNumber,
    enterprise: &str,
) -> Result<Fetched> {
    let mut gateway = gateway(path, Some(center), Some(mapping(group, enterprise)?))?;
    let begun = Instant::now();
    gateway.link_up(group, enterprise)?;
    let took = begun.elapsed();
    gateway.look()?;
    ensure!(gateway.fetched, "the list was not fetched");
    let log = path.with_extension("db-wal");
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
    let disk = size(path) + size(&log);
    Ok(Fetched { took, pages: gateway.pages, disk })
}

/// A gateway starts with the list on disk, and is asked what it takes in memory by `measure` before and after.
///
/// # Errors
/// The store fails, or the list is not there.
pub fn start<T>(
    path: &Path,
    group: GroupNumber,
    enterprise: &str,
    measure: impl Fn() -> Result<T>,
) -> Result<(Started, T, T)> {
    let (before, begun) = (measure()?, Instant::now());
    let mut gateway = gateway(path, None, None)?;
    gateway.link_up(group, enterprise)?;
    let took = begun.elapsed();
    gateway.look()?;
    let after = measure()?;
    ensure!(gateway.unanswered == 1, "the list is at hand, and the center is asked what is newer");
    let accounts = gateway.accounts.context("the list is at hand")?;
    Ok((Started { took, accounts }, before, after))
}
