//! Whether Redis keeps what it acknowledges, by its own settings, and what to set where it does not.

use std::collections::HashMap;

use redis::{ConnectionLike, RedisResult};

/// What of Redis's settings puts acknowledged writes at risk; each says what to do. Empty: nothing that can be seen.
pub(crate) fn risks(connection: &mut dyn ConnectionLike, watched: bool) -> Vec<String> {
    let mut risks = Vec::new();
    match setting(connection, "appendonly") {
        Ok(Some(value)) if value == "yes" => match setting(connection, "appendfsync") {
            Ok(Some(value)) if value == "always" => {}
            Ok(value) => risks.push(format!(
                "appendfsync is {}: what Redis acknowledged in the last second or more can be lost when its machine fails. Set \
                 `appendfsync always`",
                value.as_deref().unwrap_or("unknown")
            )),
            Err(_) => risks.push(hidden("appendfsync", "always")),
        },
        Ok(_) => risks.push(no_aof()),
        // Where CONFIG is refused, INFO tells at least whether there is a log of writes.
        Err(_) => match info(connection, "persistence", "aof_enabled").as_deref() {
            Some("1") => risks.push(hidden("appendfsync", "always")),
            Some(_) => risks.push(no_aof()),
            None => risks.push(hidden("appendonly", "yes")),
        },
    }
    let policy = match setting(connection, "maxmemory-policy") {
        Ok(policy) => policy,
        Err(_) => info(connection, "memory", "maxmemory_policy"),
    };
    match policy.as_deref() {
        Some(policy) if policy.starts_with("allkeys") => risks.push(format!(
            "maxmemory-policy is {policy}: when memory runs short Redis throws whole groups away. Set `maxmemory-policy noeviction`"
        )),
        Some(_) => {}
        None => risks.push(hidden("maxmemory-policy", "noeviction")),
    }
    if watched {
        risks.push(
            "replicas are written to after the acknowledgement: a fail-over can lose the last moments. That is found out, and what \
             gateways still hold is asked of them; `min-replicas-to-write 1` keeps a master that is cut off from taking more"
                .into(),
        );
    }
    risks
}

fn no_aof() -> String {
    "appendonly is off: a crash of Redis loses everything since its last snapshot. Set `appendonly yes` and `appendfsync always`".into()
}

fn hidden(name: &str, wanted: &str) -> String {
    format!("Redis does not show its setting {name} to this user: make sure that it is `{wanted}`")
}

fn setting(connection: &mut dyn ConnectionLike, name: &str) -> RedisResult<Option<String>> {
    let all: HashMap<String, String> = redis::cmd("CONFIG").arg("GET").arg(name).query(connection)?;
    Ok(all.get(name).cloned())
}

fn info(connection: &mut dyn ConnectionLike, section: &str, name: &str) -> Option<String> {
    let text: String = redis::cmd("INFO").arg(section).query(connection).ok()?;
    text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':').map(str::to_owned))
}
