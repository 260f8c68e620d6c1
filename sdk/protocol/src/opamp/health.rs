//! How an agent is (section "ComponentHealth Message"). Beta.

use std::collections::BTreeMap;

use super::KeyValue;

/// How an agent or a part of it is. Times are nanoseconds since 1970-01-01T00:00:00Z by the agent's clock.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ComponentHealth {
    /// Whether it is up and well.
    #[prost(bool, tag = "1")]
    pub healthy: bool,
    /// Since when it is up; 0 if it is not.
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// What is wrong, for people.
    #[prost(string, tag = "3")]
    pub last_error: String,
    /// A word of the agent's own.
    #[prost(string, tag = "4")]
    pub status: String,
    /// When it was found so.
    #[prost(fixed64, tag = "5")]
    pub status_time_unix_nano: u64,
    /// What it consists of, by name, as deep as need be.
    #[prost(btree_map = "string, message", tag = "6")]
    pub component_health_map: BTreeMap<String, ComponentHealth>,
    /// More about it. Development.
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
}
