//! One connection to wherever the master is now, made again when it breaks, for a bounded time.

use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ConnectionLike, ErrorKind, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisResult, ServerErrorKind, TlsCertificates, Value,
};

use crate::address::Kind;
use crate::{Address, Error};

/// How long a node may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take; a slow disk's sync is shorter.
const ANSWER: Duration = Duration::from_secs(15);
/// Pauses between tries: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long a store that serves waits for a Redis that is away: a restart, or Sentinels that choose another master.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a user proves itself with. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes a password as it stands in a file; the line's end does not belong to it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// All that is needed to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where.
    pub address: Address,
    /// The password, where one is asked for.
    pub password: Option<Password>,
    /// Certificates (PEM) of the authorities that Redis is trusted by; none: those of the system.
    pub authorities: Option<Vec<u8>>,
}

enum Link {
    One(Box<redis::Connection>),
    Cluster(Box<ClusterConnection>),
}

/// See the module.
pub(crate) struct Connection {
    settings: Settings,
    link: Option<Link>,
    /// How often it was made again, and how long was waited for that, in milliseconds.
    pub(crate) again: (u64, u64),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, without waiting for a Redis that is away.
    pub(crate) fn open(settings: Settings) -> Result<Self, Error> {
        let link = connect(&settings).map_err(|e| unusable(&settings.address, &e))?;
        Ok(Self { settings, link: Some(link), again: (0, 0) })
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.settings.address.kind == Kind::Cluster
    }

    pub(crate) fn is_watched(&self) -> bool {
        matches!(self.settings.address.kind, Kind::Sentinel(_))
    }

    /// Does something, again and again until Redis has answered it: what is done must bear being done twice.
    ///
    /// # Errors
    /// Redis was away for too long, or says that something else is wrong.
    pub(crate) fn run<T>(
        &mut self,
        mut what: impl FnMut(&mut dyn ConnectionLike) -> RedisResult<T>,
    ) -> Result<T, Error> {
        let (mut pause, mut since) = (PAUSE.0, None);
        loop {
            let error = match self.once(&mut what) {
                Ok(done) => {
                    if let Some(since) = since.map(|since: Instant| since.elapsed()) {
                        let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
                        self.again = (self.again.0 + 1, self.again.1.saturating_add(ms));
                        tracing::info!("the store serves again, after {ms} ms");
                    }
                    return Ok(done);
                }
                Err(e) => e,
            };
            if !passes(&error) {
                // What else is under way on this connection is not known.
                self.link = None;
                return Err(unusable(&self.settings.address, &error));
            }
            self.link = None;
            let since = *since.get_or_insert_with(|| {
                tracing::warn!("waiting for the store: {} ({error}); nothing is lost meanwhile", self.settings.address);
                Instant::now()
            });
            if since.elapsed() >= PATIENCE {
                return Err(unusable(&self.settings.address, &error));
            }
            sleep(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn once<T>(&mut self, what: &mut impl FnMut(&mut dyn ConnectionLike) -> RedisResult<T>) -> RedisResult<T> {
        let link = match &mut self.link {
            Some(link) => link,
            None => self.link.insert(connect(&self.settings)?),
        };
        match link {
            Link::One(connection) => what(connection.as_mut()),
            Link::Cluster(connection) => what(connection.as_mut()),
        }
    }
}

/// Whether an error is one that time, or another connection, may heal.
fn passes(error: &RedisError) -> bool {
    let away = matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::Parse
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::MasterNameNotFoundBySentinel
            | ErrorKind::Server(
                ServerErrorKind::BusyLoading
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::Moved
                    | ServerErrorKind::Ask
            )
    );
    // A replica set that has too few replicas for now says NOREPLICAS.
    away || error.is_io_error() || matches!(error.code(), Some("BUSY" | "NOREPLICAS"))
}

fn unusable(address: &Address, error: &RedisError) -> Error {
    let what_to_do = match error.code() {
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => "; check the user in the address, and the file with the password",
        Some("OOM") => "; give Redis more memory (maxmemory), or the store another Redis",
        Some("MISCONF") => "; Redis cannot write to its disk",
        _ => "",
    };
    Error::Unusable(format!("the Redis at {address} cannot be used: {error}{what_to_do}"))
}

fn connect(settings: &Settings) -> RedisResult<Link> {
    let address = &settings.address;
    match &address.kind {
        Kind::Single => {
            let [node] = address.nodes.as_slice() else { return Err(nowhere("one server has one address")) };
            one(settings, node, address.database).map(|c| Link::One(Box::new(c)))
        }
        Kind::Sentinel(name) => sentinel(settings, name).map(|c| Link::One(Box::new(c))),
        Kind::Cluster => cluster(settings).map(|c| Link::Cluster(Box::new(c))),
    }
}

/// A connection on which words of others are heard: to any node of a Cluster, which tells all nodes.
pub(crate) fn for_words(settings: &Settings) -> RedisResult<redis::Connection> {
    match &settings.address.kind {
        Kind::Sentinel(name) => sentinel(settings, name),
        Kind::Single | Kind::Cluster => {
            let mut last = nowhere("no node of the Cluster can be reached");
            for node in &settings.address.nodes {
                match one(settings, node, settings.address.database) {
                    Ok(connection) => return Ok(connection),
                    Err(e) => last = e,
                }
            }
            Err(last)
        }
    }
}

fn nowhere(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, why))
}

fn info(settings: &Settings, (host, port): &(String, u16)) -> RedisResult<ConnectionInfo> {
    let (host, port) = (host.clone(), *port);
    let address = if settings.address.tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    // Nothing is said while the connection is made: only behind that its reads are bounded in time.
    Ok(address.into_connection_info()?.set_redis_settings(RedisConnectionInfo::default().set_skip_set_lib_name()))
}

/// TLS finds its cryptography in the process; a program that has chosen none has ours.
fn with_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread was quicker.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

fn certificates(settings: &Settings) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: settings.authorities.clone() }
}

fn bare(settings: &Settings, node: &(String, u16)) -> RedisResult<redis::Connection> {
    let info = info(settings, node)?;
    with_cryptography();
    let client = if settings.address.tls && settings.authorities.is_some() {
        Client::build_with_tls(info, certificates(settings))?
    } else {
        Client::open(info)?
    };
    let connection = client.get_connection_with_timeout(CONNECT)?;
    connection.set_read_timeout(Some(ANSWER))?;
    connection.set_write_timeout(Some(ANSWER))?;
    Ok(connection)
}

fn one(settings: &Settings, node: &(String, u16), database: i64) -> RedisResult<redis::Connection> {
    let mut connection = bare(settings, node)?;
    if let Some(Password(password)) = &settings.password {
        let mut auth = redis::cmd("AUTH");
        if let Some(user) = &settings.address.user {
            auth.arg(user);
        }
        auth.arg(password).query::<()>(&mut connection)?;
    }
    if database != 0 {
        redis::cmd("SELECT").arg(database).query::<()>(&mut connection)?;
    }
    Ok(connection)
}

/// The master that the first Sentinel with an answer names, if it takes itself for one, too.
fn sentinel(settings: &Settings, name: &str) -> RedisResult<redis::Connection> {
    let mut last = nowhere("no Sentinel knows a master of this name");
    for node in &settings.address.nodes {
        match ask(settings, node, name) {
            Ok(connection) => return Ok(connection),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn ask(settings: &Settings, node: &(String, u16), name: &str) -> RedisResult<redis::Connection> {
    let master: Option<(String, u16)> =
        redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).query(&mut bare(settings, node)?)?;
    let master = master.ok_or_else(|| nowhere("no Sentinel knows a master of this name"))?;
    let mut connection = one(settings, &master, settings.address.database)?;
    let role: Vec<Value> = redis::cmd("ROLE").query(&mut connection)?;
    match role.first().map(redis::from_redis_value_ref::<String>) {
        Some(Ok(role)) if role == "master" => Ok(connection),
        _ => Err(nowhere("the Sentinels name a server that is not a master yet")),
    }
}

fn cluster(settings: &Settings) -> RedisResult<ClusterConnection> {
    with_cryptography();
    let nodes = settings.address.nodes.iter().map(|node| info(settings, node)).collect::<RedisResult<Vec<_>>>()?;
    let mut builder = ClusterClient::builder(nodes).connection_timeout(CONNECT).response_timeout(ANSWER);
    if let Some(Password(password)) = &settings.password {
        builder = builder.password(password);
    }
    if let Some(user) = &settings.address.user {
        builder = builder.username(user);
    }
    if settings.address.tls && settings.authorities.is_some() {
        builder = builder.certs(certificates(settings));
    }
    let connection = builder.build()?.get_connection()?;
    connection.set_read_timeout(Some(ANSWER))?;
    connection.set_write_timeout(Some(ANSWER))?;
    Ok(connection)
}
