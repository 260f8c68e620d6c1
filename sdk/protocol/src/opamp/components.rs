//! What could be configured on an agent (section "AvailableComponents Message"). Development.

use std::collections::BTreeMap;

use super::KeyValue;

/// The components that an agent has.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AvailableComponents {
    /// By id. Left out until the server asks with the flag `ReportAvailableComponents`.
    #[prost(btree_map = "string, message", tag = "1")]
    pub components: BTreeMap<String, ComponentDetails>,
    /// Of the components, as the agent calculates it; always set.
    #[prost(bytes = "vec", tag = "2")]
    pub hash: Vec<u8>,
}

/// One component.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ComponentDetails {
    /// What describes it.
    #[prost(message, repeated, tag = "1")]
    pub metadata: Vec<KeyValue>,
    /// What it consists of, by id, as deep as need be.
    #[prost(btree_map = "string, message", tag = "2")]
    pub sub_component_map: BTreeMap<String, ComponentDetails>,
}
