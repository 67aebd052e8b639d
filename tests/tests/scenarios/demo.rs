//! The demo of the README shows the main job, and would notice a message that does not arrive.

mod on_servers {
    use anyhow::{Result, ensure};
    use tokio::process::Command;

    async fn demo(args: &[&str]) -> Result<std::process::Output> {
        let demo = Command::new(env!("CARGO_BIN_EXE_demo"))
            .args(["--built", "--once"])
            .args(args)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output();
        Ok(demo.await?)
    }

    #[tokio::test]
    async fn the_demo_sees_everything() -> Result<()> {
        let out = demo(&[]).await?;
        let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        ensure!(out.status.success(), "the demo failed:\n{text}");
        ensure!(text.contains("nothing is missing"), "the demo does not say so:\n{text}");
        Ok(())
    }

    #[tokio::test]
    async fn a_message_withheld_fails_the_demo() -> Result<()> {
        let out = demo(&["--withhold", "--patience", "20"]).await?;
        let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        ensure!(out.status.code() == Some(1), "the demo did not fail:\n{text}");
        ensure!(text.contains("did not arrive in globex's room"), "the demo failed for another reason:\n{text}");
        Ok(())
    }
}
