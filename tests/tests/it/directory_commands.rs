//! The commands of the client about directories, with a real server and OpenLDAP.

use std::{fs, ops::Deref};

use serde_json::json;
use syncline_tests::{
    commands::{Commands, text},
    directory::{
        certificates::Authority,
        free_port,
        ldif::{self, READER},
        slapd::{Options, Slapd},
    },
    programs,
    server::Server,
};
use tempfile::TempDir;

/// A server, a directory with five people, and a source `office` for it.
struct Desk {
    _folder: TempDir,
    _server: Server,
    slapd: Slapd,
    commands: Commands,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let authority = Authority::new("Office authority");
        let slapd = Slapd::start(&Options {
            ldif: ldif::base() + &ldif::people(1..=5),
            identity: Some(authority.issue(&["127.0.0.1"])),
            ..Options::default()
        });
        let server = Server::start(&at("data"));
        server.api().install(&programs::plugin("ldap-directory"));
        let commands = Commands::of(&server);
        let ca = at("ca.pem");
        fs::write(&ca, authority.pem()).unwrap();
        fs::write(at("password"), READER.1).unwrap();
        commands.says(0, &["secret", "set", "office-password", "--file", text(&at("password"))]);
        let words = ["directory-source", "add", "office", "--server", &slapd.ldaps(), "--bind-as", READER.0];
        let more = ["--secret", "office-password", "--authorities", text(&ca)];
        commands.says(0, &[&words[..], &more].concat());
        Self { _folder: folder, _server: server, slapd, commands }
    }

    /// Has a sync `people` read the source.
    fn reading(self, mode: &str) -> Self {
        let words = ["sync", "add", "people", "--plugin", "ldap-directory", "--source", "office"];
        self.says(0, &[&words[..], &["--import-mode", mode]].concat());
        self
    }

    /// The id of the entry whose name has this in it.
    #[track_caller]
    fn entry(&self, text: &str) -> String {
        let found = self.json(&["directory-entry", "list", "--kind", "person", "--text", text]);
        let items = found["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{found}");
        items[0]["id"].as_str().unwrap().to_owned()
    }
}

impl Deref for Desk {
    type Target = Commands;

    fn deref(&self) -> &Commands {
        &self.commands
    }
}

#[test]
fn a_source_is_tested_changed_and_forgotten() {
    let desk = Desk::new();
    assert!(desk.says(0, &["directory-source", "test", "office"]).ends_with("All is well."));
    let nobody = format!("127.0.0.1:{}", free_port());
    let list = ["directory-source", "change", "office", "--server", &nobody, "--server", &desk.slapd.ldaps()];
    let shown = desk.says(0, &[&list[..], &["--description", "Head office"]].concat());
    assert!(
        shown.contains(&nobody) && shown.contains("Head office") && shown.contains("1 of its own"),
        "{shown}"
    );
    let report = desk.says(1, &["directory-source", "test", "office"]);
    assert!(report.contains("NOT WELL") && report.ends_with("Not all is well."), "{report}");
    let anonymous =
        ["directory-source", "change", "office", "--bind-as", "", "--secret", "", "--description", ""];
    assert!(desk.says(0, &anonymous).contains("(anonymous)"));
    assert!(desk.complains(2, &anonymous).contains("nothing of directory source office would change"));
    assert_eq!(
        desk.says(0, &["directory-source", "remove", "office"]),
        "Directory source office was removed."
    );
    assert_eq!(desk.says(0, &["directory-source", "list"]), "There are no directory sources.");
}

#[test]
fn a_directory_is_previewed_imported_and_decided_about() {
    let desk = Desk::new();
    let unread = desk.complains(1, &["directory-source", "import", "office"]);
    assert!(unread.contains("no sync reads"), "{unread}");
    let desk = desk.reading("manual");

    let preview = desk.json(&["directory-source", "import", "office", "--preview", "--wait"]);
    assert_eq!(preview["runs"][0]["run"]["state"], "succeeded", "{preview}");
    let run = preview["runs"][0]["run"]["id"].as_str().unwrap();
    let operations = desk.says(0, &["run", "operations", run]);
    assert!(operations.contains("person \"User 3\""), "{operations}");
    assert_eq!(desk.says(0, &["directory-entry", "list"]), "There are no directory entries.");

    let imported = desk.says(0, &["directory-source", "import", "--all", "--wait"]);
    assert!(imported.contains("succeeded"), "{imported}");
    assert_eq!(
        desk.says(0, &["directory-entry", "rejected", "people"]),
        "Everything that was read was taken over."
    );

    let first = desk.entry("user000001@");
    assert!(desk.says(0, &["directory-entry", "show", &first]).contains("user000001@example.org"));
    assert!(desk.says(0, &["directory-entry", "link", &first]).contains("is linked; its user is"));
    let user = desk.says(0, &["user", "show", "user000001"]);
    assert!(user.contains("user000001@example.org") && user.contains("display name"), "{user}");
    let (second, third) = (desk.entry("User 2"), desk.entry("User 3"));
    desk.says(0, &["user", "add", "ada"]);
    assert!(desk.says(0, &["directory-entry", "link", &second, "--user", "ada"]).contains("is linked"));

    // One of them is refused, and the others are done.
    let refused = desk.complains(1, &["directory-entry", "ignore", &third, "--", &third, &first]);
    assert!(refused.contains("it is ignored already"), "{refused}");
    let ignored = desk.json(&["directory-entry", "list", "--state", "ignored"]);
    assert_eq!(ignored["items"].as_array().unwrap().len(), 2, "{ignored}");
    assert!(desk.says(0, &["directory-entry", "unignore", &third]).contains("is unlinked"));

    desk.slapd.delete(&[&ldif::person_dn(2)]);
    desk.says(0, &["directory-source", "import", "office", "--wait"]);
    let orphans = desk.says(0, &["directory-entry", "list", "--state", "orphaned"]);
    assert!(orphans.contains(&second), "{orphans}");
    assert!(desk.says(0, &["user", "list", "--disabled"]).contains("user000002"));
    assert_eq!(
        desk.says(0, &["directory-entry", "delete", &second]),
        format!("Entry {second} is forgotten.")
    );
    assert_eq!(desk.json(&["user", "list", "--disabled"])["items"], json!([]));
}

#[test]
fn a_held_import_ends_with_its_code_and_removes_nobody_before_it_is_approved() {
    let desk = Desk::new().reading("automatic");
    desk.says(0, &["directory-source", "import", "office", "--wait"]);
    desk.says(0, &["sync", "change", "people", "--max-deletes", "1"]);
    desk.slapd.delete(&[&ldif::person_dn(1), &ldif::person_dn(2)]);
    let held = desk.says(4, &["directory-source", "import", "office", "--wait"]);
    assert!(held.contains("entries: max_deletes allows 1, the difference has 2"), "{held}");
    let count = |disabled: &str| {
        let users = desk.json(&["user", "list", "--disabled", disabled]);
        users["items"].as_array().unwrap().len()
    };
    assert_eq!((count("false"), count("true")), (5, 0));
    let runs = desk.json(&["run", "list", "--state", "held"]);
    let run = runs["items"][0]["id"].as_str().unwrap();
    desk.says(0, &["run", "approve", run, "--wait"]);
    assert_eq!((count("false"), count("true")), (3, 2));
}

#[test]
fn a_sync_of_a_directory_comes_with_a_schedule_and_takes_it_along() {
    let desk = Desk::new().reading("automatic");
    let schedules = desk.json(&["schedule", "list"]);
    let items = schedules["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{schedules:#}");
    assert_eq!((&items[0]["sync"], &items[0]["owner"]["kind"]), (&json!("people"), &json!("cluster")));
    assert_eq!(items[0]["when"], json!({ "kind": "interval", "seconds": 3600 }));
    let next: jiff::Timestamp = items[0]["next_run"].as_str().unwrap().parse().unwrap();
    let nominal: jiff::Timestamp = items[0]["next_nominal"].as_str().unwrap().parse().unwrap();
    assert!((0..=300).contains(&next.duration_since(nominal).as_secs()), "{schedules:#}");

    desk.says(0, &["schedule", "pause", items[0]["id"].as_str().unwrap(), "--reason", "later"]);
    desk.says(0, &["sync", "remove", "people"]);
    assert_eq!(desk.json(&["schedule", "list"])["items"], json!([]));
}
