//! One run: traffic, faults, verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use tokio::time::{Instant, sleep, sleep_until};

use super::crowd::{Speaker, Spoken, speak};
use super::plan::{Fault, Happening};
use crate::audit::{Record, Verdict, archived, audit};
use crate::load::Client;
use crate::world::{Flow, Kind, World};

/// The people of each company.
const PEOPLE: &[&str] = &["alice", "bob", "carol", "dave", "erin"];
/// How long archives may take to become complete after the traffic has ended.
const CATCH_UP: Duration = Duration::from_secs(300);
/// How often programs are asked meanwhile whether they still have something to do.
const ASK: Duration = Duration::from_secs(1);
/// How often archives are compared again that are not complete though nobody has anything to do. Reading them is work for
/// the servers.
const AGAIN: Duration = Duration::from_secs(15);
/// From signing in to the first message.
const SETTLE: Duration = Duration::from_secs(3);

/// How much traffic.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Messages a second from each company.
    pub rate: u32,
    /// For how long.
    pub traffic: Duration,
}

/// A world of three companies for runs one after the other.
#[derive(Debug)]
pub struct Stage {
    /// The world.
    pub world: World,
    rooms: u32,
}

/// What a run showed.
#[derive(Debug)]
pub struct Outcome {
    /// The auditor's word.
    pub verdict: Verdict,
    /// From the last message to complete archives.
    pub caught_up: Duration,
    /// Messages offered, and how many should have been.
    pub offered: (usize, usize),
    /// Largest delay of a message against its time, of people who were signed in.
    pub late: Duration,
    /// Connections of people that broke.
    pub breaks: u64,
    /// Peak memory so far, by process, in KiB.
    pub memory: BTreeMap<String, u64>,
}

/// The most memory that a gateway or the center may take, in KiB.
const MEMORY_KIB: u64 = 64 * 1024;

impl Outcome {
    /// Whether everything that was promised was kept.
    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.offered.0 == self.offered.1 && self.memory.values().all(|&kib| kib < MEMORY_KIB)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory: Vec<_> =
            self.memory.iter().map(|(name, kib)| format!("{name} {:.1}", *kib as f64 / 1024.0)).collect();
        write!(
            f,
            "offered {} of {} (largest delay {} ms, {} connections of people broke); complete {:.1} s after the last; \
             peak MiB: {}\n   {}",
            self.offered.0,
            self.offered.1,
            self.late.as_millis(),
            self.breaks,
            self.caught_up.as_secs_f64(),
            memory.join(", "),
            self.verdict
        )
    }
}

impl Stage {
    /// Starts three companies.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start() -> Result<Stage> {
        let builder = World::builder().users(PEOPLE).relays().unpaced();
        let builder = builder.company("acme", "Acme", Kind::Prosody).company("globex", "Globex", Kind::Ejabberd);
        let world = builder.company("initech", "Initech", Kind::Prosody).start().await?;
        Ok(Stage { world, rooms: 0 })
    }

    /// People talk in a new room of each company while these things happen.
    ///
    /// # Errors
    /// The run could not be done; what it showed is in the outcome.
    pub async fn run(&mut self, settings: Settings, happenings: &[Happening]) -> Result<Outcome> {
        self.rooms += 1;
        let name = format!("run{}", self.rooms);
        let number = self.world.share(&name).await?;
        let begin = Instant::now() + SETTLE;
        let messages = u64::from(settings.rate) * settings.traffic.as_secs() / PEOPLE.len() as u64;
        let every = Duration::from_secs(PEOPLE.len() as u64) / settings.rate;
        let mut speakers = Vec::new();
        for company in &self.world.companies {
            for (place, user) in PEOPLE.iter().enumerate() {
                speakers.push(Speaker {
                    account: company.server.account(user),
                    author: format!("{}/{user}", company.id),
                    nick: format!("{user} of {}", company.id),
                    room: company.server.room(&name),
                    // Spread, so that the rate is even.
                    begin: begin + every * place as u32 / PEOPLE.len() as u32,
                    every,
                    messages,
                });
            }
        }
        let talk = tokio::spawn(join_all(speakers.clone().into_iter().map(speak)));
        for happening in happenings {
            sleep_until(begin + happening.at).await;
            self.happen(happening).await.with_context(|| format!("{}", happening.fault))?;
        }
        let spoken = talk.await?;
        let ended = Instant::now();
        let verdict = self.settle(&name, &number, &speakers, &spoken).await?;
        let outcome = Outcome {
            caught_up: ended.elapsed(),
            offered: (
                spoken.iter().map(|s| s.accepted.len() + s.unsure.len()).sum(),
                usize::try_from(messages)? * speakers.len(),
            ),
            late: spoken.iter().map(|s| s.late).max().unwrap_or_default(),
            breaks: spoken.iter().map(|s| s.breaks).sum(),
            memory: self.memory()?,
            verdict,
        };
        if outcome.is_good() {
            self.world.companies[0].gateway()?.run(&["group", "delete", &number]).await?;
        }
        Ok(outcome)
    }

    /// Whether every gateway and the center say that nothing of this group is on its way.
    async fn is_quiet(&self, room: &str, number: &str) -> Result<bool> {
        for company in &self.world.companies {
            if !company.has_settled(room).await? {
                return Ok(false);
            }
        }
        let center = self.world.center.as_ref().context("this world has a center")?;
        let group = center.daemon.json(&["group", "show", number]).await?;
        let members = group["members"].as_array().context("a group has members")?;
        Ok(members.iter().all(|member| member["waiting"] == 0))
    }

    /// Compares the archives until they are complete, or for as long as they may take.
    async fn settle(&self, room: &str, number: &str, speakers: &[Speaker], spoken: &[Spoken]) -> Result<Verdict> {
        let until = Instant::now() + CATCH_UP;
        // A program that is still starting cannot be asked: it is not quiet.
        while !self.is_quiet(room, number).await.unwrap_or(false) && Instant::now() < until {
            sleep(ASK).await;
        }
        loop {
            let mut records = Vec::new();
            for company in &self.world.companies {
                let mut record = Record { company: company.id.clone(), ..Record::default() };
                let prefix = format!("{}/", company.id);
                for (_, spoken) in speakers.iter().zip(spoken).filter(|(s, _)| s.author.starts_with(&prefix)) {
                    record.accepted.extend(spoken.accepted.iter().cloned());
                    record.unsure.extend(spoken.unsure.iter().cloned());
                }
                let mut reader = Client::connect(&company.server.account(PEOPLE[0]), "auditor").await?;
                let jid = company.server.room(room);
                reader.join(&jid, "the auditor").await?;
                record.archive = archived(&company.id, &reader.archive(&jid).await?);
                records.push(record);
            }
            let verdict = audit(&records);
            if verdict.is_good() || Instant::now() > until {
                return Ok(verdict);
            }
            sleep(AGAIN).await;
        }
    }

    fn memory(&self) -> Result<BTreeMap<String, u64>> {
        let mut memory = BTreeMap::new();
        for company in &self.world.companies {
            memory.insert(format!("{} gateway", company.id), company.gateway()?.process.memory_kib()?.1);
        }
        let center = self.world.center.as_ref().context("this world has a center")?;
        memory.insert("center".into(), center.daemon.process.memory_kib()?.1);
        Ok(memory)
    }

    /// Lets something happen, and ends it after its time.
    async fn happen(&mut self, happening: &Happening) -> Result<()> {
        let (fault, lasts) = (happening.fault, happening.lasts);
        let of = |kind| {
            let fits: Vec<_> = (0..3).filter(|&n| self.world.companies[n].server.plan.kind == kind).collect();
            fits[happening.whom % fits.len()]
        };
        let whom = match fault {
            Fault::ProsodyKill | Fault::ProsodyRestart => of(Kind::Prosody),
            Fault::EjabberdKill | Fault::EjabberdRestart => of(Kind::Ejabberd),
            _ => happening.whom,
        };
        if fault == Fault::CenterKill {
            let center = self.world.center_mut()?;
            center.daemon.process.kill();
            sleep(lasts).await;
            return center.up().await;
        }
        let company = &mut self.world.companies[whom];
        match fault {
            Fault::GatewayKill => {
                company.gateway_mut()?.process.kill();
                sleep(lasts).await;
                company.gateway_mut()?.process.start()
            }
            Fault::GatewayFreeze => {
                company.gateway()?.process.freeze();
                sleep(lasts).await;
                company.gateway()?.process.thaw();
                Ok(())
            }
            Fault::ProsodyKill | Fault::EjabberdKill => {
                company.server.process.kill();
                sleep(lasts).await;
                company.server.up().await
            }
            Fault::ProsodyRestart | Fault::EjabberdRestart => {
                company.server.process.stop().await;
                company.server.up().await
            }
            Fault::LinkCut | Fault::ComponentCut => {
                let ways = company.ways.as_ref().context("this world has relays")?;
                let relay = if fault == Fault::LinkCut { &ways.link } else { &ways.component };
                ensure!(relay.connections() > 0, "nothing passes the relay that is to be cut");
                relay.set(Flow::Cut);
                sleep(lasts).await;
                relay.set(Flow::Open);
                Ok(())
            }
            Fault::CenterKill => Ok(()),
        }
    }
}
