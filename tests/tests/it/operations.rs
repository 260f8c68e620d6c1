//! What whoever operates a server does to it: certificates, signals, backup and restore, a new token, a new key.

use std::{
    ffi::OsString,
    fs,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use syncline_tests::{
    api::{Api, eventually},
    programs,
    server::{Options, Server},
    tree::{assert_same, fill},
};
use tempfile::TempDir;

use crate::copy::Stage;

/// Runs `syncline` with these words, and nothing of the environment that it would listen to.
fn syncline(words: &[&str]) -> Output {
    let mut command = Command::new(programs::binary("syncline"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SYNCLINE_")) {
        command.env_remove(name);
    }
    command.args(words).output().unwrap()
}

/// What it prints, if it ends with this code.
#[track_caller]
fn says(code: i32, words: &[&str]) -> String {
    let output = syncline(words);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn signal(server: &Server, signal: Signal) {
    let pid = Pid::from_raw(server.pid().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn with_arguments(arguments: &[&str]) -> Options {
    Options { arguments: arguments.iter().map(|one| (*one).to_owned()).collect(), ..Options::default() }
}

/// Files with a certificate of the server and its key, and those of the authorities that issued it.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a new certificate in place; its authority is known as `authority` alone.
    fn issue(&self, authority: &str) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(self.path(authority), params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        fs::write(self.path("cert.pem"), own.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
    }
}

#[test]
fn a_client_that_trusts_the_authority_comes_through_and_a_new_certificate_needs_no_restart() {
    let certificates = Certificates { folder: tempfile::tempdir().unwrap() };
    certificates.issue("first");
    let (cert, key) = (certificates.path("cert.pem"), certificates.path("key.pem"));
    let data = certificates.path("data");
    let server =
        Server::start_with(&data, &with_arguments(&["--tls-cert", text(&cert), "--tls-key", text(&key)]));
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let token = data.join("admin.token");
    let asks = |ca: Option<&str>| {
        let ca = ca.map(|name| certificates.path(name));
        let mut words = vec!["--url", &server.url, "--token-file", text(&token), "whoami"];
        if let Some(ca) = &ca {
            words.extend(["--ca", text(ca)]);
        }
        syncline(&words).status.code()
    };
    assert_eq!(asks(Some("first")), Some(0));
    assert_eq!(asks(None), Some(6), "nobody well-known vouches for it");

    // A certificate that cannot be used leaves the one before in use.
    fs::write(&key, "nothing of the kind").unwrap();
    signal(&server, Signal::HUP);
    let log = data.with_extension("log");
    eventually("the server to say so", || {
        fs::read_to_string(&log).unwrap().contains("the old one stays in use").then_some(())
    });
    assert_eq!(asks(Some("first")), Some(0));

    certificates.issue("second");
    signal(&server, Signal::HUP);
    eventually("the new certificate", || (asks(Some("second")) == Some(0)).then_some(()));
    assert_eq!(asks(Some("first")), Some(6));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_hangup_ends_no_server_that_has_no_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    signal(&server, Signal::HUP);
    let log = server.data.with_extension("log");
    eventually("the server to take note", || {
        fs::read_to_string(&log).unwrap().contains("nothing to do").then_some(())
    });
    server.api().get("/nodes");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn clients_that_do_not_say_what_they_want_are_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(&folder.path().join("data"), &with_arguments(&["--header-seconds", "1"]));
    let address = server.url.strip_prefix("http://").unwrap();
    for said in ["", "P", "GET /healthz HTTP/1.1\r\nHost: somewhere\r\nX-Half"] {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client.write_all(said.as_bytes()).unwrap();
        let begun = Instant::now();
        match client.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{said:?}"),
        }
        assert!(begun.elapsed() > Duration::from_millis(500), "{said:?}: at once");
    }
    server.api().get("/nodes");
}

/// A server with a sync of a few files, a secret, and an operator's token.
struct Site {
    stage: Stage,
    server: Server,
    operator: String,
}

impl Site {
    fn start() -> Self {
        let stage = Stage::new(1);
        fill(&stage.library, 40, 10_000, 1);
        let server = Server::start(&stage.data());
        let api = server.api();
        let plugin = api.install(&programs::plugin("distribution-files"));
        stage.set_up(&api, &plugin, json!({}), false);
        api.post("/secrets", &json!({ "name": "password", "value": "hush" })).expect(201);
        let made = api.post("/tokens", &json!({ "name": "night-shift", "role": "operator" })).expect(201);
        let operator = made["token"].as_str().unwrap().to_owned();
        Self { stage, server, operator }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.stage.folder.path().join(name)
    }

    /// Makes the next run last.
    fn slow_down(&self, bytes_per_second: u32) {
        let body = json!({ "bytes_per_second": bytes_per_second }).to_string();
        let json = [("content-type", "application/json")];
        self.server.api().send("PATCH", "/stores/server1", &json, body.as_bytes()).expect(200);
    }
}

#[test]
fn a_backup_of_a_server_at_work_becomes_a_server_that_goes_on() {
    let site = Site::start();
    site.slow_down(30_000);
    let run = site.server.api().start("all", "apply");
    site.server.api().until(&run, |state| state == "running");
    let (data, backup, restored) = (site.stage.data(), site.path("backup"), site.path("restored"));
    says(0, &["admin", "backup", "--data", text(&data), "--output", text(&backup)]);
    says(1, &["admin", "backup", "--data", text(&data), "--output", text(&backup)]);
    let token = fs::read_to_string(data.join("admin.token")).unwrap();
    site.server.kill();

    says(0, &["admin", "restore", "--input", text(&backup), "--data", text(&restored)]);
    says(1, &["admin", "restore", "--input", text(&backup), "--data", text(&restored)]);
    let server = Server::start(&restored);
    let api = Api::new(&server.url, token.trim());
    assert_eq!(api.get("/syncs/all")["plugin"], "distribution-files");
    assert_eq!(api.all("/secrets")[0]["name"], "password");
    assert_eq!(api.with_token(&site.operator).get("/me")["name"], "night-shift");
    // The run that was under way is taken up again.
    let fast = br#"{"bytes_per_second": 0}"#;
    api.send("PATCH", "/stores/server1", &[("content-type", "application/json")], fast).expect(200);
    assert_eq!(api.ended(&run)["state"], "succeeded");
    assert_same(&site.stage.library, &site.stage.targets[0]);
    assert_eq!(server.stop(), Some(0));
    // The secrets came with their key.
    let said = says(0, &["--json", "admin", "rotate-key", "--data", text(&restored)]);
    assert!(said.contains("\"secrets\":1"), "{said}");
}

/// Names and contents of the files in a folder.
fn contents(folder: &Path) -> Vec<(OsString, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.path().is_file());
    let mut contents: Vec<_> = files.map(|file| (file.file_name(), fs::read(file.path()).unwrap())).collect();
    contents.sort();
    contents
}

#[test]
fn of_a_damaged_backup_comes_all_that_was_in_it_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, backup, whole) = (path("data"), path("backup"), path("whole"));
    assert_eq!(Server::start(&data).stop(), Some(0));
    says(0, &["admin", "backup", "--data", text(&data), "--output", text(&backup)]);
    says(0, &["admin", "restore", "--input", text(&backup), "--data", text(&whole)]);
    let bytes = fs::read(&backup).unwrap();
    let (damaged, restored) = (path("damaged"), path("restored"));
    let (mut tried, mut refused) = (0, 0);
    let mut try_out = |bytes: &[u8]| {
        fs::write(&damaged, bytes).unwrap();
        tried += 1;
        let output = syncline(&["admin", "restore", "--input", text(&damaged), "--data", text(&restored)]);
        if output.status.success() {
            // The damage is in what only fills the file up.
            assert!(contents(&restored) == contents(&whole));
            fs::remove_dir_all(&restored).unwrap();
        } else {
            assert_eq!(output.status.code(), Some(1));
            assert!(!restored.exists());
            refused += 1;
        }
    };
    for at in (0..bytes.len()).step_by(bytes.len() / 50) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        try_out(&bytes);
    }
    for missing in [100, bytes.len() / 2, bytes.len()] {
        try_out(&bytes[..bytes.len() - missing]);
    }
    assert!(refused > tried * 3 / 4, "{refused} of {tried} were refused");
}

#[test]
fn a_lost_token_is_replaced_and_ends() {
    let site = Site::start();
    let data = site.stage.data();
    let lost = fs::read_to_string(data.join("admin.token")).unwrap();
    assert_eq!(site.server.stop(), Some(0));
    fs::remove_file(data.join("admin.token")).unwrap();
    says(0, &["admin", "token", "--data", text(&data)]);
    let server = Server::start(&data);
    assert_eq!(server.api().get("/me")["role"], "admin");
    let with_lost = server.api().with_token(lost.trim()).send("GET", "/me", &[], &[]);
    assert_eq!(with_lost.status, 401);
    assert_eq!(server.api().with_token(&site.operator).get("/me")["name"], "night-shift");
}

#[test]
fn a_new_key_and_an_upgrade_need_a_server_that_stands_still() {
    let site = Site::start();
    let data = site.stage.data();
    let key = fs::read(data.join("secret.key")).unwrap();
    for command in ["rotate-key", "upgrade"] {
        let said = says(1, &["admin", command, "--data", text(&data)]);
        assert!(said.contains("stop it first"), "{command}: {said}");
    }
    assert_eq!(site.server.stop(), Some(0));
    let said = says(0, &["admin", "upgrade", "--data", text(&data)]);
    assert!(said.contains("nothing to do"), "{said}");
    says(0, &["admin", "rotate-key", "--data", text(&data)]);
    assert!(key != fs::read(data.join("secret.key")).unwrap());
    says(0, &["admin", "rotate-key", "--data", text(&data)]);
    let server = Server::start(&data);
    assert_eq!(server.api().all("/secrets")[0]["name"], "password");
    assert_eq!(server.api().run("all", "apply")["state"], "succeeded");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "compared with times that the server wrote down")]
fn a_server_that_is_stopped_stops_its_runs_while_open_requests_end() {
    let mut site = Site::start();
    assert_eq!(site.server.stop(), Some(0));
    site.server = Server::start_with(&site.stage.data(), &with_arguments(&["--shutdown-seconds", "5"]));
    site.slow_down(10_000);
    let api = site.server.api();
    let run = api.start("all", "apply");
    api.until(&run, |state| state == "running");
    // A request whose body never comes keeps the API from ending.
    let mut open = TcpStream::connect(site.server.url.strip_prefix("http://").unwrap()).unwrap();
    let head = format!(
        "POST /api/v1/syncs/all/runs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{{",
        api.token
    );
    open.write_all(head.as_bytes()).unwrap();
    // Answered after what was sent before it: the head has arrived.
    api.get("/nodes");
    let (told, begun) = (jiff::Timestamp::now(), Instant::now());
    assert_eq!(site.server.stop(), Some(0));
    assert!(begun.elapsed() > Duration::from_secs(4), "the open request was given its time");
    open.shutdown(Shutdown::Both).ok();

    site.server = Server::start(&site.stage.data());
    let attempts = site.server.api().all(&format!("/runs/{run}/attempts"));
    let ended: jiff::Timestamp = attempts[0]["finished_at"].as_str().unwrap().parse().unwrap();
    let took = ended.duration_since(told);
    assert!(took.as_secs() < 4, "the run went to its safe point after {took:?}");
    site.slow_down(0);
    assert_eq!(site.server.api().ended(&run)["state"], "succeeded");
    assert_same(&site.stage.library, &site.stage.targets[0]);
}
