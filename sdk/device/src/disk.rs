//! Files that are there as a whole or not at all.
//!
//! A file is written beside its place, brought to the disk, and renamed; the name of the one beside is always the same, so that
//! a killed agent leaves at most one behind, which the next attempt takes away.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

/// Who may do what with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The bits of its mode.
    pub mode: u32,
    /// User and group that it belongs to; `None` leaves what the agent has.
    pub owner: Option<(u32, u32)>,
}

impl Access {
    /// For the agent's own records.
    pub const PRIVATE: Self = Self { mode: 0o600, owner: None };
}

/// Puts a file with these bytes at its place, or leaves what was there.
pub fn replace(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let beside = prepare(path, bytes, access)?;
    commit(&beside, path)
}

/// Writes the file beside its place, and says where.
pub fn prepare(path: &Path, bytes: &[u8], access: Access) -> io::Result<PathBuf> {
    interrupt()?;
    let beside = beside(path)?;
    remove_file(&beside)?;
    // Never through a link that someone put there, and with no one able to read it before its mode is set.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    if let Some((user, group)) = access.owner {
        fchown(&file, Some(user), Some(group))?;
    }
    file.set_permissions(Permissions::from_mode(access.mode))?;
    file.sync_all()?;
    interrupt()?;
    Ok(beside)
}

/// Brings what [`prepare`] wrote to its place.
pub fn commit(beside: &Path, path: &Path) -> io::Result<()> {
    fs::rename(beside, path)?;
    interrupt()?;
    sync_folder(path)
}

/// Removes a file, if there is one.
pub fn remove(path: &Path) -> io::Result<()> {
    interrupt()?;
    remove_file(path)?;
    interrupt()?;
    sync_folder(path)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The name itself is on the disk only when the folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if folder.is_dir() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".syncline-new");
    Ok(path.with_file_name(hidden))
}

#[cfg(not(test))]
fn interrupt() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
fn interrupt() -> io::Result<()> {
    interruption::count()
}

/// Lets a test stop the agent at any of its writes.
#[cfg(test)]
pub mod interruption {
    use std::{cell::Cell, io};

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// From now on, so many steps succeed and all others fail; `None` is all.
    pub fn after(steps: Option<u32>) {
        LEFT.set(steps);
    }

    /// Whether the steps were used up.
    pub fn happened() -> bool {
        LEFT.get() == Some(0)
    }

    pub(super) fn count() -> io::Result<()> {
        match LEFT.get() {
            Some(0) => Err(io::Error::other("killed by the test")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("till.conf");
        fs::write(folder.path().join(".till.conf.syncline-new"), "left behind").unwrap();
        for (text, mode) in [("one", 0o640), ("two", 0o600)] {
            replace(&path, text.as_bytes(), Access { mode, owner: None }).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, mode);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_link_in_the_way_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, path) = (folder.path().join("victim"), folder.path().join("a"));
        fs::write(&victim, "mine").unwrap();
        for link in [&path, &folder.path().join(".a.syncline-new")] {
            std::os::unix::fs::symlink(&victim, link).unwrap();
        }
        replace(&path, b"new", Access::PRIVATE).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }
}
