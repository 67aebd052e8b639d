//! What happens when, from a seed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9 of a gateway.
    GatewayKill,
    /// kill -9 of the center.
    CenterKill,
    /// An orderly restart of a company's Prosody.
    ProsodyRestart,
    /// kill -9 of it.
    ProsodyKill,
    /// An orderly restart of a company's ejabberd.
    EjabberdRestart,
    /// kill -9 of it.
    EjabberdKill,
    /// The link between a gateway and the center is cut.
    LinkCut,
    /// The link between a gateway and its server is cut.
    ComponentCut,
    /// SIGSTOP of a gateway for half a minute.
    GatewayFreeze,
}

impl Fault {
    /// Every kind, in the order in which a round goes through them.
    pub const ALL: &'static [Fault] = &[
        Fault::GatewayKill,
        Fault::CenterKill,
        Fault::ProsodyRestart,
        Fault::ProsodyKill,
        Fault::EjabberdRestart,
        Fault::EjabberdKill,
        Fault::LinkCut,
        Fault::ComponentCut,
        Fault::GatewayFreeze,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Fault::GatewayKill => "gateway-kill",
            Fault::CenterKill => "center-kill",
            Fault::ProsodyRestart => "prosody-restart",
            Fault::ProsodyKill => "prosody-kill",
            Fault::EjabberdRestart => "ejabberd-restart",
            Fault::EjabberdKill => "ejabberd-kill",
            Fault::LinkCut => "link-cut",
            Fault::ComponentCut => "component-cut",
            Fault::GatewayFreeze => "gateway-freeze",
        }
    }

    /// How long it lasts in a full run.
    pub fn lasts(self) -> Duration {
        Duration::from_secs(if self == Fault::GatewayFreeze { 30 } else { 5 })
    }

    /// How often it can happen in so much traffic and be over between the times; at least once.
    pub fn fits(self, traffic: Duration) -> u64 {
        (share_of(traffic).as_secs() / (self.lasts() + BETWEEN).as_secs()).max(1)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<_> = Fault::ALL.iter().map(|f| f.name()).collect();
        let found = Fault::ALL.iter().find(|f| f.name() == text).copied();
        found.ok_or_else(|| format!("there is no fault {text}; there are: {}", names.join(", ")))
    }
}

/// From the end of one fault to the next, at least about.
const BETWEEN: Duration = Duration::from_secs(3);

/// The part of the traffic in which faults happen; the rest shows that it goes on.
fn share_of(traffic: Duration) -> Duration {
    traffic * 2 / 3
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happening {
    /// When, from the first message on.
    pub at: Duration,
    /// What.
    pub fault: Fault,
    /// To which company, of three: for what concerns one company and either kind of server.
    pub whom: usize,
    /// How long.
    pub lasts: Duration,
}

/// A generator of numbers that a seed fixes (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }
}

/// When these faults happen, one after the other, in so much traffic: each within its share of the first two thirds. A
/// fault in a short run lasts a fifth of its time.
pub fn plan(seed: u64, faults: &[Fault], traffic: Duration, short: bool) -> Vec<Happening> {
    let mut dice = Dice(seed);
    let share = share_of(traffic) / (faults.len().max(1) as u32);
    let place = |(n, &fault): (usize, &Fault)| {
        let within = share.as_millis() as u64 * 2 / 3;
        let at = share * n as u32 + Duration::from_millis(within / 4 + dice.roll(within.max(1)));
        let lasts = if short { fault.lasts() / 5 } else { fault.lasts() };
        Happening { at, fault, whom: dice.roll(3) as usize, lasts }
    };
    faults.iter().enumerate().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_plan_and_another_seed_another() {
        let minute = Duration::from_secs(60);
        let plans: Vec<_> = (0..20).map(|seed| plan(seed, Fault::ALL, minute, false)).collect();
        assert_eq!(plans[3], plan(3, Fault::ALL, minute, false));
        assert_ne!(plans[3], plans[4]);
        for plan in plans {
            assert!(plan.is_sorted_by_key(|h| h.at), "{plan:?}");
            assert!(plan.iter().all(|h| h.at < minute && h.whom < 3));
        }
    }

    #[test]
    fn short_faults_fit_into_a_minute_five_times_and_a_long_one_once() {
        let fits: Vec<_> = Fault::ALL.iter().map(|f| f.fits(Duration::from_secs(60))).collect();
        assert_eq!(fits, [5, 5, 5, 5, 5, 5, 5, 5, 1]);
    }

    #[test]
    fn names_are_read_back() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(*fault));
        }
        assert!("earthquake".parse::<Fault>().is_err());
    }
}
