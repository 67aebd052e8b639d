//! Properties of the codec, for stanzas and bytes that nobody thought of.

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::*;
use intergroup_schemas::limits;
use intergroup_schemas::link::decode::{self, DecodeError};
use intergroup_schemas::link::*;
use intergroup_schemas::list::{AccountEdit, AccountRow, ListPage, Listed, Policy, Role};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::agreement::payload;
use crate::samples;

// ---------------------------------------------------------------- stanzas

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..100u64, 0..=9_999_999_999_999_999_999u64]
}

fn group() -> impl Strategy<Value = GroupNumber> {
    number().prop_map(GroupNumber)
}

fn seq() -> impl Strategy<Value = Seq> {
    number().prop_map(Seq)
}

fn n() -> impl Strategy<Value = N> {
    number().prop_map(N)
}

fn list() -> impl Strategy<Value = ListVersion> {
    number().prop_map(ListVersion)
}

fn hash() -> impl Strategy<Value = HistoryHash> {
    any::<[u8; 16]>().prop_map(HistoryHash)
}

fn enterprise() -> impl Strategy<Value = EnterpriseId> {
    "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?".prop_map(|s| s.parse().unwrap())
}

fn gateway() -> impl Strategy<Value = GatewayName> {
    "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?".prop_map(|s| s.parse().unwrap())
}

fn epoch() -> impl Strategy<Value = Epoch> {
    "[a-z0-9]{1,16}".prop_map(|s| s.parse().unwrap())
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    "[a-z0-9]{1,16}".prop_map(|s| s.parse().unwrap())
}

fn key() -> impl Strategy<Value = OriginKey> {
    (epoch(), n()).prop_map(|(epoch, n)| OriginKey { epoch, n })
}

/// Text for people: anything visible, with what XML must escape more often than by chance.
fn visible() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec!['<', '>', '&', '\'', '"', ' ', ']', '\u{ff0c}']);
    let allowed = |c: char| if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') { '?' } else { c };
    vec(prop_oneof![any::<char>(), special], 1..40).prop_map(move |chars| chars.into_iter().map(allowed).collect())
}

fn display() -> impl Strategy<Value = DisplayName> {
    visible().prop_map(|s| s.parse().unwrap())
}

fn user() -> impl Strategy<Value = UserId> {
    visible().prop_map(|s| s.replace([' ', '/'], "@").parse().unwrap())
}

fn source() -> impl Strategy<Value = SourceId> {
    visible().prop_map(|s| s.parse().unwrap())
}

/// Free text: any characters of XML, white space among them.
fn text() -> impl Strategy<Value = String> {
    let allowed = |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..) && !matches!(c, '\u{FFFE}' | '\u{FFFF}');
    vec(prop_oneof![any::<char>(), prop::sample::select(vec!['\t', '\n', '\r', '&', '<'])], 0..20)
        .prop_map(move |chars| chars.into_iter().filter(allowed).collect())
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (-62_135_596_800_000..=253_402_300_799_999i64).prop_map(Timestamp)
}

fn condition() -> impl Strategy<Value = Condition> {
    prop::sample::select(Condition::ALL)
}

fn standing() -> impl Strategy<Value = Standing> {
    prop::sample::select(vec![Standing::Member, Standing::Left, Standing::Deleted, Standing::Unknown])
}

fn digest() -> impl Strategy<Value = ListDigest> {
    any::<[u8; 16]>().prop_map(ListDigest)
}

fn about() -> impl Strategy<Value = About> {
    let policy = prop::sample::select(vec![Policy::Open, Policy::Announcements]);
    (text(), text(), text(), policy).prop_map(|(name, description, subject, policy)| About {
        name,
        description,
        subject,
        policy,
    })
}

fn listed() -> impl Strategy<Value = Option<Listed>> {
    let display = visible().prop_filter_map("nothing shows", |s| DisplayName::neutral(&s));
    let role = prop::sample::select(vec![Role::Speak, Role::ReadOnly]);
    prop::option::of((display, role).prop_map(|(display, role)| Listed { display, role }))
}

fn accounts() -> impl Strategy<Value = Vec<AccountEdit>> {
    vec((user(), listed()).prop_map(|(user, listed)| AccountEdit { user, listed }), 0..5)
}

fn account() -> impl Strategy<Value = AccountId> {
    (enterprise(), user()).prop_map(|(enterprise, user)| AccountId { enterprise, user })
}

fn page() -> impl Strategy<Value = ListPage> {
    let row =
        (account(), list(), listed()).prop_map(|(account, version, listed)| AccountRow { account, version, listed });
    (list(), digest(), any::<u64>(), vec(row, 0..5), any::<bool>())
        .prop_map(|(version, digest, accounts, rows, more)| ListPage { version, digest, accounts, rows, more })
}

fn hello_group() -> impl Strategy<Value = HelloGroup> {
    let places = vec((seq(), hash()), 0..=limits::HELLO_PLACES);
    let run = prop::option::of(incarnation());
    (group(), prop::option::of(incarnation()), seq(), hash(), seq(), places, epoch(), (n(), run)).prop_map(
        |(group, incarnation, cursor, hash, settled, places, epoch, (last_n, run))| HelloGroup {
            group,
            incarnation,
            cursor,
            hash,
            settled,
            places,
            epoch,
            last_n,
            run,
        },
    )
}

fn relay() -> impl Strategy<Value = Relay> {
    let identity = (group(), epoch(), n(), prop::option::of(source()), list());
    (identity, user(), display(), moment(), any::<bool>(), payload()).prop_map(
        |((group, epoch, n, source, list), user, nick, at, late, payload)| Relay {
            group,
            epoch,
            n,
            source,
            list,
            user,
            nick,
            at,
            late,
            payload: Bytes::from(payload),
        },
    )
}

fn request() -> impl Strategy<Value = RequestBody> {
    prop_oneof![
        text().prop_map(|name| RequestBody::CreateGroup { name }),
        group().prop_map(|group| RequestBody::JoinGroup { group }),
        group().prop_map(|group| RequestBody::LeaveGroup { group }),
        (group(), enterprise()).prop_map(|(group, enterprise)| RequestBody::AllowEnterprise { group, enterprise }),
        group().prop_map(|group| RequestBody::DeleteGroup { group }),
        Just(RequestBody::ListGroups {}),
        group().prop_map(|group| RequestBody::ShowGroup { group }),
        (group(), about()).prop_map(|(group, about)| RequestBody::DescribeGroup { group, about }),
        (group(), enterprise()).prop_map(|(group, enterprise)| RequestBody::TransferGroup { group, enterprise }),
        (group(), list(), prop::option::of(account())).prop_map(|(group, since, after)| RequestBody::FetchList {
            group,
            since,
            after
        }),
    ]
}

/// Anything that a gateway can send.
pub(crate) fn to_center() -> impl Strategy<Value = ToCenter> {
    let refused = vec((seq(), key(), condition()), 0..=limits::REFUSED_PER_STANZA);
    prop_oneof![
        (any::<u16>(), text(), vec(hello_group(), 0..4))
            .prop_map(|(version, software, groups)| ToCenter::Hello(Hello { version, software, groups })),
        relay().prop_map(ToCenter::Relay),
        (group(), epoch(), n(), enterprise(), list(), accounts()).prop_map(
            |(group, epoch, n, enterprise, base, accounts)| {
                ToCenter::Edit(Edit { group, epoch, n, enterprise, base, accounts })
            }
        ),
        (group(), seq()).prop_map(|(group, after)| ToCenter::Resume(Resume { group, after })),
        (group(), seq(), refused).prop_map(|(group, upto, refused)| ToCenter::Settled(Settled {
            group,
            upto,
            refused
        })),
        any::<u32>().prop_map(|count| ToCenter::Credit(Credit { count })),
        (group(), epoch(), n()).prop_map(|(group, epoch, n)| ToCenter::Confirm(Confirm { group, epoch, n })),
        (any::<u64>(), request()).prop_map(|(id, body)| ToCenter::Request(Request { id, body })),
    ]
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let history = prop::sample::select(vec![History::Same, History::Trimmed, History::Forked]);
    let of_list = (list(), digest(), seq(), prop::option::of(incarnation()));
    let group = (group(), standing(), incarnation(), seq(), history, seq(), n(), of_list).prop_map(
        |(group, standing, incarnation, head, history, common, decided, (list, digest, settled, before))| {
            WelcomeGroup { group, standing, incarnation, head, history, common, decided, list, digest, settled, before }
        },
    );
    let figures = (any::<u16>(), any::<u32>(), any::<u32>(), any::<u32>());
    (figures, enterprise(), gateway(), display(), vec(group, 0..4)).prop_map(
        |((version, credit, window, payload_bytes), enterprise, gateway, display, groups)| Welcome {
            version,
            enterprise,
            gateway,
            display,
            credit,
            window,
            payload_bytes,
            groups,
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (enterprise(), gateway(), display()).prop_map(|(enterprise, gateway, display)| Change::Joined {
            enterprise,
            gateway,
            display
        }),
        (enterprise(), gateway(), display()).prop_map(|(enterprise, gateway, display)| Change::Left {
            enterprise,
            gateway,
            display
        }),
        Just(Change::Deleted {}),
        (enterprise(), accounts(), digest()).prop_map(|(enterprise, accounts, digest)| Change::Listed {
            enterprise,
            accounts,
            digest
        }),
        (enterprise(), digest()).prop_map(|(enterprise, digest)| Change::Unlisted { enterprise, digest }),
        about().prop_map(Change::Described),
        enterprise().prop_map(|enterprise| Change::Owned { enterprise }),
        enterprise().prop_map(|enterprise| Change::Suspended { enterprise }),
        enterprise().prop_map(|enterprise| Change::Resumed { enterprise }),
    ]
}

fn group_info() -> impl Strategy<Value = GroupInfo> {
    let member = (enterprise(), display(), gateway(), seq(), any::<bool>()).prop_map(
        |(enterprise, display, gateway, settled, online)| MemberInfo { enterprise, display, gateway, settled, online },
    );
    let log = (incarnation(), seq(), hash(), (list(), digest(), any::<u64>()), seq(), hash());
    (group(), about(), enterprise(), standing(), log, vec(enterprise(), 0..4), vec(member, 0..4)).prop_map(
        |(
            number,
            about,
            owner,
            standing,
            (incarnation, head, head_hash, (list, digest, accounts), joined_at, joined_hash),
            allowed,
            members,
        )| {
            GroupInfo {
                number,
                about: Box::new(about),
                owner,
                incarnation,
                head,
                head_hash,
                list,
                digest,
                accounts,
                standing,
                joined_at,
                joined_hash,
                allowed,
                members,
            }
        },
    )
}

fn response() -> impl Strategy<Value = ResponseBody> {
    prop_oneof![
        Just(ResponseBody::Done {}),
        group_info().prop_map(ResponseBody::Group),
        vec(group_info(), 0..3).prop_map(|groups| ResponseBody::Groups { groups }),
        (group(), page()).prop_map(|(group, page)| ResponseBody::List { group, page }),
        (condition(), text()).prop_map(|(condition, text)| ResponseBody::Refused { condition, text }),
    ]
}

/// Anything that the center can send.
pub(crate) fn to_gateway() -> impl Strategy<Value = ToGateway> {
    let reason = prop::sample::select(vec![SkipReason::Expired, SkipReason::BeforeYouJoined, SkipReason::Lost]);
    let most = limits::REFUSED_PER_STANZA;
    prop_oneof![
        welcome().prop_map(ToGateway::Welcome),
        (group(), epoch(), n(), vec((n(), condition()), 0..=most))
            .prop_map(|(group, epoch, n, refused)| ToGateway::Decided(Decided { group, epoch, n, refused })),
        (group(), epoch(), n(), any::<bool>()).prop_map(|(group, epoch, n, fork)| ToGateway::Expect(Expect {
            group,
            epoch,
            n,
            fork
        })),
        (group(), seq()).prop_map(|(group, after)| ToGateway::Resumed(Resume { group, after })),
        (relay(), seq(), enterprise()).prop_map(|(r, seq, enterprise)| ToGateway::Deliver(Deliver {
            group: r.group,
            seq,
            enterprise,
            key: OriginKey { epoch: r.epoch, n: r.n },
            list: r.list,
            user: r.user,
            nick: r.nick,
            at: r.at,
            late: r.late,
            payload: r.payload,
        })),
        (group(), seq(), key()).prop_map(|(group, seq, key)| ToGateway::Own(Own { group, seq, key })),
        (group(), seq(), seq(), reason, hash()).prop_map(|(group, from, to, reason, hash)| ToGateway::Skip(Skip {
            group,
            from,
            to,
            reason,
            hash
        })),
        (group(), seq(), list(), change()).prop_map(|(group, seq, list, change)| ToGateway::Entry(Entry {
            group,
            seq,
            list,
            change
        })),
        (group(), enterprise(), gateway(), seq(), vec((key(), condition()), 0..=most)).prop_map(
            |(group, enterprise, gateway, upto, refused)| ToGateway::Fate(Fate {
                group,
                enterprise,
                gateway,
                upto,
                refused
            })
        ),
        (any::<u64>(), response()).prop_map(|(id, body)| ToGateway::Response(Response { id, body })),
        (condition(), text()).prop_map(|(condition, text)| ToGateway::Bye(Bye { condition, text })),
    ]
}

proptest! {
    #[test]
    fn stanzas_to_the_center_come_back(stanza in to_center()) {
        let frame = Bytes::from(encode::to_center(&stanza));
        prop_assert_eq!(decode::to_center(&frame), Ok(stanza));
    }

    #[test]
    fn stanzas_to_a_gateway_come_back(stanza in to_gateway()) {
        let frame = Bytes::from(encode::to_gateway(&stanza));
        prop_assert_eq!(decode::to_gateway(&frame), Ok(stanza));
    }

    /// What the center delivers is what the gateway relayed.
    #[test]
    fn a_relay_is_delivered_as_it_was(r in relay(), seq in seq(), enterprise in enterprise()) {
        let frame = Bytes::from(encode::deliver(&r, seq, &enterprise));
        let Ok(ToGateway::Deliver(d)) = decode::to_gateway(&frame) else { panic!("{frame:?}") };
        prop_assert_eq!((d.seq, d.enterprise), (seq, enterprise));
        prop_assert_eq!((d.key.epoch, d.key.n), (r.epoch, r.n));
        prop_assert_eq!((d.group, d.list, d.user, d.nick), (r.group, r.list, r.user, r.nick));
        prop_assert_eq!((d.at, d.late, d.payload), (r.at, r.late, r.payload));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        read(Bytes::from(bytes));
    }

    #[test]
    fn any_markup_is_read_or_refused(pieces in vec(piece(), 0..60)) {
        read(Bytes::from(pieces.concat()));
    }

    /// Golden frames with a few bytes changed, cut out or doubled.
    #[test]
    fn damaged_frames_are_read_or_refused(
        which in any::<prop::sample::Index>(),
        wounds in vec((any::<prop::sample::Index>(), 0..4u8, any::<u8>()), 1..4),
    ) {
        let mut frames: Vec<String> = samples::to_center().iter().map(|(_, s)| encode::to_center(s)).collect();
        frames.extend(samples::to_gateway().iter().map(|(_, s)| encode::to_gateway(s)));
        let mut bytes = which.get(&frames).clone().into_bytes();
        for (place, wound, byte) in wounds {
            let at = place.index(bytes.len());
            match wound {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let half = bytes[at / 2..at].to_vec();
                    bytes.splice(at..at, half);
                }
            }
        }
        read(Bytes::from(bytes));
    }
}

fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "<relay xmlns='urn:intergroup:link:1' group='1' epoch='k' n='2' list='1' user='a' nick='A' at='2026-11-22T09:00:00.123Z'>",
        "<settled xmlns='urn:intergroup:link:1' group='1' upto='2'>",
        "<deliver xmlns='urn:intergroup:link:1' ",
        "</relay>",
        "</",
        "<",
        ">",
        "/>",
        "='",
        "'",
        "\"",
        "&amp;",
        "&#",
        ";",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?",
        "?>",
        "x",
        " ",
        "xmlns:p",
        "p:",
        ":",
        "\u{e4}",
        "\u{0}",
        "\u{ffff}",
    ])
}

/// Reads a frame both ways. What is read must be written and read again without a change.
fn read(frame: Bytes) {
    if let Ok(stanza) = decode::to_center(&frame) {
        let again = decode::to_center(&Bytes::from(encode::to_center(&stanza)));
        assert_eq!(again, Ok(stanza), "{frame:?}");
    }
    if let Ok(stanza) = decode::to_gateway(&frame) {
        let again = decode::to_gateway(&Bytes::from(encode::to_gateway(&stanza)));
        assert_eq!(again, Ok(stanza), "{frame:?}");
    }
}

#[test]
fn bounds_hold_to_the_byte() {
    let sample = samples::to_center().into_iter().find_map(|(_, s)| match s {
        ToCenter::Relay(relay) => Some(relay),
        _ => None,
    });
    let sample = sample.expect("a relay");
    let decode = |payload: String| {
        let relay = Relay { payload: Bytes::from(payload), ..sample.clone() };
        decode::to_center(&Bytes::from(encode::to_center(&ToCenter::Relay(relay)))).map(|_| ())
    };
    let refused = |result: Result<(), DecodeError>| match result {
        Err(DecodeError::Relay { condition, .. } | DecodeError::Link { condition, .. }) => Some(condition),
        Ok(()) => None,
    };
    let of_size = |size: usize| format!("<body>{}</body>", "x".repeat(size - "<body></body>".len()));
    assert_eq!(refused(decode(of_size(limits::PAYLOAD_BYTES))), None);
    assert_eq!(refused(decode(of_size(limits::PAYLOAD_BYTES + 1))), Some(Condition::TooLarge));
    assert_eq!(refused(decode(of_size(limits::FRAME_BYTES))), Some(Condition::TooLarge), "the whole frame");
    let deep = |depth: usize| "<a>".repeat(depth - 1) + "<a/>" + &"</a>".repeat(depth - 1);
    assert_eq!(refused(decode(deep(limits::PAYLOAD_DEPTH))), None);
    assert_eq!(refused(decode(deep(limits::PAYLOAD_DEPTH + 1))), Some(Condition::TooLarge));
    let broad = |attributes: usize| {
        let list: String = (0..attributes).map(|n| format!(" a{n}=''")).collect();
        format!("<a{list}/>")
    };
    assert_eq!(refused(decode(broad(limits::PAYLOAD_ATTRIBUTES))), None);
    assert_eq!(refused(decode(broad(limits::PAYLOAD_ATTRIBUTES + 1))), Some(Condition::TooLarge));
}
