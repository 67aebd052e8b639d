//! How long a change of affiliations takes to the other company's list: an owner's client gives or takes membership of a closed room,
//! and the time counts from the room's answer to the moment at which the other company's gateway shows it.
//!
//! `cargo run --release -p intergroup-tests --bin bench_members`

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use intergroup_gateway::control::{Answer, Request, ask};
use intergroup_schemas::ids::ListVersion;
use intergroup_tests::client::Person;
use intergroup_tests::world::{Company, Kind, World, run};

/// How much is changed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Changes at each server
    #[arg(long, default_value_t = 50)]
    changes: usize,
}

/// Longest wait for one change.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a company's gateway shows that somebody has come onto the list, or has gone.
fn wait_for(at: &Company, number: &str, account: &str, on: bool) -> Result<()> {
    let socket = at.gateway()?.dir().join("gateway.sock");
    let request = Request::Members { group: number.parse()?, since: ListVersion(0), after: None };
    let until = Instant::now() + PATIENCE;
    loop {
        let Ok(Answer::Members(page)) = ask(&socket, &request, PATIENCE) else { bail!("the list is not answered") };
        let row = page.rows.iter().find(|row| row.account.to_string() == account);
        if row.is_some_and(|row| row.listed.is_some()) == on {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{account} did not change within {} s", PATIENCE.as_secs());
    }
}

async fn measure(world: &World, here: &str, there: &str, number: &str, changes: usize) -> Result<Vec<Duration>> {
    let company = world.of(here);
    let room = company.server.room("closed");
    let owner = Person::sign_in(&company.server.account("alice")).await?;
    let mut times = Vec::new();
    for n in 0..changes {
        // Each comes, and goes with the next change.
        let (user, on) = (format!("u{}", n / 2), n % 2 == 0);
        let affiliation = if on { "member" } else { "none" };
        let item = format!("<item jid='{user}@{}' affiliation='{affiliation}'/>", company.server.plan.domain());
        let query = format!("<query xmlns='http://jabber.org/protocol/muc#admin'>{item}</query>");
        let answer = owner.ask("set", &room, &query).await?;
        let began = Instant::now();
        ensure!(!answer.has_error(), "{}", answer.0);
        tokio::task::block_in_place(|| wait_for(world.of(there), number, &format!("{here}/{user}"), on))?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { changes } = Arguments::parse();
    ensure!(changes > 0, "nothing to measure");
    let companies = World::builder().company("acme", "Acme", Kind::Prosody).company("globex", "Globex", Kind::Ejabberd);
    run(companies, async |world| {
        let settings = [("muc#roomconfig_persistentroom", "1"), ("muc#roomconfig_membersonly", "1")];
        for company in &world.companies {
            company.make_room_with("alice", "closed", &settings).await?;
        }
        let number = world.connect("closed").await?;
        for (here, there, server) in [("acme", "globex", "Prosody"), ("globex", "acme", "ejabberd")] {
            let times = measure(world, here, there, &number, changes).await?;
            let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
            println!("{server}: {changes} changes, p50 {:.1} ms, p95 {:.1} ms, most {:.1} ms", at(50), at(95), at(100));
        }
        Ok(())
    })
    .await
}
