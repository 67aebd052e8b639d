//! Enrolment: a key, a signing request, a certificate; and HTTP beside the link.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use intergroup_schemas::enrolment::{Code, ENROL_PATH, EnrolReply, EnrolRequest, HttpError, RENEW_PATH, RenewRequest};
use rcgen::{CertificateParams, KeyPair};
use ring::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring as provider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate and what goes with it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The center's answer.
    pub reply: EnrolReply,
    /// The private key (PEM).
    pub key_pem: String,
}

/// Uses an enrolment code, at the first address of those it names that can be reached.
///
/// # Errors
/// The center refused (the condition's name is in the text), or cannot be reached.
pub async fn enrol(code: &str) -> Result<Identity> {
    let code = Code::parse(code)?;
    let key = KeyPair::generate()?;
    let csr_pem = CertificateParams::default().serialize_request(&key)?.pem()?;
    let request = EnrolRequest { secret: code.secret, csr_pem };
    let address = reachable(&code.addresses).await?;
    let (status, body) = post(address, pinned(code.fingerprint)?, ENROL_PATH, &serde_json::to_vec(&request)?).await?;
    answered(status, &body, key.serialize_pem())
}

/// Asks for another certificate, for a new key, with the present one.
///
/// # Errors
/// See [`enrol`].
pub async fn renew(identity: &Identity, with_certificate: bool) -> Result<Identity> {
    let key = KeyPair::generate()?;
    let csr_pem = CertificateParams::default().serialize_request(&key)?.pem()?;
    let address = reachable(&identity.reply.addresses).await?;
    let body = serde_json::to_vec(&RenewRequest { csr_pem })?;
    let (status, body) = post(address, tls_config(identity, with_certificate)?, RENEW_PATH, &body).await?;
    answered(status, &body, key.serialize_pem())
}

fn answered(status: u16, body: &[u8], key_pem: String) -> Result<Identity> {
    if status != 200 {
        let error: HttpError = serde_json::from_slice(body)?;
        bail!("{}: {}", error.condition.as_str(), error.text);
    }
    Ok(Identity { reply: serde_json::from_slice(body)?, key_pem })
}

/// The first address that can be reached from here.
pub(super) async fn reachable(addresses: &[String]) -> Result<&str> {
    for address in addresses {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(address);
        }
    }
    bail!("none of {addresses:?} can be reached")
}

/// A TLS configuration that trusts the identity's center, and shows its certificate if `with_certificate`.
///
/// # Errors
/// The identity is not sound.
pub fn tls_config(identity: &Identity, with_certificate: bool) -> Result<Arc<ClientConfig>> {
    let pem = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).map_err(|e| anyhow!("{e:?}"));
    let mut roots = RootCertStore::empty();
    roots.add(pem(&identity.reply.authority_pem)?)?;
    let builder = builder()?.with_root_certificates(roots);
    if !with_certificate {
        return Ok(Arc::new(builder.with_no_client_auth()));
    }
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(|e| anyhow!("{e:?}"))?;
    Ok(Arc::new(builder.with_client_auth_cert(vec![pem(&identity.reply.certificate_pem)?], key)?))
}

/// Posts a body and returns the answer's status and body.
///
/// # Errors
/// The connection's.
pub async fn post(address: &str, tls: Arc<ClientConfig>, path: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
    let mut stream = connect(address, tls).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = memchr::memmem::find(&answer, b"\r\n\r\n").context("no HTTP answer")?;
    let status = std::str::from_utf8(&answer[..end])?.split(' ').nth(1).context("no HTTP status")?.parse()?;
    Ok((status, answer[end + 4..].to_vec()))
}

/// A TLS connection to `HOST:PORT`.
pub(super) async fn connect(address: &str, tls: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    let (host, _) = address.rsplit_once(':').context("an address is HOST:PORT")?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let stream = TcpStream::connect(address).await.with_context(|| format!("dialling {address}"))?;
    stream.set_nodelay(true)?;
    Ok(TlsConnector::from(tls).connect(name, stream).await?)
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    let crypto = Arc::new(provider::default_provider());
    Ok(ClientConfig::builder_with_provider(crypto).with_protocol_versions(&[&version::TLS13])?)
}

fn pinned(fingerprint: [u8; 32]) -> Result<Arc<ClientConfig>> {
    let verifier = Arc::new(Pinned { fingerprint });
    Ok(Arc::new(builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// Trusts the authority that has the fingerprint, which the server must show.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let known = |c: &&CertificateDer<'_>| digest::digest(&digest::SHA256, c).as_ref() == self.fingerprint;
        let authority = intermediates.iter().find(known);
        let authority = authority.ok_or_else(|| rustls::Error::General("another center answers".into()))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let crypto = Arc::new(provider::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto)
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
