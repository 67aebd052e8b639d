//! `cargo run -p intergroup-tests --bin faults`: three companies talk while everything is killed, frozen and cut in turn.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use clap::Parser;
use intergroup_tests::faults::{Fault, Happening, Settings, Stage, plan};
use intergroup_tests::machine::{SERVERS, build_programs, install};

/// Three companies (Prosody, ejabberd, Prosody) talk at a steady rate while processes are killed, frozen and cut off.
#[derive(Debug, Parser)]
struct Args {
    /// A few faults in fifteen seconds of traffic
    #[arg(long)]
    short: bool,
    /// Replays the instants of an earlier run; by default they are new
    #[arg(long)]
    seed: Option<u64>,
    /// How often each fault happens, each time in traffic of its own
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// As many rounds of a fault in one traffic as have room in it: as many faults in less time, one soon after the other
    #[arg(long)]
    together: bool,
    /// Only this fault; may be given several times
    #[arg(long, value_name = "FAULT")]
    only: Vec<Fault>,
    /// Messages a second from each company
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Seconds of traffic
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The programs have been built already
    #[arg(long, hide = true)]
    built: bool,
}

/// The faults of the short form.
const SHORT: &[Fault] = &[Fault::GatewayKill, Fault::LinkCut, Fault::CenterKill, Fault::EjabberdKill];
/// Its traffic: messages a second from each company, and seconds.
const SHORT_TRAFFIC: (u32, u64) = (25, 16);

async fn one(stage: &mut Stage, settings: Settings, happenings: &[Happening]) -> Result<bool> {
    for happening in happenings {
        println!("   at {:.1} s: {}", happening.at.as_secs_f64(), happening.fault);
    }
    match stage.run(settings, happenings).await {
        Ok(outcome) => {
            let good = outcome.is_good();
            println!("   {}: {outcome}", if good { "ok" } else { "FAILED" });
            if !good {
                println!("{}", stage.world.logs());
            }
            Ok(good)
        }
        Err(problem) => {
            println!("{}", stage.world.logs());
            Err(problem)
        }
    }
}

async fn perform(args: &Args, seed: u64) -> Result<()> {
    let mut stage = Stage::start().await?;
    let (mut runs, mut bad) = (0, 0);
    if args.short {
        let settings = Settings { rate: SHORT_TRAFFIC.0, traffic: Duration::from_secs(SHORT_TRAFFIC.1) };
        runs += 1;
        bad += u64::from(!one(&mut stage, settings, &plan(seed, SHORT, settings.traffic, true)).await?);
    } else {
        let settings = Settings { rate: args.rate, traffic: Duration::from_secs(args.seconds) };
        let faults = if args.only.is_empty() { Fault::ALL } else { &args.only };
        let at_once = |fault: &Fault| if args.together { fault.fits(settings.traffic) } else { 1 };
        for round in 0..args.rounds {
            for (n, fault) in (0..).zip(faults).filter(|(_, fault)| round % at_once(fault) == 0) {
                let times = at_once(fault).min(args.rounds - round);
                println!("== round {} of {}: {fault}, {times} in one traffic", round + 1, args.rounds);
                let of_round = vec![*fault; usize::try_from(times)?];
                let happenings = plan(seed.wrapping_add(round * 100 + n), &of_round, settings.traffic, false);
                runs += 1;
                bad += u64::from(!one(&mut stage, settings, &happenings).await?);
            }
        }
    }
    println!("{runs} runs, {bad} bad, seed {seed}");
    ensure!(bad == 0, "{bad} of {runs} runs are bad; repeat them with --seed {seed}");
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as u64);
    let seed = args.seed.unwrap_or(clock % 1_000_000);
    println!("seed {seed}");
    let outcome = (|| {
        install(SERVERS, |text| println!("{text}"))?;
        if !args.built {
            build_programs()?;
        }
        tokio::runtime::Runtime::new()?.block_on(perform(&args, seed))
    })();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("faults: {problem:#}");
            ExitCode::FAILURE
        }
    }
}
