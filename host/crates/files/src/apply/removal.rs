//! Removing: what stands in the way of a stage before it, everything else last, and only where nothing failed.

use syncline_domain::{Failure, FailureKind, Fault, RelPath};

use super::job::{Done, Job, Outcome, Report};
use crate::{
    diff::{Removal, TargetDiff},
    errors,
    store::Dir,
};

/// Removes what stands where something of this stage should.
pub(super) fn before_stage(job: &Job<'_>, target: usize, stage: u8) {
    let open = job.is_open(target);
    remove(job, target, open, |removal| removal.before == Some(stage));
}

/// Removes everything else that is planned.
pub(super) fn last(job: &Job<'_>, target: usize) {
    let diff = &job.diffs[target];
    let open = job.is_whole(target);
    // What cannot be removed is told first, so that it holds back nothing that can.
    let mut report = Report::new(job);
    for removal in diff.removals.iter().filter(|removal| removal.before.is_none()) {
        if let Some(block) = diff.removal_block(removal) {
            report.removal(target, removal, Err(block.clone()));
        }
    }
    drop(report);
    remove(job, target, open, |removal| removal.before.is_none() && diff.removal_block(removal).is_none());
}

fn remove(job: &Job<'_>, target: usize, open: bool, wanted: impl Fn(&Removal) -> bool) {
    let diff = &job.diffs[target];
    let mut report = Report::new(job);
    let mut above: Option<Box<dyn Dir>> = None;
    for removal in diff.removals.iter().filter(|removal| wanted(removal)) {
        if !open || job.keep_going().is_err() || job.why_not(target).is_some() {
            report.removal_skipped(target, removal);
            continue;
        }
        let outcome = one(job, diff, target, removal, &mut above);
        report.removal(target, removal, outcome.map_err(|failure| job.failed_on(target, failure)));
    }
}

fn one(
    job: &Job<'_>,
    diff: &TargetDiff,
    target: usize,
    removal: &Removal,
    above: &mut Option<Box<dyn Dir>>,
) -> Outcome {
    let Some((folder, name)) = removal.path.split() else {
        return Err(Failure::host("removal", "the root of a store is never removed"));
    };
    let dir = match above.take() {
        Some(dir) if *dir.path() == folder => dir,
        _ => {
            diff.target.store.still_there()?;
            diff.target.store.dir(&folder)?
        }
    };
    // Opening the folder can have taken long.
    job.keep_going()?;
    match dir.remove(name, removal.folder) {
        Ok(()) => {}
        // Somebody else removed it meanwhile, which is as good.
        Err(failure) if errors::is_missing(&failure) => diff.target.store.check()?,
        Err(failure) => return Err(failure),
    }
    if let Some(number) = diff.view.find_folder(&folder) {
        job.disturb(target, number);
    }
    if dir.stat(name)?.is_some() {
        return Err(still_there(diff, &removal.path));
    }
    *above = Some(dir);
    Ok(Done::default())
}

fn still_there(diff: &TargetDiff, path: &RelPath) -> Failure {
    let store = diff.target.store.name();
    let message = format!(
        "store {store}: {} was removed and is there again; something else writes there",
        errors::place(path)
    );
    Failure::new(FailureKind::Changed, Fault::Remote, "verify", message)
}
