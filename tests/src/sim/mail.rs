//! What people see of the group: in their room while they are in it, of what the room shows to whoever comes, and at their own
//! addresses. Who was away when something was kept for them has seen it in the end; without faults, once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use intergroup_gateway::bridge::{Command, CommandId, Event};
use intergroup_gateway::ids::{BareJid, MessageId};
use intergroup_gateway::store::{Change, Offline, OwnRow, Store};

use super::archive::text;
use super::center::COMPANIES;
use super::company::{Firm, GROUP, Wake};
use super::faults::CompanyFault;
use super::names::{self, STRANGER, USERS};
use super::net::Net;
use super::rng::Rng;
use super::world::World;

/// Names a command that nobody waits for.
const NOBODY: CommandId = CommandId(0);

/// What a room's people have seen.
#[derive(Debug, Default)]
pub(super) struct Eyes {
    /// Messages that the room shows to whoever comes.
    pub(super) most: usize,
    shown: VecDeque<String>,
    seen: BTreeMap<BareJid, BTreeSet<String>>,
    /// Who had been there before, and was not when something was said.
    absent: BTreeMap<String, BTreeSet<BareJid>>,
    /// What was sent to their own addresses.
    pub(super) mail: Vec<(BareJid, MessageId, String)>,
}

impl Eyes {
    /// Somebody comes in.
    pub(super) fn comes(&mut self, jid: &BareJid) {
        self.seen.entry(jid.clone()).or_default().extend(self.shown.iter().cloned());
    }

    /// Something is said.
    pub(super) fn see<'a>(&mut self, people: impl Iterator<Item = &'a BareJid>, text: String) {
        let mut absent: BTreeSet<BareJid> = self.seen.keys().cloned().collect();
        for jid in people {
            self.seen.entry(jid.clone()).or_default().insert(text.clone());
            absent.remove(jid);
        }
        self.absent.insert(text.clone(), absent);
        self.shown.push_back(text);
        while self.shown.len() > self.most {
            self.shown.pop_front();
        }
    }

    /// The server is not what it was.
    pub(super) fn forget(&mut self) {
        self.shown.clear();
    }

    fn has_seen(&self, jid: &BareJid, text: &str) -> bool {
        self.seen.get(jid).is_some_and(|seen| seen.contains(text))
    }

    /// Something is kept for somebody who is not there: whether they are to have it. Who became a member later need not.
    fn is_owed(&self, jid: &BareJid, text: &str) -> bool {
        self.absent.get(text).is_none_or(|absent| absent.contains(jid))
    }

    fn mails(&self, jid: &BareJid, text: &str) -> usize {
        self.mail.iter().filter(|(to, _, mail)| to == jid && mail == text).count()
    }
}

/// A company's part.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// What is missed goes by queue, also where there is an archive.
    queues: bool,
    /// From then on the gateway is to crash when it sends something to a person, for so long,
    crash: Option<(i64, i64)>,
    /// or the component link is to be cut.
    cut: Option<i64>,
    /// Who was away when what was kept.
    owed: Vec<(usize, String)>,
}

impl Firm {
    /// How this company does it.
    pub(super) fn draw_mail(&mut self, rng: &mut Rng) {
        self.mail.queues = rng.chance(500);
        self.server.room.eyes.most = *rng.pick(&[0, 0, 3]);
    }

    /// Something will happen when the gateway sends something to a person.
    pub(super) fn will_strike_at_send(&mut self, rng: &mut Rng, now: i64, span_ms: i64) {
        let (at, back_ms) = (now + rng.range(0, span_ms), rng.range(50, 3000));
        match rng.below(6) {
            0 => self.mail.crash = Some((at, back_ms)),
            1 => self.mail.cut = Some(at),
            _ => {}
        }
    }

    /// Something goes to a person.
    pub(super) fn is_sent(&mut self, net: &mut Net<Wake>) {
        if self.mail.cut.take_if(|from| *from <= net.now).is_some() {
            net.coverage.note("fault", "component link cut behind what goes to a person");
            let cut = CompanyFault::ComponentCut { gateway_hears_ms: 800, server_hears_ms: 900, late_ms: 0 };
            self.server_fault(net, &cut);
        }
    }

    pub(super) fn arm(&mut self, net: &Net<Wake>) {
        if self.gateway.armed.is_none()
            && let Some((_, back_ms)) = self.mail.crash.take_if(|(from, _)| *from <= net.now)
        {
            self.gateway.armed = Some(("send to a member".to_owned(), back_ms));
        }
    }

    /// The administrator chooses the queue.
    pub(super) fn choose_queue(&mut self, net: &mut Net<Wake>) {
        if self.mail.queues && self.mapping().is_some_and(|m| m.offline.is_none()) {
            let command = Command::Offline { group: GROUP, how: Some(Offline::Queue) };
            self.event(net, Event::Command { id: NOBODY, command });
        }
    }

    /// What is on its way to the disk is there: notes for whom it is.
    pub(super) fn note_kept(&mut self) {
        let kept = self.gateway.disk.unsynced().flatten().filter_map(|change| match change {
            Change::Missed(row) => Some(text(&row.payload)),
            _ => None,
        });
        let kept: Vec<_> = kept.collect();
        if kept.is_empty() {
            return;
        }
        let own = self.gateway.disk.durable().load().expect("memory can be read").own;
        for user in 0..STRANGER {
            let id = self.layout.user_id(self.me, user);
            // For the room of another branch alone they have none here that they could be away from.
            let is_here = |row: &OwnRow| row.user.as_str() == id && row.listed.is_some() && row.here;
            let listed = own.iter().any(|row| row.group == GROUP && is_here(row));
            let (room, jid) = (&self.server.room, names::jid(self.me, user));
            if listed && !room.holds(&jid) {
                let owed = kept.iter().filter(|text| room.eyes.is_owed(&jid, text));
                self.mail.owed.extend(owed.map(|text| (user, text.clone())));
            }
        }
    }
}

/// What somebody has missed and not got, or got twice.
pub(super) fn complaints(world: &World<Firm>, out: &mut Vec<String>) {
    let calm = world.faults.is_empty();
    if world.net.center.restored || world.companies.iter().any(|firm| firm.lists.has_turned()) {
        return;
    }
    for firm in &world.companies {
        // Who came or went on a connection that nobody reads any more is not known before the next entering.
        if firm.server.ruined
            || firm.server.lost_copies
            || firm.moves.happened()
            || firm.gateway.restored
            || firm.cloned
        {
            continue;
        }
        let (room, name) = (&firm.server.room, COMPANIES[firm.me]);
        for (user, text) in &firm.mail.owed {
            let jid = names::jid(firm.me, *user);
            // What the gateway did not hear it takes for older than what the room shows.
            if room.eyes.most > 0 && firm.server.had_hole() {
                continue;
            }
            if text.starts_with("poison") || !room.holds(&jid) {
                continue;
            }
            let (seen, mails) = (room.eyes.has_seen(&jid, text), room.eyes.mails(&jid, text));
            if !seen && mails == 0 {
                out.push(format!("{name}: {} never got {text}", USERS[*user]));
            }
            // In a room without archive something may be kept before it is said, and be seen by who comes between; and who comes
            // while the archive is being read is shown what is only then kept for them.
            let exact = room.flavour.archive && room.eyes.most == 0;
            if calm && (mails > 1 || (seen && mails > 0 && exact)) {
                out.push(format!("{name}: {} got {text} {mails} times besides the room: {seen}", USERS[*user]));
            }
        }
    }
}
