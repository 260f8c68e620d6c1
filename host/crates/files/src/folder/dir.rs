//! An open folder of a folder store.

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat, Timespec, Timestamps, UTIME_OMIT},
    io::{Errno, retry_on_intr},
};
use syncline_domain::{Failure, FailureKind, Fault, RelPath};

use super::{
    Inner,
    file::{FolderReader, FolderWriter},
};
use crate::{
    errors::place,
    store::{Dir, EntryKind, Meta, Names, RESERVED, Reader, Stamp, TempName, Writer},
};

pub(super) struct FolderDir {
    pub(super) store: Arc<Inner>,
    pub(super) path: RelPath,
    pub(super) fd: OwnedFd,
}

/// Files are opened for reading without following a link, and without waiting for the other end of a pipe.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

impl FolderDir {
    pub(super) fn new(store: Arc<Inner>, path: RelPath, fd: OwnedFd) -> Self {
        Self { store, path, fd }
    }

    pub(super) fn fail(&self, name: &[u8], doing: &str, errno: Errno) -> Failure {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join_name(name) };
        self.store.fail(&path, doing, errno)
    }

    fn open_file(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        retry_on_intr(|| rustix::fs::openat(&self.fd, name, READ, Mode::empty()))
    }
}

impl Dir for FolderDir {
    fn path(&self) -> &RelPath {
        &self.path
    }

    fn meta(&self) -> Result<Meta, Failure> {
        rustix::fs::fstat(&self.fd).map(|stat| meta(&stat)).map_err(|errno| self.fail(b"", "look at", errno))
    }

    fn names(&self, into: &mut Names) -> Result<(), Failure> {
        into.clear();
        list(&self.fd, into).map_err(|errno| self.fail(b"", "list", errno))?;
        if self.path.is_root() {
            into.retain(|name| name != RESERVED);
        }
        into.sort();
        Ok(())
    }

    fn stat(&self, name: &[u8]) -> Result<Option<Meta>, Failure> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(meta(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.fail(name, "look at", errno)),
        }
    }

    fn open(&self, name: &[u8]) -> Result<Box<dyn Reader>, Failure> {
        let fd = match self.open_file(name) {
            Ok(fd) => fd,
            // A link (LOOP), a socket (NXIO): there, and nothing to read.
            Err(Errno::LOOP | Errno::NXIO) => return Err(self.no_file(name)),
            Err(errno) => return Err(self.fail(name, "open", errno)),
        };
        Ok(Box::new(FolderReader::new(Arc::clone(&self.store), self.path.join_name(name), fd)))
    }

    fn create_folder(&self, name: &[u8], mode: u16) -> Result<(), Failure> {
        let mode = Mode::from_raw_mode(u32::from(mode & 0o777) | 0o700);
        rustix::fs::mkdirat(&self.fd, name, mode).map_err(|errno| self.fail(name, "make the folder", errno))
    }

    fn write(&self, temp: &TempName) -> Result<Box<dyn Writer + '_>, Failure> {
        Ok(Box::new(FolderWriter::begin(self, temp)?))
    }

    fn stamp(&self, name: &[u8], stamp: &Stamp) -> Result<(), Failure> {
        let set = |fd: &OwnedFd| {
            rustix::fs::fchmod(fd, Mode::from_raw_mode(u32::from(stamp.mode)))?;
            rustix::fs::futimens(fd, &times(stamp))
        };
        let result =
            if name.is_empty() { set(&self.fd) } else { self.open_file(name).and_then(|fd| set(&fd)) };
        result.map_err(|errno| self.fail(name, "set time and mode of", errno))
    }

    fn remove(&self, name: &[u8], folder: bool) -> Result<(), Failure> {
        let flags = if folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        rustix::fs::unlinkat(&self.fd, name, flags).map_err(|errno| self.fail(name, "remove", errno))
    }

    fn sync(&self) -> Result<(), Failure> {
        rustix::fs::fsync(&self.fd).map_err(|errno| self.fail(b"", "flush", errno))
    }
}

impl FolderDir {
    fn no_file(&self, name: &[u8]) -> Failure {
        let path = self.path.join_name(name);
        let message = format!("store {}: {} is not a regular file", self.store.name, place(&path));
        Failure::new(FailureKind::Unsupported, Fault::Remote, "not-a-file", message)
    }
}

/// Adds all names of an open folder, in no order.
pub(super) fn list(folder: &OwnedFd, into: &mut Names) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1_024];
    let mut entries = RawDir::new(folder.as_fd(), &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            into.push(name, kind(entry.file_type()));
        }
    }
    Ok(())
}

fn kind(found: FileType) -> Option<EntryKind> {
    match found {
        FileType::RegularFile => Some(EntryKind::File),
        FileType::Directory => Some(EntryKind::Folder),
        FileType::Symlink => Some(EntryKind::Link),
        FileType::Unknown => None,
        _ => Some(EntryKind::Special),
    }
}

pub(super) fn meta(stat: &Stat) -> Meta {
    let kind = kind(FileType::from_raw_mode(stat.st_mode)).unwrap_or(EntryKind::Special);
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Meta {
        kind,
        mode: u16::try_from(stat.st_mode & 0o7777).unwrap_or(0),
        size: if kind == EntryKind::File { stat.st_size.max(0).unsigned_abs() } else { 0 },
        // Times before 1678 and after 2262 do not fit: they count as the last that does, on both sides.
        mtime_ns: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanos),
        device: stat.st_dev,
        inode: stat.st_ino,
    }
}

pub(super) fn times(stamp: &Stamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: stamp.mtime_ns.div_euclid(1_000_000_000),
            tv_nsec: stamp.mtime_ns.rem_euclid(1_000_000_000),
        },
    }
}
