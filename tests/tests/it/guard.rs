//! Preview, limits, held runs, cancelling, trying again.

use std::fs;

use serde_json::{Value, json};
use syncline_tests::{
    api::Api,
    programs,
    server::Server,
    tree::{assert_same, fill},
};

use crate::copy::Stage;

/// A target that was filled with 100 files by a sync that prunes, and a sync with these limits.
fn filled(limits: &Value) -> (Stage, Server, Api) {
    let stage = Stage::new(1);
    fill(&stage.library, 100, 2_000, 3);
    let server = Server::start(&stage.data());
    let api = server.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({ "prune": [""] }), false);
    let mut sync = api.get("/syncs/all");
    sync["limits"] = limits.clone();
    for shown_only in ["name", "created_at", "updated_at", "revision"] {
        sync.as_object_mut().unwrap().remove(shown_only);
    }
    api.put("/syncs/all", &sync).expect(200);
    let run = api.run("all", "apply");
    assert_eq!(run["state"], "succeeded", "{run:#}");
    (stage, server, api)
}

/// Removes so many files from the library.
fn remove(stage: &Stage, count: usize) {
    let folder = stage.library.join("d000");
    let mut files: Vec<_> = (0..3)
        .flat_map(|part| fs::read_dir(folder.join(format!("e{part}"))).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in &files[..count] {
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_run_over_a_limit_is_held_and_changes_nothing_until_it_is_approved() {
    let (stage, _server, api) = filled(&json!({ "max_deletes": 10 }));
    remove(&stage, 11);
    let held = api.run("all", "apply");
    assert_eq!(held["state"], "held", "{held:#}");
    assert_eq!(held["excesses"][0]["limit"], "max_deletes");
    assert_eq!(held["sizes"][0]["deletes"], 11);
    let id = held["id"].as_str().unwrap();
    let planned = api.operations(id);
    assert_eq!(planned.iter().filter(|one| one["kind"] == "remove" && one["state"] == "planned").count(), 11);

    let preview = api.run("all", "preview");
    assert_eq!((&preview["state"], &preview["counts"]["removed"]), (&json!("succeeded"), &json!(11)));

    api.post(&format!("/runs/{id}/approve"), &json!({})).expect(202);
    let run = api.ended(id);
    assert_eq!((&run["state"], &run["counts"]["removed"]), (&json!("succeeded"), &json!(11)), "{run:#}");
    assert_same(&stage.library, &stage.targets[0]);
}

#[test]
fn an_approved_difference_that_has_grown_is_held_again() {
    let (stage, _server, api) = filled(&json!({ "max_delete_percent": 10 }));
    remove(&stage, 11);
    let held = api.run("all", "apply");
    let id = held["id"].as_str().unwrap();
    remove(&stage, 3);
    api.post(&format!("/runs/{id}/approve"), &json!({})).expect(202);
    let again = api.ended(id);
    assert_eq!((&again["state"], &again["sizes"][0]["deletes"]), (&json!("held"), &json!(14)), "{again:#}");

    api.post(&format!("/runs/{id}/reject"), &json!({ "reason": "not today" })).expect(200);
    let rejected = api.ended(id);
    assert_eq!(rejected["state"], "cancelled");
    assert!(rejected["reason"].as_str().unwrap().contains("not today"));
    assert!(api.post(&format!("/runs/{id}/approve"), &json!({})).status == 409);
}

#[test]
fn limits_on_changes_hold_what_a_first_fill_may_do() {
    let (stage, _server, api) = filled(&json!({ "max_changes": 5, "max_change_percent": 50 }));
    for part in 0..2 {
        for entry in fs::read_dir(stage.library.join(format!("d000/e{part}"))).unwrap() {
            fs::write(entry.unwrap().path(), "other").unwrap();
        }
    }
    let held = api.run("all", "apply");
    assert_eq!(held["state"], "held", "{held:#}");
    let limits: Vec<_> =
        held["excesses"].as_array().unwrap().iter().map(|one| one["limit"].clone()).collect();
    assert_eq!(limits, [json!("max_changes"), json!("max_change_percent")]);
}

#[test]
fn what_failed_is_tried_again_alone() {
    let (stage, _server, api) = filled(&json!({}));
    let target = &stage.targets[0];
    // A folder with something of others' in it stands where a file should: nobody's files are removed for that.
    let path = "d000/e0/f000000.bin";
    let blocked = target.join(path);
    fs::remove_file(&blocked).unwrap();
    fs::create_dir(&blocked).unwrap();
    fs::write(blocked.join("mine"), "mine").unwrap();
    let sync_without_prune = json!({
        "plugin": "distribution-files", "settings": {}, "sources": ["patches"], "targets": ["server1"],
    });
    api.put("/syncs/all", &sync_without_prune).expect(200);
    fs::write(stage.library.join("d000/e1/f000001.bin"), "new").unwrap();
    let partial = api.run("all", "apply");
    assert_eq!(partial["state"], "partial", "{partial:#}");
    let counts = &partial["counts"];
    assert_eq!((&counts["failed"], &counts["updated"]), (&json!(1), &json!(1)), "{partial:#}");
    let id = partial["id"].as_str().unwrap();
    let failed = api.all(&format!("/runs/{id}/operations?state=failed"));
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["path"], path);

    fs::remove_dir_all(&blocked).unwrap();
    fs::write(stage.library.join("d000/e2/f000002.bin"), "newer").unwrap();
    let answer = api.post(&format!("/runs/{id}/retry"), &json!({}));
    let retry = answer.location.clone().unwrap();
    answer.expect(202);
    let run = api.ended(retry.rsplit('/').next().unwrap());
    assert_eq!((&run["state"], &run["retry_of"]), (&json!("succeeded"), &partial["id"]), "{run:#}");
    assert_eq!(run["counts"]["copied"], 1, "{run:#}");
    let changed_since = target.join("d000/e2/f000002.bin");
    assert_ne!(fs::read(changed_since).unwrap(), b"newer", "what did not fail is left to the next run");
}

#[test]
fn a_cancelled_run_ends_at_a_safe_point() {
    let stage = Stage::new(1);
    fill(&stage.library, 4_000, 50_000, 5);
    let server = Server::start(&stage.data());
    let api = server.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), false);
    api.send(
        "PATCH",
        "/stores/server1",
        &[("content-type", "application/json")],
        br#"{"bytes_per_second": 2000000}"#,
    )
    .expect(200);
    let id = api.start("all", "apply");
    api.until(&id, |state| state == "running");
    api.post(&format!("/runs/{id}/cancel"), &json!({})).expect(202);
    let run = api.ended(&id);
    assert_eq!(run["state"], "cancelled", "{run:#}");
    assert!(syncline_tests::tree::leftovers(&stage.targets[0]).is_empty());
    api.send(
        "PATCH",
        "/stores/server1",
        &[("content-type", "application/json")],
        br#"{"bytes_per_second": 0}"#,
    )
    .expect(200);
    let run = api.run("all", "apply");
    assert_eq!(run["state"], "succeeded", "{run:#}");
    assert_same(&stage.library, &stage.targets[0]);
}
