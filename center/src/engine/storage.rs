//! The threads of the store: one commits, one reads with its own connection, so that nobody who is behind delays a
//! commit, and no commit a reader. Where nodes share the store, one more reads what others have done, and one hears of it.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use intergroup_schemas::ids::{GatewayId, GroupNumber, HistoryHash, Incarnation, Seq};
use intergroup_schemas::list::ListPage;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::hub::{LinkId, Reader, Ticket};
use crate::store::place::Place;
use crate::store::shared::{Claims, Known, News, Node, Taken, Unit, Version, Word};
use crate::store::{Change, PageQuery, Record, Snapshot, Store, StoreError};

/// What the store has done. Its number is bounded by what the hub has asked for.
#[derive(Debug)]
pub(super) enum Done {
    Opened(Box<Snapshot>),
    Committed { ticket: Ticket, refused: Vec<Unit>, took: Duration, figures: Vec<(&'static str, u64)> },
    Log { life: u64, link: LinkId, group: GroupNumber, after: Seq, records: Vec<Record> },
    Hashes { life: u64, link: LinkId, hashes: Vec<Option<HistoryHash>> },
    Sources { life: u64, group: GroupNumber, gateway: GatewayId, sources: Vec<u64> },
    List { life: u64, reader: Reader, group: GroupNumber, page: ListPage },
    News { life: u64, unit: Unit, news: Box<News> },
    Taken { life: u64, link: LinkId, taken: Taken, versions: Vec<(Unit, Version)> },
    Looked { life: u64, nodes: Vec<Node>, versions: Vec<(Unit, Version)> },
    Heard(Word),
    Failed(StoreError),
}

#[derive(Debug)]
enum Write {
    Reopen,
    Commit { ticket: Ticket, changes: Vec<Change>, claims: Claims },
}

/// What can be read. `life` comes back with the answer: one for a hub that is gone is not for the next.
#[derive(Debug)]
pub(super) enum Read {
    Log { life: u64, link: LinkId, group: GroupNumber, after: Seq, entries: usize, bytes: usize },
    Hashes { life: u64, link: LinkId, places: Vec<(GroupNumber, Seq)> },
    Sources { life: u64, group: GroupNumber, gateway: GatewayId },
    List { life: u64, reader: Reader, query: PageQuery },
    News { life: u64, unit: Unit, known: Option<Known> },
    Take { life: u64, link: LinkId, gateway: GatewayId, runs: Vec<(GroupNumber, Incarnation)>, units: Vec<Unit> },
    Look { life: u64, here: Node },
}

/// The way to the threads; they end when it is dropped.
#[derive(Debug)]
pub(super) struct Storage {
    writes: mpsc::Sender<Write>,
    reads: mpsc::Sender<Read>,
    /// Where nodes share the store; else as `reads`.
    news: mpsc::Sender<Read>,
}

impl Storage {
    /// Starts both threads on a store that has been opened.
    pub(super) fn start(place: Place, store: Box<dyn Store>) -> std::io::Result<(Self, UnboundedReceiver<Done>)> {
        let (done, results) = unbounded_channel();
        let (writes, jobs) = mpsc::channel();
        let (to, at) = (done.clone(), place.clone());
        thread::Builder::new().name("store-commit".into()).spawn(move || commit_all(&at, store, &jobs, &to))?;
        let (reads, jobs) = mpsc::channel();
        let (to, at) = (done.clone(), place.clone());
        thread::Builder::new().name("store-read".into()).spawn(move || read_all(&at, &jobs, &to))?;
        if !place.is_shared() {
            return Ok((Self { writes, news: reads.clone(), reads }, results));
        }
        // Nobody who is far behind delays what a decision waits for.
        let (news, jobs) = mpsc::channel();
        let (to, at) = (done.clone(), place.clone());
        thread::Builder::new().name("store-news".into()).spawn(move || read_all(&at, &jobs, &to))?;
        thread::Builder::new().name("store-ear".into()).spawn(move || hear_all(&place, &done))?;
        Ok((Self { writes, reads, news }, results))
    }

    /// Commits; answered by `Committed` or `Failed`.
    pub(super) fn commit(&self, ticket: Ticket, changes: Vec<Change>, claims: Claims) {
        // The thread ends only after this sender.
        let _ = self.writes.send(Write::Commit { ticket, changes, claims });
    }

    /// Opens the store anew after a failure; answered by `Opened` or `Failed`.
    pub(super) fn reopen(&self) {
        let _ = self.writes.send(Write::Reopen);
    }

    pub(super) fn read(&self, what: Read) {
        let to = match what {
            Read::News { .. } | Read::Take { .. } => &self.news,
            _ => &self.reads,
        };
        let _ = to.send(what);
    }
}

/// Ends soon after nobody listens any more: an ear says something every few seconds, or that nothing was said.
fn hear_all(place: &Place, done: &UnboundedSender<Done>) {
    let Some(mut ear) = place.ear() else { return };
    ear.listen(&mut |word| match word {
        Some(word) => done.send(Done::Heard(word)).is_ok(),
        None => !done.is_closed(),
    });
}

fn commit_all(place: &Place, store: Box<dyn Store>, jobs: &mpsc::Receiver<Write>, done: &UnboundedSender<Done>) {
    let mut store = Some(store);
    while let Ok(job) = jobs.recv() {
        let result = match (job, &mut store) {
            (Write::Commit { ticket, changes, claims }, Some(store)) => {
                let begun = Instant::now();
                store.commit_shared(&changes, &claims).map(|refused| Done::Committed {
                    ticket,
                    refused,
                    took: begun.elapsed(),
                    figures: store.figures(),
                })
            }
            (Write::Commit { .. }, None) => Err(StoreError("the store is closed".into())),
            (Write::Reopen, _) => {
                drop(store.take());
                place.reopen().and_then(|mut opened| {
                    let snapshot = opened.load()?;
                    store = Some(opened);
                    Ok(Done::Opened(Box::new(snapshot)))
                })
            }
        };
        let result = result.unwrap_or_else(|e| {
            // What a failed sync has left in the connection is not trusted again.
            store = None;
            Done::Failed(e)
        });
        if done.send(result).is_err() {
            return;
        }
    }
}

fn read_all(place: &Place, jobs: &mpsc::Receiver<Read>, done: &UnboundedSender<Done>) {
    let mut store = None;
    while let Ok(job) = jobs.recv() {
        let result = read_one(place, &mut store, job).unwrap_or_else(|e| {
            store = None;
            Done::Failed(e)
        });
        if done.send(result).is_err() {
            return;
        }
    }
}

fn read_one(place: &Place, store: &mut Option<Box<dyn Store>>, job: Read) -> Result<Done, StoreError> {
    let store = match store {
        Some(store) => store,
        None => store.insert(place.open_reader()?),
    };
    Ok(match job {
        Read::Log { life, link, group, after, entries, bytes } => {
            let records = store.read_log(group, after, entries, bytes)?;
            Done::Log { life, link, group, after, records }
        }
        Read::Hashes { life, link, places } => {
            let hashes = places.into_iter().map(|(group, seq)| store.hash_at(group, seq)).collect::<Result<_, _>>()?;
            Done::Hashes { life, link, hashes }
        }
        Read::Sources { life, group, gateway } => {
            let sources = store.sources(group, &gateway)?;
            Done::Sources { life, group, gateway, sources }
        }
        Read::List { life, reader, query } => {
            let page = store.list_page(&query)?;
            Done::List { life, reader, group: query.group, page }
        }
        Read::News { life, unit, known } => Done::News { life, unit, news: Box::new(store.news(unit, known)?) },
        Read::Take { life, link, gateway, runs, units } => {
            let taken = store.take_link(&gateway, &runs)?;
            let versions = store.versions(Some(&units))?;
            Done::Taken { life, link, taken, versions }
        }
        Read::Look { life, here } => {
            let nodes = store.meet(&here)?;
            Done::Looked { life, nodes, versions: store.versions(None)? }
        }
    })
}
