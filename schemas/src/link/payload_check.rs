//! Checks a payload without building a tree: well-formed, within depth and size, allowed characters only, prefixes
//! declared inside. One pass; says where the payload ends.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::conditions::Condition;
use crate::limits;

/// Checks the content of an element whose start tag ends before `text`. Returns the length of the content and what
/// follows the element's end tag. `text` holds everything behind the start tag.
pub(super) fn content<'a>(text: &'a str, element: &str) -> Result<(&'a str, &'a str), Condition> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_end_names = true;
    config.allow_unmatched_ends = true;
    let mut scope = Scope::default();
    loop {
        let at = position(&reader);
        match reader.read_event().map_err(|_| Condition::Malformed)? {
            Event::Start(tag) => {
                scope.enter(&tag)?;
                if scope.depth() > limits::PAYLOAD_DEPTH {
                    return Err(Condition::TooLarge);
                }
            }
            Event::Empty(tag) => {
                scope.enter(&tag)?;
                scope.leave();
            }
            Event::End(tag) if scope.depth() == 0 => {
                if tag.name().as_ref() != element {
                    return Err(Condition::Malformed);
                }
                let content = &text[..at];
                if content.len() > limits::PAYLOAD_BYTES {
                    return Err(Condition::TooLarge);
                }
                if !allowed_characters(content) {
                    return Err(Condition::Malformed);
                }
                return Ok((content, &text[position(&reader)..]));
            }
            Event::End(_) => scope.leave(),
            // Text between the children of a payload means nothing; inside them it does.
            Event::Text(t) if scope.depth() == 0 && !t.as_ref().trim_ascii().is_empty() => {
                return Err(Condition::Malformed);
            }
            Event::Text(t) if t.contains("]]>") => return Err(Condition::Malformed),
            Event::Text(_) => {}
            Event::GeneralRef(r) if scope.depth() > 0 => known_reference(&r)?,
            Event::CData(_) if scope.depth() > 0 => {}
            // Comments, processing instructions, DOCTYPE: RFC 6120 section 11.1 forbids them, and they could hide things.
            _ => return Err(Condition::Malformed),
        }
    }
}

/// Checks a whole payload that stands alone. Errors: malformed, too large or too deep.
pub fn check(payload: &str) -> Result<(), Condition> {
    // An end tag that no payload can contain unbalanced lets one routine serve both cases.
    let closed = format!("{payload}</p>");
    let (content, rest) = content(&closed, "p")?;
    if content.len() == payload.len() && rest.is_empty() { Ok(()) } else { Err(Condition::Malformed) }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

fn known_reference(reference: &quick_xml::events::BytesRef<'_>) -> Result<(), Condition> {
    match reference.resolve_char_ref() {
        Ok(Some(c)) if allowed(c) => Ok(()),
        Ok(None) if quick_xml::escape::resolve_xml_entity(reference).is_some() => Ok(()),
        _ => Err(Condition::Malformed),
    }
}

/// XML 1.0 section 2.2.
pub(super) fn allowed(c: char) -> bool {
    !matches!(c, '\u{0}'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
}

fn allowed_characters(text: &str) -> bool {
    // Bytes below 32 are themselves in UTF-8; U+FFFE and U+FFFF are the only others, and begin with 0xEF.
    let bytes = text.as_bytes();
    let suspicious = |&b: &u8| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b == 0xEF;
    !bytes.iter().any(suspicious) || text.chars().all(allowed)
}

/// The prefixes declared by the elements that are open.
#[derive(Default)]
struct Scope {
    /// For each open element, how many prefixes were known before it.
    open: Vec<usize>,
    prefixes: Vec<String>,
}

impl Scope {
    fn depth(&self) -> usize {
        self.open.len()
    }

    fn enter(&mut self, tag: &BytesStart<'_>) -> Result<(), Condition> {
        self.open.push(self.prefixes.len());
        // Declarations first: a prefix may be used before it is declared in the same tag.
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|_| Condition::Malformed)?;
            let value =
                attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|_| Condition::Malformed)?;
            if attribute.value.contains('<') || !value.chars().all(allowed) {
                return Err(Condition::Malformed);
            }
            if let Some(prefix) = attribute.key.as_ref().strip_prefix("xmlns:") {
                self.prefixes.push(prefix.to_owned());
            }
        }
        self.name(tag.name().as_ref())?;
        for attribute in tag.attributes().with_checks(false).flatten() {
            self.name(attribute.key.as_ref())?;
        }
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(known) = self.open.pop() {
            self.prefixes.truncate(known);
        }
    }

    fn name(&self, name: &str) -> Result<(), Condition> {
        let valid = |part: &str| {
            let starts = |c: char| c.is_alphabetic() || c == '_';
            let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '\u{B7}');
            part.starts_with(starts) && part.chars().all(goes_on)
        };
        let known = |prefix: &str| matches!(prefix, "xml" | "xmlns") || self.prefixes.iter().any(|p| p == prefix);
        let fine = match name.split_once(':') {
            None => valid(name),
            Some((prefix, local)) => valid(prefix) && valid(local) && known(prefix),
        };
        if fine { Ok(()) } else { Err(Condition::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_payloads_pass() {
        for payload in [
            "",
            "<body>hi</body>",
            "<body xml:lang='de'>&lt;&#xE4;&amp;</body><x xmlns='urn:x' a='1'><y/></x>",
            "<p:a xmlns:p='urn:p' p:b='1'><p:c/></p:a>",
            "<a><![CDATA[<]]></a>",
        ] {
            assert_eq!(check(payload), Ok(()), "{payload}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for payload in [
            "text",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/></p><p>",
            "<a b='1' b='2'/>",
            "<a b=1/>",
            "<a b='<'/>",
            "<p:a/>",
            "<a p:b='1'/>",
            "<1a/>",
            "<a>\u{1}</a>",
            "<a>\u{FFFF}</a>",
            "<a>&nbsp;</a>",
            "<a>&#0;</a>",
            "<a>&#1;</a>",
            "<a b='&#1;'/>",
            "<a>& </a>",
            "<!-- x --><a/>",
            "<?x y?><a/>",
            "<!DOCTYPE a><a/>",
            "<![CDATA[x]]>",
            "<a>]]></a>",
        ] {
            assert_eq!(check(payload), Err(Condition::Malformed), "{payload}");
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = |n: usize| "<a>".repeat(n) + &"</a>".repeat(n);
        assert_eq!(check(&deep(limits::PAYLOAD_DEPTH)), Ok(()));
        assert_eq!(check(&deep(limits::PAYLOAD_DEPTH + 1)), Err(Condition::TooLarge));
        let large = format!("<a>{}</a>", "x".repeat(limits::PAYLOAD_BYTES));
        assert_eq!(check(&large), Err(Condition::TooLarge));
    }
}
