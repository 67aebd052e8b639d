//! What we build on: licences that a company may ship, and one version of everything but for named exceptions.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::tree;

/// Licences that may be linked into an Apache-2.0 program. MPL-2.0 binds changes to its own files only.
const ALLOWED: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "ISC",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
];

/// Crates that may be in the tree twice, each with who needs the older one. An entry that is no longer needed fails.
const TWICE: &[(&str, &str)] = &[
    ("base64", "rcgen's PEM writer"),
    ("block-buffer", "tokio-xmpp's SCRAM (digest 0.10)"),
    ("cpufeatures", "tokio-xmpp's SCRAM (digest 0.10)"),
    ("crypto-common", "tokio-xmpp's SCRAM (digest 0.10)"),
    ("digest", "tokio-xmpp's SCRAM (digest 0.10)"),
    ("getrandom", "ring"),
    ("rxml_validation", "xso and rxml"),
    ("sha1", "tokio-xmpp's SCRAM (digest 0.10)"),
    ("sha2", "tokio-xmpp's SCRAM (digest 0.10)"),
    ("syn", "derive macros on their way from 2 to 3"),
    ("synstructure", "derive macros on their way from syn 2 to 3"),
];

struct Package {
    name: String,
    version: String,
    license: String,
}

/// Every package that is built on this platform.
fn packages() -> Vec<Package> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(tree::root())
        .output()
        .expect("cargo metadata runs");
    assert!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    let meta: Value = serde_json::from_slice(&out.stdout).expect("cargo metadata is JSON");
    let built: BTreeSet<&str> = meta["resolve"]["nodes"]
        .as_array()
        .expect("the graph has nodes")
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let text = |p: &Value, key: &str| p[key].as_str().unwrap_or_default().to_owned();
    meta["packages"]
        .as_array()
        .expect("the graph has packages")
        .iter()
        .filter(|p| p["id"].as_str().is_some_and(|id| built.contains(id)))
        .map(|p| Package { name: text(p, "name"), version: text(p, "version"), license: text(p, "license") })
        .collect()
}

/// Whether an SPDX expression can be satisfied by the allowed licences.
fn acceptable(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    // An AND of ORs, or an OR of ANDs, with parentheses at one level: enough for every crate there is here.
    fn split<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
        let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
        for (at, c) in text.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                ' ' if depth == 0 && text[at..].starts_with(word) => {
                    parts.push(&text[from..at]);
                    from = at + word.len();
                }
                _ => {}
            }
        }
        parts.push(&text[from..]);
        parts
    }
    fn ok(text: &str) -> bool {
        let text = text.trim();
        if let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
            return ok(inner);
        }
        let any = split(text, " OR ");
        if any.len() > 1 {
            return any.into_iter().any(ok);
        }
        let all = split(text, " AND ");
        if all.len() > 1 {
            return all.into_iter().all(ok);
        }
        ALLOWED.contains(&text)
    }
    ok(&expression)
}

#[test]
fn licences_are_allowed() {
    for package in packages() {
        assert!(
            acceptable(&package.license),
            "{} {} is under {:?}, which is not on the list",
            package.name,
            package.version,
            package.license
        );
    }
}

#[test]
fn one_version_of_everything() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        versions.entry(package.name).or_default().insert(package.version);
    }
    let twice: BTreeSet<&str> = versions.iter().filter(|(_, v)| v.len() > 1).map(|(n, _)| n.as_str()).collect();
    let excused: BTreeSet<&str> = TWICE.iter().map(|(name, _)| *name).collect();
    let new: Vec<_> = twice.difference(&excused).collect();
    assert!(new.is_empty(), "in the tree in several versions, and not on the list: {new:?} (cargo tree -d)");
    let gone: Vec<_> = excused.difference(&twice).collect();
    assert!(gone.is_empty(), "no longer in the tree twice, take them off the list: {gone:?}");
}

#[test]
fn licence_expressions_are_understood() {
    assert!(acceptable("MIT/Apache-2.0"));
    assert!(acceptable("(MIT OR GPL-3.0) AND Unicode-3.0"));
    assert!(!acceptable("GPL-3.0"));
    assert!(!acceptable("MIT AND GPL-3.0"));
    assert!(!acceptable(""));
}
