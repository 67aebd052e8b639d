//! Where a Redis is, as administrators write it: one server, a set watched by Sentinels, or a Cluster.

use std::fmt;
use std::str::FromStr;

use intergroup_schemas::address::split_address;

/// How an address is written, for the text of errors.
const FORM: &str = "write redis://HOST:PORT, rediss://HOST:PORT (TLS), redis+sentinel://HOST:PORT,HOST:PORT/NAME or \
                    redis+cluster://HOST:PORT,HOST:PORT";
/// Longest prefix of keys.
const PREFIX_BYTES: usize = 128;
/// The highest number of a database that makes sense.
const DATABASES: i64 = 1 << 16;

/// What is listened to at the nodes of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one server.
    Single,
    /// Sentinels, which know where the master of this name is.
    Sentinel(String),
    /// Some nodes of a Cluster.
    Cluster,
}

/// An address: `SCHEME://[USER@]HOST:PORT[,HOST:PORT…][/NAME][/DATABASE][?prefix=PREFIX]`. It never holds a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) kind: Kind,
    pub(crate) tls: bool,
    pub(crate) user: Option<String>,
    pub(crate) nodes: Vec<(String, u16)>,
    pub(crate) database: i64,
    pub(crate) prefix: Option<String>,
    text: String,
}

/// Why a text is not an address; says how one is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(String);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = |why: &str| BadAddress(format!("{why}; {FORM}"));
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("this is not the address of a Redis"))?;
        let (tls, family) = match scheme.split_once('+') {
            None => (scheme, ""),
            Some((scheme, family)) => (scheme, family),
        };
        let tls = match tls {
            "redis" => false,
            "rediss" => true,
            _ => return Err(bad("this is not the address of a Redis")),
        };
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (place, path) = rest.split_once('/').map_or((rest, ""), |(place, path)| (place, path));
        // An address is repeated in logs and on screens; one with a password in it is not even repeated in the error.
        let (user, hosts) = match place.rsplit_once('@') {
            None => (None, place),
            Some((user, _)) if user.contains(':') => {
                return Err(BadAddress("a password does not belong into an address: put it into a file".into()));
            }
            Some((user, hosts)) => (Some(user.to_owned()).filter(|u| !u.is_empty()), hosts),
        };
        let nodes: Vec<_> =
            hosts.split(',').map(split_address).collect::<Result<_, _>>().map_err(|e| bad(&e.to_string()))?;
        let (kind, database) = match family {
            "" => (Kind::Single, path),
            "cluster" => (Kind::Cluster, path),
            "sentinel" => {
                let (name, database) = path.split_once('/').unwrap_or((path, ""));
                if name.is_empty() {
                    return Err(bad("Sentinels are asked for a master by its name"));
                }
                (Kind::Sentinel(name.to_owned()), database)
            }
            _ => return Err(bad("this is not the address of a Redis")),
        };
        if kind == Kind::Single && nodes.len() > 1 {
            return Err(bad("one server has one address"));
        }
        let database = match database {
            "" => 0,
            number => number
                .parse()
                .ok()
                .filter(|n| (0..DATABASES).contains(n))
                .ok_or_else(|| bad("a database is a number"))?,
        };
        if kind == Kind::Cluster && database != 0 {
            return Err(bad("a Cluster has only database 0"));
        }
        let prefix = match query {
            None => None,
            Some(query) => Some(prefix(query.strip_prefix("prefix=").unwrap_or_default()).ok_or_else(|| {
                bad("behind ? only prefix=PREFIX may stand: what the names of all keys begin with (a-z, 0-9, . : - _)")
            })?),
        };
        Ok(Self { kind, tls, user, nodes, database, prefix, text: text.to_owned() })
    }
}

/// A prefix of keys, if it is one: it may neither hold braces, which mean something to a Cluster, nor be a pattern.
fn prefix(text: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".:-_".contains(c);
    ((1..=PREFIX_BYTES).contains(&text.len()) && text.chars().all(good)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_understood() {
        let one = parsed("redis://127.0.0.1:6379");
        assert_eq!((one.kind, one.tls, one.database), (Kind::Single, false, 0));
        assert_eq!(one.nodes, [("127.0.0.1".to_owned(), 6379)]);
        let tls = parsed("rediss://ann@redis.example:6380/3?prefix=acme:gw");
        assert_eq!(
            (tls.tls, tls.database, tls.user.as_deref(), tls.prefix.as_deref()),
            (true, 3, Some("ann"), Some("acme:gw"))
        );
        let watched = parsed("redis+sentinel://a:1,b:2/main/1");
        assert_eq!((watched.kind, watched.nodes.len(), watched.database), (Kind::Sentinel("main".into()), 2, 1));
        assert_eq!(parsed("rediss+cluster://a:1,b:2").kind, Kind::Cluster);
        assert_eq!(parsed("redis://a:1/2").to_string(), "redis://a:1/2");
    }

    #[test]
    fn nonsense_is_refused_and_a_password_is_not_repeated() {
        for text in [
            "",
            "127.0.0.1:6379",
            "http://a:1",
            "redis://a",
            "redis://a:1,b:2",
            "redis://a:1/x",
            "redis+sentinel://a:1",
            "redis+cluster://a:1/2",
            "redis+x://a:1",
            "redis://a:1?prefix={x}",
            "redis://a:1?timeout=3",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        let error = "redis://:hunter2@a:1".parse::<Address>().unwrap_err().to_string();
        assert!(error.contains("file") && !error.contains("hunter2"), "{error}");
    }
}
