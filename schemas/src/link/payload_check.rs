//! Checks a payload without building a tree: well-formed, within depth and size, allowed characters only, prefixes
//! declared inside. One pass; says where the payload ends.

use super::scan::{Malformed, Scanner, TagEnd, allowed_characters};
use crate::conditions::Condition;
use crate::limits;

impl From<Malformed> for Condition {
    fn from(_: Malformed) -> Self {
        Condition::Malformed
    }
}

/// Checks the content of an element whose start tag ends before `text`. Returns the length of the content and what
/// follows the element's end tag. `text` holds everything behind the start tag.
pub(super) fn content<'a>(text: &'a str, element: &str) -> Result<(&'a str, &'a str), Condition> {
    let mut scanner = Scanner::new(text);
    let mut scope = Scope::default();
    loop {
        // Text between the children of a payload means nothing; inside them it does.
        if scanner.text()? && scope.open.is_empty() {
            return Err(Condition::Malformed);
        }
        let at = scanner.position();
        if scanner.skip(b"</") {
            match scope.open.pop() {
                Some(open) => {
                    scanner.end_tag(open.name)?;
                    scope.prefixes.truncate(open.prefixes);
                }
                None => {
                    scanner.end_tag(element)?;
                    let content = &text[..at];
                    if content.len() > limits::PAYLOAD_BYTES {
                        return Err(Condition::TooLarge);
                    }
                    if !allowed_characters(content) {
                        return Err(Condition::Malformed);
                    }
                    return Ok((content, &text[scanner.position()..]));
                }
            }
        } else {
            // Comments, processing instructions, DOCTYPE: RFC 6120 section 11.1 forbids them, and they could hide things.
            // None has a name behind its `<`.
            scanner.skip(b"<");
            scope.start(&mut scanner)?;
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

struct Open<'a> {
    name: &'a str,
    /// How many prefixes were known before it.
    prefixes: usize,
}

/// The elements that are open, and the prefixes that they declare.
#[derive(Default)]
struct Scope<'a> {
    open: Vec<Open<'a>>,
    prefixes: Vec<&'a str>,
    /// Attributes of the present element: kept here so that the room is used again.
    attributes: Vec<&'a str>,
}

impl<'a> Scope<'a> {
    /// The start tag behind `<`.
    fn start(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Condition> {
        if self.open.len() == limits::PAYLOAD_DEPTH {
            return Err(Condition::TooLarge);
        }
        let before = self.prefixes.len();
        let name = scanner.name()?;
        self.attributes.clear();
        let end = loop {
            let attribute = match scanner.attribute()? {
                Ok(attribute) => attribute,
                Err(end) => break end,
            };
            if self.attributes.len() == limits::PAYLOAD_ATTRIBUTES {
                return Err(Condition::TooLarge);
            }
            if self.attributes.iter().any(|other| same(other, attribute.name)) {
                return Err(Condition::Malformed);
            }
            self.attributes.push(attribute.name);
            if let Some(prefix) = declared(attribute.name) {
                if prefix.is_some_and(|p| matches!(p, "xml" | "xmlns") || attribute.raw.is_empty())
                    || !may_be_declared(attribute.raw)
                {
                    return Err(Condition::Malformed);
                }
                self.prefixes.extend(prefix);
            }
        };
        // Declarations first: a prefix may be used before it is declared in the same tag.
        let known = |name: &str| match name.split_once(':') {
            None | Some(("xml", _)) => true,
            Some((prefix, _)) => self.prefixes.contains(&prefix),
        };
        let element_known = known(name) && !name.starts_with("xml:");
        if !element_known || !self.attributes.iter().all(|a| declared(a).is_some() || known(a)) {
            return Err(Condition::Malformed);
        }
        match end {
            TagEnd::Open => self.open.push(Open { name, prefixes: before }),
            TagEnd::Empty => self.prefixes.truncate(before),
        }
        Ok(())
    }
}

/// What an attribute declares: a prefix, the default namespace (`Some(None)`), or nothing.
fn declared(attribute: &str) -> Option<Option<&str>> {
    match attribute.strip_prefix("xmlns") {
        Some("") => Some(None),
        Some(rest) => rest.strip_prefix(':').map(Some),
        None => None,
    }
}

/// Whether two attributes of an element are, or might be, the same. With two prefixes that depends on what the prefixes
/// stand for (Namespaces in XML 1.0 section 6.3). Such pairs are refused without a look, since nobody writes them.
fn same(one: &str, other: &str) -> bool {
    match (one.split_once(':'), other.split_once(':')) {
        (None, None) => one == other,
        (Some(("xmlns", a)), Some(("xmlns", b))) => a == b,
        (Some(("xmlns", _)), Some(_)) | (Some(_), Some(("xmlns", _))) => false,
        (Some((_, a)), Some((_, b))) => a == b,
        _ => false,
    }
}

/// Namespaces in XML 1.0 section 3 reserves two namespaces. References could spell them in many ways, and stand in no
/// namespace of ours.
fn may_be_declared(namespace: &str) -> bool {
    !namespace.contains('&')
        && !matches!(namespace, "http://www.w3.org/XML/1998/namespace" | "http://www.w3.org/2000/xmlns/")
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
            "<a b='1'c='2'/>",
            "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
            "<a xmlns:w='http://www.w3.org/2000/xmlns/'/>",
            "<a xmlns:p=''/>",
            "<a xmlns:p='urn:p' xmlns:q='urn:p' p:b='' q:b=''/>",
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
