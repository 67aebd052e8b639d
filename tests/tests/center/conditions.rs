//! What the center refuses: told with its condition, counted, and the others' traffic goes on.

use anyhow::{Context, Result, ensure};
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{GroupNumber, ListVersion, OriginKey, Seq};
use intergroup_schemas::limits::RELAY_WINDOW;
use intergroup_schemas::link::{Relay, RequestBody, ResponseBody, Settled, SkipReason, ToCenter, ToGateway, encode};
use intergroup_tests::link_client::{CenterProcess, LinkClient, enrol, free_port, relay};
use intergroup_tests::settings;

use crate::talk::{info, two};

/// How often a condition was counted, as a refusal, as the end of a link, or as the fate of a message.
fn counted(center: &CenterProcess, condition: Condition) -> Result<u64> {
    let status = center.json(&["status"])?;
    let count = |table: &str| status["counters"][table][condition.as_str()].as_u64().unwrap_or(0);
    Ok(count("refused") + count("closed") + count("fates"))
}

/// A message of another member arrives.
async fn goes_on(a: &mut LinkClient, b: &mut LinkClient, group: GroupNumber, epoch: &str) -> Result<()> {
    a.send(&ToCenter::Relay(relay(group, epoch, 1, "we go on"))).await?;
    b.until(|s| matches!(s, ToGateway::Deliver(d) if d.key.epoch.as_str() == epoch).then_some(())).await
}

async fn asked(link: &mut LinkClient, body: RequestBody) -> Result<Condition> {
    match link.ask(body).await? {
        ResponseBody::Refused { condition, text } => {
            ensure!(!text.is_empty(), "it says what to do");
            Ok(condition)
        }
        other => anyhow::bail!("not refused: {other:?}"),
    }
}

async fn sent(link: &mut LinkClient, said: Relay) -> Result<Condition> {
    let (group, n) = (said.group, said.n);
    link.send(&ToCenter::Relay(said)).await?;
    let refused = |s: ToGateway| match s {
        ToGateway::Decided(d) if d.group == group => d.refused.iter().find(|(of, _)| *of == n).map(|(_, why)| *why),
        _ => None,
    };
    link.until(refused).await
}

#[tokio::test]
async fn whoever_asks_for_what_is_not_his_is_refused() -> Result<()> {
    let center = CenterProcess::start()?;
    let (group, _, [mut a, mut b]) = two(&center).await?;
    let stranger = center.enrol("initech").await?;
    let (mut c, _) = LinkClient::greet(&stranger, Vec::new()).await?;
    let unknown = GroupNumber(group.0 + 500);
    ensure!(asked(&mut c, RequestBody::JoinGroup { group: unknown }).await? == Condition::UnknownGroup);
    ensure!(asked(&mut c, RequestBody::JoinGroup { group }).await? == Condition::NotAllowed);
    ensure!(sent(&mut c, relay(group, "kc", 1, "let me in")).await? == Condition::UnknownGroup);
    ensure!(asked(&mut b, RequestBody::DeleteGroup { group }).await? == Condition::NotOwner);
    ensure!(asked(&mut a, RequestBody::CreateGroup { name: " ".into() }).await? == Condition::BadRequest);
    let list = ListVersion(99);
    ensure!(
        sent(&mut b, Relay { list, ..relay(group, "kb", 1, "of tomorrow") }).await? == Condition::UnknownListVersion
    );
    goes_on(&mut a, &mut b, group, "ka").await?;
    // Its owner may know the group, and a second gateway of it has not joined: it is not a member.
    let second = center.run(&["enterprise", "code", "globex", "--gateway", "second"])?;
    let (mut d, _) = LinkClient::greet(&enrol(&second).await?, Vec::new()).await?;
    info(d.ask(RequestBody::JoinGroup { group }).await?)?;
    d.ask(RequestBody::LeaveGroup { group }).await?;
    ensure!(sent(&mut d, relay(group, "kd", 1, "after leaving")).await? == Condition::NotAMember);
    goes_on(&mut a, &mut b, group, "kz").await?;
    for condition in [
        Condition::UnknownGroup,
        Condition::NotAllowed,
        Condition::NotOwner,
        Condition::BadRequest,
        Condition::UnknownListVersion,
        Condition::NotAMember,
    ] {
        ensure!(counted(&center, condition)? > 0, "{} is not counted", condition.as_str());
    }
    Ok(())
}

#[tokio::test]
async fn a_second_link_takes_the_place_of_the_first() -> Result<()> {
    let center = CenterProcess::start()?;
    let (group, [acme, _], [mut a, mut b]) = two(&center).await?;
    let (mut newer, _) = LinkClient::greet(&acme, Vec::new()).await?;
    ensure!(a.bye().await? == Condition::Replaced);
    ensure!(counted(&center, Condition::Replaced)? == 1);
    goes_on(&mut newer, &mut b, group, "ka").await
}

#[tokio::test]
async fn who_sends_far_more_than_the_window_is_put_out_alone() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("center");
    let mut center = CenterProcess::init(&dir, &[format!("127.0.0.1:{}", free_port()?)])?;
    // Nothing is decided meanwhile, however fast the disk is.
    settings::change(&dir.join("center.toml"), &[("enterprise_per_second", "1"), ("enterprise_burst", "20")])?;
    center.serve()?;
    let (group, [acme, _], [mut a, mut b]) = two(&center).await?;
    let other = info(b.ask(RequestBody::CreateGroup { name: "Quiet".into() }).await?)?.number;
    for n in 1..=2 * u64::from(RELAY_WINDOW) + 100 {
        let fed = a.feed_text(encode::to_center(&ToCenter::Relay(relay(group, "kf", n, "more")))).await;
        if fed.is_err() {
            break;
        }
    }
    // The link may be closed before the last of them is written.
    let _ = a.flush().await;
    ensure!(a.bye().await? == Condition::OverLimit);
    ensure!(counted(&center, Condition::OverLimit)? == 1);
    let said = Relay { list: ListVersion(1), ..relay(other, "kb", 1, "we go on") };
    b.send(&ToCenter::Relay(said)).await?;
    b.decided(1).await?;
    LinkClient::greet(&acme, Vec::new()).await?;
    Ok(())
}

#[tokio::test]
async fn an_expired_code_is_refused_and_a_new_one_works() -> Result<()> {
    let center = CenterProcess::start()?;
    let code = center.run(&["enterprise", "add", "acme", "--minutes", "0"])?;
    let refused = enrol(&code).await.err().map(|e| e.to_string()).unwrap_or_default();
    ensure!(refused.starts_with("bad-code"), "{refused}");
    ensure!(counted(&center, Condition::BadCode)? == 1);
    enrol(&center.run(&["enterprise", "code", "acme"])?).await?;
    Ok(())
}

/// What a member did not take before it went is told to its origin, and to the member itself.
#[tokio::test]
async fn what_was_not_kept_is_told_on_both_sides() -> Result<()> {
    const MESSAGES: u64 = 600;
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("center");
    let mut center = CenterProcess::init(&dir, &[format!("127.0.0.1:{}", free_port()?)])?;
    settings::change(&dir.join("center.toml"), &[("mebibytes_per_group", "1")])?;
    center.serve()?;
    let (group, [_, globex], [mut a, b]) = two(&center).await?;
    drop(b);
    let body = "x".repeat(4096);
    for n in 1..=MESSAGES {
        a.feed_text(encode::to_center(&ToCenter::Relay(relay(group, "ka", n, &body)))).await?;
    }
    a.flush().await?;
    let expired = |s: ToGateway| match s {
        ToGateway::Fate(fate) => fate.refused.into_iter().find(|(_, why)| *why == Condition::Expired),
        _ => None,
    };
    let (key, _): (OriginKey, _) = a.until(expired).await?;
    ensure!(key.to_string() == "ka.1", "the oldest goes first: {key}");
    ensure!(counted(&center, Condition::Expired)? > 0);
    let (mut b, _) = LinkClient::greet(&globex, Vec::new()).await?;
    b.resume(group, Seq(2)).await?;
    let skip = b.until(|s| if let ToGateway::Skip(skip) = s { Some(skip) } else { None }).await?;
    ensure!(skip.reason == SkipReason::Expired && skip.from == Seq(3), "{skip:?}");
    let first = b.delivered().await?;
    ensure!(first.seq == skip.to.next(), "the stream has no gap");
    b.send(&ToCenter::Settled(Settled { group, upto: first.seq, refused: Vec::new() })).await?;
    let next = b.delivered().await.context("what is kept arrives")?;
    ensure!(next.seq == first.seq.next());
    Ok(())
}
