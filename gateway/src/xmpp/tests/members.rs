//! Affiliations and configurations, as both servers tell them.

use super::*;
use crate::bridge::Affiliation;
use crate::ids::BareJid;

const ADMIN: &str = "http://jabber.org/protocol/muc#admin";

fn answer(link: &mut Link, asked: &str, kind: &str, child: &str) -> String {
    let id = attribute(asked, "id");
    link.one(&format!("<iq type='{kind}' id='{id}' to='gateway@{US}' from='{ROOM}'>{child}</iq>"))
}

#[test]
fn lists_are_asked_for_by_affiliation_and_ours_are_left_out() {
    let mut link = Link::seated();
    let asked = link.act(RoomAction::ReadAffiliations { request: RequestId(5), affiliation: Affiliation::Member });
    assert!(asked.contains(&format!("type='get' from='gateway@{US}' to='{ROOM}'")), "{asked}");
    assert!(asked.contains(&format!("<query xmlns='{ADMIN}'><item affiliation='member'/></query>")), "{asked}");
    let items = "<item affiliation='member' jid='alice@acme.test' nick='Alice'/><item jid='carol@acme.test/x'/>\
                 <item jid='pat+globex@groups.acme.test'/><item jid='groups.acme.test'/><item nick='no jid'/>";
    let told = answer(&mut link, &asked, "result", &format!("<query xmlns='{ADMIN}'>{items}</query>"));
    assert!(told.contains("Ok(People([alice@acme.test, carol@acme.test]))"), "{told}");
    let asked = link.act(RoomAction::ReadAffiliations { request: RequestId(6), affiliation: Affiliation::Owner });
    let error = "<error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let told = answer(&mut link, &asked, "error", error);
    assert!(told.contains("Err(Refusal { condition: \"forbidden\""), "{told}");
}

#[test]
fn an_affiliation_is_set_one_an_iq_and_nicks_are_escaped() {
    let mut link = Link::seated();
    let account = BareJid::from("d'or@acme.test");
    let asked =
        link.act(RoomAction::SetAffiliation { request: RequestId(5), account, affiliation: Affiliation::Outcast });
    assert!(asked.contains("<item affiliation='outcast' jid='d&apos;or@acme.test'/></query></iq>"), "{asked}");
    assert!(answer(&mut link, &asked, "result", "").contains("Ok(Done)"));
    let asked = link.act(RoomAction::PutOut { request: RequestId(6), nick: "<Eve>".into() });
    assert!(asked.contains("<item nick='&lt;Eve&gt;' role='none'/>"), "{asked}");
}

#[test]
fn a_room_is_made_for_members_only_and_stays_as_it_is_otherwise() {
    let mut link = Link::seated();
    let asked = link.act(RoomAction::MakeMembersOnly { request: RequestId(5) });
    assert!(asked.contains("type='get'") && asked.contains("muc#owner"), "{asked}");
    let field = |var: &str, values: &str| format!("<field var='{var}' type='text-single'>{values}</field>");
    let form = [
        field("FORM_TYPE", "<value>http://jabber.org/protocol/muc#roomconfig</value>"),
        "<field type='fixed'><value>Words</value></field>".to_owned(),
        field("muc#roomconfig_roomname", "<value>A &amp; B</value>"),
        field("muc#roomconfig_pubsub", "<value/>"),
        field("muc#roomconfig_roomdesc", ""),
        field("muc#roomconfig_membersonly", "<value>0</value>"),
        field("muc#roomconfig_presencebroadcast", "<value>moderator</value><value>visitor</value>"),
    ]
    .concat();
    let id = attribute(&asked, "id");
    let events = link.got(&format!(
        "<iq type='result' id='{id}' to='gateway@{US}' from='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='form'>{form}</x></query></iq>"
    ));
    assert!(events.is_empty(), "{events:?}");
    let sent = std::mem::take(&mut link.0.out);
    let field = |var: &str, values: &str| format!("<field var='{var}'>{values}</field>");
    let back = [
        field("FORM_TYPE", "<value>http://jabber.org/protocol/muc#roomconfig</value>"),
        field("muc#roomconfig_roomname", "<value>A &amp; B</value>"),
        field("muc#roomconfig_membersonly", "<value>1</value>"),
        field("muc#roomconfig_presencebroadcast", "<value>moderator</value><value>visitor</value>"),
    ]
    .concat();
    assert!(sent.contains("type='set'") && sent.contains(&format!("type='submit'>{back}</x>")), "{sent}");
    assert!(answer(&mut link, &sent, "result", "").contains("request: RequestId(5), answer: Ok(Done)"));
    let asked = link.act(RoomAction::MakeMembersOnly { request: RequestId(7) });
    let form = |fields: &str| {
        let x = format!("<x xmlns='jabber:x:data' type='form'>{fields}</x>");
        format!("<query xmlns='http://jabber.org/protocol/muc#owner'>{x}</query>")
    };
    let closed = field("muc#roomconfig_membersonly", "<value>true</value>");
    assert!(answer(&mut link, &asked, "result", &form(&closed)).contains("Ok(Done)"), "nothing to change");
    let moderated = field("muc#roomconfig_moderatedroom", "<value>1</value>");
    let asked = link.act(RoomAction::MakeMembersOnly { request: RequestId(8) });
    let told = answer(&mut link, &asked, "result", &form(&format!("{closed}{moderated}")));
    assert!(told.contains("Ok(Done)"), "who has voice there is the room's own business");
    let asked = link.act(RoomAction::MakeMembersOnly { request: RequestId(9) });
    let id = attribute(&asked, "id");
    let ejabberd = form(&format!("{closed}{moderated}{}", field("members_by_default", "<value>1</value>")));
    assert!(
        link.got(&format!("<iq type='result' id='{id}' to='gateway@{US}' from='{ROOM}'>{ejabberd}</iq>")).is_empty()
    );
    let sent = std::mem::take(&mut link.0.out);
    assert!(sent.contains("<field var='muc#roomconfig_moderatedroom'><value>0</value></field>"), "{sent}");
    let asked = link.act(RoomAction::MakeMembersOnly { request: RequestId(6) });
    let told = answer(&mut link, &asked, "result", "<query xmlns='http://jabber.org/protocol/muc#owner'/>");
    assert!(told.contains("feature-not-implemented"), "{told}");
}

#[test]
fn a_change_of_configuration_is_told_and_nobody_can_forge_it() {
    let mut link = Link::seated();
    let x = "<x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x>";
    let said = |from: &str| format!("<message type='groupchat' to='{EAR}' from='{from}' id='c'>{x}</message>");
    assert_eq!(link.one(&said(ROOM)), "Configured");
    assert!(link.got(&said(&format!("{ROOM}/Eve"))).iter().all(|event| event.starts_with("Message")));
}
