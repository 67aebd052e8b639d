//! What the gateway itself announces in the room: who joins and leaves the group, and what is missing.

use intergroup_schemas::ids::{DisplayName, EnterpriseId, GatewayId, GatewayName, Seq};
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
            GroupChange::Joined { enterprise, gateway, display } => {
                let who = if self.has_branches(enterprise, Some(gateway)) { "Another branch of " } else { "" };
                format!("{who}{display} has joined group {number} ({name}) and reads along from now on.")
            }
            GroupChange::Left { enterprise, display, .. } if cx.enterprise() == Some(enterprise) => {
                format!("Another branch of {display} has left group {number} ({name}).")
            }
            GroupChange::Left { enterprise, display, .. } if self.has_branches(enterprise, None) => {
                format!("A branch of {display} has left group {number} ({name}); {display} still reads along.")
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
        let mut others: Vec<String> = Vec::new();
        for (member, display) in self.mapping.members.iter().filter(|(m, _)| !Self::is_me(cx, m)) {
            let branch = Some(&member.enterprise) == cx.enterprise();
            let name = if branch { format!("another branch of {display}") } else { display.to_string() };
            if !others.contains(&name) {
                others.push(name);
            }
        }
        let whom = if others.is_empty() { "no other company yet".to_owned() } else { others.join(", ") };
        let (number, name) = (self.mapping.group, &self.mapping.name);
        let text = format!("This room is shared from now on in group {number} ({name}) with: {whom}.");
        let action = self.notice_action(id, &text);
        self.act(cx, action);
    }

    /// Whether a gateway of the enterprise belongs to the group, other than this one.
    fn has_branches(&self, enterprise: &EnterpriseId, but: Option<&GatewayName>) -> bool {
        let other = |m: &GatewayId| m.enterprise == *enterprise && but.is_none_or(|but| m.gateway != *but);
        self.mapping.members.iter().any(|(m, _)| other(m))
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
