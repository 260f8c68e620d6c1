//! Runs: started, looked at, decided on. No worker runs here: the tests take the runs themselves.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_domain::{
    Failure,
    event::NewEvent,
    log::{LogLevel, LogLine, LogSource},
    operation::{Operation, OperationKind, OperationState},
    run::{Ending, RunState},
};

use crate::harness::{Server, request};

const LEASE: Duration = Duration::from_secs(60);

/// Starts a run, works as a worker would, and ends its attempt in this state.
async fn run_to(server: &Server, state: RunState) -> String {
    server.post("/api/v1/syncs/nightly/runs", json!({})).await.is(202);
    let db = server.engine.db();
    let claim = db.claim_run(LEASE).await.unwrap().unwrap();
    db.begin_run(&claim, "blake3:00").await.unwrap();
    let operation = |path: &str, state, failure| Operation {
        target: "site-1".parse().unwrap(),
        path: syncline_domain::RelPath::new(path).unwrap(),
        kind: OperationKind::Copy,
        size: 5,
        stage: 0,
        state,
        digest: None,
        note: String::new(),
        failure,
    };
    let failed =
        operation("b", OperationState::Failed, Some(Failure::unavailable("full", "the disk is full")));
    db.append_operations(&claim, &[operation("a", OperationState::Done, None), failed]).await.unwrap();
    let line = LogLine {
        at: server.engine.clock().now(),
        level: LogLevel::Info,
        source: LogSource::Host,
        message: "A line".to_owned(),
        fields: Vec::new(),
    };
    db.append_log(&claim, &[line]).await.unwrap();
    let event =
        NewEvent::new(&format!("run.{state}"), "system", "It ended").of_run(claim.run.id, &claim.run.subject);
    db.end_attempt(&claim, &Ending::new(state), &[event]).await.unwrap();
    claim.run.id.to_string()
}

#[tokio::test]
async fn a_run_is_started_and_leads_to_its_parts() {
    let server = Server::start().await.with_sync().await;
    let started = server.send(request("POST", "/api/v1/syncs/nightly/runs", &server.operator, None)).await;
    let run = started.is(202);
    let path = format!("/api/v1/runs/{}", run["id"].as_str().unwrap());
    assert_eq!(started.header("location"), path);
    assert_eq!(
        (&run["state"], &run["mode"], &run["actor"]),
        (&json!("queued"), &json!("apply"), &json!("ops"))
    );
    assert_eq!(run["counts"]["copied"], 0);
    for (_, link) in run["links"].as_object().unwrap() {
        server.get(link.as_str().unwrap()).await.is(200);
    }
    let preview = json!({ "mode": "preview", "anew": true });
    let preview = server.post("/api/v1/syncs/nightly/runs", preview).await.is(202);
    assert_eq!((&preview["mode"], &preview["anew"]), (&json!("preview"), &json!(true)));
    let bad = server.post("/api/v1/syncs/nightly/runs", json!({ "mode": "destroy" })).await;
    assert!(bad.problem(422, "body").contains("destroy"));
    server.post("/api/v1/syncs/ghost/runs", json!({})).await.problem(404, "not-found");
}

#[tokio::test]
async fn what_a_run_did_is_listed_and_filtered() {
    let server = Server::start().await.with_sync().await;
    let id = run_to(&server, RunState::Partial).await;
    let path = format!("/api/v1/runs/{id}");
    let paths = async |query: &str| -> Value {
        let body = server.get(&format!("{path}/operations{query}")).await.is(200);
        body["items"].as_array().unwrap().iter().map(|one| one["path"].clone()).collect()
    };
    assert_eq!(paths("").await, json!(["a", "b"]));
    assert_eq!(paths("?state=failed").await, json!(["b"]));
    assert_eq!(paths("?target=site-1&state=done").await, json!(["a"]));
    assert_eq!(paths("?target=elsewhere").await, json!([]));
    let log = server.get(&format!("{path}/log")).await.is(200);
    assert_eq!(log["items"][0]["message"], "A line");
    let attempts = server.get(&format!("{path}/attempts")).await.is(200);
    assert_eq!(attempts["items"][0]["attempt"], 1);
    assert_eq!(attempts["items"][0]["state"], "partial");

    let ids = async |query: &str| server.get(&format!("/api/v1/runs?{query}")).await.is(200)["items"].clone();
    assert_eq!(ids("state=partial&sync=nightly").await[0]["id"], id);
    assert_eq!(ids("state=held").await, json!([]));
    assert_eq!(ids("unfinished=true").await, json!([]));
}

#[tokio::test]
async fn what_failed_is_tried_again_and_what_did_not_fail_is_not() {
    let server = Server::start().await.with_sync().await;
    let id = run_to(&server, RunState::Partial).await;
    let retry = server.post(&format!("/api/v1/runs/{id}/retry"), Value::Null).await;
    let run = retry.is(202);
    assert_eq!((&run["retry_of"], &run["trigger"]), (&json!(id), &json!("retry")));
    assert_eq!(retry.header("location"), format!("/api/v1/runs/{}", run["id"].as_str().unwrap()));
    let queued = run["id"].as_str().unwrap();
    server.post(&format!("/api/v1/runs/{queued}/retry"), Value::Null).await.problem(409, "run-state");
}

#[tokio::test]
async fn a_held_run_is_decided_on_by_an_administrator() {
    let server = Server::start().await.with_sync().await;
    let held = run_to(&server, RunState::Held).await;
    let approve = format!("/api/v1/runs/{held}/approve");
    server.send(request("POST", &approve, &server.operator, None)).await.problem(403, "role");
    let run = server.post(&approve, Value::Null).await.is(202);
    assert_eq!((&run["state"], &run["approval"]["actor"]), (&json!("queued"), &json!("root")));
    server.post(&approve, Value::Null).await.problem(409, "run-state");
    let cancel = format!("/api/v1/runs/{held}/cancel");
    let cancelled = server.send(request("POST", &cancel, &server.operator, None)).await.is(202);
    assert_eq!(cancelled["state"], "cancelled");

    let held = run_to(&server, RunState::Held).await;
    let reject = format!("/api/v1/runs/{held}/reject");
    server.post(&reject, json!({ "reason": "a\nb" })).await.problem(422, "reason");
    server.post(&reject, json!({ "why": "no" })).await.problem(422, "body");
    let run = server.post(&reject, json!({ "reason": "too much" })).await.is(200);
    assert_eq!(run["state"], "cancelled");
    assert!(run["reason"].as_str().unwrap().contains("too much"), "{run}");
    server.post(&reject, Value::Null).await.problem(409, "run-state");
}

#[tokio::test]
async fn a_cursor_is_thrown_away() {
    let server = Server::start().await.with_sync().await;
    server.call("DELETE", "/api/v1/syncs/nightly/cursor", None).await.is(204);
    server.call("DELETE", "/api/v1/syncs/ghost/cursor", None).await.problem(404, "not-found");
}
