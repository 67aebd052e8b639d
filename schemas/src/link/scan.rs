//! Reads XML where it stands: names and attributes of tags, without copying anything.
//!
//! The two stanzas of which there are many, and what they carry, are read with this; control stanzas become a small tree. It
//! knows the XML that RFC 6120 section 11 allows, and refuses all else: what passes here goes unchanged into the streams of
//! other companies' servers, where one fault would end the stream.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

/// What is read is not XML as RFC 6120 allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

pub(super) type Result<T> = std::result::Result<T, Malformed>;

/// How a start tag ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TagEnd {
    /// `>`: content follows.
    Open,
    /// `/>`: the element is empty.
    Empty,
}

/// An attribute as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    /// Between the quotes; every reference in it is known.
    pub(super) raw: &'a str,
}

impl<'a> Attribute<'a> {
    /// The value, normalised as XML 1.0 section 3.3.3 says.
    pub(super) fn value(&self) -> Cow<'a, str> {
        if self.raw.bytes().all(|b| b >= b' ' && b != b'&') {
            return Cow::Borrowed(self.raw);
        }
        let mut value = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some(at) = memchr3(b'&', b'\r', b'\n', rest.as_bytes()).or_else(|| memchr(b'\t', rest.as_bytes())) {
            value.push_str(&rest[..at].replace('\t', " "));
            rest = &rest[at..];
            if rest.starts_with('&') {
                match reference(rest) {
                    Ok((c, length)) => {
                        value.push(c);
                        rest = &rest[length..];
                    }
                    Err(Malformed) => break, // cannot be: the scanner let it pass
                }
            } else {
                value.push(' ');
                rest = &rest[if rest.starts_with("\r\n") { 2 } else { 1 }..];
            }
        }
        value.push_str(rest);
        Cow::Owned(value)
    }
}

/// A place in a text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes behind `what` if it is next.
    pub(super) fn skip(&mut self, what: &[u8]) -> bool {
        let there = self.rest().starts_with(what);
        if there {
            self.at += what.len();
        }
        there
    }

    fn white_space(&mut self) -> bool {
        let from = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.at > from
    }

    /// A name with at most one colon (Namespaces in XML 1.0 section 4). Beyond ASCII the editions of XML 1.0 differ on what a
    /// letter is, parsers of several are in use, and no extension of XMPP has such names: they are refused.
    pub(super) fn name(&mut self) -> Result<&'a str> {
        let bytes = self.rest();
        // Whether a part of the name begins here.
        let mut begins = true;
        let mut colons = 0;
        let mut length = 0;
        while let Some(class) = bytes.get(length).map(|b| NAME_BYTE[usize::from(*b)]) {
            match class {
                Class::Start => begins = false,
                Class::Within if !begins => {}
                Class::Colon if !begins => {
                    begins = true;
                    colons += 1;
                }
                Class::Within | Class::Colon => return Err(Malformed),
                Class::Other => break,
            }
            length += 1;
        }
        if begins || colons > 1 {
            return Err(Malformed);
        }
        self.at += length;
        self.text.get(self.at - length..self.at).ok_or(Malformed)
    }

    /// The next attribute of the start tag within which we are, or how the tag ends.
    pub(super) fn attribute(&mut self) -> Result<std::result::Result<Attribute<'a>, TagEnd>> {
        let spaced = self.white_space();
        match self.peek() {
            Some(b'>') => {
                self.at += 1;
                Ok(Err(TagEnd::Open))
            }
            Some(b'/') if self.skip(b"/>") => Ok(Err(TagEnd::Empty)),
            Some(_) if spaced => {
                let name = self.name()?;
                self.white_space();
                if !self.skip(b"=") {
                    return Err(Malformed);
                }
                self.white_space();
                let raw = self.quoted()?;
                Ok(Ok(Attribute { name, raw }))
            }
            _ => Err(Malformed),
        }
    }

    fn quoted(&mut self) -> Result<&'a str> {
        let quote = self.peek().filter(|b| matches!(b, b'\'' | b'"')).ok_or(Malformed)?;
        self.at += 1;
        let from = self.at;
        loop {
            let found = memchr3(quote, b'<', b'&', self.rest()).ok_or(Malformed)?;
            self.at += found;
            match self.peek() {
                Some(b'&') => self.reference()?,
                Some(b) if b == quote => {
                    self.at += 1;
                    return Ok(&self.text[from..self.at - 1]);
                }
                _ => return Err(Malformed),
            }
        }
    }

    fn reference(&mut self) -> Result<()> {
        let (_, length) = reference(&self.text[self.at..])?;
        self.at += length;
        Ok(())
    }

    /// Goes to the next tag, through text, references and CDATA sections; says whether there was anything but white space.
    pub(super) fn text(&mut self) -> Result<bool> {
        let mut said = false;
        loop {
            let from = self.at;
            let found = memchr2(b'<', b'&', self.rest()).ok_or(Malformed)?;
            self.at += found;
            let plain = &self.text.as_bytes()[from..self.at];
            if memchr(b'>', plain).is_some() && self.text[from..self.at].contains("]]>") {
                return Err(Malformed);
            }
            said = said || !plain.trim_ascii().is_empty();
            if self.peek() == Some(b'&') {
                self.reference()?;
                said = true;
            } else if self.skip(b"<![CDATA[") {
                self.at += self.text[self.at..].find("]]>").ok_or(Malformed)? + 3;
                said = true;
            } else {
                return Ok(said);
            }
        }
    }

    /// The end tag of `name` from behind `</`.
    pub(super) fn end_tag(&mut self, name: &str) -> Result<()> {
        if !self.skip(name.as_bytes()) {
            return Err(Malformed);
        }
        self.white_space();
        if self.skip(b">") { Ok(()) } else { Err(Malformed) }
    }
}

/// The character that the reference at the start of `text` stands for, and the reference's length.
fn reference(text: &str) -> Result<(char, usize)> {
    /// `&#x10FFFF;` with some leading zeros.
    const LONGEST: usize = 16;
    let bytes = &text.as_bytes()[..text.len().min(LONGEST)];
    let end = memchr(b';', bytes).ok_or(Malformed)?;
    let c = match &bytes[1..end] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x', digits @ ..] => number(digits, 16)?,
        [b'#', digits @ ..] => number(digits, 10)?,
        _ => return Err(Malformed),
    };
    Ok((c, end + 1))
}

fn number(digits: &[u8], radix: u32) -> Result<char> {
    let mut value = 0u32;
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix).ok_or(Malformed)?;
        value = value.checked_mul(radix).and_then(|v| v.checked_add(digit)).ok_or(Malformed)?;
    }
    // No digits at all give zero, which is not allowed either.
    char::from_u32(value).filter(|c| allowed(*c)).ok_or(Malformed)
}

/// Whether XML 1.0 section 2.2 allows the character.
pub(super) fn allowed(c: char) -> bool {
    !matches!(c, '\u{0}'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
}

/// Whether XML 1.0 section 2.2 allows all characters of a text.
pub(super) fn allowed_characters(text: &str) -> bool {
    // Control characters are single bytes. No early end, so that many bytes are looked at in one step.
    let bytes = text.as_bytes();
    let control = bytes.iter().fold(false, |found, b| found | ((*b < 0x20) & !matches!(b, b'\t' | b'\n' | b'\r')));
    // U+FFFE and U+FFFF, the only others, begin with 0xEF.
    !control && (memchr(0xEF, bytes).is_none() || text.chars().all(allowed))
}

/// What a byte may be in a name.
#[derive(Clone, Copy)]
enum Class {
    Start,
    Within,
    Colon,
    Other,
}

const NAME_BYTE: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut b = 0;
    while b < 128 {
        let byte = b as u8;
        if byte.is_ascii_alphabetic() || byte == b'_' {
            table[b] = Class::Start;
        } else if byte.is_ascii_digit() || matches!(byte, b'-' | b'.') {
            table[b] = Class::Within;
        } else if byte == b':' {
            table[b] = Class::Colon;
        }
        b += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_normalised() {
        let value = |raw| Attribute { name: "a", raw }.value().into_owned();
        assert_eq!(value("plain"), "plain");
        assert_eq!(value("a&#10;b\tc\nd\r\ne\rf&amp;&lt;&#x41;"), "a\nb c d e f&<A");
    }

    #[test]
    fn characters_beyond_xml_are_found_anywhere() {
        for bad in ["\u{0}", "\u{8}", "\u{B}", "\u{1F}", "\u{FFFE}", "\u{FFFF}"] {
            assert!(!allowed_characters(&format!("{}{bad}x", "\u{ff0c}".repeat(40))), "{bad:?}");
        }
        assert!(allowed_characters("\t\r\n\u{7f}\u{85}\u{fffd}\u{10ffff}"));
    }
}
