//! People of two companies talk: what crosses, and how it looks on the other side.

use anyhow::{Result, ensure};

use crate::pair::Pair;

async fn two_companies_talk(pair: &Pair<'_>) -> Result<()> {
    pair.alice.say(&pair.acme, "hello & <welcome>, \u{1F600}").await?;
    pair.bob.hear_in(&pair.globex, "Alice (Acme)", "hello & <welcome>, \u{1F600}").await?;
    pair.bob.say(&pair.globex, "hello yourself").await?;
    pair.alice.hear_in(&pair.acme, "Bob (Globex)", "hello yourself").await?;
    // Nothing comes back to the room where it was said.
    let echoes = pair.alice.heard().iter().filter(|s| s.text("body").is_some_and(|b| b.contains("<welcome>"))).count();
    ensure!(echoes == 1, "Alice heard her own words {echoes} times");
    Ok(())
}

async fn a_taken_nick_gets_a_number(pair: &Pair<'_>) -> Result<()> {
    let _carol = pair.at_globex("carol", "Alice (Acme)").await?;
    pair.alice.say(&pair.acme, "who is who?").await?;
    pair.bob.hear_in(&pair.globex, "Alice (Acme) 2", "who is who?").await?;
    Ok(())
}

async fn a_mention_highlights_where_its_owner_is(pair: &Pair<'_>) -> Result<()> {
    pair.alice.say(&pair.acme, "I am here").await?;
    pair.bob.hear_in(&pair.globex, "Alice (Acme)", "I am here").await?;
    pair.bob.say(&pair.globex, "Alice (Acme): look at this").await?;
    let heard = pair.alice.hear_in(&pair.acme, "Bob (Globex)", "look at this").await?;
    let body = heard.text("body").unwrap_or_default();
    ensure!(body == "Alice: look at this", "Alice's client is to highlight her own nick, but she hears {body:?}");
    Ok(())
}

async fn an_edit_crosses_as_one(pair: &Pair<'_>) -> Result<()> {
    let id = pair.alice.say(&pair.acme, "we meet at noon").await?;
    pair.bob.hear_in(&pair.globex, "Alice (Acme)", "we meet at noon").await?;
    let replace = format!("<replace xmlns='urn:xmpp:message-correct:0' id='{id}'/>");
    pair.alice.say_with(&pair.acme, "we meet at one", &replace).await?;
    let heard = pair.bob.hear_in(&pair.globex, "Alice (Acme)", "we meet at one").await?;
    let body = heard.text("body").unwrap_or_default();
    ensure!(body == "edited: we meet at one", "an edit came as {body:?}");
    Ok(())
}

async fn a_malformed_stanza_of_an_occupant_harms_nobody(pair: &Pair<'_>) -> Result<()> {
    use intergroup_tests::load::Client;
    let ways = pair.world.of("acme").ways.as_ref().expect("this world has relays");
    let before = ways.component.connections();
    let mut eve = Client::connect(&pair.world.of("acme").server.account("carol"), "eve").await?;
    eve.join(&pair.acme, "Eve").await?;
    for text in [
        format!("<presence to='{}/Eve'><show>weird</show><priority>abc</priority></presence>", pair.acme),
        format!("<message to='{}' type='groupchat' id='&#x9;'><thread/><thread/><body/></message>", pair.acme),
        format!(
            "<message to='{0}' type='groupchat'><x xmlns='http://jabber.org/protocol/muc#user'><item jid='@'/></x><body>odd</body></message>",
            pair.acme
        ),
    ] {
        eve.send(&text).await?;
    }
    pair.still_talks().await?;
    ensure!(ways.component.connections() == before, "the component link was made anew");
    Ok(())
}

mod on_servers {
    use super::*;
    use crate::check;
    use crate::pair::checks;

    #[tokio::test]
    async fn people_of_two_companies_talk() -> Result<()> {
        checks(&[
            check!(two_companies_talk),
            check!(a_taken_nick_gets_a_number),
            check!(a_mention_highlights_where_its_owner_is),
            check!(an_edit_crosses_as_one),
            check!(a_malformed_stanza_of_an_occupant_harms_nobody),
        ])
        .await
    }
}
