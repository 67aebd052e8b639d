//! The center's certificate authority: makes itself, the server's certificate and those of the gateways.

use std::fs;

use anyhow::{Context, Result};
use intergroup_schemas::ids::GatewayId;
use intergroup_schemas::limits;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;

use super::{URI_PREFIX, certificate_of, fingerprint, set_validity};
use crate::config::{Dir, write_private};

/// Nothing but a new enrolment of everybody follows the end of the authority.
const AUTHORITY_DAYS: i64 = 30 * 365;
/// The server's certificate is re-made from the authority long before its end.
const SERVER_DAYS: i64 = 365;

/// The authority, able to sign.
#[derive(Debug)]
pub struct Authority {
    pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that was just made.
#[derive(Debug)]
pub struct Signed {
    /// As text.
    pub pem: String,
    /// SHA-256 of it.
    pub fingerprint: [u8; 32],
    /// When it ends, in seconds since 1970 UTC.
    pub ends_s: i64,
}

impl Authority {
    /// Makes a new authority and puts it into the directory.
    ///
    /// # Errors
    /// The disk's.
    pub fn create(dir: &Dir, name: &str, now_s: i64) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("{name} (Intergroup center)"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now_s, AUTHORITY_DAYS)?;
        let certificate = params.self_signed(&key)?;
        write_private(&dir.authority(true), key.serialize_pem().as_bytes())?;
        write_private(&dir.authority(false), certificate.pem().as_bytes())?;
        Self::load(dir)
    }

    /// Reads the authority from the directory.
    ///
    /// # Errors
    /// A file is missing or damaged: restore both from a backup.
    pub fn load(dir: &Dir) -> Result<Self> {
        let read = |key| {
            let path = dir.authority(key);
            fs::read_to_string(&path).with_context(|| format!("reading {} (restore it from a backup)", path.display()))
        };
        let (pem, key) = (read(false)?, KeyPair::from_pem(&read(true)?).context("the authority's key")?);
        let certificate = certificate_of(&pem).context("the authority's certificate")?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).context("the authority's certificate")?;
        Ok(Self { pem, certificate, issuer })
    }

    /// The authority's certificate.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The same, as bytes.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the authority's certificate, by which gateways know the center.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.certificate)
    }

    /// A key and a certificate for a server with these hosts.
    pub(super) fn server(&self, hosts: &[String], now_s: i64) -> Result<(KeyPair, Signed)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(hosts.to_vec())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "intergroup-center");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let signed = self.sign(params, &key, now_s, SERVER_DAYS)?;
        Ok((key, signed))
    }

    /// A certificate for a gateway's key. Of the signing request only the key is used: who the gateway is, its
    /// enrolment says.
    ///
    /// # Errors
    /// The request is not one, or not signed by its own key.
    pub fn gateway(&self, id: &GatewayId, csr_pem: &str, now_s: i64) -> Result<Signed> {
        let request = CertificateSigningRequestParams::from_pem(csr_pem).context("the signing request is not sound")?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, id.enterprise.as_str());
        params.distinguished_name.push(DnType::CommonName, id.to_string());
        params.subject_alt_names = vec![SanType::URI(format!("{URI_PREFIX}{id}").try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, &request.public_key, now_s, i64::try_from(limits::CERTIFICATE_DAYS)?)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl rcgen::PublicKeyData,
        now_s: i64,
        days: i64,
    ) -> Result<Signed> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let ends_s = set_validity(&mut params, now_s, days)?;
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(Signed { pem: certificate.pem(), fingerprint: fingerprint(certificate.der()), ends_s })
    }
}
