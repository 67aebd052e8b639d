//! Two rooms that are bridged, beside one room that the same two servers share: throughput, latency, processor time.
//!
//! `cargo run --release -p intergroup-tests --bin bench_rooms`

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use intergroup_tests::bench::rooms::{Cast, Load, Plan, Seen, traffic};
use intergroup_tests::load::Account;
use intergroup_tests::machine::{build_programs, install};
use intergroup_tests::world::{Kind, Process, World};

/// Rounds of both, one after the other, so that what disturbs the machine disturbs both.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that count, in each piece of traffic
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Seconds before they count
    #[arg(long, default_value_t = 3)]
    warm_up: u64,
    /// People who speak at Acme, and as many who listen at Globex: with fewer, servers carry a higher rate
    #[arg(long, default_value_t = SENDERS.len(), value_parser = people)]
    people: usize,
    /// Only traffic of this name (closed-64, open-50, open-250, open-500); may be given several times
    #[arg(long, value_name = "TRAFFIC")]
    only: Vec<String>,
    /// The programs have been built already
    #[arg(long, hide = true)]
    built: bool,
}

fn people(text: &str) -> Result<usize, String> {
    let most = SENDERS.len();
    text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| format!("from 1 to {most}"))
}

/// Those who speak, at Acme.
const SENDERS: &[&str] = &["alice", "bob", "carol", "dave", "erin"];
/// Who only listens there.
const NEAR: &[&str] = &["frank"];
/// Those who listen at Globex.
const FAR: &[&str] = &["gina", "henry", "iris", "jack", "kate"];

const TRAFFIC: &[(&str, Load)] = &[
    ("closed-64", Load::Closed(64)),
    ("open-50", Load::Open(50)),
    ("open-250", Load::Open(250)),
    ("open-500", Load::Open(500)),
];

/// A piece of traffic, as it went.
#[derive(Debug, Clone)]
struct Outcome {
    seen: Seen,
    /// Milliseconds of processor time a message: both servers together, then gateways and center together.
    servers: f64,
    product: f64,
}

type Column = (&'static str, fn(&Outcome) -> f64, usize);

const COLUMNS: &[Column] = &[
    ("messages/s", |o| o.seen.messages as f64 / o.seen.seconds, 0),
    ("to Globex, p50 ms", |o| o.seen.far[0], 2),
    ("to Globex, p99 ms", |o| o.seen.far[1], 2),
    ("to Globex, longest ms", |o| o.seen.far[2], 1),
    ("within Acme, p50 ms", |o| o.seen.near[0], 2),
    ("within Acme, p99 ms", |o| o.seen.near[1], 2),
    ("sent too late, at most ms", |o| o.seen.late, 1),
    ("CPU ms per message, servers", |o| o.servers, 3),
    ("CPU ms per message, gateways and center", |o| o.product, 3),
];

/// What a pair of figures of one round must satisfy: shared, bridged.
type Target = (&'static str, &'static str, fn(&Outcome, &Outcome) -> f64, fn(f64) -> bool);

const TARGETS: &[Target] = &[
    ("closed-64", "messages/s, bridged to shared, at least 0.9", rate_ratio, |x| x >= 0.9),
    ("open-50", "p50, bridged less shared, under 5 ms", |s, b| b.seen.far[0] - s.seen.far[0], |x| x < 5.0),
    ("open-50", "p99, bridged less shared, under 25 ms", |s, b| b.seen.far[1] - s.seen.far[1], |x| x < 25.0),
    ("open-250", "p50, bridged less shared, under 5 ms", |s, b| b.seen.far[0] - s.seen.far[0], |x| x < 5.0),
    ("open-250", "p99, bridged less shared, under 25 ms", |s, b| b.seen.far[1] - s.seen.far[1], |x| x < 25.0),
    ("open-500", "p50, bridged less shared, under 5 ms", |s, b| b.seen.far[0] - s.seen.far[0], |x| x < 5.0),
    ("open-500", "p99, bridged less shared, under 25 ms", |s, b| b.seen.far[1] - s.seen.far[1], |x| x < 25.0),
    ("open-500", "CPU, gateways and center to servers (bridged), under 0.2", |_, b| b.product / b.servers, |x| x < 0.2),
    ("open-500", "CPU, gateways and center to servers (shared), under 0.2", |s, b| b.product / s.servers, |x| x < 0.2),
];

fn rate_ratio(shared: &Outcome, bridged: &Outcome) -> f64 {
    let rate = |o: &Outcome| o.seen.messages as f64 / o.seen.seconds;
    rate(bridged) / rate(shared)
}

/// The median, and the range.
fn spread(mut values: Vec<f64>, decimals: usize) -> (f64, String) {
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => (f64::NAN, "-".into()),
        [first, .., last] => {
            let median = values[values.len() / 2];
            (median, format!("{median:.decimals$} ({first:.decimals$}..{last:.decimals$})"))
        }
        [one] => (*one, format!("{one:.decimals$}")),
    }
}

fn product(world: &World) -> Result<Vec<&Process>> {
    let mut all = vec![&world.center.as_ref().context("this world has a center")?.daemon.process];
    for company in &world.companies {
        all.push(&company.gateway()?.process);
    }
    Ok(all)
}

fn cpu(of: &[&Process]) -> Result<f64> {
    of.iter().map(|p| p.cpu_seconds()).sum()
}

async fn one(world: &World, plan: &Plan, room: &str, bridged: bool, people: usize) -> Result<Outcome> {
    let (near, far) = (&world.of("acme").server, &world.of("globex").server);
    let accounts = |server: &intergroup_tests::world::Server, of: &[&str]| -> Vec<Account> {
        of.iter().map(|user| server.account(user)).collect()
    };
    let cast = Cast {
        senders: accounts(near, &SENDERS[..people]),
        near: accounts(near, NEAR),
        far: accounts(far, &FAR[..people]),
        near_room: near.room(room),
        far_room: if bridged { far.room(room) } else { near.room(room) },
    };
    let group = if bridged {
        Some(world.share(room).await?)
    } else {
        world.of("acme").make_room("alice", room).await?;
        None
    };
    let servers: Vec<&Process> = world.companies.iter().map(|c| &c.server.process).collect();
    let product = product(world)?;
    let (seen, before, after) = traffic(plan, &cast, || Ok((cpu(&servers)?, cpu(&product)?))).await?;
    if let Some(group) = group {
        world.of("acme").gateway()?.run(&["group", "delete", &group]).await?;
    }
    let each = |seconds: f64| seconds * 1000.0 / seen.messages as f64;
    Ok(Outcome { servers: each(after.0 - before.0), product: each(after.1 - before.1), seen })
}

/// The share of the offered rate that must have arrived for latencies to be more than the length of a queue.
const CARRIED: f64 = 0.95;

fn carried(load: Load, outcomes: &[Outcome]) -> bool {
    let rate = |o: &Outcome| o.seen.messages as f64 / o.seen.seconds;
    match load {
        Load::Open(offered) => outcomes.iter().all(|o| rate(o) >= f64::from(offered) * CARRIED),
        Load::Closed(_) => true,
    }
}

fn report(name: &str, load: Load, shared: &[Outcome], bridged: &[Outcome]) {
    println!("\n| {name} | shared | bridged |\n| --- | --- | --- |");
    for (title, value, decimals) in COLUMNS {
        let cell = |of: &[Outcome]| spread(of.iter().map(value).collect(), *decimals).1;
        println!("| {title} | {} | {} |", cell(shared), cell(bridged));
    }
    println!("\n| target | median of the rounds (range) | |\n| --- | --- | --- |");
    let carried = carried(load, shared) && carried(load, bridged);
    for (_, title, value, met) in TARGETS.iter().filter(|(of, ..)| *of == name) {
        let (median, text) = spread(shared.iter().zip(bridged).map(|(s, b)| value(s, b)).collect(), 3);
        let verdict = match (carried, met(median)) {
            (false, _) => "open: the machine did not carry the rate",
            (true, true) => "met",
            (true, false) => "missed",
        };
        println!("| {title} | {text} | {verdict} |");
    }
}

async fn perform(arguments: &Arguments) -> Result<()> {
    let users = [SENDERS, NEAR, FAR].concat();
    let builder = World::builder().users(&users).no_nagle().federated().unpaced();
    let world = builder.company("acme", "Acme", Kind::Prosody).company("globex", "Globex", Kind::Prosody);
    let world = world.start().await?;
    let wanted: Vec<_> = TRAFFIC
        .iter()
        .filter(|(name, _)| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name))
        .collect();
    let mut outcomes: Vec<[Vec<Outcome>; 2]> = vec![[Vec::new(), Vec::new()]; wanted.len()];
    for round in 1..=arguments.rounds {
        for ((name, load), outcomes) in wanted.iter().zip(&mut outcomes) {
            let (warm_up, window) = (Duration::from_secs(arguments.warm_up), Duration::from_secs(arguments.seconds));
            let plan = Plan { load: *load, warm_up, window };
            // Who goes first changes, so that what grows does not always burden the same one.
            for bridged in if round % 2 == 0 { [true, false] } else { [false, true] } {
                let kind = if bridged { "bridged" } else { "shared" };
                let outcome = one(&world, &plan, &format!("{name}-{kind}-{round}"), bridged, arguments.people).await;
                let outcome = outcome.with_context(|| format!("{name}, {kind}\n{}", world.logs()))?;
                eprintln!("round {round}, {name}, {kind}: {outcome:?}");
                outcomes[usize::from(bridged)].push(outcome);
            }
        }
    }
    for ((name, load), [shared, bridged]) in wanted.iter().zip(&outcomes) {
        report(name, *load, shared, bridged);
    }
    println!("\n| process | peak memory MiB |\n| --- | --- |");
    for process in world.companies.iter().map(|c| &c.server.process).chain(product(&world)?) {
        println!("| {} | {:.1} |", process.name(), process.memory_kib()?.1 as f64 / 1024.0);
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    install(&["prosody"], |text| eprintln!("{text}"))?;
    if !arguments.built {
        build_programs()?;
    }
    // The clients share one thread: the machine's processors are the servers'.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(perform(&arguments))
}
