//! The store as its owner uses it: batches in, pages of rows and logs out.

use std::collections::BTreeMap;

use redis::ScriptInvocation;

use crate::connection::Connection;
use crate::script::{APPLY, CLAIM, FOUND, Names, RAISE};
use crate::{Batch, Claims, Error, Key, Row, Settings, Slot, durable};

/// Rows that one request asks for.
const PAGE: usize = 512;
/// The table of the slot for no group in which every group that ever had a row is registered.
const REGISTER: u8 = b'!';

/// What one commit has added to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// The place of the first entry.
    pub first: u64,
    /// How much all before it counted, also those that are gone.
    pub before: u64,
    /// The entries.
    pub entries: Vec<u8>,
}

/// Who writes.
#[derive(Debug)]
pub(crate) enum Writer {
    /// Nobody: this is a look.
    None,
    /// The owner, by its token.
    Owner(u64),
    /// One of several, by the name of this life of it.
    Session(String),
}

/// A store, or a look into it.
#[derive(Debug)]
pub struct Engine {
    pub(crate) connection: Connection,
    pub(crate) names: Names,
    pub(crate) writer: Writer,
    /// The last batch of each slot that has a fence: of all in a Cluster, else of [`Slot::Main`] alone.
    pub(crate) batches: BTreeMap<Slot, u64>,
    batch_count: u64,
}

impl Engine {
    /// Opens a store as its owner, and makes it if there is none. Warns of settings of Redis that put it at risk.
    ///
    /// # Errors
    /// Redis cannot be reached, or holds something else under this prefix, or a newer format of it.
    pub fn open(settings: &Settings, prefix: &str, kind: &str, format: u32) -> Result<Self, Error> {
        let mut engine = Self::checked(settings, prefix, kind, format)?;
        let fence = engine.names.fence(Slot::Main);
        let token = engine.connection.run(|c| CLAIM.key(&fence).invoke(c))?;
        engine.writer = Writer::Owner(token);
        engine.batches.insert(Slot::Main, 0);
        let groups = engine.groups()?;
        if engine.connection.is_cluster() {
            for group in groups {
                engine.raise(Slot::Group(group), token)?;
            }
        } else {
            engine.batches.extend(groups.into_iter().map(|group| (Slot::Group(group), 0)));
        }
        Ok(engine)
    }

    /// Looks at a store, or makes it.
    pub(crate) fn checked(settings: &Settings, prefix: &str, kind: &str, format: u32) -> Result<Self, Error> {
        let mut engine = Self::look(settings, prefix)?;
        let watched = engine.connection.is_watched();
        for risk in engine.connection.run(|c| Ok(durable::risks(c, watched)))? {
            tracing::warn!("the store is at risk: {risk}");
        }
        engine.check(kind, format)?;
        Ok(engine)
    }

    /// Opens a store that has an owner, for reading.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub fn look(settings: &Settings, prefix: &str) -> Result<Self, Error> {
        let connection = Connection::open(settings.clone())?;
        let names = Names(settings.address.prefix.clone().unwrap_or_else(|| prefix.to_owned()));
        Ok(Self { connection, names, writer: Writer::None, batches: BTreeMap::new(), batch_count: 0 })
    }

    fn check(&mut self, kind: &str, format: u32) -> Result<(), Error> {
        let key = self.names.format();
        let ours = [("kind", kind.to_owned()), ("format", format.to_string())];
        let (kind_there, format_there): (Option<String>, Option<String>) = self.connection.run(|c| {
            for (field, value) in &ours {
                redis::cmd("HSETNX").arg(&key).arg(field).arg(value).query::<()>(c)?;
            }
            redis::cmd("HMGET").arg(&key).arg("kind").arg("format").query(c)
        })?;
        if kind_there.as_deref() != Some(kind) {
            return Err(Error::Unusable(format!(
                "what Redis holds under {} is not a {kind}'s store: choose another prefix (?prefix=… in the address)",
                self.names.0
            )));
        }
        match format_there.as_deref().and_then(|text| text.parse::<u32>().ok()) {
            Some(there) if there == format => Ok(()),
            // What later formats have added is missing there, and nothing else.
            Some(there) if there < format => {
                self.connection.run(|c| redis::cmd("HSET").arg(&key).arg("format").arg(format).query(c))
            }
            there => Err(Error::Unusable(format!(
                "the store has format {}, this program knows {format}: install the version that wrote it, or a newer one",
                there.map_or_else(|| "unknown".to_owned(), |there| there.to_string())
            ))),
        }
    }

    /// A value that is made once with the store: the given one, unless there is one already.
    ///
    /// # Errors
    /// Redis'.
    pub fn made_once(&mut self, name: &str, value: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.names.format();
        self.connection.run(|c| {
            redis::cmd("HSETNX").arg(&key).arg(name).arg(value).query::<()>(c)?;
            redis::cmd("HGET").arg(&key).arg(name).query(c)
        })
    }

    /// The token: it grows with each opening.
    #[must_use]
    pub fn token(&self) -> u64 {
        if let Writer::Owner(token) = self.writer { token } else { 0 }
    }

    /// Figures: batches, times that the connection was made again, and milliseconds waited for that.
    #[must_use]
    pub fn figures(&self) -> (u64, u64, u64) {
        (self.batch_count, self.connection.again.0, self.connection.again.1)
    }

    /// Every group that has, or had, a row, in order.
    ///
    /// # Errors
    /// Redis'.
    pub fn groups(&mut self) -> Result<Vec<u64>, Error> {
        let rows = self.rows(Slot::Main, &Key::of(REGISTER), &Key::of(REGISTER).end())?;
        Ok(rows.iter().filter_map(|row| row.number(0)).collect())
    }

    fn raise(&mut self, slot: Slot, token: u64) -> Result<(), Error> {
        let fence = self.names.fence(slot);
        let answer: String = self.connection.run(|c| RAISE.key(&fence).arg(token).invoke(c))?;
        if answer == "taken" {
            return Err(Error::TakenOver);
        }
        self.batches.insert(slot, 0);
        Ok(())
    }

    // ------------------------------------------------------------ writing

    /// Puts a batch on Redis, all or nothing; in a Cluster slot by slot, groups before what belongs to none.
    ///
    /// # Errors
    /// See [`Error`]. In doubt about one that Redis did not answer: opening anew puts an end to it.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), Error> {
        self.commit_claimed(batch, &Claims::default()).map(drop)
    }

    pub(crate) fn commit_claimed(&mut self, batch: &Batch, claims: &Claims) -> Result<Vec<Slot>, Error> {
        let mut refused = Vec::new();
        let mut register = Batch::default();
        for group in batch.registered.iter().filter(|group| !self.batches.contains_key(&Slot::Group(**group))) {
            register.put(Slot::Main, Key::of(REGISTER).number(*group), Vec::new());
        }
        if self.connection.is_cluster() {
            // A group is registered before it has anything, so that nothing is ever without an owner.
            if !register.is_empty() {
                self.apply(Slot::Main, &[(&register, vec![Slot::Main])], &Claims::default())?;
            }
            for slot in batch.slots() {
                refused.extend(self.apply(slot, &[(batch, vec![slot])], claims)?);
            }
        } else if !batch.is_empty() {
            refused = self.apply(Slot::Main, &[(&register, register.slots()), (batch, batch.slots())], claims)?;
            self.batches.extend(batch.registered.iter().map(|group| (Slot::Group(*group), 0)));
        }
        self.batch_count += 1;
        Ok(refused)
    }

    /// Runs the script on some slots, under the fence of one; says which were refused. Claims are of the last part's slots.
    fn apply(&mut self, fence: Slot, parts: &[(&Batch, Vec<Slot>)], claims: &Claims) -> Result<Vec<Slot>, Error> {
        let known = self.batches.get(&fence).copied();
        let number = known.unwrap_or_default() + 1;
        let mut script = APPLY.prepare_invoke();
        let (token, session) = match &self.writer {
            Writer::None => return Err(Error::Unusable("the store was opened for reading".into())),
            Writer::Owner(token) => (token.to_string(), ""),
            Writer::Session(session) => (String::new(), session.as_str()),
        };
        let fence_key = if session.is_empty() { self.names.fence(fence) } else { self.names.session(fence, session) };
        script.key(fence_key).arg(token).arg(number);
        script.arg(if known.is_none() { "new" } else { "" });
        script.arg(&claims.version).arg(self.names.channel()).arg(session);
        let mut claimed = Vec::new();
        let mut first_of_part = 2;
        for (at, (_, slots)) in parts.iter().enumerate() {
            if at + 1 == parts.len() {
                for (place, slot) in slots.iter().enumerate() {
                    let of = |(of, _): &&(Slot, String)| of == slot;
                    if let Some((_, base)) = claims.bases.iter().find(of) {
                        claimed.push((first_of_part + place * crate::script::KEYS_OF_A_SLOT, base, slot.name()));
                    }
                }
            }
            first_of_part += slots.len() * crate::script::KEYS_OF_A_SLOT;
        }
        script.arg(claimed.len());
        for (key, base, name) in claimed {
            script.arg(key).arg(base).arg(name);
        }
        let mut first_key = 2;
        for (batch, slots) in parts {
            for slot in slots {
                script.key(self.names.rows(*slot)).key(self.names.log(*slot)).key(self.names.end(*slot));
            }
            for argument in batch.arguments(slots, first_key) {
                script.arg(argument);
            }
            first_key += slots.len() * crate::script::KEYS_OF_A_SLOT;
        }
        let answer: String = self.connection.run(|c| script.invoke(c))?;
        let mut words = answer.split(' ');
        match words.next() {
            Some("applied" | "done") => {
                self.batches.insert(fence, number);
                Ok(words.filter_map(Slot::named).collect())
            }
            Some("taken") => Err(Error::TakenOver),
            _ => Err(Error::Lost),
        }
    }

    // ------------------------------------------------------------ reading

    /// All rows of a slot from a key up to another, in order.
    ///
    /// # Errors
    /// Redis', or something there is not a row.
    pub fn rows(&mut self, slot: Slot, from: &Key, to: &Key) -> Result<Vec<Row>, Error> {
        let mut all = Vec::new();
        let mut from = bound(b'[', from);
        loop {
            let page = self.members(slot, &from, to, PAGE)?;
            let whole = page.len() < PAGE;
            if let Some(last) = page.last() {
                from = [&b"("[..], last].concat();
            }
            for member in page {
                all.push(row(member)?);
            }
            if whole {
                return Ok(all);
            }
        }
    }

    /// The first rows of a slot from a key up to another, in order, at most `max`.
    ///
    /// # Errors
    /// As [`Engine::rows`].
    pub fn page(&mut self, slot: Slot, from: &Key, to: &Key, max: usize) -> Result<Vec<Row>, Error> {
        self.members(slot, &bound(b'[', from), to, max)?.into_iter().map(row).collect()
    }

    fn members(&mut self, slot: Slot, from: &[u8], to: &Key, max: usize) -> Result<Vec<Vec<u8>>, Error> {
        let (key, to) = (self.names.rows(slot), bound(b'(', to));
        self.connection.run(|c| {
            let mut command = redis::cmd("ZRANGEBYLEX");
            command.arg(&key).arg(from).arg(&to).arg("LIMIT").arg(0).arg(max).query(c)
        })
    }

    /// The first rows that are found by indexes from one up to another, at most `max`; with them, as of the same moment, the
    /// row of a key, if there is one.
    ///
    /// # Errors
    /// As [`Engine::rows`].
    pub fn found(
        &mut self,
        slot: Slot,
        (from, to): (&Key, &Key),
        max: usize,
        other: &Key,
    ) -> Result<(Option<Row>, Vec<Row>), Error> {
        let mut script: ScriptInvocation<'_> = FOUND.key(self.names.rows(slot));
        script.arg(bound(b'[', from)).arg(bound(b'(', to)).arg(max).arg(&other.0[..]);
        let mut members: Vec<Vec<u8>> = self.connection.run(|c| script.invoke(c))?;
        if members.is_empty() {
            return Err(damaged());
        }
        let rest = members.split_off(1);
        let other = members.pop().filter(|member| !member.is_empty()).map(row).transpose()?;
        Ok((other, rest.into_iter().map(row).collect::<Result<_, _>>()?))
    }

    /// The first `max` of what was added to a slot's log that hold a place, or one behind it.
    ///
    /// # Errors
    /// Redis'.
    pub fn log(&mut self, slot: Slot, from: u64, max: usize) -> Result<Vec<LogRow>, Error> {
        let (key, from) = (self.names.log(slot), format!("{from}-0"));
        let rows: Vec<(String, BTreeMap<String, Vec<u8>>)> = self
            .connection
            .run(|c| redis::cmd("XRANGE").arg(&key).arg(&from).arg("+").arg("COUNT").arg(max).query(c))?;
        rows.into_iter().map(|(_, fields)| log_row(fields)).collect()
    }

    /// Where a slot's log ends: the last place, the state there, and how much all of it counts, also what is gone. None: nothing
    /// was ever appended.
    ///
    /// # Errors
    /// Redis'.
    pub fn log_end(&mut self, slot: Slot) -> Result<Option<(u64, Vec<u8>, u64)>, Error> {
        let key = self.names.end(slot);
        let end: (Option<u64>, Option<Vec<u8>>, Option<u64>) =
            self.connection.run(|c| redis::cmd("HMGET").arg(&key).arg("last").arg("state").arg("size").query(c))?;
        Ok(match end {
            (Some(last), Some(state), Some(size)) => Some((last, state, size)),
            _ => None,
        })
    }
}

pub(crate) fn log_row(mut fields: BTreeMap<String, Vec<u8>>) -> Result<LogRow, Error> {
    let number = |bytes: Option<&Vec<u8>>| std::str::from_utf8(bytes?).ok()?.parse().ok();
    let (first, before) = (number(fields.get("first")), number(fields.get("before")));
    let (Some(first), Some(before)) = (first, before) else { return Err(damaged()) };
    Ok(LogRow { first, before, entries: fields.remove("entries").unwrap_or_default() })
}

pub(crate) fn bound(kind: u8, key: &Key) -> Vec<u8> {
    [&[kind][..], &key.0].concat()
}

fn damaged() -> Error {
    Error::Unusable(
        "the store is damaged: Redis holds something that is not ours among our keys; restore it from a backup".into(),
    )
}

pub(crate) fn row(member: Vec<u8>) -> Result<Row, Error> {
    Row::new(member).ok_or_else(damaged)
}
