//! Bodies, queries and paths that make no sense: refused with the name of what was wrong.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::{
    harness::{Server, WithHeader, request},
    setup::nightly,
};

/// A POST of this very text as JSON.
fn raw(server: &Server, path: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = request("POST", path, &server.admin, None).with("content-type", "application/json");
    *request.body_mut() = body.into();
    request
}

#[tokio::test]
async fn an_unknown_field_is_named_with_those_that_there_are() {
    let server = Server::start().await;
    let mut body = json!({ "name": "a", "kind": "folder", "path": "/x", "colour": "red" });
    let detail = server.post("/api/v1/stores", body.clone()).await.problem(422, "body");
    assert!(detail.contains("unknown field `colour`") && detail.contains("`bytes_per_second`"), "{detail}");

    // Two structures in one object refuse it as well, and name the fields of both.
    body = nightly();
    body["colour"] = json!("red");
    let detail = server.post("/api/v1/syncs", body).await.problem(422, "body");
    for part in ["unknown field `colour`", "`max_attempts`", "`name`"] {
        assert!(detail.contains(part), "{detail}");
    }
    let mut body = nightly();
    body["limits"] = json!({ "max_deletes": 1, "max_delets": 2 });
    let detail = server.post("/api/v1/syncs", body).await.problem(422, "body");
    assert!(detail.contains("max_delets"), "{detail}");
}

#[tokio::test]
async fn a_missing_field_and_a_wrong_value_are_named() {
    let server = Server::start().await;
    let detail = server.post("/api/v1/syncs", json!({ "plugin": "a" })).await.problem(422, "body");
    assert!(detail.contains("missing field `name`"), "{detail}");
    let detail = server.post("/api/v1/syncs", json!({ "name": "a" })).await.problem(422, "body");
    assert!(detail.contains("missing field `plugin`"), "{detail}");
    let bad = json!({ "name": "A B", "store": "library" });
    let detail = server.post("/api/v1/collections", bad).await.problem(422, "body");
    assert!(detail.contains("name: ") && detail.contains("\"A B\""), "{detail}");
    let bad = json!({ "name": "a", "store": "library", "prefix": "../b" });
    let detail = server.post("/api/v1/collections", bad).await.problem(422, "body");
    assert!(detail.contains("prefix: ") && detail.contains("../b"), "{detail}");
}

#[tokio::test]
async fn what_is_no_json_is_refused_with_the_place() {
    let server = Server::start().await;
    let detail = server.send(raw(&server, "/api/v1/collections", "{\"name\": ")).await.problem(400, "json");
    assert!(detail.contains("line 1 column"), "{detail}");
    server.send(raw(&server, "/api/v1/collections", "")).await.problem(400, "json");
    server.send(raw(&server, "/api/v1/collections", vec![0xff, 0xfe])).await.problem(400, "json");
    server.send(raw(&server, "/api/v1/collections", "[1]")).await.problem(422, "body");
}

#[tokio::test]
async fn a_wrong_content_type_is_named() {
    let server = Server::start().await;
    let request = raw(&server, "/api/v1/collections", "{}").with("content-type", "text/plain");
    let detail = server.send(request).await.problem(415, "content-type");
    assert!(detail.contains("application/json") && detail.contains("text/plain"), "{detail}");
    let detail = server.post("/api/v1/plugins", json!({})).await.problem(415, "content-type");
    assert!(detail.contains("application/wasm"), "{detail}");
    let mut none = request_without_type(&server);
    *none.body_mut() = Body::from("{}");
    server.send(none).await.problem(415, "content-type");
}

fn request_without_type(server: &Server) -> Request<Body> {
    request("POST", "/api/v1/syncs/a/runs", &server.admin, None)
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = Server::start().await;
    let large = format!("{{\"name\": \"{}\"}}", "a".repeat(2 << 20));
    server.send(raw(&server, "/api/v1/collections", large.clone())).await.problem(413, "body-size");
    let with_key = raw(&server, "/api/v1/collections", large).with("idempotency-key", "k");
    server.send(with_key).await.problem(413, "body-size");
    let package = crate::setup::upload(&server.admin, "/api/v1/plugins", vec![0; (32 << 20) + 1]);
    server.send(package).await.problem(413, "body-size");
}

#[tokio::test]
async fn a_bad_query_is_refused_with_the_parameter() {
    let server = Server::start().await;
    for (path, says) in [
        ("/api/v1/runs?stat=held", "stat"),
        ("/api/v1/runs?state=asleep", "asleep"),
        ("/api/v1/runs?schedule=7", "schedule"),
        ("/api/v1/stores?limit=many", "limit"),
        ("/api/v1/nodes?offset=3", "offset"),
        ("/api/v1/me?verbose=1", "verbose"),
        ("/api/v1/events?level=loud", "loud"),
        ("/api/v1/plugins/a?verison=1.0.0", "verison"),
    ] {
        let detail = server.get(path).await.problem(400, "query");
        assert!(detail.contains(says), "{path}: {detail}");
    }
    server.call("DELETE", "/api/v1/plugins/a?verison=1.0.0", None).await.problem(400, "query");
}

#[tokio::test]
async fn a_bad_path_parameter_is_refused_with_its_name_and_value() {
    let server = Server::start().await;
    let detail = server.get("/api/v1/runs/seven").await.problem(400, "path-parameter");
    assert!(detail.contains("\"seven\"") && detail.contains("{id}"), "{detail}");
    let detail = server.get("/api/v1/stores/A%20B").await.problem(400, "path-parameter");
    assert!(detail.contains("\"A B\"") && detail.contains("{name}"), "{detail}");
    server.get("/api/v1/stores/%ff").await.problem(400, "path-parameter");
}
