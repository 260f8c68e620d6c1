//! Users of devices, and what is left to the server's own synchronisation.

use std::fs;

use serde_json::{Value, json};
use syncline_tests::{
    agent::Device,
    api::{Api, eventually},
    commands::Commands,
    devices::{application_of, text},
    server::{Options, Server},
};

use super::agent::Site;

/// Waits until a user shows this.
#[track_caller]
fn user_is(api: &Api, user: &str, wanted: &str) {
    eventually(&format!("a user to be {wanted}"), || {
        let status = api.get(user)["status"].clone();
        (format!("{} {}", text(&status["colour"]), text(&status["state"])) == wanted).then_some(())
    });
}

#[test]
fn a_code_that_is_typed_in_on_the_device_activates_its_user_there() {
    let site = Site::start(Device::new(""));
    let (api, device) = (&site.api, &site.device);
    let made = api.post("/users", &json!({ "name": "ann" })).expect(201);
    let user = format!("/users/{}", text(&made["id"]));
    user_is(api, &user, "grey no-subscription");
    api.post(&format!("{user}/subscription"), &Value::Null).expect(201);
    user_is(api, &user, "blue issued");
    let code = text(&api.post(&format!("{user}/activation-codes"), &json!({})).expect(201)["code"]);

    let wrong = device.call(&["activate", "AAAA-BBBB-CCCC-DDDD"]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert_eq!(device.says(&["activate", &code]), "ann is activated on this device.\n");
    user_is(api, &user, "green in-sync");
    assert_eq!(api.get(&user)["device"], json!(site.id));
    let again = device.call(&["activate", &code]);
    assert_eq!(again.status.code(), Some(1), "a code has one use: {again:?}");

    // Keys of its own instead of its group's.
    let own = json!({ "keys": { "vpn": [{ "id": "a", "name": "Own", "parameters": {} }] } });
    api.send("PATCH", &user, &[("content-type", "application/json")], own.to_string().as_bytes()).expect(200);
    user_is(api, &user, "purple own-keys");
}

#[test]
fn what_is_staged_is_published_by_the_servers_own_synchronisation() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--publish", "server-sync"].map(str::to_owned).to_vec();
    let server =
        Server::start_with(&folder.path().join("data"), &Options { arguments, ..Options::default() });
    let api = server.api();
    api.add_application("till");
    let device = Device::new("");
    let id = device.enrol(&server, &api);
    let _agent = device.run();
    api.device_when(&id, "connection", |one| one["connected"] == true);
    let policy = api.add_policy("till", &json!({ "home": "a" }));
    assert_eq!(application_of(&api.get(&format!("/devices/{id}")), "till"), &Value::Null, "it is staged");

    server_sync(&api);
    api.delivered(&id, "till", 1);
    assert_eq!(device.till(), Some(json!({ "home": "a" })));
    api.change_policy(&policy, "till", &json!({ "home": "b" }));
    assert_eq!(device.till(), Some(json!({ "home": "a" })));
    server_sync(&api);
    api.delivered(&id, "till", 2);
    assert_eq!(device.till(), Some(json!({ "home": "b" })));
}

/// Has the server synchronise itself, to its end.
#[track_caller]
fn server_sync(api: &Api) {
    let begun = api.post("/server/sync", &Value::Null).expect(202);
    let path = format!("/sync-operations/{}", text(&begun["id"]));
    let ended = eventually("the server's synchronisation", || {
        let operation = api.get(&path);
        operation["finished_at"].is_string().then_some(operation)
    });
    assert_eq!(ended["failure"], Value::Null, "{ended:#}");
}

#[test]
fn a_table_of_users_is_taken_over_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let (api, commands) = (server.api(), Commands::of(&server));
    api.post("/groups", &json!({ "path": "/sales" })).expect(201);
    let table = folder.path().join("users.csv");
    let path = table.to_str().unwrap();
    let import = |content: &str, code: i32, more: &[&str]| {
        fs::write(&table, content).unwrap();
        commands.json_of(code, &[&["user", "import", path], more].concat())
    };
    let head = "name,display_name,email,group\n";
    let first = import(&format!("{head}ann,Ann A.,ann@x.org,/sales\nbob,,,\nbad,,no-address,\n"), 3, &[]);
    assert_eq!((&first["created"], &first["refused"]), (&json!(2), &json!(1)), "{first:#}");
    let refused = text(&first["users"][2]["problem"]["detail"]);
    assert!(refused.contains("no-address"), "{refused}");

    // The same again is refused, unless the user may stay or be changed.
    let again = format!("{head}ann,Ann B.,,\n");
    let there = import(&again, 1, &[]);
    assert_eq!(there["users"][0]["problem"]["type"], "/problems/exists", "{there:#}");
    assert_eq!(import(&again, 0, &["--existing", "keep"])["unchanged"], 1);
    assert_eq!(import(&again, 0, &["--existing", "change"])["changed"], 1);
    assert_eq!(import(&again, 0, &["--existing", "change"])["unchanged"], 1);
    let ann = &api.get("/users?name=ann")["items"][0];
    let shown = ["display_name", "email", "group"].map(|field| text(&ann[field]));
    assert_eq!(shown, ["Ann B.", "ann@x.org", "/sales"], "what is not given stays");

    // More than one request takes.
    let many: String = (0..1_500).map(|n| format!("user{n},,,\n")).collect();
    assert_eq!(import(&format!("{head}{many}"), 0, &[])["created"], 1_500);
    assert_eq!(api.post("/users/import", &json!({ "users": [] })).expect(422)["type"], "/problems/users");
    let viewer = api.post("/tokens", &json!({ "name": "looks", "role": "viewer" })).expect(201);
    let viewer = api.with_token(&text(&viewer["token"]));
    viewer.post("/users/import", &json!({ "users": [{ "name": "eve" }] })).expect(403);
}
