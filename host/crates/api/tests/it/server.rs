//! Health, metrics, headers, and what is logged.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, Mutex, Once},
};

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use syncline_api::ApiOptions;
use tower::ServiceExt;

use crate::harness::Server;

/// All that this thread logs, as text.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

thread_local! {
    static COLLECTING: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// Ends what [`Log::collect`] began.
pub struct Collecting;

impl Drop for Collecting {
    fn drop(&mut self) {
        COLLECTING.set(None);
    }
}

impl Log {
    /// Collects until the guard is dropped. The subscriber is one for all threads: lines that another thread came by first, while
    /// nobody listened there, would otherwise be off here for a moment.
    pub fn collect(&self) -> Collecting {
        static LISTENING: Once = Once::new();
        LISTENING.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .with_writer(|| Lines)
                .with_max_level(tracing::Level::TRACE)
                .finish();
            tracing::subscriber::set_global_default(subscriber).expect("it is the only one");
        });
        COLLECTING.set(Some(self.clone()));
        Collecting
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Lines of this thread, for whoever collects them here.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        COLLECTING.with_borrow(|log| {
            if let Some(Log(text)) = log {
                text.lock().unwrap().extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn anonymous(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_server_that_stops_or_lost_its_database_lives_and_is_not_ready() {
    let server = Server::start().await;
    assert_eq!(server.send(anonymous("/healthz")).await.is(200)["status"], "ok");
    assert_eq!(server.send(anonymous("/readyz")).await.is(200)["status"], "ok");
    server.options.stopping.cancel();
    server.send(anonymous("/readyz")).await.problem(503, "stopping");
    server.send(anonymous("/healthz")).await.is(200);

    let server = Server::start().await;
    server.engine.db().clone().close().await;
    server.send(anonymous("/readyz")).await.problem(503, "database");
    server.send(anonymous("/healthz")).await.is(200);
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let server = Server::start().await.with_sync().await;
    server.post("/api/v1/syncs/nightly/runs", json!({})).await.is(202);
    server.get("/api/v1/nowhere/else").await.problem(404, "no-route");
    let answer = server.send(anonymous("/metrics")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = answer.text();
    for line in [
        r#"syncline_runs{state="queued"} 1"#,
        r#"syncline_runs{state="held"} 0"#,
        r#"syncline_http_requests_total{method="POST",route="/api/v1/syncs/{name}/runs",status="202"} 1"#,
        r#"syncline_http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"syncline_http_request_seconds_count{method="POST",route="/api/v1/stores"} 2"#,
        "syncline_plugin_compilations_total 1",
        concat!(r#"syncline_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        "# EOF",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    let events = server.engine.db().last_event().await.unwrap();
    assert!(text.contains(&format!("syncline_events_total {events}\n")), "{text}");
}

#[tokio::test]
async fn a_run_that_ended_is_counted_once() {
    let server = Server::start().await.with_sync().await;
    let metrics = async || server.send(anonymous("/metrics")).await;
    let counted = |text: &str| text.contains(r#"syncline_run_seconds_count{state="failed"} 1"#);
    // The first look says from where on runs are counted.
    assert_eq!(metrics().await.status, 200);
    let engine = server.engine.clone();
    let work = tokio::spawn(async move { engine.run().await });
    server.post("/api/v1/syncs/nightly/runs", json!({})).await.is(202);
    tokio::time::timeout(std::time::Duration::from_secs(60), async {
        let mut events = server.engine.db().event_signal();
        while server.get("/api/v1/runs?state=failed").await.is(200)["items"][0].is_null() {
            events.changed().await.unwrap();
        }
    })
    .await
    .unwrap();
    for _ in 0..2 {
        let text = metrics().await.text();
        assert!(counted(&text), "{text}");
    }
    server.engine.stop().await;
    work.await.unwrap().unwrap();
}

#[tokio::test]
async fn metrics_can_be_served_elsewhere() {
    let server = Server::start_with(ApiOptions { serve_metrics: false, ..ApiOptions::default() }).await;
    server.get("/metrics").await.problem(404, "no-route");
    let elsewhere = syncline_api::metrics_router(server.engine.clone(), server.options.clone());
    let response = elsewhere.clone().oneshot(anonymous("/metrics")).await.unwrap();
    assert_eq!(response.status(), 200);
    let response = elsewhere.oneshot(anonymous("/api/v1/me")).await.unwrap();
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn answers_carry_headers_that_keep_browsers_from_guessing_and_caches_from_keeping() {
    let server = Server::start().await;
    for answer in [
        server.get("/api/v1/me").await,
        server.get("/nowhere").await,
        server.send(anonymous("/api/v1/me")).await,
    ] {
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
    }
}

#[tokio::test]
async fn the_document_needs_no_token_and_says_what_the_version_is() {
    let server = Server::start().await;
    let document = server.send(anonymous("/api/v1/openapi.json")).await.is(200);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    for schema in ["Problem", "Run", "Sync", "PluginVersion", "Event"] {
        assert!(document["components"]["schemas"][schema].is_object(), "{schema}");
    }
}

#[tokio::test]
async fn neither_tokens_nor_bodies_nor_queries_are_logged() {
    let (server, log) = (Server::start().await, Log::default());
    {
        let _guard = log.collect();
        server.post("/api/v1/secrets", json!({ "name": "a", "value": "hunter-2" })).await.is(201);
        server.get("/api/v1/runs?after=hunter-3").await.problem(400, "cursor");
    }
    let text = log.text();
    assert!(text.contains("Answered") && text.contains("/api/v1/secrets"), "{text}");
    for hidden in [server.admin.as_str(), "hunter-2", "hunter-3"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}

#[tokio::test]
async fn nodes_are_listed_with_who_answers() {
    let server = Server::start().await;
    let nodes = server.get("/api/v1/nodes").await.is(200);
    assert_eq!(nodes["next"], Value::Null);
    assert_eq!(nodes["items"][0]["id"], server.engine.node().to_string());
    assert_eq!((&nodes["items"][0]["answers"], &nodes["items"][0]["gone"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn a_store_says_whether_it_can_be_used_and_is_adopted_anew() {
    let server = Server::start().await;
    server.store("site").await;
    let path = "/api/v1/stores/site";
    assert_eq!(server.get(path).await.is(200)["status"]["state"], "available");
    std::fs::remove_dir_all(server.folder("site").join(".syncline")).unwrap();
    let shown = server.get(path).await.is(200);
    assert_eq!(shown["status"]["state"], "unavailable");
    assert!(shown["status"]["failure"]["message"].is_string());
    let list = server.get("/api/v1/stores?status=true").await.is(200);
    assert_eq!(list["items"][0]["status"], shown["status"]);
    assert_eq!(server.get("/api/v1/stores").await.is(200)["items"][0]["status"], Value::Null);
    server.post(&format!("{path}/adopt"), Value::Null).await.is(200);
    assert_eq!(server.get(path).await.is(200)["status"]["state"], "available");
}
