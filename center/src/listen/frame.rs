//! WebSocket frames (RFC 6455 section 5): what a gateway sends is cut out of the bytes and unmasked in place, what the
//! center sends is put behind its header.

use std::io::Cursor;

use bytes::{Bytes, BytesMut};
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::limits;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control as ControlCode, Data, OpCode};

/// Longest payload of a control frame (RFC 6455 section 5.5).
const CONTROL_BYTES: u64 = 125;
/// A message may come in so many pieces at most.
const FRAGMENTS: usize = 64;

const FINAL: u8 = 0x80;
/// Opcodes of what the center sends.
pub(super) const TEXT: u8 = 1;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// Something whole that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The text of one stanza (not yet known to be UTF-8).
    Text(Bytes),
    Ping(Bytes),
    Pong,
    Close,
}

/// The peer broke the protocol of the frames.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) condition: Condition,
    pub(super) text: String,
}

fn broken(text: impl Into<String>) -> Broken {
    Broken { condition: Condition::BadRequest, text: text.into() }
}

/// Puts frames together again.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    pieces: Option<(BytesMut, usize)>,
}

impl Assembler {
    /// Cuts the next whole frame out of what has come; none when more must come first.
    ///
    /// # Errors
    /// The peer broke the protocol, or sends more than a stanza may have: the link is ended.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Received>, Broken> {
        loop {
            let mut cursor = Cursor::new(&input[..]);
            let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(|e| broken(e.to_string()))? else {
                return Ok(None);
            };
            let head = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            if header.rsv1 || header.rsv2 || header.rsv3 {
                return Err(broken("a WebSocket extension that was not agreed upon"));
            }
            let Some(mask) = header.mask else { return Err(broken("a frame without a mask (RFC 6455 section 5.1)")) };
            let before = self.pieces.as_ref().map_or(0, |(text, _)| text.len());
            let most = (limits::FRAME_BYTES - before.min(limits::FRAME_BYTES)) as u64;
            if length > most {
                let text = format!("a frame has at most {} bytes", limits::FRAME_BYTES);
                return Err(Broken { condition: Condition::TooLarge, text });
            }
            // Bounded by the line above.
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if input.len() < head + length {
                input.reserve(head + length - input.len());
                return Ok(None);
            }
            let mut frame = input.split_to(head + length);
            let mut content = frame.split_off(head);
            unmask(&mut content, mask);
            match header.opcode {
                OpCode::Control(_) if !header.is_final || length as u64 > CONTROL_BYTES => {
                    return Err(broken("a control frame in pieces, or over 125 bytes"));
                }
                OpCode::Control(ControlCode::Ping) => return Ok(Some(Received::Ping(content.freeze()))),
                OpCode::Control(ControlCode::Pong) => return Ok(Some(Received::Pong)),
                OpCode::Control(ControlCode::Close) => return Ok(Some(Received::Close)),
                OpCode::Data(Data::Text) if self.pieces.is_none() => {
                    if header.is_final {
                        return Ok(Some(Received::Text(content.freeze())));
                    }
                    self.pieces = Some((content, 1));
                }
                OpCode::Data(Data::Continue) => {
                    let Some((text, count)) = &mut self.pieces else {
                        return Err(broken("a piece of nothing"));
                    };
                    text.extend_from_slice(&content);
                    *count += 1;
                    if *count > FRAGMENTS {
                        return Err(broken("a stanza in too many pieces"));
                    }
                    if header.is_final {
                        let whole = self.pieces.take().map(|(text, _)| text.freeze());
                        return Ok(whole.map(Received::Text));
                    }
                }
                other => return Err(broken(format!("a frame of an unexpected kind ({other})"))),
            }
        }
    }
}

/// Takes the mask off (RFC 6455 section 5.3), eight bytes at a time.
fn unmask(content: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = content.chunks_exact_mut(8);
    for chunk in &mut chunks {
        // The chunk has eight bytes.
        if let Ok(bytes) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
        }
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends a frame's header; the content follows it as it is.
pub(super) fn push_header(out: &mut Vec<u8>, opcode: u8, length: usize) {
    out.push(FINAL | opcode);
    // The three forms of RFC 6455 section 5.2.
    if let Ok(short) = u8::try_from(length)
        && short < 126
    {
        out.push(short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

    fn masked(opcode: u8, fin: bool, content: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        push_header(&mut frame, opcode, content.len());
        if !fin {
            frame[0] &= !FINAL;
        }
        frame[1] |= 0x80;
        frame.extend_from_slice(&MASK);
        let mut content = content.to_vec();
        unmask(&mut content, MASK);
        frame.extend(content);
        frame
    }

    #[test]
    fn frames_come_whole_however_the_bytes_arrive() {
        let text: Vec<u8> = (0..70_000_u32).map(|n| b'a' + u8::try_from(n % 26).unwrap()).collect();
        let mut bytes = masked(TEXT, true, b"<hello/>");
        bytes.extend(masked(PING, true, b"p"));
        bytes.extend(masked(TEXT, false, &text[..300]));
        bytes.extend(masked(PONG, true, b""));
        bytes.extend(masked(0, true, &text[300..]));
        for step in [1, 7, bytes.len()] {
            let (mut assembler, mut input, mut got) = (Assembler::default(), BytesMut::new(), Vec::new());
            for chunk in bytes.chunks(step) {
                input.extend_from_slice(chunk);
                while let Some(received) = assembler.next(&mut input).unwrap() {
                    got.push(received);
                }
            }
            let expected = [
                Received::Text(Bytes::from("<hello/>")),
                Received::Ping(Bytes::from("p")),
                Received::Pong,
                Received::Text(Bytes::from(text.clone())),
            ];
            assert_eq!(got, expected, "{step} at a time");
        }
    }

    #[test]
    fn whoever_breaks_the_protocol_is_told() {
        let next = |bytes: Vec<u8>| Assembler::default().next(&mut BytesMut::from(&bytes[..])).unwrap_err();
        assert_eq!(next(vec![FINAL | TEXT, 1, b'x']).condition, Condition::BadRequest);
        assert!(next(masked(2, true, b"binary")).text.contains("unexpected"));
        assert!(next(masked(0, true, b"x")).text.contains("piece"));
        assert!(next(masked(PING, false, b"x")).text.contains("control"));
        let mut reserved = masked(TEXT, true, b"x");
        reserved[0] |= 0x40;
        assert!(next(reserved).text.contains("extension"));
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_by_its_header_alone() {
        let mut header = Vec::new();
        push_header(&mut header, TEXT, limits::FRAME_BYTES + 1);
        header[1] |= 0x80;
        header.extend_from_slice(&MASK);
        let broken = Assembler::default().next(&mut BytesMut::from(&header[..])).unwrap_err();
        assert_eq!(broken.condition, Condition::TooLarge);
        let (mut assembler, mut input) = (Assembler::default(), BytesMut::new());
        input.extend_from_slice(&masked(TEXT, false, &vec![b'x'; limits::FRAME_BYTES]));
        assert_eq!(assembler.next(&mut input), Ok(None));
        input.extend_from_slice(&masked(0, true, b"x"));
        assert_eq!(assembler.next(&mut input).unwrap_err().condition, Condition::TooLarge);
    }
}
