//! Writes one link's outbox: everything that waits goes out in as few TLS records and system calls as it fits in.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::frame::{CLOSE, PING, PONG, TEXT, push_header};
use crate::engine::{Control, Outbox, Taken};
use crate::hub::{Frames, Run};

/// Bytes that are gathered for one write: four full TLS records, as many as rustls buffers.
const BATCH_BYTES: usize = 64 * 1024;
/// A run of so many bytes, two full records, is written out of the memory that all links share; copying a shorter one fills
/// records better.
const RUN_AS_IT_IS: usize = 32 * 1024;
/// Most bytes of a frame's header (RFC 6455 section 5.2, without a mask).
const HEADER_BYTES: usize = 10;
/// Close with status 1000, "normal" (RFC 6455 section 7.4.1): the reason was in `bye`.
const CLOSE_NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

fn push_text(buffer: &mut Vec<u8>, stanza: &[u8]) {
    push_header(buffer, TEXT, stanza.len());
    buffer.extend_from_slice(stanza);
}

fn wire_bytes(frames: &Frames) -> usize {
    frames.bytes() + frames.stanzas().len() * HEADER_BYTES
}

/// A run with its headers, the same for every link.
fn wire(run: &Run) -> Bytes {
    let mut wire = Vec::with_capacity(run.bytes() + run.stanzas().len() * HEADER_BYTES);
    run.stanzas().iter().for_each(|stanza| push_text(&mut wire, stanza));
    wire.into()
}

/// Writes until the link ends; returns when its last stanza is out.
///
/// # Errors
/// The connection's.
pub(super) async fn write_all(outbox: &Outbox, mut out: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut taken = Taken::default();
    let mut buffer = Vec::with_capacity(BATCH_BYTES);
    loop {
        outbox.take(&mut taken).await;
        for control in taken.controls.drain(..) {
            match control {
                Control::Ping => push_header(&mut buffer, PING, 0),
                Control::Pong(echo) => {
                    push_header(&mut buffer, PONG, echo.len());
                    buffer.extend_from_slice(&echo);
                }
            }
        }
        for frames in taken.frames.drain(..) {
            if !buffer.is_empty() && buffer.len() + wire_bytes(&frames) > BATCH_BYTES {
                out.write_all(&buffer).await?;
                buffer.clear();
            }
            match frames {
                Frames::Run(run) if run.bytes() >= RUN_AS_IT_IS => {
                    out.write_all(&buffer).await?;
                    buffer.clear();
                    out.write_all(&run.wire(wire)).await?;
                }
                frames => frames.stanzas().iter().for_each(|stanza| push_text(&mut buffer, stanza)),
            }
        }
        if let Some(end) = &taken.end {
            push_text(&mut buffer, end);
            push_header(&mut buffer, CLOSE, CLOSE_NORMAL.len());
            buffer.extend_from_slice(&CLOSE_NORMAL);
        }
        out.write_all(&buffer).await?;
        buffer.clear();
        buffer.shrink_to(BATCH_BYTES);
        out.flush().await?;
        if taken.end.is_some() {
            return out.shutdown().await;
        }
    }
}
