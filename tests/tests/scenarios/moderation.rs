//! Moderators' acts against puppets mean something, and rooms that are not what they were are left alone.

use anyhow::{Context, Result, ensure};
use intergroup_schemas::conditions::Condition;

use crate::pair::Pair;

const ADMIN: &str = "http://jabber.org/protocol/muc#admin";

/// Alice (of Globex, who owns the room) does something to Alice of Acme's puppet; then Alice of Acme speaks and is told.
async fn moderate(pair: &Pair<'_>, condition: Condition) -> Result<()> {
    pair.alice.say(&pair.acme, "I speak out of turn").await?;
    let owner = pair.at_globex("alice", "The owner").await?;
    pair.bob.hear_in(&pair.globex, "Alice (Acme)", "I speak out of turn").await?;
    let puppet = format!("{}/Alice (Acme)", pair.globex);
    let seen = owner.hear(0, "the puppet's presence", |s| s.attr("from").as_deref() == Some(&puppet)).await?;
    let jid = seen.inner_attr("item", "jid").context("an owner sees JIDs")?;
    let bare = jid.split('/').next().unwrap_or_default();
    let item = match condition {
        Condition::Kicked => "<item nick='Alice (Acme)' role='none'/>".to_owned(),
        _ => format!("<item jid='{bare}' affiliation='outcast'/>"),
    };
    let answer = owner.ask("set", &pair.globex, &format!("<query xmlns='{ADMIN}'>{item}</query>")).await?;
    ensure!(!answer.has_error(), "the owner may not: {}", answer.0);
    pair.bob
        .hear(0, "the puppet leaving", |s| {
            s.attr("from").as_deref() == Some(&puppet) && s.attr("type").as_deref() == Some("unavailable")
        })
        .await?;
    let (from, marker) = (pair.alice.now(), "I speak all the same");
    pair.alice.say(&pair.acme, marker).await?;
    pair.alice.told_in(from, &pair.acme, condition.author_text().context("authors are told")?).await?;
    // The others are not silenced.
    pair.bob.say(&pair.globex, "we go on").await?;
    pair.alice.hear_in(&pair.acme, "Bob (Globex)", "we go on").await?;
    ensure!(!pair.bob.heard().iter().any(|s| s.0.contains(marker)), "who was sent out spoke again");
    Ok(())
}

async fn a_kick_is_told(pair: &Pair<'_>) -> Result<()> {
    moderate(pair, Condition::Kicked).await
}

async fn a_ban_is_told(pair: &Pair<'_>) -> Result<()> {
    moderate(pair, Condition::Banned).await
}

async fn a_room_made_anew_gets_nothing(pair: &Pair<'_>) -> Result<()> {
    let globex = pair.world.of("globex");
    let owner = pair.at_globex("alice", "The owner").await?;
    let destroy = "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>";
    let answer = owner.ask("set", &pair.globex, destroy).await?;
    ensure!(!answer.has_error(), "the owner may not destroy the room: {}", answer.0);
    pair.alice.say(&pair.acme, "for the old room only").await?;
    let jid = pair.globex.clone();
    let alarmed = |status: &serde_json::Value| {
        let rooms = status.pointer("/status/rooms").or_else(|| status.get("rooms"));
        rooms
            .and_then(|r| r.as_array())
            .is_some_and(|rooms| rooms.iter().any(|r| r["room"] == jid.as_str() && r["alarm"].is_string()))
    };
    globex.status_is("an alarm about the destroyed room", alarmed).await?;
    // Somebody makes a room of that name: another room, without an archive.
    let settings = [("muc#roomconfig_persistentroom", "1"), ("mam", "0"), ("muc#roomconfig_mam", "0")];
    globex.make_room_with("carol", pair.name, &settings).await?;
    let carol = pair.at_globex("carol", "Carol").await?;
    globex
        .status_is("an alarm about the room's archive", |status| {
            let rooms = status.pointer("/status/rooms").or_else(|| status.get("rooms"));
            rooms.and_then(|r| r.as_array()).is_some_and(|rooms| {
                rooms
                    .iter()
                    .any(|r| r["room"] == jid.as_str() && r["alarm"].as_str().is_some_and(|a| a.contains("archive")))
            })
        })
        .await?;
    ensure!(!carol.heard().iter().any(|s| s.0.contains("for the old room only")), "it was posted into another room");
    Ok(())
}

mod on_servers {
    use super::*;
    use crate::check;
    use crate::pair::checks;

    #[tokio::test]
    async fn moderators_are_heeded() -> Result<()> {
        checks(&[check!(a_kick_is_told), check!(a_ban_is_told), check!(a_room_made_anew_gets_nothing)]).await
    }
}
