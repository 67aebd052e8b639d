//! A center of its own in a directory, with enterprises enrolled.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use intergroup_schemas::enrolment::{Code, ENROL_PATH, EnrolReply, EnrolRequest};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::process::Server;
use crate::settings;

/// A running center.
#[derive(Debug)]
pub struct Center {
    /// Its process.
    pub server: Server,
    /// Where it listens.
    pub address: String,
    program: PathBuf,
    dir: PathBuf,
}

/// The center's program, beside the one that runs.
///
/// # Errors
/// It has not been built.
pub fn program() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("intergroup-center");
    ensure!(
        path.exists(),
        "{} is missing: build it first (cargo build --release -p intergroup-center)",
        path.display()
    );
    Ok(path)
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Center {
    /// Makes a center in an empty directory, or one that keeps everything on a Redis, and starts it.
    ///
    /// # Errors
    /// Any step's.
    pub fn start(dir: &Path, store: Option<&str>) -> Result<Self> {
        let program = program()?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let init = Command::new(&program)
            .args(["init", "--name", "Bench", "--listen", &address, "--dir"])
            .arg(dir)
            .args(store.iter().flat_map(|store| ["--store", store]))
            .stdout(Stdio::null())
            .status()?;
        ensure!(init.success(), "intergroup-center init failed");
        settings::change(&dir.join("center.toml"), settings::CENTER_UNPACED)?;
        let mut command = Command::new(&program);
        command.arg("serve").arg("--dir").arg(dir).env("RUST_LOG", "warn").stdout(Stdio::piped());
        let mut server = Server::start(&mut command)?;
        // It says where it listens once it does.
        let mut line = String::new();
        BufReader::new(server.stdout().context("no standard output")?).read_line(&mut line)?;
        ensure!(line.contains(&address), "the center did not start: {line:?}");
        Ok(Self { server, address, program, dir: dir.to_owned() })
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let out = Command::new(&self.program).args(arguments).arg("--dir").arg(&self.dir).output()?;
        ensure!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8(out.stdout)?)
    }

    /// A figure of `status`, by the JSON pointer to it.
    ///
    /// # Errors
    /// The center does not answer, or has no such figure.
    pub fn figure(&self, pointer: &str) -> Result<u64> {
        let status: serde_json::Value = serde_json::from_str(&self.run(&["status", "--json"])?)?;
        status.pointer(pointer).and_then(serde_json::Value::as_u64).with_context(|| format!("{pointer} in {status}"))
    }

    /// Makes an enterprise and enrols its gateway; returns what its links connect with.
    ///
    /// # Errors
    /// Any step's.
    pub fn enrol(&self, enterprise: &str) -> Result<Arc<ClientConfig>> {
        let line = self.run(&["enterprise", "add", enterprise])?;
        let code = line.lines().find(|l| l.starts_with("igc1-")).context("no code was printed")?;
        let secret = Code::parse(code)?.secret;
        let key = KeyPair::generate()?;
        let csr_pem = CertificateParams::default().serialize_request(&key)?.pem()?;
        let body = serde_json::to_string(&EnrolRequest { secret, csr_pem })?;
        let mut stream = connect(&self.address, self.tls(None)?)?;
        write!(
            stream,
            "POST {ENROL_PATH} HTTP/1.1\r\nHost: center\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer)?;
        let body = answer.split_once("\r\n\r\n").context("no answer")?.1;
        let reply: EnrolReply = serde_json::from_str(body).with_context(|| body.to_owned())?;
        self.tls(Some((&reply.certificate_pem, &key)))
    }

    fn tls(&self, identity: Option<(&str, &KeyPair)>) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.dir.join("authority.pem"))?)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        Ok(Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some((pem, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes())?];
                let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
                builder.with_client_auth_cert(chain, key)?
            }
        }))
    }
}

/// A TLS connection to a center.
///
/// # Errors
/// The connection's.
pub fn connect(address: &str, tls: Arc<ClientConfig>) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let host = address.rsplit_once(':').context("no port")?.0;
    let name = ServerName::try_from(host.to_owned())?;
    Ok(StreamOwned::new(ClientConnection::new(tls, name)?, socket))
}
