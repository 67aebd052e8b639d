//! Requests, responses and changes of a group: both directions of each side by side.

use super::decode::DecodeError;
use super::encode::word;
use super::node::Node;
use super::write::Element;
use super::*;
use crate::limits;

fn broken(text: String) -> DecodeError {
    DecodeError::Link { condition: Condition::BadRequest, text }
}

pub(super) fn write_request(e: &mut Element<'_>, body: &RequestBody) {
    match body {
        RequestBody::CreateGroup { name } => {
            let mut c = e.child("create-group");
            c.attr("name", name);
            c.finish();
        }
        RequestBody::JoinGroup { group } => of_group(e, "join-group", *group),
        RequestBody::LeaveGroup { group } => of_group(e, "leave-group", *group),
        RequestBody::AllowEnterprise { group, enterprise } => {
            let mut c = e.child("allow-enterprise");
            c.attr("group", group).attr("enterprise", enterprise);
            c.finish();
        }
        RequestBody::DeleteGroup { group } => of_group(e, "delete-group", *group),
        RequestBody::ListGroups {} => e.child("list-groups").finish(),
        RequestBody::ShowGroup { group } => of_group(e, "show-group", *group),
    }
}

fn of_group(e: &mut Element<'_>, name: &'static str, group: GroupNumber) {
    let mut c = e.child(name);
    c.attr("group", &group);
    c.finish();
}

pub(super) fn read_request(node: &Node) -> Result<RequestBody, DecodeError> {
    Ok(match node.name.as_str() {
        "create-group" => RequestBody::CreateGroup { name: node.text_attr("name")? },
        "join-group" => RequestBody::JoinGroup { group: node.get("group")? },
        "leave-group" => RequestBody::LeaveGroup { group: node.get("group")? },
        "allow-enterprise" => {
            RequestBody::AllowEnterprise { group: node.get("group")?, enterprise: node.get("enterprise")? }
        }
        "delete-group" => RequestBody::DeleteGroup { group: node.get("group")? },
        "list-groups" => RequestBody::ListGroups {},
        "show-group" => RequestBody::ShowGroup { group: node.get("group")? },
        other => return Err(broken(format!("there is no request {other:?}"))),
    })
}

pub(super) fn write_change(e: &mut Element<'_>, change: &Change) {
    let mut gateway = |name, enterprise: &EnterpriseId, gateway: &GatewayName, display: &DisplayName| {
        let mut c = e.child(name);
        c.attr("enterprise", enterprise).attr("gateway", gateway).attr("display", display);
        c.finish();
    };
    match change {
        Change::Joined { enterprise, gateway: g, display } => gateway("joined", enterprise, g, display),
        Change::Left { enterprise, gateway: g, display } => gateway("left", enterprise, g, display),
        Change::Deleted {} => e.child("deleted").finish(),
    }
}

pub(super) fn read_change(node: &Node) -> Result<Change, DecodeError> {
    let gateway = || Ok::<_, DecodeError>((node.get("enterprise")?, node.get("gateway")?, node.get("display")?));
    Ok(match node.name.as_str() {
        "joined" => gateway().map(|(enterprise, gateway, display)| Change::Joined { enterprise, gateway, display })?,
        "left" => gateway().map(|(enterprise, gateway, display)| Change::Left { enterprise, gateway, display })?,
        "deleted" => Change::Deleted {},
        other => return Err(broken(format!("there is no change {other:?}"))),
    })
}

pub(super) fn write_response(e: &mut Element<'_>, body: &ResponseBody) {
    match body {
        ResponseBody::Done {} => e.child("done").finish(),
        ResponseBody::Group(info) => write_group(e, info),
        ResponseBody::Groups { groups } => {
            let mut c = e.child("groups");
            for info in groups {
                write_group(&mut c, info);
            }
            c.finish();
        }
        ResponseBody::Refused { condition, text } => {
            let mut c = e.child("refused");
            c.attr("condition", &condition.as_str()).attr("text", text);
            c.finish();
        }
    }
}

fn write_group(e: &mut Element<'_>, info: &GroupInfo) {
    let mut c = e.child("group");
    c.attr("number", &info.number).attr("name", &info.name).attr("owner", &info.owner);
    c.attr("incarnation", &info.incarnation).attr("head", &info.head).attr("head-hash", &info.head_hash);
    c.attr("list", &info.list);
    c.attr("standing", &word(info.standing)).attr("joined-at", &info.joined_at).attr("joined-hash", &info.joined_hash);
    for enterprise in &info.allowed {
        let mut a = c.child("allowed");
        a.attr("enterprise", enterprise);
        a.finish();
    }
    for member in &info.members {
        let mut m = c.child("member");
        m.attr("enterprise", &member.enterprise).attr("display", &member.display).attr("gateway", &member.gateway);
        m.attr("settled", &member.settled).flag("online", member.online);
        m.finish();
    }
    c.finish();
}

pub(super) fn read_response(node: &Node) -> Result<ResponseBody, DecodeError> {
    Ok(match node.name.as_str() {
        "done" => ResponseBody::Done {},
        "group" => ResponseBody::Group(read_group(node)?),
        "groups" => ResponseBody::Groups {
            groups: node.children("group", limits::GROUPS_PER_GATEWAY)?.map(read_group).collect::<Result<_, _>>()?,
        },
        "refused" => ResponseBody::Refused { condition: node.condition()?, text: node.text_attr("text")? },
        other => return Err(broken(format!("there is no response {other:?}"))),
    })
}

fn read_group(node: &Node) -> Result<GroupInfo, DecodeError> {
    let most = 2 * limits::GROUPS_PER_GATEWAY;
    Ok(GroupInfo {
        number: node.get("number")?,
        name: node.text_attr("name")?,
        owner: node.get("owner")?,
        incarnation: node.get("incarnation")?,
        head: node.get("head")?,
        head_hash: node.get("head-hash")?,
        list: node.get("list")?,
        standing: node.word("standing")?,
        joined_at: node.get("joined-at")?,
        joined_hash: node.get("joined-hash")?,
        allowed: node.children("allowed", most)?.map(|a| a.get("enterprise")).collect::<Result<_, _>>()?,
        members: node
            .children("member", most)?
            .map(|m| {
                Ok(MemberInfo {
                    enterprise: m.get("enterprise")?,
                    display: m.get("display")?,
                    gateway: m.get("gateway")?,
                    settled: m.get("settled")?,
                    online: m.flag("online")?,
                })
            })
            .collect::<Result<_, DecodeError>>()?,
    })
}

pub(super) fn read_hello_group(node: &Node) -> Result<HelloGroup, DecodeError> {
    Ok(HelloGroup {
        group: node.get("number")?,
        incarnation: node.maybe("incarnation")?,
        cursor: node.get("cursor")?,
        hash: node.get("hash")?,
        places: node
            .children("place", limits::HELLO_PLACES)?
            .map(|p| Ok((p.get("seq")?, p.get("hash")?)))
            .collect::<Result<_, DecodeError>>()?,
        epoch: node.get("epoch")?,
        last_n: node.get("n")?,
    })
}

pub(super) fn read_welcome_group(node: &Node) -> Result<WelcomeGroup, DecodeError> {
    Ok(WelcomeGroup {
        group: node.get("number")?,
        standing: node.word("standing")?,
        incarnation: node.get("incarnation")?,
        head: node.get("head")?,
        history: node.word("history")?,
        common: node.get("common")?,
        decided: node.get("decided")?,
        list: node.get("list")?,
    })
}
