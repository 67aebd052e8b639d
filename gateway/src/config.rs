//! The gateway's directory: which file is where in it, and `gateway.toml`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use intergroup_schemas::address::split_address;
use intergroup_schemas::rate::Rate;
use serde::{Deserialize, Serialize};

use crate::bridge::{
    AUTHOR_RATE, JOIN_HISTORY, OFFLINE_BYTES, OFFLINE_DAYS, OFFLINE_MESSAGES, OfflineBounds, StandingText, UNSEEN_DAYS,
};
use crate::ids::RoomJid;
use crate::link::Proxy;
use crate::xmpp::Secret;

/// The nick of the gateway's own occupant where none is configured.
pub const DEFAULT_NICK: &str = "Intergroup";
/// Longest secret of a component; a larger file is not one.
const SECRET_BYTES: usize = 1024;

/// The directory of one gateway.
#[derive(Debug, Clone)]
pub struct Dir(pub PathBuf);

impl Dir {
    /// `gateway.toml`. For its owner alone, since a proxy's password may stand in it.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("gateway.toml")
    }
    /// What the component proves itself with to the server.
    #[must_use]
    pub fn secret(&self) -> PathBuf {
        self.0.join("component-secret")
    }
    /// Key, certificate and the center's addresses; made by enrolment.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity.json")
    }
    /// The embedded store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("gateway.db")
    }
    /// The socket of the commands.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.0.join("gateway.sock")
    }

    /// Makes the directory, for its owner alone.
    ///
    /// # Errors
    /// It holds a gateway already, or cannot be made.
    pub fn create(&self) -> Result<()> {
        let path = self.0.display();
        ensure!(
            !self.config().exists(),
            "{path} holds a gateway already: edit {} and restart it, or choose another directory",
            self.config().display()
        );
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).with_context(|| format!("making {path}"))
    }

    /// Takes the directory for this process, until the returned file is closed.
    ///
    /// # Errors
    /// Another process has it.
    pub fn lock(&self) -> Result<fs::File> {
        let path = self.0.join("lock");
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => {
                bail!("a gateway is running in {} already; two would double messages. Stop it first", self.0.display())
            }
            Err(fs::TryLockError::Error(e)) => Err(e).with_context(|| format!("locking {}", path.display())),
        }
    }
}

/// `gateway.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `HOST:PORT` of the server's component listener.
    pub server: String,
    /// The component's domain, as the server knows it.
    pub component: String,
    /// The domain of the server's room service.
    pub rooms: String,
    /// The enterprise's own domains; people of others are not relayed. In the first, a person is known by the local part.
    pub domains: Vec<String>,
    /// The nick of the gateway's own occupant in the rooms.
    #[serde(default = "default_nick")]
    pub nick: String,
    /// An HTTP proxy on the way to the center: `http://[USER:PASSWORD@]HOST:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// The Redis that keeps everything, as in `redis://HOST:PORT`; none: a file in the directory does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Where a room names the companies that it is shared with.
    #[serde(default)]
    pub standing: StandingText,
    /// How fast a person may speak across.
    #[serde(default)]
    pub author_rate: AuthorRate,
    /// Who is a member of a group.
    #[serde(default)]
    pub members: Members,
    /// What is kept for members who are not in their room.
    #[serde(default)]
    pub offline: Offline,
}

/// What is kept in each room for members who are not there, and for how long; what is over it goes, oldest first, and they are told
/// how much it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Offline {
    /// Messages.
    pub messages: u64,
    /// Megabytes of them together.
    pub megabytes: u64,
    /// Days.
    pub days: u32,
    /// Messages that the server shows to whoever comes into a room, and that are not sent to them once more. Prosody's
    /// `default_history_length` and ejabberd's `history_size`, which are 20.
    pub join_history: usize,
}

/// What makes sense there.
const OFFLINE_RANGE: std::ops::RangeInclusive<u64> = 1..=1_000_000;
/// What makes sense of days, and of what a room shows.
const DAYS_RANGE: std::ops::RangeInclusive<u32> = 1..=3650;
const HISTORY_MOST: usize = 1_000;

impl Default for Offline {
    fn default() -> Self {
        let megabytes = OFFLINE_BYTES / MEGABYTE;
        Self { messages: OFFLINE_MESSAGES, megabytes, days: OFFLINE_DAYS, join_history: JOIN_HISTORY }
    }
}

impl Offline {
    /// The same for the bridge.
    #[must_use]
    pub fn bounds(self) -> OfflineBounds {
        let Self { messages, megabytes, days, join_history } = self;
        OfflineBounds { messages, bytes: megabytes * MEGABYTE, days, join_history }
    }

    fn check(self) -> Result<()> {
        ensure!(OFFLINE_RANGE.contains(&self.messages), "offline: messages is 1 to 1000000");
        ensure!(OFFLINE_RANGE.contains(&self.megabytes), "offline: megabytes is 1 to 1000000");
        ensure!(DAYS_RANGE.contains(&self.days), "offline: days is 1 to 3650");
        ensure!(self.join_history <= HISTORY_MOST, "offline: join_history is 0 to 1000");
        Ok(())
    }
}

const MEGABYTE: u64 = 1024 * 1024;

/// Who is a member where the members are whoever comes into the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Members {
    /// Who was not seen for so many days is not a member any more, until seen again.
    pub unseen_days: u32,
}

/// Days that make sense there.
const UNSEEN_RANGE: std::ops::RangeInclusive<u32> = 1..=3650;

impl Default for Members {
    fn default() -> Self {
        Self { unseen_days: UNSEEN_DAYS }
    }
}

/// How many messages of a person cross from one room in the long run, and how many at once after a rest; by the room's
/// time, so that nothing said at a human pace is over it after an outage. What is over it is refused, and its author told.
/// Larger values let one person, or a program gone wild, fill the rooms of all companies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthorRate {
    /// A second.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

impl Default for AuthorRate {
    fn default() -> Self {
        Self { per_second: AUTHOR_RATE.per_second, burst: AUTHOR_RATE.burst }
    }
}

impl AuthorRate {
    /// The same for the bridge.
    #[must_use]
    pub fn rate(self) -> Rate {
        Rate { per_second: self.per_second, burst: self.burst }
    }
}

fn default_nick() -> String {
    DEFAULT_NICK.to_owned()
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
                bail!("there is no gateway in {}; make one with `intergroup-gateway init`", dir.0.display())
            }
            text => text.with_context(|| format!("reading {}", path.display()))?,
        };
        let config: Self = toml::from_str(&text).with_context(|| format!("{} is not understood", path.display()))?;
        config.checked().with_context(|| format!("in {}", path.display()))
    }

    /// The same with every name in its normal form.
    ///
    /// # Errors
    /// A value that makes no sense, with what would.
    pub fn checked(mut self) -> Result<Self> {
        split_address(&self.server).context("server")?;
        self.component = domain(&self.component).context("component")?;
        self.rooms = domain(&self.rooms).context("rooms")?;
        ensure!(
            self.rooms != self.component,
            "rooms: {} is the component itself; name the server's own room service, as in conference.example.com",
            self.rooms
        );
        ensure!(!self.domains.is_empty(), "domains: name at least one domain of the enterprise's accounts");
        for name in &mut self.domains {
            *name = domain(name).context("domains")?;
        }
        let occupant = format!("room@{}/{}", self.rooms, self.nick);
        let occupant = jid::FullJid::new(&occupant).ok().context("nick: it cannot be a nick in a room")?;
        self.nick = occupant.resource().as_str().to_owned();
        self.proxy()?;
        if let Some(store) = &self.store {
            store.parse::<intergroup_redis::Address>().context("store")?;
        }
        let (least, most) = Rate::RANGE.into_inner();
        self.offline.check()?;
        ensure!(UNSEEN_RANGE.contains(&self.members.unseen_days), "members: unseen_days is 1 to 3650");
        ensure!(self.author_rate.rate().is_sound(), "author_rate: each value is {least} to {most} messages");
        Ok(self)
    }

    /// The proxy, if there is one.
    ///
    /// # Errors
    /// It is not written as one.
    pub fn proxy(&self) -> Result<Option<Proxy>> {
        self.proxy.as_deref().map(str::parse).transpose().context("proxy")
    }

    /// A room as people write it: its name alone, or with the service behind it.
    ///
    /// # Errors
    /// It is not a room of the configured service.
    pub fn room(&self, text: &str) -> Result<RoomJid> {
        let full = if text.contains('@') { text.to_owned() } else { format!("{text}@{}", self.rooms) };
        let form = || format!("{text:?} is not a room; write apollo, or apollo@{}", self.rooms);
        let jid = jid::BareJid::new(&full).ok().with_context(form)?;
        ensure!(jid.node().is_some(), form());
        ensure!(
            jid.domain().as_str() == self.rooms,
            "{jid} is not a room of {}, the room service in gateway.toml",
            self.rooms
        );
        Ok(RoomJid::from(jid.as_str()))
    }

    /// Writes the file for the first time.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, dir: &Dir) -> Result<()> {
        write_private(&dir.config(), toml::to_string_pretty(self)?.as_bytes())
    }
}

/// Reads a component's secret from a file; the line's end does not belong to it.
///
/// # Errors
/// The file cannot be read or holds no secret.
pub fn read_secret(path: &Path) -> Result<Secret> {
    let text =
        fs::read_to_string(path).with_context(|| format!("reading the component's secret from {}", path.display()))?;
    secret(&text).with_context(|| format!("in {}", path.display()))
}

/// Takes a secret as it was read or typed.
///
/// # Errors
/// It is none.
pub fn secret(text: &str) -> Result<Secret> {
    let text = text.trim_end_matches(['\r', '\n']);
    ensure!(!text.is_empty(), "the component's secret is empty");
    ensure!(
        text.len() <= SECRET_BYTES && !text.contains(char::is_control),
        "the component's secret is one line of at most {SECRET_BYTES} bytes"
    );
    Ok(Secret::new(text))
}

fn domain(text: &str) -> Result<String> {
    let form = || format!("{text:?} is not a domain, as in example.com");
    let jid = jid::BareJid::new(text).ok().with_context(form)?;
    ensure!(jid.node().is_none(), form());
    Ok(jid.domain().as_str().to_owned())
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config() -> Config {
        Config {
            server: "127.0.0.1:5347".into(),
            component: "Groups.Acme.example".into(),
            rooms: "conference.acme.example".into(),
            domains: vec!["acme.example".into()],
            nick: default_nick(),
            proxy: Some("http://proxy.acme.example:3128".into()),
            store: Some("redis://127.0.0.1:6379".into()),
            standing: StandingText::Subject,
            author_rate: AuthorRate::default(),
            members: Members::default(),
            offline: Offline::default(),
        }
    }

    #[test]
    fn the_file_comes_back_as_it_was_written_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let dir = Dir(parent.path().join("gateway"));
        assert!(Config::load(&dir).unwrap_err().to_string().contains("init"));
        dir.create().unwrap();
        let config = config().checked().unwrap();
        assert_eq!(config.component, "groups.acme.example", "names are brought to their normal form");
        config.write(&dir).unwrap();
        assert_eq!(Config::load(&dir).unwrap(), config);
        assert_eq!(fs::metadata(dir.config()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&dir.0).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(dir.create().unwrap_err().to_string().contains("already"));
        fs::write(dir.config(), "server = 'a:1'\ncomponet = 'x'\n").unwrap();
        assert!(Config::load(&dir).is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        let refused = |change: fn(&mut Config), with: &str| {
            let mut wrong = config();
            change(&mut wrong);
            let text = format!("{:#}", wrong.checked().unwrap_err());
            assert!(text.contains(with), "{text}");
        };
        refused(|c| c.server = "localhost".into(), "HOST:PORT");
        refused(|c| c.server = "localhost:0".into(), "port 0");
        refused(|c| c.component = "a@b.example".into(), "not a domain");
        refused(|c| c.rooms = String::new(), "not a domain");
        refused(|c| c.rooms = "groups.acme.example".into(), "the component itself");
        refused(|c| c.domains.clear(), "at least one domain");
        refused(|c| c.domains.push("two words".into()), "not a domain");
        refused(|c| c.members.unseen_days = 0, "unseen_days");
        refused(|c| c.offline.messages = 0, "messages");
        refused(|c| c.offline.join_history = 9_999, "join_history");
        refused(|c| c.author_rate.burst = 0, "author_rate");
        refused(|c| c.nick = "\u{7}".into(), "nick");
        refused(|c| c.proxy = Some("socks5://x:1".into()), "proxy");
    }

    #[test]
    fn rooms_are_known_by_name_or_address_in_normal_form() {
        let config = config().checked().unwrap();
        assert_eq!(config.room("Apollo").unwrap().as_str(), "apollo@conference.acme.example");
        assert_eq!(config.room("apollo@Conference.acme.example").unwrap().as_str(), "apollo@conference.acme.example");
        for wrong in ["", "a b@conference.acme.example", "apollo@conference.globex.example", "apollo@", "@x", "a/b"] {
            assert!(config.room(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_directory_is_for_one_process() {
        let dir = Dir(tempfile::tempdir().unwrap().keep());
        let first = dir.lock().unwrap();
        assert!(dir.lock().unwrap_err().to_string().contains("running"));
        drop(first);
        drop(dir.lock().unwrap());
        fs::remove_dir_all(&dir.0).unwrap();
    }

    #[test]
    fn a_secret_is_one_line() {
        assert_eq!(secret("s3cret\r\n").unwrap().expose(), "s3cret");
        assert!(secret("\n").is_err() && secret("a\nb").is_err());
        assert!(secret(&"x".repeat(2000)).is_err());
    }
}
