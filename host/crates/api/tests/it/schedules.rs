//! Schedules: made, changed, paused, owned.

use serde_json::{Value, json};
use syncline_domain::{
    event::NewEvent,
    ids::{NodeId, ScheduleId},
    schedule::{Owner, Schedule},
};

use crate::harness::{Server, WithHeader};

fn hourly() -> Value {
    json!({ "sync": "nightly", "when": { "kind": "interval", "seconds": 3600 } })
}

#[tokio::test]
async fn a_schedule_is_made_for_this_node_or_for_all() {
    let server = Server::start().await.with_sync().await;
    let made = server.post("/api/v1/schedules", hourly()).await;
    let body = made.is(201);
    assert_eq!(made.header("location"), format!("/api/v1/schedules/{}", body["id"].as_str().unwrap()));
    assert_eq!(body["owner"]["kind"], "node");
    assert_eq!(body["owner"]["node"], server.engine.node().to_string());
    assert_eq!(body["owner"]["name"], "syncline");
    assert_eq!(body["owner"]["gone"], false);
    assert!(body["next_run"].is_string());

    let mut new = hourly();
    new["owner"] = json!("cluster");
    assert_eq!(
        server.post("/api/v1/schedules", new.clone()).await.is(201)["owner"],
        json!({ "kind": "cluster" })
    );
    new["owner"] = json!("everyone");
    assert!(server.post("/api/v1/schedules", new).await.problem(422, "body").contains("everyone"));
    let listed = server.get("/api/v1/schedules?sync=nightly").await.is(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert_eq!(server.get("/api/v1/schedules?sync=other").await.is(200)["items"], json!([]));
}

#[tokio::test]
async fn a_schedule_that_makes_no_sense_is_refused_with_its_value() {
    let server = Server::start().await.with_sync().await;
    for (when, says) in [
        (json!({ "kind": "interval", "seconds": 0 }), "0 seconds"),
        (json!({ "kind": "cron", "expression": "61 * * * *" }), "61 * * * *"),
        (json!({ "kind": "cron", "expression": "* * * * *", "time_zone": "Mars" }), "Mars"),
        (json!({ "kind": "once", "at": "2020-01-01T00:00:00Z" }), "2020-01-01"),
    ] {
        let body = json!({ "sync": "nightly", "when": when });
        let detail = server.post("/api/v1/schedules", body).await.problem(422, "schedule");
        assert!(detail.contains(says), "{detail}");
    }
    let ghost = json!({ "sync": "ghost", "when": { "kind": "interval", "seconds": 60 } });
    assert!(server.post("/api/v1/schedules", ghost).await.problem(422, "schedule-sync").contains("ghost"));
}

#[tokio::test]
async fn a_schedule_is_changed_paused_and_removed() {
    let server = Server::start().await.with_sync().await;
    let made = server.post("/api/v1/schedules", hourly()).await;
    let path = made.header("location");
    let mut body = made.json();
    body["jitter_seconds"] = json!(30);
    let put = || server.request("PUT", path, Some(body.clone())).with("if-match", made.header("etag"));
    assert_eq!(server.send(put()).await.is(200)["jitter_seconds"], 30);
    server.send(put()).await.problem(412, "stale");

    let paused = server.post(&format!("{path}/pause"), json!({ "reason": "stocktaking" })).await.is(200);
    assert_eq!(paused["paused"], "stocktaking");
    server.post(&format!("{path}/pause"), json!({ "reason": "" })).await.problem(422, "reason");
    server.post(&format!("{path}/pause"), json!({})).await.problem(422, "body");
    let resumed = server.post(&format!("{path}/resume"), Value::Null).await.is(200);
    assert!(resumed.get("paused").is_none());
    server.call("DELETE", path, None).await.is(204);
    server.get(path).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_schedule_of_another_node_is_shown_and_not_changed_here() {
    let server = Server::start().await.with_sync().await;
    let now = server.engine.clock().now();
    let other = Schedule {
        id: ScheduleId::new(now),
        spec: serde_json::from_value(hourly()).unwrap(),
        owner: Owner::Node(NodeId::new(now)),
        created_at: now,
        next_nominal: None,
        next_run: None,
        last_nominal: None,
        revision: 1,
    };
    let event = NewEvent::new("schedule.created", "test", "Of another node");
    server.engine.db().add_schedule(&other, event).await.unwrap();
    let path = format!("/api/v1/schedules/{}", other.id);
    let shown = server.get(&path).await.is(200);
    assert_eq!((&shown["owner"]["gone"], &shown["owner"]["name"]), (&json!(true), &Value::Null));
    let detail = server.call("PUT", &path, Some(hourly())).await.problem(403, "schedule-owner");
    assert!(detail.contains("change or run it there"), "{detail}");
    server.post(&format!("{path}/pause"), json!({ "reason": "no" })).await.problem(403, "schedule-owner");
    server.call("DELETE", &path, None).await.is(204);
}
