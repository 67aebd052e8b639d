//! What things are called: addresses in the model, and names of actions, events and changes in the coverage.

use intergroup_gateway::bridge::{Action, Event, Refusal, RequestId, RoomAction, RoomEvent};
use intergroup_gateway::ids::{BareJid, RoomJid};
use intergroup_gateway::store::{Change, Outgoing};
use intergroup_schemas::ids::GatewayId;
use intergroup_schemas::link::ToCenter;

use super::center::COMPANIES;

/// Which enterprises the companies are. Everything else has a place of its own for each: a server, a room, a gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// The second is a branch of the first: another gateway of the same enterprise.
    pub(super) branches: bool,
}

impl Layout {
    /// Of which enterprise a company is.
    pub(super) fn enterprise(self, company: usize) -> &'static str {
        COMPANIES[self.at(company)]
    }

    fn at(self, company: usize) -> usize {
        if self.branches && company == 1 { 0 } else { company }
    }

    /// The companies of an enterprise.
    pub(super) fn of(self, enterprise: &str) -> impl Iterator<Item = usize> {
        (0..COMPANIES.len()).filter(move |company| self.enterprise(*company) == enterprise)
    }

    /// A company's gateway, as its certificate names it.
    pub(super) fn gateway(self, company: usize) -> GatewayId {
        let name = if self.at(company) == company { "main" } else { COMPANIES[company] };
        format!("{}/{name}", self.enterprise(company)).parse().expect("a gateway id")
    }

    /// The domains of a company's enterprise: everywhere the same, in the same order.
    pub(super) fn domains(self, company: usize) -> Vec<String> {
        self.of(self.enterprise(company)).map(domain).collect()
    }

    /// What a person of a company is called on lists.
    pub(super) fn user_id(self, company: usize, user: usize) -> String {
        let short = user == STRANGER || self.at(company) == company;
        if short { USERS[user].to_owned() } else { jid(company, user).to_string() }
    }
}

/// The domain of a company's accounts.
pub(super) fn domain(company: usize) -> String {
    format!("{}.test", COMPANIES[company])
}

/// Its room service.
pub(super) fn rooms(company: usize) -> String {
    format!("conference.{}.test", COMPANIES[company])
}

/// Its gateway's component.
pub(super) fn component(company: usize) -> String {
    format!("groups.{}.test", COMPANIES[company])
}

/// Its one room.
pub(super) fn room(company: usize) -> RoomJid {
    RoomJid::from(format!("apollo@{}", rooms(company)).as_str())
}

/// Its people; the last is of another company that has no part in the group.
pub(super) const USERS: [&str; 4] = ["alice", "bob", "carol", "mallory"];

/// Who is no member.
pub(super) const STRANGER: usize = 3;

pub(super) fn jid(company: usize, user: usize) -> BareJid {
    let domain = if user == STRANGER { "elsewhere.test".to_owned() } else { domain(company) };
    BareJid::from(format!("{}@{domain}", USERS[user]).as_str())
}

/// The answer of the shell to what nobody answered.
pub(super) fn timed_out(request: RequestId) -> RoomEvent {
    let refusal = Refusal { condition: "remote-server-timeout".into(), text: "".into() };
    RoomEvent::Answer { request, answer: Err(refusal) }
}

pub(super) fn request_of(action: &RoomAction) -> Option<RequestId> {
    match action {
        RoomAction::Info { request }
        | RoomAction::ReadArchive { request, .. }
        | RoomAction::Ping { request, .. }
        | RoomAction::Fence { request }
        | RoomAction::SetMember { request, .. }
        | RoomAction::ReadAffiliations { request, .. }
        | RoomAction::SetAffiliation { request, .. }
        | RoomAction::MakeMembersOnly { request }
        | RoomAction::PutOut { request, .. } => Some(*request),
        RoomAction::Enter { .. }
        | RoomAction::Leave { .. }
        | RoomAction::Say { .. }
        | RoomAction::SetSubject { .. }
        | RoomAction::Send { .. }
        | RoomAction::Probe { .. }
        | RoomAction::Tell { .. } => None,
    }
}

/// What an action is called, and the changes in it.
pub(super) fn action_names(action: &Action) -> (String, Vec<&'static str>) {
    let name = match action {
        Action::Room { action, .. } => match action {
            RoomAction::Enter { .. } => "enter",
            RoomAction::Leave { .. } => "leave",
            RoomAction::Say { prefix: Some(_), .. } => "say with prefix",
            RoomAction::Say { .. } => "say",
            RoomAction::Tell { .. } => "tell",
            RoomAction::Info { .. } => "info",
            RoomAction::ReadArchive { .. } => "read archive",
            RoomAction::Ping { .. } => "ping",
            RoomAction::Fence { .. } => "fence",
            RoomAction::SetMember { .. } => "set member",
            RoomAction::SetSubject { .. } => "set subject",
            RoomAction::Send { .. } => "send to a member",
            RoomAction::Probe { .. } => "probe",
            RoomAction::ReadAffiliations { .. } => "read affiliations",
            RoomAction::SetAffiliation { .. } => "set affiliation",
            RoomAction::MakeMembersOnly { .. } => "make members only",
            RoomAction::PutOut { .. } => "put out",
        },
        Action::Link(stanza) => match stanza {
            ToCenter::Hello(_) => "hello",
            ToCenter::Relay(_) => "relay",
            ToCenter::Edit(_) => "edit",
            ToCenter::Resume(_) => "resume",
            ToCenter::Settled(_) => "settled",
            ToCenter::Credit(_) => "credit",
            ToCenter::Confirm(_) => "confirm",
            ToCenter::Request(_) => "request",
        },
        Action::Commit { .. } => "commit",
        Action::LoadOutbox { .. } => "load outbox",
        Action::LoadPosted { .. } => "load posted",
        Action::LoadMissed { .. } => "load missed",
        Action::Answer { .. } => "answer a visitor",
        Action::LoadListed { .. } => "load listed",
        Action::Reply { .. } => "reply",
        Action::Report(_) => "report",
    };
    let kinds = match action {
        Action::Commit { changes, .. } => changes.iter().map(change_name).collect(),
        _ => Vec::new(),
    };
    (name.to_owned(), kinds)
}

pub(super) fn change_name(change: &Change) -> &'static str {
    match change {
        Change::Mapping(_) => "mapping",
        Change::MappingGone(_) => "mapping gone",
        Change::Outbox(_) => "outbox",
        Change::OutboxTrim { .. } => "outbox trim",
        Change::OutboxClear(_) => "outbox clear",
        Change::Seen { .. } => "seen",
        Change::SeenTrim { .. } => "seen trim",
        Change::Posted(_) => "posted",
        Change::PostedTrim { .. } => "posted trim",
        Change::Occupant { .. } => "occupant",
        Change::Parked(_) => "parked",
        Change::ParkedGone { .. } => "parked gone",
        Change::Entered { .. } => "entered",
        Change::Fenced { .. } => "fenced",
        Change::Notice(_) => "notice",
        Change::Attendance(_) => "attendance",
        Change::AttendanceGone { .. } => "attendance gone",
        Change::Own(_) => "own",
        Change::Missed(_) => "missed",
        Change::MissedTrim { .. } => "missed trim",
        Change::Absent(_) => "absent",
        Change::Listed { .. } => "listed",
        Change::Unlisted { .. } => "unlisted",
    }
}

/// A batch in few words.
pub(super) fn brief(changes: &[Change]) -> String {
    let words = changes.iter().map(|change| match change {
        Change::Mapping(m) => format!(
            "mapping(life {} cursor {:?} newest {:?} n {} decided {} settled {} checkpoints {:?})",
            m.life.0,
            m.cursor.as_ref().map(|c| &c.id),
            m.newest,
            m.last_n,
            m.decided,
            m.settled,
            m.checkpoints.iter().map(|c| (c.generation.0, c.place.id.to_string(), c.settled.0)).collect::<Vec<_>>()
        ),
        Change::Outbox(row) => match &row.what {
            Outgoing::Message(m) => format!("outbox {} {:?}", row.n, m.source),
            Outgoing::Edit { accounts, .. } => format!("outbox {} edit of {}", row.n, accounts.len()),
        },
        Change::Seen { id, .. } => format!("seen {id}"),
        Change::Missed(row) => format!("missed {} {}", row.spot.0, row.id),
        Change::Absent(row) => format!("absent {} {:?}", row.user, row.absence),
        Change::Posted(row) => format!("posted {} {:?}", row.id, row.seq),
        Change::Entered { mouth, .. } => format!("entered {mouth:?}"),
        other => change_name(other).to_owned(),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// What an event from the room is called.
pub(super) fn event_name(event: &Event) -> &'static str {
    match event {
        Event::ServerUp { exclusive: true } => "server up",
        Event::ServerUp { exclusive: false } => "server up, shared",
        Event::ServerDown { stream_error: None } => "server down",
        Event::ServerDown { .. } => "stream error",
        Event::Room { event, .. } => match event {
            RoomEvent::In { created: true, .. } => "in, room created",
            RoomEvent::In { .. } => "in",
            RoomEvent::JoinDone { .. } => "join done",
            RoomEvent::JoinRefused { .. } => "join refused",
            RoomEvent::Occupant { .. } => "occupant",
            RoomEvent::Gone { .. } => "gone",
            RoomEvent::Out { .. } => "out",
            RoomEvent::Message(m) if m.stanza_id.is_none() => "message, not archived",
            RoomEvent::Message(_) => "message",
            RoomEvent::Subject(_) => "subject",
            RoomEvent::SayRefused { .. } => "say refused",
            RoomEvent::Answer { answer: Err(_), .. } => "refusal as answer",
            RoomEvent::Answer { .. } => "answer",
            RoomEvent::Private { .. } => "private",
            RoomEvent::AffiliationChanged { .. } => "affiliation changed",
            RoomEvent::Configured => "room configured",
        },
        Event::LinkUp(_) => "link up",
        Event::LinkDown => "link down",
        Event::Link(_) => "stanza from the center",
        Event::Committed(_) => "committed",
        Event::CommitFailed(_) => "commit failed",
        Event::Listed { .. } => "listed rows",
        Event::Posted { .. } => "posted rows",
        Event::Missed { .. } => "missed rows",
        Event::Outbox { .. } => "outbox rows",
        Event::Visit { .. } => "visit",
        Event::Command { .. } => "command",
    }
}
