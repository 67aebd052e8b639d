//! HTTP on the port: the upgrade to a link, enrolment, renewal.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode};
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::enrolment::{ENROL_PATH, EnrolReply, EnrolRequest, HttpError, RENEW_PATH, RenewRequest};
use intergroup_schemas::ids::{DisplayName, GatewayId};
use intergroup_schemas::link::{PATH, SUBPROTOCOL, Timestamp};
use ring::digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{CERTIFICATE_ENDED, Service, link};
use crate::engine::now;
use crate::hub::{AdminReply, AdminRequest, Proof};
use crate::pki::Peer;

/// Largest body of a request: a signing request and an envelope.
const BODY_BYTES: usize = 32 * 1024;
/// A body that has not come after this long is given up.
const BODY: Duration = Duration::from_secs(10);

/// Who asks, on one connection.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) service: Arc<Service>,
    /// None for a client without a certificate.
    pub(super) peer: Option<Peer>,
}

type Answer = Response<Full<Bytes>>;
type Outcome<T> = Result<T, (StatusCode, HttpError)>;

fn refuse<T>(status: StatusCode, condition: Condition, text: impl Into<String>) -> Outcome<T> {
    Err((status, HttpError { condition, text: text.into() }))
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    // Our own structures always serialise.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    answer
}

/// Answers one request.
pub(super) async fn answer(caller: Arc<Caller>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let outcome = match (request.method(), request.uri().path()) {
        (&Method::GET, PATH) => upgrade(&caller, request),
        (&Method::POST, ENROL_PATH) => enrol(&caller, request).await.map(|reply| json(StatusCode::OK, &reply)),
        (&Method::POST, RENEW_PATH) => renew(&caller, request).await.map(|reply| json(StatusCode::OK, &reply)),
        _ => refuse(StatusCode::NOT_FOUND, Condition::BadRequest, "a center has nothing here"),
    };
    Ok(outcome.unwrap_or_else(|(status, error)| {
        tracing::info!(condition = error.condition.as_str(), text = error.text, "a request was refused");
        json(status, &error)
    }))
}

impl Caller {
    /// The peer, if it has shown a certificate that has not ended.
    fn peer(&self) -> Outcome<&Peer> {
        match &self.peer {
            None => {
                refuse(StatusCode::FORBIDDEN, Condition::BadCertificate, "a certificate is needed here: enrol first")
            }
            Some(peer) if peer.ends_s.saturating_mul(1000) < now().0 => {
                refuse(StatusCode::FORBIDDEN, Condition::BadCertificate, CERTIFICATE_ENDED)
            }
            Some(peer) => Ok(peer),
        }
    }

    /// Asks the hub; a refusal becomes an HTTP answer.
    async fn ask(&self, request: AdminRequest) -> Outcome<(GatewayId, DisplayName)> {
        match self.service.engine.ask(request).await {
            AdminReply::Gateway { gateway, display } => Ok((gateway, display)),
            AdminReply::Refused { condition: Some(condition), text } => {
                let status = match condition {
                    Condition::StoreUnavailable | Condition::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::FORBIDDEN,
                };
                refuse(status, condition, text)
            }
            _ => refuse(StatusCode::FORBIDDEN, Condition::BadCode, Condition::BadCode.admin_text()),
        }
    }
}

// ---------------------------------------------------------------- the link

fn upgrade(caller: &Arc<Caller>, mut request: Request<Incoming>) -> Outcome<Answer> {
    let peer = caller.peer()?.clone();
    let has = |name: HeaderName, word: &str| {
        let values = request.headers().get_all(name);
        values
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .any(|v| v.trim().eq_ignore_ascii_case(word))
    };
    let sound = has(CONNECTION, "upgrade") && has(UPGRADE, "websocket") && has(SEC_WEBSOCKET_VERSION, "13");
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).filter(|_| sound) else {
        let text = "a link is opened by a WebSocket upgrade (RFC 6455), version 13";
        return refuse(StatusCode::BAD_REQUEST, Condition::BadRequest, text);
    };
    if !has(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        let text = format!("the WebSocket subprotocol must be {SUBPROTOCOL}: update the older of the two programs");
        return refuse(StatusCode::BAD_REQUEST, Condition::UnsupportedVersion, text);
    }
    let accept = derive_accept_key(key.as_bytes());
    let upgraded = hyper::upgrade::on(&mut request);
    let service = caller.service.clone();
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => link::run(upgraded, peer, &service.engine).await,
            Err(error) => tracing::debug!(%error, "a link was given up before it began"),
        }
    });
    let answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept)
        .header(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
        .body(Full::default());
    // Every part of it is a valid header.
    answer.or_else(|_| refuse(StatusCode::INTERNAL_SERVER_ERROR, Condition::BadRequest, "no answer could be made"))
}

// ---------------------------------------------------------------- certificates

async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Outcome<T> {
    let collected = timeout(BODY, Limited::new(request.into_body(), BODY_BYTES).collect()).await;
    let Ok(Ok(collected)) = collected else {
        let text = format!("the request's body did not come, or has more than {BODY_BYTES} bytes");
        return refuse(StatusCode::BAD_REQUEST, Condition::TooLarge, text);
    };
    serde_json::from_slice(&collected.to_bytes()).or_else(|_| {
        let text = "the request's body is not understood: update the older of the two programs";
        refuse(StatusCode::BAD_REQUEST, Condition::BadRequest, text)
    })
}

async fn enrol(caller: &Caller, request: Request<Incoming>) -> Outcome<EnrolReply> {
    let request: EnrolRequest = body(request).await?;
    let mut secret = [0; 32];
    secret.copy_from_slice(digest::digest(&digest::SHA256, request.secret.0.as_bytes()).as_ref());
    let (gateway, _) = caller.ask(AdminRequest::CheckCode(secret)).await?;
    certify(caller, gateway, &request.csr_pem, Proof::Code(secret)).await
}

async fn renew(caller: &Caller, request: Request<Incoming>) -> Outcome<EnrolReply> {
    let peer = caller.peer()?.clone();
    let request: RenewRequest = body(request).await?;
    let check = AdminRequest::CheckCertificate { gateway: peer.gateway, certificate: peer.fingerprint };
    let (gateway, _) = caller.ask(check).await?;
    certify(caller, gateway, &request.csr_pem, Proof::Certificate(peer.fingerprint)).await
}

/// The certificate is given away only when the hub has it on disk.
async fn certify(caller: &Caller, gateway: GatewayId, csr_pem: &str, proof: Proof) -> Outcome<EnrolReply> {
    let authority = &caller.service.authority;
    let signed = authority.gateway(&gateway, csr_pem, now().0.div_euclid(1000)).or_else(|e| {
        let text = format!("{e:#}: make a new key and request");
        refuse(StatusCode::BAD_REQUEST, Condition::BadRequest, text)
    })?;
    let expires = Timestamp(signed.ends_s.saturating_mul(1000));
    let certificate = signed.fingerprint;
    let (gateway, display) = caller.ask(AdminRequest::Certify { gateway, certificate, expires, proof }).await?;
    tracing::info!(%gateway, "a certificate was given");
    Ok(EnrolReply {
        certificate_pem: signed.pem,
        authority_pem: authority.pem().to_owned(),
        addresses: caller.service.engine.addresses(),
        enterprise: gateway.enterprise,
        gateway: gateway.gateway,
        display,
    })
}
