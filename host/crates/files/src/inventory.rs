//! Inventories: files that the host writes, which list what earlier stages declare below a folder.
//!
//! Format `json`: `{"files":[`, then one file a line, `{"path":…,"size":…,"blake3":…}`, sorted by path, then `]}`. Paths
//! are relative to the folder, digests are 64 hexadecimal digits.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde::Serialize;
use syncline_domain::{Failure, RelPath, declaration::Blake3, operation::OperationKind};

use crate::{
    context::{Context, threads},
    diff::{DiffOptions, Op, walk::Part},
    digests::Digests,
    intent::{Origin, View},
    pool,
    store::Target,
};

/// Inventories that were put together already, by view and place.
#[derive(Default)]
pub(crate) struct Made(HashMap<(usize, u32, u32), Arc<[u8]>>);

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    size: u64,
    blake3: &'a str,
}

/// An inventory of a view.
#[derive(Clone, Copy)]
struct Place<'a> {
    folder: u32,
    index: u32,
    stage: u8,
    lists: &'a RelPath,
}

/// All inventories of a view, by stage.
fn places(view: &View) -> Vec<Place<'_>> {
    let mut found = Vec::new();
    for (number, folder) in (0..).zip(&view.folders) {
        for (index, entry) in (0..).zip(&folder.entries) {
            if entry.is_folder() {
                continue;
            }
            if let Origin::Inventory(lists) = view.origin(entry) {
                found.push(Place { folder: number, index, stage: entry.stage, lists });
            }
        }
    }
    found.sort_by_key(|place| place.stage);
    found
}

/// What an inventory lists: folder and index of each file, with the path below the listed folder.
fn listed(view: &View, place: &Place<'_>) -> Vec<(u32, u32, RelPath)> {
    let mut files = Vec::new();
    let Some(root) = view.find_folder(place.lists) else { return files };
    let mut at: Option<(u32, RelPath)> = None;
    view.walk(root, |folder, index, entry| {
        if entry.is_folder() || entry.stage >= place.stage {
            return;
        }
        let path = match &at {
            Some((number, path)) if *number == folder => path.clone(),
            _ => view.folder_path(folder).strip(place.lists).unwrap_or_default(),
        };
        files.push((folder, index, path.join_name(view.folder(folder).name(entry))));
        at = Some((folder, path));
    });
    files
}

impl Made {
    /// The bytes of an inventory. Digests that are not known are read from the sources, once.
    pub(crate) fn bytes(
        &mut self,
        view: &Arc<View>,
        (folder, index): (u32, u32),
        memory: &dyn Digests,
        context: &Context<'_>,
    ) -> Result<Arc<[u8]>, Failure> {
        let key = (Arc::as_ptr(view).addr(), folder, index);
        if let Some(bytes) = self.0.get(&key) {
            return Ok(Arc::clone(bytes));
        }
        let entry = view.entry(folder, index);
        let Origin::Inventory(lists) = view.origin(entry) else {
            return Err(Failure::host("inventory", "asked for an inventory of something else"));
        };
        let place = Place { folder, index, stage: entry.stage, lists };
        let files = listed(view, &place);
        warm(view, &files, memory, context)?;
        let mut text = b"{\"files\":[".to_vec();
        let mut separator = "\n";
        for (folder, index, path) in &files {
            let (size, digest) = self.file(view, (*folder, *index), memory, context)?;
            let digest = blake3::Hash::from_bytes(digest).to_hex();
            let line = Line { path: &path.to_text(), size, blake3: digest.as_str() };
            text.extend_from_slice(separator.as_bytes());
            let written = serde_json::to_writer(&mut text, &line);
            written.map_err(|error| {
                Failure::host("inventory", format!("a path could not be written: {error}"))
            })?;
            separator = ",\n";
        }
        text.extend_from_slice(b"\n]}\n");
        let bytes: Arc<[u8]> = text.into();
        self.0.insert(key, Arc::clone(&bytes));
        Ok(bytes)
    }

    fn file(
        &mut self,
        view: &Arc<View>,
        place: (u32, u32),
        memory: &dyn Digests,
        context: &Context<'_>,
    ) -> Result<(u64, Blake3), Failure> {
        let entry = view.entry(place.0, place.1);
        if let Origin::Inventory(_) = view.origin(entry) {
            let bytes = self.bytes(view, place, memory, context)?;
            return Ok((bytes.len() as u64, *blake3::hash(&bytes).as_bytes()));
        }
        let digest = view.digest(place, memory, &|| context.observer.keep_going())?;
        Ok((view.actual(place.0, place.1).size, digest))
    }

    /// Forgets what was put together before: files were copied since.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Reads what is not known yet, on all threads.
fn warm(
    view: &View,
    files: &[(u32, u32, RelPath)],
    memory: &dyn Digests,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let is_source = |(folder, index): (u32, u32)| {
        matches!(view.origin(view.entry(folder, index)), Origin::Folder { .. } | Origin::File { .. })
    };
    let unknown: Vec<(u32, u32)> = files
        .iter()
        .map(|(folder, index, _)| (*folder, *index))
        .filter(|&place| is_source(place) && view.known_digest(place.0, place.1).is_none())
        .collect();
    let batches: Vec<Vec<(u32, u32)>> = unknown.chunks(64).map(<[_]>::to_vec).collect();
    let read = |_: &_, (): &mut (), batch: Vec<(u32, u32)>| {
        let keep_going = || context.observer.keep_going();
        batch.into_iter().try_for_each(|place| view.digest(place, memory, &keep_going).map(drop))
    };
    pool::work(threads(context.threads), batches, || (), read).map(drop)
}

/// Compares the inventories of a target with what will be listed there. Gives back their sizes.
pub(crate) fn compare(
    made: &mut Made,
    view: &Arc<View>,
    target: &Target,
    part: &mut Part,
    options: &DiffOptions<'_>,
    context: &Context<'_>,
) -> Result<HashMap<(u32, u32), u64>, Failure> {
    let places = places(view);
    let mut sizes = HashMap::new();
    if places.is_empty() {
        return Ok(sizes);
    }
    let mut changing: HashSet<(u32, u32)> =
        part.ops.iter().filter(|op| op.writes()).map(|op| (op.folder, op.index)).collect();
    for place in places {
        let at = (place.folder, place.index);
        let files = listed(view, &place);
        let size = predicted(view, &files, &sizes);
        sizes.insert(at, size);
        let Some(&standing) = part.inventories.get(&at) else { continue };
        let changes = files.iter().any(|(folder, index, _)| changing.contains(&(*folder, *index)));
        let equal = !changes && standing == size && {
            let bytes = made.bytes(view, at, options.digests, context)?;
            stands(view, target, at, &bytes, context)?
        };
        if equal {
            part.unchanged();
        } else {
            part.ops.push(Op::new(at.0, at.1, OperationKind::Update));
            changing.insert(at);
        }
    }
    Ok(sizes)
}

/// The size that an inventory will have: digests are all of one length.
fn predicted(view: &View, files: &[(u32, u32, RelPath)], sizes: &HashMap<(u32, u32), u64>) -> u64 {
    let digest = "0".repeat(64);
    let mut total = b"{\"files\":[\n]}\n".len();
    for (number, (folder, index, path)) in files.iter().enumerate() {
        let size =
            sizes.get(&(*folder, *index)).copied().unwrap_or_else(|| view.actual(*folder, *index).size);
        let line = serde_json::to_vec(&Line { path: &path.to_text(), size, blake3: &digest });
        total += line.map_or(0, |line| line.len()) + if number == 0 { 1 } else { 2 };
    }
    total as u64
}

/// Whether these bytes stand at a declared file's place already.
pub(crate) fn stands(
    view: &View,
    target: &Target,
    (folder, index): (u32, u32),
    bytes: &[u8],
    context: &Context<'_>,
) -> Result<bool, Failure> {
    let name = view.folder(folder).name(view.entry(folder, index));
    let dir = target.store.dir(&view.folder_path(folder))?;
    match dir.stat(name)? {
        Some(meta) if meta.kind == crate::store::EntryKind::File && meta.size == bytes.len() as u64 => {}
        _ => return Ok(false),
    }
    let read = crate::read::hash_open(dir.open(name)?.as_mut(), &|| context.observer.keep_going())?;
    Ok(read.digest == *blake3::hash(bytes).as_bytes())
}
