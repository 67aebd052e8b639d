//! What the gateway itself announces in the room: who joins and leaves the group, and what is missing.

use intergroup_schemas::ids::{DisplayName, EnterpriseId, Seq};
use intergroup_schemas::link::{Change as GroupChange, Entry, SkipReason};

use super::Room;
use super::standing::StandingText;
use crate::bridge::context::Context;
use crate::ids::MessageId;

impl Room {
    /// The group has changed; none where that is no news for the room.
    pub(super) fn change_text(&self, cx: &Context, entry: &Entry) -> Option<String> {
        let (number, name) = (self.mapping.group, &self.mapping.name);
        let text = match &entry.change {
            GroupChange::Joined { display, .. } => {
                format!("{display} has joined group {number} ({name}) and reads along from now on.")
            }
            GroupChange::Left { display, .. } => format!("{display} has left group {number} ({name})."),
            GroupChange::Deleted {} => format!("Group {number} ({name}) has ended. This room is not shared any more."),
            GroupChange::Listed { .. } | GroupChange::Unlisted { .. } => return None,
            GroupChange::Described(about) if about.subject.is_empty() => format!("Group {number} is called {name}."),
            GroupChange::Described(about) => {
                format!("Group {number} is called {name}. What is being talked about: {}.", about.subject)
            }
            GroupChange::Owned { enterprise } => {
                format!("Group {number} ({name}) belongs to {} from now on.", self.display_of(enterprise))
            }
            GroupChange::Suspended { enterprise } => {
                format!("{} is cut off from group {number} for the time being.", self.display_of(enterprise))
            }
            GroupChange::Resumed { enterprise } => {
                format!("{} is back in group {number}.", self.display_of(enterprise))
            }
        };
        let changes_companies = matches!(
            entry.change,
            GroupChange::Joined { .. }
                | GroupChange::Left { .. }
                | GroupChange::Suspended { .. }
                | GroupChange::Resumed { .. }
        );
        let line = cx.config.standing == StandingText::Line && changes_companies;
        Some(if line { format!("{text} {}.", self.standing_text(cx)) } else { text })
    }

    /// Tells the room with whom it is shared from now on.
    pub(super) fn announce(&mut self, cx: &mut Context, id: MessageId) {
        let others: Vec<&DisplayName> =
            self.mapping.members.iter().filter(|(m, _)| !Self::is_me(cx, m)).map(|(_, display)| display).collect();
        let whom = if others.is_empty() {
            "no other company yet".to_owned()
        } else {
            others.iter().map(|d| d.as_str()).collect::<Vec<_>>().join(", ")
        };
        let (number, name) = (self.mapping.group, &self.mapping.name);
        let text = format!("This room is shared from now on in group {number} ({name}) with: {whom}.");
        let action = self.notice_action(id, &text);
        self.act(cx, action);
    }

    /// What a person is called, and that person's company.
    pub(in crate::bridge) fn display_of(&self, enterprise: &EnterpriseId) -> DisplayName {
        let member = self.mapping.members.iter().find(|(m, _)| m.enterprise == *enterprise);
        member.map_or_else(
            || enterprise.as_str().parse().expect("an enterprise id is a display name"),
            |(_, display)| display.clone(),
        )
    }
}

/// Entries are missing.
pub(super) fn missing(from: Seq, to: Seq, reason: SkipReason) -> String {
    let count = to.0 - from.0 + 1;
    match reason {
        SkipReason::Lost => format!("Up to {count} messages of other companies were lost at the center."),
        _ => format!("Up to {count} older messages of other companies were not kept long enough to be shown here."),
    }
}
