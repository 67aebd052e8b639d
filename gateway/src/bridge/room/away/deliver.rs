//! What was missed goes out: a portion at a time, from the group's number to the person's bare JID, with a fence behind it.

use std::sync::Arc;

use intergroup_schemas::ids::UserId;
use intergroup_schemas::link::Timestamp;

use super::{Room, Spot};
use crate::bridge::action::{Action, Level, RequestId, RoomAction};
use crate::bridge::context::Context;
use crate::bridge::event::{Answer, Refusal};
use crate::bridge::limits::{DEATHS, DELIVERIES, PORTION, REFUSED_FOR, RETRY, SPANS};
use crate::ids::{BareJid, MessageId};
use crate::store::{MissedRow, Offline};

/// What is on its way to a person.
#[derive(Debug, Default)]
pub(super) enum Delivery {
    /// Nothing.
    #[default]
    Idle,
    /// A portion.
    Sent {
        /// Its first spot,
        from: Spot,
        /// what follows it,
        upto: Spot,
        /// and the first spot of it that came back refused.
        refused: Option<Spot>,
    },
    /// Something was refused: not again before then, or before the person is back.
    Held(Timestamp),
}

impl Delivery {
    /// The person has shown up.
    pub(super) fn is_back(&mut self) {
        if let Delivery::Held(_) = self {
            *self = Delivery::Idle;
        }
    }

    pub(super) fn held_until(&self) -> Option<Timestamp> {
        if let Delivery::Held(until) = self { Some(*until) } else { None }
    }
}

/// How the server takes what goes to a person.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// The stream ended with a portion under way: up to here, messages go one at a time.
    until: Spot,
    /// How often it ended with this one under way.
    deaths: u32,
}

/// A portion that is being read from the store.
#[derive(Debug)]
pub(super) struct Reading {
    user: UserId,
    from: Spot,
    to: Spot,
}

impl Room {
    /// Asks the store for the next portion that can go, one at a time.
    pub(super) fn go_on_delivering(&mut self, cx: &mut Context) {
        let now = cx.now;
        for (user, person) in &mut self.away.people {
            if person.delivery.held_until().is_some_and(|until| until <= now) {
                person.delivery.is_back();
                self.away.due.insert(user.clone());
            }
        }
        if !self.door.is_ready() || cx.server.is_none() {
            return;
        }
        while self.away.reading.is_none() && self.away.fences.len() < DELIVERIES {
            let Some(user) = self.away.due.pop_first() else { return };
            let Some((from, to)) = self.next_portion(cx, &user) else { continue };
            let suspected = self.away.people.get(&user).is_some_and(|person| from < person.suspicion.until);
            if suspected && cx.caution == 0 {
                // So that nothing else is under way with it, in any room.
                cx.become_cautious();
            }
            if !cx.may_say() {
                self.away.due.insert(user);
                return;
            }
            let max = if cx.caution > 0 { 1 } else { PORTION };
            cx.act(Action::LoadMissed { group: self.group(), from, max });
            self.away.reading = Some(Reading { user, from, to });
        }
    }

    /// What can go to a person now.
    fn next_portion(&self, cx: &Context, user: &UserId) -> Option<(Spot, Spot)> {
        let person = self.away.people.get(user).filter(|person| matches!(person.delivery, Delivery::Idle))?;
        let follows = self.offline() == Offline::Inbox || self.away.online.contains_key(user);
        let here = self.people.nick_of(&cx.config.account(user)).is_some();
        // In the room, what is said now is seen there.
        let open = person.absence.since.filter(|_| follows).map(|since| (since, self.mapping.kept.next));
        let span = person.absence.spans.first().copied().filter(|_| follows || here).or(open);
        // What is not on disk yet may still be said by nobody.
        let (from, to) = span.map(|(from, to)| (from, to.min(self.durable.kept)))?;
        (from < to).then_some((from, to))
    }

    /// The store's answer.
    pub(in crate::bridge) fn missed_rows(&mut self, cx: &mut Context, rows: &[MissedRow]) {
        let Some(Reading { user, from, to }) = self.away.reading.take() else { return };
        let begins_here = self.next_portion(cx, &user).is_some_and(|(now, _)| now == from);
        if !self.door.is_ready() || !begins_here || !cx.may_say() {
            self.away.due.insert(user);
            return;
        }
        let (group, account) = (self.group(), cx.config.account(&user));
        let first = self.mapping.kept.first();
        if first > from {
            let dropped = first.min(to).0 - from.0;
            let id = cx.ids.line(&["dropped", &group.to_string(), user.as_str(), &first.0.to_string()]);
            let text = format!("{dropped} older messages of {} were not kept.", self.mapping.name);
            let payload = format!("<body>{}</body>", quick_xml::escape::escape(text)).into();
            cx.count("missed-and-not-kept");
            let to = account.clone();
            self.act(cx, RoomAction::Send { group, to, id, payload, prefix: None, delay: None });
        }
        let rows = rows.iter().filter(|row| row.spot >= from && row.spot < to);
        let (mut upto, mut sent) = (first.min(to).max(from), Vec::new());
        for row in rows {
            upto = row.spot.next();
            if row.user.as_ref() != Some(&user) && !self.away.convicted.contains(&row.spot) {
                cx.count("missed-sent");
                sent.push((row.id.clone(), row.spot));
                self.send_missed(cx, account.clone(), row);
            }
        }
        let request = cx.next_request();
        cx.said();
        self.act(cx, RoomAction::Fence { request });
        if let Some(person) = self.away.people.get_mut(&user) {
            person.last = sent;
            person.delivery = Delivery::Sent { from, upto, refused: None };
            self.away.fences.insert(request, user);
        }
    }

    fn send_missed(&self, cx: &mut Context, to: BareJid, row: &MissedRow) {
        let (group, id, payload) = (row.group, row.id.clone(), row.payload.clone());
        let prefix = Some(Arc::from(format!("{}: ", row.author)));
        self.act(cx, RoomAction::Send { group, to, id, payload, prefix, delay: Some(row.at) });
    }

    /// The server ended the stream for something that we sent: perhaps for one of these. What is convicted goes to nobody any more.
    pub(in crate::bridge::room) fn suspect_deliveries(&mut self, cx: &mut Context) {
        let mut convicted = Vec::new();
        for (user, person) in &mut self.away.people {
            let Delivery::Sent { from, upto, .. } = person.delivery else { continue };
            if upto.0 - from.0 > 1 {
                person.suspicion.until = person.suspicion.until.max(upto);
                continue;
            }
            person.suspicion.deaths += 1;
            if person.suspicion.deaths >= DEATHS {
                person.suspicion.deaths = 0;
                person.absence.got(upto);
                convicted.push((user.clone(), from));
            }
        }
        for (user, spot) in convicted {
            cx.count("missed-and-poisonous");
            let text = format!("the server ends the stream for a message that {user} has missed: it goes to nobody");
            self.report(cx, Level::Warning, text);
            self.away.convicted.insert(spot);
            self.write_absence(cx, &user);
        }
    }

    pub(in crate::bridge::room) fn awaits_taking(&self, request: RequestId) -> bool {
        self.away.fences.contains_key(&request)
    }

    /// The server has worked off all that was sent before the fence, or is silent.
    pub(in crate::bridge::room) fn portion_is_taken(
        &mut self,
        cx: &mut Context,
        request: RequestId,
        answer: &Result<Answer, Refusal>,
    ) {
        let Some(user) = self.away.fences.remove(&request) else { return };
        cx.came_back(1);
        cx.caution = cx.caution.saturating_sub(1);
        let Some(person) = self.away.people.get_mut(&user) else { return };
        let Delivery::Sent { upto, refused, .. } = std::mem::take(&mut person.delivery) else { return };
        person.suspicion.deaths = 0;
        if answer.as_ref().is_err_and(|refusal| &*refusal.condition == "remote-server-timeout") {
            person.delivery = Delivery::Held(cx.in_ms(RETRY));
            return;
        }
        person.absence.got(refused.unwrap_or(upto));
        match refused {
            Some(_) => person.delivery = Delivery::Held(cx.in_ms(REFUSED_FOR)),
            None => drop(self.away.due.insert(user.clone())),
        }
        self.write_absence(cx, &user);
    }

    /// A message to a person came back as an error (RFC 6121 section 8): it is kept for when the person is back.
    pub(in crate::bridge) fn delivery_bounced(&mut self, cx: &mut Context, user: &UserId, id: &MessageId) {
        let kept_from = self.mapping.kept.first();
        let until = cx.in_ms(REFUSED_FOR);
        let Some(person) = self.away.people.get_mut(user) else { return };
        let Some((_, spot)) = person.last.iter().find(|(sent, _)| sent == id).cloned() else { return };
        cx.count("missed-refused");
        if let Delivery::Sent { refused, .. } = &mut person.delivery {
            *refused = Some(refused.map_or(spot, |before| before.min(spot)));
        } else if spot >= kept_from {
            person.absence.add(spot, spot.next(), SPANS);
            person.delivery = Delivery::Held(until);
            self.write_absence(cx, user);
        }
    }
}
