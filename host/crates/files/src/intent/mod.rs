//! What should stand on each target: the declarations of a run, with every tree walked to its end.
//!
//! * here: the compact form. Targets that were declared the same share one [`View`]. A view is a list of folders; a
//!   folder holds its names in one piece and 32 bytes for each entry, so a million files fit in about 60 MB.
//! * `build`: laying trees and single files over one another, with the rules on precedence and conflict
//! * `scan`: walking the sources
//! * `expand`: from declarations to an [`Intent`]
//! * `table`: digests as they become known

pub(crate) mod build;
pub(crate) mod expand;
pub(crate) mod scan;
pub(crate) mod table;

use std::{collections::BTreeMap, sync::Arc};

use syncline_domain::{Name, RelPath, declaration::Blake3};

use crate::{
    globs::Globs,
    store::{Print, Source, Stamp},
};
pub(crate) use table::Table;

/// What should stand on every target of a run. Made by [`crate::expand`].
pub struct Intent {
    pub(crate) views: BTreeMap<Name, Arc<View>>,
    pub(crate) empty: Arc<View>,
}

impl Intent {
    /// Files declared for a target, links and special files left out.
    pub fn files(&self, target: &Name) -> u64 {
        self.view(target).files
    }

    /// Things in the sources that were passed over: links and special files.
    pub fn passed_over(&self, target: &Name) -> u64 {
        self.view(target).passed_over
    }

    /// Targets that something is declared for, sorted.
    pub fn targets(&self) -> impl Iterator<Item = &Name> {
        self.views.keys()
    }

    pub(crate) fn view(&self, target: &Name) -> &Arc<View> {
        self.views.get(target).unwrap_or(&self.empty)
    }
}

/// Where contents come from; shared by all views.
pub(crate) struct Origins {
    pub(crate) sources: Vec<Source>,
    pub(crate) list: Vec<Origin>,
}

/// Where the content of a file comes from.
pub(crate) enum Origin {
    /// The file of the same name in a folder of a source.
    Folder { source: u16, path: RelPath },
    /// A file of another name, or of one content alone, in a folder (an `Origin::Folder`).
    File { folder: u32, name: Box<[u8]>, digest: Option<Blake3> },
    /// Bytes of the plugin.
    Content(Arc<[u8]>),
    /// Written by the host: what earlier stages declare below this folder.
    Inventory(RelPath),
}

/// A file or folder that should stand.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) size: u64,
    pub(crate) mtime_ns: i64,
    /// A file's origin, a folder's number.
    pub(crate) link: u32,
    name_at: u32,
    pub(crate) mode: u16,
    name_len: u8,
    pub(crate) stage: u8,
    flags: u8,
    /// Of a source's file.
    pub(crate) print: Print,
}

const FOLDER: u8 = 1;
/// Time and mode were declared too; folders that are only on the way to something have none.
const STAMPED: u8 = 2;
/// Declared by its own path, which goes before what a tree says.
const SINGLE: u8 = 4;

impl Entry {
    pub(crate) fn is_folder(&self) -> bool {
        self.flags & FOLDER != 0
    }

    fn is_single(&self) -> bool {
        self.flags & SINGLE != 0
    }

    /// Time and mode, where they were declared.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        (self.flags & STAMPED != 0).then_some(Stamp { mtime_ns: self.mtime_ns, mode: self.mode })
    }
}

/// A folder and what should stand in it, sorted by name.
pub(crate) struct Folder {
    /// Number of the folder that it is in; its own for the root. Always smaller than the folder's own number.
    pub(crate) parent: u32,
    /// Its place among the entries of that folder.
    pub(crate) at: u32,
    names: Box<[u8]>,
    pub(crate) entries: Box<[Entry]>,
}

impl Folder {
    pub(crate) fn name(&self, entry: &Entry) -> &[u8] {
        let at = entry.name_at as usize;
        self.names.get(at..at + usize::from(entry.name_len)).unwrap_or_default()
    }
}

/// What a prune says.
pub(crate) struct Prune {
    pub(crate) folder: RelPath,
    pub(crate) keep: Globs,
}

/// What should stand on some targets, the same on each.
pub(crate) struct View {
    pub(crate) origins: Arc<Origins>,
    /// The root is number 0.
    pub(crate) folders: Vec<Folder>,
    pub(crate) root_stamp: Option<Stamp>,
    pub(crate) prunes: Vec<Prune>,
    pub(crate) files: u64,
    pub(crate) passed_over: u64,
    pub(crate) table: Table,
}

/// Number of the root folder.
pub(crate) const ROOT: u32 = 0;

impl View {
    pub(crate) fn folder(&self, number: u32) -> &Folder {
        &self.folders[number as usize]
    }

    pub(crate) fn entry(&self, folder: u32, index: u32) -> &Entry {
        &self.folder(folder).entries[index as usize]
    }

    /// The entry of a folder in the one above it; `None` for the root.
    pub(crate) fn own_entry(&self, folder: u32) -> Option<&Entry> {
        (folder != ROOT).then(|| self.entry(self.folder(folder).parent, self.folder(folder).at))
    }

    /// Declared time and mode of a folder.
    pub(crate) fn folder_stamp(&self, folder: u32) -> Option<Stamp> {
        self.own_entry(folder).map_or(self.root_stamp, Entry::stamp)
    }

    pub(crate) fn folder_path(&self, number: u32) -> RelPath {
        let mut names = Vec::new();
        let mut current = number;
        while current != ROOT {
            let folder = self.folder(current);
            let above = self.folder(folder.parent);
            names.push(above.name(&above.entries[folder.at as usize]));
            current = folder.parent;
        }
        names.reverse();
        if names.is_empty() { RelPath::root() } else { RelPath::root().join_name(&names.join(&b'/')) }
    }

    pub(crate) fn entry_path(&self, folder: u32, index: u32) -> RelPath {
        let name = self.folder(folder).name(self.entry(folder, index));
        self.folder_path(folder).join_name(name)
    }

    pub(crate) fn origin(&self, entry: &Entry) -> &Origin {
        &self.origins.list[entry.link as usize]
    }

    /// Where the file of a source is that `entry` (named `name` here) comes from: number of the folder's origin and name
    /// in it. `None` for what the host or the plugin makes.
    pub(crate) fn source_file<'a>(&'a self, entry: &Entry, name: &'a [u8]) -> Option<(u32, &'a [u8])> {
        self.origins.source_file(entry.link, name)
    }

    /// The number of a folder, if it is among the declared ones.
    pub(crate) fn find_folder(&self, path: &RelPath) -> Option<u32> {
        path.names().try_fold(ROOT, |number, name| {
            let folder = self.folder(number);
            let at = folder.entries.binary_search_by(|entry| folder.name(entry).cmp(name)).ok()?;
            folder.entries[at].is_folder().then_some(folder.entries[at].link)
        })
    }

    /// Goes through all entries below a folder, sorted by the bytes of the whole path.
    pub(crate) fn walk(&self, folder: u32, mut each: impl FnMut(u32, u32, &Entry)) {
        let mut stack = vec![(folder, self.path_order(folder).into_iter())];
        while let Some((number, rest)) = stack.last_mut() {
            let Some(index) = rest.next() else {
                stack.pop();
                continue;
            };
            let number = *number;
            let entry = self.entry(number, index);
            each(number, index, entry);
            if entry.is_folder() {
                stack.push((entry.link, self.path_order(entry.link).into_iter()));
            }
        }
    }

    /// The entries of a folder in the order of whole paths, in which a folder's name counts with the `/` behind it.
    fn path_order(&self, number: u32) -> Vec<u32> {
        let folder = self.folder(number);
        let mut order: Vec<u32> = (0..).take(folder.entries.len()).collect();
        let key = |&index: &u32| {
            let entry = &folder.entries[index as usize];
            folder.name(entry).iter().copied().chain(entry.is_folder().then_some(b'/'))
        };
        order.sort_by(|a, b| key(a).cmp(key(b)));
        order
    }

    /// What may be removed of the undeclared things right in this folder.
    pub(crate) fn pruning(&self, folder: &RelPath) -> Pruning {
        let mut found = Pruning::Nothing;
        for prune in &self.prunes {
            let Some(below) = folder.strip(&prune.folder) else { continue };
            if prune.keep.is_empty() {
                found = found.max(Pruning::Everything);
            } else if prune.keeps(&below) {
                return Pruning::Nothing;
            } else {
                found = Pruning::ByName;
            }
        }
        found
    }

    /// Whether an undeclared thing at this path may be removed.
    pub(crate) fn may_remove(&self, path: &RelPath) -> bool {
        let mut covered = false;
        for prune in &self.prunes {
            match path.strip(&prune.folder) {
                Some(below) if !below.is_root() => {
                    if prune.keeps(&below) {
                        return false;
                    }
                    covered = true;
                }
                _ => {}
            }
        }
        covered && !scan::is_reserved(path)
    }
}

/// What may be removed right in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pruning {
    Nothing,
    Everything,
    /// It depends: see [`View::may_remove`].
    ByName,
}

impl Prune {
    /// Whether something at this path below the folder stays: it, or a folder that it is in, matches.
    fn keeps(&self, below: &RelPath) -> bool {
        if self.keep.is_empty() || below.is_root() {
            return false;
        }
        let mut path = RelPath::root();
        below.names().any(|name| {
            path = path.join_name(name);
            self.keep.matches(&path)
        })
    }
}

impl Origins {
    pub(crate) fn source_file<'a>(&'a self, link: u32, name: &'a [u8]) -> Option<(u32, &'a [u8])> {
        match &self.list[link as usize] {
            Origin::Folder { .. } => Some((link, name)),
            Origin::File { folder, name, .. } => Some((*folder, name)),
            Origin::Content(_) | Origin::Inventory(_) => None,
        }
    }

    /// The source and the folder in it that a folder's origin stands for.
    pub(crate) fn folder(&self, number: u32) -> Option<(&Source, &RelPath)> {
        match &self.list[number as usize] {
            Origin::Folder { source, path } => Some((&self.sources[usize::from(*source)], path)),
            _ => None,
        }
    }

    /// For people: where an entry of this name and origin comes from.
    pub(crate) fn describe(&self, link: u32, name: &[u8]) -> String {
        match &self.list[link as usize] {
            Origin::Content(bytes) => format!("a content of {} bytes made by the plugin", bytes.len()),
            Origin::Inventory(folder) => format!("an inventory of {folder:?}"),
            Origin::Folder { .. } | Origin::File { .. } => {
                let found = self
                    .source_file(link, name)
                    .and_then(|(folder, name)| Some((self.folder(folder)?, name)));
                found.map_or_else(String::new, |((source, path), name)| {
                    format!("{:?} of source {}", path.join_name(name).to_text(), source.name)
                })
            }
        }
    }
}
