//! `init`: makes a gateway in its directory.

use anyhow::{Context, Result, bail, ensure};
use intergroup_redis::Files;
use intergroup_schemas::address::split_address;

use super::args::{Common, Init};
use super::{Exit, fail, prompt};
use crate::config::{AuthorRate, Config, DEFAULT_NICK, Dir, read_secret, secret, write_private};
use crate::link::Proxy;
use crate::store::place::Place;
use crate::xmpp::Secret;

/// Where a proxy with a password is taken from.
const PROXY_VARIABLE: &str = "INTERGROUP_GATEWAY_PROXY";

pub(super) fn run(common: &Common, init: Init) -> Exit {
    let dir = common.dir();
    let files = Files { password: init.store_password_file.clone(), authorities: init.store_ca_file.clone() };
    let made = gather(init).and_then(|(config, secret)| make(&dir, &config, &secret, &files).map(|()| config));
    match made {
        Ok(config) => {
            let path = dir.0.display();
            if common.json {
                println!("{}", serde_json::json!({ "result": "done", "dir": dir.0, "component": config.component }));
            } else {
                println!("Made a gateway for {} in {path}. Next:", config.component);
                println!(
                    "  intergroup-gateway enroll - --dir {path}     # reads the center's code from standard input"
                );
                println!("  intergroup-gateway serve --dir {path}");
            }
            Exit::Ok
        }
        Err(e) => fail(&e, Exit::Usage),
    }
}

/// Takes everything from the flags, asks a person for the rest, and names all that is missing when there is none.
fn gather(init: Init) -> Result<(Config, Secret)> {
    let proxy = proxy(init.proxy, std::env::var(PROXY_VARIABLE).ok())?;
    let asking = prompt::possible();
    if !asking {
        let missing: Vec<_> = [
            ("--server", init.server.is_none()),
            ("--component", init.component.is_none()),
            ("--secret-file", init.secret_file.is_none()),
            ("--rooms", init.rooms.is_none()),
            ("--domain", init.domains.is_empty()),
        ]
        .into_iter()
        .filter_map(|(flag, missing)| missing.then_some(flag))
        .collect();
        ensure!(missing.is_empty(), "missing: {} (at a terminal you would be asked)", missing.join(", "));
    }
    let own = |text: &str| {
        ensure!(!text.is_empty(), "please answer");
        Ok(text.to_owned())
    };
    let server = match init.server {
        Some(server) => server,
        None => prompt::ask("Component listener of your server, HOST:PORT", Some("127.0.0.1:5347"), |text| {
            split_address(text)?;
            Ok(text.to_owned())
        })?,
    };
    let component = match init.component {
        Some(component) => component,
        None => prompt::ask("Domain of the component, as in groups.example.com", None, own)?,
    };
    let secret = match init.secret_file {
        Some(path) => read_secret(&path)?,
        None => prompt::ask_hidden("Secret of the component", secret)?,
    };
    let rooms = match init.rooms {
        Some(rooms) => rooms,
        None => prompt::ask("Domain of your room service, as in conference.example.com", None, own)?,
    };
    let domains = match init.domains {
        domains if domains.is_empty() => {
            let answer = prompt::ask("Domains of your accounts, the main one first", None, own)?;
            answer.split([',', ' ']).filter(|d| !d.is_empty()).map(str::to_owned).collect()
        }
        domains => domains,
    };
    let nick = init.nick.unwrap_or_else(|| DEFAULT_NICK.to_owned());
    Ok((
        Config {
            server,
            component,
            rooms,
            domains,
            nick,
            proxy,
            store: init.store,
            standing: Default::default(),
            author_rate: AuthorRate::default(),
            members: Default::default(),
            offline: Default::default(),
        }
        .checked()?,
        secret,
    ))
}

fn proxy(flag: Option<String>, variable: Option<String>) -> Result<Option<String>> {
    if let Some(flag) = &flag {
        let proxy: Proxy = flag.parse()?;
        if proxy.has_credentials() {
            bail!(
                "a password on the command line shows in the list of processes: set {PROXY_VARIABLE} instead of --proxy"
            );
        }
    }
    Ok(flag.or(variable.filter(|v| !v.is_empty())))
}

fn make(dir: &Dir, config: &Config, secret: &Secret, files: &Files) -> Result<()> {
    dir.create()?;
    write_private(&dir.secret(), secret.expose().as_bytes())?;
    files.copy_into(&dir.0, write_private)?;
    Place::of(dir, config)?.open().context("making the store")?;
    // Last: a directory with this file is a gateway.
    config.write(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(secret: &std::path::Path) -> Init {
        Init {
            server: Some("127.0.0.1:5347".into()),
            component: Some("groups.acme.example".into()),
            secret_file: Some(secret.to_owned()),
            rooms: Some("conference.acme.example".into()),
            domains: vec!["acme.example".into()],
            nick: None,
            proxy: None,
            store: None,
            store_password_file: None,
            store_ca_file: None,
        }
    }

    #[test]
    fn a_gateway_is_made_once_and_complete() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("secret");
        std::fs::write(&file, "s3cret\n").unwrap();
        let dir = Dir(parent.path().join("gateway"));
        let (config, secret) = gather(flags(&file)).unwrap();
        let files = Files { password: Some(file.clone()), authorities: None };
        make(&dir, &config, &secret, &files).unwrap();
        assert_eq!(Config::load(&dir).unwrap(), config);
        assert_eq!(read_secret(&dir.secret()).unwrap().expose(), "s3cret");
        assert!(dir.store().exists());
        Place::of(&dir, &config).unwrap().open().unwrap().load().unwrap();
        for path in [dir.config(), dir.secret(), Files::password_in(&dir.0)] {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(make(&dir, &config, &secret, &files).unwrap_err().to_string().contains("already"));
    }

    #[test]
    fn a_password_does_not_come_by_the_command_line() {
        let with_password = "http://u:p@proxy:1";
        let text = proxy(Some(with_password.into()), None).unwrap_err().to_string();
        assert!(text.contains(PROXY_VARIABLE) && !text.contains("u:p"), "{text}");
        assert_eq!(proxy(None, Some(with_password.into())).unwrap().as_deref(), Some(with_password));
        assert_eq!(proxy(Some("http://a:1".into()), Some("http://b:1".into())).unwrap().as_deref(), Some("http://a:1"));
    }
}
