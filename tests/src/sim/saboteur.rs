//! Rules that the harness can break on purpose, between a core and its shell, so that tests show that it would be noticed.

use std::collections::BTreeSet;

use intergroup_gateway::bridge::{
    Action, Affiliation, Answer, Event, Page, ReadFrom, RequestId, RoomAction, RoomEvent, Ticket,
};
use intergroup_gateway::ids::{MessageId, Nick, OccupantId};
use intergroup_gateway::store::{Change, Checkpoint, Spot};
use intergroup_schemas::ids::{HistoryHash, N, Seq};
use intergroup_schemas::link::{Decided, Relay, ResponseBody, SkipReason, Standing, ToCenter, ToGateway};

use super::lists_saboteur::ListSaboteur;

/// One broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The center acts on a commit before it is durable.
    CenterActsBeforeCommit,
    /// The gateway acts on a commit before it is durable.
    GatewayActsBeforeCommit,
    /// The cursor is the newest live copy, not the end of a gap-free read.
    CursorFromLiveCopies,
    /// Nobody is sent out, and no fence is awaited, before what is in doubt is judged.
    NoFence,
    /// A reflection counts as durable in the room's archive.
    ReflectionIsDurable,
    /// What was said before the floor crosses.
    NoFloor,
    /// What was dealt with is not remembered.
    SeenIsForgotten,
    /// Numbers count as sent by this store as soon as they are given, whether or not the center was asked.
    AnOlderStoreForgetsWhatItSent,
    /// What the center knows to be settled is not heard.
    CenterIsNotAskedWhatIsSettled,
    /// What is still on its way when a mapping is to end is given up.
    UnmapDoesNotDrain,
    /// A room that is mapped again begins with what it missed.
    RemapBeginsAtTheJoining,
    /// Of a group that has ended only its end is heard.
    EndIsAllThatIsHeard,
    /// Numbers given are not durable: they are given again.
    NumbersAreReused,
    /// Whatever has an id of ours is taken for ours.
    EchoKnownById,
    /// Rows leave the outbox when they are sent.
    OutboxTrimmedAtSend,
    /// An entry is settled before it is in the room.
    SettledBeforeApplied,
    /// Entries that come again after a break are not told to the center: its window does not open for them.
    PassedIsNotTold,
    /// What the center did not keep long enough is passed over as if it were nobody's business.
    SkipIsNotTold,
    /// An archive counts as reaching back as far as is wanted.
    GapIsNotReported,
    /// In a room without archive, what was said is not settled before it is said.
    SaidBeforeItsOutcome,
    /// Whose an occupant-id is is not durable.
    OccupantsAreForgotten,
    /// A page counts as the whole answer.
    PageIsComplete,
    /// Changes of the user list are taken without the people in them, and what is missing is not fetched.
    MirrorIsNotRepaired,
    /// The user list is kept in memory alone.
    MirrorIsNotDurable,
    /// Fetched, everybody may speak.
    RolesAreForgotten,
    /// What a room's lists said first is what they say for ever.
    AwayChangesAreNotRead,
    /// Affiliations that change before our eyes are not seen.
    TurnsAreNotSeen,
    /// Edits of the list are not on disk when they are sent.
    EditsAreNotDurable,
    /// The center changes another company's part.
    AnothersPartIsEdited,
    /// The room's members are not made to fit the list.
    RoomIsNotMadeToFit,
    /// What was said for those who are away is let go of though somebody has missed it.
    MissedIsTrimmed,
    /// Who was away is not on disk.
    AbsenceIsForgotten,
    /// What goes to a person's address counts as taken when it is sent.
    SentIsTaken,
}

impl Broken {
    /// Every rule.
    pub const ALL: &'static [Broken] = &[
        Broken::CenterActsBeforeCommit,
        Broken::GatewayActsBeforeCommit,
        Broken::CursorFromLiveCopies,
        Broken::NoFence,
        Broken::ReflectionIsDurable,
        Broken::NoFloor,
        Broken::SeenIsForgotten,
        Broken::AnOlderStoreForgetsWhatItSent,
        Broken::CenterIsNotAskedWhatIsSettled,
        Broken::UnmapDoesNotDrain,
        Broken::RemapBeginsAtTheJoining,
        Broken::EndIsAllThatIsHeard,
        Broken::NumbersAreReused,
        Broken::EchoKnownById,
        Broken::OutboxTrimmedAtSend,
        Broken::SettledBeforeApplied,
        Broken::PassedIsNotTold,
        Broken::SkipIsNotTold,
        Broken::GapIsNotReported,
        Broken::SaidBeforeItsOutcome,
        Broken::OccupantsAreForgotten,
        Broken::PageIsComplete,
        Broken::MirrorIsNotRepaired,
        Broken::MirrorIsNotDurable,
        Broken::RolesAreForgotten,
        Broken::AwayChangesAreNotRead,
        Broken::TurnsAreNotSeen,
        Broken::EditsAreNotDurable,
        Broken::AnothersPartIsEdited,
        Broken::RoomIsNotMadeToFit,
        Broken::MissedIsTrimmed,
        Broken::AbsenceIsForgotten,
        Broken::SentIsTaken,
    ];
}

/// What the saboteur of one gateway remembers.
#[derive(Debug, Default)]
pub(super) struct Saboteur {
    /// Ids that ours were said with.
    ids: BTreeSet<MessageId>,
    told: BTreeSet<Ticket>,
    /// A mapping is being ended.
    ending: bool,
    /// The last entry but one of a group that has ended.
    end: Seq,
    /// Sent rows, to be trimmed with the next commit.
    sent: N,
    /// The newest entry that came down the link.
    newest: Seq,
    /// Asks for the archive's oldest message.
    oldest: Option<RequestId>,
    /// How far the room without archive was at first.
    first: Option<(Seq, HistoryHash)>,
    /// How far the mapping on its way to disk has come.
    settled: Seq,
    lists: ListSaboteur,
    /// The last that was kept for those who are away, to go with the next commit.
    kept: Option<Spot>,
    /// The next fence is behind something that went to a person.
    sent_mail: bool,
}

impl Saboteur {
    /// What the bridge is told instead; none: nothing.
    pub(super) fn event(&mut self, broken: Option<Broken>, event: Event) -> Option<Event> {
        let Some(broken) = broken else { return Some(event) };
        let event = self.lists.event(broken, event)?;
        match (broken, event) {
            (Broken::GatewayActsBeforeCommit, Event::Committed(ticket)) if !self.told.insert(ticket) => None,
            (Broken::SettledBeforeApplied, Event::Link(ToGateway::Deliver(deliver))) => {
                self.newest = self.newest.max(deliver.seq);
                Some(Event::Link(ToGateway::Deliver(deliver)))
            }
            (Broken::AnOlderStoreForgetsWhatItSent, Event::LinkUp(mut welcome)) => {
                welcome.groups.iter_mut().for_each(|group| group.before = None);
                Some(Event::LinkUp(welcome))
            }
            (Broken::CenterIsNotAskedWhatIsSettled, Event::LinkUp(mut welcome)) => {
                welcome.groups.iter_mut().for_each(|group| group.settled = Seq(0));
                Some(Event::LinkUp(welcome))
            }
            (Broken::EndIsAllThatIsHeard, Event::LinkUp(welcome)) => {
                let ended = welcome.groups.iter().find(|group| group.standing == Standing::Deleted);
                self.end = ended.map_or(Seq(0), |group| Seq(group.head.0 - 1));
                Some(Event::LinkUp(welcome))
            }
            (Broken::RemapBeginsAtTheJoining, Event::Link(ToGateway::Response(mut response))) => {
                if let ResponseBody::Group(info) = &mut response.body {
                    (info.head, info.head_hash) = (info.joined_at, info.joined_hash);
                }
                Some(Event::Link(ToGateway::Response(response)))
            }
            (Broken::SkipIsNotTold, Event::Link(ToGateway::Skip(mut skip))) => {
                skip.reason = SkipReason::BeforeYouJoined;
                Some(Event::Link(ToGateway::Skip(skip)))
            }
            (Broken::GapIsNotReported, Event::Room { room, event: RoomEvent::Answer { request, answer: Ok(_) } })
                if self.oldest == Some(request) =>
            {
                let answer = Ok(Answer::Page(Page { messages: Vec::new(), last: None, complete: true }));
                Some(Event::Room { room, event: RoomEvent::Answer { request, answer } })
            }
            (Broken::PageIsComplete, Event::Room { room, event: RoomEvent::Answer { request, answer } }) => {
                let answer = answer.map(|a| match a {
                    Answer::Page(mut page) => {
                        page.complete = true;
                        Answer::Page(page)
                    }
                    other => other,
                });
                Some(Event::Room { room, event: RoomEvent::Answer { request, answer } })
            }
            (Broken::EchoKnownById, Event::Room { event: RoomEvent::Message(m), .. })
                if m.id.as_ref().is_some_and(|id| self.ids.contains(id))
                    && m.nick.as_ref().is_some_and(|n| !is_ours(n)) =>
            {
                None
            }
            (Broken::EchoKnownById, Event::Room { room, event: RoomEvent::Answer { request, answer } }) => {
                let answer = answer.map(|a| match a {
                    Answer::Page(mut page) => {
                        page.messages.retain(|m| {
                            let ours = m.id.as_ref().is_some_and(|id| self.ids.contains(id));
                            !ours || m.nick.as_ref().is_some_and(is_ours)
                        });
                        Answer::Page(page)
                    }
                    other => other,
                });
                Some(Event::Room { room, event: RoomEvent::Answer { request, answer } })
            }
            (_, event) => Some(event),
        }
    }

    /// What the shell is asked for instead; `extra`: what the bridge is told at once.
    pub(super) fn action(&mut self, broken: Option<Broken>, action: Action, extra: &mut Vec<Event>) -> Option<Action> {
        let Some(broken) = broken else { return Some(action) };
        let action = self.lists.action(broken, action)?;
        match (broken, action) {
            (_, Action::Commit { ticket, changes }) => {
                if broken == Broken::GatewayActsBeforeCommit {
                    extra.push(Event::Committed(ticket));
                }
                let mut changes: Vec<Change> = changes.into_iter().filter_map(|c| self.change(broken, c)).collect();
                if broken == Broken::OutboxTrimmedAtSend && self.sent > N(0) {
                    let group = super::company::GROUP;
                    changes.push(Change::OutboxTrim { group, upto: std::mem::take(&mut self.sent) });
                }
                if let Some(before) = self.kept.take() {
                    changes.push(Change::MissedTrim { group: super::company::GROUP, before });
                }
                Some(Action::Commit { ticket, changes })
            }
            (Broken::OutboxTrimmedAtSend, Action::Link(stanza)) => {
                if let ToCenter::Relay(relay) = &stanza {
                    self.sent = relay.n;
                }
                Some(Action::Link(stanza))
            }
            (Broken::UnmapDoesNotDrain, Action::Link(ToCenter::Relay(relay))) if self.ending => {
                let Relay { group, epoch, n, .. } = relay;
                extra.push(Event::Link(ToGateway::Decided(Decided { group, epoch, n, refused: Vec::new() })));
                None
            }
            (Broken::EndIsAllThatIsHeard, Action::Link(ToCenter::Resume(mut resume))) => {
                resume.after = resume.after.max(self.end);
                Some(Action::Link(ToCenter::Resume(resume)))
            }
            (Broken::SettledBeforeApplied, Action::Link(ToCenter::Settled(mut s))) => {
                s.upto = s.upto.max(self.newest);
                Some(Action::Link(ToCenter::Settled(s)))
            }
            (Broken::GapIsNotReported, Action::Room { room, action }) => {
                if let RoomAction::ReadArchive { request, from: ReadFrom::Start { start: None, after: None }, .. } =
                    &action
                {
                    self.oldest = Some(*request);
                }
                Some(Action::Room { room, action })
            }
            (Broken::PassedIsNotTold, Action::Link(ToCenter::Settled(s))) if s.upto < self.settled => None,
            (Broken::SentIsTaken, Action::Room { room, action: RoomAction::Fence { request } }) if self.sent_mail => {
                self.sent_mail = false;
                let answer = Ok(Answer::Done);
                extra.push(Event::Room { room, event: RoomEvent::Answer { request, answer } });
                None
            }
            (Broken::SentIsTaken, Action::Room { room, action }) => {
                self.sent_mail = matches!(action, RoomAction::Send { .. });
                Some(Action::Room { room, action })
            }
            (Broken::NoFence, Action::Room { room, action: RoomAction::Fence { request } }) => {
                let answer = Ok(Answer::Done);
                extra.push(Event::Room { room, event: RoomEvent::Answer { request, answer } });
                None
            }
            (Broken::NoFence, Action::Room { action: RoomAction::Leave { .. }, .. }) => None,
            (
                Broken::RoomIsNotMadeToFit,
                Action::Room {
                    room,
                    action: RoomAction::SetAffiliation { request, affiliation: Affiliation::Member, .. },
                },
            ) => {
                let answer = Ok(Answer::Done);
                extra.push(Event::Room { room, event: RoomEvent::Answer { request, answer } });
                None
            }
            (Broken::NoFloor, Action::Room { room, action }) => Some(Action::Room { room, action }),
            (Broken::EchoKnownById, Action::Room { room, action }) => {
                if let RoomAction::Say { id, .. } = &action {
                    self.ids.insert(id.clone());
                }
                Some(Action::Room { room, action })
            }
            (_, action) => Some(action),
        }
    }

    fn change(&mut self, broken: Broken, change: Change) -> Option<Change> {
        match (broken, change) {
            (Broken::AbsenceIsForgotten, Change::Absent(_)) => None,
            (Broken::MissedIsTrimmed, Change::Missed(row)) => {
                self.kept = Some(row.spot);
                Some(Change::Missed(row))
            }
            (Broken::UnmapDoesNotDrain, Change::Mapping(m)) => {
                self.ending = m.ending.is_some();
                Some(Change::Mapping(m))
            }
            (Broken::CursorFromLiveCopies, Change::Mapping(mut m)) => {
                if let (Some(cursor), Some(newest)) = (&mut m.cursor, &m.newest) {
                    cursor.id = newest.clone();
                    let (place, settled, hash, made) = (cursor.clone(), m.settled, m.hash, cursor.stamp);
                    m.checkpoints = vec![Checkpoint { generation: m.generation, place, settled, hash, made }];
                }
                Some(Change::Mapping(m))
            }
            (Broken::ReflectionIsDurable, Change::Mapping(mut m)) => {
                if let Some(place) = m.cursor.clone() {
                    let (settled, hash, made) = (m.settled, m.hash, place.stamp);
                    m.checkpoints = vec![Checkpoint { generation: m.generation, place, settled, hash, made }];
                }
                Some(Change::Mapping(m))
            }
            (Broken::NoFloor, Change::Mapping(mut m)) => {
                // The place is forgotten, not that there is one: the archive is read from its beginning.
                if let Some(floor) = &mut m.floor {
                    let beginning = intergroup_schemas::link::Timestamp(0);
                    floor.stamp = beginning;
                    for checkpoint in &mut m.checkpoints {
                        checkpoint.place.stamp = beginning;
                    }
                    if let Some(cursor) = &mut m.cursor {
                        cursor.stamp = beginning;
                    }
                }
                Some(Change::Mapping(m))
            }
            (Broken::NumbersAreReused, Change::Mapping(mut m)) => {
                m.last_n = m.decided;
                Some(Change::Mapping(m))
            }
            (Broken::AnOlderStoreForgetsWhatItSent, Change::Mapping(mut m)) => {
                m.offered = m.last_n;
                Some(Change::Mapping(m))
            }
            (Broken::SettledBeforeApplied, Change::Mapping(mut m)) => {
                if self.newest > m.settled {
                    m.settled = self.newest;
                    for checkpoint in &mut m.checkpoints {
                        checkpoint.settled = self.newest;
                    }
                }
                Some(Change::Mapping(m))
            }
            (Broken::SaidBeforeItsOutcome, Change::Mapping(mut m)) if !m.archive => {
                (m.settled, m.hash) = *self.first.get_or_insert((m.settled, m.hash));
                m.places.clear();
                Some(Change::Mapping(m))
            }
            (Broken::PassedIsNotTold, Change::Mapping(m)) => {
                self.settled = m.settled;
                Some(Change::Mapping(m))
            }
            (Broken::SeenIsForgotten, Change::Seen { .. }) => None,
            (Broken::OccupantsAreForgotten, Change::Occupant { group, owner, .. }) => {
                Some(Change::Occupant { group, id: OccupantId::from("nobody"), owner })
            }
            (_, change) => Some(change),
        }
    }
}

/// A nick of the ear or of a puppet, by its look.
fn is_ours(nick: &Nick) -> bool {
    nick.as_str().contains('(') || nick.as_str().starts_with("Intergroup")
}
