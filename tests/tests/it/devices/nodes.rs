//! Two servers on one PostgreSQL, and a device that is connected to one of them.

use std::fs;

use serde_json::{Value, json};
use syncline_tests::{
    agent::Device,
    devices::application_of,
    postgres::Postgres,
    server::{Options, Server},
};

#[test]
fn what_one_node_is_told_reaches_a_device_that_is_connected_to_another_at_once() {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let options = Options { database: Some(postgres.url()), ..Options::default() };
    let desk = Server::start_with(&folder.path().join("node1"), &options);
    let front = Server::start_with(&folder.path().join("node2"), &options);
    let api = desk.api();
    api.add_application("till");
    // Its own next contact is an hour away.
    let device = Device::new("");
    let id = device.enrol(&front, &front.api());
    let _agent = device.run();
    front.api().device_when(&id, "connection", |one| one["connected"] == true);
    assert_eq!(api.get(&format!("/devices/{id}"))["connected"], false, "to this node");

    let policy = api.add_policy("till", &json!({ "home": "a" }));
    api.delivered(&id, "till", 1);
    assert_eq!(device.till(), Some(json!({ "home": "a" })));
    api.change_policy(&policy, "till", &json!({ "home": "b" }));
    let shown = api.delivered(&id, "till", 2);
    assert_eq!(application_of(&shown, "till")["wanted_version"], 2, "one change is one version: {shown:#}");

    fs::write(device.at("till.json"), "{\"home\":\"elsewhere\"}").unwrap();
    let ended = api.sync_device(&id);
    assert_eq!(ended["counts"]["synchronised"], 1, "{ended:#}");
    assert_eq!(device.till(), Some(json!({ "home": "b" })));
    let devices = api.get(&format!("/sync-operations/{}/devices", ended["id"].as_str().unwrap()));
    assert_eq!(devices["items"][0]["reason"], Value::Null);
}
