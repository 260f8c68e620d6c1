//! Laying trees and single files over one another.
//!
//! The rules (wit/desired-files.wit): a single file, content or inventory goes before what a tree puts at its path; the
//! same declared twice is one, in the later of the two stages; any other two at one path are a conflict, and so is a file
//! where another declaration needs a folder. Folders that several trees have take the newest time (and its mode), and the
//! earliest stage.

use std::{cmp::Ordering, sync::Arc};

use syncline_domain::{Failure, Name, RelPath};

use super::{Entry, FOLDER, Folder, Origins, Prune, ROOT, SINGLE, STAMPED, Table, View, scan::Scan};
use crate::{
    globs::Filter,
    store::{Meta, Print, RESERVED, Stamp},
};

/// A [`Folder`] while it grows.
#[derive(Default)]
pub(crate) struct FolderBuilder {
    parent: u32,
    at: u32,
    names: Vec<u8>,
    entries: Vec<Entry>,
    /// It is a store of its own: passed over, not declared.
    nested: bool,
}

impl FolderBuilder {
    /// A folder that is passed over.
    pub(crate) fn nested(parent: u32, at: u32) -> Self {
        Self { parent, at, nested: true, ..Self::default() }
    }

    pub(crate) fn with_capacity(parent: u32, at: u32, entries: usize) -> Self {
        Self { parent, at, entries: Vec::with_capacity(entries), ..Self::default() }
    }

    /// Adds a file behind the names there are; its origin is set later.
    pub(crate) fn push_file(&mut self, name: &[u8], meta: &Meta) -> u32 {
        let (mode, print) = (meta.mode, meta.print());
        self.push(name, Entry { mode, print, flags: STAMPED, ..file(meta.size, meta.mtime_ns, 0, 0) })
    }

    /// Adds a folder behind the names there are. Gives back its place, for [`FolderBuilder::link`].
    pub(crate) fn push_folder(&mut self, name: &[u8], meta: &Meta) -> u32 {
        self.push(name, folder(Some(meta.stamp()), 0, 0))
    }

    /// Says which number the folder at this place has.
    pub(crate) fn link(&mut self, at: u32, number: u32) {
        self.entries[at as usize].link = number;
    }

    fn push(&mut self, name: &[u8], mut entry: Entry) -> u32 {
        entry.name_at = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        entry.name_len = u8::try_from(name.len()).unwrap_or(u8::MAX);
        self.names.extend_from_slice(name);
        self.entries.push(entry);
        u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
    }

    fn name(&self, entry: &Entry) -> &[u8] {
        let at = entry.name_at as usize;
        self.names.get(at..at + usize::from(entry.name_len)).unwrap_or_default()
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| self.name(entry).cmp(name))
    }

    fn finish(mut self) -> Folder {
        self.names.shrink_to_fit();
        self.entries.shrink_to_fit();
        Folder {
            parent: self.parent,
            at: self.at,
            names: self.names.into_boxed_slice(),
            entries: self.entries.into_boxed_slice(),
        }
    }
}

fn file(size: u64, mtime_ns: i64, link: u32, stage: u8) -> Entry {
    Entry { size, mtime_ns, link, name_at: 0, mode: 0, name_len: 0, stage, flags: 0, print: [0; 3] }
}

fn folder(stamp: Option<Stamp>, link: u32, stage: u8) -> Entry {
    let flags = if stamp.is_some() { FOLDER | STAMPED } else { FOLDER };
    let Stamp { mtime_ns, mode } = stamp.unwrap_or(Stamp { mtime_ns: 0, mode: 0o755 });
    Entry { mode, flags, ..file(0, mtime_ns, link, stage) }
}

/// A single file to be laid over the trees.
#[derive(Clone)]
pub(crate) struct Single {
    pub(crate) path: RelPath,
    pub(crate) size: u64,
    /// Absent for what has no time of its own.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) print: Print,
    pub(crate) origin: u32,
    pub(crate) stage: u8,
}

/// A [`View`] while it grows.
pub(crate) struct ViewBuilder<'a> {
    origins: &'a Origins,
    folders: Vec<FolderBuilder>,
    root_stamp: Option<Stamp>,
}

/// A tree that was walked, as one view takes it.
pub(crate) struct Laid<'a> {
    pub(crate) scan: &'a Scan,
    pub(crate) filter: &'a Filter,
    pub(crate) at: &'a RelPath,
    pub(crate) stage: u8,
    /// The origin of each folder of the scan.
    pub(crate) origins: &'a [u32],
}

impl<'a> ViewBuilder<'a> {
    pub(crate) fn new(origins: &'a Origins) -> Self {
        Self { origins, folders: vec![FolderBuilder::default()], root_stamp: None }
    }

    /// Lays a tree.
    pub(crate) fn tree(&mut self, tree: &Laid<'_>) -> Result<(), Failure> {
        let taken = Taken::of(tree);
        let root = self.ensure(tree.at, tree.stage, || "a tree".to_owned())?;
        self.stamp_folder(root, tree.scan.stamp);
        let mut stack = vec![(0, root)];
        while let Some((from, to)) = stack.pop() {
            let found = &tree.scan.folders[from as usize];
            let mut new = FolderBuilder::with_capacity(0, 0, found.entries.len());
            let is_root = to == ROOT;
            for entry in &found.entries {
                let name = found.name(entry);
                let takes = if entry.is_folder() {
                    taken.folders[entry.link as usize]
                } else {
                    taken.file(tree.filter, from, name)
                };
                // A folder of the source that is called like ours cannot come to stand in its place.
                if takes && !(is_root && name == RESERVED) {
                    let link = if entry.is_folder() { entry.link } else { tree.origins[from as usize] };
                    new.push(name, Entry { link, stage: tree.stage, ..*entry });
                }
            }
            self.merge(to, new, &mut stack)?;
        }
        Ok(())
    }

    /// Lays single files, which must be sorted by path.
    pub(crate) fn singles(&mut self, singles: &[Single]) -> Result<(), Failure> {
        let mut rest = singles;
        while let Some(first) = rest.first() {
            let Some((parent, _)) = first.path.split() else {
                return Err(Failure::plugin(
                    "path",
                    "a file was declared at the root itself: give it a name",
                ));
            };
            let same = |single: &Single| single.path.split().is_some_and(|(folder, _)| folder == parent);
            let count = rest.iter().take_while(|single| same(single)).count();
            let (group, after) = rest.split_at(count);
            rest = after;
            let stage = group.iter().map(|single| single.stage).min().unwrap_or(0);
            let to = self.ensure(&parent, stage, || format!("{:?}", first.path.to_text()))?;
            self.single_group(to, group)?;
        }
        Ok(())
    }

    fn single_group(&mut self, to: u32, group: &[Single]) -> Result<(), Failure> {
        let mut new = FolderBuilder::with_capacity(0, 0, group.len());
        for single in group {
            let Some((_, name)) = single.path.split() else { continue };
            let Stamp { mtime_ns, mode } = single.stamp.unwrap_or(Stamp { mtime_ns: 0, mode: 0o644 });
            let stamped = if single.stamp.is_some() { STAMPED } else { 0 };
            let entry = Entry {
                mode,
                flags: SINGLE | stamped,
                print: single.print,
                ..file(single.size, mtime_ns, single.origin, single.stage)
            };
            match new.entries.last().copied() {
                Some(last) if new.name(&last) == name => {
                    let both = self.combine(to, name, &last, &entry)?;
                    if let Some(last) = new.entries.last_mut() {
                        *last = both;
                    }
                }
                _ => {
                    new.push(name, entry);
                }
            }
        }
        self.merge(to, new, &mut Vec::new())
    }

    /// The finished view.
    pub(crate) fn finish(self, origins: &Arc<Origins>, prunes: Vec<Prune>, passed_over: u64) -> View {
        let folders: Vec<Folder> = self.folders.into_iter().map(FolderBuilder::finish).collect();
        let files =
            folders.iter().flat_map(|folder| &folder.entries).filter(|entry| !entry.is_folder()).count();
        View {
            origins: Arc::clone(origins),
            root_stamp: self.root_stamp,
            prunes,
            files: files as u64,
            passed_over,
            table: Table::new(folders.len()),
            folders,
        }
    }

    /// The folder at `path`, made with all that lead to it.
    fn ensure(&mut self, path: &RelPath, stage: u8, who: impl Fn() -> String) -> Result<u32, Failure> {
        let mut current = ROOT;
        for name in path.names() {
            let number = u32::try_from(self.folders.len()).unwrap_or(u32::MAX);
            let here = &mut self.folders[current as usize];
            match here.find(name) {
                Ok(at) if here.entries[at].is_folder() => {
                    here.entries[at].stage = here.entries[at].stage.min(stage);
                    current = here.entries[at].link;
                }
                Ok(at) => {
                    let one = self.origins.describe(here.entries[at].link, name);
                    return Err(conflict(
                        &self.path(current).join_name(name),
                        &one,
                        &format!("the folder of {}", who()),
                    ));
                }
                Err(at) => {
                    let place = here.push(name, folder(None, number, stage)) as usize;
                    here.entries[at..=place].rotate_right(1);
                    let moved: Vec<u32> = here.entries[at + 1..]
                        .iter()
                        .filter(|one| one.is_folder())
                        .map(|one| one.link)
                        .collect();
                    let at = u32::try_from(at).unwrap_or(u32::MAX);
                    self.folders.push(FolderBuilder { parent: current, at, ..FolderBuilder::default() });
                    for one in moved {
                        self.folders[one as usize].at += 1;
                    }
                    current = number;
                }
            }
        }
        Ok(current)
    }

    fn stamp_folder(&mut self, number: u32, stamp: Stamp) {
        if number == ROOT {
            self.root_stamp = Some(self.root_stamp.map_or(stamp, |old| newer(old, stamp)));
            return;
        }
        let (parent, at) = (self.folders[number as usize].parent, self.folders[number as usize].at);
        let entry = &mut self.folders[parent as usize].entries[at as usize];
        *entry = with_stamp(entry, stamp);
    }

    /// Lays sorted entries over a folder. Folders among them have the numbers of a scan, and are put on `below` with the
    /// number they get here.
    fn merge(&mut self, to: u32, new: FolderBuilder, below: &mut Vec<(u32, u32)>) -> Result<(), Failure> {
        let old = std::mem::take(&mut self.folders[to as usize]);
        (self.folders[to as usize].parent, self.folders[to as usize].at) = (old.parent, old.at);
        let mut laid =
            FolderBuilder::with_capacity(old.parent, old.at, old.entries.len() + new.entries.len());
        laid.names.reserve_exact(old.names.len() + new.names.len());
        let (mut ours, mut theirs) = (old.entries.iter().peekable(), new.entries.iter().peekable());
        loop {
            let order = match (ours.peek(), theirs.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => old.name(a).cmp(new.name(b)),
            };
            let one = if order == Ordering::Greater { None } else { ours.next() };
            let other = if order == Ordering::Less { None } else { theirs.next() };
            let (name, entry, scanned) = match (one, other) {
                (Some(one), Some(other)) => {
                    let name = old.name(one);
                    let both = self.combine(to, name, one, other)?;
                    (name, both, (other.is_folder() && both.is_folder()).then_some(other.link))
                }
                (Some(one), None) => (old.name(one), *one, None),
                (None, Some(other)) => (new.name(other), *other, other.is_folder().then_some(other.link)),
                (None, None) => break,
            };
            let at = laid.push(name, entry);
            if one.is_none() && entry.is_folder() {
                let number = u32::try_from(self.folders.len()).unwrap_or(u32::MAX);
                self.folders.push(FolderBuilder { parent: to, at, ..FolderBuilder::default() });
                laid.link(at, number);
            } else if entry.is_folder() {
                self.folders[entry.link as usize].at = at;
            }
            if let Some(scanned) = scanned {
                below.push((scanned, laid.entries[at as usize].link));
            }
        }
        self.folders[to as usize] = laid;
        Ok(())
    }

    /// What two declarations of one path come to. A folder keeps the number of `one`.
    fn combine(&self, within: u32, name: &[u8], one: &Entry, other: &Entry) -> Result<Entry, Failure> {
        if one.is_folder() && other.is_folder() {
            let stamped = match (one.stamp(), other.stamp()) {
                (_, None) => *one,
                (_, Some(stamp)) => with_stamp(one, stamp),
            };
            return Ok(Entry { stage: one.stage.min(other.stage), ..stamped });
        }
        if !one.is_folder() && !other.is_folder() {
            if let Some(link) = self.same(name, one.link, other.link) {
                let flags = one.flags | other.flags;
                return Ok(Entry { stage: one.stage.max(other.stage), link, flags, ..*one });
            }
            match (one.is_single(), other.is_single()) {
                (true, false) => return Ok(*one),
                (false, true) => return Ok(*other),
                _ => {}
            }
        }
        let tell = |entry: &Entry| {
            if entry.is_folder() { "a folder".to_owned() } else { self.origins.describe(entry.link, name) }
        };
        Err(conflict(&self.path(within).join_name(name), &tell(one), &tell(other)))
    }

    /// Whether two origins mean the same content: then the one that says more.
    fn same(&self, name: &[u8], one: u32, other: u32) -> Option<u32> {
        use super::Origin::{Content, File, Folder, Inventory};
        if one == other {
            return Some(one);
        }
        let list = &self.origins.list;
        match (&list[one as usize], &list[other as usize]) {
            (Content(a), Content(b)) => (a == b).then_some(one),
            (Inventory(a), Inventory(b)) => (a == b).then_some(one),
            (File { digest: Some(a), .. }, File { digest: Some(b), .. }) if a != b => None,
            (Folder { .. } | File { .. }, Folder { .. } | File { .. }) => {
                let equal = self.origins.source_file(one, name) == self.origins.source_file(other, name);
                let says_more = matches!(list[other as usize], File { digest: Some(_), .. });
                equal.then_some(if says_more { other } else { one })
            }
            _ => None,
        }
    }

    fn path(&self, number: u32) -> RelPath {
        let mut names = Vec::new();
        let mut current = number;
        while current != ROOT {
            let (parent, at) = (self.folders[current as usize].parent, self.folders[current as usize].at);
            let above = &self.folders[parent as usize];
            // While a folder is being merged its names are elsewhere: the rest of the path has to do.
            if let Some(entry) = above.entries.get(at as usize) {
                names.push(above.name(entry));
            }
            current = parent;
        }
        names.reverse();
        names.into_iter().fold(RelPath::root(), |path, name| path.join_name(name))
    }
}

/// Which folders of a scan come along.
struct Taken {
    folders: Vec<bool>,
    paths: Option<Vec<RelPath>>,
}

impl Taken {
    fn of(tree: &Laid<'_>) -> Self {
        let folders = &tree.scan.folders;
        if tree.filter.takes_everything() {
            return Self { folders: folders.iter().map(|found| !found.nested).collect(), paths: None };
        }
        let mut paths = vec![RelPath::root(); folders.len()];
        let mut entered = vec![true; folders.len()];
        for number in 1..folders.len() {
            let found = &folders[number];
            let above = &folders[found.parent as usize];
            paths[number] = match above.entries.get(found.at as usize) {
                Some(entry) => paths[found.parent as usize].join_name(above.name(entry)),
                None => continue,
            };
            let enters = !found.nested && tree.filter.enters(&paths[number]);
            entered[number] = entered[found.parent as usize] && enters;
        }
        let mut taken = vec![false; folders.len()];
        for number in (0..folders.len()).rev() {
            let found = &folders[number];
            let files = || found.entries.iter().filter(|entry| !entry.is_folder());
            let holds =
                || files().any(|entry| tree.filter.takes(&paths[number].join_name(found.name(entry))));
            taken[number] =
                entered[number] && (taken[number] || tree.filter.takes_empty(&paths[number]) || holds());
            if taken[number] {
                taken[found.parent as usize] = true;
            }
        }
        Self { folders: taken, paths: Some(paths) }
    }

    fn file(&self, filter: &Filter, folder: u32, name: &[u8]) -> bool {
        self.paths.as_ref().is_none_or(|paths| filter.takes(&paths[folder as usize].join_name(name)))
    }
}

fn newer(one: Stamp, other: Stamp) -> Stamp {
    if (other.mtime_ns, other.mode) > (one.mtime_ns, one.mode) { other } else { one }
}

fn with_stamp(entry: &Entry, stamp: Stamp) -> Entry {
    let Stamp { mtime_ns, mode } = entry.stamp().map_or(stamp, |old| newer(old, stamp));
    Entry { mtime_ns, mode, flags: entry.flags | STAMPED, ..*entry }
}

fn conflict(path: &RelPath, one: &str, other: &str) -> Failure {
    Failure::plugin(
        "conflict",
        format!(
            "two declarations want different things at {:?}: {one}, and {other}; declare one of them",
            path.to_text()
        ),
    )
}

/// The failure for a target's name that no declaration may have.
pub(crate) fn no_targets(what: &str, names: usize) -> Failure {
    Failure::plugin("targets", format!("{what} was declared for {names} targets: name 1 to 1,000 of them"))
}

/// For messages: names, the first few of them.
pub(crate) fn some_names<'n>(names: impl Iterator<Item = &'n Name>) -> String {
    names.take(10).map(Name::as_str).collect::<Vec<_>>().join(", ")
}

impl Scan {
    /// The path of each folder, with the walked one standing at `folder`.
    pub(crate) fn paths(&self, folder: &RelPath) -> Vec<RelPath> {
        let mut paths = Vec::with_capacity(self.folders.len());
        paths.push(folder.clone());
        for found in self.folders.iter().skip(1) {
            let above = &self.folders[found.parent as usize];
            let name = above.entries.get(found.at as usize).map_or(b"".as_slice(), |entry| above.name(entry));
            let path = paths[found.parent as usize].join_name(name);
            paths.push(path);
        }
        paths
    }
}
