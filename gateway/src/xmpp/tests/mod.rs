//! What becomes of stanzas as real servers send them (Prosody 0.12.3 and ejabberd 23.01, as captured), and of hostile ones.

use std::time::Instant;

mod link;
mod members;
mod messages;
mod number;
mod presence;

use super::session::Session;
use crate::bridge::{Event, RequestId, RoomAction};
use crate::ids::{Account, Life, Mouth, RoomJid, Who};

const ROOM: &str = "talk@conference.acme.test";
const US: &str = "groups.acme.test";

fn puppet(user: &str) -> Mouth {
    let account = Account { enterprise: "globex".parse().unwrap(), user: user.parse().unwrap() };
    Mouth { who: Who::Puppet(account), life: Life(7) }
}

fn ear() -> Mouth {
    Mouth { who: Who::Ear, life: Life(7) }
}

struct Link(Session);

impl Link {
    fn new() -> Self {
        let mut session = Session::new(US, Instant::now());
        session.begin("n0");
        Self(session)
    }

    /// With the ear in, and with a puppet "Pat" in.
    fn seated() -> Self {
        let mut link = Self::new();
        for (mouth, node, nick) in [(ear(), "gateway", "gateway"), (puppet("pat"), "pat+globex", "Pat")] {
            link.act(RoomAction::Enter { mouth, nick: nick.into() });
            let item = format!("<item role='moderator' affiliation='owner' jid='{node}@{US}/7'/><status code='110'/>");
            link.got(&presence(&format!("{node}@{US}/7"), nick, "", &item));
            link.got(&format!("<message type='groupchat' to='{node}@{US}/7' from='{ROOM}'><subject/></message>"));
        }
        assert_eq!(link.0.rooms.joining, 0);
        link
    }

    fn act(&mut self, action: RoomAction) -> String {
        self.0.act(&RoomJid::from(ROOM), action);
        std::mem::take(&mut self.0.out)
    }

    fn events(&mut self) -> Vec<String> {
        let event = |event| match event {
            Event::Room { event, .. } => format!("{event:?}"),
            other => format!("{other:?}"),
        };
        std::mem::take(&mut self.0.events).into_iter().map(event).collect()
    }

    fn got(&mut self, stanza: &str) -> Vec<String> {
        self.0.stanza(stanza.as_bytes());
        self.events()
    }

    /// What comes of a stanza that means one thing.
    fn one(&mut self, stanza: &str) -> String {
        let events = self.got(stanza);
        assert_eq!(events.len(), 1, "{stanza}: {events:?}");
        events.into_iter().next().unwrap()
    }

    /// Makes the room announce occupant-ids.
    fn announce_occupant_ids(&mut self) {
        let asked = self.act(RoomAction::Info { request: RequestId(0) });
        let id = attribute(&asked, "id");
        self.one(&format!(
            "<iq type='result' id='{id}' to='gateway@{US}' from='{ROOM}'><query xmlns='http://jabber.org/protocol/disco#info'>\
             <feature var='urn:xmpp:occupant-id:0'/></query></iq>"
        ));
    }
}

fn presence(to: &str, nick: &str, kind: &str, x: &str) -> String {
    format!(
        "<presence to='{to}' from='{ROOM}/{nick}'{kind}><x xmlns='http://jabber.org/protocol/muc#user'>{x}</x></presence>"
    )
}

fn attribute(stanza: &str, name: &str) -> String {
    let from = stanza.find(&format!(" {name}='")).unwrap() + name.len() + 3;
    stanza[from..].split('\'').next().unwrap().to_owned()
}

const EAR: &str = "gateway@groups.acme.test/7";
const PAT: &str = "pat+globex@groups.acme.test/7";

impl Link {
    fn act_events(&mut self, action: RoomAction) -> Vec<String> {
        self.act(action);
        self.events()
    }
}
