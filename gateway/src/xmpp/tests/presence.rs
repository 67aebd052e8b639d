//! Presence: entering, being refused, going.

use super::*;

#[test]
fn entering_as_prosody_tells_it() {
    let mut link = Link::new();
    let asked = link.act(RoomAction::Enter { mouth: puppet("pat"), nick: "Pat <x>".into() });
    assert_eq!(
        asked,
        format!(
            "<presence from='{PAT}' to='{ROOM}/Pat &lt;x&gt;'><x xmlns='http://jabber.org/protocol/muc'>\
             <history maxstanzas='0'/></x></presence>"
        )
    );
    link.announce_occupant_ids();
    let seen = link.one(&format!(
        "<presence to='{PAT}' from='{ROOM}/Pat' xml:lang='en'><occupant-id id='8AmB+sM=' xmlns='urn:xmpp:occupant-id:0'/>\
         <x xmlns='http://jabber.org/protocol/muc#user'><item role='participant' affiliation='none' jid='{PAT}'/>\
         <status code='110'/></x></presence>"
    ));
    assert_eq!(
        seen,
        "In { mouth: Mouth { who: Puppet(globex/pat), life: Life(7) }, nick: Pat, affiliation: None, role: Participant, \
         occupant_id: Some(8AmB+sM=), created: false }"
    );
    // Others' copies end nothing; the subject does, even an empty one, and only once.
    assert!(
        link.got(&format!("<message type='groupchat' to='{PAT}' from='{ROOM}/A'><body>x</body></message>")).is_empty()
    );
    let subject = format!("<message type='groupchat' to='{PAT}' from='{ROOM}' id='1'><subject/></message>");
    assert_eq!(link.one(&subject), "JoinDone { mouth: Mouth { who: Puppet(globex/pat), life: Life(7) } }");
    assert!(link.got(&subject).is_empty());
}

#[test]
fn entering_as_ejabberd_tells_it() {
    let mut link = Link::new();
    link.act(RoomAction::Enter { mouth: ear(), nick: "gateway".into() });
    // The room's own presence is no occupant.
    assert!(
        link.got(&format!(
            "<presence to='{EAR}' from='{ROOM}' id='1'><c xmlns='http://jabber.org/protocol/caps' ver='x'/></presence>"
        ))
        .is_empty()
    );
    let alice = "<item jid='alice@acme.test/lab' role='participant' affiliation='member'/>";
    assert_eq!(
        link.one(&presence(EAR, "Alice", "", alice)),
        "Occupant { nick: Alice, real: Some(alice@acme.test), ours: None, occupant_id: None, affiliation: Member, role: Participant }"
    );
    let own =
        format!("<item jid='{EAR}' role='moderator' affiliation='owner'/><status code='110'/><status code='201'/>");
    assert!(
        link.one(&presence(EAR, "gateway", "", &own)).ends_with("role: Moderator, occupant_id: None, created: true }")
    );
}

#[test]
fn refused_nicks_as_both_tell_it() {
    for stanza in [
        "<error type='cancel' by='talk@conference.acme.test'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x><error type='cancel'><conflict \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xml:lang='en' xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>That \
         nickname is already in use</text></error>",
    ] {
        let mut link = Link::new();
        link.act(RoomAction::Enter { mouth: puppet("pat"), nick: "Alice".into() });
        let refused = format!("<presence type='error' to='{PAT}' from='{ROOM}/Alice'>{stanza}</presence>");
        let told = link.one(&refused);
        assert!(told.starts_with("JoinRefused") && told.contains("condition: \"conflict\""), "{told}");
        // Nothing is asked any more: an echo is nobody's.
        assert!(link.got(&refused).is_empty());
        assert_eq!(link.0.rooms.joining, 0);
    }
    let told = Link::seated().act_events(RoomAction::Enter { mouth: puppet("x"), nick: "".into() });
    assert!(told[0].contains("jid-malformed"), "{told:?}");
}

#[test]
fn a_refused_change_of_nick_leaves_the_old_one() {
    let mut link = Link::seated();
    link.act(RoomAction::Enter { mouth: puppet("pat"), nick: "Patty".into() });
    link.one(&format!("<presence type='error' to='{PAT}' from='{ROOM}/Patty'><error type='cancel'/></presence>"));
    let ping = link.act(RoomAction::Ping { request: RequestId(1), mouth: puppet("pat") });
    assert_eq!(attribute(&ping, "to"), format!("{ROOM}/Pat"));
}

#[test]
fn going_in_every_way() {
    let gone = |x: &str| Link::seated().one(&presence(EAR, "Alice", " type='unavailable'", x));
    let item = "<item role='none' affiliation='none'/>";
    for (code, how) in [
        ("301", "Banned"),
        ("307", "Kicked"),
        ("321", "Removed"),
        ("322", "Removed"),
        ("332", "Unreachable"),
        ("333", "Unreachable"),
    ] {
        assert_eq!(gone(&format!("{item}<status code='{code}'/>")), format!("Gone {{ nick: Alice, how: {how} }}"));
    }
    assert_eq!(
        gone(&format!("<status code='333'/><status code='307'/>{item}")),
        "Gone { nick: Alice, how: Unreachable }"
    );
    assert_eq!(gone(item), "Gone { nick: Alice, how: Left }");
    assert_eq!(
        gone("<item nick='Al' role='participant'/><status code='303'/>"),
        "Gone { nick: Alice, how: Renamed(Al) }"
    );
    // ejabberd destroys a room without saying whose presence it is.
    let destroyed =
        presence(PAT, "Pat", " type='unavailable'", &format!("<destroy><reason>moved</reason></destroy>{item}"));
    let mut link = Link::seated();
    assert!(link.one(&destroyed).ends_with("how: Destroyed }"));
    assert!(link.got(&destroyed).is_empty());
}

#[test]
fn a_kicked_puppet_as_both_tell_it() {
    for x in [
        "<status code='307'/><item role='none' affiliation='member' jid='pat+globex@groups.acme.test/7'><actor nick='Bob'/>\
         <reason>bye</reason></item><status code='110'/>",
        "<item jid='pat+globex@groups.acme.test/7' role='none' affiliation='member'><reason>bye</reason><actor nick='Bob'/>\
         </item><status code='110'/><status code='307'/>",
    ] {
        let mut link = Link::seated();
        let out = link.one(&presence(PAT, "Pat", " type='unavailable'", x));
        assert_eq!(out, "Out { mouth: Mouth { who: Puppet(globex/pat), life: Life(7) }, how: Kicked }");
        assert_eq!(
            link.one(&presence(EAR, "Pat", " type='unavailable'", x)).as_str(),
            "Gone { nick: Pat, how: Kicked }"
        );
    }
}

#[test]
fn an_older_life_s_leaving_is_told_and_its_copies_are_not() {
    let mut link = Link::seated();
    let old = "gateway@groups.acme.test/6";
    let left = presence(old, "gateway", " type='unavailable'", "<item role='none'/><status code='110'/>");
    assert!(link.one(&left).contains("life: Life(6)"));
    for stanza in [
        format!("<message type='groupchat' to='{old}' from='{ROOM}/A' id='1'><body>x</body></message>"),
        presence(old, "A", "", "<item jid='a@acme.test/x' role='participant' affiliation='none'/>"),
        presence(old, "gateway", "", "<item role='moderator' affiliation='owner'/><status code='110'/>"),
    ] {
        assert!(link.got(&stanza).is_empty(), "{stanza}");
    }
}
