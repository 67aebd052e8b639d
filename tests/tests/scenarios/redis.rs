//! Center and gateways on Redis, and what becomes of what is said while Redis dies.

pub(crate) mod on_servers {
    use anyhow::{Context, Result, ensure};
    use intergroup_tests::client::Person;
    use intergroup_tests::world::{World, run};
    use serde_json::Value;

    use crate::pair::{Pair, two};

    /// What each side says.
    const MESSAGES: usize = 90;

    /// What a gateway tells of its store.
    fn figure(status: &Value, name: &str) -> u64 {
        let counters = status.pointer("/counters").or_else(|| status.pointer("/status/counters"));
        counters.and_then(|all| all.get(name)).and_then(Value::as_u64).unwrap_or_default()
    }

    /// Everything of one side, in the order heard.
    pub(crate) fn heard(person: &Person, from: &str) -> Vec<String> {
        let bodies = person.heard().into_iter().filter_map(|stanza| stanza.text("body"));
        bodies.filter(|body| body.starts_with(from)).collect()
    }

    async fn both_connected(world: &World) -> Result<()> {
        for company in &world.companies {
            company.connected().await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn redis_dies_while_two_companies_talk() -> Result<()> {
        run(two().on_redis(), async |world| {
            let mut redis = world.redis.take().context("a Redis")?;
            let pair = Pair::share(world, "redis").await?;
            pair.still_talks().await?;
            let links = |id: &str| {
                let ways = world.of(id).ways.as_ref();
                ways.map(|ways| (ways.component.connections(), ways.link.connections()))
            };
            let before = [links("acme"), links("globex")];
            for n in 1..=MESSAGES {
                if n == MESSAGES / 3 {
                    redis.process.kill();
                }
                if n == MESSAGES * 2 / 3 {
                    // What is said meanwhile reaches the gateways, and they have begun to wait.
                    for company in &world.companies {
                        let log = company.gateway()?.process.log();
                        while !std::fs::read_to_string(&log)?.contains("waiting for the store") {
                            tokio::task::yield_now().await;
                        }
                    }
                    redis.up().await?;
                }
                pair.alice.say(&pair.acme, &format!("of acme {n:03}")).await?;
                pair.bob.say(&pair.globex, &format!("of globex {n:03}")).await?;
            }
            pair.bob.hear_in(&pair.globex, "Alice (Acme)", &format!("of acme {MESSAGES:03}")).await?;
            pair.alice.hear_in(&pair.acme, "Bob (Globex)", &format!("of globex {MESSAGES:03}")).await?;
            pair.still_talks().await?;
            let all = |from: &str| (1..=MESSAGES).map(|n| format!("{from} {n:03}")).collect::<Vec<_>>();
            let (at_globex, at_acme) = (heard(&pair.bob, "of acme"), heard(&pair.alice, "of globex"));
            ensure!(at_globex == all("of acme"), "heard at Globex: {at_globex:?}");
            ensure!(at_acme == all("of globex"), "heard at Acme: {at_acme:?}");
            ensure!(before == [links("acme"), links("globex")], "a link was given up, though Redis came back in time");
            for company in &world.companies {
                let status = company.gateway()?.json(&["status"]).await?;
                ensure!(figure(&status, "store-connected-again") > 0, "{}: {status}", company.id);
            }

            // Everything begins anew from what is on Redis.
            redis.process.kill();
            redis.up().await?;
            world.center_mut()?.daemon.process.kill();
            world.center_mut()?.up().await?;
            for id in ["acme", "globex"] {
                let gateway = world.at(id).gateway_mut()?;
                gateway.process.kill();
                gateway.process.start()?;
            }
            both_connected(world).await?;
            world.redis = Some(redis);
            Ok(())
        })
        .await
    }
}
