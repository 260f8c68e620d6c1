//! Two servers on one PostgreSQL.

use std::time::Duration;

use serde_json::json;
use syncline_tests::{
    postgres::Postgres,
    programs,
    server::{Options, Server},
    tree::{assert_same, fill, leftovers},
};

use crate::copy::Stage;

fn options(postgres: &Postgres) -> Options {
    let arguments = ["--lease-seconds", "3"].map(str::to_owned).to_vec();
    Options { database: Some(postgres.url()), arguments }
}

#[test]
fn when_a_node_is_killed_in_mid_run_the_other_finishes() {
    let postgres = Postgres::start();
    let stage = Stage::new(2);
    fill(&stage.library, 3_000, 30_000, 1);
    let first = Server::start_with(&stage.folder.path().join("node1"), &options(&postgres));
    let second = Server::start_with(&stage.folder.path().join("node2"), &options(&postgres));
    let api = first.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), true);
    for target in ["server1", "server2"] {
        let slow = br#"{"bytes_per_second": 4000000}"#;
        api.send("PATCH", &format!("/stores/{target}"), &[("content-type", "application/json")], slow)
            .expect(200);
    }
    let run = api.start("all", "apply");
    let node_of = |server: &Server| json!(server.api().node());
    let running = api.until(&run, |state| state == "running");
    let (victim, survivor) =
        if running["node"] == node_of(&first) { (first, second) } else { (second, first) };
    std::thread::park_timeout(Duration::from_millis(700));
    victim.kill();
    let api = survivor.api();
    for target in ["server1", "server2"] {
        let fast = br#"{"bytes_per_second": 0}"#;
        api.send("PATCH", &format!("/stores/{target}"), &[("content-type", "application/json")], fast)
            .expect(200);
    }
    let ended = api.ended(&run);
    assert_eq!((&ended["state"], &ended["node"]), (&json!("succeeded"), &node_of(&survivor)), "{ended:#}");
    assert_eq!(ended["attempt"], 2);
    for target in &stage.targets {
        assert_same(&stage.library, target);
        assert!(leftovers(target).is_empty());
    }
}

#[test]
fn a_run_whose_stores_are_not_shared_waits_for_its_own_node() {
    let postgres = Postgres::start();
    let stage = Stage::new(1);
    fill(&stage.library, 20, 1_000, 1);
    let first = Server::start_with(&stage.folder.path().join("node1"), &options(&postgres));
    let second = Server::start_with(&stage.folder.path().join("node2"), &options(&postgres));
    let api = first.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), false);
    let node = json!(api.node());
    for _ in 0..5 {
        let run = second.api().run("all", "apply");
        assert_eq!((&run["state"], &run["node"]), (&json!("succeeded"), &node), "{run:#}");
    }
    first.kill();
    let waiting = second.api().start("all", "apply");
    let schedule = json!({ "sync": "all", "when": { "kind": "interval", "seconds": 3600 } });
    second.api().post("/schedules", &schedule).expect(201);
    assert_eq!(second.api().get(&format!("/runs/{waiting}"))["state"], "queued");
    let first = Server::start_with(&stage.folder.path().join("node1"), &options(&postgres));
    assert_eq!(first.api().ended(&waiting)["state"], "succeeded");
}

#[test]
fn two_nodes_run_each_tick_of_the_cluster_once_and_no_run_twice_at_a_time() {
    let postgres = Postgres::start();
    let stage = Stage::new(1);
    fill(&stage.library, 20, 1_000, 1);
    let first = Server::start_with(&stage.folder.path().join("node1"), &options(&postgres));
    let second = Server::start_with(&stage.folder.path().join("node2"), &options(&postgres));
    let api = first.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), true);
    let when = json!({
        "sync": "all", "when": { "kind": "interval", "seconds": 1 }, "owner": "cluster", "overlap": "queue-one",
    });
    let schedule = api.post("/schedules", &when).expect(201);
    let runs = format!("/runs?schedule={}", schedule["id"].as_str().unwrap());
    let ended = syncline_tests::api::eventually("five runs", || {
        let ended: Vec<_> = api.all(&runs).into_iter().filter(|run| run["state"] == "succeeded").collect();
        (ended.len() >= 5).then_some(ended)
    });
    let mut ticks: Vec<_> = ended.iter().map(|run| run["nominal_time"].to_string()).collect();
    ticks.sort();
    let count = ticks.len();
    ticks.dedup();
    assert_eq!(ticks.len(), count, "no tick fired twice");
    let time =
        |run: &serde_json::Value, name: &str| run[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let mut spans: Vec<_> =
        ended.iter().map(|run| (time(run, "started_at"), time(run, "finished_at"))).collect();
    spans.sort();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "no two at a time: {spans:?}");
    let seen: std::collections::BTreeSet<_> = [&first, &second].iter().map(|one| one.api().node()).collect();
    assert_eq!(seen.len(), 2);
}

#[test]
fn another_nodes_schedule_is_shown_and_can_be_deleted_but_not_edited() {
    let postgres = Postgres::start();
    let stage = Stage::new(1);
    fill(&stage.library, 5, 100, 1);
    let first = Server::start_with(&stage.folder.path().join("node1"), &options(&postgres));
    let second = Server::start_with(&stage.folder.path().join("node2"), &options(&postgres));
    let api = first.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), true);
    let hourly = json!({ "sync": "all", "when": { "kind": "interval", "seconds": 3600 } });
    let schedule = api.post("/schedules", &hourly).expect(201);
    let path = format!("/schedules/{}", schedule["id"].as_str().unwrap());
    let other = second.api();
    assert_eq!(other.get(&path)["owner"]["node"], api.node());
    let edit = other.put(&path, &hourly);
    assert_eq!(edit.status, 403, "{edit:?}");
    other.delete(&path).expect(204);
}
