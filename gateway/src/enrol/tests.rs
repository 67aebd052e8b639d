//! Enrolment and renewal against a center that does as it is told.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::enrolment::{HttpError, Secret};
use intergroup_schemas::link::Timestamp;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::testing::{TestCenter, proxy};

fn dir() -> (tempfile::TempDir, Dir) {
    let parent = tempfile::tempdir().unwrap();
    let dir = Dir(parent.path().to_owned());
    (parent, dir)
}

fn code(center: &TestCenter) -> Code {
    Code { addresses: vec![center.address()], fingerprint: center.fingerprint(), secret: Secret("once".into()) }
}

/// Takes one request; answers it with what `reply` makes of its body. Says which path was asked for, and whether with a
/// certificate.
async fn answer(center: &TestCenter, reply: impl Fn(serde_json::Value) -> (u16, String)) -> Option<(String, bool)> {
    let mut stream = center.accept().await?;
    let (mut heard, mut length) = (Vec::new(), None);
    let head = loop {
        heard.push(stream.read_u8().await.ok()?);
        if heard.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8(std::mem::take(&mut heard)).unwrap();
            for line in head.lines() {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().ok();
                }
            }
            break head;
        }
    };
    let mut body = vec![0; length.unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    let (status, text) = reply(serde_json::from_slice(&body).unwrap());
    let known = stream.get_ref().1.peer_certificates().is_some();
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
    Some((head.split(' ').nth(1).unwrap().to_owned(), known))
}

fn signed(center: &TestCenter, body: &serde_json::Value) -> (u16, String) {
    (200, serde_json::to_string(&center.sign(body["csr_pem"].as_str().unwrap())).unwrap())
}

#[tokio::test]
async fn a_code_becomes_an_identity_and_a_later_one_replaces_it() {
    let (center, (_parent, dir)) = (TestCenter::start().await, dir());
    let code = code(&center);
    let (enrolled, asked) = tokio::join!(
        enrol(&dir, &code, None),
        answer(&center, |body| {
            assert_eq!(body["secret"], json!("once"));
            signed(&center, &body)
        })
    );
    assert_eq!(asked, Some(("/enroll".to_owned(), false)));
    let first = enrolled.unwrap();
    assert_eq!(Identity::load(&dir).unwrap().as_ref(), Some(&first));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(dir.identity()).unwrap().permissions().mode() & 0o777, 0o600);

    let (renewed, asked) = tokio::join!(renew(&dir, &first, None), answer(&center, |body| signed(&center, &body)));
    assert_eq!(asked, Some(("/renew".to_owned(), true)), "a renewal shows the present certificate");
    let second = renewed.unwrap();
    assert_ne!(first.key_pem, second.key_pem);
    assert_eq!(Identity::load(&dir).unwrap(), Some(second));
}

#[tokio::test]
async fn goes_through_a_proxy() {
    let (center, (_parent, dir)) = (TestCenter::start().await, dir());
    let (address, asked) = proxy().await;
    let proxy = format!("http://{address}").parse().unwrap();
    let (code, serve) = (code(&center), answer(&center, |body| signed(&center, &body)));
    let (enrolled, _) = tokio::join!(enrol(&dir, &code, Some(&proxy)), serve);
    enrolled.unwrap();
    assert!(asked.await.unwrap().starts_with(&format!("CONNECT {} ", center.address())));
}

#[tokio::test]
async fn the_secret_never_reaches_somebody_who_is_not_the_center() {
    let (center, (_parent, dir)) = (TestCenter::start().await, dir());
    let code = Code { fingerprint: [9; 32], ..code(&center) };
    let (enrolled, asked) = tokio::join!(enrol(&dir, &code, None), answer(&center, |_| panic!("the secret was sent")));
    let text = format!("{:#}", enrolled.unwrap_err());
    assert!(text.contains("not the center that the code was made by"), "{text}");
    assert_eq!((asked, Identity::load(&dir).unwrap()), (None, None));
}

#[tokio::test]
async fn a_refusal_is_told_in_the_centers_words_and_keeps_what_there_is() {
    let (center, (_parent, dir)) = (TestCenter::start().await, dir());
    let present = center.identity(vec![center.address()]);
    present.write(&dir).unwrap();
    let error = HttpError { condition: Condition::BadCode, text: "It was used.".into() };
    let refusal = serde_json::to_string(&error).unwrap();
    let code = code(&center);
    let (enrolled, _) = tokio::join!(enrol(&dir, &code, None), answer(&center, |_| (403, refusal.clone())));
    let text = format!("{:#}", enrolled.unwrap_err());
    assert!(text.contains("bad-code") && text.contains("It was used."), "{text}");
    assert_eq!(Identity::load(&dir).unwrap(), Some(present));
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_is_dead() {
    let (center, (_parent, dir)) = (TestCenter::start().await, dir());
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let code = Code { addresses: vec![closed, center.address()], ..code(&center) };
    let (enrolled, _) = tokio::join!(enrol(&dir, &code, None), answer(&center, |body| signed(&center, &body)));
    enrolled.unwrap();
}

#[tokio::test]
async fn is_renewed_when_a_third_is_left() {
    let identity = TestCenter::start().await.identity(Vec::new());
    let (from, to) = identity.validity().unwrap();
    let third = (to.0 - from.0) / 3;
    assert!(!identity.is_due(Timestamp(to.0 - third - 1)).unwrap());
    assert!(identity.is_due(Timestamp(to.0 - third)).unwrap());
    assert!(identity.is_due(Timestamp(to.0 + 1)).unwrap());
}
