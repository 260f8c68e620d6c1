//! Declaring what should stand on the targets. Nothing here changes anything: the host compares and makes it so, after
//! [`FileSync::declare`](crate::FileSync::declare) has returned.
//!
//! | you want | take |
//! | --- | --- |
//! | a folder of a source, whole or by patterns | [`Tree`] |
//! | single files under paths of their own | [`File`], many at once with [`declare_files`] |
//! | a file whose bytes the plugin makes | [`Content`] |
//! | a list of what stands there, with digests | [`Inventory`] |
//! | that nothing else stands there | [`Prune`] |
//!
//! Everything is declared for *named* targets: all of [`targets`], or some of them. An empty list never means all.
//!
//! A *stage* (0 to 15, 0 if not said) begins on a target when all earlier ones stand there: declare what names other files
//! in a later stage than these.

use std::io;

use crate::{
    Labels,
    failure::Result,
    raw::syncline::plugin::desired_files::{self as raw, File as RawFile, Tree as RawTree},
};

/// Most targets of one call.
const TARGETS: usize = 1_000;
/// Files of one call: with the longest paths they stay within what a call carries.
const FILES: usize = 512;
/// Most bytes of one `append`.
const CHUNK: usize = 1 << 20;

/// A place to be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// What an administrator says of it.
    pub labels: Labels,
}

/// So that a list of targets serves where names are asked for.
impl AsRef<str> for Target {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

/// The targets of this run, sorted by name; the same at each call. They can be fewer than the sync has.
pub fn targets() -> Vec<Target> {
    let target = |raw: raw::Target| Target { name: raw.name, labels: raw.labels.into() };
    raw::targets().into_iter().map(target).collect()
}

/// Hands the names to `call`, at most as many at a time as a call takes. No names are handed over as well: the host says
/// then that an empty list never means all.
fn for_targets<T: AsRef<str>>(
    targets: impl IntoIterator<Item = T>,
    mut call: impl FnMut(&[String]) -> Result<()>,
) -> Result<()> {
    let names: Vec<String> = targets.into_iter().map(|target| target.as_ref().to_owned()).collect();
    if names.is_empty() {
        return call(&names);
    }
    names.chunks(TARGETS).try_for_each(call)
}

fn strings<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}

/// The files below a folder of a source, by reference: the plugin need not see one name of it.
///
/// ```no_run
/// # fn example() -> syncline_plugin::Result<()> {
/// use syncline_plugin::{Tree, targets};
///
/// Tree::of("patches").folder("windows").including(["**/*.msu"]).at("updates").stage(1).declare(targets())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is declared before `declare`"]
pub struct Tree {
    tree: RawTree,
    at: String,
    stage: u8,
}

impl Tree {
    /// Everything in this source, at the root of the target.
    pub fn of(source: impl AsRef<str>) -> Self {
        let source = source.as_ref().to_owned();
        let tree = RawTree { source, folder: String::new(), including: Vec::new(), excluding: Vec::new() };
        Self { tree, at: String::new(), stage: 0 }
    }

    /// Only what is below this folder of the source.
    pub fn folder(mut self, folder: impl Into<String>) -> Self {
        self.tree.folder = folder.into();
        self
    }

    /// Only files whose path below the folder matches one of these patterns; all if there is none.
    pub fn including<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.tree.including = strings(patterns);
        self
    }

    /// Not the files whose path below the folder matches one of these patterns.
    pub fn excluding<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.tree.excluding = strings(patterns);
        self
    }

    /// Below this folder of the target.
    pub fn at(mut self, folder: impl Into<String>) -> Self {
        self.at = folder.into();
        self
    }

    /// In this stage.
    pub fn stage(mut self, stage: u8) -> Self {
        self.stage = stage;
        self
    }

    /// Declare it for these targets.
    ///
    /// # Errors
    ///
    /// `denied` if the source is not bound; `invalid` for a bad path or pattern, no target or an unknown one.
    pub fn declare<T: AsRef<str>>(&self, targets: impl IntoIterator<Item = T>) -> Result<()> {
        for_targets(targets, |names| Ok(raw::declare_tree(names, &self.at, &self.tree, self.stage)?))
    }
}

/// One file of a source, under a path of its own.
#[derive(Debug, Clone)]
#[must_use = "nothing is declared before `declare`"]
pub struct File {
    file: RawFile,
    stage: u8,
}

impl File {
    /// This file of this source, at the same path.
    pub fn of(source: impl AsRef<str>, path: impl Into<String>) -> Self {
        let path = path.into();
        let source = source.as_ref().to_owned();
        Self { file: RawFile { path: path.clone(), source, source_path: path, digest: None }, stage: 0 }
    }

    /// At this path of the target.
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.file.path = path.into();
        self
    }

    /// Only with this content; with another one the operation on this file fails with `changed`.
    pub fn digest(mut self, digest: impl Into<String>) -> Self {
        self.file.digest = Some(digest.into());
        self
    }

    /// In this stage.
    pub fn stage(mut self, stage: u8) -> Self {
        self.stage = stage;
        self
    }

    /// Declare it for these targets.
    ///
    /// # Errors
    ///
    /// `denied` if the source is not bound; `invalid` for a bad path, a conflict, no target or an unknown one.
    pub fn declare<T: AsRef<str>>(self, targets: impl IntoIterator<Item = T>) -> Result<()> {
        declare_files(targets, [self])
    }
}

/// Declare many single files for these targets, in as few calls as it takes; at most 1,000,000 a run.
///
/// # Errors
///
/// As [`File::declare`].
pub fn declare_files<T: AsRef<str>>(
    targets: impl IntoIterator<Item = T>,
    files: impl IntoIterator<Item = File>,
) -> Result<()> {
    let names: Vec<String> = targets.into_iter().map(|target| target.as_ref().to_owned()).collect();
    let mut waiting: [Vec<RawFile>; 256] = std::array::from_fn(|_| Vec::new());
    let flush = |stage: u8, batch: &mut Vec<RawFile>| -> Result<()> {
        let batch = std::mem::take(batch);
        for_targets(&names, |names| Ok(raw::declare_files(names, &batch, stage)?))
    };
    for File { file, stage } in files {
        let batch = &mut waiting[usize::from(stage)];
        batch.push(file);
        if batch.len() == FILES {
            flush(stage, batch)?;
        }
    }
    for (stage, batch) in (0u8..).zip(&mut waiting) {
        if !batch.is_empty() {
            flush(stage, batch)?;
        }
    }
    Ok(())
}

/// Bytes that the plugin makes, kept by the host: 64 MiB in all of a run. It is an [`io::Write`] as well.
///
/// Equal bytes are an unchanged file, so leave out what differs from run to run, such as the time.
///
/// ```no_run
/// # fn example() -> syncline_plugin::Result<()> {
/// use syncline_plugin::{Content, targets};
///
/// Content::of("hello\n")?.declare("greeting.txt", 0, targets())
/// # }
/// ```
#[derive(Debug)]
pub struct Content(raw::Content);

impl Content {
    /// Empty.
    #[expect(clippy::new_without_default, reason = "it asks the host for a handle: say so")]
    pub fn new() -> Self {
        Self(raw::Content::new())
    }

    /// With these bytes.
    ///
    /// # Errors
    ///
    /// `limit` if it is too much.
    pub fn of(bytes: impl AsRef<[u8]>) -> Result<Self> {
        let content = Self::new();
        content.append(bytes)?;
        Ok(content)
    }

    /// Add to the end.
    ///
    /// # Errors
    ///
    /// `limit` if it is too much.
    pub fn append(&self, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(bytes.as_ref().chunks(CHUNK).try_for_each(|chunk| self.0.append(chunk))?)
    }

    /// Declare a file with this content as it is now. It can be added to and declared again.
    ///
    /// # Errors
    ///
    /// `invalid` for a bad path, no target or an unknown one.
    pub fn declare<T: AsRef<str>>(
        &self,
        path: &str,
        stage: u8,
        targets: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        for_targets(targets, |names| Ok(raw::declare_content(names, path, &self.0, stage)?))
    }
}

impl io::Write for Content {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file, written by the host, that lists what earlier stages declare below a folder, with the digests that the host has
/// from copying: `{"files":[{"path":…,"size":…,"blake3":…},…]}`, sorted by path.
#[derive(Debug, Clone)]
#[must_use = "nothing is declared before `declare`"]
pub struct Inventory {
    folder: String,
    path: String,
    stage: u8,
}

impl Inventory {
    /// The highest stage: after everything.
    pub const LAST: u8 = 15;

    /// Of this folder of the target (`""` is the root), as `manifest.json` in it, in the last stage.
    pub fn of(folder: impl Into<String>) -> Self {
        let folder = folder.into();
        let path =
            if folder.is_empty() { "manifest.json".to_owned() } else { format!("{folder}/manifest.json") };
        Self { folder, path, stage: Self::LAST }
    }

    /// At this path of the target.
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// In this stage, 1 to 15.
    pub fn stage(mut self, stage: u8) -> Self {
        self.stage = stage;
        self
    }

    /// Declare it for these targets.
    ///
    /// # Errors
    ///
    /// `invalid` for stage 0, a bad path, no target or an unknown one.
    pub fn declare<T: AsRef<str>>(&self, targets: impl IntoIterator<Item = T>) -> Result<()> {
        for_targets(targets, |names| {
            Ok(raw::declare_inventory(names, &self.path, &self.folder, "json", self.stage)?)
        })
    }
}

/// Says that below a folder nothing should stand but what this run declares and what is kept. Removal comes last on each
/// target, within the limits on deletions.
///
/// Only for use when all that belongs there is declared.
#[derive(Debug, Clone)]
#[must_use = "nothing is declared before `declare`"]
pub struct Prune {
    folder: String,
    keep: Vec<String>,
}

impl Prune {
    /// Below this folder of the target; `""` is the root.
    pub fn below(folder: impl Into<String>) -> Self {
        Self { folder: folder.into(), keep: Vec::new() }
    }

    /// But not what matches one of these patterns, by its path below the folder.
    pub fn keeping<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.keep = strings(patterns);
        self
    }

    /// Declare it for these targets.
    ///
    /// # Errors
    ///
    /// `denied` if the plugin's grants or the sync do not allow removal; `invalid`.
    pub fn declare<T: AsRef<str>>(&self, targets: impl IntoIterator<Item = T>) -> Result<()> {
        for_targets(targets, |names| Ok(raw::prune(names, &self.folder, &self.keep)?))
    }
}
