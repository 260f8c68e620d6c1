//! Guests that misbehave: the host stays up and goes on serving others, the run says whose fault it was and which limit,
//! and nothing is changed at the target. On both allocation strategies.

use std::fs;

use serde_json::{Value, json};
use syncline_tests::{
    api::Api,
    programs,
    server::{Options, Server},
    tree::{assert_same, fill},
};

use crate::copy::Stage;

/// What the guest does, and how its run fails: kind, fault, code.
const MISDEEDS: [(&str, &str, &str, &str); 20] = [
    ("endless-loop", "limit", "plugin", "cpu"),
    ("endless-calls", "limit", "plugin", "calls"),
    ("memory-bomb", "limit", "plugin", "memory"),
    ("deep-recursion", "limit", "plugin", "stack"),
    ("giant-argument", "limit", "plugin", "call-bytes"),
    ("handle-leak", "limit", "plugin", "handles"),
    ("store-not-granted", "denied", "settings", ""),
    ("dot-dot", "invalid", "plugin", "path"),
    ("absolute-path", "invalid", "plugin", "path"),
    ("panic", "other", "plugin", "trap"),
    ("unreachable", "other", "plugin", "trap"),
    ("lie-target", "invalid", "plugin", ""),
    ("empty-targets", "invalid", "plugin", ""),
    ("huge-contents", "limit", "plugin", ""),
    ("bad-pattern", "invalid", "plugin", "pattern"),
    ("conflict", "invalid", "plugin", "conflict"),
    ("declare-then-trap", "other", "plugin", "trap"),
    ("declare-then-fail", "invalid", "settings", ""),
    ("big-cursor", "limit", "plugin", ""),
    ("sleep", "limit", "plugin", "wall"),
];

struct Cell {
    stage: Stage,
    _server: Server,
    api: Api,
}

fn cell(allocation: &str) -> Cell {
    let stage = Stage::new(1);
    fill(&stage.library, 10, 2_000, 1);
    let arguments = vec!["--allocation".to_owned(), allocation.to_owned()];
    let server = Server::start_with(&stage.data(), &Options { arguments, ..Options::default() });
    let api = server.api();
    let hostile = api.install(&programs::guest("hostile"));
    stage.set_up(&api, &hostile, json!({ "do": "good" }), false);
    // Twenty misdeeds would suspend it: each is granted pardon by enabling it again. Small limits make the test quick.
    let limits = json!({ "cpu_ms": 300, "wall_ms": 3_000, "calls": 100_000 });
    api.put("/plugins/hostile/limits", &limits).expect(200);
    Cell { stage, _server: server, api }
}

impl Cell {
    fn does(&self, what: &Value) -> Value {
        let sync = json!({
            "plugin": "hostile", "settings": what, "sources": ["patches"], "targets": ["server1"], "max_attempts": 1,
        });
        self.api.put("/syncs/all", &sync).expect(200);
        self.api.post("/plugins/hostile/enable", &json!({})).expect(200);
        self.api.run("all", "apply")
    }

    #[track_caller]
    fn untouched(&self) {
        let left: Vec<_> =
            fs::read_dir(&self.stage.targets[0]).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".syncline"]);
    }
}

fn all_misdeeds(allocation: &str) {
    let cell = cell(allocation);
    for (misdeed, kind, fault, code) in MISDEEDS {
        let run = cell.does(&json!({ "do": misdeed }));
        let failure = &run["failure"];
        assert!(matches!(run["state"].as_str().unwrap(), "failed" | "timed-out"), "{misdeed}: {run:#}");
        assert_eq!(
            (&failure["kind"], &failure["fault"]),
            (&json!(kind), &json!(fault)),
            "{misdeed}: {failure:#}"
        );
        if !code.is_empty() {
            assert_eq!(failure["code"], code, "{misdeed}: {failure:#}");
        }
        cell.untouched();
    }
    // Others are served, and so is the same plugin once it behaves.
    let run = cell.does(&json!({ "do": "good" }));
    assert_eq!(run["state"], "succeeded", "{run:#}");
    assert_same(&cell.stage.library, &cell.stage.targets[0]);
    assert_eq!(cell.api.send("GET", "//healthz", &[], &[]).status, 200);
}

#[test]
fn misdeeds_with_pooled_memory() {
    all_misdeeds("pooling");
}

#[test]
fn misdeeds_with_memory_on_demand() {
    all_misdeeds("on-demand");
}

#[test]
fn a_flood_of_log_lines_is_cut_and_cannot_forge_a_line() {
    let cell = cell("pooling");
    let run = cell.does(&json!({ "do": "log-flood" }));
    let lines = cell.api.all(&format!("/runs/{}/log", run["id"].as_str().unwrap()));
    let bytes: usize = lines.iter().map(|line| line["message"].as_str().unwrap().len()).sum();
    assert!(bytes < 100_000, "{bytes} bytes of log");
    assert!(lines.iter().any(|line| line["source"] == "plugin"));
    for line in &lines {
        let message = line["message"].as_str().unwrap();
        assert!(!message.contains(char::is_control), "{message:?}");
    }
    let says_so = |line: &&Value| line["message"].as_str().unwrap().contains("dropped");
    assert!(lines.iter().any(|line| says_so(&line)), "the lines that were dropped are counted: {lines:#?}");
}

#[test]
fn a_plugin_that_keeps_failing_by_its_own_fault_is_suspended_and_says_why() {
    let cell = cell("pooling");
    cell.does(&json!({ "do": "panic" }));
    let mut last = Value::Null;
    for _ in 0..5 {
        last = cell.api.run("all", "apply");
    }
    assert_eq!(last["failure"]["code"], "plugin-not-enabled", "{last:#}");
    let plugin = cell.api.get("/plugins/hostile");
    assert_eq!(plugin["state"], "suspended", "{plugin:#}");
    assert!(plugin["suspended"]["message"].is_string());
    assert!(cell.api.all("/events?kind=plugin.suspended").len() == 1);
}

#[test]
fn settings_that_are_too_large_are_refused() {
    let cell = cell("pooling");
    let large = json!({ "do": "good", "path": "x".repeat(1 << 20) });
    let sync =
        json!({ "plugin": "hostile", "settings": large, "sources": ["patches"], "targets": ["server1"] });
    let answer = cell.api.put("/syncs/all", &sync);
    assert_eq!((answer.status, &answer.body["code"]), (422, &json!("settings-size")), "{answer:?}");
}

#[test]
fn a_link_in_a_source_or_a_target_leads_nowhere() {
    let cell = cell("pooling");
    let outside = cell.stage.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(&outside, cell.stage.library.join("link")).unwrap();
    let run = cell.does(&json!({ "do": "symlink-path", "path": "link/secret" }));
    assert_eq!(run["state"], "failed", "{run:#}");
    cell.untouched();

    // The link is passed over, and one that stands in the target's way is not followed.
    std::os::unix::fs::symlink(&outside, cell.stage.targets[0].join("d000")).unwrap();
    let run = cell.does(&json!({ "do": "good" }));
    assert_ne!(run["counts"]["passed_over"], 0, "{run:#}");
    let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"], "nothing is written through a link");
}
