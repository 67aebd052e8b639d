//! Writes elements as text. Nothing here can produce XML that is not well-formed, whatever it is given.

use std::fmt::{Display, Write};

/// Appends text with the five characters escaped, and white space that attribute normalisation would change.
/// Characters that XML forbids become U+FFFD.
pub fn push_escaped(out: &mut String, text: &str) {
    if text.bytes().all(|b| PLAIN[usize::from(b)]) {
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

/// Bytes that stand for themselves. U+FFFE and U+FFFF, which XML forbids, begin with 0xEF.
const PLAIN: [bool; 256] = {
    let mut table = [true; 256];
    let mut b = 0;
    while b < 0x20 {
        table[b] = false;
        b += 1;
    }
    let special = [b'&', b'<', b'>', b'"', b'\'', 0xEF];
    let mut n = 0;
    while n < special.len() {
        table[special[n] as usize] = false;
        n += 1;
    }
    table
};

struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        push_escaped(self.0, text);
        Ok(())
    }
}

/// Appends a number in decimal.
pub(super) fn push_number(out: &mut String, mut number: u64) {
    /// As many as 2^64 has.
    const DIGITS: usize = 20;
    let mut digits = [b'0'; DIGITS];
    let mut from = DIGITS - 1;
    loop {
        digits[from] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
        from -= 1;
    }
    // Digits are UTF-8.
    out.push_str(std::str::from_utf8(&digits[from..]).unwrap_or_default());
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
        self.value(name, |out| {
            // Writing to a string does not fail.
            let _ = write!(Escaping(out), "{value}");
        })
    }

    /// An attribute that is text already, for stanzas of which there are many.
    pub(super) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.value(name, |out| push_escaped(out, value))
    }

    /// An attribute that is a number, for stanzas of which there are many.
    pub(super) fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.value(name, |out| push_number(out, value))
    }

    pub(super) fn value(&mut self, name: &str, push: impl FnOnce(&mut String)) -> &mut Self {
        debug_assert!(self.open, "attributes come before children");
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("='");
        push(self.out);
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
