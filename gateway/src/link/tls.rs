//! TLS 1.3 to the center: with our certificate and its authority's once we have enrolled, and before that with nothing but
//! the fingerprint of the authority that the enrolment code carries.

use std::sync::Arc;

use anyhow::{Context, Result};
use ring::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::enrol::Identity;

fn crypto() -> Arc<CryptoProvider> {
    Arc::new(provider::default_provider())
}

/// SHA-256 of a certificate.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
    hash
}

/// The first certificate of a PEM text.
pub(crate) fn certificate(pem: &str) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok().context("not a PEM certificate")
}

/// For a gateway that has enrolled.
pub(crate) fn enrolled(identity: &Identity) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&identity.authority_pem)?)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).ok().context("not a PEM key")?;
    let config = ClientConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate(&identity.certificate_pem)?], key)?;
    Ok(Arc::new(config))
}

/// For a gateway that knows the center by the fingerprint of its authority alone. The center shows the authority's
/// certificate behind its own.
pub(crate) fn pinned(authority: [u8; 32]) -> Result<Arc<ClientConfig>> {
    let config = ClientConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { authority, crypto: crypto() }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Verifies as usual, with one root: the certificate that has the fingerprint.
#[derive(Debug)]
struct Pinned {
    authority: [u8; 32],
    crypto: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates.iter().find(|c| fingerprint(c) == self.authority).ok_or_else(|| {
            Error::General("this is not the center that the code was made by (or somebody reads along)".into())
        })?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.crypto.clone())
            .build()
            .map_err(|e| Error::General(e.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.crypto.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}
