//! One connection from the dial to its end: hello and welcome, then reading and writing side by side, so that neither
//! waits for the other.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{FutureExt, SinkExt, StreamExt};
use intergroup_schemas::enrolment::HttpError;
use intergroup_schemas::limits;
use intergroup_schemas::link::{Hello, PATH, SUBPROTOCOL, ToCenter, ToGateway, VERSION, Welcome, decode, encode};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::monitor::count;
use super::{Ended, FromLink, Monitor, Settings, State, dial, tls};
use crate::enrol::Identity;

/// How long the center may take from the connection to its welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the link looks whether it has been silent for too long.
const SILENCE_CHECK: Duration = Duration::from_secs(5);
/// Most stanzas handed to the owner, or written before a flush, at once.
const BATCH: usize = 256;
/// Read and write buffers, each.
const BUFFER_BYTES: usize = 64 * 1024;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Runs one connection to its end.
pub(super) async fn session(
    identity: &Identity,
    address: &str,
    settings: &Settings,
    owner: &mpsc::Sender<FromLink>,
    monitor: &Monitor,
) -> Ended {
    let opened = timeout(WELCOME_TIMEOUT, open(identity, address, settings)).await;
    let socket = match opened.unwrap_or_else(|_| Err(anyhow!("no answer in time").into())) {
        Ok(socket) => socket,
        Err(ended) => return ended,
    };
    let (mut sink, mut stream) = socket.split();
    let welcome = timeout(WELCOME_TIMEOUT, greet(&mut sink, &mut stream, owner)).await;
    let welcome = match welcome.unwrap_or_else(|_| Err(anyhow!("no welcome in time").into())) {
        Ok(welcome) => welcome,
        Err(ended) => return ended,
    };
    tracing::info!("link to the center is up over {address} as {}/{}", welcome.enterprise, welcome.gateway);
    count(&monitor.link_connections, 1);
    monitor.set(State::Up(address.to_owned()));
    let (outbound, stanzas) = mpsc::unbounded_channel();
    if owner.send(FromLink::Up(welcome, outbound)).await.is_err() {
        return anyhow!("the gateway is shutting down").into();
    }
    let heard = Heard::default();
    let ended = tokio::select! {
        biased;
        ended = read(&mut stream, owner, monitor, &heard) => ended,
        ended = write(&mut sink, stanzas, monitor, &heard) => ended,
        () = settings.again.notified() => anyhow!("opened again, since the identity has changed").into(),
    };
    monitor.set(State::Down(ended.text.clone()));
    // Nobody listens any more only when the owner is ending, too.
    let _ = owner.send(FromLink::Down).await;
    ended
}

/// Dials and upgrades to WebSocket.
async fn open(identity: &Identity, address: &str, settings: &Settings) -> Result<Socket, Ended> {
    let stream = dial::dial(address, settings.proxy.as_ref(), tls::enrolled(identity)?).await?;
    let mut request = format!("wss://{address}{PATH}").into_client_request().context("the center's address")?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_frame_size(Some(limits::FRAME_BYTES))
        .max_message_size(Some(limits::FRAME_BYTES));
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => {
            let refusal = response.body().as_ref().and_then(|body| serde_json::from_slice::<HttpError>(body).ok());
            Err(match refusal {
                Some(error) => Ended { condition: Some(error.condition), text: error.text },
                None => anyhow!("{address} answered {} instead of opening the link", response.status()).into(),
            })
        }
        Err(e) => Err(Ended::from(anyhow!(e).context("opening the link"))),
    }
}

/// Says hello and waits for the welcome.
async fn greet(
    sink: &mut SplitSink<Socket, Message>,
    stream: &mut SplitStream<Socket>,
    owner: &mpsc::Sender<FromLink>,
) -> Result<Welcome, Ended> {
    let (ask, answer) = oneshot::channel();
    owner.send(FromLink::Hello(ask)).await.map_err(|_| anyhow!("the gateway is shutting down"))?;
    let groups = answer.await.context("the gateway is shutting down")?;
    let software = concat!("intergroup-gateway ", env!("CARGO_PKG_VERSION")).to_owned();
    let hello = encode::to_center(&ToCenter::Hello(Hello { version: VERSION, software, groups }));
    sink.send(Message::text(hello)).await.context("saying hello")?;
    match next(stream).await? {
        ToGateway::Welcome(welcome) => Ok(welcome),
        ToGateway::Bye(bye) => Err(Ended { condition: Some(bye.condition), text: bye.text }),
        other => Err(anyhow!("the center answered hello with {other:?}").into()),
    }
}

/// The next stanza.
async fn next(stream: &mut SplitStream<Socket>) -> Result<ToGateway, Ended> {
    loop {
        let message = stream.next().await.context("the center closed the connection")?.map_err(broken)?;
        if let Some(stanza) = stanza(message)? {
            return Ok(stanza);
        }
    }
}

/// Why reading failed. That a process was killed is told by its system without a goodbye, and is no riddle.
fn broken(e: WsError) -> Ended {
    match e {
        WsError::Io(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            anyhow!("the center went away without a goodbye").into()
        }
        e => anyhow!(e).context("reading").into(),
    }
}

/// A message as a stanza; none when it is WebSocket's own business.
fn stanza(message: Message) -> Result<Option<ToGateway>, Ended> {
    match message {
        Message::Text(text) => {
            let frame = Bytes::from(text);
            decode::to_gateway(&frame).map(Some).map_err(|e| anyhow!("a stanza was not understood: {e}").into())
        }
        Message::Ping(_) | Message::Pong(_) => Ok(None),
        Message::Close(_) => Err(anyhow!("the center closed the connection").into()),
        Message::Binary(_) | Message::Frame(_) => Err(anyhow!("the center sent a frame that is not text").into()),
    }
}

/// When something was heard last. Shared by the reader, who hears, and the writer, who asks.
#[derive(Debug)]
struct Heard {
    began: Instant,
    at_ms: AtomicU64,
}

impl Default for Heard {
    fn default() -> Self {
        Self { began: Instant::now(), at_ms: AtomicU64::new(0) }
    }
}

impl Heard {
    fn now(&self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at_ms.store(ms, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.at_ms.load(Ordering::Relaxed)))
    }
}

/// Hands over what comes, all that is there at once.
async fn read(
    stream: &mut SplitStream<Socket>,
    owner: &mpsc::Sender<FromLink>,
    monitor: &Monitor,
    heard: &Heard,
) -> Ended {
    loop {
        let mut batch = Vec::new();
        let mut ended = None;
        let mut message = stream.next().await;
        heard.now();
        loop {
            let what = match message {
                Some(Ok(message)) => stanza(message),
                Some(Err(e)) => Err(broken(e)),
                None => Err(anyhow!("the center closed the connection").into()),
            };
            match what {
                Ok(Some(ToGateway::Bye(bye))) => {
                    ended = Some(Ended { condition: Some(bye.condition), text: bye.text });
                }
                Ok(Some(stanza)) => batch.push(stanza),
                Ok(None) => {}
                Err(e) => ended = Some(e),
            }
            if ended.is_some() || batch.len() >= BATCH {
                break;
            }
            match stream.next().now_or_never() {
                Some(more) => message = more,
                None => break,
            }
        }
        count(&monitor.link_stanzas_in, batch.len());
        // What came before the end counts.
        if !batch.is_empty() && owner.send(FromLink::Stanzas(batch)).await.is_err() {
            return anyhow!("the gateway is shutting down").into();
        }
        if let Some(ended) = ended {
            return ended;
        }
    }
}

/// Writes what waits, with one flush for all of it; pings when nothing was heard for long, and gives up after longer.
async fn write(
    sink: &mut SplitSink<Socket, Message>,
    mut stanzas: mpsc::UnboundedReceiver<ToCenter>,
    monitor: &Monitor,
    heard: &Heard,
) -> Ended {
    let mut check = interval(SILENCE_CHECK);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let done = tokio::select! {
            taken = stanzas.recv_many(&mut batch, BATCH) => match taken {
                0 => return anyhow!("the gateway is shutting down").into(),
                _ => {
                    count(&monitor.link_stanzas_out, taken);
                    count(&monitor.link_flushes, 1);
                    within(heard, flush(sink, &mut batch)).await
                }
            },
            _ = check.tick() => match heard.silence() {
                silence if silence.as_secs() >= limits::LINK_DEAD_S => Err(silent()),
                silence if silence.as_secs() >= limits::LINK_PING_S => {
                    within(heard, sink.send(Message::Ping(Bytes::new()))).await
                }
                _ => Ok(()),
            },
        };
        if let Err(e) = done {
            return Ended::from(e);
        }
    }
}

async fn flush(sink: &mut SplitSink<Socket, Message>, batch: &mut Vec<ToCenter>) -> Result<(), WsError> {
    for stanza in batch.drain(..) {
        sink.feed(Message::text(encode::to_center(&stanza))).await?;
    }
    sink.flush().await
}

fn silent() -> anyhow::Error {
    anyhow!("nothing was heard of the center for {} s", limits::LINK_DEAD_S)
}

/// Lets writing take as long as the center is heard: a slow center is not a dead one.
async fn within(heard: &Heard, writing: impl Future<Output = Result<(), WsError>>) -> Result<()> {
    let mut writing = std::pin::pin!(writing);
    loop {
        match timeout(SILENCE_CHECK, &mut writing).await {
            Ok(done) => return done.context("writing"),
            Err(_) if heard.silence().as_secs() >= limits::LINK_DEAD_S => return Err(silent()),
            Err(_) => {}
        }
    }
}
