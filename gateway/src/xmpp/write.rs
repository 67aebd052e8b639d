//! Small pieces of stanzas, written: elements with attributes, with text, and what service discovery consists of.

use intergroup_schemas::link::push_escaped;

use super::stanza::attribute;

/// Begins an element that has children.
pub(super) fn begin(out: &mut String, name: &str, namespace: &str, node: Option<&str>) {
    out.push('<');
    out.push_str(name);
    attribute(out, "xmlns", namespace);
    if let Some(node) = node {
        attribute(out, "node", node);
    }
    out.push('>');
}

/// An element with attributes alone.
pub(super) fn leaf(out: &mut String, name: &str, attributes: &[(&str, &str)]) {
    out.push('<');
    out.push_str(name);
    attributes.iter().for_each(|(name, value)| attribute(out, name, value));
    out.push_str("/>");
}

/// An element with nothing but its namespace.
pub(super) fn empty(out: &mut String, name: &str, namespace: &str) {
    leaf(out, name, &[("xmlns", namespace)]);
}

/// An element with text alone.
pub(super) fn text(out: &mut String, name: &str, content: &str) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    push_escaped(out, content);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// What somebody is (XEP-0030 section 3.1).
pub(super) fn identity(out: &mut String, category: &str, kind: &str, name: &str) {
    leaf(out, "identity", &[("category", category), ("type", kind), ("name", name)]);
}

/// What somebody knows (XEP-0030 section 3.1).
pub(super) fn feature(out: &mut String, var: &str) {
    leaf(out, "feature", &[("var", var)]);
}
