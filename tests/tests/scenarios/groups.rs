//! Groups over their life: mapping, leaving, ending; rooms that hide JIDs.

use anyhow::{Result, ensure};
use intergroup_tests::world::run;

use crate::pair::{Pair, two};

async fn what_is_said_while_unmapped_stays(pair: &Pair<'_>) -> Result<()> {
    let globex = pair.world.of("globex");
    pair.still_talks().await?;
    globex.gateway()?.run(&["unmap", &pair.number]).await?;
    pair.bob.say(&pair.globex, "among ourselves").await?;
    pair.bob.hear_in(&pair.globex, "Bob", "among ourselves").await?;
    let from = pair.bob.now();
    globex.gateway()?.run(&["map", &pair.number, "--room", pair.name]).await?;
    pair.bob
        .hear(from, "the notice that the room is shared again", |s| {
            s.text("body").is_some_and(|body| body.contains("shared from now on"))
        })
        .await?;
    pair.bob.say(&pair.globex, "among all of us").await?;
    pair.alice.hear_in(&pair.acme, "Bob (Globex)", "among all of us").await?;
    ensure!(!pair.alice.heard().iter().any(|s| s.0.contains("among ourselves")), "what was private crossed");
    Ok(())
}

async fn who_leaves_is_gone(pair: &Pair<'_>) -> Result<()> {
    pair.still_talks().await?;
    pair.world.of("globex").gateway()?.run(&["group", "leave", &pair.number]).await?;
    pair.alice
        .hear(0, "that Globex has left", |s| s.text("body").is_some_and(|body| body.contains("Globex has left")))
        .await?;
    pair.alice.say(&pair.acme, "they must not hear this").await?;
    pair.alice.hear_in(&pair.acme, "Alice", "they must not hear this").await?;
    let list = pair.world.of("globex").gateway()?.run(&["group", "list"]).await?;
    ensure!(!list.contains(&format!("{}  About {}, member", pair.number, pair.name)), "still a member: {list}");
    Ok(())
}

async fn an_ended_group_is_told_in_every_room(pair: &Pair<'_>) -> Result<()> {
    pair.still_talks().await?;
    pair.world.of("acme").gateway()?.run(&["group", "delete", &pair.number]).await?;
    for person in [&pair.alice, &pair.bob] {
        person.hear(0, "that the group has ended", |s| s.text("body").is_some_and(|b| b.contains("has ended"))).await?;
    }
    Ok(())
}

async fn an_enterprise_that_is_not_allowed_stays_out(pair: &Pair<'_>) -> Result<()> {
    let (acme, globex) = (pair.world.of("acme"), pair.world.of("globex"));
    acme.make_room("alice", "closed").await?;
    globex.make_room("alice", "closed").await?;
    let number = acme.gateway()?.run(&["group", "create", "Closed", "--room", "closed"]).await?;
    let refused = globex.gateway()?.run(&["group", "join", number.trim(), "--room", "closed"]).await;
    let problem = format!("{:#}", refused.err().unwrap_or_else(|| anyhow::anyhow!("it was let in")));
    ensure!(problem.contains("not allowed") || problem.contains("no such group"), "{problem}");
    pair.still_talks().await
}

mod on_servers {
    use super::*;
    use crate::check;
    use crate::pair::checks;

    #[tokio::test]
    async fn groups_live_and_end() -> Result<()> {
        checks(&[
            check!(what_is_said_while_unmapped_stays),
            check!(who_leaves_is_gone),
            check!(an_ended_group_is_told_in_every_room),
            check!(an_enterprise_that_is_not_allowed_stays_out),
        ])
        .await
    }

    /// A room that shows JIDs to moderators only: the gateway is one, live and after it was away.
    #[tokio::test]
    async fn a_room_that_hides_jids_is_bridged() -> Result<()> {
        run(two(), async |world| {
            let settings = [("muc#roomconfig_persistentroom", "1"), ("muc#roomconfig_whois", "moderators")];
            for company in &world.companies {
                company.make_room_with("alice", "hidden", &settings).await?;
            }
            let number = world.connect("hidden").await?;
            let pair = Pair::enter(world, "hidden", number).await?;
            pair.still_talks().await?;
            let Pair { alice, bob, acme, globex, .. } = pair;
            for id in ["acme", "globex"] {
                world.at(id).gateway_mut()?.process.kill();
            }
            alice.say(&acme, "said while nobody listens").await?;
            bob.say(&globex, "likewise").await?;
            alice.hear_in(&acme, "Alice", "said while nobody listens").await?;
            bob.hear_in(&globex, "Bob", "likewise").await?;
            for id in ["acme", "globex"] {
                world.at(id).gateway_mut()?.process.start()?;
            }
            bob.hear_in(&globex, "Alice (Acme)", "said while nobody listens").await?;
            alice.hear_in(&acme, "Bob (Globex)", "likewise").await?;
            Ok(())
        })
        .await
    }
}
