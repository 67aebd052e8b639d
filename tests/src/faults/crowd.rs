//! People who talk at a fixed rate whatever happens to their server: they sign in again and go on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::audit::Sent;
use crate::load::{Account, Client, Stanza};

/// Longest try to sign in and join.
const SIGN_IN: Duration = Duration::from_secs(10);
/// Pause between two tries.
const RETRY: Duration = Duration::from_millis(200);
/// How long the last messages' reflections are waited for.
const LAST_ECHO: Duration = Duration::from_secs(20);

/// Who talks how.
#[derive(Debug, Clone)]
pub(super) struct Speaker {
    pub(super) account: Account,
    /// `acme/alice`
    pub(super) author: String,
    pub(super) nick: String,
    pub(super) room: String,
    /// The first message is due then, the next ones each `every` later.
    pub(super) begin: Instant,
    pub(super) every: Duration,
    pub(super) messages: u64,
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    /// Reflected.
    pub(super) accepted: Vec<Sent>,
    /// Sent, but not reflected.
    pub(super) unsure: BTreeSet<Sent>,
    /// Largest delay of a message against its time, while signed in.
    pub(super) late: Duration,
    /// How often the connection broke.
    pub(super) breaks: u64,
}

async fn enter(speaker: &Speaker) -> Client {
    loop {
        let tried = timeout(SIGN_IN, async {
            let mut client = Client::connect(&speaker.account, "crowd").await?;
            client.join(&speaker.room, &speaker.nick).await?;
            anyhow::Ok(client)
        });
        if let Ok(Ok(client)) = tried.await {
            return client;
        }
        sleep(RETRY).await;
    }
}

/// Which of the messages under way this stanza reflects.
fn reflected(stanza: &Stanza, mine: &str, under_way: &mut BTreeMap<String, Sent>) -> Option<Sent> {
    if stanza.name() != "message" || stanza.attr("from")? != mine || stanza.has_error() {
        return None;
    }
    under_way.remove(&stanza.attr("id")?)
}

/// Talks until everything has been said.
pub(super) async fn speak(speaker: Speaker) -> Spoken {
    let mine = format!("{}/{}", speaker.room, speaker.nick);
    let mut spoken = Spoken::default();
    let mut n = 0;
    let mut last = None;
    loop {
        let mut client = enter(&speaker).await;
        let entered = Instant::now();
        let mut under_way = BTreeMap::new();
        loop {
            let due = match last {
                Some(end) => end,
                None => speaker.begin + speaker.every * n as u32,
            };
            tokio::select! {
                heard = client.next() => match heard {
                    Some(heard) => spoken.accepted.extend(reflected(&heard.stanza, &mine, &mut under_way)),
                    None => break,
                },
                () = sleep_until(due), if last.is_some() || n < speaker.messages => {
                    if last.is_some() {
                        spoken.unsure.extend(under_way.into_values());
                        return spoken;
                    }
                    n += 1;
                    // Ids of one person's several connections must differ: the number is the message's own.
                    let (id, sent) = (format!("{}-{n}", speaker.author), Sent { author: speaker.author.clone(), n });
                    let text = format!(
                        "<message type='groupchat' to='{}' id='{id}'><body>{} {n} and some words, as people use \
                         them</body></message>",
                        speaker.room, speaker.author
                    );
                    if due > entered {
                        spoken.late = spoken.late.max(due.elapsed());
                    }
                    under_way.insert(id, sent);
                    if client.send(&text).await.is_err() {
                        break;
                    }
                }
            }
            if n == speaker.messages && last.is_none() {
                last = Some(Instant::now() + LAST_ECHO);
            }
            if last.is_some() && under_way.is_empty() {
                return spoken;
            }
        }
        // Whether the server took them before the connection broke only the archive knows.
        spoken.unsure.extend(under_way.into_values());
        spoken.breaks += 1;
        if last.is_some() {
            return spoken;
        }
    }
}
