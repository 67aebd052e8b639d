//! Loopback addresses: each process of a world gets one of its own, so that all can use their usual ports.
//!
//! Ports below the ephemeral range on an address that nobody else uses stay free while a server is down, which a port
//! that the kernel chose would not.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

/// A port of the range that worlds use, bound to see whether somebody else has the address.
const PROBE: u16 = 15222;
/// Addresses tried before giving up.
const TRIES: u32 = 1000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An address in 127/8 that nobody in this process has got before, and on which nobody listens.
///
/// # Errors
/// None is free.
pub(super) fn fresh() -> Result<Ipv4Addr> {
    // Two runs at the same time differ in their process ids: the middle bytes. The last byte counts within a run.
    let pid = std::process::id();
    for _ in 0..TRIES {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let middle = pid.wrapping_add((n / 250) * 7919);
        let ip = Ipv4Addr::new(127, 64 + (middle >> 8 & 127) as u8, (middle & 255) as u8, 1 + (n % 250) as u8);
        if TcpListener::bind((ip, PROBE)).is_ok() {
            return Ok(ip);
        }
    }
    bail!("no loopback address is free")
}
