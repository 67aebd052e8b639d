//! A store of several writers: slots read as of one moment, versions, and the words by which writers hear of each other.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::connection::for_words;
use crate::engine::{LogRow, Writer, bound, log_row, row};
use crate::script::{MEET, Names, TAKE, UNIT};
use crate::{Batch, Claims, Engine, Error, Key, Row, Settings, Slot};

/// Versions asked for at once.
const VERSIONS_AT_ONCE: usize = 512;
/// A listener says so when it has heard nothing for this long,
const SILENCE: Duration = Duration::from_secs(2);
/// and connects again after this long: somebody tells of himself more often.
const DEAF: Duration = Duration::from_secs(15);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(500);

/// A slot as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its version; none: nobody has ever written under one.
    pub version: Option<String>,
    /// The rows that were asked for, in the order of the ranges.
    pub rows: Vec<Row>,
    /// What was asked for of its log.
    pub log: Vec<LogRow>,
    /// See [`Engine::log_end`].
    pub end: Option<(u64, Vec<u8>, u64)>,
}

impl Engine {
    /// Opens a store as one of several writers, and makes it if there is none. `session` names this life of the writer, and is never
    /// used again.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn share(settings: &Settings, prefix: &str, kind: &str, format: u32, session: u64) -> Result<Self, Error> {
        let mut engine = Self::checked(settings, prefix, kind, format)?;
        engine.writer = Writer::Session(format!("{session:016x}"));
        engine.batches.insert(Slot::Main, 0);
        Ok(engine)
    }

    /// Puts on Redis what is claimed of a batch and nobody else has changed since; says which slots were refused.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn commit_shared(&mut self, batch: &Batch, claims: &Claims) -> Result<Vec<Slot>, Error> {
        self.commit_claimed(batch, claims)
    }

    /// A slot as of one moment: rows of some ranges, and at most `max` of what was added to its log that hold a place or one behind it.
    ///
    /// # Errors
    /// Redis', or something there is not ours.
    pub fn unit(&mut self, slot: Slot, ranges: &[(Key, Key)], from: u64, max: usize) -> Result<Unit, Error> {
        /// End, rows, log.
        type Answer = (Vec<Option<Vec<u8>>>, Vec<Vec<u8>>, Vec<(String, BTreeMap<String, Vec<u8>>)>);
        let mut script = UNIT.key(self.names.rows(slot));
        script.key(self.names.log(slot)).key(self.names.end(slot)).arg(format!("{from}-0")).arg(max);
        for (from, to) in ranges {
            script.arg(bound(b'[', from)).arg(bound(b'(', to));
        }
        let (mut end, rows, log): Answer = self.connection.run(|c| script.invoke(c))?;
        end.resize(4, None);
        let text =
            |bytes: &Option<Vec<u8>>| bytes.as_deref().and_then(|b| std::str::from_utf8(b).ok()).map(str::to_owned);
        let number = |bytes: &Option<Vec<u8>>| text(bytes).and_then(|text| text.parse::<u64>().ok());
        let (version, last, size) = (text(&end[0]), number(&end[1]), number(&end[3]));
        let state = end.swap_remove(2);
        Ok(Unit {
            version,
            rows: rows.into_iter().map(row).collect::<Result<_, _>>()?,
            log: log.into_iter().map(|(_, fields)| log_row(fields)).collect::<Result<_, _>>()?,
            end: last.zip(state).zip(size).map(|((last, state), size)| (last, state, size)),
        })
    }

    /// The versions of slots, in their order.
    ///
    /// # Errors
    /// Redis'.
    pub fn versions(&mut self, slots: &[Slot]) -> Result<Vec<Option<String>>, Error> {
        let mut all = Vec::with_capacity(slots.len());
        let at_once = if self.connection.is_cluster() { 1 } else { VERSIONS_AT_ONCE };
        for some in slots.chunks(at_once) {
            let mut pipe = redis::pipe();
            for slot in some {
                pipe.cmd("HGET").arg(self.names.end(*slot)).arg("version");
            }
            let versions: Vec<Option<String>> = match some {
                [one] => {
                    let key = self.names.end(*one);
                    vec![self.connection.run(|c| redis::cmd("HGET").arg(&key).arg("version").query(c))?]
                }
                _ => self.connection.run(|c| pipe.query(c))?,
            };
            all.extend(versions);
        }
        Ok(all)
    }

    /// Something that only one writer has is this one's from now on, which all are told: says how often that was said of it, and
    /// the values that its marks had before they were given these.
    ///
    /// # Errors
    /// Redis'.
    pub fn take(&mut self, what: &str, marks: &[(String, String)]) -> Result<(u64, Vec<Option<String>>), Error> {
        let mut script = TAKE.key(self.names.taken());
        script.key(self.names.marks(what)).arg(what).arg(self.names.channel());
        for (field, value) in marks {
            script.arg(field).arg(value);
        }
        let mut before: Vec<Option<String>> = self.connection.run(|c| script.invoke(c))?;
        if before.is_empty() {
            return Err(Error::Unusable("Redis gives no count".into()));
        }
        let rest = before.split_off(1);
        let count = before.pop().flatten().and_then(|text| text.parse().ok());
        Ok((count.unwrap_or_default(), rest))
    }

    /// Tells of this writer under its name, and hears what all have told, with how many seconds ago. Who has told nothing for
    /// `forgotten` seconds is not there any more.
    ///
    /// # Errors
    /// Redis'.
    pub fn meet(&mut self, name: &str, what: &str, forgotten: u64) -> Result<Vec<(u64, String)>, Error> {
        let mut script = MEET.key(self.names.writers());
        script.arg(name).arg(what).arg(self.names.channel()).arg(forgotten);
        let all: Vec<String> = self.connection.run(|c| script.invoke(c))?;
        Ok(all.chunks_exact(2).map(|pair| (pair[0].parse().unwrap_or_default(), pair[1].clone())).collect())
    }
}

/// Hears what writers tell all others. Words may be lost.
#[derive(Debug)]
pub struct Listener {
    settings: Settings,
    channel: String,
}

impl Listener {
    /// One for the store under a prefix; it does not connect yet.
    #[must_use]
    pub fn new(settings: &Settings, prefix: &str) -> Self {
        let names = Names(settings.address.prefix.clone().unwrap_or_else(|| prefix.to_owned()));
        Self { settings: settings.clone(), channel: names.channel() }
    }

    /// Listens until `each` says no: it gets every word, nothing after a time of silence, and an empty word when words may have
    /// been lost.
    pub fn listen(&self, mut each: impl FnMut(Option<&str>) -> bool) {
        loop {
            if let Ok(false) = self.connected(&mut each) {
                return;
            }
            if !each(None) {
                return;
            }
            sleep(PAUSE);
        }
    }

    fn connected(&self, each: &mut impl FnMut(Option<&str>) -> bool) -> redis::RedisResult<bool> {
        let mut connection = for_words(&self.settings)?;
        let mut words = connection.as_pubsub();
        words.subscribe(&self.channel)?;
        words.set_read_timeout(Some(SILENCE))?;
        let mut heard = Instant::now();
        if !each(Some("")) {
            return Ok(false);
        }
        loop {
            match words.get_message() {
                Ok(message) => {
                    heard = Instant::now();
                    let word: String = message.get_payload()?;
                    if !each(Some(&word)) {
                        return Ok(false);
                    }
                }
                Err(e) if e.is_timeout() && heard.elapsed() < DEAF => {
                    if !each(None) {
                        return Ok(false);
                    }
                }
                Err(e) => return Err(e),
            }
        }
    }
}
