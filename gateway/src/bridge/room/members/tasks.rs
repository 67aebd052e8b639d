//! Affiliations that are to be set in the room, some at a time.

use std::collections::{BTreeMap, VecDeque};

use crate::bridge::action::RequestId;
use crate::bridge::context::Context;
use crate::bridge::event::{Affiliation, Answer, Refusal};
use crate::bridge::limits::AFFILIATIONS_AT_ONCE;
use crate::ids::BareJid;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// What each is to have. Of somebody named again the last counts.
    wanted: BTreeMap<BareJid, Affiliation>,
    order: VecDeque<BareJid>,
    under_way: BTreeMap<RequestId, BareJid>,
}

impl Tasks {
    pub(super) fn set(&mut self, account: &BareJid, affiliation: Affiliation) {
        if self.wanted.insert(account.clone(), affiliation).is_none() {
            self.order.push_back(account.clone());
        }
    }

    /// Whether we are changing it ourselves: what the room tells meanwhile is of before, or of that.
    pub(super) fn is_pending(&self, account: &BareJid) -> bool {
        self.wanted.contains_key(account) || self.under_way.values().any(|of| of == account)
    }

    /// What is to be asked for now.
    pub(super) fn next(&mut self, cx: &mut Context) -> Vec<(RequestId, BareJid, Affiliation)> {
        let mut now = Vec::new();
        while self.under_way.len() < AFFILIATIONS_AT_ONCE {
            let Some(account) = self.order.pop_front() else { break };
            let Some(affiliation) = self.wanted.remove(&account) else { continue };
            let request = cx.next_request();
            self.under_way.insert(request, account.clone());
            now.push((request, account, affiliation));
        }
        now
    }

    /// Whose it was, and why it was refused if it was; none when the request is none of these.
    pub(super) fn answered(
        &mut self,
        request: RequestId,
        answer: &Result<Answer, Refusal>,
    ) -> Option<(BareJid, Option<Refusal>)> {
        let account = self.under_way.remove(&request)?;
        Some((account, answer.as_ref().err().cloned()))
    }
}
