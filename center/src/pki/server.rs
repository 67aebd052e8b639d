//! The server's certificate: re-made from the authority when it nears its end or when the addresses have changed, also
//! while the daemon runs.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, RwLock};

use anyhow::{Context, Result};
use rustls::crypto::ring::sign;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::peer::ends_s;
use super::{Authority, DAY_S, certificate_of};
use crate::config::{Dir, write_private};

/// With fewer days left, another is made.
const RENEWED_DAYS: i64 = 120;

/// The certificate that is shown to new connections.
#[derive(Debug)]
pub struct ServerCertificate {
    dir: Dir,
    hosts: Vec<String>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl ServerCertificate {
    /// Takes the one in the directory, or makes another when it does not serve.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(dir: &Dir, authority: &Authority, hosts: Vec<String>, now_s: i64) -> Result<Self> {
        let current = RwLock::new(Arc::new(load_or_make(dir, authority, &hosts, now_s)?));
        Ok(Self { dir: dir.clone(), hosts, current })
    }

    /// Makes another when it is time.
    ///
    /// # Errors
    /// The disk's; the present one stays.
    pub fn renew(&self, authority: &Authority, now_s: i64) -> Result<()> {
        let key = Arc::new(load_or_make(&self.dir, authority, &self.hosts, now_s)?);
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = key;
        Ok(())
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone())
    }
}

fn load_or_make(dir: &Dir, authority: &Authority, hosts: &[String], now_s: i64) -> Result<CertifiedKey> {
    if let Ok(pem) = fs::read_to_string(dir.server(false))
        && serves(&pem, authority, hosts, now_s)
        && let Ok(key) = fs::read_to_string(dir.server(true))
        && let Ok(certified) = certified(&pem, &key, authority)
        && certified.keys_match().is_ok()
    {
        return Ok(certified);
    }
    let (key, signed) = authority.server(hosts, now_s)?;
    write_private(&dir.server(true), key.serialize_pem().as_bytes())?;
    write_private(&dir.server(false), signed.pem.as_bytes())?;
    certified(&signed.pem, &key.serialize_pem(), authority)
}

/// The authority's certificate is shown as well: a gateway that enrols knows only its fingerprint.
fn certified(pem: &str, key_pem: &str, authority: &Authority) -> Result<CertifiedKey> {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|e| anyhow::anyhow!("{e:?}"))
        .context("the server's key")?;
    let chain = vec![certificate_of(pem)?, authority.certificate().clone()];
    Ok(CertifiedKey::new(chain, sign::any_supported_type(&key)?))
}

/// Whether a certificate is of this authority, good for long enough, and names exactly these hosts.
fn serves(pem: &str, authority: &Authority, hosts: &[String], now_s: i64) -> bool {
    let Ok(der) = certificate_of(pem) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
    let Ok((_, issuer)) = X509Certificate::from_der(authority.certificate()) else { return false };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    let named: BTreeSet<String> = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
                Ok(v4) => Some(std::net::IpAddr::from(v4).to_string()),
                Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|v6| std::net::IpAddr::from(v6).to_string()),
            },
            _ => None,
        })
        .collect();
    certificate.verify_signature(Some(issuer.public_key())).is_ok()
        && ends_s(&certificate) - now_s > RENEWED_DAYS * DAY_S
        && named == hosts.iter().cloned().collect()
}
