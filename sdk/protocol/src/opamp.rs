//! The messages of OpAMP, version 0.18, with the field numbers of its `opamp.proto` and `anyvalue.proto`.
//!
//! * [`AgentToServer`] and [`ServerToAgent`] are the two that travel; all others are parts of them.
//! * [`AgentCapabilities`], [`ServerCapabilities`], [`AgentToServerFlags`], [`ServerToAgentFlags`]: the bits in their fields.
//! * [`AgentDescription`] can be asked for an attribute by name; [`KeyValue::new`] makes one.
//!
//! Names are those of the specification in Rust's spelling (`OpAMPConnectionSettings` is [`OpAmpConnectionSettings`]); a field
//! that is named `type` there is named `kind` here. A message field that is not set is `None`; any other field that is not set
//! has the default of its type. Maps are sorted, so that equal messages have equal bytes. An enumeration is an `i32` field with a
//! method of its name, which takes values that are not known for the first one; use `try_from` where that matters.
//!
//! `Debug` of a message shows no value of a header, no private key and no body of a document: these must not reach a log.

mod agent;
mod attributes;
mod bits;
mod components;
mod config;
mod connection;
mod custom;
mod health;
mod packages;
mod server;
mod value;

pub use agent::{AgentDescription, AgentDisconnect, AgentToServer};
pub use bits::{AgentCapabilities, AgentToServerFlags, ServerCapabilities, ServerToAgentFlags};
pub use components::{AvailableComponents, ComponentDetails};
pub use config::{
    AgentConfigFile, AgentConfigMap, AgentRemoteConfig, EffectiveConfig, RemoteConfigStatus,
    RemoteConfigStatuses,
};
pub use connection::{
    CertificateRequest, ConnectionSettingsOffers, ConnectionSettingsRequest, ConnectionSettingsStatus,
    ConnectionSettingsStatuses, Header, Headers, OpAmpConnectionSettings, OpAmpConnectionSettingsRequest,
    OtherConnectionSettings, ProxyConnectionSettings, TelemetryConnectionSettings, TlsCertificate,
    TlsConnectionSettings,
};
pub use custom::{CustomCapabilities, CustomMessage};
pub use health::ComponentHealth;
pub use packages::{
    DownloadableFile, PackageAvailable, PackageDownloadDetails, PackageStatus, PackageStatusEnum,
    PackageStatuses, PackageType, PackagesAvailable,
};
pub use server::{
    AgentIdentification, CommandType, ErrorDetails, RetryInfo, ServerErrorResponse, ServerErrorResponseType,
    ServerToAgent, ServerToAgentCommand,
};
pub use value::{AnyValue, ArrayValue, KeyValue, KeyValueList, Value};
