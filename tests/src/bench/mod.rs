//! What the benchmarks share: servers as child processes, what the kernel says of them, and light clients.
//!
//! In: addresses, how much is in flight. Out: counts and latencies. The clients are threads that block, with buffers that
//! they use again, so that the machine's processors are left to the servers. Never here: sleeps that decide a result.

pub mod center;
pub mod link;
pub mod mirror;
pub mod process;
pub mod redis;
pub mod rooms;
pub mod run;

use std::time::Instant;

/// Bytes of a message's payload.
pub const PAYLOAD_BYTES: usize = 600;
/// What stands before the time stamp in a payload.
pub const MARK: &[u8] = b"<body>";
const STAMP_DIGITS: usize = 20;

/// Writes a payload that carries the moment in which it was made.
pub fn payload(out: &mut Vec<u8>, since: Instant) {
    use std::io::Write;
    let from = out.len();
    out.extend_from_slice(MARK);
    // Writing to a vector does not fail.
    let _ = write!(out, "{:0STAMP_DIGITS$} ", since.elapsed().as_nanos());
    let end = b"</body>";
    out.resize(from + PAYLOAD_BYTES - end.len(), b'x');
    out.extend_from_slice(end);
}

/// How long ago the payload in this text was made, in microseconds; none when it holds none.
#[must_use]
pub fn age_us(text: &[u8], since: Instant) -> Option<u64> {
    let at = memchr::memmem::find(text, MARK)? + MARK.len();
    let digits = text.get(at..at + STAMP_DIGITS)?;
    let made = digits.iter().try_fold(0u128, |n, b| b.is_ascii_digit().then(|| n * 10 + u128::from(b - b'0')))?;
    u64::try_from(since.elapsed().as_nanos().saturating_sub(made) / 1000).ok()
}
