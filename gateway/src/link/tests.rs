//! The link against a center that does as it is told.

use futures::{SinkExt, StreamExt};
use intergroup_schemas::enrolment::HttpError;
use intergroup_schemas::ids::{GroupNumber, Seq};
use intergroup_schemas::link::{Bye, Credit, Hello, Own, decode, encode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::*;
use crate::testing::{TestCenter, proxy};

type Peer = WebSocketStream<TlsStream<TcpStream>>;

/// A running link, with the directory that it lives from.
struct Running {
    _parent: tempfile::TempDir,
    dir: Dir,
    again: Arc<Notify>,
    owner: mpsc::Receiver<FromLink>,
    monitor: Arc<Monitor>,
    task: tokio::task::JoinHandle<()>,
}

fn start(identity: Option<&Identity>, proxy: Option<Proxy>) -> Running {
    let parent = tempfile::tempdir().unwrap();
    let (dir, again) = (Dir(parent.path().to_owned()), Arc::new(Notify::new()));
    if let Some(identity) = identity {
        identity.write(&dir).unwrap();
    }
    let (send, owner) = mpsc::channel(4);
    let monitor = Arc::new(Monitor::default());
    let settings = Settings { dir: dir.clone(), proxy, again: again.clone() };
    let task = tokio::spawn(run(settings, send, monitor.clone()));
    Running { _parent: parent, dir, again, owner, monitor, task }
}

/// Takes the next connection that gets as far as the upgrade.
async fn upgrade(center: &TestCenter) -> Peer {
    let stream = center.accept().await.unwrap();
    assert!(stream.get_ref().1.peer_certificates().is_some(), "the gateway shows its certificate");
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let check = |request: &Request, mut response: Response| {
        assert_eq!(request.uri().path(), intergroup_schemas::link::PATH);
        let protocol = request.headers()["sec-websocket-protocol"].clone();
        assert_eq!(protocol, intergroup_schemas::link::SUBPROTOCOL);
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap()
}

async fn heard(peer: &mut Peer) -> ToCenter {
    loop {
        if let Message::Text(text) = peer.next().await.unwrap().unwrap() {
            return decode::to_center(&text.into()).unwrap();
        }
    }
}

async fn say(peer: &mut Peer, stanza: &ToGateway) {
    peer.send(Message::text(encode::to_gateway(stanza))).await.unwrap();
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        enterprise: "acme".parse().unwrap(),
        gateway: "main".parse().unwrap(),
        display: "Acme".parse().unwrap(),
        credit: 10,
        window: 10,
        payload_bytes: 1000,
        groups: Vec::new(),
    }
}

fn own(seq: u64) -> ToGateway {
    ToGateway::Own(Own { group: GroupNumber(10_001), seq: Seq(seq), key: "k7.1".parse().unwrap() })
}

async fn said_hello(running: &mut Running) {
    let Some(FromLink::Hello(answer)) = running.owner.recv().await else { panic!("no hello was asked for") };
    answer.send(Vec::new()).unwrap();
}

/// Brings the link up; the center's end, and the sender of stanzas.
async fn up(center: &TestCenter, running: &mut Running) -> (Peer, mpsc::UnboundedSender<ToCenter>) {
    let greet = async {
        let mut peer = upgrade(center).await;
        let ToCenter::Hello(Hello { version: 1, groups, .. }) = heard(&mut peer).await else { panic!("not hello") };
        assert!(groups.is_empty());
        say(&mut peer, &ToGateway::Welcome(welcome())).await;
        peer
    };
    let (peer, ()) = tokio::join!(greet, said_hello(running));
    let Some(FromLink::Up(got, sender)) = running.owner.recv().await else { panic!("not up") };
    assert_eq!(got, welcome());
    (peer, sender)
}

async fn stanzas(running: &mut Running, count: usize) -> Vec<ToGateway> {
    let mut all = Vec::new();
    while all.len() < count {
        let Some(FromLink::Stanzas(more)) = running.owner.recv().await else { panic!("the link ended") };
        all.extend(more);
    }
    all
}

#[tokio::test]
async fn comes_up_carries_stanzas_both_ways_and_comes_back() {
    let center = TestCenter::start().await;
    let mut running = start(Some(&center.identity(vec![center.address()])), None);
    let (mut peer, sender) = up(&center, &mut running).await;
    assert_eq!(running.monitor.state(), State::Up(center.address()));
    for seq in 1..=300 {
        peer.feed(Message::text(encode::to_gateway(&own(seq)))).await.unwrap();
    }
    peer.flush().await.unwrap();
    assert_eq!(stanzas(&mut running, 300).await, (1..=300).map(own).collect::<Vec<_>>());
    for count in 1..=300 {
        sender.send(ToCenter::Credit(Credit { count })).unwrap();
    }
    for count in 1..=300 {
        assert_eq!(heard(&mut peer).await, ToCenter::Credit(Credit { count }));
    }
    let flushes = running.monitor.figures().iter().find(|(name, _)| *name == "link_flushes").unwrap().1;
    assert!(flushes < 10, "what waits is written together: {flushes} flushes");

    // What came before a connection breaks still counts.
    say(&mut peer, &own(301)).await;
    drop(peer);
    assert_eq!(stanzas(&mut running, 1).await, [own(301)]);
    assert!(matches!(running.owner.recv().await, Some(FromLink::Down)));
    assert!(matches!(running.monitor.state(), State::Down(_)));
    let _ = up(&center, &mut running).await;

    drop(running.owner);
    running.task.await.unwrap();
}

#[tokio::test]
async fn goes_through_a_proxy() {
    let center = TestCenter::start().await;
    let (address, asked) = proxy().await;
    let proxy = format!("http://u:p@{address}").parse().unwrap();
    let mut running = start(Some(&center.identity(vec![center.address()])), Some(proxy));
    let _ = up(&center, &mut running).await;
    assert!(asked.await.unwrap().contains("Proxy-Authorization: Basic dTpw\r\n"));
}

#[tokio::test]
async fn tries_the_next_address_and_says_who_refused() {
    let center = TestCenter::start().await;
    let other = TestCenter::start().await;
    let addresses = vec![other.address(), center.address()];
    let mut running = start(Some(&center.identity(addresses)), None);
    // The first address is somebody else's center: it is not of our authority.
    let ((), _) = tokio::join!(async { assert!(other.accept().await.is_none()) }, up(&center, &mut running));
}

#[tokio::test]
async fn a_stanza_that_is_none_ends_the_connection_alone() {
    let center = TestCenter::start().await;
    let mut running = start(Some(&center.identity(vec![center.address()])), None);
    for wrong in [Message::text("<own"), Message::text("<dance xmlns='x'/>"), Message::binary(vec![1, 2])] {
        let (mut peer, _sender) = up(&center, &mut running).await;
        say(&mut peer, &own(1)).await;
        peer.send(wrong).await.unwrap();
        assert_eq!(stanzas(&mut running, 1).await, [own(1)]);
        assert!(matches!(running.owner.recv().await, Some(FromLink::Down)));
    }
}

#[tokio::test]
async fn a_center_that_says_bye_or_no_is_quoted() {
    let center = TestCenter::start().await;
    let mut running = start(Some(&center.identity(vec![center.address()])), None);
    let (mut peer, _sender) = up(&center, &mut running).await;
    say(&mut peer, &ToGateway::Bye(Bye { condition: Condition::Suspended, text: "Unpaid.".into() })).await;
    assert!(matches!(running.owner.recv().await, Some(FromLink::Down)));
    let said = async |monitor: &Monitor, what: &str| {
        // The state is set before the pause begins, without any event: look until it is there.
        loop {
            match monitor.state() {
                State::Down(text) if text.contains(what) => return text,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let text = said(&running.monitor, "suspended").await;
    assert!(text.contains("Unpaid."), "{text}");

    // Nobody waits out the long pause here: a new identity ends it.
    running.again.notify_one();
    let mut stream = center.accept().await.unwrap();
    let error = HttpError { condition: Condition::BadCertificate, text: "It has ended.".into() };
    let body = serde_json::to_string(&error).unwrap();
    let answer = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
    let text = said(&running.monitor, "bad-certificate").await;
    assert!(text.contains("It has ended.") && text.contains("Enrol again"), "{text}");
}

#[tokio::test]
async fn a_gateway_that_enrols_later_connects_then() {
    let center = TestCenter::start().await;
    let mut running = start(None, None);
    while !matches!(running.monitor.state(), State::Down(text) if text.contains("enroll")) {
        tokio::task::yield_now().await;
    }
    center.identity(vec![center.address()]).write(&running.dir).unwrap();
    running.again.notify_one();
    let _ = up(&center, &mut running).await;
}
