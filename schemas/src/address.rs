//! Addresses of programs as people write them: `HOST:PORT`.

use core::net::IpAddr;

/// Why a text is not an address; in words, with what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAnAddress(String);

/// Takes `HOST:PORT` apart; HOST is a name, an IPv4 address or an IPv6 address in brackets (which are taken off).
///
/// # Errors
/// It is none of these, or the port is 0, which would be another one after each start.
pub fn split_address(address: &str) -> Result<(String, u16), NotAnAddress> {
    let form = || {
        let form = "HOST:PORT, as in 192.0.2.10:7100, [2001:db8::1]:7100 or hub.example:7100";
        NotAnAddress(format!("{address:?} is not {form}"))
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(form)?;
    let port: u16 = port.parse().map_err(|_| form())?;
    let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) => inner.parse::<IpAddr>().map_err(|_| form())?.to_string(),
        None => host.to_owned(),
    };
    // Names in networks of containers have underscores.
    let name = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !name && host.parse::<IpAddr>().is_err() {
        return Err(form());
    }
    if port == 0 {
        return Err(NotAnAddress(format!("{address:?}: port 0 would be another port after each start; choose one")));
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_or_refused_with_a_reason() {
        assert_eq!(split_address("192.0.2.10:7100").unwrap(), ("192.0.2.10".into(), 7100));
        assert_eq!(split_address("[2001:db8::1]:7100").unwrap(), ("2001:db8::1".into(), 7100));
        assert_eq!(split_address("hub.example:7100").unwrap(), ("hub.example".into(), 7100));
        assert_eq!(split_address("the_hub:7100").unwrap(), ("the_hub".into(), 7100));
        for wrong in ["", "hub", "hub:", ":7100", "hub:70000", "a b:1", "[hub]:1", "http://hub:1"] {
            assert!(split_address(wrong).unwrap_err().to_string().contains("HOST:PORT"), "{wrong}");
        }
        assert!(split_address("127.0.0.1:0").unwrap_err().to_string().contains("port 0"));
    }
}
