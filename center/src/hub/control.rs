//! Requests of gateways: make a group, join, leave, allow, delete, list, show. Those about user lists and what groups say of
//! themselves are in `lists`.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{EnterpriseId, GatewayId, GroupNumber, HistoryHash, ListDigest, ListVersion, Seq};
use intergroup_schemas::link::{
    About, Change, GroupInfo, MemberInfo, Request, RequestBody, Response, ResponseBody, Standing, ToGateway,
};
use intergroup_schemas::{limits, text};

use super::Hub;
use super::event::LinkId;
use super::group::Group;
use super::nodes::Intent;
use crate::store::shared::Unit;
use crate::store::{self, Member, PageQuery};

/// The number before the first group's.
const FIRST_NUMBER: u64 = 10_000;

pub(super) type Outcome = Result<ResponseBody, (Condition, String)>;

pub(super) fn refuse(condition: Condition) -> (Condition, String) {
    (condition, condition.admin_text().to_owned())
}

impl Hub {
    /// `fresh`: the group that it is about was read anew for it.
    pub(super) fn request_now(&mut self, id: LinkId, request: Request, fresh: bool) {
        let Some(gateway) = self.links.get(&id).map(|l| l.gateway.clone()) else { return };
        if let RequestBody::FetchList { group, since, after } = request.body {
            return self.fetch_list(id, request.id, PageQuery { group, since, after });
        }
        let unit = self.unit_of(&request.body);
        if unit.is_some_and(|unit| self.is_stale(unit)) {
            return unit.into_iter().for_each(|unit| self.act(unit, Intent::Request(id, request.clone())));
        }
        let kept = self.config.shared.then(|| request.clone());
        let before = self.batch.count;
        let outcome = match request.body.clone() {
            RequestBody::CreateGroup { name } => self.create_group(&gateway, name),
            RequestBody::JoinGroup { group } => self.join_group(&gateway, group),
            RequestBody::LeaveGroup { group } => self.leave_group(&gateway, group),
            RequestBody::AllowEnterprise { group, enterprise } => self.allow(&gateway, group, enterprise),
            RequestBody::DeleteGroup { group } => self.delete_group(&gateway, group),
            RequestBody::ListGroups {} => Ok(self.list_groups(&gateway)),
            RequestBody::ShowGroup { group } => self.group_info(&gateway, group).map(ResponseBody::Group),
            RequestBody::DescribeGroup { group, about } => self.describe_group(&gateway, group, about),
            RequestBody::TransferGroup { group, enterprise } => self.transfer_group(&gateway, group, &enterprise),
            RequestBody::FetchList { .. } => return,
        };
        if let (Err(_), false, Some(unit), Some(kept)) = (&outcome, fresh, unit, &kept) {
            // Another node may have made it possible a moment ago.
            return self.when_fresh(unit, Intent::Request(id, kept.clone()));
        }
        let body = outcome.unwrap_or_else(|(condition, text)| {
            self.count_refusal(condition);
            ResponseBody::Refused { condition, text }
        });
        if let Some(unit) = unit.filter(|_| self.batch.count != before) {
            self.batch.part(unit).responses.push((id, request.id, body));
            if let Some(kept) = kept {
                self.keep(unit, Intent::Request(id, kept));
            }
        } else if self.tells_what_is_not_on_disk(&body) {
            self.answer_after(id, request, body);
        } else {
            self.send(id, &ToGateway::Response(Response { id: request.id, body }));
        }
    }

    /// What a request is about; none: all groups.
    fn unit_of(&self, body: &RequestBody) -> Option<Unit> {
        match body {
            RequestBody::CreateGroup { .. } => Some(Unit::Group(self.next_number())),
            RequestBody::ListGroups {} | RequestBody::FetchList { .. } => None,
            RequestBody::JoinGroup { group }
            | RequestBody::LeaveGroup { group }
            | RequestBody::AllowEnterprise { group, .. }
            | RequestBody::DeleteGroup { group }
            | RequestBody::ShowGroup { group }
            | RequestBody::DescribeGroup { group, .. }
            | RequestBody::TransferGroup { group, .. } => Some(Unit::Group(*group)),
        }
    }

    fn next_number(&self) -> GroupNumber {
        GroupNumber(self.groups.keys().next_back().map_or(FIRST_NUMBER, |n| n.0) + 1)
    }

    /// Whether it names entries that are still being written.
    fn tells_what_is_not_on_disk(&self, body: &ResponseBody) -> bool {
        let ahead = |info: &GroupInfo| self.groups.get(&info.number).is_some_and(|group| group.head > group.committed);
        match body {
            ResponseBody::Group(info) => ahead(info),
            ResponseBody::Groups { groups } => groups.iter().any(ahead),
            _ => false,
        }
    }

    fn create_group(&mut self, gateway: &GatewayId, name: String) -> Outcome {
        let about = About { name: group_name(&name)?, ..About::default() };
        self.room_for_another(gateway)?;
        let number = self.next_number();
        let meta = store::Group {
            number,
            about,
            owner: gateway.enterprise.clone(),
            incarnation: self.new_incarnation(),
            list: ListVersion(0),
            digest: ListDigest::default(),
            accounts: 0,
            allowed: Vec::new(),
            deleted: false,
        };
        self.groups.insert(number, Group::new(meta));
        self.add_member(gateway, number);
        self.group_info(gateway, number).map(ResponseBody::Group)
    }

    fn join_group(&mut self, gateway: &GatewayId, number: GroupNumber) -> Outcome {
        // Whoever tries a number learns that there is such a group, which numbers in a row tell anyway; and whom to ask.
        let group =
            self.groups.get(&number).filter(|g| !g.meta.deleted).ok_or_else(|| refuse(Condition::UnknownGroup))?;
        if !group.may_join(&gateway.enterprise) {
            return Err(refuse(Condition::NotAllowed));
        }
        if !group.is_member(gateway) {
            self.room_for_another(gateway)?;
            self.add_member(gateway, number);
        }
        self.group_info(gateway, number).map(ResponseBody::Group)
    }

    fn leave_group(&mut self, gateway: &GatewayId, number: GroupNumber) -> Outcome {
        if self.open_group(gateway, number)?.is_member(gateway) {
            self.end_membership(gateway, number);
        }
        Ok(ResponseBody::Done {})
    }

    fn allow(&mut self, gateway: &GatewayId, number: GroupNumber, enterprise: EnterpriseId) -> Outcome {
        if self.open_group(gateway, number)?.meta.owner != gateway.enterprise {
            return Err(refuse(Condition::NotOwner));
        }
        if !self.enterprises.contains_key(&enterprise) {
            return Err((Condition::BadRequest, format!("the center knows no enterprise {enterprise}")));
        }
        let Some(group) = self.groups.get_mut(&number) else { return Err(refuse(Condition::UnknownGroup)) };
        if !group.may_join(&enterprise) {
            group.meta.allowed.push(enterprise);
            self.batch.change(store::Change::Group(group.meta.clone()));
        }
        self.group_info(gateway, number).map(ResponseBody::Group)
    }

    fn delete_group(&mut self, gateway: &GatewayId, number: GroupNumber) -> Outcome {
        if self.open_group(gateway, number)?.meta.owner != gateway.enterprise {
            return Err(refuse(Condition::NotOwner));
        }
        self.end_group(number);
        Ok(ResponseBody::Done {})
    }

    fn list_groups(&self, gateway: &GatewayId) -> ResponseBody {
        let concerned = self.groups.values().filter(|g| !g.meta.deleted && g.concerns(&gateway.enterprise));
        let groups = concerned.take(limits::GROUPS_PER_GATEWAY).map(|g| self.info(gateway, g)).collect();
        ResponseBody::Groups { groups }
    }

    pub(super) fn group_info(
        &self,
        gateway: &GatewayId,
        number: GroupNumber,
    ) -> Result<GroupInfo, (Condition, String)> {
        self.open_group(gateway, number).map(|group| self.info(gateway, group))
    }

    /// A group that has not ended and that the enterprise may know of.
    pub(super) fn open_group(&self, gateway: &GatewayId, number: GroupNumber) -> Result<&Group, (Condition, String)> {
        let group = self.groups.get(&number).filter(|g| !g.meta.deleted && g.concerns(&gateway.enterprise));
        group.ok_or_else(|| refuse(Condition::UnknownGroup))
    }

    fn room_for_another(&self, gateway: &GatewayId) -> Result<(), (Condition, String)> {
        let count = self.groups.values().filter(|g| g.is_member(gateway)).count();
        if count < limits::GROUPS_PER_GATEWAY {
            return Ok(());
        }
        let text = format!("a gateway may be in {} groups: use another gateway", limits::GROUPS_PER_GATEWAY);
        Err((Condition::OverLimit, text))
    }

    fn info(&self, gateway: &GatewayId, group: &Group) -> GroupInfo {
        let own = group.members.get(gateway);
        let member = |m: &&Member| m.until.is_none();
        let display = |enterprise: &EnterpriseId| {
            let fallback = || enterprise.as_str().parse().expect("an enterprise id is a display name");
            self.enterprises.get(enterprise).map_or_else(fallback, |e| e.display.clone())
        };
        GroupInfo {
            number: group.meta.number,
            about: Box::new(group.meta.about.clone()),
            owner: group.meta.owner.clone(),
            incarnation: group.meta.incarnation.clone(),
            head: group.head,
            head_hash: group.head_hash,
            list: group.meta.list,
            digest: group.meta.digest,
            accounts: group.meta.accounts,
            standing: match own {
                None => Standing::Unknown,
                Some(m) if m.until.is_none() => Standing::Member,
                Some(_) => Standing::Left,
            },
            joined_at: own.map_or(Seq(0), |m| m.from),
            joined_hash: own.map_or(HistoryHash::default(), |m| m.from_hash),
            allowed: group.meta.allowed.clone(),
            members: group
                .members
                .values()
                .filter(member)
                .map(|m| MemberInfo {
                    enterprise: m.gateway.enterprise.clone(),
                    display: display(&m.gateway.enterprise),
                    gateway: m.gateway.gateway.clone(),
                    settled: m.settled,
                    online: self.is_online(&m.gateway),
                })
                .collect(),
        }
    }

    // ------------------------------------------------------------ changes, shared with the operator's requests

    fn add_member(&mut self, gateway: &GatewayId, number: GroupNumber) {
        let Some(display) = self.enterprises.get(&gateway.enterprise).map(|e| e.display.clone()) else { return };
        let (enterprise, name) = (gateway.enterprise.clone(), gateway.gateway.clone());
        let Some((seq, hash, list)) = self.append_change(number, Change::Joined { enterprise, gateway: name, display })
        else {
            return;
        };
        let Some(group) = self.groups.get_mut(&number) else { return };
        let member = Member {
            group: number,
            gateway: gateway.clone(),
            from: seq,
            from_hash: hash,
            list,
            until: None,
            settled: seq,
        };
        group.members.insert(gateway.clone(), member);
        // A stream of an earlier membership would go on with what was said in between.
        if let Some(link) = self.online.get(gateway).and_then(|id| self.links.get_mut(id)) {
            link.streams.remove(&number);
            link.ready.remove(&number);
        }
        self.batch.group(number).members.insert(gateway.clone());
    }

    pub(super) fn end_membership(&mut self, gateway: &GatewayId, number: GroupNumber) {
        let Some(display) = self.enterprises.get(&gateway.enterprise).map(|e| e.display.clone()) else { return };
        let (enterprise, name) = (gateway.enterprise.clone(), gateway.gateway.clone());
        let left = self.append_change(number, Change::Left { enterprise, gateway: name, display });
        let Some(group) = self.groups.get_mut(&number) else { return };
        if let (Some(member), Some((seq, _, _))) = (group.members.get_mut(gateway), left) {
            member.until = Some(seq);
            self.batch.group(number).members.insert(gateway.clone());
        }
        self.unlist_if_gone(&gateway.enterprise, number);
    }

    pub(super) fn end_group(&mut self, number: GroupNumber) {
        let ended = self.append_change(number, Change::Deleted {});
        let Some(group) = self.groups.get_mut(&number) else { return };
        group.meta.deleted = true;
        self.batch.change(store::Change::Group(group.meta.clone()));
        let Some((seq, _, _)) = ended else { return };
        for member in group.members.values_mut().filter(|m| m.until.is_none()) {
            member.until = Some(seq);
            self.batch.group(number).members.insert(member.gateway.clone());
        }
    }

    pub(super) fn append_change(
        &mut self,
        number: GroupNumber,
        change: Change,
    ) -> Option<(Seq, HistoryHash, ListVersion)> {
        let group = self.groups.get_mut(&number)?;
        let before = group.tail_bytes;
        let record = group.change(change, self.now);
        self.cached_bytes += group.tail_bytes - before;
        let place = (record.seq, record.hash, record.list);
        let part = self.batch.group(number);
        part.changes.push(store::Change::Group(group.meta.clone()));
        part.appended = Some(group.newest());
        part.changes.push(store::Change::Append(record));
        Some(place)
    }
}

/// A group's name as it is kept.
///
/// # Errors
/// Nothing of it shows, it is too long, or it has control characters.
pub(super) fn group_name(name: &str) -> Result<String, (Condition, String)> {
    let most = limits::GROUP_NAME_BYTES;
    let kept = if name.len() > most || name.chars().any(char::is_control) { None } else { text::neutral(name, most) };
    kept.ok_or_else(|| {
        (Condition::BadRequest, format!("a group's name has 1 to {most} bytes that show and no control characters"))
    })
}
