//! Copying files of sources: each is read once for all targets that need it.
//!
//! The work of a stage is sorted by source folder and name, and cut into chunks that the threads take. A chunk opens its
//! source folder once, and each folder that it fills once. Small files are read whole, then written to one target after
//! the other; large ones are streamed (`large`). When a chunk is written, its files are looked at again.

use syncline_domain::{Failure, RelPath, declaration::Blake3};

use super::{
    job::{Done, Job, Outcome, Report, skipped},
    large,
    verify::{self, Expected},
};
use crate::{
    diff::{Op, walk},
    errors,
    intent::{Origin, table::Actual},
    pool,
    read::TRIES,
    store::{Dir, EntryKind, Meta, Reader, Source, TempName},
};

/// A file to be copied to a target.
#[derive(Clone, Copy)]
pub(super) struct Work {
    /// Number of the source folder's origin.
    origin: u32,
    pub(super) target: u32,
    op: u32,
}

/// Files in a chunk: enough to pay for opening folders, few enough to keep all threads busy to the end.
const FILES: usize = 128;
/// Targets that are written from one read. Each has open files and folders, of which a process has only so many.
const FAN_OUT: usize = 128;

impl Work {
    pub(super) fn op<'a>(&self, job: &Job<'a>) -> &'a Op {
        &job.diffs[self.target as usize].ops[self.op as usize]
    }

    fn name<'a>(&self, job: &Job<'a>) -> &'a [u8] {
        let view = &job.diffs[self.target as usize].view;
        let op = self.op(job);
        let entry = view.entry(op.folder, op.index);
        let own = view.folder(op.folder).name(entry);
        view.source_file(entry, own).map_or(own, |(_, name)| name)
    }

    /// Its name on the target.
    pub(super) fn own_name<'a>(&self, job: &Job<'a>) -> &'a [u8] {
        let view = &job.diffs[self.target as usize].view;
        let op = self.op(job);
        view.folder(op.folder).name(view.entry(op.folder, op.index))
    }

    fn size(&self, job: &Job<'_>) -> u64 {
        let op = self.op(job);
        job.diffs[self.target as usize].view.entry(op.folder, op.index).size
    }

    fn mtime_ns(&self, job: &Job<'_>) -> i64 {
        let op = self.op(job);
        job.diffs[self.target as usize].view.entry(op.folder, op.index).mtime_ns
    }

    /// The only content that will do, if one was declared.
    fn wanted<'a>(&self, job: &Job<'a>) -> Option<&'a Blake3> {
        let view = &job.diffs[self.target as usize].view;
        let op = self.op(job);
        match view.origin(view.entry(op.folder, op.index)) {
            Origin::File { digest, .. } => digest.as_ref(),
            _ => None,
        }
    }
}

/// Copies all files of a stage.
pub(super) fn stage(job: &Job<'_>, stage: u8, threads: usize) {
    let mut works = Vec::new();
    for (target, diff) in (0_u32..).zip(job.diffs) {
        for (number, op) in job.ops(target as usize, stage).filter(|(_, op)| op.writes()) {
            let entry = diff.view.entry(op.folder, op.index);
            let name = diff.view.folder(op.folder).name(entry);
            if let Some((origin, _)) = diff.view.source_file(entry, name) {
                works.push(Work { origin, target, op: u32::try_from(number).unwrap_or(u32::MAX) });
            }
        }
    }
    works.sort_by(|a, b| (a.origin, a.name(job), a.target).cmp(&(b.origin, b.name(job), b.target)));
    let mut chunks = chunks(job, &works);
    // The queue is taken from the back: large files first, since one that comes last keeps the other threads waiting.
    chunks.sort_by_key(|chunk| chunk.first().map_or(0, |work| work.size(job)) >= large::LARGE);
    let start = || Worker { buffer: Vec::new(), files: 0 };
    let copy = |_: &_, worker: &mut Worker, chunk: &[Work]| {
        Chunk { job, works: chunk, dirs: Vec::new() }.run(worker);
        Ok(())
    };
    if let Err(failure) = pool::work(threads, chunks, start, copy) {
        job.stop(failure);
    }
}

fn chunks<'w>(job: &Job<'_>, works: &'w [Work]) -> Vec<&'w [Work]> {
    let mut chunks = Vec::new();
    let mut rest = works;
    while let Some(first) = rest.first() {
        let mut length = 0;
        let groups = rest.chunk_by(|a, b| a.origin == b.origin && a.name(job) == b.name(job));
        for (files, group) in groups.enumerate() {
            let large = group[0].size(job) >= large::LARGE;
            if group[0].origin != first.origin || files == FILES || (large && files > 0) {
                break;
            }
            length += group.len().min(FAN_OUT);
            if large || group.len() > FAN_OUT {
                break;
            }
        }
        let (chunk, after) = rest.split_at(length);
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

/// What a thread keeps from chunk to chunk.
pub(super) struct Worker {
    buffer: Vec<u8>,
    files: u64,
}

impl Worker {
    /// A temporary name that nobody else has.
    fn scratch(&mut self, job: &Job<'_>) -> TempName {
        self.files += 1;
        // The address of the worker tells threads apart.
        let own = std::ptr::from_ref(self).addr();
        TempName { name: format!("s-{:016x}-{own:x}-{}", job.token, self.files), resumable: false }
    }
}

struct Chunk<'j, 'a> {
    job: &'j Job<'a>,
    works: &'j [Work],
    /// Folders of targets that are open.
    dirs: Vec<(u32, u32, Box<dyn Dir>)>,
}

/// What was written, and with which digest.
#[derive(Clone, Copy)]
pub(super) struct Copied {
    pub(super) digest: Blake3,
    pub(super) meta: Meta,
}

impl<'a> Chunk<'_, 'a> {
    fn run(mut self, worker: &mut Worker) {
        for target in self.targets() {
            if let Err(failure) = self.job.diffs[target].target.store.still_there() {
                self.job.end(target, failure);
            }
        }
        let mut outcomes: Vec<Option<Result<Copied, Failure>>> = vec![None; self.works.len()];
        match self.source_dir() {
            Ok(dir) => self.files(dir.as_ref(), worker, &mut outcomes),
            Err(failure) => outcomes.fill(Some(Err(failure))),
        }
        self.sync(&mut outcomes);
        self.report(outcomes);
    }

    fn targets(&self) -> Vec<usize> {
        let mut targets: Vec<usize> = self.works.iter().map(|work| work.target as usize).collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// The source that all files of the chunk come from, and their folder there.
    fn source_folder(&self) -> Result<(&'a Source, &'a RelPath), Failure> {
        let Some(first) = self.works.first() else { return Err(Failure::host("chunk", "an empty chunk")) };
        let origins = &self.job.diffs[first.target as usize].view.origins;
        origins
            .folder(first.origin)
            .ok_or_else(|| Failure::host("origin", "a file to be copied has no source"))
    }

    fn source_dir(&self) -> Result<Box<dyn Dir>, Failure> {
        let (source, path) = self.source_folder()?;
        source.store.dir(&source.locate(path)).map_err(|failure| match source.store.check() {
            Ok(()) => failure,
            Err(gone) => gone,
        })
    }

    fn files(
        &mut self,
        source: &dyn Dir,
        worker: &mut Worker,
        outcomes: &mut [Option<Result<Copied, Failure>>],
    ) {
        let mut at = 0;
        let job = self.job;
        for group in self.works.chunk_by(|a, b| a.name(job) == b.name(job)) {
            let outcomes = &mut outcomes[at..at + group.len()];
            at += group.len();
            for (work, outcome) in group.iter().zip(outcomes.iter_mut()) {
                *outcome = job.why_not(work.target as usize).map(skipped).map(Err);
            }
            if outcomes.iter().all(Option::is_some) {
                continue;
            }
            let result = job.keep_going().and_then(|()| self.group(source, group, worker, outcomes));
            if let Err(failure) = result {
                for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
                    *outcome = Some(Err(failure.clone()));
                }
            }
        }
    }

    /// Copies one file of the source to all that need it. A failure is the source's, or that of the run.
    fn group(
        &mut self,
        source: &dyn Dir,
        group: &[Work],
        worker: &mut Worker,
        outcomes: &mut [Option<Result<Copied, Failure>>],
    ) -> Result<(), Failure> {
        let Some(first) = group.first() else { return Ok(()) };
        let name = first.name(self.job);
        let mut before: Option<Meta> = None;
        for _ in 0..=TRIES {
            let mut reader = source.open(name)?;
            if before.map_or(first.size(self.job), |meta| meta.size) >= large::LARGE {
                match self.large(source, name, reader.as_mut(), group, outcomes)? {
                    Some(seen) => before = Some(seen),
                    None => return Ok(()),
                }
                continue;
            }
            // After the first try the size that was seen last: the file may have grown since it was declared.
            let expected = before.map_or(first.size(self.job), |meta| meta.size);
            let (length, meta) = fill(reader.as_mut(), expected, &mut worker.buffer)?;
            drop(reader);
            if meta.kind != EntryKind::File {
                return Err(not_a_file(source, name));
            }
            let as_declared = (meta.size, meta.mtime_ns) == (first.size(self.job), first.mtime_ns(self.job));
            let stable = as_declared || before.is_some_and(|before| before.same_file(&meta));
            if length as u64 == meta.size && stable {
                let copied = Copied { digest: *blake3::hash(&worker.buffer[..length]).as_bytes(), meta };
                self.small(group, &copied, length, worker, outcomes);
                return Ok(());
            }
            before = Some(meta);
            self.job.keep_going()?;
        }
        Err(changed(source, name))
    }

    fn large(
        &mut self,
        dir: &dyn Dir,
        name: &[u8],
        reader: &mut dyn Reader,
        group: &[Work],
        outcomes: &mut [Option<Result<Copied, Failure>>],
    ) -> Result<Option<Meta>, Failure> {
        for work in group {
            // Opened here, so that a failure to open it is that of one target.
            if let Err(failure) = self.dir(work).map(drop) {
                let failure = self.job.failed_on(work.target as usize, failure);
                set(group, outcomes, work, Err(failure));
            }
        }
        let mut open: Vec<large::Destination<'_>> = Vec::new();
        for (index, work) in group.iter().enumerate() {
            let op = work.op(self.job);
            let to =
                self.dirs.iter().find(|(target, folder, _)| (*target, *folder) == (work.target, op.folder));
            if let (None, Some((_, _, to))) = (&outcomes[index], to) {
                open.push(large::Destination { work, dir: to.as_ref(), index });
            }
        }
        let place = dir.path().join_name(name);
        large::copy(self.job, (self.source_folder()?.0, &place), reader, open, outcomes)
    }

    fn small(
        &mut self,
        group: &[Work],
        copied: &Copied,
        length: usize,
        worker: &mut Worker,
        outcomes: &mut [Option<Result<Copied, Failure>>],
    ) {
        let buffer = std::mem::take(&mut worker.buffer);
        let job = self.job;
        for (work, outcome) in group.iter().zip(outcomes.iter_mut()).filter(|(_, outcome)| outcome.is_none())
        {
            let result = self.write(work, copied, &buffer[..length], worker);
            *outcome = Some(match result {
                Ok(()) => Ok(*copied),
                Err(failure) => Err(job.failed_on(work.target as usize, failure)),
            });
        }
        worker.buffer = buffer;
    }

    fn write(
        &mut self,
        work: &Work,
        copied: &Copied,
        bytes: &[u8],
        worker: &mut Worker,
    ) -> Result<(), Failure> {
        let job = self.job;
        let temp = worker.scratch(job);
        check_wanted(job, work, copied)?;
        job.diffs[work.target as usize].target.store.admit(bytes.len() as u64, &|| job.keep_going())?;
        let dir = self.dir(work)?;
        // Asked for each target, before and after what can take long: one read may be written to many.
        job.keep_going()?;
        let mut writer = dir.write(&temp)?;
        writer.write(bytes)?;
        job.keep_going()?;
        writer.commit(work.own_name(job), Some(&copied.meta.stamp()), job.options.fsync)?;
        job.context.observer.bytes(bytes.len() as u64);
        Ok(())
    }

    /// The folder that a file is to stand in.
    fn dir(&mut self, work: &Work) -> Result<&dyn Dir, Failure> {
        let op = work.op(self.job);
        let key = (work.target, op.folder);
        let found = self.dirs.iter().position(|(target, folder, _)| (*target, *folder) == key);
        let at = match found {
            Some(at) => at,
            None => {
                if self.dirs.len() >= 2 * FAN_OUT {
                    self.dirs.clear();
                }
                let diff = &self.job.diffs[work.target as usize];
                let dir = diff.target.store.dir(&diff.view.folder_path(op.folder))?;
                self.job.disturb(work.target as usize, op.folder);
                self.dirs.push((key.0, key.1, dir));
                self.dirs.len() - 1
            }
        };
        Ok(self.dirs[at].2.as_ref())
    }

    /// Flushes the names, where that was asked for.
    fn sync(&self, outcomes: &mut [Option<Result<Copied, Failure>>]) {
        if !self.job.options.fsync {
            return;
        }
        for (target, folder, dir) in &self.dirs {
            let Err(failure) = dir.sync() else { continue };
            let failure = self.job.failed_on(*target as usize, failure);
            for (work, outcome) in self.works.iter().zip(outcomes.iter_mut()) {
                if work.target == *target && work.op(self.job).folder == *folder {
                    *outcome = Some(Err(failure.clone()));
                }
            }
        }
    }

    /// Looks at what was written, and tells all outcomes.
    fn report(self, outcomes: Vec<Option<Result<Copied, Failure>>>) {
        drop(self.dirs);
        let job = self.job;
        let mut order: Vec<(usize, &Work)> = self.works.iter().enumerate().collect();
        order.sort_by_key(|(_, work)| (work.target, work.op(job).folder));
        let mut outcomes = outcomes;
        let mut report = Report::new(job);
        for group in
            order.chunk_by(|a, b| (a.1.target, a.1.op(job).folder) == (b.1.target, b.1.op(job).folder))
        {
            let Some((_, first)) = group.first() else { continue };
            let mut look = verify::Look::new(job, first.target as usize, first.op(job).folder);
            for (index, work) in group {
                let outcome =
                    outcomes[*index].take().unwrap_or_else(|| Err(Failure::host("copy", "no outcome")));
                let target = work.target as usize;
                let mut size = None;
                let outcome: Outcome = outcome.and_then(|copied| {
                    size = Some(copied.meta.size);
                    let expected = Expected {
                        size: copied.meta.size,
                        mtime_ns: Some(copied.meta.mtime_ns),
                        digest: Some(copied.digest),
                    };
                    look.at(work.own_name(job), &expected)?;
                    learn(job, work, &copied);
                    Ok(Done { digest: Some(copied.digest), unchanged: false })
                });
                report.op(target, work.op(job), size, outcome);
            }
        }
    }
}

/// Reads a whole file. Gives back its length and what its store says of it afterwards.
fn fill(reader: &mut dyn Reader, expected: u64, buffer: &mut Vec<u8>) -> Result<(usize, Meta), Failure> {
    // One byte more than expected: a file that is as expected is read in one call, and one that grew is noticed.
    let expected = usize::try_from(expected).unwrap_or(0);
    if buffer.len() <= expected {
        buffer.resize(expected + 1, 0);
    }
    let mut length = 0;
    loop {
        let count = reader.read(&mut buffer[length..])?;
        length += count;
        if count == 0 || length >= expected {
            break;
        }
    }
    Ok((length, reader.meta()?))
}

/// Whether the content is the one that was declared, where one was.
pub(super) fn check_wanted(job: &Job<'_>, work: &Work, copied: &Copied) -> Result<(), Failure> {
    match work.wanted(job) {
        Some(wanted) if *wanted != copied.digest => {
            let op = work.op(job);
            let path = job.diffs[work.target as usize].view.entry_path(op.folder, op.index);
            Err(walk::other_content(&path, wanted))
        }
        _ => Ok(()),
    }
}

fn learn(job: &Job<'_>, work: &Work, copied: &Copied) {
    let view = &job.diffs[work.target as usize].view;
    let op = work.op(job);
    let actual = Actual { size: copied.meta.size, stamp: copied.meta.stamp() };
    let entry = view.entry(op.folder, op.index);
    let newer = (entry.size, entry.mtime_ns) != (actual.size, actual.stamp.mtime_ns);
    view.learn(op.folder, op.index, copied.digest, newer.then_some(actual));
}

fn set(
    group: &[Work],
    outcomes: &mut [Option<Result<Copied, Failure>>],
    work: &Work,
    outcome: Result<Copied, Failure>,
) {
    let same = |one: &&Work| one.target == work.target && one.op == work.op;
    if let Some(index) = group.iter().position(|one| same(&one)) {
        outcomes[index].get_or_insert(outcome);
    }
}

fn not_a_file(source: &dyn Dir, name: &[u8]) -> Failure {
    let path: RelPath = source.path().join_name(name);
    Failure::changed(
        "changed",
        format!("{} of the source is not a regular file any more", errors::place(&path)),
    )
}

pub(super) fn changed(source: &dyn Dir, name: &[u8]) -> Failure {
    let path: RelPath = source.path().join_name(name);
    let message = format!(
        "{} of the source changed each of the {} times that it was read; try again when nobody writes to it",
        errors::place(&path),
        TRIES + 1
    );
    Failure::changed("changed", message)
}
