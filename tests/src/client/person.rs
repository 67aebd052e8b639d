//! One person: a task owns the connection; everything heard is kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use jid::Jid;
use minidom::Element;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_xmpp::connect::DnsConfig;
use tokio_xmpp::xmlstream::Timeouts;
use tokio_xmpp::{Client, Event, Stanza as Typed};

use crate::load::{Account, Stanza};

/// Longest wait for something that must come, catch-up after an outage included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who is signed in.
#[derive(Debug)]
pub struct Person {
    /// The account.
    pub jid: String,
    out: mpsc::Sender<Typed>,
    heard: Arc<Mutex<Vec<Stanza>>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
    ids: std::sync::atomic::AtomicU64,
    rooms: Mutex<BTreeMap<String, String>>,
}

impl Drop for Person {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn typed(text: &str) -> Result<Typed> {
    let element: Element = text.parse().with_context(|| format!("a test's own stanza: {text}"))?;
    Ok(match element.name() {
        "message" => Typed::Message(element.try_into()?),
        "presence" => Typed::Presence(element.try_into()?),
        _ => Typed::Iq(element.try_into()?),
    })
}

fn as_text(stanza: Typed) -> Stanza {
    let element: Element = match stanza {
        Typed::Message(message) => message.into(),
        Typed::Presence(presence) => presence.into(),
        Typed::Iq(iq) => iq.into(),
    };
    Stanza(String::from(&element))
}

impl Person {
    /// Signs in; returns when online.
    ///
    /// # Errors
    /// Not within a minute.
    pub async fn sign_in(account: &Account) -> Result<Person> {
        let jid = format!("{}@{}", account.user, account.domain);
        let at = DnsConfig::addr(&account.server.to_string());
        let parsed: Jid = jid.parse()?;
        let mut client = Client::new_plaintext(parsed, account.password.clone(), at, Timeouts::default());
        let online = async {
            while let Some(event) = client.next().await {
                if event.is_online() {
                    return true;
                }
            }
            false
        };
        ensure!(timeout(PATIENCE, online).await.unwrap_or(false), "{jid} cannot sign in");
        let (out, orders) = mpsc::channel(64);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let task = tokio::spawn(attend(client, orders, heard.clone(), counted));
        let person = Person {
            jid,
            out,
            heard,
            count,
            task,
            ids: std::sync::atomic::AtomicU64::new(1),
            rooms: Mutex::new(BTreeMap::new()),
        };
        person.send("<presence xmlns='jabber:client'/>").await?;
        Ok(person)
    }

    /// Sends a stanza; its namespace must be written on it.
    ///
    /// # Errors
    /// It is not XML, not a stanza, or the connection is gone.
    pub async fn send(&self, text: &str) -> Result<()> {
        self.out.send(typed(text)?).await.context("the connection is gone")
    }

    fn id(&self) -> String {
        format!("p{}", self.ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    /// Everything heard so far.
    pub fn heard(&self) -> Vec<Stanza> {
        self.heard.lock().expect("nobody panics with it").clone()
    }

    /// The first stanza heard since `from` that fits, waiting for it if need be.
    ///
    /// # Errors
    /// It does not come within a minute; what was heard is in the error.
    pub async fn hear(&self, from: usize, what: &str, fits: impl Fn(&Stanza) -> bool) -> Result<Stanza> {
        let mut count = self.count.clone();
        let search = async {
            loop {
                let len = *count.borrow_and_update();
                let found = self.heard.lock().expect("nobody panics with it")[from.min(len)..]
                    .iter()
                    .find(|s| fits(s))
                    .cloned();
                if found.is_some() {
                    return found;
                }
                if count.changed().await.is_err() {
                    return None;
                }
            }
        };
        match timeout(PATIENCE, search).await {
            Ok(Some(stanza)) => Ok(stanza),
            Ok(None) => bail!("{}: the connection ended while waiting for {what}", self.jid),
            Err(_) => {
                let heard: Vec<String> = self.heard().into_iter().skip(from).map(|s| s.0).collect();
                let last = heard[heard.len().saturating_sub(20)..].join("\n  ");
                bail!("{}: waited {} s in vain for {what}. Heard last:\n  {last}", self.jid, PATIENCE.as_secs())
            }
        }
    }

    /// How much has been heard: a place to start a wait from.
    pub fn now(&self) -> usize {
        *self.count.borrow()
    }

    /// Joins a room without history; returns when in.
    ///
    /// # Errors
    /// The room refuses.
    pub async fn join(&self, room: &str, nick: &str) -> Result<()> {
        let from = self.now();
        self.send(&format!(
            "<presence xmlns='jabber:client' to='{room}/{}'><x xmlns='http://jabber.org/protocol/muc'>\
             <history maxstanzas='0'/></x></presence>",
            quick_xml::escape::escape(nick)
        ))
        .await?;
        let answer = self
            .hear(from, &format!("joining {room}"), |s| {
                let ours = s.attr("from").is_some_and(|f| f.starts_with(&format!("{room}/")));
                s.name() == "presence" && ours && (s.codes().iter().any(|c| c == "110") || s.has_error())
            })
            .await?;
        ensure!(!answer.has_error(), "{} may not join {room}: {}", self.jid, answer.0);
        self.rooms.lock().expect("nobody panics with it").insert(room.to_owned(), nick.to_owned());
        Ok(())
    }

    /// Says something in a room; returns the message's id.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn say(&self, room: &str, body: &str) -> Result<String> {
        self.say_with(room, body, "").await
    }

    /// Says something with further elements beside the body; returns the message's id.
    ///
    /// # Errors
    /// The connection is gone, or the elements are not XML.
    pub async fn say_with(&self, room: &str, body: &str, more: &str) -> Result<String> {
        let (id, body) = (self.id(), quick_xml::escape::escape(body).into_owned());
        self.send(&format!(
            "<message xmlns='jabber:client' type='groupchat' to='{room}' id='{id}'><body>{body}</body>{more}</message>"
        ))
        .await?;
        Ok(id)
    }

    /// Waits for a message in a room whose text is (or contains) this; returns it.
    ///
    /// # Errors
    /// It does not come.
    pub async fn hear_in(&self, room: &str, nick: &str, text: &str) -> Result<Stanza> {
        let speaker = format!("{room}/{nick}");
        self.hear(0, &format!("{nick} saying {text:?} in {room}"), |s| {
            s.name() == "message"
                && s.attr("type").as_deref() == Some("groupchat")
                && s.attr("from").as_deref() == Some(&speaker)
                && s.text("body").is_some_and(|body| body.contains(text))
        })
        .await
    }

    /// Waits for a private message of the gateway (or anybody else) in the room that contains this.
    ///
    /// # Errors
    /// It does not come.
    pub async fn told_in(&self, from: usize, room: &str, text: &str) -> Result<Stanza> {
        self.hear(from, &format!("being told {text:?} in {room}"), |s| {
            s.name() == "message"
                && s.attr("type").as_deref() != Some("groupchat")
                && s.attr("from").is_some_and(|f| f.starts_with(room))
                && s.text("body").is_some_and(|body| body.contains(text))
        })
        .await
    }

    /// Asks and returns the answer, of whatever type.
    ///
    /// # Errors
    /// There is none.
    pub async fn ask(&self, kind: &str, to: &str, payload: &str) -> Result<Stanza> {
        let (id, from) = (self.id(), self.now());
        self.send(&format!("<iq xmlns='jabber:client' type='{kind}' id='{id}' to='{to}'>{payload}</iq>")).await?;
        self.hear(from, "an answer", |s| s.name() == "iq" && s.attr("id").as_deref() == Some(&id)).await
    }

    /// The speakers and texts of a room's archive, oldest first, page by page (XEP-0313).
    ///
    /// # Errors
    /// The archive cannot be read.
    pub async fn archive(&self, room: &str) -> Result<Vec<Stanza>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let (id, from) = (self.id(), self.now());
            self.send(&format!(
                "<iq xmlns='jabber:client' type='set' id='{id}' to='{room}'><query xmlns='urn:xmpp:mam:2' queryid='{id}'>\
                 <set xmlns='http://jabber.org/protocol/rsm'><max>100</max>{after}</set></query></iq>"
            ))
            .await?;
            let fin = self.hear(from, "a page", |s| s.name() == "iq" && s.attr("id").as_deref() == Some(&id)).await?;
            ensure!(!fin.has_error(), "the archive of {room} cannot be read: {}", fin.0);
            let page = self.heard().into_iter().skip(from);
            let page: Vec<_> = page.filter(|s| s.inner_attr("result", "queryid").as_deref() == Some(&id)).collect();
            let empty = page.is_empty();
            all.extend(page);
            if empty || fin.inner_attr("fin", "complete").as_deref() == Some("true") {
                return Ok(all);
            }
            let last = fin.text("last").context("a page without its last id")?;
            after = format!("<after>{}</after>", quick_xml::escape::escape(&last));
        }
    }
}

async fn attend(
    mut client: Client,
    mut orders: mpsc::Receiver<Typed>,
    heard: Arc<Mutex<Vec<Stanza>>>,
    counted: watch::Sender<usize>,
) {
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(stanza) = order else { break };
                if client.send_stanza(stanza).await.is_err() {
                    return;
                }
            }
            event = client.next() => match event {
                Some(Event::Stanza(stanza)) => {
                    let mut heard = heard.lock().expect("nobody panics with it");
                    heard.push(as_text(stanza));
                    counted.send_replace(heard.len());
                }
                Some(_) => {}
                None => return,
            },
        }
    }
}
