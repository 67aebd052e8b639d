//! A small bounded tree for control stanzas, which are rare. Relay and deliver never come here.

use std::collections::BTreeMap;
use std::str::FromStr;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde::de::DeserializeOwned;

use super::NAMESPACE;
use super::decode::{DecodeError, foreign, truth};
use super::scan::allowed;
use crate::conditions::Condition;
use crate::ids::InvalidId;

/// Deepest control stanza: `<response><groups><group><member/>`.
const DEPTH: usize = 5;

/// An element without text.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    attributes: BTreeMap<String, String>,
    pub(super) nodes: Vec<Node>,
}

fn broken(text: String) -> DecodeError {
    DecodeError::Link { condition: Condition::BadRequest, text }
}

impl Node {
    /// Reads one element that is the whole text. The frame's size bounds what it can hold.
    pub(super) fn read(text: &str) -> Result<Node, DecodeError> {
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Node> = Vec::new();
        loop {
            let done = match reader.read_event()? {
                Event::Start(tag) => {
                    open.push(Node::start(&tag)?);
                    if open.len() > DEPTH {
                        return Err(broken("a control stanza is nested too deep".into()));
                    }
                    None
                }
                Event::Empty(tag) => Some(Node::start(&tag)?),
                Event::End(_) => open.pop(),
                Event::Text(text) if text.trim_ascii().is_empty() => None,
                Event::Eof => return Err(broken("a stanza that does not end".into())),
                _ => return Err(broken("a control stanza holds elements only".into())),
            };
            match (done, open.last_mut()) {
                // What is in other namespaces is not for us, whatever its name.
                (Some(node), Some(parent)) if node.is_ours() => parent.nodes.push(node),
                (Some(_), Some(_)) => {}
                (Some(node), None) => {
                    if node.attributes.get("xmlns").is_none_or(|ns| ns != NAMESPACE) {
                        return Err(foreign());
                    }
                    return match reader.read_event()? {
                        Event::Eof => Ok(node),
                        _ => Err(broken("something follows the stanza in its frame".into())),
                    };
                }
                (None, _) => {}
            }
        }
    }

    fn start(tag: &BytesStart<'_>) -> Result<Node, DecodeError> {
        let mut node = Node { name: tag.name().0.to_owned(), ..Node::default() };
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|e| broken(format!("an attribute: {e}")))?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0)?.into_owned();
            if !value.chars().all(allowed) {
                return Err(broken("an attribute holds a character that XML forbids".into()));
            }
            node.attributes.insert(attribute.key.0.to_owned(), value);
        }
        Ok(node)
    }

    /// Whether a child is in the link's namespace: children take it from the stanza.
    fn is_ours(&self) -> bool {
        !self.name.contains(':') && self.attributes.get("xmlns").is_none_or(|ns| ns == NAMESPACE)
    }

    fn raw(&self, name: &str) -> Result<&str, DecodeError> {
        let value = self.attributes.get(name);
        value.map(String::as_str).ok_or_else(|| broken(format!("<{}> lacks {name}", self.name)))
    }

    pub(super) fn text_attr(&self, name: &str) -> Result<String, DecodeError> {
        self.raw(name).map(str::to_owned)
    }

    pub(super) fn get<T: FromStr<Err = InvalidId>>(&self, name: &str) -> Result<T, DecodeError> {
        Ok(self.raw(name)?.parse()?)
    }

    pub(super) fn maybe<T: FromStr<Err = InvalidId>>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        self.attributes.get(name).map(|value| value.parse()).transpose().map_err(Into::into)
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<T, DecodeError> {
        let value = self.raw(name)?;
        value.parse().map_err(|_| broken(format!("{name} of <{}> is not a number in range", self.name)))
    }

    /// A number that a program of an older version does not say: 0 then.
    pub(super) fn number_or_none(&self, name: &str) -> Result<u64, DecodeError> {
        if self.attributes.contains_key(name) { self.number(name) } else { Ok(0) }
    }

    /// Text that a program of an older version does not say: empty then.
    pub(super) fn text_or_none(&self, name: &str) -> String {
        self.attributes.get(name).cloned().unwrap_or_default()
    }

    /// A word that a program of an older version does not say.
    pub(super) fn word_or_default<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, DecodeError> {
        if self.attributes.contains_key(name) { self.word(name) } else { Ok(T::default()) }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, DecodeError> {
        self.attributes.get(name).map_or(Ok(false), |value| truth(value))
    }

    /// A word of an enumeration, by its serde name.
    pub(super) fn word<T: DeserializeOwned>(&self, name: &str) -> Result<T, DecodeError> {
        let value = serde_json::Value::String(self.text_attr(name)?);
        serde_json::from_value(value).map_err(|_| broken(format!("{name} of <{}> is not a known word", self.name)))
    }

    /// A condition; one that this version does not know is taken for a general refusal, so that a newer peer may have
    /// more of them.
    pub(super) fn condition(&self) -> Result<Condition, DecodeError> {
        Ok(Condition::from_wire(self.raw("condition")?).unwrap_or(Condition::BadRequest))
    }

    pub(super) fn children<'a>(
        &'a self,
        name: &'a str,
        most: usize,
    ) -> Result<impl Iterator<Item = &'a Node>, DecodeError> {
        Ok(self.all(most)?.iter().filter(move |node| node.name == name))
    }

    /// All children, of whatever name.
    pub(super) fn all(&self, most: usize) -> Result<&[Node], DecodeError> {
        let count = self.nodes.len();
        if count > most {
            return Err(broken(format!("<{}> has {count} children, of which {most} are allowed", self.name)));
        }
        Ok(&self.nodes)
    }

    pub(super) fn only_child(&self) -> Result<&Node, DecodeError> {
        match self.nodes.as_slice() {
            [child] => Ok(child),
            _ => Err(broken(format!("<{}> must have one child", self.name))),
        }
    }
}
