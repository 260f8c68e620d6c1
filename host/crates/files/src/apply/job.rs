//! What all parts of applying share: what became of each target, and the one place where outcomes are told.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use syncline_domain::{
    Failure, FailureKind, RelPath,
    declaration::Blake3,
    operation::{Operation, OperationState},
    run::{Counts, TargetResult},
};

use super::ApplyOptions;
use crate::{
    context::{Context, LEASE_LOST},
    diff::{Op, Removal, TargetDiff, count},
    digests::{self, Digests},
    errors,
    inventory::Made,
};

pub(super) struct Job<'a> {
    pub(super) diffs: &'a [TargetDiff],
    pub(super) options: &'a ApplyOptions,
    pub(super) digests: &'a dyn Digests,
    pub(super) context: &'a Context<'a>,
    pub(super) made: Mutex<Made>,
    /// Part of temporary names: no other attempt has it.
    pub(super) token: u64,
    stopped: Mutex<Option<Failure>>,
    /// Somebody else may own the run.
    lost: AtomicBool,
    states: Vec<State>,
}

#[derive(Default)]
struct State {
    /// Why nothing more is done there.
    ended: Mutex<Option<Failure>>,
    /// An operation failed or was skipped.
    failed: AtomicBool,
    /// As of the beginning of the present stage.
    open: AtomicBool,
    counts: Mutex<Counts>,
    /// Folders whose time has to be set at the end.
    disturbed: Mutex<HashSet<u32>>,
}

/// What became of an operation.
pub(super) type Outcome = Result<Done, Failure>;

/// How an operation was carried out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) digest: Option<Blake3>,
    /// It turned out that all was as it should be.
    pub(super) unchanged: bool,
}

impl<'a> Job<'a> {
    pub(super) fn new(
        diffs: &'a [TargetDiff],
        options: &'a ApplyOptions,
        digests: &'a dyn Digests,
        context: &'a Context<'a>,
    ) -> Self {
        let states = diffs
            .iter()
            .map(|diff| {
                let now = diff.counts();
                let counts =
                    Counts { unchanged: now.unchanged, passed_over: now.passed_over, ..Counts::default() };
                State { counts: Mutex::new(counts), ..State::default() }
            })
            .collect();
        let token = RandomState::new().hash_one(std::process::id());
        let (made, stopped, lost) = (Mutex::default(), Mutex::default(), AtomicBool::default());
        Self { diffs, options, digests, context, made, token, stopped, lost, states }
    }

    /// Asks whether to go on. The first "no" stops the whole job.
    pub(super) fn keep_going(&self) -> Result<(), Failure> {
        if let Some(failure) = self.stopped.lock().clone() {
            return Err(failure);
        }
        self.ask()
    }

    fn ask(&self) -> Result<(), Failure> {
        self.context.observer.keep_going().inspect_err(|failure| self.stop(failure.clone()))
    }

    /// Whether targets may still be touched, if only to leave in order what was begun. Asked anew even where the job has
    /// stopped: the lease can be lost after that.
    pub(super) fn may_touch(&self) -> bool {
        if !self.lost.load(Ordering::Relaxed) {
            // The answer is noted: here only this one counts.
            let _ = self.ask();
        }
        !self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self, failure: Failure) {
        if failure.kind == FailureKind::Stopped && failure.code == LEASE_LOST {
            self.lost.store(true, Ordering::Relaxed);
        }
        self.stopped.lock().get_or_insert(failure);
    }

    /// Nothing more is done on this target.
    pub(super) fn end(&self, target: usize, failure: Failure) {
        self.states[target].ended.lock().get_or_insert(failure);
        self.states[target].failed.store(true, Ordering::Relaxed);
    }

    /// Why nothing more is done on this target.
    pub(super) fn why_not(&self, target: usize) -> Option<Failure> {
        self.states[target].ended.lock().clone().or_else(|| self.stopped.lock().clone())
    }

    /// Nothing failed on it so far.
    pub(super) fn is_whole(&self, target: usize) -> bool {
        !self.states[target].failed.load(Ordering::Relaxed) && self.why_not(target).is_none()
    }

    pub(super) fn is_active(&self, target: usize) -> bool {
        self.why_not(target).is_none()
    }

    /// Notes whether this stage may begin on the target, and tells what of it cannot be carried out.
    pub(super) fn begin_stage(&self, target: usize, stage: u8) {
        let open = self.is_whole(target);
        self.states[target].open.store(open, Ordering::Relaxed);
        let diff = &self.diffs[target];
        let mut report = Report::new(self);
        for op in diff.ops.iter().filter(|op| diff.op_stage(op) == stage && !diff.is_folder_touch(op)) {
            match (diff.op_block(op), open) {
                (Some(block), true) => report.op(target, op, None, Err(block.clone())),
                (_, true) => {}
                (_, false) => report.op_skipped(target, op),
            }
        }
    }

    /// Whether operations of the present stage are carried out on the target.
    pub(super) fn is_open(&self, target: usize) -> bool {
        self.states[target].open.load(Ordering::Relaxed)
    }

    /// The operations of a stage that are to be carried out there, with their places.
    pub(super) fn ops(&self, target: usize, stage: u8) -> impl Iterator<Item = (usize, &'a Op)> + '_ {
        let diff = &self.diffs[target];
        let all = if self.is_open(target) { diff.ops.as_slice() } else { &[] };
        all.iter().enumerate().filter(move |(_, op)| {
            diff.op_stage(op) == stage && diff.op_block(op).is_none() && !diff.is_folder_touch(op)
        })
    }

    /// Notes that something in a declared folder changed, which changed the folder's time.
    pub(super) fn disturb(&self, target: usize, folder: u32) {
        self.states[target].disturbed.lock().insert(folder);
    }

    pub(super) fn take_disturbed(&self, target: usize) -> Vec<u32> {
        std::mem::take(&mut *self.states[target].disturbed.lock()).into_iter().collect()
    }

    /// A failure on a target: where it means that the target is gone or full, nothing more is done there.
    pub(super) fn failed_on(&self, target: usize, failure: Failure) -> Failure {
        if failure.kind == FailureKind::Stopped {
            return failure;
        }
        let store = &self.diffs[target].target.store;
        // Missing folders and strange errors come from a store that was unmounted, as a rule.
        let looks_gone = errors::is_missing(&failure) || failure.kind == FailureKind::Unavailable;
        let failure = if looks_gone { store.check().err().unwrap_or(failure) } else { failure };
        if errors::ends_target(&failure) {
            self.end(target, failure.clone());
        }
        failure
    }

    pub(super) fn results(&self) -> Vec<TargetResult> {
        let results = self.diffs.iter().zip(&self.states);
        results
            .map(|(diff, state)| {
                let counts = *state.counts.lock();
                let ended = state.ended.lock().clone();
                let incomplete = state.failed.load(Ordering::Relaxed);
                let stopped = || self.stopped.lock().clone().filter(|_| incomplete);
                TargetResult::new(diff.target.name.clone(), counts, ended.or_else(stopped))
            })
            .collect()
    }
}

/// Outcomes on their way to the observer, in batches.
pub(super) struct Report<'j, 'a> {
    job: &'j Job<'a>,
    batch: Vec<Operation>,
    /// The path of the last folder.
    at: Option<(usize, u32, RelPath)>,
}

impl<'j, 'a> Report<'j, 'a> {
    const BATCH: usize = 500;

    pub(super) fn new(job: &'j Job<'a>) -> Self {
        Self { job, batch: Vec::new(), at: None }
    }

    /// Tells the outcome of an operation on a declared entry; `size` if it is another than planned.
    pub(super) fn op(&mut self, target: usize, op: &Op, size: Option<u64>, outcome: Outcome) {
        let diff = &self.job.diffs[target];
        let folder = match &self.at {
            Some((at, number, path)) if (*at, *number) == (target, op.folder) => path.clone(),
            _ => diff.view.folder_path(op.folder),
        };
        let mut operation = diff.op_operation(op, &folder);
        self.at = Some((target, op.folder, folder));
        operation.size = size.unwrap_or(operation.size);
        self.tell(target, operation, diff.op_is_folder(op), outcome);
    }

    /// Tells that an operation was not begun.
    pub(super) fn op_skipped(&mut self, target: usize, op: &Op) {
        let failure = self.why_skipped(target);
        self.op(target, op, None, Err(failure));
    }

    pub(super) fn removal(&mut self, target: usize, removal: &Removal, outcome: Outcome) {
        let operation = self.job.diffs[target].removal_operation(removal);
        self.tell(target, operation, removal.folder, outcome);
    }

    pub(super) fn removal_skipped(&mut self, target: usize, removal: &Removal) {
        let failure = self.why_skipped(target);
        self.removal(target, removal, Err(failure));
    }

    fn why_skipped(&self, target: usize) -> Failure {
        let before = "something failed on this target before; see its failed operations";
        self.job.why_not(target).map_or_else(|| Failure::stopped(SKIPPED, before), skipped)
    }

    fn tell(&mut self, target: usize, mut operation: Operation, folder: bool, outcome: Outcome) {
        let state = &self.job.states[target];
        match outcome {
            Ok(done) => {
                operation.state = OperationState::Done;
                operation.digest = done.digest.as_ref().map(digests::text);
                operation.failure = None;
                let mut counts = state.counts.lock();
                if done.unchanged {
                    counts.unchanged += 1;
                } else {
                    count(&mut counts, operation.kind, folder, true, operation.size);
                }
            }
            Err(mut failure) => {
                state.failed.store(true, Ordering::Relaxed);
                count(&mut state.counts.lock(), operation.kind, folder, false, 0);
                let stopped = || self.job.stopped.lock().as_ref() == Some(&failure);
                let skipped = failure.code == SKIPPED || stopped();
                operation.state = if skipped { OperationState::Skipped } else { OperationState::Failed };
                if failure.code == SKIPPED {
                    // The reason itself, where there is one.
                    failure = self.job.why_not(target).unwrap_or(failure);
                }
                operation.failure = Some(failure);
            }
        }
        self.batch.push(operation);
        if self.batch.len() >= Self::BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.job.context.observer.finished(std::mem::take(&mut self.batch));
        }
    }
}

impl Drop for Report<'_, '_> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Code of an outcome that stands for "not begun".
const SKIPPED: &str = "skipped";

/// The outcome of an operation that is not begun because its target, or the run, has ended.
pub(super) fn skipped(why: Failure) -> Failure {
    Failure { code: SKIPPED.to_owned(), ..why }
}
