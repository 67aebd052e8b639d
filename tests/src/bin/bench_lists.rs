//! A large user list: upload, merge, a single change, the whole list in pages, memory, and how long messages take meanwhile, with
//! the hub and its embedded store in one process and a commit for each step; then the same list at a gateway that has just joined:
//! the first fetch, its disk and its memory. Without sockets.
//!
//! `cargo run --release -p intergroup-tests --bin bench_lists`

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Parser;
use intergroup_center::hub::{Action, AdminId, AdminRequest, Config, Event, Hub, LinkId, Proof};
use intergroup_center::store::Store;
use intergroup_center::store::embedded::EmbeddedStore;
use intergroup_schemas::ids::{AccountId, GatewayId, GroupNumber, ListVersion, N, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::link::{
    Edit, Hello, Relay, Request, RequestBody, ResponseBody, Resume, Settled, Timestamp, ToCenter, ToGateway, VERSION,
    decode,
};
use intergroup_schemas::list::{AccountEdit, Listed, Role};
use intergroup_tests::bench::mirror;

/// How many accounts of how many enterprises.
#[derive(Debug, Parser)]
struct Arguments {
    /// Accounts in all
    #[arg(long, default_value_t = 100_000)]
    accounts: usize,
    /// Enterprises, each with a gateway whose link is up
    #[arg(long, default_value_t = 50)]
    enterprises: usize,
    /// Only start a center with this store
    #[arg(long, hide = true)]
    center: Option<PathBuf>,
    /// Only start a gateway with this store
    #[arg(long, hide = true)]
    gateway: Option<PathBuf>,
}

struct Bench {
    hub: Hub,
    store: EmbeddedStore,
    links: Vec<LinkId>,
    /// Bytes sent on each link since they were last counted.
    sent: Vec<usize>,
    responses: Vec<ResponseBody>,
    group: GroupNumber,
    /// So late that nobody is ever over a rate.
    now: Timestamp,
}

fn name(n: usize) -> String {
    format!("e{n}")
}

fn on(user: String, role: Role) -> Result<AccountEdit> {
    let display = format!("{user} of the department of names").parse()?;
    Ok(AccountEdit { user: user.parse()?, listed: Some(Listed { display, role }) })
}

/// Resident memory of this process, in bytes.
fn resident() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).context("statm has two fields")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

impl Bench {
    fn event(&mut self, event: Event) -> Result<()> {
        let now = Timestamp(self.now.0 + 1000);
        self.now = now;
        self.hub.handle(event, now);
        while let Some(action) = self.hub.poll_action() {
            match action {
                Action::Commit { ticket, changes, .. } => {
                    self.store.commit(&changes)?;
                    self.hub.handle(Event::Committed(ticket), now);
                }
                Action::Send { link, frames } => {
                    let of_link = self.links.iter().position(|l| *l == link).context("a link of ours")?;
                    self.sent[of_link] += frames.bytes();
                    for frame in frames.stanzas().iter().filter(|f| f.starts_with(b"<response")) {
                        if let Ok(ToGateway::Response(response)) = decode::to_gateway(frame) {
                            self.responses.push(response.body);
                        }
                    }
                }
                Action::Close { condition, text, .. } => bail!("{}: {text}", condition.as_str()),
                Action::ReadHashes { link, places } => {
                    let hashes = places.iter().map(|(group, seq)| self.store.hash_at(*group, *seq));
                    let hashes = hashes.collect::<Result<_, _>>()?;
                    self.hub.handle(Event::Hashes { link, hashes }, now);
                }
                Action::ReadLog { link, group, after, entries, bytes } => {
                    let records = self.store.read_log(group, after, entries, bytes)?;
                    self.hub.handle(Event::Log { link, group, after, records }, now);
                }
                Action::ReadSources { group, gateway } => {
                    let sources = self.store.sources(group, &gateway)?;
                    self.hub.handle(Event::Sources { group, gateway, sources }, now);
                }
                Action::ReadList { reader, query } => {
                    let page = self.store.list_page(&query)?;
                    self.hub.handle(Event::List { reader, group: query.group, page }, now);
                }
                Action::Reply { .. } => {}
                other => bail!("nothing is shared here: {other:?}"),
            }
        }
        Ok(())
    }

    fn say(&mut self, of: usize, stanza: ToCenter) -> Result<()> {
        self.event(Event::Stanza { link: self.links[of], stanza })
    }

    fn ask(&mut self, of: usize, body: RequestBody) -> Result<ResponseBody> {
        self.say(of, ToCenter::Request(Request { id: 1, body }))?;
        self.responses.pop().context("an answer")
    }

    fn edit(&mut self, of: usize, n: u64, accounts: Vec<AccountEdit>) -> Result<()> {
        let (group, epoch, enterprise) = (self.group, format!("k{of}").parse()?, name(of).parse()?);
        self.say(of, ToCenter::Edit(Edit { group, epoch, n: N(n), enterprise, base: ListVersion(0), accounts }))
    }

    fn start(store: EmbeddedStore, enterprises: usize) -> Result<Self> {
        let hub = Hub::new(intergroup_center::store::Snapshot::default(), Config::default());
        let links = (0..enterprises).map(|n| LinkId(n as u64 + 1)).collect();
        let sent = vec![0; enterprises];
        let mut bench =
            Self { hub, store, links, sent, responses: Vec::new(), group: GroupNumber(0), now: Timestamp(0) };
        for n in 0..enterprises {
            let gateway = GatewayId { enterprise: name(n).parse()?, gateway: "main".parse()? };
            let mut secret = [7; 32];
            secret[..8].copy_from_slice(&(n as u64).to_le_bytes());
            let (expires, id) = (Timestamp(i64::MAX), AdminId(n as u64));
            let add =
                AdminRequest::AddEnterprise { gateway: gateway.clone(), display: None, secret, expires, again: false };
            bench.event(Event::Admin { id, request: add })?;
            let (gateway_, proof) = (gateway.clone(), Proof::Code(secret));
            let certify = AdminRequest::Certify { gateway: gateway_, certificate: secret, expires, proof };
            bench.event(Event::Admin { id, request: certify })?;
            bench.event(Event::LinkOpened { link: bench.links[n], gateway, certificate: secret })?;
            let hello = Hello { version: VERSION, software: "bench".into(), groups: Vec::new() };
            bench.say(n, ToCenter::Hello(hello))?;
        }
        let made = bench.ask(0, RequestBody::CreateGroup { name: "Apollo".into() })?;
        let ResponseBody::Group(info) = made else { bail!("no group but {made:?}") };
        let group = info.number;
        bench.group = group;
        for n in 0..enterprises {
            if n > 0 {
                bench.ask(0, RequestBody::AllowEnterprise { group, enterprise: name(n).parse()? })?;
                bench.ask(n, RequestBody::JoinGroup { group })?;
            }
            bench.say(n, ToCenter::Resume(Resume { group, after: Seq(0) }))?;
        }
        Ok(bench)
    }

    /// Everybody has taken everything.
    fn settle(&mut self, head: Seq) -> Result<()> {
        for n in 0..self.links.len() {
            self.say(n, ToCenter::Settled(Settled { group: self.group, upto: head, refused: Vec::new() }))?;
            self.say(n, ToCenter::Credit(intergroup_schemas::link::Credit { count: limits::LINK_CREDIT }))?;
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let Arguments { accounts, enterprises, center, gateway } = Arguments::parse();
    match (center, gateway) {
        (Some(path), _) => return start_center(&path),
        (_, Some(path)) => return start_gateway(&path),
        (None, None) => {}
    }
    let temp = tempfile::tempdir()?;
    let path = temp.path().join("center.db");
    let mut bench = Bench::start(EmbeddedStore::open(&path)?, enterprises)?;
    let before = resident()?;

    // Upload, each edit a commit of its own; a message between any two.
    let each = accounts / enterprises;
    let (mut edits, mut messages) = (Vec::new(), Vec::new());
    for of in 0..enterprises {
        let users: Vec<_> = (0..each).map(|u| on(format!("user{u}"), Role::Speak)).collect::<Result<_>>()?;
        let mut n = 0;
        for chunk in users.chunks(limits::ACCOUNTS_PER_EDIT) {
            n += 1;
            let begun = Instant::now();
            bench.edit(of, n, chunk.to_vec())?;
            edits.push(begun.elapsed());
            n += 1;
            let relay = Relay {
                group: bench.group,
                epoch: format!("k{of}").parse()?,
                n: N(n),
                source: None,
                list: ListVersion(0),
                user: "user0".parse()?,
                nick: "User".parse()?,
                at: Timestamp(1),
                late: false,
                payload: Bytes::from_static(b"<body>hello</body>"),
            };
            let begun = Instant::now();
            bench.say(of, ToCenter::Relay(relay))?;
            messages.push(begun.elapsed());
            bench.settle(Seq(u64::MAX))?;
        }
    }
    let whole: Duration = edits.iter().sum();
    println!("{accounts} accounts of {enterprises} enterprises, {} edits", edits.len());
    println!("upload, merged, on disk and out on every link: {:.2} s in all, {}", whole.as_secs_f64(), spread(edits));
    println!("a message between two edits: {}", spread(messages));

    bench.sent.fill(0);
    let begun = Instant::now();
    let epoch_n = 2 * each.div_ceil(limits::ACCOUNTS_PER_EDIT) as u64 + 1;
    bench.edit(0, epoch_n, vec![on("user1".into(), Role::ReadOnly)?])?;
    let took = begun.elapsed();
    let most = bench.sent.iter().max().copied().unwrap_or_default();
    println!("a single change: {:.2} ms, {most} bytes at most on a link", took.as_secs_f64() * 1e3);

    // The whole list, as a gateway that joins fetches it.
    let (mut pages, mut rows, mut since, mut after) = (Vec::new(), 0, ListVersion(0), None::<AccountId>);
    bench.sent.fill(0);
    loop {
        let begun = Instant::now();
        let body = RequestBody::FetchList { group: bench.group, since, after: after.clone() };
        let answer = bench.ask(1, body)?;
        pages.push(begun.elapsed());
        let ResponseBody::List { page, .. } = answer else { bail!("no page but {answer:?}") };
        rows += page.rows.len();
        match page.rows.last().filter(|_| page.more) {
            Some(row) => (since, after) = (row.version, Some(row.account.clone())),
            None => break,
        }
    }
    let whole: Duration = pages.iter().sum();
    let bytes = bench.sent[1];
    println!(
        "the whole list: {rows} rows, {} pages, {bytes} bytes, {:.2} s, a page {}",
        pages.len(),
        whole.as_secs_f64(),
        spread(pages)
    );

    let grown = resident()?.saturating_sub(before);
    let file = std::fs::metadata(&path)?.len();
    println!("memory: {} bytes an account more than before, caches and all", grown / accounts as u64);
    println!("the center's file has {file} bytes");
    let group = bench.group;
    ensure!(group == GROUP, "the first group is {GROUP}");
    drop(bench);

    let mirrored = temp.path().join("gateway.db");
    let fetched = mirror::fetch(&mirrored, &mut EmbeddedStore::open(&path)?, group, FETCHER)?;
    println!(
        "a gateway that has just joined: {:.2} s for {} pages, each a commit; its files have {} bytes",
        fetched.took.as_secs_f64(),
        fetched.pages,
        fetched.disk
    );
    // In processes of their own, or memory that was used before would be used again.
    for (flag, path) in [("--center", &path), ("--gateway", &mirrored)] {
        let status = Command::new(std::env::current_exe()?).arg(flag).arg(path).status()?;
        ensure!(status.success(), "the list could not be loaded");
    }
    Ok(())
}

/// The group of the run.
const GROUP: GroupNumber = GroupNumber(10_001);
/// Whose gateway fetches the list.
const FETCHER: &str = "e1";

/// A center that starts with the list.
fn start_center(path: &Path) -> Result<()> {
    let mut store = EmbeddedStore::open(path)?;
    let (before, begun) = (resident()?, Instant::now());
    let snapshot = store.load()?;
    let accounts: usize = snapshot.parts.iter().map(|part| part.accounts.len()).sum();
    let hub = Hub::new(snapshot, Config::default());
    tell_start("a center", begun.elapsed(), resident()?.saturating_sub(before), accounts);
    drop(hub);
    Ok(())
}

/// A gateway that starts with the list.
fn start_gateway(path: &Path) -> Result<()> {
    let (started, before, after) = mirror::start(path, GROUP, FETCHER, resident)?;
    tell_start("a gateway", started.took, after.saturating_sub(before), started.accounts);
    Ok(())
}

fn tell_start(who: &str, took: Duration, grown: u64, accounts: usize) {
    println!(
        "{who} starts with {accounts} accounts: {:.2} s, {} bytes an account",
        took.as_secs_f64(),
        grown / accounts.max(1) as u64
    );
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).map_or(0.0, |t| t.as_secs_f64() * 1e3);
    format!("p50 {:.2} ms, p99 {:.2} ms", at(50), at(99))
}
