//! The link over a real socket, against a server of few words.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::connection::Times;
use super::super::splitter::{Piece, STANZA_BYTES, Splitter};
use super::super::{Monitor, Secret, Settings, State, task};
use super::*;
use crate::xmpp::Order;

/// Patience for tests: ample where nothing is to happen, short where something must run out.
const TIMES: Times = Times {
    open: Duration::from_secs(30),
    test: Duration::from_secs(30),
    ping: Duration::from_secs(30),
    dead: Duration::from_secs(60),
    tick: Duration::from_millis(10),
    close: Duration::from_secs(5),
};

struct Server {
    stream: TcpStream,
    buffer: BytesMut,
    splitter: Splitter,
}

impl Server {
    /// Takes a connection and lets it prove itself.
    async fn accept(listener: &TcpListener) -> Server {
        let (stream, _) = listener.accept().await.unwrap();
        let mut server = Server { stream, buffer: BytesMut::new(), splitter: Splitter::new(STANZA_BYTES) };
        let header = server.next().await.unwrap();
        assert!(header.contains("to='groups.acme.test'"), "{header}");
        server
            .send(
                "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
                 xmlns:stream='http://etherx.jabber.org/streams' from='groups.acme.test' id='3BF96D32'>",
            )
            .await;
        assert_eq!(server.next().await.unwrap(), "<handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>");
        server
    }

    /// Accepts the proof and sends back the test's stanzas but for the first few.
    async fn welcome(&mut self, withheld: usize) {
        self.send("<handshake/>").await;
        for n in 0..usize::try_from(super::super::session::TEST_STANZAS).unwrap() {
            let stanza = self.next().await.unwrap();
            if n >= withheld {
                self.send(&stanza).await;
            }
        }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next piece of the stream; none at its end.
    async fn next(&mut self) -> Option<String> {
        loop {
            let (from, to) = match self.splitter.next(&self.buffer).unwrap() {
                None if self.stream.read_buf(&mut self.buffer).await.unwrap() == 0 => return None,
                None => continue,
                Some(Piece::Header(to) | Piece::Footer(to)) => (0, to),
                Some(Piece::Stanza(from, to)) => (from, to),
                Some(Piece::Nothing(to) | Piece::Oversized(to)) => {
                    self.buffer.advance(to);
                    continue;
                }
            };
            let piece = self.buffer.split_to(to);
            return Some(String::from_utf8(piece[from..].to_vec()).unwrap());
        }
    }
}

struct Running {
    listener: TcpListener,
    events: mpsc::Receiver<Vec<Event>>,
    actions: mpsc::Sender<Vec<Order>>,
    monitor: Arc<Monitor>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(times: Times) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings {
            server: listener.local_addr().unwrap().to_string(),
            component: US.to_owned(),
            secret: Secret::new("test"),
        };
        let (events, from) = mpsc::channel(1);
        let (actions, mut to) = mpsc::channel(1);
        let monitor = Arc::new(Monitor::default());
        let shared = monitor.clone();
        let task = tokio::spawn(async move { task::keep_up(&settings, &times, &events, &mut to, &shared).await });
        Running { listener, events: from, actions, monitor, task }
    }

    async fn event(&mut self) -> String {
        format!("{:?}", self.events.recv().await.unwrap())
    }
}

fn tell(text: &str) -> Vec<Order> {
    vec![Order::Room(RoomJid::from(ROOM), RoomAction::Tell { mouth: ear(), nick: "A".into(), text: text.to_owned() })]
}

#[tokio::test]
async fn it_comes_up_says_goodbye_and_stops() {
    let mut link = Running::start(TIMES).await;
    let mut server = Server::accept(&link.listener).await;
    server.welcome(0).await;
    assert_eq!(link.event().await, "[ServerUp { exclusive: true }]");
    assert_eq!(link.monitor.state(), State::Up { exclusive: true });
    link.actions.send(tell("hi")).await.unwrap();
    assert!(server.next().await.unwrap().contains("<body>hi</body>"));
    drop(link.actions);
    assert_eq!(server.next().await.as_deref(), Some("</stream:stream>"));
    assert_eq!(server.next().await, None);
    link.task.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_others_share_is_told() {
    let mut link = Running::start(Times { test: Duration::from_millis(50), ..TIMES }).await;
    let mut server = Server::accept(&link.listener).await;
    server.welcome(1).await;
    assert_eq!(link.event().await, "[ServerUp { exclusive: false }]");
}

#[tokio::test]
async fn after_a_break_it_comes_again_and_old_actions_do_not() {
    let mut link = Running::start(TIMES).await;
    let mut server = Server::accept(&link.listener).await;
    server.welcome(0).await;
    link.event().await;
    server
        .send("<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
        .await;
    assert_eq!(link.event().await, "[ServerDown { stream_error: Some(\"policy-violation\") }]");
    link.actions.send(tell("too late")).await.unwrap();
    // Taken, hence dropped, before the next connection is up.
    link.actions.send(Vec::new()).await.unwrap();
    let mut server = Server::accept(&link.listener).await;
    server.welcome(0).await;
    assert_eq!(link.event().await, "[ServerUp { exclusive: true }]");
    link.actions.send(tell("in time")).await.unwrap();
    assert!(server.next().await.unwrap().contains("in time"));
    // XML that is none ends the connection and nothing else.
    server.send("<!-- x -->").await;
    assert_eq!(link.event().await, "[ServerDown { stream_error: None }]");
    Server::accept(&link.listener).await;
}

#[tokio::test]
async fn a_refused_secret_is_explained_and_not_shown() {
    let mut link = Running::start(TIMES).await;
    let mut server = Server::accept(&link.listener).await;
    server.send("<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>").await;
    // The next attempt shows that this one has been told.
    Server::accept(&link.listener).await;
    let told = link.monitor.state();
    assert!(
        matches!(&told, State::Down(told) if told.contains("not-authorized") && told.contains("secret with the server")),
        "{told:?}"
    );
    assert!(link.events.try_recv().is_err(), "it was never up");
}

#[tokio::test]
async fn writing_goes_on_while_nobody_takes_events() {
    let mut link = Running::start(TIMES).await;
    let mut server = Server::accept(&link.listener).await;
    server.welcome(0).await;
    link.event().await;
    link.actions
        .send(vec![Order::Room(RoomJid::from(ROOM), RoomAction::Enter { mouth: ear(), nick: "g".into() })])
        .await
        .unwrap();
    server.next().await;
    // More events than fit, in pieces that are read apart: each answer shows that the question before has been read.
    let said = format!("<message type='groupchat' to='{EAR}' from='{ROOM}/A' id='1'><body>x</body></message>");
    for n in 0..3 {
        let question = format!("<iq type='get' id='{n}' to='{EAR}' from='{ROOM}/A'><ping xmlns='urn:xmpp:ping'/></iq>");
        server.send(&format!("{said}{question}")).await;
        if n < 2 {
            assert!(server.next().await.unwrap().contains(&format!("id='{n}'")));
        }
    }
    // Nothing more is read, and all that is said is written.
    for n in 0..100 {
        link.actions.send(tell(&format!("number {n}"))).await.unwrap();
        assert!(server.next().await.unwrap().contains(&format!("number {n}<")));
    }
    // As soon as there is room the rest comes.
    let mut seen = 0;
    while seen < 3 {
        seen += link.events.recv().await.unwrap().len();
    }
    assert!(server.next().await.unwrap().contains("id='2'"));
}

#[tokio::test]
async fn a_silent_server_is_pinged_and_then_given_up() {
    let mut link =
        Running::start(Times { ping: Duration::from_millis(20), dead: Duration::from_millis(200), ..TIMES }).await;
    let mut server = Server::accept(&link.listener).await;
    server.welcome(0).await;
    link.event().await;
    assert!(server.next().await.unwrap().contains("<ping xmlns='urn:xmpp:ping'/>"));
    assert_eq!(link.event().await, "[ServerDown { stream_error: None }]");
}
