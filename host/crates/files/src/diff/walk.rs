//! Walking targets against what should stand there: targets side by side, and the folders of one target too.
//!
//! Only what is declared is looked at, one `stat` an entry; a folder is listed where undeclared things may be removed
//! from it, and nowhere else. Folders that are not there cost nothing.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use syncline_domain::{Failure, FailureKind, Fault, Name, RelPath, operation::OperationKind, sync::Compare};

use super::{DiffOptions, Op, Removal, SELF, TargetDiff, prune};
use crate::{
    context::{Context, threads},
    errors,
    intent::{Entry, Intent, Origin, Pruning, ROOT, View},
    inventory,
    pool::{self, Queue},
    store::{Dir, EntryKind, Meta, Names, Target},
};

/// Compares each target with the intent. A target that cannot be read to its end has a failure and no difference.
pub fn diff(
    intent: &Intent,
    targets: &[Target],
    options: &DiffOptions<'_>,
    context: &Context<'_>,
) -> Vec<(Name, Result<TargetDiff, Failure>)> {
    let sides: Vec<Side<'_>> =
        targets.iter().map(|target| Side::new(target, intent.view(&target.name))).collect();
    let mut first = Vec::new();
    for (number, side) in sides.iter().enumerate() {
        match side.target.store.check() {
            Ok(()) => first.extend(side.begin(number)),
            Err(failure) => *side.failure.lock() = Some(failure),
        }
    }
    let start = || Own { names: Names::default(), parts: sides.iter().map(|_| Part::default()).collect() };
    let walked = pool::work(threads(context.threads), first, start, |queue, own: &mut Own, item| {
        let Own { names, parts } = own;
        let side = &sides[item.side];
        if side.failure.lock().is_some() {
            return Ok(());
        }
        let mut walk = Walk { side, number: item.side, options, context, queue, part: &mut parts[item.side] };
        // What happens on one target does not end the work on the others.
        if let Err(failure) = context.observer.keep_going().and_then(|()| walk.item(&item.place, names)) {
            side.failure.lock().get_or_insert(failure);
        }
        Ok(())
    });
    let owns = match walked {
        Ok(owns) => owns,
        Err(failure) => return targets.iter().map(|one| (one.name.clone(), Err(failure.clone()))).collect(),
    };
    finish(sides, owns, options, context)
}

fn finish(
    sides: Vec<Side<'_>>,
    owns: Vec<Own>,
    options: &DiffOptions<'_>,
    context: &Context<'_>,
) -> Vec<(Name, Result<TargetDiff, Failure>)> {
    let mut parts: Vec<Part> = sides.iter().map(|_| Part::default()).collect();
    for own in owns {
        for (all, one) in parts.iter_mut().zip(own.parts) {
            all.absorb(one);
        }
    }
    let mut made = inventory::Made::default();
    let mut results = Vec::with_capacity(sides.len());
    let mut views: Vec<Arc<View>> = Vec::new();
    for (side, mut part) in sides.into_iter().zip(parts) {
        let failure = side.failure.into_inner();
        let result = match failure.map_or_else(|| side.target.store.check(), Err) {
            Ok(()) => inventory::compare(&mut made, side.view, side.target, &mut part, options, context)
                .map(|sizes| part.difference(side.target, side.view, sizes)),
            Err(failure) => Err(failure),
        };
        results.push((side.target.name.clone(), result));
        if !views.iter().any(|view| Arc::ptr_eq(view, side.view)) {
            views.push(Arc::clone(side.view));
        }
    }
    for view in views {
        view.save_news(options.digests);
    }
    results
}

/// One target under comparison.
struct Side<'a> {
    target: &'a Target,
    view: &'a Arc<View>,
    failure: Mutex<Option<Failure>>,
}

impl<'a> Side<'a> {
    fn new(target: &'a Target, view: &'a Arc<View>) -> Self {
        Self { target, view, failure: Mutex::new(None) }
    }

    /// The root, and folders to prune that nothing is declared in or above.
    fn begin(&self, side: usize) -> Vec<Item> {
        let mut items = Vec::new();
        if self.view.files > 0
            || self.view.folders.len() > 1
            || self.view.root_stamp.is_some()
            || !self.view.prunes.is_empty()
        {
            items.push(Item { side, place: Place::Declared(ROOT) });
        }
        let mut loose: Vec<&RelPath> = self.view.prunes.iter().map(|prune| &prune.folder).collect();
        loose.sort();
        loose.dedup();
        for folder in &loose {
            let within = |other: &&&RelPath| **other != *folder && folder.is_within(other);
            if self.view.find_folder(folder).is_none() && !loose.iter().any(|other| within(&other)) {
                items.push(Item { side, place: Place::Undeclared((*folder).clone()) });
            }
        }
        items
    }
}

struct Item {
    side: usize,
    place: Place,
}

enum Place {
    /// A folder of the view that stands there.
    Declared(u32),
    /// A folder to prune in which nothing is declared.
    Undeclared(RelPath),
}

struct Own {
    names: Names,
    parts: Vec<Part>,
}

/// What one thread found on one target.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) ops: Vec<Op>,
    pub(crate) removals: Vec<Removal>,
    blocks: Vec<Failure>,
    unchanged: u64,
    removable: u64,
    /// A declared file's place is taken.
    stands: bool,
    /// Inventories that stand there, with their sizes.
    pub(crate) inventories: HashMap<(u32, u32), u64>,
}

impl Part {
    pub(crate) fn block(&mut self, failure: Failure) -> u32 {
        self.blocks.push(failure);
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn unchanged(&mut self) {
        self.unchanged += 1;
    }

    pub(crate) fn removal(&mut self, path: RelPath, meta: &Meta, why_not: Option<Failure>) {
        let block = why_not.map_or(0, |failure| self.block(failure));
        let folder = meta.kind == EntryKind::Folder;
        self.removals.push(Removal { path, size: meta.size, folder, block, before: None });
    }

    pub(crate) fn removable(&mut self, files: u64) {
        self.removable += files;
    }

    fn absorb(&mut self, other: Self) {
        if self.ops.is_empty() && self.removals.is_empty() && self.blocks.is_empty() {
            let (unchanged, removable, stands) = (self.unchanged, self.removable, self.stands);
            let inventories = std::mem::take(&mut self.inventories);
            *self = other;
            self.unchanged += unchanged;
            self.removable += removable;
            self.stands |= stands;
            self.inventories.extend(inventories);
            return;
        }
        let shift = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        let moved = |block: u32| if block == 0 { 0 } else { block + shift };
        self.ops.extend(other.ops.into_iter().map(|op| Op { block: moved(op.block), ..op }));
        let removals = other.removals.into_iter();
        self.removals.extend(removals.map(|one| Removal { block: moved(one.block), ..one }));
        self.blocks.extend(other.blocks);
        self.unchanged += other.unchanged;
        self.removable += other.removable;
        self.stands |= other.stands;
        self.inventories.extend(other.inventories);
    }

    fn difference(mut self, target: &Target, view: &Arc<View>, made: HashMap<(u32, u32), u64>) -> TargetDiff {
        self.ops.sort_unstable_by_key(|op| (op.folder, op.index));
        self.ops.shrink_to_fit();
        // Below before above: a longer path that begins with a folder's sorts behind it.
        self.removals.sort_unstable_by(|a, b| b.path.cmp(&a.path));
        TargetDiff {
            target: target.clone(),
            view: Arc::clone(view),
            first_fill: !self.stands && view.files > 0,
            ops: self.ops,
            removals: self.removals,
            blocks: self.blocks,
            made,
            unchanged: self.unchanged,
            removable: self.removable,
        }
    }
}

struct Walk<'a> {
    side: &'a Side<'a>,
    number: usize,
    options: &'a DiffOptions<'a>,
    context: &'a Context<'a>,
    queue: &'a Queue<Item>,
    part: &'a mut Part,
}

impl Walk<'_> {
    fn item(&mut self, place: &Place, names: &mut Names) -> Result<(), Failure> {
        match place {
            Place::Declared(folder) => self.folder(*folder, names),
            Place::Undeclared(path) => {
                let pruning =
                    prune::Pruner { target: self.side.target, view: self.side.view, context: self.context };
                pruning.content(path, self.part)
            }
        }
    }

    fn folder(&mut self, number: u32, names: &mut Names) -> Result<(), Failure> {
        let path = self.side.view.folder_path(number);
        let dir = match self.side.target.store.dir(&path) {
            Ok(dir) => dir,
            Err(failure) if errors::is_missing(&failure) => {
                self.side.target.store.check()?;
                self.missing(number, 0);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let meta = dir.meta()?;
        let pruning = self.side.view.pruning(&path);
        let nested = if pruning == Pruning::Nothing {
            // What is not listed is asked for: one look a folder.
            self.side.target.store.refuse_nested(dir.as_ref())
        } else {
            dir.names(names)?;
            let store = self.side.target.store.name();
            if names.of_a_store() { Err(errors::nested(store, &path)) } else { Ok(()) }
        };
        match nested {
            Err(failure) if errors::is_nested(&failure) => {
                let block = self.part.block(failure);
                self.missing(number, block);
                return Ok(());
            }
            other => other?,
        }
        self.folder_stamp(number, &meta);
        if pruning == Pruning::Nothing {
            self.looked_up(number, dir.as_ref(), &meta)
        } else {
            self.listed(number, dir.as_ref(), &meta, names, pruning)
        }
    }

    /// Plans to set time and mode of a folder where they are not as declared.
    fn folder_stamp(&mut self, number: u32, found: &Meta) {
        if self.side.view.folder_stamp(number).is_none_or(|stamp| self.same_stamp(&stamp, found)) {
            return;
        }
        let folder = self.side.view.folder(number);
        let (above, at) = if number == ROOT { (ROOT, SELF) } else { (folder.parent, folder.at) };
        self.part.ops.push(Op::new(above, at, OperationKind::Touch));
    }

    /// Compares a folder from which nothing is removed: what is undeclared is never seen.
    fn looked_up(&mut self, number: u32, dir: &dyn Dir, meta: &Meta) -> Result<(), Failure> {
        let folder = self.side.view.folder(number);
        for (index, entry) in (0..).zip(&folder.entries) {
            let found = dir.stat(folder.name(entry))?;
            self.entry(Spot { number, index, dir, device: meta.device }, entry, found)?;
        }
        self.context.observer.scanned(folder.entries.len() as u64);
        Ok(())
    }

    /// Compares a folder with all that stands in it.
    fn listed(
        &mut self,
        number: u32,
        dir: &dyn Dir,
        meta: &Meta,
        names: &Names,
        pruning: Pruning,
    ) -> Result<(), Failure> {
        let folder = self.side.view.folder(number);
        let mut declared = (0..).zip(&folder.entries).peekable();
        for (name, _) in names.iter() {
            while let Some((index, entry)) = declared.next_if(|(_, entry)| folder.name(entry) < name) {
                self.entry(Spot { number, index, dir, device: meta.device }, entry, None)?;
            }
            if let Some((index, entry)) = declared.next_if(|(_, entry)| folder.name(entry) == name) {
                let found = dir.stat(name)?;
                let counts = found.is_some_and(|found| found.kind != EntryKind::Folder);
                if counts
                    && (pruning == Pruning::Everything
                        || self.side.view.may_remove(&dir.path().join_name(name)))
                {
                    self.part.removable(1);
                }
                self.entry(Spot { number, index, dir, device: meta.device }, entry, found)?;
            } else {
                let pruner =
                    prune::Pruner { target: self.side.target, view: self.side.view, context: self.context };
                pruner.undeclared(dir, name, meta.device, self.part)?;
            }
        }
        for (index, entry) in declared {
            self.entry(Spot { number, index, dir, device: meta.device }, entry, None)?;
        }
        self.context.observer.scanned(names.len() as u64);
        Ok(())
    }

    fn entry(&mut self, spot: Spot<'_>, entry: &Entry, found: Option<Meta>) -> Result<(), Failure> {
        if entry.is_folder() {
            return self.declared_folder(&spot, entry, found);
        }
        self.part.stands |= found.is_some();
        let op = |kind| Op::new(spot.number, spot.index, kind);
        match found {
            None => self.part.ops.push(op(OperationKind::Copy)),
            Some(found) => match found.kind {
                EntryKind::File => return self.declared_file(&spot, entry, &found),
                // Renaming a file there takes the place of the link itself.
                EntryKind::Link | EntryKind::Special => self.part.ops.push(op(OperationKind::Update)),
                EntryKind::Folder => {
                    let block = self.clear(&spot, entry, &found)?;
                    self.part.ops.push(Op { block, ..op(OperationKind::Update) });
                }
            },
        }
        Ok(())
    }

    fn declared_folder(
        &mut self,
        spot: &Spot<'_>,
        entry: &Entry,
        found: Option<Meta>,
    ) -> Result<(), Failure> {
        let Some(found) = found else {
            self.missing(entry.link, 0);
            return Ok(());
        };
        let path = || spot.path(self.side.view);
        if found.kind != EntryKind::Folder {
            let path = path();
            let kind = found.kind.as_str();
            if self.side.view.may_remove(&path) {
                let removal =
                    Removal { path, size: found.size, folder: false, block: 0, before: Some(entry.stage) };
                self.part.removals.push(removal);
                self.missing(entry.link, 0);
            } else {
                let why = format!(
                    "a {kind} stands where a folder should; links are not followed. Remove it, or allow pruning there"
                );
                let block = self.in_the_way("not-a-folder", &path, &why);
                self.missing(entry.link, block);
            }
        } else if found.device != spot.device {
            let why = "another file system is mounted there; register it as a store of its own";
            let block = self.in_the_way("mount-point", &path(), why);
            self.missing(entry.link, block);
        } else {
            self.queue.push(Item { side: self.number, place: Place::Declared(entry.link) });
        }
        Ok(())
    }

    /// A folder stands where a file should: what of it has to go first. Gives back what is in the way.
    fn clear(&mut self, spot: &Spot<'_>, entry: &Entry, found: &Meta) -> Result<u32, Failure> {
        let path = spot.path(self.side.view);
        let pruner = prune::Pruner { target: self.side.target, view: self.side.view, context: self.context };
        if found.device == spot.device && pruner.clear(&path, found, entry.stage, self.part)? {
            return Ok(0);
        }
        let why = "a folder stands where a file should, and is not empty. Remove it, or allow pruning there";
        Ok(self.in_the_way("not-a-file", &path, why))
    }

    fn in_the_way(&mut self, code: &str, path: &RelPath, why: &str) -> u32 {
        let message = format!("store {}: {}: {why}", self.side.target.store.name(), errors::place(path));
        self.part.block(Failure::new(FailureKind::Invalid, Fault::Remote, code, message))
    }

    /// All of a declared folder that is not there, the folder included.
    fn missing(&mut self, number: u32, block: u32) {
        let view = self.side.view;
        let mut stack = vec![number];
        while let Some(number) = stack.pop() {
            let folder = view.folder(number);
            if number != ROOT {
                self.part
                    .ops
                    .push(Op { block, ..Op::new(folder.parent, folder.at, OperationKind::CreateFolder) });
            }
            self.part.ops.reserve(folder.entries.len());
            for (index, entry) in (0..).zip(&folder.entries) {
                if entry.is_folder() {
                    stack.push(entry.link);
                } else {
                    self.part.ops.push(Op { block, ..Op::new(number, index, OperationKind::Copy) });
                }
            }
        }
    }

    fn declared_file(&mut self, spot: &Spot<'_>, entry: &Entry, found: &Meta) -> Result<(), Failure> {
        let place = (spot.number, spot.index);
        let name = self.side.view.folder(spot.number).name(entry);
        let equal = match self.side.view.origin(entry) {
            Origin::Inventory(_) => {
                self.part.inventories.insert(place, found.size);
                return Ok(());
            }
            Origin::Content(bytes) => {
                found.size == bytes.len() as u64
                    && self.read(spot.dir, name)? == *blake3::hash(bytes).as_bytes()
            }
            Origin::Folder { .. } | Origin::File { .. } => {
                found.size == entry.size
                    && match self.options.compare {
                        Compare::Quick => {
                            self.same_time(entry.mtime_ns, found.mtime_ns) || self.is_a_copy(spot, name)?
                        }
                        Compare::Full => self.source_digest(spot)? == self.read(spot.dir, name)?,
                    }
            }
        };
        let block = self.other_content(spot, entry, equal)?;
        if !equal || block != 0 {
            self.part.ops.push(Op { block, ..Op::new(spot.number, spot.index, OperationKind::Update) });
        } else if entry.stamp().is_some_and(|stamp| !self.same_stamp(&stamp, found)) {
            self.part.ops.push(Op::new(spot.number, spot.index, OperationKind::Touch));
        } else {
            self.part.unchanged();
        }
        Ok(())
    }

    /// Whether a file of the right size and another time has the right content: one that DFS Replication or a person put
    /// there. To read it costs less than to copy it again. What cannot be read here is copied, which may well work.
    fn is_a_copy(&self, spot: &Spot<'_>, name: &[u8]) -> Result<bool, Failure> {
        let same = self.read(spot.dir, name).and_then(|there| Ok(there == self.source_digest(spot)?));
        match same {
            Err(failure) if failure.kind == FailureKind::Stopped => Err(failure),
            same => Ok(same.unwrap_or(false)),
        }
    }

    /// A declaration that wants one content alone: what is in the way if the source has another.
    fn other_content(&mut self, spot: &Spot<'_>, entry: &Entry, equal: bool) -> Result<u32, Failure> {
        let Origin::File { digest: Some(wanted), .. } = self.side.view.origin(entry) else { return Ok(0) };
        // What has to be copied is looked at then.
        if !equal || self.source_digest(spot)? == *wanted {
            return Ok(0);
        }
        let path = spot.path(self.side.view);
        Ok(self.part.block(other_content(&path, wanted)))
    }

    fn source_digest(&self, spot: &Spot<'_>) -> Result<[u8; 32], Failure> {
        let keep_going = || self.context.observer.keep_going();
        self.side.view.digest((spot.number, spot.index), self.options.digests, &keep_going)
    }

    fn read(&self, dir: &dyn Dir, name: &[u8]) -> Result<[u8; 32], Failure> {
        let keep_going = || self.context.observer.keep_going();
        crate::read::hash_open(dir.open(name)?.as_mut(), &keep_going).map(|read| read.digest)
    }

    fn same_time(&self, one: i64, other: i64) -> bool {
        one.abs_diff(other) <= self.options.mtime_tolerance_ns
    }

    fn same_stamp(&self, stamp: &crate::store::Stamp, found: &Meta) -> bool {
        stamp.mode == found.mode && self.same_time(stamp.mtime_ns, found.mtime_ns)
    }
}

/// The failure of a declaration whose source has another content than the one it wants.
pub(crate) fn other_content(path: &RelPath, wanted: &[u8; 32]) -> Failure {
    let wanted = crate::digests::text(wanted);
    let message =
        format!("{}: its source has another content than the declared {wanted}", errors::place(path));
    Failure::changed("digest", message)
}

/// Where a declared entry is on the target.
struct Spot<'a> {
    number: u32,
    index: u32,
    dir: &'a dyn Dir,
    device: u64,
}

impl Spot<'_> {
    fn path(&self, view: &View) -> RelPath {
        let folder = view.folder(self.number);
        self.dir.path().join_name(folder.name(&folder.entries[self.index as usize]))
    }
}
