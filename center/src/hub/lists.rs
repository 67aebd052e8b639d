//! User lists, and what groups say of themselves: each change is the group's next list version, at a place in its sequence.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{EnterpriseId, GatewayId, GroupNumber, UserId};
use intergroup_schemas::limits;
use intergroup_schemas::link::{About, Change, Edit, Response, ResponseBody, ToCenter, ToGateway, encode};
use intergroup_schemas::list::{self, AccountEdit, ListPage, Policy};
use intergroup_schemas::text;

use super::control::{Outcome, group_name, refuse};
use super::event::{LinkId, Reader};
use super::group::{Group, Pending, Sources};
use super::intake::short_hash;
use super::nodes::Intent;
use super::{Action, AdminReply, Hub};
use crate::store::shared::Unit;
use crate::store::{EnterpriseState, PageQuery};

impl Group {
    /// Why a message of an author is refused, if it is, by the list as it is at the message's place.
    pub(super) fn refusal_of(&self, enterprise: &EnterpriseId, user: &UserId) -> Option<Condition> {
        if self.meta.about.policy == Policy::Announcements && self.meta.owner != *enterprise {
            return Some(Condition::ReadOnly);
        }
        self.roster.standing(enterprise, user).refusal()
    }

    /// Why an edit is refused as a whole, if it is.
    fn refusal_of_edit(&self, gateway: &GatewayId, edit: &Edit) -> Option<Condition> {
        if self.meta.deleted {
            return Some(Condition::UnknownGroup);
        }
        if !self.is_member(gateway) {
            return Some(Condition::NotAMember);
        }
        if edit.enterprise != gateway.enterprise {
            return Some(Condition::NotYours);
        }
        if edit.base > self.meta.list {
            return Some(Condition::UnknownListVersion);
        }
        if let Err(condition) = list::check(&edit.accounts) {
            return Some(condition);
        }
        let new = |a: &&AccountEdit| a.listed.is_some() && self.roster.standing(&edit.enterprise, &a.user).is_off();
        let added = edit.accounts.iter().filter(new).count();
        // Removals in the same edit do not make room: they may be of accounts that are not there.
        let full = added > 0 && self.roster.len() + added > limits::ACCOUNTS_PER_GROUP;
        full.then_some(Condition::ListFull)
    }
}

impl Hub {
    // ------------------------------------------------------------ edits

    pub(super) fn edit(&mut self, id: LinkId, edit: Edit) {
        if self.is_stale_group(edit.group) {
            return self.act(Unit::Group(edit.group), Intent::Pending(id, Pending::Edit(edit)));
        }
        let Some(gateway) = self.links.get(&id).map(|l| l.gateway.clone()) else { return };
        // An edit has no source in a room; what it says tells it from another one under the same n.
        let content = Some(short_hash(&encode::to_center(&ToCenter::Edit(edit.clone()))));
        if !self.in_turn(id, &gateway, edit.group, &edit.epoch, edit.n, content) {
            return;
        }
        let Some(group) = self.groups.get_mut(&edit.group) else { return };
        match group.sources.get_mut(&gateway) {
            // It keeps its place behind the messages that wait.
            Some(Sources::Loading { waiting, .. }) if waiting.iter().any(|(_, p)| *p.epoch() == edit.epoch) => {
                waiting.push((id, Pending::Edit(edit)));
            }
            _ => {
                let kept = self.config.shared.then(|| edit.clone());
                self.judge_edit(&gateway, edit, content);
                if let Some(edit) = kept {
                    self.keep(Unit::Group(edit.group), Intent::Pending(id, Pending::Edit(edit)));
                }
            }
        }
    }

    fn judge_edit(&mut self, gateway: &GatewayId, edit: Edit, content: Option<u64>) {
        let Some(group) = self.groups.get_mut(&edit.group) else { return };
        let Edit { group: number, epoch, n, enterprise, mut accounts, .. } = edit.clone();
        let refused = group.refusal_of_edit(gateway, &edit);
        if refused.is_none() {
            // A gateway that uploads again what is known costs nobody anything.
            accounts.retain(|account| group.roster.changes(&enterprise, account));
            if !accounts.is_empty() || !group.roster.judges(&enterprise) {
                group.roster.apply(&enterprise, &accounts);
                group.list_change();
                let digest = group.meta.digest;
                self.append_change(number, Change::Listed { enterprise, accounts, digest });
                self.counters.edits += 1;
            }
        }
        self.decide(gateway, number, &epoch, n, content, refused);
    }

    /// An enterprise whose last gateway is no longer a member has nobody on the list.
    pub(super) fn unlist_if_gone(&mut self, enterprise: &EnterpriseId, number: GroupNumber) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        let stays = group.members.values().any(|m| m.until.is_none() && m.gateway.enterprise == *enterprise);
        if stays || group.roster.len_of(enterprise).is_none_or(|accounts| accounts == 0) {
            return;
        }
        group.roster.clear(enterprise);
        group.list_change();
        let digest = group.meta.digest;
        self.append_change(number, Change::Unlisted { enterprise: enterprise.clone(), digest });
    }

    // ------------------------------------------------------------ fetching

    pub(super) fn fetch_list(&mut self, id: LinkId, request: u64, query: PageQuery) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let member = self.groups.get(&query.group).is_some_and(|g| !g.meta.deleted && g.is_member(&link.gateway));
        let refused = match member {
            false => Some(refuse(Condition::NotAMember)),
            // One page after the other: the next one depends on it anyway.
            true if link.fetching => Some((Condition::OverLimit, "one page of a list at a time".to_owned())),
            true => None,
        };
        if let Some((condition, text)) = refused {
            self.count_refusal(condition);
            let body = ResponseBody::Refused { condition, text };
            return self.send(id, &ToGateway::Response(Response { id: request, body }));
        }
        link.fetching = true;
        self.actions.push_back(Action::ReadList { reader: Reader::Link { link: id, request }, query });
    }

    pub(super) fn list_read(&mut self, reader: Reader, group: GroupNumber, page: ListPage) {
        self.counters.list_pages += 1;
        match reader {
            Reader::Link { link: id, request } => {
                let Some(link) = self.links.get_mut(&id) else { return };
                link.fetching = false;
                // Whoever has left meanwhile gets no more.
                let member = self.groups.get(&group).is_some_and(|g| g.is_member(&link.gateway));
                let body = match member {
                    true => ResponseBody::List { group, page },
                    false => {
                        let (condition, text) = refuse(Condition::NotAMember);
                        ResponseBody::Refused { condition, text }
                    }
                };
                self.send(id, &ToGateway::Response(Response { id: request, body }));
            }
            Reader::Admin(id) => self.actions.push_back(Action::Reply { id, reply: AdminReply::Members(page) }),
        }
    }

    // ------------------------------------------------------------ what a group says of itself

    pub(super) fn describe_group(&mut self, gateway: &GatewayId, number: GroupNumber, about: About) -> Outcome {
        if self.open_group(gateway, number)?.meta.owner != gateway.enterprise {
            return Err(refuse(Condition::NotOwner));
        }
        let about = About {
            name: group_name(&about.name)?,
            description: group_text(&about.description)?,
            subject: group_text(&about.subject)?,
            policy: about.policy,
        };
        let Some(group) = self.groups.get_mut(&number) else { return Err(refuse(Condition::UnknownGroup)) };
        if group.meta.about != about {
            group.meta.about = about.clone();
            self.append_change(number, Change::Described(about));
        }
        self.group_info(gateway, number).map(ResponseBody::Group)
    }

    pub(super) fn transfer_group(&mut self, gateway: &GatewayId, number: GroupNumber, to: &EnterpriseId) -> Outcome {
        let group = self.open_group(gateway, number)?;
        if group.meta.owner != gateway.enterprise {
            return Err(refuse(Condition::NotOwner));
        }
        if !group.members.values().any(|m| m.until.is_none() && m.gateway.enterprise == *to) {
            let text = format!("{to} is not a member of the group: only a member can become its owner");
            return Err((Condition::NotAMember, text));
        }
        self.give_group(number, to);
        self.group_info(gateway, number).map(ResponseBody::Group)
    }

    fn give_group(&mut self, number: GroupNumber, to: &EnterpriseId) {
        let Some(group) = self.groups.get_mut(&number).filter(|g| g.meta.owner != *to) else { return };
        // Who owned it may still join.
        let before = std::mem::replace(&mut group.meta.owner, to.clone());
        if !group.meta.allowed.contains(&before) {
            group.meta.allowed.push(before);
        }
        self.append_change(number, Change::Owned { enterprise: to.clone() });
    }

    /// A group of an enterprise that was removed goes to the enterprise that is in it longest; one without members has nobody to
    /// go to, and only the operator can end it.
    fn inherit(&mut self, number: GroupNumber, enterprise: &EnterpriseId) {
        let owned = self.groups.get(&number).filter(|g| g.meta.owner == *enterprise && !g.meta.deleted);
        let heir = owned.and_then(|group| {
            let present = group.members.values().filter(|m| m.until.is_none());
            present.min_by_key(|m| m.from).map(|m| m.gateway.enterprise.clone())
        });
        if let Some(heir) = heir {
            self.give_group(number, &heir);
        }
    }

    /// What becomes of a group when an enterprise is removed.
    pub(super) fn remove_from(&mut self, number: GroupNumber, enterprise: &EnterpriseId) {
        let Some(group) = self.groups.get(&number) else { return };
        let present = group.members.values().filter(|m| m.until.is_none()).map(|m| m.gateway.clone());
        for gateway in present.filter(|gateway| gateway.enterprise == *enterprise).collect::<Vec<_>>() {
            self.end_membership(&gateway, number);
        }
        self.inherit(number, enterprise);
    }

    /// The other members are told that an enterprise is suspended, or back.
    pub(super) fn tell_state(&mut self, number: GroupNumber, id: &EnterpriseId, state: EnterpriseState) {
        if !self.groups.get(&number).is_some_and(|group| group.has_present(id)) {
            return;
        }
        let enterprise = id.clone();
        let change = match state {
            EnterpriseState::Active => Change::Resumed { enterprise },
            EnterpriseState::Suspended => Change::Suspended { enterprise },
            EnterpriseState::Removed => return,
        };
        self.append_change(number, change);
    }
}

/// A description or subject as it is kept; it may be empty.
fn group_text(given: &str) -> Result<String, (Condition, String)> {
    let most = limits::GROUP_TEXT_BYTES;
    if given.len() > most {
        return Err((Condition::BadRequest, format!("a group's description and subject have at most {most} bytes")));
    }
    Ok(text::neutral(given, most).unwrap_or_default())
}
