//! Standing text: the subject of a room names the companies that it is shared with, on both kinds of servers, until people give it
//! another.

use anyhow::{Context, Result, ensure};
use intergroup_tests::client::Person;
use intergroup_tests::settings;
use intergroup_tests::world::{Company, World, run};

use crate::pair::two;

/// A person of a company in one of its rooms.
async fn enter(company: &Company, user: &str, nick: &str, room: &str) -> Result<Person> {
    let person = Person::sign_in(&company.server.account(user)).await?;
    person.join(&company.server.room(room), nick).await?;
    Ok(person)
}

/// Waits until the room's subject is this.
async fn subject_becomes(person: &Person, from: usize, subject: &str) -> Result<()> {
    let is_it = |text: &str| text == subject;
    person.hear(from, &format!("the subject {subject:?}"), |s| s.text("subject").as_deref().is_some_and(is_it)).await?;
    Ok(())
}

/// A group is made at one company; the other joins, and leaves.
async fn the_subject_follows(world: &World, at: &str, other: &str, room: &str) -> Result<()> {
    let (here, there) = (world.of(at), world.of(other));
    for company in [here, there] {
        company.make_room("alice", room).await?;
    }
    let number = here.gateway()?.run(&["group", "create", "Launch", "--room", room]).await?.trim().to_owned();
    here.room_ready(room).await?;
    let alice = enter(here, "alice", "Alice", room).await?;
    let shared_with = |who: &str| format!("Group {number} (Launch): shared with {who}");
    subject_becomes(&alice, 0, &shared_with("nobody yet")).await?;
    here.gateway()?.run(&["group", "allow", &number, other]).await?;
    there.gateway()?.run(&["group", "join", &number, "--room", room]).await?;
    subject_becomes(&alice, 0, &shared_with(&there.display)).await?;
    // Who enters later is told by the room itself.
    let bob = enter(there, "bob", "Bob", room).await?;
    subject_becomes(&bob, 0, &shared_with(&here.display)).await?;
    let from = alice.now();
    there.gateway()?.run(&["group", "leave", &number]).await?;
    subject_becomes(&alice, from, &shared_with("nobody yet")).await?;
    // What people write there stays.
    let jid = here.server.room(room);
    alice
        .send(&format!("<message xmlns='jabber:client' type='groupchat' to='{jid}'><subject>Ours</subject></message>"))
        .await?;
    subject_becomes(&alice, from, "Ours").await?;
    let from = alice.now();
    there.gateway()?.run(&["group", "join", &number, "--room", room]).await?;
    there.room_ready(room).await?;
    alice
        .hear(from, "that the other company has joined", |s| {
            s.text("body").is_some_and(|body| body.contains(&there.display))
        })
        .await?;
    // The gateway hears of the subject and of what is said in one order.
    alice.say(&jid, "what is it about?").await?;
    bob.hear_in(&there.server.room(room), &format!("Alice ({})", here.display), "what is it about?").await?;
    let changed = alice.heard()[from..].iter().find_map(|s| s.text("subject"));
    ensure!(changed.is_none(), "{at}: the subject that people gave became {changed:?}");
    Ok(())
}

mod on_servers {
    use super::*;

    #[tokio::test]
    async fn the_subject_names_the_companies_until_people_give_another() -> Result<()> {
        run(two(), async |world| {
            for company in &mut world.companies {
                let gateway = company.gateway_mut()?;
                gateway.process.kill();
                settings::change(&gateway.dir().join("gateway.toml"), &[("standing", "\"subject\"")])?;
                gateway.process.start()?;
            }
            for company in &world.companies {
                company.connected().await?;
            }
            let (acme, globex) = tokio::join!(
                the_subject_follows(world, "acme", "globex", "launch"),
                the_subject_follows(world, "globex", "acme", "landing"),
            );
            acme.context("in a room on Prosody")?;
            globex.context("in a room on ejabberd")
        })
        .await
    }
}
