//! Certificates: the center's own authority, its server certificate, and those of the gateways.
//!
//! In: the files of the directory, signing requests. Out: a TLS 1.3 configuration, signed certificates, and who a peer is.
//! Never here: whether a gateway is (still) welcome; that the hub decides for each link.

mod authority;
mod peer;
mod server;
mod tls;

pub use authority::Authority;
pub use peer::{Peer, peer};
pub use server::ServerCertificate;
pub use tls::server_config;

use anyhow::{Context, Result};
use chrono::{DateTime, Datelike, Utc};
use ring::digest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// What stands before a gateway's id in the URI of its certificate.
const URI_PREFIX: &str = "intergroup:";
/// A clock may be wrong by a day, and certificates are dated in whole days.
const BACKDATED_DAYS: i64 = 1;
const DAY_S: i64 = 24 * 3600;

/// SHA-256 of a certificate.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
    hash
}

/// The first certificate of a PEM text.
fn certificate_of(pem: &str) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| anyhow::anyhow!("{e:?}"))
        .context("not a PEM certificate")
}

/// Dates a certificate for at least `days` from now; says when it ends, in seconds since 1970 UTC.
fn set_validity(params: &mut rcgen::CertificateParams, now_s: i64, days: i64) -> Result<i64> {
    let midnight = |days: i64| {
        let day = (now_s.div_euclid(DAY_S) + days) * DAY_S;
        let date = DateTime::<Utc>::from_timestamp(day, 0).context("the clock is far off")?;
        let (month, of_month) = (u8::try_from(date.month())?, u8::try_from(date.day())?);
        anyhow::Ok((date.year(), month, of_month, day))
    };
    let (year, month, day, _) = midnight(-BACKDATED_DAYS)?;
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day, end) = midnight(days + 1)?;
    params.not_after = rcgen::date_time_ymd(year, month, day);
    Ok(end)
}
