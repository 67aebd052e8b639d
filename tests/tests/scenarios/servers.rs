//! The world itself, before anything of the product: servers start, survive kill -9, and keep their rooms and archives.

mod on_servers {
    use anyhow::{Result, ensure};
    use intergroup_tests::client::Person;
    use intergroup_tests::world::{Kind, World, run};

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
}
