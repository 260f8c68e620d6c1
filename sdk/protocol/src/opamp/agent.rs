//! From agent to server (section "AgentToServer Message").

use super::{
    AgentCapabilities, AgentToServerFlags, AvailableComponents, ComponentHealth, ConnectionSettingsRequest,
    ConnectionSettingsStatus, CustomCapabilities, CustomMessage, EffectiveConfig, KeyValue, PackageStatuses,
    RemoteConfigStatus,
};
use crate::{BadInstanceUid, InstanceUid};

/// All that an agent says. What did not change since its last message can be left out (section "Agent Status Compression").
#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentToServer {
    /// The process that speaks, 16 bytes; see [`AgentToServer::uid`].
    #[prost(bytes = "vec", tag = "1")]
    pub instance_uid: Vec<u8>,
    /// One more than in the message before; a gap means that something was lost. 0 is "not said".
    #[prost(uint64, tag = "2")]
    pub sequence_num: u64,
    /// What the agent is and where it runs.
    #[prost(message, optional, tag = "3")]
    pub agent_description: Option<AgentDescription>,
    /// Bits of [`AgentCapabilities`]; set in every message, and can change.
    #[prost(uint64, tag = "4")]
    pub capabilities: u64,
    /// How the agent and its parts are. Beta.
    #[prost(message, optional, tag = "5")]
    pub health: Option<ComponentHealth>,
    /// The configuration that is in use, wherever it came from.
    #[prost(message, optional, tag = "6")]
    pub effective_config: Option<EffectiveConfig>,
    /// What became of the last offer of configuration.
    #[prost(message, optional, tag = "7")]
    pub remote_config_status: Option<RemoteConfigStatus>,
    /// The packages that the agent has or was offered. Beta.
    #[prost(message, optional, tag = "8")]
    pub package_statuses: Option<PackageStatuses>,
    /// Set in the last message of an agent that goes.
    #[prost(message, optional, tag = "9")]
    pub agent_disconnect: Option<AgentDisconnect>,
    /// Bits of [`AgentToServerFlags`].
    #[prost(uint64, tag = "10")]
    pub flags: u64,
    /// Asks for connection settings, so far for a certificate only. Development.
    #[prost(message, optional, tag = "11")]
    pub connection_settings_request: Option<ConnectionSettingsRequest>,
    /// The custom capabilities that the agent has. Development.
    #[prost(message, optional, tag = "12")]
    pub custom_capabilities: Option<CustomCapabilities>,
    /// At most one custom message. Development.
    #[prost(message, optional, tag = "13")]
    pub custom_message: Option<CustomMessage>,
    /// The components that could be configured on the agent. Development.
    #[prost(message, optional, tag = "14")]
    pub available_components: Option<AvailableComponents>,
    /// What became of the last offer of connection settings. Development.
    #[prost(message, optional, tag = "15")]
    pub connection_settings_status: Option<ConnectionSettingsStatus>,
}

/// What an agent is and where it runs (section "AgentDescription Message").
///
/// Keys are those of OpenTelemetry's resource conventions where there is one, such as `service.name` or `os.type`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentDescription {
    /// What tells the agent from others: `service.name`, `service.namespace`, `service.version`, `service.instance.id`.
    #[prost(message, repeated, tag = "1")]
    pub identifying_attributes: Vec<KeyValue>,
    /// The rest: `os.*`, `host.*`, and whatever an owner added.
    #[prost(message, repeated, tag = "2")]
    pub non_identifying_attributes: Vec<KeyValue>,
}

/// Says that the agent goes. It has no fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AgentDisconnect {}

impl AgentToServer {
    /// The process that speaks. Fails if the field has not exactly 16 bytes.
    pub fn uid(&self) -> Result<InstanceUid, BadInstanceUid> {
        self.instance_uid.as_slice().try_into()
    }

    /// The field `capabilities` as bits.
    pub fn can(&self) -> AgentCapabilities {
        AgentCapabilities(self.capabilities)
    }

    /// Whether the agent asks for a new instance uid (section "AgentToServer.flags").
    pub fn requests_instance_uid(&self) -> bool {
        AgentToServerFlags(self.flags).contains(AgentToServerFlags::REQUEST_INSTANCE_UID)
    }
}
