//! One center, several addresses: two gateways in networks that cannot reach each other.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use intergroup_schemas::ids::{GroupNumber, Seq};
use intergroup_schemas::link::{RequestBody, ToCenter};
use intergroup_tests::link_client::{CenterProcess, Identity, LinkClient, enrol, free_port, relay};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpStream;

use crate::talk::info;

/// A network of its own, with one wire to the center's machine.
struct Network {
    name: String,
    /// The center's address on the wire.
    center: String,
}

fn ip(line: &str) -> bool {
    Command::new("ip").args(line.split(' ')).status().is_ok_and(|s| s.success())
}

impl Network {
    /// None where that is not permitted.
    fn new(letter: char, subnet: u32) -> Option<Self> {
        let (pid, third) = (std::process::id(), subnet);
        let network = Self { name: format!("ig{pid}{letter}"), center: format!("10.213.{third}.1") };
        let (name, wire) = (&network.name, format!("{letter}{pid}"));
        let made = ip(&format!("netns add {name}"))
            && ip(&format!("link add {wire}0 type veth peer name {wire}1 netns {name}"))
            && ip(&format!("addr add 10.213.{third}.1/30 dev {wire}0"))
            && ip(&format!("link set {wire}0 up"))
            && ip(&format!("-n {name} addr add 10.213.{third}.2/30 dev {wire}1"))
            && ip(&format!("-n {name} link set {wire}1 up"));
        made.then_some(network)
    }

    /// Does something inside; everything that it opens is opened there.
    fn inside<T: Send>(&self, work: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
        let space = File::open(format!("/run/netns/{}", self.name))?;
        let thread = || {
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work())
        };
        std::thread::scope(|scope| scope.spawn(thread).join()).map_err(|_| anyhow::anyhow!("it panicked"))?
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The wire goes with it.
        ip(&format!("netns del {}", self.name));
    }
}

#[test]
fn gateways_on_two_networks_without_a_route_between_them_talk() -> Result<()> {
    let third = std::process::id() % 120;
    let (Some(left), Some(right)) = (Network::new('a', 2 * third), Network::new('b', 2 * third + 1)) else {
        println!("SKIPPED: network namespaces cannot be made here; run the tests as root, with iproute2");
        return Ok(());
    };
    let temp = tempfile::tempdir()?;
    let port = free_port()?;
    let listen = [format!("{}:{port}", left.center), format!("{}:{port}", right.center)];
    let mut center = CenterProcess::init(&temp.path().join("center"), &listen)?;
    center.serve()?;
    let code = |name: &str| center.run(&["enterprise", "add", name]);
    let (acme, globex) = (code("acme")?, code("globex")?);

    let cut_off = right.inside(async || Ok(TcpStream::connect(&listen[0]).await.is_err()))?;
    ensure!(cut_off, "the right network has no route to the left address");
    let (acme, group): (Identity, GroupNumber) = left.inside(async || {
        let identity = enrol(&acme).await?;
        let (mut link, _) = LinkClient::greet(&identity, Vec::new()).await?;
        let group = info(link.ask(RequestBody::CreateGroup { name: "Apollo".into() }).await?)?.number;
        info(link.ask(RequestBody::AllowEnterprise { group, enterprise: "globex".parse()? }).await?)?;
        Ok((identity, group))
    })?;
    let globex = right.inside(async || {
        let identity = enrol(&globex).await?;
        let (mut link, _) = LinkClient::greet(&identity, Vec::new()).await?;
        info(link.ask(RequestBody::JoinGroup { group }).await?)?;
        Ok(identity)
    })?;
    left.inside(async || {
        let (mut link, _) = LinkClient::greet(&acme, Vec::new()).await?;
        link.send(&ToCenter::Relay(relay(group, "k7", 1, "over the other wire"))).await?;
        link.decided(1).await
    })?;
    let deliver = right.inside(async || {
        let (mut link, _) = LinkClient::greet(&globex, Vec::new()).await?;
        link.resume(group, Seq(2)).await?;
        link.delivered().await
    })?;
    assert_eq!(deliver.key.to_string(), "k7.1");
    center.json(&["status"])?["links"].as_u64().context("figures")?;
    Ok(())
}
