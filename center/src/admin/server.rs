//! The daemon's side of the socket.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use intergroup_schemas::enrolment::{Code, Secret};
use intergroup_schemas::ids::GatewayId;
use intergroup_schemas::limits;
use intergroup_schemas::link::Timestamp;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{Answer, Ask, LINE_BYTES};
use crate::config::Dir;
use crate::engine::now;
use crate::hub::{AdminReply, AdminRequest};
use crate::listen::Service;
use crate::store::PageQuery;

/// Random bytes of a code's secret: nobody guesses them in any number of tries.
const SECRET_BYTES: usize = 20;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Serves the socket for ever. The caller holds the directory's lock, so a socket that is there already is a dead one.
///
/// # Errors
/// It cannot be made.
pub fn serve(dir: &Dir, name: String, service: Arc<Service>) -> Result<()> {
    let path = dir.socket();
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("removing the old {}", path.display()))?;
    }
    let listener = UnixListener::bind(&path).with_context(|| format!("making {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let name: Arc<str> = name.into();
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (name, service) = (name.clone(), service.clone());
                    tokio::spawn(async move {
                        if let Err(error) = answer(stream, &name, &service).await {
                            tracing::debug!(%error, "an admin command went away");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no admin command could be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

async fn answer(mut stream: UnixStream, name: &str, service: &Service) -> Result<()> {
    let mut line = String::new();
    BufReader::new((&mut stream).take(LINE_BYTES)).read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line) {
        Ok(ask) => perform(ask, name, service).await,
        Err(e) => Answer::Reply(AdminReply::Refused {
            condition: None,
            text: format!("the command is of another version than the running center ({e}): restart the center"),
        }),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    Ok(stream.shutdown().await?)
}

async fn perform(ask: Ask, name: &str, service: &Service) -> Answer {
    let request = match ask {
        Ask::Code { gateway, display, minutes, again } => {
            return code(
                gateway,
                minutes,
                |gateway, secret, expires| AdminRequest::AddEnterprise { gateway, display, secret, expires, again },
                service,
            )
            .await;
        }
        Ask::Suspend(enterprise) => AdminRequest::Suspend(enterprise),
        Ask::Resume(enterprise) => AdminRequest::Resume(enterprise),
        Ask::Remove(enterprise) => AdminRequest::Remove(enterprise),
        Ask::Enterprises => AdminRequest::ListEnterprises,
        Ask::Enterprise(enterprise) => AdminRequest::ShowEnterprise(enterprise),
        Ask::Groups => AdminRequest::ListGroups,
        Ask::Group(group) => AdminRequest::ShowGroup(group),
        Ask::Members { group, since, after } => AdminRequest::ListMembers(PageQuery { group, since, after }),
        Ask::DeleteGroup(group) => AdminRequest::DeleteGroup(group),
        Ask::Status => AdminRequest::Status,
    };
    match service.engine.ask(request).await {
        AdminReply::Status(status) => {
            Answer::Status { name: name.to_owned(), addresses: service.engine.addresses(), status }
        }
        reply => Answer::Reply(reply),
    }
}

/// Makes a code. Its secret is known to nobody but its receiver: the store keeps a hash.
async fn code(
    gateway: GatewayId,
    minutes: Option<u32>,
    request: impl FnOnce(GatewayId, [u8; 32], Timestamp) -> AdminRequest,
    service: &Service,
) -> Answer {
    let mut random = [0; SECRET_BYTES];
    if SystemRandom::new().fill(&mut random).is_err() {
        let text = "the system gives no random numbers; nothing was done".to_owned();
        return Answer::Reply(AdminReply::Refused { condition: None, text });
    }
    let secret = URL_SAFE_NO_PAD.encode(random);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    let hours = i64::try_from(limits::ENROLMENT_HOURS).unwrap_or(i64::MAX / HOUR_MS);
    let good_for = minutes.map_or(hours * HOUR_MS, |minutes| i64::from(minutes) * MINUTE_MS);
    // The last moment at which it is good lies before this one when it is good for no time.
    let expires = Timestamp(now().0 + good_for - 1);
    match service.engine.ask(request(gateway.clone(), hash, expires)).await {
        AdminReply::Done => {
            let (addresses, fingerprint) = (service.engine.addresses(), service.authority.fingerprint());
            let code = Code { addresses, fingerprint, secret: Secret(secret) }.encode();
            Answer::Code { code, gateway, expires: expires.to_wire() }
        }
        reply => Answer::Reply(reply),
    }
}
