//! Administrators' commands about people, as the room's source of members takes them.

use intergroup_schemas::list::AccountEdit;

use super::Room;
use crate::bridge::context::Context;
use crate::bridge::event::Affiliation;
use crate::bridge::limits::RETRY;
use crate::store::Source;

impl Room {
    /// Puts people of the company on the list, changes them there or takes them off it.
    ///
    /// Errors: in words, with nothing done.
    pub(in crate::bridge) fn edit_by_command(&mut self, cx: &mut Context, edits: &[AccountEdit]) -> Result<(), String> {
        match self.source() {
            Source::Affiliations => {
                let moves = |edit: &&AccountEdit| edit.listed.is_some() != self.is_listed(&edit.user);
                if let Some(edit) = edits.iter().find(moves) {
                    let (number, room) = (self.group(), &self.mapping.room);
                    let what = if edit.listed.is_some() { "make" } else { "let" };
                    let be =
                        if edit.listed.is_some() { "a member of the room" } else { "be a member of the room no more" };
                    return Err(format!(
                        "the list of group {number} follows the affiliations of {room}: {what} {} {be}, with any client, or keep \
                         the list by command with `group members {number} explicit`. Nothing was changed",
                        edit.user
                    ));
                }
            }
            Source::Occupants => {
                for edit in self.moving(edits) {
                    let barred = edit.listed.is_none();
                    let account = cx.config.account(&edit.user);
                    let is_out = self.members.outcasts.contains(&account);
                    if self.bar(cx, &edit.user, barred) || barred != is_out {
                        let to = if barred { Affiliation::Outcast } else { Affiliation::None };
                        self.members.tasks.set(&account, to);
                    }
                }
            }
            Source::Explicit => {
                for edit in self.moving(edits) {
                    let account = cx.config.account(&edit.user);
                    let to = if edit.listed.is_some() { Affiliation::Member } else { Affiliation::None };
                    if !self.members.staff.contains(&account) && edit.listed.is_some() != self.is_listed(&edit.user) {
                        self.members.tasks.set(&account, to);
                    }
                }
            }
        }
        self.edit_list(cx, edits);
        if self.source() != Source::Affiliations {
            edits.iter().for_each(|edit| self.is_for_here(cx, &edit.user));
        }
        if self.source() == Source::Explicit {
            // Owners and admins are judged anew.
            self.members.due = self.members.due.min(cx.in_ms(RETRY));
        }
        Ok(())
    }

    /// Those edits that put somebody on the list or take somebody off it; the others leave it to the room who goes.
    fn moving<'a>(&mut self, edits: &'a [AccountEdit]) -> Vec<&'a AccountEdit> {
        let moves = |edit: &&AccountEdit| edit.listed.is_none() || !self.is_listed(&edit.user);
        let moving: Vec<_> = edits.iter().filter(moves).collect();
        for edit in &moving {
            self.members.leaving.remove(&edit.user);
        }
        moving
    }

    /// From now on members come from elsewhere. The room is begun anew, which closes it to others where that is wanted.
    pub(in crate::bridge) fn set_source(&mut self, cx: &mut Context, source: Source) {
        if self.mapping.source != Some(source) {
            self.mapping.source = Some(source);
            self.dirty(cx);
            self.restart(cx, "members come from elsewhere from now on");
        }
    }
}
