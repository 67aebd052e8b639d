//! Two companies with one shared room for each check, so that many checks share the servers and run side by side.

use std::pin::Pin;

use anyhow::{Result, bail};
use futures::future::join_all;
use intergroup_tests::client::Person;
use intergroup_tests::world::{Builder, Kind, World, run};

/// Where a check takes place: the room of its name, at both companies.
pub(crate) struct Pair<'a> {
    pub(crate) world: &'a World,
    /// The room's name.
    pub(crate) name: &'static str,
    /// The group's number.
    pub(crate) number: String,
    /// The room at Acme (Prosody), and Alice of Acme in it. She owns it.
    pub(crate) acme: String,
    pub(crate) alice: Person,
    /// The room at Globex (ejabberd), and Bob of Globex in it. Alice of Globex owns it.
    pub(crate) globex: String,
    pub(crate) bob: Person,
}

/// A check.
pub(crate) type Check = for<'a> fn(&'a Pair<'a>) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Makes a named check of an async function.
#[macro_export]
macro_rules! check {
    ($name:ident) => {
        (stringify!($name), (|pair| Box::pin($name(pair))) as $crate::pair::Check)
    };
}

/// A world of Acme on Prosody and Globex on ejabberd.
pub(crate) fn two() -> Builder {
    let builder = World::builder().relays().company("acme", "Acme", Kind::Prosody);
    builder.company("globex", "Globex", Kind::Ejabberd)
}

impl<'a> Pair<'a> {
    /// Shares the room of this name, and lets Alice and Bob enter.
    pub(crate) async fn share(world: &'a World, name: &'static str) -> Result<Self> {
        let number = world.share(name).await?;
        Self::enter(world, name, number).await
    }

    /// Lets Alice and Bob enter rooms that are shared.
    pub(crate) async fn enter(world: &'a World, name: &'static str, number: String) -> Result<Self> {
        let (acme, globex) = (&world.of("acme").server, &world.of("globex").server);
        let alice = Person::sign_in(&acme.account("alice")).await?;
        alice.join(&acme.room(name), "Alice").await?;
        let bob = Person::sign_in(&globex.account("bob")).await?;
        bob.join(&globex.room(name), "Bob").await?;
        Ok(Pair { world, name, number, acme: acme.room(name), alice, globex: globex.room(name), bob })
    }

    /// Somebody of Globex in the room, beside Bob.
    pub(crate) async fn at_globex(&self, user: &str, nick: &str) -> Result<Person> {
        let person = Person::sign_in(&self.world.of("globex").server.account(user)).await?;
        person.join(&self.globex, nick).await?;
        Ok(person)
    }

    /// Both rooms still pass on what is said.
    pub(crate) async fn still_talks(&self) -> Result<()> {
        let (there, back) = (format!("still there? ({})", self.name), format!("still here ({})", self.name));
        self.alice.say(&self.acme, &there).await?;
        self.bob.hear_in(&self.globex, "Alice (Acme)", &there).await?;
        self.bob.say(&self.globex, &back).await?;
        self.alice.hear_in(&self.acme, "Bob (Globex)", &back).await?;
        Ok(())
    }
}

/// Starts two companies and does all the checks side by side, each in a room of its own. All that fail are named.
pub(crate) async fn checks(checks: &[(&'static str, Check)]) -> Result<()> {
    run(two(), async |world| {
        let mut pairs = Vec::new();
        for (name, check) in checks {
            pairs.push((Pair::share(world, name).await?, check));
        }
        let outcomes = join_all(pairs.iter().map(|(pair, check)| check(pair))).await;
        let mut failed = Vec::new();
        for ((name, _), outcome) in checks.iter().zip(outcomes) {
            println!("{name}: {}", if outcome.is_ok() { "ok" } else { "FAILED" });
            failed.extend(outcome.err().map(|problem| format!("{name}: {problem:#}")));
        }
        if !failed.is_empty() {
            bail!("{} of {} checks failed:\n{}", failed.len(), checks.len(), failed.join("\n"));
        }
        Ok(())
    })
    .await
}
