//! `enroll`: gets the gateway its certificate.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use intergroup_schemas::enrolment::Code;

use super::args::Common;
use super::{Exit, fail, prompt};
use crate::config::Config;
use crate::control::{Request, ask};
use crate::enrol::{self, Identity};

/// Longest input that may hold a code.
const INPUT_BYTES: u64 = 64 * 1024;
/// How long the daemon may take to hear that the identity has changed.
const TELL: Duration = Duration::from_secs(5);

pub(super) fn run(common: &Common, code: Option<&str>) -> Exit {
    let dir = common.dir();
    let ready = Config::load(&dir).and_then(|config| Ok((config.proxy()?, take(code, std::io::stdin())?)));
    let (proxy, code) = match ready {
        Ok(ready) => ready,
        Err(e) => return fail(&e, Exit::Usage),
    };
    let enrolled = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting")
        .and_then(|runtime| runtime.block_on(enrol::enrol(&dir, &code, proxy.as_ref())));
    match enrolled {
        Ok(identity) => {
            // A daemon that does not run reads the identity when it starts.
            let told = ask(&dir.socket(), &Request::Reconnect, TELL).is_ok();
            print(common, &identity, told);
            Exit::Ok
        }
        Err(e) => fail(&e, Exit::Refused),
    }
}

/// The code from the argument, or from the input when that is `-` or absent.
fn take(code: Option<&str>, input: impl Read) -> Result<Code> {
    let text = match code {
        Some(code) if code != "-" => code.to_owned(),
        None if prompt::possible() => prompt::ask("Enrolment code", None, |text| Ok(text.to_owned()))?,
        _ => {
            let mut text = String::new();
            input.take(INPUT_BYTES).read_to_string(&mut text).context("reading the code from standard input")?;
            text
        }
    };
    ensure!(!text.trim().is_empty(), "no enrolment code was given");
    Ok(Code::parse(&text)?)
}

fn print(common: &Common, identity: &Identity, running: bool) {
    if common.json {
        let line = serde_json::json!({
            "result": "done",
            "enterprise": identity.enterprise,
            "gateway": identity.gateway,
            "display": identity.display,
            "addresses": identity.addresses,
        });
        return println!("{line}");
    }
    println!("Enrolled as {}/{} ({}).", identity.enterprise, identity.gateway, identity.display);
    if !running {
        println!("Next: intergroup-gateway serve --dir {}", common.dir().0.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intergroup_schemas::enrolment::Secret;

    #[test]
    fn the_code_comes_from_standard_input_so_that_no_list_of_processes_shows_it() {
        let code =
            Code { addresses: vec!["hub.example:7100".into()], fingerprint: [7; 32], secret: Secret("s".into()) };
        let line = code.encode();
        assert_eq!(take(Some("-"), format!("{line}\n").as_bytes()).unwrap(), code);
        assert_eq!(take(Some(&line), &b""[..]).unwrap(), code);
        assert!(take(Some("-"), &b"\n"[..]).unwrap_err().to_string().contains("no enrolment code"));
        assert!(take(Some("-"), &line.as_bytes()[..30]).unwrap_err().to_string().contains("copy the whole line"));
    }
}
