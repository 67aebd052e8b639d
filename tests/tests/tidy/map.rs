//! ARCHITECTURE.md and README.md are maps: every path they name must exist.

use std::path::Path;

use crate::tree;

/// Back-ticked words that look like paths of this repository.
fn paths(text: &str) -> Vec<&str> {
    let top: Vec<String> = std::fs::read_dir(tree::root())
        .expect("the top can be listed")
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect();
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| !word.contains(char::is_whitespace) && !word.contains(['*', '{', '<', ':']))
        .filter(|word| {
            let first = word.split('/').next().unwrap_or_default();
            (word.contains('/') && top.iter().any(|t| t == first)) || word.ends_with(".md") || word.ends_with(".rs")
        })
        .collect()
}

#[test]
fn every_path_named_exists() {
    for map in ["ARCHITECTURE.md", "README.md"] {
        let text = tree::read(Path::new(map));
        let named = paths(&text);
        assert!(!named.is_empty(), "{map} names no path at all");
        for path in named {
            assert!(tree::root().join(path).exists(), "{map} names {path}, which does not exist");
        }
    }
}

#[test]
fn every_folder_of_source_is_on_the_map() {
    let map = tree::read(Path::new("ARCHITECTURE.md"));
    for door in tree::ending("mod.rs") {
        let folder = door.parent().expect("mod.rs lies in a folder").to_string_lossy().into_owned();
        // One level below src/ is what the map draws; deeper folders are described by their front doors.
        let depth = folder.split("/src/").nth(1).map(|rest| rest.split('/').count());
        if depth == Some(1) {
            assert!(map.contains(&folder), "ARCHITECTURE.md does not mention {folder}");
        }
    }
}

#[test]
fn a_missing_path_would_be_found() {
    assert_eq!(paths("see `gateway/src/nowhere.rs` and `cargo demo`"), ["gateway/src/nowhere.rs"]);
}
