//! Addressed by number: `10001@COMPONENT` is the group for each of its members here.
//!
//! In: what people ask of, and say to, a group's address ([`Visit`]), with the address they come from as their server vouches for it.
//! Out: answers ([`VisitAnswer`]), and messages into the group's outbox. Only who is in a group learns that it is there: for
//! everybody else, people of other companies included, each number is one that there is not. Never here: XML; addresses are carried
//! along as they came.

mod members;

use std::sync::Arc;

use intergroup_schemas::ids::GroupNumber;

use super::Bridge;
use super::action::Action;
use super::event::Content;
use crate::ids::{BareJid, MessageId, RoomJid};

pub use members::{Listing, Mark, Member, MemberAt, Members, Span};
pub(super) use members::{Wait, Waiting};

/// Who asks, and where the answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The full JID it came from, as the server stamped it.
    pub from: Arc<str>,
    /// The address it was sent to.
    pub to: Arc<str>,
    /// The stanza's id; empty for none.
    pub id: Arc<str>,
    /// The stanza's name, which is also that of an error in answer to it.
    pub kind: &'static str,
}

impl Caller {
    /// The caller's account.
    #[must_use]
    pub fn account(&self) -> BareJid {
        BareJid::from(self.from.split('/').next().unwrap_or_default())
    }
}

/// What somebody wants of a group's address, or of the component's.
#[derive(Debug, Clone)]
pub enum Visit {
    /// Which groups there are (XEP-0030, of the component itself).
    Groups,
    /// What the group is.
    Group,
    /// Who is in the group.
    Members(Span),
    /// What commands there are, in one of the forms of XEP-0050 section 2.
    Commands(CommandsOf),
    /// The command "Who is in this group".
    Who,
    /// To join it as if it were a room (XEP-0045 section 7.2).
    Join,
    /// To say something in it.
    Say {
        /// The message's id, by which a second copy is known.
        id: Option<MessageId>,
        /// What it comes to by the payload table.
        content: Content,
    },
    /// To have it among one's contacts, or not any more (RFC 6121 section 3): that shares presence with it.
    Follow(bool),
    /// A client is there, or is not any more.
    Presence(bool),
    /// Whether it is there (RFC 6121 section 4.3).
    Probe,
    /// A message that was sent to the visitor came back as an error.
    Bounce(MessageId),
}

/// How commands are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandsOf {
    /// disco#items of the node of commands.
    Items,
    /// disco#info of the node of commands.
    Info,
    /// disco#info of the command itself.
    WhoInfo,
}

/// What a visitor is answered. What was said and goes out is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VisitAnswer {
    /// Groups with a room here that the caller is in, by number.
    Groups(Vec<(GroupNumber, String)>),
    /// The group's name.
    Group(String),
    /// Some of the group's members, as items.
    Members(Members),
    /// The commands.
    Commands(CommandsOf),
    /// The same members, as the outcome of the command; with the group's name.
    Who(String, Members),
    /// The group's room here.
    Moved {
        /// The group.
        group: GroupNumber,
        /// Its name.
        name: String,
        /// The room.
        room: RoomJid,
    },
    /// The group is a contact of the caller now, or is not any more; with its name.
    Followed(Option<String>),
    /// The group is there; with its name.
    Present(String),
    /// It was not done.
    Refused(Declined),
}

/// Why a visitor is refused: a condition of RFC 6120 section 8.3.3, and words for the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// The condition.
    pub condition: &'static str,
    /// What happened, and what to do.
    pub text: String,
}

impl Declined {
    /// There is no such group, as far as the caller is concerned.
    pub(super) fn unknown() -> Self {
        let text = "there is no such group, or you are not in it; ask your administrator to be added to it";
        Self { condition: "item-not-found", text: text.to_owned() }
    }

    pub(super) fn later(text: &str) -> Self {
        Self { condition: "resource-constraint", text: text.to_owned() }
    }
}

impl Bridge {
    /// Somebody came to the address of a group, or (without one) of the component.
    pub(super) fn visit(&mut self, caller: Caller, group: Option<GroupNumber>, visit: Visit) {
        let account = caller.account();
        let Some(group) = group else {
            let is_in = |room: &&super::Room| room.own_member(&self.cx, &account).is_some();
            let groups = self.rooms.values().filter(is_in).map(|room| (room.group(), room.mapping.name.clone()));
            let groups = VisitAnswer::Groups(groups.collect());
            return self.answer(caller, groups);
        };
        let member = self.rooms.get(&group).and_then(|room| room.own_member(&self.cx, &account));
        let Some(member) = member else {
            self.cx.count("visitors-refused");
            return match visit {
                // To what asks for no answer none is given.
                Visit::Say { content: Content::Nothing | Content::Subject(_), .. }
                | Visit::Presence(_)
                | Visit::Probe
                | Visit::Bounce(_) => {}
                Visit::Follow(_) => self.answer(caller, VisitAnswer::Followed(None)),
                _ => self.answer(caller, VisitAnswer::Refused(Declined::unknown())),
            };
        };
        let Some(mapping) = self.rooms.get(&group).map(|room| &room.mapping) else { return };
        match visit {
            Visit::Group | Visit::Groups => {
                let name = mapping.name.clone();
                self.answer(caller, VisitAnswer::Group(name));
            }
            Visit::Commands(of) => self.answer(caller, VisitAnswer::Commands(of)),
            Visit::Join => {
                let (name, room) = (mapping.name.clone(), mapping.room.clone());
                self.answer(caller, VisitAnswer::Moved { group, name, room });
            }
            Visit::Follow(_) | Visit::Presence(_) | Visit::Probe | Visit::Bounce(_) => {
                self.contact(caller, group, &account, visit);
            }
            Visit::Members(span) => self.members(caller, group, span, None),
            Visit::Who => {
                let name = mapping.name.clone();
                self.members(caller, group, Span::default(), Some(name));
            }
            Visit::Say { id, content } => {
                let mut said = Ok(());
                self.with(group, |room, cx| said = room.say_by_number(cx, &account, &member, id, content));
                if let Err(declined) = said {
                    self.cx.count("visitors-refused");
                    self.answer(caller, VisitAnswer::Refused(declined));
                }
            }
        }
    }

    /// What members do with the number as with any contact of theirs.
    fn contact(&mut self, caller: Caller, group: GroupNumber, account: &BareJid, visit: Visit) {
        let Some(user) = self.cx.config.user(account) else { return };
        let mut name = String::new();
        self.with(group, |room, cx| {
            name.clone_from(&room.mapping.name);
            match &visit {
                Visit::Follow(follows) => room.is_followed(cx, &user, *follows),
                Visit::Presence(available) => room.shares_presence(&user, &caller.from, *available),
                Visit::Bounce(id) => room.delivery_bounced(cx, &user, id),
                _ => {}
            }
        });
        match visit {
            Visit::Follow(follows) => self.answer(caller, VisitAnswer::Followed(follows.then_some(name))),
            // So that whoever only says that they are there sees the group so, too.
            Visit::Probe | Visit::Presence(true) => self.answer(caller, VisitAnswer::Present(name)),
            _ => {}
        }
    }

    fn answer(&mut self, caller: Caller, answer: VisitAnswer) {
        self.cx.act(Action::Answer { caller, answer });
    }
}
