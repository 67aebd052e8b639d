//! Members who are not in the room: what was said meanwhile comes to them from the group's number when they are back, once and in order,
//! in rooms without archive on both servers, though a gateway is killed meanwhile.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use intergroup_tests::client::Person;
use intergroup_tests::load::Stanza;
use intergroup_tests::world::{Company, World};

/// What each of two people says before the gateway is killed, and after.
const MESSAGES: usize = 30;

/// A room of one company, with the one who speaks there.
struct Side<'a> {
    company: &'a Company,
    room: String,
    number: String,
    speaker: Person,
    nick: &'static str,
    /// The same at the other company: who it is here.
    other: &'static str,
}

fn unarchived(kind: &str) -> [(&'static str, &'static str); 3] {
    let archive = if kind == "acme" { "muc#roomconfig_enablearchiving" } else { "mam" };
    [("muc#roomconfig_persistentroom", "1"), ("muc#roomconfig_whois", "anyone"), (archive, "0")]
}

/// Connects rooms without archive, with Alice in the one and Bob in the other.
async fn connect<'a>(world: &'a World, room: &str) -> Result<[Side<'a>; 2]> {
    let (acme, globex) = (world.of("acme"), world.of("globex"));
    for company in [acme, globex] {
        company.make_room_with("alice", room, &unarchived(&company.id)).await?;
    }
    let (alice, bob) =
        (Person::sign_in(&acme.server.account("alice")).await?, Person::sign_in(&globex.server.account("bob")).await?);
    alice.join(&acme.server.room(room), "Alice").await?;
    bob.join(&globex.server.room(room), "Bob").await?;
    acme.connected().await?;
    globex.connected().await?;
    let created = acme.gateway()?.run(&["group", "create", "Launch", "--room", room]).await?;
    let number = created.trim().to_owned();
    alice.hear_in(&acme.server.room(room), "Intergroup", "shared from now on").await?;
    acme.gateway()?.run(&["group", "allow", &number, "globex"]).await?;
    globex.gateway()?.run(&["group", "join", &number, "--room", room]).await?;
    bob.hear_in(&globex.server.room(room), "Intergroup", "shared from now on").await?;
    alice.hear_in(&acme.server.room(room), "Intergroup", "Globex").await?;
    let side = |company: &'a Company, speaker, nick, other| Side {
        company,
        room: company.server.room(room),
        number: format!("{number}@{}", company.server.plan.component()),
        speaker,
        nick,
        other,
    };
    Ok([side(acme, alice, "Alice", "Bob (Globex)"), side(globex, bob, "Bob", "Alice (Acme)")])
}

/// Comes in as most clients do: what the room shows of its own is welcome.
async fn come(person: &Person, room: &str, nick: &str) -> Result<()> {
    let from = person.now();
    let join = format!(
        "<presence xmlns='jabber:client' to='{room}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    );
    person.send(&join).await?;
    person.hear(from, "the room", |s| s.name() == "presence" && s.codes().iter().any(|code| code == "110")).await?;
    Ok(())
}

/// What came from the group's number, with the author's name before it, in order.
fn mail(person: &Person, from: usize, number: &str) -> Vec<Stanza> {
    let heard = person.heard().into_iter().skip(from);
    heard.filter(|s| s.name() == "message" && s.attr("from").as_deref() == Some(number)).collect()
}

async fn talk(sides: &[Side<'_>; 2], numbers: std::ops::Range<usize>) -> Result<()> {
    for n in numbers.clone() {
        for side in sides {
            side.speaker.say(&side.room, &format!("{} {n:03}", side.nick)).await?;
        }
    }
    let last = numbers.end - 1;
    for (here, there) in [(&sides[0], &sides[1]), (&sides[1], &sides[0])] {
        here.speaker.hear_in(&here.room, here.other, &format!("{} {last:03}", there.nick)).await?;
    }
    Ok(())
}

async fn carol_comes_and_goes(sides: &[Side<'_>; 2]) -> Result<()> {
    for side in sides {
        let carol = Person::sign_in(&side.company.server.account("carol")).await?;
        come(&carol, &side.room, "Carol").await?;
        side.speaker.hear(0, "Carol", |s| s.attr("from").is_some_and(|f| f.ends_with("/Carol"))).await?;
        carol.send("<presence xmlns='jabber:client' type='unavailable'/>").await?;
        let gone = |s: &Stanza| {
            s.attr("from").is_some_and(|f| f.ends_with("/Carol")) && s.attr("type").as_deref() == Some("unavailable")
        };
        side.speaker.hear(0, "Carol going", gone).await?;
    }
    Ok(())
}

/// All of it, once: in what the room shows, or from the number, where each author's words stand in order.
async fn carol_has_all(side: &Side<'_>, names: [&str; 2], count: usize) -> Result<Person> {
    let carol = Person::sign_in(&side.company.server.account("carol")).await?;
    come(&carol, &side.room, "Carol").await?;
    let texts = |stanzas: Vec<Stanza>| stanzas.into_iter().filter_map(|s| s.text("body")).collect::<Vec<_>>();
    // The last two words of each: who said it, and its number.
    let seen = || {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for text in texts(carol.heard()) {
            let mut words = text.rsplitn(3, ' ');
            if let (Some(n), Some(name)) = (words.next(), words.next())
                && names.contains(&name)
            {
                *seen.entry(format!("{name} {n}")).or_default() += 1;
            }
        }
        seen
    };
    loop {
        let now = carol.now();
        if seen().len() >= 2 * count {
            break;
        }
        carol.hear(now, "everything missed", |_| true).await?;
    }
    let seen = seen();
    ensure!(seen.len() == 2 * count, "{}: {} of {} were heard: {seen:?}", side.room, seen.len(), 2 * count);
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    ensure!(twice.is_empty(), "{}: heard more than once: {twice:?}", side.room);
    let mail = mail(&carol, 0, &side.number);
    ensure!(!mail.is_empty(), "{}: nothing came from the number", side.room);
    for stanza in &mail {
        let stamped = stanza.inner_attr("delay", "stamp").is_some();
        ensure!(stanza.attr("type").as_deref() == Some("chat") && stamped, "{}: {}", side.room, stanza.0);
    }
    for name in names {
        let own: Vec<_> = texts(mail.clone()).into_iter().filter(|text| text.contains(&format!(": {name} "))).collect();
        ensure!(own.is_sorted(), "{}: out of order: {own:?}", side.room);
    }
    Ok(carol)
}

async fn goes(person: &Person, side: &Side<'_>) -> Result<()> {
    let from = side.speaker.now();
    person.send(&format!("<presence xmlns='jabber:client' type='unavailable' to='{}/Carol'/>", side.room)).await?;
    let gone = |s: &Stanza| {
        s.attr("from").is_some_and(|f| f.ends_with("/Carol")) && s.attr("type").as_deref() == Some("unavailable")
    };
    side.speaker.hear(from, "Carol going", gone).await?;
    Ok(())
}

/// Whoever shares presence with the number gets there what is said in the room, and nothing twice.
async fn carol_follows(side: &Side<'_>, carol: &Person) -> Result<()> {
    goes(carol, side).await?;
    let from = carol.now();
    carol.send(&format!("<presence xmlns='jabber:client' to='{}'/>", side.number)).await?;
    carol
        .hear(from, "the group", |s| s.name() == "presence" && s.attr("from").as_deref() == Some(&side.number))
        .await?;
    for n in 0..3 {
        side.speaker.say(&side.room, &format!("live {n}")).await?;
    }
    let last = |s: &Stanza| s.text("body").is_some_and(|body| body.ends_with("live 2"));
    carol.hear(from, "what is said", last).await?;
    let got: Vec<_> = mail(carol, from, &side.number).into_iter().filter_map(|s| s.text("body")).collect();
    let expected: Vec<_> = (0..3).map(|n| format!("{}: live {n}", side.nick)).collect();
    ensure!(got == expected, "{}: {got:?}", side.room);
    Ok(())
}

mod on_servers {
    use super::*;
    use crate::pair::two;
    use intergroup_tests::world::run;

    #[tokio::test]
    async fn who_was_away_gets_what_was_said() -> Result<()> {
        run(two(), async |world| {
            {
                let sides = connect(world, "quiet").await?;
                carol_comes_and_goes(&sides).await?;
                talk(&sides, 0..MESSAGES).await?;
            }
            for id in ["acme", "globex"] {
                let gateway = world.at(id).gateway_mut()?;
                gateway.process.kill();
                gateway.process.start()?;
            }
            for id in ["acme", "globex"] {
                world.of(id).connected().await?;
                world.of(id).room_ready("quiet").await?;
            }
            let sides = again(world, "quiet").await?;
            talk(&sides, MESSAGES..2 * MESSAGES).await?;
            for side in &sides {
                let carol = carol_has_all(side, ["Alice", "Bob"], 2 * MESSAGES).await?;
                carol_follows(side, &carol).await?;
                let status = side.company.gateway()?.json(&["group", "offline", number(side)]).await?;
                ensure!(status["how"] == "queue", "{status}");
            }
            Ok(())
        })
        .await
    }

    /// The group's number alone.
    fn number<'a>(side: &'a Side<'_>) -> &'a str {
        side.number.split('@').next().unwrap_or_default()
    }

    /// The same rooms once more, with the same people.
    async fn again<'a>(world: &'a World, room: &str) -> Result<[Side<'a>; 2]> {
        let side = async |id: &str, user: &str, nick, other| -> Result<Side<'a>> {
            let company = world.of(id);
            let listed = company.gateway()?.json(&["group", "list"]).await?;
            let number = listed["groups"][0]["number"].to_string();
            let speaker = Person::sign_in(&company.server.account(user)).await?;
            speaker.join(&company.server.room(room), nick).await?;
            let number = format!("{number}@{}", company.server.plan.component());
            Ok(Side { company, room: company.server.room(room), number, speaker, nick, other })
        };
        Ok([side("acme", "alice", "Alice", "Bob (Globex)").await?, side("globex", "bob", "Bob", "Alice (Acme)").await?])
    }
}
