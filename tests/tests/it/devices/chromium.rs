//! A real program is kept at a policy: Chromium, by its folder of managed policies.
//!
//! Chromium reads one folder and no other. The agent and the browser run in mount namespaces in which a temporary folder is
//! there, so that a browser of this machine is not managed by a test.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use syncline_tests::{agent::Device, devices::application_of, server::Server};

/// What Chromium reads; Debian's package brings the folder above.
const MANAGED: &str = "/etc/chromium/policies/managed";

/// Runs the words that follow where `etc` is `/etc/chromium`.
fn namespace(etc: &str) -> [&str; 6] {
    let unshare = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    ["unshare", unshare, "sh", "-c", "mount --bind \"$0\" /etc/chromium && exec \"$@\"", etc]
}

/// What a fresh browser makes of a page: its text, or why there is none.
fn visit(etc: &str, url: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let [program, words @ ..] = namespace(etc);
    let mut command = Command::new(program);
    command.args(words).args(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).arg(url).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let failed = said.lines().filter_map(|line| Some(line.split_once("Page load failed: ")?.1));
    failed.chain([&*String::from_utf8_lossy(&output.stdout)]).collect()
}

#[test]
fn a_policy_is_in_force_in_a_real_browser() {
    let folder = tempfile::tempdir().unwrap();
    let managed = folder.path().join("etc/policies/managed");
    fs::create_dir_all(&managed).unwrap();
    let etc = folder.path().join("etc").display().to_string();
    let server = Server::start(&folder.path().join("data"));
    let api = server.api();
    api.add_application("chromium");
    let device = Device::without_applications().run_by(&namespace(&etc));
    device.configure(&format!(
        "[applications.chromium]\nfile = \"{MANAGED}/syncline.json\"\nform = \"json\"\n"
    ));
    let id = device.enrol(&server, &api);
    let _agent = device.run();

    // A page of the server under test, by two names.
    let page = format!("{}/api/v1/openapi.json", server.url);
    let other = page.replace("127.0.0.1", "localhost");
    let opens = |url: &str| {
        let text = visit(&etc, url);
        assert!(text.contains("/api/v1/devices"), "{url}: {text}");
    };
    let is_blocked = |url: &str| assert_eq!(visit(&etc, url), "net::ERR_BLOCKED_BY_ADMINISTRATOR", "{url}");
    opens(&page);

    let policy = api.add_policy("chromium", &json!({ "URLBlocklist": ["127.0.0.1"] }));
    let shown = api.delivered(&id, "chromium", 1);
    assert_eq!(application_of(&shown, "chromium")["delivery"]["state"], "verified", "{}", device.log());
    is_blocked(&page);
    opens(&other);

    api.change_policy(&policy, "chromium", &json!({ "URLBlocklist": ["localhost"] }));
    api.delivered(&id, "chromium", 2);
    opens(&page);
    is_blocked(&other);

    api.delete(&policy).expect(204);
    let empty = api.device_when(&id, "withdrawal", |one| one["status"]["colour"] == "green");
    assert_eq!(application_of(&empty, "chromium")["held"], Value::Null);
    assert!(!managed.join("syncline.json").exists());
    opens(&other);
    assert!(!Path::new(MANAGED).join("syncline.json").exists(), "the machine's own browser is not managed");
}
