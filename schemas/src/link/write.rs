//! Writes elements as text. Nothing here can produce XML that is not well-formed, whatever it is given.

use std::fmt::{Display, Write};

/// Appends text with the five characters escaped, and white space that attribute normalisation would change.
/// Characters that XML forbids become U+FFFD.
pub fn push_escaped(out: &mut String, text: &str) {
    let plain = |c: char| {
        !matches!(c, '&' | '<' | '>' | '"' | '\'') && !c.is_control() && !matches!(c, '\u{FFFE}' | '\u{FFFF}')
    };
    if text.chars().all(plain) {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
}

struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        push_escaped(self.0, text);
        Ok(())
    }
}

/// An element being written. `attr` comes before any child; `finish` ends it.
pub(super) struct Element<'a> {
    out: &'a mut String,
    name: &'static str,
    open: bool,
}

impl<'a> Element<'a> {
    pub(super) fn new(out: &'a mut String, name: &'static str) -> Self {
        out.push('<');
        out.push_str(name);
        Self { out, name, open: true }
    }

    pub(super) fn attr(&mut self, name: &str, value: &dyn Display) -> &mut Self {
        debug_assert!(self.open, "attributes come before children");
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("='");
        // Writing to a string does not fail.
        let _ = write!(Escaping(self.out), "{value}");
        self.out.push('\'');
        self
    }

    pub(super) fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        if value { self.attr(name, &"true") } else { self }
    }

    fn body(&mut self) -> &mut String {
        if self.open {
            self.open = false;
            self.out.push('>');
        }
        self.out
    }

    pub(super) fn child(&mut self, name: &'static str) -> Element<'_> {
        Element::new(self.body(), name)
    }

    /// Appends XML that has been checked.
    pub(super) fn raw(&mut self, xml: &str) -> &mut Self {
        self.body().push_str(xml);
        self
    }

    pub(super) fn finish(self) {
        if self.open {
            self.out.push_str("/>");
        } else {
            self.out.push_str("</");
            self.out.push_str(self.name);
            self.out.push('>');
        }
    }
}
