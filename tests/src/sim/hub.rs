//! The hub alone: the shipped center between three scripted gateways.

use super::Outcome;
use super::center::{COMPANIES, CenterPlan};
use super::faults;
use super::net::{Delays, Net};
use super::rng::Rng;
use super::saboteur::Broken;
use super::script::{GROUP, Script};
use super::world::World;

/// For so long people talk and faults strike.
const SPAN_MS: i64 = 20_000;

/// After so long without faults all must be well.
const HEALING_MS: i64 = 60_000;

/// How often one looks whether all is well.
const LOOK_MS: i64 = 1000;

/// Runs one schedule.
#[must_use]
pub fn run(seed: u64, broken: Option<Broken>, trace: bool) -> Outcome {
    let mut rng = Rng::new(seed);
    let delays = Delays { link: rng.range(1, 60), sync: rng.range(1, 80), stanza: 0 };
    let plan = CenterPlan { cache_bytes: *rng.pick(&[0, 2000, 1 << 24]), ..CenterPlan::default() };
    let mut net = Net::new(rng.clone(), delays, plan);
    (net.broken, net.trace) = (broken, trace);
    let faults = faults::of_the_hub(&mut rng, SPAN_MS);
    let companies = (0..COMPANIES.len()).map(|me| Script::new(me, rng.index(40))).collect();
    let mut world = World { net, companies, faults: Vec::new(), steps: 0 };
    world.start(faults);
    world.run(SPAN_MS + 10_000);
    world.heal();
    let mut left = HEALING_MS;
    loop {
        world.run(LOOK_MS);
        left -= LOOK_MS;
        let complaints = complaints(&mut world);
        if complaints.is_empty() || !world.net.violations.is_empty() {
            break;
        }
        if left <= 0 {
            world.net.violations.extend(complaints);
            break;
        }
    }
    Outcome { seed, violations: world.net.violations, coverage: world.net.coverage, steps: world.steps }
}

fn complaints(world: &mut World<Script>) -> Vec<String> {
    let book = &world.net.center.book;
    let mut out: Vec<String> = world.companies.iter().flat_map(|c| c.complaints(book)).collect();
    // Seqs without a gap, and each message at most once.
    let mut seqs = 0;
    for (_, seq) in book.keys().filter(|(group, _)| *group == GROUP) {
        seqs += 1;
        if seq.0 != seqs {
            out.push(format!("the log has entry {seq} at place {seqs}"));
        }
    }
    // A gateway that was put back to an older state may let in what it had refused before: the center may know more.
    let fates = world.net.center.fates();
    for (me, company) in world.companies.iter().enumerate() {
        for (seq, key, condition) in company.refused() {
            if !fates.iter().any(|f| f.seq == *seq && f.key == *key && f.condition == *condition) {
                out.push(format!("the center does not know that {} refused {seq}", COMPANIES[me]));
            }
        }
    }
    out
}
