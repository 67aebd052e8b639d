//! Who speaks for remote people: puppets that enter when their person first speaks, leave when idle, and are kept out by
//! the room's moderators like anybody else.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{DisplayName, EnterpriseId};
use intergroup_schemas::link::{Deliver, Timestamp};

use super::{After, Room};
use crate::bridge::action::{Level, RequestId, RoomAction};
use crate::bridge::context::Context;
use crate::bridge::event::{Affiliation, Answer, Gone, Refusal};
use crate::bridge::limits::{BANNED_FOR, EAR_SPEAKS_FOR, ENTERED_WITHIN, MUTED_FOR, PUPPET_IDLE, PUPPETS};
use crate::bridge::names::{Attempt, puppet_nick};
use crate::ids::{Account, Mouth, Nick, OccupantId, Who};
use crate::store::Owner;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Puppets {
    puppets: BTreeMap<Account, Puppet>,
    /// Who has been told that private messages are not carried.
    answered: BTreeSet<(Who, Nick)>,
}

#[derive(Debug)]
struct Puppet {
    state: State,
    /// What it is called at home.
    name: DisplayName,
    /// Its nick here, as the server shows it, while it is in.
    nick: Option<Nick>,
    attempt: Attempt,
    /// It was made a member once already.
    member: bool,
    spoke: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Out,
    /// Is being made a member, until then.
    Becoming(RequestId, Timestamp),
    Entering(Timestamp),
    /// In, but its occupant-id is not on disk yet.
    Arrived,
    In,
    /// Kicked: quiet until then.
    Muted(Timestamp),
    /// Banned: tried again then.
    Banned(Timestamp),
    /// Could not come in: the ear speaks until then.
    Away(Timestamp),
}

/// Who can speak for a person now.
pub(super) enum Voice {
    Puppet(Mouth),
    /// The ear, with the person's name before each body.
    Ear(String),
    NotYet,
    Refused(Condition),
}

impl Puppets {
    pub(super) fn all_gone(&mut self) {
        self.answered.clear();
        self.puppets.retain(|_, p| matches!(p.state, State::Muted(_) | State::Banned(_) | State::Away(_)));
    }

    pub(super) fn count(&self) -> usize {
        self.puppets.values().filter(|p| matches!(p.state, State::In | State::Arrived)).count()
    }

    /// The nicks of those who are in.
    pub(super) fn names(&self) -> Vec<(Nick, Account)> {
        let named = self.puppets.iter().filter_map(|(account, p)| Some((p.nick.clone()?, account.clone())));
        named.collect()
    }

    pub(super) fn nick_of(&self, account: &Account) -> Option<Nick> {
        self.puppets.get(account)?.nick.clone()
    }

    /// Those of one enterprise.
    pub(super) fn of(&self, enterprise: &EnterpriseId) -> Vec<Account> {
        self.puppets.keys().filter(|account| account.enterprise == *enterprise).cloned().collect()
    }

    /// Whose puppets these are.
    pub(super) fn accounts(&self) -> Vec<Account> {
        self.puppets.keys().cloned().collect()
    }

    /// All that may be in.
    pub(super) fn everybody(&self) -> Vec<Who> {
        self.puppets.keys().cloned().map(Who::Puppet).collect()
    }

    /// The room says that it is not in.
    pub(super) fn lost(&mut self, account: &Account) {
        // A moderator's act is the reason, not a reason to come in again.
        let kept_out = |p: &Puppet| matches!(p.state, State::Muted(_) | State::Banned(_));
        if !self.puppets.get(account).is_some_and(kept_out) {
            self.set(account, State::Out);
        }
    }

    fn set(&mut self, account: &Account, state: State) {
        if let Some(puppet) = self.puppets.get_mut(account) {
            puppet.state = state;
            if !matches!(state, State::In | State::Arrived) {
                puppet.nick = None;
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.puppets.values().map(Puppet::deadline).min()
    }
}

impl Puppet {
    fn deadline(&self) -> Timestamp {
        match self.state {
            State::Becoming(_, at) | State::Entering(at) => at,
            State::Muted(at) | State::Banned(at) | State::Away(at) => at,
            State::Out | State::Arrived | State::In => Timestamp(self.spoke.0 + PUPPET_IDLE),
        }
    }
}

impl Room {
    /// Who speaks for the author of a message. Lets a puppet enter when it is not in.
    pub(super) fn voice(&mut self, cx: &mut Context, deliver: &Deliver, by_ear: bool) -> Voice {
        let account = Account { enterprise: deliver.enterprise.clone(), user: deliver.user.clone() };
        if let Some(puppet) = self.puppets.puppets.get_mut(&account) {
            puppet.spoke = cx.now;
            match puppet.state {
                State::Muted(_) => return Voice::Refused(Condition::Kicked),
                State::Banned(_) => return Voice::Refused(Condition::Banned),
                State::In if !by_ear => {
                    return Voice::Puppet(Mouth { who: Who::Puppet(account), life: self.mapping.life });
                }
                State::Becoming(..) | State::Entering(_) | State::Arrived if !by_ear => return Voice::NotYet,
                _ => {}
            }
        }
        let away = self.puppets.puppets.get(&account).is_some_and(|p| matches!(p.state, State::Away(_)));
        if by_ear || away {
            let display = self.display_of(&deliver.enterprise);
            let name = puppet_nick(&deliver.nick, deliver.user.as_str(), &display, Attempt::FIRST);
            return Voice::Ear(format!("{name}: "));
        }
        self.make_room(cx);
        let name = deliver.nick.clone();
        let attempt = Attempt::FIRST;
        let puppet = Puppet { state: State::Out, name, nick: None, attempt, member: false, spoke: cx.now };
        self.puppets.puppets.entry(account.clone()).or_insert(puppet);
        self.let_enter(cx, &account);
        Voice::NotYet
    }

    /// Keeps the number of puppets bounded: the one that was silent longest makes way.
    fn make_room(&mut self, cx: &mut Context) {
        if self.puppets.puppets.len() < PUPPETS {
            return;
        }
        let idlest = self.puppets.puppets.iter().filter(|(_, p)| p.state == State::In).min_by_key(|(_, p)| p.spoke);
        if let Some(account) = idlest.map(|(account, _)| account.clone()) {
            self.retire(cx, &account);
        }
    }

    pub(super) fn retire(&mut self, cx: &mut Context, account: &Account) {
        if self.puppets.puppets.remove(account).is_none() {
            return;
        }
        let leave = RoomAction::Leave { mouth: self.mouth(Who::Puppet(account.clone())) };
        if self.mapping.archive {
            self.act(cx, leave);
        } else {
            // Its last words may wait for their outcome to be on disk.
            cx.after(self.group(), After::Leave(Box::new(leave)));
        }
    }

    fn let_enter(&mut self, cx: &mut Context, account: &Account) {
        let until = cx.in_ms(ENTERED_WITHIN);
        let display = self.display_of(&account.enterprise);
        let Some(puppet) = self.puppets.puppets.get_mut(account) else { return };
        puppet.state = State::Entering(until);
        let nick = puppet_nick(&puppet.name, account.user.as_str(), &display, puppet.attempt);
        let mouth = self.mouth(Who::Puppet(account.clone()));
        if self.door.knows(&mouth) && self.mapping.archive {
            self.act(cx, RoomAction::Enter { mouth, nick });
        } else {
            self.will_enter(cx, mouth.clone());
            cx.after(self.group(), After::Enter { mouth, nick });
        }
    }

    pub(super) fn puppet_is_in(&mut self, cx: &mut Context, account: Account, nick: Nick, id: Option<OccupantId>) {
        let who = Who::Puppet(account.clone());
        let Some(puppet) = self.puppets.puppets.get_mut(&account) else {
            // Nobody waits for it any more.
            return self.act(cx, RoomAction::Leave { mouth: self.mouth(who) });
        };
        puppet.nick = Some(nick.clone());
        let known = id.as_ref().is_none_or(|id| self.people.owner(id) == Some(&Owner::Ours(who.clone())));
        if known {
            puppet.state = State::In;
        } else if puppet.state != State::In {
            puppet.state = State::Arrived;
        }
        let mouth = self.mouth(who);
        self.occupant_is_in(cx, nick, None, Some(mouth), id);
        if !known {
            // Its words must be known for ours after a crash: its occupant-id goes to disk before it speaks.
            cx.after(self.group(), After::Speak(account));
        }
    }

    pub(super) fn puppet_may_speak(&mut self, account: &Account) {
        if self.puppets.puppets.get(account).is_some_and(|p| p.state == State::Arrived) {
            self.puppets.puppets.entry(account.clone()).and_modify(|p| p.state = State::In);
        }
    }

    pub(super) fn puppet_is_kept_out(&mut self, cx: &mut Context, account: &Account, refusal: &Refusal) {
        let Some(puppet) = self.puppets.puppets.get_mut(account) else { return };
        if !matches!(puppet.state, State::Entering(_)) {
            return;
        }
        let again = match refusal.condition.as_ref() {
            "conflict" if puppet.attempt.number < 20 => {
                puppet.attempt.number += 1;
                true
            }
            // The server cannot take the nick.
            "jid-malformed" | "bad-request" if !puppet.attempt.plain => {
                puppet.attempt = Attempt { number: 1, plain: true };
                true
            }
            _ => false,
        };
        if again {
            return self.let_enter(cx, account);
        }
        match refusal.condition.as_ref() {
            "registration-required" if !puppet.member => {
                puppet.member = true;
                let request = cx.next_request();
                puppet.state = State::Becoming(request, cx.in_ms(ENTERED_WITHIN));
                self.act(cx, RoomAction::SetMember { request, who: Who::Puppet(account.clone()) });
            }
            "forbidden" => self.banned(cx, account),
            other => {
                self.report(
                    cx,
                    Level::Warning,
                    format!("{account} could not come in ({other}): the gateway speaks for them"),
                );
                let until = cx.in_ms(EAR_SPEAKS_FOR);
                self.puppets.set(account, State::Away(until));
            }
        }
    }

    /// The answer to making a puppet a member, or to nothing that is still of interest.
    pub(super) fn member_set(&mut self, cx: &mut Context, request: RequestId, _: &Result<Answer, Refusal>) {
        let becoming = |p: &Puppet| matches!(p.state, State::Becoming(r, _) if r == request);
        let account = self.puppets.puppets.iter().find(|(_, p)| becoming(p)).map(|(account, _)| account.clone());
        if let Some(account) = account {
            // If it was not allowed, the room says so again.
            self.let_enter(cx, &account);
        }
    }

    fn banned(&mut self, cx: &mut Context, account: &Account) {
        self.report(cx, Level::Warning, format!("{account}: {}", Condition::Banned.admin_text()));
        let until = cx.in_ms(BANNED_FOR);
        self.puppets.set(account, State::Banned(until));
    }

    pub(super) fn puppet_is_out(&mut self, cx: &mut Context, account: &Account, how: &Gone) {
        match how {
            Gone::Renamed(nick) => {
                if let Some(puppet) = self.puppets.puppets.get_mut(account) {
                    puppet.nick = Some(nick.clone());
                }
            }
            Gone::Kicked => {
                self.report(cx, Level::Info, format!("{account}: {}", Condition::Kicked.admin_text()));
                let until = cx.in_ms(MUTED_FOR);
                self.puppets.set(account, State::Muted(until));
            }
            Gone::Banned => self.banned(cx, account),
            Gone::Left | Gone::Removed | Gone::Unreachable | Gone::Destroyed => self.puppets.set(account, State::Out),
        }
    }

    /// A moderator changed what one of ours may do, while it was not in.
    pub(super) fn puppet_affiliation(&mut self, cx: &mut Context, account: &Account, affiliation: Affiliation) {
        let Some(state) = self.puppets.puppets.get(account).map(|p| p.state) else { return };
        match (state, affiliation) {
            (State::Banned(_), Affiliation::Outcast) => {}
            (_, Affiliation::Outcast) => self.banned(cx, account),
            (State::Banned(_), _) => self.puppets.set(account, State::Out),
            _ => {}
        }
    }

    pub(super) fn explain_private(&mut self, cx: &mut Context, mouth: Mouth, from: Nick) {
        if mouth.life != self.mapping.life || !self.puppets.answered.insert((mouth.who.clone(), from.clone())) {
            return;
        }
        cx.count("private-messages");
        let text = match mouth.who {
            Who::Ear => "I connect this room with other companies. What is written to me goes nowhere.",
            Who::Puppet(_) => "Private messages are not carried to other companies. Write in the room instead.",
        };
        self.act(cx, RoomAction::Tell { mouth, nick: from, text: text.into() });
    }

    pub(super) fn watch_puppets(&mut self, cx: &mut Context) {
        if !self.door.is_ready() || self.puppets.deadline().is_none_or(|at| at > cx.now) {
            return;
        }
        let due: Vec<_> = self
            .puppets
            .puppets
            .iter()
            .filter(|(_, p)| p.deadline() <= cx.now)
            .map(|(a, p)| (a.clone(), p.state))
            .collect();
        for (account, state) in due {
            match state {
                State::Becoming(..) | State::Entering(_) => {
                    self.report(cx, Level::Warning, format!("{account} did not come in: the gateway speaks for them"));
                    let until = cx.in_ms(EAR_SPEAKS_FOR);
                    self.puppets.set(&account, State::Away(until));
                }
                State::In | State::Arrived => self.retire(cx, &account),
                State::Muted(_) | State::Banned(_) | State::Away(_) | State::Out => {
                    self.puppets.puppets.remove(&account);
                }
            }
        }
    }
}
