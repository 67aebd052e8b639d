//! Cuts a stream of XML into top-level stanzas. Written for well-behaved servers: it looks at tags only.

/// Finds where stanzas end, however the bytes arrive.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// How far the buffer has been looked at.
    at: usize,
    depth: usize,
    tag: Option<Tag>,
}

#[derive(Debug, Default)]
struct Tag {
    quote: Option<u8>,
    first: Option<u8>,
    last: u8,
}

impl Splitter {
    /// Takes the next bytes, split anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next stanza, or the stream header (which ends at depth 1 and stands alone).
    #[expect(clippy::should_implement_trait, reason = "more bytes may follow a none")]
    pub fn next(&mut self) -> Option<String> {
        while let Some(&byte) = self.buffer.get(self.at) {
            self.at += 1;
            let Some(tag) = &mut self.tag else {
                if byte == b'<' {
                    self.tag = Some(Tag::default());
                } else if self.depth == 1 {
                    // White space between stanzas.
                    self.cut();
                }
                continue;
            };
            match (tag.quote, byte) {
                (Some(quote), _) => tag.quote = (byte != quote).then_some(quote),
                (None, b'\'' | b'"') => tag.quote = Some(byte),
                (None, b'>') => {
                    let (first, last) = (tag.first, tag.last);
                    self.tag = None;
                    match (first, last) {
                        (Some(b'?' | b'!'), _) => {
                            self.cut();
                            continue;
                        }
                        (Some(b'/'), _) => self.depth -= 1,
                        (_, b'/') => {}
                        _ => {
                            self.depth += 1;
                            if self.depth == 1 {
                                return Some(self.cut()); // the stream header
                            }
                        }
                    }
                    if self.depth <= 1 {
                        return Some(self.cut());
                    }
                    continue;
                }
                (None, _) => {}
            }
            tag.first.get_or_insert(byte);
            tag.last = byte;
        }
        None
    }

    fn cut(&mut self) -> String {
        let rest = self.buffer.split_off(self.at);
        let taken = std::mem::replace(&mut self.buffer, rest);
        self.at = 0;
        String::from_utf8_lossy(&taken).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Splitter;

    #[test]
    fn any_split_of_the_bytes_gives_the_same_stanzas() {
        let text = "<?xml version='1.0'?><stream:stream a='>'><a/> <b x=\"'/>\"><c>&lt;</c></b><d></d></stream:stream>";
        for step in 1..text.len() {
            let (mut splitter, mut seen) = (Splitter::default(), Vec::new());
            for chunk in text.as_bytes().chunks(step) {
                splitter.push(chunk);
                seen.extend(std::iter::from_fn(|| splitter.next()));
            }
            let expected =
                ["<stream:stream a='>'>", "<a/>", "<b x=\"'/>\"><c>&lt;</c></b>", "<d></d>", "</stream:stream>"];
            assert_eq!(seen, expected, "in steps of {step}");
        }
    }
}
