//! An HTTP proxy on the way out: asked with CONNECT (RFC 9110 section 9.3.6) for a tunnel to the center.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use intergroup_schemas::address::split_address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest head of a proxy's answer.
const ANSWER_BYTES: usize = 8 * 1024;

/// Where the proxy is, and how we prove ourselves to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `HOST:PORT`.
    pub address: String,
    /// `USER:PASSWORD`. Never shown.
    credentials: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl FromStr for Proxy {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        // The text itself is not repeated in errors: a password may stand in it.
        let form = "a proxy is written http://HOST:PORT or http://USER:PASSWORD@HOST:PORT";
        let rest = text.strip_prefix("http://").context(form)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(unescaped(credentials).context(form)?), address),
            None => (None, rest),
        };
        ensure!(credentials.as_ref().is_none_or(|c| c.contains(':')), form);
        split_address(address).ok().context(form)?;
        Ok(Self { address: address.to_owned(), credentials })
    }
}

impl Proxy {
    /// Whether a password is part of it.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Asks for a tunnel to `target` (`HOST:PORT`) over a connection to the proxy.
    ///
    /// # Errors
    /// The proxy refuses, or does not speak HTTP.
    pub(super) async fn tunnel(&self, stream: &mut TcpStream, target: &str) -> Result<()> {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(credentials) = &self.credentials {
            request.push_str(&format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(credentials)));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;

        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            ensure!(answer.len() < ANSWER_BYTES, "the proxy's answer is too long");
            // Byte by byte, so that nothing of what follows the head is taken; it is one short answer a connection.
            answer.push(stream.read_u8().await.context("the proxy closed the connection")?);
        }
        let line = String::from_utf8_lossy(&answer);
        let line = line.lines().next().unwrap_or_default();
        let mut words = line.splitn(3, ' ');
        ensure!(words.next().is_some_and(|w| w.starts_with("HTTP/1.")), "the proxy does not speak HTTP");
        match words.next().unwrap_or_default() {
            code if code.len() == 3 && code.starts_with('2') => Ok(()),
            "407" => bail!("the proxy wants a user and a password: write them into gateway.toml (proxy)"),
            code => bail!("the proxy refused a tunnel to {target}: {code} {}", words.next().unwrap_or_default()),
        }
    }
}

/// Takes percent-encoding (RFC 3986 section 2.1) off.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16).and_then(|d| u8::try_from(d).ok());
            bytes.push(digit(rest.next())? * 16 + digit(rest.next())?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().filter(|s| !s.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn is_read_with_and_without_a_password_which_never_shows() {
        let proxy: Proxy = "http://proxy.example:3128".parse().unwrap();
        assert_eq!((proxy.address.as_str(), &proxy.credentials), ("proxy.example:3128", &None));
        let proxy: Proxy = "http://al%40acme:p%3Aw@[2001:db8::1]:80/".parse().unwrap();
        assert_eq!(proxy.credentials.as_deref(), Some("al@acme:p:w"));
        assert_eq!(format!("{proxy:?}"), "[2001:db8::1]:80");
        for wrong in
            ["proxy:3128", "https://p:1", "http://p", "http://secret@p:1", "http://a:%zz@p:1", "http://a:%0a@p:1"]
        {
            let text = wrong.parse::<Proxy>().unwrap_err().to_string();
            assert!(!text.contains("secret") && text.contains("http://HOST:PORT"), "{text}");
        }
    }

    async fn asked(proxy: &str, answer: &'static str) -> (String, Result<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let heard = tokio::spawn(async move {
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                heard.push(peer.read_u8().await.unwrap());
            }
            peer.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(heard).unwrap()
        });
        let proxy: Proxy = proxy.parse().unwrap();
        let result = proxy.tunnel(&mut stream, "hub.example:7100").await;
        (heard.await.unwrap(), result)
    }

    #[tokio::test]
    async fn asks_for_a_tunnel_and_proves_itself() {
        let (heard, result) =
            asked("http://u:p@127.0.0.1:1", "HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n").await;
        result.unwrap();
        assert!(heard.starts_with("CONNECT hub.example:7100 HTTP/1.1\r\nHost: hub.example:7100\r\n"), "{heard}");
        assert!(heard.contains("\r\nProxy-Authorization: Basic dTpw\r\n"), "{heard}");
    }

    #[tokio::test]
    async fn says_why_there_is_no_tunnel() {
        let says = |result: Result<()>| format!("{:#}", result.unwrap_err());
        let (heard, result) = asked("http://127.0.0.1:1", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        assert!(!heard.contains("Proxy-Authorization"));
        assert!(says(result).contains("gateway.toml"));
        assert!(says(asked("http://127.0.0.1:1", "HTTP/1.1 403 No\r\n\r\n").await.1).contains("403 No"));
        assert!(says(asked("http://127.0.0.1:1", "SSH-2.0-x\r\n\r\n").await.1).contains("not speak HTTP"));
        assert!(says(asked("http://127.0.0.1:1", "HTTP/1.1 200").await.1).contains("closed"));
    }
}
