//! Answers, for people and for programs.

use anyhow::{Result, bail};
use intergroup_schemas::list::AccountRow;
use serde::Serialize;
use serde_json::{Value, json};

use crate::admin::Answer;
use crate::config::{Config, Dir};
use crate::hub::AdminReply;
use crate::hub::status::{EnterpriseStatus, GroupStatus, Status};

/// After `init`.
pub(super) fn made(dir: &Dir, config: &Config, as_json: bool) {
    let path = dir.0.display();
    if as_json {
        println!("{}", json!({ "dir": dir.0, "listen": config.listen, "addresses": config.dialled() }));
    } else {
        println!("The center {:?} is made in {path}.", config.name);
        println!("Keep a copy of authority.key and authority.pem: without them every gateway must enrol again.");
        println!("Start it with: intergroup-center serve --dir {path}");
    }
    for address in config.dialled().iter().filter(|a| a.starts_with("127.") || a.starts_with("localhost:")) {
        eprintln!("note: {address} can be reached from this machine only (--listen)");
    }
}

/// Prints what the daemon answered. A list of which `one` was asked for is shown in full.
pub(super) fn answer(answer: Answer, as_json: bool, one: bool) -> Result<()> {
    if as_json {
        println!("{}", value(answer, one)?);
        return Ok(());
    }
    match answer {
        Answer::Code { code, gateway, expires } => {
            println!("{code}");
            eprintln!("This code makes the gateway {gateway}. It is good once, until {expires}.");
            eprintln!("Send it to the enterprise's administrator over a channel that you trust.");
        }
        Answer::Status { name, addresses, status } => show_status(&name, &addresses, &status),
        Answer::Reply(reply) => match reply {
            AdminReply::Done => println!("done"),
            AdminReply::Enterprises(all) => all.iter().for_each(enterprise),
            AdminReply::Groups(all) if one => all.iter().for_each(group),
            AdminReply::Groups(all) => all.iter().for_each(group_line),
            AdminReply::Members(_) | AdminReply::Status(_) | AdminReply::Gateway { .. } => {
                bail!("the center answered something else")
            }
            AdminReply::Refused { text, .. } => bail!("{text}"),
        },
    }
    Ok(())
}

fn value(answer: Answer, one: bool) -> Result<Value> {
    fn all<T: Serialize>(list: &[T], one: bool) -> Value {
        match list {
            [only] if one => json!(only),
            list => json!(list),
        }
    }
    Ok(match answer {
        Answer::Code { code, gateway, expires } => json!({ "code": code, "gateway": gateway, "expires": expires }),
        Answer::Status { name, addresses, status } => {
            let mut value = serde_json::to_value(status)?;
            value["name"] = json!(name);
            value["addresses"] = json!(addresses);
            value
        }
        Answer::Reply(reply) => match reply {
            AdminReply::Done => json!({ "done": true }),
            AdminReply::Enterprises(list) => all(&list, one),
            AdminReply::Groups(list) => all(&list, one),
            AdminReply::Members(_) | AdminReply::Status(_) | AdminReply::Gateway { .. } => {
                bail!("the center answered something else")
            }
            AdminReply::Refused { text, .. } => bail!("{text}"),
        },
    })
}

/// Everybody on a user list.
pub(super) fn members(rows: &[AccountRow], as_json: bool) {
    if as_json {
        println!("{}", json!(rows));
        return;
    }
    for row in rows {
        if let Some(listed) = &row.listed {
            println!("{}  {}  {}  since version {}", row.account, listed.display, word(&listed.role), row.version);
        }
    }
}

fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn enterprise(e: &EnterpriseStatus) {
    let codes = if e.open_codes > 0 { format!(", {} unused code(s)", e.open_codes) } else { String::new() };
    println!("{}  {}  {}{codes}", e.id, e.display, word(&e.state));
    rate(e.paced, e.waiting);
    for gateway in &e.gateways {
        let online = if gateway.online { "online" } else { "offline" };
        println!("    {}  {online}  certificate ends {}", gateway.gateway, gateway.certificate_ends.to_wire());
    }
}

fn rate(paced: u64, waiting: usize) {
    if paced > 0 {
        println!("    over a rate: {paced} message(s) had to wait, {waiting} wait now");
    }
}

fn group_line(g: &GroupStatus) {
    let ended = if g.deleted { "  (ended)" } else { "" };
    println!("{}  {}  {} member(s), {} entries{ended}", g.number, g.about.name, g.members.len(), g.head);
}

fn group(g: &GroupStatus) {
    group_line(g);
    println!("    owner {}, list version {}, entries {} to {}, {} bytes", g.owner, g.list, g.oldest, g.head, g.bytes);
    let allowed: Vec<_> = g.allowed.iter().map(ToString::to_string).collect();
    rate(g.paced, g.waiting);
    let who: Vec<_> = g.listed.iter().map(|(enterprise, accounts)| format!("{enterprise} {accounts}")).collect();
    let who = if who.is_empty() { "not kept: everybody in the rooms speaks".to_owned() } else { who.join(", ") };
    println!(
        "    policy {}, {} accounts on the user list ({who}), digest {}",
        word(&g.about.policy),
        g.accounts,
        g.digest
    );
    println!("    may join: {}", if allowed.is_empty() { "(the owner alone)".to_owned() } else { allowed.join(", ") });
    for m in &g.members {
        let online = if m.online { "online" } else { "offline" };
        let paused = m.paused.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        println!("    {}  {online}  settled {}, {} waiting{paused}", m.gateway, m.settled, m.waiting);
    }
}

fn show_status(name: &str, addresses: &[String], status: &Status) {
    println!("{name}  {}", addresses.join(", "));
    println!("links {}, groups {}, cached bytes {}", status.links, status.groups, status.cached_bytes);
    for (state, count) in &status.enterprises {
        println!("enterprises {state}: {count}");
    }
    let counters = serde_json::to_value(&status.counters).unwrap_or_default();
    for (name, value) in counters.as_object().into_iter().flatten() {
        match value {
            Value::Object(by) => by.iter().for_each(|(by, n)| println!("{name} {by}: {n}")),
            n => println!("{name}: {n}"),
        }
    }
    for (name, n) in &status.store {
        println!("store {name}: {n}");
    }
}
