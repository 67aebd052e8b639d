//! For whom the room's people speak, as far as they were told: it changes where the room is told that a company has joined
//! or left, and a message is for whoever was named before it, not for whoever belongs to the group when it is read.

use intergroup_schemas::ids::ListVersion;
use intergroup_schemas::link::{Change as GroupChange, Entry, Timestamp};

use super::Room;
use crate::bridge::context::Context;
use crate::ids::MessageId;
use crate::store::Audience;

/// Announcements that the archive may still be read across; of older ones the last counts.
const NEWS: usize = 256;

/// List versions ahead of what this store knows for which an announcement is looked for.
const UNSEEN: u64 = 1024;

impl Room {
    /// As of the newest announcement that was heard.
    pub(super) fn audience(&self) -> Audience {
        Audience { list: self.mapping.announced, alone: self.mapping.alone, since: None }
    }

    /// Whether no other gateway belongs to the group, as of the stream's place.
    pub(super) fn is_alone(&self, cx: &Context) -> bool {
        self.mapping.members.iter().all(|(member, _)| Self::is_me(cx, member))
    }

    /// Everybody in the room is told of everything now.
    pub(super) fn told_all(&mut self, cx: &Context) -> Audience {
        let m = &mut self.mapping;
        m.announced = m.list;
        m.news.clear();
        self.mapping.alone = self.is_alone(cx);
        self.audience()
    }

    /// An entry of the stream will be news for the room's people, once they are told.
    pub(super) fn note_news(&mut self, cx: &Context, entry: &Entry) {
        let news = matches!(entry.change, GroupChange::Joined { .. } | GroupChange::Left { .. });
        if !news || entry.list <= self.mapping.list {
            return;
        }
        let alone = self.is_alone(cx);
        let m = &mut self.mapping;
        m.news.push(Audience { list: entry.list, alone, since: None });
        let surplus = m.news.len().saturating_sub(NEWS);
        m.news.drain(..surplus);
    }

    /// What the room's people know behind one of our announcements.
    pub(super) fn audience_behind(&self, cx: &Context, id: &MessageId) -> Option<Audience> {
        let news = self.mapping.news.iter().rev();
        news.copied().find(|news| cx.ids.announcement(self.group(), news.list) == *id)
    }

    /// The archive has one of our announcements here: whom people speak to behind it.
    pub(super) fn announced_at(&mut self, cx: &mut Context, id: &MessageId, stamp: Timestamp) -> Option<Audience> {
        let Some(behind) = self.audience_behind(cx, id) else { return self.announced_unseen(cx, id) };
        let news = self.mapping.news.iter_mut().find(|news| news.list == behind.list)?;
        if news.since.replace(stamp) != Some(stamp) {
            self.dirty(cx);
        }
        Some(behind)
    }

    /// An announcement that this store does not know of: it was made just before a crash, or by a store that this one is an
    /// older copy of. With whom the room was shared then, the stream will tell; that it was shared is likely, and for whom a
    /// message was said is decided by the version.
    fn announced_unseen(&self, cx: &Context, id: &MessageId) -> Option<Audience> {
        let known = self.mapping.list.0;
        let newest = self.stream.known_list.map_or(u64::MAX, |list| list.0).min(known + UNSEEN);
        let is_it = |list: &u64| cx.ids.announcement(self.group(), ListVersion(*list)) == *id;
        let list = (known + 1..=newest).find(is_it)?;
        Some(Audience { list: ListVersion(list), alone: false, since: None })
    }

    /// Whom people spoke to at a time before which the archive does not reach back any more. An announcement that was heard and
    /// of which it is not known where it stood is gone with what was before it, or the archive will show it.
    pub(super) fn audience_at(&self, stamp: Timestamp, from: Audience) -> Audience {
        let before = |news: &&Audience| news.since.is_none_or(|since| since <= stamp);
        let heard = |news: &&Audience| news.list > from.list && news.list <= self.mapping.announced;
        self.mapping.news.iter().rev().find(|news| heard(news) && before(news)).copied().unwrap_or(from)
    }

    /// The room's people have heard one of our announcements.
    pub(super) fn heard_announcement(&mut self, cx: &mut Context, id: &MessageId) {
        let news = self.audience_behind(cx, id).or_else(|| self.announced_unseen(cx, id));
        if let Some(news) = news.filter(|news| news.list > self.mapping.announced) {
            (self.mapping.announced, self.mapping.alone) = (news.list, news.alone);
            self.dirty(cx);
        }
    }

    /// No place from which the archive will be read lies before this one: what was announced there needs no telling apart.
    pub(super) fn forget_news(&mut self, upto: ListVersion) {
        self.mapping.news.retain(|news| news.list > upto);
    }

    /// While nobody else belonged to the group, as far as the room's people knew, they spoke among themselves.
    pub(super) fn stays_here(&self, cx: &mut Context, audience: Audience) -> bool {
        if audience.alone {
            cx.count("said-alone");
        }
        audience.alone
    }
}
