//! `identity.json`: who the gateway is to the center, with what it proves that, and where the center is.

use std::fs;

use anyhow::{Context, Result};
use intergroup_schemas::ids::{DisplayName, EnterpriseId, GatewayName};
use intergroup_schemas::link::Timestamp;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{Dir, write_private};
use crate::link::tls;

/// The file's content. The key makes it a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The enterprise.
    pub enterprise: EnterpriseId,
    /// The gateway's name there.
    pub gateway: GatewayName,
    /// The enterprise's display name.
    pub display: DisplayName,
    /// Where the center listens, `HOST:PORT` each, in the order to try.
    pub addresses: Vec<String>,
    /// The gateway's certificate.
    pub certificate_pem: String,
    /// The certificate of the center's authority.
    pub authority_pem: String,
    /// The gateway's key. Never leaves the machine.
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} at {:?}", self.enterprise, self.gateway, self.addresses)
    }
}

impl Identity {
    /// Reads the file; none: not enrolled yet.
    ///
    /// # Errors
    /// The file is damaged, with what to do.
    pub fn load(dir: &Dir) -> Result<Option<Self>> {
        let path = dir.identity();
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("reading {}", path.display()))?,
        };
        let damaged = || format!("{} is damaged: enrol again, nothing queued is lost", path.display());
        serde_json::from_str(&text).map(Some).with_context(damaged)
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, dir: &Dir) -> Result<()> {
        write_private(&dir.identity(), serde_json::to_string_pretty(self)?.as_bytes())
    }

    /// From when to when the certificate is good.
    ///
    /// # Errors
    /// It is not a certificate.
    pub fn validity(&self) -> Result<(Timestamp, Timestamp)> {
        let der = tls::certificate(&self.certificate_pem)?;
        let (_, certificate) = X509Certificate::from_der(&der).ok().context("a certificate that cannot be read")?;
        let validity = certificate.validity();
        let at = |time: x509_parser::time::ASN1Time| Timestamp(time.timestamp().saturating_mul(1000));
        Ok((at(validity.not_before), at(validity.not_after)))
    }

    /// Whether it is time for the next certificate: a third of this one is left, or less.
    ///
    /// # Errors
    /// As [`Identity::validity`].
    pub fn is_due(&self, now: Timestamp) -> Result<bool> {
        let (from, to) = self.validity()?;
        Ok(to.0 - now.0 <= (to.0 - from.0) / 3)
    }
}
