//! Building a world, and the world itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::daemon::{self, Daemon, GatewayPlan};
use super::process::tail;
use super::redis::Redis;
use super::relay::Relay;
use super::server::{Kind, Server, Surroundings, domain};
use super::{addresses, rooms};
use crate::settings;

/// The center's port.
const CENTER_PORT: u16 = 17100;
/// The largest stanza of a component that a server takes: the default of both kinds of servers.
const COMPONENT_BYTES: usize = 512 * 1024;
/// How long a state that must come may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How often a program's state is asked for while waiting.
pub(super) const RETRY: Duration = Duration::from_millis(100);

/// A company, or a branch of one, with a server of its own.
#[derive(Debug)]
struct Site {
    id: String,
    display: String,
    kind: Kind,
    /// The company of a branch.
    of: Option<String>,
}

/// What a world shall have.
#[derive(Debug, Default)]
pub struct Builder {
    companies: Vec<Site>,
    users: Vec<String>,
    servers_only: bool,
    relays: bool,
    no_nagle: bool,
    federated: bool,
    unpaced: bool,
    redis: bool,
    nodes: bool,
    component_bytes: Option<usize>,
}

impl Builder {
    /// One more company: its short id, its display name, its server.
    #[must_use]
    pub fn company(mut self, id: &str, display: &str, kind: Kind) -> Self {
        self.companies.push(Site { id: id.into(), display: display.into(), kind, of: None });
        self
    }

    /// One more branch of a company that is there already: a server and a gateway of its own. In the world it goes by its id, as a
    /// company does.
    #[must_use]
    pub fn branch(mut self, id: &str, of: &str, kind: Kind) -> Self {
        let display = self.companies.iter().find(|site| site.id == of).map_or_else(String::new, |s| s.display.clone());
        self.companies.push(Site { id: id.into(), display, kind, of: Some(of.into()) });
        self
    }

    /// The accounts at each server. Without this: alice, bob and carol.
    #[must_use]
    pub fn users(mut self, users: &[&str]) -> Self {
        self.users = users.iter().map(|&u| u.to_owned()).collect();
        self
    }

    /// No center and no gateways.
    #[must_use]
    pub fn servers_only(mut self) -> Self {
        self.servers_only = true;
        self
    }

    /// Relays on each component link and on each link to the center, so that they can be cut.
    #[must_use]
    pub fn relays(mut self) -> Self {
        self.relays = true;
        self
    }

    /// Prosody sends small packets at once.
    #[must_use]
    pub fn no_nagle(mut self) -> Self {
        self.no_nagle = true;
        self
    }

    /// The servers talk to each other, over TLS (Prosody only): people of one can join rooms of another.
    #[must_use]
    pub fn federated(mut self) -> Self {
        self.federated = true;
        self
    }

    /// The servers take no larger stanza from a component.
    #[must_use]
    pub fn component_bytes(mut self, most: usize) -> Self {
        self.component_bytes = Some(most);
        self
    }

    /// The center and all gateways keep everything on one Redis.
    #[must_use]
    pub fn on_redis(mut self) -> Self {
        self.redis = true;
        self
    }

    /// The center has two nodes over that Redis. Every other company enrols at the second.
    #[must_use]
    pub fn two_nodes(mut self) -> Self {
        (self.redis, self.nodes) = (true, true);
        self
    }

    /// Programs speak here, faster than people: the rates are set out of their way.
    #[must_use]
    pub fn unpaced(mut self) -> Self {
        self.unpaced = true;
        self
    }

    /// Starts everything; returns when servers take clients and every gateway has both its links.
    ///
    /// # Errors
    /// Something does not start; the logs are in the error.
    pub async fn start(mut self) -> Result<World> {
        if self.users.is_empty() {
            self.users = ["alice", "bob", "carol"].map(str::to_owned).into();
        }
        let mut world = World {
            companies: Vec::new(),
            center: None,
            second: None,
            redis: None,
            dir: TempDir::with_prefix("intergroup-")?,
        };
        if let Err(problem) = self.fill(&mut world).await {
            bail!("{problem:#}\n{}", world.logs());
        }
        Ok(world)
    }

    async fn fill(&self, world: &mut World) -> Result<()> {
        let above = world.dir.path().to_owned();
        let addresses = self.companies.iter().map(|_| addresses::fresh()).collect::<Result<Vec<_>>>()?;
        let ids = self.companies.iter().map(|site| site.id.clone());
        let peers: Vec<_> = if self.federated { ids.zip(addresses.clone()).collect() } else { Vec::new() };
        let component_bytes = self.component_bytes.unwrap_or(COMPONENT_BYTES);
        if self.redis {
            let mut redis = Redis::new(&above)?;
            redis.up().await?;
            world.redis = Some(redis);
        }
        let store = world.redis.as_ref().map(Redis::address);
        let servers = try_join_all(self.companies.iter().zip(addresses).map(|(site, ip)| {
            let surroundings =
                Surroundings { above: &above, ip, peers: &peers, nagle: !self.no_nagle, component_bytes };
            Server::start(&site.id, site.kind, surroundings, &self.users)
        }));
        let center = async {
            if self.servers_only {
                return Ok(None);
            }
            let listen = SocketAddr::from((addresses::fresh()?, CENTER_PORT));
            let mut center = Center { daemon: daemon::center(&above, listen, store.as_deref()).await?, listen };
            if self.unpaced {
                settings::change(&center.daemon.dir().join("center.toml"), settings::CENTER_UNPACED)?;
            }
            center.up().await?;
            Ok(Some(center))
        };
        let (servers, center) = tokio::try_join!(servers, center)?;
        world.center = center;
        if let Some(center) = world.center.as_ref().filter(|_| self.nodes) {
            world.second = Some(self.second(&above, center).await?);
        }
        for (at, (server, Site { id, display, of, .. })) in servers.into_iter().zip(&self.companies).enumerate() {
            let enterprise = of.as_ref().unwrap_or(id).clone();
            let (id, display) = (id.clone(), display.clone());
            let mut company = Company { id, enterprise, display, server, gateway: None, ways: None };
            if self.relays {
                let component = Relay::start(Some(company.server.components())).await?;
                company.ways = Some(Ways { component, link: Relay::start(None).await? });
            }
            let second = world.second.as_ref().filter(|_| at % 2 == 1);
            if let Some(center) = second.or(world.center.as_ref()) {
                // Everywhere in the company its people go by the same names: the first domain is the same.
                let ours = self.companies.iter().filter(|s| s.of.as_ref().unwrap_or(&s.id) == &company.enterprise);
                let domains: Vec<String> = ours.map(|site| domain(&site.id)).collect();
                company.enroll(&above, center, &domains, store.as_deref()).await?;
            }
            world.companies.push(company);
        }
        for company in &mut world.companies {
            if let Some(gateway) = &mut company.gateway {
                if self.unpaced {
                    settings::change(&gateway.dir().join("gateway.toml"), settings::GATEWAY_UNPACED)?;
                }
                gateway.process.start()?;
            }
        }
        for company in &world.companies {
            company.connected().await?;
        }
        Ok(())
    }

    /// Another node, running, that the first knows of.
    async fn second(&self, above: &std::path::Path, first: &Center) -> Result<Center> {
        let listen = SocketAddr::from((addresses::fresh()?, CENTER_PORT));
        let mut second = Center { daemon: daemon::node(above, listen, &first.daemon).await?, listen };
        if self.unpaced {
            settings::change(&second.daemon.dir().join("center.toml"), settings::CENTER_UNPACED)?;
        }
        second.up().await?;
        let both = |status: &Value| status["addresses"].as_array().is_some_and(|all| all.len() == 2);
        let until = Instant::now() + PATIENCE;
        while !both(&first.daemon.json(&["status"]).await?) {
            if Instant::now() > until {
                bail!("the first node does not hear of the second");
            }
            sleep(RETRY).await;
        }
        Ok(second)
    }
}

/// The center.
#[derive(Debug)]
pub struct Center {
    /// The program.
    pub daemon: Daemon,
    listen: SocketAddr,
}

impl Center {
    /// Starts it; returns when it listens.
    ///
    /// # Errors
    /// It does not start.
    pub async fn up(&mut self) -> Result<()> {
        self.daemon.process.start()?;
        self.daemon.process.listening(&[self.listen]).await
    }
}

/// The relays of a company.
#[derive(Debug)]
pub struct Ways {
    /// Between gateway and server.
    pub component: Relay,
    /// Between gateway and center.
    pub link: Relay,
}

/// One company.
#[derive(Debug)]
pub struct Company {
    /// Its short id; of a branch, the branch's.
    pub id: String,
    /// The company's short id at the center; of a branch, that of its company.
    pub enterprise: String,
    /// Its display name.
    pub display: String,
    /// Its server.
    pub server: Server,
    /// Its gateway, if the world has any.
    pub gateway: Option<Daemon>,
    /// The relays, if asked for.
    pub ways: Option<Ways>,
}

impl Company {
    async fn enroll(
        &mut self,
        above: &std::path::Path,
        center: &Center,
        domains: &[String],
        store: Option<&str>,
    ) -> Result<()> {
        let code = if self.id == self.enterprise {
            center.daemon.run(&["enterprise", "add", &self.id, "--display", &self.display]).await?
        } else {
            center.daemon.run(&["enterprise", "code", &self.enterprise, "--gateway", &self.id]).await?
        };
        let plan = &self.server.plan;
        let gateway = GatewayPlan {
            company: &self.id,
            server: self.ways.as_ref().map_or_else(|| self.server.components(), |ways| ways.component.address()),
            component: plan.component(),
            secret: &plan.secret,
            rooms: plan.rooms(),
            domains,
            proxy: self.ways.as_ref().map(|ways| ways.link.address()),
            store,
        };
        self.gateway = Some(daemon::gateway(above, &gateway, code.trim()).await?);
        Ok(())
    }

    /// The gateway.
    ///
    /// # Errors
    /// This world has servers only.
    pub fn gateway(&self) -> Result<&Daemon> {
        self.gateway.as_ref().context("this world has no gateways")
    }

    /// The gateway, to kill it or to start it again.
    ///
    /// # Errors
    /// This world has servers only.
    pub fn gateway_mut(&mut self) -> Result<&mut Daemon> {
        self.gateway.as_mut().context("this world has no gateways")
    }

    /// Returns when the gateway's status fits.
    ///
    /// # Errors
    /// It ended, or its status does not fit after a minute.
    pub async fn status_is(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let Some(gateway) = &self.gateway else { return Ok(Value::Null) };
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = gateway.process.ended()? {
                bail!("{} ended: {status}\n{}", gateway.process.name(), tail(&gateway.process.log()));
            }
            let status = gateway.json(&["status"]).await;
            match status {
                Ok(status) if fits(&status) => return Ok(status),
                last if Instant::now() > until => {
                    bail!("{}: {what}: not after {} s: {last:?}", self.id, PATIENCE.as_secs())
                }
                _ => sleep(RETRY).await,
            }
        }
    }

    /// Returns when the gateway has no link to the center.
    ///
    /// # Errors
    /// It ended, or has one still after a minute.
    pub async fn apart(&self) -> Result<()> {
        self.status_is("no link to the center", |status| !rooms::up(status, "center")).await?;
        Ok(())
    }

    /// Returns when the gateway has both its links.
    ///
    /// # Errors
    /// It ended, or has not got them after a minute.
    pub async fn connected(&self) -> Result<()> {
        self.status_is("both links", |status| rooms::up(status, "server") && rooms::up(status, "center")).await?;
        Ok(())
    }
}

/// A world.
#[derive(Debug)]
pub struct World {
    /// The companies, in the order they were asked for.
    pub companies: Vec<Company>,
    /// The center, if the world has one.
    pub center: Option<Center>,
    /// Its other node, if it has two.
    pub second: Option<Center>,
    /// The Redis of all of them, if they are on one.
    pub redis: Option<Redis>,
    // Last, so that it is removed after the processes have ended.
    dir: TempDir,
}

impl World {
    /// A world to be described further.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A company by its id.
    ///
    /// # Panics
    /// There is none: the test is wrong.
    pub fn of(&self, id: &str) -> &Company {
        self.companies.iter().find(|c| c.id == id).unwrap_or_else(|| panic!("no company {id} in this world"))
    }

    /// A company by its id, to do something to it.
    ///
    /// # Panics
    /// There is none: the test is wrong.
    pub fn at(&mut self, id: &str) -> &mut Company {
        self.companies.iter_mut().find(|c| c.id == id).unwrap_or_else(|| panic!("no company {id} in this world"))
    }

    /// The center.
    ///
    /// # Errors
    /// This world has servers only.
    pub fn center_mut(&mut self) -> Result<&mut Center> {
        self.center.as_mut().context("this world has no center")
    }

    /// Its folder.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        let mut logs: Vec<PathBuf> = self.companies.iter().flat_map(|c| c.server.logs()).collect();
        logs.extend(self.companies.iter().filter_map(|c| Some(c.gateway.as_ref()?.process.log())));
        logs.extend(self.redis.as_ref().map(|r| r.process.log()));
        logs.extend(self.center.iter().chain(&self.second).map(|c| c.daemon.process.log()));
        logs.sort();
        logs.iter().filter(|log| log.exists()).map(|log| tail(log)).collect()
    }
}

/// Starts a world and does a test in it; the logs of all programs go into the error.
///
/// # Errors
/// The test's own.
pub async fn run(builder: Builder, test: impl AsyncFnOnce(&mut World) -> Result<()>) -> Result<()> {
    let mut world = builder.start().await?;
    match test(&mut world).await {
        Ok(()) => Ok(()),
        Err(problem) => bail!("{problem:#}\n{}", world.logs()),
    }
}
