//! The payload table: for each kind of content seen in rooms, whether it crosses to the other companies.
//!
//! In: the name and namespace of a child of a room's message. Out: a [`Rule`]. Gateways apply it on the way from a room
//! to a group; the center never looks. Not here: the translating itself, which is the gateway's.
//!
//! # What crosses
//!
//! The payload of [`Relay`](crate::link::Relay) is a sequence of elements, in any order:
//!
//! - `<body>` in the link's namespace, at most one for each `xml:lang`: what was said, as plain text. `/me` (XEP-0245)
//!   and styling (XEP-0393) are part of the text.
//! - `<thread>` in the link's namespace (RFC 6121 section 5.2.5), as it was.
//! - `<mention begin='0' end='5' account='acme/alice'/>` in the link's namespace: these code points (not bytes; `end` is
//!   the first that no longer belongs to it) of the body without or with the default language name an account.
//! - Elements in namespaces of their own whose rule is [`Rule::Cross`], as they were.
//!
//! A receiving gateway ignores children that it does not know, so that new ones may come in a minor version.

mod table;

pub use table::TABLE;

use crate::conditions::Condition;

/// What becomes of one child of a room's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It crosses as it is. Children of the message in the room's own namespace (`jabber:client`) take the link's.
    Cross,
    /// It crosses as something else.
    Translate(Translation),
    /// It concerns nobody outside of this room, so that a message of nothing else is ignored.
    Strip,
    /// It stays behind. The rest of the message crosses; when there is no rest, the message is refused as
    /// [`Condition::UnsupportedContent`] and its author is told.
    Omit,
    /// The whole message is refused, whatever else it holds, and its author is told.
    Refuse(Condition),
}

/// How an element is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translation {
    /// The body crosses as a new message that begins with "edited: ".
    Edit,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The element's local name; `*` for all of the namespace that have no row of their own.
    pub element: &'static str,
    /// The element's namespace.
    pub namespace: &'static str,
    /// Where it is specified.
    pub source: &'static str,
    /// What becomes of it.
    pub rule: Rule,
    /// Why.
    pub reason: &'static str,
}

/// What becomes of a child of that name and namespace; [`Rule::Omit`] for what the table does not know.
#[must_use]
pub fn rule(element: &str, namespace: &str) -> Rule {
    let mut whole_namespace = None;
    for row in TABLE.iter().filter(|row| row.namespace == namespace) {
        match row.element {
            "*" => whole_namespace = Some(row.rule),
            name if name == element => return row.rule,
            _ => {}
        }
    }
    whole_namespace.unwrap_or(Rule::Omit)
}

/// Whether a body is encrypted text: OTR (XEP-0364) and OpenPGP (RFC 9580 section 6.2) know no element of their own.
#[must_use]
pub fn is_encrypted_text(body: &str) -> bool {
    let body = body.trim_start();
    ["?OTR:", "?OTR,", "?OTRv", "?OTR?", "-----BEGIN PGP MESSAGE-----"].iter().any(|mark| body.starts_with(mark))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_says_its_own_thing_and_why() {
        let mut seen = HashSet::new();
        for row in TABLE {
            assert!(seen.insert((row.element, row.namespace)), "twice: {row:?}");
            assert!(!row.source.is_empty() && row.reason.len() > 10, "{row:?}");
            assert_eq!(rule(row.element, row.namespace), row.rule);
        }
    }

    #[test]
    fn what_is_meant_for_the_room_alone_never_crosses() {
        for (element, namespace) in [
            ("encrypted", "eu.siacs.conversations.axolotl"),
            ("encrypted", "urn:xmpp:omemo:1"),
            ("encrypted", "urn:xmpp:omemo:2"),
            ("openpgp", "urn:xmpp:openpgp:0"),
            ("x", "jabber:x:encrypted"),
            ("encryption", "urn:xmpp:eme:0"),
        ] {
            assert_eq!(rule(element, namespace), Rule::Refuse(Condition::Encrypted), "{namespace}");
        }
        assert!(is_encrypted_text(" ?OTRv23?\nI would like to talk off the record"));
        assert!(is_encrypted_text("?OTR:AAMDJ+MVmSfjFZcAAAAAAQAAAAIAAADA1g5IjD1ZGLDVQEyCgCyn9hb"));
        assert!(is_encrypted_text("-----BEGIN PGP MESSAGE-----\n\nhQEMA"));
        assert!(!is_encrypted_text("what is ?OTR: good for"));
    }

    #[test]
    fn a_whole_namespace_has_one_row_and_the_unknown_is_omitted() {
        assert_eq!(rule("composing", "http://jabber.org/protocol/chatstates"), Rule::Strip);
        assert_eq!(rule("body", "jabber:client"), Rule::Cross);
        assert_eq!(rule("body", "urn:x"), Rule::Omit);
        assert_eq!(rule("gadget", "urn:x"), Rule::Omit);
    }
}
