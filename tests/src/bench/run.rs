//! One round: a publisher with so many messages in flight, receivers, a warm-up, a window in which things are counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use intergroup_schemas::ids::{ListVersion, N};
use intergroup_schemas::link::{Relay, RequestBody, Timestamp, ToCenter};

use super::center::Center;
use super::link::{Link, number};
use super::process::Server;
use super::{age_us, payload, redis};

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Links that receive.
    pub receivers: usize,
    /// Messages published and not yet acknowledged.
    pub in_flight: u64,
    /// Before counting begins.
    pub warm_up: Duration,
    /// While counting.
    pub window: Duration,
}

/// What a round has shown.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Acknowledged messages a second.
    pub stored: f64,
    /// Deliveries a second, all receivers together.
    pub delivered: f64,
    /// Seconds of the server's processor time for a million deliveries.
    pub cpu: f64,
    /// Milliseconds from sending to acknowledgement: half of all, and 99 of a hundred, at most.
    pub ack: (f64, f64),
    /// Milliseconds from sending to a receiver.
    pub delivery: (f64, f64),
    /// Highest resident memory in mebibytes, from the server's start to the end of the round.
    pub memory: f64,
    /// Commits (each one fsync) a second, where the server counts them.
    pub commits: Option<f64>,
}

/// What the threads of a round share.
struct Shared {
    start: Instant,
    counting: AtomicBool,
    stop: AtomicBool,
    stored: AtomicU64,
    delivered: AtomicU64,
    /// All that was published, once it is known.
    total: AtomicU64,
}

/// One in so many deliveries is timed.
const TIMED: u64 = 16;

type Latencies = Histogram<u64>;

fn latencies() -> Result<Latencies> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

impl Shared {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            counting: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            stored: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            total: AtomicU64::new(u64::MAX),
        }
    }

    fn counting(&self) -> bool {
        self.counting.load(Ordering::Relaxed)
    }

    fn record(&self, to: &mut Latencies, us: u64) {
        if self.counting() {
            to.saturating_record(us.max(1));
        }
    }
}

/// Sends and is told of acknowledgements, as far as the server goes.
trait Publisher: Send {
    /// Appends message `n`.
    fn append(&mut self, n: u64, payload: &[u8]) -> Result<()>;
    /// Sends what was appended, reads once, and says how many are acknowledged by now.
    fn turn(&mut self) -> Result<u64>;
}

/// Receives.
trait Receiver: Send {
    /// Reads once and shows what every message carries.
    fn turn(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<()>;
}

fn publish(shared: &Shared, plan: &Plan, publisher: &mut dyn Publisher) -> Result<Latencies> {
    let mut ack = latencies()?;
    let (mut sent, mut acked) = (0, 0);
    let mut sent_at = std::collections::VecDeque::new();
    let mut text = Vec::new();
    while acked < sent || !shared.stop.load(Ordering::Relaxed) {
        while sent < acked + plan.in_flight && !shared.stop.load(Ordering::Relaxed) {
            sent += 1;
            text.clear();
            payload(&mut text, shared.start);
            publisher.append(sent, &text)?;
            sent_at.push_back(Instant::now());
        }
        let upto = publisher.turn()?;
        for at in sent_at.drain(..usize::try_from(upto - acked)?) {
            shared.record(&mut ack, u64::try_from(at.elapsed().as_micros())?);
        }
        acked = upto;
        shared.stored.store(acked, Ordering::Relaxed);
    }
    shared.total.store(sent, Ordering::Relaxed);
    Ok(ack)
}

fn receive(shared: &Shared, receiver: &mut dyn Receiver) -> Result<Latencies> {
    let mut delivery = latencies()?;
    let mut count = 0;
    while count < shared.total.load(Ordering::Relaxed) {
        let before = count;
        receiver.turn(&mut |message| {
            count += 1;
            if count % TIMED == 0
                && let Some(us) = age_us(message, shared.start)
            {
                shared.record(&mut delivery, us);
            }
        })?;
        shared.delivered.fetch_add(count - before, Ordering::Relaxed);
    }
    ensure!(count == shared.total.load(Ordering::Relaxed), "more came than was sent");
    Ok(delivery)
}

fn quantiles(of: &Latencies) -> (f64, f64) {
    let ms = |q| of.value_at_quantile(q) as f64 / 1000.0;
    (ms(0.5), ms(0.99))
}

fn sum(servers: &[&Server], of: fn(&Server) -> Result<f64>) -> Result<f64> {
    servers.iter().map(|server| of(server)).sum()
}

fn round(
    plan: &Plan,
    servers: &[&Server],
    commits: &dyn Fn() -> Result<Option<u64>>,
    mut publisher: Box<dyn Publisher>,
    receivers: Vec<Box<dyn Receiver>>,
) -> Result<Outcome> {
    let shared = Shared::new();
    std::thread::scope(|scope| {
        let receiving: Vec<_> = receivers
            .into_iter()
            .map(|mut r| {
                let shared = &shared;
                scope.spawn(move || receive(shared, r.as_mut()))
            })
            .collect();
        let publishing = scope.spawn(|| publish(&shared, plan, publisher.as_mut()));
        std::thread::sleep(plan.warm_up);
        let look = || -> Result<_> {
            let counts = (shared.stored.load(Ordering::Relaxed), shared.delivered.load(Ordering::Relaxed));
            Ok((Instant::now(), counts, sum(servers, Server::cpu_s)?))
        };
        let measure = || -> Result<_> {
            let commits_before = commits()?;
            shared.counting.store(true, Ordering::Relaxed);
            let before = look()?;
            std::thread::sleep(plan.window);
            let after = look()?;
            shared.counting.store(false, Ordering::Relaxed);
            Ok((before, after, commits_before.zip(commits()?)))
        };
        let measured = measure();
        // Whatever came of it, the threads must end.
        shared.stop.store(true, Ordering::Relaxed);
        let ack = publishing.join().map_err(|_| anyhow::anyhow!("the publisher panicked"))??;
        let mut delivery = latencies()?;
        for one in receiving {
            delivery.add(one.join().map_err(|_| anyhow::anyhow!("a receiver panicked"))??)?;
        }
        let (before, after, commits) = measured?;
        let seconds = (after.0 - before.0).as_secs_f64();
        let delivered = (after.1.1 - before.1.1) as f64;
        Ok(Outcome {
            stored: (after.1.0 - before.1.0) as f64 / seconds,
            delivered: delivered / seconds,
            cpu: (after.2 - before.2) / delivered * 1e6,
            ack: quantiles(&ack),
            delivery: quantiles(&delivery),
            memory: sum(servers, Server::peak_mib)?,
            commits: commits.map(|(before, after)| (after - before) as f64 / seconds),
        })
    })
}

// ---------------------------------------------------------------- the center

struct LinkPublisher {
    link: Link,
    relay: Relay,
    decided: u64,
}

impl Publisher for LinkPublisher {
    fn append(&mut self, n: u64, payload: &[u8]) -> Result<()> {
        self.relay.n = N(n);
        self.relay.source = Some(format!("bench:{n}").parse()?);
        self.relay.payload = bytes::Bytes::copy_from_slice(payload);
        self.link.send(&ToCenter::Relay(self.relay.clone()));
        Ok(())
    }

    fn turn(&mut self) -> Result<u64> {
        self.link.flush()?;
        let decided = &mut self.decided;
        self.link.turn(self.relay.group, |frame| {
            if frame.starts_with(b"<decided ") {
                *decided = number(frame, b" n='").unwrap_or(*decided).max(*decided);
            }
        })?;
        Ok(self.decided)
    }
}

struct LinkReceiver {
    link: Link,
    group: intergroup_schemas::ids::GroupNumber,
}

impl Receiver for LinkReceiver {
    fn turn(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.link.turn(self.group, |frame| {
            if frame.starts_with(b"<deliver ") {
                each(frame);
            }
        })
    }
}

/// A round with a center on its embedded store.
///
/// # Errors
/// Any step's; a message that is missing, doubled or out of order.
pub fn center(plan: &Plan) -> Result<Outcome> {
    with_center(plan, None).context("the round with the center")
}

/// A round with a center on a Redis of its own; processor time and memory are of both together.
///
/// # Errors
/// As [`center`].
pub fn center_on_redis(plan: &Plan) -> Result<Outcome> {
    let dir = tempfile::tempdir()?;
    let (server, address) = redis::start(dir.path())?;
    let store = format!("redis://{address}");
    with_center(plan, Some((&store, &server))).context("the round with the center on Redis")
}

fn with_center(plan: &Plan, store: Option<(&str, &Server)>) -> Result<Outcome> {
    let dir = tempfile::tempdir()?;
    let center = Center::start(&dir.path().join("center"), store.map(|(address, _)| address))?;
    let mut owner = Link::open(&center.address, center.enrol("publisher")?)?;
    let group = owner.ask(RequestBody::CreateGroup { name: "bench".into() })?;
    owner.resume(group.number, group.joined_at)?;
    let mut receivers: Vec<Box<dyn Receiver>> = Vec::new();
    let mut list = ListVersion(0);
    for n in 0..plan.receivers {
        let name = format!("receiver-{n}");
        let mut link = Link::open(&center.address, center.enrol(&name)?)?;
        owner.ask(RequestBody::AllowEnterprise { group: group.number, enterprise: name.parse()? })?;
        let joined = link.ask(RequestBody::JoinGroup { group: group.number })?;
        list = joined.list;
        link.resume(joined.number, joined.joined_at)?;
        receivers.push(Box::new(LinkReceiver { link, group: group.number }));
    }
    let relay = Relay {
        group: group.number,
        epoch: "e1".parse()?,
        n: N(0),
        source: None,
        list,
        user: "alice".parse()?,
        nick: "Alice".parse()?,
        at: Timestamp(1_795_343_122_123),
        late: false,
        payload: bytes::Bytes::new(),
    };
    let publisher = Box::new(LinkPublisher { link: owner, relay, decided: 0 });
    let commits = || center.figure("/counters/commits").map(Some);
    let servers: Vec<_> = std::iter::once(&center.server).chain(store.map(|(_, server)| server)).collect();
    round(plan, &servers, &commits, publisher, receivers)
}

// ---------------------------------------------------------------- Redis

struct RedisPublisher {
    client: redis::Client,
    acked: u64,
}

impl Publisher for RedisPublisher {
    fn append(&mut self, _: u64, payload: &[u8]) -> Result<()> {
        self.client.add(payload)
    }

    fn turn(&mut self) -> Result<u64> {
        self.client.flush()?;
        self.client.receive()?;
        while self.client.next_element()?.is_some() {
            self.acked += 1;
        }
        Ok(self.acked)
    }
}

struct RedisReceiver {
    client: redis::Client,
    asked: bool,
    /// Elements still to come of the entries of the answer under way; none before its head.
    entries: Option<(u64, Vec<u8>)>,
    head: usize,
    part: usize,
}

/// Elements before the entries of an answer: two array heads, the stream's name, the array head of the entries.
const ANSWER_HEAD: usize = 4;
/// Elements of an entry: an array head, its id, an array head, the field, the value.
const ENTRY_PARTS: usize = 5;

impl Receiver for RedisReceiver {
    fn turn(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        if !self.asked {
            self.asked = true;
            let after = self.entries.take().map_or_else(|| b"0".to_vec(), |(_, id)| id);
            self.client.read_after(&after)?;
            self.client.flush()?;
            (self.head, self.part) = (0, 0);
        }
        self.client.receive()?;
        while let Some(element) = self.client.next_element()? {
            if self.head < ANSWER_HEAD {
                self.head += 1;
                if self.head == ANSWER_HEAD {
                    let count = std::str::from_utf8(&element[1..])?.parse()?;
                    self.entries = Some((count, Vec::new()));
                }
                continue;
            }
            let (left, id) = self.entries.as_mut().context("no head")?;
            self.part += 1;
            if self.part == 2 {
                id.clear();
                id.extend_from_slice(element);
            } else if self.part == ENTRY_PARTS {
                each(element);
                self.part = 0;
                *left -= 1;
                if *left == 0 {
                    self.asked = false;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// A round with Redis Streams.
///
/// # Errors
/// Any step's.
pub fn redis_streams(plan: &Plan) -> Result<Outcome> {
    let dir = tempfile::tempdir()?;
    let (server, address) = redis::start(dir.path())?;
    let mut receivers: Vec<Box<dyn Receiver>> = Vec::new();
    for _ in 0..plan.receivers {
        let client = redis::Client::connect(&address)?;
        receivers.push(Box::new(RedisReceiver { client, asked: false, entries: None, head: 0, part: 0 }));
    }
    let publisher = Box::new(RedisPublisher { client: redis::Client::connect(&address)?, acked: 0 });
    round(plan, &[&server], &|| Ok(None), publisher, receivers).context("the round with Redis")
}
