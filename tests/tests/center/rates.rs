//! Who sends faster than the rates allow waits; the others do not.

use anyhow::{Result, ensure};
use intergroup_schemas::ids::{GroupNumber, Seq};
use intergroup_schemas::link::{RequestBody, ToCenter, ToGateway, encode};
use intergroup_tests::link_client::{CenterProcess, LinkClient, free_port, relay};
use intergroup_tests::settings;

use crate::talk::{info, two};

/// Messages that wait for seconds at the rate below.
const FLOOD: u64 = 150;

fn center(rates: &[(&str, &str)]) -> Result<(CenterProcess, tempfile::TempDir)> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("center");
    let mut center = CenterProcess::init(&dir, &[format!("127.0.0.1:{}", free_port()?)])?;
    settings::change(&dir.join("center.toml"), rates)?;
    center.serve()?;
    Ok((center, temp))
}

async fn flood(link: &mut LinkClient, group: GroupNumber) -> Result<()> {
    for n in 1..=FLOOD {
        link.feed_text(encode::to_center(&ToCenter::Relay(relay(group, "kf", n, "more")))).await?;
    }
    link.flush().await
}

/// Another group of globex alone.
async fn another(link: &mut LinkClient) -> Result<GroupNumber> {
    Ok(info(link.ask(RequestBody::CreateGroup { name: "Borealis".into() }).await?)?.number)
}

async fn speaks(link: &mut LinkClient, group: GroupNumber, epoch: &str) -> Result<()> {
    let said = intergroup_schemas::link::Relay { list: Default::default(), ..relay(group, epoch, 1, "meanwhile") };
    link.send(&ToCenter::Relay(said)).await?;
    link.until(|s| matches!(s, ToGateway::Decided(d) if d.group == group && d.n.0 == 1).then_some(())).await
}

/// Begins the stream anew, since the waits above have let some of it pass.
async fn again(link: &mut LinkClient, group: GroupNumber) -> Result<()> {
    link.resume(group, Seq(2)).await?;
    link.until(|s| matches!(s, ToGateway::Resumed(_)).then_some(())).await
}

/// All of the flood arrives, in order.
async fn arrives(link: &mut LinkClient) -> Result<()> {
    let mut next = 1;
    while next <= FLOOD {
        let deliver = link.delivered().await?;
        if deliver.key.epoch.as_str() == "kf" {
            ensure!(deliver.key.n.0 == next, "{} where {next} was expected", deliver.key);
            next += 1;
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_enterprise_over_its_rate_is_paced_and_no_other() -> Result<()> {
    let (center, _temp) = center(&[("enterprise_per_second", "30"), ("enterprise_burst", "10")])?;
    let (group, _, [mut a, mut b]) = two(&center).await?;
    let other = another(&mut b).await?;
    flood(&mut a, group).await?;
    a.decided(1).await?;
    speaks(&mut b, group, "kg").await?;
    speaks(&mut b, other, "kh").await?;
    let acme = center.json(&["enterprise", "show", "acme"])?;
    ensure!(acme["waiting"].as_u64() > Some(0) && acme["paced"].as_u64() >= acme["waiting"].as_u64(), "{acme}");
    ensure!(center.run(&["enterprise", "show", "acme"])?.contains("over a rate"), "people are shown it, too");
    let globex = center.json(&["enterprise", "show", "globex"])?;
    ensure!(globex["paced"] == 0, "{globex}");
    again(&mut b, group).await?;
    arrives(&mut b).await?;
    let counters = &center.json(&["status"])?["counters"];
    ensure!(counters["stored"] == FLOOD + 2 && counters["paced"].as_u64() > Some(0), "{counters}");
    Ok(())
}

#[tokio::test]
async fn a_group_over_its_rate_is_paced_and_no_other() -> Result<()> {
    let (center, _temp) = center(&[("group_per_second", "30"), ("group_burst", "10")])?;
    let (group, _, [mut a, mut b]) = two(&center).await?;
    let other = another(&mut a).await?;
    flood(&mut a, group).await?;
    // On the same link: reading goes on while the busy group's messages wait.
    speaks(&mut a, other, "kh").await?;
    let status = center.json(&["group", "show", &group.to_string()])?;
    ensure!(status["waiting"].as_u64() > Some(0) && status["paced"].as_u64() > Some(0), "{status}");
    let quiet = center.json(&["group", "show", &other.to_string()])?;
    ensure!(quiet["paced"] == 0, "{quiet}");
    // Another member has its turn before the flood has passed.
    speaks(&mut b, group, "kg").await?;
    ensure!(center.json(&["group", "show", &group.to_string()])?["waiting"].as_u64() > Some(0), "it took turns");
    again(&mut b, group).await?;
    arrives(&mut b).await
}
