//! ejabberd's configuration and accounts.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::{CLIENT_PORT, COMPONENT_PORT, Plan, password};

/// The HTTP API, open to loopback.
const API_PORT: u16 = 15280;
/// Debian's schema of the SQLite archive.
const SCHEMA: &str = "/usr/share/ejabberd/sql/lite.sql";

type Start = (Vec<String>, Vec<(String, String)>);

/// Writes what ejabberd needs; returns its command and environment.
pub(super) fn prepare(plan: &Plan) -> Result<Start> {
    let database = plan.dir.join("ejabberd.sqlite");
    if !database.exists() {
        let schema = std::fs::read_to_string(SCHEMA).context("is ejabberd installed?")?;
        let made = rusqlite::Connection::open(&database)?;
        made.pragma_update(None, "journal_mode", "wal")?;
        made.execute_batch(&schema)?;
    }
    let config = plan.dir.join("ejabberd.yml");
    std::fs::write(&config, text(plan, &database))?;
    let dir = plan.dir.display();
    let env = [
        ("EJABBERD_CONFIG_PATH", config.display().to_string()),
        ("EJABBERD_LOG_PATH", format!("{dir}/server.log")),
        ("ERL_CRASH_DUMP", format!("{dir}/erl_crash.dump")),
        ("ERL_LIBS", libraries()?),
        ("HOME", dir.to_string()),
        ("ERL_MAX_PORTS", "32000".into()),
    ];
    // No node name: no epmd, no distribution port. One scheduler thread each would starve it; two are plenty.
    let mnesia = format!("\"{dir}/mnesia\"");
    let command =
        ["erl", "+K", "true", "+P", "250000", "+S", "2", "-noinput", "-mnesia", "dir", &mnesia, "-s", "ejabberd"];
    let env = env.map(|(k, v)| (k.to_owned(), v));
    Ok((command.map(str::to_owned).into(), env.into()))
}

/// The folder with ejabberd's own Erlang applications.
fn libraries() -> Result<String> {
    for arch in std::fs::read_dir("/usr/lib")?.flatten() {
        let Ok(inside) = std::fs::read_dir(arch.path()) else { continue };
        for lib in inside.flatten() {
            if lib.file_name().to_string_lossy().starts_with("ejabberd-") && lib.path().join("ebin").exists() {
                return Ok(arch.path().display().to_string());
            }
        }
    }
    anyhow::bail!("ejabberd is not installed")
}

/// Makes an account.
pub(super) async fn add_user(plan: &Plan, user: &str) -> Result<()> {
    let order = serde_json::json!({ "user": user, "host": plan.domain(), "password": password(user) }).to_string();
    let mut stream = TcpStream::connect(SocketAddr::from((plan.ip, API_PORT))).await?;
    let request = format!(
        "POST /api/register HTTP/1.1\r\nHost: {0}\r\nContent-Type: application/json\r\n\
         Content-Length: {1}\r\nConnection: close\r\n\r\n{order}",
        plan.domain(),
        order.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "ejabberd answers: {answer}");
    Ok(())
}

fn text(plan: &Plan, database: &Path) -> String {
    let (ip, domain) = (plan.ip, plan.domain());
    let (rooms, component, secret) = (plan.rooms(), plan.component(), &plan.secret);
    let component_bytes = plan.component_bytes;
    let database = database.display();
    format!(
        r#"# Made by a test.
loglevel: warning
log_rotate_count: 0
hosts:
  - {domain}
# In SQLite, as the archive: Mnesia, the default, forgets accounts and rooms made a moment before a crash.
auth_method: sql
auth_password_format: plain
s2s_access: nobody
acme:
  auto: false
sql_type: sqlite
sql_database: "{database}"
listen:
  - port: {CLIENT_PORT}
    ip: "{ip}"
    module: ejabberd_c2s
    max_stanza_size: 262144
    shaper: none
    access: all
  - port: {COMPONENT_PORT}
    ip: "{ip}"
    module: ejabberd_service
    max_stanza_size: {component_bytes}
    access: all
    shaper: none
    hosts:
      "{component}":
        password: "{secret}"
  - port: {API_PORT}
    ip: "{ip}"
    module: ejabberd_http
    request_handlers:
      /api: mod_http_api
acl:
  local:
    user_regexp: ""
  gateway:
    server: "{component}"
  gateway_self:
    user: "gateway@{component}"
  loopback:
    ip:
      - 127.0.0.0/8
access_rules:
  local:
    allow: local
  nobody:
    deny: all
  muc_admin:
    - allow: gateway_self
  muc_create:
    - allow: local
    - allow: gateway
api_permissions:
  "loopback":
    from:
      - mod_http_api
    who:
      access:
        allow:
          - acl: loopback
    what:
      - "*"
shaper: {{}}
shaper_rules:
  max_user_sessions: 1000
modules:
  mod_admin_extra: {{}}
  mod_caps: {{}}
  mod_disco: {{}}
  mod_http_api: {{}}
  mod_mam:
    db_type: sql
    default: always
    request_activates_archiving: false
  mod_muc:
    db_type: sql
    host: "{rooms}"
    access: all
    access_admin: muc_admin
    access_create: muc_create
    access_persistent: muc_create
    access_mam: all
    max_users: 5000
    max_user_conferences: 10000
    default_room_options:
      mam: true
      persistent: true
      max_users: 5000
  mod_ping: {{}}
  mod_private: {{}}
  mod_roster: {{}}
  mod_version: {{}}
"#
    )
}
