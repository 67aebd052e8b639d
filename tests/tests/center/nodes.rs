//! Two nodes over one Redis: one order, one live link of each gateway, one administration; and a node that is killed takes nothing
//! with it.

mod on_servers {
    use std::collections::BTreeMap;

    use anyhow::{Context, Result, ensure};
    use intergroup_schemas::conditions::Condition;
    use intergroup_schemas::ids::{GroupNumber, Seq};
    use intergroup_schemas::link::{Credit, RequestBody, Settled, ToCenter, ToGateway, VERSION, encode};
    use intergroup_tests::bench::redis;
    use intergroup_tests::link_client::{CenterProcess, Identity, LinkClient, free_port, relay};

    use crate::talk::{info, memory};

    /// What each side says at full speed.
    const MESSAGES: u64 = 2000;

    struct Nodes {
        nodes: [CenterProcess; 2],
        addresses: [String; 2],
        // Behind the nodes, which end first.
        _redis: intergroup_tests::bench::process::Server,
        _dir: tempfile::TempDir,
    }

    async fn nodes() -> Result<Nodes> {
        let dir = tempfile::tempdir()?;
        let (server, address) = redis::start(dir.path())?;
        let addresses = [format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?)];
        let mut first = CenterProcess::on_redis(&dir.path().join("one"), &addresses[0], &format!("redis://{address}"))?;
        let mut second = first.node(&dir.path().join("two"), &addresses[1])?;
        first.serve()?;
        second.serve()?;
        Ok(Nodes { nodes: [first, second], addresses, _redis: server, _dir: dir })
    }

    impl Nodes {
        async fn greet(
            &self,
            at: usize,
            identity: &Identity,
            group: Option<(GroupNumber, &str, u64)>,
        ) -> Result<LinkClient> {
            let mut link = LinkClient::open(identity, &self.addresses[at]).await?;
            let groups = group.map(|(group, epoch, n)| memory(group, epoch, n)).transpose()?;
            link.hello(VERSION, groups.into_iter().collect()).await?;
            Ok(link)
        }

        /// Two enterprises in a group, each at a node of its own.
        async fn two(&self) -> Result<(GroupNumber, [Identity; 2], [LinkClient; 2])> {
            let (acme, globex) = (self.nodes[0].enrol("acme").await?, self.nodes[1].enrol("globex").await?);
            let mut a = self.greet(0, &acme, None).await?;
            let mut b = self.greet(1, &globex, None).await?;
            let group = info(a.ask(RequestBody::CreateGroup { name: "Apollo".into() }).await?)?.number;
            // What one node has allowed the other one knows.
            info(a.ask(RequestBody::AllowEnterprise { group, enterprise: "globex".parse()? }).await?)?;
            let joined = info(b.ask(RequestBody::JoinGroup { group }).await?)?;
            assert_eq!(joined.members.len(), 2);
            a.resume(group, Seq(0)).await?;
            b.resume(group, joined.joined_at).await?;
            Ok((group, [acme, globex], [a, b]))
        }
    }

    /// Says so many, and takes its whole stream till its own and the other side's are all there. The places of all messages.
    async fn talk(link: &mut LinkClient, group: GroupNumber, epoch: &str) -> Result<BTreeMap<Seq, String>> {
        for n in 1..=MESSAGES {
            link.feed_text(encode::to_center(&ToCenter::Relay(relay(group, epoch, n, "x")))).await?;
            // Many commits, so that the nodes are in each other's way.
            if n.is_multiple_of(20) {
                link.flush().await?;
                take(link, group, |stanza| matches!(stanza, ToGateway::Decided(d) if d.n.0 >= n), &mut BTreeMap::new())
                    .await?;
            }
        }
        let mut all = BTreeMap::new();
        // What came before is asked for again, so that all of it is seen in one go.
        link.resume(group, Seq(0)).await?;
        let resumed = |stanza: &ToGateway| matches!(stanza, ToGateway::Resumed(_));
        take(link, group, resumed, &mut BTreeMap::new()).await?;
        while all.len() as u64 != 2 * MESSAGES {
            take(link, group, |_| true, &mut all).await?;
        }
        Ok(all)
    }

    async fn take(
        link: &mut LinkClient,
        group: GroupNumber,
        until: impl Fn(&ToGateway) -> bool,
        all: &mut BTreeMap<Seq, String>,
    ) -> Result<()> {
        loop {
            let stanza = link.next().await?;
            let place = match &stanza {
                ToGateway::Deliver(d) => Some((d.seq, Some(d.key.to_string()))),
                ToGateway::Own(o) => Some((o.seq, Some(o.key.to_string()))),
                ToGateway::Entry(entry) => Some((entry.seq, None)),
                _ => None,
            };
            if let Some((seq, key)) = place {
                if let Some(key) = key {
                    ensure!(all.insert(seq, key.clone()).is_none(), "{key} came twice");
                }
                link.send(&ToCenter::Settled(Settled { group, upto: seq, refused: Vec::new() })).await?;
                link.send(&ToCenter::Credit(Credit { count: 1 })).await?;
            }
            if until(&stanza) {
                return Ok(());
            }
        }
    }

    #[tokio::test]
    async fn senders_at_both_nodes_at_full_speed_have_one_order() -> Result<()> {
        let nodes = nodes().await?;
        let (group, _, [mut a, mut b]) = nodes.two().await?;
        let (at_acme, at_globex) = tokio::try_join!(talk(&mut a, group, "ka"), talk(&mut b, group, "kb"))?;
        ensure!(at_acme == at_globex, "both see one order");
        for epoch in ["ka", "kb"] {
            let of = at_acme.values().filter(|key| key.starts_with(epoch)).map(String::as_str).collect::<Vec<_>>();
            let said: Vec<_> = (1..=MESSAGES).map(|n| format!("{epoch}.{n}")).collect();
            ensure!(of == said, "each sender's messages are there once and in its order");
        }
        let conflicts: u64 = [0, 1]
            .iter()
            .map(|at| Ok(nodes.nodes[*at].json(&["status"])?["counters"]["conflicts"].as_u64().unwrap_or_default()))
            .sum::<Result<u64>>()?;
        // How many there are is the machine's affair.
        println!("{conflicts} commits were in each other's way");
        Ok(())
    }

    #[tokio::test]
    async fn a_gateway_has_one_live_link_at_whichever_node() -> Result<()> {
        let nodes = nodes().await?;
        let (group, [acme, _], [mut a, mut b]) = nodes.two().await?;
        a.send(&ToCenter::Relay(relay(group, "ka", 1, "from one"))).await?;
        a.decided(1).await?;
        let mut moved = nodes.greet(1, &acme, Some((group, "ka", 1))).await?;
        assert_eq!(a.bye().await?, Condition::Replaced);
        moved.send(&ToCenter::Relay(relay(group, "ka", 2, "from two"))).await?;
        moved.decided(2).await?;
        assert_eq!(b.delivered().await?.key.n.0, 1);
        assert_eq!(b.delivered().await?.key.n.0, 2);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_administered_at_one_node_holds_at_the_other() -> Result<()> {
        let nodes = nodes().await?;
        let (group, [_, globex], [mut a, mut b]) = nodes.two().await?;
        nodes.nodes[0].run(&["enterprise", "suspend", "globex"])?;
        assert_eq!(b.bye().await?, Condition::Suspended);
        assert!(nodes.greet(1, &globex, None).await.is_err(), "it stays out");
        nodes.nodes[1].run(&["enterprise", "resume", "globex"])?;
        let mut b = nodes.greet(0, &globex, None).await?;
        let show = info(b.ask(RequestBody::ShowGroup { group }).await?)?;
        assert_eq!(show.head, Seq(4), "joined, joined, suspended, resumed: each once");
        nodes.nodes[1].run(&["enterprise", "remove", "globex"])?;
        assert_eq!(b.bye().await?, Condition::Removed);
        let left = |s| if let ToGateway::Entry(entry) = s { (entry.seq == Seq(5)).then_some(entry) } else { None };
        a.until(left).await.context("its leaving is told")?;
        // A code of one node names both, and is good at both.
        while nodes.nodes[0].json(&["status"])?["addresses"].as_array().is_none_or(|all| all.len() < 2) {
            tokio::task::yield_now().await;
        }
        let code = nodes.nodes[0].run(&["enterprise", "add", "initech"])?;
        let code = intergroup_schemas::enrolment::Code::parse(&code)?;
        let mut addresses = code.addresses.clone();
        addresses.sort();
        let mut both = nodes.addresses.to_vec();
        both.sort();
        assert_eq!(addresses, both);
        let second = intergroup_schemas::enrolment::Code { addresses: vec![nodes.addresses[1].clone()], ..code };
        let initech = intergroup_tests::link_client::enrol(&second.encode()).await?;
        nodes.greet(0, &initech, None).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_node_that_is_killed_takes_nothing_with_it() -> Result<()> {
        let mut nodes = nodes().await?;
        let (group, [acme, _], [mut a, mut b]) = nodes.two().await?;
        let mut acknowledged = 0;
        for round in 0..4 {
            for n in acknowledged + 1..=acknowledged + 300 {
                a.feed_text(encode::to_center(&ToCenter::Relay(relay(group, "ka", n, "x")))).await?;
            }
            a.flush().await?;
            a.decided(acknowledged + 1).await?;
            // The other side stays where it is: at the second node, which lives.
            nodes.nodes[0].kill()?;
            while let Ok(stanza) = a.next().await {
                if let ToGateway::Decided(decided) = stanza {
                    acknowledged = acknowledged.max(decided.n.0);
                }
            }
            let given = acknowledged + 300;
            let mut link = LinkClient::open(&acme, &nodes.addresses[1]).await?;
            let welcome = link.hello(VERSION, vec![memory(group, "ka", given)?]).await?;
            let decided = welcome.groups.first().context("a member is told of its group")?.decided.0;
            ensure!(decided >= acknowledged, "round {round}: {decided} after {acknowledged} were acknowledged");
            acknowledged = decided + 1;
            link.send(&ToCenter::Relay(relay(group, "ka", acknowledged, "at the other node"))).await?;
            link.decided(acknowledged).await?;
            nodes.nodes[0].serve()?;
            a = nodes.greet(0, &acme, Some((group, "ka", acknowledged))).await?;
        }
        for n in 1..=acknowledged {
            let deliver = b.delivered().await?;
            ensure!(deliver.key.n.0 == n, "{} came when {n} was due: lost, twice, or out of order", deliver.key);
            b.send(&ToCenter::Settled(Settled { group, upto: deliver.seq, refused: Vec::new() })).await?;
            b.send(&ToCenter::Credit(Credit { count: 1 })).await?;
        }
        Ok(())
    }
}
