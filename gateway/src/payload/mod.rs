//! What crosses between a room and its group, by the payload table of the schemas.
//!
//! In: the children of a room's message, or a payload from the link. Out: the payload to relay, or the reason why there is none;
//! and what is said in a room for a payload. Never here: sockets, addresses, who may speak.

mod element;
mod mentions;
mod reduce;
mod say;

pub use element::{CLIENT, COMPONENT, Element, Malformed, Node, TREE_DEPTH, parse};
pub use mentions::{mark_mentions, resolve_mentions};
pub use reduce::reduce;
pub use say::to_room;

use intergroup_schemas::link::NAMESPACE as LINK;

/// The language of an element (XML 1.0 section 2.12).
const LANG: &str = "xml:lang";

/// The elements of a payload. Errors: malformed.
fn elements(payload: &[u8]) -> Result<Vec<Element>, Malformed> {
    parse(std::str::from_utf8(payload).map_err(|_| Malformed)?, LINK, &[])
}

/// Writes elements as a payload.
fn to_payload(elements: &[Element]) -> String {
    let mut out = String::new();
    for element in elements {
        element.write(&mut out, LINK);
    }
    out
}
