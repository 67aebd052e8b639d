//! Requests, responses and changes of a group: both directions of each side by side.

use super::decode::DecodeError;
use super::encode::word;
use super::node::Node;
use super::write::Element;
use super::*;
use crate::ids::AccountId;
use crate::limits;
use crate::list::{AccountRow, ListPage, Listed};

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
        RequestBody::DescribeGroup { group, about } => {
            let mut c = e.child("describe-group");
            c.attr("group", group);
            write_about(&mut c, about);
            c.finish();
        }
        RequestBody::TransferGroup { group, enterprise } => {
            let mut c = e.child("transfer-group");
            c.attr("group", group).attr("enterprise", enterprise);
            c.finish();
        }
        RequestBody::FetchList { group, since, after } => {
            let mut c = e.child("fetch-list");
            c.attr("group", group).attr("since", since);
            if let Some(after) = after {
                c.attr("after", after);
            }
            c.finish();
        }
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
        "describe-group" => RequestBody::DescribeGroup { group: node.get("group")?, about: read_about(node)? },
        "transfer-group" => {
            RequestBody::TransferGroup { group: node.get("group")?, enterprise: node.get("enterprise")? }
        }
        "fetch-list" => {
            RequestBody::FetchList { group: node.get("group")?, since: node.get("since")?, after: node.maybe("after")? }
        }
        other => return Err(broken(format!("there is no request {other:?}"))),
    })
}

// ---------------------------------------------------------------- accounts of lists

/// The accounts of an edit, or of an entry.
pub(super) fn write_accounts(e: &mut Element<'_>, accounts: &[AccountEdit]) {
    for edit in accounts {
        let mut c = e.child(if edit.listed.is_some() { "account" } else { "gone" });
        c.text("user", edit.user.as_str());
        finish_account(c, edit.listed.as_ref());
    }
}

fn finish_account(mut c: Element<'_>, listed: Option<&Listed>) {
    if let Some(listed) = listed {
        c.text("display", listed.display.as_str()).text("role", &word(listed.role));
    }
    c.finish();
}

pub(super) fn read_accounts(node: &Node, most: usize) -> Result<Vec<AccountEdit>, DecodeError> {
    let account = |n: &Node| {
        let user = n.get("user")?;
        Ok(Some(match n.name.as_str() {
            "account" => AccountEdit { listed: Some(read_listed(n, &user)?), user },
            "gone" => AccountEdit { user, listed: None },
            _ => return Ok(None),
        }))
    };
    node.all(most)?.iter().filter_map(|n| account(n).transpose()).collect()
}

/// Whatever a name was, from here on it has nothing that does not show.
fn read_listed(node: &Node, user: &UserId) -> Result<Listed, DecodeError> {
    let display = DisplayName::neutral(&node.text_attr("display")?).or_else(|| DisplayName::neutral(user.as_str()));
    let display = display.ok_or_else(|| broken("an account without a name that shows".into()))?;
    Ok(Listed { display, role: node.word("role")? })
}

fn write_page(e: &mut Element<'_>, group: GroupNumber, page: &ListPage) {
    let mut c = e.child("list");
    c.attr("group", &group).attr("version", &page.version).attr("digest", &page.digest);
    c.attr("accounts", &page.accounts).flag("more", page.more);
    for row in &page.rows {
        let mut r = c.child(if row.listed.is_some() { "account" } else { "gone" });
        r.text("enterprise", row.account.enterprise.as_str()).text("user", row.account.user.as_str());
        r.number("version", row.version.0);
        finish_account(r, row.listed.as_ref());
    }
    c.finish();
}

fn read_page(node: &Node) -> Result<ListPage, DecodeError> {
    let row = |n: &Node| {
        let user: UserId = n.get("user")?;
        let listed = match n.name.as_str() {
            "account" => Some(read_listed(n, &user)?),
            "gone" => None,
            _ => return Ok(None),
        };
        let account = AccountId { enterprise: n.get("enterprise")?, user };
        Ok(Some(AccountRow { account, version: n.get("version")?, listed }))
    };
    Ok(ListPage {
        version: node.get("version")?,
        digest: node.get("digest")?,
        accounts: node.number("accounts")?,
        rows: node
            .all(limits::ACCOUNTS_PER_PAGE)?
            .iter()
            .filter_map(|n| row(n).transpose())
            .collect::<Result<_, DecodeError>>()?,
        more: node.flag("more")?,
    })
}

fn write_about(e: &mut Element<'_>, about: &About) {
    e.attr("name", &about.name).attr("description", &about.description).attr("subject", &about.subject);
    e.attr("policy", &word(about.policy));
}

fn read_about(node: &Node) -> Result<About, DecodeError> {
    Ok(About {
        name: node.text_attr("name")?,
        description: node.text_or_none("description"),
        subject: node.text_or_none("subject"),
        policy: node.word_or_default("policy")?,
    })
}

// ---------------------------------------------------------------- changes

impl Change {
    /// About how many bytes it takes in a stanza.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Change::Listed { accounts, .. } => {
                accounts.iter().map(|a| crate::list::weight(&a.user, a.listed.as_ref())).sum()
            }
            _ => 0,
        }
    }
}

pub(super) fn write_change(e: &mut Element<'_>, change: &Change) {
    match change {
        Change::Joined { enterprise, gateway, display } => of_gateway(e, "joined", enterprise, gateway, display),
        Change::Left { enterprise, gateway, display } => of_gateway(e, "left", enterprise, gateway, display),
        Change::Deleted {} => e.child("deleted").finish(),
        Change::Listed { enterprise, accounts, digest } => {
            let mut c = e.child("listed");
            c.attr("enterprise", enterprise).attr("digest", digest);
            write_accounts(&mut c, accounts);
            c.finish();
        }
        Change::Unlisted { enterprise, digest } => {
            let mut c = e.child("unlisted");
            c.attr("enterprise", enterprise).attr("digest", digest);
            c.finish();
        }
        Change::Described(about) => {
            let mut c = e.child("described");
            write_about(&mut c, about);
            c.finish();
        }
        Change::Owned { enterprise } => of_enterprise(e, "owned", enterprise),
        Change::Suspended { enterprise } => of_enterprise(e, "suspended", enterprise),
        Change::Resumed { enterprise } => of_enterprise(e, "resumed", enterprise),
    }
}

fn of_gateway(
    e: &mut Element<'_>,
    name: &'static str,
    enterprise: &EnterpriseId,
    gateway: &GatewayName,
    display: &DisplayName,
) {
    let mut c = e.child(name);
    c.attr("enterprise", enterprise).attr("gateway", gateway).attr("display", display);
    c.finish();
}

fn of_enterprise(e: &mut Element<'_>, name: &'static str, enterprise: &EnterpriseId) {
    let mut c = e.child(name);
    c.attr("enterprise", enterprise);
    c.finish();
}

pub(super) fn read_change(node: &Node) -> Result<Change, DecodeError> {
    let gateway = || Ok::<_, DecodeError>((node.get("enterprise")?, node.get("gateway")?, node.get("display")?));
    Ok(match node.name.as_str() {
        "joined" => gateway().map(|(enterprise, gateway, display)| Change::Joined { enterprise, gateway, display })?,
        "left" => gateway().map(|(enterprise, gateway, display)| Change::Left { enterprise, gateway, display })?,
        "deleted" => Change::Deleted {},
        "listed" => Change::Listed {
            enterprise: node.get("enterprise")?,
            accounts: read_accounts(node, limits::ACCOUNTS_PER_EDIT)?,
            digest: node.get("digest")?,
        },
        "unlisted" => Change::Unlisted { enterprise: node.get("enterprise")?, digest: node.get("digest")? },
        "described" => Change::Described(read_about(node)?),
        "owned" => Change::Owned { enterprise: node.get("enterprise")? },
        "suspended" => Change::Suspended { enterprise: node.get("enterprise")? },
        "resumed" => Change::Resumed { enterprise: node.get("enterprise")? },
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
        ResponseBody::List { group, page } => write_page(e, *group, page),
        ResponseBody::Refused { condition, text } => {
            let mut c = e.child("refused");
            c.attr("condition", &condition.as_str()).attr("text", text);
            c.finish();
        }
    }
}

fn write_group(e: &mut Element<'_>, info: &GroupInfo) {
    let mut c = e.child("group");
    c.attr("number", &info.number);
    write_about(&mut c, &info.about);
    c.attr("owner", &info.owner);
    c.attr("incarnation", &info.incarnation).attr("head", &info.head).attr("head-hash", &info.head_hash);
    c.attr("list", &info.list).attr("digest", &info.digest).attr("accounts", &info.accounts);
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
        "list" => ResponseBody::List { group: node.get("group")?, page: read_page(node)? },
        "refused" => ResponseBody::Refused { condition: node.condition()?, text: node.text_attr("text")? },
        other => return Err(broken(format!("there is no response {other:?}"))),
    })
}

fn read_group(node: &Node) -> Result<GroupInfo, DecodeError> {
    let most = 2 * limits::GROUPS_PER_GATEWAY;
    Ok(GroupInfo {
        number: node.get("number")?,
        about: Box::new(read_about(node)?),
        owner: node.get("owner")?,
        incarnation: node.get("incarnation")?,
        head: node.get("head")?,
        head_hash: node.get("head-hash")?,
        list: node.get("list")?,
        digest: node.maybe("digest")?.unwrap_or_default(),
        accounts: node.number_or_none("accounts")?,
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
    let cursor = node.get("cursor")?;
    Ok(HelloGroup {
        group: node.get("number")?,
        incarnation: node.maybe("incarnation")?,
        cursor,
        hash: node.get("hash")?,
        settled: node.maybe("settled")?.unwrap_or(cursor),
        places: node
            .children("place", limits::HELLO_PLACES)?
            .map(|p| Ok((p.get("seq")?, p.get("hash")?)))
            .collect::<Result<_, DecodeError>>()?,
        epoch: node.get("epoch")?,
        last_n: node.get("n")?,
        run: node.maybe("run")?,
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
        digest: node.maybe("digest")?.unwrap_or_default(),
        settled: node.maybe("settled")?.unwrap_or_default(),
        before: node.maybe("before")?,
    })
}
