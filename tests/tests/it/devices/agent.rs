//! Our own agent: what it is given, what others change on the device, what fails and what is taken back.

use std::{fs, path::Path};

use serde_json::{Value, json};
use syncline_tests::{
    agent::Device,
    api::{Api, eventually},
    devices::{application_of, text, time},
    process::Process,
    server::Server,
};
use tempfile::TempDir;

/// A server with an application `till`, and a device whose agent runs.
pub struct Site {
    _folder: TempDir,
    _server: Server,
    pub api: Api,
    pub device: Device,
    pub agent: Process,
    pub id: String,
}

impl Site {
    /// With a device that is set up like this, and not in contact but for its enrolment.
    pub fn start(device: Device) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&folder.path().join("data"));
        let api = server.api();
        api.add_application("till");
        let id = device.enrol(&server, &api);
        let agent = device.run();
        Self { _folder: folder, _server: server, api, device, agent, id }
    }

    pub fn shown(&self) -> Value {
        self.api.get(&format!("/devices/{}", self.id))
    }

    /// How the application stands, once its document is seen in force.
    #[track_caller]
    pub fn verified(&self, version: u64) -> Value {
        let device = self.api.delivered(&self.id, "till", version);
        let till = application_of(&device, "till").clone();
        assert_eq!(till["delivery"]["state"], "verified", "{till:#}\n{}", self.device.log());
        till
    }

    #[track_caller]
    fn failed(&self) -> Value {
        let device = self.api.device_when(&self.id, "failure", |one| one["status"]["state"] == "failed");
        assert_eq!((&device["status"]["colour"], &device["status"]["mark"]), (&json!("red"), &json!(true)));
        application_of(&device, "till").clone()
    }
}

fn delivered_at(till: &Value) -> jiff::Timestamp {
    time(&till["delivery"]["delivered_at"])
}

#[test]
fn a_policy_becomes_a_file_and_goes_with_it() {
    let site = Site::start(Device::new("mode = \"0640\""));
    let (api, device) = (&site.api, &site.device);
    let policy = api.add_policy("till", &json!({ "home": "a" }));
    let first = site.verified(1);
    assert_eq!((device.till(), device.reloads()), (Some(json!({ "home": "a" })), 1));
    let shown = site.shown();
    assert_eq!((&shown["connected"], &shown["facts"]["host.name"]), (&json!(true), &json!("till")));
    let own = device.status();
    assert_eq!((&own["applications"][0]["state"], &own["enrolled"]), (&json!("applied"), &json!(true)));

    api.change_policy(&policy, "till", &json!({ "home": "b" }));
    let second = site.verified(2);
    assert_eq!((device.till(), device.reloads()), (Some(json!({ "home": "b" })), 2));
    assert!(delivered_at(&second) > delivered_at(&first));

    api.change_policy(&policy, "till", &json!({ "home": "b" }));
    let third = site.verified(3);
    assert_eq!(device.reloads(), 2, "the document is the same");
    assert!(delivered_at(&third) > delivered_at(&second));

    assert_eq!(api.sync_device(&site.id)["counts"]["synchronised"], 1);
    assert_eq!(device.says(&["sync"]), "This device is up to date.\n");
    assert_eq!(delivered_at(&site.verified(3)), delivered_at(&third), "nothing changed");

    api.delete(&policy).expect(204);
    let empty = api.device_when(&site.id, "withdrawal", |one| one["status"]["colour"] == "green");
    assert_eq!(application_of(&empty, "till")["held"], Value::Null);
    assert!(!device.at("till.json").exists());
    assert_eq!(device.reloads(), 3, "the program takes up that it is gone");
}

#[test]
fn over_plain_http_a_sync_from_the_device_brings_what_waits() {
    let device = Device::new("");
    device.configure_first("transport = \"http\"\n");
    let site = Site::start(device);
    // Its first contact is behind it, and the next one is an hour away.
    eventually("the agent to work", || site.device.call(&["sync"]).status.success().then_some(()));
    site.api.add_policy("till", &json!({ "home": "a" }));
    let begun = site.api.post(&format!("/devices/{}/sync", site.id), &Value::Null).expect(202);
    assert_eq!(begun["counts"]["deferred"], 1);
    let waits = application_of(&site.shown(), "till").clone();
    assert_eq!(
        (&waits["delivery"]["state"], &waits["delivery"]["delivered_at"]),
        (&json!("pending"), &Value::Null)
    );
    site.device.says(&["sync"]);
    site.verified(1);
    assert_eq!(site.device.till(), Some(json!({ "home": "a" })));
    let operation = site.api.get(&format!("/sync-operations/{}", text(&begun["id"])));
    assert_eq!(operation["counts"]["synchronised"], 1, "{operation:#}");
    assert_eq!(site.device.status()["contact"]["transport"], "HTTP");
}

#[test]
fn what_someone_changes_on_the_device_is_repaired_by_a_sync_from_either_side() {
    let site = Site::start(Device::new(""));
    let wanted = json!({ "home": "a" });
    site.api.add_policy("till", &wanted);
    site.verified(1);
    let file = site.device.at("till.json");
    let from_server = |site: &Site| {
        let ended = site.api.sync_device(&site.id);
        assert_eq!(ended["counts"]["synchronised"], 1, "{ended:#}");
    };
    let from_device = |site: &Site| assert_eq!(site.device.says(&["sync"]), "This device is up to date.\n");
    let edit: fn(&Path) = |file| fs::write(file, "{\"home\":\"elsewhere\"}").unwrap();
    let remove: fn(&Path) = |file| fs::remove_file(file).unwrap();
    let mut reloads = 1;
    for sync in [&from_server as &dyn Fn(&Site), &from_device] {
        for change in [edit, remove] {
            change(&file);
            sync(&site);
            reloads += 1;
            assert_eq!((site.device.till(), site.device.reloads()), (Some(wanted.clone()), reloads));
            site.verified(1);
        }
    }
}

#[test]
fn a_document_that_fails_its_check_is_rolled_back_and_shown() {
    for argument in ["\"{file}\"", ""] {
        let device = Device::new("");
        let check = device.script("check", "if grep -q bad \"${1:-$SYNCLINE_FILE}\"; then exit 3; fi");
        device.configure(&format!("check = [{check:?}, {argument}]\n"));
        let site = Site::start(device);
        let (api, device) = (&site.api, &site.device);
        let policy = api.add_policy("till", &json!({ "home": "good" }));
        let good = site.verified(1);

        api.change_policy(&policy, "till", &json!({ "home": "bad" }));
        let failed = site.failed();
        assert_eq!((device.till(), device.reloads()), (Some(json!({ "home": "good" })), 1));
        let delivery = &failed["delivery"];
        assert!(text(&delivery["error"]).contains("exit status: 3"), "{failed:#}");
        assert!(failed["held_version"].as_u64() < failed["wanted_version"].as_u64(), "{failed:#}");
        assert_eq!(delivered_at(&failed), delivered_at(&good));
        assert_eq!(device.status()["applications"][0]["state"], "failed");
        let refused = device.call(&["sync"]);
        assert_eq!(refused.status.code(), Some(1));

        // What was wrong was the device: tried again, it works.
        device.script("check", "exit 0");
        let retried = api.post("/devices/retry", &json!({ "delivery": "failed" })).expect(200);
        assert_eq!(retried["deliveries"], 1);
        site.verified(2);
        assert_eq!((device.till(), device.reloads()), (Some(json!({ "home": "bad" })), 2));
    }
}
