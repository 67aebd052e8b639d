//! A connection to the center: TCP, a proxy's tunnel if there is one, TLS.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use intergroup_schemas::address::split_address;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Proxy;

/// How long one address may take until TLS is up. A dead carrier costs this much before the next address is tried.
const DIAL_TIMEOUT: Duration = Duration::from_secs(8);

/// Connects to one address (`HOST:PORT`).
///
/// # Errors
/// Which step failed, and why.
pub(crate) async fn dial(address: &str, proxy: Option<&Proxy>, tls: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    timeout(DIAL_TIMEOUT, connect(address, proxy, tls))
        .await
        .with_context(|| format!("{address} did not answer within {} s", DIAL_TIMEOUT.as_secs()))?
}

async fn connect(address: &str, proxy: Option<&Proxy>, tls: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    let (host, _) = split_address(address)?;
    let name = ServerName::try_from(host).context("a host's name")?;
    let stream = match proxy {
        None => tcp(address).await.with_context(|| format!("connecting to {address}"))?,
        Some(proxy) => {
            let mut stream =
                tcp(&proxy.address).await.with_context(|| format!("connecting to the proxy {}", proxy.address))?;
            proxy.tunnel(&mut stream, address).await?;
            stream
        }
    };
    TlsConnector::from(tls).connect(name, stream).await.with_context(|| format!("TLS with {address}"))
}

async fn tcp(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // What is written is already gathered; waiting for more would only delay it.
    stream.set_nodelay(true)?;
    Ok(stream)
}
