//! Answers as text for people: short, one line for each thing.

use std::fmt::Write;

use intergroup_schemas::link::{Standing, Timestamp};
use intergroup_schemas::list::{AccountRow, Listed, Policy, Role};

use crate::bridge::status::{AbsenceStatus, OfflineStatus};
use crate::control::{Answer, Group, Members, Request, Status};
use crate::store::{Offline, Source};

/// The answer to a request, each line ended.
pub(super) fn text(request: &Request, answer: &Answer) -> String {
    match (request, answer) {
        (Request::Create { .. }, Answer::Group(group)) => format!("{}\n", group.info.number),
        (Request::Join { .. } | Request::Map { .. }, Answer::Group(group)) => {
            format!("{} is mapped to {}\n", room(group), group.info.number)
        }
        (_, Answer::Group(group)) => one(group),
        (_, Answer::Groups { groups }) if groups.is_empty() => "no groups\n".to_owned(),
        (_, Answer::Groups { groups }) => groups.iter().map(line).collect(),
        (_, Answer::Offline { kept, absent }) => offline(kept, absent),
        (_, Answer::Members(page)) => page.rows.iter().map(member).chain([origin(page)]).collect(),
        (_, Answer::Status(status)) => self::status(status),
        (_, Answer::Done) => "done\n".to_owned(),
        (_, Answer::Refused { text, .. }) => format!("{text}\n"),
    }
}

fn room(group: &Group) -> &str {
    group.room.as_ref().map_or("no room", |room| room.as_str())
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Member => "member",
        Standing::Left => "left",
        Standing::Deleted => "deleted",
        Standing::Unknown => "not a member",
    }
}

fn line(group: &Group) -> String {
    let info = &group.info;
    format!("{}  {}  {}, {}\n", info.number, info.about.name, standing(info.standing), room(group))
}

fn one(group: &Group) -> String {
    let info = &group.info;
    let mut out = line(group);
    let mut add = |name: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(out, "  {name:<9} {value}");
    };
    add("owner", info.owner.to_string());
    if !info.allowed.is_empty() {
        add("allowed", info.allowed.iter().map(|e| e.as_str()).collect::<Vec<_>>().join(", "));
    }
    let about = &info.about;
    for (name, text) in [("for", &about.description), ("subject", &about.subject)] {
        if !text.is_empty() {
            add(name, text.clone());
        }
    }
    if about.policy == Policy::Announcements {
        add("policy", format!("only people of {} speak", info.owner));
    }
    add("list", format!("version {}, {} people, digest {}", info.list, info.accounts, info.digest));
    add("entries", info.head.to_string());
    for member in &info.members {
        let online = if member.online { "online" } else { "away" };
        let (enterprise, gateway) = (&member.enterprise, &member.gateway);
        let behind = match info.head.0.saturating_sub(member.settled.0) {
            0 => "has all".to_owned(),
            behind => format!("has {} ({behind} to come)", member.settled),
        };
        add("member", format!("{enterprise}/{gateway} ({}), {online}, {behind}", member.display));
    }
    out
}

fn member(row: &AccountRow) -> String {
    match &row.listed {
        Some(Listed { display, role: Role::Speak }) => format!("{}  {display}  speaks\n", row.account),
        Some(Listed { display, role: Role::ReadOnly }) => format!("{}  {display}  reads only\n", row.account),
        None => String::new(),
    }
}

/// Which list it is.
fn origin(page: &Members) -> String {
    let version = page.version;
    match page {
        Members { center_asked: true, .. } => format!("list version {version}, as the center has it\n"),
        Members { link: true, .. } => {
            format!("list version {version}, as it is kept here; the center was not asked\n")
        }
        Members { link: false, .. } => format!(
            "list version {version}, as it is kept here; the center was not asked: there is no link to it now, and its list may \
             be newer\n"
        ),
    }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Affiliations => "affiliations",
        Source::Occupants => "occupants",
        Source::Explicit => "commands",
    }
}

fn how(how: Offline) -> &'static str {
    match how {
        Offline::Archive => "archive",
        Offline::Queue => "queue",
        Offline::Inbox => "inbox",
    }
}

fn offline(kept: &OfflineStatus, absent: &[AbsenceStatus]) -> String {
    let mut out = format!("{}, {} messages kept ({} bytes)\n", how(kept.how), kept.messages, kept.bytes);
    for AbsenceStatus { user, missed, dropped, away } in absent {
        let dropped = if *dropped > 0 { format!(", {dropped} of them not kept") } else { String::new() };
        let state = if *away { "away" } else { "here" };
        // Writing to a string does not fail.
        let _ = writeln!(out, "{user}  {state}, {missed} missed{dropped}");
    }
    out
}

fn time(at: Timestamp) -> String {
    at.to_wire()
}

fn status(status: &Status) -> String {
    let mut out = String::new();
    let mut add = |name: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{name:<12} {value}");
    };
    let health = |up: bool, text: &Option<String>| match (up, text) {
        (true, None) => "up".to_owned(),
        (true, Some(text)) => format!("up ({text})"),
        (false, Some(text)) => format!("DOWN: {text}"),
        (false, None) => "DOWN".to_owned(),
    };
    match &status.identity {
        Some(id) => {
            let until = status.certificate_ends.map(|t| format!(", certificate until {}", time(t)));
            add("gateway", format!("{id} (version {}{})", status.version, until.unwrap_or_default()));
        }
        None => add("gateway", format!("not enrolled (version {})", status.version)),
    }
    add("server", format!("{} {}", status.server.address, health(status.server.up, &status.server.text)));
    let address = status.center.address.as_ref().map_or_else(String::new, |address| format!("{address} "));
    add("center", format!("{address}{}", health(status.center.up, &status.center.text)));
    match (&status.store.ok, &status.store.text) {
        (true, _) => add("store", "ok".to_owned()),
        (false, text) => add("store", format!("FAILED: {}", text.as_deref().unwrap_or("no reason known"))),
    }
    for room in &status.rooms {
        add(
            "room",
            format!(
                "{} {:?} {}: {}, members from {}; {} waiting to go out, {} of {} in the room, {} puppets, {} parked",
                room.group,
                room.name,
                room.room,
                room.state,
                room.source.map_or("what the room is", source),
                room.waiting,
                room.settled,
                room.received,
                room.puppets,
                room.parked
            ),
        );
        if let Some(offline) = room.offline.as_ref().filter(|offline| offline.how != Offline::Archive) {
            add(
                "  offline",
                format!(
                    "{}: {} messages kept ({} bytes) for {} people, {} at most for one",
                    how(offline.how),
                    offline.messages,
                    offline.bytes,
                    offline.people,
                    offline.most
                ),
            );
        }
        if let Some(alarm) = &room.alarm {
            add("  ALARM", alarm.clone());
        }
    }
    for report in &status.reports {
        let room = report.room.as_ref().map_or_else(String::new, |room| format!("{room}: "));
        add(&report.level, format!("{} {room}{}", time(report.at), report.text));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use intergroup_schemas::ids::{GroupNumber, HistoryHash, ListVersion, Seq};
    use intergroup_schemas::link::{GroupInfo, MemberInfo};

    #[test]
    fn create_prints_the_number_alone_and_show_the_members() {
        let member = MemberInfo {
            enterprise: "globex".parse().unwrap(),
            display: "Globex".parse().unwrap(),
            gateway: "main".parse().unwrap(),
            settled: Seq(7),
            online: false,
        };
        let info = GroupInfo {
            number: GroupNumber(10_001),
            about: Box::new(intergroup_schemas::link::About { name: "Apollo".into(), ..Default::default() }),
            owner: "acme".parse().unwrap(),
            incarnation: "i1".parse().unwrap(),
            head: Seq(9),
            head_hash: HistoryHash::default(),
            list: ListVersion(2),
            digest: Default::default(),
            accounts: 0,
            standing: Standing::Member,
            joined_at: Seq(1),
            joined_hash: HistoryHash::default(),
            allowed: vec!["globex".parse().unwrap()],
            members: vec![member],
        };
        let answer = Answer::Group(Group { info, room: Some("apollo@c.example".into()) });
        let create = Request::Create { name: String::new(), room: String::new(), members: None };
        assert_eq!(text(&create, &answer), "10001\n");
        let shown = text(&Request::Show { group: GroupNumber(10_001) }, &answer);
        assert!(shown.starts_with("10001  Apollo  member, apollo@c.example\n"), "{shown}");
        assert!(shown.contains("globex/main (Globex), away, has 7 (2 to come)"), "{shown}");
        assert!(shown.contains("list      version 2, 0 people, digest "), "{shown}");
        assert_eq!(text(&Request::List, &Answer::Groups { groups: Vec::new() }), "no groups\n");
    }

    #[test]
    fn a_list_says_whose_it_is() {
        let row = |account: &str, role| AccountRow {
            account: account.parse().unwrap(),
            version: ListVersion(3),
            listed: Some(Listed { display: "Bob".parse().unwrap(), role }),
        };
        let rows = vec![row("acme/bob", Role::Speak), row("globex/bob", Role::ReadOnly)];
        let version = ListVersion(7);
        let (digest, accounts, more) = (None, None, false);
        let page = Members { rows, more, version, digest, accounts, center_asked: false, link: true };
        let shown = |page: &Members| {
            let request = Request::Members { group: GroupNumber(10_001), since: ListVersion(0), after: None };
            text(&request, &Answer::Members(page.clone()))
        };
        let here = shown(&page);
        assert!(here.starts_with("acme/bob  Bob  speaks\nglobex/bob  Bob  reads only\nlist version 7, "), "{here}");
        assert!(here.contains("the center was not asked") && !here.contains("no link"), "{here}");
        assert!(shown(&Members { link: false, ..page.clone() }).contains("the center was not asked: there is no link"));
        assert!(shown(&Members { center_asked: true, ..page }).contains("as the center has it"));
    }
}
