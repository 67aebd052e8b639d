//! Addressed by number: ordinary clients find a group by its address, write to it, and are sent to its room; outsiders find nothing.

use anyhow::{Context, Result, ensure};
use intergroup_tests::client::Person;
use intergroup_tests::load::Stanza;

use crate::pair::Pair;

const ITEMS: &str = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
const COMMANDS: &str = "http://jabber.org/protocol/commands";

/// Pages of one member each that are read before something is taken to go in a circle.
const PEOPLE_AT_MOST: usize = 20;

/// The group's address at a company.
fn number(pair: &Pair<'_>, company: &str) -> String {
    format!("{}@{}", pair.number, pair.world.of(company).server.plan.component())
}

/// One person of each company, with the company.
fn both<'a>(pair: &'a Pair<'_>) -> [(&'a Person, &'static str); 2] {
    [(&pair.alice, "acme"), (&pair.bob, "globex")]
}

fn unknown(answer: &Stanza) -> bool {
    answer.has_error() && answer.0.contains("item-not-found")
}

/// Alice Smith and Bob Jones are on the list, and it is known to be so: what is said after an edit has its place behind it.
async fn listed(pair: &Pair<'_>) -> Result<()> {
    for (company, person, display) in [("acme", "alice", "Alice Smith"), ("globex", "bob", "Bob Jones")] {
        let gateway = pair.world.of(company).gateway()?;
        gateway.run(&["member", "add", &pair.number, person, "--display", display]).await?;
    }
    pair.still_talks().await
}

async fn a_group_is_found_by_its_members(pair: &Pair<'_>) -> Result<()> {
    listed(pair).await?;
    for (person, company) in both(pair) {
        let component = pair.world.of(company).server.plan.component();
        let number = number(pair, company);
        let groups = person.ask("get", &component, ITEMS).await?;
        ensure!(groups.0.contains(&number) && groups.0.contains("About"), "{company}: {}", groups.0);
        let info = person.ask("get", &number, INFO).await?;
        ensure!(info.inner_attr("identity", "category").as_deref() == Some("conference"), "{company}: {}", info.0);
        let members = person.ask("get", &number, ITEMS).await?;
        for name in ["Alice Smith (Acme)", "Bob Jones (Globex)"] {
            ensure!(members.0.contains(name), "{company}: {name} is not in {}", members.0);
        }
        // One after the other, by pages.
        let page = |after: &str| {
            format!(
                "<query xmlns='http://jabber.org/protocol/disco#items'><set xmlns='http://jabber.org/protocol/rsm'>\
                 <max>1</max>{after}</set></query>"
            )
        };
        let (mut after, mut named) = (String::new(), Vec::new());
        while named.len() < PEOPLE_AT_MOST {
            let one = person.ask("get", &number, &page(&after)).await?;
            let Some(name) = one.inner_attr("item", "name") else { break };
            named.push(name);
            let last = one.text("last").context("a page without its last one")?;
            after = format!("<after>{last}</after>");
        }
        for name in ["Alice Smith (Acme)", "Bob Jones (Globex)"] {
            ensure!(named.iter().filter(|n| *n == name).count() == 1, "{company}: {named:?}");
        }
    }
    Ok(())
}

async fn the_command_says_who_is_in_the_group(pair: &Pair<'_>) -> Result<()> {
    listed(pair).await?;
    for (person, company) in both(pair) {
        let number = number(pair, company);
        let node = format!("<query xmlns='http://jabber.org/protocol/disco#items' node='{COMMANDS}'/>");
        let commands = person.ask("get", &number, &node).await?;
        let node = commands.inner_attr("item", "node").context("a command")?;
        let run = format!("<command xmlns='{COMMANDS}' node='{node}' action='execute'/>");
        let done = person.ask("set", &number, &run).await?;
        ensure!(done.inner_attr("command", "status").as_deref() == Some("completed"), "{company}: {}", done.0);
        for value in ["Alice Smith", "Acme", "Bob Jones", "Globex"] {
            ensure!(done.0.contains(&format!(">{value}</value>")), "{company}: {value} is not in {}", done.0);
        }
    }
    Ok(())
}

async fn what_is_written_to_the_number_is_said_in_both_rooms(pair: &Pair<'_>) -> Result<()> {
    listed(pair).await?;
    let carol = Person::sign_in(&pair.world.of("acme").server.account("carol")).await?;
    carol.join(&pair.acme, "Carol").await?;
    for (person, company) in both(pair) {
        let text = format!("written to the number at {company}");
        let message = format!(
            "<message xmlns='jabber:client' type='chat' id='by-number' to='{}'><body>{text}</body></message>",
            number(pair, company)
        );
        // A client that is not sure sends again.
        person.send(&message).await?;
        person.send(&message).await?;
        // At home under the name of the list; elsewhere under the name by which the person is in already.
        let (at_acme, at_globex) = match company {
            "acme" => ("Alice Smith (Acme)", "Alice (Acme)"),
            _ => ("Bob (Globex)", "Bob Jones (Globex)"),
        };
        carol.hear_in(&pair.acme, at_acme, &text).await?;
        pair.alice.hear_in(&pair.acme, at_acme, &text).await?;
        pair.bob.hear_in(&pair.globex, at_globex, &text).await?;
    }
    pair.still_talks().await?;
    for (room, person) in [(&pair.acme, &carol), (&pair.globex, &pair.bob)] {
        let archive = person.archive(room).await?;
        for company in ["acme", "globex"] {
            let text = format!("written to the number at {company}");
            let count = archive.iter().filter(|s| s.text("body").as_deref() == Some(&text)).count();
            ensure!(count == 1, "{room} has {text:?} {count} times");
        }
    }
    Ok(())
}

async fn who_is_on_the_list_need_not_be_in_the_room(pair: &Pair<'_>) -> Result<()> {
    let acme = pair.world.of("acme");
    acme.gateway()?.run(&["member", "add", &pair.number, "carol", "--display", "Carol C."]).await?;
    listed(pair).await?;
    let carol = Person::sign_in(&acme.server.account("carol")).await?;
    let number = number(pair, "acme");
    let write = |id: &str, text: &str| {
        format!("<message xmlns='jabber:client' type='chat' id='{id}' to='{number}'><body>{text}</body></message>")
    };
    carol.send(&write("c1", "from outside the room")).await?;
    pair.alice.hear_in(&pair.acme, "Carol C. (Acme)", "from outside the room").await?;
    pair.bob.hear_in(&pair.globex, "Carol C. (Acme)", "from outside the room").await?;
    acme.gateway()?.run(&["member", "role", &pair.number, "carol", "read-only"]).await?;
    let from = carol.now();
    carol.send(&write("c2", "no longer")).await?;
    let error = carol.hear(from, "an error", |s| s.name() == "message" && s.has_error()).await?;
    ensure!(error.0.contains("forbidden"), "{}", error.0);
    pair.still_talks().await?;
    ensure!(!pair.bob.heard().iter().any(|s| s.0.contains("no longer")), "who may only read has spoken");
    Ok(())
}

async fn who_joins_the_number_is_sent_to_the_room(pair: &Pair<'_>) -> Result<()> {
    for (person, company) in both(pair) {
        let room = if company == "acme" { &pair.acme } else { &pair.globex };
        let (number, from) = (number(pair, company), person.now());
        let join = "<x xmlns='http://jabber.org/protocol/muc'/>";
        person.send(&format!("<presence xmlns='jabber:client' to='{number}/Me'>{join}</presence>")).await?;
        let sent_on = |s: &Stanza| {
            s.name() == "presence" && s.has_error() && s.attr("from").is_some_and(|f| f.starts_with(&number))
        };
        let error = person.hear(from, "being sent on", sent_on).await?;
        ensure!(error.text("gone") == Some(format!("xmpp:{room}?join")), "{company}: {}", error.0);
        let invited = |s: &Stanza| s.name() == "message" && s.attr("from").as_deref() == Some(&number);
        let message = person.hear(from, "a message that names the room", invited).await?;
        ensure!(message.text("body").is_some_and(|body| body.contains(room)), "{company}: {}", message.0);
    }
    Ok(())
}

/// Somebody of the company who is not in the group, and somebody of nobody's.
async fn outsiders_find_nothing(pair: &Pair<'_>) -> Result<()> {
    listed(pair).await?;
    let (acme, globex) = (&pair.world.of("acme").server, &pair.world.of("globex").server);
    let outsiders =
        [(acme.account("carol"), "acme"), (acme.visitor("bob"), "acme"), (globex.account("carol"), "globex")];
    for (account, company) in outsiders {
        let person = Person::sign_in(&account).await?;
        let (number, component) = (number(pair, company), pair.world.of(company).server.plan.component());
        let groups = person.ask("get", &component, ITEMS).await?;
        ensure!(!groups.has_error() && !groups.0.contains(&number), "{}: {}", person.jid, groups.0);
        let other = format!("4@{component}");
        for question in [ITEMS, INFO] {
            let (here, nowhere) =
                (person.ask("get", &number, question).await?, person.ask("get", &other, question).await?);
            ensure!(unknown(&here) && unknown(&nowhere), "{}: {} {}", person.jid, here.0, nowhere.0);
        }
        let run = format!("<command xmlns='{COMMANDS}' node='who' action='execute'/>");
        ensure!(unknown(&person.ask("set", &number, &run).await?), "{} is told who is in the group", person.jid);
        let from = person.now();
        let write = format!(
            "<message xmlns='jabber:client' type='chat' id='o1' to='{number}'><body>let me in</body></message>"
        );
        person.send(&write).await?;
        let error = person.hear(from, "an error", |s| s.name() == "message" && s.has_error()).await?;
        ensure!(unknown(&error) && error.attr("id").as_deref() == Some("o1"), "{}: {}", person.jid, error.0);
    }
    pair.still_talks().await?;
    let leaked = [&pair.alice, &pair.bob].iter().any(|p| p.heard().iter().any(|s| s.0.contains("let me in")));
    ensure!(!leaked, "an outsider's words are in a room");
    Ok(())
}

mod on_servers {
    use super::*;
    use intergroup_tests::world::{Flow, run};
    use serde_json::Value;

    use crate::check;
    use crate::pair::{checks, two};

    #[tokio::test]
    async fn groups_are_addressed_by_number() -> Result<()> {
        checks(&[
            check!(a_group_is_found_by_its_members),
            check!(the_command_says_who_is_in_the_group),
            check!(what_is_written_to_the_number_is_said_in_both_rooms),
            check!(who_is_on_the_list_need_not_be_in_the_room),
            check!(who_joins_the_number_is_sent_to_the_room),
            check!(outsiders_find_nothing),
        ])
        .await
    }

    /// What the status says of a room, as a number.
    fn figure(status: &Value, room: &str, name: &str) -> Option<u64> {
        let rooms = status["rooms"].as_array()?;
        rooms.iter().find(|r| r["room"] == room)?[name].as_u64()
    }

    /// Killed with the message on disk and undecided, and with it decided and on its way into the room.
    #[tokio::test]
    async fn a_killed_gateway_says_what_was_written_to_the_number_once() -> Result<()> {
        run(two(), async |world| {
            let pair = Pair::share(world, "killed").await?;
            listed(&pair).await?;
            let address = number(&pair, "acme");
            let Pair { alice, bob, acme, globex, .. } = pair;
            let write = |id: &str, text: &str| {
                let head = format!("<message xmlns='jabber:client' type='chat' id='{id}' to='{address}'>");
                format!("{head}<body>{text}</body></message>")
            };
            let words = ["the first", "killed before its place", "killed before the room"];
            // From here on the one who speaks for her is in the room.
            alice.send(&write("n0", words[0])).await?;
            alice.hear_in(&acme, "Alice Smith (Acme)", words[0]).await?;
            bob.hear_in(&globex, "Alice (Acme)", words[0]).await?;
            for (text, decided) in [(words[1], false), (words[2], true)] {
                let company = world.of("acme");
                let ways = company.ways.as_ref().context("there are relays")?;
                ways.link.set(Flow::Held);
                alice.send(&write("n1", text)).await?;
                let waits = |status: &Value| figure(status, &acme, "waiting") > Some(0);
                company.status_is("the message is on disk", waits).await?;
                if decided {
                    ways.component.set(Flow::Held);
                    ways.link.set(Flow::Open);
                    bob.hear_in(&globex, "Alice (Acme)", text).await?;
                    let is_due = |status: &Value| figure(status, &acme, "received") > figure(status, &acme, "settled");
                    company.status_is("the message is due in the room", is_due).await?;
                }
                world.at("acme").gateway_mut()?.process.kill();
                let ways = world.of("acme").ways.as_ref().context("there are relays")?;
                ways.component.set(Flow::Open);
                ways.link.set(Flow::Open);
                world.at("acme").gateway_mut()?.process.start()?;
                alice.hear_in(&acme, "Alice Smith (Acme)", text).await?;
                bob.hear_in(&globex, "Alice (Acme)", text).await?;
            }
            // What is said now comes behind whatever was on its way.
            bob.say(&globex, "nothing follows").await?;
            alice.hear_in(&acme, "Bob (Globex)", "nothing follows").await?;
            for (person, room) in [(&alice, &acme), (&bob, &globex)] {
                let archive = person.archive(room).await?;
                for text in words {
                    let count = archive.iter().filter(|s| s.text("body").as_deref() == Some(text)).count();
                    ensure!(count == 1, "{room} has {text:?} {count} times");
                }
            }
            Ok(())
        })
        .await
    }
}
