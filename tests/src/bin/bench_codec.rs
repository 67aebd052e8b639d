//! What the link's codec costs a message at the center: reading a relay with its payload, and writing the deliver.
//!
//! `cargo run --release -p intergroup-tests --bin bench_codec`

use std::hint::black_box;

use anyhow::{Context, Result};
use bytes::Bytes;
use intergroup_schemas::ids::{ListVersion, N, Seq};
use intergroup_schemas::link::{Relay, Timestamp, ToCenter, ToGateway, decode, encode, payload_check};

const ROUNDS: usize = 7;
const MESSAGES: u64 = 200_000;
const PAYLOAD_BYTES: usize = 600;

/// Nanoseconds of processor time that this thread has had: other programs on the machine do not count.
fn cpu_ns() -> Result<u64> {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(figures.split_whitespace().next().context("no processor time")?.parse()?)
}

/// Nanoseconds a message: the median of the rounds, and the fastest and slowest.
fn measure(name: &str, mut what: impl FnMut(u64)) -> Result<()> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = cpu_ns()?;
        (0..MESSAGES).for_each(&mut what);
        rounds.push((cpu_ns()? - start) as f64 / MESSAGES as f64);
    }
    rounds.sort_by(f64::total_cmp);
    println!("{name:<44} {:>7.0} ns  ({:.0}..{:.0})", rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
    Ok(())
}

fn main() -> Result<()> {
    let (begin, end) = ("<body>", "</body><x xmlns='jabber:x:oob'><url>https://acme.example/a?b&amp;c</url></x>");
    let text = "Lorem ipsum dolor sit amet, ".repeat(30);
    let payload = format!("{begin}{}{end}", &text[..PAYLOAD_BYTES - begin.len() - end.len()]);
    let relay = Relay {
        group: "10001".parse()?,
        epoch: "k7x2".parse()?,
        n: N(1_234_567),
        source: Some("1f2e3d4c:1795343122551175".parse()?),
        list: ListVersion(12),
        user: "alice".parse()?,
        nick: "Alice".parse()?,
        at: Timestamp(1_795_343_122_123),
        late: false,
        payload: Bytes::from(payload.clone()),
    };
    let enterprise = "acme".parse()?;
    let frame = Bytes::from(encode::to_center(&ToCenter::Relay(relay.clone())));
    let delivered = Bytes::from(encode::deliver(&relay, Seq(42), &enterprise));
    println!("payload {} bytes, relay {} bytes, deliver {} bytes", payload.len(), frame.len(), delivered.len());
    measure("check the payload alone", |_| {
        black_box(payload_check::check(black_box(&payload))).expect("sound");
    })?;
    measure("decode a relay, payload checked", |_| {
        black_box(decode::to_center(black_box(&frame))).expect("sound");
    })?;
    measure("encode a deliver", |n| {
        black_box(encode::deliver(black_box(&relay), Seq(n), &enterprise));
    })?;
    measure("decode a relay, encode its deliver", |n| {
        if let Ok(ToCenter::Relay(relay)) = decode::to_center(black_box(&frame)) {
            black_box(encode::deliver(&relay, Seq(n), &enterprise));
        }
    })?;
    measure("decode a deliver at the gateway", |_| {
        let read = decode::to_gateway(black_box(&delivered));
        assert!(matches!(black_box(read), Ok(ToGateway::Deliver(_))));
    })?;
    Ok(())
}
