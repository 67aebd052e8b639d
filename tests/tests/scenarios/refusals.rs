//! What cannot cross is refused with a reason, its author is told, and everything else goes on.

use anyhow::{Result, ensure};
use intergroup_schemas::conditions::Condition;
use intergroup_tests::client::Person;
use intergroup_tests::load::{Client, Stanza};

use crate::pair::Pair;

/// What the author is told of a condition.
fn reason(condition: Condition) -> &'static str {
    condition.author_text().expect("a condition of people's messages")
}

/// Alice is told why, Bob never hears it, the counter has it, and the next message crosses.
async fn alice_is_refused(pair: &Pair<'_>, secret: &str, more: &str, condition: Condition) -> Result<()> {
    let acme = pair.world.of("acme");
    let (from, counted) = (pair.alice.now(), acme.counter(condition.as_str()).await?);
    pair.alice.say_with(&pair.acme, secret, more).await?;
    pair.alice.told_in(from, &pair.acme, reason(condition)).await?;
    pair.still_talks().await?;
    let leaked = pair.bob.heard().iter().any(|s| s.0.contains(secret));
    ensure!(!leaked, "what was refused arrived all the same");
    let count = acme.counter(condition.as_str()).await?;
    ensure!(count > counted, "the counter {} stays at {count}", condition.as_str());
    Ok(())
}

async fn encrypted_is_refused(pair: &Pair<'_>) -> Result<()> {
    let more = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>QUJD</payload></encrypted>";
    alice_is_refused(pair, "I sent you an OMEMO encrypted message", more, Condition::Encrypted).await
}

async fn a_reaction_is_refused(pair: &Pair<'_>) -> Result<()> {
    let more = "<reactions xmlns='urn:xmpp:reactions:0' id='x'><reaction>+</reaction></reactions><store xmlns='urn:xmpp:hints'/>";
    alice_is_refused(pair, "reaction fallback", more, Condition::UnsupportedContent).await
}

async fn too_large_is_refused(pair: &Pair<'_>) -> Result<()> {
    let text = format!("large {}", "x".repeat(intergroup_schemas::limits::PAYLOAD_BYTES));
    alice_is_refused(pair, &text, "", Condition::TooLarge).await
}

async fn a_foreign_occupant_is_refused(pair: &Pair<'_>) -> Result<()> {
    let acme = pair.world.of("acme");
    let visitor = Person::sign_in(&acme.server.visitor("bob")).await?;
    visitor.join(&pair.acme, "Visitor").await?;
    let from = visitor.now();
    visitor.say(&pair.acme, "I am not of Acme").await?;
    visitor.told_in(from, &pair.acme, reason(Condition::ForeignAuthor)).await?;
    pair.still_talks().await?;
    ensure!(!pair.bob.heard().iter().any(|s| s.0.contains("I am not of Acme")), "a foreigner spoke for Acme");
    Ok(())
}

/// More than a burst, and more than anybody could say at the allowed pace while it is being said.
const FLOOD: usize = 1000;

async fn too_fast_is_refused(pair: &Pair<'_>) -> Result<()> {
    let acme = pair.world.of("acme");
    // Without waiting for anything: a client of people would be held to the server's own pace.
    let mut carol = Client::connect(&acme.server.account("carol"), "flood").await?;
    carol.join(&pair.acme, "Carol").await?;
    for n in 1..=FLOOD {
        let said = format!("<message type='groupchat' to='{}' id='f{n}'><body>flood {n}</body></message>", pair.acme);
        carol.send(&said).await?;
    }
    let told = |s: &Stanza| s.text("body").is_some_and(|body| body.contains(reason(Condition::TooFast)));
    carol.wait("being told of the pace", told).await?;
    // Nobody else is held to Carol's pace.
    pair.still_talks().await?;
    let count = acme.counter(Condition::TooFast.as_str()).await?;
    ensure!(count > 0 && count < FLOOD as u64, "{count} of {FLOOD} were counted");
    Ok(())
}

async fn only_the_first_refusal_is_told_at_once(pair: &Pair<'_>) -> Result<()> {
    let more = "<encrypted xmlns='urn:xmpp:omemo:2'><payload>QUJD</payload></encrypted>";
    let from = pair.alice.now();
    for n in 1..=5 {
        pair.alice.say_with(&pair.acme, &format!("secret {n}"), more).await?;
    }
    pair.alice.told_in(from, &pair.acme, reason(Condition::Encrypted)).await?;
    pair.still_talks().await?;
    let told = pair.alice.heard().into_iter().skip(from);
    let told = told.filter(|s| s.text("body").is_some_and(|b| b.contains(reason(Condition::Encrypted)))).count();
    ensure!(told <= 2, "Alice was told {told} times");
    Ok(())
}

async fn a_private_message_to_a_puppet_is_answered(pair: &Pair<'_>) -> Result<()> {
    pair.still_talks().await?;
    let mut carol = Client::connect(&pair.world.of("globex").server.account("carol"), "carol").await?;
    carol.join(&pair.globex, "Carol").await?;
    carol
        .send(&format!("<message type='chat' to='{}/Alice (Acme)' id='pm'><body>psst</body></message>", pair.globex))
        .await?;
    let ours = |s: &Stanza| {
        s.name() == "message" && s.attr("type").as_deref() != Some("groupchat") && s.text("body").is_some()
    };
    let answer = carol.wait("an answer to a private message", ours).await?;
    ensure!(!answer.stanza.has_error(), "a private message is answered by an error: {}", answer.stanza.0);
    pair.still_talks().await
}

mod on_servers {
    use super::*;
    use crate::check;
    use crate::pair::checks;
    use intergroup_tests::world::{Kind, World, run};

    /// Bytes of a stanza that the servers still take from a component, in the next test.
    const SMALL: usize = 20_000;

    /// The other company's server ends the gateway's stream for a message, each time.
    #[tokio::test]
    async fn what_a_server_never_takes_is_set_aside() -> Result<()> {
        let builder = World::builder().component_bytes(SMALL).company("acme", "Acme", Kind::Prosody);
        run(builder.company("globex", "Globex", Kind::Prosody), async |world| {
            let (pair, other) = (Pair::share(world, "poisoned").await?, Pair::share(world, "sound").await?);
            let from = pair.alice.now();
            let poison = format!("poison {}", "x".repeat(2 * SMALL));
            pair.alice.say(&pair.acme, &poison).await?;
            pair.alice.told_in(from, &pair.acme, reason(Condition::Poisonous)).await?;
            other.still_talks().await?;
            pair.still_talks().await?;
            ensure!(!pair.bob.heard().iter().any(|s| s.0.contains("poison ")), "it was said all the same");
            let count = world.of("globex").counter(Condition::Poisonous.as_str()).await?;
            ensure!(count == 1, "it was counted {count} times");
            Ok(())
        })
        .await
    }

    #[tokio::test]
    async fn what_cannot_cross_is_told() -> Result<()> {
        checks(&[
            check!(encrypted_is_refused),
            check!(a_reaction_is_refused),
            check!(too_large_is_refused),
            check!(a_foreign_occupant_is_refused),
            check!(too_fast_is_refused),
            check!(only_the_first_refusal_is_told_at_once),
            check!(a_private_message_to_a_puppet_is_answered),
        ])
        .await
    }
}
