//! How long a change of affiliations takes to the other company's list: an owner's client gives or takes membership of a closed room,
//! and the time counts from the room's answer to the moment at which the list that the other company's gateway keeps has moved on.
//!
//! `cargo run --release -p intergroup-tests --bin bench_members`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use intergroup_gateway::control::{Answer, Request, ask};
use intergroup_schemas::ids::ListVersion;
use intergroup_tests::load::Client;
use intergroup_tests::machine::{build_programs, install};
use intergroup_tests::world::{Company, Kind, World};

/// One change after the other; the next begins when the one before has arrived.
#[derive(Debug, Parser)]
struct Arguments {
    /// Changes at each server in a round: people are made members, and lose it again
    #[arg(long, default_value_t = 50)]
    changes: usize,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Where the changes are made, and where they arrive.
const ROOM: &str = "measured";
/// How often the other gateway is asked: the resolution of the figures.
const EVERY: Duration = Duration::from_millis(1);
/// A change that takes longer fails the run.
const MOST: Duration = Duration::from_secs(60);

/// What the gateway of a company shows of its room.
struct Far {
    socket: PathBuf,
    room: String,
}

impl Far {
    fn of(company: &Company) -> Result<Self> {
        let socket = company.gateway()?.dir().join("gateway.sock");
        Ok(Self { socket, room: company.server.room(ROOM) })
    }

    /// The version of the user list that it keeps; none while it does not know.
    fn version(&self) -> Result<Option<ListVersion>> {
        let answer = ask(&self.socket, &Request::Status, MOST).map_err(|e| anyhow::anyhow!("{e:?}"))?;
        let Answer::Status(status) = answer else { bail!("no status: {answer:?}") };
        let room = status.rooms.iter().find(|room| room.room == self.room).context("the room is not mapped")?;
        Ok(room.list)
    }

    /// Returns when the list has moved on from `version`.
    async fn passes(&self, version: Option<ListVersion>) -> Result<Option<ListVersion>> {
        let until = Instant::now() + MOST;
        loop {
            let now = self.version()?;
            if now > version {
                return Ok(now);
            }
            ensure!(Instant::now() < until, "the list stays at version {now:?}");
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// Makes the changes and measures each, in milliseconds; sorted.
async fn measure(world: &World, here: &str, there: &str, number: &str, changes: usize) -> Result<Vec<f64>> {
    let (near, far) = (world.of(here), world.of(there));
    let (room, list) = (near.server.room(ROOM), Far::of(far)?);
    far.list_is(number, here, &[format!("{here}/alice")]).await?;
    let mut owner = Client::connect(&near.server.account("alice"), "owner").await?;
    let mut version = list.version()?;
    let mut took = Vec::new();
    for n in 0..changes {
        // Each comes, and goes with the next change.
        let affiliation = if n % 2 == 0 { "member" } else { "none" };
        let item = format!("<item affiliation='{affiliation}' jid='u{}@{}'/>", n / 2, near.server.plan.domain());
        let query = format!("<query xmlns='http://jabber.org/protocol/muc#admin'>{item}</query>");
        let answer = owner.ask("set", &room, &query).await?;
        let done = Instant::now();
        ensure!(!answer.has_error(), "the room refuses: {}", answer.0);
        version = list.passes(version).await?;
        took.push(done.elapsed().as_secs_f64() * 1000.0);
    }
    // What was measured was these changes and nothing else.
    far.list_is(number, here, &[format!("{here}/alice")]).await?;
    took.sort_by(f64::total_cmp);
    Ok(took)
}

/// The value at a share of the sorted values.
fn at(sorted: &[f64], share: f64) -> f64 {
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.clamp(1, sorted.len()) - 1).copied().unwrap_or(f64::NAN)
}

/// The middle one of the rounds' figures, with their range.
fn spread(mut of_rounds: Vec<f64>) -> String {
    of_rounds.sort_by(f64::total_cmp);
    let (least, most) = (at(&of_rounds, 0.0), at(&of_rounds, 1.0));
    format!("{:.1} ({least:.1}..{most:.1})", at(&of_rounds, 0.5))
}

async fn perform(arguments: &Arguments) -> Result<()> {
    let (changes, rounds) = (arguments.changes, arguments.rounds);
    let world = World::builder().company("acme", "Acme", Kind::Prosody).company("globex", "Globex", Kind::Ejabberd);
    let world = world.start().await?;
    let settings = [("muc#roomconfig_persistentroom", "1"), ("muc#roomconfig_membersonly", "1")];
    for company in &world.companies {
        company.make_room_with("alice", ROOM, &settings).await?;
    }
    let number = world.connect(ROOM).await?;
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (all, (here, there)) in all.iter_mut().zip([("acme", "globex"), ("globex", "acme")]) {
            let took = measure(&world, here, there, &number, changes).await;
            all.push(took.with_context(|| format!("{here}\n{}", world.logs()))?);
        }
    }
    println!("| changed at | changes a round | p50 ms | p95 ms | longest ms |\n| --- | --- | --- | --- | --- |");
    for (name, all) in ["Prosody", "ejabberd"].into_iter().zip(&all) {
        let [p50, p95, most] = [0.5, 0.95, 1.0].map(|share| spread(all.iter().map(|took| at(took, share)).collect()));
        println!("| {name} | {changes} | {p50} | {p95} | {most} |");
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.changes > 0 && arguments.changes % 2 == 0, "changes come in pairs: who comes also goes");
    install(&["prosody", "ejabberd"], |text| eprintln!("{text}"))?;
    build_programs()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(perform(&arguments))
}
