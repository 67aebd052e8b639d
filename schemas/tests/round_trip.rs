//! Every stanza comes back from the wire as it went.

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{HistoryHash, ListVersion, N, Seq};
use intergroup_schemas::link::decode::{self, DecodeError};
use intergroup_schemas::link::*;

fn relay() -> Relay {
    Relay {
        group: "10001".parse().unwrap(),
        epoch: "k7".parse().unwrap(),
        n: N(34),
        source: Some("1f2e:1795343122551175".parse().unwrap()),
        list: ListVersion(12),
        user: "alice".parse().unwrap(),
        nick: "Al<i>'ce & \"co\"".parse().unwrap(),
        at: Timestamp(1_795_343_122_123),
        late: true,
        payload: Bytes::from_static(b"<body>hi &amp; bye</body>"),
    }
}

fn group_info() -> GroupInfo {
    GroupInfo {
        number: "10001".parse().unwrap(),
        name: "Apollo\n<1>".into(),
        owner: "acme".parse().unwrap(),
        incarnation: "i1".parse().unwrap(),
        head: Seq(7),
        head_hash: HistoryHash([8; 16]),
        list: ListVersion(3),
        standing: Standing::Member,
        joined_at: Seq(1),
        joined_hash: HistoryHash([7; 16]),
        allowed: vec!["globex".parse().unwrap()],
        members: vec![MemberInfo {
            enterprise: "acme".parse().unwrap(),
            display: "Acme".parse().unwrap(),
            gateway: "main".parse().unwrap(),
            settled: Seq(6),
            online: true,
        }],
    }
}

#[test]
fn to_center() {
    let group = "10001".parse().unwrap();
    let epoch = || "k7".parse().unwrap();
    let request = |body| ToCenter::Request(Request { id: 9, body });
    for stanza in [
        ToCenter::Hello(Hello {
            version: 1,
            software: "x 1".into(),
            groups: vec![HelloGroup {
                group,
                incarnation: Some("i1".parse().unwrap()),
                cursor: Seq(4),
                hash: HistoryHash([1; 16]),
                places: vec![(Seq(9), HistoryHash([9; 16])), (Seq(4), HistoryHash([4; 16]))],
                epoch: epoch(),
                last_n: N(3),
            }],
        }),
        ToCenter::Relay(relay()),
        ToCenter::Relay(Relay { source: None, late: false, payload: Bytes::new(), ..relay() }),
        ToCenter::Resume(Resume { group, after: Seq(3) }),
        ToCenter::Settled(Settled {
            group,
            upto: Seq(9),
            refused: vec![(Seq(8), "k7.2".parse().unwrap(), Condition::Banned)],
        }),
        ToCenter::Credit(Credit { count: 3 }),
        ToCenter::Confirm(Confirm { group, epoch: epoch(), n: N(2) }),
        request(RequestBody::CreateGroup { name: "A & B".into() }),
        request(RequestBody::JoinGroup { group }),
        request(RequestBody::LeaveGroup { group }),
        request(RequestBody::AllowEnterprise { group, enterprise: "globex".parse().unwrap() }),
        request(RequestBody::DeleteGroup { group }),
        request(RequestBody::ListGroups {}),
        request(RequestBody::ShowGroup { group }),
    ] {
        let frame = Bytes::from(encode::to_center(&stanza));
        assert_eq!(decode::to_center(&frame).as_ref(), Ok(&stanza), "{frame:?}");
    }
}

#[test]
fn to_gateway() {
    let group = "10001".parse().unwrap();
    let enterprise = || "acme".parse().unwrap();
    let gateway = || "main".parse().unwrap();
    let display = || "Acme & Co".parse().unwrap();
    let r = relay();
    let entry = |change| ToGateway::Entry(Entry { group, seq: Seq(2), list: ListVersion(2), change });
    let response = |body| ToGateway::Response(Response { id: 9, body });
    for stanza in [
        ToGateway::Welcome(Welcome {
            version: 1,
            enterprise: enterprise(),
            gateway: gateway(),
            display: display(),
            credit: 10,
            window: 20,
            payload_bytes: 30,
            groups: vec![WelcomeGroup {
                group,
                standing: Standing::Left,
                incarnation: "i1".parse().unwrap(),
                head: Seq(9),
                history: History::Forked,
                common: Seq(31),
                decided: N(8),
                list: ListVersion(3),
            }],
        }),
        ToGateway::Decided(Decided {
            group,
            epoch: "k7".parse().unwrap(),
            n: N(36),
            refused: vec![(N(35), Condition::NotAMember)],
        }),
        ToGateway::Expect(Expect { group, epoch: "k7".parse().unwrap(), n: N(3), fork: true }),
        ToGateway::Resumed(Resume { group, after: Seq(3) }),
        ToGateway::Deliver(Deliver {
            group,
            seq: Seq(42),
            enterprise: enterprise(),
            key: "k7.34".parse().unwrap(),
            list: r.list,
            user: r.user.clone(),
            nick: r.nick.clone(),
            at: r.at,
            late: false,
            payload: r.payload.clone(),
        }),
        ToGateway::Own(Own { group, seq: Seq(43), key: "x2.9".parse().unwrap() }),
        ToGateway::Skip(Skip {
            group,
            from: Seq(44),
            to: Seq(60),
            reason: SkipReason::BeforeYouJoined,
            hash: HistoryHash([9; 16]),
        }),
        entry(Change::Joined { enterprise: enterprise(), gateway: gateway(), display: display() }),
        entry(Change::Left { enterprise: enterprise(), gateway: gateway(), display: display() }),
        entry(Change::Deleted {}),
        ToGateway::Fate(Fate {
            group,
            enterprise: enterprise(),
            gateway: gateway(),
            upto: Seq(5),
            refused: vec![("k7.2".parse().unwrap(), Condition::Kicked)],
        }),
        response(ResponseBody::Done {}),
        response(ResponseBody::Group(group_info())),
        response(ResponseBody::Groups { groups: vec![group_info(), group_info()] }),
        response(ResponseBody::Refused { condition: Condition::NotOwner, text: "no".into() }),
        ToGateway::Bye(Bye { condition: Condition::Suspended, text: "x".into() }),
    ] {
        let frame = Bytes::from(encode::to_gateway(&stanza));
        assert_eq!(decode::to_gateway(&frame).as_ref(), Ok(&stanza), "{frame:?}");
    }
}

#[test]
fn a_bad_payload_refuses_one_message_and_a_bad_envelope_the_link() {
    let frame = |payload: &str| {
        Bytes::from(format!(
            "<relay xmlns='{NAMESPACE}' group='1' epoch='k' n='2' list='1' user='a' nick='A' \
             at='2026-11-22T09:00:00.123Z'>{payload}</relay>"
        ))
    };
    assert!(decode::to_center(&frame("<body>x</body>")).is_ok());
    for bad in ["<body>", "<b>&x;</b>", "x", "<b>\u{2}</b>", "</relay><relay>", "<body/></relay>"] {
        let refused = decode::to_center(&frame(bad));
        assert!(matches!(refused, Err(DecodeError::Relay { n: N(2), .. })), "{bad}: {refused:?}");
    }
    for bad in [
        "",
        "x",
        "<relay/>",
        "<relay xmlns='urn:x' group='1'/>",
        "<!DOCTYPE x>",
        "<hello xmlns='urn:intergroup:link:1'/>",
    ] {
        let refused = decode::to_center(&Bytes::copy_from_slice(bad.as_bytes()));
        assert!(matches!(refused, Err(DecodeError::Link { .. })), "{bad}: {refused:?}");
    }
}
