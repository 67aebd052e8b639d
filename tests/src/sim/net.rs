//! Time, the links between companies and center, and the center's process: everything that all companies share.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use bytes::Bytes;
use intergroup_schemas::link::{Timestamp, ToCenter, ToGateway, decode, encode};

use super::center::{Center, CenterPlan, Read};
use super::coverage::Coverage;
use super::rng::Rng;
use super::saboteur::Broken;

/// Names a link for the whole simulation; also its name at the hub.
pub(super) type LinkNo = u64;

/// When simulations begin, in milliseconds since 1970.
pub(super) const EPOCH_MS: i64 = 1_800_000_000_000;

/// What is to happen at some time.
#[derive(Debug)]
pub(super) enum Due<W> {
    /// The next stanza of a link arrives at the center.
    Up(LinkNo),
    /// The next stanza of a link arrives at the company.
    Down(LinkNo),
    CenterSync(u64),
    CenterRead(u64, Read),
    CenterTimeout(u64),
    CenterStart,
    Fault(usize),
    Company(usize, W),
}

/// What travels towards the center.
#[derive(Debug)]
enum Up {
    Open,
    Frame(Bytes),
    End,
}

/// What travels towards a company.
#[derive(Debug)]
pub(super) enum Down {
    Frame(Bytes),
    End,
}

#[derive(Debug)]
struct Wire {
    company: usize,
    up: VecDeque<(i64, Up)>,
    down: VecDeque<(i64, Down)>,
    /// What is said from now on is lost.
    cut: bool,
}

/// How long things take, in milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Delays {
    /// A frame on a link, at most.
    pub(super) link: i64,
    /// An fsync, at most.
    pub(super) sync: i64,
    /// A stanza between a gateway and its server, at most.
    pub(super) stanza: i64,
}

/// See the module. `W` is what companies wake themselves with.
pub(super) struct Net<W> {
    /// Milliseconds since 1970.
    pub(super) now: i64,
    /// The seed's numbers.
    pub(super) rng: Rng,
    /// How long things take.
    pub(super) delays: Delays,
    /// What has been met.
    pub(super) coverage: Coverage,
    /// The rule that is broken on purpose, if one is.
    pub(super) broken: Option<Broken>,
    /// Prints all that happens.
    pub(super) trace: bool,
    /// What must never happen and did.
    pub(super) violations: Vec<String>,
    pub(super) center: Center,
    queue: BinaryHeap<Reverse<(i64, u64, u64)>>,
    due: BTreeMap<u64, Due<W>>,
    serial: u64,
    wires: BTreeMap<LinkNo, Wire>,
    links: LinkNo,
}

impl<W> Net<W> {
    /// A world with a center and nothing else.
    pub(super) fn new(mut rng: Rng, delays: Delays, plan: CenterPlan) -> Self {
        let center = Center::new(plan, rng.bytes32());
        Self {
            now: EPOCH_MS,
            rng,
            delays,
            coverage: Coverage::default(),
            broken: None,
            trace: false,
            violations: Vec::new(),
            center,
            queue: BinaryHeap::new(),
            due: BTreeMap::new(),
            serial: 0,
            wires: BTreeMap::new(),
            links: 0,
        }
    }

    /// The time, as the cores want it.
    #[must_use]
    pub(super) fn clock(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// Prints, when a trace was asked for.
    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>9} {}", self.now - EPOCH_MS, what());
        }
    }

    /// Something happened that must never happen.
    pub(super) fn violation(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.say(|| format!("VIOLATION {what}"));
        self.violations.push(format!("at {}: {what}", self.now - EPOCH_MS));
    }

    pub(super) fn after(&mut self, ms: i64, what: Due<W>) {
        self.at(self.now + ms.max(0), what);
    }

    pub(super) fn at(&mut self, when: i64, what: Due<W>) {
        let tie = self.rng.bits();
        self.serial += 1;
        self.queue.push(Reverse((when.max(self.now), tie, self.serial)));
        self.due.insert(self.serial, what);
    }

    /// The next thing, with the time moved on to it; none once nothing is due up to `until`.
    pub(super) fn next(&mut self, until: i64) -> Option<Due<W>> {
        let Reverse((when, _, serial)) = *self.queue.peek()?;
        if when > until {
            self.now = self.now.max(until);
            return None;
        }
        self.queue.pop();
        self.now = when;
        self.due.remove(&serial)
    }

    /// Wakes a company later.
    pub(super) fn wake(&mut self, company: usize, ms: i64, wake: W) {
        self.after(ms, Due::Company(company, wake));
    }

    // ------------------------------------------------------------ links

    /// Opens a link; the center hears of it a little later.
    pub(super) fn dial(&mut self, company: usize) -> LinkNo {
        self.links += 1;
        let wire = Wire { company, up: VecDeque::new(), down: VecDeque::new(), cut: false };
        self.wires.insert(self.links, wire);
        self.push_up(self.links, Up::Open);
        self.links
    }

    /// Sends a stanza to the center, through the codec.
    pub(super) fn send_up(&mut self, link: LinkNo, stanza: &ToCenter) {
        self.say(|| format!("link {link} up   {}", encode::to_center(stanza)));
        self.push_up(link, Up::Frame(encode::to_center(stanza).into()));
    }

    pub(super) fn send_down(&mut self, link: LinkNo, frame: Bytes) {
        self.push_down(link, Down::Frame(frame));
    }

    fn delay(&mut self) -> i64 {
        let jam = if self.rng.chance(5) { self.rng.range(0, 800) } else { 0 };
        jam + self.rng.range(0, self.delays.link)
    }

    fn push_up(&mut self, link: LinkNo, what: Up) {
        let delay = self.delay();
        let Some(wire) = self.wires.get_mut(&link).filter(|w| !w.cut) else { return };
        let due = wire.up.back().map_or(0, |(due, _)| *due).max(self.now + delay);
        wire.up.push_back((due, what));
        self.at(due, Due::Up(link));
    }

    fn push_down(&mut self, link: LinkNo, what: Down) {
        let delay = self.delay();
        let Some(wire) = self.wires.get_mut(&link).filter(|w| !w.cut) else { return };
        let due = wire.down.back().map_or(0, |(due, _)| *due).max(self.now + delay);
        wire.down.push_back((due, what));
        self.at(due, Due::Down(link));
    }

    /// Cuts a link. Of what is under way, the first part still arrives; each side learns of the end in its own time.
    pub(super) fn cut(&mut self, link: LinkNo, center_hears_ms: i64, company_hears_ms: i64) {
        let Some(wire) = self.wires.get_mut(&link).filter(|w| !w.cut) else { return };
        wire.cut = true;
        wire.up.truncate(self.rng.index(wire.up.len() + 1));
        wire.down.truncate(self.rng.index(wire.down.len() + 1));
        let up = wire.up.back().map_or(0, |(due, _)| *due).max(self.now + center_hears_ms);
        let down = wire.down.back().map_or(0, |(due, _)| *due).max(self.now + company_hears_ms);
        wire.up.push_back((up, Up::End));
        wire.down.push_back((down, Down::End));
        self.at(up, Due::Up(link));
        self.at(down, Due::Down(link));
        self.say(|| format!("link {link} cut"));
    }

    /// The center says its last word on a link.
    pub(super) fn center_closes(&mut self, link: LinkNo) {
        self.push_down(link, Down::End);
        if let Some(wire) = self.wires.get_mut(&link) {
            wire.cut = true;
            wire.up.clear();
        }
    }

    /// All links at the center's end are gone.
    pub(super) fn center_gone(&mut self) {
        let links: Vec<_> = self.wires.keys().copied().collect();
        for link in links {
            let hears = self.rng.range(0, 2000);
            self.cut(link, 0, hears);
            if let Some(wire) = self.wires.get_mut(&link) {
                wire.up.clear();
            }
        }
    }

    /// What is due at the company's end of a link.
    pub(super) fn arrive_down(&mut self, link: LinkNo) -> Option<(usize, Result<ToGateway, ()>)> {
        let wire = self.wires.get_mut(&link)?;
        if wire.down.front().is_none_or(|(due, _)| *due > self.now) {
            return None;
        }
        let (_, what) = wire.down.pop_front()?;
        let company = wire.company;
        match what {
            Down::End => {
                if wire.up.is_empty() {
                    self.wires.remove(&link);
                }
                Some((company, Err(())))
            }
            Down::Frame(frame) => {
                self.say(|| format!("link {link} down {}", String::from_utf8_lossy(&frame)));
                match decode::to_gateway(&frame) {
                    Ok(stanza) => Some((company, Ok(stanza))),
                    Err(e) => {
                        self.violation(format!("the center sent what cannot be read: {e:?}"));
                        None
                    }
                }
            }
        }
    }

    pub(super) fn arrive_up(&mut self, link: LinkNo) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        if wire.up.front().is_none_or(|(due, _)| *due > self.now) {
            return;
        }
        let Some((_, what)) = wire.up.pop_front() else { return };
        let company = wire.company;
        if !self.center.is_up() {
            self.cut(link, 0, 50);
            return;
        }
        match what {
            Up::Open => self.center_link_opened(link, company),
            Up::Frame(frame) => match decode::to_center(&frame) {
                Ok(stanza) => self.center_stanza(link, stanza),
                Err(e) => self.violation(format!("a gateway sent what cannot be read: {e:?}")),
            },
            Up::End => {
                if wire.down.is_empty() {
                    self.wires.remove(&link);
                }
                self.center_link_closed(link);
            }
        }
    }
}
