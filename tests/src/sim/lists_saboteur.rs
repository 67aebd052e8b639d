//! Rules of the user list that the harness can break, between a bridge and its shell and between the hub and its store.

use std::collections::BTreeMap;

use intergroup_center::store::{Change as CenterChange, RecordKind};
use intergroup_gateway::bridge::{Action, Affiliation, Answer, Event, RequestId, RoomAction, RoomEvent};
use intergroup_gateway::ids::BareJid;
use intergroup_gateway::store::{Change, Outgoing};
use intergroup_schemas::ids::EnterpriseId;
use intergroup_schemas::link::{Change as GroupChange, RequestBody, ResponseBody, ToCenter, ToGateway};
use intergroup_schemas::list::Role;

use super::center::COMPANIES;
use super::saboteur::Broken;

/// What it remembers of one gateway.
#[derive(Debug, Default)]
pub(super) struct ListSaboteur {
    /// The list was asked for.
    fetched: bool,
    /// Lists of the room that are asked for, and what they said first.
    asked: BTreeMap<RequestId, Affiliation>,
    first: BTreeMap<String, Vec<BareJid>>,
}

impl ListSaboteur {
    /// What the bridge is told instead; none: nothing.
    pub(super) fn event(&mut self, broken: Broken, mut event: Event) -> Option<Event> {
        match (broken, &mut event) {
            (Broken::MirrorIsNotRepaired, Event::Link(ToGateway::Entry(entry))) => {
                if let GroupChange::Listed { accounts, .. } = &mut entry.change {
                    accounts.clear();
                }
            }
            (Broken::RolesAreForgotten, Event::Link(ToGateway::Response(response))) => {
                if let ResponseBody::List { page, .. } = &mut response.body {
                    for listed in page.rows.iter_mut().filter_map(|row| row.listed.as_mut()) {
                        listed.role = Role::Speak;
                    }
                }
            }
            (Broken::AwayChangesAreNotRead, Event::Room { event: RoomEvent::Answer { request, answer }, .. }) => {
                if let (Some(of), Ok(Answer::People(people))) = (self.asked.remove(request), answer) {
                    people.clone_from(self.first.entry(format!("{of:?}")).or_insert_with(|| people.clone()));
                }
            }
            (Broken::TurnsAreNotSeen, Event::Room { event: RoomEvent::AffiliationChanged { ours: None, .. }, .. }) => {
                return None;
            }
            _ => {}
        }
        Some(event)
    }

    /// What the shell is asked for instead; none: nothing.
    pub(super) fn action(&mut self, broken: Broken, mut action: Action) -> Option<Action> {
        match (broken, &mut action) {
            (Broken::MirrorIsNotRepaired, Action::Link(ToCenter::Request(request)))
                if matches!(request.body, RequestBody::FetchList { .. }) =>
            {
                let again = std::mem::replace(&mut self.fetched, true);
                return (!again).then_some(action);
            }
            (Broken::MirrorIsNotDurable, Action::Commit { changes, .. }) => {
                changes.retain(|change| !matches!(change, Change::Listed { .. }));
            }
            (Broken::EditsAreNotDurable, Action::Commit { changes, .. }) => changes.retain(|change| match change {
                Change::Own(_) => false,
                Change::Outbox(row) => !matches!(row.what, Outgoing::Edit { .. }),
                _ => true,
            }),
            (
                Broken::AwayChangesAreNotRead,
                Action::Room { action: RoomAction::ReadAffiliations { request, affiliation }, .. },
            ) => drop(self.asked.insert(*request, *affiliation)),
            _ => {}
        }
        Some(action)
    }
}

/// What the hub's store is told instead.
pub(super) fn center_changes(broken: Option<Broken>, changes: &mut [CenterChange]) {
    if broken != Some(Broken::AnothersPartIsEdited) {
        return;
    }
    for change in changes {
        let CenterChange::Append(record) = change else { continue };
        if let RecordKind::Change(GroupChange::Listed { enterprise, .. }) = &mut record.kind {
            let other = COMPANIES.iter().find(|company| **company != enterprise.as_str());
            *enterprise = other.and_then(|company| company.parse::<EnterpriseId>().ok()).expect("there are others");
        }
    }
}
