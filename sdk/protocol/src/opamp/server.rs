//! From server to agent (section "ServerToAgent Message").

use super::{
    AgentRemoteConfig, ConnectionSettingsOffers, CustomCapabilities, CustomMessage, PackagesAvailable,
    ServerCapabilities,
};
use crate::{BadInstanceUid, InstanceUid};

/// All that a server says. Every [`AgentToServer`](super::AgentToServer) is answered with one; over WebSocket, it can come
/// unasked too.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ServerToAgent {
    /// The process that is spoken to, as it named itself.
    #[prost(bytes = "vec", tag = "1")]
    pub instance_uid: Vec<u8>,
    /// The message could not be taken. No other field but `instance_uid` is set then.
    #[prost(message, optional, tag = "2")]
    pub error_response: Option<ServerErrorResponse>,
    /// An offer of configuration; only to an agent that accepts it.
    #[prost(message, optional, tag = "3")]
    pub remote_config: Option<AgentRemoteConfig>,
    /// An offer of settings for connections. Beta.
    #[prost(message, optional, tag = "4")]
    pub connection_settings: Option<ConnectionSettingsOffers>,
    /// An offer of packages. Beta.
    #[prost(message, optional, tag = "5")]
    pub packages_available: Option<PackagesAvailable>,
    /// Bits of [`ServerToAgentFlags`](super::ServerToAgentFlags).
    #[prost(uint64, tag = "6")]
    pub flags: u64,
    /// Bits of [`ServerCapabilities`]; set in the first message, can be 0 in later ones.
    #[prost(uint64, tag = "7")]
    pub capabilities: u64,
    /// Another uid for the agent.
    #[prost(message, optional, tag = "8")]
    pub agent_identification: Option<AgentIdentification>,
    /// A command. All fields but `instance_uid` and `capabilities` are passed over beside it. Beta.
    #[prost(message, optional, tag = "9")]
    pub command: Option<ServerToAgentCommand>,
    /// The custom capabilities that the server has. Development.
    #[prost(message, optional, tag = "10")]
    pub custom_capabilities: Option<CustomCapabilities>,
    /// At most one custom message. Development.
    #[prost(message, optional, tag = "11")]
    pub custom_message: Option<CustomMessage>,
}

/// Why a message was not taken (section "ServerErrorResponse Message").
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ServerErrorResponse {
    /// What the agent does next. `type` in the specification.
    #[prost(enumeration = "ServerErrorResponseType", tag = "1")]
    pub kind: i32,
    /// One sentence for people.
    #[prost(string, tag = "2")]
    pub error_message: String,
    /// More about it.
    #[prost(oneof = "ErrorDetails", tags = "3")]
    pub details: Option<ErrorDetails>,
}

/// More about an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Oneof)]
pub enum ErrorDetails {
    /// When to try again; beside [`ServerErrorResponseType::Unavailable`].
    #[prost(message, tag = "3")]
    RetryInfo(RetryInfo),
}

/// What an agent does after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ServerErrorResponseType {
    /// Nobody knows. Not tried again.
    Unknown = 0,
    /// The message was malformed. Not tried again.
    BadRequest = 1,
    /// The server has too much to do. Tried again later.
    Unavailable = 2,
}

/// When to try again (section "Throttling").
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct RetryInfo {
    /// Nanoseconds from now; the specification asks for at least 30 seconds.
    #[prost(uint64, tag = "1")]
    pub retry_after_nanoseconds: u64,
}

/// Another uid for the agent (section "ServerToAgent.agent_identification").
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AgentIdentification {
    /// 16 bytes; the agent goes by it from now on.
    #[prost(bytes = "vec", tag = "1")]
    pub new_instance_uid: Vec<u8>,
}

/// A command (section "ServerToAgentCommand Message"). Beta.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ServerToAgentCommand {
    /// Which. `type` in the specification.
    #[prost(enumeration = "CommandType", tag = "1")]
    pub kind: i32,
}

/// The commands that there are. Beta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum CommandType {
    /// Start anew; passed over by an agent that cannot.
    Restart = 0,
}

impl ServerToAgent {
    /// An answer that says what was wrong, and nothing else.
    pub fn error(instance_uid: Vec<u8>, kind: ServerErrorResponseType, message: impl Into<String>) -> Self {
        let error = ServerErrorResponse { kind: kind.into(), error_message: message.into(), details: None };
        Self { instance_uid, error_response: Some(error), ..Self::default() }
    }

    /// The process that is spoken to. Fails if the field has not exactly 16 bytes.
    pub fn uid(&self) -> Result<InstanceUid, BadInstanceUid> {
        self.instance_uid.as_slice().try_into()
    }

    /// The field `capabilities` as bits.
    pub fn can(&self) -> ServerCapabilities {
        ServerCapabilities(self.capabilities)
    }
}

impl AgentIdentification {
    /// Gives the agent this uid.
    pub fn new(uid: InstanceUid) -> Self {
        Self { new_instance_uid: uid.to_vec() }
    }
}
