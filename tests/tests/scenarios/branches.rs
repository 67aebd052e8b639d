//! Two branches of one company, each with a server and a gateway of its own, and another company in one group: one list under one
//! enterprise, words from everywhere to everywhere, and each branch answers for its own room.

use anyhow::{Context, Result, ensure};
use intergroup_tests::client::Person;
use intergroup_tests::world::{Builder, Company, Kind, World};

use crate::members::{affiliate, jid};

/// Acme with its main branch on Prosody and another one on ejabberd; Globex on Prosody.
fn world() -> Builder {
    let builder = World::builder().company("acme", "Acme", Kind::Prosody).branch("west", "acme", Kind::Ejabberd);
    builder.company("globex", "Globex", Kind::Prosody)
}

/// Where, who of there is spoken of, as whom in the own room, and as whom in the others.
const SPEAKERS: [(&str, &str, &str, &str); 3] = [
    ("acme", "alice", "Alice", "Alice (Acme)"),
    ("west", "bob", "Bob of the West", "Bob of the West (Acme)"),
    ("globex", "carol", "Carol", "Carol (Globex)"),
];

/// Somebody of each place in a room of that name there, who is let in as a member.
async fn enter(world: &World, room: &str) -> Result<Vec<Person>> {
    let mut people = Vec::new();
    for (place, user, nick, _) in SPEAKERS {
        let person = Person::sign_in(&world.of(place).server.account(user)).await?;
        world.of(place).room_lets_in(&person, room, nick).await?;
        people.push(person);
    }
    Ok(people)
}

/// What everybody says at once is heard by everybody else, by the name of its author.
async fn all_hear_all(world: &World, room: &str, people: &[Person], words: &str) -> Result<()> {
    for (person, (place, user, ..)) in people.iter().zip(SPEAKERS) {
        person.say(&world.of(place).server.room(room), &format!("{words}, says {user}")).await?;
    }
    for (listener, (there, ..)) in people.iter().zip(SPEAKERS) {
        for (place, user, nick, abroad) in SPEAKERS {
            let nick = if place == there { nick } else { abroad };
            let text = format!("{words}, says {user}");
            listener.hear_in(&world.of(there).server.room(room), nick, &text).await?;
        }
    }
    Ok(())
}

/// Waits until each gateway shows exactly these on the list, of Acme and of Globex.
async fn all_show(world: &World, number: &str, acme: &[&str], globex: &[&str]) -> Result<()> {
    for (enterprise, users) in [("acme", acme), ("globex", globex)] {
        let mut wanted: Vec<_> = users.iter().map(|user| format!("{enterprise}/{user}")).collect();
        wanted.sort();
        for company in &world.companies {
            company.list_is(number, enterprise, &wanted).await?;
        }
    }
    Ok(())
}

async fn list_version(company: &Company, number: &str) -> Result<u64> {
    let shown = company.gateway()?.json(&["group", "show", number]).await?;
    shown["list"].as_u64().with_context(|| format!("no version in {shown}"))
}

/// Waits until the center's list has had so many changes more.
async fn list_moves(company: &Company, number: &str, from: u64, changes: u64) -> Result<()> {
    while list_version(company, number).await? < from + changes {
        tokio::task::yield_now().await;
    }
    Ok(())
}

mod on_servers {
    use super::*;
    use intergroup_tests::world::run;

    /// Rooms for members only: what the owner of each changes there counts for that room.
    #[tokio::test]
    async fn branches_share_one_list_and_each_answers_for_its_own_room() -> Result<()> {
        run(world(), async |world| {
            let settings = [
                ("muc#roomconfig_persistentroom", "1"),
                ("muc#roomconfig_whois", "anyone"),
                ("muc#roomconfig_membersonly", "1"),
            ];
            for company in &world.companies {
                company.make_room_with("alice", "closed", &settings).await?;
            }
            let number = world.connect_with("closed", &["--members", "affiliations"]).await?;
            let (acme, west, globex) = (world.of("acme"), world.of("west"), world.of("globex"));
            let room = |company: &Company| company.server.room("closed");
            let mut owners = Vec::new();
            for company in &world.companies {
                owners.push(Person::sign_in(&company.server.account("alice")).await?);
            }
            let [of_acme, of_west, of_globex] = &owners[..] else { unreachable!("three places") };
            all_show(world, &number, &["alice", "alice@west.test"], &["alice"]).await?;
            affiliate(of_west, &room(west), &jid(west, "bob"), "member").await?;
            affiliate(of_globex, &room(globex), &jid(globex, "carol"), "member").await?;
            affiliate(of_acme, &room(acme), &jid(acme, "carol"), "member").await?;
            let west_too = ["alice", "alice@west.test", "bob@west.test", "carol"];
            all_show(world, &number, &west_too, &["alice", "carol"]).await?;
            let people = enter(world, "closed").await?;
            all_hear_all(world, "closed", &people, "first").await?;

            // Carol of Acme gets into the room of the other branch, too, and is on the list already; when that room takes her off, she
            // stays for her own, and is heard.
            affiliate(of_west, &room(west), &jid(acme, "carol"), "member").await?;
            let carol = Person::sign_in(&acme.server.account("carol")).await?;
            carol.join(&room(acme), "Carol C.").await?;
            carol.say(&room(acme), "of two rooms").await?;
            people[1].hear_in(&room(west), "Carol C. (Acme)", "of two rooms").await?;
            let before = list_version(acme, &number).await?;
            affiliate(of_west, &room(west), &jid(acme, "carol"), "none").await?;
            // One branch takes her off, and the other one puts her on again.
            list_moves(acme, &number, before, 2).await?;
            all_show(world, &number, &west_too, &["alice", "carol"]).await?;
            carol.say(&room(acme), "of one room").await?;
            people[1].hear_in(&room(west), "Carol C. (Acme)", "of one room").await?;
            people[2].hear_in(&room(globex), "Carol C. (Acme)", "of one room").await?;

            // A branch that takes somebody of its own off leaves the other's people alone; and the other way round.
            affiliate(of_west, &room(west), &jid(west, "bob"), "none").await?;
            all_show(world, &number, &["alice", "alice@west.test", "carol"], &["alice", "carol"]).await?;
            affiliate(of_west, &room(west), &jid(west, "bob"), "member").await?;
            affiliate(of_acme, &room(acme), &jid(acme, "carol"), "none").await?;
            all_show(world, &number, &["alice", "alice@west.test", "bob@west.test"], &["alice", "carol"]).await?;

            // The same while a branch's gateway is down.
            world.at("west").gateway_mut()?.process.kill();
            let (acme, west) = (world.of("acme"), world.of("west"));
            affiliate(of_west, &room(west), &jid(west, "bob"), "none").await?;
            affiliate(of_west, &room(west), &jid(west, "carol"), "member").await?;
            affiliate(of_acme, &room(acme), &jid(acme, "bob"), "member").await?;
            world.at("west").gateway_mut()?.process.start()?;
            all_show(world, &number, &["alice", "alice@west.test", "bob", "carol@west.test"], &["alice", "carol"])
                .await?;

            // A branch that leaves takes its own people along, and nobody else.
            world.of("west").gateway()?.run(&["group", "leave", &number]).await?;
            for place in ["acme", "globex"] {
                let wanted = ["acme/alice".to_owned(), "acme/bob".to_owned()];
                world.of(place).list_is(&number, "acme", &wanted).await?;
            }
            let stays = |s: &intergroup_tests::load::Stanza| {
                s.text("body")
                    .is_some_and(|body| body.contains("A branch of Acme has left") && body.contains("still reads"))
            };
            people[2].hear(0, "that a branch has left", stays).await?;
            Ok(())
        })
        .await
    }

    /// Each branch's gateway is killed while people of all places talk.
    #[tokio::test]
    async fn a_branch_whose_gateway_is_killed_misses_and_doubles_nothing() -> Result<()> {
        const EACH: usize = 60;
        run(world(), async |world| {
            world.share("open").await?;
            let people = enter(world, "open").await?;
            all_hear_all(world, "open", &people, "before").await?;
            let rooms: Vec<_> = SPEAKERS.iter().map(|(place, ..)| world.of(place).server.room("open")).collect();
            let text = |user: &str, n: usize| format!("{user} says {n:03}");
            for n in 1..=EACH {
                for (person, ((_, user, ..), room)) in people.iter().zip(SPEAKERS.iter().zip(&rooms)) {
                    person.say(room, &text(user, n)).await?;
                }
                // Both branches, one after the other; for a third of the time each is away.
                for (place, from, to) in [("west", EACH / 6, EACH / 2), ("acme", EACH / 2, EACH * 5 / 6)] {
                    if n == from {
                        world.at(place).gateway_mut()?.process.kill();
                    } else if n == to {
                        world.at(place).gateway_mut()?.process.start()?;
                    }
                }
            }
            all_hear_all(world, "open", &people, "after").await?;
            for (listener, room) in people.iter().zip(&rooms) {
                let archive = listener.archive(room).await?;
                let bodies: Vec<_> = archive.iter().filter_map(|s| s.text("body")).collect();
                for (_, user, ..) in SPEAKERS {
                    let of_user = format!("{user} says ");
                    let said: Vec<_> = bodies.iter().filter(|body| body.contains(&of_user)).cloned().collect();
                    let wanted: Vec<_> = (1..=EACH).map(|n| text(user, n)).collect();
                    ensure!(said == wanted, "{room} has of {user}: {said:?}");
                }
            }
            Ok(())
        })
        .await
    }
}
