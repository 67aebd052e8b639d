//! A company's people: they come, speak, go, take other names, and one of them is a stranger.

use intergroup_gateway::bridge::{Content, Gone};
use intergroup_gateway::ids::{MessageId, Nick, StanzaId};
use intergroup_schemas::conditions::Condition;

use super::center::COMPANIES;
use super::company::{Firm, Wake};
use super::names::{self, STRANGER, USERS};
use super::net::Net;
use super::room::Seat;

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Plain words.
    Plain,
    /// With the id of a message that the gateway said.
    Forged,
    /// With the id of the same person's message before.
    SameId,
    /// The room does not archive it.
    Unarchived,
    /// Encrypted for the room alone.
    Encrypted,
    /// A chat state.
    Chatter,
    /// Words that some servers end the stream for.
    Poison,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Plain => "plain",
            Kind::Forged => "forged id",
            Kind::SameId => "same id twice",
            Kind::Unarchived => "not archived",
            Kind::Encrypted => "encrypted",
            Kind::Chatter => "chat state",
            Kind::Poison => "poison",
        }
    }
}

/// One message that the room accepted.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// What it says; unique in the simulation.
    pub(super) text: String,
    pub(super) user: usize,
    pub(super) kind: Kind,
    /// When, by the simulator's clock.
    pub(super) at: i64,
    /// None where the room did not archive it.
    pub(super) id: Option<StanzaId>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct People {
    pub(super) said: Vec<Said>,
    /// How often each has changed the nick.
    renamed: [u32; USERS.len()],
    last_id: Option<MessageId>,
}

fn upper(name: &str) -> String {
    let mut name = name.to_owned();
    name[..1].make_ascii_uppercase();
    name
}

impl Firm {
    fn nick(&self, user: usize) -> Nick {
        let times = self.people.renamed[user];
        let more = if times == 0 { String::new() } else { format!("-{times}") };
        Nick::from(format!("{}{more}", upper(USERS[user])).as_str())
    }

    fn seat(&self, user: usize) -> Seat {
        Seat::Person(names::jid(self.me, user))
    }

    /// The first ones come in, and say something that is nobody else's business yet.
    pub(super) fn begin_talking(&mut self, net: &mut Net<Wake>) {
        for user in 0..2 {
            self.come(net, user);
            let early = net.rng.range(0, 900);
            net.wake(self.me, early, Wake::Say(user, Kind::Plain));
        }
    }

    /// So many messages at chosen times; and comings and goings between them.
    pub(super) fn will_talk(&mut self, net: &mut Net<Wake>, messages: usize, span_ms: i64, poison: bool) {
        for _ in 0..messages {
            let user = if net.rng.chance(60) { STRANGER } else { net.rng.index(STRANGER) };
            let kind = match net.rng.below(100) {
                0..4 => Kind::Forged,
                4..7 => Kind::SameId,
                7..10 => Kind::Unarchived,
                10..13 => Kind::Encrypted,
                13..15 => Kind::Chatter,
                15..17 if poison => Kind::Poison,
                _ => Kind::Plain,
            };
            let at = net.rng.range(0, span_ms);
            net.wake(self.me, at, Wake::Say(user, kind));
        }
        for _ in 0..net.rng.below(6) {
            let (at, user) = (net.rng.range(0, span_ms), net.rng.index(USERS.len()));
            let wake = if net.rng.chance(400) { Wake::Rename(user) } else { Wake::Go(user) };
            net.wake(self.me, at, wake);
        }
    }

    pub(super) fn come(&mut self, net: &mut Net<Wake>, user: usize) {
        if !self.server.up {
            return;
        }
        let mut out = Vec::new();
        let nick = self.nick(user);
        self.server.room.join(&names::jid(self.me, user), &nick, &mut out);
        self.route(net, out);
    }

    pub(super) fn go(&mut self, net: &mut Net<Wake>, user: usize) {
        if self.server.up {
            let mut out = Vec::new();
            self.server.room.leave(&self.seat(user), &Gone::Left, &mut out);
            self.route(net, out);
        }
    }

    pub(super) fn rename(&mut self, net: &mut Net<Wake>, user: usize) {
        if self.server.up && self.server.room.find(&self.seat(user)).is_some() {
            self.people.renamed[user] += 1;
            let (nick, mut out) = (self.nick(user), Vec::new());
            self.server.room.rename(&names::jid(self.me, user), &nick, &mut out);
            net.coverage.note("people", "rename");
            self.route(net, out);
        }
    }

    /// After a restart of the server some come back at once, some later.
    pub(super) fn people_come_back(&mut self, net: &mut Net<Wake>) {
        for user in 0..USERS.len() {
            let at = net.rng.range(0, 4000);
            net.wake(self.me, at, Wake::Come(user));
        }
    }

    pub(super) fn everybody_comes(&mut self, net: &mut Net<Wake>) {
        for user in 0..USERS.len() {
            self.come(net, user);
        }
    }

    pub(super) fn say(&mut self, net: &mut Net<Wake>, user: usize, kind: Kind) {
        if !self.server.up || !self.server.room.exists {
            return;
        }
        self.come(net, user);
        let word = if kind == Kind::Poison { "poison-" } else { "" };
        let text = format!("{word}{}-{}-{}", COMPANIES[self.me], USERS[user], self.people.said.len());
        let own = MessageId::from(format!("id-{text}").as_str());
        let id = match kind {
            Kind::Forged => self.server.room.our_ids.last().cloned(),
            Kind::SameId => self.people.last_id.clone(),
            _ => None,
        };
        let content = match kind {
            Kind::Encrypted => Content::Refused(Condition::Encrypted),
            Kind::Chatter => Content::Nothing,
            _ => Content::Speech(format!("<body>{text}</body>").into()),
        };
        let archived = !matches!(kind, Kind::Unarchived | Kind::Chatter) && !self.server.room.remade;
        let now = self.server.clock(net.now);
        let mut out = Vec::new();
        let message_id = id.unwrap_or(own);
        let jid = names::jid(self.me, user);
        // Who was not let in says nothing.
        let inside = self.server.room.find(&self.seat(user)).is_some();
        let id = self.server.room.say(&jid, message_id.clone(), content, archived, now, &mut out);
        if inside {
            net.say(|| format!("{} {} says {text} ({}) {id:?}", COMPANIES[self.me], USERS[user], kind.name()));
            net.coverage.note("people", kind.name());
            self.people.last_id = Some(message_id);
            self.people.said.push(Said { text, user, kind, at: net.now, id });
        }
        self.route(net, out);
        if net.rng.chance(150) {
            self.go(net, user);
        }
    }
}
