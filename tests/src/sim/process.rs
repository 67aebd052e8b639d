//! The life of a gateway's process: it starts, is killed, is stopped and goes on.

use intergroup_gateway::bridge::{Bridge, Config, OfflineBounds};
use intergroup_gateway::store::Store;

use super::center::COMPANIES;
use super::company::{Firm, Held, Wake};
use super::names::{self, change_name};
use super::net::Net;

impl Firm {
    pub(super) fn boot(&mut self, net: &mut Net<Wake>) {
        if self.gateway.bridge.is_some() {
            return;
        }
        net.say(|| format!("{} gateway starts", COMPANIES[self.me]));
        self.new_life();
        let g = &mut self.gateway;
        let config = Config {
            domains: self.layout.domains(self.me),
            rooms: names::rooms(self.me),
            component: names::component(self.me),
            relay_window: net.center.plan.relay_window,
            entropy: net.rng.bytes32(),
            offline: OfflineBounds { join_history: self.server.room.eyes.most, ..OfflineBounds::default() },
            ..Config::default()
        };
        let snapshot = g.disk.durable().load().expect("memory can be read");
        g.bridge = Some(Bridge::new(snapshot, config));
        (g.link, g.welcomed, g.conn, g.server_up, g.timeout, g.asked) = (None, false, None, false, None, None);
        g.unanswered.clear();
        net.wake(self.me, 1, Wake::Dial(g.life));
        net.wake(self.me, 1, Wake::Connect(g.life));
        net.wake(self.me, 300, Wake::Ask(g.life));
        self.turn(net);
    }

    /// kill -9: what is not durable is gone, links too; what was sent may still arrive.
    pub(super) fn crash(&mut self, net: &mut Net<Wake>, back_ms: i64, kept: bool) {
        if self.gateway.bridge.take().is_none() {
            return;
        }
        net.say(|| format!("{} gateway crashes", COMPANIES[self.me]));
        self.new_life();
        let g = &mut self.gateway;
        g.armed = None;
        g.is_frozen = false;
        g.frozen.clear();
        let flying = g.disk.unsynced().filter(|b| !b.is_empty()).count();
        let kinds: Vec<&str> = g.disk.unsynced().flatten().map(change_name).collect();
        for kind in kinds {
            net.coverage.note("crash with uncommitted, gateway", kind);
        }
        net.coverage.note("crash point, gateway", if flying > 0 { "commit under way" } else { "nothing under way" });
        if kept && flying > 0 {
            net.coverage.note("crash point, gateway", "commit done, nobody told");
        }
        self.note_durable(net.now, kept);
        if kept {
            self.note_kept();
        }
        let g = &mut self.gateway;
        g.disk.crash(if kept { usize::MAX } else { 0 });
        if let Some(link) = g.link.take() {
            let hears = net.rng.range(0, 5000);
            net.cut(link, hears, 0);
        }
        if let Some(conn) = g.conn.take() {
            let (server_hears, late) = (net.rng.range(0, 2000), net.rng.range(0, 1500));
            self.cut_conn(net, conn, server_hears, late);
        }
        net.wake(self.me, back_ms, Wake::GatewayStart(self.gateway.life));
    }

    /// It goes on, and finds all that came meanwhile.
    pub(super) fn thaw(&mut self, net: &mut Net<Wake>) {
        net.coverage.note("fault", "gateway goes on");
        let life = self.gateway.life;
        self.gateway.is_frozen = false;
        for held in std::mem::take(&mut self.gateway.frozen) {
            match held {
                Held::Stanza(link, stanza) => self.stanza_came(net, link, stanza),
                Held::LinkDown(link) => self.link_ended(net, link),
                Held::Wake(wake) => self.woken(net, wake),
            }
            if self.gateway.life != life {
                return;
            }
        }
    }
}
