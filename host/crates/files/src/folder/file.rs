//! Open files of a folder store: for reading, and for writing under a temporary name in `.syncline/tmp`.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, SeekFrom},
    io::{Errno, retry_on_intr},
};
use syncline_domain::{Failure, RelPath};

use super::{
    Inner,
    dir::{FolderDir, meta, times},
};
use crate::store::{Meta, Reader, Stamp, TempName, Writer};

pub(super) struct FolderReader {
    store: Arc<Inner>,
    path: RelPath,
    fd: OwnedFd,
}

impl FolderReader {
    pub(super) fn new(store: Arc<Inner>, path: RelPath, fd: OwnedFd) -> Self {
        Self { store, path, fd }
    }

    fn fail(&self, errno: Errno) -> Failure {
        self.store.fail(&self.path, "read", errno)
    }
}

impl Reader for FolderReader {
    fn meta(&self) -> Result<Meta, Failure> {
        rustix::fs::fstat(&self.fd).map(|stat| meta(&stat)).map_err(|errno| self.fail(errno))
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        retry_on_intr(|| rustix::io::read(&self.fd, &mut *into)).map_err(|errno| self.fail(errno))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize, Failure> {
        retry_on_intr(|| rustix::io::pread(&self.fd, &mut *into, offset)).map_err(|errno| self.fail(errno))
    }

    fn seek(&mut self, offset: u64) -> Result<(), Failure> {
        rustix::fs::seek(&self.fd, SeekFrom::Start(offset)).map(drop).map_err(|errno| self.fail(errno))
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}

pub(super) struct FolderWriter<'a> {
    dir: &'a FolderDir,
    fd: OwnedFd,
    temp: TempName,
    resumed: u64,
    /// The temporary name is gone or stays on purpose.
    settled: bool,
}

impl<'a> FolderWriter<'a> {
    pub(super) fn begin(dir: &'a FolderDir, temp: &TempName) -> Result<Self, Failure> {
        let opened = if temp.resumable { Self::resume(dir, temp)? } else { None };
        match opened {
            Some(writer) => Ok(writer),
            None => Self::fresh(dir, temp),
        }
    }

    /// Goes on with a file of an earlier attempt, or begins one that a later attempt can go on with. `None` if another
    /// process has it open: one that lost its run and does not know yet must not write into a file that we publish.
    fn resume(dir: &'a FolderDir, temp: &TempName) -> Result<Option<Self>, Failure> {
        let place = dir.store.temp()?;
        let open = || -> Result<Option<(OwnedFd, u64)>, Errno> {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(place, temp.name.as_str(), flags, Mode::RUSR | Mode::WUSR)?;
            match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                // Not every file system has locks; the run's own lock on the store has to do there.
                Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => {}
                Err(errno) => return Err(errno),
            }
            let own = rustix::fs::fstat(&fd)?;
            let named = rustix::fs::statat(place, temp.name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            let size = own.st_size.max(0).unsigned_abs();
            rustix::fs::seek(&fd, SeekFrom::Start(size))?;
            Ok((own.st_ino == named.st_ino).then_some((fd, size)))
        };
        let opened = open().map_err(|errno| dir.fail(b"", "make a temporary file for", errno))?;
        Ok(opened.map(|(fd, resumed)| Self { dir, fd, temp: temp.clone(), resumed, settled: false }))
    }

    fn fresh(dir: &'a FolderDir, temp: &TempName) -> Result<Self, Failure> {
        static SPARE: AtomicU64 = AtomicU64::new(0);
        let place = dir.store.temp()?;
        let mut temp = temp.clone();
        if temp.resumable {
            let spare = SPARE.fetch_add(1, Ordering::Relaxed);
            temp =
                TempName { name: format!("{}-{}-{spare}", temp.name, std::process::id()), resumable: false };
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(place, temp.name.as_str(), flags, Mode::RUSR | Mode::WUSR);
        let fd = retry_on_intr(open).map_err(|errno| dir.fail(b"", "make a temporary file for", errno))?;
        Ok(Self { dir, fd, temp, resumed: 0, settled: false })
    }

    fn fail(&self, name: &[u8], errno: Errno) -> Failure {
        self.dir.fail(name, "write", errno)
    }

    fn unlink(&mut self) -> Result<(), Failure> {
        self.settled = true;
        let place = self.dir.store.temp()?;
        match rustix::fs::unlinkat(place, self.temp.name.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.dir.fail(b"", "remove a temporary file of", errno)),
        }
    }
}

impl Writer for FolderWriter<'_> {
    fn resumed(&self) -> u64 {
        self.resumed
    }

    fn read_back(&self, into: &mut [u8], offset: u64) -> Result<usize, Failure> {
        retry_on_intr(|| rustix::io::pread(&self.fd, &mut *into, offset))
            .map_err(|errno| self.fail(b"", errno))
    }

    fn truncate(&mut self, length: u64) -> Result<(), Failure> {
        rustix::fs::ftruncate(&self.fd, length).map_err(|errno| self.fail(b"", errno))?;
        rustix::fs::seek(&self.fd, SeekFrom::Start(length)).map(drop).map_err(|errno| self.fail(b"", errno))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut left = bytes;
        while !left.is_empty() {
            let written =
                retry_on_intr(|| rustix::io::write(&self.fd, left)).map_err(|errno| self.fail(b"", errno))?;
            left = left.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn write_from(&mut self, from: BorrowedFd<'_>, mut offset: u64, length: usize) -> Option<usize> {
        let mut copy = || rustix::fs::copy_file_range(from, Some(&mut offset), &self.fd, None, length);
        retry_on_intr(&mut copy).ok()
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }

    fn commit(mut self: Box<Self>, name: &[u8], stamp: Option<&Stamp>, fsync: bool) -> Result<(), Failure> {
        let mode = stamp.map_or(0o644, |stamp| stamp.mode);
        let place = self.dir.store.temp()?;
        let set = || {
            rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(u32::from(mode)))?;
            if let Some(stamp) = stamp {
                rustix::fs::futimens(&self.fd, &times(stamp))?;
            }
            if fsync {
                rustix::fs::fsync(&self.fd)?;
            }
            rustix::fs::renameat(place, self.temp.name.as_str(), &self.dir.fd, name)
        };
        set().map_err(|errno| self.fail(name, errno))?;
        self.settled = true;
        Ok(())
    }

    fn discard(mut self: Box<Self>) -> Result<(), Failure> {
        self.unlink()
    }
}

impl Drop for FolderWriter<'_> {
    fn drop(&mut self) {
        if self.settled || self.temp.resumable {
            return;
        }
        if let Err(failure) = self.unlink() {
            tracing::warn!(%failure, "a temporary file is left; the next run removes it");
        }
    }
}
