//! The state folder: all that the agent remembers. Each record is replaced as a whole, see [`crate::disk`].
//!
//! | file | what it is |
//! | --- | --- |
//! | `agent.lock` | held by the one agent that works here |
//! | `credential.json` | [`credential`]: who this device is; readable by the agent alone, as everything here |
//! | `run` | the run of the agent that is, or was last, at work |
//! | `offer.json` | the last offer: which document each application is to have |
//! | `applications/` | [`crate::apply`]: the record of each application, which is also its write-ahead journal |
//! | `documents/` | bodies of documents and files, by digest |
//! | `tasks.json` | [`crate::tasks`]: the journal of tasks |
//! | `outbox` | [`outbox`]: items that the server has not acknowledged yet |
//! | `inbox/` | activation codes that wait to be sent |
//! | `messages.jsonl` | [`messages`]: what was said, both ways |
//! | `contact.json` | when the agent last spoke with the server, for `status` |

pub mod credential;
pub mod messages;
pub mod outbox;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    digest::Digest,
    disk::{self, Access},
    error::{Error, Result},
};

/// The state folder of an agent.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    /// Its lock ends with it. `None` when only read.
    _lock: Option<File>,
}

impl StateFolder {
    /// Opens the folder for the one agent that works with it, and makes it if need be.
    pub fn open(path: &Path) -> Result<Self> {
        for folder in [path.to_owned(), path.join("applications"), path.join("documents"), path.join("inbox")]
        {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(Error::file("make the folder", &folder))?;
        }
        let lock = path.join("agent.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock);
        let file = file.map_err(Error::file("open", &lock))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: Some(file) }),
            Err(fs::TryLockError::WouldBlock) => Err(Error::Busy(path.display().to_string())),
            Err(fs::TryLockError::Error(error)) => Err(Error::file("lock", &lock)(error)),
        }
    }

    /// Looks into the folder beside an agent that may work with it.
    pub fn peek(path: &Path) -> Self {
        Self { path: path.to_owned(), _lock: None }
    }

    /// The path of something in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a record; `None` if there is none.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.damaged(name, &error))
    }

    /// Writes a record.
    pub fn write(&self, name: &str, record: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(record).map_err(|error| self.damaged(name, &error))?;
        self.write_bytes(name, &bytes)
    }

    /// Reads a file; `None` if there is none.
    pub fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.at(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(Error::file("read", &path)),
        }
    }

    /// Writes a file.
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.at(name);
        disk::replace(&path, bytes, Access::PRIVATE).map_err(Error::file("write", &path))
    }

    /// Removes a file, if there is one.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.at(name);
        disk::remove(&path).map_err(Error::file("remove", &path))
    }

    /// The names in one of its folders, sorted; those of files that are being written are left out.
    pub fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.at(folder);
        let read = || -> io::Result<Vec<String>> {
            let names =
                fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            names.filter(|name| !name.as_ref().is_ok_and(|name| name.starts_with('.'))).collect()
        };
        let mut names = match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(Error::file("read the folder", &path))?,
        };
        names.sort();
        Ok(names)
    }

    /// Keeps some bytes, and says what they are known by.
    pub fn keep(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let name = format!("documents/{digest}");
        let path = self.at(&name);
        if Digest::of_file(&path).map_err(Error::file("read", &path))? != Some(digest) {
            self.write_bytes(&name, bytes)?;
        }
        Ok(digest)
    }

    /// Bytes that were kept.
    pub fn kept(&self, digest: Digest) -> Result<Vec<u8>> {
        let name = format!("documents/{digest}");
        let bytes = self.bytes(&name)?.ok_or_else(|| self.damaged(&name, &"it is missing"))?;
        if Digest::of(&bytes) == digest { Ok(bytes) } else { Err(self.damaged(&name, &"it has other bytes")) }
    }

    fn damaged(&self, name: &str, why: &dyn std::fmt::Display) -> Error {
        Error::Damaged { path: self.at(name).display().to_string(), why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_agent_at_a_time_and_nobody_else_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = StateFolder::open(&path).unwrap();
        assert!(matches!(StateFolder::open(&path), Err(Error::Busy(_))));
        state.write("x.json", &7).unwrap();
        assert_eq!(StateFolder::peek(&path).read::<u32>("x.json").unwrap(), Some(7));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(state.at("x.json").metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(state);
        StateFolder::open(&path).unwrap();
    }

    #[test]
    fn damage_is_named_and_not_taken_for_content() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        fs::write(state.at("x.json"), "{").unwrap();
        assert!(state.read::<u32>("x.json").unwrap_err().to_string().contains("x.json is damaged"));
        let digest = state.keep(b"good").unwrap();
        fs::write(state.at(&format!("documents/{digest}")), "bad").unwrap();
        assert!(state.kept(digest).is_err());
        state.keep(b"good").unwrap();
        assert_eq!(state.kept(digest).unwrap(), b"good");
    }
}
