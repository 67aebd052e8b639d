//! The XML schema and the codec say the same: what the codec writes is valid.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use intergroup_schemas::link::{ToCenter, ToGateway, encode};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};

use crate::{golden, properties};

/// How many generated stanzas of each direction are validated.
const GENERATED: usize = 200;

fn validate(files: &[PathBuf]) -> (bool, String) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("xsd/link-1.xsd");
    let run = Command::new("xmllint").args(["--noout", "--nonet", "--schema"]).arg(schema).args(files).output();
    let out = run.unwrap_or_else(|e| panic!("xmllint does not start ({e}): install the package libxml2-utils"));
    (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn every_golden_file_is_valid() {
    let mut files = Vec::new();
    for direction in ["to-center", "to-gateway", "odd"] {
        let folder = golden::folder().join(direction);
        files.extend(folder.read_dir().unwrap().map(|f| f.unwrap().path()));
    }
    assert!(files.len() > 30, "{files:?}");
    let (valid, report) = validate(&files);
    assert!(valid, "{report}");
}

#[test]
fn what_the_codec_writes_is_valid_whatever_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let mut files = Vec::new();
    for n in 0..GENERATED {
        let mut to_center = properties::to_center().new_tree(&mut runner).unwrap().current();
        let mut to_gateway = properties::to_gateway().new_tree(&mut runner).unwrap().current();
        // The codec takes any elements for a payload; which of them mean something is the schema's business.
        let payload = Bytes::from_static(b"<body>x</body><x xmlns='urn:x'>y</x>");
        if let ToCenter::Relay(relay) = &mut to_center {
            relay.payload = payload.clone();
        }
        if let ToGateway::Deliver(deliver) = &mut to_gateway {
            deliver.payload = payload;
        }
        for (name, text) in [("c", encode::to_center(&to_center)), ("g", encode::to_gateway(&to_gateway))] {
            let path = folder.path().join(format!("{name}{n}.xml"));
            std::fs::write(&path, text).unwrap();
            files.push(path);
        }
    }
    let (valid, report) = validate(&files);
    assert!(valid, "{}", report.lines().filter(|l| !l.ends_with(" validates")).collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_schema_refuses_what_the_decoder_refuses() {
    let folder = tempfile::tempdir().unwrap();
    for (n, bad) in [
        "<credit xmlns='urn:intergroup:link:1' count='-1'/>",
        "<credit xmlns='urn:intergroup:link:1'/>",
        "<credit xmlns='urn:intergroup:link:1' count='1'>x</credit>",
        "<own xmlns='urn:intergroup:link:1' group='1' seq='2' key='K.1'/>",
        "<make-tea xmlns='urn:intergroup:link:1'/>",
        "<request xmlns='urn:intergroup:link:1' id='1'/>",
        "<skip xmlns='urn:intergroup:link:1' group='1' from='1' to='2' reason='whim' hash='00000000000000000000000000000000'/>",
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{n}.xml"));
        std::fs::write(&path, bad).unwrap();
        let (valid, report) = validate(&[path]);
        assert!(!valid, "{bad}: {report}");
        let frame = Bytes::from(bad);
        let read = (
            intergroup_schemas::link::decode::to_center(&frame),
            intergroup_schemas::link::decode::to_gateway(&frame),
        );
        assert!(matches!(read, (Err(_), Err(_))), "{bad}: {read:?}");
    }
}
