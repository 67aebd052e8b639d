//! Who a peer is, by its certificate, which TLS has verified to be of our authority.

use anyhow::{Context, Result};
use intergroup_schemas::ids::GatewayId;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{URI_PREFIX, fingerprint};

/// A peer with a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The gateway that the certificate names.
    pub gateway: GatewayId,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// When it ends, in seconds since 1970 UTC.
    pub ends_s: i64,
}

/// Reads a gateway's certificate.
///
/// # Errors
/// It does not name a gateway.
pub fn peer(certificate: &CertificateDer<'_>) -> Result<Peer> {
    let (_, parsed) = X509Certificate::from_der(certificate).context("a certificate that cannot be read")?;
    let names = parsed.subject_alternative_name().ok().flatten().context("a certificate without a name")?;
    let id = names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(URI_PREFIX),
        _ => None,
    });
    Ok(Peer {
        gateway: id.context("a certificate that is not a gateway's")?.parse()?,
        fingerprint: fingerprint(certificate),
        ends_s: ends_s(&parsed),
    })
}

/// When a certificate ends, in seconds since 1970 UTC.
pub(super) fn ends_s(certificate: &X509Certificate<'_>) -> i64 {
    certificate.validity().not_after.timestamp()
}
