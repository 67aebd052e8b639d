//! Servers survive kill -9 and keep their rooms and archives; and what is bridged into them survives it with them.

mod on_servers {
    use anyhow::{Result, ensure};
    use intergroup_tests::client::Person;
    use intergroup_tests::world::{Kind, World, run};

    use crate::pair::two;

    async fn a_server_killed_keeps_its_archive(kind: Kind) -> Result<()> {
        run(World::builder().company("acme", "Acme", kind).servers_only(), async |world| {
            let acme = world.at("acme");
            acme.make_room("alice", "apollo").await?;
            let room = acme.server.room("apollo");
            let alice = Person::sign_in(&acme.server.account("alice")).await?;
            alice.join(&room, "Alice").await?;
            let bob = Person::sign_in(&acme.server.account("bob")).await?;
            bob.join(&room, "Bob").await?;
            for n in 1..=120 {
                alice.say(&room, &format!("line {n}")).await?;
            }
            bob.hear_in(&room, "Alice", "line 120").await?;
            drop((alice, bob));
            acme.server.process.kill();
            acme.server.up().await?;
            let carol = Person::sign_in(&acme.server.account("carol")).await?;
            carol.join(&room, "Carol").await?;
            let archive = carol.archive(&room).await?;
            let lines: Vec<_> = archive.iter().filter_map(|s| s.text("body")).collect();
            let expected: Vec<_> = (1..=120).map(|n| format!("line {n}")).collect();
            ensure!(lines == expected, "the archive has {} lines, the last {:?}", lines.len(), lines.last());
            Ok(())
        })
        .await
    }

    #[tokio::test]
    async fn prosody_killed_keeps_its_archive() -> Result<()> {
        a_server_killed_keeps_its_archive(Kind::Prosody).await
    }

    #[tokio::test]
    async fn ejabberd_killed_keeps_its_archive() -> Result<()> {
        a_server_killed_keeps_its_archive(Kind::Ejabberd).await
    }

    /// ejabberd is killed while people of the other company talk, and again: nothing is missing in its room, nothing is there
    /// twice, and all is in order.
    #[tokio::test]
    async fn ejabberd_killed_in_the_middle_of_talk_misses_nothing() -> Result<()> {
        const ROUNDS: usize = 2;
        const EACH: usize = 40;
        const NUMBER: &str = "number ";
        run(two(), async |world| {
            world.share("killed").await?;
            let alice = Person::sign_in(&world.of("acme").server.account("alice")).await?;
            let acme = world.of("acme").server.room("killed");
            alice.join(&acme, "Alice").await?;
            let mut expected = Vec::new();
            let mut say = async |count: usize| -> Result<()> {
                for _ in 0..count {
                    expected.push(format!("{NUMBER}{}", expected.len() + 1));
                    alice.say(&acme, expected.last().map_or("", String::as_str)).await?;
                }
                alice.hear_in(&acme, "Alice", expected.last().map_or("", String::as_str)).await?;
                Ok(())
            };
            for _ in 0..ROUNDS {
                say(EACH).await?;
                world.at("globex").server.process.kill();
                say(EACH).await?;
                world.at("globex").server.up().await?;
            }
            let there = world.of("globex").server.room("killed");
            let bob = Person::sign_in(&world.of("globex").server.account("bob")).await?;
            bob.join(&there, "Bob").await?;
            say(1).await?;
            bob.hear_in(&there, "Alice (Acme)", expected.last().map_or("", String::as_str)).await?;
            // What the server had reflected and lost in the crash was said again, marked as late.
            let archive = bob.archive(&there).await?;
            let all: Vec<_> = archive.iter().filter_map(|s| s.text("body")).filter(|b| b.contains(NUMBER)).collect();
            let place = |body: &String| body.rsplit(' ').next().and_then(|n| n.parse::<usize>().ok());
            let in_time: Vec<_> = all.iter().filter(|b| b.starts_with(NUMBER)).filter_map(place).collect();
            ensure!(in_time.is_sorted(), "out of order: {all:?}");
            let mut places: Vec<_> = all.iter().filter_map(place).collect();
            places.sort_unstable();
            let wanted: Vec<_> = (1..=expected.len()).collect();
            ensure!(places == wanted, "the room has {} of {}: {all:?}", places.len(), wanted.len());
            Ok(())
        })
        .await
    }
}
