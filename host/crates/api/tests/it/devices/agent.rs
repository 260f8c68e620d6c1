//! An agent, and a server that has something for it.

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use syncline_protocol::{
    frame::{CONTENT_TYPE, decode_body, encode_body},
    hash::document_digest,
    items::{self, Application, ApplicationState, Applications, CAPABILITY, Item, Items, RECOMMENDED_LIMIT},
    opamp::{
        AgentCapabilities, AgentConfigFile, AgentConfigMap, AgentDescription, AgentToServer,
        CustomCapabilities, EffectiveConfig, KeyValue, RemoteConfigStatus, RemoteConfigStatuses,
        ServerToAgent,
    },
};

use crate::harness::{Answer, Server};

pub const LIMIT: usize = 12 << 20;
pub const FULL_STATE: u64 = 1;

/// What agents of others can do: they take and report configuration, and nothing of their own connection.
pub const FOREIGN: AgentCapabilities = AgentCapabilities::REPORTS_STATUS
    .with(AgentCapabilities::ACCEPTS_REMOTE_CONFIG)
    .with(AgentCapabilities::REPORTS_REMOTE_CONFIG)
    .with(AgentCapabilities::REPORTS_HEARTBEAT);

/// With all that ours can do.
pub const OURS: AgentCapabilities = FOREIGN
    .with(AgentCapabilities::ACCEPTS_OPAMP_CONNECTION_SETTINGS)
    .with(AgentCapabilities::REPORTS_EFFECTIVE_CONFIG);

pub struct Agent {
    pub uid: [u8; 16],
    pub sequence: u64,
    pub token: String,
    pub can: AgentCapabilities,
    pub speaks_items: bool,
}

impl Agent {
    pub fn new(token: &str, can: AgentCapabilities) -> Self {
        Self { uid: [7; 16], sequence: 0, token: token.to_owned(), can, speaks_items: false }
    }

    /// The next message, without content.
    pub fn next(&mut self) -> AgentToServer {
        self.sequence += 1;
        AgentToServer {
            instance_uid: self.uid.to_vec(),
            sequence_num: self.sequence,
            capabilities: self.can.0,
            ..AgentToServer::default()
        }
    }

    /// The next message, with all that does not change.
    pub fn whole(&mut self) -> AgentToServer {
        let description = AgentDescription {
            identifying_attributes: vec![KeyValue::new("service.name", "agent")],
            non_identifying_attributes: vec![
                KeyValue::new("os.type", "linux"),
                KeyValue::new("host.name", "till-1"),
            ],
        };
        let ours = CustomCapabilities { capabilities: vec![CAPABILITY.to_owned()] };
        AgentToServer {
            agent_description: Some(description),
            custom_capabilities: self.speaks_items.then_some(ours),
            ..self.next()
        }
    }

    pub async fn post(&self, server: &Server, message: &AgentToServer) -> Answer {
        server.send(request(&self.token, encode_body(message, usize::MAX).unwrap())).await
    }

    /// What the server says to this.
    pub async fn send(&self, server: &Server, message: &AgentToServer) -> ServerToAgent {
        said(&self.post(server, message).await, 200)
    }

    /// Says how far an offer is.
    pub async fn report(
        &mut self,
        server: &Server,
        offer: &ServerToAgent,
        status: RemoteConfigStatuses,
    ) -> ServerToAgent {
        let message = AgentToServer { remote_config_status: Some(status_of(offer, status)), ..self.next() };
        self.send(server, &message).await
    }

    /// Says items.
    pub async fn say(&mut self, server: &Server, items: Vec<Item>) -> ServerToAgent {
        let items = Items { items, received: Vec::new() };
        let message = AgentToServer { custom_message: Some(items.to_custom()), ..self.next() };
        self.send(server, &message).await
    }

    /// Says that it has received these.
    pub async fn acknowledge(&mut self, server: &Server, answer: &ServerToAgent) -> ServerToAgent {
        let received = items(answer).items.into_iter().map(|item| item.id).collect();
        let items = Items { items: Vec::new(), received };
        let message = AgentToServer { custom_message: Some(items.to_custom()), ..self.next() };
        self.send(server, &message).await
    }

    /// Comes with an enrolment token, and again with the credential that it is given for it.
    pub async fn enrol(server: &Server, token: &str, speaks_items: bool) -> (Self, ServerToAgent) {
        let mut agent = Self { speaks_items, ..Self::new(token, OURS) };
        let message = agent.whole();
        let answer = agent.send(server, &message).await;
        agent.token = credential(&answer);
        let message = agent.whole();
        let answer = agent.send(server, &message).await;
        (agent, answer)
    }
}

/// A device in the root group.
pub async fn enrolled(server: &Server, speaks_items: bool) -> (Agent, ServerToAgent) {
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    Agent::enrol(server, &token, speaks_items).await
}

/// The items in an answer.
#[track_caller]
pub fn items(answer: &ServerToAgent) -> Items {
    let custom = answer.custom_message.as_ref().expect("a custom message");
    Items::from_custom(custom, RECOMMENDED_LIMIT).unwrap().unwrap()
}

/// What the items in an answer say, but for when to come back.
#[track_caller]
pub fn bodies(answer: &ServerToAgent) -> Vec<items::Body> {
    if answer.custom_message.is_none() {
        return Vec::new();
    }
    let all = items(answer).items.into_iter().filter_map(|item| item.body);
    all.filter(|body| !matches!(body, items::Body::NextContact(_))).collect()
}

/// What our own agent reports of `browser`.
pub fn report(number: u8, state: ApplicationState, body: &[u8], drift: bool) -> Item {
    let one = Application {
        name: "browser".to_owned(),
        document_digest: document_digest(body).to_vec(),
        state: state.into(),
        drift,
        error: if state == ApplicationState::Failed { "no room".to_owned() } else { String::new() },
        ..Application::default()
    };
    Item::new(
        items::Id::new([number; 16]),
        1,
        items::Body::Applications(Applications { applications: vec![one] }),
    )
}

pub fn request(token: &str, body: Vec<u8>) -> Request<Body> {
    Request::builder()
        .method("POST")
        .uri("/v1/opamp")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, CONTENT_TYPE)
        .header(header::HOST, "syncline.example")
        .body(Body::from(body))
        .unwrap()
}

/// The message in an answer with this status.
#[track_caller]
pub fn said(answer: &Answer, status: u16) -> ServerToAgent {
    assert_eq!(answer.status, StatusCode::from_u16(status).unwrap());
    assert_eq!(answer.header("content-type"), "application/x-protobuf");
    decode_body(&answer.body, LIMIT).unwrap()
}

/// The credential in an offer of connection settings.
#[track_caller]
pub fn credential(answer: &ServerToAgent) -> String {
    let offer = answer.connection_settings.as_ref().expect("an offer of connection settings");
    let opamp = offer.opamp.as_ref().unwrap();
    assert!(!offer.hash.is_empty());
    assert_eq!(opamp.destination_endpoint, "http://syncline.example/v1/opamp");
    assert!(opamp.heartbeat_interval_seconds > 0);
    let header = opamp.headers.as_ref().unwrap().get("authorization").unwrap();
    header.strip_prefix("Bearer ").unwrap().to_owned()
}

pub fn status_of(offer: &ServerToAgent, status: RemoteConfigStatuses) -> RemoteConfigStatus {
    RemoteConfigStatus {
        last_remote_config_hash: offer.remote_config.as_ref().expect("an offer").config_hash.clone(),
        status: status.into(),
        error_message: if status == RemoteConfigStatuses::Failed {
            "no room".to_owned()
        } else {
            String::new()
        },
    }
}

/// The documents of an offer, as JSON by application.
#[track_caller]
pub fn documents(answer: &ServerToAgent) -> Value {
    let config = answer.remote_config.as_ref().expect("an offer");
    assert_eq!(config.config_hash.len(), 32);
    let map = &config.config.as_ref().expect("a map").config_map;
    let json = |file: &AgentConfigFile| serde_json::from_slice::<Value>(&file.body).unwrap();
    map.iter().map(|(name, file)| (name.clone(), json(file))).collect::<serde_json::Map<_, _>>().into()
}

/// A time in an answer: texts of times do not sort, since they leave out zeros at their ends.
pub fn time(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// What an agent has in use.
pub fn effective(name: &str, body: &str) -> EffectiveConfig {
    let file = AgentConfigFile { body: body.to_owned().into(), ..AgentConfigFile::default() };
    let map = AgentConfigMap { config_map: [(name.to_owned(), file)].into() };
    EffectiveConfig { config_map: Some(map) }
}

/// The plugin that comes with Syncline. `make plugins` builds it.
fn device_policy() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/plugins/device-policy.wasm");
    std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}: run `make plugins`"))
}

impl Server {
    /// A server with an application `browser`, and no policy for it.
    pub async fn with_browser() -> Self {
        let server = Self::start().await;
        server.upload(device_policy()).await.is(201);
        server.post("/api/v1/plugins/device-policy/enable", Value::Null).await.is(200);
        let application = json!({ "name": "browser", "plugin": "device-policy" });
        server.post("/api/v1/applications", application).await.is(201);
        server
    }

    /// A policy of `browser` for all devices; gives its path.
    pub async fn with_policy(&self, settings: Value) -> String {
        let policy = json!({ "application": "browser", "place": { "group": "/" }, "settings": settings });
        let made = self.post("/api/v1/policies", policy).await;
        made.is(201);
        made.header("location").to_owned()
    }

    pub async fn enrolment_token(&self, admits: Value) -> String {
        let body = json!({ "name": "test", "admits": admits, "expires_at": "2027-01-01T00:00:00Z" });
        self.post("/api/v1/enrolment-tokens", body).await.is(201)["token"].as_str().unwrap().to_owned()
    }

    /// The path of a device that was registered, and a token for it alone.
    pub async fn registered(&self) -> (String, String) {
        let made = self.post("/api/v1/devices", json!({ "name": "till" })).await;
        let id = made.is(201)["id"].clone();
        (made.header("location").to_owned(), self.enrolment_token(json!({ "device": id })).await)
    }

    /// The only device, with all contacts brought in.
    pub async fn device(&self) -> Value {
        let list = self.get("/api/v1/devices").await.is(200);
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
        list["items"][0].clone()
    }

    /// The id of the only device.
    pub async fn device_id(&self) -> String {
        self.device().await["id"].as_str().unwrap().to_owned()
    }

    /// The messages of the only device from the oldest on, each as direction, kind, summary and outcome.
    pub async fn told(&self) -> Vec<String> {
        let path = format!("/api/v1/devices/{}/messages", self.device_id().await);
        let list = self.get(&path).await.is(200);
        let word = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
        let told = list["items"].as_array().unwrap().iter().rev().map(|one| {
            let arrow = if one["direction"] == "to-device" { "->" } else { "<-" };
            format!("{arrow} {}: {} ({})", word(one, "kind"), word(one, "summary"), word(one, "outcome"))
        });
        told.collect()
    }

    /// State and time of the delivery of `browser` on the only device.
    pub async fn delivery(&self) -> (String, Value) {
        let delivery = self.device().await["applications"][0]["delivery"].clone();
        (delivery["state"].as_str().unwrap().to_owned(), delivery["delivered_at"].clone())
    }
}
