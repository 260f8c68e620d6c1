//! Files that the plugin or the host makes: contents and inventories.

use std::sync::Arc;

use syncline_domain::{Failure, RelPath};

use super::{
    job::{Done, Job, Outcome, Report},
    verify::{Expected, Look},
};
use crate::{diff::Op, intent::Origin, inventory, pool, store::TempName};

/// Writes all of a stage.
pub(super) fn stage(job: &Job<'_>, stage: u8, threads: usize) {
    let mut works = Vec::new();
    for (target, diff) in job.diffs.iter().enumerate() {
        for (number, op) in job.ops(target, stage).filter(|(_, op)| op.writes()) {
            let entry = diff.view.entry(op.folder, op.index);
            if diff.view.source_file(entry, b"").is_none() {
                works.push((target, number));
            }
        }
    }
    let write = |_: &_, (): &mut (), (target, number): (usize, usize)| {
        let op = &job.diffs[target].ops[number];
        let mut report = Report::new(job);
        match job.why_not(target) {
            Some(_) => report.op_skipped(target, op),
            None => {
                let mut size = None;
                let outcome = one(job, target, (number, op), &mut size);
                report.op(target, op, size, outcome.map_err(|failure| job.failed_on(target, failure)));
            }
        }
        Ok(())
    };
    if let Err(failure) = pool::work(threads, works, || (), write) {
        job.stop(failure);
    }
}

fn one(job: &Job<'_>, target: usize, (number, op): (usize, &Op), size: &mut Option<u64>) -> Outcome {
    job.keep_going()?;
    let diff = &job.diffs[target];
    let view = &diff.view;
    let entry = view.entry(op.folder, op.index);
    let place = (op.folder, op.index);
    let bytes: Arc<[u8]> = match view.origin(entry) {
        Origin::Content(bytes) => Arc::clone(bytes),
        Origin::Inventory(_) => job.made.lock().bytes(view, place, job.digests, job.context)?,
        _ => return Err(Failure::host("origin", "a file of a source is not made by the host")),
    };
    *size = Some(bytes.len() as u64);
    let digest = *blake3::hash(&bytes).as_bytes();
    if inventory::stands(view, &diff.target, place, &bytes, job.context)? {
        return Ok(Done { digest: Some(digest), unchanged: true });
    }
    let store = diff.target.store.as_ref();
    store.still_there()?;
    store.admit(bytes.len() as u64, &|| job.keep_going())?;
    let folder: RelPath = view.folder_path(op.folder);
    let dir = store.dir(&folder)?;
    job.disturb(target, op.folder);
    // Putting it together can have taken long.
    job.keep_going()?;
    let temp = TempName { name: format!("m-{:016x}-{target}-{number}", job.token), resumable: false };
    let mut writer = dir.write(&temp)?;
    writer.write(&bytes)?;
    let name = view.folder(op.folder).name(entry);
    job.keep_going()?;
    writer.commit(name, None, job.options.fsync)?;
    if job.options.fsync {
        dir.sync()?;
    }
    job.context.observer.bytes(bytes.len() as u64);
    let expected = Expected { size: bytes.len() as u64, mtime_ns: None, digest: Some(digest) };
    Look::new(job, target, op.folder).at(name, &expected)?;
    Ok(Done { digest: Some(digest), unchanged: false })
}
