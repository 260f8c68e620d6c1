//! Configuration: offered, in use, and what became of it (section "Configuration").

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

/// An offer of configuration: always all of it (section "AgentRemoteConfig Message").
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AgentRemoteConfig {
    /// The documents. Present and without entries takes all of them back.
    #[prost(message, optional, tag = "1")]
    pub config: Option<AgentConfigMap>,
    /// What tells this offer from others, see [`config_hash`](crate::hash::config_hash); always set.
    #[prost(bytes = "vec", tag = "2")]
    pub config_hash: Vec<u8>,
}

/// Documents by name.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AgentConfigMap {
    /// The name is a file, a section, or (ours) an application. An agent with only one can have it under the empty name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub config_map: BTreeMap<String, AgentConfigFile>,
}

/// One document. `Debug` shows how long it is.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
#[prost(skip_debug)]
pub struct AgentConfigFile {
    /// Its bytes; cheap to clone, since many devices have the same.
    #[prost(bytes = "bytes", tag = "1")]
    pub body: Bytes,
    /// The MIME type of it; can be empty.
    #[prost(string, tag = "2")]
    pub content_type: String,
}

impl fmt::Debug for AgentConfigFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AgentConfigFile")
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("content_type", &self.content_type)
            .finish()
    }
}

/// The configuration that an agent has in use, merged in a way of its own (section "EffectiveConfig Message").
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EffectiveConfig {
    /// The documents.
    #[prost(message, optional, tag = "1")]
    pub config_map: Option<AgentConfigMap>,
}

/// What became of the last offer (section "RemoteConfigStatus Message").
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct RemoteConfigStatus {
    /// The `config_hash` of that offer. If it is not the one that should be, the server offers again.
    #[prost(bytes = "vec", tag = "1")]
    pub last_remote_config_hash: Vec<u8>,
    /// How far it is: one word for all documents.
    #[prost(enumeration = "RemoteConfigStatuses", tag = "2")]
    pub status: i32,
    /// Why it failed.
    #[prost(string, tag = "3")]
    pub error_message: String,
}

/// How far an offer of configuration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum RemoteConfigStatuses {
    /// Not said.
    Unset = 0,
    /// In use.
    Applied = 1,
    /// Under way.
    Applying = 2,
    /// Not in use; the message says why.
    Failed = 3,
}
