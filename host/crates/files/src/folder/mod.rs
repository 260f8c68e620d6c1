//! Stores that are a folder of the host's file system, mounted shares included.
//!
//! * here: the store, its confinement and what it is adopted with
//! * `mark`: `.syncline/store.json`, which tells a mounted share from an empty mount point
//! * `dir`: an open folder
//! * `file`: open files, for reading and under a temporary name
//!
//! Confinement: the root is opened once, as a `cap_std` directory. Every folder below it is opened from there with
//! `openat2` and `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, so a link that somebody puts in the way leads nowhere. Files
//! are only touched by single names in such an open folder. What is written goes to the folder that was opened, never to
//! what stands at its path by then.

mod dir;
mod file;
mod mark;

use std::{
    collections::HashSet,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use cap_std::ambient_authority;
use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags},
    io::{Errno, retry_on_intr},
};
use syncline_domain::{Failure, Name, RelPath, ids::StoreId};

use crate::{
    access, errors, intake,
    rate::Rate,
    store::{Dir, Names, RESERVED, Store},
};

/// How a folder store behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct FolderOptions {
    /// Most bytes a second that are written to it; no limit if absent.
    pub bytes_per_second: Option<u64>,
}

/// A folder that was adopted. Cheap to clone.
#[derive(Clone)]
pub struct FolderStore(Arc<Inner>);

struct Inner {
    name: Name,
    path: PathBuf,
    root: cap_std::fs::Dir,
    /// Device and inode of the root.
    identity: (u64, u64),
    /// What its mark says; a folder that was never adopted has none.
    id: Option<StoreId>,
    rate: Option<Rate>,
    /// `.syncline/tmp`, once something is to be written.
    temp: OnceLock<OwnedFd>,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const TEMP: &[u8] = b"tmp";

impl FolderStore {
    /// Makes a folder a store: writes the mark, or leaves the one that stands there. Gives back the id of the mark.
    ///
    /// Fails `invalid` if `path` is not absolute or is no folder, or if what stands in the mark's place is none.
    pub fn adopt(path: &Path, id: StoreId) -> Result<StoreId, Failure> {
        mark::adopt(path, id)
    }

    /// The same, in place of any mark that stands there: an administrator says that this is the store now.
    pub fn adopt_anew(path: &Path, id: StoreId) -> Result<StoreId, Failure> {
        mark::adopt_anew(path, id)
    }

    /// Opens an adopted folder.
    ///
    /// Fails `unavailable` if it is not there, or if its mark is missing (code `mark`: a share that is not mounted) or
    /// says another id.
    pub fn open(name: Name, path: &Path, id: StoreId, options: FolderOptions) -> Result<Self, Failure> {
        Self::open_with(name, path, Some(id), options)
    }

    /// Opens a folder that was never adopted and carries no mark, for trying something out on it: that a share is not
    /// mounted there cannot be noticed.
    pub fn open_unmarked(name: Name, path: &Path) -> Result<Self, Failure> {
        Self::open_with(name, path, None, FolderOptions::default())
    }

    fn open_with(
        name: Name,
        path: &Path,
        id: Option<StoreId>,
        options: FolderOptions,
    ) -> Result<Self, Failure> {
        let root = open_root(path).map_err(|error| {
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                return no_right(&name, path, "open its folder");
            }
            let message = format!(
                "store {name}: its folder {path:?} cannot be opened: {error}; mount the share, or correct the store's path"
            );
            Failure::unavailable("vanished", message)
        })?;
        let stat = rustix::fs::fstat(&root)
            .map_err(|errno| errors::io(&name, &RelPath::root(), "look at", errno))?;
        let inner = Inner {
            name,
            path: path.to_owned(),
            identity: (stat.st_dev, stat.st_ino),
            root,
            id,
            rate: options.bytes_per_second.map(Rate::new),
            temp: OnceLock::new(),
        };
        inner.check_mark()?;
        Ok(Self(Arc::new(inner)))
    }
}

/// The store is there, and this account may not use it.
fn no_right(name: &Name, path: &Path, doing: &str) -> Failure {
    let account = access::account();
    let message = format!(
        "store {name}: account {account} may not {doing}, {path:?}: the right to read is missing; give that account read and \
         write"
    );
    Failure::denied("permission", message)
}

fn open_root(path: &Path) -> std::io::Result<cap_std::fs::Dir> {
    cap_std::fs::Dir::open_ambient_dir(path, ambient_authority())
}

impl Store for FolderStore {
    fn name(&self) -> &Name {
        &self.0.name
    }

    fn identity(&self) -> Vec<u8> {
        let (device, inode) = self.0.identity;
        match self.0.id {
            // Not device and inode: a share that is mounted anew may have others.
            Some(id) => id.0.as_bytes().to_vec(),
            None => [device.to_le_bytes(), inode.to_le_bytes()].concat(),
        }
    }

    fn check(&self) -> Result<(), Failure> {
        self.still_there()?;
        self.0.check_mark()
    }

    fn still_there(&self) -> Result<(), Failure> {
        let inner = &self.0;
        let vanished = |why: String| {
            let Inner { name, path, .. } = &**inner;
            Failure::unavailable(
                "vanished",
                format!(
                    "store {name}: its folder {path:?} {why}; mount it again, or correct the store's path"
                ),
            )
        };
        let stat = rustix::fs::stat(&inner.path).map_err(|errno| match errno {
            Errno::ACCESS => no_right(&inner.name, &inner.path, "look at its folder"),
            errno => vanished(format!("is gone: {errno}")),
        })?;
        if (stat.st_dev, stat.st_ino) == inner.identity {
            Ok(())
        } else {
            Err(vanished("is another one than when the run began".to_owned()))
        }
    }

    fn dir(&self, path: &RelPath) -> Result<Box<dyn Dir>, Failure> {
        let fd = open_beneath(self.0.root.as_fd(), path)
            .map_err(|errno| errors::io(&self.0.name, path, "open the folder", errno))?;
        Ok(Box::new(dir::FolderDir::new(Arc::clone(&self.0), path.clone(), fd)))
    }

    fn free_bytes(&self) -> Result<Option<u64>, Failure> {
        let stat = rustix::fs::fstatvfs(&self.0.root)
            .map_err(|errno| self.0.fail(&RelPath::root(), "ask for the free space of", errno))?;
        // File systems that cannot tell (some network and user-space ones) say that they have no blocks at all.
        Ok((stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    fn prepare(&self, keep: &HashSet<String>) -> Result<u64, Failure> {
        self.0.clear_temp(keep, |name| !name.starts_with(intake::PREFIX.as_bytes()))
    }

    fn sweep(&self, prefix: &str, keep: &HashSet<String>) -> Result<u64, Failure> {
        self.0.clear_temp(keep, |name| name.starts_with(prefix.as_bytes()))
    }

    fn admit(&self, bytes: u64, keep_going: &dyn Fn() -> Result<(), Failure>) -> Result<(), Failure> {
        self.0.rate.as_ref().map_or(Ok(()), |rate| rate.admit(bytes, keep_going))
    }
}

impl Inner {
    fn fail(&self, path: &RelPath, doing: &str, errno: Errno) -> Failure {
        errors::io(&self.name, path, doing, errno)
    }

    fn check_mark(&self) -> Result<(), Failure> {
        let Self { name, path, id: Some(id), .. } = self else { return Ok(()) };
        let why = match mark::read(self.root.as_fd()) {
            Ok(found) if found == *id => return Ok(()),
            Ok(found) => format!("carries the mark of another store ({found}, not {id})"),
            Err(mark::NoMark::Missing) => "does not carry the store's mark (.syncline/store.json)".to_owned(),
            Err(mark::NoMark::NoRight) => {
                return Err(no_right(name, path, "read its mark (.syncline/store.json)"));
            }
            Err(mark::NoMark::Broken(why)) => format!("has a mark that cannot be read: {why}"),
        };
        Err(Failure::unavailable(
            "mark",
            format!(
                "store {name}: {path:?} {why}; mount the share that belongs there, or adopt the folder anew"
            ),
        ))
    }

    /// Removes temporary files whose names are `among` those asked for, all but those in `keep`, whose bytes it counts.
    fn clear_temp(&self, keep: &HashSet<String>, among: impl Fn(&[u8]) -> bool) -> Result<u64, Failure> {
        let temp = self.temp()?;
        let place = temp_path();
        let fail = |doing, errno| self.fail(&place, doing, errno);
        let listed = rustix::fs::openat(temp, c".", FOLDER, Mode::empty()).map_err(|e| fail("open", e))?;
        let mut names = Names::default();
        dir::list(&listed, &mut names).map_err(|errno| fail("list", errno))?;
        let mut kept = 0;
        for (name, _) in names.iter().filter(|(name, _)| among(name)) {
            if std::str::from_utf8(name).is_ok_and(|name| keep.contains(name)) {
                let stat = rustix::fs::statat(temp, name, AtFlags::SYMLINK_NOFOLLOW);
                kept += stat.map_or(0, |stat| stat.st_size.max(0).unsigned_abs());
                continue;
            }
            match rustix::fs::unlinkat(temp, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(fail("clear", errno)),
            }
        }
        Ok(kept)
    }

    /// `.syncline/tmp`, made when first needed.
    fn temp(&self) -> Result<&OwnedFd, Failure> {
        if let Some(temp) = self.temp.get() {
            return Ok(temp);
        }
        let open = || {
            let own = rustix::fs::openat(&self.root, RESERVED, FOLDER, Mode::empty())?;
            match rustix::fs::mkdirat(&own, TEMP, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            rustix::fs::openat(&own, TEMP, FOLDER, Mode::empty())
        };
        let opened = open().map_err(|errno| self.fail(&temp_path(), "make", errno))?;
        Ok(self.temp.get_or_init(|| opened))
    }
}

fn temp_path() -> RelPath {
    RelPath::root().join_name(RESERVED).join_name(TEMP)
}

/// Opens a folder below `root` without following any link.
fn open_beneath(root: BorrowedFd<'_>, path: &RelPath) -> Result<OwnedFd, Errno> {
    if path.is_root() {
        return retry_on_intr(|| rustix::fs::openat(root, c".", FOLDER, Mode::empty()));
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // AGAIN: something was renamed while the kernel looked; so few times, and then the slow way.
    for _ in 0..16 {
        match rustix::fs::openat2(root, path.as_bytes(), FOLDER, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Not known to kernels before 5.6 or forbidden by a container's filter; or longer than one call can take.
            Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG) => break,
            result => return result,
        }
    }
    open_name_by_name(root, path)
}

/// The same with one call a name, each refusing links.
fn open_name_by_name(root: BorrowedFd<'_>, path: &RelPath) -> Result<OwnedFd, Errno> {
    let mut folder = rustix::fs::openat(root, c".", FOLDER, Mode::empty())?;
    for name in path.names() {
        folder = retry_on_intr(|| rustix::fs::openat(&folder, name, FOLDER, Mode::empty()))?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    #[test]
    fn both_ways_of_opening_refuse_links_and_agree() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("b", place.path().join("a/inside")).unwrap();
        std::os::unix::fs::symlink("/", place.path().join("a/outside")).unwrap();
        let root = open_root(place.path()).unwrap();
        for way in [open_beneath, open_name_by_name] {
            assert!(way(root.as_fd(), &path("a/b")).is_ok());
            assert!(way(root.as_fd(), &RelPath::root()).is_ok());
            assert_eq!(way(root.as_fd(), &path("a/c")).unwrap_err(), Errno::NOENT);
            for link in ["a/inside", "a/outside", "a/outside/etc"] {
                let errno = way(root.as_fd(), &path(link)).unwrap_err();
                assert!(matches!(errno, Errno::LOOP | Errno::NOTDIR), "{link}: {errno}");
            }
        }
    }
}
