//! Digests of declared files, as they become known: from copying, from memory, or by reading a source once.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;
use syncline_domain::{Failure, RelPath, declaration::Blake3};

use super::{Folder, Origin, View};
use crate::{
    digests::{self, Digests, KnownDigest},
    store::{Names, Source, Stamp},
};

/// What is known of a file besides its declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Actual {
    pub(crate) size: u64,
    pub(crate) stamp: Stamp,
}

#[derive(Default)]
struct Cell {
    /// The memory was asked.
    recalled: bool,
    /// Something is known that the memory does not have.
    news: bool,
    /// By entry; all zeros where nothing is known, which is no digest of anything in practice.
    digests: Option<Box<[Blake3]>>,
}

const UNKNOWN: Blake3 = [0; 32];

/// Digests by folder and entry. Costs nothing for folders of which none is known.
pub(crate) struct Table {
    cells: Vec<Mutex<Cell>>,
    /// Files that were copied in a newer version than was declared.
    newer: Mutex<HashMap<(u32, u32), Actual>>,
}

impl Table {
    pub(crate) fn new(folders: usize) -> Self {
        Self { cells: (0..folders).map(|_| Mutex::default()).collect(), newer: Mutex::default() }
    }
}

impl View {
    /// The digest of a declared file, if it is known by now.
    pub(crate) fn known_digest(&self, folder: u32, index: u32) -> Option<Blake3> {
        let cell = self.table.cells[folder as usize].lock();
        cell.digests.as_ref().map(|digests| digests[index as usize]).filter(|digest| *digest != UNKNOWN)
    }

    /// The same, after the memory was asked.
    pub(crate) fn recalled_digest(&self, folder: u32, index: u32, memory: &dyn Digests) -> Option<Blake3> {
        let mut cell = self.table.cells[folder as usize].lock();
        if !cell.recalled {
            cell.recalled = true;
            self.recall(folder, &mut cell, memory);
        }
        cell.digests.as_ref().map(|digests| digests[index as usize]).filter(|digest| *digest != UNKNOWN)
    }

    /// The same, and else the source is read.
    pub(crate) fn digest(
        &self,
        (folder, index): (u32, u32),
        memory: &dyn Digests,
        keep_going: &dyn Fn() -> Result<(), Failure>,
    ) -> Result<Blake3, Failure> {
        if let Some(digest) = self.recalled_digest(folder, index, memory) {
            return Ok(digest);
        }
        let entry = self.entry(folder, index);
        let name = self.folder(folder).name(entry);
        let digest = match self.origin(entry) {
            Origin::Content(bytes) => *blake3::hash(bytes).as_bytes(),
            Origin::Inventory(_) => {
                return Err(Failure::host(
                    "inventory",
                    "an inventory's digest was asked for before it was written",
                ));
            }
            Origin::Folder { .. } | Origin::File { .. } => {
                let located = self
                    .source_file(entry, name)
                    .and_then(|(at, name)| Some((self.origins.folder(at)?, name)));
                let Some(((source, path), name)) = located else {
                    return Err(Failure::host("origin", format!("{name:?} has no source")));
                };
                let path = source.locate(path);
                let read = crate::read::hash_file(source.store.as_ref(), &path, name, keep_going)?;
                if (read.meta.size, read.meta.mtime_ns) != (entry.size, entry.mtime_ns) {
                    let message = format!(
                        "store {}: {:?} changed after the run had looked at it",
                        source.store.name(),
                        path.join_name(name).to_text()
                    );
                    return Err(Failure::changed("changed", message));
                }
                read.digest
            }
        };
        self.learn(folder, index, digest, None);
        Ok(digest)
    }

    /// Notes a digest. `actual` where the file is not of the declared size and time any more.
    pub(crate) fn learn(&self, folder: u32, index: u32, digest: Blake3, actual: Option<Actual>) {
        let mut cell = self.table.cells[folder as usize].lock();
        let count = self.folder(folder).entries.len();
        let digests = cell.digests.get_or_insert_with(|| vec![UNKNOWN; count].into_boxed_slice());
        digests[index as usize] = digest;
        cell.news = true;
        if let Some(actual) = actual {
            self.table.newer.lock().insert((folder, index), actual);
        }
    }

    /// Size, time and mode that a file was copied with, or is declared with.
    pub(crate) fn actual(&self, folder: u32, index: u32) -> Actual {
        let newer = self.table.newer.lock().get(&(folder, index)).copied();
        newer.unwrap_or_else(|| {
            let entry = self.entry(folder, index);
            Actual { size: entry.size, stamp: Stamp { mtime_ns: entry.mtime_ns, mode: entry.mode } }
        })
    }

    fn recall(&self, number: u32, cell: &mut Cell, memory: &dyn Digests) {
        let folder = self.folder(number);
        let mut wanted: BTreeMap<u32, Vec<(&[u8], usize)>> = BTreeMap::new();
        for (index, entry) in folder.entries.iter().enumerate() {
            if entry.is_folder() {
                continue;
            }
            if let Some((origin, name)) = self.source_file(entry, folder.name(entry)) {
                wanted.entry(origin).or_default().push((name, index));
            }
        }
        for (origin, files) in wanted {
            let Some((source, path)) = self.origins.folder(origin) else { continue };
            let known = digests::recall(memory, source.store.name(), &source.locate(path));
            fill(folder, cell, &files, &known);
        }
    }

    /// Gives what was learnt since the last time to the memory.
    pub(crate) fn save_news(&self, memory: &dyn Digests) {
        let mut blobs: BTreeMap<u16, Vec<(RelPath, Vec<u8>)>> = BTreeMap::new();
        for (number, cell) in (0..).zip(&self.table.cells) {
            let digests = {
                let mut cell = cell.lock();
                if !std::mem::take(&mut cell.news) {
                    continue;
                }
                cell.digests.clone()
            };
            let Some(digests) = digests else { continue };
            for (origin, files) in self.news_of(number, &digests) {
                let Some((source, path)) = self.origins.folder(origin) else { continue };
                let Origin::Folder { source: at, .. } = self.origins.list[origin as usize] else { continue };
                let path = source.locate(path);
                let blob = merged(memory, source, &path, files);
                let batch = blobs.entry(at).or_default();
                batch.push((path, blob));
                if batch.len() >= 256 {
                    digests::remember(memory, source.store.name(), std::mem::take(batch));
                }
            }
        }
        for (at, batch) in blobs {
            digests::remember(memory, self.origins.sources[usize::from(at)].store.name(), batch);
        }
    }

    fn news_of(&self, number: u32, digests: &[Blake3]) -> BTreeMap<u32, Vec<KnownDigest>> {
        let folder = self.folder(number);
        let mut found: BTreeMap<u32, Vec<KnownDigest>> = BTreeMap::new();
        for ((index, entry), digest) in (0..).zip(&folder.entries).zip(digests) {
            if entry.is_folder() || *digest == UNKNOWN {
                continue;
            }
            let Some((origin, name)) = self.source_file(entry, folder.name(entry)) else { continue };
            let actual = self.actual(number, index);
            found.entry(origin).or_default().push(KnownDigest {
                name: name.to_vec(),
                size: actual.size,
                mtime_ns: actual.stamp.mtime_ns,
                digest: *digest,
            });
        }
        found
    }
}

fn fill(folder: &Folder, cell: &mut Cell, files: &[(&[u8], usize)], known: &[KnownDigest]) {
    let by_name: HashMap<&[u8], &KnownDigest> = known.iter().map(|one| (one.name.as_slice(), one)).collect();
    for (name, index) in files {
        let entry = &folder.entries[*index];
        let Some(one) = by_name.get(name) else { continue };
        if (one.size, one.mtime_ns) == (entry.size, entry.mtime_ns) {
            let count = folder.entries.len();
            let digests = cell.digests.get_or_insert_with(|| vec![UNKNOWN; count].into_boxed_slice());
            if digests[*index] == UNKNOWN {
                digests[*index] = one.digest;
            }
        }
    }
}

/// A folder's blob with what is new, and with what the memory has of other files that still stand there.
fn merged(memory: &dyn Digests, source: &Source, path: &RelPath, new: Vec<KnownDigest>) -> Vec<u8> {
    let mut files: BTreeMap<Vec<u8>, KnownDigest> = BTreeMap::new();
    let old = digests::recall(memory, source.store.name(), path);
    if old.len() > new.len() || old.iter().any(|one| new.binary_search_by(|n| n.name.cmp(&one.name)).is_err())
    {
        let mut names = Names::default();
        if source.store.dir(path).and_then(|dir| dir.names(&mut names)).is_ok() {
            let standing: std::collections::HashSet<&[u8]> = names.iter().map(|(name, _)| name).collect();
            let kept = old.into_iter().filter(|one| standing.contains(one.name.as_slice()));
            files.extend(kept.map(|one| (one.name.clone(), one)));
        }
    }
    files.extend(new.into_iter().map(|one| (one.name.clone(), one)));
    digests::encode(&files.into_values().collect::<Vec<_>>())
}
