//! What waits to be written on one link. The hub's side never waits: what is in excess is said to be, and ends the link.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use intergroup_schemas::limits;
use intergroup_schemas::link::{Bye, ToGateway, encode};
use tokio::sync::Notify;

use crate::hub::Frames;

/// Answers, decisions and progress that may wait beside what has credit. A gateway that asks without reading ends here.
const UNCREDITED_BYTES: usize = 2 * 1024 * 1024;
/// Pongs that may wait. A peer that pings without reading does not get more.
const CONTROLS: usize = 8;

/// A WebSocket control frame (RFC 6455 section 5.5) to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Asks for a sign of life.
    Ping,
    /// Answers a ping with its own bytes.
    Pong(Bytes),
}

/// The outbox of one link.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: Vec<Frames>,
    bytes: usize,
    controls: Vec<Control>,
    end: Option<Bytes>,
}

/// What a writer has to write next.
#[derive(Debug, Default)]
pub struct Taken {
    /// Stanzas, in order.
    pub frames: Vec<Frames>,
    /// Control frames, before the stanzas.
    pub controls: Vec<Control>,
    /// The last stanza of the link; nothing comes after it.
    pub end: Option<Bytes>,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends stanzas and leaves `frames` empty. Says whether there was room; if not, the link is to be ended.
    #[must_use]
    pub fn push(&self, frames: &mut Vec<Frames>) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            frames.clear();
            return true;
        }
        state.bytes += frames.iter().map(Frames::bytes).sum::<usize>();
        let fits = state.bytes <= limits::LINK_CREDIT_BYTES + limits::FRAME_BYTES + UNCREDITED_BYTES;
        if state.frames.is_empty() {
            // The vector that the writer has emptied is large enough already: they go round.
            std::mem::swap(&mut state.frames, frames);
        } else {
            state.frames.append(frames);
        }
        drop(state);
        self.wake.notify_one();
        fits
    }

    /// Has a control frame sent.
    pub fn control(&self, control: Control) {
        let mut state = self.lock();
        if state.controls.len() < CONTROLS {
            state.controls.push(control);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Ends the link with these words. What waits is dropped (`at_once`) or goes out before them.
    pub fn end(&self, bye: Bye, at_once: bool) {
        let mut state = self.lock();
        if at_once {
            state.frames.clear();
        }
        if state.end.is_none() {
            state.end = Some(encode::to_gateway(&ToGateway::Bye(bye)).into());
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Waits until there is something to write, and takes all of it. `taken.frames` must be empty; it is swapped for the
    /// waiting ones.
    pub async fn take(&self, taken: &mut Taken) {
        loop {
            {
                let mut state = self.lock();
                if !state.frames.is_empty() || !state.controls.is_empty() || state.end.is_some() {
                    std::mem::swap(&mut state.frames, &mut taken.frames);
                    std::mem::swap(&mut state.controls, &mut taken.controls);
                    taken.end = state.end.clone();
                    state.bytes = 0;
                    return;
                }
            }
            self.wake.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use intergroup_schemas::conditions::Condition;

    use super::*;

    fn frame(text: &'static str) -> Frames {
        Frames::One(text.into())
    }

    fn bye() -> Bye {
        Bye { condition: Condition::Suspended, text: "out".into() }
    }

    #[tokio::test]
    async fn all_that_waits_is_taken_at_once_and_in_order() {
        let outbox = Outbox::default();
        assert!(outbox.push(&mut vec![frame("a"), frame("b")]));
        assert!(outbox.push(&mut vec![frame("c")]));
        outbox.control(Control::Ping);
        let mut taken = Taken::default();
        outbox.take(&mut taken).await;
        let text: Vec<_> = taken.frames.iter().flat_map(Frames::stanzas).collect();
        assert_eq!(text, ["a", "b", "c"]);
        assert_eq!(taken.controls, [Control::Ping]);
        assert!(taken.end.is_none());
    }

    #[tokio::test]
    async fn an_end_at_once_overtakes_what_waits_and_nothing_follows_it() {
        let outbox = Outbox::default();
        assert!(outbox.push(&mut vec![frame("a")]));
        outbox.end(bye(), true);
        assert!(outbox.push(&mut vec![frame("b")]));
        let mut taken = Taken::default();
        outbox.take(&mut taken).await;
        assert!(taken.frames.is_empty());
        assert!(std::str::from_utf8(&taken.end.unwrap()).unwrap().contains("suspended"));
    }

    #[test]
    fn a_peer_that_asks_without_reading_is_noticed() {
        let outbox = Outbox::default();
        let frame = Frames::One(vec![b'x'; limits::FRAME_BYTES].into());
        let pushes = (0..1000).take_while(|_| outbox.push(&mut vec![frame.clone()])).count();
        assert!(pushes > limits::LINK_CREDIT_BYTES / limits::FRAME_BYTES, "all that has credit fits: {pushes}");
        assert!(pushes < 1000);
    }
}
