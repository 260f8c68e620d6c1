//! What agents say, against bytes of Google's encoder for Python: with the descriptors that come with the package
//! `opentelemetry-opamp-client` 0.5b0, and for what these do not have yet with the `opamp.proto` of version 0.18.

use std::collections::BTreeMap;

use prost::Message;
use syncline_protocol::opamp::*;

use crate::golden;

/// Made with the descriptors of the client.
const CLIENT: &str = "\
    0a10000102030405060708090a0b0c0d0e0f10ac021a8d010a160a0c736572766963652e6e616d6512060a0474696c6c\
    12180a09686f73742e63707573120b18fcffffffffffffffff0112120a0c686f73742e7669727475616c120210011211\
    0a046c6f6164120921000000000000e03f120b0a0372617712043a0200ff12110a046c69737412092a070a030a01780a\
    0012120a036d6170120b32090a070a016b120218012087602a3108011101000000000000001a016522026f6b29020000\
    0000000000320b0a016112062204646f776e32070a01621202080132220a200a1e0a0474696c6c12160a027b7d121061\
    70706c69636174696f6e2f6a736f6e3a090a016810031a026e6f42350a2d0a017012280a01701201311a01312201322a\
    013230043a016d421209000000000000494011000000000000f83f1201611a01784a0050015a090a070a050a03637372\
    62170a15696f2e73796e636c696e652e6465766963652f76316a090a01631201741a016472240a1f0a0172121a0a080a\
    017612030a0131120e0a017312090a070a01771202100012017a";

/// Made with `opamp.proto` of version 0.18.
const VERSION_18: &str = "\
    2a0a3a080a016b12030a01767a090a016810031a026e6f";

#[test]
fn every_field_of_an_agents_message() {
    golden(&agent(), CLIENT);
}

#[test]
fn what_version_0_18_added() {
    let status = ConnectionSettingsStatus {
        last_connection_settings_hash: b"h".to_vec(),
        status: ConnectionSettingsStatuses::Failed.into(),
        error_message: "no".to_owned(),
    };
    let health = ComponentHealth { attributes: vec![KeyValue::new("k", "v")], ..ComponentHealth::default() };
    let message = AgentToServer {
        connection_settings_status: Some(status),
        health: Some(health),
        ..AgentToServer::default()
    };
    golden(&message, VERSION_18);
}

/// Encoders differ in whether they write a value of a map that is empty; both are right.
#[test]
fn an_empty_value_of_a_map_can_be_left_out() {
    let map = AgentConfigMap { config_map: one("a", AgentConfigFile::default()) };
    golden(&map, "0a030a0161");
    let written = hex::decode("0a050a01611200").unwrap();
    assert_eq!(AgentConfigMap::decode(written.as_slice()).unwrap(), map);
}

fn agent() -> AgentToServer {
    let capabilities = AgentCapabilities::REPORTS_STATUS
        | AgentCapabilities::ACCEPTS_REMOTE_CONFIG
        | AgentCapabilities::REPORTS_EFFECTIVE_CONFIG
        | AgentCapabilities::REPORTS_REMOTE_CONFIG
        | AgentCapabilities::REPORTS_HEARTBEAT;
    let request = CertificateRequest { csr: b"csr".to_vec() };
    let request = OpAmpConnectionSettingsRequest { certificate_request: Some(request) };
    let file = AgentConfigFile { body: "{}".into(), content_type: "application/json".to_owned() };
    AgentToServer {
        instance_uid: (0..16).collect(),
        sequence_num: 300,
        agent_description: Some(description()),
        capabilities: capabilities.into(),
        health: Some(health()),
        effective_config: Some(EffectiveConfig {
            config_map: Some(AgentConfigMap { config_map: one("till", file) }),
        }),
        remote_config_status: Some(RemoteConfigStatus {
            last_remote_config_hash: b"h".to_vec(),
            status: RemoteConfigStatuses::Failed.into(),
            error_message: "no".to_owned(),
        }),
        package_statuses: Some(packages()),
        agent_disconnect: Some(AgentDisconnect {}),
        flags: AgentToServerFlags::REQUEST_INSTANCE_UID.into(),
        connection_settings_request: Some(ConnectionSettingsRequest { opamp: Some(request) }),
        custom_capabilities: Some(CustomCapabilities {
            capabilities: vec!["io.syncline.device/v1".to_owned()],
        }),
        custom_message: Some(CustomMessage {
            capability: "c".to_owned(),
            kind: "t".to_owned(),
            data: "d".into(),
        }),
        available_components: Some(AvailableComponents {
            components: one(
                "r",
                ComponentDetails {
                    metadata: vec![KeyValue::new("v", "1")],
                    sub_component_map: one(
                        "s",
                        ComponentDetails {
                            metadata: vec![KeyValue::new("w", false)],
                            ..ComponentDetails::default()
                        },
                    ),
                },
            ),
            hash: b"z".to_vec(),
        }),
        connection_settings_status: None,
    }
}

fn description() -> AgentDescription {
    let text = AnyValue { value: Some(Value::String("x".to_owned())) };
    let list = ArrayValue { values: vec![text, AnyValue::default()] };
    let map = KeyValueList { values: vec![KeyValue::new("k", 1)] };
    AgentDescription {
        identifying_attributes: vec![KeyValue::new("service.name", "till")],
        non_identifying_attributes: vec![
            KeyValue::new("host.cpus", -4),
            KeyValue::new("host.virtual", true),
            KeyValue::new("load", 0.5),
            KeyValue::new("raw", vec![0, 255]),
            KeyValue::new("list", Value::Array(list)),
            KeyValue::new("map", Value::KeyValues(map)),
        ],
    }
}

fn health() -> ComponentHealth {
    let down = ComponentHealth { status: "down".to_owned(), ..ComponentHealth::default() };
    let up = ComponentHealth { healthy: true, ..ComponentHealth::default() };
    ComponentHealth {
        healthy: true,
        start_time_unix_nano: 1,
        last_error: "e".to_owned(),
        status: "ok".to_owned(),
        status_time_unix_nano: 2,
        component_health_map: [("a".to_owned(), down), ("b".to_owned(), up)].into(),
        attributes: Vec::new(),
    }
}

fn packages() -> PackageStatuses {
    let package = PackageStatus {
        name: "p".to_owned(),
        agent_has_version: "1".to_owned(),
        agent_has_hash: b"1".to_vec(),
        server_offered_version: "2".to_owned(),
        server_offered_hash: b"2".to_vec(),
        status: PackageStatusEnum::Downloading.into(),
        error_message: "m".to_owned(),
        download_details: Some(PackageDownloadDetails {
            download_percent: 50.0,
            download_bytes_per_second: 1.5,
        }),
    };
    PackageStatuses {
        packages: one("p", package),
        server_provided_all_packages_hash: b"a".to_vec(),
        error_message: "x".to_owned(),
    }
}

fn one<T>(key: &str, value: T) -> BTreeMap<String, T> {
    [(key.to_owned(), value)].into()
}
