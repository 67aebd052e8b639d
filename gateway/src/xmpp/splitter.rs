//! Cuts the server's byte stream into stanzas, without building anything and whatever pieces the bytes come in.
//!
//! Only what delimits is looked at: tags, quotes, CDATA. Names are checked later, in the stanzas that are read. A stanza over the
//! size limit is let go by piecemeal and costs nothing but itself: somebody in a room may have sent it.

use memchr::{memchr, memchr3};

/// Largest stanza taken. People can send 256 KiB and components 512 KiB on both servers' defaults; an archive wraps that once.
pub(super) const STANZA_BYTES: usize = 1024 * 1024;

/// What was found at the beginning of the buffer. The caller takes so many bytes off the buffer before it asks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// The start tag of the stream, with the XML declaration before it.
    Header(usize),
    /// A stanza and the white space before it: it lies between the two offsets.
    Stanza(usize, usize),
    /// White space between stanzas, or a part of a stanza that is too large.
    Nothing(usize),
    /// The end of a stanza that was too large.
    Oversized(usize),
    /// The end tag of the stream.
    Footer(usize),
}

/// The stream is not XML as XMPP allows it (RFC 6120 section 11), so nothing behind this place can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's stream is not well-formed XML: {0}")]
pub(super) struct StreamFault(&'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Text,
    /// Behind `<`.
    Tag,
    /// In a start tag; whether the last byte was a slash.
    Start(bool),
    /// In an attribute's value.
    Quote(u8),
    End,
    /// In `<![CDATA[`, so many bytes behind the `!`.
    Opening(usize),
    /// In CDATA, behind so many brackets.
    CData(u8),
    /// In the XML declaration; whether the last byte was a question mark.
    Declaration(bool),
}

const CDATA: &[u8] = b"[CDATA[";

/// The state between two calls.
#[derive(Debug)]
pub(super) struct Splitter {
    mode: Mode,
    /// Open elements, the stream included.
    depth: usize,
    /// How far the buffer has been looked at.
    at: usize,
    /// Where the stanza begins.
    start: usize,
    skipping: bool,
    limit: usize,
}

impl Splitter {
    pub(super) fn new(limit: usize) -> Self {
        Self { mode: Mode::Text, depth: 0, at: 0, start: 0, skipping: false, limit }
    }

    /// The next piece at the beginning of `buffer`; none when more bytes are needed.
    pub(super) fn next(&mut self, buffer: &[u8]) -> Result<Option<Piece>, StreamFault> {
        while self.at < buffer.len() {
            let rest = &buffer[self.at..];
            match self.mode {
                Mode::Text => {
                    let length = memchr(b'<', rest).unwrap_or(rest.len());
                    if self.depth <= 1 && !rest[..length].trim_ascii().is_empty() {
                        return Err(StreamFault("text between stanzas"));
                    }
                    self.at += length;
                    if length == rest.len() {
                        break;
                    }
                    if self.depth == 1 {
                        self.start = self.at;
                    }
                    self.at += 1;
                    self.mode = Mode::Tag;
                }
                Mode::Tag => {
                    self.at += 1;
                    self.mode = match rest[0] {
                        b'/' if self.depth > 0 => Mode::End,
                        b'!' if self.depth > 1 => Mode::Opening(0),
                        b'?' if self.depth == 0 => Mode::Declaration(false),
                        b'/' | b'!' | b'?' | b'<' | b'>' => return Err(StreamFault("markup that XMPP forbids")),
                        _ => Mode::Start(false),
                    };
                }
                Mode::Start(slash) => {
                    let Some(found) = memchr3(b'>', b'\'', b'"', rest) else {
                        self.mode = Mode::Start(rest.ends_with(b"/"));
                        self.at = buffer.len();
                        break;
                    };
                    self.at += found + 1;
                    if rest[found] != b'>' {
                        self.mode = Mode::Quote(rest[found]);
                        continue;
                    }
                    self.mode = Mode::Text;
                    if if found == 0 { slash } else { rest[found - 1] == b'/' } {
                        match self.depth {
                            0 => return Err(StreamFault("an empty stream")),
                            1 => return Ok(Some(self.stanza())),
                            _ => {}
                        }
                    } else {
                        self.depth += 1;
                        if self.depth == 1 {
                            return Ok(Some(Piece::Header(self.taken())));
                        }
                    }
                }
                Mode::Quote(quote) => match memchr(quote, rest) {
                    Some(found) => {
                        self.at += found + 1;
                        self.mode = Mode::Start(false);
                    }
                    None => self.at = buffer.len(),
                },
                Mode::End => match memchr(b'>', rest) {
                    Some(found) => {
                        self.at += found + 1;
                        self.mode = Mode::Text;
                        self.depth -= 1;
                        match self.depth {
                            0 => return Ok(Some(Piece::Footer(self.taken()))),
                            1 => return Ok(Some(self.stanza())),
                            _ => {}
                        }
                    }
                    None => self.at = buffer.len(),
                },
                Mode::Opening(matched) => {
                    if CDATA.get(matched) != Some(&rest[0]) {
                        return Err(StreamFault("a comment or DOCTYPE"));
                    }
                    self.at += 1;
                    let done = matched + 1 == CDATA.len();
                    self.mode = if done { Mode::CData(0) } else { Mode::Opening(matched + 1) };
                }
                Mode::CData(brackets) => {
                    self.at += 1;
                    self.mode = match rest[0] {
                        b']' => Mode::CData(2.min(brackets + 1)),
                        b'>' if brackets == 2 => Mode::Text,
                        _ => Mode::CData(0),
                    };
                }
                Mode::Declaration(question) => {
                    self.at += 1;
                    self.mode = match rest[0] {
                        b'>' if question => Mode::Text,
                        byte => Mode::Declaration(byte == b'?'),
                    };
                }
            }
        }
        let between = self.depth == 1 && self.mode == Mode::Text;
        if between && self.at > 0 {
            return Ok(Some(Piece::Nothing(self.taken())));
        }
        if self.at - self.start > self.limit {
            if self.depth == 0 {
                return Err(StreamFault("a stream header without end"));
            }
            self.skipping = true;
        }
        if self.skipping && self.at > 0 {
            return Ok(Some(Piece::Nothing(self.taken())));
        }
        Ok(None)
    }

    fn taken(&mut self) -> usize {
        self.start = 0;
        std::mem::take(&mut self.at)
    }

    fn stanza(&mut self) -> Piece {
        let start = self.start;
        let end = self.taken();
        if std::mem::take(&mut self.skipping) || end - start > self.limit {
            Piece::Oversized(end)
        } else {
            Piece::Stanza(start, end)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Header(String),
        Stanza(String),
        Oversized,
        Footer,
        Fault,
    }

    /// Feeds the text in pieces of the given sizes, then the rest.
    fn split(text: &[u8], cuts: &[usize], limit: usize) -> Vec<Seen> {
        let mut splitter = Splitter::new(limit);
        let mut buffer = Vec::new();
        let mut seen = Vec::new();
        let mut from = 0usize;
        for cut in cuts.iter().copied().chain([usize::MAX]) {
            let to = text.len().min(from.saturating_add(cut));
            buffer.extend_from_slice(&text[from..to]);
            from = to;
            loop {
                let string = |range: &[u8]| String::from_utf8_lossy(range).into_owned();
                let (piece, length) = match splitter.next(&buffer) {
                    Err(_) => {
                        seen.push(Seen::Fault);
                        return seen;
                    }
                    Ok(None) => break,
                    Ok(Some(Piece::Header(n))) => (Some(Seen::Header(string(&buffer[..n]))), n),
                    Ok(Some(Piece::Stanza(a, n))) => (Some(Seen::Stanza(string(&buffer[a..n]))), n),
                    Ok(Some(Piece::Nothing(n))) => (None, n),
                    Ok(Some(Piece::Oversized(n))) => (Some(Seen::Oversized), n),
                    Ok(Some(Piece::Footer(n))) => (Some(Seen::Footer), n),
                };
                seen.extend(piece);
                buffer.drain(..length);
            }
        }
        seen
    }

    const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' id='a>b'>";

    fn stream(stanzas: &str) -> String {
        format!("{HEADER}{stanzas}</stream:stream>")
    }

    #[test]
    fn stanzas_are_cut_at_their_ends() {
        let stanzas = ["<a/>", "<b c='/>'>x<d/>\n</b>", "<e f=\"'>\"/>", "<g><![CDATA[</g>]]]>]]></g>", "<h></h >"];
        let text = stream(&format!(" {}\n ", stanzas.join(" \n")));
        let mut expected = vec![Seen::Header(HEADER.to_owned())];
        expected.extend(stanzas.iter().map(|s| Seen::Stanza((*s).to_owned())));
        expected.push(Seen::Footer);
        assert_eq!(split(text.as_bytes(), &[], 100), expected);
        assert_eq!(split(text.as_bytes(), &vec![1; text.len()], 100), expected);
    }

    #[test]
    fn an_oversized_stanza_costs_only_itself() {
        let large = format!("<a b='{}'><c>{}</c></a>", "x".repeat(200), "y".repeat(2000));
        let text = stream(&format!("<b/>{large}<c/>"));
        let expected = vec![
            Seen::Header(HEADER.to_owned()),
            Seen::Stanza("<b/>".to_owned()),
            Seen::Oversized,
            Seen::Stanza("<c/>".to_owned()),
            Seen::Footer,
        ];
        assert_eq!(split(text.as_bytes(), &[], 100), expected);
        assert_eq!(split(text.as_bytes(), &vec![7; text.len()], 100), expected);
    }

    #[test]
    fn what_xmpp_forbids_ends_the_stream() {
        for stanzas in [
            "x",
            "<!-- c -->",
            "<a><!-- c --></a>",
            "<a><!DOCTYPE b></a>",
            "<?x?>",
            "<a><?x?></a>",
            "<![CDATA[x]]>",
            "<>",
            "<<a/>",
        ] {
            assert_eq!(split(stream(stanzas).as_bytes(), &[], 100).pop(), Some(Seen::Fault), "{stanzas}");
        }
        assert_eq!(split(b"</a>", &[], 100), [Seen::Fault]);
        assert_eq!(split(b"<a/>", &[], 100), [Seen::Fault]);
        assert_eq!(split(b"HTTP/1.1 400 Bad Request", &[], 100), [Seen::Fault]);
        assert_eq!(split(format!("<a b='{}", "x".repeat(200)).as_bytes(), &[], 100), [Seen::Fault]);
    }

    proptest! {
        /// However the bytes come, the same is seen.
        #[test]
        fn pieces_do_not_matter(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<a>", "</a>", "<b/>", " ", "<c d='>'/>", "<e>t</e>", "<f><![CDATA[]]]]></f>", "/", "'", "]", "é", "\"", "<g h=\"'/\"/>",
            ]), 0..30),
            cuts in prop::collection::vec(1usize..9, 0..60),
        ) {
            let text = stream(&parts.concat());
            prop_assert_eq!(split(text.as_bytes(), &[], 100), split(text.as_bytes(), &cuts, 100));
        }

        /// Nothing panics.
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(1usize..9, 0..60)) {
            split(&bytes, &cuts, 64);
        }
    }
}
