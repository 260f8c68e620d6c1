//! Stores that are not what they were, and sources without files.

use std::fs;

use serde_json::json;
use syncline_tests::{
    programs,
    server::Server,
    tree::{assert_same, fill},
};

use crate::copy::Stage;

#[test]
fn a_share_that_is_not_mounted_is_unavailable_and_never_empty() {
    let stage = Stage::new(2);
    fill(&stage.library, 50, 2_000, 1);
    let server = Server::start(&stage.data());
    let api = server.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({ "prune": [""] }), false);
    assert_eq!(api.run("all", "apply")["state"], "succeeded");

    // The share goes: its mount point stands there, empty.
    let away = stage.folder.path().join("away");
    fs::rename(&stage.targets[0], &away).unwrap();
    fs::create_dir(&stage.targets[0]).unwrap();
    fs::write(stage.library.join("new"), "new").unwrap();
    assert_eq!(api.get("/stores/server1")["status"]["state"], "unavailable");
    let run = api.run("all", "apply");
    assert_eq!(run["state"], "partial", "{run:#}");
    let of = |target: &str| {
        let targets = run["targets"].as_array().unwrap();
        targets.iter().find(|one| one["target"] == target).unwrap().clone()
    };
    assert_eq!(of("server1")["failure"]["kind"], "unavailable", "{run:#}");
    assert_eq!(of("server1")["counts"]["copied"], 0);
    assert_eq!(of("server2")["counts"]["copied"], 1);
    assert_eq!(
        fs::read_dir(&stage.targets[0]).unwrap().count(),
        0,
        "nothing is written into the mount point"
    );

    // It comes back, and catches up.
    fs::remove_dir(&stage.targets[0]).unwrap();
    fs::rename(&away, &stage.targets[0]).unwrap();
    let run = api.run("all", "apply");
    assert_eq!((&run["state"], &run["counts"]["copied"]), (&json!("succeeded"), &json!(1)), "{run:#}");
    assert_same(&stage.library, &stage.targets[0]);
}

#[test]
fn a_library_that_is_not_mounted_empties_nothing() {
    let stage = Stage::new(1);
    fill(&stage.library, 50, 2_000, 1);
    let server = Server::start(&stage.data());
    let api = server.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({ "prune": [""] }), false);
    let once = json!({
        "plugin": plugin, "settings": { "prune": [""] }, "sources": ["patches"], "targets": ["server1"],
        "max_attempts": 1,
    });
    api.put("/syncs/all", &once).expect(200);
    assert_eq!(api.run("all", "apply")["state"], "succeeded");
    let away = stage.folder.path().join("away");
    fs::rename(&stage.library, &away).unwrap();
    fs::create_dir(&stage.library).unwrap();
    let run = api.run("all", "apply");
    assert_eq!(
        (&run["state"], &run["failure"]["kind"]),
        (&json!("failed"), &json!("unavailable")),
        "{run:#}"
    );
    assert_same(&away, &stage.targets[0]);

    // An administrator says that the empty folder is the library now: it is refused as a source all the same.
    api.post("/stores/library/adopt", &json!({})).expect(200);
    let run = api.run("all", "apply");
    assert_eq!(
        (&run["state"], &run["failure"]["code"]),
        (&json!("failed"), &json!("empty-source")),
        "{run:#}"
    );
    assert_same(&away, &stage.targets[0]);
}

#[test]
fn folders_that_cannot_be_stores_are_refused_with_what_to_do() {
    let stage = Stage::new(1);
    fs::write(stage.folder.path().join("file"), "").unwrap();
    let server = Server::start(&stage.data());
    let api = server.api();
    let add = |name: &str, path: &str| {
        api.post("/stores", &json!({ "name": name, "kind": "folder", "path": path }))
    };
    let folder = stage.folder.path().to_str().unwrap();
    for (name, path, says) in [
        ("a", "relative/path", "absolute"),
        ("a", &format!("{folder}/missing"), "make the folder"),
        ("a", &format!("{folder}/file"), "not a folder"),
        ("../a", folder, "name"),
    ] {
        let answer = add(name, path);
        assert_eq!(answer.status, 422, "{answer:?}");
        assert!(answer.body["detail"].as_str().unwrap().contains(says), "{answer:?}");
    }
    add("a", &format!("{folder}/server1")).expect(201);
    let twice = add("b", &format!("{folder}/server1/../server1"));
    assert_eq!(twice.status, 409, "{twice:?}");
}
