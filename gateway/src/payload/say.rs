//! A payload of the link, as it is said in a room.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::link::payload_check;
use intergroup_schemas::payload::{Rule, rule};

use super::{CLIENT, LINK, Node, elements};

/// The children of the room's message for a payload, as they stand on the component's stream, and whether a body is among
/// them. Only what the table lets cross comes through, whoever sent it: the link's peers are not trusted.
/// `prefix` is put before every body.
///
/// # Errors
/// `malformed` or `too-large` when the payload is not what a peer may send.
pub fn to_room(payload: &[u8], prefix: Option<&str>) -> Result<(String, bool), Condition> {
    let text = std::str::from_utf8(payload).map_err(|_| Condition::Malformed)?;
    payload_check::check(text)?;
    let mut out = String::with_capacity(text.len() + 64);
    let mut spoken = false;
    for mut element in elements(payload).map_err(|_| Condition::Malformed)? {
        let own = &*element.namespace == LINK;
        let namespace = if own { CLIENT } else { &*element.namespace };
        // A foreign element in the room's own namespace could be anything, an <error/> included.
        if rule(&element.name, namespace) != Rule::Cross || &*element.namespace == CLIENT {
            continue;
        }
        if own && element.name == "body" {
            spoken = true;
            if let Some(prefix) = prefix {
                element.nodes.insert(0, Node::Text(prefix.to_owned()));
            }
        }
        element.write(&mut out, LINK);
    }
    Ok((out, spoken))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(payload: &str, prefix: Option<&str>) -> String {
        to_room(payload.as_bytes(), prefix).unwrap().0
    }

    #[test]
    fn only_what_crosses_is_said() {
        let payload = "<body>hi</body><thread>t</thread><mention begin='0' end='1' account='a/b'/><later/>\
            <x xmlns='jabber:x:oob'><url>u</url></x><delay xmlns='urn:xmpp:delay' stamp='1'/>\
            <error xmlns='jabber:client' type='cancel'/><x xmlns='http://jabber.org/protocol/muc#user'/>";
        assert_eq!(said(payload, None), "<body>hi</body><thread>t</thread><x xmlns='jabber:x:oob'><url>u</url></x>");
    }

    #[test]
    fn prefixes_go_before_every_body() {
        let payload = "<body>a &amp; b</body><body xml:lang='de'>c</body>";
        let expected = "<body>&lt;A&gt;: a &amp; b</body><body xml:lang='de'>&lt;A&gt;: c</body>";
        assert_eq!(said(payload, Some("<A>: ")), expected);
    }

    #[test]
    fn other_ways_to_write_the_same_come_out_the_same() {
        assert_eq!(said("<l:body xmlns:l='urn:intergroup:link:1'>x</l:body>", None), "<body>x</body>");
    }

    #[test]
    fn what_no_peer_may_send_is_refused() {
        for payload in ["<body>", "<body>\u{1}</body>", "x", "<a/></message><message>", "<!DOCTYPE a><body/>"] {
            assert_eq!(to_room(payload.as_bytes(), None), Err(Condition::Malformed), "{payload}");
        }
        assert_eq!(to_room(b"<body>\xff</body>", None), Err(Condition::Malformed));
    }
}
