//! `desired-files`: what should stand on the targets. Checked here as far as it can be without looking anything up, and
//! collected; what it means together is decided when the plugin has ended.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use globset::{GlobBuilder, GlobSetBuilder};
use syncline_domain::{
    Failure, FailureKind, Fault, Name, RelPath,
    declaration::{
        Blake3, DeclaredContent, DeclaredFile, DeclaredFiles, DeclaredInventory, DeclaredPrune, DeclaredTree,
        FileDeclarations, STAGES, Targets,
    },
    plugin::Capability,
};
use wasmtime::component::Resource;

use super::{Label, Refusal, batch, labels, not_granted, path, stores, stores::BoundSource};
use crate::{
    bindings::syncline::plugin::desired_files::{File, Host, HostContent, Target, Tree},
    call::{Call, grants},
};

/// The interface, as grants call it.
pub(crate) const INTERFACE: &str = "desired-files";
/// The power to have files removed.
pub(crate) const PRUNE: &str = "prune";
/// Where stores keep their mark: nobody's files.
const RESERVED: &[u8] = b".syncline";

const MAX_TARGETS: usize = 1_000;
const MAX_TREES: usize = 10_000;
const MAX_FILES: usize = 1_000_000;
const MAX_PATTERNS: usize = 1_000;
const MAX_PATTERN: usize = 1 << 10;
const MAX_APPEND: usize = 1 << 20;
const MAX_CONTENTS: usize = 64 << 20;
/// Most memory of the host that the declarations of a run may take, roughly. A million files take half of it.
const MAX_DECLARED: usize = 512 << 20;
/// What a declaration takes beside its texts, roughly.
const DECLARED: usize = 160;
/// What a target in a declaration takes, roughly.
const TARGET: usize = 32;

/// A target that a sync binds.
#[derive(Debug, Clone)]
pub struct BoundTarget {
    /// What the sync calls it.
    pub name: Name,
    /// What it is, for the plugin: names and values.
    pub labels: Vec<Label>,
}

/// Bytes that the plugin makes, behind a handle.
#[derive(Default)]
pub struct Content {
    bytes: Vec<u8>,
    /// As last declared, so that declaring it again takes nothing.
    declared: Option<Arc<[u8]>>,
}

/// What may be declared in this call, and what was.
#[derive(Default)]
pub(crate) struct DesiredFilesContext {
    granted: bool,
    targets: Vec<BoundTarget>,
    sources: BTreeSet<Name>,
    prunable: BTreeSet<Name>,
    removal: bool,
    declared: FileDeclarations,
    files: usize,
    contents: usize,
    memory: usize,
}

impl DesiredFilesContext {
    /// Of what a sync binds, what `allowed` covers. Trees and files may name the sources that `stores` is granted for: to
    /// have files of a source put elsewhere is to read it.
    pub(crate) fn new(
        mut targets: Vec<BoundTarget>,
        sources: &[BoundSource],
        allowed: &[Capability],
        allow_removal: bool,
    ) -> Self {
        let here = grants(allowed, INTERFACE);
        targets.retain(|target| here.clone().any(|grant| stores::names(grant, &target.name)));
        targets.sort_by(|a, b| a.name.cmp(&b.name));
        for target in &mut targets {
            target.labels.sort();
        }
        let mut pruning = here.clone().filter(|grant| grant.allow.iter().any(|power| power == PRUNE));
        let prunable = targets
            .iter()
            .map(|target| &target.name)
            .filter(|name| pruning.clone().any(|grant| stores::names(grant, name)))
            .cloned()
            .collect();
        let removal = allow_removal && pruning.next().is_some();
        let reading = grants(allowed, stores::INTERFACE);
        let readable = |name: &Name| reading.clone().any(|grant| stores::names(grant, name));
        let sources =
            sources.iter().map(|source| &source.name).filter(|name| readable(name)).cloned().collect();
        let granted = here.clone().next().is_some();
        Self { granted, targets, sources, prunable, removal, ..Self::default() }
    }

    /// All that was declared.
    pub(crate) fn take(&mut self) -> FileDeclarations {
        std::mem::take(&mut self.declared)
    }

    fn authorise(&self) -> Result<(), Failure> {
        if self.granted { Ok(()) } else { Err(not_granted(INTERFACE)) }
    }

    fn targets(&self, names: Vec<String>) -> Result<Targets, Failure> {
        if names.is_empty() {
            return Err(Failure::plugin(
                "targets",
                "no target is named: an empty list never means all of them",
            ));
        }
        if names.len() > MAX_TARGETS {
            let message = format!("{} targets in one call: name at most {MAX_TARGETS}", names.len());
            return Err(Failure::plugin("targets", message));
        }
        names.into_iter().map(|name| self.target(&name)).collect()
    }

    fn target(&self, name: &str) -> Result<Name, Failure> {
        match self.targets.binary_search_by(|target| target.name.as_str().cmp(name)) {
            Ok(at) => Ok(self.targets[at].name.clone()),
            Err(_) => {
                let name: String = name.chars().take(Name::MAX).collect();
                let message =
                    format!("{name:?} is not among the targets of this run: use the names of `targets`");
                Err(Failure::plugin("target", message))
            }
        }
    }

    fn source(&self, name: &str) -> Result<Name, Failure> {
        self.sources.iter().find(|source| source.as_str() == name).cloned().ok_or_else(|| {
            let name: String = name.chars().take(Name::MAX).collect();
            Failure::denied(
                "source",
                format!(
                    "{name:?} is not among the sources that this sync gives to the plugin: an operator can bind it, and an \
                     administrator can grant `stores` for it if the plugin asks for that"
                ),
            )
        })
    }

    /// Makes sure that the host has room for what a declaration takes.
    fn charge(&mut self, targets: usize, bytes: usize) -> Result<(), Failure> {
        let memory = self.memory + DECLARED + targets * TARGET + bytes;
        if memory > MAX_DECLARED {
            let message = format!(
                "the declarations of this run take more than {MAX_DECLARED} bytes: declare trees by reference instead of \
                 their files, and name the targets that get the same in one call"
            );
            return Err(Failure::plugin_limit("declared", message));
        }
        self.memory = memory;
        Ok(())
    }

    fn declare_files(&mut self, targets: Targets, files: Vec<DeclaredFile>, stage: u8) {
        self.files += files.len();
        match self.declared.files.last_mut() {
            // Batches of one list: the set of targets is kept once.
            Some(last) if last.stage == stage && last.targets == targets => last.files.extend(files),
            _ => self.declared.files.push(DeclaredFiles { targets, files, stage }),
        }
    }
}

fn check_stage(stage: u8) -> Result<(), Failure> {
    if stage < STAGES {
        return Ok(());
    }
    Err(Failure::plugin("stage", format!("stage {stage}: stages are 0 to {}", STAGES - 1)))
}

/// A folder on the targets.
fn folder(text: String) -> Result<RelPath, Failure> {
    let path = path(text)?;
    if path.names().next() == Some(RESERVED) {
        let message =
            format!("{path} is in `.syncline`, where a store keeps its mark: choose another folder");
        return Err(Failure::plugin("path", message));
    }
    Ok(path)
}

/// A file on the targets.
fn file_path(text: String) -> Result<RelPath, Failure> {
    let path = folder(text)?;
    if path.is_root() {
        return Err(Failure::plugin(
            "path",
            "the empty path is the target's root, which is no file: name a file",
        ));
    }
    Ok(path)
}

/// Patterns as they will be used: `*` and `?` stay within a name, `\` escapes.
fn check_patterns(patterns: &[String]) -> Result<(), Failure> {
    if patterns.len() > MAX_PATTERNS {
        let message = format!("{} patterns in one list: use at most {MAX_PATTERNS}", patterns.len());
        return Err(Failure::plugin("pattern", message));
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let shown: String = pattern.chars().take(200).collect();
        let bad =
            |why: String| Failure::plugin("pattern", format!("the pattern {shown:?} is no glob: {why}"));
        if pattern.len() > MAX_PATTERN {
            return Err(bad(format!("it is {} bytes long, and {MAX_PATTERN} is the most", pattern.len())));
        }
        let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
        set.add(glob.map_err(|error| bad(error.kind().to_string()))?);
    }
    // Each can be well formed and all of them together still too large for the matcher.
    let built = set
        .build()
        .map_err(|error| Failure::plugin("pattern", format!("the patterns are too complex: {error}")));
    built.map(drop)
}

fn check_digest(text: Option<String>) -> Result<Option<Blake3>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let shown: String = text.chars().take(100).collect();
    let bad = || {
        let message = format!("{shown:?} is no digest: write `blake3:` and 64 lower-case hexadecimal digits");
        Failure::plugin("digest", message)
    };
    let (algorithm, digits) = text.split_once(':').ok_or_else(bad)?;
    if algorithm != "blake3" {
        let message =
            format!("digests of {:?} are not known here: use blake3", &shown[..shown.find(':').unwrap_or(0)]);
        return Err(Failure::new(FailureKind::Unsupported, Fault::Plugin, "digest", message));
    }
    if digits.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(bad());
    }
    blake3::Hash::from_hex(digits).map(|hash| Some(hash.into())).map_err(|_| bad())
}

/// Two different files at one path of the same call. What other calls put there is seen when all have been made.
fn check_conflicts(files: &[DeclaredFile]) -> Result<(), Failure> {
    let mut seen: HashMap<&RelPath, &DeclaredFile> = HashMap::with_capacity(files.len());
    for file in files {
        if let Some(other) = seen.insert(&file.path, file)
            && other != file
        {
            let message = format!(
                "two different files are declared at {}: {} of {} and {} of {}",
                file.path, other.source_path, other.source, file.source_path, file.source
            );
            return Err(Failure::plugin("conflict", message));
        }
    }
    Ok(())
}

impl Host for Call {
    fn targets(&mut self) -> wasmtime::Result<Vec<Target>> {
        self.begin()?;
        let target = |target: &BoundTarget| Target {
            name: target.name.as_str().to_owned(),
            labels: labels(&target.labels),
        };
        Ok(self.desired_files.targets.iter().map(target).collect())
    }

    fn declare_tree(
        &mut self,
        targets: Vec<String>,
        at: String,
        tree: Tree,
        stage: u8,
    ) -> Result<(), Refusal> {
        self.begin()?;
        let context = &mut self.desired_files;
        context.authorise()?;
        let targets = context.targets(targets)?;
        let source = context.source(&tree.source)?;
        let (at, from) = (folder(at)?, path(tree.folder)?);
        check_patterns(&tree.including)?;
        check_patterns(&tree.excluding)?;
        check_stage(stage)?;
        if context.declared.trees.len() >= MAX_TREES {
            let message =
                format!("more than {MAX_TREES} trees in a run: declare a folder above them, with patterns");
            return Err(Failure::plugin_limit("trees", message).into());
        }
        let patterns = tree.including.iter().chain(&tree.excluding).map(|pattern| pattern.len() + TARGET);
        context
            .charge(targets.len(), patterns.sum::<usize>() + at.as_bytes().len() + from.as_bytes().len())?;
        let (including, excluding) = (tree.including, tree.excluding);
        context.declared.trees.push(DeclaredTree {
            targets,
            at,
            source,
            folder: from,
            including,
            excluding,
            stage,
        });
        Ok(())
    }

    fn declare_files(&mut self, targets: Vec<String>, files: Vec<File>, stage: u8) -> Result<(), Refusal> {
        self.begin()?;
        let context = &mut self.desired_files;
        context.authorise()?;
        batch("files", files.len())?;
        let targets = context.targets(targets)?;
        check_stage(stage)?;
        if context.files + files.len() > MAX_FILES {
            let message = format!("more than {MAX_FILES} single files in a run: declare trees by reference");
            return Err(Failure::plugin_limit("files", message).into());
        }
        let mut bytes = 0;
        let mut checked = Vec::with_capacity(files.len());
        for file in files {
            bytes += DECLARED + file.path.len() + file.source_path.len();
            checked.push(DeclaredFile {
                path: file_path(file.path)?,
                source: context.source(&file.source)?,
                source_path: path(file.source_path)?,
                digest: check_digest(file.digest)?,
            });
        }
        check_conflicts(&checked)?;
        context.charge(targets.len(), bytes)?;
        context.declare_files(targets, checked, stage);
        Ok(())
    }

    fn declare_content(
        &mut self,
        targets: Vec<String>,
        path: String,
        content: Resource<Content>,
        stage: u8,
    ) -> Result<(), Refusal> {
        self.begin()?;
        let context = &mut self.desired_files;
        context.authorise()?;
        let targets = context.targets(targets)?;
        let path = file_path(path)?;
        check_stage(stage)?;
        let content = self.table.get_mut(&content)?;
        let fresh = if content.declared.is_none() { content.bytes.len() } else { 0 };
        context.charge(targets.len(), fresh + path.as_bytes().len())?;
        let bytes = content.declared.get_or_insert_with(|| Arc::from(content.bytes.as_slice()));
        let bytes = Arc::clone(bytes);
        context.declared.contents.push(DeclaredContent { targets, path, bytes, stage });
        Ok(())
    }

    fn declare_inventory(
        &mut self,
        targets: Vec<String>,
        path: String,
        folder: String,
        format: String,
        stage: u8,
    ) -> Result<(), Refusal> {
        self.begin()?;
        let context = &mut self.desired_files;
        context.authorise()?;
        let targets = context.targets(targets)?;
        let (path, folder) = (file_path(path)?, self::folder(folder)?);
        if format != "json" {
            let format: String = format.chars().take(64).collect();
            let message = format!("inventories in format {format:?} are not known here: use json");
            return Err(Failure::new(FailureKind::Unsupported, Fault::Plugin, "format", message).into());
        }
        check_stage(stage)?;
        if stage == 0 {
            let message = "an inventory at stage 0 has no earlier stage to list: use 1 or later";
            return Err(Failure::plugin("stage", message).into());
        }
        context.charge(targets.len(), path.as_bytes().len() + folder.as_bytes().len())?;
        context.declared.inventories.push(DeclaredInventory { targets, path, folder, stage });
        Ok(())
    }

    fn prune(&mut self, targets: Vec<String>, folder: String, keep: Vec<String>) -> Result<(), Refusal> {
        self.begin()?;
        let context = &mut self.desired_files;
        context.authorise()?;
        if !context.removal {
            let message = "removal is not allowed: an administrator can grant `prune` of `desired-files` if the plugin asks \
                           for it, and an operator can set `allow_removal` of the sync";
            return Err(Failure::denied("prune", message).into());
        }
        let targets = context.targets(targets)?;
        if let Some(name) = targets.iter().find(|name| !context.prunable.contains(*name)) {
            let message =
                format!("removal is not granted for the target {name}: an administrator can widen the grant");
            return Err(Failure::denied("prune", message).into());
        }
        let folder = self::folder(folder)?;
        check_patterns(&keep)?;
        let patterns = keep.iter().map(|pattern| pattern.len() + TARGET).sum::<usize>();
        context.charge(targets.len(), patterns + folder.as_bytes().len())?;
        context.declared.prunes.push(DeclaredPrune { targets, folder, keep });
        Ok(())
    }
}

impl HostContent for Call {
    fn new(&mut self) -> wasmtime::Result<Resource<Content>> {
        self.begin()?;
        // A constructor has no result to refuse with.
        Ok(self.hold(Content::default())?)
    }

    fn append(&mut self, content: Resource<Content>, data: Vec<u8>) -> Result<(), Refusal> {
        self.begin()?;
        self.desired_files.authorise()?;
        if data.len() > MAX_APPEND {
            let message = format!("{} bytes appended in one call: append at most {MAX_APPEND}", data.len());
            return Err(Failure::plugin_limit("append", message).into());
        }
        let contents = self.desired_files.contents + data.len();
        if contents > MAX_CONTENTS {
            let message = format!("the contents of this run are more than {MAX_CONTENTS} bytes in all");
            return Err(Failure::plugin_limit("contents", message).into());
        }
        self.desired_files.contents = contents;
        let content = self.table.get_mut(&content)?;
        content.bytes.extend_from_slice(&data);
        content.declared = None;
        Ok(())
    }

    fn drop(&mut self, content: Resource<Content>) -> wasmtime::Result<()> {
        self.table.delete(content)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
