//! One company's XMPP server: Prosody or ejabberd, with its own data, on its own loopback address.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::process::{Process, Recipe};
use super::{ejabberd, prosody};
use crate::load::Account;

/// Client connections, without TLS: loopback only.
pub(super) const CLIENT_PORT: u16 = 15222;
/// XEP-0114 components.
pub(super) const COMPONENT_PORT: u16 = 15347;
/// Servers, for the benchmark's shared room alone.
pub(super) const SERVER_PORT: u16 = 15269;

/// Which server software.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Prosody.
    Prosody,
    /// ejabberd, with its archive in SQLite.
    Ejabberd,
}

/// What the configuration of a server is made from.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The company's short id.
    pub company: String,
    /// The software.
    pub kind: Kind,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its files.
    pub dir: PathBuf,
    /// The component's password.
    pub secret: String,
    /// Whether Prosody holds small packets back (its default) or not.
    pub nagle: bool,
    /// The largest stanza that the server takes from the component (its default is 512 KiB); it ends the stream for a larger one.
    pub component_bytes: usize,
    /// The companies whose servers talk to each other, this one included, with their servers' addresses.
    pub peers: Vec<(String, Ipv4Addr)>,
}

/// Where a server is to be, and beside whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// The folder above its own.
    pub(super) above: &'a Path,
    /// Its address.
    pub(super) ip: Ipv4Addr,
    /// As in [`Plan`].
    pub(super) peers: &'a [(String, Ipv4Addr)],
    /// As in [`Plan`].
    pub(super) nagle: bool,
    /// As in [`Plan`].
    pub(super) component_bytes: usize,
}

/// The XMPP domain of a company or branch.
pub(super) fn domain(company: &str) -> String {
    format!("{company}.test")
}

impl Plan {
    /// The XMPP domain.
    pub fn domain(&self) -> String {
        domain(&self.company)
    }

    /// A domain of people who are not of the company (Prosody only).
    pub fn visitors(&self) -> String {
        format!("visitors.{}", self.domain())
    }

    /// The room service.
    pub fn rooms(&self) -> String {
        format!("conference.{}", self.domain())
    }

    /// The gateway's component.
    pub fn component(&self) -> String {
        format!("groups.{}", self.domain())
    }
}

/// A server.
#[derive(Debug)]
pub struct Server {
    /// What it was made from.
    pub plan: Plan,
    /// The running program.
    pub process: Process,
}

/// A person's password. Test accounts on loopback only.
pub(super) fn password(user: &str) -> String {
    format!("{user}-password")
}

impl Server {
    /// Writes the configuration, makes the accounts and starts the server; returns when it takes clients.
    ///
    /// # Errors
    /// The server is not installed, or does not start.
    pub(super) async fn start(company: &str, kind: Kind, at: Surroundings<'_>, users: &[String]) -> Result<Server> {
        let dir = at.above.join(format!("{company}-server"));
        std::fs::create_dir_all(dir.join("data"))?;
        let secret = format!("secret-{company}");
        let peers = at.peers.to_vec();
        let (nagle, component_bytes) = (at.nagle, at.component_bytes);
        let plan = Plan { company: company.into(), kind, ip: at.ip, dir, secret, nagle, component_bytes, peers };
        let (command, env) = match kind {
            Kind::Prosody => prosody::prepare(&plan, users)?,
            Kind::Ejabberd => ejabberd::prepare(&plan)?,
        };
        let name = format!("{company}-server");
        let process = Process::new(Recipe { name, command, env, dir: plan.dir.clone() });
        let mut server = Server { plan, process };
        server.up().await?;
        for user in users {
            if kind == Kind::Ejabberd {
                ejabberd::add_user(&server.plan, user).await.with_context(|| format!("account {user}"))?;
            }
        }
        Ok(server)
    }

    /// Starts it again, with the data that is there; returns when it takes clients.
    ///
    /// # Errors
    /// It does not start.
    pub async fn up(&mut self) -> Result<()> {
        self.process.start()?;
        self.process.listening(&[self.clients(), self.components()]).await
    }

    /// The client port.
    pub fn clients(&self) -> SocketAddr {
        SocketAddr::from((self.plan.ip, CLIENT_PORT))
    }

    /// The component port.
    pub fn components(&self) -> SocketAddr {
        SocketAddr::from((self.plan.ip, COMPONENT_PORT))
    }

    /// The JID of a room.
    pub fn room(&self, name: &str) -> String {
        format!("{name}@{}", self.plan.rooms())
    }

    /// How a person signs in.
    pub fn account(&self, user: &str) -> Account {
        Account { server: self.clients(), domain: self.plan.domain(), user: user.to_owned(), password: password(user) }
    }

    /// How a person who is not of the company signs in at the same server (Prosody only).
    pub fn visitor(&self, user: &str) -> Account {
        Account { domain: self.plan.visitors(), ..self.account(user) }
    }

    /// The server's logs.
    pub fn logs(&self) -> Vec<PathBuf> {
        // ejabberd writes the same to both.
        let own = (self.plan.kind == Kind::Prosody).then(|| self.plan.dir.join("server.log"));
        own.into_iter().chain([self.process.log()]).collect()
    }
}
