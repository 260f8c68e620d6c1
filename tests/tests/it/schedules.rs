//! Schedules fire by themselves, once, and say what they skipped.

use std::fs;

use serde_json::{Value, json};
use syncline_tests::{
    api::{Api, eventually},
    programs,
    server::Server,
    tree::{assert_same, fill},
};

use crate::copy::Stage;

fn set_up(targets: usize) -> (Stage, Server, Api) {
    let stage = Stage::new(targets);
    fill(&stage.library, 20, 2_000, 1);
    let server = Server::start(&stage.data());
    let api = server.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({ "prune": [""] }), false);
    (stage, server, api)
}

fn runs_of(api: &Api, schedule: &Value) -> Vec<Value> {
    api.all(&format!("/runs?schedule={}", schedule["id"].as_str().unwrap()))
}

#[test]
fn an_interval_fires_by_itself_and_again() {
    let (stage, _server, api) = set_up(1);
    let when = json!({ "sync": "all", "when": { "kind": "interval", "seconds": 1 } });
    let schedule = api.post("/schedules", &when).expect(201);
    assert!(schedule["next_run"].is_string(), "{schedule:#}");
    let runs = eventually("two runs", || {
        let ended: Vec<_> =
            runs_of(&api, &schedule).into_iter().filter(|run| run["state"] == "succeeded").collect();
        (ended.len() >= 2).then_some(ended)
    });
    assert_ne!(runs[0]["nominal_time"], runs[1]["nominal_time"]);
    assert_same(&stage.library, &stage.targets[0]);

    let path = format!("/schedules/{}", schedule["id"].as_str().unwrap());
    api.post(&format!("{path}/pause"), &json!({ "reason": "holidays" })).expect(200);
    let paused = api.get(&path);
    assert_eq!(paused["paused"], "holidays");
    api.delete(&path).expect(204);
    assert_eq!(api.send("GET", &path, &[], &[]).status, 404);
}

#[test]
fn ticks_while_a_run_is_held_are_recorded_as_skipped() {
    let (stage, _server, api) = set_up(1);
    assert_eq!(api.run("all", "apply")["state"], "succeeded");
    let strict = json!({
        "plugin": "distribution-files", "settings": { "prune": [""] }, "sources": ["patches"], "targets": ["server1"],
        "limits": { "max_deletes": 0 },
    });
    api.put("/syncs/all", &strict).expect(200);
    fs::remove_file(stage.library.join("d000/e0/f000000.bin")).unwrap();
    assert_eq!(api.run("all", "apply")["state"], "held");
    let when = json!({ "sync": "all", "when": { "kind": "interval", "seconds": 1 }, "overlap": "queue-one" });
    let schedule = api.post("/schedules", &when).expect(201);
    let skipped = eventually("a skipped tick", || {
        runs_of(&api, &schedule).into_iter().find(|run| run["state"] == "skipped")
    });
    assert!(skipped["reason"].as_str().unwrap().contains("held"), "{skipped:#}");
}

#[test]
fn ticks_that_passed_while_the_server_was_down_are_caught_up_once() {
    let (stage, server, api) = set_up(1);
    let when = json!({ "sync": "all", "when": { "kind": "interval", "seconds": 1 } });
    let schedule = api.post("/schedules", &when).expect(201);
    eventually("a first run", || {
        runs_of(&api, &schedule).into_iter().find(|run| run["state"] == "succeeded")
    });
    server.kill();
    std::thread::park_timeout(std::time::Duration::from_secs(4));
    let server = Server::start(&stage.data());
    let api = server.api();
    let skipped = eventually("skipped ticks", || {
        let skipped: Vec<_> =
            runs_of(&api, &schedule).into_iter().filter(|run| run["state"] == "skipped").collect();
        (skipped.len() >= 2).then_some(skipped)
    });
    let all = runs_of(&api, &schedule);
    let mut times: Vec<_> = all.iter().map(|run| run["nominal_time"].to_string()).collect();
    times.sort();
    let count = times.len();
    times.dedup();
    assert_eq!(times.len(), count, "no tick twice");
    assert!(skipped[0]["reason"].is_string());
}

#[test]
fn schedules_that_make_no_sense_are_refused_with_why() {
    let (_stage, _server, api) = set_up(1);
    for (when, says) in [
        (json!({ "kind": "interval", "seconds": 0 }), "0 seconds"),
        (json!({ "kind": "cron", "expression": "61 * * * *", "time_zone": "UTC" }), "61"),
        (json!({ "kind": "cron", "expression": "0 3 * * *", "time_zone": "Nowhere/Land" }), "Nowhere/Land"),
        (json!({ "kind": "once", "at": "2020-01-01T00:00:00Z" }), "past"),
    ] {
        let answer = api.post("/schedules", &json!({ "sync": "all", "when": when }));
        assert_eq!(answer.status, 422, "{answer:?}");
        assert!(answer.body["detail"].as_str().unwrap().contains(says), "{answer:?}");
    }
    let unknown = json!({ "sync": "nothing", "when": { "kind": "interval", "seconds": 5 } });
    assert_eq!(api.post("/schedules", &unknown).status, 422);
}
