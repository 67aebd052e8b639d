//! The link itself.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{Epoch, GroupNumber, ListVersion, N, Seq, SourceId};
use intergroup_schemas::link::{
    Deliver, Hello, HelloGroup, PATH, Relay, Request, RequestBody, ResponseBody, Resume, SUBPROTOCOL, Timestamp,
    ToCenter, ToGateway, VERSION, Welcome, decode, encode,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::enrol::{Identity, connect, reachable, tls_config};

/// Nothing that a test waits for takes longer; it only bounds a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// A link to a center.
#[derive(Debug)]
pub struct LinkClient {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    requests: u64,
}

impl LinkClient {
    /// Opens a link to an address of the center.
    ///
    /// # Errors
    /// The connection was not made, or the upgrade refused: then the condition's name is in the text.
    pub async fn open(identity: &Identity, address: &str) -> Result<Self> {
        let stream = connect(address, tls_config(identity, true)?).await?;
        let mut request = format!("wss://{address}{PATH}").into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse()?);
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self { socket, requests: 0 }),
            Err(Error::Http(answer)) => {
                let body = answer.body().clone().unwrap_or_default();
                bail!("{}: {}", answer.status(), String::from_utf8_lossy(&body))
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Opens a link to the first address of the center's that can be reached, and says hello with these memories.
    ///
    /// # Errors
    /// See [`LinkClient::open`]; or there was no welcome.
    pub async fn greet(identity: &Identity, groups: Vec<HelloGroup>) -> Result<(Self, Welcome)> {
        let address = reachable(&identity.reply.addresses).await?;
        let mut link = Self::open(identity, address).await?;
        let welcome = link.hello(VERSION, groups).await?;
        Ok((link, welcome))
    }

    /// Says hello and waits for welcome.
    ///
    /// # Errors
    /// The answer was another.
    pub async fn hello(&mut self, version: u16, groups: Vec<HelloGroup>) -> Result<Welcome> {
        self.send(&ToCenter::Hello(Hello { version, software: "link client".into(), groups })).await?;
        match self.next().await? {
            ToGateway::Welcome(welcome) => Ok(welcome),
            other => bail!("no welcome but {other:?}"),
        }
    }

    /// Sends a stanza.
    ///
    /// # Errors
    /// The link is down.
    pub async fn send(&mut self, stanza: &ToCenter) -> Result<()> {
        self.send_text(encode::to_center(stanza)).await
    }

    /// Sends any text as one frame.
    ///
    /// # Errors
    /// The link is down.
    pub async fn send_text(&mut self, text: String) -> Result<()> {
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// Puts a frame's text into the write buffer; [`LinkClient::flush`] sends it.
    ///
    /// # Errors
    /// The link is down.
    pub async fn feed_text(&mut self, text: String) -> Result<()> {
        Ok(self.socket.feed(Message::text(text)).await?)
    }

    /// Sends what was fed.
    ///
    /// # Errors
    /// The link is down.
    pub async fn flush(&mut self) -> Result<()> {
        Ok(self.socket.flush().await?)
    }

    /// The next stanza.
    ///
    /// # Errors
    /// The link is down, or nothing came for very long.
    pub async fn next(&mut self) -> Result<ToGateway> {
        let frame = self.next_frame().await?.context("the link was closed")?;
        decode::to_gateway(&frame).map_err(|e| anyhow!("{e}"))
    }

    /// The next frame's text; none when the center has closed the link.
    ///
    /// # Errors
    /// The link broke, or nothing came for very long.
    pub async fn next_frame(&mut self) -> Result<Option<Bytes>> {
        // Pings do not count as something that comes.
        let text = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(Some(Bytes::from(text))),
                    Some(Ok(Message::Close(_))) | None => return Ok(None),
                    Some(Ok(_)) => {}
                    Some(Err(e)) => return Err(e.into()),
                }
            }
        };
        timeout(PATIENCE, text).await.context("nothing came")?
    }

    /// Reads to the end of the link and returns the condition of its `bye`.
    ///
    /// # Errors
    /// It ended without one.
    pub async fn bye(&mut self) -> Result<Condition> {
        loop {
            if let ToGateway::Bye(bye) = self.next().await? {
                return Ok(bye.condition);
            }
        }
    }

    /// Asks, and waits for the answer; everything else that comes before it is dropped.
    ///
    /// # Errors
    /// The link is down.
    pub async fn ask(&mut self, body: RequestBody) -> Result<ResponseBody> {
        self.requests += 1;
        let id = self.requests;
        self.send(&ToCenter::Request(Request { id, body })).await?;
        loop {
            match self.next().await? {
                ToGateway::Response(response) if response.id == id => return Ok(response.body),
                ToGateway::Bye(bye) => bail!("bye: {}", bye.condition.as_str()),
                _ => {}
            }
        }
    }

    /// Starts a group's stream.
    ///
    /// # Errors
    /// The link is down.
    pub async fn resume(&mut self, group: GroupNumber, after: Seq) -> Result<()> {
        self.send(&ToCenter::Resume(Resume { group, after })).await
    }

    /// Waits for a stanza that `choose` takes; everything before it is dropped.
    ///
    /// # Errors
    /// The link is down.
    pub async fn until<T>(&mut self, mut choose: impl FnMut(ToGateway) -> Option<T>) -> Result<T> {
        loop {
            let stanza = self.next().await?;
            if let ToGateway::Bye(bye) = &stanza {
                bail!("bye: {}: {}", bye.condition.as_str(), bye.text);
            }
            if let Some(found) = choose(stanza) {
                return Ok(found);
            }
        }
    }

    /// Waits for the decision on all up to n.
    ///
    /// # Errors
    /// The link is down.
    pub async fn decided(&mut self, n: u64) -> Result<()> {
        self.until(|s| matches!(s, ToGateway::Decided(d) if d.n.0 >= n).then_some(())).await
    }

    /// Waits for the next message of another gateway.
    ///
    /// # Errors
    /// The link is down.
    pub async fn delivered(&mut self) -> Result<Deliver> {
        self.until(|s| if let ToGateway::Deliver(d) = s { Some(d) } else { None }).await
    }
}

/// A relay with a plain body, whose source id is made of epoch and n, for a group of two members.
///
/// # Panics
/// The epoch is not one.
#[must_use]
pub fn relay(group: GroupNumber, epoch: &str, n: u64, body: &str) -> Relay {
    let epoch: Epoch = epoch.parse().expect("an epoch");
    let source: SourceId = format!("room:{epoch}-{n}").parse().expect("a source id");
    Relay {
        group,
        epoch,
        n: N(n),
        source: Some(source),
        list: ListVersion(2),
        user: "alice".parse().expect("a user id"),
        nick: "Alice".parse().expect("a nick"),
        at: Timestamp(1_790_000_000_000),
        late: false,
        payload: Bytes::from(format!("<body xmlns='jabber:client'>{body}</body>")),
    }
}
