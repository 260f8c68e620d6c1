//! Places with files: stores, and the collections of the library in them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Failure, Name, RelPath,
    guard::GuardLimits,
    ids::{NodeId, StoreId},
    refresh::{CollectionSource, RefreshSchedule},
};

/// Collections that every server comes with, and what each is for.
pub const PREDEFINED: [(&str, &str); 3] = [
    ("patches", "Patches of systems and applications"),
    ("engines", "Engines and their updates"),
    ("definitions", "Definitions that engines work by"),
];
/// The store that they are in until an administrator says otherwise.
pub const BUILT_IN_STORE: &str = "built-in-library";

/// Kind of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// A folder of the host's file system, mounted shares included.
    Folder,
}

/// A registered place with files: a folder today; a distribution server is one that syncs fill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StoreRecord {
    /// What syncs and collections call it.
    pub name: Name,
    /// What its mark (`.syncline/store.json`) must say.
    pub id: StoreId,
    /// Kind.
    pub kind: StoreKind,
    /// Absolute path of the folder.
    pub path: String,
    /// Whether every node sees this same folder at this path. Only runs whose stores are all shared can move to another
    /// node.
    pub shared: bool,
    /// The node that sees it, where it is not shared.
    pub node: NodeId,
    /// For people and plugins, such as `component` = `patches`.
    pub labels: BTreeMap<String, String>,
    /// For people.
    pub description: String,
    /// Most bytes a second that are written to it; no limit if absent.
    pub bytes_per_second: Option<u64>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Counts changes; the `ETag` of the API.
    pub revision: i64,
}

/// A named part of the library: the files below `prefix` in a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Collection {
    /// What syncs call it.
    pub name: Name,
    /// Store that holds it.
    pub store: Name,
    /// Folder in the store; empty for all of it.
    #[schema(value_type = String)]
    pub prefix: RelPath,
    /// For people.
    pub description: String,
    /// Where its files come from.
    #[serde(default)]
    pub source: CollectionSource,
    /// When it is refreshed by itself; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshSchedule>,
    /// Limits on the difference that a refresh applies unasked.
    #[serde(default)]
    pub limits: GuardLimits,
    /// Whether the server made it and nobody changed it since: one that is registered under its name takes its place.
    #[serde(default)]
    pub as_made: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Counts changes; the `ETag` of the API.
    pub revision: i64,
}

impl Collection {
    /// Its next tick after `now`; none if it has no schedule, or none that fires any more.
    pub fn next_tick(&self, now: Timestamp) -> Option<Timestamp> {
        self.refresh.as_ref()?.when.next(self.created_at, now).ok()?
    }

    /// Whether one of the two lies in the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.store == other.store
            && (self.prefix.is_within(&other.prefix) || other.prefix.is_within(&self.prefix))
    }
}

/// Whether a store can be used now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum StoreStatus {
    /// It is there and carries its mark.
    Available,
    /// It is not there, is not what was adopted, or cannot be read.
    Unavailable {
        /// Why, and what to do.
        failure: Failure,
    },
    /// It is not shared and belongs to another node, which alone can tell.
    OnAnotherNode {
        /// That node.
        node: NodeId,
    },
}
