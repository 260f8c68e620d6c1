//! A small OpAMP server, with the faults that a test asks for.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use syncline_protocol::{
    frame,
    hash::config_hash,
    items::{Application, Body, CAPABILITY, Hello, Id, Item, Items, SyncOutcome, SyncResult},
    opamp::{
        AgentConfigFile, AgentConfigMap, AgentRemoteConfig, AgentToServer, ConnectionSettingsOffers,
        CustomCapabilities, Header, Headers, OpAmpConnectionSettings, ServerCapabilities, ServerToAgent,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

/// What goes wrong, and how many times yet.
#[derive(Default)]
pub struct Faults {
    /// A message is taken, and its answer lost with the connection.
    pub lose_answers: u32,
    /// The connection breaks in the middle of an answer.
    pub cut: u32,
    /// Requests are answered with this status and `Retry-After`.
    pub refuse: Option<(StatusCode, Option<u32>)>,
    /// Someone on the way knows no WebSocket.
    pub no_websocket: bool,
}

/// What the server knows and wants.
#[derive(Default)]
pub struct Brain {
    pub faults: Faults,
    pub url: String,
    /// Accepted credentials; the first is the enrolment token.
    pub accepted: Vec<String>,
    /// The credential that is offered to who comes with the token.
    pub own: Option<String>,
    pub documents: Option<BTreeMap<String, Vec<u8>>>,
    pub retry: u64,
    pub messages: Vec<AgentToServer>,
    /// The credential of each message.
    pub shown: Vec<String>,
    pub hellos: Vec<Hello>,
    /// The last report.
    pub applications: Vec<Application>,
    /// Whether any report said that someone else changed a file.
    pub drift: bool,
    pub items: Vec<Item>,
    /// Until the device has acknowledged them.
    pub to_send: VecDeque<Item>,
    pub acknowledged: Vec<Id>,
    pub last_hash: Vec<u8>,
    pub connections: u32,
    /// Items of the device are not acknowledged.
    pub deaf: bool,
    /// The credential that is offered is not accepted.
    pub unknown: bool,
}

/// The server.
#[derive(Clone)]
pub struct Server {
    brain: Arc<Mutex<Brain>>,
    changed: watch::Sender<u64>,
    wake: watch::Sender<u64>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with_tls(None).await
    }

    pub async fn with_tls(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let brain = Brain {
            url: format!("{scheme}://localhost:{}/v1/opamp", address.port()),
            accepted: vec!["Bearer token".to_owned()],
            own: Some("Bearer own".to_owned()),
            ..Brain::default()
        };
        let server = Self {
            brain: Arc::new(Mutex::new(brain)),
            changed: watch::channel(0).0,
            wake: watch::channel(0).0,
        };
        let it = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (it, tls) = (it.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => it.connection(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                it.connection(stream).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    pub fn with<T>(&self, work: impl FnOnce(&mut Brain) -> T) -> T {
        let result = work(&mut self.brain.lock().unwrap());
        self.changed.send_modify(|count| *count += 1);
        result
    }

    pub fn url(&self) -> String {
        self.with(|brain| brain.url.clone())
    }

    /// Offers these documents, to connected devices at once.
    pub fn publish(&self, documents: &[(&str, &str)]) {
        self.with(|brain| {
            let documents =
                documents.iter().map(|(name, body)| ((*name).to_owned(), body.as_bytes().to_vec()));
            brain.documents = Some(documents.collect());
        });
        self.wake();
    }

    pub fn send(&self, id: u8, body: Body) {
        self.with(|brain| brain.to_send.push_back(Item::new(Id::new([id; 16]), 1, body)));
        self.wake();
    }

    pub fn wake(&self) {
        self.wake.send_modify(|count| *count += 1);
    }

    /// Waits until the server knows something; the run of all tests has a time limit of its own.
    pub async fn until<T>(&self, what: &str, mut holds: impl FnMut(&Brain) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        let wait = async {
            loop {
                if let Some(found) = holds(&self.brain.lock().unwrap()) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(std::time::Duration::from_secs(120), wait).await {
            Ok(found) => found,
            Err(_) => panic!(
                "{what} did not happen; the last report is {:?}",
                self.with(|brain| brain.applications.clone())
            ),
        }
    }

    async fn connection(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        self.with(|brain| brain.connections += 1);
        let service = service_fn(|request| {
            let it = self.clone();
            async move { it.request(request).await.map_err(|()| std::io::Error::other("cut by the test")) }
        });
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let _ = serving.with_upgrades().await;
    }

    /// An error breaks the connection.
    async fn request(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, ()> {
        let text = |name| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (credential, upgrade, key) =
            (text(header::AUTHORIZATION), !text(header::UPGRADE).is_empty(), text(header::SEC_WEBSOCKET_KEY));
        let answer = |status: StatusCode| Response::builder().status(status);
        if let Some((status, after)) = self.with(|brain| brain.faults.refuse.take()) {
            let mut answer = answer(status);
            if let Some(after) = after {
                answer = answer.header(header::RETRY_AFTER, after);
            }
            return Ok(answer.body(Full::default()).unwrap());
        }
        if !self.with(|brain| brain.accepted.contains(&credential)) {
            return Ok(answer(StatusCode::UNAUTHORIZED).body(Full::default()).unwrap());
        }
        if upgrade {
            if self.with(|brain| brain.faults.no_websocket) {
                return Ok(answer(StatusCode::BAD_REQUEST).body(Full::default()).unwrap());
            }
            let it = self.clone();
            tokio::spawn(async move {
                let upgraded = hyper::upgrade::on(request).await.unwrap();
                it.websocket(
                    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await,
                    &credential,
                )
                .await;
            });
            let answer = answer(StatusCode::SWITCHING_PROTOCOLS)
                .header(header::UPGRADE, "websocket")
                .header(header::CONNECTION, "Upgrade")
                .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()));
            return Ok(answer.body(Full::default()).unwrap());
        }
        assert_eq!(text(header::CONTENT_TYPE), frame::CONTENT_TYPE);
        assert!(!text(header::HeaderName::from_static("opamp-instance-uid")).is_empty());
        let body = request.into_body().collect().await.map_err(|_| ())?.to_bytes();
        let said = self.answer(&frame::decode_body(&body, 1 << 24).unwrap(), &credential);
        if self.with(|brain| take(&mut brain.faults.lose_answers)) {
            return Err(());
        }
        let body = frame::encode_body(&said, 1 << 24).unwrap();
        let answer = answer(StatusCode::OK).header(header::CONTENT_TYPE, frame::CONTENT_TYPE);
        Ok(answer.body(Full::new(body.into())).unwrap())
    }

    async fn websocket<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut socket: WebSocketStream<S>,
        credential: &str,
    ) {
        let mut wake = self.wake.subscribe();
        let mut uid = Vec::new();
        loop {
            let said = tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => {
                        let message: AgentToServer = frame::decode(&bytes, 1 << 24).unwrap();
                        uid.clone_from(&message.instance_uid);
                        self.answer(&message, credential)
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => continue,
                },
                _ = wake.changed() => self.unasked(&uid),
            };
            if self.with(|brain| take(&mut brain.faults.lose_answers)) {
                return;
            }
            if self.with(|brain| take(&mut brain.faults.cut)) {
                // The header of a frame of 4096 bytes, and eight of them.
                let mut stream = socket.into_inner();
                let _ = stream.write_all(&[0x82, 126, 0x10, 0, 0, 1, 2, 3, 4, 5, 6, 7]).await;
                let _ = stream.flush().await;
                return;
            }
            let frame = frame::encode(&said, 1 << 24).unwrap();
            if socket.send(Message::Binary(frame.into())).await.is_err() {
                return;
            }
        }
    }

    fn unasked(&self, uid: &[u8]) -> ServerToAgent {
        self.with(|brain| brain.say(uid, Vec::new()))
    }

    fn answer(&self, message: &AgentToServer, credential: &str) -> ServerToAgent {
        self.with(|brain| {
            brain.shown.push(credential.to_owned());
            brain.messages.push(message.clone());
            let received = brain.take(message);
            let mut said = brain.say(&message.instance_uid, received);
            if credential == brain.accepted[0]
                && let Some(own) = brain.own.clone()
            {
                if !brain.unknown && !brain.accepted.contains(&own) {
                    brain.accepted.push(own.clone());
                }
                said.connection_settings = Some(brain.settings(&own));
            }
            said
        })
    }
}

/// Uses one up.
fn take(count: &mut u32) -> bool {
    let some = *count > 0;
    *count = count.saturating_sub(1);
    some
}

impl Brain {
    /// An offer of this credential.
    pub fn settings(&self, credential: &str) -> ConnectionSettingsOffers {
        let header = Header { key: "Authorization".to_owned(), value: credential.to_owned() };
        let opamp = OpAmpConnectionSettings {
            destination_endpoint: self.url.clone(),
            headers: Some(Headers { headers: vec![header] }),
            heartbeat_interval_seconds: 3_600,
            ..OpAmpConnectionSettings::default()
        };
        let hash = syncline_protocol::hash::document_digest(credential.as_bytes()).to_vec();
        ConnectionSettingsOffers { hash, opamp: Some(opamp), ..ConnectionSettingsOffers::default() }
    }

    fn take(&mut self, message: &AgentToServer) -> Vec<Vec<u8>> {
        if let Some(status) = &message.remote_config_status {
            self.last_hash.clone_from(&status.last_remote_config_hash);
        }
        let items = message
            .custom_message
            .as_ref()
            .map(|custom| Items::from_custom(custom, 1 << 20).unwrap().unwrap());
        let Some(items) = items else { return Vec::new() };
        let acknowledged: Vec<Id> = items.acknowledged().collect();
        self.to_send.retain(|item| !acknowledged.contains(&item.parsed_id().unwrap()));
        self.acknowledged.extend(acknowledged);
        let ids = items.items.iter().map(|item| item.id.clone()).collect();
        for item in items.items {
            match &item.body {
                Some(Body::Hello(hello)) => self.hellos.push(hello.clone()),
                Some(Body::Applications(all)) => {
                    self.applications.clone_from(&all.applications);
                    self.drift |= all.applications.iter().any(|one| one.drift);
                }
                // Who asks for a sync is told at once: the offer goes with the answer.
                Some(Body::SyncRequest(request)) => {
                    let outcome = SyncOutcome::Synchronised.into();
                    let result = SyncResult { sync_id: request.sync_id.clone(), outcome };
                    let id = Id::try_from(request.sync_id.as_slice()).unwrap();
                    if !self.acknowledged.contains(&id) {
                        self.to_send.push_back(Item::new(id, 1, Body::SyncResult(result)));
                    }
                }
                _ => {}
            }
            self.items.push(item);
        }
        if self.deaf { Vec::new() } else { ids }
    }

    fn say(&self, uid: &[u8], received: Vec<Vec<u8>>) -> ServerToAgent {
        let items = Items { items: self.to_send.iter().cloned().collect(), received };
        ServerToAgent {
            instance_uid: uid.to_vec(),
            capabilities: ServerCapabilities::DEFINED.into(),
            custom_capabilities: Some(CustomCapabilities { capabilities: vec![CAPABILITY.to_owned()] }),
            custom_message: (!items.is_empty()).then(|| items.to_custom()),
            remote_config: self.offer().filter(|offer| offer.config_hash != self.last_hash),
            ..ServerToAgent::default()
        }
    }

    /// What the device should have.
    pub fn offer(&self) -> Option<AgentRemoteConfig> {
        let file = |body: &Vec<u8>| AgentConfigFile {
            body: body.clone().into(),
            content_type: "application/json".to_owned(),
        };
        let map = self.documents.as_ref()?.iter().map(|(name, body)| (name.clone(), file(body))).collect();
        let config = AgentConfigMap { config_map: map };
        let config_hash = config_hash(config.documents(), self.retry).to_vec();
        Some(AgentRemoteConfig { config: Some(config), config_hash })
    }
}
