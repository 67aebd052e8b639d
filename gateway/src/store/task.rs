//! The store's own thread: commits in the order asked for, all that wait together in one transaction, and reads between.
//!
//! After a commit that failed, every later one fails without being tried: what the core believes is no longer what the
//! disk holds, and only a core built anew from a store opened anew can know. No fsync is ever tried twice.

use std::sync::mpsc;
use std::thread::JoinHandle;

use intergroup_schemas::ids::{AccountId, GroupNumber, N, Seq};
use intergroup_schemas::list::AccountRow;

use super::{Change, MissedRow, OutboxRow, PostedRow, Spot, Store, StoreError};
use crate::bridge::Ticket;

/// Most changes that one transaction takes: it bounds how long the first of them waits for the last.
const TRANSACTION_CHANGES: usize = 4096;

/// What the thread is asked for. How much can wait is bounded by the core: its windows bound what is not yet on disk.
#[derive(Debug)]
pub enum Job {
    /// Put on disk; answered by `Committed` or `Failed`.
    Commit(Ticket, Vec<Change>),
    /// Read outbox rows from this n on, at most so many; answered by `Outbox`.
    Outbox(GroupNumber, N, usize),
    /// Read posted rows of entries behind this one; answered by `Posted`.
    Posted(GroupNumber, Seq),
    /// Read accounts of the user list behind this one, at most so many; answered by `Listed`.
    Listed {
        /// Of which group.
        group: GroupNumber,
        /// Behind which account.
        after: Option<AccountId>,
        /// At most so many.
        max: usize,
        /// Echoed in the answer.
        visit: Option<u64>,
    },
    /// Read what was said for those who were not there, from this spot on, at most so much; answered by `Missed`.
    Missed(GroupNumber, Spot, usize),
}

/// What the thread answers.
#[derive(Debug)]
pub enum Done {
    /// The commit is on disk.
    Committed(Ticket),
    /// The commit is not on disk and never will be; nor will any later one. The text says why.
    Failed(Ticket, String),
    /// The rows asked for.
    Outbox(GroupNumber, Vec<OutboxRow>),
    /// The rows asked for.
    Posted(GroupNumber, Vec<PostedRow>),
    /// The accounts asked for.
    Listed {
        /// Of which group.
        group: GroupNumber,
        /// In order of account.
        rows: Vec<AccountRow>,
        /// As it was asked.
        visit: Option<u64>,
    },
    /// What was asked for.
    Missed(GroupNumber, Vec<MissedRow>),
    /// A read failed; the text says why. As grave as a failed commit.
    Unreadable(String),
    /// The store's figures after a transaction, as (name, value).
    Figures(Vec<(&'static str, u64)>),
}

/// A running store thread. Dropping it lets the thread finish what it was given, and waits for that.
#[derive(Debug)]
pub struct StoreTask {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl StoreTask {
    /// Starts the thread. `answer` is called there, in the order of the jobs; it must not block for long, and says
    /// whether anybody still listens.
    pub fn start(
        store: Box<dyn Store>,
        answer: impl FnMut(Done) -> bool + Send + 'static,
    ) -> Result<StoreTask, StoreError> {
        let (jobs, queue) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || Worker { store, answer, failed: None }.run(&queue))
            .map_err(|e| StoreError(format!("no thread for the store: {e}")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Gives the thread a job. After the thread has ended (nobody listened) this does nothing.
    pub fn give(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // An error means that the thread ended because nobody listens to its answers any more.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for StoreTask {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed by the thread itself, and its answers have ended.
            let _ = thread.join();
        }
    }
}

struct Worker<F> {
    store: Box<dyn Store>,
    answer: F,
    failed: Option<String>,
}

impl<F: FnMut(Done) -> bool> Worker<F> {
    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        let mut next = queue.recv().ok();
        while let Some(job) = next.take() {
            let listened = match job {
                Job::Commit(ticket, changes) => {
                    let (mut tickets, mut batch) = (vec![ticket], changes);
                    while batch.len() < TRANSACTION_CHANGES {
                        match queue.try_recv() {
                            Ok(Job::Commit(ticket, changes)) => {
                                tickets.push(ticket);
                                batch.extend(changes);
                            }
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.commit(tickets, &batch)
                }
                Job::Outbox(group, from, max) => {
                    let rows = self.store.outbox(group, from, max);
                    (self.answer)(rows.map_or_else(|e| Done::Unreadable(e.0), |rows| Done::Outbox(group, rows)))
                }
                Job::Posted(group, after) => {
                    let rows = self.store.posted(group, after);
                    (self.answer)(rows.map_or_else(|e| Done::Unreadable(e.0), |rows| Done::Posted(group, rows)))
                }
                Job::Missed(group, from, max) => {
                    let rows = self.store.missed(group, from, max);
                    (self.answer)(rows.map_or_else(|e| Done::Unreadable(e.0), |rows| Done::Missed(group, rows)))
                }
                Job::Listed { group, after, max, visit } => {
                    let rows = self.store.listed(group, after.as_ref(), max);
                    let listed = |rows| Done::Listed { group, rows, visit };
                    (self.answer)(rows.map_or_else(|e| Done::Unreadable(e.0), listed))
                }
            };
            if !listened {
                return;
            }
            if next.is_none() {
                next = queue.recv().ok();
            }
        }
    }

    fn commit(&mut self, tickets: Vec<Ticket>, batch: &[Change]) -> bool {
        if self.failed.is_none() {
            self.failed = self.store.commit(batch).err().map(|e| e.0);
        }
        let failed = &self.failed;
        let done = |ticket| match failed {
            None => Done::Committed(ticket),
            Some(why) => Done::Failed(ticket, why.clone()),
        };
        tickets.into_iter().all(|ticket| (self.answer)(done(ticket)))
            && (self.answer)(Done::Figures(self.store.figures()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Snapshot;

    /// Takes its first batch only when let, then counts; fails from a given commit on.
    struct Slow {
        go: mpsc::Receiver<()>,
        batches: mpsc::Sender<usize>,
        fails_at: usize,
        commits: usize,
    }

    impl Store for Slow {
        fn load(&mut self) -> Result<Snapshot, StoreError> {
            Ok(Snapshot::default())
        }
        fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError> {
            self.go.recv().unwrap();
            self.commits += 1;
            self.batches.send(batch.len()).unwrap();
            if self.commits >= self.fails_at { Err(StoreError("disk full".into())) } else { Ok(()) }
        }
        fn outbox(&mut self, _: GroupNumber, _: N, _: usize) -> Result<Vec<OutboxRow>, StoreError> {
            Ok(Vec::new())
        }
        fn posted(&mut self, _: GroupNumber, _: Seq) -> Result<Vec<PostedRow>, StoreError> {
            Err(StoreError("unreadable".into()))
        }
        fn listed(&mut self, _: GroupNumber, _: Option<&AccountId>, _: usize) -> Result<Vec<AccountRow>, StoreError> {
            Ok(Vec::new())
        }
        fn missed(&mut self, _: GroupNumber, _: Spot, _: usize) -> Result<Vec<MissedRow>, StoreError> {
            Ok(Vec::new())
        }
    }

    fn task(fails_at: usize) -> (StoreTask, mpsc::Sender<()>, mpsc::Receiver<usize>, mpsc::Receiver<Done>) {
        let (go, wait) = mpsc::channel();
        let (batches, sizes) = mpsc::channel();
        let (answers, done) = mpsc::channel();
        let store = Box::new(Slow { go: wait, batches, fails_at, commits: 0 });
        (StoreTask::start(store, move |d| answers.send(d).is_ok()).unwrap(), go, sizes, done)
    }

    fn change() -> Vec<Change> {
        vec![Change::OutboxClear(GroupNumber(1))]
    }

    #[test]
    fn all_that_waits_shares_a_transaction_and_reads_keep_their_place() {
        let (task, go, sizes, done) = task(usize::MAX);
        for n in 1..=5 {
            task.give(Job::Commit(Ticket(n), change()));
        }
        task.give(Job::Outbox(GroupNumber(1), N(1), 9));
        task.give(Job::Commit(Ticket(6), change()));
        go.send(()).unwrap();
        go.send(()).unwrap();
        go.send(()).unwrap();
        drop(task);
        let sizes: Vec<_> = sizes.iter().collect();
        assert_eq!(sizes.iter().sum::<usize>(), 6);
        assert!(sizes.len() <= 3, "the first may go alone, the rest share: {sizes:?}");
        assert_eq!(sizes.last(), Some(&1), "what follows a read is another transaction");
        let order: Vec<String> = done
            .iter()
            .filter(|d| !matches!(d, Done::Figures(_)))
            .map(|d| match d {
                Done::Committed(t) => t.0.to_string(),
                Done::Outbox(..) => "rows".into(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(order, ["1", "2", "3", "4", "5", "rows", "6"]);
    }

    #[test]
    fn after_a_failure_nothing_more_is_tried() {
        let (task, go, sizes, done) = task(1);
        task.give(Job::Commit(Ticket(1), change()));
        go.send(()).unwrap();
        assert!(matches!(done.recv().unwrap(), Done::Failed(Ticket(1), why) if why == "disk full"));
        task.give(Job::Commit(Ticket(2), change()));
        task.give(Job::Posted(GroupNumber(1), Seq(0)));
        drop(task);
        let rest: Vec<_> = done.iter().filter(|d| !matches!(d, Done::Figures(_))).collect();
        assert!(matches!(&rest[..], [Done::Failed(Ticket(2), _), Done::Unreadable(_)]), "{rest:?}");
        assert_eq!(sizes.iter().count(), 1, "the second commit never reached the store");
    }
}
