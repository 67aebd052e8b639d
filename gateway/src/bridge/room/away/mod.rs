//! For members who are not in the room: what is said in the group is kept, and goes from the group's number to their own addresses.
//!
//! In: who comes and goes, what is said in the group (each message once, with the commit at which it is dealt with), and who shares
//! presence with the group's number. Out: rows of what was said and of who has missed what, and messages. Never here: guests, and whoever
//! is not on the user list; nor anything in a room whose archive serves its people (`archive`).
//!
//! What is said is kept once for a room, also while nobody is away, since somebody may have gone before it was said without our
//! knowing yet; who has missed it is a span in each person's row. `deliver` sends it when the person is back (at once with
//! `inbox`), a portion at a time with a fence behind it: when that is answered the server has taken the portion, and its span goes.
//! After a crash between, a portion comes once more, under the same ids. `history` knows what the room itself shows to whoever comes.

mod deliver;
mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use intergroup_schemas::ids::{OriginKey, UserId};
use intergroup_schemas::link::{Deliver, Timestamp};

use super::Room;
use crate::bridge::action::{RequestId, RoomAction};
use crate::bridge::context::Context;
use crate::bridge::event::RoomMessage;
use crate::bridge::limits::{KEPT_PARTS, SPANS, TRIM_EVERY};
use crate::bridge::names::{Attempt, puppet_nick};
use crate::bridge::status::{AbsenceStatus, OfflineStatus};
use crate::ids::{Account, BareJid, MessageId, Nick};
use crate::payload;
use crate::store::{Absence, AbsentRow, Change, MissedRow, Offline, Part, Spot};

use super::people::Speaker;
use deliver::{Delivery, Reading, Suspicion};
use history::{By, History};

/// A day, in milliseconds.
const DAY: i64 = 24 * 3_600_000;
/// What a row takes besides its text, roughly.
const ROW_BYTES: usize = 96;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Away {
    people: BTreeMap<UserId, Person>,
    /// The ear is in: who is in the room is known.
    known: bool,
    /// Who came while the archive was being read: what they had missed until then is still on its way out of it.
    returning: BTreeSet<UserId>,
    history: History,
    /// Clients that share presence with the group's number, by full JID.
    online: BTreeMap<UserId, BTreeSet<Arc<str>>>,
    /// To whom something may go.
    due: BTreeSet<UserId>,
    /// What is being read from the store, for whom.
    reading: Option<Reading>,
    /// Portions that the server has not taken yet.
    fences: BTreeMap<RequestId, UserId>,
    /// What the server ends the stream for: it goes to nobody.
    convicted: BTreeSet<Spot>,
    /// What nobody needs any more goes then.
    trim_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Person {
    absence: Absence,
    delivery: Delivery,
    suspicion: Suspicion,
    /// What went out last: it may still be refused.
    last: Vec<(MessageId, Spot)>,
}

/// Something said in the group.
struct Said {
    id: MessageId,
    /// Whose, if the company's own.
    user: Option<UserId>,
    author: Nick,
    at: Timestamp,
    payload: Bytes,
    by: By,
}

impl Away {
    pub(super) fn new(rows: Vec<AbsentRow>) -> Self {
        let person = |row: AbsentRow| (row.user, Person { absence: row.absence, ..Person::default() });
        Self { people: rows.into_iter().map(person).collect(), ..Self::default() }
    }

    /// We are not in the room any more: who is there is not known, and what was sent may not have arrived.
    pub(super) fn forget(&mut self, cx: &mut Context) {
        self.known = false;
        self.returning.clear();
        self.reading = None;
        cx.came_back(self.fences.len());
        self.fences.clear();
        self.history = History::default();
        for person in self.people.values_mut() {
            person.delivery = Delivery::Idle;
        }
    }

    /// The room did not take what a puppet said.
    pub(super) fn is_refused(&mut self, id: &MessageId) {
        self.history.is_refused(id);
    }

    /// The server is gone, and who shares presence with it.
    pub(super) fn server_down(&mut self) {
        self.online.clear();
    }
}

impl Room {
    /// How members get what was said while they were not here.
    pub(in crate::bridge) fn offline(&self) -> Offline {
        self.mapping.offline.unwrap_or_else(|| Offline::of_room(self.mapping.archive))
    }

    /// What is said in the room is kept for those who are not there.
    fn keeps_missed(&self) -> bool {
        self.offline() != Offline::Archive && self.mapping.ending.is_none()
    }

    // ------------------------------------------------------------ who is away

    /// The ear is in, and knows who else is.
    pub(super) fn presence_is_known(&mut self, cx: &mut Context) {
        if !self.keeps_missed() {
            return;
        }
        // Whoever is not here went while nobody listened, perhaps before what was said last; and what was said last may never have
        // come to the room, so that whoever is here has not seen it either.
        let heard = self.mapping.kept.heard;
        self.away.known = true;
        let off = |user: &&UserId| !self.belongs_here(cx, user);
        let strays: Vec<_> = self.away.people.keys().filter(off).cloned().collect();
        strays.iter().for_each(|user| self.forget_absence(cx, user));
        let members = self.own_people().keys().filter(|user| self.belongs_here(cx, user));
        for user in members.cloned().collect::<Vec<_>>() {
            self.look_for(cx, &user, heard, true);
        }
        self.mapping.kept.heard = self.mapping.kept.next;
        self.dirty(cx);
        let group = self.group();
        let follows = self.away.people.iter().filter(|(_, person)| person.absence.follows);
        for to in follows.map(|(user, _)| cx.config.account(user)).collect::<Vec<_>>() {
            self.act(cx, RoomAction::Probe { group, to });
        }
        self.away.due = self.away.people.keys().cloned().collect();
    }

    /// Notes whether a member is here. Who is not has seen what was said before `heard`; nor has anybody seen more when we come
    /// `anew` to a room without archive.
    fn look_for(&mut self, cx: &mut Context, user: &UserId, heard: Spot, anew: bool) {
        let here = self.people.nick_of(&cx.config.account(user)).is_some();
        if !here || (anew && !self.mapping.archive) {
            self.change_absence(cx, user, |absence| absence.begin(heard));
        }
        if here && self.is_read_to_the_end() {
            let shown = self.away.history.shown(cx);
            self.is_back(cx, user, &shown);
        } else if here {
            self.away.returning.insert(user.clone());
        }
    }

    /// What is said is kept at once, and not first read out of the archive.
    fn is_read_to_the_end(&self) -> bool {
        !self.mapping.archive || (self.door.is_ready() && !self.archive.behind && !self.archive.is_holding())
    }

    /// A member is here, and has seen what the room has shown.
    fn is_back(&mut self, cx: &mut Context, user: &UserId, shown: &BTreeSet<Spot>) {
        let next = self.mapping.kept.next;
        self.change_absence(cx, user, |absence| absence.end(next, shown, SPANS));
        if let Some(person) = self.away.people.get_mut(user) {
            person.delivery.is_back();
        }
        self.away.due.insert(user.clone());
    }

    fn change_absence(&mut self, cx: &mut Context, user: &UserId, change: impl FnOnce(&mut Absence)) {
        let absence = &mut self.away.people.entry(user.clone()).or_default().absence;
        let before = absence.clone();
        change(absence);
        if *absence != before {
            self.write_absence(cx, user);
        }
    }

    /// What was said before they came has been read: now it is known what those who came meanwhile had missed. What they have seen
    /// since is among it; nobody can tell which that was.
    fn let_return(&mut self, cx: &mut Context) {
        if !self.away.known || !self.is_read_to_the_end() {
            return;
        }
        for user in std::mem::take(&mut self.away.returning) {
            if self.people.nick_of(&cx.config.account(&user)).is_some() {
                self.is_back(cx, &user, &BTreeSet::new());
            }
        }
    }

    /// Somebody has come into the room, or left it.
    pub(super) fn presence_changed(&mut self, cx: &mut Context, account: &BareJid) {
        if self.away.known
            && self.keeps_missed()
            && let Some(user) = cx.config.user(account).filter(|user| self.belongs_here(cx, user))
        {
            let heard = self.heard(cx.now);
            self.look_for(cx, &user, heard, false);
        }
    }

    /// What puppets have said before is in the room, as far as we have heard.
    fn heard(&self, now: Timestamp) -> Spot {
        self.away.history.unheard_from(self.mapping.kept.next, now)
    }

    /// How far that is goes to disk with everything else.
    pub(super) fn note_heard(&mut self, now: Timestamp) {
        if self.away.known {
            self.mapping.kept.heard = self.heard(now);
        }
    }

    /// Whoever came onto the list, or went off it.
    fn follow_list(&mut self, cx: &mut Context) {
        for user in self.take_touched() {
            if !self.belongs_here(cx, &user) {
                self.forget_absence(cx, &user);
            } else if self.away.known {
                let heard = self.heard(cx.now);
                self.look_for(cx, &user, heard, false);
            }
        }
    }

    fn write_absence(&self, cx: &mut Context, user: &UserId) {
        let absence = self.away.people.get(user).map(|person| person.absence.clone()).unwrap_or_default();
        cx.change(Change::Absent(AbsentRow { group: self.group(), user: user.clone(), absence }));
    }

    fn forget_absence(&mut self, cx: &mut Context, user: &UserId) {
        self.away.due.remove(user);
        self.away.online.remove(user);
        if self.away.people.remove(user).is_some_and(|person| !person.absence.is_nothing()) {
            self.write_absence(cx, user);
        }
    }

    // ------------------------------------------------------------ who shares presence with the number

    /// A client shares presence with the group's number, or does not any more.
    pub(in crate::bridge) fn shares_presence(&mut self, user: &UserId, client: &Arc<str>, available: bool) {
        let clients = self.away.online.entry(user.clone()).or_default();
        if available {
            clients.insert(client.clone());
            self.away.due.insert(user.clone());
            if let Some(person) = self.away.people.get_mut(user) {
                person.delivery.is_back();
            }
        } else {
            clients.remove(client);
            if clients.is_empty() {
                self.away.online.remove(user);
            }
        }
    }

    /// A person has the group's number among their contacts, or not any more.
    pub(in crate::bridge) fn is_followed(&mut self, cx: &mut Context, user: &UserId, follows: bool) {
        let person = self.away.people.entry(user.clone()).or_default();
        if std::mem::replace(&mut person.absence.follows, follows) != follows {
            self.write_absence(cx, user);
        }
    }

    // ------------------------------------------------------------ what is said

    /// One of our people has said something that crosses; it has just got its number.
    pub(super) fn keep_own(&mut self, cx: &mut Context, user: &UserId, author: &str, at: Timestamp, payload: Bytes) {
        if !self.keeps_missed() {
            return;
        }
        let key = OriginKey { epoch: self.mapping.epoch.clone(), n: self.mapping.last_n };
        let id = cx.ids.line(&["own", &self.group().to_string(), &key.to_string()]);
        let (user, author) = (Some(user.clone()), Nick::from(author));
        self.keep(cx, Said { id, user, author, at, payload, by: By::Person });
    }

    /// A puppet has said something, or is about to.
    pub(super) fn keep_posted(&mut self, cx: &mut Context, id: MessageId, deliver: &Deliver) {
        if !self.keeps_missed() {
            return;
        }
        let account = Account { enterprise: deliver.enterprise.clone(), user: deliver.user.clone() };
        let author = self.puppets.nick_of(&account).unwrap_or_else(|| {
            let display = self.display_of(&deliver.enterprise);
            puppet_nick(&deliver.nick, deliver.user.as_str(), &display, Attempt::FIRST)
        });
        let own = cx.enterprise() == Some(&deliver.enterprise);
        let payload = payload::resolve_mentions(&deliver.payload, &mut |account| self.account_nick(cx, account));
        let user = own.then(|| deliver.user.clone());
        // Without archive, what is said is settled first.
        let by = By::Puppet { to_come: !self.mapping.archive };
        self.keep(cx, Said { id, user, author, at: deliver.at, payload, by });
    }

    fn keep(&mut self, cx: &mut Context, said: Said) {
        if self.own_people().is_empty() {
            return;
        }
        let Said { id, user, author, at, payload, by } = said;
        let spot = self.mapping.kept.next;
        let bytes = payload.len() + author.as_str().len() + ROW_BYTES;
        self.away.history.is_kept(&id, spot, by, cx.now);
        let bounds = cx.config.offline;
        let kept = &mut self.mapping.kept;
        let full = |part: &Part| {
            spot.0 - part.from.0 >= bounds.messages.div_ceil(KEPT_PARTS)
                || part.bytes >= bounds.bytes.div_ceil(KEPT_PARTS)
                || part.at.0.div_euclid(DAY) != cx.now.0.div_euclid(DAY)
        };
        if kept.parts.last().is_none_or(full) {
            kept.parts.push(Part { from: spot, bytes: 0, at: cx.now });
        }
        if let Some(part) = kept.parts.last_mut() {
            part.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
            part.at = cx.now;
        }
        kept.next = spot.next();
        cx.change(Change::Missed(MissedRow { group: self.group(), spot, id, user, author, at, payload }));
        self.dirty(cx);
        self.away.trim_at.get_or_insert(cx.in_ms(TRIM_EVERY));
        self.trim(cx, Spot(0));
    }

    /// Lets go of what is before `needed`, and of what is too much or too old.
    fn trim(&mut self, cx: &mut Context, needed: Spot) {
        let bounds = cx.config.offline;
        let oldest = cx.now.0 - i64::from(bounds.days) * DAY;
        let kept = &mut self.mapping.kept;
        let before = kept.first();
        let done = |end: Spot| end <= needed;
        while let Some(first) = kept.parts.first() {
            let end = kept.parts.get(1).map_or(kept.next, |second| second.from);
            let too_much = kept.parts.len() > 1 && (kept.count() > bounds.messages || kept.bytes() > bounds.bytes);
            if !done(end) && !too_much && first.at.0 >= oldest {
                break;
            }
            if !done(end) {
                cx.count("offline-parts-dropped");
            }
            kept.parts.remove(0);
        }
        let before_is = kept.first();
        self.away.convicted.retain(|spot| *spot >= before_is);
        if before_is > before {
            cx.change(Change::MissedTrim { group: self.mapping.group, before: before_is });
            self.dirty(cx);
        }
    }

    /// What nobody needs any more goes now and then.
    fn trim_unneeded(&mut self, cx: &mut Context) {
        if self.away.trim_at.is_none_or(|at| at > cx.now) || !self.away.known {
            return;
        }
        let unheard = self.heard(cx.now);
        let needed = self.away.people.values().filter_map(|person| person.absence.first()).min();
        self.trim(cx, needed.map_or(unheard, |needed| needed.min(unheard)));
        let more = !self.mapping.kept.parts.is_empty();
        self.away.trim_at = more.then(|| cx.in_ms(TRIM_EVERY));
    }

    /// The ear hears something live: from now on the room shows it to whoever comes.
    pub(super) fn begin_hearing(&mut self, cx: &Context, message: &RoomMessage) {
        let speaker = message.nick.as_ref().map(|nick| self.people.speaker(nick));
        let ours = matches!(speaker, Some(Speaker::Ours(_)));
        let id = message.id.as_ref().filter(|_| ours);
        self.away.history.hears(id, &message.content, cx.config.offline.join_history);
    }

    /// What was heard has been dealt with.
    pub(super) fn end_hearing(&mut self) {
        self.away.history.end_hearing();
    }

    // ------------------------------------------------------------ work and figures

    pub(super) fn watch_away(&mut self, cx: &mut Context) {
        self.follow_list(cx);
        if self.keeps_missed() {
            if !self.away.known && self.door.is_ready() {
                // It was chosen while the room was being entered.
                self.presence_is_known(cx);
            }
            self.let_return(cx);
            self.go_on_delivering(cx);
            self.trim_unneeded(cx);
        }
    }

    pub(super) fn away_deadline(&self) -> Option<Timestamp> {
        if !self.keeps_missed() {
            return None;
        }
        let held = self.away.people.values().filter_map(|person| person.delivery.held_until()).min();
        [self.away.trim_at, held].into_iter().flatten().min()
    }

    /// What is kept has come further on disk: it may go to whoever waits for it.
    pub(super) fn kept_is_durable(&mut self) {
        let inbox = self.offline() == Offline::Inbox;
        let away = |(_, person): &(&UserId, &Person)| person.absence.first().is_some();
        let waiting = self.away.people.iter().filter(away).map(|(user, _)| user);
        let waiting = waiting.filter(|user| inbox || self.away.online.contains_key(*user));
        let waiting: Vec<_> = waiting.cloned().collect();
        self.away.due.extend(waiting);
    }

    /// Changes how members get what they have missed.
    pub(in crate::bridge) fn set_offline(&mut self, cx: &mut Context, how: Offline) {
        if self.offline() == how {
            self.mapping.offline = Some(how);
            return self.dirty(cx);
        }
        self.mapping.offline = Some(how);
        self.dirty(cx);
        if how == Offline::Archive {
            for user in self.away.people.keys().cloned().collect::<Vec<_>>() {
                let person = self.away.people.entry(user.clone()).or_default();
                let absence = Absence { follows: person.absence.follows, ..Absence::default() };
                *person = Person { absence, ..Person::default() };
                self.write_absence(cx, &user);
            }
            self.away.forget(cx);
            self.trim(cx, self.mapping.kept.next);
        } else {
            self.kept_is_durable();
        }
    }

    pub(in crate::bridge) fn offline_status(&self) -> OfflineStatus {
        let next = self.mapping.kept.next;
        let missed: Vec<_> = self.away.people.values().map(|p| p.absence.count(next)).filter(|n| *n > 0).collect();
        OfflineStatus {
            how: self.offline(),
            messages: self.mapping.kept.count(),
            bytes: self.mapping.kept.bytes(),
            people: missed.len(),
            most: missed.into_iter().max().unwrap_or(0),
        }
    }

    /// Each member who has missed something.
    pub(in crate::bridge) fn absences(&self) -> Vec<AbsenceStatus> {
        let (next, first) = (self.mapping.kept.next, self.mapping.kept.first());
        let people = self.away.people.iter().filter_map(|(user, person)| {
            let missed = person.absence.count(next);
            let from = person.absence.first().filter(|_| missed > 0)?;
            let away = person.absence.since.is_some();
            Some(AbsenceStatus { user: user.clone(), missed, dropped: first.0.saturating_sub(from.0), away })
        });
        people.collect()
    }
}
