//! What the tests of several modules share: a center that does as it is told.
//!
//! In: a certificate authority made on the spot, and scripts of what to answer. Out: TLS connections. Never in a release.

use std::sync::Arc;

use intergroup_schemas::enrolment::EnrolReply;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::enrol::Identity;
use crate::link::tls;

/// A center's authority and listener, on a free port of the loopback.
pub(crate) struct TestCenter {
    issuer: Issuer<'static, KeyPair>,
    authority: CertificateDer<'static>,
    authority_pem: String,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl TestCenter {
    pub(crate) async fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap();
        let (authority, authority_pem) = (certificate.der().clone(), certificate.pem());
        let issuer = Issuer::from_ca_cert_der(&authority, key).unwrap();

        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, &issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).unwrap();
        let crypto = Arc::new(rustls::crypto::ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto.clone());
        let config = ServerConfig::builder_with_provider(crypto)
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap())
            .with_single_cert(
                vec![server.der().clone(), authority.clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { issuer, authority, authority_pem, listener, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        tls::fingerprint(&self.authority)
    }

    /// The next connection; none when its TLS failed.
    pub(crate) async fn accept(&self) -> Option<TlsStream<TcpStream>> {
        let (stream, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(stream).await.ok()
    }

    /// What the center answers to a signing request of `acme/main`.
    pub(crate) fn sign(&self, csr_pem: &str) -> EnrolReply {
        let request = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI("intergroup:acme/main".try_into().unwrap())];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2120, 1, 1);
        let certificate = params.signed_by(&request.public_key, &self.issuer).unwrap();
        EnrolReply {
            certificate_pem: certificate.pem(),
            authority_pem: self.authority_pem.clone(),
            addresses: vec![self.address()],
            enterprise: "acme".parse().unwrap(),
            gateway: "main".parse().unwrap(),
            display: "Acme".parse().unwrap(),
        }
    }

    /// An identity that this center knows, reaching it over `addresses`.
    pub(crate) fn identity(&self, addresses: Vec<String>) -> Identity {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let reply = self.sign(&csr);
        Identity {
            enterprise: reply.enterprise,
            gateway: reply.gateway,
            display: reply.display,
            addresses,
            certificate_pem: reply.certificate_pem,
            authority_pem: reply.authority_pem,
            key_pem: key.serialize_pem(),
        }
    }
}

/// A proxy that lets one tunnel through; says what it was asked for.
pub(crate) async fn proxy() -> (String, tokio::task::JoinHandle<String>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let mut center = TcpStream::connect(target).await.unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut center).await });
        head
    });
    (address, asked)
}
