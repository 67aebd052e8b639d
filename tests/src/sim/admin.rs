//! A company's administrator: maps the room, again and again until it is mapped.

use intergroup_gateway::bridge::{Command, CommandId, Event, Reply};

use super::center::COMPANIES;
use super::company::{Firm, GROUP, Wake};
use super::net::Net;

impl Firm {
    fn command(&mut self, net: &mut Net<Wake>, command: Command) -> CommandId {
        self.gateway.commands += 1;
        let id = CommandId(self.gateway.commands);
        self.event(net, Event::Command { id, command });
        id
    }

    /// The administrator maps the room, again and again until it is.
    pub(super) fn ask(&mut self, net: &mut Net<Wake>) {
        if self.gateway.asked.is_none() && self.mapping().is_none() {
            let room = self.room.clone();
            let command = match self.me {
                0 => Command::Create { name: "Apollo".to_owned(), room, members: None },
                _ => Command::Join { group: GROUP, room, members: None },
            };
            self.gateway.asked = Some(CommandId(self.gateway.commands + 1));
            self.command(net, command);
        }
        if self.me == 0 && self.mapping().is_some() && net.center.joined() < COMPANIES.len() {
            for other in &COMPANIES[1..] {
                let enterprise = other.parse().expect("an enterprise id");
                self.command(net, Command::Allow { group: GROUP, enterprise });
            }
        }
        if self.mapping().is_none() || net.center.joined() < COMPANIES.len() {
            net.wake(self.me, 300, Wake::Ask(self.gateway.life));
        }
    }

    pub(super) fn replied(&mut self, net: &mut Net<Wake>, id: CommandId, reply: &Reply) {
        net.say(|| format!("{} reply {reply:?}", COMPANIES[self.me]));
        if self.gateway.asked == Some(id) {
            self.gateway.asked = None;
        }
    }
}
