//! One copy of each message on each link, whatever the number of people behind it.

mod on_servers {
    use anyhow::{Context, Result, ensure};
    use futures::stream::{self, StreamExt, TryStreamExt};
    use intergroup_tests::client::Person;
    use intergroup_tests::load::{Account, Client};
    use intergroup_tests::world::run;
    use serde_json::Value;

    use crate::pair::two;

    const PEOPLE: usize = 200;
    /// How many enter at the same time: each is shown to all.
    const AT_ONCE: usize = 8;
    const MESSAGES: u64 = 50;

    async fn enter(account: Account, n: usize, room: &str) -> Result<Client> {
        let mut client = Client::connect(&account, &format!("r{n}")).await?;
        client.join(room, &format!("Bob {n}")).await?;
        Ok(client)
    }

    fn delivered(status: &Value) -> Result<u64> {
        let counters = status.pointer("/counters").or_else(|| status.pointer("/status/counters"));
        counters.context("no counters")?["delivered"]
            .as_u64()
            .with_context(|| format!("no count of deliveries: {status}"))
    }

    #[tokio::test]
    async fn two_hundred_members_cost_one_copy() -> Result<()> {
        run(two(), async |world| {
            world.share("crowd").await?;
            let (acme, globex) = (&world.of("acme").server, &world.of("globex").server);
            let (here, there) = (acme.room("crowd"), globex.room("crowd"));
            let crowd: Vec<Client> = stream::iter(0..PEOPLE)
                .map(|n| enter(globex.account("bob"), n, &there))
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
            let center = &world.center.as_ref().context("a center")?.daemon;
            let before = delivered(&center.json(&["status"]).await?)?;
            let alice = Person::sign_in(&acme.account("alice")).await?;
            alice.join(&here, "Alice").await?;
            for n in 1..=MESSAGES {
                alice.say(&here, &format!("number {n} of them")).await?;
            }
            let last = format!("number {MESSAGES} of them");
            for mut client in crowd {
                client.wait("the last message", |s| s.text("body").as_deref() == Some(&last)).await?;
            }
            let count = delivered(&center.json(&["status"]).await?)? - before;
            ensure!(count == MESSAGES, "{MESSAGES} messages were delivered {count} times on one link");
            Ok(())
        })
        .await
    }
}
