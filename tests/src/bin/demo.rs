//! `cargo demo`: two companies on two kinds of server talk through the bridge, a gateway is killed in the middle, and nothing
//! is missing. Then it stays up for anybody's own client.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use intergroup_tests::audit::{Entry, Record, Sent, audit};
use intergroup_tests::client::Person;
use intergroup_tests::machine::{SERVERS, Steps, build_programs, install};
use intergroup_tests::world::{Kind, World};
use tokio::time::timeout;

/// Two companies talk through the bridge; a gateway is killed in the middle; nothing is missing.
#[derive(Debug, Parser)]
#[command(name = "cargo demo")]
struct Args {
    /// End when all was seen, instead of staying up
    #[arg(long)]
    once: bool,
    /// The programs have been built already
    #[arg(long, hide = true)]
    built: bool,
    /// Let one message vanish on its way into Globex's room: the demo must fail
    #[arg(long, hide = true)]
    withhold: bool,
    /// Longest wait for a message, in seconds
    #[arg(long, hide = true, default_value_t = 60)]
    patience: u64,
}

const ROOM: &str = "apollo";
/// Said before the gateway is killed.
const BEFORE: &[(&str, &str)] = &[
    ("acme", "Good morning! Is anybody at Globex awake?"),
    ("globex", "Good morning, Alice! I see you in our own room, with your company's name behind yours."),
    ("acme", "And I see you in ours. One conversation, two servers."),
    ("globex", "Let us see what happens when somebody pulls the plug."),
];
/// Said while Globex's gateway is dead: nobody hears the other side.
const DURING: &[(&str, &str)] = &[
    ("acme", "Bob, are you still there? Your gateway has just been killed."),
    ("globex", "I am talking into our room, and nobody outside hears it yet."),
    ("acme", "I just go on. My server keeps it, the center keeps it."),
    ("globex", "So do I. It must all arrive, once, in order."),
];
/// Said when it is back.
const AFTER: &[(&str, &str)] = &[
    ("globex", "We are back. Did you get what I said meanwhile?"),
    ("acme", "Every line of it, once, in order. And you mine?"),
    ("globex", "All of them."),
];

/// The conversation as people see it on the screen.
struct Transcript {
    colour: bool,
}

impl Transcript {
    fn line(&self, room: &str, nick: &str, text: &str) {
        let (start, off) = match (self.colour, room) {
            (false, _) => ("", ""),
            (true, "acme") => ("\x1b[36m", "\x1b[0m"),
            (true, _) => ("\x1b[33m", "\x1b[0m"),
        };
        let place = format!("{room}'s room");
        println!("   {start}{place:<14} {nick}: {text}{off}");
    }

    fn remark(&self, text: &str) {
        let (bold, off) = if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        println!("   {bold}-- {text}{off}");
    }
}

struct Side {
    company: &'static str,
    room: String,
    person: Person,
    nick: &'static str,
    /// How the other side sees this one.
    puppet: &'static str,
}

struct Demo {
    world: World,
    sides: [Side; 2],
    transcript: Transcript,
    patience: Duration,
}

impl Demo {
    fn pair(&self, company: &str) -> (&Side, &Side) {
        let [acme, globex] = &self.sides;
        if company == acme.company { (acme, globex) } else { (globex, acme) }
    }

    /// Says lines; their own rooms have them when this returns.
    async fn say(&self, lines: &[(&str, &str)]) -> Result<()> {
        for (company, text) in lines {
            let (from, _) = self.pair(company);
            from.person.say(&from.room, text).await?;
            from.person.hear_in(&from.room, from.nick, text).await?;
            self.transcript.line(from.company, from.nick, text);
        }
        Ok(())
    }

    /// Waits until the other side has heard them.
    async fn heard(&self, lines: &[(&str, &str)]) -> Result<()> {
        for (company, text) in lines {
            let (from, to) = self.pair(company);
            let heard = timeout(self.patience, to.person.hear_in(&to.room, from.puppet, text)).await;
            heard.map_err(anyhow::Error::from).flatten().with_context(|| {
                format!("what {} said did not arrive in {}'s room: {text:?}", from.nick, to.company)
            })?;
            self.transcript.line(to.company, from.puppet, text);
        }
        Ok(())
    }

    /// Each line is answered when it has been heard.
    async fn talk(&self, lines: &[(&str, &str)]) -> Result<()> {
        for line in lines {
            self.say(std::slice::from_ref(line)).await?;
            self.heard(std::slice::from_ref(line)).await?;
        }
        Ok(())
    }

    /// Both archives hold everything once, in order.
    async fn judge(&self) -> Result<()> {
        let spoken: Vec<(Sent, &str)> = [BEFORE, DURING, AFTER]
            .concat()
            .into_iter()
            .zip(1..)
            .map(|((company, text), n)| (Sent { author: company.to_owned(), n }, text))
            .collect();
        let mut records = Vec::new();
        for side in &self.sides {
            let archive = side.person.archive(&side.room).await?;
            let lines = archive.iter().filter_map(|stanza| {
                let body = stanza.text("body")?;
                let (sent, _) = spoken.iter().find(|(_, text)| body.ends_with(text))?;
                Some(Entry { sent: sent.clone(), foreign: sent.author != side.company })
            });
            let accepted = spoken.iter().map(|(sent, _)| sent.clone()).filter(|s| s.author == side.company);
            records.push(Record {
                company: side.company.into(),
                accepted: accepted.collect(),
                archive: lines.collect(),
                ..Record::default()
            });
        }
        let verdict = audit(&records);
        println!("   both rooms' archives: {verdict}");
        ensure!(
            verdict.is_good() && verdict.messages == spoken.len() && verdict.copies == spoken.len(),
            "the archives do not hold {} messages, each once in each room",
            spoken.len()
        );
        Ok(())
    }
}

async fn begin(args: &Args, colour: bool) -> Result<Demo> {
    let builder = World::builder().users(&["alice", "bob", "guest"]);
    let builder = builder.company("acme", "Acme", Kind::Prosody).company("globex", "Globex", Kind::Ejabberd);
    let mut world = if args.withhold { builder.relays() } else { builder }.start().await?;
    println!("   Prosody (acme.test), ejabberd (globex.test), the center and two gateways are running");
    if let (true, Some(ways)) = (args.withhold, &world.at("globex").ways) {
        ways.component.withhold(BEFORE[2].1);
        ways.component.cut_once();
    }
    world.share(ROOM).await?;
    println!("   the room {ROOM:?} of each company belongs to one group now");
    let mut sides = Vec::new();
    for (company, user, nick, puppet) in
        [("acme", "alice", "Alice", "Alice (Acme)"), ("globex", "bob", "Bob", "Bob (Globex)")]
    {
        let server = &world.at(company).server;
        let person = Person::sign_in(&server.account(user)).await?;
        let room = server.room(ROOM);
        person.join(&room, nick).await?;
        sides.push(Side { company, room, person, nick, puppet });
    }
    let sides = sides.try_into().ok().context("two sides were made")?;
    Ok(Demo { world, sides, transcript: Transcript { colour }, patience: Duration::from_secs(args.patience) })
}

async fn perform(steps: &Steps, args: &Args) -> Result<()> {
    let colour = std::io::stdout().is_terminal();
    println!("== starting two companies");
    let mut demo = begin(args, colour).await?;
    let told = async {
        println!(
            "== Alice (at Acme, on Prosody) and Bob (at Globex, on ejabberd) talk, each in the room of the own server"
        );
        demo.talk(BEFORE).await?;
        demo.transcript.remark("kill -9 of Globex's gateway; both go on talking");
        demo.world.at("globex").gateway_mut()?.process.kill();
        demo.say(DURING).await?;
        demo.transcript.remark("Globex's gateway is started again");
        demo.world.at("globex").gateway_mut()?.process.start()?;
        demo.heard(DURING).await?;
        demo.talk(AFTER).await?;
        println!("== is anything missing, doubled, out of order?");
        demo.judge().await
    };
    if let Err(problem) = told.await {
        println!("{}", demo.world.logs());
        return Err(problem);
    }
    println!("   nothing is missing: all was seen after {}", steps.elapsed());
    if !args.once {
        stay(&mut demo).await?;
    }
    Ok(())
}

/// Says how to join, and waits for Ctrl-C.
async fn stay(demo: &mut Demo) -> Result<()> {
    println!("== join with your own client (no encryption: everything is on this machine's loopback)");
    for company in &demo.world.companies {
        let server = &company.server;
        println!("   at {} ({:?}):", company.display, server.plan.kind);
        let (at, account) = (server.clients(), server.account("guest"));
        println!("     server host {} port {}, STARTTLS off", at.ip(), at.port());
        println!("     JID guest@{}, password {}, room {}", account.domain, account.password, server.room(ROOM));
    }
    println!("   logs and data: {}", demo.world.dir().display());
    println!("   Ctrl-C ends it.");
    tokio::signal::ctrl_c().await?;
    println!("ending");
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let steps = Steps::default();
    let outcome = (|| {
        steps.step("Debian packages", || install(SERVERS, |text| println!("   {text}")))?;
        if !args.built {
            steps.step("building the center and the gateway", build_programs)?;
        }
        tokio::runtime::Runtime::new()?.block_on(perform(&steps, &args))
    })();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("cargo demo: {problem:#}");
            ExitCode::FAILURE
        }
    }
}
