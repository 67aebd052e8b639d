//! Runs schedules of the simulator: many, or one with a trace.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use intergroup_tests::sim::{self, Broken, Coverage, Outcome};

/// Runs the shipped cores through schedules of faults.
#[derive(Debug, Parser)]
struct Args {
    /// Run this one schedule.
    #[arg(long)]
    seed: Option<u64>,
    /// Print everything that happens.
    #[arg(long)]
    trace: bool,
    /// Run so many schedules.
    #[arg(long, default_value_t = 1000)]
    schedules: u64,
    /// The first one's seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// The hub alone, between scripted gateways.
    #[arg(long)]
    hub: bool,
    /// Break a rule on purpose, by its name in the tests.
    #[arg(long)]
    broken: Option<String>,
    /// Stop at the first schedule that fails.
    #[arg(long)]
    first: bool,
    /// Threads; all processors by default.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() {
    let args = Args::parse();
    let broken = args.broken.as_ref().map(|name| {
        let known = Broken::ALL.iter().find(|b| format!("{b:?}") == *name);
        *known.unwrap_or_else(|| panic!("there is no rule {name}: {:?}", Broken::ALL))
    });
    let run = |seed| match args.hub {
        true => sim::hub::run(seed, broken, args.trace),
        false => sim::whole::run(seed, broken, args.trace),
    };
    if let Some(seed) = args.seed {
        let outcome = run(seed);
        report(&outcome);
        println!("{}{} steps", outcome.coverage, outcome.steps);
        std::process::exit(i32::from(!outcome.violations.is_empty()));
    }
    let began = Instant::now();
    let next = AtomicU64::new(args.from);
    let end = args.from + args.schedules;
    let sum = Mutex::new((Coverage::default(), 0, BTreeMap::new()));
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run(seed);
                    report(&outcome);
                    let mut sum = sum.lock().expect("no thread panics with the sum in its hands");
                    sum.0.merge(&outcome.coverage);
                    sum.1 += outcome.steps;
                    if let Some(violation) = outcome.violations.into_iter().next() {
                        sum.2.insert(seed, violation);
                        if args.first {
                            next.store(end, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let (coverage, steps, failed) = sum.into_inner().expect("no thread panicked");
    println!("{coverage}");
    println!("{} schedules, {steps} steps, {} s", args.schedules, began.elapsed().as_secs());
    println!("{} failed: {:?}", failed.len(), failed.keys().collect::<Vec<_>>());
    std::process::exit(i32::from(!failed.is_empty()));
}

fn report(outcome: &Outcome) {
    for violation in outcome.violations.iter().take(5) {
        println!("seed {}: {violation}", outcome.seed);
    }
}
