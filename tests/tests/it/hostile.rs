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

use wasm_encoder::{ComponentSection as _, CustomSection};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::copy::Stage;

/// What the guest does, under which limit that is not the default, and how its run fails: kind, fault, code.
///
/// Each limit is the only one that its misdeed can meet on a slow machine.
const MISDEEDS: [(&str, Limit, &str, &str, &str); 26] = [
    ("endless-loop", Some(("cpu_ms", 300)), "limit", "plugin", "cpu"),
    ("endless-calls", Some(("calls", 5_000)), "limit", "plugin", "calls"),
    ("slow", Some(("wall_ms", 500)), "limit", "plugin", "wall"),
    ("memory-bomb", None, "limit", "plugin", "memory"),
    ("deep-recursion", None, "limit", "plugin", "stack"),
    ("giant-argument", None, "limit", "plugin", "call-bytes"),
    ("handle-leak", None, "limit", "plugin", "handles"),
    ("content-leak", None, "limit", "plugin", "handles"),
    ("huge-append", None, "limit", "plugin", "append"),
    ("huge-contents", None, "limit", "plugin", "contents"),
    ("many-declarations", None, "limit", "plugin", "trees"),
    ("many-targets", None, "invalid", "plugin", "targets"),
    ("many-patterns", None, "invalid", "plugin", "pattern"),
    ("big-cursor", None, "invalid", "plugin", "cursor"),
    ("store-not-granted", None, "denied", "settings", "source"),
    ("dot-dot", None, "invalid", "plugin", "path"),
    ("absolute-path", None, "invalid", "plugin", "path"),
    ("panic", None, "other", "plugin", "trap"),
    ("unreachable", None, "other", "plugin", "trap"),
    ("declare-then-panic", None, "other", "plugin", "trap"),
    ("declare-then-fail", None, "other", "remote", "asked-for"),
    ("lie-target", None, "invalid", "plugin", "target"),
    ("empty-targets", None, "invalid", "plugin", "targets"),
    ("bad-pattern", None, "invalid", "plugin", "pattern"),
    ("conflict", None, "invalid", "plugin", "conflict"),
    ("forged-failure", None, "unavailable", "plugin", "forged"),
];

/// Name and value.
type Limit = Option<(&'static str, u64)>;

/// How servers can allocate the memory of guests.
const BOTH: [&str; 2] = ["pooling", "on-demand"];

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
    Cell { stage, _server: server, api }
}

impl Cell {
    fn does(&self, what: &Value, limit: Limit) -> Value {
        // So much that none but the one under test is met.
        let mut limits = json!({ "cpu_ms": 300_000, "wall_ms": 600_000, "calls": 1_000_000_000 });
        if let Some((name, value)) = limit {
            limits[name] = json!(value);
        }
        self.api.put("/plugins/hostile/limits", &limits).expect(200);
        let sync = json!({
            "plugin": "hostile", "settings": what, "sources": ["patches"], "targets": ["server1"], "max_attempts": 1,
        });
        self.api.put("/syncs/all", &sync).expect(200);
        // So many misdeeds would suspend it.
        self.api.post("/plugins/hostile/enable", &json!({})).expect(200);
        self.api.run("all", "apply")
    }

    fn has_many_memories(&self) -> Value {
        let plugin = self.api.install(&many_memories());
        let sync = json!({
            "name": "memories", "plugin": plugin, "sources": ["patches"], "targets": ["server1"], "max_attempts": 1,
        });
        self.api.post("/syncs", &sync).expect(201);
        self.api.run("memories", "apply")
    }

    #[track_caller]
    fn untouched(&self) {
        let left: Vec<_> =
            fs::read_dir(&self.stage.targets[0]).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".syncline"]);
    }
}

/// A plugin that declares nothing and has 90 memories of 1 MiB, each far within the limit: no compiler makes one.
fn many_memories() -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (contract, _) = resolve.push_dir(programs::root().join("wit")).unwrap();
    let world = resolve.select_world(&[contract], Some("file-sync")).unwrap();
    let text = format!(
        r#"(module
            (memory (export "memory") 1)
            {}
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
            (func (export "syncline:plugin/sync@0.1.0#declare") (param i32 i32 i32 i32 i32) (result i32)
                (i32.const 1024)))"#,
        "(memory 16)".repeat(90)
    );
    let mut module = wat::parse_str(text).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut package = ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap();
    let manifest =
        json!({ "name": "memories", "version": "1.0.0", "world": "file-sync", "contract": "0.1.0" });
    let data = manifest.to_string().into_bytes();
    CustomSection { name: "syncline-manifest".into(), data: data.into() }.append_to_component(&mut package);
    package
}

fn all_misdeeds(allocation: &str) {
    let cell = cell(allocation);
    for (misdeed, limit, kind, fault, code) in MISDEEDS {
        // The amount is for `slow`, which would take a minute.
        let amount = (misdeed == "slow").then_some(60_000);
        let run = cell.does(&json!({ "do": misdeed, "amount": amount }), limit);
        let failure = &run["failure"];
        assert!(matches!(run["state"].as_str().unwrap(), "failed" | "timed-out"), "{misdeed}: {run:#}");
        assert_eq!(
            (&failure["kind"], &failure["fault"], &failure["code"]),
            (&json!(kind), &json!(fault), &json!(code)),
            "{misdeed}: {failure:#}"
        );
        cell.untouched();
    }
    let run = cell.has_many_memories();
    assert_eq!(
        (&run["failure"]["fault"], &run["failure"]["code"]),
        (&json!("plugin"), &json!("memory")),
        "{run:#}"
    );
    cell.untouched();
    // Others are served, and so is the same plugin once it behaves.
    let run = cell.does(&json!({ "do": "good" }), None);
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
    for allocation in BOTH {
        let cell = cell(allocation);
        let run = cell.does(&json!({ "do": "log-flood" }), None);
        let lines = cell.api.all(&format!("/runs/{}/log", run["id"].as_str().unwrap()));
        let bytes: usize = lines.iter().map(|line| line["message"].as_str().unwrap().len()).sum();
        assert!(bytes < 100_000, "{bytes} bytes of log");
        assert!(lines.iter().any(|line| line["source"] == "plugin"));
        for line in &lines {
            let message = line["message"].as_str().unwrap();
            assert!(!message.contains(char::is_control), "{message:?}");
        }
        let says_so = |line: &&Value| line["message"].as_str().unwrap().contains("dropped");
        assert!(
            lines.iter().any(|line| says_so(&line)),
            "the lines that were dropped are counted: {lines:#?}"
        );
    }
}

#[test]
fn a_plugin_that_keeps_failing_by_its_own_fault_is_suspended_and_says_why() {
    let cell = cell("pooling");
    // The host is not to blame for what it did not say.
    cell.does(&json!({ "do": "forged-failure" }), None);
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
    for allocation in BOTH {
        let cell = cell(allocation);
        let large = json!({ "do": "good", "path": "x".repeat(1 << 20) });
        let sync =
            json!({ "plugin": "hostile", "settings": large, "sources": ["patches"], "targets": ["server1"] });
        let answer = cell.api.put("/syncs/all", &sync);
        assert_eq!((answer.status, &answer.body["code"]), (422, &json!("settings-size")), "{answer:?}");
    }
}

#[test]
fn a_link_in_a_source_or_a_target_leads_nowhere() {
    BOTH.into_iter().for_each(links_lead_nowhere);
}

fn links_lead_nowhere(allocation: &str) {
    let cell = cell(allocation);
    let outside = cell.stage.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(&outside, cell.stage.library.join("link")).unwrap();
    for through in ["read", "info", "files", "tree-folder", "file-source"] {
        let run =
            cell.does(&json!({ "do": "symlink-path", "path": "link/secret", "through": through }), None);
        assert_eq!(run["state"], "failed", "{through}: {run:#}");
        assert_ne!(run["failure"]["code"], "stolen", "{through}: {run:#}");
        cell.untouched();
    }

    // The link is passed over, and one that stands in the target's way is not followed.
    std::os::unix::fs::symlink(&outside, cell.stage.targets[0].join("d000")).unwrap();
    let run = cell.does(&json!({ "do": "good" }), None);
    assert_ne!(run["counts"]["passed_over"], 0, "{run:#}");
    let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"], "nothing is written through a link");
}
