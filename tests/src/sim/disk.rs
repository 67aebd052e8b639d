//! A disk that a crash can strike: what was written becomes durable some time later, in order, and what was not is lost.

use std::collections::VecDeque;

/// A store that can be put on such a disk.
pub(super) trait Image: Clone {
    /// One change.
    type Change: Clone;
    /// Applies a batch.
    fn apply(&mut self, batch: &[Self::Change]);
}

/// See the module. `T` names a batch to its writer.
#[derive(Debug, Clone)]
pub(super) struct Disk<S: Image, T> {
    durable: S,
    unsynced: VecDeque<(T, Vec<S::Change>)>,
    /// Older durable states, oldest first: what a careless administrator may restore.
    backups: Vec<S>,
}

impl<S: Image, T> Disk<S, T> {
    /// A disk that holds `durable`.
    pub(super) fn new(durable: S) -> Self {
        Self { durable, unsynced: VecDeque::new(), backups: Vec::new() }
    }

    /// What is on disk.
    pub(super) fn durable(&mut self) -> &mut S {
        &mut self.durable
    }

    /// Takes a batch; it is not durable yet.
    pub(super) fn write(&mut self, name: T, batch: Vec<S::Change>) {
        self.unsynced.push_back((name, batch));
    }

    /// Makes everything written so far durable, as one fsync does; gives the names of the batches.
    pub(super) fn sync(&mut self) -> Vec<T> {
        let mut names = Vec::new();
        while let Some((name, batch)) = self.unsynced.pop_front() {
            self.durable.apply(&batch);
            names.push(name);
        }
        names
    }

    /// The batches that are not durable yet.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = &[S::Change]> {
        self.unsynced.iter().map(|(_, batch)| batch.as_slice())
    }

    /// Loses what was not durable. `kept` of the oldest batches were so nevertheless, though nobody was told.
    pub(super) fn crash(&mut self, kept: usize) {
        for (_, batch) in self.unsynced.drain(..).take(kept) {
            self.durable.apply(&batch);
        }
        self.unsynced.clear();
    }

    /// Keeps a copy of what is durable.
    pub(super) fn back_up(&mut self) {
        self.backups.push(self.durable.clone());
    }

    /// Puts the newest copy back in place of what is durable; says whether there was one.
    pub(super) fn restore(&mut self) -> bool {
        self.unsynced.clear();
        match self.backups.pop() {
            Some(backup) => {
                self.durable = backup;
                true
            }
            None => false,
        }
    }
}
