//! What a plugin of world `file-sync` declared in a run, with paths and names checked but not looked up.

use std::collections::BTreeSet;

use crate::{Name, RelPath};

/// The stages that there are: 0 to 15.
pub const STAGES: u8 = 16;

/// A set of target names, 1 to 1,000.
pub type Targets = BTreeSet<Name>;

/// A digest of the host: BLAKE3.
pub type Blake3 = [u8; 32];

/// All declarations of one run. Their order does not matter; see wit/desired-files.wit for what they mean together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileDeclarations {
    /// Trees by reference.
    pub trees: Vec<DeclaredTree>,
    /// Single files.
    pub files: Vec<DeclaredFiles>,
    /// Contents that the plugin made.
    pub contents: Vec<DeclaredContent>,
    /// Inventories that the host writes.
    pub inventories: Vec<DeclaredInventory>,
    /// Folders below which nothing else should stand.
    pub prunes: Vec<DeclaredPrune>,
}

/// The files below a folder of a source, to stand below `at`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredTree {
    /// Who gets it.
    pub targets: Targets,
    /// The folder on the targets.
    pub at: RelPath,
    /// Name of the source.
    pub source: Name,
    /// The folder in the source.
    pub folder: RelPath,
    /// Globs on paths below `folder`; empty for all.
    pub including: Vec<String>,
    /// Globs of what is left out.
    pub excluding: Vec<String>,
    /// 0 to 15.
    pub stage: u8,
}

/// Files declared in one call.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredFiles {
    /// Who gets them.
    pub targets: Targets,
    /// The files.
    pub files: Vec<DeclaredFile>,
    /// 0 to 15.
    pub stage: u8,
}

/// One file of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredFile {
    /// Where it should stand.
    pub path: RelPath,
    /// Name of the source.
    pub source: Name,
    /// Where it is in the source.
    pub source_path: RelPath,
    /// If set, only this content will do.
    pub digest: Option<Blake3>,
}

/// Bytes that the plugin made.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredContent {
    /// Who gets it.
    pub targets: Targets,
    /// Where it should stand.
    pub path: RelPath,
    /// The bytes. Shared: the same content can be declared in many places.
    pub bytes: std::sync::Arc<[u8]>,
    /// 0 to 15.
    pub stage: u8,
}

/// A list of files with their digests, in format `json`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredInventory {
    /// Who gets it.
    pub targets: Targets,
    /// Where it should stand.
    pub path: RelPath,
    /// What it lists: files of earlier stages below this folder.
    pub folder: RelPath,
    /// 1 to 15.
    pub stage: u8,
}

/// A folder below which only what is declared, and what matches `keep`, should stand.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredPrune {
    /// Where.
    pub targets: Targets,
    /// The folder on the targets.
    pub folder: RelPath,
    /// Globs on paths below `folder` of what stays.
    pub keep: Vec<String>,
}
