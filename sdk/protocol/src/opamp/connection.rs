//! Settings for connections: offered, asked for, and what became of them (section "Connection Settings Management"). Beta.

use std::{collections::BTreeMap, fmt};

/// An offer of settings; a connection that is not set stays as it is (section "ConnectionSettingsOffers Message").
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConnectionSettingsOffers {
    /// Of all settings, those left out too.
    #[prost(bytes = "vec", tag = "1")]
    pub hash: Vec<u8>,
    /// To this server. The agent tries it before it forgets what it had.
    #[prost(message, optional, tag = "2")]
    pub opamp: Option<OpAmpConnectionSettings>,
    /// Where metrics of the agent's own go.
    #[prost(message, optional, tag = "3")]
    pub own_metrics: Option<TelemetryConnectionSettings>,
    /// Where traces of the agent's own go.
    #[prost(message, optional, tag = "4")]
    pub own_traces: Option<TelemetryConnectionSettings>,
    /// Where logs of the agent's own go.
    #[prost(message, optional, tag = "5")]
    pub own_logs: Option<TelemetryConnectionSettings>,
    /// Others, by a name that the agent knows.
    #[prost(btree_map = "string, message", tag = "6")]
    pub other_connections: BTreeMap<String, OtherConnectionSettings>,
}

/// The connection to a server, complete: what is not set is off, not unchanged (section "OpAMPConnectionSettings").
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct OpAmpConnectionSettings {
    /// URL of WebSocket or HTTP; never empty.
    #[prost(string, tag = "1")]
    pub destination_endpoint: String,
    /// To send along: the credential.
    #[prost(message, optional, tag = "2")]
    pub headers: Option<Headers>,
    /// The client's certificate.
    #[prost(message, optional, tag = "3")]
    pub certificate: Option<TlsCertificate>,
    /// Seconds in which the agent says something at least once, and in which an HTTP client polls; 0 is never. Development.
    #[prost(uint64, tag = "4")]
    pub heartbeat_interval_seconds: u64,
    /// How to speak TLS. Development.
    #[prost(message, optional, tag = "5")]
    pub tls: Option<TlsConnectionSettings>,
    /// Through whom to go. Development.
    #[prost(message, optional, tag = "6")]
    pub proxy: Option<ProxyConnectionSettings>,
}

/// A connection for an agent's own telemetry (section "TelemetryConnectionSettings").
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct TelemetryConnectionSettings {
    /// URL of a receiver of OTLP over HTTP, with its path.
    #[prost(string, tag = "1")]
    pub destination_endpoint: String,
    /// To send along.
    #[prost(message, optional, tag = "2")]
    pub headers: Option<Headers>,
    /// The client's certificate.
    #[prost(message, optional, tag = "3")]
    pub certificate: Option<TlsCertificate>,
    /// How to speak TLS. Development.
    #[prost(message, optional, tag = "4")]
    pub tls: Option<TlsConnectionSettings>,
    /// Through whom to go. Development.
    #[prost(message, optional, tag = "5")]
    pub proxy: Option<ProxyConnectionSettings>,
}

/// Any other connection; what is not set stays as it is (section "OtherConnectionSettings").
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct OtherConnectionSettings {
    /// URL, host and port, or what else the agent understands.
    #[prost(string, tag = "1")]
    pub destination_endpoint: String,
    /// To send along.
    #[prost(message, optional, tag = "2")]
    pub headers: Option<Headers>,
    /// The client's certificate.
    #[prost(message, optional, tag = "3")]
    pub certificate: Option<TlsCertificate>,
    /// What else the agent understands.
    #[prost(btree_map = "string, string", tag = "4")]
    pub other_settings: BTreeMap<String, String>,
    /// How to speak TLS. Development.
    #[prost(message, optional, tag = "5")]
    pub tls: Option<TlsConnectionSettings>,
    /// Through whom to go. Development.
    #[prost(message, optional, tag = "6")]
    pub proxy: Option<ProxyConnectionSettings>,
}

/// How to speak TLS (section "TLSConnectionSettings Message"). Development.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct TlsConnectionSettings {
    /// Certificates of authorities, PEM.
    #[prost(string, tag = "1")]
    pub ca_pem_contents: String,
    /// Trust those of the operating system beside them.
    #[prost(bool, tag = "2")]
    pub include_system_ca_certs_pool: bool,
    /// Trust anyone.
    #[prost(bool, tag = "3")]
    pub insecure_skip_verify: bool,
    /// The oldest version; empty is "1.2".
    #[prost(string, tag = "4")]
    pub min_version: String,
    /// The newest version; empty is any.
    #[prost(string, tag = "5")]
    pub max_version: String,
    /// No others than these, if there are any.
    #[prost(string, repeated, tag = "6")]
    pub cipher_suites: Vec<String>,
}

/// Through whom to go (section "ProxyConnectionSettings Message"). Development.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ProxyConnectionSettings {
    /// URL, or host and port.
    #[prost(string, tag = "1")]
    pub url: String,
    /// To send along with CONNECT.
    #[prost(message, optional, tag = "2")]
    pub connect_headers: Option<Headers>,
}

/// Headers of a request (section "Headers Message").
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Headers {
    /// In order.
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<Header>,
}

/// One header. `Debug` shows its name only.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
#[prost(skip_debug)]
pub struct Header {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Often a credential.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A client's certificate (section "TLSCertificate Message"). `Debug` does not show the key.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
#[prost(skip_debug)]
pub struct TlsCertificate {
    /// The certificate, PEM.
    #[prost(bytes = "vec", tag = "1")]
    pub cert: Vec<u8>,
    /// Its private key, PEM; empty if the client made it.
    #[prost(bytes = "vec", tag = "2")]
    pub private_key: Vec<u8>,
    /// The certificate of who signed it, PEM; can be empty.
    #[prost(bytes = "vec", tag = "3")]
    pub ca_cert: Vec<u8>,
}

/// Asks for settings (section "ConnectionSettingsRequest Message"). Development.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConnectionSettingsRequest {
    /// For the connection to the server; without it there is nothing to do.
    #[prost(message, optional, tag = "1")]
    pub opamp: Option<OpAmpConnectionSettingsRequest>,
}

/// Asks for settings of the connection to the server (section "OpAMPConnectionSettingsRequest Message"). Development.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct OpAmpConnectionSettingsRequest {
    /// Asks for a certificate; required.
    #[prost(message, optional, tag = "1")]
    pub certificate_request: Option<CertificateRequest>,
}

/// Asks for a certificate (section "CertificateRequest Message"). Development.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct CertificateRequest {
    /// The signing request, PEM.
    #[prost(bytes = "vec", tag = "1")]
    pub csr: Vec<u8>,
}

/// What became of the last offer (section "ConnectionSettingsStatus Message"). Development.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConnectionSettingsStatus {
    /// The `hash` of that offer. If it is not the one that should be, the server offers again.
    #[prost(bytes = "vec", tag = "1")]
    pub last_connection_settings_hash: Vec<u8>,
    /// How far it is.
    #[prost(enumeration = "ConnectionSettingsStatuses", tag = "2")]
    pub status: i32,
    /// Why it failed.
    #[prost(string, tag = "3")]
    pub error_message: String,
}

/// How far an offer of settings is. Development.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ConnectionSettingsStatuses {
    /// Not said.
    Unset = 0,
    /// In use.
    Applied = 1,
    /// Under way.
    Applying = 2,
    /// Not in use; the message says why.
    Failed = 3,
}

impl Headers {
    /// The value of the first header of this name, in whatever case it is written.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.key.eq_ignore_ascii_case(name));
        found.map(|header| header.value.as_str())
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Header").field("key", &self.key).finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsCertificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TlsCertificate")
            .field("cert", &format_args!("{} bytes", self.cert.len()))
            .field("ca_cert", &format_args!("{} bytes", self.ca_cert.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opamp::{AgentConfigFile, AgentConfigMap, CustomMessage, ServerToAgent};

    #[test]
    fn secrets_are_not_shown() {
        let header = Header { key: "Authorization".to_owned(), value: "Bearer hunter2".to_owned() };
        let opamp = OpAmpConnectionSettings {
            headers: Some(Headers { headers: vec![header] }),
            certificate: Some(TlsCertificate {
                private_key: b"hunter2".to_vec(),
                ..TlsCertificate::default()
            }),
            ..OpAmpConnectionSettings::default()
        };
        let file = AgentConfigFile { body: "hunter2".into(), content_type: String::new() };
        let config = AgentConfigMap { config_map: [("till".to_owned(), file)].into() };
        let message = ServerToAgent {
            connection_settings: Some(ConnectionSettingsOffers { opamp: Some(opamp), ..Default::default() }),
            remote_config: Some(super::super::AgentRemoteConfig {
                config: Some(config),
                ..Default::default()
            }),
            custom_message: Some(CustomMessage { data: "hunter2".into(), ..CustomMessage::default() }),
            ..ServerToAgent::default()
        };
        let shown = format!("{message:?}");
        assert!(shown.contains("Authorization") && shown.contains("7 bytes"), "{shown}");
        let bytes = format!("{:?}", b"hunter2".as_slice());
        assert!(!shown.contains("hunter2") && !shown.contains(&bytes[1..bytes.len() - 1]), "{shown}");
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let header = Header { key: "authorization".to_owned(), value: "x".to_owned() };
        let headers = Headers { headers: vec![header] };
        assert_eq!(headers.get("Authorization"), Some("x"));
        assert_eq!(headers.get("Cookie"), None);
    }
}
