//! One JSON request over HTTPS.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use intergroup_schemas::enrolment::HttpError;
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::link::{Proxy, dial};

/// How long the center may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer: two certificates and some addresses.
const ANSWER_BYTES: usize = 256 * 1024;

/// Why there is no answer.
pub(super) enum Failure {
    /// The center says no.
    Refused(HttpError),
    /// Nobody sensible answered: another address may.
    Unreachable(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(e: anyhow::Error) -> Self {
        Failure::Unreachable(e)
    }
}

pub(super) async fn post<T: DeserializeOwned>(
    address: &str,
    proxy: Option<&Proxy>,
    tls: Arc<ClientConfig>,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Failure> {
    let stream = dial::dial(address, proxy, tls).await?;
    let body = serde_json::to_vec(body).context("the request")?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, address)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .context("the request")?;
    let exchange = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.context("HTTP")?;
        // Ends with the sender; its errors come out of the request as well.
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await.context("HTTP")?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|e| anyhow!("the answer: {e}"))?.to_bytes();
        driver.abort();
        anyhow::Ok((status, body))
    };
    let (status, body) = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
        .await
        .with_context(|| format!("{address} did not answer within {} s", ANSWER_TIMEOUT.as_secs()))??;
    if status.is_success() {
        return Ok(serde_json::from_slice(&body).with_context(|| format!("the answer of {address}"))?);
    }
    match serde_json::from_slice(&body) {
        Ok(error) => Err(Failure::Refused(error)),
        Err(_) => Err(Failure::Unreachable(anyhow!("{address} answered {status}"))),
    }
}
