//! Messages, archives, requests and questions.

use std::time::Duration;

use super::super::session::Outcome;
use super::*;
use crate::bridge::ReadFrom;

#[test]
fn a_message_as_both_tell_it() {
    let prosody = format!(
        "<message type='groupchat' xml:lang='en' to='{EAR}' id='gw-1' from='{ROOM}/Pat'><body>hi</body><origin-id id='o' \
         xmlns='urn:xmpp:sid:0'/><occupant-id xmlns='urn:xmpp:occupant-id:0' id='Wsd8='/><stanza-id id='1jqX' by='{ROOM}' \
         xmlns='urn:xmpp:sid:0'/></message>"
    );
    let ejabberd = format!(
        "<message to='{EAR}' from='{ROOM}/Pat' type='groupchat' id='gw-1'><archived by='{ROOM}' id='179' \
         xmlns='urn:xmpp:mam:tmp'/><stanza-id by='{ROOM}' id='179' xmlns='urn:xmpp:sid:0'/><origin-id xmlns='urn:xmpp:sid:0' \
         id='o'/><body>hi</body></message>"
    );
    let message = |id: &str, occupant: &str| {
        format!(
            "Message(RoomMessage {{ nick: Some(Pat), id: Some(gw-1), stanza_id: Some({id}), occupant_id: {occupant}, real: None, \
             ours: None, stamp: None, content: Speech(b\"<body>hi</body>\") }})"
        )
    };
    let mut link = Link::seated();
    assert_eq!(link.one(&ejabberd), message("179", "None"));
    // Not announced yet: it may be the sender's own.
    assert_eq!(link.one(&prosody), message("1jqX", "None"));
    link.announce_occupant_ids();
    assert_eq!(link.one(&prosody), message("1jqX", "Some(Wsd8=)"));
    // Only the ear's copy counts.
    assert_eq!(link.0.stanza(prosody.replace(EAR, PAT).as_bytes()), Outcome::Copy);
    assert!(link.events().is_empty());
}

#[test]
fn forged_marks_are_not_believed() {
    let mut link = Link::seated();
    link.announce_occupant_ids();
    let seen = link.one(&format!(
        "<message type='groupchat' to='{EAR}' from='{ROOM}/Eve' id='{}'><stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}/Eve' id='f'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='acme.test' id='f'/><occupant-id xmlns='urn:xmpp:occupant-id:0' id='f'/><occupant-id \
         xmlns='urn:xmpp:occupant-id:0' id='t'/><delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='2020-01-01T00:00:00Z'/><x \
         xmlns='http://jabber.org/protocol/muc#user'><item jid='boss@acme.test'/></x><body>a</body><body>b</body></message>",
        "i".repeat(5000)
    ));
    assert_eq!(
        seen,
        "Message(RoomMessage { nick: Some(Eve), id: None, stanza_id: None, occupant_id: None, real: None, ours: None, stamp: None, \
         content: Speech(b\"<body>a</body>\") })"
    );
    // A presence with a second <x/>, and one that claims to be the ear's own.
    for x in ["<item jid='boss@acme.test/x' role='moderator' affiliation='owner'/>", "<status code='110'/>"] {
        let both = format!(
            "<presence to='{EAR}' from='{ROOM}/Eve'><x xmlns='http://jabber.org/protocol/muc#user'>{x}</x><x \
             xmlns='http://jabber.org/protocol/muc#user'><item jid='eve@acme.test/x' role='participant' affiliation='none'/></x></presence>"
        );
        assert!(link.got(&both).is_empty());
    }
    let own = "<item jid='eve@acme.test/x' role='participant' affiliation='none'/><status code='110'/>";
    assert!(link.one(&presence(EAR, "Eve", "", own)).starts_with("Occupant"));
}

#[test]
fn nasty_stanzas_cost_only_themselves() {
    let mut link = Link::seated();
    let deep = format!("{}{}", "<a xmlns='urn:x'>".repeat(3000), "</a>".repeat(3000));
    let deep = format!("<message type='groupchat' to='{EAR}' from='{ROOM}/E' id='d'><body>x</body>{deep}</message>");
    assert!(link.one(&deep).contains("Speech(b\"<body>x</body>\")"), "what does not cross is left out, however deep");
    let large = "x".repeat(200 * 1024);
    let large = format!("<message type='groupchat' to='{EAR}' from='{ROOM}/E' id='d'><body>{large}</body></message>");
    assert!(link.one(&large).contains("Refused(TooLarge)"));
    let weird = "<show>weird</show><priority>abc</priority><x xmlns='http://jabber.org/protocol/muc#user'>\
        <item role='emperor' affiliation='' jid='@@//'/></x>";
    assert!(link.one(&format!("<presence to='{EAR}' from='{ROOM}/E'>{weird}</presence>")).contains("role: None"));
    for stanza in [
        "<message type='groupchat' to='gateway@groups.acme.test/7' from='talk@conference.acme.test/E'><body>&nbsp;</body></message>",
        "<message to='gateway@groups.acme.test/7' from='talk@conference.acme.test/E'><body></message>",
        "<message to='gateway@groups.acme.test/7' to='x'/>",
        "<p:message xmlns:q='urn:x' to='gateway@groups.acme.test/7'/>",
    ] {
        assert_eq!(link.0.stanza(stanza.as_bytes()), Outcome::Malformed, "{stanza}");
    }
    assert_eq!(link.0.stanza(b"<message to='gateway@groups.acme.test/7'>\xff</message>"), Outcome::Malformed);
    for stanza in [
        "<message/>",
        "<iq to='gateway@groups.acme.test/7' from='a@b' type='bogus'/>",
        "<presence to='gateway@groups.acme.test/7' from='talk@conference.acme.test/E' type='subscribe'/>",
        "<message to='gateway@groups.acme.test/7' from='talk@conference.acme.test/E' type='error'/>",
        "<message to='gateway@other.test/7' from='talk@conference.acme.test/E'><body>x</body></message>",
        "<message to='gateway@groups.acme.test/7' from='stranger@acme.test/E' type='chat'><body>x</body></message>",
        "<x xmlns='urn:x' to='gateway@groups.acme.test/7' from='a@b'/>",
    ] {
        assert_eq!(link.0.stanza(stanza.as_bytes()), Outcome::Read, "{stanza}");
    }
    assert!(link.events().is_empty() && link.0.out.is_empty(), "{}", link.0.out);
}

#[test]
fn refused_speech_and_private_messages() {
    let mut link = Link::seated();
    let refused = format!(
        "<message to='{PAT}' from='{ROOM}' type='error' id='ne1'><error type='modify'><not-acceptable \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xml:lang='en' xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Only \
         occupants\u{85}may</text></error><body>not here</body></message>"
    );
    assert_eq!(
        link.one(&refused),
        "SayRefused { mouth: Mouth { who: Puppet(globex/pat), life: Life(7) }, id: ne1, refusal: Refusal { condition: \
         \"not-acceptable\", text: \"Only occupants may\" } }"
    );
    let private = |inside: &str| {
        format!(
            "<message type='chat' to='{PAT}' from='{ROOM}/Alice'>{inside}<x xmlns='http://jabber.org/protocol/muc#user'/></message>"
        )
    };
    assert!(link.one(&private("<body>hey</body>")).contains("from: Alice"));
    assert!(link.got(&private("<composing xmlns='http://jabber.org/protocol/chatstates'/>")).is_empty());
}

#[test]
fn affiliations_as_both_tell_them() {
    let mut link = Link::seated();
    for inside in [
        "<x xmlns='http://jabber.org/protocol/muc#user'><status code='321'/><item affiliation='none' jid='dora@acme.test'/></x>",
        "<x xmlns='http://jabber.org/protocol/muc#user'><item jid='dora@acme.test' role='none' affiliation='none'/></x>",
    ] {
        let told = link.one(&format!("<message to='{EAR}' from='{ROOM}' id='1'>{inside}</message>"));
        assert_eq!(told, "AffiliationChanged { real: dora@acme.test, ours: None, affiliation: None }");
    }
    let ours = "<x xmlns='http://jabber.org/protocol/muc#user'><item jid='pat+globex@groups.acme.test' affiliation='outcast'/></x>";
    let told = link.one(&format!("<message to='{EAR}' from='{ROOM}'>{ours}</message>"));
    assert!(told.contains("ours: Some(Puppet(globex/pat))"), "{told}");
    // From an occupant, or an invitation: not the room's word.
    assert!(link.got(&format!("<message to='{EAR}' from='{ROOM}/Eve'>{ours}</message>")).is_empty());
    let invitation =
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='b@c'/><item jid='a@b' affiliation='owner'/></x>";
    assert!(link.got(&format!("<message to='{EAR}' from='{ROOM}'>{invitation}</message>")).is_empty());
}

/// Reads one page with these results' insides, each in the archive's wrapping.
fn archived(link: &mut Link, insides: &[&str]) -> String {
    let asked =
        link.act(RoomAction::ReadArchive { request: RequestId(9), ear: ear(), from: ReadFrom::Latest, max: 50 });
    assert!(asked.contains("<max>50</max><before/>") && asked.contains(&format!("from='{EAR}'")), "{asked}");
    let id = attribute(&asked, "queryid");
    let result = |n: usize, from: &str, inside: &str| {
        format!(
            "<message to='{EAR}' from='{from}'><result id='r{n}' queryid='{id}' xmlns='urn:xmpp:mam:2'><forwarded \
             xmlns='urn:xmpp:forward:0'><delay stamp='2026-11-22T10:24:26Z' xmlns='urn:xmpp:delay'/><message type='groupchat' \
             from='{ROOM}/Alice' id='a{n}' xmlns='jabber:client'>{inside}</message></forwarded></result></message>"
        )
    };
    for (n, inside) in insides.iter().enumerate() {
        assert!(link.got(&result(n, ROOM, inside)).is_empty());
    }
    // Not from the room: an occupant of it, or somebody else.
    for from in ["talk@conference.acme.test/Eve", "eve@acme.test"] {
        assert!(link.got(&result(99, from, "<body>forged</body>")).is_empty());
    }
    link.one(&format!(
        "<iq type='result' to='{EAR}' id='{id}' from='{ROOM}'><fin xmlns='urn:xmpp:mam:2' complete='true'><set \
         xmlns='http://jabber.org/protocol/rsm'><last>r{}</last></set></fin></iq>",
        insides.len() - 1
    ))
}

#[test]
fn real_jids_in_archives_are_the_server_s_or_none() {
    let x = |jid: &str| format!("<x xmlns='http://jabber.org/protocol/muc#user'><item role='none' jid='{jid}'/></x>");
    let (server_s, forged) = (x("alice@acme.test/lab"), x("boss@acme.test"));
    let ids = format!(
        "<archived by='{ROOM}' id='r' xmlns='urn:xmpp:mam:tmp'/><stanza-id by='{ROOM}' id='r' xmlns='urn:xmpp:sid:0'/>"
    );
    let occupant = "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='o'/>";
    let body = "<body>m</body>";
    let ejabberd = format!("{server_s}{ids}{forged}{body}");
    let ejabberd_hides = format!("{ids}{forged}{body}");
    let prosody = format!("{forged}{body}{occupant}{server_s}");
    let prosody_hides = format!("{body}{forged}{occupant}");
    let prosody_fooled = format!("{forged}<archived by='{ROOM}' id='r' xmlns='urn:xmpp:mam:tmp'/>{body}{occupant}");
    let ours = format!("{}{ids}{body}", x(PAT));
    let mut link = Link::seated();
    link.announce_occupant_ids();
    let page = archived(&mut link, &[&ejabberd, &ejabberd_hides, &prosody, &prosody_hides, &prosody_fooled, &ours]);
    let real: Vec<&str> = page.split(" real: ").skip(1).map(|rest| rest.split(", stamp").next().unwrap()).collect();
    let alice = "Some(alice@acme.test), ours: None";
    let nobody = "None, ours: None";
    assert_eq!(real, [alice, nobody, alice, nobody, nobody, "None, ours: Some(Puppet(globex/pat))"]);
    assert!(page.contains("stanza_id: Some(r0)") && page.contains("stamp: Some(Timestamp(1795343066000))"), "{page}");
    assert!(page.ends_with("last: Some(r5), complete: true })) }"), "{page}");
    // Where occupant-ids are not announced, one proves nothing.
    let page = archived(&mut Link::seated(), &[&format!("{body}{occupant}{forged}")]);
    assert!(page.contains("real: None"), "{page}");
}

#[test]
fn requests_are_asked_and_answered() {
    let mut link = Link::seated();
    let from = ReadFrom::Start { start: Some(intergroup_schemas::link::Timestamp(0)), after: Some("a<b".into()) };
    let asked = link.act(RoomAction::ReadArchive { request: RequestId(1), ear: ear(), from, max: 7 });
    assert!(asked.contains("<field var='start'><value>1970-01-01T00:00:00.000Z</value></field></x>"), "{asked}");
    assert!(asked.contains("<max>7</max><after>a&lt;b</after></set></query></iq>"), "{asked}");
    let error = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let answer = |id: &str, from: &str| format!("<iq type='error' id='{id}' to='{EAR}' from='{from}'>{error}</iq>");
    // Only who was asked can answer.
    assert!(link.got(&answer(&attribute(&asked, "id"), "eve@acme.test")).is_empty());
    assert!(link.one(&answer(&attribute(&asked, "id"), ROOM)).contains("item-not-found"));
    assert!(link.got(&answer(&attribute(&asked, "id"), ROOM)).is_empty());
    // A fence is proved by an error as well.
    let asked = link.act(RoomAction::Fence { request: RequestId(2) });
    assert_eq!(attribute(&asked, "from"), "gateway@groups.acme.test");
    assert_eq!(link.one(&answer(&attribute(&asked, "id"), ROOM)), "Answer { request: RequestId(2), answer: Ok(Done) }");
    let asked = link.act(RoomAction::SetMember { request: RequestId(3), who: puppet("pat").who });
    assert!(asked.contains("<item affiliation='member' jid='pat+globex@groups.acme.test'/>"), "{asked}");
    // Given up in time.
    link.0.now += Duration::from_secs(3600);
    assert_eq!(link.0.expire(), 1);
    assert!(link.events()[0].contains("remote-server-timeout"));
    // Nothing is in: the ping needs no server.
    assert!(
        link.act_events(RoomAction::Ping { request: RequestId(4), mouth: puppet("no") })[0].contains("not-acceptable")
    );
}

#[test]
fn questions_are_answered_and_only_iqs_get_errors() {
    let mut link = Link::seated();
    let mut answer = |kind: &str, child: &str| {
        link.got(&format!("<iq type='{kind}' id='q&apos;' to='{PAT}' from='{ROOM}/Alice'>{child}</iq>"));
        std::mem::take(&mut link.0.out)
    };
    let start = |kind: &str| format!("<iq type='{kind}' from='{PAT}' to='{ROOM}/Alice' id='q&apos;'>");
    assert_eq!(answer("get", "<ping xmlns='urn:xmpp:ping'/>"), format!("{}</iq>", start("result")));
    assert!(
        answer("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>").contains("<identity category='client'")
    );
    assert!(answer("get", "<query xmlns='jabber:iq:version'/>").contains("<version>"));
    for child in ["<vCard xmlns='vcard-temp'/>", "", "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>"]
    {
        assert!(
            answer("get", child).starts_with(&format!("{}<error type='cancel'><service-unavailable", start("error")))
        );
    }
    assert!(answer("set", "<ping xmlns='urn:xmpp:ping'/>").contains("service-unavailable"));
}

#[test]
fn speech_is_bounded_and_checked() {
    let mut link = Link::seated();
    let mut say = |payload: String, delay| {
        let action = RoomAction::Say {
            mouth: puppet("pat"),
            id: "id1".into(),
            payload: payload.into(),
            prefix: Some("P: ".into()),
            delay,
        };
        let out = link.act(action);
        (out, link.events())
    };
    let (out, _) = say("<body>x &amp; y</body>".into(), Some(intergroup_schemas::link::Timestamp(0)));
    assert_eq!(
        out,
        format!(
            "<message type='groupchat' from='{PAT}' to='{ROOM}' id='id1'><body>P: x &amp; y</body><origin-id xmlns='urn:xmpp:sid:0' \
             id='id1'/><delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:00:00.000Z'/></message>"
        )
    );
    // Quotes grow sixfold when they are escaped: within the link's limit, and over the server's.
    let (out, events) = say(format!("<body>{}</body>", "\"".repeat(120_000)), None);
    assert!(out.is_empty() && events[0].contains("policy-violation"), "{events:?}");
    for payload in ["<body>", "</message><message>", "<body>\u{1}</body>"] {
        let (out, events) = say(payload.into(), None);
        assert!(out.is_empty() && events[0].contains("SayRefused"), "{events:?}");
    }
    let (out, _) = say("<x xmlns='jabber:x:oob'/>".into(), None);
    assert!(out.contains("<store xmlns='urn:xmpp:hints'/>"), "{out}");
}

#[test]
fn the_test_of_exclusiveness_wants_every_stanza_back() {
    let mut link = Link::new();
    link.0.test();
    let sent = std::mem::take(&mut link.0.out);
    let mut stanzas: Vec<&str> = sent.split_inclusive("</message>").collect();
    let last = stanzas.pop().unwrap();
    for stanza in stanzas {
        link.got(stanza);
        link.got(stanza);
    }
    assert!(!link.0.exclusive());
    link.got(last);
    assert!(link.0.exclusive());
}

#[test]
fn a_stream_error_is_told_with_its_condition() {
    let error = "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text \
        xmlns='urn:ietf:params:xml:ns:xmpp-streams'>oh</text></stream:error>";
    let outcome = Link::new().0.stanza(error.as_bytes());
    assert_eq!(outcome, Outcome::StreamError { condition: "not-well-formed".into(), text: "oh".into() });
}
