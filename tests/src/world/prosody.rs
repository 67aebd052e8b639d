//! Prosody's configuration and accounts.

use anyhow::Result;

use super::server::{CLIENT_PORT, COMPONENT_PORT, Plan, SERVER_PORT, password};

type Start = (Vec<String>, Vec<(String, String)>);

/// Writes what Prosody needs; returns its command and environment.
pub(super) fn prepare(plan: &Plan, users: &[String]) -> Result<Start> {
    let config = plan.dir.join("prosody.cfg.lua");
    let mut text = text(plan);
    if !plan.peers.is_empty() {
        federate(plan)?;
        text = format!("{}{text}", federation(plan));
    }
    std::fs::write(&config, text)?;
    // With internal storage and plain passwords an account is a small file; Prosody percent-encodes the domain.
    for (domain, user) in users.iter().flat_map(|u| [(plan.domain(), u), (plan.visitors(), u)]) {
        let accounts = plan.dir.join("data").join(domain.replace('.', "%2e")).join("accounts");
        std::fs::create_dir_all(&accounts)?;
        let account = format!("return {{\n\t[\"password\"] = \"{}\";\n}};\n", password(user));
        std::fs::write(accounts.join(format!("{user}.dat")), account)?;
    }
    let config = config.to_string_lossy().into_owned();
    Ok((vec!["prosody".into(), "-F".into(), "--config".into(), config], Vec::new()))
}

/// Where the other servers are. Prosody asks the DNS only, which knows nothing of a test's names.
const PEERS: &str = r#"-- Made by a test.
module:set_global()
local found, service = pcall(require, "prosody.net.resolvers.service")
if not found then service = require "net.resolvers.service" end
local found, basic = pcall(require, "prosody.net.resolvers.basic")
if not found then basic = require "net.resolvers.basic" end
local peers, port, by_dns = module:get_option("peers"), module:get_option_number("peers_port"), service.new
function service.new(host, name, kind, extra)
  if not peers[host] then return by_dns(host, name, kind, extra) end
  if name == "xmpp-server" then return basic.new(peers[host], port, kind, extra) end
  return { next = function (_, answer) answer(nil) end }
end
"#;

/// Writes the module with the servers' addresses, and a certificate of the server's own making.
fn federate(plan: &Plan) -> Result<()> {
    let made = rcgen::generate_simple_self_signed([plan.domain(), plan.rooms()])?;
    std::fs::write(plan.dir.join("server.crt"), made.cert.pem())?;
    std::fs::write(plan.dir.join("server.key"), made.signing_key.serialize_pem())?;
    std::fs::write(plan.dir.join("mod_peers.lua"), PEERS)?;
    Ok(())
}

/// TLS between the servers; who the other is, is found by dialback (XEP-0220).
fn federation(plan: &Plan) -> String {
    let hosts = |(id, ip): &(String, _)| format!("[\"{id}.test\"] = \"{ip}\"; [\"conference.{id}.test\"] = \"{ip}\"; ");
    let (dir, peers) = (plan.dir.display(), plan.peers.iter().map(hosts).collect::<String>());
    format!(
        r#"plugin_paths = {{ "{dir}" }}
peers = {{ {peers} }}
peers_port = {SERVER_PORT}
ssl = {{ certificate = "{dir}/server.crt"; key = "{dir}/server.key" }}
s2s_require_encryption = true
s2s_secure_auth = false
"#
    )
}

fn text(plan: &Plan) -> String {
    let (dir, ip, domain) = (plan.dir.display(), plan.ip, plan.domain());
    let (rooms, component, secret) = (plan.rooms(), plan.component(), &plan.secret);
    let (nagle, component_bytes) = (plan.nagle, plan.component_bytes);
    let (enabled, disabled) = match plan.peers.as_slice() {
        [] => ("", "\"s2s\"; \"s2s_auth_certs\"; \"tls\"; "),
        _ => ("\"tls\"; \"dialback\"; \"peers\"; ", ""),
    };
    format!(
        r#"-- Made by a test.
run_as_root = true
pidfile = "{dir}/server.pid"
data_path = "{dir}/data"
certificates = "{dir}"
log = {{ {{ levels = {{ min = "info" }}; to = "file"; filename = "{dir}/server.log" }} }}
interfaces = {{ "{ip}" }}
local_interfaces = {{ "{ip}" }}
use_ipv6 = false
network_backend = "epoll"
network_settings = {{ nagle = {nagle} }}
c2s_ports = {{ {CLIENT_PORT} }}
c2s_direct_tls_ports = {{ }}
component_ports = {{ {COMPONENT_PORT} }}
component_stanza_size_limit = {component_bytes}
component_interfaces = {{ "{ip}" }}
http_ports = {{ }}
https_ports = {{ }}
s2s_ports = {{ {SERVER_PORT} }}
modules_disabled = {{ {disabled}"offline" }}
modules_enabled = {{ {enabled}"disco"; "roster"; "saslauth"; "ping"; "carbons"; "pep"; "private"; "version"; "posix" }}
authentication = "internal_plain"
storage = "internal"
archive_expires_after = "never"
storage_archive_item_limit = 1000000
max_archive_query_results = 1000
c2s_require_encryption = false
allow_unencrypted_plain_auth = true

VirtualHost "{domain}"
-- People who are not of the company, on the same server.
VirtualHost "visitors.{domain}"

Component "{rooms}" "muc"
  modules_enabled = {{ "muc_mam" }}
  restrict_room_creation = false
  admins = {{ "gateway@{component}" }}
  component_admins_as_room_owners = true
  muc_log_expires_after = "never"

Component "{component}"
  component_secret = "{secret}"
  component_conflict_resolve = "kick_old"
"#
    )
}
