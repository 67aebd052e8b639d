//! The center's directory: which file is where in it, and `center.toml`.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use intergroup_schemas::address::split_address;
use intergroup_schemas::rate::Rate;
use serde::{Deserialize, Serialize};

use crate::hub;

/// Where a center listens unless it is told otherwise: reachable from its own machine only.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7100";
/// Longest name of a center.
const NAME_BYTES: usize = 256;
const DAY_MS: i64 = 24 * 3600 * 1000;
const MEBIBYTE: u64 = 1024 * 1024;

/// The directory of one center.
#[derive(Debug, Clone)]
pub struct Dir(pub PathBuf);

impl Dir {
    /// `center.toml`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("center.toml")
    }
    /// The embedded store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("center.db")
    }
    /// The socket of the admin commands.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.0.join("center.sock")
    }
    /// Held by the running daemon.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("center.lock")
    }
    /// The authority's certificate (PEM), and with `key` its private key.
    #[must_use]
    pub fn authority(&self, key: bool) -> PathBuf {
        self.0.join(if key { "authority.key" } else { "authority.pem" })
    }
    /// The server's certificate (PEM), and with `key` its private key.
    #[must_use]
    pub fn server(&self, key: bool) -> PathBuf {
        self.0.join(if key { "server.key" } else { "server.pem" })
    }

    /// Makes the directory, for its owner alone.
    ///
    /// # Errors
    /// It holds a center already, or cannot be made.
    pub fn create(&self) -> Result<()> {
        let path = self.0.display();
        ensure!(!self.config().exists(), "{path} holds a center already; start it with `serve --dir {path}`");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).with_context(|| format!("making {path}"))
    }
}

/// `center.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What people call this center.
    pub name: String,
    /// `HOST:PORT` of each address to listen on.
    pub listen: Vec<String>,
    /// `HOST:PORT` of each address that gateways dial, where that differs from `listen` (address translation).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// The Redis that keeps everything, as in `redis://HOST:PORT`; none: a file in the directory does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// What is kept for those who are away.
    #[serde(default)]
    pub retention: Retention,
    /// How much may come in a time.
    #[serde(default)]
    pub rates: Rates,
}

/// How many messages a second may come in the long run, and how many at once after a rest. What comes faster waits at the
/// center and in its gateway's outbox; nothing is lost. Larger values let one enterprise or group take more of everybody's
/// disk and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// From one enterprise, a second.
    pub enterprise_per_second: u32,
    /// From one enterprise, at once.
    pub enterprise_burst: u32,
    /// To one group, a second.
    pub group_per_second: u32,
    /// To one group, at once.
    pub group_burst: u32,
}

impl Default for Rates {
    fn default() -> Self {
        let (enterprise, group) = (hub::ENTERPRISE_RATE, hub::GROUP_RATE);
        Self {
            enterprise_per_second: enterprise.per_second,
            enterprise_burst: enterprise.burst,
            group_per_second: group.per_second,
            group_burst: group.burst,
        }
    }
}

impl Rates {
    fn enterprise(self) -> Rate {
        Rate { per_second: self.enterprise_per_second, burst: self.enterprise_burst }
    }

    fn group(self) -> Rate {
        Rate { per_second: self.group_per_second, burst: self.group_burst }
    }
}

/// How long, and how much, is kept of each group's log. What goes first is told to whoever has not taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days.
    pub days: u32,
    /// Mebibytes of messages in each group.
    pub mebibytes_per_group: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: 30, mebibytes_per_group: 1024 }
    }
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// It is missing (with what to do), or a value in it makes no sense.
    pub fn load(dir: &Dir) -> Result<Self> {
        let path = dir.config();
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                bail!("there is no center in {}; make one with `intergroup-center init`", dir.0.display())
            }
            text => text.with_context(|| format!("reading {}", path.display()))?,
        };
        let config: Self = toml::from_str(&text).with_context(|| format!("{} is not understood", path.display()))?;
        config.check().with_context(|| format!("in {}", path.display()))?;
        Ok(config)
    }

    /// Whether every value makes sense.
    ///
    /// # Errors
    /// The first that does not, with what to do.
    pub fn check(&self) -> Result<()> {
        let name = self.name.trim();
        ensure!(
            !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control),
            "a center's name has 1 to {NAME_BYTES} bytes and no control characters"
        );
        ensure!(!self.listen.is_empty(), "at least one address to listen on is needed");
        for address in self.listen.iter().chain(&self.addresses) {
            split_address(address)?;
        }
        for address in self.dialled() {
            let (host, _) = split_address(address)?;
            let everywhere = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
            ensure!(
                !everywhere,
                "{address} is no address that a gateway can dial: name the address itself, or add those to dial (--address)"
            );
        }
        if let Some(store) = &self.store {
            store.parse::<intergroup_redis::Address>().context("store")?;
        }
        ensure!(self.retention.days > 0, "retention.days is at least 1");
        let sound = self.rates.enterprise().is_sound() && self.rates.group().is_sound();
        ensure!(sound, "rates: each is {} to {} messages", Rate::RANGE.start(), Rate::RANGE.end());
        ensure!(self.retention.mebibytes_per_group > 0, "retention.mebibytes_per_group is at least 1");
        Ok(())
    }

    /// The addresses that gateways dial.
    #[must_use]
    pub fn dialled(&self) -> &[String] {
        if self.addresses.is_empty() { &self.listen } else { &self.addresses }
    }

    /// The hosts of all addresses, each once, in order: what the server's certificate must name.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        let mut hosts = Vec::new();
        for address in self.listen.iter().chain(&self.addresses) {
            if let Ok((host, _)) = split_address(address)
                && !hosts.contains(&host)
            {
                hosts.push(host);
            }
        }
        hosts
    }

    /// What the hub is told.
    #[must_use]
    pub fn hub(&self, entropy: [u8; 32]) -> hub::Config {
        hub::Config {
            retention_age_ms: i64::from(self.retention.days) * DAY_MS,
            retention_bytes: self.retention.mebibytes_per_group.saturating_mul(MEBIBYTE),
            enterprise_rate: self.rates.enterprise(),
            group_rate: self.rates.group(),
            entropy,
            ..hub::Config::default()
        }
    }

    /// Writes the file for the first time.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, dir: &Dir) -> Result<()> {
        write_private(&dir.config(), toml::to_string_pretty(self)?.as_bytes())
    }
}

/// Writes a file that only its owner can read, so that a crash leaves the old one or the new one.
///
/// # Errors
/// The disk's.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let new = path.with_extension("new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        // The new name is on disk only when its directory is.
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(listen: &[&str], addresses: &[&str]) -> Config {
        let all = |list: &[&str]| list.iter().map(|a| (*a).to_owned()).collect();
        let (retention, rates) = (Retention::default(), Rates::default());
        let store = Some("redis://127.0.0.1:6379".into());
        Config { name: "Hub".into(), listen: all(listen), addresses: all(addresses), store, retention, rates }
    }

    #[test]
    fn an_address_for_all_interfaces_needs_one_to_dial() {
        assert!(listening(&["0.0.0.0:7100"], &[]).check().is_err());
        let config = listening(&["0.0.0.0:7100"], &["hub.example:7100"]);
        config.check().unwrap();
        assert_eq!(config.dialled(), ["hub.example:7100"]);
        assert_eq!(config.hosts(), ["0.0.0.0", "hub.example"]);
    }

    #[test]
    fn a_rate_of_nothing_is_refused() {
        let mut config = listening(&["hub.example:7100"], &[]);
        config.rates.group_per_second = 0;
        assert!(config.check().unwrap_err().to_string().contains("rates"));
    }

    #[test]
    fn the_file_comes_back_as_it_was_written_and_refuses_what_it_does_not_know() {
        let parent = tempfile::tempdir().unwrap();
        let dir = Dir(parent.path().join("center"));
        assert!(Config::load(&dir).unwrap_err().to_string().contains("init"));
        dir.create().unwrap();
        let config = listening(&["127.0.0.1:7100", "hub.example:7100"], &[]);
        config.write(&dir).unwrap();
        assert_eq!(Config::load(&dir).unwrap(), config);
        assert!(dir.create().unwrap_err().to_string().contains("already"));
        fs::write(dir.config(), "name = 'x'\nlisten = ['a:1']\nretentoin = 3\n").unwrap();
        assert!(Config::load(&dir).is_err());
    }
}
