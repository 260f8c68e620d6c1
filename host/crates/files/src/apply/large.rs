//! Large files: copied to all targets from one read, by the kernel (`kernel`) as far as it can, hashed on a thread of its
//! own, and resumed where an earlier attempt stopped.
//!
//! Their temporary names are made from what the source file is (store, path, inode, size, time), so that a later attempt
//! finds what is there, and never what is there of another file, reads that back for the digest, and goes on reading the source behind it. After the machine was started
//! anew the names are others: what had not reached the disk by then cannot be told from what had.

use std::{
    collections::HashSet,
    sync::{OnceLock, mpsc},
};

use syncline_domain::{Failure, FailureKind, RelPath, declaration::Blake3};

use super::{
    copy::{Copied, Work, check_wanted},
    job::Job,
    kernel,
};
use crate::{
    diff::TargetDiff,
    read::CHUNK,
    store::{Dir, EntryKind, Meta, Print, Reader, Source, TempName, Writer},
};

/// From this size on, files are streamed and resumable.
pub(super) const LARGE: u64 = 8 * 1_024 * 1_024;
/// Chunks under way between reading and hashing.
const BUFFERS: usize = 4;

/// The temporary names that applying this difference would use for large files.
pub(super) fn wanted(diff: &TargetDiff) -> HashSet<String> {
    let mut names = HashSet::new();
    for op in diff.ops.iter().filter(|op| op.writes()) {
        let entry = diff.view.entry(op.folder, op.index);
        let name = diff.view.folder(op.folder).name(entry);
        if entry.size < LARGE {
            continue;
        }
        let found = diff.view.source_file(entry, name);
        let found = found.and_then(|(origin, name)| Some((diff.view.origins.folder(origin)?, name)));
        if let Some(((source, path), name)) = found {
            let path = source.locate(path).join_name(name);
            let print = entry.print;
            names.insert(temp_name(source, &path, entry.size, entry.mtime_ns, print));
        }
    }
    names
}

fn temp_name(source: &Source, path: &RelPath, size: u64, mtime_ns: i64, print: Print) -> String {
    static BOOT: OnceLock<String> = OnceLock::new();
    let boot =
        BOOT.get_or_init(|| std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default());
    let mut hasher = blake3::Hasher::new();
    hasher.update(boot.as_bytes()).update(&size.to_le_bytes()).update(&mtime_ns.to_le_bytes());
    // The identity may be of any length: the end of each part has to be told.
    let identity = source.store.identity();
    hasher.update(&(identity.len() as u64).to_le_bytes()).update(&identity).update(&print);
    hasher.update(path.as_bytes());
    format!("r-{}", &hasher.finalize().to_hex().as_str()[..32])
}

/// A target of a large file.
pub(super) struct Destination<'c> {
    pub(super) work: &'c Work,
    pub(super) dir: &'c dyn Dir,
    /// Its place among the outcomes.
    pub(super) index: usize,
}

pub(super) struct Stream<'c> {
    pub(super) to: Destination<'c>,
    pub(super) writer: Box<dyn Writer + 'c>,
}

pub(super) type Outcomes<'o> = &'o mut [Option<Result<Copied, Failure>>];

/// Copies an open file (at `path` of the source's store) to all destinations. Gives back what the store says of it if it changed meanwhile: then nothing
/// was written, and it has to be read again.
pub(super) fn copy(
    job: &Job<'_>,
    (source, path): (&Source, &RelPath),
    reader: &mut dyn Reader,
    destinations: Vec<Destination<'_>>,
    outcomes: Outcomes<'_>,
) -> Result<Option<Meta>, Failure> {
    let before = reader.meta()?;
    let name = temp_name(source, path, before.size, before.mtime_ns, before.print());
    let temp = TempName { name, resumable: true };
    let mut streams = Vec::with_capacity(destinations.len());
    for to in destinations {
        job.keep_going()?;
        match to.dir.write(&temp) {
            Ok(writer) => streams.push(Stream { to, writer }),
            Err(failure) => fail(job, to.index, to.work, failure, outcomes),
        }
    }
    if streams.is_empty() {
        return Ok(None);
    }
    let result = resume(job, &mut streams, before.size, outcomes)
        .and_then(|begun| kernel::copy(job, reader, before.size, &mut streams, begun, outcomes))
        .and_then(|begun| stream(job, reader, &mut streams, begun, outcomes));
    // On a failure here (the run is stopped, the source cannot be read) the writers are dropped: what they have stays, and
    // a later attempt goes on with it.
    let (digest, length) = result?;
    if streams.is_empty() {
        return Ok(None);
    }
    let meta = reader.meta()?;
    job.keep_going()?;
    if meta.kind != EntryKind::File || !meta.same_file(&before) || length != meta.size {
        for Stream { to, writer } in streams {
            if let Err(failure) = writer.discard() {
                fail(job, to.index, to.work, failure, outcomes);
            }
        }
        return Ok(Some(meta));
    }
    let copied = Copied { digest, meta };
    for Stream { to, writer } in streams {
        // For each target: flushing to the one before can have taken long.
        job.keep_going()?;
        let checked = check_wanted(job, to.work, &copied);
        let result = match checked {
            Ok(()) => writer.commit(to.work.own_name(job), Some(&meta.stamp()), job.options.fsync),
            Err(failure) => writer.discard().and(Err(failure)),
        };
        match result {
            Ok(()) => outcomes[to.index] = Some(Ok(copied)),
            Err(failure) => fail(job, to.index, to.work, failure, outcomes),
        }
    }
    Ok(None)
}

fn fail(job: &Job<'_>, index: usize, work: &Work, failure: Failure, outcomes: Outcomes<'_>) {
    outcomes[index] = Some(Err(job.failed_on(work.target as usize, failure)));
}

/// Goes on where the attempt stopped that came least far. Gives back the digest of what stands there, and its length.
/// Streams that fail are taken out.
fn resume(
    job: &Job<'_>,
    streams: &mut Vec<Stream<'_>>,
    size: u64,
    outcomes: Outcomes<'_>,
) -> Result<(blake3::Hasher, u64), Failure> {
    let standing = streams.iter().map(|stream| stream.writer.resumed()).min().unwrap_or(0);
    let start = if standing > size { 0 } else { standing };
    let mut at = 0;
    while let Some(stream) = streams.get_mut(at) {
        let cut = stream.writer.resumed() != start;
        match if cut { stream.writer.truncate(start) } else { Ok(()) } {
            Ok(()) => at += 1,
            Err(failure) => take_out(job, streams, at, failure, outcomes),
        }
    }
    while let Some(first) = streams.first() {
        match read_back(job, first.writer.as_ref(), start) {
            Ok(hasher) => return Ok((hasher, start)),
            Err(failure) if failure.kind == FailureKind::Stopped => return Err(failure),
            Err(failure) => take_out(job, streams, 0, failure, outcomes),
        }
    }
    Ok((blake3::Hasher::new(), start))
}

/// The digest of what an earlier attempt left, up to `end`.
fn read_back(job: &Job<'_>, writer: &dyn Writer, end: u64) -> Result<blake3::Hasher, Failure> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = if end > 0 { vec![0; CHUNK] } else { Vec::new() };
    while hasher.count() < end {
        job.keep_going()?;
        let left = usize::try_from(end - hasher.count()).unwrap_or(CHUNK).min(CHUNK);
        let count = writer.read_back(&mut buffer[..left], hasher.count())?;
        if count == 0 {
            return Err(Failure::changed(
                "changed",
                "a temporary file became shorter while it was read back",
            ));
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hasher)
}

/// Reads on to the end, writes to all, and hashes beside it. Streams that fail are taken out.
fn stream(
    job: &Job<'_>,
    reader: &mut dyn Reader,
    streams: &mut Vec<Stream<'_>>,
    (mut hasher, start): (blake3::Hasher, u64),
    outcomes: Outcomes<'_>,
) -> Result<(Blake3, u64), Failure> {
    reader.seek(start)?;
    let (full, filled) = mpsc::sync_channel::<(Vec<u8>, usize)>(BUFFERS);
    let (empty, emptied) = mpsc::sync_channel::<Vec<u8>>(BUFFERS);
    for _ in 0..BUFFERS {
        // There is room for each of them.
        if empty.send(Vec::new()).is_err() {
            break;
        }
    }
    std::thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            for (buffer, length) in filled {
                hasher.update(&buffer[..length]);
                if empty.send(buffer).is_err() {
                    break;
                }
            }
            hasher
        });
        let mut copy = || -> Result<u64, Failure> {
            let mut offset = start;
            while !streams.is_empty() {
                job.keep_going()?;
                let Ok(mut buffer) = emptied.recv() else { break };
                buffer.resize(CHUNK, 0);
                let count = reader.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                write_all(job, streams, &buffer[..count], outcomes)?;
                offset += count as u64;
                if full.send((buffer, count)).is_err() {
                    break;
                }
            }
            Ok(offset)
        };
        let copied = copy();
        drop(full);
        let hasher = match hashing.join() {
            Ok(hasher) => hasher,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        copied.map(|length| (*hasher.finalize().as_bytes(), length))
    })
}

pub(super) fn write_all(
    job: &Job<'_>,
    streams: &mut Vec<Stream<'_>>,
    bytes: &[u8],
    outcomes: Outcomes<'_>,
) -> Result<(), Failure> {
    let mut at = 0;
    while let Some(stream) = streams.get_mut(at) {
        let target = stream.to.work.target as usize;
        let store = &job.diffs[target].target.store;
        let result =
            store.admit(bytes.len() as u64, &|| job.keep_going()).and_then(|()| stream.writer.write(bytes));
        match result {
            Ok(()) => {
                job.context.observer.bytes(bytes.len() as u64);
                at += 1;
            }
            Err(failure) if failure.kind == FailureKind::Stopped => return Err(failure),
            Err(failure) => take_out(job, streams, at, failure, outcomes),
        }
    }
    Ok(())
}

/// Gives up on one target, for which the others go on.
pub(super) fn take_out(
    job: &Job<'_>,
    streams: &mut Vec<Stream<'_>>,
    at: usize,
    failure: Failure,
    outcomes: Outcomes<'_>,
) {
    let Stream { to, writer } = streams.swap_remove(at);
    // What cannot be gone on with must not fill the target.
    if failure.kind == FailureKind::Unavailable || !job.may_touch() {
        drop(writer);
    } else if let Err(left) = writer.discard() {
        tracing::warn!(failure = %left, "a temporary file is left; the next run removes it");
    }
    fail(job, to.index, to.work, failure, outcomes);
}
