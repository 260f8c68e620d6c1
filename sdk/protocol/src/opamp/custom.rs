//! What the specification has no words for (section "Custom Messages"). Development.

use std::fmt;

use bytes::Bytes;

/// The custom capabilities that one side has (section "CustomCapabilities").
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct CustomCapabilities {
    /// Each a reverse domain name, with a version if need be.
    #[prost(string, repeated, tag = "1")]
    pub capabilities: Vec<String>,
}

/// A message of a custom capability (section "CustomMessage"). `Debug` shows how long its data are.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
#[prost(skip_debug)]
pub struct CustomMessage {
    /// Which capability: one that the other side has.
    #[prost(string, tag = "1")]
    pub capability: String,
    /// Which message of it. `type` in the specification.
    #[prost(string, tag = "2")]
    pub kind: String,
    /// What it says, as the capability defines it.
    #[prost(bytes = "bytes", tag = "3")]
    pub data: Bytes,
}

impl CustomCapabilities {
    /// Whether this one is among them.
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|one| one == capability)
    }
}

impl fmt::Debug for CustomMessage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CustomMessage")
            .field("capability", &self.capability)
            .field("kind", &self.kind)
            .field("data", &format_args!("{} bytes", self.data.len()))
            .finish()
    }
}
