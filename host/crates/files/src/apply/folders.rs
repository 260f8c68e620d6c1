//! Folders: made before the files of a stage; their times and modes are set at the very end, deepest first, since each
//! file that comes or goes changes the time of the folder that it is in.

use std::collections::BTreeMap;

use syncline_domain::{Failure, FailureKind, Fault, operation::OperationKind};

use super::job::{Done, Job, Outcome, Report};
use crate::{
    diff::{Op, SELF, TargetDiff},
    errors,
    intent::ROOT,
    store::{Dir, EntryKind, Stamp},
};

/// Makes the folders of a stage on a target. The view's order has a folder before those in it.
pub(super) fn create(job: &Job<'_>, target: usize, stage: u8) {
    let diff = &job.diffs[target];
    let mut report = Report::new(job);
    let mut above = Above::default();
    for (_, op) in job.ops(target, stage).filter(|(_, op)| op.kind == OperationKind::CreateFolder) {
        if let Err(failure) = job.keep_going() {
            report.op(target, op, None, Err(failure));
            continue;
        }
        if job.why_not(target).is_some() {
            report.op_skipped(target, op);
            continue;
        }
        let outcome = above.dir(diff, op.folder).and_then(|dir| create_one(job, diff, op, dir));
        if outcome.is_ok() {
            job.disturb(target, op.folder);
            job.disturb(target, diff.view.entry(op.folder, op.index).link);
        }
        report.op(target, op, None, outcome.map_err(|failure| job.failed_on(target, failure)));
    }
}

/// The folder that is open at the moment: operations of one folder follow one another.
#[derive(Default)]
struct Above(Option<(u32, Box<dyn Dir>)>);

impl Above {
    fn dir(&mut self, diff: &TargetDiff, folder: u32) -> Result<&dyn Dir, Failure> {
        let open = match self.0.take() {
            Some((number, dir)) if number == folder => dir,
            _ => diff.target.store.dir(&diff.view.folder_path(folder))?,
        };
        Ok(self.0.insert((folder, open)).1.as_ref())
    }
}

fn create_one(job: &Job<'_>, diff: &TargetDiff, op: &Op, dir: &dyn Dir) -> Outcome {
    let entry = diff.view.entry(op.folder, op.index);
    let name = diff.view.folder(op.folder).name(entry);
    // Opening the folder can have taken long.
    job.keep_going()?;
    if let Err(failure) = dir.create_folder(name, entry.mode) {
        // Somebody else made it meanwhile, which is as good.
        let there = dir.stat(name)?.is_some_and(|found| found.kind == EntryKind::Folder);
        if !there {
            return Err(failure);
        }
    }
    match dir.stat(name)? {
        Some(found) if found.kind == EntryKind::Folder => Ok(Done::default()),
        _ => {
            let path = dir.path().join_name(name);
            let store = diff.target.store.name();
            let message =
                format!("store {store}: the folder {} was made and is not there", errors::place(&path));
            Err(Failure::new(FailureKind::Changed, Fault::Remote, "verify", message))
        }
    }
}

/// Sets times and modes of files whose content is right.
pub(super) fn touch_files(job: &Job<'_>, target: usize, stage: u8) {
    let diff = &job.diffs[target];
    let mut report = Report::new(job);
    let mut above = Above::default();
    for (_, op) in job.ops(target, stage).filter(|(_, op)| op.kind == OperationKind::Touch) {
        if let Err(failure) = job.keep_going() {
            report.op(target, op, None, Err(failure));
            continue;
        }
        if job.why_not(target).is_some() {
            report.op_skipped(target, op);
            continue;
        }
        let outcome = above.dir(diff, op.folder).and_then(|dir| {
            let entry = diff.view.entry(op.folder, op.index);
            let stamp = Stamp { mtime_ns: entry.mtime_ns, mode: entry.mode };
            let name = diff.view.folder(op.folder).name(entry);
            job.keep_going()?;
            dir.stamp(name, &stamp)?;
            let found = dir.stat(name)?;
            stamped(job, diff, found.map(|found| found.stamp()), &stamp, &dir.path().join_name(name))
        });
        report.op(target, op, None, outcome.map_err(|failure| job.failed_on(target, failure)));
    }
}

fn stamped(
    job: &Job<'_>,
    diff: &TargetDiff,
    found: Option<Stamp>,
    wanted: &Stamp,
    path: &syncline_domain::RelPath,
) -> Outcome {
    let tolerance = job.options.mtime_tolerance_ns;
    let same =
        |found: Stamp| found.mode == wanted.mode && found.mtime_ns.abs_diff(wanted.mtime_ns) <= tolerance;
    if found.is_some_and(same) {
        return Ok(Done::default());
    }
    let store = diff.target.store.name();
    let message = format!("store {store}: time and mode of {} were set and are others", errors::place(path));
    Err(Failure::new(FailureKind::Changed, Fault::Remote, "verify", message))
}

/// Sets times and modes of folders: of those where something came or went, and of those where only these were wrong.
pub(super) fn stamp(job: &Job<'_>, target: usize) {
    let diff = &job.diffs[target];
    let mut todo: BTreeMap<u32, Option<&Op>> =
        job.take_disturbed(target).into_iter().map(|folder| (folder, None)).collect();
    for op in diff.ops.iter().filter(|op| diff.is_folder_touch(op)) {
        let folder = if op.index == SELF { ROOT } else { diff.view.entry(op.folder, op.index).link };
        todo.insert(folder, Some(op));
    }
    let mut report = Report::new(job);
    // A folder's number is larger than that of the one it is in.
    for (folder, op) in todo.into_iter().rev() {
        // The answer shows in `why_not`.
        let _ = job.keep_going();
        let outcome = match (op, job.why_not(target)) {
            (Some(op), _) if diff.op_block(op).is_some() => {
                diff.op_block(op).map_or(Ok(Done::default()), |block| Err(block.clone()))
            }
            (_, Some(why)) => {
                if let Some(op) = op {
                    report.op_skipped(target, op);
                }
                // Where only the run stops, what was begun is still left in order, unless it is somebody else's by now.
                if why.kind == FailureKind::Stopped && op.is_none() && job.may_touch() {
                    note(job, target, stamp_one(job, diff, folder));
                }
                continue;
            }
            (_, None) => stamp_one(job, diff, folder).map_err(|failure| job.failed_on(target, failure)),
        };
        match op {
            Some(op) => report.op(target, op, None, outcome),
            None => note(job, target, outcome),
        }
    }
}

/// A folder's time is no operation of its own where the folder only had to be filled: its failure is that of the target.
fn note(job: &Job<'_>, target: usize, outcome: Outcome) {
    match outcome {
        Ok(_) => {}
        // Its creation failed, and was told.
        Err(failure) if errors::is_missing(&failure) && !job.is_whole(target) => {}
        Err(failure) => job.end(target, failure),
    }
}

fn stamp_one(job: &Job<'_>, diff: &TargetDiff, folder: u32) -> Outcome {
    let path = diff.view.folder_path(folder);
    if job.options.fsync {
        diff.target.store.dir(&path)?.sync()?;
    }
    let Some(stamp) = diff.view.folder_stamp(folder) else { return Ok(Done::default()) };
    let dir = diff.target.store.dir(&path)?;
    // Of the lease alone: after a cancellation folders are still left in order.
    if !job.may_touch() {
        return job.keep_going().map(|()| Done::default());
    }
    dir.stamp(b"", &stamp)?;
    stamped(job, diff, Some(dir.meta()?.stamp()), &stamp, &path)
}
