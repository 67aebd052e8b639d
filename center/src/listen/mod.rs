//! The one TLS port: links of gateways, enrolment and renewal.
//!
//! In: connections on every address. Out: decoded stanzas to the engine, frames from outboxes to sockets. Never here:
//! decisions about stanzas. Authority comes from the certificate that TLS has verified, never from what is said.

mod frame;
mod http;
mod link;
mod writer;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use intergroup_schemas::address::split_address;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::engine::Engine;
use crate::pki::{self, Authority};

/// Connections at the same time, over all addresses. Each costs some tens of kibibytes.
const CONNECTIONS: usize = 4096;
/// A connection that has not finished TLS after this long is ended.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A request whose head has not come after this long is given up.
const REQUEST_HEAD: Duration = Duration::from_secs(10);
/// After a failed accept (no more file handles) the listener rests this long.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What a gateway is told whose certificate has ended, at its door or on its link.
const CERTIFICATE_ENDED: &str = "the certificate has ended: enrol again, nothing queued is lost";

/// What every connection needs.
#[derive(Debug)]
pub struct Service {
    /// The way to the hub.
    pub engine: Engine,
    /// Signs certificates.
    pub authority: Authority,
    /// TLS.
    pub tls: Arc<ServerConfig>,
}

/// Binds every address and serves them for ever. Says where it listens, one line each, when all are bound.
///
/// # Errors
/// An address cannot be bound.
pub async fn listen(service: Arc<Service>, addresses: &[String]) -> Result<()> {
    let mut listeners = Vec::new();
    for address in addresses {
        let (host, port) = split_address(address)?;
        let found: Vec<SocketAddr> =
            lookup_host((host.as_str(), port)).await.with_context(|| format!("looking up {host}"))?.collect();
        let listener = TcpListener::bind(found.as_slice()).await;
        listeners.push((address, listener.with_context(|| format!("listening on {address}"))?));
    }
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    for (address, listener) in listeners {
        // Whoever started the daemon may have closed its output since.
        let _ = writeln!(std::io::stdout(), "listening on {address}");
        tokio::spawn(accept_all(listener, service.clone(), permits.clone()));
    }
    Ok(())
}

async fn accept_all(listener: TcpListener, service: Arc<Service>, permits: Arc<Semaphore>) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let service = service.clone();
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, service).await {
                        tracing::debug!(%from, error = format!("{error:#}"), "a connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, service: Arc<Service>) -> Result<()> {
    stream.set_nodelay(true)?;
    let acceptor = TlsAcceptor::from(service.tls.clone());
    let tls = timeout(HANDSHAKE, acceptor.accept(stream)).await.context("the TLS handshake took too long")??;
    let peer = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(pki::peer).transpose()?;
    let caller = Arc::new(http::Caller { service, peer });
    let serve = service_fn(move |request| http::answer(caller.clone(), request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD)
        .serve_connection(TokioIo::new(tls), serve)
        .with_upgrades()
        .await?;
    Ok(())
}
