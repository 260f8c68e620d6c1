//! Directory sources and entries as they are kept and shown.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Attribute, EntryId, EntryKind, LinkState, Reference, SourceSpec};
use crate::{
    Failure, Name,
    ids::{DeviceId, DirectoryEntryId, UserId},
};

/// A registered directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DirectorySource {
    /// What syncs call it.
    pub name: Name,
    /// What an administrator set.
    #[serde(flatten)]
    pub spec: SourceSpec,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts changes; the `ETag` of the API.
    pub revision: i64,
}

/// An entry that a sync read from a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EntryRecord {
    /// Id here.
    pub id: DirectoryEntryId,
    /// The sync that read it.
    pub sync: Name,
    /// What it is known by in the directory.
    pub entry: EntryId,
    /// What it is.
    pub kind: EntryKind,
    /// For people.
    pub name: String,
    /// What other entries call it by, such as its distinguished name.
    pub aliases: Vec<String>,
    /// The unit that it sits in.
    pub parent: Option<Reference>,
    /// False for an account that is locked or switched off there.
    pub enabled: bool,
    /// What is known of it.
    pub attributes: Vec<Attribute>,
    /// How it stands to a user here.
    pub state: LinkState,
    /// The user that goes by it.
    pub user: Option<UserId>,
    /// The enrolled device that it was matched to.
    pub device: Option<DeviceId>,
    /// Why it waits for a person: what it collides with, or what it lacks.
    pub held: Option<String>,
    /// When it was first read.
    pub created_at: Timestamp,
    /// When it was last read as another one.
    pub changed_at: Timestamp,
    /// Since when it is gone in the directory.
    pub gone_at: Option<Timestamp>,
    /// Counts changes.
    pub revision: i64,
}

/// Something that was read and could not be taken over. It is listed in every run until it can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RejectionRecord {
    /// The sync that read it.
    pub sync: Name,
    /// What it is known by in the directory, if that could be read.
    pub entry: Option<EntryId>,
    /// What a person would find it by.
    pub name: String,
    /// Why.
    pub reason: Failure,
    /// Since when.
    pub since: Timestamp,
}
