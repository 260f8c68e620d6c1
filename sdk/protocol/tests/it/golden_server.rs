//! What servers say, against bytes of Google's encoder for Python: with the descriptors that come with the package
//! `opentelemetry-opamp-client` 0.5b0, and for what these do not have yet with the `opamp.proto` of version 0.18.

use std::collections::BTreeMap;

use syncline_protocol::{InstanceUid, opamp::*};

use crate::golden;

/// Made with the descriptors of the client.
const CLIENT: &str = "\
    0a10000102030405060708090a0b0c0d0e0f1a270a1f0a080a016112030a01310a130a0162120e0a0132120974657874\
    2f79616d6c1204686173682292020a0168124c0a1f7773733a2f2f6578616d706c652e636f6d3a343332302f76312f6f\
    70616d70121b0a190a0d417574686f72697a6174696f6e120842656172657220741a090a016312016b1a01612084071a\
    2b0a016d121b0a190a0d417574686f72697a6174696f6e120842656172657220741a090a016312016b1a0161222b0a01\
    74121b0a190a0d417574686f72697a6174696f6e120842656172657220741a090a016312016b1a01612a2b0a016c121b\
    0a190a0d417574686f72697a6174696f6e120842656172657220741a090a016312016b1a016132380a016f12330a0165\
    121b0a190a0d417574686f72697a6174696f6e120842656172657220741a090a016312016b1a016122060a016b120176\
    2a3a0a350a0170123008011201321a260a01751201631a0173221b0a190a0d417574686f72697a6174696f6e12084265\
    6172657220742201681201613003382742120a10000102030405060708090a0b0c0d0e0f4a0052030a01635a090a0163\
    1201741a0164";

/// Made with the descriptors of the client.
const ERROR: &str = "\
    0a10000102030405060708090a0b0c0d0e0f1211080212056c617465721a060880d88ee16f";

/// Made with `opamp.proto` of version 0.18.
const VERSION_18: &str = "\
    22830112282a170a0170100118012203312e322a03312e33320161320162320d0a017512080a060a016b1201762a2822\
    170a0170100118012203312e322a03312e333201613201622a0d0a017512080a060a016b120176322d0a016f12282a17\
    0a0170100118012203312e322a03312e33320161320162320d0a017512080a060a016b120176";

#[test]
fn every_field_of_a_servers_message() {
    golden(&server(), CLIENT);
}

#[test]
fn an_error_with_its_retry() {
    let kind = ServerErrorResponseType::Unavailable;
    let mut message = ServerToAgent::error((0..16).collect(), kind, "later");
    let retry = RetryInfo { retry_after_nanoseconds: 30_000_000_000 };
    message.error_response.as_mut().unwrap().details = Some(ErrorDetails::RetryInfo(retry));
    golden(&message, ERROR);
}

#[test]
fn what_version_0_18_added() {
    let headers = Headers { headers: vec![Header { key: "k".to_owned(), value: "v".to_owned() }] };
    let proxy = Some(ProxyConnectionSettings { url: "u".to_owned(), connect_headers: Some(headers) });
    let tls = Some(TlsConnectionSettings {
        ca_pem_contents: "p".to_owned(),
        include_system_ca_certs_pool: true,
        insecure_skip_verify: true,
        min_version: "1.2".to_owned(),
        max_version: "1.3".to_owned(),
        cipher_suites: vec!["a".to_owned(), "b".to_owned()],
    });
    let (t, p) = (tls.clone(), proxy.clone());
    let opamp = OpAmpConnectionSettings { tls: t, proxy: p, ..OpAmpConnectionSettings::default() };
    let (t, p) = (tls.clone(), proxy.clone());
    let own_logs = TelemetryConnectionSettings { tls: t, proxy: p, ..TelemetryConnectionSettings::default() };
    let other = OtherConnectionSettings { tls, proxy, ..OtherConnectionSettings::default() };
    let offers = ConnectionSettingsOffers {
        opamp: Some(opamp),
        own_logs: Some(own_logs),
        other_connections: one("o", other),
        ..ConnectionSettingsOffers::default()
    };
    let message = ServerToAgent { connection_settings: Some(offers), ..ServerToAgent::default() };
    golden(&message, VERSION_18);
}

fn server() -> ServerToAgent {
    let capabilities = ServerCapabilities::ACCEPTS_STATUS
        | ServerCapabilities::OFFERS_REMOTE_CONFIG
        | ServerCapabilities::ACCEPTS_EFFECTIVE_CONFIG
        | ServerCapabilities::OFFERS_CONNECTION_SETTINGS;
    let flags = ServerToAgentFlags::REPORT_FULL_STATE | ServerToAgentFlags::REPORT_AVAILABLE_COMPONENTS;
    let uid = InstanceUid::new(std::array::from_fn(|at| at as u8));
    ServerToAgent {
        instance_uid: uid.to_vec(),
        error_response: None,
        remote_config: Some(config()),
        connection_settings: Some(connections()),
        packages_available: Some(packages()),
        flags: flags.into(),
        capabilities: capabilities.into(),
        agent_identification: Some(AgentIdentification::new(uid)),
        command: Some(ServerToAgentCommand { kind: CommandType::Restart.into() }),
        custom_capabilities: Some(CustomCapabilities { capabilities: vec!["c".to_owned()] }),
        custom_message: Some(CustomMessage {
            capability: "c".to_owned(),
            kind: "t".to_owned(),
            data: "d".into(),
        }),
    }
}

fn config() -> AgentRemoteConfig {
    let a = AgentConfigFile { body: "1".into(), content_type: String::new() };
    let b = AgentConfigFile { body: "2".into(), content_type: "text/yaml".to_owned() };
    AgentRemoteConfig {
        config: Some(AgentConfigMap { config_map: [("a".to_owned(), a), ("b".to_owned(), b)].into() }),
        config_hash: b"hash".to_vec(),
    }
}

fn connections() -> ConnectionSettingsOffers {
    ConnectionSettingsOffers {
        hash: b"h".to_vec(),
        opamp: Some(OpAmpConnectionSettings {
            destination_endpoint: "wss://example.com:4320/v1/opamp".to_owned(),
            headers: headers(),
            certificate: certificate(),
            heartbeat_interval_seconds: 900,
            tls: None,
            proxy: None,
        }),
        own_metrics: telemetry("m"),
        own_traces: telemetry("t"),
        own_logs: telemetry("l"),
        other_connections: one(
            "o",
            OtherConnectionSettings {
                destination_endpoint: "e".to_owned(),
                headers: headers(),
                certificate: certificate(),
                other_settings: one("k", "v".to_owned()),
                tls: None,
                proxy: None,
            },
        ),
    }
}

fn telemetry(endpoint: &str) -> Option<TelemetryConnectionSettings> {
    Some(TelemetryConnectionSettings {
        destination_endpoint: endpoint.to_owned(),
        headers: headers(),
        certificate: certificate(),
        tls: None,
        proxy: None,
    })
}

fn headers() -> Option<Headers> {
    let header = Header { key: "Authorization".to_owned(), value: "Bearer t".to_owned() };
    Some(Headers { headers: vec![header] })
}

fn certificate() -> Option<TlsCertificate> {
    Some(TlsCertificate { cert: b"c".to_vec(), private_key: b"k".to_vec(), ca_cert: b"a".to_vec() })
}

fn packages() -> PackagesAvailable {
    let file = DownloadableFile {
        download_url: "u".to_owned(),
        content_hash: b"c".to_vec(),
        signature: b"s".to_vec(),
        headers: headers(),
    };
    let package = PackageAvailable {
        kind: PackageType::Addon.into(),
        version: "2".to_owned(),
        file: Some(file),
        hash: b"h".to_vec(),
    };
    PackagesAvailable { packages: one("p", package), all_packages_hash: b"a".to_vec() }
}

fn one<T>(key: &str, value: T) -> BTreeMap<String, T> {
    [(key.to_owned(), value)].into()
}
