//! The start tag of a stanza, read in place: enough to drop what concerns nobody before anything is allocated.

use memchr::memchr;

/// What a stanza's start tag says, still escaped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// The element's name, with its prefix if it has one.
    pub(super) name: &'a [u8],
    /// To whom.
    pub(super) to: &'a [u8],
    /// From whom.
    pub(super) from: &'a [u8],
    /// The type.
    pub(super) kind: &'a [u8],
}

/// Reads the start tag at the beginning of `stanza`; what cannot be read is empty.
pub(super) fn head(stanza: &[u8]) -> Head<'_> {
    let mut head = Head::default();
    let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'>' | b'/' | b'=');
    let mut at = 1;
    let word = |from: usize| stanza[from..].iter().position(ends).map_or(stanza.len(), |n| from + n);
    let end = word(at.min(stanza.len()));
    head.name = stanza.get(1..end).unwrap_or_default();
    at = end;
    loop {
        while stanza.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        let end = word(at.min(stanza.len()));
        let Some(name) = stanza.get(at..end).filter(|name| !name.is_empty()) else { return head };
        at = end;
        while stanza.get(at).is_some_and(|b| b.is_ascii_whitespace() || *b == b'=') {
            at += 1;
        }
        let Some(quote @ (b'\'' | b'"')) = stanza.get(at).copied() else { return head };
        at += 1;
        let Some(length) = memchr(quote, &stanza[at..]) else { return head };
        let value = &stanza[at..at + length];
        at += length + 1;
        match name {
            b"to" => head.to = value,
            b"from" => head.from = value,
            b"type" => head.kind = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn start_tags_are_read() {
        let expected = Head { name: b"message", to: b"a@b/c", from: b"r@m/n&apos;", kind: b"groupchat" };
        for tag in [
            "<message type='groupchat' xml:lang='en' to='a@b/c' id='1' from='r@m/n&apos;'><body to='no'/></message>",
            "<message\n to = \"a@b/c\"\n from=\"r@m/n&apos;\"\n x='>/' type='groupchat'/>",
        ] {
            assert_eq!(head(tag.as_bytes()), expected, "{tag}");
        }
        assert_eq!(head(b"<iq/>").name, b"iq");
        assert_eq!(head(b"<iq"), Head { name: b"iq", ..Head::default() });
        assert_eq!(head(b"<iq to='x"), Head { name: b"iq", ..Head::default() });
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(prop::sample::select(b"<> '\"=/ato".to_vec()), 0..40)) {
            head(&bytes);
        }
    }
}
