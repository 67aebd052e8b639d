//! A company's administrator: maps the room, again and again until it is mapped.

use intergroup_gateway::bridge::{Command, CommandId, Event, Reply};

use super::center::COMPANIES;
use super::company::{Firm, GROUP, Wake};
use super::net::Net;

impl Firm {
    pub(super) fn command(&mut self, net: &mut Net<Wake>, command: Command) -> CommandId {
        self.gateway.commands += 1;
        let id = CommandId(self.gateway.commands);
        self.event(net, Event::Command { id, command });
        id
    }

    /// The administrator maps the room, again and again until it is.
    pub(super) fn ask(&mut self, net: &mut Net<Wake>) {
        let mapping = self.mapping();
        let wanted = self.to_ask(net, mapping.as_ref());
        let waits = wanted.is_some() || (self.moves.happened() && mapping.as_ref().is_some_and(|m| m.ending.is_some()));
        if let Some(command) = wanted.filter(|_| self.gateway.asked.is_none()) {
            self.gateway.asked = Some(CommandId(self.gateway.commands + 1));
            self.command(net, command);
        }
        if self.me == 0 && self.mapping().is_some() && net.center.joined() < COMPANIES.len() {
            for other in 1..COMPANIES.len() {
                let enterprise = self.layout.enterprise(other).parse().expect("an enterprise id");
                self.command(net, Command::Allow { group: GROUP, enterprise });
            }
        }
        let others = self.name_somebody(net);
        if waits || others || net.center.joined() < COMPANIES.len() {
            net.wake(self.me, 300, Wake::Ask(self.gateway.life));
        }
    }

    pub(super) fn replied(&mut self, net: &mut Net<Wake>, id: CommandId, reply: &Reply) {
        net.say(|| format!("{} reply {reply:?}", COMPANIES[self.me]));
        self.person_is_turned(net, id, reply);
        if self.gateway.asked == Some(id) {
            self.gateway.asked = None;
        }
    }
}
