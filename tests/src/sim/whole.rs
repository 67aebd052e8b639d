//! The whole: center and three companies with the shipped cores, rooms and people.

use super::Outcome;
use super::center::{COMPANIES, CenterPlan};
use super::checker;
use super::company::Firm;
use super::faults;
use super::flavour::Flavour;
use super::names::Layout;
use super::net::{Delays, Net};
use super::rng::Rng;
use super::saboteur::Broken;
use super::world::World;

/// In this time, without faults, all rooms are shared.
const SETUP_MS: i64 = 60_000;

/// After so long without faults all must be well. Rooms' lists are read again later than that, so that what nobody heard is noticed.
const HEALING_MS: i64 = 400_000;

/// What changes lists is drawn from a stream of its own.
const LISTS: u64 = 0x6c69_7374;

/// So is which companies keep their lists by command: schedules without such a company stay what they are.
const BY_COMMAND: u64 = 0x6279_636d;

/// And whether the second company is a branch of the first.
const BRANCHES: u64 = 0x6272_616e;
/// What people see of it from another.
const MAIL: u64 = 0x6d61_696c;

/// How often one looks whether all is well.
const LOOK_MS: i64 = 1000;

/// So much longer it is watched whether it stays well: until everything has been read again.
const WATCH_MS: i64 = 130_000;

/// Runs one schedule.
#[must_use]
pub fn run(seed: u64, broken: Option<Broken>, trace: bool) -> Outcome {
    let mut rng = Rng::new(seed);
    let delays = Delays { link: rng.range(1, 60), sync: rng.range(1, 60), stanza: rng.range(1, 40) };
    let plan = CenterPlan {
        cache_bytes: *rng.pick(&[0, 2000, 1 << 24]),
        window: *rng.pick(&[1024, 1024, 16, 5]),
        credit: *rng.pick(&[4096, 4096, 8]),
        relay_window: *rng.pick(&[1024, 1024, 3]),
        retention_bytes: if rng.chance(20) { 1 } else { 1 << 30 },
        layout: Layout { branches: Rng::new(seed ^ BRANCHES).chance(150) },
    };
    let mut net = Net::new(rng.clone(), delays, plan);
    (net.broken, net.trace) = (broken, trace);
    let plan = net.center.plan.clone();
    if plan.forgets() {
        net.coverage.note("retention", "small");
    }
    if plan.layout.branches {
        net.coverage.note("companies", "two branches of one");
    }
    for (what, size) in [("window", plan.window), ("credit", plan.credit), ("relay window", plan.relay_window)] {
        net.coverage.note(what, if size < 100 { "small" } else { "wide" });
    }
    let mut by_command = Rng::new(seed ^ BY_COMMAND);
    let some = by_command.chance(200);
    let companies = (0..COMPANIES.len()).map(|me| {
        let flavour = Flavour::draw(&mut rng);
        net.coverage.note("server", flavour.name);
        net.say(|| format!("{} {flavour:?}", COMPANIES[me]));
        let skew = *rng.pick(&[0, 0, -40_000, 40_000]);
        let by_command = some && by_command.chance(600);
        if by_command {
            net.coverage.note("list", "kept by command");
        }
        Firm::new((me, plan.layout), flavour, rng.bytes32(), skew, by_command)
    });
    let mut companies: Vec<Firm> = companies.collect();
    let mut of_mail = Rng::new(seed ^ MAIL);
    companies.iter_mut().for_each(|firm| firm.draw_mail(&mut of_mail));
    let mut world = World { net, companies, faults: Vec::new(), steps: 0 };
    play(&mut world, &mut rng, &mut Rng::new(seed ^ LISTS), &mut of_mail);
    Outcome { seed, violations: world.net.violations, coverage: world.net.coverage, steps: world.steps }
}

fn play(world: &mut World<Firm>, rng: &mut Rng, of_lists: &mut Rng, of_mail: &mut Rng) {
    world.start(Vec::new());
    // Either all are there when the faults begin, or some are on their way in.
    let first = if rng.chance(250) { 1 } else { COMPANIES.len() };
    let until = world.net.now + SETUP_MS;
    while !world.companies.iter_mut().take(first).all(|firm| firm.is_shared() && firm.everybody_is_named()) {
        world.run(100);
        if world.net.now > until {
            world.net.violation("the rooms are not shared");
        }
        if !world.net.violations.is_empty() {
            return;
        }
    }
    let span = *rng.pick(&[3000, 15_000, 15_000, 40_000, 200_000]);
    let poison = rng.chance(100);
    let forgets = world.net.center.plan.forgets();
    for company in &mut world.companies {
        // Logs are cut where some hundred entries have come together.
        let messages = if forgets { 100 + rng.index(60) } else { rng.index(25) };
        company.will_talk(&mut world.net, messages, span, poison);
    }
    if of_lists.chance(400) {
        for company in &mut world.companies {
            company.will_change_lists(&mut world.net, of_lists, span);
        }
    }
    let mut faults = faults::of_the_whole(rng, span);
    if forgets {
        faults.push(faults::long_absence(rng, span));
    }
    if !faults.is_empty() {
        let now = world.net.now;
        world.companies.iter_mut().for_each(|firm| firm.will_strike_at_send(of_mail, now, span));
    }
    world.strike_later(faults);
    world.run(span + 10_000);
    world.heal();
    let mut left = HEALING_MS;
    while left > 0 && world.net.violations.is_empty() {
        world.run(LOOK_MS);
        left -= LOOK_MS;
        if checker::complaints(world).is_empty() {
            break;
        }
    }
    if world.net.violations.is_empty() && left > 0 {
        world.run(WATCH_MS);
    }
    if world.net.violations.is_empty() {
        let complaints = checker::complaints(world);
        world.net.violations.extend(complaints);
    }
}
