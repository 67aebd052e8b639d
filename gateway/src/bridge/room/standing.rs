//! Standing text: the room names the companies that it is shared with. Either each announcement of a change ends with it, or it is the
//! room's subject as long as nobody has given the room another one.
//!
//! Each gateway speaks in its own room only, and a subject does not cross, so no two gateways ever correct each other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Room;
use crate::bridge::action::RoomAction;
use crate::bridge::context::Context;
use crate::ids::Who;

/// Where the room names the companies that it is shared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StandingText {
    /// In the room's subject, while that is empty or ours.
    Subject,
    /// At the end of each announcement that a company came or went.
    #[default]
    Line,
    /// Nowhere but in the first notice.
    None,
}

/// What the room's subject is.
#[derive(Debug, Default)]
pub(super) struct Subject {
    /// As the ear has heard it last in this life, or has set it; none: not yet.
    now: Option<Arc<str>>,
}

impl Subject {
    pub(super) fn forget(&mut self) {
        self.now = None;
    }

    pub(super) fn heard(&mut self, text: Arc<str>) {
        self.now = Some(text);
    }
}

impl Room {
    /// Who the room is shared with, in one sentence.
    pub(super) fn standing_text(&self, cx: &Context) -> String {
        let (number, name) = (self.mapping.group, &self.mapping.name);
        let mut others: Vec<&str> = Vec::new();
        for (member, display) in &self.mapping.members {
            let hidden =
                Some(&member.enterprise) == cx.enterprise() || self.mapping.suspended.contains(&member.enterprise);
            if !hidden && !others.contains(&display.as_str()) {
                others.push(display.as_str());
            }
        }
        match others.len() {
            0 => format!("{}{number} ({name}): {ALONE}", OURS.0),
            _ => format!("{}{number} ({name}): {}{}", OURS.0, OURS.1, others.join(", ")),
        }
    }

    /// Sets the subject, if it is to name the companies and does not.
    pub(super) fn watch_standing(&mut self, cx: &mut Context) {
        let shared = self.mapping.floor.is_some() || !self.mapping.archive;
        let wanted = cx.config.standing == StandingText::Subject && shared && self.mapping.ending.is_none();
        // While entries come again, who is connected goes through its past.
        if !wanted || !self.door.is_ready() || self.stream.passed < self.mapping.settled {
            return;
        }
        // What somebody else wrote there stays.
        let Some(now) = self.subject.now.as_ref().filter(|now| is_ours(now)) else { return };
        let text = self.standing_text(cx);
        if **now == *text {
            return;
        }
        self.act(cx, RoomAction::SetSubject { mouth: self.mouth(Who::Ear), text: text.clone() });
        // Should the room refuse it, it is not asked again before the next joining.
        self.subject.now = Some(text.into());
    }
}

/// How a subject of ours begins, and goes on.
const OURS: (&str, &str) = ("Group ", "shared with ");
/// How it goes on while there is nobody else.
const ALONE: &str = "shared with nobody yet";

/// Whether nobody's own words are lost when this subject goes.
fn is_ours(subject: &str) -> bool {
    let numbered = subject.strip_prefix(OURS.0).and_then(|rest| rest.split_once(' '));
    let by_number = numbered.is_some_and(|(number, rest)| {
        number.parse::<u64>().is_ok() && rest.starts_with('(') && rest.contains(&format!("): {}", OURS.1))
    });
    subject.trim().is_empty() || by_number
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn only_our_own_words_are_replaced() {
        for ours in
            ["", "  ", "Group 10001 (Launch): shared with Globex, Initech", "Group 7 (A (B)): shared with nobody yet"]
        {
            assert!(is_ours(ours), "{ours}");
        }
        for theirs in
            ["Launch", "Group 10001", "Group ten (x): shared with y", "Our Group 1 (x): shared with y", "Group 1 (x)"]
        {
            assert!(!is_ours(theirs), "{theirs}");
        }
    }
}
