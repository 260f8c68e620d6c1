//! Walking the sources: each declared folder once, however many targets and filters it has.

use std::sync::Arc;

use parking_lot::Mutex;
use syncline_domain::{Failure, FailureKind, Fault, RelPath};

use super::build::FolderBuilder;
use crate::{
    context::Context,
    errors,
    globs::Filter,
    pool::{self, Queue},
    store::{Dir, EntryKind, Meta, Names, RESERVED, Source, Stamp},
};

/// A folder of a source to walk, with the filters of all trees that take files from it.
pub(crate) struct Request {
    pub(crate) source: Source,
    pub(crate) folder: RelPath,
    pub(crate) filters: Vec<Arc<Filter>>,
}

/// What was found. Folder 0 is the walked one; a folder's number is larger than that of the one it is in.
pub(crate) struct Scan {
    pub(crate) folders: Vec<FolderBuilder>,
    pub(crate) stamp: Stamp,
    pub(crate) passed_over: u64,
}

struct Growing {
    folders: Vec<Option<FolderBuilder>>,
    stamp: Stamp,
    passed_over: u64,
}

struct Item {
    request: usize,
    number: u32,
    parent: u32,
    at: u32,
    /// Below the walked folder.
    path: RelPath,
}

/// Walks all of them side by side.
///
/// Fails `not-found` if a walked folder is missing, and as reading fails: what cannot be read to its end is no result.
pub(crate) fn scan(requests: &[Request], context: &Context<'_>) -> Result<Vec<Scan>, Failure> {
    let empty = || Growing { folders: vec![None], stamp: Stamp { mtime_ns: 0, mode: 0 }, passed_over: 0 };
    let growing: Vec<Mutex<Growing>> = requests.iter().map(|_| Mutex::new(empty())).collect();
    let first = (0..requests.len())
        .map(|request| Item { request, number: 0, parent: 0, at: 0, path: RelPath::root() })
        .collect();
    pool::work(crate::context::threads(context.threads), first, Names::default, |queue, names, item| {
        context.observer.keep_going()?;
        let walk = Walk { request: &requests[item.request], growing: &growing[item.request], context };
        walk.folder(queue, names, &item)
    })?;
    // A share that was unmounted while it was read looks like one from which files were removed.
    for request in requests {
        request.source.store.check()?;
    }
    Ok(growing.into_iter().map(|one| finished(one.into_inner())).collect())
}

fn finished(growing: Growing) -> Scan {
    let Growing { folders, stamp, passed_over } = growing;
    Scan { folders: folders.into_iter().map(Option::unwrap_or_default).collect(), stamp, passed_over }
}

struct Walk<'a> {
    request: &'a Request,
    growing: &'a Mutex<Growing>,
    context: &'a Context<'a>,
}

impl Walk<'_> {
    fn folder(&self, queue: &Queue<Item>, names: &mut Names, item: &Item) -> Result<(), Failure> {
        let source = &self.request.source;
        let full = source.locate(&self.request.folder.join(&item.path));
        let opened = if item.number == 0 { source.store.named_dir(&full) } else { source.store.dir(&full) };
        let dir = match opened {
            Ok(dir) => dir,
            // Removed since its name was read, unless it is the store that went.
            Err(failure) if errors::is_missing(&failure) && item.number != 0 => {
                source.store.check()?;
                self.note(queue, item, FolderBuilder::with_capacity(item.parent, item.at, 0), Vec::new(), 0);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if item.number == 0 {
            self.growing.lock().stamp = dir.meta()?.stamp();
        }
        dir.names(names)?;
        if names.of_a_store() {
            self.context.observer.passed_over(source.store.name(), &full, errors::NESTED);
            self.note(queue, item, FolderBuilder::nested(item.parent, item.at), Vec::new(), 1);
            return Ok(());
        }
        let mut found = FolderBuilder::with_capacity(item.parent, item.at, names.len());
        let mut below = Vec::new();
        let mut passed_over = 0;
        for (name, kind) in names.iter() {
            let path = item.path.join_name(name);
            if full.as_bytes().len() + name.len() >= RelPath::MAX {
                return Err(too_long(&full, name, source));
            }
            match self.entry(dir.as_ref(), name, kind, &path)? {
                Found::File(meta) => drop(found.push_file(name, &meta)),
                Found::Folder(meta) => below.push((found.push_folder(name, &meta), path)),
                Found::Odd(what) => {
                    passed_over += 1;
                    self.context.observer.passed_over(source.store.name(), &full.join_name(name), what);
                }
                Found::Nothing => {}
            }
        }
        self.context.observer.scanned(names.len() as u64);
        self.note(queue, item, found, below, passed_over);
        Ok(())
    }

    fn entry(
        &self,
        dir: &dyn Dir,
        name: &[u8],
        kind: Option<EntryKind>,
        path: &RelPath,
    ) -> Result<Found, Failure> {
        let wanted = |kind| match kind {
            EntryKind::Folder => self.request.filters.iter().any(|filter| filter.enters(path)),
            _ => self.request.filters.iter().any(|filter| filter.takes(path)),
        };
        // What no filter takes need not be looked at.
        if kind.is_some_and(|kind| !wanted(kind)) {
            return Ok(Found::Nothing);
        }
        if let Some(kind @ (EntryKind::Link | EntryKind::Special)) = kind {
            return Ok(Found::Odd(kind.as_str()));
        }
        let Some(meta) = dir.stat(name)? else {
            self.request.source.store.still_there()?;
            return Ok(Found::Nothing);
        };
        Ok(match meta.kind {
            kind if !wanted(kind) => Found::Nothing,
            EntryKind::File => Found::File(meta),
            EntryKind::Folder => Found::Folder(meta),
            odd => Found::Odd(odd.as_str()),
        })
    }

    fn note(
        &self,
        queue: &Queue<Item>,
        item: &Item,
        mut found: FolderBuilder,
        below: Vec<(u32, RelPath)>,
        passed_over: u64,
    ) {
        let mut growing = self.growing.lock();
        for (at, path) in below {
            let number = u32::try_from(growing.folders.len()).unwrap_or(u32::MAX);
            growing.folders.push(None);
            found.link(at, number);
            queue.push(Item { request: item.request, number, parent: item.number, at, path });
        }
        growing.folders[item.number as usize] = Some(found);
        growing.passed_over += passed_over;
    }
}

enum Found {
    File(Meta),
    Folder(Meta),
    Odd(&'static str),
    Nothing,
}

fn too_long(folder: &RelPath, name: &[u8], source: &Source) -> Failure {
    let path = folder.join_name(name).to_text();
    let start: String = path.chars().take(120).collect();
    let message = format!(
        "store {}: the path {start:?}… has {} bytes, at most {} are possible; shorten it or leave it out",
        source.store.name(),
        path.len(),
        RelPath::MAX
    );
    Failure::new(FailureKind::Unsupported, Fault::Remote, "path-too-long", message)
}

/// Whether a path on a target is the store's own.
pub(crate) fn is_reserved(path: &RelPath) -> bool {
    path.names().next() == Some(RESERVED)
}
