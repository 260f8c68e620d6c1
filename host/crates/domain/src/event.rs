//! The append-only Event History.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Name,
    ids::{DeviceId, NodeId, RunId},
    log::LogLevel,
    run::Subject,
};

/// A new line for the history. What is not set has nothing to do with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewEvent {
    /// What happened, as a stable word: `run.succeeded`, `plugin.enabled`, `store.unavailable`.
    pub kind: String,
    /// How pressing it is.
    pub level: LogLevel,
    /// A sentence for a person.
    pub message: String,
    /// Who did it: a token's name, or `system`.
    pub actor: String,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<Name>,
    /// The store or distribution server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Name>,
    /// The collections. An event about a sync is about those that the sync reads, without being told so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<Name>,
    /// The plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Name>,
    /// The device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// More for programs.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

impl NewEvent {
    /// An event of `level` info by `actor`; set the rest with struct update or the methods below.
    pub fn new(kind: &str, actor: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            level: LogLevel::Info,
            message: message.into(),
            actor: actor.to_owned(),
            run: None,
            sync: None,
            store: None,
            collections: Vec::new(),
            plugin: None,
            device: None,
            data: serde_json::Value::Null,
        }
    }

    /// With another level.
    #[must_use]
    pub fn level(mut self, level: LogLevel) -> Self {
        self.level = level;
        self
    }

    /// About a run of a sync.
    #[must_use]
    pub fn run(mut self, run: RunId, sync: &Name) -> Self {
        self.run = Some(run);
        self.sync = Some(sync.clone());
        self
    }

    /// About a run, whatever it is of.
    #[must_use]
    pub fn of_run(mut self, run: RunId, subject: &Subject) -> Self {
        self.run = Some(run);
        match subject {
            Subject::Sync(name) => self.sync(name),
            Subject::Collection(name) => self.collection(name),
        }
    }

    /// About a sync.
    #[must_use]
    pub fn sync(mut self, sync: &Name) -> Self {
        self.sync = Some(sync.clone());
        self
    }

    /// About a store.
    #[must_use]
    pub fn store(mut self, store: &Name) -> Self {
        self.store = Some(store.clone());
        self
    }

    /// About a collection, and those that were named before.
    #[must_use]
    pub fn collection(mut self, collection: &Name) -> Self {
        self.collections.push(collection.clone());
        self
    }

    /// About a plugin.
    #[must_use]
    pub fn plugin(mut self, plugin: &Name) -> Self {
        self.plugin = Some(plugin.clone());
        self
    }

    /// About a device.
    #[must_use]
    pub fn device(mut self, device: DeviceId) -> Self {
        self.device = Some(device);
        self
    }

    /// With more for programs.
    #[must_use]
    pub fn data(mut self, data: serde_json::Value) -> Self {
        self.data = data;
        self
    }
}

/// A line of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Its place: rises by one with each event, across all nodes.
    pub seq: i64,
    /// When it was written.
    pub at: Timestamp,
    /// The node that wrote it.
    pub node: NodeId,
    /// What happened.
    #[serde(flatten)]
    pub event: NewEvent,
}
