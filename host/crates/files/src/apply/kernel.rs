//! Large files that the kernel copies: without bringing their bytes here, and without copying them at all where the file
//! system can share them (`copy_file_range(2)`).
//!
//! The first target is copied from the source, the others from the first; the digest is read from the first as well, beside
//! the copying and while the bytes are at hand, so that it is one of what was written, whatever became of the source
//! meanwhile. Wherever the kernel does not do it, what is left is streamed (`large`).

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, mpsc},
};

use rustix::io::retry_on_intr;
use syncline_domain::{Failure, FailureKind};

use super::{
    job::Job,
    large::{Outcomes, Stream, take_out},
};
use crate::{read::CHUNK, store::Reader};

/// Pieces under way between copying and hashing: they should not have left the memory by then.
const UNDER_WAY: usize = 32;
/// Bytes that are read for the digest at a time.
const READ: usize = 256 << 10;

/// A piece of the first target that was written.
struct Piece {
    file: Arc<OwnedFd>,
    offset: u64,
    length: usize,
}

/// Copies as much of the first `size` bytes as the kernel does. Gives back the digest of what stands in the targets, and its
/// length. Streams that fail are taken out.
pub(super) fn copy(
    job: &Job<'_>,
    reader: &dyn Reader,
    size: u64,
    streams: &mut Vec<Stream<'_>>,
    (hasher, start): (blake3::Hasher, u64),
    outcomes: Outcomes<'_>,
) -> Result<(blake3::Hasher, u64), Failure> {
    if reader.file().is_none() || streams.first().is_none_or(|first| first.writer.file().is_none()) {
        return Ok((hasher, start));
    }
    let (written, pieces) = mpsc::sync_channel(UNDER_WAY);
    std::thread::scope(|scope| {
        let hashing = scope.spawn(move || hash(hasher, pieces));
        let copied = pieces_of(job, reader, (start, size), streams, &written, outcomes);
        drop(written);
        let hasher = match hashing.join() {
            Ok(hasher) => hasher,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Ok((hasher?, copied?))
    })
}

fn hash(mut hasher: blake3::Hasher, pieces: mpsc::Receiver<Piece>) -> Result<blake3::Hasher, Failure> {
    let mut buffer = vec![0; READ];
    for Piece { file, mut offset, length } in pieces {
        let end = offset + length as u64;
        while offset < end {
            let left = usize::try_from(end - offset).unwrap_or(READ).min(READ);
            let count = read_at(&file, &mut buffer[..left], offset)?;
            hasher.update(&buffer[..count]);
            offset += count as u64;
        }
    }
    Ok(hasher)
}

/// Reads what was written: the end of the file is none that is expected.
fn read_at(file: &OwnedFd, into: &mut [u8], offset: u64) -> Result<usize, Failure> {
    match retry_on_intr(|| rustix::io::pread(file, &mut *into, offset)) {
        Ok(0) => Err(Failure::changed("changed", "a temporary file became shorter while it was written")),
        Ok(count) => Ok(count),
        Err(errno) => {
            let message = format!("what was written to a temporary file cannot be read: {errno}");
            Err(Failure::unavailable("read", message))
        }
    }
}

/// Copies piece by piece; gives back how far it came.
fn pieces_of(
    job: &Job<'_>,
    reader: &dyn Reader,
    (mut offset, size): (u64, u64),
    streams: &mut Vec<Stream<'_>>,
    written: &mpsc::SyncSender<Piece>,
    outcomes: Outcomes<'_>,
) -> Result<u64, Failure> {
    let Some(source) = reader.file() else { return Ok(offset) };
    // It stays the first: only others are taken out here.
    let Some(from) = first_file(streams) else { return Ok(offset) };
    loop {
        let length = usize::try_from(size.saturating_sub(offset)).unwrap_or(CHUNK).min(CHUNK);
        if length == 0 {
            break;
        }
        job.keep_going()?;
        admit(job, &streams[0], length)?;
        let Some(length @ 1..) = streams[0].writer.write_from(source, offset, length) else { break };
        job.context.observer.bytes(length as u64);
        let mut at = 1;
        while let Some(stream) = streams.get_mut(at) {
            match repeat(job, stream, &from, offset, length) {
                Ok(()) => at += 1,
                Err(failure) if failure.kind == FailureKind::Stopped => return Err(failure),
                Err(failure) => take_out(job, streams, at, failure, outcomes),
            }
        }
        // An end that nobody reads any more has a reason, which the other side tells.
        if written.send(Piece { file: Arc::clone(&from), offset, length }).is_err() {
            break;
        }
        offset += length as u64;
    }
    Ok(offset)
}

/// The first target's file, for others to read.
fn first_file(streams: &[Stream<'_>]) -> Option<Arc<OwnedFd>> {
    streams.first()?.writer.file()?.try_clone_to_owned().ok().map(Arc::new)
}

/// Waits until so many bytes may be written.
fn admit(job: &Job<'_>, stream: &Stream<'_>, length: usize) -> Result<(), Failure> {
    let store = &job.diffs[stream.to.work.target as usize].target.store;
    store.admit(length as u64, &|| job.keep_going())
}

/// Writes to another target what the first has at an offset.
fn repeat(
    job: &Job<'_>,
    stream: &mut Stream<'_>,
    from: &OwnedFd,
    mut offset: u64,
    length: usize,
) -> Result<(), Failure> {
    admit(job, stream, length)?;
    let end = offset + length as u64;
    let mut buffer = Vec::new();
    while offset < end {
        let left = usize::try_from(end - offset).unwrap_or(CHUNK).min(CHUNK);
        let count = match stream.writer.write_from(from.as_fd(), offset, left) {
            Some(count @ 1..) => count,
            // It is on another file system, or full.
            _ => {
                buffer.resize(left, 0);
                let count = read_at(from, &mut buffer, offset)?;
                stream.writer.write(&buffer[..count])?;
                count
            }
        };
        offset += count as u64;
    }
    job.context.observer.bytes(length as u64);
    Ok(())
}
