//! The files of the project, and rules that hold for each of them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies below the top").to_owned()
}

/// Every file that git tracks or would track, relative to the top.
pub(crate) fn files() -> Vec<PathBuf> {
    let out = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(out.status.success(), "git ls-files failed: run the tests in a git checkout");
    let text = String::from_utf8(out.stdout).expect("file names are UTF-8");
    text.lines().map(PathBuf::from).filter(|p| root().join(p).is_file()).collect()
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files whose name ends so.
pub(crate) fn ending(end: &str) -> Vec<PathBuf> {
    files().into_iter().filter(|p| p.to_string_lossy().ends_with(end)).collect()
}

const LONGEST_FILE_LINES: usize = 500;
const LONGEST_LINE_CHARS: usize = 200;

#[test]
fn source_files_have_one_job() {
    let long: Vec<_> = ending(".rs")
        .into_iter()
        .map(|p| (read(&p).lines().count(), p))
        .filter(|(lines, _)| *lines > LONGEST_FILE_LINES)
        .collect();
    assert!(long.is_empty(), "over {LONGEST_FILE_LINES} lines, split them: {long:?}");
}

#[test]
fn lines_fit_a_screen() {
    for path in ending(".rs") {
        for (n, line) in read(&path).lines().enumerate() {
            let length = line.chars().count();
            assert!(length <= LONGEST_LINE_CHARS, "{}:{}: {length} characters", path.display(), n + 1);
        }
    }
}

#[test]
fn nothing_is_left_unfinished() {
    // Written in two parts, so that this file does not find itself.
    let banned = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("dbg", "!(")];
    for path in ending(".rs").into_iter().chain(ending(".toml")).chain(ending(".md")) {
        let text = read(&path);
        for word in banned {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn every_folder_of_modules_has_a_front_door() {
    for door in ending("mod.rs") {
        let text = read(&door);
        assert!(text.starts_with("//!"), "{} does not say what comes in, what goes out", door.display());
    }
}

#[test]
fn every_source_file_begins_with_its_purpose() {
    for path in ending(".rs") {
        assert!(read(&path).starts_with("//!"), "{} does not begin with what it is for", path.display());
    }
}
