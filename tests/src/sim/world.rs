//! Runs one schedule: faults strike while people talk, then everything heals, and in bounded time all must be well.

use super::faults::{CompanyFault, Fault};
use super::net::{Due, LinkNo, Net};

/// What stands at a company's end of a link.
pub(super) trait Company {
    /// What it wakes itself with.
    type Wake: std::fmt::Debug;
    /// Everything begins.
    fn start(&mut self, net: &mut Net<Self::Wake>);
    /// A link has ended.
    fn link_down(&mut self, net: &mut Net<Self::Wake>, link: LinkNo);
    /// A stanza came from the center.
    fn stanza(&mut self, net: &mut Net<Self::Wake>, link: LinkNo, stanza: intergroup_schemas::link::ToGateway);
    /// What it asked to be woken with is due.
    fn wake(&mut self, net: &mut Net<Self::Wake>, wake: Self::Wake);
    /// Something goes wrong.
    fn fault(&mut self, net: &mut Net<Self::Wake>, fault: &CompanyFault);
    /// From now on nothing goes wrong any more.
    fn heal(&mut self, net: &mut Net<Self::Wake>);
}

/// See the module.
pub(super) struct World<C: Company> {
    pub(super) net: Net<C::Wake>,
    pub(super) companies: Vec<C>,
    pub(super) faults: Vec<Fault>,
    /// Things done; a schedule that never comes to rest is an error, too.
    pub(super) steps: u64,
}

/// Most things that one schedule may do.
const STEPS: u64 = 3_000_000;

impl<C: Company> World<C> {
    /// Starts center and companies, and lets the faults (times are from now on) strike when they are due.
    pub(super) fn start(&mut self, faults: Vec<(i64, Fault)>) {
        self.net.center_start();
        self.strike_later(faults);
        for company in &mut self.companies {
            company.start(&mut self.net);
        }
    }

    /// Lets faults strike; times are from now on.
    pub(super) fn strike_later(&mut self, faults: Vec<(i64, Fault)>) {
        for (at, fault) in faults {
            self.net.after(at, Due::Fault(self.faults.len()));
            self.faults.push(fault);
        }
    }

    /// Runs for so long, or until a rule is broken.
    pub(super) fn run(&mut self, ms: i64) {
        let until = self.net.now + ms;
        while self.net.violations.is_empty() {
            let Some(due) = self.net.next(until) else { return };
            self.steps += 1;
            if self.steps > STEPS {
                return self.net.violation(format!("the schedule never comes to rest: {due:?}"));
            }
            self.step(due);
        }
    }

    fn step(&mut self, due: Due<C::Wake>) {
        let net = &mut self.net;
        match due {
            Due::Up(link) => net.arrive_up(link),
            Due::Down(link) => match net.arrive_down(link) {
                Some((company, Ok(stanza))) => self.companies[company].stanza(net, link, stanza),
                Some((company, Err(()))) => self.companies[company].link_down(net, link),
                None => {}
            },
            Due::CenterSync(life) => net.center_sync(life),
            Due::CenterRead(life, read) => net.center_read(life, read),
            Due::CenterTimeout(life) => net.center_timeout(life),
            Due::CenterStart => net.center_start(),
            Due::Company(company, wake) => self.companies[company].wake(net, wake),
            Due::Fault(number) => self.strike(number),
        }
    }

    fn strike(&mut self, number: usize) {
        let net = &mut self.net;
        let fault = &self.faults[number];
        net.say(|| format!("fault {fault:?}"));
        net.coverage.note("fault", fault.name());
        match fault {
            Fault::CenterCrash { back_ms } => net.center_crash(*back_ms),
            Fault::CenterBackup => {
                // An older center than the groups would not know the companies; that is another story.
                if net.center.joined() == self.companies.len() {
                    net.center.disk().back_up();
                }
            }
            Fault::CenterRestore { back_ms } => net.center_restore(*back_ms),
            Fault::CenterCommitFails => net.center.fail_commit = true,
            Fault::Company(company, fault) => self.companies[*company].fault(net, fault),
        }
    }

    /// No fault strikes any more.
    pub(super) fn heal(&mut self) {
        self.net.center.fail_commit = false;
        for company in &mut self.companies {
            company.heal(&mut self.net);
        }
    }
}
