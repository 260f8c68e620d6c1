//! Operations: the changes that a diff found, and what became of each.

use serde::{Deserialize, Serialize};

use crate::{Failure, Name, RelPath};

/// What an operation does at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// A file that is not there yet.
    Copy,
    /// A file that is there with another content.
    Update,
    /// A file or folder with the right content and other times or mode.
    Touch,
    /// A folder that is not there yet.
    CreateFolder,
    /// A file that should not be there.
    Remove,
    /// A folder that should not be there and is empty by then.
    RemoveFolder,
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    /// Found by the diff and not begun: all operations of a preview or a held run.
    Planned,
    /// Carried out and looked at again.
    Done,
    /// Not carried out; see its failure.
    Failed,
    /// Not begun, because something before it failed or the run ended.
    Skipped,
}

/// One change that a diff found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Operation {
    /// Target store.
    pub target: Name,
    /// Where.
    #[schema(value_type = String)]
    pub path: RelPath,
    /// What.
    pub kind: OperationKind,
    /// Size of the content, in bytes; 0 for folders.
    pub size: u64,
    /// Stage.
    pub stage: u8,
    /// What became of it.
    pub state: OperationState,
    /// BLAKE3 of the content, if the host learnt it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What it does, in a few words, where path and kind do not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Why it failed or was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}
