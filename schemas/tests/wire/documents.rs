//! Documents for administrators, made from the tables that the programs use, so that they cannot be wrong for long.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::enrolment::{Code, EnrolReply, EnrolRequest, HttpError, RenewRequest, Secret};
use intergroup_schemas::payload::{Rule, TABLE, Translation};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::golden::{folder, pin};

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn conditions_are_documented() {
    let mut text = String::from(
        "# Conditions\n\nEverything that can be refused: the name in counters, logs and on the wire; what the author of a message is\n\
         told privately in the room (\"Your message did not reach the other companies: …\"), where a person's message is concerned;\n\
         and what it means for administrators, with what to do.\n\n\
         Made from `schemas/src/conditions.rs` by `UPDATE_GOLDEN=1 cargo test -p intergroup-schemas`.\n\n\
         | condition | the author is told | administrators are told |\n| --- | --- | --- |\n",
    );
    for condition in Condition::ALL {
        let author = condition.author_text().unwrap_or("—");
        writeln!(text, "| `{}` | {} | {} |", condition.as_str(), cell(author), cell(condition.admin_text())).unwrap();
    }
    pin(&Path::new(env!("CARGO_MANIFEST_DIR")).join("CONDITIONS.md"), &text);
}

#[test]
fn every_condition_is_read_as_it_is_written_and_says_something() {
    for condition in Condition::ALL {
        assert_eq!(Condition::from_wire(condition.as_str()), Some(*condition));
        assert_eq!(serde_json::to_value(condition).unwrap(), condition.as_str(), "one name in JSON and XML");
        assert!(condition.admin_text().len() > 20);
    }
    assert_eq!(Condition::from_wire("out-of-tea"), None);
}

#[test]
fn the_payload_table_is_documented() {
    let mut text = String::from(
        "# What crosses from a room to the other companies\n\n\
         For each kind of content seen in rooms, what becomes of it. What is not in the table is left behind, like \"stays behind\".\n\n\
         - **crosses**: as it is.\n\
         - **translated**: as something else that means the same elsewhere.\n\
         - **dropped**: it concerns nobody outside of this room; a message of nothing else is ignored.\n\
         - **stays behind**: the rest of the message crosses; without a rest it is refused as `unsupported-content`.\n\
         - **refused**: the whole message, and its author is told why.\n\n\
         Made from `schemas/src/payload/table.rs` by `UPDATE_GOLDEN=1 cargo test -p intergroup-schemas`.\n\n\
         | element | namespace | from | what becomes of it | why |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in TABLE {
        let rule = match row.rule {
            Rule::Cross => "crosses".to_owned(),
            Rule::Strip => "dropped".to_owned(),
            Rule::Omit => "stays behind".to_owned(),
            Rule::Translate(Translation::Edit) => "translated: a new message that begins with \"edited: \"".to_owned(),
            Rule::Refuse(condition) => format!("refused: `{}`", condition.as_str()),
        };
        let element = if row.element == "*" { "all others" } else { row.element };
        writeln!(text, "| {element} | `{}` | {} | {rule} | {} |", row.namespace, row.source, cell(row.reason)).unwrap();
    }
    pin(&Path::new(env!("CARGO_MANIFEST_DIR")).join("PAYLOADS.md"), &text);
}

fn json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) -> String {
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    let path = folder().join(format!("enrolment/{name}.json"));
    pin(&path, &text);
    let read: T = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(&read, value, "{name}");
    text
}

#[test]
fn enrolment_is_documented() {
    let secret = || Secret("0123456789abcdef0123456789abcdef".into());
    let csr_pem = || "-----BEGIN CERTIFICATE REQUEST-----\n…\n-----END CERTIFICATE REQUEST-----\n".to_owned();
    let certificate = || "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n".to_owned();
    let request = json("enrol-request", &EnrolRequest { secret: secret(), csr_pem: csr_pem() });
    let renewal = json("renew-request", &RenewRequest { csr_pem: csr_pem() });
    let reply = json(
        "enrol-reply",
        &EnrolReply {
            certificate_pem: certificate(),
            authority_pem: certificate(),
            addresses: vec!["192.0.2.10:7100".into(), "[2001:db8::10]:7100".into()],
            enterprise: "acme".parse().unwrap(),
            gateway: "main".parse().unwrap(),
            display: "Acme".parse().unwrap(),
        },
    );
    let refusal = HttpError { condition: Condition::BadCode, text: Condition::BadCode.admin_text().into() };
    let error = json("error", &refusal);
    let code = Code { addresses: vec!["192.0.2.10:7100".into()], fingerprint: [7; 32], secret: secret() }.encode();
    let inside = URL_SAFE_NO_PAD.decode(code.strip_prefix("igc1-").unwrap()).unwrap();
    let inside = String::from_utf8_lossy(&inside[..inside.len() - 4]).into_owned();
    let text = format!(
        "# Enrolment: the code and the bodies\n\n\
         How a gateway gets its certificate, for those who write another one. Made from `schemas/src/enrolment.rs` by\n\
         `UPDATE_GOLDEN=1 cargo test -p intergroup-schemas`.\n\n\
         ## The code\n\n`igc1-` and, in base64url (RFC 4648 section 5) without padding, a JSON object followed by the first 4 bytes of its\n\
         SHA-256, which find typing errors. The object has `a` (addresses, HOST:PORT, tried in this order), `f` (SHA-256 of the center's\n\
         authority's certificate in DER, base64url) and `s` (the secret, good once):\n\n```json\n{inside}\n```\n\nas one line:\n\n```text\n{code}\n```\n\n\
         ## POST /enroll\n\nOver TLS 1.3 to one of the addresses. The server's chain must end in a certificate with the code's fingerprint.\n\n\
         ```json\n{request}```\n\nis answered with status 200 and\n\n```json\n{reply}```\n\n\
         `addresses` take the place of those in the code. The certificate is good for {} days.\n\n\
         ## POST /renew\n\nThe same over a connection that shows the present certificate, for a new key:\n\n```json\n{renewal}```\n\n\
         ## Refusals\n\nEvery other status has a body with a condition (see `CONDITIONS.md`):\n\n```json\n{error}```\n",
        intergroup_schemas::limits::CERTIFICATE_DAYS,
    );
    pin(&Path::new(env!("CARGO_MANIFEST_DIR")).join("ENROLMENT.md"), &text);
}
