//! Enrolment, groups, messages; and that nothing that was acknowledged is lost when the center is killed.

use anyhow::{Context, Result, bail};
use intergroup_schemas::ids::{GroupNumber, Seq};
use intergroup_schemas::link::{GroupInfo, RequestBody, ResponseBody, Settled, ToCenter, ToGateway};
use intergroup_tests::link_client::{CenterProcess, Identity, LinkClient, relay};

/// A group of acme that globex has joined, with a link of each.
pub(crate) async fn two(center: &CenterProcess) -> Result<(GroupNumber, [Identity; 2], [LinkClient; 2])> {
    let (acme, globex) = (center.enrol("acme").await?, center.enrol("globex").await?);
    let (mut a, _) = LinkClient::greet(&acme, Vec::new()).await?;
    let (mut b, _) = LinkClient::greet(&globex, Vec::new()).await?;
    let group = info(a.ask(RequestBody::CreateGroup { name: "Apollo".into() }).await?)?.number;
    let joined = b.ask(RequestBody::JoinGroup { group }).await?;
    assert!(matches!(joined, ResponseBody::Refused { .. }), "nobody joins uninvited: {joined:?}");
    info(a.ask(RequestBody::AllowEnterprise { group, enterprise: "globex".parse()? }).await?)?;
    let joined = info(b.ask(RequestBody::JoinGroup { group }).await?)?;
    assert_eq!(joined.members.len(), 2);
    a.resume(group, Seq(0)).await?;
    b.resume(group, joined.joined_at).await?;
    Ok((group, [acme, globex], [a, b]))
}

pub(crate) fn info(body: ResponseBody) -> Result<GroupInfo> {
    match body {
        ResponseBody::Group(info) => Ok(info),
        other => bail!("no group but {other:?}"),
    }
}

#[tokio::test]
async fn two_enterprises_talk() -> Result<()> {
    let center = CenterProcess::start()?;
    let (group, _, [mut a, mut b]) = two(&center).await?;
    a.send(&ToCenter::Relay(relay(group, "k7", 1, "hello"))).await?;
    a.decided(1).await?;
    let deliver = b.delivered().await?;
    assert_eq!(deliver.enterprise.as_str(), "acme");
    assert_eq!(deliver.key.to_string(), "k7.1");
    assert_eq!(std::str::from_utf8(&deliver.payload)?, "<body xmlns='jabber:client'>hello</body>");
    let own = a.until(|s| if let ToGateway::Own(own) = s { Some(own) } else { None }).await?;
    assert_eq!((own.seq, own.key), (deliver.seq, deliver.key));
    b.send(&ToCenter::Settled(Settled { group, upto: deliver.seq, refused: Vec::new() })).await?;
    let upto = a.until(|s| if let ToGateway::Fate(f) = s { Some(f.upto) } else { None });
    assert!(upto.await? <= deliver.seq);
    let status = center.json(&["status"])?;
    assert_eq!(status["counters"]["delivered"], 1);
    assert_eq!(center.json(&["group", "show", &group.to_string()])?["head"], deliver.seq.0);
    Ok(())
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_in_the_middle_of_traffic() -> Result<()> {
    let mut center = CenterProcess::start()?;
    let (group, [acme, globex], [mut a, b]) = two(&center).await?;
    drop(b);
    let mut acknowledged = 0;
    // Each round kills the center with messages on their way, and goes on as a gateway would.
    for round in 0..3 {
        for n in acknowledged + 1..=acknowledged + 400 {
            a.feed_text(intergroup_schemas::link::encode::to_center(&ToCenter::Relay(relay(
                group,
                "k7",
                n,
                &format!("message {n}"),
            ))))
            .await?;
        }
        a.flush().await?;
        a.decided(acknowledged + 1).await?;
        center.kill()?;
        while let Ok(stanza) = a.next().await {
            if let ToGateway::Decided(decided) = stanza {
                acknowledged = acknowledged.max(decided.n.0);
            }
        }
        center.serve()?;
        let hello = vec![memory(group, "k7", acknowledged + 400)?];
        let (link, welcome) = LinkClient::greet(&acme, hello).await?;
        let decided = welcome.groups.first().context("a member is told of its group")?.decided.0;
        assert!(decided >= acknowledged, "round {round}: {decided} after {acknowledged} were acknowledged");
        (a, acknowledged) = (link, decided);
    }
    let (mut b, _) = LinkClient::greet(&globex, Vec::new()).await?;
    b.resume(group, Seq(2)).await?;
    for n in 1..=acknowledged {
        let deliver = b.delivered().await?;
        assert_eq!(deliver.key.n.0, n, "nothing lost, nothing twice, in order");
        b.send(&ToCenter::Settled(Settled { group, upto: deliver.seq, refused: Vec::new() })).await?;
        b.send(&ToCenter::Credit(intergroup_schemas::link::Credit { count: 1 })).await?;
    }
    Ok(())
}

/// What a gateway remembers that has received nothing.
pub(crate) fn memory(group: GroupNumber, epoch: &str, last_n: u64) -> Result<intergroup_schemas::link::HelloGroup> {
    Ok(intergroup_schemas::link::HelloGroup {
        group,
        incarnation: None,
        cursor: Seq(0),
        hash: Default::default(),
        settled: Seq(0),
        places: Vec::new(),
        epoch: epoch.parse()?,
        last_n: intergroup_schemas::ids::N(last_n),
        run: None,
    })
}
