//! The mark of an adopted folder: `.syncline/store.json`, `{"id":"<uuid>"}`.

use std::{
    io::Write,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use syncline_domain::{Failure, FailureKind, Fault, ids::StoreId};

use super::{FOLDER, open_root};
use crate::{access, store::RESERVED};

const MARK: &[u8] = b"store.json";
const NEW_MARK: &[u8] = b"store.json.new";

#[derive(Serialize, Deserialize)]
struct Mark {
    id: StoreId,
}

/// Why there is no id to be had.
pub(super) enum NoMark {
    Missing,
    NoRight,
    Broken(String),
}

/// The id in the mark of this root.
pub(super) fn read(root: BorrowedFd<'_>) -> Result<StoreId, NoMark> {
    let missing = |errno: Errno| match errno {
        Errno::NOENT => NoMark::Missing,
        Errno::ACCESS | Errno::PERM => NoMark::NoRight,
        other => NoMark::Broken(other.to_string()),
    };
    let own = rustix::fs::openat(root, RESERVED, FOLDER, Mode::empty()).map_err(missing)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&own, MARK, flags, Mode::empty()).map_err(missing)?;
    let mut text = vec![0; 4_096];
    let length = rustix::io::read(&file, &mut text).map_err(missing)?;
    let mark: Mark =
        serde_json::from_slice(&text[..length]).map_err(|error| NoMark::Broken(error.to_string()))?;
    Ok(mark.id)
}

/// See [`super::FolderStore::adopt`].
pub(super) fn adopt(path: &Path, id: StoreId) -> Result<StoreId, Failure> {
    let root = root(path)?;
    match read(root.as_fd()) {
        Ok(found) => Ok(found),
        Err(NoMark::Missing) => write(path, root.as_fd(), id),
        Err(NoMark::NoRight) => Err(Failure::denied(
            "permission",
            format!(
                "account {} may not read the mark of {path:?} (.syncline/store.json): give that account read and write",
                access::account()
            ),
        )),
        Err(NoMark::Broken(why)) => Err(Failure::settings(
            "mark",
            format!(
                "{path:?} has a mark (.syncline/store.json) that cannot be read: {why}; adopt the folder anew"
            ),
        )),
    }
}

/// See [`super::FolderStore::adopt_anew`].
pub(super) fn adopt_anew(path: &Path, id: StoreId) -> Result<StoreId, Failure> {
    write(path, root(path)?.as_fd(), id)
}

fn root(path: &Path) -> Result<cap_std::fs::Dir, Failure> {
    if !path.is_absolute() {
        return Err(Failure::settings("path", format!("{path:?} is no absolute path: begin it with '/'")));
    }
    open_root(path).map_err(|error| {
        Failure::settings(
            "path",
            format!("the folder {path:?} cannot be opened: {error}; make it first, or mount it"),
        )
    })
}

fn write(path: &Path, root: BorrowedFd<'_>, id: StoreId) -> Result<StoreId, Failure> {
    put(root, id).map(|()| id).map_err(|error| {
        let message = format!(
            "the mark of {path:?} (.syncline/store.json) cannot be written: {error}; the account that runs the host must be able to write there"
        );
        Failure::new(FailureKind::Denied, Fault::Settings, "mark", message)
    })
}

fn put(root: BorrowedFd<'_>, id: StoreId) -> std::io::Result<()> {
    match rustix::fs::mkdirat(root, RESERVED, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let own = rustix::fs::openat(root, RESERVED, FOLDER, Mode::empty())?;
    match rustix::fs::unlinkat(&own, NEW_MARK, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&own, NEW_MARK, flags, Mode::from_raw_mode(0o644))?;
    let mut file = std::fs::File::from(file);
    file.write_all(serde_json::to_string(&Mark { id })?.as_bytes())?;
    file.sync_all()?;
    rustix::fs::renameat(&own, NEW_MARK, &own, MARK)?;
    rustix::fs::fsync(&own)?;
    Ok(())
}
