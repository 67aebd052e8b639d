//! The bytes of every stanza are pinned: what one version wrote, every later one reads, and writes alike.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use intergroup_schemas::link::decode::{self, DecodeError};
use intergroup_schemas::link::{ToCenter, ToGateway, VERSION, encode};

use crate::samples;

/// The golden files of the present version.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/v{VERSION}"))
}

/// Whether golden files and generated documents are to be written anew instead of compared.
pub(crate) fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Compares a file with what it should hold, or writes it.
pub(crate) fn pin(path: &Path, text: &str) {
    if updating() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        kept,
        text,
        "{} differs; if that is meant, run with UPDATE_GOLDEN=1 and look at the change",
        path.display()
    );
}

/// The frame in a golden file, which ends with a line feed for the sake of editors.
fn frame(path: &Path) -> Bytes {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Bytes::from(text.strip_suffix('\n').expect("a last line feed").to_owned())
}

fn pinned<T: Debug + PartialEq>(
    direction: &str,
    samples: Vec<(&'static str, T)>,
    encode: impl Fn(&T) -> String,
    decode: impl Fn(&Bytes) -> Result<T, DecodeError>,
) {
    let folder = folder().join(direction);
    let mut names = BTreeSet::new();
    for (name, value) in samples {
        let path = folder.join(format!("{name}.xml"));
        assert!(names.insert(format!("{name}.xml")), "{name} twice");
        pin(&path, &(encode(&value) + "\n"));
        assert_eq!(decode(&frame(&path)).as_ref(), Ok(&value), "{}", path.display());
    }
    let there: BTreeSet<String> =
        folder.read_dir().unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, names, "golden files and samples of {direction}");
}

#[test]
fn every_stanza_is_written_and_read_as_ever() {
    pinned("to-center", samples::to_center(), encode::to_center, decode::to_center);
    pinned("to-gateway", samples::to_gateway(), encode::to_gateway, decode::to_gateway);
}

/// A kind that has no sample would have no golden file. A new kind does not compile here until it is named.
#[test]
fn every_kind_of_stanza_has_a_sample() {
    let to_center = |stanza: &ToCenter| match stanza {
        ToCenter::Hello(_) => 0,
        ToCenter::Relay(_) => 1,
        ToCenter::Resume(_) => 2,
        ToCenter::Settled(_) => 3,
        ToCenter::Credit(_) => 4,
        ToCenter::Confirm(_) => 5,
        ToCenter::Request(_) => 6,
        ToCenter::Edit(_) => 7,
    };
    let kinds: BTreeSet<_> = samples::to_center().iter().map(|(_, s)| to_center(s)).collect();
    assert_eq!(kinds, (0..=7).collect());
    let to_gateway = |stanza: &ToGateway| match stanza {
        ToGateway::Welcome(_) => 0,
        ToGateway::Decided(_) => 1,
        ToGateway::Expect(_) => 2,
        ToGateway::Resumed(_) => 3,
        ToGateway::Deliver(_) => 4,
        ToGateway::Own(_) => 5,
        ToGateway::Skip(_) => 6,
        ToGateway::Entry(_) => 7,
        ToGateway::Fate(_) => 8,
        ToGateway::Response(_) => 9,
        ToGateway::Bye(_) => 10,
    };
    let kinds: BTreeSet<_> = samples::to_gateway().iter().map(|(_, s)| to_gateway(s)).collect();
    assert_eq!(kinds, (0..=10).collect());
}

/// The same stanzas as other programs might write them: quotes, white space, end tags, what a newer version may add.
#[test]
fn odd_ways_to_write_a_stanza_are_understood() {
    let sample = |name: &str| samples::to_center().into_iter().find(|(n, _)| *n == name).expect("a sample").1;
    for (file, name) in [
        ("credit-with-an-end-tag", "credit"),
        ("hello-with-news", "hello"),
        ("relay-by-another-writer", "relay"),
        ("relay-with-news", "relay-without-payload"),
        ("settled-over-lines", "settled"),
    ] {
        let path = folder().join(format!("odd/{file}.xml"));
        assert_eq!(decode::to_center(&frame(&path)), Ok(sample(name)), "{}", path.display());
    }
    assert_eq!(folder().join("odd").read_dir().unwrap().count(), 6, "each odd file has its line");
    let unknown = decode::to_gateway(&frame(&folder().join("odd/bye-of-a-condition-to-come.xml")));
    let Ok(ToGateway::Bye(bye)) = unknown else { panic!("{unknown:?}") };
    assert_eq!(bye.condition, intergroup_schemas::conditions::Condition::BadRequest);
}

/// What ends a link, and what refuses one message only.
#[test]
fn a_bad_payload_refuses_one_message_and_a_bad_envelope_the_link() {
    let frame = |payload: &str| {
        Bytes::from(format!(
            "<relay xmlns='urn:intergroup:link:1' group='1' epoch='k' n='2' list='1' user='a' nick='A' \
             at='2026-11-22T09:00:00.123Z'>{payload}</relay>"
        ))
    };
    assert!(decode::to_center(&frame("<body>x</body>")).is_ok());
    for bad in ["<body>", "<b>&x;</b>", "x", "<b>\u{2}</b>", "</relay><relay>", "<body/></relay>"] {
        let refused = decode::to_center(&frame(bad));
        assert!(matches!(refused, Err(DecodeError::Relay { .. })), "{bad}: {refused:?}");
    }
    for bad in [
        "",
        "x",
        " <credit xmlns='urn:intergroup:link:1' count='1'/>",
        "<credit xmlns='urn:intergroup:link:1' count='1'/> ",
        "<credit xmlns='urn:intergroup:link:1' count='1'>x</credit>",
        "<credit xmlns='urn:intergroup:link:1' count='-1'/>",
        "<credit xmlns='urn:intergroup:link:1' count='4294967296'/>",
        "<credit count='1'/>",
        "<relay/>",
        "<relay xmlns='urn:x' group='1' epoch='k' n='2' list='1' user='a' nick='A' at='2026-11-22T09:00:00.123Z'/>",
        "<relay xmlns='urn:intergroup:link:1' group='1' epoch='k' n='2' n='2' list='1' user='a' nick='A' at='2026-11-22T09:00:00.123Z'/>",
        "<relay xmlns='urn:intergroup:link:1' group='1' epoch='k' n='2' list='1' user='a' nick='A'/>",
        "<relay xmlns='urn:intergroup:link:1' group='1' epoch='K' n='2' list='1' user='a' nick='A' at='2026-11-22T09:00:00.123Z'/>",
        "<!DOCTYPE x>",
        "<hello xmlns='urn:intergroup:link:1'/>",
        "<request xmlns='urn:intergroup:link:1' id='1'><make-tea/></request>",
        "<request xmlns='urn:intergroup:link:1' id='1'><list-groups/><list-groups/></request>",
        "<request xmlns='urn:intergroup:link:1' id='1'><list-groups xmlns='urn:x'/></request>",
        "<request xmlns='urn:intergroup:link:1' id='1'><create-group name='&#1;'/></request>",
        "<welcome xmlns='urn:intergroup:link:1'/>",
    ] {
        let refused = decode::to_center(&Bytes::copy_from_slice(bad.as_bytes()));
        assert!(matches!(refused, Err(DecodeError::Link { .. })), "{bad}: {refused:?}");
    }
}

/// An edit is refused as a whole, not the link; and names are fit to be shown whatever was written.
#[test]
fn a_bad_account_refuses_one_edit_and_a_name_that_deceives_is_made_plain() {
    let frame = |accounts: &str| {
        Bytes::from(format!(
            "<edit xmlns='urn:intergroup:link:1' group='1' epoch='k' n='2' enterprise='acme' base='1'>{accounts}</edit>"
        ))
    };
    let many = "<gone user='a'/>".repeat(intergroup_schemas::limits::ACCOUNTS_PER_EDIT + 1);
    for bad in [
        "<account user='a b' display='A' role='speak'/>",
        "<account user='a/b' display='A' role='speak'/>",
        "<account display='A' role='speak'/>",
        "<account user='a' role='speak'/>",
        "<account user='a' display='A'/>",
        "<account user='a' display='A' role='owner'/>",
        "<gone/>",
        &many,
    ] {
        let refused = decode::to_center(&frame(bad));
        let condition = intergroup_schemas::conditions::Condition::InvalidAccount;
        assert!(
            matches!(&refused, Err(DecodeError::Relay { condition: c, .. }) if *c == condition),
            "{bad}: {refused:?}"
        );
    }
    for (written, shown) in [
        ("&#x202E;Alice&#x2069;", "Alice"),
        ("Ali&#x200B;ce", "Alice"),
        ("Alice\n(Globex)", "Alice (Globex)"),
        ("&#x200D;", "a"),
    ] {
        let edit = decode::to_center(&frame(&format!("<account user='a' display='{written}' role='speak'/>")));
        let Ok(ToCenter::Edit(edit)) = edit else { panic!("{edit:?}") };
        let listed = edit.accounts[0].listed.as_ref().expect("a name");
        assert_eq!(listed.display.as_str(), shown);
    }
}
