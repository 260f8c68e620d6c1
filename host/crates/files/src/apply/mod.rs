//! Carrying a difference out: in stages, from one read of each source file, looked at again, removals last.
//!
//! * here: the order of things
//! * `job`: what all parts share; what became of each target and operation
//! * `copy`: files of sources, small ones; `large`: those that can be resumed, and `kernel`: by whom they are copied
//! * `made`: contents of the plugin and inventories
//! * `folders`: making folders; times and modes at the end
//! * `removal`: what goes
//! * `verify`: looking again

mod copy;
mod folders;
mod job;
mod kernel;
mod large;
mod made;
mod removal;
mod verify;

use std::collections::{BTreeSet, HashSet};

use syncline_domain::{
    Failure, FailureKind, Fault, operation::OperationKind, run::TargetResult, sync::Verify,
};

use crate::{
    context::{Context, threads},
    diff::TargetDiff,
    digests::Digests,
    intent::Intent,
    pool,
};
use job::Job;

/// How a difference is carried out.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyOptions {
    /// How thoroughly the result is looked at.
    pub verify: Verify,
    /// Whether each file is flushed to the disk before it gets its name, and each folder after.
    pub fsync: bool,
    /// Threads that copy; 0 for as many as the machine runs at once, and at least 2.
    pub threads: usize,
    /// See [`crate::DiffOptions::mtime_tolerance_ns`].
    pub mtime_tolerance_ns: u64,
}

/// Carries the differences out, targets side by side. Each operation is told to the observer exactly once: done, failed or
/// skipped. A result has a failure where its target as a whole could not go on; operations that failed by themselves are
/// in the counts.
///
/// On each target by itself, a stage begins when all earlier ones stand there and were looked at again; where something
/// fails, that target gets no later stage and no removal.
pub fn apply(
    _intent: &Intent,
    diffs: Vec<TargetDiff>,
    options: &ApplyOptions,
    digests: &dyn Digests,
    context: &Context<'_>,
) -> Vec<TargetResult> {
    let job = Job::new(&diffs, options, digests, context);
    let all: Vec<usize> = (0..diffs.len()).collect();
    let threads = threads(options.threads);
    let side_by_side = |each: &(dyn Fn(usize) + Sync)| {
        let run = |_: &_, (): &mut (), target: usize| {
            each(target);
            Ok(())
        };
        // The work on one target never fails as such: what happens there is noted there.
        if let Err(failure) = pool::work(threads, all.clone(), || (), run) {
            job.stop(failure);
        }
    };
    side_by_side(&|target| begin(&job, target));
    let stages: BTreeSet<u8> = diffs.iter().flat_map(TargetDiff::stages).collect();
    for stage in stages {
        side_by_side(&|target| prepare_stage(&job, target, stage));
        copy::stage(&job, stage, threads);
        made::stage(&job, stage, threads);
        job.made.lock().clear();
        save(&diffs, digests);
    }
    side_by_side(&|target| finish(&job, target));
    job.results()
}

fn save(diffs: &[TargetDiff], digests: &dyn Digests) {
    let mut seen = HashSet::new();
    for diff in diffs {
        if seen.insert(std::sync::Arc::as_ptr(&diff.view)) {
            diff.view.save_news(digests);
        }
    }
}

/// Whether the target can take what is planned.
fn begin(job: &Job<'_>, target: usize) {
    let diff = &job.diffs[target];
    if diff.is_empty() || job.keep_going().is_err() {
        return;
    }
    let ready = || -> Result<(), Failure> {
        let store = diff.target.store.as_ref();
        store.check()?;
        // What is removed here can be the new owner's, and looking can have taken long.
        job.keep_going()?;
        let standing = store.prepare(&large::wanted(diff))?;
        let needed = diff.bytes().saturating_sub(standing);
        match store.free_bytes()? {
            Some(free) if needed > free => Err(Failure::new(
                FailureKind::Limit,
                Fault::Remote,
                "no-space",
                format!(
                    "store {}: {needed} bytes are to be written and {free} are free; free space there",
                    store.name()
                ),
            )),
            _ => Ok(()),
        }
    };
    if let Err(failure) = ready() {
        job.end(target, failure);
    }
}

/// What has to be out of the way, and there, before the files of a stage.
fn prepare_stage(job: &Job<'_>, target: usize, stage: u8) {
    if job.is_active(target)
        && let Err(failure) = job.diffs[target].target.store.check()
    {
        job.end(target, failure);
    }
    job.begin_stage(target, stage);
    removal::before_stage(job, target, stage);
    folders::create(job, target, stage);
    folders::touch_files(job, target, stage);
}

fn finish(job: &Job<'_>, target: usize) {
    let diff = &job.diffs[target];
    if diff.is_empty() {
        clear(job, target);
        return;
    }
    if job.is_active(target)
        && let Err(failure) = diff.target.store.check()
    {
        job.end(target, failure);
    }
    removal::last(job, target);
    folders::stamp(job, target);
    let keep = if job.is_whole(target) { HashSet::new() } else { large::wanted(diff) };
    let gone = job.why_not(target).is_some_and(|failure| failure.kind == FailureKind::Unavailable);
    // After a lost lease the temporary files there may be those of the run's new owner.
    if !gone
        && job.may_touch()
        && let Err(failure) = diff.target.store.prepare(&keep)
    {
        job.end(target, failure);
    }
}

/// Removes what a run that was killed left on a target that needs nothing by now. That the target cannot be written is no
/// failure, since nothing had to be.
fn clear(job: &Job<'_>, target: usize) {
    let store = &job.diffs[target].target.store;
    if !job.is_active(target) || !job.may_touch() {
        return;
    }
    let prepare =
        || store.check().and_then(|()| job.keep_going()).and_then(|()| store.prepare(&HashSet::new()));
    if let Err(failure) = prepare() {
        tracing::debug!(%failure, "temporary files of earlier runs were not looked for");
    }
}

impl TargetDiff {
    fn stages(&self) -> BTreeSet<u8> {
        let ops = self.ops.iter().filter(|op| !self.is_folder_touch(op)).map(|op| self.op_stage(op));
        ops.chain(self.removals.iter().filter_map(|removal| removal.before)).collect()
    }

    /// Times and modes of folders are set at the very end, not in a stage.
    fn is_folder_touch(&self, op: &crate::diff::Op) -> bool {
        op.kind == OperationKind::Touch && self.op_is_folder(op)
    }
}
