//! One value or more of every stanza, by name: what the golden files hold.

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{HistoryHash, ListDigest, ListVersion, N, Seq};
use intergroup_schemas::link::*;
use intergroup_schemas::list::{AccountEdit, AccountRow, ListPage, Listed, Policy, Role};

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
        about: Box::new(about()),
        owner: "acme".parse().unwrap(),
        incarnation: "i1".parse().unwrap(),
        head: Seq(7),
        head_hash: HistoryHash([8; 16]),
        list: ListVersion(3),
        digest: ListDigest([6; 16]),
        accounts: 2,
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

fn about() -> About {
    About {
        name: "Apollo\n<1>".into(),
        description: "To the moon & back".into(),
        subject: "'Landing'".into(),
        policy: Policy::Announcements,
    }
}

fn listed(display: &str, role: Role) -> Option<Listed> {
    Some(Listed { display: display.parse().unwrap(), role })
}

fn accounts() -> Vec<AccountEdit> {
    vec![
        AccountEdit { user: "alice".parse().unwrap(), listed: listed("Alice <A&B>", Role::Speak) },
        AccountEdit { user: "bob@eu.acme.example".parse().unwrap(), listed: listed("Bob", Role::ReadOnly) },
        AccountEdit { user: "o'hara".parse().unwrap(), listed: None },
    ]
}

fn page(more: bool) -> ListPage {
    let row = |account: &str, version, listed| AccountRow {
        account: account.parse().unwrap(),
        version: ListVersion(version),
        listed,
    };
    let rows = vec![row("acme/alice", 4, listed("Alice", Role::Speak)), row("globex/bob@x.example", 5, None)];
    ListPage { version: ListVersion(12), digest: ListDigest([5; 16]), accounts: 100_000, rows, more }
}

fn hello_group() -> HelloGroup {
    HelloGroup {
        group: "10001".parse().unwrap(),
        incarnation: Some("i1".parse().unwrap()),
        cursor: Seq(4),
        hash: HistoryHash([1; 16]),
        settled: Seq(2),
        places: vec![(Seq(9), HistoryHash([9; 16])), (Seq(4), HistoryHash([4; 16]))],
        epoch: "k7".parse().unwrap(),
        last_n: N(3),
        run: Some("r5".parse().unwrap()),
    }
}

/// What a gateway sends.
pub(crate) fn to_center() -> Vec<(&'static str, ToCenter)> {
    let group = "10001".parse().unwrap();
    let epoch = || "k7".parse().unwrap();
    let request = |body| ToCenter::Request(Request { id: 9, body });
    let new_group = HelloGroup {
        group: "9999999999999999999".parse().unwrap(),
        incarnation: None,
        cursor: Seq(0),
        hash: HistoryHash::default(),
        settled: Seq(0),
        places: Vec::new(),
        epoch: epoch(),
        last_n: N(0),
        run: None,
    };
    let crossing = "<body>See</body><body xml:lang='de'>\u{1F980} &#x1F980;</body><thread>t1</thread>\
                    <mention begin='0' end='3' account='globex/bob@eu.globex.example'/>\
                    <x xmlns='jabber:x:oob'><url>https://acme.example/a?b&amp;c</url></x>\
                    <p:spoiler xmlns:p='urn:xmpp:spoiler:0'><![CDATA[<&]]></p:spoiler>";
    vec![
        (
            "hello",
            ToCenter::Hello(Hello { version: 1, software: "x 1".into(), groups: vec![hello_group(), new_group] }),
        ),
        ("hello-first", ToCenter::Hello(Hello { version: 1, software: String::new(), groups: Vec::new() })),
        ("relay", ToCenter::Relay(relay())),
        ("relay-without-payload", ToCenter::Relay(Relay { source: None, payload: Bytes::new(), ..relay() })),
        ("relay-of-everything", ToCenter::Relay(Relay { late: false, payload: Bytes::from(crossing), ..relay() })),
        (
            "edit",
            ToCenter::Edit(Edit {
                group,
                epoch: epoch(),
                n: N(35),
                enterprise: "acme".parse().unwrap(),
                base: ListVersion(12),
                accounts: accounts(),
            }),
        ),
        (
            "edit-of-nobody",
            ToCenter::Edit(Edit {
                group,
                epoch: epoch(),
                n: N(1),
                enterprise: "acme".parse().unwrap(),
                base: ListVersion(0),
                accounts: Vec::new(),
            }),
        ),
        ("resume", ToCenter::Resume(Resume { group, after: Seq(3) })),
        (
            "settled",
            ToCenter::Settled(Settled {
                group,
                upto: Seq(9),
                refused: vec![
                    (Seq(8), "k7.2".parse().unwrap(), Condition::Banned),
                    (Seq(9), "k7.3".parse().unwrap(), Condition::RefusedByRoom),
                ],
            }),
        ),
        ("settled-all", ToCenter::Settled(Settled { group, upto: Seq(9), refused: Vec::new() })),
        ("credit", ToCenter::Credit(Credit { count: u32::MAX })),
        ("confirm", ToCenter::Confirm(Confirm { group, epoch: epoch(), n: N(2) })),
        ("request-create-group", request(RequestBody::CreateGroup { name: "A & B".into() })),
        ("request-join-group", request(RequestBody::JoinGroup { group })),
        ("request-leave-group", request(RequestBody::LeaveGroup { group })),
        (
            "request-allow-enterprise",
            request(RequestBody::AllowEnterprise { group, enterprise: "globex".parse().unwrap() }),
        ),
        ("request-delete-group", request(RequestBody::DeleteGroup { group })),
        ("request-list-groups", request(RequestBody::ListGroups {})),
        ("request-show-group", request(RequestBody::ShowGroup { group })),
        ("request-describe-group", request(RequestBody::DescribeGroup { group, about: about() })),
        (
            "request-transfer-group",
            request(RequestBody::TransferGroup { group, enterprise: "globex".parse().unwrap() }),
        ),
        ("request-fetch-list", request(RequestBody::FetchList { group, since: ListVersion(0), after: None })),
        (
            "request-fetch-list-further",
            request(RequestBody::FetchList {
                group,
                since: ListVersion(5),
                after: Some("globex/bob@x.example".parse().unwrap()),
            }),
        ),
    ]
}

/// What the center sends.
pub(crate) fn to_gateway() -> Vec<(&'static str, ToGateway)> {
    let group = "10001".parse().unwrap();
    let enterprise = || "acme".parse().unwrap();
    let gateway = || "main".parse().unwrap();
    let display = || "Acme & Co".parse().unwrap();
    let r = relay();
    let entry = |change| ToGateway::Entry(Entry { group, seq: Seq(2), list: ListVersion(2), change });
    let response = |body| ToGateway::Response(Response { id: 9, body });
    let skip = |reason| ToGateway::Skip(Skip { group, from: Seq(44), to: Seq(60), reason, hash: HistoryHash([9; 16]) });
    let welcome_group = |standing, history| WelcomeGroup {
        group,
        standing,
        incarnation: "i1".parse().unwrap(),
        head: Seq(9),
        history,
        common: Seq(31),
        decided: N(8),
        list: ListVersion(3),
        digest: ListDigest([4; 16]),
        settled: Seq(7),
        before: (standing == Standing::Member).then(|| "r4".parse().unwrap()),
    };
    vec![
        (
            "welcome",
            ToGateway::Welcome(Welcome {
                version: 1,
                enterprise: enterprise(),
                gateway: gateway(),
                display: display(),
                credit: 10,
                window: 20,
                payload_bytes: 30,
                groups: vec![
                    welcome_group(Standing::Member, History::Same),
                    welcome_group(Standing::Left, History::Forked),
                    welcome_group(Standing::Deleted, History::Trimmed),
                    welcome_group(Standing::Unknown, History::Same),
                ],
            }),
        ),
        (
            "decided",
            ToGateway::Decided(Decided {
                group,
                epoch: "k7".parse().unwrap(),
                n: N(36),
                refused: vec![(N(35), Condition::NotAMember)],
            }),
        ),
        ("expect", ToGateway::Expect(Expect { group, epoch: "k7".parse().unwrap(), n: N(3), fork: false })),
        ("expect-fork", ToGateway::Expect(Expect { group, epoch: "k7".parse().unwrap(), n: N(3), fork: true })),
        ("resumed", ToGateway::Resumed(Resume { group, after: Seq(3) })),
        (
            "deliver",
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
        ),
        ("own", ToGateway::Own(Own { group, seq: Seq(43), key: "x2.9".parse().unwrap() })),
        ("skip-expired", skip(SkipReason::Expired)),
        ("skip-before-you-joined", skip(SkipReason::BeforeYouJoined)),
        ("skip-lost", skip(SkipReason::Lost)),
        ("entry-joined", entry(Change::Joined { enterprise: enterprise(), gateway: gateway(), display: display() })),
        ("entry-left", entry(Change::Left { enterprise: enterprise(), gateway: gateway(), display: display() })),
        ("entry-deleted", entry(Change::Deleted {})),
        (
            "entry-listed",
            entry(Change::Listed { enterprise: enterprise(), accounts: accounts(), digest: ListDigest([3; 16]) }),
        ),
        ("entry-unlisted", entry(Change::Unlisted { enterprise: enterprise(), digest: ListDigest([2; 16]) })),
        ("entry-described", entry(Change::Described(about()))),
        ("entry-owned", entry(Change::Owned { enterprise: enterprise() })),
        ("entry-suspended", entry(Change::Suspended { enterprise: enterprise() })),
        ("entry-resumed", entry(Change::Resumed { enterprise: enterprise() })),
        (
            "fate",
            ToGateway::Fate(Fate {
                group,
                enterprise: enterprise(),
                gateway: gateway(),
                upto: Seq(5),
                refused: vec![("k7.2".parse().unwrap(), Condition::Kicked)],
            }),
        ),
        ("response-list", response(ResponseBody::List { group, page: page(true) })),
        (
            "response-list-end",
            response(ResponseBody::List { group, page: ListPage { rows: Vec::new(), ..page(false) } }),
        ),
        ("response-done", response(ResponseBody::Done {})),
        ("response-group", response(ResponseBody::Group(group_info()))),
        ("response-groups", response(ResponseBody::Groups { groups: vec![group_info(), group_info()] })),
        ("response-refused", response(ResponseBody::Refused { condition: Condition::NotOwner, text: "no".into() })),
        ("bye", ToGateway::Bye(Bye { condition: Condition::Suspended, text: "it's <over>".into() })),
    ]
}
