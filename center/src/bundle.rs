//! What another node of a center needs of the first: the authority with its key, and where the store is.
//!
//! It is made for a pipe from one machine to the other, and holds everything that makes a machine this center: whoever reads it can
//! sign certificates and write to the store. So it is never an argument, never logged, and never printed to a terminal.

use std::fs;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use intergroup_redis::Files;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Dir, Rates, Retention, write_private};

/// A bundle is smaller than this: two certificates, a key, and whatever authorities Redis is trusted by.
const BUNDLE_BYTES: u64 = 1024 * 1024;

/// See the module.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    name: String,
    authority: String,
    authority_key: String,
    store: String,
    store_password: Option<String>,
    store_authorities: Option<String>,
    retention: Retention,
    rates: Rates,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle").field("name", &self.name).field("store", &self.store).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

impl Bundle {
    /// That of the center in a directory.
    ///
    /// # Errors
    /// It is not on Redis, or a file of it cannot be read.
    pub fn of(dir: &Dir) -> Result<Self> {
        let Config { name, store, retention, rates, .. } = Config::load(dir)?;
        let Some(store) = store else {
            bail!(
                "this center keeps everything in a file of its own, which nodes cannot share: only a center on Redis can have several"
            );
        };
        Ok(Self {
            name,
            authority: read(&dir.authority(false))?,
            authority_key: read(&dir.authority(true))?,
            store,
            store_password: read_if_there(&Files::password_in(&dir.0))?,
            store_authorities: read_if_there(&Files::authorities_in(&dir.0))?,
            retention,
            rates,
        })
    }

    /// Writes it to standard output.
    ///
    /// # Errors
    /// That is a terminal, or cannot be written to.
    pub fn print(&self) -> Result<()> {
        let mut out = std::io::stdout();
        ensure!(
            !out.is_terminal(),
            "the bundle holds the authority's key, which is not to be shown: send it to the other machine, as in \
             `intergroup-center bundle --dir … | ssh OTHER intergroup-center init --join - --dir … --listen …`"
        );
        out.write_all(&serde_json::to_vec(self)?)?;
        Ok(out.flush()?)
    }

    /// Reads one from a file, or from standard input for `-`.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn take(path: &Path) -> Result<Self> {
        let mut text = String::new();
        let read = match path.to_str() {
            Some("-") => std::io::stdin().take(BUNDLE_BYTES).read_to_string(&mut text),
            _ => fs::File::open(path).and_then(|file| file.take(BUNDLE_BYTES).read_to_string(&mut text)),
        };
        read.with_context(|| format!("reading the bundle from {}", path.display()))?;
        // The parser's own words could repeat what is secret.
        serde_json::from_str(&text).ok().context(
            "this is not the bundle of a center, or one of another version: make one with `intergroup-center bundle`",
        )
    }

    /// The configuration of a node that listens there.
    #[must_use]
    pub fn config(&self, listen: Vec<String>, addresses: Vec<String>) -> Config {
        let (name, store) = (self.name.clone(), Some(self.store.clone()));
        Config { name, listen, addresses, store, retention: self.retention, rates: self.rates }
    }

    /// Puts what a node needs into its directory.
    ///
    /// # Errors
    /// The disk's.
    pub fn unpack(&self, dir: &Dir) -> Result<()> {
        write_private(&dir.authority(true), self.authority_key.as_bytes())?;
        write_private(&dir.authority(false), self.authority.as_bytes())?;
        let files = [
            (&self.store_password, Files::password_in(&dir.0)),
            (&self.store_authorities, Files::authorities_in(&dir.0)),
        ];
        for (content, path) in files {
            if let Some(content) = content {
                write_private(&path, content.as_bytes())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_not_shown_and_only_a_center_on_redis_has_one() {
        let parent = tempfile::tempdir().unwrap();
        let dir = Dir(parent.path().join("center"));
        let config = Config {
            name: "Hub".into(),
            listen: vec!["127.0.0.1:7100".into()],
            addresses: Vec::new(),
            store: None,
            retention: Retention::default(),
            rates: Rates::default(),
        };
        crate::app::init(&dir, &config, &Files::default()).unwrap();
        let text = Bundle::of(&dir).unwrap_err().to_string();
        assert!(text.contains("Redis"), "{text}");
        fs::remove_file(dir.config()).unwrap();
        Config { store: Some("redis://127.0.0.1:1".into()), ..config }.write(&dir).unwrap();
        write_private(&Files::password_in(&dir.0), b"hunter2\n").unwrap();
        let bundle = Bundle::of(&dir).unwrap();
        assert!(!format!("{bundle:?}").contains("hunter2") && !format!("{bundle:?}").contains("PRIVATE"));

        let file = parent.path().join("bundle");
        write_private(&file, &serde_json::to_vec(&bundle).unwrap()).unwrap();
        let other = Dir(parent.path().join("other"));
        other.create().unwrap();
        let taken = Bundle::take(&file).unwrap();
        taken.unpack(&other).unwrap();
        taken.config(vec!["127.0.0.1:7200".into()], Vec::new()).write(&other).unwrap();
        assert_eq!(read(&other.authority(true)).unwrap(), read(&dir.authority(true)).unwrap());
        assert_eq!(read(&Files::password_in(&other.0)).unwrap(), "hunter2\n");
        assert_eq!(Config::load(&other).unwrap().listen, ["127.0.0.1:7200"]);
        fs::write(&file, "{\"authority_key\": \"secret\"}").unwrap();
        assert!(!format!("{:#}", Bundle::take(&file).unwrap_err()).contains("secret"));
    }
}
