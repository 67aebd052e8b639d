//! Rooms and groups: made as people and administrators make them.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::build::{Company, PATIENCE, RETRY, World};
use crate::client::Person;
use crate::load::Client;

/// Whether a link that a status describes is up.
pub(super) fn up(status: &Value, link: &str) -> bool {
    find(status, link).is_some_and(|link| link["up"] == true)
}

/// The first value of that name, at any depth.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(name).or_else(|| map.values().find_map(|inner| find(inner, name))),
        Value::Array(list) => list.iter().find_map(|inner| find(inner, name)),
        _ => None,
    }
}

impl Company {
    /// Makes a room that lasts, owned by a person, in which everybody sees everybody's JID.
    ///
    /// # Errors
    /// The server refuses it.
    pub async fn make_room(&self, owner: &str, room: &str) -> Result<()> {
        self.make_room_with(owner, room, &[("muc#roomconfig_persistentroom", "1"), ("muc#roomconfig_whois", "anyone")])
            .await
    }

    /// Makes a room with these settings.
    ///
    /// # Errors
    /// The server refuses it.
    pub async fn make_room_with(&self, owner: &str, room: &str, settings: &[(&str, &str)]) -> Result<()> {
        // Of each resource there is one: a second one of the same name would end the first, while it makes another room.
        let mut client = Client::connect(&self.server.account(owner), &format!("make-{room}")).await?;
        let room = self.server.room(room);
        client.join(&room, owner).await?;
        let fields: String =
            settings.iter().map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>")).collect();
        let form = format!(
            "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>{fields}</x></query>"
        );
        let answer = client.ask("set", &room, &form).await?;
        ensure!(!answer.has_error(), "{room} cannot be configured: {}", answer.0);
        Ok(())
    }
}

impl World {
    /// Makes a room of that name at each company and connects them all in one group; returns the group's number when
    /// every gateway's room is ready.
    ///
    /// # Errors
    /// A command fails, or a room does not get ready.
    pub async fn share(&self, room: &str) -> Result<String> {
        for company in &self.companies {
            company.make_room("alice", room).await?;
        }
        self.connect(room).await
    }

    /// Connects rooms of that name, which exist, in one group.
    ///
    /// # Errors
    /// A command fails, or a room does not get ready.
    pub async fn connect(&self, room: &str) -> Result<String> {
        self.connect_with(room, &[]).await
    }

    /// Connects rooms of that name, which exist, in one group, with these arguments more on `group create` and `group join`.
    ///
    /// # Errors
    /// A command fails, or a room does not get ready.
    pub async fn connect_with(&self, room: &str, more: &[&str]) -> Result<String> {
        let (first, others) = self.companies.split_first().context("a world without companies")?;
        let owner = first.gateway()?;
        let name = format!("About {room}");
        let printed = first.run_connected(&[&["group", "create", &name, "--room", room], more].concat()).await?;
        let number: String =
            printed.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        ensure!(!number.is_empty(), "group create printed no number: {printed}");
        for other in others.iter().filter(|other| other.id == other.enterprise) {
            owner.run(&["group", "allow", &number, &other.id]).await?;
        }
        for other in others {
            other.run_connected(&[&["group", "join", &number, "--room", room], more].concat()).await?;
        }
        for company in &self.companies {
            company.room_ready(room).await?;
            company.room_shared("alice", room, &number).await?;
        }
        Ok(number)
    }
}

impl Company {
    /// Runs a command of the gateway that needs both links; as people do, again when the gateway says that one was lost just then.
    async fn run_connected(&self, args: &[&str]) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.connected().await?;
            match self.gateway()?.run(args).await {
                Err(e) if format!("{e:#}").contains("there is no link") && Instant::now() < until => sleep(RETRY).await,
                other => return other,
            }
        }
    }

    /// Returns when the gateway's room is ready to pass messages on.
    ///
    /// # Errors
    /// It is not after a minute.
    pub async fn room_ready(&self, room: &str) -> Result<()> {
        let jid = self.server.room(room);
        self.status_is(&format!("{jid} ready"), |status| room_state(status, &jid).is_some_and(|state| state == READY))
            .await?;
        Ok(())
    }

    /// Returns when the room's archive says that messages cross from now on.
    ///
    /// # Errors
    /// It does not say so after a minute.
    pub async fn room_shared(&self, reader: &str, room: &str, number: &str) -> Result<()> {
        let mut client = Client::connect(&self.server.account(reader), &format!("read-{room}")).await?;
        let (room, notice) = (self.server.room(room), format!("{SHARED} {number} "));
        client.join(&room, &format!("{reader} (reading)")).await?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let archive = client.archive(&room).await?;
            if archive.iter().filter_map(|s| s.text("body")).any(|body| body.contains(&notice)) {
                return Ok(());
            }
            sleep(RETRY).await;
        }
        bail!("{room} was not told that it is shared in group {number}")
    }

    /// Returns when the gateway shows exactly these accounts of a company on a group's user list.
    ///
    /// # Errors
    /// It does not after a minute.
    pub async fn list_is(&self, number: &str, of: &str, accounts: &[String]) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let list = self.gateway()?.json(&["member", "list", number]).await;
            let rows = list.as_ref().ok().and_then(|list| list["rows"].as_array());
            let mut shown: Vec<_> = rows.into_iter().flatten().filter_map(|row| row["account"].as_str()).collect();
            shown.retain(|account| account.split('/').next() == Some(of));
            shown.sort_unstable();
            if shown == accounts {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{}: the list of {number} is {list:?}, not {accounts:?}", self.id);
            sleep(RETRY).await;
        }
    }

    /// Returns when a room lets a person in that may still keep out at first.
    ///
    /// # Errors
    /// It does not after a minute.
    pub async fn room_lets_in(&self, person: &Person, room: &str, nick: &str) -> Result<()> {
        let (jid, until) = (self.server.room(room), Instant::now() + PATIENCE);
        loop {
            match person.join(&jid, nick).await {
                Ok(()) => return Ok(()),
                Err(problem) if Instant::now() >= until => return Err(problem),
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    /// What the gateway's status says of a room.
    ///
    /// # Errors
    /// The command fails.
    pub async fn room_status(&self, room: &str) -> Result<Value> {
        let status = self.gateway()?.json(&["status"]).await?;
        let jid = self.server.room(room);
        let rooms = find(&status, "rooms").and_then(Value::as_array).context("no rooms in the status")?;
        let found = rooms.iter().find(|r| r["room"] == jid.as_str());
        found.cloned().with_context(|| format!("{jid} is not in the status: {status}"))
    }

    /// Whether the gateway has passed on everything of a room that it knows of, both ways.
    ///
    /// # Errors
    /// The command fails.
    pub async fn has_settled(&self, room: &str) -> Result<bool> {
        let room = self.room_status(room).await?;
        Ok(room["state"] == READY && room["waiting"] == 0 && room["settled"] == room["received"])
    }

    /// A counter of the gateway; 0 where it has not counted anything.
    ///
    /// # Errors
    /// The command fails.
    pub async fn counter(&self, name: &str) -> Result<u64> {
        let status = self.gateway()?.json(&["status"]).await?;
        Ok(find(&status, "counters").and_then(|c| c[name].as_u64()).unwrap_or(0))
    }
}

/// The state of a room that passes messages on.
const READY: &str = "connected";
/// What a gateway says in a room when messages begin to cross.
const SHARED: &str = "shared from now on in group";

fn room_state<'a>(status: &'a Value, jid: &str) -> Option<&'a str> {
    let rooms = find(status, "rooms")?.as_array()?;
    rooms.iter().find(|r| r["room"] == jid)?["state"].as_str()
}
