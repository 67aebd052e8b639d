//! Requests of the operator and of the enrolment service.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{DisplayName, EnterpriseId, GatewayId, GroupNumber, Seq};
use intergroup_schemas::link::Timestamp;

use super::Hub;
use super::action::{Action, AdminReply};
use super::event::{AdminId, AdminRequest, Proof, Reader};
use super::group::Group;
use super::nodes::Intent;
use super::status::{EnterpriseStatus, GatewayStatus, GroupStatus, MemberStatus, Status};
use crate::store::shared::Unit;
use crate::store::{Change, Enrolment, Enterprise, EnterpriseState, Gateway};

fn refused(text: impl Into<String>) -> AdminReply {
    AdminReply::Refused { condition: None, text: text.into() }
}

fn refused_for(condition: Condition) -> AdminReply {
    AdminReply::Refused { condition: Some(condition), text: condition.admin_text().to_owned() }
}

impl Hub {
    /// A request comes. What it changes, and what rights it asks for, is judged by what is so at all nodes.
    pub(super) fn admin(&mut self, id: AdminId, request: AdminRequest) {
        match request {
            AdminRequest::DeleteGroup(number) => self.when_fresh(Unit::Group(number), Intent::Admin(id, request)),
            AdminRequest::ListEnterprises
            | AdminRequest::ShowEnterprise(_)
            | AdminRequest::ListGroups
            | AdminRequest::ShowGroup(_)
            | AdminRequest::ListMembers(_)
            | AdminRequest::Status => self.admin_now(id, request),
            _ => self.when_fresh(Unit::Registry, Intent::Admin(id, request)),
        }
    }

    pub(super) fn admin_now(&mut self, id: AdminId, request: AdminRequest) {
        let unit = match &request {
            AdminRequest::DeleteGroup(number) => Unit::Group(*number),
            _ => Unit::Registry,
        };
        let kept = self.config.shared.then(|| request.clone());
        let before = self.batch.count;
        let reply = match request {
            AdminRequest::AddEnterprise { gateway, display, secret, expires, again } => {
                self.add_enterprise(gateway, display, secret, expires, again)
            }
            AdminRequest::Suspend(enterprise) => match self.set_state(id, enterprise, EnterpriseState::Suspended) {
                Some(reply) => reply,
                None => return,
            },
            AdminRequest::Resume(enterprise) => match self.set_state(id, enterprise, EnterpriseState::Active) {
                Some(reply) => reply,
                None => return,
            },
            AdminRequest::Remove(enterprise) => match self.set_state(id, enterprise, EnterpriseState::Removed) {
                Some(reply) => reply,
                None => return,
            },
            AdminRequest::ListEnterprises => {
                AdminReply::Enterprises(self.enterprises.values().map(|e| self.enterprise_status(e)).collect())
            }
            AdminRequest::ShowEnterprise(id) => match self.enterprises.get(&id) {
                Some(enterprise) => AdminReply::Enterprises(vec![self.enterprise_status(enterprise)]),
                None => refused(format!("there is no enterprise {id}; `enterprise list` shows those there are")),
            },
            AdminRequest::ListGroups => {
                AdminReply::Groups(self.groups.values().map(|g| self.group_status(g)).collect())
            }
            AdminRequest::ShowGroup(number) => match self.groups.get(&number) {
                Some(group) => AdminReply::Groups(vec![self.group_status(group)]),
                None => refused(format!("there is no group {number}; `group list` shows those there are")),
            },
            AdminRequest::ListMembers(query) => match self.groups.contains_key(&query.group) {
                true => {
                    let reader = Reader::Admin(id);
                    return self.actions.push_back(Action::ReadList { reader, query });
                }
                false => refused(format!("there is no group {}; `group list` shows those there are", query.group)),
            },
            AdminRequest::DeleteGroup(number) => self.delete(number),
            AdminRequest::Status => AdminReply::Status(Box::new(self.status())),
            AdminRequest::CheckCode(secret) => self.check_code(&secret),
            AdminRequest::Certify { gateway, certificate, expires, proof } => {
                self.certify(gateway, certificate, expires, proof)
            }
            AdminRequest::CheckCertificate { gateway, certificate } => match self.refusal_of(&gateway, &certificate) {
                Some(condition) => refused_for(condition),
                None => self.gateway_reply(gateway),
            },
        };
        if let AdminReply::Refused { condition: Some(condition), .. } = &reply {
            self.count_refusal(*condition);
        }
        if self.batch.count == before {
            return self.actions.push_back(Action::Reply { id, reply });
        }
        self.batch.part(unit).replies.push((id, reply));
        if let Some(kept) = kept {
            self.keep(unit, Intent::Admin(id, kept));
        }
    }

    fn add_enterprise(
        &mut self,
        gateway: GatewayId,
        display: Option<DisplayName>,
        secret: [u8; 32],
        expires: Timestamp,
        again: bool,
    ) -> AdminReply {
        let id = &gateway.enterprise;
        match self.enterprises.get(id).map(|e| e.state) {
            Some(EnterpriseState::Removed) => {
                return refused(format!("enterprise {id} was removed; ids are not used again: choose another"));
            }
            Some(_) if !again => {
                return refused(format!("enterprise {id} exists; `enterprise code {id}` gives it another code"));
            }
            None if again => {
                return refused(format!("there is no enterprise {id}; `enterprise add {id}` makes it"));
            }
            Some(_) => {}
            None => {
                let display =
                    display.unwrap_or_else(|| id.as_str().parse().expect("an enterprise id is a display name"));
                let enterprise = Enterprise { id: id.clone(), display, state: EnterpriseState::Active };
                self.batch.change(Change::Enterprise(enterprise.clone()));
                self.enterprises.insert(id.clone(), enterprise);
            }
        }
        // A new code takes the place of the ones that the gateway has not used, and of those that have ended.
        let now = self.now;
        let old = self.enrolments.values().filter(|e| e.gateway == gateway || e.expires < now);
        for gone in old.map(|e| e.secret).collect::<Vec<_>>() {
            self.enrolments.remove(&gone);
            self.batch.change(Change::EnrolmentGone(gone));
        }
        let enrolment = Enrolment { secret, gateway, expires };
        self.batch.change(Change::Enrolment(enrolment.clone()));
        self.enrolments.insert(secret, enrolment);
        AdminReply::Done
    }

    /// None: the answer comes when it is done.
    fn set_state(&mut self, by: AdminId, id: EnterpriseId, state: EnterpriseState) -> Option<AdminReply> {
        match self.state_of(&id) {
            None => {
                return Some(refused(format!("there is no enterprise {id}; `enterprise list` shows those there are")));
            }
            // A removal that broke off is completed by another.
            Some(present) if present == state && state != EnterpriseState::Removed => return Some(AdminReply::Done),
            Some(EnterpriseState::Removed) if state != EnterpriseState::Removed => {
                return Some(refused(format!("enterprise {id} was removed, which cannot be undone")));
            }
            Some(_) => {}
        }
        self.begin_state(id.clone(), state, by);
        match state {
            EnterpriseState::Active => {}
            EnterpriseState::Suspended => self.close_links_of(&id, Condition::Suspended),
            EnterpriseState::Removed => self.close_links_of(&id, Condition::Removed),
        }
        None
    }

    pub(super) fn registry_state(&mut self, id: &EnterpriseId, state: EnterpriseState) {
        if let Some(enterprise) = self.enterprises.get_mut(id).filter(|e| e.state != state) {
            enterprise.state = state;
            self.batch.change(Change::Enterprise(enterprise.clone()));
        }
        let codes = self.enrolments.values().filter(|e| e.gateway.enterprise == *id);
        let codes: Vec<_> = codes.filter(|_| state == EnterpriseState::Removed).map(|e| e.secret).collect();
        for code in codes {
            self.enrolments.remove(&code);
            self.batch.change(Change::EnrolmentGone(code));
        }
    }

    /// At once, and not only when the change is on disk: staying out may begin early, never late.
    pub(super) fn close_links_of(&mut self, id: &EnterpriseId, condition: Condition) {
        let links: Vec<_> = self.online.iter().filter(|(g, _)| g.enterprise == *id).map(|(_, link)| *link).collect();
        for link in links {
            self.close(link, condition, condition.admin_text());
        }
    }

    fn delete(&mut self, number: GroupNumber) -> AdminReply {
        match self.groups.get(&number).map(|g| g.meta.deleted) {
            None => refused(format!("there is no group {number}; `group list` shows those there are")),
            Some(true) => AdminReply::Done,
            Some(false) => {
                self.end_group(number);
                AdminReply::Done
            }
        }
    }

    // ------------------------------------------------------------ certificates

    fn check_code(&self, secret: &[u8; 32]) -> AdminReply {
        match self.enrolments.get(secret) {
            Some(code) if code.expires >= self.now => match self.enterprises.get(&code.gateway.enterprise) {
                Some(e) if e.state == EnterpriseState::Active => self.gateway_reply(code.gateway.clone()),
                _ => refused_for(Condition::Suspended),
            },
            _ => refused_for(Condition::BadCode),
        }
    }

    fn gateway_reply(&self, gateway: GatewayId) -> AdminReply {
        match self.enterprises.get(&gateway.enterprise) {
            Some(e) => AdminReply::Gateway { display: e.display.clone(), gateway },
            None => refused_for(Condition::BadCertificate),
        }
    }

    fn certify(&mut self, id: GatewayId, certificate: [u8; 32], expires: Timestamp, proof: Proof) -> AdminReply {
        let previous = match proof {
            Proof::Code(code) => {
                let good = self.enrolments.get(&code).is_some_and(|e| e.gateway == id && e.expires >= self.now);
                if !good {
                    return refused_for(Condition::BadCode);
                }
                self.enrolments.remove(&code);
                self.batch.change(Change::EnrolmentGone(code));
                // Whoever still holds the certificate before this one is out.
                let text = Condition::BadCertificate.admin_text().to_owned();
                self.batch.part(Unit::Registry).close.push((id.clone(), Condition::BadCertificate, text));
                None
            }
            // A renewal: the one shown stays good until the new one is used, in case the answer is lost.
            Proof::Certificate(shown) => {
                if let Some(condition) = self.refusal_of(&id, &shown) {
                    return refused_for(condition);
                }
                Some(shown)
            }
        };
        let gateway = Gateway { id: id.clone(), certificate, previous, expires };
        self.batch.change(Change::Gateway(gateway.clone()));
        self.gateways.insert(id.clone(), gateway);
        self.gateway_reply(id)
    }

    /// The first use of a renewed certificate ends the one before.
    pub(super) fn certificate_used(&mut self, id: &GatewayId, certificate: &[u8; 32]) {
        if let Some(gateway) = self.gateways.get_mut(id)
            && gateway.certificate == *certificate
            && gateway.previous.take().is_some()
        {
            self.batch.change(Change::Gateway(gateway.clone()));
            self.keep(Unit::Registry, Intent::CertificateUsed(id.clone(), *certificate));
        }
    }

    // ------------------------------------------------------------ figures

    fn enterprise_status(&self, enterprise: &Enterprise) -> EnterpriseStatus {
        let gateways = self.gateways.values().filter(|g| g.id.enterprise == enterprise.id);
        let (paced, waiting) = self.pace.of_enterprise(&enterprise.id);
        EnterpriseStatus {
            id: enterprise.id.clone(),
            display: enterprise.display.to_string(),
            state: enterprise.state,
            gateways: gateways
                .map(|g| GatewayStatus {
                    gateway: g.id.clone(),
                    online: self.is_online(&g.id),
                    certificate_ends: g.expires,
                })
                .collect(),
            open_codes: self.enrolments.values().filter(|e| e.gateway.enterprise == enterprise.id).count(),
            paced,
            waiting,
        }
    }

    fn group_status(&self, group: &Group) -> GroupStatus {
        let number = group.meta.number;
        let paused = |gateway: &GatewayId| {
            let link = self.links.get(self.online.get(gateway)?)?;
            match link.streams.get(&number) {
                None => Some("the gateway has not asked for the group's messages"),
                Some(stream) => stream.pause.as_str(),
            }
        };
        let (paced_messages, waiting) = self.pace.of_group(number);
        GroupStatus {
            number,
            about: group.meta.about.clone(),
            owner: group.meta.owner.clone(),
            deleted: group.meta.deleted,
            list: group.committed_list.0,
            digest: group.committed_list.1,
            accounts: group.meta.accounts,
            listed: group
                .roster
                .enterprises()
                .map(|e| (e.clone(), group.roster.len_of(e).unwrap_or_default()))
                .collect(),
            oldest: Seq((group.floor.0 + 1).min(group.committed.0)),
            head: group.committed,
            bytes: group.bytes,
            allowed: group.meta.allowed.clone(),
            paced: paced_messages,
            waiting,
            members: group
                .members
                .values()
                .filter(|m| m.until.is_none())
                .map(|m| MemberStatus {
                    gateway: m.gateway.clone(),
                    online: self.is_online(&m.gateway),
                    settled: m.settled,
                    waiting: group.committed.0.saturating_sub(m.settled.0),
                    paused: paused(&m.gateway).map(str::to_owned),
                })
                .collect(),
        }
    }

    fn status(&self) -> Status {
        let mut status = Status {
            links: self.links.len(),
            groups: self.groups.values().filter(|g| !g.meta.deleted).count(),
            cached_bytes: self.cached_bytes,
            counters: self.counters.clone(),
            ..Status::default()
        };
        for enterprise in self.enterprises.values() {
            let state = match enterprise.state {
                EnterpriseState::Active => "active",
                EnterpriseState::Suspended => "suspended",
                EnterpriseState::Removed => "removed",
            };
            *status.enterprises.entry(state.to_owned()).or_default() += 1;
        }
        status
    }
}
