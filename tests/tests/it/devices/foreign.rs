//! Agents that nobody here wrote are managed like any other.

use serde_json::{Value, json};
use syncline_tests::{
    api::eventually,
    devices::{application_of, text, time},
    foreign::{Foreign, Language},
    server::Server,
};

/// From registered to delivered, changed, refused, synchronised and taken back. `end` is the last state that a delivery
/// comes to, which depends on whether the client says what is in force.
fn is_managed(language: Language, service: &str, end: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let api = server.api();
    api.add_application("browser");
    let (id, token) = api.register("till");
    let registered = api.get(&format!("/devices/{id}"));
    assert_eq!(registered["status"]["state"], "registered");

    let agent = Foreign::start(language, &server, &token);
    let holds = |wanted: Value| {
        let wanted = wanted.as_object().unwrap().clone();
        eventually(&format!("the agent to hold {wanted:?}; it says: {}", agent.log()), || {
            agent.documents().into_iter().eq(wanted.clone()).then_some(())
        });
    };
    let came = api.device_when(&id, "first contact", |device| device["status"]["colour"] == "green");
    let facts = &came["facts"];
    assert_eq!((&facts["service.name"], &facts["os.type"]), (&json!(service), &json!("linux")), "{facts:#}");
    assert!(came["last_contact"].is_string() && came["next_contact"].is_string());

    let policy = api.add_policy("browser", &json!({ "home": "a" }));
    let held = api.delivered(&id, "browser", 1);
    holds(json!({ "browser": { "home": "a" } }));
    let first = application_of(&held, "browser")["delivery"]["delivered_at"].clone();
    assert!(time(&first) >= time(&came["last_contact"]));

    api.change_policy(&policy, "browser", &json!({ "home": "b" }));
    let held = api.delivered(&id, "browser", 2);
    holds(json!({ "browser": { "home": "b" } }));
    let second = application_of(&held, "browser")["delivery"]["delivered_at"].clone();
    assert!(time(&second) > time(&first));
    let held =
        api.device_when(&id, end, |device| application_of(device, "browser")["delivery"]["state"] == end);

    let synced = api.sync_device(&id);
    assert_eq!(synced["counts"]["synchronised"], 1, "{synced:#}");
    let after = api.device_when(&id, "forced sync", |device| device["last_forced_sync"].is_string());
    assert_eq!(after["applications"], held["applications"], "nothing changed");

    api.change_policy(&policy, "browser", &json!({ "home": "c", "refuse": true }));
    let failed = api.device_when(&id, "failure", |device| device["status"]["state"] == "failed");
    let delivery = &application_of(&failed, "browser")["delivery"];
    assert_eq!(text(&delivery["error"]), "browser: refused as its document asks");
    assert_eq!((&failed["status"]["mark"], &delivery["delivered_at"]), (&json!(true), &second));
    holds(json!({ "browser": { "home": "b" } }));

    api.delete(&policy).expect(204);
    holds(json!({}));
    let empty = api.device_when(&id, "withdrawal", |device| device["status"]["colour"] == "green");
    assert_eq!(application_of(&empty, "browser")["held"], Value::Null, "{empty:#}");
}

#[test]
fn the_client_of_npm_is_managed() {
    is_managed(Language::Node, "node-agent", "applied");
}

#[test]
fn the_client_of_pypi_is_managed() {
    is_managed(Language::Python, "python-agent", "verified");
}
