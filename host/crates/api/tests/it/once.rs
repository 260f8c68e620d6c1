//! `Idempotency-Key`: done once, however often it is sent.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::harness::{Server, WithHeader, request};

const RUNS: &str = "/api/v1/syncs/nightly/runs";

fn start(server: &Server, key: &str, body: Value) -> Request<Body> {
    server.request("POST", RUNS, Some(body)).with("idempotency-key", key)
}

async fn count_runs(server: &Server) -> usize {
    server.get("/api/v1/runs").await.is(200)["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_repetition_gets_the_first_answer() {
    let server = Server::start().await.with_sync().await;
    let first = server.send(start(&server, "a", json!({ "mode": "preview" }))).await;
    let again = server.send(start(&server, "a", json!({ "mode": "preview" }))).await;
    assert_eq!(first.is(202), again.is(202));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    assert_eq!(count_runs(&server).await, 1);

    server.send(start(&server, "b", json!({ "mode": "preview" }))).await.is(202);
    assert_eq!(count_runs(&server).await, 2);
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_token() {
    let server = Server::start().await.with_sync().await;
    server.send(start(&server, "a", json!({ "mode": "preview" }))).await.is(202);
    let other = server.send(start(&server, "a", json!({ "mode": "apply" }))).await;
    assert!(other.problem(422, "idempotency-key-reused").contains("\"a\""));
    let elsewhere = json!({ "name": "b", "store": "library" });
    let elsewhere =
        server.request("POST", "/api/v1/collections", Some(elsewhere)).with("idempotency-key", "a");
    server.send(elsewhere).await.problem(422, "idempotency-key-reused");

    let operator = request("POST", RUNS, &server.operator, Some(json!({ "mode": "preview" })));
    let answer = server.send(operator.with("idempotency-key", "a")).await;
    answer.is(202);
    assert!(!answer.headers.contains_key("idempotency-replayed"));
    let viewer = request("POST", RUNS, &server.viewer, Some(json!({ "mode": "preview" })));
    server.send(viewer.with("idempotency-key", "a")).await.problem(403, "role");
}

#[tokio::test]
async fn a_refusal_leaves_the_key_free() {
    let server = Server::start().await.with_sync().await;
    let new = json!({ "name": "engines", "store": "attic" });
    let make =
        || server.request("POST", "/api/v1/collections", Some(new.clone())).with("idempotency-key", "k");
    server.send(make()).await.problem(422, "store");
    server.store("attic").await;
    let made = server.send(make()).await;
    made.is(201);
    let again = server.send(make()).await;
    assert_eq!((again.is(201), again.header("location")), (made.json(), "/api/v1/collections/engines"));
}

#[tokio::test]
async fn two_at_a_time_do_the_work_once() {
    let server = Server::start().await.with_sync().await;
    let body = || json!({ "mode": "preview" });
    let requests = (0..8).map(|_| server.send(start(&server, "a", body())));
    let answers = futures::future::join_all(requests).await;
    let ids: Vec<Value> =
        answers.iter().filter(|one| one.status == 202).map(|one| one.json()["id"].clone()).collect();
    assert!(!ids.is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    for busy in answers.iter().filter(|one| one.status != 202) {
        busy.problem(409, "idempotency-busy");
        assert_eq!(busy.header("retry-after"), "1");
    }
    assert_eq!(count_runs(&server).await, 1);
}

#[tokio::test]
async fn the_work_is_remembered_though_the_caller_hung_up() {
    let server = Server::start().await.with_sync().await;
    let mut signal = server.engine.db().event_signal();
    signal.mark_unchanged();
    {
        // Polled until the work has begun, and dropped then.
        let mut call = Box::pin(server.send(start(&server, "a", json!({ "mode": "preview" }))));
        tokio::select! {
            biased;
            changed = signal.changed() => changed.unwrap(),
            _ = &mut call => {}
        }
    }
    // Whoever asks while the first is under way is told so.
    let answer = loop {
        let answer = server.send(start(&server, "a", json!({ "mode": "preview" }))).await;
        if answer.status != 409 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    answer.is(202);
    assert_eq!(answer.header("idempotency-replayed"), "true");
    assert_eq!(count_runs(&server).await, 1);
}

#[tokio::test]
async fn a_key_that_is_none_and_a_key_where_none_can_be_are_refused() {
    let server = Server::start().await.with_sync().await;
    for bad in ["", &"k".repeat(256)] {
        server.send(start(&server, bad, json!({}))).await.problem(400, "idempotency-key");
    }
    let token = json!({ "name": "ci", "role": "viewer", "expires_at": null });
    let make = server.request("POST", "/api/v1/tokens", Some(token)).with("idempotency-key", "k");
    server.send(make).await.problem(422, "idempotency-secret");
}
