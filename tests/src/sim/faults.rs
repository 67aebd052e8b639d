//! What goes wrong, and when: drawn from the seed.

use super::center::COMPANIES;
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
    /// The gateway's next commit fails.
    GatewayCommitFails,
    /// The link to the center is cut; each side hears of it after its own time.
    LinkCut {
        /// See above.
        center_hears_ms: i64,
        /// See above.
        gateway_hears_ms: i64,
    },
}

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
            CompanyFault::GatewayCommitFails => "gateway commit to fail",
            CompanyFault::LinkCut { .. } => "link cut",
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
