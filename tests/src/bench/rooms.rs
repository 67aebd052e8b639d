//! Traffic in a room, or in two that are bridged: senders, those who hear, and how long it took.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::load::{Account, Client};

/// Bytes of a message's text.
const BODY_BYTES: usize = 200;
/// What stands before the message's number.
const MARK: &str = "<body>bench ";
/// Digits of the number.
const DIGITS: usize = 10;
/// Longest wait for a message that was sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// How messages are sent.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// So many a second, whatever comes of them.
    Open(u32),
    /// The next one when of those before only so many, less one, have not reached everybody on the far side.
    Closed(u64),
}

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How messages are sent.
    pub load: Load,
    /// Before counting begins.
    pub warm_up: Duration,
    /// While counting.
    pub window: Duration,
}

/// Who is where.
#[derive(Debug, Clone)]
pub struct Cast {
    /// They speak in turn.
    pub senders: Vec<Account>,
    /// Others in the senders' room.
    pub near: Vec<Account>,
    /// People of the other company.
    pub far: Vec<Account>,
    /// The room that the senders and those beside them join.
    pub near_room: String,
    /// The room that the others join: the same, or one that is bridged to it.
    pub far_room: String,
}

/// What was seen while counting.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Messages that everybody on the far side got.
    pub messages: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Milliseconds from sending to each of the far side: half of all, 99 of a hundred at most, the longest.
    pub far: [f64; 3],
    /// The same for those beside the senders.
    pub near: [f64; 3],
    /// How much later than its time a message was sent, at most, in milliseconds (open loop only).
    pub late: f64,
}

#[derive(Debug)]
struct Board {
    sent: Vec<Instant>,
    /// How many of the far side have message n.
    have: Vec<usize>,
    from: Option<Instant>,
    until: Option<Instant>,
    far: Histogram<u64>,
    near: Histogram<u64>,
}

#[derive(Debug)]
struct Shared {
    board: Mutex<Board>,
    everybody: usize,
    done: watch::Sender<u64>,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self, n: usize, at: Instant, far: bool) -> Result<()> {
        let mut board = self.board();
        let sent = *board.sent.get(n).context("a message that nobody sent")?;
        if board.from.is_some_and(|from| sent >= from) && board.until.is_none_or(|until| sent < until) {
            let us = u64::try_from(at.saturating_duration_since(sent).as_micros())?.max(1);
            if far { &mut board.far } else { &mut board.near }.saturating_record(us);
        }
        if far {
            board.have[n] += 1;
            if board.have[n] == self.everybody {
                self.done.send_modify(|done| *done += 1);
            }
        }
        Ok(())
    }
}

fn text(room: &str, n: usize) -> String {
    let mut body = format!("bench {n:0DIGITS$} ");
    body.extend(std::iter::repeat_n('x', BODY_BYTES - body.len()));
    format!("<message type='groupchat' to='{room}' id='b{n}'><body>{body}</body></message>")
}

fn number(stanza: &str) -> Option<usize> {
    let at = memchr::memmem::find(stanza.as_bytes(), MARK.as_bytes())? + MARK.len();
    stanza.get(at..at + DIGITS)?.parse().ok()
}

/// Hears everything; fails when a message is missing, comes twice or before an earlier one of its sender.
async fn listen(mut client: Client, shared: Arc<Shared>, senders: usize, far: bool) -> Result<()> {
    let mut expected: Vec<usize> = (0..senders).collect();
    while let Some(heard) = client.next().await {
        let Some(n) = number(&heard.stanza.0) else {
            ensure!(!heard.stanza.has_error(), "{} got {}", client.jid, heard.stanza.0);
            continue;
        };
        ensure!(heard.stanza.0.contains("<stanza-id "), "the room keeps no archive: {}", heard.stanza.0);
        let next = &mut expected[n % senders];
        ensure!(n == *next, "{} heard message {n} of a sender where {next} was due", client.jid);
        *next += senders;
        shared.heard(n, heard.at, far)?;
    }
    bail!("the connection of {} ended", client.jid)
}

/// Says what it is told to, and looks at what it hears, as a client does.
async fn speak(mut client: Client, room: String, mut orders: mpsc::UnboundedReceiver<usize>) -> Result<()> {
    loop {
        tokio::select! {
            heard = client.next() => {
                let heard = heard.with_context(|| format!("the connection of {} ended", client.jid))?;
                ensure!(!heard.stanza.has_error(), "{} got {}", client.jid, heard.stanza.0);
            }
            Some(n) = orders.recv() => client.send(&text(&room, n)).await?,
        }
    }
}

async fn enter(account: &Account, side: &str, room: &str) -> Result<Client> {
    let mut client = Client::connect(account, "bench").await?;
    client.join(room, &format!("{} {side}", account.user)).await?;
    Ok(client)
}

fn milliseconds(of: &Histogram<u64>) -> [f64; 3] {
    [of.value_at_quantile(0.5), of.value_at_quantile(0.99), of.max()].map(|us| us as f64 / 1000.0)
}

struct Driver<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    orders: Vec<mpsc::UnboundedSender<usize>>,
}

impl Driver<'_> {
    async fn wait(&self, done: &mut watch::Receiver<u64>, fits: impl FnMut(&u64) -> bool) -> Result<u64> {
        let waiting = timeout(PATIENCE, done.wait_for(fits)).await;
        let got = waiting.with_context(|| format!("{} s without a message", PATIENCE.as_secs()))??;
        Ok(*got)
    }

    async fn drive<T>(&self, look: impl Fn() -> Result<T>) -> Result<(Seen, T, T)> {
        let mut done = self.shared.done.subscribe();
        let begin = Instant::now();
        let (mut before, mut late) = (None, Duration::ZERO);
        let mut n = 0;
        let (before, after) = loop {
            match self.plan.load {
                Load::Open(rate) => {
                    let due = begin + Duration::from_secs(n) / rate;
                    sleep_until(due.into()).await;
                    late = late.max(due.elapsed());
                }
                Load::Closed(in_flight) => {
                    self.wait(&mut done, |done| n - *done < in_flight).await?;
                }
            }
            let now = Instant::now();
            if before.is_none() && now >= begin + self.plan.warm_up {
                self.shared.board().from = Some(now);
                late = Duration::ZERO;
                before = Some((now, *done.borrow(), look()?));
            }
            if let Some(before) = before.take_if(|(from, _, _)| now >= *from + self.plan.window) {
                self.shared.board().until = Some(now);
                break (before, (now, *done.borrow(), look()?));
            }
            {
                let mut board = self.shared.board();
                board.sent.push(Instant::now());
                board.have.push(0);
            }
            let place = usize::try_from(n)?;
            self.orders[place % self.orders.len()].send(place).context("a sender is gone")?;
            n += 1;
        };
        self.wait(&mut done, |done| *done == n).await.context("the last messages")?;
        let board = self.shared.board();
        let seen = Seen {
            messages: after.1 - before.1,
            seconds: (after.0 - before.0).as_secs_f64(),
            far: milliseconds(&board.far),
            near: milliseconds(&board.near),
            late: late.as_secs_f64() * 1000.0,
        };
        Ok((seen, before.2, after.2))
    }
}

/// One piece of traffic. What `look` says when counting begins and when it ends is returned, too.
///
/// # Errors
/// Somebody cannot enter; a message is missing, comes twice or out of its sender's order.
pub async fn traffic<T>(plan: &Plan, cast: &Cast, look: impl Fn() -> Result<T>) -> Result<(Seen, T, T)> {
    let empty = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    let board = Board { sent: Vec::new(), have: Vec::new(), from: None, until: None, far: empty.clone(), near: empty };
    let shared = Arc::new(Shared { board: Mutex::new(board), everybody: cast.far.len(), done: watch::Sender::new(0) });
    let mut tasks = JoinSet::new();
    for (accounts, room, far) in [(&cast.near, &cast.near_room, false), (&cast.far, &cast.far_room, true)] {
        for account in accounts {
            let client = enter(account, if far { "there" } else { "here" }, room).await?;
            tasks.spawn(listen(client, shared.clone(), cast.senders.len(), far));
        }
    }
    let mut orders = Vec::new();
    for account in &cast.senders {
        let client = enter(account, "speaking", &cast.near_room).await?;
        let (tx, rx) = mpsc::unbounded_channel();
        orders.push(tx);
        tasks.spawn(speak(client, cast.near_room.clone(), rx));
    }
    let driver = Driver { plan, shared: &shared, orders };
    tokio::select! {
        ended = tasks.join_next() => match ended.context("nobody is here")?? {
            Ok(()) => bail!("somebody left"),
            Err(problem) => Err(problem),
        },
        seen = driver.drive(look) => seen,
    }
}
