//! Looking again: what a target says of a file after it was written, and the bytes where that is asked for.

use syncline_domain::{Failure, FailureKind, Fault, declaration::Blake3, sync::Verify};

use super::job::Job;
use crate::{
    errors, read,
    store::{Dir, EntryKind},
};

/// What should stand there.
pub(super) struct Expected {
    pub(super) size: u64,
    /// Absent for files that have no time of their own.
    pub(super) mtime_ns: Option<i64>,
    pub(super) digest: Option<Blake3>,
}

/// A look into one folder of a target, opened anew from the root when first needed.
pub(super) struct Look<'j, 'a> {
    job: &'j Job<'a>,
    target: usize,
    folder: u32,
    dir: Option<Box<dyn Dir>>,
}

impl<'j, 'a> Look<'j, 'a> {
    pub(super) fn new(job: &'j Job<'a>, target: usize, folder: u32) -> Self {
        Self { job, target, folder, dir: None }
    }

    /// Fails if the file is not there as it should be.
    pub(super) fn at(&mut self, name: &[u8], expected: &Expected) -> Result<(), Failure> {
        let result = self.compare(name, expected);
        result.map_err(|failure| self.job.failed_on(self.target, failure))
    }

    fn compare(&mut self, name: &[u8], expected: &Expected) -> Result<(), Failure> {
        let diff = &self.job.diffs[self.target];
        let dir = match self.dir.take() {
            Some(dir) => dir,
            None => diff.target.store.dir(&diff.view.folder_path(self.folder))?,
        };
        let differs = |what: String| {
            let path = dir.path().join_name(name);
            let store = diff.target.store.name();
            let message = format!(
                "store {store}: {} was written and {what}; something else writes there",
                errors::place(&path)
            );
            Failure::new(FailureKind::Changed, Fault::Remote, "verify", message)
        };
        let Some(found) = dir.stat(name)? else { return Err(differs("is not there".to_owned())) };
        if found.kind != EntryKind::File {
            return Err(differs(format!("is a {} now", found.kind.as_str())));
        }
        if found.size != expected.size {
            return Err(differs(format!("has {} bytes, not {}", found.size, expected.size)));
        }
        let tolerance = self.job.options.mtime_tolerance_ns;
        if expected.mtime_ns.is_some_and(|time| time.abs_diff(found.mtime_ns) > tolerance) {
            return Err(differs("has another modification time".to_owned()));
        }
        if let (Verify::Full, Some(digest)) = (self.job.options.verify, expected.digest) {
            let read = read::hash_open(dir.open(name)?.as_mut(), &|| self.job.keep_going())?;
            if read.digest != digest {
                return Err(differs("has another content".to_owned()));
            }
        }
        self.dir = Some(dir);
        Ok(())
    }
}
