//! Writes one link's outbox: everything that waits goes out in as few TLS records and system calls as it fits in.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::frame::{CLOSE, PING, PONG, TEXT, push_header};
use crate::engine::{Control, Outbox, Taken};

/// Bytes that are gathered for one write: four full TLS records, as many as rustls buffers.
const BATCH_BYTES: usize = 64 * 1024;
/// Close with status 1000, "normal" (RFC 6455 section 7.4.1): the reason was in `bye`.
const CLOSE_NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

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
        for frame in taken.frames.drain(..) {
            // A header has at most ten bytes.
            if !buffer.is_empty() && buffer.len() + frame.len() + 10 > BATCH_BYTES {
                out.write_all(&buffer).await?;
                buffer.clear();
            }
            push_header(&mut buffer, TEXT, frame.len());
            buffer.extend_from_slice(&frame);
        }
        if let Some(end) = &taken.end {
            push_header(&mut buffer, TEXT, end.len());
            buffer.extend_from_slice(end);
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
