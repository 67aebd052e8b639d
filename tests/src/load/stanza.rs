//! A stanza as text, with the few questions that tests ask of one.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

/// One stanza, as the server wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanza(pub String);

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.attributes().flatten().find(|a| a.key.as_ref() == name)?;
    Some(found.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned())
}

impl Stanza {
    /// The element's name: message, presence, iq, …
    pub fn name(&self) -> &str {
        let end = self.0[1..].find([' ', '>', '/']).map_or(self.0.len(), |n| n + 1);
        &self.0[1..end]
    }

    /// An attribute of the stanza itself.
    pub fn attr(&self, name: &str) -> Option<String> {
        self.find_tag(0, |_, _| true).and_then(|tag| attribute(&tag, name))
    }

    /// An attribute of the first element of that name, at any depth, that has the attribute.
    pub fn inner_attr(&self, element: &str, name: &str) -> Option<String> {
        let tag = self.find_tag(1, |tag, _| tag.local_name().as_ref() == element && attribute(tag, name).is_some())?;
        attribute(&tag, name)
    }

    /// Whether an element of that name and namespace (written on it) is inside.
    pub fn has(&self, element: &str, namespace: &str) -> bool {
        self.find_tag(1, |tag, _| {
            tag.local_name().as_ref() == element && attribute(tag, "xmlns").as_deref() == Some(namespace)
        })
        .is_some()
    }

    /// The text of the first element of that name, at any depth.
    pub fn text(&self, element: &str) -> Option<String> {
        let mut reader = Reader::from_str(&self.0);
        let (mut inside, mut text) = (false, String::new());
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) if tag.local_name().as_ref() == element => inside = true,
                Event::Empty(tag) if tag.local_name().as_ref() == element => return Some(String::new()),
                Event::Text(t) if inside => text.push_str(&t.xml10_content()),
                Event::GeneralRef(r) if inside => match r.resolve_char_ref().ok()? {
                    Some(c) => text.push(c),
                    None => text.push_str(quick_xml::escape::resolve_xml_entity(&r).unwrap_or_default()),
                },
                Event::End(tag) if tag.local_name().as_ref() == element => return Some(text),
                Event::Eof => return None,
                _ => {}
            }
        }
    }

    /// The MUC status codes (XEP-0045 section 15.6.2).
    pub fn codes(&self) -> Vec<String> {
        let mut reader = Reader::from_str(&self.0);
        let mut codes = Vec::new();
        while let Ok(event) = reader.read_event() {
            match event {
                Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == "status" => {
                    codes.extend(attribute(&tag, "code"));
                }
                Event::Eof => break,
                _ => {}
            }
        }
        codes
    }

    fn find_tag(&self, skip: usize, fits: impl Fn(&BytesStart<'_>, usize) -> bool) -> Option<BytesStart<'static>> {
        let mut reader = Reader::from_str(&self.0);
        reader.config_mut().check_end_names = false;
        let mut count = 0;
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) | Event::Empty(tag) => {
                    if count >= skip && fits(&tag, count) {
                        return Some(tag.into_owned());
                    }
                    count += 1;
                }
                Event::Eof => return None,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stanza;

    #[test]
    fn answers_the_questions_of_tests() {
        let stanza = Stanza(
            "<message from='r@h/N' id='a&amp;b'><body>x &lt; &#x41;</body><stanza-id by='r@h' id='7' \
             xmlns='urn:xmpp:sid:0'/></message>"
                .into(),
        );
        assert_eq!(stanza.name(), "message");
        assert_eq!(stanza.attr("id").as_deref(), Some("a&b"));
        assert_eq!(stanza.inner_attr("stanza-id", "id").as_deref(), Some("7"));
        assert_eq!(stanza.text("body").as_deref(), Some("x < A"));
        assert!(stanza.has("stanza-id", "urn:xmpp:sid:0"));
        assert!(!stanza.has("stanza-id", "urn:other"));
    }
}
