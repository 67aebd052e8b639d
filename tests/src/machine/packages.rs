//! Debian packages that the tests need, installed when they are missing and we may.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The XMPP servers, with what their message archives on SQLite need. The demo needs no more.
pub const SERVERS: &[&str] = &["prosody", "ejabberd", "erlang-p1-sqlite3", "lua-unbound"];
/// Everything that the tests need: also Redis, a validator of XML schemas, and network namespaces.
pub const NEEDED: &[&str] =
    &["prosody", "ejabberd", "erlang-p1-sqlite3", "lua-event", "redis-server", "libxml2-utils", "iproute2", "procps"];

/// What dpkg's maintainer scripts ask before they start a service; 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Forbids maintainer scripts to start services, for as long as it lives. An existing policy is left as it is.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn new() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("{POLICY} cannot be written"))?;
        std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

/// Those of the packages that are not installed.
fn missing<'a>(packages: &[&'a str]) -> Result<Vec<&'a str>> {
    let out = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(packages)
        .output()
        .context("dpkg-query does not run: these tests expect Debian")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let have: Vec<&str> = text.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    Ok(packages.iter().copied().filter(|p| !have.contains(p)).collect())
}

fn apt(args: &[&str]) -> Result<()> {
    let out = Command::new("apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("apt-get does not run")?;
    if !out.status.success() {
        let text = [out.stdout, out.stderr].concat();
        bail!("apt-get {} failed:\n{}", args.join(" "), String::from_utf8_lossy(&text));
    }
    Ok(())
}

/// Installs those of the packages that are missing, saying so with `say`. No service is started.
///
/// # Errors
/// Not root while something is missing, no network, or a package that cannot be installed.
pub fn install(packages: &[&str], say: impl Fn(&str)) -> Result<()> {
    let need = missing(packages)?;
    if need.is_empty() {
        say("all Debian packages that are needed are there");
        return Ok(());
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "these Debian packages are missing: {0}. Install them (apt-get install {0}), or run this as root",
        need.join(" ")
    );
    say(&format!("installing Debian packages (no service is started): {}", need.join(" ")));
    let _policy = NoServices::new()?;
    apt(&["update"])?;
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(&need);
    apt(&args)
}
