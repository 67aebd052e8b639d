//! User lists over the wire: edits, entries, pages, the operator's view; and that they survive kill -9.

use anyhow::{Context, Result, bail, ensure};
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{GroupNumber, ListVersion, N, UserId};
use intergroup_schemas::link::{Change, Decided, Edit, Entry, Relay, RequestBody, ResponseBody, ToCenter, ToGateway};
use intergroup_schemas::list::{AccountEdit, ListPage, Listed, Role, Roster};
use intergroup_tests::link_client::{CenterProcess, LinkClient, relay};

use crate::talk::{memory, two};

fn edit(group: GroupNumber, whose: &str, n: u64, accounts: Vec<AccountEdit>) -> Result<ToCenter> {
    let (epoch, enterprise) = ("k7".parse()?, whose.parse()?);
    Ok(ToCenter::Edit(Edit { group, epoch, n: N(n), enterprise, base: ListVersion(0), accounts }))
}

fn on(user: &str, role: Role) -> Result<AccountEdit> {
    Ok(AccountEdit { user: user.parse()?, listed: Some(Listed { display: user.parse()?, role }) })
}

fn off(user: &str) -> Result<AccountEdit> {
    Ok(AccountEdit { user: user.parse()?, listed: None })
}

fn said(group: GroupNumber, n: u64, user: &str) -> Result<ToCenter> {
    let user: UserId = user.parse()?;
    Ok(ToCenter::Relay(Relay { user, ..relay(group, "k7", n, "hello") }))
}

/// The decision on all up to n, with every refusal that it names.
async fn decision(link: &mut LinkClient, n: u64) -> Result<Decided> {
    link.until(|s| if let ToGateway::Decided(d) = s { Some(d).filter(|d| d.n.0 >= n) } else { None }).await
}

async fn entry(link: &mut LinkClient) -> Result<Entry> {
    link.until(|s| if let ToGateway::Entry(e) = s { Some(e) } else { None }).await
}

async fn fetch(link: &mut LinkClient, group: GroupNumber, since: ListVersion) -> Result<ListPage> {
    match link.ask(RequestBody::FetchList { group, since, after: None }).await? {
        ResponseBody::List { page, .. } => Ok(page),
        other => bail!("no page but {other:?}"),
    }
}

#[tokio::test]
async fn a_list_judges_travels_and_survives_kill_9() -> Result<()> {
    let mut center = CenterProcess::start()?;
    let (group, [acme, globex], [mut a, mut b]) = two(&center).await?;
    a.send(&edit(group, "acme", 1, vec![on("alice", Role::Speak)?, on("bob", Role::ReadOnly)?])?).await?;
    for (n, user) in [(2, "alice"), (3, "bob"), (4, "carol")] {
        a.send(&said(group, n, user)?).await?;
    }
    let decided = decision(&mut a, 4).await?;
    let refused = vec![(N(3), Condition::ReadOnly), (N(4), Condition::NotOnList)];
    assert_eq!(decided.refused, refused);

    let told = entry(&mut b).await?;
    let Change::Listed { enterprise, accounts, digest } = told.change else { bail!("{told:?}") };
    let mut roster = Roster::default();
    roster.apply(&enterprise, &accounts);
    assert_eq!(roster.digest(), digest);
    assert_eq!(b.delivered().await?.user.as_str(), "alice");

    // Nobody edits another's part, and a bad edit is refused alone.
    a.send(&edit(group, "globex", 5, vec![off("bob")?])?).await?;
    let frame = |user: &str| {
        format!(
            "<edit xmlns='urn:intergroup:link:1' group='{group}' epoch='k7' n='6' enterprise='acme' base='1'>\
             <account user='{user}' display='X' role='speak'/></edit>"
        )
    };
    a.send_text(frame("no body")).await?;
    a.send(&edit(group, "acme", 7, vec![off("alice")?])?).await?;
    let decided = decision(&mut a, 7).await?;
    ensure!(
        decided.refused.ends_with(&[(N(5), Condition::NotYours), (N(6), Condition::InvalidAccount)]),
        "{decided:?}"
    );

    center.kill()?;
    center.serve()?;
    let (mut b, welcome) = LinkClient::greet(&globex, Vec::new()).await?;
    let known = welcome.groups.first().context("a member is told of its group")?;
    let page = fetch(&mut b, group, ListVersion(0)).await?;
    assert_eq!((known.list, known.digest), (page.version, page.digest));
    assert_eq!((page.accounts, page.rows.len()), (1, 2), "a removal is a row: {page:?}");
    let delta = fetch(&mut b, group, told.list).await?;
    assert_eq!(delta.rows.len(), 1, "what changed since: {delta:?}");
    let (mut a, _) = LinkClient::greet(&acme, vec![memory(group, "k7", 7)?]).await?;
    a.send(&said(group, 8, "alice")?).await?;
    ensure!(decision(&mut a, 8).await?.refused.contains(&(N(8), Condition::NotOnList)), "removed for good");

    let list = center.json(&["member", "list", &group.to_string()])?;
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert_eq!(list[0]["account"], "acme/bob");
    ensure!(center.run(&["member", "list", &group.to_string()])?.starts_with("acme/bob  bob  read-only"));
    let shown = center.json(&["group", "show", &group.to_string()])?;
    assert_eq!((&shown["accounts"], &shown["listed"]["acme"]), (&1.into(), &1.into()));
    assert_eq!(shown["digest"], page.digest.to_string());
    ensure!(center.run(&["group", "show", &group.to_string()])?.contains("1 accounts on the user list (acme 1)"));
    Ok(())
}
