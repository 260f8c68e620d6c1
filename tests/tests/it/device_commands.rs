//! The commands of the client about devices, with a real server and a real agent.

use std::{
    fs,
    ops::Deref,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use syncline_tests::{
    api::eventually,
    commands::{Commands, text, utf8},
    programs,
    server::{Options, Server},
};
use tempfile::TempDir;

/// A server with the application `browser`, and what commands are told of it.
struct Desk {
    folder: TempDir,
    server: Server,
    commands: Commands,
}

impl Desk {
    fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
        let server =
            Server::start_with(&folder.path().join("data"), &Options { arguments, ..Options::default() });
        server.api().install(&programs::plugin("device-policy"));
        let commands = Commands::of(&server);
        let desk = Self { folder, server, commands };
        desk.says(0, &["application", "add", "browser", "--description", "on tills"]);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same desk, with a token of this role.
    fn into_role(mut self, role: &str) -> Self {
        let file = self.path(role);
        self.says(0, &["token", "add", role, "--role", role, "--output", text(&file)]);
        self.commands.token = file;
        self
    }

    /// Enrols the device that a token lets in, and has its agent run.
    fn agent(&self, name: &str, token: &Path) -> Agent {
        let home = self.path(name);
        fs::create_dir(&home).unwrap();
        let (config, file) = (home.join("agent.toml"), home.join("browser.json"));
        let written = format!(
            "server = '{}/v1/opamp'\nstate = '{}'\nsocket = '{}'\nname = '{name}'\n\
             [applications.browser]\nfile = '{}'\nform = 'json'\n",
            self.server.url,
            text(&home.join("state")),
            text(&home.join("socket")),
            text(&file),
        );
        fs::write(&config, written).unwrap();
        let agent = |words: &[&str]| {
            let mut command = Command::new(programs::binary("syncline-agent"));
            command.arg("--config").arg(&config).args(words).stdin(Stdio::null());
            command
        };
        let enrolled = agent(&["enrol", "--token-file", text(token)]).output().unwrap();
        assert!(enrolled.status.success(), "{}", utf8(&enrolled.stderr));
        let log = fs::File::create(home.join("log")).unwrap();
        let child = agent(&["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Agent { child, file }
    }
}

impl Deref for Desk {
    type Target = Commands;

    fn deref(&self) -> &Commands {
        &self.commands
    }
}

/// A running agent. Killed when dropped.
struct Agent {
    child: Child,
    file: PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The cells of the one row of a table that has this in it.
#[track_caller]
fn row<'a>(table: &'a str, part: &str) -> Vec<&'a str> {
    let mut rows = table.lines().filter(|line| line.contains(part));
    let (Some(row), None) = (rows.next(), rows.next()) else {
        panic!("no row, or several, of {part}:\n{table}")
    };
    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn a_device_is_registered_enrolled_given_a_policy_and_synchronised() {
    let desk = Desk::new(&[]);
    desk.says(0, &["group", "add", "/sales", "--description", "shops"]);
    desk.says(0, &["device", "register", "till", "--group", "/sales"]);
    assert_eq!(
        row(&desk.says(0, &["device", "list"]), "till")[1..],
        ["till", "/sales", "grey registered", "never"]
    );

    let token = desk.path("token");
    desk.says(0, &["enrolment-token", "add", "shop", "--device", "till", "--output", text(&token)]);
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    let agent = desk.agent("till", &token);
    eventually("the device to come", || {
        desk.says(0, &["device", "list", "--colour", "green"]).contains("up-to-date").then_some(())
    });

    // Settings from a file, and a lock that a stronger layer runs into.
    let settings = desk.path("settings.json");
    fs::write(&settings, r#"{"home": "a", "tabs": 3}"#).unwrap();
    let from = format!("@{}", text(&settings));
    let words = ["policy", "add", "browser", "--group", "/", "--settings", &from, "--lock", "/home"];
    desk.says(0, &[&words[..], &["--note", "first"]].concat());
    let own = r#"{"home": "b", "tabs": 9}"#;
    desk.says(0, &["policy", "add", "browser", "--device", "till", "--settings", own]);
    desk.says(0, &["device", "sync", "till", "--wait", "--timeout", "60s"]);
    let held: Value = serde_json::from_slice(&fs::read(&agent.file).unwrap()).unwrap();
    assert_eq!(held, json!({ "home": "a", "tabs": 9 }));

    let shown = desk.json(&["device", "show", "till"]);
    let application = &shown["applications"][0];
    assert_eq!(application["wanted_version"], application["held_version"], "{shown:#}");
    assert!(application["delivery"]["delivered_at"].is_string(), "{shown:#}");
    let shown = desk.says(0, &["device", "show", "till"]);
    assert!(shown.contains("green up-to-date") && row(&shown, "verified")[0] == "browser", "{shown}");

    let told = desk.says(0, &["device", "explain", "till", "browser"]);
    assert_eq!(row(&told, "/tabs")[1], "9");
    assert!(row(&told, "/tabs")[3].ends_with("(group /): 3"), "{told}");
    assert!(
        told.contains("/home (\"b\") of layer 2") && told.contains("layer 1 (group /) locks /home"),
        "{told}"
    );

    desk.says(0, &["device", "message", "till", "Restart tonight", "--severity", "warning"]);
    let messages = desk.says(0, &["device", "messages", "till", "--direction", "to-device", "--more"]);
    assert!(
        messages.contains("Restart tonight") && messages.contains("\"severity\": \"warning\""),
        "{messages}"
    );
}

#[test]
fn policies_have_versions_and_go_back_and_what_is_set_in_part_keeps_the_rest() {
    let desk = Desk::new(&[]);
    desk.says(0, &["device", "register", "till"]);
    let made = desk.json(&["policy", "add", "browser", "--group", "/", "--settings", r#"{"home": "a"}"#]);
    let id = made["id"].as_str().unwrap();
    desk.says(
        0,
        &["policy", "set", id, "--settings", r#"{"home": "b"}"#, "--lock", "/home", "--note", "better"],
    );
    assert!(desk.complains(2, &["policy", "set", id, "--lock", "/home"]).contains("nothing of policy"));
    assert_eq!(row(&desk.says(0, &["policy", "versions", id]), "better")[0], "2");
    assert!(desk.says(0, &["policy", "show", id, "--version", "1"]).contains(r#"{"home":"a"}"#));
    assert!(desk.complains(1, &["policy", "show", id, "--version", "7"]).contains("no version 7"));
    desk.says(0, &["policy", "rollback", id, "--version", "1"]);
    let now = desk.json(&["policy", "show", id]);
    assert_eq!(
        (&now["version"], &now["settings"], &now["locks"]),
        (&json!(3), &json!({ "home": "a" }), &json!([]))
    );
    assert_eq!(desk.json(&["policy", "list", "--application", "browser"])["items"][0]["id"], id);
    desk.says(0, &["policy", "remove", id]);
    assert_eq!(desk.says(0, &["policy", "list"]), "There are no policies.");

    let schema = r#"{"type": "object", "properties": {"tabs": {"type": "integer"}}}"#;
    desk.says(0, &["application", "set", "browser", "--schema", schema]);
    assert!(desk.says(0, &["application", "list"]).contains("on tills"));
    let wrong = ["policy", "add", "browser", "--group", "/", "--settings", r#"{"tabs": "x"}"#];
    assert!(desk.complains(1, &wrong).contains("tabs"));
    desk.says(0, &["application", "set", "browser", "--no-schema"]);
    desk.says(0, &wrong);
    assert!(desk.complains(1, &["application", "remove", "browser"]).contains("polic"));
}

#[test]
fn groups_move_with_their_devices_and_selections_give_theirs() {
    let desk = Desk::new(&[]);
    for group in ["/sales", "/sales/berlin", "/shops"] {
        desk.says(0, &["group", "add", group]);
    }
    let made = desk.json(&["device", "register", "till", "--group", "/sales/berlin"]);
    let id = made["id"].as_str().unwrap();
    desk.says(0, &["group", "move", "/sales/berlin", "/shops/berlin"]);
    assert_eq!(desk.json(&["device", "show", id])["group"], "/shops/berlin");
    desk.says(0, &["group", "remove", "/sales"]);
    assert!(desk.complains(1, &["group", "remove", "/shops"]).contains("/shops"));
    assert!(!desk.says(0, &["group", "list"]).contains("/sales"));

    desk.says(0, &["selection", "add", "shops", "--condition", r#"{"group": "/shops"}"#]);
    assert_eq!(desk.says(0, &["selection", "run", "shops"]), id);
    desk.says(0, &["selection", "set", "shops", "--condition", r#"{"group-exactly": "/shops"}"#]);
    assert_eq!(desk.says(0, &["selection", "run", "shops"]), "");
    assert!(
        desk.complains(2, &["selection", "set", "shops", "--condition", r#"{"group": 7}"#])
            .contains("/group")
    );
    desk.says(0, &["selection", "remove", "shops"]);

    desk.says(0, &["device", "rename", "till", "kiosk"]);
    desk.says(0, &["device", "move", "kiosk", "/"]);
    assert_eq!(row(&desk.says(0, &["device", "list", "--name", "KIOS"]), "kiosk")[1..3], ["kiosk", "/"]);
    desk.says(0, &["device", "decommission", "kiosk", "--reason", "sold"]);
    assert!(desk.says(0, &["device", "show", "kiosk"]).contains("decommissioned"));
    // The name of one that is gone is free.
    desk.says(0, &["device", "register", "kiosk"]);
    assert_eq!(desk.json(&["device", "show", "kiosk"])["state"], "registered");
    desk.says(0, &["device", "register", "kiosk"]);
    assert!(desk.complains(1, &["device", "show", "kiosk"]).contains("2 devices are called"));
}

#[test]
fn what_a_synchronisation_cannot_reach_is_told_by_the_exit_code() {
    let desk = Desk::new(&["--publish", "server-sync"]);
    desk.says(0, &["device", "register", "till"]);
    desk.says(0, &["policy", "add", "browser", "--group", "/", "--settings", "{}"]);
    assert_eq!(desk.says(0, &["device", "list", "--application", "browser"]), "There are no devices.");
    let ended = desk.says(0, &["server", "sync", "--wait"]);
    assert!(ended.contains("the server") && ended.contains("ended"), "{ended}");
    assert!(desk.says(0, &["device", "list", "--application", "browser"]).contains("till"));

    let id = desk.says(0, &["device", "sync", "--group", "/"]);
    assert_eq!(id, desk.says(0, &["device", "sync", "--group", "/"]), "a repeat gives the one under way");
    let shown = desk.says(0, &["device", "operation", &id]);
    assert!(shown.contains("0 of 1 synchronised, 1 deferred") && shown.contains("not enrolled"), "{shown}");
    let late = desk.complains(1, &["device", "operation", &id, "--wait", "--timeout", "0s"]);
    assert!(late.contains("it goes on"), "{late}");
    let listed = desk.json(&["device", "operation", &id, "--devices", "--outcome", "deferred"]);
    assert_eq!(listed["items"][0]["outcome"], "deferred");

    desk.says(0, &["device", "decommission", "till", "--reason", "sold"]);
    let failed = desk.says(1, &["device", "sync", "till", "--wait"]);
    assert!(failed.contains("it is decommissioned"), "{failed}");
    assert_eq!(desk.says(0, &["device", "retry", "--status", "failed"]), "No delivery had failed.");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let desk = Desk::new(&[]);
    desk.says(0, &["device", "register", "till"]);
    let nobody = "01930000-0000-7000-8000-000000000001";
    for words in [&["device", "show"][..], &["device", "sync"], &["device", "messages"]] {
        let by_id = desk.complains(1, &[words, &[nobody]].concat());
        assert!(by_id.contains(nobody), "{by_id}");
        let by_name = desk.complains(1, &[words, &["nobody"]].concat());
        assert!(by_name.contains("there is no device \"nobody\""), "{by_name}");
    }
    let never_came = ["policy", "add", "browser", "--device", "till", "--settings", "{}"];
    let refused = desk.complains(1, &never_came);
    assert!(
        refused.contains("was never in contact") && refused.contains("force a synchronisation"),
        "{refused}"
    );

    for (words, says) in [
        (&["policy", "add", "browser", "--settings", "{}"][..], "--group"),
        (&["policy", "add", "browser", "--group", "/", "--settings", "{"], "not JSON"),
        (&["policy", "add", "browser", "--group", "sales", "--settings", "{}"], "/sales/berlin"),
        (&["device", "list", "--colour", "pink"], "orange"),
        (&["device", "sync"], "--selection"),
        (&["device", "retry"], "--all"),
        (&["enrolment-token", "add", "shop"], "--device"),
    ] {
        let complaint = desk.complains(2, words);
        assert!(complaint.contains(says), "{words:?}: {complaint}");
    }
    let status = desk.complains(1, &["device", "list", "--status", "merry"]);
    assert!(status.contains("up-to-date"), "{status}");

    // A token that cannot be written down is not made.
    fs::write(desk.path("there"), "").unwrap();
    let there = desk.path("there");
    desk.complains(1, &["enrolment-token", "add", "shop", "--group", "/", "--output", text(&there)]);
    assert_eq!(desk.says(0, &["enrolment-token", "list"]), "There are no enrolment tokens.");
    let made = desk.json(&["enrolment-token", "add", "shop", "--group", "/", "--single-use"]);
    desk.says(0, &["enrolment-token", "revoke", made["id"].as_str().unwrap()]);

    let viewer = desk.into_role("viewer");
    assert!(viewer.says(0, &["device", "list"]).contains("till"));
    for words in [
        &["device", "sync", "till"][..],
        &["server", "sync"],
        &["device", "rename", "till", "kiosk"],
        &["device", "message", "till", "hello"],
        &["enrolment-token", "list"],
    ] {
        let denied = viewer.complains(1, words);
        assert!(denied.contains("viewer") && denied.contains("whoami"), "{words:?}: {denied}");
    }
}
