//! What goes wrong, and when: drawn from the seed.

use super::center::COMPANIES;
use super::moves::Wish;
use super::rng::Rng;

/// A fault. Times are in milliseconds.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// kill -9 of the center.
    CenterCrash {
        /// It is started again after so long.
        back_ms: i64,
    },
    /// A copy of the center's disk is kept.
    CenterBackup,
    /// The center's disk is put back to its last copy.
    CenterRestore {
        /// It is started again after so long.
        back_ms: i64,
    },
    /// The center's next commit fails.
    CenterCommitFails,
    /// Something at one company.
    Company(usize, CompanyFault),
}

/// A fault at one company.
#[derive(Debug, Clone)]
pub(super) enum CompanyFault {
    /// kill -9 of the gateway.
    GatewayCrash {
        /// It is started again after so long.
        back_ms: i64,
    },
    /// A copy of the gateway's disk is kept.
    GatewayBackup,
    /// The gateway's disk is put back to its last copy.
    GatewayRestore {
        /// It is started again after so long.
        back_ms: i64,
    },
    /// A second process is started on a copy of the gateway's store.
    GatewayCloned,
    /// One of two processes is stopped for good.
    CloneStopped,
    /// The administrator maps, unmaps or leaves.
    Wish(Wish),
    /// The owner deletes the group.
    DeleteGroup,
    /// The gateway's next commit fails.
    GatewayCommitFails,
    /// The link to the center is cut; each side hears of it after its own time.
    LinkCut {
        /// See above.
        center_hears_ms: i64,
        /// See above.
        gateway_hears_ms: i64,
    },
    /// SIGSTOP of the gateway; it goes on after so long, with all that was under way to it. The center may give its link up.
    GatewayFrozen {
        /// See above.
        ms: i64,
        /// The center hears of the link's end after so long.
        center_hears_ms: Option<i64>,
    },
    /// The center cannot be reached for so long; the link is cut, too.
    CenterUnreachable {
        /// See above.
        ms: i64,
    },
    /// kill -9 of the gateway as soon as it comes to a point: an action, or before or after a commit that holds a change.
    GatewayCrashAt {
        /// One of [`CRASH_POINTS`].
        point: &'static str,
        /// It is started again after so long.
        back_ms: i64,
    },
    /// kill -9 of the room server.
    ServerCrash {
        /// It is started again after so long.
        back_ms: i64,
    },
    /// An orderly restart of the room server.
    ServerRestart {
        /// It is started again after so long.
        back_ms: i64,
    },
    /// The component link is cut; each side hears of it after its own time, and what was sent may be worked off late.
    ComponentCut {
        /// See above.
        gateway_hears_ms: i64,
        /// See above.
        server_hears_ms: i64,
        /// See above.
        late_ms: i64,
    },
    /// The component link is cut with the next message, which is worked off late.
    ComponentCutAtSay {
        /// See above.
        late_ms: i64,
    },
    /// The live stream has holes for so long.
    LiveHole {
        /// See above.
        ms: i64,
    },
    /// A moderator kicks a puppet,
    Kick,
    /// or the ear,
    KickEar,
    /// or bans a puppet.
    Ban,
    /// The room takes hardly anybody any more.
    Full,
    /// A stranger takes the nick that a puppet would like.
    TakeNick,
    /// The room is destroyed.
    Destroy,
}

/// Where a gateway is made to crash.
pub(super) const CRASH_POINTS: &[&str] = &[
    "enter",
    "leave",
    "say",
    "info",
    "read archive",
    "fence",
    "set member",
    "relay",
    "resume",
    "settled",
    "confirm",
    "before mapping",
    "before outbox",
    "before seen",
    "before seen trim",
    "before posted",
    "before occupant",
    "before entered",
    "before fenced",
    "after mapping",
    "after outbox",
    "after seen",
    "after seen trim",
    "after posted",
    "after occupant",
    "after entered",
    "after fenced",
];

impl Fault {
    /// Its name in the coverage.
    #[must_use]
    pub(super) fn name(&self) -> &'static str {
        match self {
            Fault::CenterCrash { .. } => "center crash",
            Fault::CenterBackup => "center backup",
            Fault::CenterRestore { .. } => "center restore",
            Fault::CenterCommitFails => "center commit to fail",
            Fault::Company(_, fault) => fault.name(),
        }
    }
}

impl CompanyFault {
    /// Its name in the coverage.
    #[must_use]
    pub(super) fn name(&self) -> &'static str {
        match self {
            CompanyFault::GatewayCrash { .. } => "gateway crash",
            CompanyFault::GatewayBackup => "gateway backup",
            CompanyFault::GatewayRestore { .. } => "gateway restore",
            CompanyFault::GatewayCloned => "gateway cloned",
            CompanyFault::Wish(Wish::In) => "to be mapped",
            CompanyFault::Wish(Wish::Unmapped) => "to be unmapped",
            CompanyFault::Wish(Wish::Out) => "to leave",
            CompanyFault::DeleteGroup => "group to be deleted",
            CompanyFault::CloneStopped => "one of two gateways stopped",
            CompanyFault::GatewayCommitFails => "gateway commit to fail",
            CompanyFault::LinkCut { .. } => "link cut",
            CompanyFault::GatewayFrozen { .. } => "gateway frozen",
            CompanyFault::CenterUnreachable { .. } => "center unreachable",
            CompanyFault::GatewayCrashAt { .. } => "gateway to crash at a point",
            CompanyFault::ServerCrash { .. } => "server crash",
            CompanyFault::ServerRestart { .. } => "server restart",
            CompanyFault::ComponentCut { .. } => "component link cut",
            CompanyFault::ComponentCutAtSay { .. } => "component link to be cut at a message",
            CompanyFault::LiveHole { .. } => "live stream with holes",
            CompanyFault::Kick => "puppet kicked",
            CompanyFault::KickEar => "ear kicked",
            CompanyFault::Ban => "puppet banned",
            CompanyFault::Full => "room full",
            CompanyFault::TakeNick => "nick taken",
            CompanyFault::Destroy => "room destroyed",
        }
    }
}

/// Draws the faults of a schedule for the hub alone: those of the center, of links and of gateways.
pub(super) fn of_the_hub(rng: &mut Rng, span_ms: i64) -> Vec<(i64, Fault)> {
    let count = rng.range(0, 8);
    let restores = rng.below(4);
    (0..count)
        .flat_map(|_| {
            let at = rng.range(0, span_ms);
            let company = rng.index(COMPANIES.len());
            let back_ms = rng.range(10, 4000);
            let one = |fault| vec![(at, fault)];
            match rng.below(8) {
                0 | 1 => one(Fault::CenterCrash { back_ms }),
                2 => one(Fault::CenterCommitFails),
                // Only one kind of restore in a schedule: with both, messages can be lost that nobody has any more.
                3 if restores == 1 => {
                    vec![(rng.range(0, at), Fault::CenterBackup), (at, Fault::CenterRestore { back_ms })]
                }
                3 if restores == 2 => {
                    let restore = CompanyFault::GatewayRestore { back_ms };
                    let backup = CompanyFault::GatewayBackup;
                    let early = rng.range(0, at);
                    vec![(early, Fault::Company(company, backup)), (at, Fault::Company(company, restore))]
                }
                4 => one(Fault::Company(company, CompanyFault::GatewayCommitFails)),
                5 => one(Fault::Company(company, CompanyFault::GatewayCrash { back_ms })),
                _ => {
                    let (center_hears_ms, gateway_hears_ms) = (rng.range(0, 9000), rng.range(0, 3000));
                    one(Fault::Company(company, CompanyFault::LinkCut { center_hears_ms, gateway_hears_ms }))
                }
            }
        })
        .collect()
}

/// Draws the faults of a schedule for the whole.
pub(super) fn of_the_whole(rng: &mut Rng, span_ms: i64) -> Vec<(i64, Fault)> {
    let count = rng.range(0, 7);
    let restores = rng.below(6);
    let mut faults = Vec::new();
    if restores == 4 {
        moves(rng, span_ms, &mut faults);
    }
    for _ in 0..count {
        let at = rng.range(0, span_ms);
        let company = rng.index(COMPANIES.len());
        let back_ms = if rng.chance(200) { rng.range(10, 60_000) } else { rng.range(10, 4000) };
        let (soon, later) = (rng.range(0, 1000), rng.range(0, 9000));
        let fault = match rng.below(24) {
            0 | 1 => Fault::CenterCrash { back_ms },
            2 => Fault::CenterCommitFails,
            3 if restores == 1 => {
                faults.push((rng.range(0, at), Fault::CenterBackup));
                Fault::CenterRestore { back_ms }
            }
            3 if restores == 2 => {
                faults.push((rng.range(0, at), Fault::Company(company, CompanyFault::GatewayBackup)));
                if rng.chance(500) {
                    restarts_alone(rng, company, at, &mut faults);
                }
                Fault::Company(company, CompanyFault::GatewayRestore { back_ms })
            }
            3 => Fault::Company(company, CompanyFault::GatewayCommitFails),
            4 | 5 => {
                let (center_hears_ms, gateway_hears_ms) = (later, soon);
                Fault::Company(company, CompanyFault::LinkCut { center_hears_ms, gateway_hears_ms })
            }
            of_company => Fault::Company(company, of_the_company(rng, of_company, back_ms, soon, later)),
        };
        faults.push((at, fault));
    }
    if restores == 3 && rng.chance(500) {
        let (at, company) = (rng.range(0, span_ms), rng.index(COMPANIES.len()));
        faults.push((at, Fault::Company(company, CompanyFault::GatewayCloned)));
        faults.push((at + rng.range(1000, 60_000), Fault::Company(company, CompanyFault::CloneStopped)));
    }
    faults
}

/// Mappings come and go, and perhaps the group.
fn moves(rng: &mut Rng, span_ms: i64, faults: &mut Vec<(i64, Fault)>) {
    for _ in 0..rng.range(1, 4) {
        let (at, company) = (rng.range(0, span_ms), rng.index(COMPANIES.len()));
        let wish = *rng.pick(&[Wish::Unmapped, Wish::Out]);
        faults.push((at, Fault::Company(company, CompanyFault::Wish(wish))));
        if rng.chance(700) {
            let back = at + rng.range(500, 20_000);
            faults.push((back, Fault::Company(company, CompanyFault::Wish(Wish::In))));
        }
    }
    if rng.chance(250) {
        faults.push((rng.range(0, span_ms), Fault::Company(0, CompanyFault::DeleteGroup)));
    }
}

/// A company cannot reach the center almost all the time.
pub(super) fn long_absence(rng: &mut Rng, span_ms: i64) -> (i64, Fault) {
    let ms = span_ms + 10_000;
    (rng.range(0, span_ms / 2), Fault::Company(rng.index(COMPANIES.len()), CompanyFault::CenterUnreachable { ms }))
}

/// What was restored is restarted again and again before it reaches the center.
fn restarts_alone(rng: &mut Rng, company: usize, at: i64, faults: &mut Vec<(i64, Fault)>) {
    let ms = rng.range(20_000, 60_000);
    faults.push((at, Fault::Company(company, CompanyFault::CenterUnreachable { ms })));
    for _ in 0..rng.range(1, 3) {
        let back_ms = rng.range(10, 1000);
        faults.push((at + rng.range(10_000, ms), Fault::Company(company, CompanyFault::GatewayCrash { back_ms })));
    }
}

fn of_the_company(rng: &mut Rng, which: u64, back_ms: i64, soon: i64, later: i64) -> CompanyFault {
    match which {
        6 | 7 => CompanyFault::GatewayCrash { back_ms },
        8..=10 => CompanyFault::GatewayCrashAt { point: CRASH_POINTS[rng.index(CRASH_POINTS.len())], back_ms },
        11 | 12 => CompanyFault::ServerCrash { back_ms },
        13 => CompanyFault::ServerRestart { back_ms },
        14 => CompanyFault::ComponentCutAtSay { late_ms: rng.range(100, 5000) },
        15..=17 => {
            let (gateway_hears_ms, server_hears_ms, late_ms) = (soon, later, rng.range(0, 2500));
            CompanyFault::ComponentCut { gateway_hears_ms, server_hears_ms, late_ms }
        }
        18 if rng.chance(500) => CompanyFault::LiveHole { ms: later },
        18 => {
            CompanyFault::GatewayFrozen { ms: rng.range(10, 40_000), center_hears_ms: rng.chance(500).then_some(later) }
        }
        19 => CompanyFault::Kick,
        20 => CompanyFault::KickEar,
        21 => match rng.below(4) {
            0 => CompanyFault::Ban,
            1 => CompanyFault::Destroy,
            _ => CompanyFault::Full,
        },
        _ => CompanyFault::TakeNick,
    }
}
