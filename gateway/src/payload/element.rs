//! A small tree of XML, for the stanzas that matter: read with namespaces resolved, written with a default namespace only.

use std::sync::Arc;

use intergroup_schemas::link::push_escaped;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// The namespace of clients' stanzas (RFC 6120 section 4.8.3). What comes in the component's own namespace is read as if it
/// came in this one, so that live and archived stanzas look alike.
pub const CLIENT: &str = "jabber:client";
/// The namespace of a component's stream (XEP-0114).
pub const COMPONENT: &str = "jabber:component:accept";

/// Elements nested deeper than this are left out when reading: a payload that deep is refused as too large in any case.
pub const TREE_DEPTH: usize = 32;
/// How deep an archived message's own children lie: message, result, forwarded, message.
const ARCHIVE_DEPTH: usize = 4;
// What is cut by the one bound must still be seen by the other.
const _: () = assert!(TREE_DEPTH - ARCHIVE_DEPTH > intergroup_schemas::limits::PAYLOAD_DEPTH);

/// Text that is not well-formed XML, as far as a tree of it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not well-formed XML")]
pub struct Malformed;

/// An element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The local name.
    pub name: String,
    /// The namespace; empty for none.
    pub namespace: Arc<str>,
    /// Attributes but for namespace declarations. Of those with a prefix only `xml:…` are kept.
    pub attributes: Vec<(String, String)>,
    /// What is in it.
    pub nodes: Vec<Node>,
}

/// What is in an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text, without escapes.
    Text(String),
}

impl Element {
    /// An element that holds nothing.
    pub fn new(name: &str, namespace: &str) -> Self {
        Self { name: name.to_owned(), namespace: Arc::from(namespace), attributes: Vec::new(), nodes: Vec::new() }
    }

    /// Whether it is this one.
    pub fn is(&self, name: &str, namespace: &str) -> bool {
        self.name == name && *self.namespace == *namespace
    }

    /// An attribute's value.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The elements in it, in order.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child of that name and namespace.
    pub fn child(&self, name: &str, namespace: &str) -> Option<&Element> {
        self.children().find(|child| child.is(name, namespace))
    }

    /// The text in it, without that of its children.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for node in &self.nodes {
            if let Node::Text(text) = node {
                out.push_str(text);
            }
        }
        out
    }

    /// Appends it as XML that stands where `inherited` is the default namespace. The result is well-formed as long as names
    /// are, whatever texts and values hold.
    pub fn write(&self, out: &mut String, inherited: &str) {
        out.push('<');
        out.push_str(&self.name);
        if *self.namespace != *inherited {
            out.push_str(" xmlns='");
            push_escaped(out, &self.namespace);
            out.push('\'');
        }
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("='");
            push_escaped(out, value);
            out.push('\'');
        }
        if self.nodes.is_empty() {
            return out.push_str("/>");
        }
        out.push('>');
        for node in &self.nodes {
            match node {
                Node::Element(element) => element.write(out, &self.namespace),
                Node::Text(text) => push_escaped(out, text),
            }
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

/// Reads any number of elements; text between them is left out. `default` is the namespace of names without prefix and
/// `declared` are prefixes known from outside.
///
/// # Errors
/// When the text is not well-formed, or uses a prefix or an entity that is not declared.
pub fn parse(text: &str, default: &str, declared: &[(&str, &str)]) -> Result<Vec<Element>, Malformed> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut scope = Scope::new(default, declared);
    let mut top = Vec::new();
    // Open elements that are kept; those below TREE_DEPTH are only counted.
    let mut open: Vec<Element> = Vec::new();
    let mut cut = 0usize;
    loop {
        match reader.read_event().map_err(|_| Malformed)? {
            Event::Start(tag) => {
                let element = scope.enter(&tag)?;
                if open.len() < TREE_DEPTH && cut == 0 {
                    open.push(element);
                } else {
                    cut += 1;
                }
            }
            Event::Empty(tag) => {
                let element = scope.enter(&tag)?;
                scope.leave();
                if cut == 0 && open.len() < TREE_DEPTH {
                    close(&mut open, &mut top, element);
                }
            }
            Event::End(_) => {
                scope.leave();
                if cut > 0 {
                    cut -= 1;
                } else if let Some(element) = open.pop() {
                    close(&mut open, &mut top, element);
                }
            }
            Event::Text(text) => push_text(&mut open, cut, &text),
            Event::CData(text) => push_text(&mut open, cut, &text),
            Event::GeneralRef(reference) => {
                let mut buffer = [0; 4];
                let text = resolve(&reference, &mut buffer)?;
                push_text(&mut open, cut, text);
            }
            Event::Eof if open.is_empty() && cut == 0 => return Ok(top),
            // Comments, processing instructions and DOCTYPE are forbidden in XMPP (RFC 6120 section 11.1).
            _ => return Err(Malformed),
        }
    }
}

fn close(open: &mut [Element], top: &mut Vec<Element>, element: Element) {
    match open.last_mut() {
        Some(parent) => parent.nodes.push(Node::Element(element)),
        None => top.push(element),
    }
}

fn push_text(open: &mut [Element], cut: usize, text: &str) {
    let Some(parent) = open.last_mut() else { return };
    if cut > 0 {
        return;
    }
    match parent.nodes.last_mut() {
        Some(Node::Text(before)) => before.push_str(text),
        _ => parent.nodes.push(Node::Text(text.to_owned())),
    }
}

fn resolve<'a>(reference: &'a BytesRef<'_>, buffer: &'a mut [u8; 4]) -> Result<&'a str, Malformed> {
    match reference.resolve_char_ref() {
        Ok(Some(c)) => Ok(c.encode_utf8(buffer)),
        Ok(None) => quick_xml::escape::resolve_xml_entity(reference).ok_or(Malformed),
        Err(_) => Err(Malformed),
    }
}

/// The namespaces in force, innermost last; the empty prefix is the default.
struct Scope {
    bindings: Vec<(String, Arc<str>)>,
    /// For each open element, how many bindings were in force before it.
    open: Vec<usize>,
}

fn namespace(name: &str) -> Arc<str> {
    Arc::from(if name == COMPONENT { CLIENT } else { name })
}

impl Scope {
    fn new(default: &str, declared: &[(&str, &str)]) -> Self {
        let mut bindings = vec![(String::new(), namespace(default))];
        bindings.extend(declared.iter().map(|(prefix, name)| ((*prefix).to_owned(), namespace(name))));
        Self { bindings, open: Vec::new() }
    }

    fn enter(&mut self, tag: &BytesStart<'_>) -> Result<Element, Malformed> {
        self.open.push(self.bindings.len());
        let mut attributes = Vec::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|_| Malformed)?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| Malformed)?;
            let key: &str = attribute.key.as_ref();
            match key.split_once(':') {
                None if key == "xmlns" => self.bindings.push((String::new(), namespace(&value))),
                Some(("xmlns", prefix)) => self.bindings.push((prefix.to_owned(), namespace(&value))),
                None | Some(("xml", _)) => attributes.push((key.to_owned(), value.into_owned())),
                Some(_) => {}
            }
        }
        let name = tag.name();
        let name: &str = name.as_ref();
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        let bound = self.bindings.iter().rev().find(|(known, _)| known == prefix).ok_or(Malformed)?;
        Ok(Element { name: local.to_owned(), namespace: bound.1.clone(), attributes, nodes: Vec::new() })
    }

    fn leave(&mut self) {
        if let Some(before) = self.open.pop() {
            self.bindings.truncate(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(xml: &str) -> Element {
        parse(xml, CLIENT, &[]).unwrap().remove(0)
    }

    #[test]
    fn namespaces_are_resolved_and_written_as_defaults() {
        let element = one("<p:a xmlns:p='urn:p' p:q='1' xml:lang='en' z='&lt;'><p:b/><c/>t&amp;<![CDATA[<]]></p:a>");
        let mut out = String::new();
        element.write(&mut out, CLIENT);
        let expected = "<a xmlns='urn:p' xml:lang='en' z='&lt;'><b/><c xmlns='jabber:client'/>t&amp;&lt;</a>";
        assert_eq!(out, expected);
        assert_eq!(one(&out), element);
    }

    #[test]
    fn both_stream_namespaces_are_one() {
        assert!(parse("<a/>", COMPONENT, &[]).unwrap()[0].is("a", CLIENT));
        assert!(one("<x xmlns='urn:x'><a xmlns='jabber:component:accept'/></x>").child("a", CLIENT).is_some());
    }

    #[test]
    fn what_is_too_deep_is_left_out() {
        let deep = |n: usize| "<a>".repeat(n) + "<b/>" + &"</a>".repeat(n);
        let mut depth = 0;
        let mut at = &one(&deep(TREE_DEPTH + 500));
        while let Some(child) = at.children().next() {
            (at, depth) = (child, depth + 1);
        }
        assert_eq!(depth + 1, TREE_DEPTH);
    }

    #[test]
    fn faults_are_errors() {
        for xml in [
            "<a>",
            "<a></b>",
            "<p:a/>",
            "<a b='1' b='2'/>",
            "<a>&nbsp;</a>",
            "<!-- x -->",
            "<?x y?>",
            "</a>",
            "<a><!DOCTYPE b></a>",
        ] {
            assert_eq!(parse(xml, CLIENT, &[]), Err(Malformed), "{xml}");
        }
    }
}
