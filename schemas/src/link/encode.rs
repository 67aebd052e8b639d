//! From a stanza to the text of one frame.

use bytes::Bytes;

use super::write::{Element, push_number};
use super::*;

pub(super) fn word(value: impl Serialize) -> String {
    // Unit variants serialise to their name; nothing else is passed.
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn stanza(name: &'static str, fill: impl FnOnce(&mut Element<'_>)) -> String {
    let mut out = String::with_capacity(256);
    let mut element = Element::new(&mut out, name);
    element.attr("xmlns", &NAMESPACE);
    fill(&mut element);
    element.finish();
    out
}

fn payload(bytes: &Bytes) -> &str {
    // A payload is checked UTF-8 wherever it comes from; a fault elsewhere must not break the frame.
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Encodes a stanza for the center.
#[must_use]
pub fn to_center(what: &ToCenter) -> String {
    match what {
        ToCenter::Hello(hello) => stanza("hello", |e| {
            e.attr("version", &hello.version).attr("software", &hello.software);
            for g in &hello.groups {
                let mut c = e.child("group");
                c.attr("number", &g.group);
                if let Some(incarnation) = &g.incarnation {
                    c.attr("incarnation", incarnation);
                }
                c.attr("cursor", &g.cursor).attr("hash", &g.hash).attr("settled", &g.settled);
                c.attr("epoch", &g.epoch).attr("n", &g.last_n);
                if let Some(run) = &g.run {
                    c.attr("run", run);
                }
                for (seq, hash) in &g.places {
                    let mut place = c.child("place");
                    place.attr("seq", seq).attr("hash", hash);
                    place.finish();
                }
                c.finish();
            }
        }),
        ToCenter::Relay(relay) => {
            let mut out = with_room(relay);
            let mut e = Element::new(&mut out, "relay");
            e.text("xmlns", NAMESPACE).number("group", relay.group.0);
            e.text("epoch", relay.epoch.as_str()).number("n", relay.n.0);
            if let Some(source) = &relay.source {
                e.text("src", source.as_str());
            }
            e.number("list", relay.list.0);
            said(&mut e, relay);
            e.finish();
            out
        }
        ToCenter::Edit(x) => stanza("edit", |e| {
            e.attr("group", &x.group).attr("epoch", &x.epoch).attr("n", &x.n);
            e.attr("enterprise", &x.enterprise).attr("base", &x.base);
            control::write_accounts(e, &x.accounts);
        }),
        ToCenter::Resume(r) => stanza("resume", |e| resume(e, r)),
        ToCenter::Settled(s) => stanza("settled", |e| {
            e.attr("group", &s.group).attr("upto", &s.upto);
            for (seq, key, condition) in &s.refused {
                let mut c = e.child("refused");
                c.attr("seq", seq).attr("key", key).attr("condition", &condition.as_str());
                c.finish();
            }
        }),
        ToCenter::Credit(c) => stanza("credit", |e| {
            e.attr("count", &c.count);
        }),
        ToCenter::Confirm(c) => stanza("confirm", |e| {
            e.attr("group", &c.group).attr("epoch", &c.epoch).attr("n", &c.n);
        }),
        ToCenter::Request(r) => stanza("request", |e| {
            e.attr("id", &r.id);
            control::write_request(e, &r.body);
        }),
    }
}

fn resume(e: &mut Element<'_>, r: &Resume) {
    e.attr("group", &r.group).attr("after", &r.after);
}

/// Bytes of names, numbers and the like in a relay or deliver.
const FIXED_BYTES: usize = 256;

/// An empty string that the stanza fits into, should nothing in it need to be escaped.
fn with_room(relay: &Relay) -> String {
    let names = relay.user.as_str().len() + relay.nick.as_str().len();
    let source = relay.source.as_ref().map_or(0, |s| s.as_str().len());
    String::with_capacity(relay.payload.len() + names + source + FIXED_BYTES)
}

/// What relay and deliver have in common, to the end of the payload.
fn said(e: &mut Element<'_>, relay: &Relay) {
    e.text("user", relay.user.as_str()).text("nick", relay.nick.as_str());
    e.text("at", relay.at.wire().as_str()).flag("late", relay.late).raw(payload(&relay.payload));
}

/// Encodes a message for delivery straight from what was relayed: built once, the same bytes for every gateway.
#[must_use]
pub fn deliver(relay: &Relay, seq: Seq, enterprise: &EnterpriseId) -> String {
    let mut out = with_room(relay);
    let mut e = Element::new(&mut out, "deliver");
    e.text("xmlns", NAMESPACE).number("group", relay.group.0).number("seq", seq.0);
    e.text("enterprise", enterprise.as_str());
    e.value("key", |out| {
        out.push_str(relay.epoch.as_str());
        out.push('.');
        push_number(out, relay.n.0);
    });
    e.number("list", relay.list.0);
    said(&mut e, relay);
    e.finish();
    out
}

/// Encodes a stanza for a gateway.
#[must_use]
pub fn to_gateway(what: &ToGateway) -> String {
    match what {
        ToGateway::Welcome(w) => stanza("welcome", |e| {
            e.attr("version", &w.version).attr("enterprise", &w.enterprise).attr("gateway", &w.gateway);
            e.attr("display", &w.display).attr("credit", &w.credit).attr("window", &w.window);
            e.attr("payload-bytes", &w.payload_bytes);
            for g in &w.groups {
                let mut c = e.child("group");
                c.attr("number", &g.group).attr("standing", &word(g.standing)).attr("incarnation", &g.incarnation);
                c.attr("head", &g.head)
                    .attr("history", &word(g.history))
                    .attr("common", &g.common)
                    .attr("decided", &g.decided);
                c.attr("list", &g.list).attr("digest", &g.digest).attr("settled", &g.settled);
                if let Some(before) = &g.before {
                    c.attr("before", before);
                }
                c.finish();
            }
        }),
        ToGateway::Decided(d) => stanza("decided", |e| {
            e.attr("group", &d.group).attr("epoch", &d.epoch).attr("n", &d.n);
            for (n, condition) in &d.refused {
                let mut c = e.child("refused");
                c.attr("n", n).attr("condition", &condition.as_str());
                c.finish();
            }
        }),
        ToGateway::Expect(x) => stanza("expect", |e| {
            e.attr("group", &x.group).attr("epoch", &x.epoch).attr("n", &x.n).flag("fork", x.fork);
        }),
        ToGateway::Resumed(r) => stanza("resumed", |e| resume(e, r)),
        ToGateway::Deliver(d) => {
            let relay = Relay {
                group: d.group,
                epoch: d.key.epoch.clone(),
                n: d.key.n,
                source: None,
                list: d.list,
                user: d.user.clone(),
                nick: d.nick.clone(),
                at: d.at,
                late: d.late,
                payload: d.payload.clone(),
            };
            deliver(&relay, d.seq, &d.enterprise)
        }
        ToGateway::Own(o) => stanza("own", |e| {
            e.attr("group", &o.group).attr("seq", &o.seq).attr("key", &o.key);
        }),
        ToGateway::Skip(s) => stanza("skip", |e| {
            e.attr("group", &s.group).attr("from", &s.from).attr("to", &s.to);
            e.attr("reason", &word(s.reason)).attr("hash", &s.hash);
        }),
        ToGateway::Entry(n) => stanza("entry", |e| {
            e.attr("group", &n.group).attr("seq", &n.seq).attr("list", &n.list);
            control::write_change(e, &n.change);
        }),
        ToGateway::Fate(f) => stanza("fate", |e| {
            e.attr("group", &f.group)
                .attr("enterprise", &f.enterprise)
                .attr("gateway", &f.gateway)
                .attr("upto", &f.upto);
            for (key, condition) in &f.refused {
                let mut c = e.child("refused");
                c.attr("key", key).attr("condition", &condition.as_str());
                c.finish();
            }
        }),
        ToGateway::Response(r) => stanza("response", |e| {
            e.attr("id", &r.id);
            control::write_response(e, &r.body);
        }),
        ToGateway::Bye(b) => stanza("bye", |e| {
            e.attr("condition", &b.condition.as_str()).attr("text", &b.text);
        }),
    }
}
