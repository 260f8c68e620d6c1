//! What a plugin of world `directory-sync` declares. wit/directory-types.wit and wit/desired-directory.wit say what it
//! means; lengths and counts are checked where it comes in.

use std::{fmt, str::FromStr, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Failure, word::words};

/// What never changes about an entry while it exists, such as objectGUID or entryUUID in its usual text form: 1 to 128
/// bytes, compared byte by byte. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 128)]
pub struct EntryId(Arc<str>);

/// A text that is no [`EntryId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id of an entry has 1 to 128 bytes and no control characters; this one has {0} bytes")]
pub struct BadEntryId(pub usize);

impl EntryId {
    /// Most bytes of an id.
    pub const MAX: usize = 128;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntryId {
    type Err = BadEntryId;

    fn from_str(text: &str) -> Result<Self, BadEntryId> {
        if text.is_empty() || text.len() > Self::MAX || text.chars().any(char::is_control) {
            return Err(BadEntryId(text.len()));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for EntryId {
    type Error = BadEntryId;
    fn try_from(text: String) -> Result<Self, BadEntryId> {
        text.parse()
    }
}

impl From<EntryId> for String {
    fn from(id: EntryId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Somebody.
    Person,
    /// Has members.
    Group,
    /// A machine.
    Computer,
    /// An organisational unit or another container.
    Unit,
}

words!(EntryKind, "kind of entry":
    Person = "person",
    Group = "group",
    Computer = "computer",
    Unit = "unit",
);

/// Another entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// By its id.
    Id(EntryId),
    /// By one of its aliases, such as a distinguished name in normal form: 1 to 4,096 bytes.
    Alias(String),
}

/// One value of an attribute. In JSON an object with one member, such as `{"text": "Ada"}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// A text.
    Text(String),
    /// Bytes, in base64 where they are written down.
    Bytes(#[serde(with = "base64_bytes")] Vec<u8>),
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// A point in time.
    Time(Timestamp),
    /// Another entry.
    Reference(Reference),
}

mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}

/// What is known of an entry under one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Attribute {
    /// The platform's name for it: `email`, `given-name`, `phone`. Open: others are kept as they are.
    pub name: String,
    /// The directory's name for what it was made from, such as `mail`.
    pub source: String,
    /// At most 1,024, 256 KiB in all. The order is kept; equality of entries ignores it.
    #[schema(value_type = Vec<Object>)]
    pub values: Vec<Value>,
}

/// A person, group, computer or unit of a directory, in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Entry {
    /// What it is known by.
    pub id: EntryId,
    /// What it is.
    pub kind: EntryKind,
    /// For people to read, at most 256 bytes.
    pub name: String,
    /// What other entries may call it by. At most 16.
    pub aliases: Vec<String>,
    /// The unit that it sits in.
    pub parent: Option<Reference>,
    /// False for an account that is locked or switched off there.
    pub enabled: bool,
    /// Sorted by name, each name once, at most 128. One that was there before and is missing here is removed.
    pub attributes: Vec<Attribute>,
}

/// How a list of members is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembershipChange {
    /// Some of the members. Nobody goes out before the last part has come.
    Part,
    /// The last part: whom no part of this run names is a member no more.
    LastPart,
    /// These came in, all others stay.
    Added,
    /// These went out, all others stay.
    Removed,
}

/// Direct members of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: EntryId,
    /// How the list is meant.
    pub change: MembershipChange,
    /// Who.
    pub members: Vec<Reference>,
}

/// Something that is there and cannot be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// None if not even that could be read.
    pub id: Option<EntryId>,
    /// What a person would find it by.
    pub name: String,
    /// Why.
    pub reason: Failure,
}
