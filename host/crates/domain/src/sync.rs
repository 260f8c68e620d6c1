//! Syncs: a plugin with settings, sources, targets and limits.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Name, directory::ImportSpec, guard::GuardLimits};

/// How thoroughly the host looks again at what it changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// What the target says: presence, size, modification time.
    #[default]
    Quick,
    /// The bytes as well, read again and compared by digest.
    Full,
}

/// How files are compared before anything is copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compare {
    /// Equal size and modification time is equal content. Of equal size with another time, the digest tells.
    #[default]
    Quick,
    /// Contents by digest, whatever the times say.
    Full,
}

/// What an operator can set of a sync.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncSpec {
    /// Plugin that decides.
    pub plugin: Name,
    /// Its settings, by the schema in its manifest.
    #[serde(default = "empty_object")]
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// Collections, or stores, that it may read. A collection goes before a store of the same name. For a plugin that reads
    /// directories: directory sources.
    #[serde(default)]
    pub sources: Vec<Name>,
    /// Stores that it fills.
    #[serde(default)]
    pub targets: Vec<Name>,
    /// Limits on the difference that is applied unasked.
    #[serde(default)]
    pub limits: GuardLimits,
    /// How files are compared.
    #[serde(default)]
    pub compare: Compare,
    /// How the result is looked at.
    #[serde(default)]
    pub verify: Verify,
    /// Whether each file is flushed to the disk before it is given its name.
    #[serde(default)]
    pub fsync: bool,
    /// Whether the plugin may have files removed, if its grants allow that at all.
    #[serde(default = "yes")]
    pub allow_removal: bool,
    /// Attempts of a run after failures that can pass, the first included.
    #[serde(default = "three")]
    #[schema(minimum = 1, maximum = 20)]
    pub max_attempts: u32,
    /// Whether its collections that have a source are refreshed before each run that changes something.
    #[serde(default, skip_serializing_if = "is_false")]
    pub refresh_before: bool,
    /// World `directory-sync`: what becomes of what is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<ImportSpec>,
    /// For people.
    #[serde(default)]
    pub description: String,
}

fn empty_object() -> serde_json::Value {
    serde_json::json!({})
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

const fn yes() -> bool {
    true
}

const fn three() -> u32 {
    3
}

/// A plugin with settings, grants and targets: one configured behaviour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Sync {
    /// What operators call it.
    pub name: Name,
    /// What an operator set.
    #[serde(flatten)]
    pub spec: SyncSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts changes; the `ETag` of the API.
    pub revision: i64,
}
