//! The center alone, on its embedded store and on Redis, beside Redis Streams in the same run: stored messages, deliveries, latency, processor time, memory.
//!
//! `cargo build --release -p intergroup-center && cargo run --release -p intergroup-tests --bin bench_center`

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use intergroup_tests::bench::run::{Outcome, Plan, center, center_on_redis, redis_streams};

/// Rounds of all, one after the other, so that what disturbs the machine disturbs all.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that count, in each round
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Links that receive
    #[arg(long, default_value_t = 10)]
    receivers: usize,
    /// Messages in flight; the center takes at most 1024 of one gateway
    #[arg(long, default_value_t = 256)]
    in_flight: u64,
    /// Only the center on its embedded store
    #[arg(long)]
    alone: bool,
}

/// A column of the table: its name, its value in an outcome, and its decimals.
type Column = (&'static str, fn(&Outcome) -> f64, usize);

const COLUMNS: &[Column] = &[
    ("stored/s", |o| o.stored, 0),
    ("deliveries/s", |o| o.delivered, 0),
    ("CPU s per million deliveries", |o| o.cpu, 3),
    ("ack p50 ms", |o| o.ack.0, 2),
    ("ack p99 ms", |o| o.ack.1, 2),
    ("delivery p50 ms", |o| o.delivery.0, 2),
    ("delivery p99 ms", |o| o.delivery.1, 2),
    ("memory MiB", |o| o.memory, 1),
    ("fsync/s", |o| o.commits.unwrap_or(f64::NAN), 0),
];

fn cell(outcomes: &[Outcome], (_, value, decimals): &Column) -> String {
    let mut values: Vec<f64> = outcomes.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => String::new(),
        [first, ..] if first.is_nan() => "not counted".into(),
        [first, .., last] => {
            let median = values[values.len() / 2];
            format!("{median:.decimals$} ({first:.decimals$}..{last:.decimals$})")
        }
        [one] => format!("{one:.decimals$}"),
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let plan = Plan {
        receivers: arguments.receivers,
        in_flight: arguments.in_flight,
        warm_up: Duration::from_secs(2),
        window: Duration::from_secs(arguments.seconds),
    };
    let (mut ours, mut on_redis, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=arguments.rounds {
        let outcome = center(&plan)?;
        eprintln!("round {round}, center: {outcome:?}");
        ours.push(outcome);
        if !arguments.alone {
            let outcome = center_on_redis(&plan)?;
            eprintln!("round {round}, center on Redis: {outcome:?}");
            on_redis.push(outcome);
            let outcome = redis_streams(&plan)?;
            eprintln!("round {round}, Redis:  {outcome:?}");
            theirs.push(outcome);
        }
    }
    println!(
        "| | center (TLS, fsync) | center on Redis (TLS, appendfsync always) | Redis Streams (no TLS, appendfsync always) |"
    );
    println!("| --- | --- | --- | --- |");
    for column in COLUMNS {
        let [ours, on_redis, theirs] = [&ours, &on_redis, &theirs].map(|outcomes| cell(outcomes, column));
        println!("| {} | {ours} | {on_redis} | {theirs} |", column.0);
    }
    Ok(())
}
