//! A server without a socket, and the requests that tests send to it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::Value;
use syncline_api::ApiOptions;
use syncline_domain::{access::Role, clock::Clock, event::NewEvent};
use syncline_engine::{Engine, EngineConfig};
use tempfile::TempDir;
use tower::ServiceExt;

/// A clock that stands until it is moved.
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn forward(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        // Each look is a millisecond later, so that ids sort in the order in which they were made.
        Timestamp::from_millisecond(self.0.fetch_add(1, Ordering::SeqCst)).unwrap()
    }
}

pub struct Server {
    pub engine: Engine,
    pub clock: Arc<TestClock>,
    pub options: ApiOptions,
    pub router: Router,
    pub admin: String,
    pub operator: String,
    pub viewer: String,
    folder: TempDir,
}

impl Server {
    pub async fn start() -> Self {
        let options = ApiOptions { stream_poll: Duration::from_millis(50), ..ApiOptions::default() };
        Self::start_with(options).await
    }

    pub async fn start_with(options: ApiOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at: Timestamp = "2026-11-01T12:00:00Z".parse().unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(at.as_millisecond())));
        let mut config = EngineConfig::new(folder.path().join("data"));
        config.allocation = syncline_engine::Allocation::OnDemand;
        let engine = Engine::start(config, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let token = async |name: &str, role| {
            let event = NewEvent::new("token.created", "test", "For a test");
            engine.db().create_token(name, role, None, event).await.unwrap().1
        };
        let admin = token("root", Role::Admin).await;
        let operator = token("ops", Role::Operator).await;
        let viewer = token("watch", Role::Viewer).await;
        let router = syncline_api::router(engine.clone(), options.clone());
        Self { engine, clock, options, router, admin, operator, viewer, folder }
    }

    /// An empty folder of this name, to be registered as a store.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// The status alone, for answers that may have no end.
    pub async fn status_of(&self, request: Request<Body>) -> StatusCode {
        self.router.clone().oneshot(request).await.unwrap().status()
    }

    /// As the administrator.
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    /// As the administrator.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    /// As the administrator.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send(self.request(method, path, body)).await
    }

    /// A request of the administrator.
    pub fn request(&self, method: &str, path: &str, body: Option<Value>) -> Request<Body> {
        request(method, path, &self.admin, body)
    }
}

/// A request with this token.
pub fn request(method: &str, path: &str, token: &str, body: Option<Value>) -> Request<Body> {
    let request =
        Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
    match body {
        None => request.body(Body::empty()),
        Some(json) => {
            request.header(header::CONTENT_TYPE, "application/json").body(Body::from(json.to_string()))
        }
    }
    .unwrap()
}

/// A request with one more header.
pub trait WithHeader {
    fn with(self, name: &'static str, value: &str) -> Self;
}

impl WithHeader for Request<Body> {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers_mut().insert(name, value.parse().unwrap());
        self
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().unwrap()
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The detail of a problem with this status and code; its shape is looked at too.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> String {
        let body = self.is(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["type"], format!("/problems/{code}"));
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"], self.header("x-request-id"));
        assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()));
        body["detail"].as_str().unwrap().to_owned()
    }
}
