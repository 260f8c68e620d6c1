//! Syncs: a plugin with settings, sources, targets and limits.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Name, directory::ImportSpec, guard::GuardLimits, ids::ScheduleId};

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

/// How many servers are filled at once. Holds for the servers of each site by itself; those of no site are one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Servers at once; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub servers_at_once: Option<u32>,
    /// Files at once, over these servers; as many as the machine does if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 64)]
    pub files_at_once: Option<u32>,
    /// Seconds from the start of one server to that of the next; they start together if 0.
    #[schema(maximum = 3600)]
    pub stagger_seconds: u32,
}

impl Pace {
    /// What makes no sense of it.
    pub fn check(&self) -> Result<(), String> {
        match *self {
            Self { servers_at_once: Some(0 | 1_001..), .. } => {
                Err("servers_at_once: use 1 to 1000".to_owned())
            }
            Self { files_at_once: Some(0 | 65..), .. } => Err("files_at_once: use 1 to 64".to_owned()),
            Self { stagger_seconds: 3_601.., .. } => Err("stagger_seconds: use at most 3600".to_owned()),
            _ => Ok(()),
        }
    }

    /// Whether the servers of a site are filled together, all at once.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
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
    /// How many servers are filled at once.
    #[serde(default, skip_serializing_if = "Pace::is_free")]
    pub pace: Pace,
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
    /// The schedule that it was made for, and goes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<MadeBy>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts changes; the `ETag` of the API.
    pub revision: i64,
}

/// What a sync was made of, where an operator picked components and servers in place of a plugin and its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MadeBy {
    /// The schedule.
    pub schedule: ScheduleId,
    /// Collections that the servers get.
    pub components: Vec<Name>,
    /// Distribution servers.
    pub servers: Vec<Name>,
}
