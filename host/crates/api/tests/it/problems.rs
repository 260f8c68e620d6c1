//! What goes wrong elsewhere: routes, methods, states; and what is never told.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::json;
use syncline_api::ApiOptions;

use crate::harness::{Server, WithHeader};

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let server = Server::start().await;
    let detail = server.get("/api/v1/plugin").await.problem(404, "no-route");
    assert!(detail.contains("/api/v1/plugin") && detail.contains("openapi.json"), "{detail}");
    server.get("/").await.problem(404, "no-route");

    let answer = server.call("PATCH", "/api/v1/syncs/a", None).await;
    answer.problem(405, "method");
    let mut allowed: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PUT"]);
    // A route of which one method goes through a layer of its own.
    let answer = server.call("PUT", "/api/v1/stores", None).await;
    answer.problem(405, "method");
    let mut allowed: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_there_already_are_named() {
    let server = Server::start().await.with_sync().await;
    for path in ["plugins/x", "stores/x", "collections/x", "syncs/x", "syncs/x/runs"] {
        let detail = server.get(&format!("/api/v1/{path}")).await.problem(404, "not-found");
        assert!(detail.contains("\"x\""), "{detail}");
    }
    for path in ["", "/log", "/operations", "/attempts"] {
        let id = "00000000-0000-7000-8000-000000000000";
        server.get(&format!("/api/v1/runs/{id}{path}")).await.problem(404, "not-found");
    }
    let again = json!({ "name": "patches", "store": "library" });
    let detail = server.post("/api/v1/collections", again).await.problem(409, "exists");
    assert!(detail.contains("patches"), "{detail}");
    let detail = server.call("DELETE", "/api/v1/stores/site-1", None).await.problem(409, "in-use");
    assert!(detail.contains("nightly"), "{detail}");
    let bad = json!({ "name": "b", "plugin": "ghost", "sources": ["patches"], "targets": ["site-1"] });
    let detail = server.post("/api/v1/syncs", bad).await.problem(422, "sync-plugin");
    assert!(detail.contains("ghost"), "{detail}");
}

#[tokio::test]
async fn a_request_is_named_as_the_caller_named_it_unless_that_is_a_trick() {
    let server = Server::start().await;
    let named = server.request("GET", "/api/v1/me", None).with("x-request-id", "job-17.3");
    assert_eq!(server.send(named).await.header("x-request-id"), "job-17.3");
    for trick in ["a b", "{\"x\":1}", &"x".repeat(65)] {
        let tricked = server.request("GET", "/api/v1/me", None).with("x-request-id", trick);
        assert_ne!(server.send(tricked).await.header("x-request-id"), trick);
    }
}

#[tokio::test]
async fn a_failure_of_the_server_is_logged_whole_and_sent_bare() {
    let (server, log) = (Server::start().await, crate::server::Log::default());
    server.engine.db().clone().close().await;
    let answer = {
        let _guard = log.collect();
        server.get("/api/v1/stores").await
    };
    let detail = answer.problem(500, "internal");
    assert!(!detail.contains("pool") && !detail.contains("sql"), "{detail}");
    let logged = log.text();
    assert!(logged.contains("A request failed unexpectedly"), "{logged}");
    assert!(logged.contains(answer.header("x-request-id")), "{logged}");
    assert!(!logged.contains(&server.admin), "{logged}");
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_the_request() {
    let options = ApiOptions { request_timeout: Duration::from_millis(50), ..ApiOptions::default() };
    let server = Server::start_with(options).await;
    let never = Body::from_stream(futures::stream::pending::<Result<&'static [u8], std::io::Error>>());
    let request = Request::builder()
        .method("POST")
        .uri("/api/v1/collections")
        .header("authorization", format!("Bearer {}", server.admin))
        .header("content-type", "application/json")
        .body(never)
        .unwrap();
    let answer = server.send(request).await;
    answer.problem(503, "timeout");
    assert_eq!(answer.header("retry-after"), "5");
}
