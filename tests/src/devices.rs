//! Devices as whoever administers them sees them: what tests ask of the API again and again.

use serde_json::{Value, json};

use crate::{
    api::{Api, eventually},
    programs,
    server::Server,
};

impl Server {
    /// Where devices come to.
    pub fn device_endpoint(&self) -> String {
        format!("{}/v1/opamp", self.url)
    }
}

impl Api {
    /// Installs `device-policy`, and makes `application` one of it.
    #[track_caller]
    pub fn add_application(&self, application: &str) {
        let plugin = self.install(&programs::plugin("device-policy"));
        self.post("/applications", &json!({ "name": application, "plugin": plugin })).expect(201);
    }

    /// An enrolment token for `{"group": path}` or `{"device": id}`.
    #[track_caller]
    pub fn admit(&self, admits: &Value) -> String {
        let body = json!({ "name": "test", "admits": admits, "expires_at": "2099-01-01T00:00:00Z" });
        text(&self.post("/enrolment-tokens", &body).expect(201)["token"])
    }

    /// Makes a device known; answers its id, and a token for it alone.
    #[track_caller]
    pub fn register(&self, name: &str) -> (String, String) {
        let id = text(&self.post("/devices", &json!({ "name": name })).expect(201)["id"]);
        let token = self.admit(&json!({ "device": id }));
        (id, token)
    }

    /// Makes a policy for all devices, and answers its path.
    #[track_caller]
    pub fn add_policy(&self, application: &str, settings: &Value) -> String {
        let made = self.post("/policies", &for_all(application, settings)).expect(201);
        format!("/policies/{}", text(&made["id"]))
    }

    /// Changes a policy for all devices.
    #[track_caller]
    pub fn change_policy(&self, path: &str, application: &str, settings: &Value) {
        self.put(path, &for_all(application, settings)).expect(200);
    }

    /// The device, once it is as `wanted` says.
    #[track_caller]
    pub fn device_when(&self, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/devices/{id}");
        eventually(&format!("{what} of device {id}"), || {
            let device = self.get(&path);
            wanted(&device).then_some(device)
        })
    }

    /// The device, once it holds what it should and is green; `version` is the one that it should hold at least.
    #[track_caller]
    pub fn delivered(&self, id: &str, application: &str, version: u64) -> Value {
        self.device_when(id, &format!("delivery of version {version}"), |device| {
            let one = application_of(device, application);
            let held = one["held_version"].as_u64().is_some_and(|held| held >= version);
            held && one["held_version"] == one["wanted_version"] && device["status"]["colour"] == "green"
        })
    }

    /// Has a device synchronised, and answers the operation once it has ended.
    #[track_caller]
    pub fn sync_device(&self, id: &str) -> Value {
        let begun = self.post(&format!("/devices/{id}/sync"), &Value::Null).expect(202);
        let path = format!("/sync-operations/{}", text(&begun["id"]));
        eventually("the end of a synchronisation", || {
            let operation = self.get(&path);
            operation["finished_at"].is_string().then_some(operation)
        })
    }
}

fn for_all(application: &str, settings: &Value) -> Value {
    json!({ "application": application, "place": { "group": "/" }, "settings": settings })
}

/// How an application stands on a device, `null` if it is none of the device's.
pub fn application_of<'a>(device: &'a Value, application: &str) -> &'a Value {
    let all = device["applications"].as_array().expect("a device has applications");
    all.iter().find(|one| one["name"] == application).unwrap_or(&Value::Null)
}

/// A text of an answer.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// A time of an answer.
#[track_caller]
pub fn time(value: &Value) -> jiff::Timestamp {
    text(value).parse().unwrap_or_else(|error| panic!("no time: {value}: {error}"))
}
