//! From declarations to an [`Intent`]: which targets share a view, what has to be read for it, and in which order it is
//! laid.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use syncline_domain::{
    Failure, FailureKind, Fault, Name, RelPath,
    declaration::{Blake3, FileDeclarations, STAGES, Targets},
};

use super::{
    Intent, Origin, Origins, Prune, View,
    build::{Laid, Single, ViewBuilder, no_targets, some_names},
    scan::{Request, Scan, scan},
};
use crate::{
    context::{Context, threads},
    globs::{Filter, Globs},
    pool,
    store::{EntryKind, Meta, RESERVED, Source},
};

/// Walks the sources to their end and lays all declarations over one another. Nothing is changed anywhere.
///
/// Fails `invalid` with code `conflict` where two declarations want different things at one path of one target,
/// `not-found` where a declared folder or file is not in its source, and as reading the sources fails: a source that cannot
/// be read to its end is never taken for a smaller one.
pub fn expand(
    declarations: &FileDeclarations,
    sources: &[Source],
    context: &Context<'_>,
) -> Result<Intent, Failure> {
    check(declarations)?;
    let mut plan = Plan::new(declarations, sources)?;
    let scans = scan(&plan.requests, context)?;
    let tree_origins = plan.intern_scans(&scans);
    let singles = plan.singles(context)?;
    let origins = Arc::new(Origins { sources: sources.to_vec(), list: plan.origins });
    let mut views = BTreeMap::new();
    for (members, targets) in members(declarations) {
        let mut view = ViewBuilder::new(&origins);
        let mut passed_over = 0;
        for &index in &members.trees {
            let tree = &declarations.trees[index];
            let (request, filter) = &plan.trees[index];
            passed_over += scans[*request].passed_over;
            let (scan, origins) = (&scans[*request], &tree_origins[*request]);
            view.tree(&Laid { scan, filter, at: &tree.at, stage: tree.stage, origins })?;
        }
        let mut own: Vec<Single> = members.singles(&singles).cloned().collect();
        own.sort_by(|a, b| a.path.split().cmp(&b.path.split()));
        view.singles(&own)?;
        drop(own);
        let prunes = members.prunes.iter().map(|&index| &declarations.prunes[index]);
        let prunes: Result<Vec<Prune>, Failure> = prunes
            .map(|prune| Ok(Prune { folder: prune.folder.clone(), keep: Globs::new(&prune.keep)? }))
            .collect();
        let view = Arc::new(view.finish(&origins, prunes?, passed_over));
        views.extend(targets.into_iter().map(|target| (target, Arc::clone(&view))));
    }
    let empty: Arc<View> = Arc::new(ViewBuilder::new(&origins).finish(&origins, Vec::new(), 0));
    Ok(Intent { views, empty })
}

/// Rules that need no look at a store.
fn check(declarations: &FileDeclarations) -> Result<(), Failure> {
    let each = |what: &str, targets: &Targets, path: &RelPath, stage: u8| {
        if targets.is_empty() {
            return Err(no_targets(what, 0));
        }
        if stage >= STAGES {
            return Err(Failure::plugin(
                "stage",
                format!("{what} has stage {stage}: use 0 to {}", STAGES - 1),
            ));
        }
        // At the root it is the store's own; below, it would make a folder look like another store.
        if path.names().any(|name| name == RESERVED) {
            let targets = some_names(targets.iter());
            let message = format!(
                "{what} at {:?} of {targets}: folders of that name are the stores' own; choose another",
                path.to_text()
            );
            return Err(Failure::plugin("path", message));
        }
        Ok(())
    };
    for tree in &declarations.trees {
        each("a tree", &tree.targets, &tree.at, tree.stage)?;
    }
    for call in &declarations.files {
        for file in &call.files {
            each("a file", &call.targets, &file.path, call.stage)?;
        }
    }
    for content in &declarations.contents {
        each("a content", &content.targets, &content.path, content.stage)?;
    }
    for inventory in &declarations.inventories {
        each("an inventory", &inventory.targets, &inventory.path, inventory.stage)?;
        if inventory.stage == 0 {
            return Err(Failure::plugin("stage", "an inventory at stage 0 has nothing to list: use 1 to 15"));
        }
    }
    for prune in &declarations.prunes {
        each("a prune", &prune.targets, &prune.folder, 0)?;
    }
    Ok(())
}

/// The declarations that a target has, by their places in [`FileDeclarations`].
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Members {
    trees: Vec<usize>,
    files: Vec<usize>,
    contents: Vec<usize>,
    inventories: Vec<usize>,
    prunes: Vec<usize>,
}

impl Members {
    fn singles<'s>(&'s self, all: &'s Singles) -> impl Iterator<Item = &'s Single> {
        let files = self.files.iter().flat_map(|&index| &all.files[index]);
        let contents = self.contents.iter().map(|&index| &all.contents[index]);
        let inventories = self.inventories.iter().map(|&index| &all.inventories[index]);
        files.chain(contents).chain(inventories)
    }
}

/// Which targets share which declarations.
fn members(declarations: &FileDeclarations) -> BTreeMap<Members, Vec<Name>> {
    let mut by_target: BTreeMap<&Name, Members> = BTreeMap::new();
    fn add<'d>(
        by_target: &mut BTreeMap<&'d Name, Members>,
        targets: impl Iterator<Item = &'d Targets>,
        list: impl Fn(&mut Members) -> &mut Vec<usize>,
    ) {
        for (index, targets) in targets.enumerate() {
            for target in targets {
                list(by_target.entry(target).or_default()).push(index);
            }
        }
    }
    add(&mut by_target, declarations.trees.iter().map(|one| &one.targets), |members| &mut members.trees);
    add(&mut by_target, declarations.files.iter().map(|one| &one.targets), |members| &mut members.files);
    add(&mut by_target, declarations.contents.iter().map(|one| &one.targets), |members| {
        &mut members.contents
    });
    add(&mut by_target, declarations.inventories.iter().map(|one| &one.targets), |members| {
        &mut members.inventories
    });
    add(&mut by_target, declarations.prunes.iter().map(|one| &one.targets), |members| &mut members.prunes);
    let mut shared: BTreeMap<Members, Vec<Name>> = BTreeMap::new();
    for (target, members) in by_target {
        shared.entry(members).or_default().push(target.clone());
    }
    shared
}

struct Singles {
    /// By call.
    files: Vec<Vec<Single>>,
    contents: Vec<Single>,
    inventories: Vec<Single>,
}

struct Plan<'a> {
    declarations: &'a FileDeclarations,
    sources: &'a [Source],
    by_name: HashMap<&'a Name, u16>,
    requests: Vec<Request>,
    /// For each declared tree: its scan, and its filter.
    trees: Vec<(usize, Arc<Filter>)>,
    origins: Vec<Origin>,
    folders: HashMap<(u16, RelPath), u32>,
    /// Source of each request.
    request_sources: Vec<u16>,
}

impl<'a> Plan<'a> {
    fn new(declarations: &'a FileDeclarations, sources: &'a [Source]) -> Result<Self, Failure> {
        let by_name = (0..).zip(sources).map(|(number, source)| (&source.name, number)).collect();
        let mut plan = Self {
            declarations,
            sources,
            by_name,
            requests: Vec::new(),
            trees: Vec::new(),
            origins: Vec::new(),
            folders: HashMap::new(),
            request_sources: Vec::new(),
        };
        let mut seen: HashMap<(u16, &RelPath), usize> = HashMap::new();
        for tree in &declarations.trees {
            let source = plan.source(&tree.source)?;
            let filter = Arc::new(Filter::new(&tree.including, &tree.excluding)?);
            let request = *seen.entry((source, &tree.folder)).or_insert_with(|| {
                plan.request_sources.push(source);
                plan.requests.push(Request {
                    source: sources[usize::from(source)].clone(),
                    folder: tree.folder.clone(),
                    filters: Vec::new(),
                });
                plan.requests.len() - 1
            });
            plan.requests[request].filters.push(Arc::clone(&filter));
            plan.trees.push((request, filter));
        }
        Ok(plan)
    }

    fn source(&self, name: &Name) -> Result<u16, Failure> {
        self.by_name.get(name).copied().ok_or_else(|| {
            let known = some_names(self.sources.iter().map(|source| &source.name));
            Failure::denied("source", format!("source {name} is not bound to this sync; bound are: {known}"))
        })
    }

    fn intern_folder(&mut self, source: u16, path: RelPath) -> u32 {
        let next = u32::try_from(self.origins.len()).unwrap_or(u32::MAX);
        let number = *self.folders.entry((source, path.clone())).or_insert(next);
        if number == next {
            self.origins.push(Origin::Folder { source, path });
        }
        number
    }

    /// An origin for each folder of each scan.
    fn intern_scans(&mut self, scans: &[Scan]) -> Vec<Vec<u32>> {
        let mut all = Vec::with_capacity(scans.len());
        for (index, scan) in scans.iter().enumerate() {
            let (source, folder) = (self.request_sources[index], self.requests[index].folder.clone());
            let paths = scan.paths(&folder);
            all.push(paths.into_iter().map(|path| self.intern_folder(source, path)).collect());
        }
        // Only needed to find equal ones, which single files do as well: those are few, or in few folders.
        all
    }

    fn singles(&mut self, context: &Context<'_>) -> Result<Singles, Failure> {
        let declarations = self.declarations;
        let mut contents = Vec::new();
        for content in &declarations.contents {
            let origin = self.push(Origin::Content(Arc::clone(&content.bytes)));
            let size = content.bytes.len() as u64;
            let path = content.path.clone();
            let stage = content.stage;
            contents.push(Single { path, size, stamp: None, print: [0; 3], origin, stage });
        }
        let mut inventories = Vec::new();
        for inventory in &declarations.inventories {
            let origin = self.push(Origin::Inventory(inventory.folder.clone()));
            let path = inventory.path.clone();
            let stage = inventory.stage;
            inventories.push(Single { path, size: 0, stamp: None, print: [0; 3], origin, stage });
        }
        Ok(Singles { files: self.declared_files(context)?, contents, inventories })
    }

    fn push(&mut self, origin: Origin) -> u32 {
        self.origins.push(origin);
        u32::try_from(self.origins.len() - 1).unwrap_or(u32::MAX)
    }

    fn declared_files(&mut self, context: &Context<'_>) -> Result<Vec<Vec<Single>>, Failure> {
        let mut calls = Vec::with_capacity(self.declarations.files.len());
        let mut looks: BTreeMap<u32, Vec<Look<'a>>> = BTreeMap::new();
        for (call, declared) in self.declarations.files.iter().enumerate() {
            let mut singles = Vec::with_capacity(declared.files.len());
            for file in &declared.files {
                let source = self.source(&file.source)?;
                let Some((folder, name)) = file.source_path.split() else {
                    return Err(Failure::plugin(
                        "path",
                        "a file was declared from the root of a source: name a file",
                    ));
                };
                let folder = self.intern_folder(source, folder);
                let origin = self.file_origin(folder, name, &file.path, file.digest);
                looks.entry(folder).or_default().push(Look { call, index: singles.len(), name });
                let (path, stage) = (file.path.clone(), declared.stage);
                singles.push(Single { path, size: 0, stamp: None, print: [0; 3], origin, stage });
            }
            calls.push(singles);
        }
        for (call, index, meta) in self.look(looks, context)? {
            calls[call][index].size = meta.size;
            calls[call][index].stamp = Some(meta.stamp());
            calls[call][index].print = meta.print();
        }
        Ok(calls)
    }

    fn file_origin(&mut self, folder: u32, name: &[u8], path: &RelPath, digest: Option<Blake3>) -> u32 {
        let same_name = path.split().is_some_and(|(_, own)| own == name);
        if same_name && digest.is_none() {
            return folder;
        }
        self.push(Origin::File { folder, name: name.into(), digest })
    }

    /// Looks at declared files in their sources, folder by folder.
    fn look(
        &self,
        looks: BTreeMap<u32, Vec<Look<'a>>>,
        context: &Context<'_>,
    ) -> Result<Vec<(usize, usize, Meta)>, Failure> {
        let found = pool::work(
            threads(context.threads),
            looks.into_iter().collect(),
            Vec::new,
            |_, found, (folder, looks): (u32, Vec<Look<'a>>)| {
                context.observer.keep_going()?;
                let Origin::Folder { source, path } = &self.origins[folder as usize] else { return Ok(()) };
                let source = &self.sources[usize::from(*source)];
                let dir = source.store.named_dir(&source.locate(path))?;
                for look in &looks {
                    let meta = dir.stat(look.name)?;
                    let path = || path.join_name(look.name).to_text();
                    found.push((look.call, look.index, regular(meta, source, path)?));
                }
                context.observer.scanned(looks.len() as u64);
                Ok(())
            },
        )?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// A declared file to be looked at.
struct Look<'a> {
    call: usize,
    index: usize,
    name: &'a [u8],
}

fn regular(meta: Option<Meta>, source: &Source, path: impl Fn() -> String) -> Result<Meta, Failure> {
    match meta {
        Some(meta) if meta.kind == EntryKind::File => Ok(meta),
        Some(meta) => Err(Failure::new(
            FailureKind::Unsupported,
            Fault::Remote,
            "not-a-file",
            format!("source {}: {:?} is a {}, not a regular file", source.name, path(), meta.kind.as_str()),
        )),
        None => {
            source.store.check()?;
            let message = format!("source {}: there is no file {:?}, which is declared", source.name, path());
            Err(Failure::new(FailureKind::NotFound, Fault::Remote, "not-found", message))
        }
    }
}
