//! The Event History of real servers: what is told of each, what is exported, and what retention leaves.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use syncline_tests::{
    api::eventually,
    commands::{Commands, text},
    programs,
    server::{Options, Server},
    tree::fill,
};

use crate::copy::Stage;

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_run_tells_of_each_server_what_it_began_how_far_it_came_and_how_it_ended() {
    let stage = Stage::new(2);
    fill(&stage.library, 1_500, 10, 1);
    let server = Server::start(&stage.data());
    let api = server.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), false);
    let run = api.run("all", "apply");
    assert_eq!(run["state"], "succeeded");
    let node = api.node();
    for name in ["server1", "server2"] {
        let events = api.all(&format!("/events?server={name}&kind=target."));
        let progress = ["target.progress"; 3];
        let expected = [&["target.succeeded"][..], &progress, &["target.started"]].concat();
        assert_eq!(kinds(&events), expected);
        assert_eq!(events[0]["data"]["counts"]["copied"], 1_500);
        let message = events[0]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("Server {name}: 1500 copied")), "{message}");
        for event in &events {
            assert_eq!((&event["store"], &event["run"]), (&json!(name), &run["id"]));
            assert_eq!((&event["sync"], &event["node"]), (&json!("all"), &json!(node)));
            assert_eq!(event["collections"], json!(["patches"]));
        }
    }
    // By each of what an operator asks for, a page at a time.
    let count = |query: &str| api.all(&format!("/events?limit=2&{query}")).len();
    assert_eq!(count("server=server1&component=patches&kind=target."), 5);
    assert_eq!(count(&format!("server=server1&node={node}&kind=target.")), 5);
    assert_eq!(count("server=server1&component=engines"), 0);
    assert_eq!(count("component=patches&kind=run."), 2, "queued and succeeded");
    assert_eq!(count("person=system&kind=run.succeeded"), 1);
    let admin = api.get("/me")["name"].as_str().unwrap().to_owned();
    assert_eq!(count(&format!("person={admin}&sync=all&kind=run.queued")), 1);
    assert_eq!(count("sync=all&before=2000-01-01T00:00:00Z"), 0);
    // Nothing to do is an outcome too; a preview is none.
    api.run("all", "preview");
    api.run("all", "apply");
    let events = api.all("/events?server=server1&kind=target.");
    assert_eq!((kinds(&events)[0], events.len()), ("target.succeeded", 6));
    assert_eq!(events[0]["data"]["counts"]["unchanged"], 1_500);
}

#[test]
fn a_run_that_fails_before_it_reaches_a_server_is_told_of_each() {
    let stage = Stage::new(2);
    let server = Server::start(&stage.data());
    let api = server.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), false);
    assert_eq!(api.run("all", "apply")["state"], "failed", "its source is empty");
    for name in ["server1", "server2"] {
        let events = api.all(&format!("/events?server={name}&kind=target."));
        assert_eq!(kinds(&events), ["target.failed"]);
        assert!(events[0]["message"].as_str().unwrap().contains("has no files"), "{events:#?}");
    }
}

#[test]
fn the_command_line_filters_exports_and_follows() {
    let stage = Stage::new(1);
    fill(&stage.library, 3, 10, 1);
    let server = Server::start(&stage.data());
    let api = server.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), false);
    let odd = api.post("/tokens", &json!({ "name": "=1+1, \"x\"", "role": "operator" })).expect(201);
    let operator = api.with_token(odd["token"].as_str().unwrap());
    operator.run("all", "apply");
    let commands = Commands::of(&server);
    let filter = ["--server", "server1", "--component", "patches", "--kind", "target."];
    let listed = commands.json(&[&["event", "list"], &filter[..]].concat());
    assert_eq!(kinds(listed["items"].as_array().unwrap()), ["target.succeeded", "target.started"]);

    let csv = commands.says(0, &["event", "export", "--kind", "run.queued"]);
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(lines[0].starts_with("seq,at,level,kind,message,actor,node,server,collections,sync,"), "{csv}");
    assert!(lines[1].contains(",run.queued,"), "{csv}");
    assert!(lines[1].contains(",\"'=1+1, \"\"x\"\"\","), "who did it is no formula: {csv}");
    assert_eq!(lines.len(), 2, "{csv}");
    let all = commands.says(0, &["event", "export", "--format", "ndjson"]);
    let seqs: Vec<i64> = all
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_i64().unwrap())
        .collect();
    let last = seqs[0];
    assert_eq!(seqs, (1..=last).rev().collect::<Vec<_>>());

    // From the first event on, as one that was cut off there does.
    let follow = ["event", "follow", "--since", "0", "--server", "server1", "--component", "patches"];
    let mut child = Command::new(programs::binary("syncline"))
        .args(["--url", &server.url, "--token-file", text(&commands.token), "--json"])
        .args(follow)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found: Vec<Value> = lines.take(2).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(kinds(&found), ["target.started", "target.succeeded"]);
}

#[test]
fn retention_leaves_the_newest_and_those_of_runs_that_have_not_ended() {
    let stage = Stage::new(1);
    fill(&stage.library, 10, 10, 1);
    let server = Server::start(&stage.data());
    let api = server.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), false);
    let ended = api.run("all", "apply")["id"].as_str().unwrap().to_owned();
    let mut sync = api.get("/syncs/all");
    sync["limits"] = json!({ "max_changes": 0 });
    api.put("/syncs/all", &sync).expect(200);
    fs::write(stage.library.join("new"), "new").unwrap();
    let held = api.start("all", "apply");
    assert_eq!(api.ended(&held)["state"], "held");
    for number in 0..30 {
        let body = json!({ "description": format!("{number}") }).to_string();
        let json = [("content-type", "application/json")];
        api.send("PATCH", "/stores/server1", &json, body.as_bytes()).expect(200);
    }
    let of_held = api.all(&format!("/events?run={held}"));
    assert_eq!(kinds(&of_held), ["run.held", "run.queued"]);
    let before = api.all("/events").len();
    assert_eq!(server.stop(), Some(0));

    let arguments = ["--keep-events-count", "5"].map(str::to_owned).to_vec();
    let server = Server::start_with(&stage.data(), &Options { arguments, ..Options::default() });
    let api = server.api();
    let told = eventually("old events to go", || api.all("/events?kind=events.pruned").pop());
    assert_eq!(api.all(&format!("/events?run={held}")), of_held);
    assert_eq!(api.all(&format!("/events?run={ended}")), [Value::Null; 0]);
    let left = api.all("/events");
    let removed = told["data"]["removed"].as_u64().unwrap() as usize;
    assert_eq!(left.len(), before - removed + 1, "what was removed is written down: {told:#}");
    assert_eq!(left.len(), 5 + of_held.len() + 1);
    // And the run can still be decided on.
    api.post(&format!("/runs/{held}/approve"), &json!({})).expect(202);
    assert_eq!(api.until(&held, |state| state == "succeeded")["counts"]["copied"], 1);
}
