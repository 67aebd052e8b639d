//! A full disk, and an orderly end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::link::{ToCenter, ToGateway};
use intergroup_tests::link_client::{CenterProcess, Identity, LinkClient, free_port, relay};

use crate::talk::{info, memory, two};

/// How often a gateway dials again while the center's disk is full: it may take the center as long as its own back-off.
const TRIES: usize = 600;

/// A file system in memory, of a size.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).ok()?;
        let at = Self(at.to_owned());
        at.sized("-osize=4m").then_some(at)
    }

    fn sized(&self, options: &str) -> bool {
        let mount = Command::new("mount").args(["-t", "tmpfs", options, "tmpfs"]).arg(&self.0).status();
        mount.is_ok_and(|s| s.success())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a process that is ending may hold it still.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

async fn again(identity: &Identity, group: intergroup_schemas::ids::GroupNumber) -> Result<(LinkClient, u64)> {
    for _ in 0..TRIES {
        if let Ok((link, welcome)) = LinkClient::greet(identity, vec![memory(group, "k7", 0)?]).await {
            return Ok((link, welcome.groups.first().context("its group")?.decided.0));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the center does not come back")
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_loses_nothing() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let Some(small) = Small::mount(&temp.path().join("small")) else {
        println!("SKIPPED: a small file system cannot be mounted here; run the tests as root");
        return Ok(());
    };
    let mut center = CenterProcess::init(&small.0.join("center"), &[format!("127.0.0.1:{}", free_port()?)])?;
    center.serve()?;
    let (group, [acme, _], [mut a, _b]) = two(&center).await?;
    let body = "x".repeat(10_000);
    let mut acknowledged = 0;
    let ended = 'full: {
        for n in 1..1000 {
            a.send(&ToCenter::Relay(relay(group, "k7", n, &body))).await?;
            loop {
                match a.next().await? {
                    ToGateway::Decided(decided) => {
                        acknowledged = decided.n.0;
                        break;
                    }
                    ToGateway::Bye(bye) => break 'full bye.condition,
                    _ => {}
                }
            }
        }
        bail!("the disk did not fill up")
    };
    assert_eq!(ended, Condition::StoreUnavailable);
    ensure!(acknowledged > 10, "it worked before: {acknowledged}");
    ensure!(small.sized("-oremount,size=64m"), "the file system grows");
    let (mut a, decided) = again(&acme, group).await?;
    assert!(decided >= acknowledged, "{decided} after {acknowledged} were acknowledged");
    a.send(&ToCenter::Relay(relay(group, "k7", decided + 1, &body))).await?;
    a.decided(decided + 1).await?;
    assert!(center.json(&["status"])?["store"]["failures"].as_u64() > Some(0));
    Ok(())
}

#[tokio::test]
async fn an_orderly_end_says_bye_and_keeps_everything() -> Result<()> {
    let mut center = CenterProcess::start()?;
    let (group, [acme, _], [mut a, mut b]) = two(&center).await?;
    a.send(&ToCenter::Relay(relay(group, "k7", 1, "last"))).await?;
    a.decided(1).await?;
    assert!(center.terminate()?, "it ends well");
    assert_eq!(a.bye().await?, Condition::ShuttingDown);
    assert_eq!(b.bye().await?, Condition::ShuttingDown);
    let refused = center.run(&["status"]).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(refused.contains("serve --dir"), "it says how to start it: {refused}");
    center.serve()?;
    let (mut a, _) = LinkClient::greet(&acme, Vec::new()).await?;
    let show = intergroup_schemas::link::RequestBody::ShowGroup { group };
    assert_eq!(info(a.ask(show).await?)?.head.0, 3);
    Ok(())
}
