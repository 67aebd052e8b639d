//! Changes values in a program's configuration file, as its administrator would with an editor.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Rates of the center at which no program of these tests is stopped.
pub const CENTER_UNPACED: &[(&str, &str)] = &[
    ("enterprise_per_second", "1000000"),
    ("enterprise_burst", "1000000"),
    ("group_per_second", "1000000"),
    ("group_burst", "1000000"),
];
/// The same of a gateway.
pub const GATEWAY_UNPACED: &[(&str, &str)] = &[("per_second", "1000000"), ("burst", "1000000")];

/// Gives settings that the file has other values (written as in TOML).
///
/// # Errors
/// The file has no such setting, or the disk's.
pub fn change(path: &Path, values: &[(&str, &str)]) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (name, value) in values {
        let is_it = |line: &&mut String| line.split_once('=').is_some_and(|(key, _)| key.trim() == *name);
        let mut found: Vec<_> = lines.iter_mut().filter(is_it).collect();
        ensure!(found.len() == 1, "{} has the setting {name} {} times", path.display(), found.len());
        *found[0] = format!("{name} = {value}");
    }
    std::fs::write(path, lines.join("\n") + "\n").with_context(|| format!("writing {}", path.display()))
}
