//! Publishing to devices is a run: previewed, guarded, approved.

use serde_json::{Value, json};
use syncline_tests::{
    api::{Api, eventually},
    programs,
    server::{Options, Server},
};

/// A server with an application and so many devices that were never there yet.
struct Fleet {
    _data: tempfile::TempDir,
    server: Server,
    sync: String,
}

impl Fleet {
    fn of(devices: usize) -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path());
        let api = server.api();
        let sync = api.install(&programs::plugin("device-policy"));
        let application = json!({ "name": "browser", "plugin": sync });
        api.post("/applications", &application).expect(201);
        for number in 0..devices {
            api.post("/devices", &json!({ "name": format!("till-{number}") })).expect(201);
        }
        Self { _data: data, server, sync }
    }

    fn api(&self) -> Api {
        self.server.api()
    }

    fn policy(&self, home: &str) -> String {
        let answer = self.api().post("/policies", &policy(home));
        let location = answer.location.clone().unwrap();
        answer.expect(201);
        location.strip_prefix("/api/v1").unwrap().to_owned()
    }

    /// The newest run of the plugin's sync.
    fn newest(&self) -> Value {
        let runs = self.api().get(&format!("/syncs/{}/runs", self.sync));
        runs["items"][0].clone()
    }

    /// Versions that devices should have, each once.
    fn wanted(&self) -> Vec<u64> {
        let devices = self.api().all("/devices");
        let mut versions: Vec<u64> =
            devices.iter().filter_map(|one| one["applications"][0]["wanted_version"].as_u64()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }
}

fn policy(home: &str) -> Value {
    json!({ "application": "browser", "place": { "group": "/" }, "settings": { "home": home } })
}

#[test]
fn a_change_is_published_by_a_run_and_held_where_it_is_over_a_limit() {
    let fleet = Fleet::of(30);
    let path = fleet.policy("a");
    let first = fleet.newest();
    assert_eq!((&first["state"], &first["counts"]["copied"]), (&json!("succeeded"), &json!(30)));
    assert_eq!(fleet.wanted(), [1]);

    let sync = format!("/syncs/{}", fleet.sync);
    let limits = json!({ "plugin": fleet.sync, "limits": { "max_changes": 10 } });
    fleet.api().put(&sync, &limits).expect(200);
    fleet.api().put(&path, &policy("b")).expect(200);
    let held = fleet.newest();
    assert_eq!(held["state"], "held", "{held:#}");
    let excess = &held["excesses"][0];
    assert_eq!((&excess["target"], &excess["found"]), (&json!("browser"), &json!(30)));
    assert_eq!(held["excesses"][1]["target"], "devices");
    assert_eq!(fleet.wanted(), [1], "nothing is written while it is held");
    let run = format!("/runs/{}", held["id"].as_str().unwrap());
    let operations = fleet.api().all(&format!("{run}/operations"));
    assert!(operations.len() == 30 && operations.iter().all(|one| one["state"] == "planned"));

    // A single device is not a way around it; what it never had, it is given.
    fleet.api().post("/devices", &json!({ "name": "till-new" })).expect(201);
    let id = fleet.api().all("/devices")[0]["id"].as_str().unwrap().to_owned();
    let rename = json!({ "name": "renamed" });
    let renamed = fleet.api().send(
        "PATCH",
        &format!("/devices/{id}"),
        &[("content-type", "application/json")],
        rename.to_string().as_bytes(),
    );
    renamed.expect(200);
    assert_eq!(fleet.wanted(), [1]);

    fleet.api().post(&format!("{run}/approve"), &json!({})).expect(202);
    let ended = fleet.api().ended(held["id"].as_str().unwrap());
    assert_eq!((&ended["state"], &ended["counts"]["updated"]), (&json!("succeeded"), &json!(30)));
    // The new device had that very document, of that policy, from the first.
    assert_eq!(fleet.wanted(), [1, 2]);
}

#[test]
fn a_preview_changes_nothing_and_a_withdrawal_of_many_is_held() {
    let fleet = Fleet::of(25);
    let path = fleet.policy("a");
    let preview = fleet.api().run(&fleet.sync, "preview");
    assert_eq!((&preview["state"], &preview["counts"]["unchanged"]), (&json!("succeeded"), &json!(25)));

    fleet.api().delete(&path).expect(204);
    let held = fleet.newest();
    assert_eq!((&held["state"], &held["counts"]["removed"]), (&json!("held"), &json!(25)), "{held:#}");
    let run = format!("/runs/{}", held["id"].as_str().unwrap());
    fleet.api().post(&format!("{run}/reject"), &json!({ "reason": "a mistake" })).expect(200);
    assert_eq!(fleet.wanted(), [1]);
    fleet.policy("a");
    let again = fleet.newest();
    assert_eq!((&again["state"], &again["counts"]["unchanged"]), (&json!("succeeded"), &json!(25)));
    assert_eq!(fleet.wanted(), [2], "another policy, with the same document");
}

#[test]
fn where_it_is_so_set_changes_wait_for_the_synchronisation_of_the_server() {
    let data = tempfile::tempdir().unwrap();
    let arguments = vec!["--publish".to_owned(), "server-sync".to_owned()];
    let server = Server::start_with(data.path(), &Options { arguments, ..Options::default() });
    let api = server.api();
    let plugin = api.install(&programs::plugin("device-policy"));
    api.post("/applications", &json!({ "name": "browser", "plugin": plugin })).expect(201);
    api.post("/devices", &json!({ "name": "till" })).expect(201);
    api.post("/policies", &policy("a")).expect(201);
    assert_eq!(api.all("/devices")[0]["applications"], json!([]));

    let begun = api.post("/server/sync", &json!({}));
    let location = begun.location.clone().unwrap();
    begun.expect(202);
    let operation = location.strip_prefix("/api/v1").unwrap();
    eventually("the server to synchronise itself", || {
        (!api.get(operation)["finished_at"].is_null()).then_some(())
    });
    assert_eq!(api.all("/devices")[0]["applications"][0]["wanted_version"], 1);
}
