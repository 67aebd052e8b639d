//! The store on Redis: for centers that keep their state beside them, or have a Redis that is watched and copied anyway.
//!
//! In: batches, each one atomic script that does what nobody else has changed since. Out: the snapshot, news, and pages of logs and
//! lists; the words of other nodes. Never here: how batches become atomic, and what happens when Redis is away
//! (`schemas/redis/src`).
//!
//! What a commit appends to a group is one entry of the group's stream, packed as in the embedded store.

mod read;
mod write;

use std::collections::BTreeSet;

use intergroup_redis::{Engine, Key, Listener, Settings, Slot};
use intergroup_schemas::ids::{GatewayId, GroupNumber, HistoryHash, Incarnation, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::list::ListPage;

use ring::rand::{SecureRandom, SystemRandom};

use super::shared::{Claims, Ear, Known, News, Node, Taken, Unit, Version, Word};
use super::{Change, PageQuery, Record, RecordKind, Snapshot, Store, StoreError};

/// Under which the store is found, unless the address has a prefix.
const PREFIX: &str = "intergroup-center";
/// What the store is, as it is written there.
const KIND: &str = "center";
/// The version of the rows. `FORMAT.md` describes them.
const FORMAT: u32 = 1;
/// What commits have added to a log is asked for so many at once, at most; each can be half a megabyte.
const ROWS_AT_ONCE: usize = 16;
/// The same, of what other nodes have added: who is further behind reads the group as a whole.
const NEWS_ROWS: usize = 64;
/// A node that told of itself so many seconds ago is up,
const UP_S: u64 = 20;
/// and one that has not for so long is no longer dialled: a week.
const FORGOTTEN_S: u64 = 7 * 24 * 3600;

/// The tables, by the letter with which the keys of their rows begin. What a snapshot does not want sorts behind the rest.
mod table {
    pub(super) const FLOOR: u8 = b'F';
    pub(super) const GROUP: u8 = b'G';
    pub(super) const ACCOUNT: u8 = b'a';
    pub(super) const FATE: u8 = b'f';
    pub(super) const MARK: u8 = b'k';
    pub(super) const MEMBER: u8 = b'm';
    pub(super) const PART: u8 = b'p';
    pub(super) const REFUSAL: u8 = b'r';
    pub(super) const MILESTONE: u8 = b's';
    pub(super) const ACCOUNT_VERSION: u8 = b'v';
    // Of what belongs to no group:
    pub(super) const ENROLMENT: u8 = b'c';
    pub(super) const ENTERPRISE: u8 = b'e';
    pub(super) const GATEWAY: u8 = b'w';
}

impl From<intergroup_redis::Error> for StoreError {
    fn from(e: intergroup_redis::Error) -> Self {
        StoreError(e.to_string())
    }
}

/// See the module.
#[derive(Debug)]
pub struct RedisStore {
    engine: Engine,
    /// The random name of this opening.
    session: u64,
    /// Commits that were made without a claim.
    unclaimed: u64,
}

/// Hears what nodes say to each other through Redis.
#[derive(Debug)]
pub struct RedisEar(Listener);

impl Ear for RedisEar {
    fn listen(&mut self, each: &mut dyn FnMut(Option<Word>) -> bool) {
        self.0.listen(|word| each(word.and_then(read::word)));
    }
}

fn slot(group: GroupNumber) -> Slot {
    Slot::Group(group.0)
}

fn in_slot(unit: Unit) -> Slot {
    match unit {
        Unit::Registry => Slot::Main,
        Unit::Group(group) => slot(group),
    }
}

fn of_slot(slot: Slot) -> Unit {
    match slot {
        Slot::Main => Unit::Registry,
        Slot::Group(number) => Unit::Group(GroupNumber(number)),
    }
}

impl RedisStore {
    /// All of a group, as of one moment.
    fn whole(&mut self, number: GroupNumber) -> Result<News, StoreError> {
        let mut unit = self.engine.unit(slot(number), &[(Key::of(0), Key::of(table::ACCOUNT_VERSION))], 0, 1)?;
        let version = read::version(unit.version.as_deref())?;
        let mut snapshot = Snapshot::default();
        read::group(&mut snapshot, number, &unit.rows, unit.log.pop(), unit.end)?;
        Ok(News { version, snapshot, since: None })
    }

    /// Opens the store as one of its nodes, or makes it.
    ///
    /// # Errors
    /// Redis cannot be reached, or holds something else there, or what a newer version wrote.
    pub fn open(settings: &Settings) -> Result<Self, StoreError> {
        let mut session = [0; 8];
        if SystemRandom::new().fill(&mut session).is_err() {
            return Err(StoreError("the system gives no random numbers".into()));
        }
        let session = u64::from_le_bytes(session);
        Ok(Self { engine: Engine::share(settings, PREFIX, KIND, FORMAT, session)?, session, unclaimed: 0 })
    }

    /// What hears of other nodes' doings.
    #[must_use]
    pub fn ear(settings: &Settings) -> RedisEar {
        RedisEar(Listener::new(settings, PREFIX))
    }

    /// Opens a store that there is, for reading.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub fn look(settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self { engine: Engine::look(settings, PREFIX)?, session: 0, unclaimed: 0 })
    }

    /// See [`super::place::Place::belongs_to`].
    ///
    /// # Errors
    /// It is another center's, or Redis cannot be reached.
    pub fn belongs_to(&mut self, authority: &[u8; 32]) -> Result<(), StoreError> {
        if self.engine.made_once("authority", authority)? == authority {
            return Ok(());
        }
        Err(StoreError(
            "the store is that of a center with another certificate authority, whose gateways would trust this one as little as it \
             them. Another node of that center is made with `init --join`; a center of its own needs another prefix (?prefix=… \
             behind the store's address)"
                .into(),
        ))
    }

    /// The last entry that was trimmed from a log, with the running hash there; none for a group that there is not.
    fn floor(&mut self, group: GroupNumber) -> Result<Option<(Seq, HistoryHash)>, StoreError> {
        let rows = self.engine.page(slot(group), &Key::of(table::FLOOR), &Key::of(table::GROUP).end(), 2)?;
        read::floor(&rows)
    }

    /// Walks over the entries of a log from a place on, until `each` says no.
    fn walk(&mut self, group: GroupNumber, from: Seq, mut each: impl FnMut(Record) -> bool) -> Result<(), StoreError> {
        let floor = self.floor(group)?.unwrap_or_default().0;
        let (mut from, mut at_once) = (from.max(floor.next()), 1);
        loop {
            let rows = self.engine.log(slot(group), from.0, at_once)?;
            let last = rows.len() < at_once;
            for row in rows {
                for record in read::records(group, row)? {
                    let record = record?;
                    if record.seq < from {
                        continue;
                    }
                    from = record.seq.next();
                    if !each(record) {
                        return Ok(());
                    }
                }
            }
            if last {
                return Ok(());
            }
            at_once = (at_once * 2).min(ROWS_AT_ONCE);
        }
    }
}

impl Store for RedisStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        let mut all = Snapshot::default();
        read::main(&mut all, &self.engine.rows(Slot::Main, &Key::of(b'A'), &Key::of(u8::MAX))?)?;
        let main = self.engine.versions(&[Slot::Main])?.pop().flatten();
        if let Some(text) = main {
            all.versions.push((Unit::Registry, read::version(Some(&text))?));
        }
        for number in self.engine.groups()? {
            let mut of_group = self.whole(GroupNumber(number))?;
            all.groups.append(&mut of_group.snapshot.groups);
            all.members.append(&mut of_group.snapshot.members);
            all.marks.append(&mut of_group.snapshot.marks);
            all.refusals.append(&mut of_group.snapshot.refusals);
            all.fates.append(&mut of_group.snapshot.fates);
            all.parts.append(&mut of_group.snapshot.parts);
            all.versions.push((Unit::Group(GroupNumber(number)), of_group.version));
        }
        all.fates.sort_by(|a, b| (a.group, &a.member, a.seq).cmp(&(b.group, &b.member, b.seq)));
        Ok(all)
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError> {
        self.unclaimed += 1;
        let units: BTreeSet<_> = batch.iter().map(Change::unit).collect();
        let bases = units.into_iter().map(|unit| (in_slot(unit), "*".to_owned())).collect();
        let version = Version::of(self.session, self.unclaimed);
        let claims = intergroup_redis::Claims { version: write::version(version), bases };
        Ok(self.engine.commit_shared(&write::batch(batch)?, &claims).map(drop)?)
    }

    fn commit_shared(&mut self, batch: &[Change], claims: &Claims) -> Result<Vec<Unit>, StoreError> {
        let bases = claims.bases.iter().map(|(unit, base)| (in_slot(*unit), write::version(*base))).collect();
        let claims = intergroup_redis::Claims { version: write::version(claims.version), bases };
        Ok(self.engine.commit_shared(&write::batch(batch)?, &claims)?.into_iter().map(of_slot).collect())
    }

    fn news(&mut self, unit: Unit, known: Option<Known>) -> Result<News, StoreError> {
        let Unit::Group(number) = unit else {
            let slot = self.engine.unit(Slot::Main, &[(Key::of(b'A'), Key::of(u8::MAX))], 0, 0)?;
            let mut snapshot = Snapshot::default();
            read::main(&mut snapshot, &slot.rows)?;
            return Ok(News { version: read::version(slot.version.as_deref())?, snapshot, since: None });
        };
        if let Some(known) = known {
            let ranges = [(table::FLOOR, table::GROUP), (table::FATE, table::FATE), (table::MARK, table::MEMBER)];
            let ranges = [&ranges[..], &[(table::REFUSAL, table::REFUSAL)]].concat();
            let ranges: Vec<_> = ranges.into_iter().map(|(from, to)| (Key::of(from), Key::of(to).end())).collect();
            let read = self.engine.unit(slot(number), &ranges, known.0.next().0, NEWS_ROWS)?;
            let version = read::version(read.version.as_deref())?;
            if let Some((snapshot, since)) = read::group_since(number, read, known)? {
                return Ok(News { version, snapshot, since: Some(since) });
            }
        }
        let news = self.whole(number)?;
        let kept = news.snapshot.groups.first().is_none_or(|state| known.is_none_or(|(seq, _)| state.floor > seq));
        if let Some((seq, hash)) = known.filter(|_| !kept)
            && self.hash_at(number, seq)?.is_some_and(|there| there != hash)
        {
            return Err(intergroup_redis::Error::Lost.into());
        }
        Ok(news)
    }

    fn versions(&mut self, units: Option<&[Unit]>) -> Result<Vec<(Unit, Version)>, StoreError> {
        let units = match units {
            Some(units) => units.to_vec(),
            None => {
                let groups = self.engine.groups()?.into_iter().map(|number| Unit::Group(GroupNumber(number)));
                groups.chain([Unit::Registry]).collect()
            }
        };
        let slots: Vec<_> = units.iter().copied().map(in_slot).collect();
        let versions = self.engine.versions(&slots)?;
        units.into_iter().zip(versions).map(|(unit, text)| Ok((unit, read::version(text.as_deref())?))).collect()
    }

    fn take_link(&mut self, gateway: &GatewayId, runs: &[(GroupNumber, Incarnation)]) -> Result<Taken, StoreError> {
        let marks: Vec<_> = runs.iter().map(|(group, run)| (group.to_string(), run.to_string())).collect();
        let (generation, before) = self.engine.take(&gateway.to_string(), &marks)?;
        let named = runs.iter().zip(before).filter_map(|((group, _), run)| Some((*group, run?.parse().ok()?)));
        Ok(Taken { generation, before: named.collect() })
    }

    fn meet(&mut self, here: &Node) -> Result<Vec<Node>, StoreError> {
        let name = here.addresses.first().cloned().unwrap_or_default();
        let told = serde_json::to_string(here).map_err(|e| StoreError(e.to_string()))?;
        let all = self.engine.meet(&name, &told, FORGOTTEN_S)?;
        // What a newer version tells otherwise is not for this one.
        let nodes = all.into_iter().filter_map(|(ago, told)| Some((ago, serde_json::from_str::<Node>(&told).ok()?)));
        let up = |(ago, node): (u64, Node)| match ago <= UP_S {
            true => node,
            false => Node { online: Vec::new(), up: false, ..node },
        };
        Ok(nodes.map(up).collect())
    }

    fn read_log(
        &mut self,
        group: GroupNumber,
        after: Seq,
        entries: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (mut records, mut left) = (Vec::new(), bytes as u64);
        self.walk(group, after.next(), |record| {
            if records.len() >= entries || (!records.is_empty() && record.bytes() > left) {
                return false;
            }
            left = left.saturating_sub(record.bytes());
            records.push(record);
            records.len() < entries && left > 0
        })?;
        Ok(records)
    }

    fn hash_at(&mut self, group: GroupNumber, seq: Seq) -> Result<Option<HistoryHash>, StoreError> {
        match self.floor(group)? {
            None => return Ok(None),
            Some((floor, hash)) if floor == seq => return Ok(Some(hash)),
            Some((floor, _)) if seq < floor => return Ok(None),
            Some(_) => {}
        }
        let mut found = None;
        self.walk(group, seq, |record| {
            found = (record.seq == seq).then_some(record.hash);
            false
        })?;
        Ok(found)
    }

    fn sources(&mut self, group: GroupNumber, gateway: &GatewayId) -> Result<Vec<u64>, StoreError> {
        let mut all = Vec::new();
        self.walk(group, Seq(0), |record| {
            if let RecordKind::Message { origin, source, .. } = record.kind
                && origin == *gateway
            {
                all.extend(source);
            }
            true
        })?;
        Ok(all)
    }

    fn list_page(&mut self, query: &PageQuery) -> Result<ListPage, StoreError> {
        let version = Key::of(table::ACCOUNT_VERSION).number(query.since.0);
        let from = match &query.after {
            Some(after) => version.part(after.enterprise.as_str()).text(after.user.as_str()).behind(),
            None => version.end(),
        };
        let to = Key::of(table::ACCOUNT_VERSION).end();
        let most = limits::ACCOUNTS_PER_PAGE + 1;
        let (group, rows) = self.engine.found(slot(query.group), (&from, &to), most, &Key::of(table::GROUP))?;
        read::list_page(query.group, group, &rows)
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let (commits, again, waited) = self.engine.figures();
        vec![("commits", commits), ("connected-again", again), ("waited-ms", waited)]
    }
}
