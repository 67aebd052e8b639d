//! Administrators' commands about the people of a group.

use std::collections::BTreeMap;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::GroupNumber;
use intergroup_schemas::list::{AccountEdit, Listed, Role};

use super::Bridge;
use super::action::{CommandId, Reply};
use super::commands::refused;
use super::event::PersonEdit;
use crate::store::Source;

impl Bridge {
    /// Why nothing can be done to the people of a group here.
    fn no_room_for(&self, group: GroupNumber) -> Option<String> {
        match self.rooms.get(&group) {
            None => {
                Some(format!("no room is mapped to group {group} here: the list is edited where the group's room is"))
            }
            Some(room) if room.mapping.ending.is_some() => Some(format!("the mapping of group {group} is being ended")),
            Some(_) => None,
        }
    }

    /// The edit is answered once it is on disk; from there it goes the way of messages, in their order.
    pub(super) fn edit_list(&mut self, id: CommandId, group: GroupNumber, people: &[PersonEdit]) {
        if let Some(text) = self.no_room_for(group) {
            return self.cx.reply(id, refused(text));
        }
        let mut edits = BTreeMap::new();
        for PersonEdit { person, listed } in people {
            let Some(user) = self.cx.config.person(person) else {
                let text =
                    format!("{person:?} is no account of this company: give a user name, or a JID of its domains");
                return self.cx.reply(id, Reply::Refused { condition: Some(Condition::InvalidAccount), text });
            };
            // Of a person named twice the last counts.
            edits.insert(user, listed.clone());
        }
        let edits: Vec<_> = edits.into_iter().map(|(user, listed)| AccountEdit { user, listed }).collect();
        self.with(group, |room, cx| match room.edit_by_command(cx, &edits) {
            Ok(()) => cx.reply_after(id, Reply::Done),
            Err(text) => cx.reply(id, refused(text)),
        });
    }

    /// A person keeps the name that the list has.
    pub(super) fn set_role(&mut self, id: CommandId, group: GroupNumber, person: &str, role: Role) {
        let user = self.cx.config.person(person);
        let known = self.rooms.get(&group).zip(user.as_ref()).and_then(|(room, user)| room.own_listed(user).cloned());
        match known {
            Some(listed) => {
                let listed = Some(Listed { role, ..listed });
                self.edit_list(id, group, &[PersonEdit { person: person.to_owned(), listed }]);
            }
            None => {
                let text = format!(
                    "{person:?} is not on the list of group {group}, or the center has not told it yet; `member list {group}` \
                     shows who is, and `member add` adds a person"
                );
                self.cx.reply(id, Reply::Refused { condition: Some(Condition::NotOnList), text });
            }
        }
    }

    /// Where the people of the company come from.
    pub(super) fn set_source(&mut self, id: CommandId, group: GroupNumber, source: Source) {
        if let Some(text) = self.no_room_for(group) {
            return self.cx.reply(id, refused(text));
        }
        self.with(group, |room, cx| {
            room.set_source(cx, source);
            cx.reply_after(id, Reply::Done);
        });
    }
}
