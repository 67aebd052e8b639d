//! The handshake of a component (XEP-0114 section 3), without a socket.

use intergroup_schemas::link::push_escaped;
use ring::digest;

use super::Secret;
use crate::payload::COMPONENT;

/// The namespace of the stream itself (RFC 6120 section 4.8.1), by the prefix that both sides use.
pub(super) const STREAM: (&str, &str) = ("stream", "http://etherx.jabber.org/streams");
/// The end of our stream.
pub(super) const FOOTER: &str = "</stream:stream>";

/// The start of our stream.
pub(super) fn header(component: &str) -> String {
    let mut out = format!("<?xml version='1.0'?><stream:stream xmlns='{COMPONENT}' xmlns:stream='{}' to='", STREAM.1);
    push_escaped(&mut out, component);
    out.push_str("'>");
    out
}

/// The stream id in the server's header; none when it has none, and so cannot be a server for components.
pub(super) fn stream_id(header: &str) -> Option<String> {
    // The header is the start tag of an element that ends with the stream; closed here to be read as one.
    let whole = format!("{header}{FOOTER}");
    let text = whole.find("<stream:stream").map(|at| &whole[at..])?;
    let elements = crate::payload::parse(text, "", &[STREAM]).ok()?;
    elements.first()?.attribute("id").map(str::to_owned)
}

/// What proves that we know the secret. It is written once and never logged.
pub(super) fn proof(stream_id: &str, secret: &Secret) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(stream_id.as_bytes());
    context.update(secret.expose().as_bytes());
    let hex: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("<handshake>{hex}</handshake>")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of XEP-0114 section 3.
    #[test]
    fn the_specification_s_own_numbers() {
        let server = "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
            xmlns='jabber:component:accept' from='plays.shakespeare.lit' id='3BF96D32'>";
        let id = stream_id(server).unwrap();
        assert_eq!(id, "3BF96D32");
        assert_eq!(proof(&id, &Secret::new("test")), "<handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>");
    }

    #[test]
    fn a_header_without_id_is_none() {
        assert_eq!(stream_id("<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>"), None);
        assert_eq!(stream_id("<html>"), None);
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }
}
