//! The cores decide and the shells perform: no core opens a socket, asks a clock, rolls a die or knows an executor.

use crate::tree;

/// The folders that stay pure, and what each keeps out beyond the common list.
const CORES: &[&str] = &["gateway/src/bridge/", "center/src/hub/", "schemas/src/"];

/// What would make a core impure, with the reason why it must not.
const BANNED: &[(&str, &str)] = &[
    ("tokio", "a core runs under any executor, or none"),
    ("std::net", "sockets live in the shells"),
    ("std::fs", "disks live in the stores"),
    ("std::thread", "a core is one thread's business"),
    ("std::env", "configuration is handed in"),
    ("Instant::now", "time is handed in"),
    ("SystemTime", "time is handed in"),
    ("Utc::now", "time is handed in"),
    ("Local::now", "time is handed in"),
    ("SystemRandom", "randomness is handed in"),
    ("rand::", "randomness is handed in"),
    ("HashMap<", "its order is random; a seed must replay exactly (BTreeMap, or a named exception)"),
    ("HashSet<", "its order is random; a seed must replay exactly (BTreeSet, or a named exception)"),
];

/// The mark that excuses one line, with the reason behind it.
const EXCUSE: &str = "// order never seen:";

#[test]
fn cores_stay_pure() {
    let mut seen = 0;
    for path in tree::ending(".rs") {
        let name = path.to_string_lossy().into_owned();
        if !CORES.iter().any(|core| name.starts_with(core)) {
            continue;
        }
        seen += 1;
        for (n, line) in tree::read(&path).lines().enumerate() {
            let code = line.trim_start();
            if code.starts_with("//") || line.contains(EXCUSE) {
                continue;
            }
            for (word, why) in BANNED {
                assert!(!code.contains(word), "{name}:{}: {word} in a core: {why}", n + 1);
            }
        }
    }
    assert!(seen > 10, "the cores have moved: {CORES:?} hold {seen} files");
}
