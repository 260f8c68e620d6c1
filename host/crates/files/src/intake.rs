//! Taking files in that a list names: what is there already, what has to come, and how what came gets its name.
//!
//! The road of a refresh from a list through here:
//!
//! 1. [`Intake::look`] compares the list with what stands, by digest: the [`Lack`].
//! 2. Each missing file comes as a [`Part`] under a temporary name of its own, which a later attempt finds again and goes on with.
//!    Where the content stands under another name here, [`Intake::copy`] takes it from there.
//! 3. When all have come, [`Intake::settle`] gives each its name; [`Intake::remove`] takes away what is to go.
//!
//! Nothing of a part is visible before it is whole and has the digest that it should have. Temporary names carry the collection,
//! so that two collections in one store take nothing from each other.

mod look;
mod part;

use std::collections::{HashMap, HashSet};

use syncline_domain::{
    Failure, RelPath,
    operation::{Operation, OperationKind, OperationState},
    refresh::{Digest, ListedFile},
};

pub use look::Lack;
pub use part::Part;

use crate::{
    digests::{self, Digests, KnownDigest},
    read::SourceFile,
    store::{Dir, EntryKind, Names, Source, Stamp, Store, TempName},
};

/// Begins the temporary names of files that are being taken in: [`Store::prepare`] leaves them, [`Store::sweep`] does not.
pub const PREFIX: &str = "d-";
/// Bytes read at once.
const CHUNK: usize = 256 * 1_024;

/// A collection that takes files in. All calls block.
pub struct Intake<'a> {
    /// Where they go.
    pub to: &'a Source,
    /// The memory of digests.
    pub digests: &'a dyn Digests,
    /// Asked before each change and each piece; a failure ends the work.
    pub keep_going: &'a (dyn Fn() -> Result<(), Failure> + Sync),
}

/// Time and mode of a file that came from elsewhere.
const MODE: u16 = 0o644;
const FOLDER_MODE: u16 = 0o755;

impl Intake<'_> {
    fn store(&self) -> &dyn Store {
        self.to.store.as_ref()
    }

    /// Whether the store keeps what was written under a temporary name for a later attempt. Where it does not, a file gets its
    /// name as soon as it has come.
    pub fn keeps_parts(&self) -> Result<bool, Failure> {
        let dir = self.store().dir(&RelPath::root())?;
        let temp = TempName { name: format!("{}try", self.prefix()), resumable: true };
        let mut writer = dir.write(&temp)?;
        writer.truncate(0)?;
        writer.write(b"x")?;
        drop(writer);
        let writer = dir.write(&temp)?;
        let kept = writer.resumed() == 1;
        writer.discard()?;
        Ok(kept)
    }

    /// Removes what earlier attempts left of files that are not wanted any more. Gives how many bytes of the others are there.
    pub fn sweep(&self, wanted: &[&ListedFile]) -> Result<u64, Failure> {
        (self.keep_going)()?;
        let keep: HashSet<String> = wanted.iter().map(|file| self.temp(file).name).collect();
        self.store().sweep(&self.prefix(), &keep)
    }

    /// Which temporary names are this collection's.
    fn prefix(&self) -> String {
        let Source { name, store, prefix } = self.to;
        let mut hasher = blake3::Hasher::new();
        let identity = store.identity();
        hasher.update(&(identity.len() as u64).to_le_bytes()).update(&identity);
        hasher.update(name.as_str().as_bytes()).update(&[0]).update(prefix.as_bytes());
        format!("{PREFIX}{}-", &hasher.finalize().to_hex().as_str()[..12])
    }

    fn temp(&self, file: &ListedFile) -> TempName {
        let mut hasher = blake3::Hasher::new();
        hasher.update(file.digest.to_string().as_bytes()).update(&file.size.to_le_bytes());
        hasher.update(file.path.as_bytes());
        let name = format!("{}{}", self.prefix(), &hasher.finalize().to_hex().as_str()[..32]);
        TempName { name, resumable: true }
    }

    /// Opens the part of a file, with what an earlier attempt left of it. `dir` is the folder that it will stand in, or any
    /// other as long as it is not given its name.
    pub fn part<'d>(&self, dir: &'d dyn Dir, file: &ListedFile) -> Result<Part<'d>, Failure> {
        Part::open(dir.write(&self.temp(file))?, file, self.keep_going)
    }

    /// The store's root, as a folder for parts.
    pub fn root(&self) -> Result<Box<dyn Dir>, Failure> {
        self.store().dir(&RelPath::root())
    }

    /// Bytes of a file that came already.
    pub fn standing(&self, file: &ListedFile) -> Result<u64, Failure> {
        let root = self.root()?;
        Ok(root.write(&self.temp(file))?.resumed())
    }

    /// Takes the content of a file from another one that stands in the collection. False if it is another content by now, or
    /// not there: it has to come from elsewhere then.
    pub fn copy(&self, file: &ListedFile, from: &RelPath) -> Result<bool, Failure> {
        let Some((folder, name)) = self.to.locate(from).split().map(|(f, name)| (f, name.to_vec())) else {
            return Ok(false);
        };
        let opened = self.store().dir(&folder).and_then(|dir| dir.open(&name));
        let Ok(mut reader) = opened else { return Ok(false) };
        let root = self.root()?;
        let mut part = self.part(root.as_ref(), file)?;
        if part.length() == file.size && part.finish(file).is_ok() {
            return Ok(true);
        }
        part.restart()?;
        let mut buffer = vec![0; CHUNK];
        loop {
            (self.keep_going)()?;
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            if part.length() + count as u64 > file.size {
                break;
            }
            part.write(&buffer[..count])?;
        }
        let whole = part.length() == file.size && part.finish(file).is_ok();
        if !whole {
            part.restart()?;
        }
        Ok(whole)
    }

    /// The folder that a file will stand in, made if need be.
    pub fn home(&self, file: &ListedFile) -> Result<Box<dyn Dir>, Failure> {
        let (folder, _) = self.place(&file.path)?;
        (self.keep_going)()?;
        self.make_folders(&folder)?;
        self.store().named_dir(&folder)
    }

    /// Gives a file that has come whole its name, in place of whatever file stands there.
    pub fn settle(&self, file: &ListedFile, fsync: bool) -> Result<(), Failure> {
        let dir = self.home(file)?;
        let writer = dir.write(&self.temp(file))?;
        if writer.resumed() != file.size {
            writer.discard()?;
            let message = format!(
                "{:?} of store {} is not as it came any more: something else changed the store's temporary files",
                file.path.to_text(),
                self.store().name()
            );
            return Err(Failure::changed("changed", message));
        }
        (self.keep_going)()?;
        let (_, name) = self.place(&file.path)?;
        writer.commit(&name, stamp(file).as_ref(), fsync)
    }

    /// Looks again at a file that was given its name.
    pub fn verify(&self, file: &ListedFile) -> Result<KnownDigest, Failure> {
        let (folder, name) = self.place(&file.path)?;
        match self.store().dir(&folder)?.stat(&name)? {
            Some(meta) if meta.kind == EntryKind::File && meta.size == file.size => Ok(KnownDigest {
                name,
                size: meta.size,
                mtime_ns: meta.mtime_ns,
                digest: *file.digest.bytes(),
            }),
            _ => Err(Failure::changed(
                "changed",
                format!(
                    "{:?} did not stay as it was written: something else writes there",
                    file.path.to_text()
                ),
            )),
        }
    }

    fn place(&self, path: &RelPath) -> Result<(RelPath, Vec<u8>), Failure> {
        let full = self.to.locate(path);
        let place = full.split().map(|(folder, name)| (folder, name.to_vec()));
        place.ok_or_else(|| Failure::host("path", "a file without a path"))
    }

    fn make_folders(&self, folder: &RelPath) -> Result<(), Failure> {
        let mut at = RelPath::root();
        for name in folder.names() {
            let dir = self.store().dir(&at)?;
            match dir.stat(name)? {
                Some(meta) if meta.kind == EntryKind::Folder => {}
                Some(meta) => {
                    let message = format!(
                        "store {}: a {} stands at {:?}, where a folder has to be: move it away",
                        self.store().name(),
                        meta.kind.as_str(),
                        at.join_name(name).to_text()
                    );
                    return Err(Failure::settings("not-a-folder", message));
                }
                None => dir.create_folder(name, FOLDER_MODE)?,
            }
            at = at.join_name(name);
        }
        Ok(())
    }

    /// Removes a file that stands as it was looked at, and folders that are empty by that. False if it is another by now.
    pub fn remove(&self, file: &SourceFile) -> Result<bool, Failure> {
        let (mut folder, name) = self.place(&file.path)?;
        (self.keep_going)()?;
        let dir = self.store().named_dir(&folder)?;
        match dir.stat(&name)? {
            None => return Ok(true),
            Some(meta) if (meta.size, meta.mtime_ns) == (file.size, file.mtime_ns) => {
                dir.remove(&name, false)?
            }
            Some(_) => return Ok(false),
        }
        let mut names = Names::default();
        while folder != self.to.prefix
            && let Some((above, name)) = folder.split().map(|(above, name)| (above, name.to_vec()))
        {
            self.store().dir(&folder)?.names(&mut names)?;
            if !names.is_empty() {
                break;
            }
            self.store().dir(&above)?.remove(&name, true)?;
            folder = above;
        }
        Ok(true)
    }

    /// Remembers what was learnt of files by their folders, beside what is known of others there.
    pub fn remember(&self, learnt: Vec<(RelPath, bool, KnownDigest)>) {
        let mut folders: HashMap<(RelPath, bool), Vec<KnownDigest>> = HashMap::new();
        for (folder, sha256, known) in learnt {
            folders.entry((folder, sha256)).or_default().push(known);
        }
        let blobs = folders.into_iter().map(|((folder, sha256), new)| {
            let key = look::key(&folder, sha256);
            let mut known = digests::recall(self.digests, self.store().name(), &key);
            let names: HashSet<&[u8]> = new.iter().map(|one| one.name.as_slice()).collect();
            known.retain(|one| !names.contains(one.name.as_slice()));
            known.extend(new.iter().cloned());
            known.sort_by(|a, b| a.name.cmp(&b.name));
            (key, digests::encode(&known))
        });
        let blobs = blobs.collect();
        digests::remember(self.digests, self.store().name(), blobs);
    }

    /// The folder in the store that a file stands in, for [`Intake::remember`].
    pub fn folder_of(&self, file: &ListedFile) -> (RelPath, bool) {
        let folder = self.to.locate(&file.path).split().map(|(folder, _)| folder).unwrap_or_default();
        (folder, matches!(file.digest, Digest::Sha256(_)))
    }

    /// What is to be done about a file, for the journal.
    pub fn operation(
        &self,
        path: &RelPath,
        kind: OperationKind,
        size: u64,
        digest: Option<&Digest>,
    ) -> Operation {
        Operation {
            target: self.store().name().clone(),
            path: self.to.locate(path),
            kind,
            size,
            stage: 0,
            state: OperationState::Planned,
            digest: digest.map(ToString::to_string),
            note: String::new(),
            failure: None,
        }
    }
}

fn stamp(file: &ListedFile) -> Option<Stamp> {
    file.modified.map(|at| Stamp { mtime_ns: nanos(at), mode: MODE })
}

/// Far future and past are cut: no file system keeps them.
fn nanos(at: jiff::Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(if at.as_nanosecond() < 0 { i64::MIN } else { i64::MAX })
}
