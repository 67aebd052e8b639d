//! Two nodes of the center over one Redis, and a company at each.

mod on_servers {
    use anyhow::{Context, Result, ensure};
    use intergroup_tests::world::run;

    use crate::pair::{Pair, two};
    use crate::redis::on_servers::heard;

    /// What each side says.
    const MESSAGES: usize = 120;

    /// A node is killed in mid-traffic: its company's gateway goes to the other one; what its people said meanwhile, and what was said
    /// to them, is there once and in order.
    #[tokio::test]
    async fn a_node_is_killed_and_its_gateway_goes_to_the_other() -> Result<()> {
        run(two().two_nodes(), async |world| {
            let mut first = world.center.take().context("a center")?;
            let mut second = world.second.take().context("another node")?;
            let pair = Pair::share(world, "nodes").await?;
            pair.still_talks().await?;
            let group = pair.number.clone();
            let shown = second.daemon.json(&["group", "show", &group]).await?;
            ensure!(shown["members"].as_array().is_some_and(|all| all.len() == 2), "both are members: {shown}");
            for n in 1..=MESSAGES {
                match n {
                    20 => first.daemon.process.kill(),
                    60 => first.up().await?,
                    80 => second.daemon.process.kill(),
                    _ => {}
                }
                pair.alice.say(&pair.acme, &format!("of acme {n:03}")).await?;
                pair.bob.say(&pair.globex, &format!("of globex {n:03}")).await?;
            }
            pair.bob.hear_in(&pair.globex, "Alice (Acme)", &format!("of acme {MESSAGES:03}")).await?;
            pair.alice.hear_in(&pair.acme, "Bob (Globex)", &format!("of globex {MESSAGES:03}")).await?;
            second.up().await?;
            pair.still_talks().await?;
            let all = |from: &str| (1..=MESSAGES).map(|n| format!("{from} {n:03}")).collect::<Vec<_>>();
            let (at_globex, at_acme) = (heard(&pair.bob, "of acme"), heard(&pair.alice, "of globex"));
            ensure!(at_globex == all("of acme"), "heard at Globex: {at_globex:?}");
            ensure!(at_acme == all("of globex"), "heard at Acme: {at_acme:?}");

            // What one node is told, the other one does.
            first.daemon.run(&["enterprise", "suspend", "globex"]).await?;
            world.of("globex").apart().await?;
            second.daemon.run(&["enterprise", "resume", "globex"]).await?;
            world.of("globex").connected().await?;
            pair.still_talks().await?;
            world.center = Some(first);
            world.second = Some(second);
            Ok(())
        })
        .await
    }
}
