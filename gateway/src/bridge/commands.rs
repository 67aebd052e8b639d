//! Administrators' commands. A room is looked at before anything is asked of the center: it must exist, and we must be
//! owner or admin there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{GroupNumber, N};
use intergroup_schemas::link::{
    GroupInfo, Request, RequestBody, Response, ResponseBody, Standing, Timestamp, ToCenter,
};

use super::Bridge;
use super::action::{CommandId, Reply, RequestId, RoomAction};
use super::context::WantedPage;
use super::event::{AboutEdit, Answer, Command, RoomEvent};
use super::limits::ENTERED_WITHIN;
use super::number::{Listing, Wait};
use super::room::{Room, Rows, cannot_close, unfit};
use super::status::Status;
use crate::ids::{Life, Mouth, RoomJid, Who};
use crate::store::{Change, Ending, Generation, Mapping, Source};

/// Commands that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Commands {
    probes: BTreeMap<RoomJid, Probe>,
    asked: BTreeMap<u64, Asked>,
    leaving: BTreeSet<GroupNumber>,
    /// Pages of lists that are wanted: the center gives one at a time on a link.
    pages: VecDeque<(RequestBody, Asked)>,
    /// The request for the page that is awaited.
    page: Option<u64>,
    requests: u64,
}

/// A room that is looked at before it is mapped.
#[derive(Debug)]
struct Probe {
    command: CommandId,
    step: Step,
    archive: bool,
    /// It lets everybody in, or lets removed people back in.
    open: bool,
    /// As asked for; none: as it fits the room.
    source: Option<Source>,
    goal: Goal,
    until: Timestamp,
}

#[derive(Debug)]
enum Step {
    Looking(RequestId),
    Entering,
    /// It is being closed to all but its members.
    Closing(RequestId),
    /// The room is in order; the center is asked.
    Asking,
}

/// What the room is for.
#[derive(Debug, Clone)]
enum Goal {
    Create(String),
    Join(GroupNumber),
    Map(GroupNumber),
}

/// What was asked of the center.
#[derive(Debug)]
pub(super) enum Asked {
    /// For a room that waits to be mapped.
    Mapping(RoomJid),
    /// To be passed on to the administrator.
    Answer(CommandId),
    /// To be changed, and then passed on.
    Describe(CommandId, AboutEdit),
    /// To leave a group whose mapping ends.
    Leave(GroupNumber),
    /// For a visitor of a group's address.
    Visit(Wait),
    /// For the list that a room keeps.
    List(GroupNumber, RequestId),
}

impl Commands {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.probes.values().filter(|p| !matches!(p.step, Step::Asking)).map(|p| p.until).min()
    }
}

/// The ear's mouth in a room that is not mapped yet; the first life of a mapping fences it.
const PROBE: Mouth = Mouth { who: Who::Ear, life: Life(0) };

pub(super) fn refused(text: impl Into<String>) -> Reply {
    Reply::Refused { condition: None, text: text.into() }
}

const NO_LINK: &str = "there is no link to the center now: try again when `status` shows that it is up";

pub(super) fn no_room(group: GroupNumber) -> Reply {
    refused(format!("no room is mapped to group {group}; `group list` shows those that are"))
}

impl Bridge {
    pub(super) fn command(&mut self, id: CommandId, command: Command) {
        match command {
            Command::Create { name, room, members } => self.probe(id, room, Goal::Create(name), members),
            Command::Join { group, room, members } => self.probe(id, room, Goal::Join(group), members),
            Command::Map { group, room, members } => self.probe(id, room, Goal::Map(group), members),
            Command::SetSource { group, source } => self.set_source(id, group, source),
            Command::Offline { group, how } => self.offline(id, group, how),
            Command::Unmap { group } => self.end(id, group, Ending::Unmap),
            Command::Leave { group } if self.rooms.contains_key(&group) => self.end(id, group, Ending::Leave),
            Command::Leave { group } => self.ask(id, RequestBody::LeaveGroup { group }),
            Command::Allow { group, enterprise } => self.ask(id, RequestBody::AllowEnterprise { group, enterprise }),
            Command::Describe { group, changes } => self.describe(id, group, changes),
            Command::Transfer { group, enterprise } => self.ask(id, RequestBody::TransferGroup { group, enterprise }),
            Command::Delete { group } => self.ask(id, RequestBody::DeleteGroup { group }),
            Command::List => self.ask(id, RequestBody::ListGroups {}),
            Command::Show { group } => self.ask(id, RequestBody::ShowGroup { group }),
            Command::Edit { group, people } => self.edit_list(id, group, &people),
            Command::Role { group, person, role } => self.set_role(id, group, &person, role),
            Command::Members { group, since, after } => self.list_by_command(id, group, since, after),
            Command::Status => {
                let status = self.status();
                self.cx.reply(id, Reply::Status(status));
            }
        }
    }

    fn status(&self) -> Status {
        Status {
            server: self.cx.server.is_some(),
            link: self.cx.link.is_some(),
            rooms: self.rooms.values().map(Room::status).collect(),
            counters: self.cx.counters.clone(),
        }
    }

    /// What rooms want of the center's lists.
    pub(super) fn fetch_lists(&mut self) {
        for WantedPage { group, request, since, after } in self.cx.take_wanted() {
            self.want_page(RequestBody::FetchList { group, since, after }, Asked::List(group, request));
        }
    }

    pub(super) fn want_page(&mut self, body: RequestBody, asked: Asked) {
        self.commands.pages.push_back((body, asked));
        self.next_page();
    }

    fn next_page(&mut self) {
        if self.commands.page.is_none()
            && let Some((body, asked)) = self.commands.pages.pop_front()
        {
            self.request(body, asked);
            self.commands.page = Some(self.commands.requests);
        }
    }

    pub(super) fn request(&mut self, body: RequestBody, asked: Asked) {
        self.commands.requests += 1;
        let id = self.commands.requests;
        self.commands.asked.insert(id, asked);
        self.cx.send(ToCenter::Request(Request { id, body }));
    }

    fn ask(&mut self, id: CommandId, body: RequestBody) {
        if self.has_link(id) {
            self.request(body, Asked::Answer(id));
        }
    }

    /// Whether the center can be asked; if not, the administrator is told.
    pub(super) fn has_link(&mut self, id: CommandId) -> bool {
        let up = self.cx.link.is_some();
        if !up {
            self.cx.reply(id, refused(NO_LINK));
        }
        up
    }

    /// The center takes a description as a whole, so what is not to change is asked for first.
    fn describe(&mut self, id: CommandId, group: GroupNumber, changes: AboutEdit) {
        if self.has_link(id) {
            self.request(RequestBody::ShowGroup { group }, Asked::Describe(id, changes));
        }
    }

    fn end(&mut self, id: CommandId, group: GroupNumber, how: Ending) {
        if !self.rooms.contains_key(&group) {
            return self.cx.reply(id, no_room(group));
        }
        self.with(group, |room, cx| room.end(cx, how, Some(id)));
    }

    // ------------------------------------------------------------ looking at a room

    fn probe(&mut self, command: CommandId, room: RoomJid, goal: Goal, source: Option<Source>) {
        let taken = match &goal {
            Goal::Join(group) | Goal::Map(group) => self.rooms.get(group),
            Goal::Create(_) => None,
        };
        let problem = if let Some(group) = self.by_jid.get(&room) {
            Some(format!("room {room} is mapped to group {group}: one room has one group. `unmap {group}` frees it"))
        } else if let Some(taken) = taken {
            Some(format!("group {} has its room here already: {}", taken.group(), taken.mapping.room))
        } else if self.commands.probes.contains_key(&room) {
            Some(format!("another command for room {room} is under way: wait for it"))
        } else if self.cx.server.is_none() {
            Some("there is no link to the XMPP server now: `status` says why".to_owned())
        } else if self.cx.link.is_none() {
            Some(NO_LINK.to_owned())
        } else {
            None
        };
        if let Some(problem) = problem {
            return self.cx.reply(command, refused(problem));
        }
        let request = self.cx.next_request();
        self.cx.room(&room, RoomAction::Info { request });
        let until = self.cx.in_ms(ENTERED_WITHIN);
        let probe = Probe { command, step: Step::Looking(request), archive: false, open: false, source, goal, until };
        self.commands.probes.insert(room, probe);
    }

    pub(super) fn probe_event(&mut self, room: &RoomJid, event: RoomEvent) {
        let Some(probe) = self.commands.probes.get_mut(room) else { return };
        match (&probe.step, event) {
            (Step::Looking(awaited), RoomEvent::Answer { request, answer }) if *awaited == request => match answer {
                Ok(Answer::Info(info)) => {
                    probe.archive = info.archive;
                    probe.open = !info.members_only || info.moderated;
                    probe.source.get_or_insert(Source::of_room(info.members_only));
                    probe.step = Step::Entering;
                    let nick = self.cx.config.nick.clone();
                    self.cx.room(room, RoomAction::Enter { mouth: PROBE, nick });
                }
                Ok(_) => {}
                Err(refusal) if matches!(refusal.condition.as_ref(), "item-not-found" | "gone") => {
                    self.probe_fails(room, &format!("there is no room {room}: make it first, with any client"));
                }
                Err(refusal) => {
                    let why = format!("room {room} cannot be looked at ({} {})", refusal.condition, refusal.text);
                    self.probe_fails(room, &why);
                }
            },
            (Step::Entering, RoomEvent::In { mouth: PROBE, affiliation, created, .. }) => {
                match unfit(affiliation, created) {
                    Some(why) => self.probe_fails(room, why),
                    None => self.close(room),
                }
            }
            (Step::Closing(awaited), RoomEvent::Answer { request, answer }) if *awaited == request => match answer {
                Ok(_) => self.ask_for_mapping(room),
                Err(refusal) => self.probe_fails(room, &cannot_close(&refusal.condition)),
            },
            (Step::Entering, RoomEvent::JoinRefused { mouth: PROBE, refusal }) => {
                let hint = match refusal.condition.as_ref() {
                    "conflict" => "the gateway's nick is taken there: set another in gateway.toml",
                    _ => {
                        "make gateway@COMPONENT an admin of the room service (see the README), or an owner of the room"
                    }
                };
                let why = format!("room {room} does not let the gateway in ({}): {hint}", refusal.condition);
                self.probe_fails(room, &why);
            }
            _ => {}
        }
    }

    /// Where the list says who reads, the room is closed to all others before anything is asked of the center.
    fn close(&mut self, room: &RoomJid) {
        let Some(probe) = self.commands.probes.get_mut(room) else { return };
        if !probe.open || !probe.source.is_some_and(Source::protects_reading) {
            return self.ask_for_mapping(room);
        }
        let request = self.cx.next_request();
        probe.step = Step::Closing(request);
        self.cx.room(room, RoomAction::MakeMembersOnly { request });
    }

    fn ask_for_mapping(&mut self, room: &RoomJid) {
        if self.cx.link.is_none() {
            return self.probe_fails(room, NO_LINK);
        }
        let Some(probe) = self.commands.probes.get_mut(room) else { return };
        probe.step = Step::Asking;
        let body = match probe.goal.clone() {
            Goal::Create(name) => RequestBody::CreateGroup { name },
            Goal::Join(group) => RequestBody::JoinGroup { group },
            Goal::Map(group) => RequestBody::ShowGroup { group },
        };
        self.request(body, Asked::Mapping(room.clone()));
    }

    fn probe_fails(&mut self, room: &RoomJid, why: &str) {
        self.probe_refused(room, refused(why));
    }

    fn probe_refused(&mut self, room: &RoomJid, reply: Reply) {
        if let Some(probe) = self.commands.probes.remove(room) {
            if !matches!(probe.step, Step::Looking(_)) {
                self.cx.room(room, RoomAction::Leave { mouth: PROBE });
            }
            self.cx.reply(probe.command, reply);
        }
    }

    pub(super) fn probes_fail(&mut self, why: &str) {
        let rooms: Vec<_> = self.commands.probes.keys().cloned().collect();
        for room in rooms {
            self.probe_fails(&room, why);
        }
    }

    pub(super) fn watch_probes(&mut self) {
        let due = |p: &Probe| p.until <= self.cx.now && !matches!(p.step, Step::Asking);
        let rooms: Vec<_> = self.commands.probes.iter().filter(|(_, p)| due(p)).map(|(r, _)| r.clone()).collect();
        for room in rooms {
            self.probe_fails(&room, &format!("room {room} did not answer in time"));
        }
    }

    // ------------------------------------------------------------ answers of the center

    pub(super) fn requests_fail(&mut self) {
        const LOST: &str = "the link to the center went down before it answered: `group list` shows, once it is up again, \
                            whether it was done";
        self.commands.page = None;
        let pages = std::mem::take(&mut self.commands.pages).into_iter().map(|(_, asked)| asked);
        let asked = std::mem::take(&mut self.commands.asked).into_values();
        for asked in asked.chain(pages) {
            match asked {
                // The room has seen the link go.
                Asked::List(..) => {}
                Asked::Mapping(room) => self.probe_fails(&room, LOST),
                Asked::Answer(id) | Asked::Describe(id, _) => self.cx.reply(id, refused(LOST)),
                Asked::Leave(group) => drop(self.commands.leaving.remove(&group)),
                // Asked anew when the link is back.
                Asked::Visit(wait) => self.members_came(wait, None),
            }
        }
    }

    pub(super) fn response(&mut self, response: Response) {
        let Some(asked) = self.commands.asked.remove(&response.id) else { return };
        if self.commands.page == Some(response.id) {
            self.commands.page = None;
            self.next_page();
        }
        match (asked, response.body) {
            (Asked::List(group, request), ResponseBody::List { page, .. }) => {
                self.with(group, |room, cx| room.list_page(cx, request, &page));
            }
            (Asked::List(group, request), body) => {
                let why = if let ResponseBody::Refused { condition, .. } = body { Some(condition) } else { None };
                self.with(group, |room, cx| room.list_refused(cx, request, why));
            }
            (Asked::Leave(group), _) => {
                self.commands.leaving.remove(&group);
                self.end_mapping(group);
            }
            (Asked::Visit(wait), ResponseBody::List { page, .. }) => self.members_came(wait, Some(page)),
            (Asked::Visit(wait), _) => self.members_came(wait, None),
            (Asked::Mapping(room), ResponseBody::Group(info)) => self.map(&room, info),
            (Asked::Mapping(room), ResponseBody::Refused { condition, text }) => {
                self.probe_refused(&room, Reply::Refused { condition: Some(condition), text });
            }
            (Asked::Mapping(room), _) => self.probe_fails(&room, "the center gave an answer that was not asked for"),
            (Asked::Describe(id, changes), ResponseBody::Group(info)) => {
                let about = changes.applied(*info.about);
                self.ask(id, RequestBody::DescribeGroup { group: info.number, about });
            }
            (Asked::Answer(id) | Asked::Describe(id, _), body) => {
                let room = |info: &GroupInfo| self.rooms.get(&info.number).map(|r| r.mapping.room.clone());
                let reply = match body {
                    ResponseBody::Done {} => Reply::Done,
                    ResponseBody::Group(info) => {
                        let room = room(&info);
                        Reply::Group(info, room)
                    }
                    ResponseBody::Groups { groups } => {
                        Reply::Groups(groups.into_iter().map(|info| (info.clone(), room(&info))).collect())
                    }
                    ResponseBody::List { page, .. } => Reply::Members(Listing::of_the_center(page)),
                    ResponseBody::Refused { condition, text } => Reply::Refused { condition: Some(condition), text },
                };
                self.cx.reply(id, reply);
            }
        }
    }

    fn map(&mut self, room: &RoomJid, info: GroupInfo) {
        if info.standing != Standing::Member {
            let (condition, text) = (Some(Condition::NotAMember), Condition::NotAMember.admin_text().to_owned());
            return self.probe_refused(room, Reply::Refused { condition, text });
        }
        if self.rooms.contains_key(&info.number) {
            return self.probe_fails(room, "the group has its room here already");
        }
        let Some(probe) = self.commands.probes.remove(room) else { return };
        // A room that is mapped later begins with what is said from now on, not with what it missed.
        let (settled, hash) = match probe.goal {
            Goal::Map(_) => (info.head, info.head_hash),
            Goal::Create(_) | Goal::Join(_) => (info.joined_at, info.joined_hash),
        };
        let gateway = |m: &intergroup_schemas::link::MemberInfo| intergroup_schemas::ids::GatewayId {
            enterprise: m.enterprise.clone(),
            gateway: m.gateway.clone(),
        };
        let mapping = Mapping {
            group: info.number,
            name: info.about.name.clone(),
            room: room.clone(),
            archive: probe.archive,
            source: probe.source,
            offline: None,
            kept: Default::default(),
            waits: false,
            ending: None,
            suspended: Vec::new(),
            closed: false,
            members: info.members.iter().map(|m| (gateway(m), m.display.clone())).collect(),
            list: info.list,
            list_from: info.head,
            list_at: None,
            judged: BTreeSet::new(),
            alone: false,
            news: Vec::new(),
            floor: None,
            announced: Default::default(),
            cursor: None,
            newest: None,
            checkpoints: Vec::new(),
            generation: Generation(0),
            // What a mapping that ended said may still be worked off: no life is lived again.
            life: Life(u64::try_from(self.cx.now.0).unwrap_or(0)),
            epoch: self.cx.new_epoch(),
            last_n: N(0),
            offered: N(0),
            // The link that it is mapped over is this run's.
            run: Some(self.cx.run.clone()),
            decided: N(0),
            decided_at: Vec::new(),
            incarnation: Some(info.incarnation.clone()),
            settled,
            hash,
            places: Vec::new(),
            suspect: None,
            refused: Vec::new(),
            fates_told: Vec::new(),
        };
        let group = mapping.group;
        self.cx.change(Change::Mapping(Box::new(mapping.clone())));
        self.cx.change(Change::Entered { group, mouth: PROBE });
        let rows = Rows { entered: BTreeSet::from([PROBE]), ..Rows::default() };
        let now = self.cx.now;
        self.by_jid.insert(room.clone(), group);
        self.rooms.insert(group, Room::new(mapping, rows, now));
        self.with(group, |room, cx| room.mapped(cx));
        self.cx.reply_after(probe.command, Reply::Group(info, Some(room.clone())));
    }

    // ------------------------------------------------------------ the end of a mapping

    /// Everything has gone out: now the center may be told that we leave.
    pub(super) fn leave_center(&mut self, group: GroupNumber) {
        if self.cx.link.is_some() && self.commands.leaving.insert(group) {
            self.request(RequestBody::LeaveGroup { group }, Asked::Leave(group));
        }
    }

    pub(super) fn end_mapping(&mut self, group: GroupNumber) {
        let Some(mut room) = self.rooms.remove(&group) else { return };
        let waiting = room.say_goodbye(&mut self.cx);
        self.by_jid.remove(&room.mapping.room);
        self.timers.set(group, None);
        self.cx.forget_room(group);
        self.cx.change(Change::MappingGone(group));
        for id in waiting {
            self.cx.reply_after(id, Reply::Done);
        }
        let text = format!("the room is no longer mapped to group {group}");
        self.cx.report(Some(&room.mapping.room), super::Level::Info, text);
    }
}
