//! What is different on each target.
//!
//! * here: the difference of one target, as the guard and the journal see it
//! * `walk`: walking targets against what should stand there
//! * `prune`: what is to be removed
//! * `inventory` (of the crate): files that the host writes, which are compared last

pub(crate) mod prune;
pub(crate) mod walk;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use syncline_domain::{
    Failure, Name, RelPath,
    guard::Size,
    operation::{Operation, OperationKind, OperationState},
    run::Counts,
    sync::Compare,
};

use crate::{
    digests::Digests,
    intent::{Origin, View},
    store::Target,
};
pub use walk::diff;

/// How targets are compared.
#[derive(Clone, Copy)]
pub struct DiffOptions<'a> {
    /// By size and time, or by content.
    pub compare: Compare,
    /// How far two modification times may be apart and count as equal, in nanoseconds. 0 for file systems that keep
    /// them whole; 2 seconds for FAT.
    pub mtime_tolerance_ns: u64,
    /// Where digests of sources are remembered, for what has to be compared by content.
    pub digests: &'a dyn Digests,
}

/// An operation on a declared entry, by its place in the view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Op {
    pub(crate) folder: u32,
    /// [`SELF`] for the root folder itself.
    pub(crate) index: u32,
    /// 0, or the number of what is in the way, from 1.
    block: u32,
    pub(crate) kind: OperationKind,
}

/// In place of an entry's number: the folder itself.
pub(crate) const SELF: u32 = u32::MAX;

impl Op {
    pub(crate) fn new(folder: u32, index: u32, kind: OperationKind) -> Self {
        Self { folder, index, block: 0, kind }
    }

    pub(crate) fn writes(&self) -> bool {
        matches!(self.kind, OperationKind::Copy | OperationKind::Update)
    }
}

/// Something undeclared that is to go.
#[derive(Debug, Clone)]
pub(crate) struct Removal {
    pub(crate) path: RelPath,
    pub(crate) size: u64,
    pub(crate) folder: bool,
    block: u32,
    /// It stands where something of this stage should, and so goes before that.
    pub(crate) before: Option<u8>,
}

/// What is different on one target. Made by [`diff`].
pub struct TargetDiff {
    pub(crate) target: Target,
    pub(crate) view: Arc<View>,
    /// In the order of the view's folders, which has every folder behind the one that it is in.
    pub(crate) ops: Vec<Op>,
    /// Deepest first.
    pub(crate) removals: Vec<Removal>,
    /// Why operations cannot be carried out; see [`Op::block`].
    blocks: Vec<Failure>,
    /// Sizes of files whose content the host makes.
    made: HashMap<(u32, u32), u64>,
    unchanged: u64,
    removable: u64,
    first_fill: bool,
}

impl TargetDiff {
    /// The target.
    pub fn target(&self) -> &Name {
        &self.target.name
    }

    /// Whether all is as declared.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.removals.is_empty()
    }

    /// How many operations there are.
    pub fn len(&self) -> u64 {
        (self.ops.len() + self.removals.len()) as u64
    }

    /// What the guard goes by.
    pub fn size(&self) -> Size {
        Size {
            target: self.target.name.clone(),
            deletes: self.removals.iter().filter(|removal| !removal.folder).count() as u64,
            removable: self.removable,
            changes: self.ops.iter().filter(|op| op.writes()).count() as u64,
            declared: self.view.files,
            first_fill: self.first_fill,
            removals: None,
        }
    }

    /// What applying it would do. Operations that cannot be carried out count as failed.
    pub fn counts(&self) -> Counts {
        let mut counts =
            Counts { unchanged: self.unchanged, passed_over: self.view.passed_over, ..Counts::default() };
        for op in &self.ops {
            count(&mut counts, op.kind, self.op_is_folder(op), op.block == 0, self.op_size(op));
        }
        for removal in &self.removals {
            count(&mut counts, removal.kind(), removal.folder, removal.block == 0, 0);
        }
        counts
    }

    /// Bytes that would be written.
    pub fn bytes(&self) -> u64 {
        let written = self.ops.iter().filter(|op| op.writes() && op.block == 0);
        written.map(|op| self.op_size(op)).sum()
    }

    /// All operations as planned, made one by one: declared entries first, then removals. One that cannot be carried out
    /// carries the reason already.
    pub fn operations(&self) -> impl Iterator<Item = Operation> + '_ {
        let mut at = None;
        let ops = self.ops.iter().map(move |op| {
            // Operations of one folder follow one another: its path is put together once.
            let path = match &at {
                Some((folder, path)) if *folder == op.folder => RelPath::clone(path),
                _ => self.view.folder_path(op.folder),
            };
            at = Some((op.folder, path.clone()));
            self.op_operation(op, &path)
        });
        ops.chain(self.removals.iter().map(|removal| self.removal_operation(removal)))
    }

    /// Drops the operations for whose path `keep` says no. Folders that the rest needs stay. Inventories go as well if a
    /// file is dropped: they would list what does not come.
    pub fn retain(&mut self, keep: impl Fn(&RelPath) -> bool) {
        let view = Arc::clone(&self.view);
        let mut needed: HashSet<u32> = HashSet::new();
        let mut kept: Vec<Op> = Vec::new();
        let mut drops_files = false;
        // From the back: what is in a folder comes before the folder's own operation.
        for op in self.ops.drain(..).rev() {
            let makes = (op.kind == OperationKind::CreateFolder && op.index != SELF)
                .then(|| view.entry(op.folder, op.index).link);
            if makes.is_some_and(|folder| needed.contains(&folder)) || keep(&op_path(&view, &op)) {
                let mut folder = op.folder;
                while needed.insert(folder) && folder != view.folder(folder).parent {
                    folder = view.folder(folder).parent;
                }
                kept.push(op);
            } else {
                drops_files |= op.writes();
            }
        }
        if drops_files {
            let lists =
                |op: &Op| matches!(view.origin(view.entry(op.folder, op.index)), Origin::Inventory(_));
            kept.retain(|op| !op.writes() || !lists(op));
        }
        kept.reverse();
        self.ops = kept;
        self.removals.retain(|removal| keep(&removal.path));
    }

    /// Why an operation cannot be carried out.
    pub(crate) fn op_block(&self, op: &Op) -> Option<&Failure> {
        self.block(op.block)
    }

    pub(crate) fn removal_block(&self, removal: &Removal) -> Option<&Failure> {
        self.block(removal.block)
    }

    fn block(&self, number: u32) -> Option<&Failure> {
        self.blocks.get((number as usize).checked_sub(1)?)
    }

    pub(crate) fn op_stage(&self, op: &Op) -> u8 {
        if op.index == SELF { 0 } else { self.view.entry(op.folder, op.index).stage }
    }

    pub(crate) fn op_is_folder(&self, op: &Op) -> bool {
        op.index == SELF || self.view.entry(op.folder, op.index).is_folder()
    }

    pub(crate) fn op_size(&self, op: &Op) -> u64 {
        if self.op_is_folder(op) {
            return 0;
        }
        let made = self.made.get(&(op.folder, op.index)).copied();
        made.unwrap_or_else(|| self.view.actual(op.folder, op.index).size)
    }

    pub(crate) fn op_operation(&self, op: &Op, folder: &RelPath) -> Operation {
        let path = if op.index == SELF {
            folder.clone()
        } else {
            let at = self.view.folder(op.folder);
            folder.join_name(at.name(&at.entries[op.index as usize]))
        };
        self.operation(path, op.kind, self.op_size(op), self.op_stage(op), self.op_block(op))
    }

    pub(crate) fn removal_operation(&self, removal: &Removal) -> Operation {
        let block = self.removal_block(removal);
        let stage = removal.before.unwrap_or(syncline_domain::declaration::STAGES - 1);
        self.operation(removal.path.clone(), removal.kind(), removal.size, stage, block)
    }

    fn operation(
        &self,
        path: RelPath,
        kind: OperationKind,
        size: u64,
        stage: u8,
        block: Option<&Failure>,
    ) -> Operation {
        Operation {
            target: self.target.name.clone(),
            path,
            kind,
            size,
            stage,
            state: OperationState::Planned,
            digest: None,
            note: String::new(),
            failure: block.cloned(),
        }
    }
}

pub(crate) fn op_path(view: &View, op: &Op) -> RelPath {
    if op.index == SELF { view.folder_path(op.folder) } else { view.entry_path(op.folder, op.index) }
}

impl Removal {
    pub(crate) fn kind(&self) -> OperationKind {
        if self.folder { OperationKind::RemoveFolder } else { OperationKind::Remove }
    }
}

/// Adds one operation to what was, or would be, done.
pub(crate) fn count(counts: &mut Counts, kind: OperationKind, folder: bool, works: bool, size: u64) {
    if !works {
        counts.failed += 1;
        return;
    }
    match kind {
        _ if folder => counts.folders += 1,
        OperationKind::Copy => {
            counts.copied += 1;
            counts.bytes += size;
        }
        OperationKind::Update => {
            counts.updated += 1;
            counts.bytes += size;
        }
        OperationKind::Touch => counts.updated += 1,
        OperationKind::Remove => counts.removed += 1,
        OperationKind::CreateFolder | OperationKind::RemoveFolder => counts.folders += 1,
    }
}
