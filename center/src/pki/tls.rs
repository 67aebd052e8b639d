//! TLS 1.3 with mutual certificates. A client without one may connect, but only to enrol; one whose certificate has
//! ended is let through the handshake, so that it can be told so in words instead of by a bare alert.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring as provider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme, version};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::peer::ends_s;
use super::{Authority, ServerCertificate};

/// A configuration for every connection.
///
/// # Errors
/// The authority's certificate cannot be one.
pub fn server_config(authority: &Authority, certificate: Arc<ServerCertificate>) -> Result<ServerConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let crypto: Arc<CryptoProvider> = Arc::new(provider::default_provider());
    let inner =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto.clone()).allow_unauthenticated().build()?;
    let mut config = ServerConfig::builder_with_provider(crypto)
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(Arc::new(Verifier(inner)))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would show the certificate of long ago. Links are few and long: a full handshake costs nothing.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Verifies everything but the end of the certificate, which the listener looks at.
#[derive(Debug)]
struct Verifier(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let end = X509Certificate::from_der(end_entity).ok().and_then(|(_, c)| u64::try_from(ends_s(&c)).ok());
        let before_end = end.map_or(now, |end| UnixTime::since_unix_epoch(Duration::from_secs(end.saturating_sub(1))));
        let now = if before_end < now { before_end } else { now };
        self.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
