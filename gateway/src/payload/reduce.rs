//! A room's message, reduced to what crosses.

use std::sync::Arc;

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::link::payload_check;
use intergroup_schemas::payload::{Rule, Translation, is_encrypted_text, rule};

use super::{CLIENT, Element, LANG, LINK, Node, to_payload};
use crate::bridge::Content;

/// Put before a body that replaces an earlier one (XEP-0308): the edit is shown as one, never as a second copy.
const EDITED: &str = "edited: ";

/// What may stand alone. Everything else that crosses only says something about these.
const SPEECH: &[(&str, &str)] = &[("body", LINK), ("x", "jabber:x:oob")];

/// Reduces the children of a message of a room.
pub fn reduce<'a>(children: impl Iterator<Item = &'a Element>) -> Content {
    let mut kept: Vec<Element> = Vec::new();
    let mut edited = false;
    let mut omitted = false;
    for child in children {
        match rule(&child.name, &child.namespace) {
            Rule::Refuse(condition) => return Content::Refused(condition),
            Rule::Translate(Translation::Edit) => edited = true,
            Rule::Strip => {}
            Rule::Omit => omitted = true,
            Rule::Cross if &*child.namespace == CLIENT => {
                let plain = plain(child);
                let text = plain.text();
                if is_encrypted_text(&text) {
                    return Content::Refused(Condition::Encrypted);
                }
                let twice =
                    |other: &Element| other.is(&plain.name, LINK) && other.attribute(LANG) == plain.attribute(LANG);
                if !text.is_empty() && !kept.iter().any(twice) {
                    kept.push(plain);
                }
            }
            Rule::Cross => kept.push(child.clone()),
        }
    }
    let speech = |element: &Element| SPEECH.iter().any(|(name, namespace)| element.is(name, namespace));
    if !kept.iter().any(speech) {
        return if omitted { Content::Refused(Condition::UnsupportedContent) } else { Content::Nothing };
    }
    if edited {
        for body in kept.iter_mut().filter(|element| element.is("body", LINK)) {
            body.nodes.insert(0, Node::Text(EDITED.to_owned()));
        }
    }
    let payload = to_payload(&kept);
    match payload_check::check(&payload) {
        Ok(()) => Content::Speech(Bytes::from(payload)),
        Err(condition) => Content::Refused(condition),
    }
}

/// An element of the room's own namespace as it crosses: in the link's, text only.
fn plain(element: &Element) -> Element {
    let attributes = element.attributes.iter().filter(|(name, _)| name == LANG || name == "parent").cloned().collect();
    let nodes = vec![Node::Text(element.text())];
    Element { name: element.name.clone(), namespace: Arc::from(LINK), attributes, nodes }
}

#[cfg(test)]
mod tests {
    use intergroup_schemas::limits;
    use intergroup_schemas::payload::TABLE;

    use super::*;
    use crate::payload::parse;

    fn of(children: &str) -> Content {
        reduce(parse(children, CLIENT, &[]).unwrap().iter())
    }

    fn speech(text: &str) -> Content {
        Content::Speech(Bytes::from(text.to_owned()))
    }

    /// Each row by itself and beside a body does what its rule says.
    #[test]
    fn every_row_of_the_table() {
        for row in TABLE {
            let name = if row.element == "*" { "anything" } else { row.element };
            let child = format!("<{name} xmlns='{}'>q</{name}>", row.namespace);
            let alone = of(&child);
            let beside = of(&format!("{child}<body xml:lang='de'>b</body>"));
            let body = "<body xml:lang='de'>b</body>";
            let crossed = format!("<{name} xmlns='{}'>q</{name}>", row.namespace);
            match row.rule {
                Rule::Refuse(condition) => {
                    assert_eq!(alone, Content::Refused(condition), "{row:?}");
                    assert_eq!(beside, Content::Refused(condition), "{row:?}");
                }
                Rule::Strip => {
                    assert_eq!(alone, Content::Nothing, "{row:?}");
                    assert_eq!(beside, speech(body), "{row:?}");
                }
                Rule::Omit => {
                    assert_eq!(alone, Content::Refused(Condition::UnsupportedContent), "{row:?}");
                    assert_eq!(beside, speech(body), "{row:?}");
                }
                Rule::Translate(Translation::Edit) => {
                    assert_eq!(alone, Content::Nothing, "{row:?}");
                    assert_eq!(beside, speech("<body xml:lang='de'>edited: b</body>"), "{row:?}");
                }
                Rule::Cross if row.namespace == CLIENT => {
                    assert_eq!(beside, speech(&format!("<{name}>q</{name}>{body}")), "{row:?}");
                }
                Rule::Cross => assert_eq!(beside, speech(&format!("{crossed}{body}")), "{row:?}"),
            }
        }
    }

    #[test]
    fn the_unknown_is_omitted() {
        assert_eq!(of("<gadget xmlns='urn:x'/>"), Content::Refused(Condition::UnsupportedContent));
        assert_eq!(of("<gadget xmlns='urn:x'/><body>b</body>"), speech("<body>b</body>"));
        assert_eq!(of("<gadget/>"), Content::Refused(Condition::UnsupportedContent));
    }

    #[test]
    fn typing_with_a_thread_is_nothing() {
        assert_eq!(
            of("<composing xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>"),
            Content::Nothing
        );
        assert_eq!(of("<body/><active xmlns='http://jabber.org/protocol/chatstates'/>"), Content::Nothing);
        assert_eq!(of(""), Content::Nothing);
    }

    #[test]
    fn bodies_are_text_one_a_language() {
        assert_eq!(
            of("<body>a<b>c</b></body><body>z</body><body xml:lang='fr' x='1'>&lt;</body>"),
            speech("<body>a</body><body xml:lang='fr'>&lt;</body>")
        );
    }

    #[test]
    fn encrypted_text_is_refused() {
        assert_eq!(of("<body>?OTRv23?</body>"), Content::Refused(Condition::Encrypted));
    }

    #[test]
    fn the_large_and_the_deep_are_refused() {
        let large = format!("<body>{}</body>", "x".repeat(limits::PAYLOAD_BYTES));
        assert_eq!(of(&large), Content::Refused(Condition::TooLarge));
        let deep =
            |n: usize| format!("<body>b</body><x xmlns='jabber:x:oob'>{}{}</x>", "<a>".repeat(n), "</a>".repeat(n));
        assert!(matches!(of(&deep(limits::PAYLOAD_DEPTH - 1)), Content::Speech(_)));
        assert_eq!(of(&deep(limits::PAYLOAD_DEPTH)), Content::Refused(Condition::TooLarge));
        assert_eq!(of(&deep(5000)), Content::Refused(Condition::TooLarge));
    }
}
