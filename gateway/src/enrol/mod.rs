//! Enrolment: how the gateway gets its certificate, and another before that one ends.
//!
//! In: an enrolment code, later the present identity. Out: `identity.json`, replaced as a whole, so that key and certificate
//! always belong together. Never here: the store; enrolling again keeps everything that is in it.

mod http;
mod identity;
mod renewal;
#[cfg(test)]
mod tests;

pub use identity::Identity;
pub use renewal::keep_renewed;

use anyhow::{Context, Result};
use intergroup_schemas::enrolment::{Code, ENROL_PATH, EnrolReply, EnrolRequest, RENEW_PATH, RenewRequest};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde::Serialize;

use crate::config::Dir;
use crate::link::{Proxy, tls};

/// Enrols with a code: makes a key, has it signed, and puts the identity into the directory.
///
/// # Errors
/// No address answers, the center refuses (with its own words), or its answer does not fit the code.
pub async fn enrol(dir: &Dir, code: &Code, proxy: Option<&Proxy>) -> Result<Identity> {
    let (key, csr_pem) = request()?;
    let request = EnrolRequest { secret: code.secret.clone(), csr_pem };
    let tls = tls::pinned(code.fingerprint)?;
    let reply = ask(&code.addresses, proxy, &tls, ENROL_PATH, &request).await?;
    let authority = tls::certificate(&reply.authority_pem).context("the center's answer")?;
    anyhow::ensure!(
        tls::fingerprint(&authority) == code.fingerprint,
        "the center answered with an authority that is not the one in the code"
    );
    keep(dir, &key, reply)
}

/// Asks for the next certificate with the present one, and puts the new identity into the directory.
///
/// # Errors
/// As with [`enrol`]; the present identity stays.
pub async fn renew(dir: &Dir, present: &Identity, proxy: Option<&Proxy>) -> Result<Identity> {
    let (key, csr_pem) = request()?;
    let tls = tls::enrolled(present)?;
    let reply = ask(&present.addresses, proxy, &tls, RENEW_PATH, &RenewRequest { csr_pem }).await?;
    keep(dir, &key, reply)
}

/// A new key with a request to sign it. Who the gateway is, the center knows from the code; the request's name is unused.
fn request() -> Result<(KeyPair, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "intergroup-gateway");
    let csr = params.serialize_request(&key)?.pem()?;
    Ok((key, csr))
}

/// Tries the addresses in their order. A refusal is an answer and ends the search.
async fn ask(
    addresses: &[String],
    proxy: Option<&Proxy>,
    tls: &std::sync::Arc<rustls::ClientConfig>,
    path: &str,
    body: &impl Serialize,
) -> Result<EnrolReply> {
    let mut failed = anyhow::anyhow!("there is no address of the center to try");
    for address in addresses {
        match http::post(address, proxy, tls.clone(), path, body).await {
            Ok(reply) => return Ok(reply),
            Err(http::Failure::Refused(error)) => {
                anyhow::bail!("the center refuses ({}): {}", error.condition.as_str(), error.text)
            }
            Err(http::Failure::Unreachable(e)) => failed = e,
        }
    }
    Err(failed.context("the center could not be asked"))
}

fn keep(dir: &Dir, key: &KeyPair, reply: EnrolReply) -> Result<Identity> {
    let identity = Identity {
        enterprise: reply.enterprise,
        gateway: reply.gateway,
        display: reply.display,
        addresses: reply.addresses,
        certificate_pem: reply.certificate_pem,
        authority_pem: reply.authority_pem,
        key_pem: key.serialize_pem(),
    };
    // What could not be used is not kept: the present identity, if any, may still serve.
    tls::enrolled(&identity).context("the center's answer cannot be used")?;
    identity.validity().context("the center's answer cannot be used")?;
    identity.write(dir)?;
    Ok(identity)
}
