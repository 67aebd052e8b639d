//! Where members come from, on real servers: what ordinary clients do to a room reaches the other company's list, and who is not
//! on the list neither speaks nor reads.

use anyhow::{Result, ensure};
use intergroup_tests::client::Person;
use intergroup_tests::load::Stanza;
use intergroup_tests::world::{Company, World, run};

use crate::pair::two;

const ADMIN: &str = "http://jabber.org/protocol/muc#admin";
const BOTH: [(&str, &str); 2] = [("acme", "globex"), ("globex", "acme")];

/// An owner of a room gives an account an affiliation, as any client does.
pub(crate) async fn affiliate(owner: &Person, room: &str, jid: &str, affiliation: &str) -> Result<()> {
    let item = format!("<item jid='{jid}' affiliation='{affiliation}'/>");
    let answer = owner.ask("set", room, &format!("<query xmlns='{ADMIN}'>{item}</query>")).await?;
    ensure!(!answer.has_error(), "{jid} cannot be made {affiliation}: {}", answer.0);
    Ok(())
}

pub(crate) fn jid(company: &Company, user: &str) -> String {
    format!("{user}@{}", company.server.plan.domain())
}

/// Makes a room at each company and connects them with members from there; returns the group's number.
async fn connect(world: &World, room: &str, closed: bool, members: &[&str]) -> Result<String> {
    let mut settings = vec![("muc#roomconfig_persistentroom", "1"), ("muc#roomconfig_whois", "anyone")];
    if closed {
        settings.push(("muc#roomconfig_membersonly", "1"));
    }
    for company in &world.companies {
        company.make_room_with("alice", room, &settings).await?;
    }
    let (acme, globex) = (world.of("acme").gateway()?, world.of("globex").gateway()?);
    let create = [&["group", "create", "Members", "--room", room], members].concat();
    let number = acme.run(&create).await?.trim().to_owned();
    acme.run(&["group", "allow", &number, "globex"]).await?;
    globex.run(&[&["group", "join", &number, "--room", room], members].concat()).await?;
    for company in &world.companies {
        company.room_ready(room).await?;
        company.room_shared("alice", room, &number).await?;
    }
    Ok(number)
}

/// Waits until the gateway of a company shows exactly these of another company on the list.
async fn shows(world: &World, at: &str, number: &str, of: &str, users: &[&str]) -> Result<()> {
    let mut wanted: Vec<_> = users.iter().map(|user| format!("{of}/{user}")).collect();
    wanted.sort();
    world.of(at).list_is(number, of, &wanted).await
}

/// Who is out of a room neither comes in again nor reads its archive.
async fn stays_out(person: &Person, room: &str, nick: &str) -> Result<()> {
    ensure!(person.join(room, nick).await.is_err(), "{} was let into {room} again", person.jid);
    ensure!(person.archive(room).await.is_err(), "{} reads the archive of {room}", person.jid);
    Ok(())
}

/// Waits until an occupant of that nick has left the room, as this person sees it.
async fn has_left(person: &Person, from: usize, room: &str, nick: &str) -> Result<()> {
    let occupant = format!("{room}/{nick}");
    let left = |s: &Stanza| {
        s.name() == "presence"
            && s.attr("type").as_deref() == Some("unavailable")
            && s.attr("from").as_deref() == Some(&occupant)
    };
    person.hear(from, &format!("{nick} leaving {room}"), left).await?;
    Ok(())
}

mod on_servers {
    use super::*;

    #[tokio::test]
    async fn what_clients_change_in_a_room_reaches_the_other_company() -> Result<()> {
        run(two(), async |world| {
            let number = connect(world, "closed", true, &[]).await?;
            for (here, there) in BOTH {
                let company = world.of(here);
                let room = company.server.room("closed");
                let owner = Person::sign_in(&company.server.account("alice")).await?;
                shows(world, there, &number, here, &["alice"]).await?;
                affiliate(&owner, &room, &jid(company, "bob"), "member").await?;
                affiliate(&owner, &room, &jid(company, "carol"), "admin").await?;
                shows(world, there, &number, here, &["alice", "bob", "carol"]).await?;
                affiliate(&owner, &room, &jid(company, "bob"), "none").await?;
                affiliate(&owner, &room, &jid(company, "carol"), "outcast").await?;
                shows(world, there, &number, here, &["alice"]).await?;
                affiliate(&owner, &room, &jid(company, "bob"), "member").await?;
                shows(world, there, &number, here, &["alice", "bob"]).await?;
                // The same while the gateway is down.
                world.at(here).gateway_mut()?.process.kill();
                let company = world.of(here);
                affiliate(&owner, &room, &jid(company, "bob"), "none").await?;
                affiliate(&owner, &room, &jid(company, "carol"), "member").await?;
                affiliate(&owner, &room, &jid(company, "dora"), "owner").await?;
                world.at(here).gateway_mut()?.process.start()?;
                shows(world, there, &number, here, &["alice", "carol", "dora"]).await?;
            }
            Ok(())
        })
        .await
    }

    #[tokio::test]
    async fn whoever_comes_is_a_member_until_banned() -> Result<()> {
        run(two(), async |world| {
            let number = connect(world, "open", false, &[]).await?;
            for (here, there) in BOTH {
                let room = world.of(here).server.room("open");
                let owner = Person::sign_in(&world.of(here).server.account("alice")).await?;
                let bob = Person::sign_in(&world.of(here).server.account("bob")).await?;
                let carol = Person::sign_in(&world.of(here).server.account("carol")).await?;
                bob.join(&room, "Bob").await?;
                carol.join(&room, "Carol").await?;
                shows(world, there, &number, here, &["alice", "bob", "carol"]).await?;
                affiliate(&owner, &room, &jid(world.of(here), "bob"), "outcast").await?;
                shows(world, there, &number, here, &["alice", "carol"]).await?;
                world.at(here).gateway_mut()?.process.kill();
                affiliate(&owner, &room, &jid(world.of(here), "carol"), "outcast").await?;
                world.at(here).gateway_mut()?.process.start()?;
                shows(world, there, &number, here, &["alice"]).await?;
            }
            Ok(())
        })
        .await
    }

    /// The room was open, and people were in it: who is not on the list is put out, and neither hears nor says a word.
    #[tokio::test]
    async fn outsiders_and_removed_people_neither_speak_nor_read() -> Result<()> {
        run(two(), async |world| {
            let mut outsiders = Vec::new();
            for company in &world.companies {
                company.make_room("alice", "kept").await?;
                let carol = Person::sign_in(&company.server.account("carol")).await?;
                carol.join(&company.server.room("kept"), "Carol").await?;
                outsiders.push(carol);
            }
            let number = connect(world, "kept", false, &["--members", "explicit"]).await?;
            let mut bobs = Vec::new();
            for (here, there) in BOTH {
                let company = world.of(here);
                company.gateway()?.run(&["member", "add", &number, "bob", "--display", "Bob"]).await?;
                shows(world, there, &number, here, &["bob"]).await?;
                let bob = Person::sign_in(&company.server.account("bob")).await?;
                company.room_lets_in(&bob, "kept", "Bob").await?;
                bobs.push(bob);
            }
            let [carol_a, carol_g] = &outsiders[..] else { unreachable!("two companies") };
            let [bob_a, bob_g] = &bobs[..] else { unreachable!("two companies") };
            let (acme, globex) = (world.of("acme").server.room("kept"), world.of("globex").server.room("kept"));
            for (carol, room) in [(carol_a, &acme), (carol_g, &globex)] {
                stays_out(carol, room, "Carol").await?;
                carol.say(room, "an outsider's word").await?;
            }
            bob_a.say(&acme, "secret of Acme").await?;
            bob_g.hear_in(&globex, "Bob (Acme)", "secret of Acme").await?;
            bob_g.say(&globex, "secret of Globex").await?;
            bob_a.hear_in(&acme, "Bob (Globex)", "secret of Globex").await?;
            // Removed: out at once, at home and abroad.
            for ((here, there), (bob, room)) in BOTH.into_iter().zip([(bob_a, &acme), (bob_g, &globex)]) {
                let (from, abroad) = (bob.now(), bob_g.now());
                world.of(here).gateway()?.run(&["member", "remove", &number, "bob"]).await?;
                has_left(bob, from, room, "Bob").await?;
                if here == "acme" {
                    // Who spoke for him abroad leaves, too.
                    has_left(bob_g, abroad, &globex, "Bob (Acme)").await?;
                }
                stays_out(bob, room, "Bob").await?;
                bob.say(room, "a removed person's word").await?;
                shows(world, there, &number, here, &[]).await?;
            }
            for (here, _) in BOTH {
                let company = world.of(here);
                company.gateway()?.run(&["member", "add", &number, "alice", "--display", "Alice"]).await?;
            }
            let alice_a = Person::sign_in(&world.of("acme").server.account("alice")).await?;
            let alice_g = Person::sign_in(&world.of("globex").server.account("alice")).await?;
            alice_a.join(&acme, "Alice").await?;
            alice_g.join(&globex, "Alice").await?;
            alice_a.say(&acme, "the last secret").await?;
            alice_g.hear_in(&globex, "Alice (Acme)", "the last secret").await?;
            alice_g.say(&globex, "and the answer").await?;
            alice_a.hear_in(&acme, "Alice (Globex)", "and the answer").await?;
            for (person, words) in [
                (carol_a, &["secret", "answer"][..]),
                (carol_g, &["secret", "answer"]),
                (bob_a, &["last secret", "answer"]),
                (bob_g, &["last secret", "answer"]),
            ] {
                let heard = person.heard();
                let leaked = heard.iter().find(|s| words.iter().any(|w| s.text("body").is_some_and(|b| b.contains(w))));
                ensure!(leaked.is_none(), "{} has read {leaked:?}", person.jid);
            }
            for (person, room) in [(&alice_a, &acme), (&alice_g, &globex)] {
                let archive = person.archive(room).await?;
                let spoken =
                    archive.iter().find(|s| s.0.contains("outsider's word") || s.0.contains("removed person's"));
                ensure!(spoken.is_none(), "{room} has {spoken:?}");
            }
            Ok(())
        })
        .await
    }
}
