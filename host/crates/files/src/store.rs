//! What a place with files can do, as narrow as the safety rules allow.
//!
//! A [`Store`] gives out [`Dir`]s (an open folder each), and these give out [`Reader`]s and [`Writer`]s. All calls block.
//! No call follows a link, leaves the store's root, or shows `.syncline` at the root. [`crate::FolderStore`] is the one
//! kind there is; the crate's documentation says how to add another.

use std::{collections::HashSet, os::fd::BorrowedFd, sync::Arc};

use syncline_domain::{Failure, Name, RelPath};

use crate::errors;

/// Name of the folder at a store's root that belongs to Syncline: never listed, copied, compared or removed. A folder
/// below the root that has one is the root of another store, of which the same holds as a whole.
pub const RESERVED: &[u8] = b".syncline";

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; never followed.
    Link,
    /// A device, pipe or socket.
    Special,
}

impl EntryKind {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Link => "symbolic link",
            Self::Special => "special file",
        }
    }
}

/// What a store says of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, setuid, setgid and sticky included.
    pub mode: u16,
    /// In bytes; 0 for folders.
    pub size: u64,
    /// Modification time, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// File system that it is on.
    pub device: u64,
    /// Number in that file system; tells a file from another of the same name.
    pub inode: u64,
}

impl Meta {
    /// Whether this is the same file with the same content as far as its store tells.
    pub fn same_file(&self, other: &Self) -> bool {
        (self.size, self.mtime_ns, self.inode, self.device)
            == (other.size, other.mtime_ns, other.inode, other.device)
    }

    /// What tells it from another file of the same name, size and time, in three bytes: that much is kept of each file.
    pub(crate) fn print(&self) -> Print {
        let [a, b, c, d, e, f, g, h] = self.inode.to_le_bytes();
        [a ^ d ^ g, b ^ e ^ h, c ^ f]
    }

    /// Its time and mode.
    pub fn stamp(&self) -> Stamp {
        Stamp { mtime_ns: self.mtime_ns, mode: self.mode }
    }
}

/// See [`Meta::print`].
pub(crate) type Print = [u8; 3];

/// Time and mode that an entry should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Modification time, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Permission bits.
    pub mode: u16,
}

/// The names in a folder, without an allocation for each.
#[derive(Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    entries: Vec<(u32, u8, Option<EntryKind>)>,
}

impl Names {
    /// Forgets all names and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// Adds a name of 1 to 255 bytes, with its kind where the store tells it in a listing.
    pub fn push(&mut self, name: &[u8], kind: Option<EntryKind>) {
        let at = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(name);
        self.entries.push((at, u8::try_from(name.len()).unwrap_or(u8::MAX), kind));
    }

    /// Sorts by the bytes of the names.
    pub fn sort(&mut self) {
        let Self { bytes, entries } = self;
        entries.sort_unstable_by(|a, b| slice(bytes, a).cmp(slice(bytes, b)));
    }

    /// Drops the names for which `keep` says no.
    pub fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        let Self { bytes, entries } = self;
        entries.retain(|entry| keep(slice(bytes, entry)));
    }

    /// Whether the folder below a store's root that has these names (sorted) is a store of its own. What it holds is left
    /// alone: it belongs to the syncs of that store.
    pub fn of_a_store(&self) -> bool {
        let found = self.entries.binary_search_by(|entry| slice(&self.bytes, entry).cmp(RESERVED));
        found.is_ok_and(|at| matches!(self.entries[at].2, None | Some(EntryKind::Folder)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All names in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<EntryKind>)> {
        self.entries.iter().map(|entry| (slice(&self.bytes, entry), entry.2))
    }
}

fn slice<'a>(bytes: &'a [u8], entry: &(u32, u8, Option<EntryKind>)) -> &'a [u8] {
    let at = entry.0 as usize;
    bytes.get(at..at + usize::from(entry.1)).unwrap_or_default()
}

/// A file under a temporary name in the store's own folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TempName {
    /// One name, of `a-z`, `0-9` and `-`.
    pub name: String,
    /// Whether a later attempt may go on where this one stopped.
    pub resumable: bool,
}

/// A place with files.
pub trait Store: Send + Sync {
    /// What people call it.
    fn name(&self) -> &Name;

    /// What no other store has, and this one has again when it is opened anew.
    fn identity(&self) -> Vec<u8>;

    /// Whether it is still the one that was adopted: its root is where it was and carries its mark.
    ///
    /// Fails `unavailable` with code `vanished` or `mark`.
    fn check(&self) -> Result<(), Failure>;

    /// The cheap half of [`Store::check`], for between files: its root is where it was.
    fn still_there(&self) -> Result<(), Failure>;

    /// Opens a folder. Fails `not-found` if it is missing and `invalid` if it is something else, or below a link.
    fn dir(&self, path: &RelPath) -> Result<Box<dyn Dir>, Failure>;

    /// Free bytes for this account, if that can be told.
    fn free_bytes(&self) -> Result<Option<u64>, Failure>;

    /// Makes ready for writing: removes temporary files of earlier attempts, all but the resumable ones named in `keep`,
    /// whose bytes it counts, and those of refreshes, which [`Store::sweep`] removes.
    fn prepare(&self, keep: &HashSet<String>) -> Result<u64, Failure>;

    /// Removes temporary files of refreshes whose names begin with `prefix`, all but those named in `keep`, whose bytes it counts.
    /// See [`crate::intake`].
    fn sweep(&self, _prefix: &str, _keep: &HashSet<String>) -> Result<u64, Failure> {
        // A kind of store that keeps nothing between two attempts.
        Ok(0)
    }

    /// Waits until `bytes` more may be written within the store's limit on bytes a second, and asks `keep_going` meanwhile.
    fn admit(&self, bytes: u64, keep_going: &dyn Fn() -> Result<(), Failure>) -> Result<(), Failure>;
}

impl dyn Store + '_ {
    /// Opens a folder that somebody named, and looks whether it is, or is in, a store of its own. Walks that come down from
    /// there see that in the names that they list: [`Names::of_a_store`].
    pub(crate) fn named_dir(&self, path: &RelPath) -> Result<Box<dyn Dir>, Failure> {
        let mut dir = self.dir(&RelPath::root())?;
        let mut at = RelPath::root();
        for name in path.names() {
            at = at.join_name(name);
            dir = self.dir(&at)?;
            self.refuse_nested(dir.as_ref())?;
        }
        Ok(dir)
    }

    /// Fails if an open folder below the root is a store of its own.
    pub(crate) fn refuse_nested(&self, dir: &dyn Dir) -> Result<(), Failure> {
        if dir.path().is_root() {
            return Ok(());
        }
        match dir.stat(RESERVED)? {
            Some(meta) if meta.kind == EntryKind::Folder => Err(errors::nested(self.name(), dir.path())),
            _ => Ok(()),
        }
    }
}

/// An open folder. Names are single names without `/`.
pub trait Dir: Send {
    /// Where it is in the store.
    fn path(&self) -> &RelPath;

    /// The folder itself.
    fn meta(&self) -> Result<Meta, Failure>;

    /// Replaces `into` by all names in it, sorted by their bytes.
    fn names(&self, into: &mut Names) -> Result<(), Failure>;

    /// One entry, links not followed; `None` if it is not there.
    fn stat(&self, name: &[u8]) -> Result<Option<Meta>, Failure>;

    /// Opens a regular file. Fails `not-found`, and `unsupported` for anything else that stands there.
    fn open(&self, name: &[u8]) -> Result<Box<dyn Reader>, Failure>;

    /// Makes a folder that its owner can write to, with no more of `mode` than that yet.
    fn create_folder(&self, name: &[u8], mode: u16) -> Result<(), Failure>;

    /// Begins a file under a temporary name, in place of which it gets its own in [`Writer::commit`].
    fn write(&self, temp: &TempName) -> Result<Box<dyn Writer + '_>, Failure>;

    /// Sets time and mode of a file in it, or of the folder itself if `name` is empty.
    fn stamp(&self, name: &[u8], stamp: &Stamp) -> Result<(), Failure>;

    /// Removes a file, link or special file, or an empty folder.
    fn remove(&self, name: &[u8], folder: bool) -> Result<(), Failure>;

    /// Flushes the names in it to the disk.
    fn sync(&self) -> Result<(), Failure>;
}

/// An open file, read from its beginning.
pub trait Reader: Send {
    /// What the store says of the opened file now, whatever stands under its name.
    fn meta(&self) -> Result<Meta, Failure>;

    /// Reads on. 0 only at the end.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure>;

    /// Reads at an offset. 0 only at the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize, Failure>;

    /// Goes on reading at this offset.
    fn seek(&mut self, offset: u64) -> Result<(), Failure>;

    /// The file, where it is one of this machine's kernel.
    fn file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A file being written under a temporary name. Dropped without [`Writer::commit`], it is removed unless resumable.
pub trait Writer: Send {
    /// Bytes that an earlier attempt left; writing goes on behind them.
    fn resumed(&self) -> u64;

    /// Reads what an earlier attempt left.
    fn read_back(&self, into: &mut [u8], offset: u64) -> Result<usize, Failure>;

    /// Cuts the file to this length, and goes on writing there.
    fn truncate(&mut self, length: u64) -> Result<(), Failure>;

    /// Writes all of `bytes` at the end.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure>;

    /// Has the kernel write up to `length` bytes of another file, from `offset` on, at the end. `None` if it did not, for
    /// whatever reason: [`Writer::write`] tells that. 0 only at the end of that file.
    fn write_from(&mut self, _from: BorrowedFd<'_>, _offset: u64, _length: usize) -> Option<usize> {
        None
    }

    /// What was written so far, to be read, where it is a file of this machine's kernel.
    fn file(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Sets time and mode, flushes if asked, and gives the file its name in one step, in place of any file there.
    fn commit(self: Box<Self>, name: &[u8], stamp: Option<&Stamp>, fsync: bool) -> Result<(), Failure>;

    /// Gives up: nothing is left, whether resumable or not.
    fn discard(self: Box<Self>) -> Result<(), Failure>;
}

/// Where files come from: a store, or the part of one that a collection names. Cheap to clone.
#[derive(Clone)]
pub struct Source {
    /// What declarations call it.
    pub name: Name,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Folder in the store that is the source's root.
    pub prefix: RelPath,
}

impl Source {
    /// A path of the source, as its store has it.
    pub fn locate(&self, path: &RelPath) -> RelPath {
        self.prefix.join(path)
    }
}

/// Where files are to stand. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    /// What declarations call it.
    pub name: Name,
    /// The store.
    pub store: Arc<dyn Store>,
}
