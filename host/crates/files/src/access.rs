//! What the account of this process may do in a store, found by trying: rights of a share, of an access list or of a file
//! system that is mounted for reading only are seen no other way.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
};

use syncline_domain::{Failure, RelPath};

use crate::{
    errors,
    store::{Dir, Names, Store, TempName},
};

/// One right, at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The right.
    pub right: Right,
    /// The folder.
    pub place: RelPath,
    /// Why it is missing; it is there if absent.
    pub failure: Option<Failure>,
}

/// What a run needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// To list a folder.
    Read,
    /// To make a file in it, and to remove it.
    Write,
}

impl Right {
    /// For people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The account that this process runs under, such as `syncline (uid 990)`.
pub fn account() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let name = fs::read_to_string("/etc/passwd").ok().and_then(|text| {
        let of_uid = |line: &&str| line.split(':').nth(2).is_some_and(|field| field == uid.to_string());
        text.lines().find(of_uid)?.split(':').next().map(str::to_owned)
    });
    name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}

/// Tries to read and write in each of these folders, or in the nearest one above it that is there: that is where a run makes
/// it. What is made for that is removed again.
pub fn probe(store: &dyn Store, folders: &[RelPath]) -> Vec<Tried> {
    let mut tried: Vec<Tried> = Vec::new();
    for folder in folders {
        let (place, dir) = nearest(store, folder);
        if tried.iter().any(|one| one.place == place) {
            continue;
        }
        let dir = match dir {
            Ok(dir) => dir,
            Err(failure) => {
                tried.push(Tried { right: Right::Read, place, failure: Some(failure) });
                continue;
            }
        };
        let read = dir.names(&mut Names::default()).err();
        tried.push(Tried { right: Right::Read, place: place.clone(), failure: read });
        tried.push(Tried { right: Right::Write, place, failure: write(dir.as_ref()).err() });
    }
    tried
}

fn nearest(store: &dyn Store, folder: &RelPath) -> (RelPath, Result<Box<dyn Dir>, Failure>) {
    let mut at = folder.clone();
    loop {
        match store.dir(&at) {
            Err(failure) if errors::is_missing(&failure) => match at.split().map(|(above, _)| above) {
                Some(above) => at = above,
                None => return (at, Err(failure)),
            },
            opened => return (at, opened),
        }
    }
}

fn write(dir: &dyn Dir) -> Result<(), Failure> {
    let name = format!("probe-{:016x}", RandomState::new().hash_one(std::process::id()));
    let mut writer = dir.write(&TempName { name: name.clone(), resumable: false })?;
    writer.write(b"This file tells whether the account may write here. It can be removed.\n")?;
    let name = format!(".syncline-{name}");
    writer.commit(name.as_bytes(), None, false)?;
    dir.remove(name.as_bytes(), false)
}
