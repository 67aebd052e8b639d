//! A company's room server: its process, its component connections, and what goes wrong there.

use std::collections::{BTreeMap, VecDeque};

use intergroup_gateway::bridge::{Event, Gone, RoomAction, RoomEvent};
use intergroup_gateway::ids::{Life, Nick, Who};

use super::center::COMPANIES;
use super::company::{Firm, Wake};
use super::faults::CompanyFault;
use super::flavour::Flavour;
use super::names;
use super::net::Net;
use super::room::{Out, Room, Seat};

/// Names a component connection for the whole simulation.
pub(super) type ConnNo = u64;

/// One component connection. What was sent on it before it ended may arrive long after.
#[derive(Debug, Default)]
struct Conn {
    input: VecDeque<(i64, RoomAction)>,
    output: VecDeque<(i64, Reply)>,
    /// Ended; the gateway may not know it yet.
    cut: bool,
    /// The server knows that it has ended.
    dead: bool,
    /// The ear's life on it: the shell drops copies for any other.
    ear: Option<Life>,
}

/// What travels towards the gateway.
#[derive(Debug)]
enum Reply {
    Event(RoomEvent),
    End(Option<&'static str>),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) room: Room,
    pub(super) up: bool,
    /// Its clock is ahead of ours by so many milliseconds.
    skew_ms: i64,
    conns: BTreeMap<ConnNo, Conn>,
    serial: ConnNo,
    /// The connection whose stanza is being worked off.
    asking: Option<ConnNo>,
    /// Until then some of the live stream is lost.
    hole_until: i64,
    /// A moderator acted, or the room was full: messages may be refused here.
    pub(super) may_refuse: bool,
    /// A crash took the whole archive: nothing is left by which a lost end could be told from a lost beginning.
    pub(super) emptied: bool,
    /// The component link is cut with the next message, which arrives so much later.
    pub(super) cut_at_say: Option<i64>,
    /// The room was destroyed.
    pub(super) ruined: bool,
    /// Stanzas went to a connection that nobody reads any more.
    pub(super) lost_copies: bool,
}

impl Server {
    pub(super) fn new(flavour: Flavour, skew_ms: i64) -> Self {
        Self {
            room: Room::new(flavour),
            up: true,
            skew_ms,
            conns: BTreeMap::new(),
            serial: 0,
            asking: None,
            hole_until: 0,
            may_refuse: false,
            emptied: false,
            cut_at_say: None,
            ruined: false,
            lost_copies: false,
        }
    }

    /// The server's clock.
    pub(super) fn clock(&self, now: i64) -> i64 {
        now + self.skew_ms
    }

    /// Some of the live stream was lost.
    pub(super) fn had_hole(&self) -> bool {
        self.hole_until > 0
    }

    /// The server hears that a connection has ended.
    pub(super) fn dead(&mut self, conn: ConnNo) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.dead = true;
        }
        self.conns.retain(|_, c| !(c.cut && c.dead && c.input.is_empty() && c.output.is_empty()));
    }
}

impl Firm {
    // ------------------------------------------------------------ connections

    pub(super) fn connect(&mut self, net: &mut Net<Wake>) {
        let life = self.gateway.life;
        if !self.server.up {
            return net.wake(self.me, 300, Wake::Connect(life));
        }
        if !self.server.room.flavour.shares {
            // The newer connection takes the place of the older, whose process is told so.
            let older: Vec<ConnNo> = self.server.conns.iter().filter(|(_, c)| !c.cut).map(|(n, _)| *n).collect();
            for conn in older {
                net.coverage.note("event", "component connection replaced");
                self.send_out(net, conn, Reply::End(Some("conflict")));
                if let Some(c) = self.server.conns.get_mut(&conn) {
                    c.cut = true;
                }
            }
            self.server.conns.values_mut().for_each(|c| c.dead = true);
        }
        self.server.serial += 1;
        let conn = self.server.serial;
        self.server.conns.insert(conn, Conn::default());
        self.gateway.conn = Some(conn);
        let delay = net.rng.range(5, 200);
        net.wake(self.me, delay, Wake::Tested(life, conn));
    }

    /// What was sent to ourselves came back, or not all of it.
    pub(super) fn tested(&mut self, net: &mut Net<Wake>, conn: ConnNo) {
        if self.server.conns.get(&conn).is_none_or(|c| c.cut) {
            return;
        }
        let exclusive = self.server.conns.values().filter(|c| !c.dead).count() == 1;
        self.gateway.server_up = true;
        self.event(net, Event::ServerUp { exclusive });
    }

    pub(super) fn send_in(&mut self, net: &mut Net<Wake>, conn: ConnNo, action: RoomAction) {
        let delay = net.rng.range(0, net.delays.stanza);
        let Some(c) = self.server.conns.get_mut(&conn).filter(|c| !c.cut) else { return };
        if let RoomAction::Enter { mouth, .. } = &action
            && mouth.who == Who::Ear
        {
            c.ear = Some(mouth.life);
        }
        let due = c.input.back().map_or(0, |(due, _)| *due).max(net.now + delay);
        c.input.push_back((due, action));
        net.wake(self.me, due - net.now, Wake::In(conn));
    }

    fn send_out(&mut self, net: &mut Net<Wake>, conn: ConnNo, reply: Reply) {
        let delay = net.rng.range(0, net.delays.stanza);
        let Some(c) = self.server.conns.get_mut(&conn) else { return };
        let due = c.output.back().map_or(0, |(due, _)| *due).max(net.now + delay);
        c.output.push_back((due, reply));
        net.wake(self.me, due - net.now, Wake::Out(conn));
    }

    /// Ends a connection. Of what is under way the first part still arrives, at the server perhaps late.
    pub(super) fn cut_conn(&mut self, net: &mut Net<Wake>, conn: ConnNo, server_hears_ms: i64, late_ms: i64) {
        let Some(c) = self.server.conns.get_mut(&conn).filter(|c| !c.cut) else { return };
        c.cut = true;
        c.input.truncate(net.rng.index(c.input.len() + 1));
        c.output.clear();
        if !c.input.is_empty() && late_ms > 0 {
            net.coverage.note("fault", "stanzas of a dead link arrive late");
        }
        let mut wakes = Vec::new();
        for (due, _) in &mut c.input {
            *due += late_ms;
            wakes.push(*due - net.now);
        }
        for ms in wakes {
            net.wake(self.me, ms, Wake::In(conn));
        }
        net.wake(self.me, server_hears_ms, Wake::Dead(conn));
    }

    /// Cuts the link, of which the gateway hears at once and the server late; what is under way arrives late.
    pub(super) fn cut_late(&mut self, net: &mut Net<Wake>, conn: ConnNo, late_ms: i64) {
        let Some(c) = self.server.conns.get_mut(&conn).filter(|c| !c.cut) else { return };
        net.coverage.note("fault", "link cut behind a message");
        c.cut = true;
        c.output.clear();
        let mut wakes = Vec::new();
        for (due, _) in &mut c.input {
            *due += late_ms;
            wakes.push(*due - net.now);
        }
        c.output.push_back((net.now + 1, Reply::End(None)));
        for ms in wakes {
            net.wake(self.me, ms, Wake::In(conn));
        }
        net.wake(self.me, 1, Wake::Out(conn));
        net.wake(self.me, late_ms, Wake::Dead(conn));
    }

    /// The gateway's end of the component link is down.
    fn gateway_hears_the_end(&mut self, net: &mut Net<Wake>, error: Option<&'static str>) {
        self.gateway.conn = None;
        self.forget_requests();
        let delay = net.rng.range(3, 1500);
        net.wake(self.me, delay, Wake::Connect(self.gateway.life));
        if std::mem::take(&mut self.gateway.server_up) {
            self.event(net, Event::ServerDown { stream_error: error.map(Into::into) });
        }
    }

    pub(super) fn arrive_in(&mut self, net: &mut Net<Wake>, conn: ConnNo) {
        let Some(c) = self.server.conns.get_mut(&conn) else { return };
        if c.input.front().is_none_or(|(due, _)| *due > net.now) {
            return;
        }
        let Some((_, action)) = c.input.pop_front() else { return };
        if !self.server.up {
            return;
        }
        let late = c.cut;
        self.server.asking = Some(conn);
        let mut out = Vec::new();
        let now = self.server.clock(net.now);
        if late && matches!(action, RoomAction::Say { .. }) {
            net.coverage.note("event", "message of a dead link worked off");
        }
        if !self.server.room.act(action, now, &mut out) {
            net.coverage.note("fault", "poison");
            if let Some(c) = self.server.conns.get_mut(&conn) {
                c.input.clear();
                (c.cut, c.dead) = (true, true);
            }
            self.send_out(net, conn, Reply::End(Some("policy-violation")));
        }
        self.route(net, out);
        self.server.asking = None;
    }

    /// Hands what the room says to the component.
    pub(super) fn route(&mut self, net: &mut Net<Wake>, out: Vec<Out>) {
        let mut out = VecDeque::from(out);
        while let Some((mouth, event)) = out.pop_front() {
            let live: Vec<ConnNo> = self.server.conns.iter().filter(|(_, c)| !c.dead).map(|(n, _)| *n).collect();
            let Some(newest) = live.last().copied() else {
                // Nobody can take it: some servers put the occupant out, others keep a ghost.
                let seat = mouth.map(Seat::Ours).filter(|s| self.server.room.find(s).is_some());
                if let Some(seat) = seat.filter(|_| self.server.room.flavour.puts_out) {
                    net.coverage.note("event", "occupant put out as unreachable");
                    let mut more = Vec::new();
                    self.server.room.leave(&seat, &Gone::Unreachable, &mut more);
                    out.extend(more);
                } else {
                    net.coverage.note("event", "copy for a ghost lost");
                }
                continue;
            };
            let conn = if self.server.room.flavour.shares { *net.rng.pick(&live) } else { newest };
            if self.server.conns.get(&conn).is_none_or(|c| c.cut) {
                net.coverage.note("event", "copy lost on a dead link");
                self.server.lost_copies = true;
                continue;
            }
            // Each process gives its requests ids of its own.
            if matches!(event, RoomEvent::Answer { .. }) && self.server.asking != Some(conn) {
                net.coverage.note("event", "answer to another connection");
                continue;
            }
            if matches!(event, RoomEvent::Message(_)) && net.now < self.server.hole_until && net.rng.chance(400) {
                net.coverage.note("event", "hole in the live stream");
                continue;
            }
            // The shell drops copies for an ear of another life.
            let ear = self.server.conns.get(&conn).and_then(|c| c.ear);
            if mouth.is_none_or(|m| m.who != Who::Ear || ear == Some(m.life)) {
                self.send_out(net, conn, Reply::Event(event));
            }
        }
    }

    pub(super) fn arrive_out(&mut self, net: &mut Net<Wake>, conn: ConnNo) {
        let Some(c) = self.server.conns.get_mut(&conn) else { return };
        if c.output.front().is_none_or(|(due, _)| *due > net.now) {
            return;
        }
        let Some((_, reply)) = c.output.pop_front() else { return };
        if self.gateway.conn != Some(conn) {
            return;
        }
        match reply {
            Reply::End(error) => self.gateway_hears_the_end(net, error),
            Reply::Event(event) if self.gateway.server_up => {
                if let RoomEvent::Answer { request, .. } = &event
                    && !self.answered(*request)
                {
                    return;
                }
                let event = Event::Room { room: self.room.clone(), event };
                net.say(|| format!("{} room > {event:?}", COMPANIES[self.me]));
                net.coverage.note("event", names::event_name(&event));
                self.event(net, event);
            }
            Reply::Event(_) => {}
        }
    }

    // ------------------------------------------------------------ the process

    fn server_stop(&mut self, net: &mut Net<Wake>, graceful: bool, back_ms: i64) {
        if !self.server.up {
            return;
        }
        net.say(|| format!("{} server stops, graceful {graceful}", COMPANIES[self.me]));
        self.server.up = false;
        let tail = *net.rng.pick(&[0, 300, 3000, 20_000]);
        let now = self.server.clock(net.now);
        let before = self.server.room.archive.lost.len();
        self.server.room.stop(graceful, now, tail);
        if self.server.room.archive.lost.len() > before {
            net.coverage.note("fault", "archive lost its tail");
            self.server.emptied |= self.server.room.archive.entries.is_empty();
        }
        for c in self.server.conns.values_mut() {
            c.input.clear();
            (c.cut, c.dead) = (true, true);
        }
        let conns = self.gateway.conn.into_iter().chain(self.twin.as_ref().and_then(|twin| twin.conn));
        for conn in conns.collect::<Vec<_>>() {
            self.send_out(net, conn, Reply::End(None));
        }
        net.wake(self.me, back_ms, Wake::ServerStart);
    }

    pub(super) fn server_start(&mut self, net: &mut Net<Wake>) {
        if !self.server.up {
            net.say(|| format!("{} server starts", COMPANIES[self.me]));
            self.server.up = true;
            self.people_come_back(net);
        }
    }

    pub(super) fn server_fault(&mut self, net: &mut Net<Wake>, fault: &CompanyFault) {
        let mut out = Vec::new();
        let puppets = |firm: &Firm| {
            let ours = firm.server.room.occupants.iter().filter_map(|o| match &o.seat {
                Seat::Ours(mouth) if mouth.who != Who::Ear => Some(mouth.who.clone()),
                _ => None,
            });
            ours.collect::<Vec<_>>()
        };
        match fault {
            CompanyFault::ServerCrash { back_ms } => self.server_stop(net, false, *back_ms),
            CompanyFault::ServerRestart { back_ms } => self.server_stop(net, true, *back_ms),
            CompanyFault::ComponentCut { gateway_hears_ms, server_hears_ms, late_ms } => {
                if let Some(conn) = self.gateway.conn {
                    self.cut_conn(net, conn, *server_hears_ms, *late_ms);
                    if let Some(c) = self.server.conns.get_mut(&conn) {
                        c.output.push_back((net.now + gateway_hears_ms, Reply::End(None)));
                        net.wake(self.me, *gateway_hears_ms, Wake::Out(conn));
                    }
                }
            }
            CompanyFault::ComponentCutAtSay { late_ms } => self.server.cut_at_say = Some(*late_ms),
            CompanyFault::LiveHole { ms } => self.server.hole_until = net.now + ms,
            CompanyFault::Kick => {
                if let Some(who) = puppets(self).first() {
                    self.server.may_refuse = true;
                    self.server.room.kick(who, &mut out);
                }
            }
            CompanyFault::KickEar => self.server.room.kick(&Who::Ear, &mut out),
            CompanyFault::Ban => {
                if let Some(who) = puppets(self).last() {
                    self.server.may_refuse = true;
                    self.server.room.ban(who, &mut out);
                }
            }
            CompanyFault::Full => {
                self.server.may_refuse = true;
                self.server.room.most_occupants = 4;
            }
            CompanyFault::TakeNick => {
                // Somebody has the nick that a puppet would like.
                let other = (self.me + 1) % COMPANIES.len();
                let nick = format!("Alice ({})", COMPANIES[other]);
                self.server.room.join(&names::jid(self.me, names::STRANGER), &Nick::from(nick.as_str()), &mut out);
            }
            CompanyFault::Destroy => {
                self.server.ruined = true;
                self.server.room.destroy(&mut out);
            }
            _ => {}
        }
        self.route(net, out);
    }
}
