//! An enterprise is suspended, resumed or removed: in the registry and in each of its groups, step by step.

use std::collections::BTreeSet;

use intergroup_schemas::ids::EnterpriseId;

use super::event::AdminId;
use super::group::Group;
use super::nodes::{Intent, Nodes};
use super::{Action, AdminReply, Hub};
use crate::store::EnterpriseState;
use crate::store::shared::Unit;

/// What is under way with one enterprise.
#[derive(Debug)]
pub(super) struct Ending {
    enterprise: EnterpriseId,
    state: EnterpriseState,
    id: AdminId,
    /// What does not know yet of this step, which is the first or the second.
    left: BTreeSet<Unit>,
    first: bool,
}

impl Nodes {
    fn leave(&mut self, id: AdminId, units: BTreeSet<Unit>) {
        for ending in self.endings.iter_mut().filter(|ending| ending.id == id) {
            ending.left.clone_from(&units);
        }
    }

    fn told(&mut self, unit: Unit, id: AdminId) {
        for ending in self.endings.iter_mut().filter(|ending| ending.id == id) {
            ending.left.remove(&unit);
        }
    }
}

impl Hub {
    /// What an enterprise is, or is about to be.
    pub(super) fn state_of(&self, id: &EnterpriseId) -> Option<EnterpriseState> {
        let ending = self.nodes.endings.iter().rev().find(|ending| ending.enterprise == *id);
        ending.map(|ending| ending.state).or_else(|| self.enterprises.get(id).map(|e| e.state))
    }

    /// The same for whoever wants to come in: out at once, in when it is on disk.
    pub(super) fn barred(&self, id: &EnterpriseId) -> Option<EnterpriseState> {
        let registered = self.enterprises.get(id).map(|e| e.state)?;
        self.state_of(id).filter(|state| *state != EnterpriseState::Active).or(Some(registered))
    }

    /// Who goes out goes out of the registry first, so that whoever sees it in a group finds it there; who comes back comes back into
    /// the registry last.
    pub(super) fn begin_state(&mut self, enterprise: EnterpriseId, state: EnterpriseState, id: AdminId) {
        let (left, first) = (BTreeSet::new(), true);
        self.nodes.endings.push(Ending { enterprise: enterprise.clone(), state, id, left, first });
        if state == EnterpriseState::Active {
            self.change_groups(&enterprise, state, id);
        } else {
            self.change_registry(enterprise, state, id);
        }
        self.end_states();
    }

    fn change_registry(&mut self, enterprise: EnterpriseId, state: EnterpriseState, id: AdminId) {
        self.nodes.leave(id, [Unit::Registry].into());
        self.act(Unit::Registry, Intent::State(enterprise, state, id));
    }

    fn change_groups(&mut self, enterprise: &EnterpriseId, state: EnterpriseState, id: AdminId) {
        let concerned = |group: &Group| match state {
            EnterpriseState::Removed => group.concerns_removal_of(enterprise),
            _ => group.has_present(enterprise),
        };
        let groups: BTreeSet<_> =
            self.groups.iter().filter(|(_, g)| concerned(g)).map(|(number, _)| Unit::Group(*number)).collect();
        self.nodes.leave(id, groups.clone());
        for unit in groups {
            self.act(unit, Intent::State(enterprise.clone(), state, id));
        }
    }

    pub(super) fn state_now(&mut self, unit: Unit, enterprise: EnterpriseId, state: EnterpriseState, id: AdminId) {
        let before = self.batch.count;
        match (unit, state) {
            (Unit::Registry, _) => self.registry_state(&enterprise, state),
            (Unit::Group(number), EnterpriseState::Removed) => self.remove_from(number, &enterprise),
            (Unit::Group(number), _) => self.tell_state(number, &enterprise, state),
        }
        if self.config.shared && self.batch.count != before {
            return self.keep(unit, Intent::State(enterprise, state, id));
        }
        self.nodes.told(unit, id);
        self.end_states();
    }

    /// A part is on disk: were enterprises changed in it?
    pub(super) fn told(&mut self, unit: Unit, intents: &[Intent]) {
        for intent in intents {
            if let Intent::State(_, _, id) = intent {
                self.nodes.told(unit, *id);
            }
        }
        self.end_states();
    }

    fn end_states(&mut self) {
        while let Some(at) = self.nodes.endings.iter().position(|ending| ending.left.is_empty()) {
            let ending = &mut self.nodes.endings[at];
            let (enterprise, state, id) = (ending.enterprise.clone(), ending.state, ending.id);
            if std::mem::replace(&mut ending.first, false) {
                match state {
                    EnterpriseState::Active => self.change_registry(enterprise, state, id),
                    _ => self.change_groups(&enterprise, state, id),
                }
                continue;
            }
            self.nodes.endings.remove(at);
            let reply = AdminReply::Done;
            if self.config.shared {
                self.actions.push_back(Action::Reply { id, reply });
            } else {
                // All of it is in one commit.
                self.batch.part(Unit::Registry).replies.push((id, reply));
            }
        }
    }
}
