//! One person on a raw connection: signs in by SASL PLAIN over plain loopback TCP, joins rooms, speaks, pages archives.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::stanza::Stanza;
use super::wire::Splitter;

/// Longest wait for an answer that a healthy server gives at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who signs in, and where.
#[derive(Debug, Clone)]
pub struct Account {
    /// The server's client port.
    pub server: SocketAddr,
    /// The XMPP domain.
    pub domain: String,
    /// The local part.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A stanza and the moment it was read.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The stanza.
    pub stanza: Stanza,
    /// When its last byte was read.
    pub at: Instant,
}

/// A signed-in person.
#[derive(Debug)]
pub struct Client {
    /// The full JID.
    pub jid: String,
    writer: OwnedWriteHalf,
    heard: mpsc::UnboundedReceiver<Heard>,
    reader: JoinHandle<()>,
    ids: AtomicU64,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

struct Handshake {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    splitter: Splitter,
}

impl Handshake {
    async fn next(&mut self) -> Result<Stanza> {
        loop {
            if let Some(text) = self.splitter.next() {
                return Ok(Stanza(text));
            }
            let mut chunk = [0; 4096];
            let read = timeout(PATIENCE, self.reader.read(&mut chunk)).await.context("the server is silent")??;
            ensure!(read > 0, "the server closed the connection");
            self.splitter.push(&chunk[..read]);
        }
    }

    /// Opens a stream; returns its features.
    async fn open(&mut self, domain: &str) -> Result<Stanza> {
        self.splitter = Splitter::default();
        let header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' \
             xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'>"
        );
        self.writer.write_all(header.as_bytes()).await?;
        self.next().await?;
        self.next().await
    }
}

impl Client {
    /// Signs in and sends initial presence.
    pub async fn connect(account: &Account, resource: &str) -> Result<Client> {
        let stream = TcpStream::connect(account.server).await.with_context(|| format!("{}", account.server))?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut shake = Handshake { reader, writer, splitter: Splitter::default() };
        shake.open(&account.domain).await?;
        let plain = STANDARD.encode(format!("\0{}\0{}", account.user, account.password));
        let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>");
        shake.writer.write_all(auth.as_bytes()).await?;
        let answer = shake.next().await?;
        ensure!(answer.name() == "success", "{}@{} may not sign in: {}", account.user, account.domain, answer.0);
        shake.open(&account.domain).await?;
        let bind = format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{resource}</resource></bind></iq>"
        );
        shake.writer.write_all(bind.as_bytes()).await?;
        let bound = loop {
            let stanza = shake.next().await?;
            if stanza.attr("id").as_deref() == Some("bind") {
                break stanza;
            }
        };
        let jid = bound.text("jid").with_context(|| format!("no JID was bound: {}", bound.0))?;
        shake.writer.write_all(b"<presence/>").await?;
        let (tx, heard) = mpsc::unbounded_channel();
        let reader = tokio::spawn(listen(shake.reader, shake.splitter, tx));
        Ok(Client { jid, writer: shake.writer, heard, reader, ids: AtomicU64::new(1) })
    }

    /// A fresh id for an iq or a message.
    pub fn id(&self) -> String {
        format!("t{}", self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends text as it is.
    pub async fn send(&mut self, text: &str) -> Result<()> {
        self.writer.write_all(text.as_bytes()).await.context("the connection is gone")
    }

    /// The next stanza; none when the connection has ended.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// The next stanza that fits; others are dropped. Fails after half a minute.
    pub async fn wait(&mut self, what: &str, fits: impl Fn(&Stanza) -> bool) -> Result<Heard> {
        let search = async {
            while let Some(heard) = self.heard.recv().await {
                if fits(&heard.stanza) {
                    return Some(heard);
                }
            }
            None
        };
        match timeout(PATIENCE, search).await {
            Ok(Some(heard)) => Ok(heard),
            Ok(None) => bail!("{}: the connection ended while waiting for {what}", self.jid),
            Err(_) => bail!("{}: waited {} s in vain for {what}", self.jid, PATIENCE.as_secs()),
        }
    }

    /// Joins a room without history.
    pub async fn join(&mut self, room: &str, nick: &str) -> Result<()> {
        let nick = quick_xml::escape::escape(nick);
        self.send(&format!(
            "<presence to='{room}/{nick}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
        ))
        .await?;
        let heard = self
            .wait("the join", |s| {
                let ours = s.attr("from").is_some_and(|from| from.starts_with(room));
                s.name() == "presence" && ours && (s.codes().iter().any(|c| c == "110") || s.has_error())
            })
            .await?;
        ensure!(!heard.stanza.has_error(), "{} may not join {room}: {}", self.jid, heard.stanza.0);
        Ok(())
    }

    /// Says something in a room; returns the message's id.
    pub async fn say(&mut self, room: &str, body: &str) -> Result<String> {
        let id = self.id();
        let body = quick_xml::escape::escape(body);
        self.send(&format!("<message type='groupchat' to='{room}' id='{id}'><body>{body}</body></message>")).await?;
        Ok(id)
    }

    /// Sends an iq and returns its answer, of whatever type; stanzas that come meanwhile are dropped.
    pub async fn ask(&mut self, kind: &str, to: &str, payload: &str) -> Result<Stanza> {
        let id = self.id();
        self.send(&format!("<iq type='{kind}' id='{id}' to='{to}'>{payload}</iq>")).await?;
        let answer = self.wait("an answer", |s| s.name() == "iq" && s.attr("id").as_deref() == Some(&id)).await?;
        Ok(answer.stanza)
    }

    /// Every message in a room's archive, from the oldest, page by page (XEP-0313).
    pub async fn archive(&mut self, room: &str) -> Result<Vec<Stanza>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let id = self.id();
            self.send(&format!(
                "<iq type='set' id='{id}' to='{room}'><query xmlns='urn:xmpp:mam:2' queryid='{id}'>\
                 <set xmlns='http://jabber.org/protocol/rsm'><max>1000</max>{after}</set></query></iq>"
            ))
            .await?;
            let before = all.len();
            let fin = loop {
                let heard = self
                    .wait("a page of the archive", |s| {
                        s.inner_attr("result", "queryid").as_deref() == Some(&id)
                            || s.attr("id").as_deref() == Some(&id)
                    })
                    .await?;
                if heard.stanza.name() == "iq" {
                    break heard.stanza;
                }
                all.push(heard.stanza);
            };
            ensure!(!fin.has_error(), "the archive of {room} cannot be read: {}", fin.0);
            if fin.inner_attr("fin", "complete").as_deref() == Some("true") || all.len() == before {
                return Ok(all);
            }
            let last = fin.text("last").context("a page without its last id")?;
            after = format!("<after>{}</after>", quick_xml::escape::escape(&last));
        }
    }
}

impl Stanza {
    /// Whether it is of type error.
    pub fn has_error(&self) -> bool {
        self.attr("type").as_deref() == Some("error")
    }
}

async fn listen(mut reader: OwnedReadHalf, mut splitter: Splitter, heard: mpsc::UnboundedSender<Heard>) {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let at = Instant::now();
        while let Some(text) = splitter.next() {
            if heard.send(Heard { stanza: Stanza(text), at }).is_err() {
                return;
            }
        }
        match reader.read(&mut chunk).await {
            Ok(read) if read > 0 => splitter.push(&chunk[..read]),
            _ => return,
        }
    }
}
