//! Groups' own addresses: what is asked as clients ask it, and the answers as they stand on the stream.

use intergroup_schemas::ids::{AccountId, GroupNumber, ListVersion};
use intergroup_schemas::link::Timestamp;
use intergroup_schemas::list::Role;

use super::*;
use crate::bridge::{Caller, CommandsOf, Declined, Mark, Member, MemberAt, Members, RoomAction, Visit, VisitAnswer};
use crate::payload::{COMPONENT, parse};

const NUMBER: &str = "10001@groups.acme.test";
const ALICE: &str = "alice@acme.test/desk";

/// What the bridge is told of a stanza.
fn told(link: &mut Link, stanza: &str) -> Option<(Caller, Option<GroupNumber>, Visit)> {
    link.0.stanza(stanza.as_bytes());
    let mut events = std::mem::take(&mut link.0.events);
    assert!(events.len() <= 1, "{events:?}");
    match events.pop()? {
        Event::Visit { caller, group, visit } => Some((caller, group, visit)),
        other => panic!("{other:?}"),
    }
}

fn iq(kind: &str, to: &str, child: &str) -> String {
    format!("<iq type='{kind}' id='q1' from='{ALICE}' to='{to}'>{child}</iq>")
}

fn asked(link: &mut Link, kind: &str, child: &str) -> String {
    told(link, &iq(kind, NUMBER, child)).map_or("nothing".into(), |(_, group, visit)| format!("{group:?} {visit:?}"))
}

fn answered(link: &mut Link, kind: &'static str, to: &str, answer: VisitAnswer) -> String {
    let caller = Caller { from: ALICE.into(), to: to.into(), id: "q1".into(), kind };
    link.0.answer_visitor(&caller, answer);
    let out = std::mem::take(&mut link.0.out);
    parse(&out, COMPONENT, &[]).expect("what is written is XML");
    out
}

fn members(more: bool) -> Members {
    let account = |user: &str| AccountId { enterprise: "globex".parse().unwrap(), user: user.parse().unwrap() };
    let remote = |user: &str| MemberAt::Remote(puppet(user).who);
    let member = |user: &str, name: &str, role, at| Member {
        mark: Mark::Center(ListVersion(3), account(user)),
        name: name.into(),
        company: "Globex & Co".into(),
        role,
        at,
    };
    let pat = member("pat", "Pat <x>", Role::Speak, remote("pat"));
    let own = member("bob", "Bob", Role::ReadOnly, MemberAt::Own("bob@acme.test".into()));
    Members { members: vec![pat, own], count: Some(25), more }
}

#[test]
fn questions_reach_the_bridge_with_who_asks() {
    let mut link = Link::new();
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    let (caller, group, visit) = told(&mut link, &iq("get", US, items)).unwrap();
    assert_eq!((caller.from.as_ref(), caller.to.as_ref(), caller.id.as_ref(), caller.kind), (ALICE, US, "q1", "iq"));
    assert_eq!(caller.account().as_str(), "alice@acme.test");
    assert!(group.is_none() && matches!(visit, Visit::Groups));
    let node =
        |what: &str, node: &str| format!("<query xmlns='http://jabber.org/protocol/disco#{what}' node='{node}'/>");
    let commands = "http://jabber.org/protocol/commands";
    for (kind, child, expected) in [
        ("get", items.to_owned(), "Some(10001) Members(Span { after: None, max: 100 })"),
        ("get", items.replace("items", "info"), "Some(10001) Group"),
        ("get", node("items", commands), "Some(10001) Commands(Items)"),
        ("get", node("info", commands), "Some(10001) Commands(Info)"),
        ("get", node("info", "who"), "Some(10001) Commands(WhoInfo)"),
        ("set", format!("<command xmlns='{commands}' node='who' action='execute'/>"), "Some(10001) Who"),
        ("set", format!("<command xmlns='{commands}' node='who'/>"), "Some(10001) Who"),
    ] {
        assert_eq!(asked(&mut link, kind, &child), expected, "{child}");
    }
    let paged = |set: &str| {
        format!(
            "<query xmlns='http://jabber.org/protocol/disco#items'><set xmlns='http://jabber.org/protocol/rsm'>{set}</set></query>"
        )
    };
    let page = asked(&mut link, "get", &paged("<max>7</max><after>3/globex/pat</after>"));
    assert_eq!(page, "Some(10001) Members(Span { after: Some(Center(3, globex/pat)), max: 7 })");
    let nonsense = asked(&mut link, "get", &paged("<max>99999999</max><after>../..</after>"));
    assert_eq!(nonsense, "Some(10001) Members(Span { after: None, max: 100 })");
}

#[test]
fn what_is_no_question_of_ours_gets_the_answer_of_anybody() {
    let mut link = Link::new();
    for child in [
        "<query xmlns='http://jabber.org/protocol/disco#items' node='x'/>",
        "<command xmlns='http://jabber.org/protocol/commands' node='config'/>",
        "<command xmlns='http://jabber.org/protocol/commands' node='who' action='cancel' sessionid='who'/>",
        "<vCard xmlns='vcard-temp'/>",
    ] {
        let kind = if child.contains("command ") { "set" } else { "get" };
        assert_eq!(asked(&mut link, kind, child), "nothing");
        assert!(std::mem::take(&mut link.0.out).contains("service-unavailable"), "{child}");
    }
    // Written in another way it is no group's address, and neither are those of our occupants.
    for to in [
        "010001@groups.acme.test",
        "+1@groups.acme.test",
        "1+globex@groups.acme.test",
        "99999999999999999999999@groups.acme.test",
    ] {
        let stanza = format!("<message type='chat' from='{ALICE}' to='{to}'><body>x</body></message>");
        assert!(told(&mut link, &stanza).is_none(), "{to}");
    }
}

#[test]
fn messages_and_joins_reach_the_bridge_and_errors_nobody() {
    let mut link = Link::new();
    for kind in ["", " type='chat'", " type='normal'", " type='groupchat'"] {
        let stanza = format!("<message{kind} id='m1' from='{ALICE}' to='{NUMBER}'><body>hi</body></message>");
        let (caller, group, visit) = told(&mut link, &stanza).unwrap();
        assert_eq!((caller.kind, group), ("message", Some(GroupNumber(10_001))));
        assert!(
            matches!(visit, Visit::Say { id: Some(id), content: crate::bridge::Content::Speech(_) } if id.as_str() == "m1")
        );
    }
    let join =
        format!("<presence from='{ALICE}' to='{NUMBER}/Alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
    let (caller, _, visit) = told(&mut link, &join).unwrap();
    assert!(matches!(visit, Visit::Join) && &*caller.to == "10001@groups.acme.test/Alice" && caller.id.is_empty());
    for nothing in [
        format!("<message type='error' from='{ALICE}' to='{NUMBER}'><body>x</body></message>"),
        format!("<presence type='error' from='{ALICE}' to='{NUMBER}'/>"),
        format!("<message type='headline' from='{ALICE}' to='{NUMBER}'><body>x</body></message>"),
        format!("<iq type='result' id='x' from='{ALICE}' to='{NUMBER}'/>"),
        format!("<message from='{EAR}' to='{NUMBER}'><body>from ourselves</body></message>"),
    ] {
        assert!(told(&mut link, &nothing).is_none() && link.0.out.is_empty(), "{nothing}");
    }
    for (stanza, means) in [
        (format!("<presence from='{ALICE}' to='{NUMBER}'/>"), Visit::Presence(true)),
        (format!("<presence type='unavailable' from='{ALICE}' to='{NUMBER}/Alice'/>"), Visit::Presence(false)),
        (format!("<presence type='subscribe' from='{ALICE}' to='{NUMBER}'/>"), Visit::Follow(true)),
        (format!("<presence type='unsubscribe' from='{ALICE}' to='{NUMBER}'/>"), Visit::Follow(false)),
        (format!("<presence type='probe' from='{ALICE}' to='{NUMBER}'/>"), Visit::Probe),
        (format!("<message type='error' id='m7' from='{ALICE}' to='{NUMBER}'/>"), Visit::Bounce("m7".into())),
    ] {
        let (_, group, visit) = told(&mut link, &stanza).unwrap();
        assert_eq!((format!("{visit:?}"), group), (format!("{means:?}"), Some(GroupNumber(10_001))));
    }
    // Nor does what a room passes on.
    let mut link = Link::seated();
    let passed_on = format!("<message from='{ROOM}/Eve' to='{NUMBER}' type='chat'><body>x</body></message>");
    assert!(told(&mut link, &passed_on).is_none() && link.0.out.is_empty());
}

#[test]
fn a_group_is_a_contact_like_any_other() {
    let mut link = Link::new();
    let followed = answered(&mut link, "presence", NUMBER, VisitAnswer::Followed(Some("A & B".into())));
    let bare = "alice@acme.test";
    assert_eq!(
        followed,
        format!(
            "<presence type='subscribed' from='{NUMBER}' to='{bare}'></presence>\
             <presence type='subscribe' from='{NUMBER}' to='{bare}'></presence>\
             <presence from='{NUMBER}' to='{bare}'><status>A &amp; B</status></presence>"
        )
    );
    let gone = answered(&mut link, "presence", NUMBER, VisitAnswer::Followed(None));
    assert_eq!(gone, format!("<presence type='unsubscribed' from='{NUMBER}' to='{bare}'></presence>"));
    let present = answered(&mut link, "presence", NUMBER, VisitAnswer::Present("A".into()));
    assert_eq!(present, format!("<presence from='{NUMBER}' to='{ALICE}'><status>A</status></presence>"));
}

#[test]
fn what_somebody_missed_goes_to_their_own_address_with_its_time() {
    let mut link = Link::new();
    let action = RoomAction::Send {
        group: GroupNumber(10_001),
        to: "alice@acme.test".into(),
        id: "m1".into(),
        payload: "<body>a &lt; b</body><delay xmlns='urn:xmpp:delay' stamp='x'/>".into(),
        prefix: Some("Bob (Globex): ".into()),
        delay: Some(Timestamp(0)),
    };
    link.0.act(&ROOM.into(), action);
    assert_eq!(
        std::mem::take(&mut link.0.out),
        format!(
            "<message type='chat' from='{NUMBER}' to='alice@acme.test' id='m1'><body>Bob (Globex): a &lt; b</body>\
             <origin-id xmlns='urn:xmpp:sid:0' id='m1'/>\
             <delay xmlns='urn:xmpp:delay' from='{NUMBER}' stamp='1970-01-01T00:00:00.000Z'/></message>"
        )
    );
    link.0.act(&ROOM.into(), RoomAction::Probe { group: GroupNumber(10_001), to: "alice@acme.test".into() });
    assert_eq!(link.0.out, format!("<presence type='probe' from='{NUMBER}' to='alice@acme.test'></presence>"));
}

#[test]
fn discovery_is_answered_with_names_and_pages() {
    let mut link = Link::new();
    let groups = answered(&mut link, "iq", US, VisitAnswer::Groups(vec![(GroupNumber(10_001), "A & B".into())]));
    assert_eq!(
        groups,
        format!(
            "<iq type='result' from='{US}' to='{ALICE}' id='q1'><query xmlns='http://jabber.org/protocol/disco#items'>\
             <item jid='{NUMBER}' name='A &amp; B'/></query></iq>"
        )
    );
    let info = answered(&mut link, "iq", NUMBER, VisitAnswer::Group("Apollo".into()));
    assert!(info.contains("<identity category='conference' type='text' name='Apollo'/>"), "{info}");
    assert!(info.contains("var='http://jabber.org/protocol/commands'"), "{info}");
    assert!(!info.contains("var='http://jabber.org/protocol/muc'"), "no client is to take it for a room: {info}");
    let items = answered(&mut link, "iq", NUMBER, VisitAnswer::Members(members(true)));
    for part in [
        "<item jid='pat+globex@groups.acme.test' name='Pat &lt;x&gt; (Globex &amp; Co)'/>",
        "<item jid='bob@acme.test' name='Bob (Globex &amp; Co)'/>",
        "<first>3/globex/pat</first><last>3/globex/bob</last><count>25</count></set>",
    ] {
        assert!(items.contains(part), "{items}");
    }
}

#[test]
fn the_command_is_found_and_answers_a_form() {
    let mut link = Link::new();
    let items = answered(&mut link, "iq", NUMBER, VisitAnswer::Commands(CommandsOf::Items));
    assert!(items.contains(&format!("<item jid='{NUMBER}' node='who' name='Who is in this group'/>")), "{items}");
    let list = answered(&mut link, "iq", NUMBER, VisitAnswer::Commands(CommandsOf::Info));
    assert!(list.contains("category='automation' type='command-list'"), "{list}");
    let node = answered(&mut link, "iq", NUMBER, VisitAnswer::Commands(CommandsOf::WhoInfo));
    assert!(node.contains("category='automation' type='command-node'"), "{node}");
    let done = answered(&mut link, "iq", NUMBER, VisitAnswer::Who("Apollo".into(), members(true)));
    for part in [
        "status='completed'><note type='info'>and 23 more</note><x xmlns='jabber:x:data' type='result'>",
        "<field var='name'><value>Pat &lt;x&gt;</value></field><field var='company'><value>Globex &amp; Co</value></field>",
        "<field var='role'><value>read only</value></field>",
    ] {
        assert!(done.contains(part), "{done}");
    }
    assert!(!answered(&mut link, "iq", NUMBER, VisitAnswer::Who("Apollo".into(), members(false))).contains("<note"));
}

#[test]
fn who_joins_is_sent_to_the_room_and_who_is_refused_is_told_why() {
    let mut link = Link::new();
    let (group, room) = (GroupNumber(10_001), "launch \u{e9}@conference.acme.test".into());
    let moved = VisitAnswer::Moved { group, name: "Apollo".into(), room };
    let moved = answered(&mut link, "presence", "10001@groups.acme.test/Alice", moved);
    for part in [
        "<presence type='error' from='10001@groups.acme.test/Alice' to='alice@acme.test/desk' id='q1'>",
        ">xmpp:launch%20%C3%A9@conference.acme.test?join</gone></error></presence>",
        "<message from='10001@groups.acme.test' to='alice@acme.test/desk'><body>Group 10001 (Apollo) is the room ",
        "<x xmlns='jabber:x:conference' jid='launch \u{e9}@conference.acme.test'/></message>",
    ] {
        assert!(moved.contains(part), "{moved}");
    }
    for (condition, kind) in [
        ("item-not-found", "cancel"),
        ("forbidden", "auth"),
        ("resource-constraint", "wait"),
        ("not-acceptable", "modify"),
    ] {
        let refused = VisitAnswer::Refused(Declined { condition, text: "a < b".into() });
        assert_eq!(
            answered(&mut link, "message", NUMBER, refused),
            format!(
                "<message type='error' from='{NUMBER}' to='{ALICE}' id='q1'><error type='{kind}'><{condition} \
                 xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>a &lt; b</text>\
                 </error></message>"
            )
        );
    }
}
