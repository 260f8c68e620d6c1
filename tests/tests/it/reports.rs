//! The File Status Report over HTTP and on the command line, and repairing what it finds.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use syncline_tests::{api::Api, commands::Commands, programs, server::Server};
use tempfile::TempDir;

/// A library of patches, engines and definitions, and servers that hold all of it.
struct Estate {
    folder: TempDir,
    server: Server,
    api: Api,
}

const REPORT: &str = "/distribution-servers/report";
const REPAIR: &str = "/distribution-servers/repair";
const JSON: (&str, &str) = ("content-type", "application/json");

impl Estate {
    /// With so many servers, not filled yet.
    fn new(servers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("library");
        for (collection, files) in [
            ("patches", ["a.msu", "b.msu", "deep/c.msu"]),
            ("engines", ["e1", "e2", "e3"]),
            ("definitions", ["d1", "d2", "d3"]),
        ] {
            for file in files {
                put(&library.join(collection).join(file), format!("{collection} {file}"));
            }
        }
        let server = Server::start(&folder.path().join("data"));
        let api = server.api();
        let plugin = api.install(&programs::plugin("distribution-files"));
        api.add_store("library", &library, false);
        let collections = ["patches", "engines", "definitions"];
        for name in collections {
            api.post("/collections", &json!({ "name": name, "store": "library", "prefix": name }))
                .expect(201);
        }
        let names: Vec<String> = (1..=servers).map(|number| format!("server{number}")).collect();
        for name in &names {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            api.add_store(name, &path, false);
        }
        let rules: Vec<Value> =
            collections.iter().map(|name| json!({ "collections": [name], "folder": name })).collect();
        let sync = json!({
            "name": "all", "plugin": plugin, "sources": collections, "targets": names,
            "settings": { "rules": rules, "prune": ["patches", "engines"], "manifest": true },
            "limits": { "max_delete_percent": 100 },
        });
        api.post("/syncs", &sync).expect(201);
        Self { folder, server, api }
    }

    /// The same, filled.
    fn filled(servers: usize) -> Self {
        let estate = Self::new(servers);
        assert_eq!(estate.api.run("all", "apply")["state"], "succeeded");
        estate
    }

    fn library(&self, file: &str) -> PathBuf {
        self.folder.path().join("library").join(file)
    }

    fn on(&self, server: &str, file: &str) -> PathBuf {
        self.folder.path().join(server).join(file)
    }

    fn commands(&self) -> Commands {
        Commands::of(&self.server)
    }

    #[track_caller]
    fn report(&self, servers: &[&str], check: &str) -> Vec<Value> {
        let body = json!({ "servers": servers, "check": check });
        let report = self.api.post(REPORT, &body).expect(200);
        assert_eq!(report["check"], check);
        report["servers"].as_array().unwrap().clone()
    }

    /// Starts a repair, waits for it, and answers which files it changed.
    #[track_caller]
    fn repair(&self, body: &Value) -> Vec<String> {
        let answer = self.api.post(REPAIR, body);
        let location = answer.location.clone().unwrap();
        let run = &answer.expect(202)["runs"][0];
        let id = run["id"].as_str().unwrap();
        assert_eq!((location.as_str(), &run["trigger"]), (&*format!("/api/v1/runs/{id}"), &json!("repair")));
        let run = self.api.ended(id);
        assert_eq!(run["state"], "succeeded", "{run:#}");
        let operations = self.api.operations(id);
        operations.iter().map(|one| format!("{} {}", word(&one["kind"]), word(&one["path"]))).collect()
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn put(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn time(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

fn set_time(path: &Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Another content of the same size and time: what a disk does that goes bad.
fn corrupt(path: &Path) {
    let before = time(path);
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    fs::write(path, bytes).unwrap();
    set_time(path, before);
}

/// All files of a server with their contents and times.
fn state(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.clone(), (fs::read(&path).unwrap(), time(&path)));
            }
        }
    }
    all
}

/// What is not as it should be on `server1`, of all kinds.
fn spoil(estate: &Estate) {
    fs::remove_file(estate.on("server1", "patches/a.msu")).unwrap();
    put(&estate.on("server1", "patches/deep/c.msu"), "of another size");
    fs::remove_file(estate.on("server1", "engines/e1")).unwrap();
    put(&estate.on("server1", "definitions/d1"), "old");
    put(&estate.on("server1", "patches/of-others.msu"), "put here by somebody");
    fs::remove_file(estate.on("server1", "manifest.json")).unwrap();
    // DFS Replication brought it, at a time of its own.
    set_time(
        &estate.on("server1", "patches/b.msu"),
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000),
    );
}

#[test]
fn missing_and_old_patches_are_reported_nothing_else_and_nothing_is_changed() {
    let estate = Estate::filled(2);
    spoil(&estate);
    let before = state(estate.folder.path().join("server1").as_path());
    let runs = estate.api.all("/runs").len();
    for check in ["quick", "full"] {
        let servers = estate.report(&["server2", "server1"], check);
        assert_eq!([&servers[0]["name"], &servers[1]["name"]], ["server2", "server1"]);
        let (good, bad) = (&servers[0], &servers[1]);
        assert_eq!((&good["missing"], &good["out_of_date"]), (&json!([]), &json!([])));
        assert_eq!(bad["missing"], json!(["patches/a.msu"]), "{check}");
        assert_eq!(bad["out_of_date"], json!(["patches/deep/c.msu"]), "{check}");
        for server in &servers {
            assert_eq!((&server["error"], &server["patches"]), (&Value::Null, &json!(3)));
            word(&server["checked_at"]).parse::<jiff::Timestamp>().unwrap();
        }
    }
    assert_eq!(state(estate.folder.path().join("server1").as_path()), before);
    assert_eq!(estate.api.all("/runs").len(), runs, "a report is no run");
    // Whoever names no server means all.
    let all = estate.api.post(REPORT, &json!({})).expect(200);
    assert_eq!(all["servers"].as_array().unwrap().len(), 2);
}

#[test]
fn a_full_check_finds_what_size_and_time_hide_and_its_repair_copies_that_alone() {
    let estate = Estate::filled(2);
    let damaged = estate.on("server1", "patches/a.msu");
    corrupt(&damaged);
    corrupt(&estate.on("server1", "engines/e2"));
    fs::remove_file(estate.on("server1", "engines/e1")).unwrap();
    put(&estate.on("server1", "patches/of-others.msu"), "x");
    assert_eq!(estate.report(&["server1"], "quick")[0]["out_of_date"], json!([]));
    assert_eq!(estate.report(&["server1"], "full")[0]["out_of_date"], json!(["patches/a.msu"]));

    assert_eq!(estate.repair(&json!({ "servers": ["server1"] })), [""; 0], "a quick one does not see it");
    let other = state(estate.folder.path().join("server2").as_path());
    let changed = estate.repair(&json!({ "servers": ["server1"], "check": "full" }));
    assert_eq!(changed, ["update patches/a.msu"]);
    assert_eq!(fs::read(&damaged).unwrap(), fs::read(estate.library("patches/a.msu")).unwrap());
    assert_eq!(estate.report(&["server1"], "full")[0]["out_of_date"], json!([]));
    assert!(!estate.on("server1", "engines/e1").exists(), "engines are not repaired");
    assert!(estate.on("server1", "patches/of-others.msu").exists(), "nothing is removed");
    assert_eq!(state(estate.folder.path().join("server2").as_path()), other);
    let events = estate.api.all("/events?server=server1&kind=target.succeeded&component=patches");
    assert_eq!(events[0]["data"]["counts"]["updated"], 1, "{:#}", events[0]);
}

#[test]
fn a_repair_of_a_report_copies_what_that_lists_and_what_came_later_waits() {
    let estate = Estate::filled(2);
    fs::remove_file(estate.on("server1", "patches/deep/c.msu")).unwrap();
    fs::remove_dir(estate.on("server1", "patches/deep")).unwrap();
    corrupt(&estate.on("server2", "patches/b.msu"));
    let report = estate.api.post(REPORT, &json!({ "check": "full" })).expect(200);
    fs::remove_file(estate.on("server1", "patches/a.msu")).unwrap();
    let mut changed = estate.repair(&json!({ "report": report }));
    changed.sort();
    let expected = ["copy patches/deep/c.msu", "create-folder patches/deep", "update patches/b.msu"];
    assert_eq!(changed, expected);
    assert_eq!(estate.report(&["server1"], "full")[0]["missing"], json!(["patches/a.msu"]));

    let nothing = json!({ "report": { "check": "quick", "servers": [] } });
    assert_eq!(estate.api.post(REPAIR, &nothing).expect(422)["code"], "nothing-to-repair");
    let both = json!({ "report": report, "servers": ["server1"] });
    assert_eq!(estate.api.post(REPAIR, &both).expect(422)["code"], "repair");
}

#[test]
fn a_repair_is_held_like_any_run_that_changes_too_much() {
    let estate = Estate::filled(1);
    let mut sync = estate.api.get("/syncs/all");
    sync["limits"] = json!({ "max_changes": 1 });
    estate.api.put("/syncs/all", &sync).expect(200);
    for file in ["a.msu", "b.msu"] {
        fs::remove_file(estate.on("server1", &format!("patches/{file}"))).unwrap();
    }
    fs::remove_file(estate.on("server1", "engines/e1")).unwrap();
    let queued = estate.api.post(REPAIR, &json!({ "servers": ["server1"] })).expect(202);
    let id = word(&queued["runs"][0]["id"]).to_owned();
    let held = estate.api.ended(&id);
    assert_eq!((&held["state"], &held["excesses"][0]["found"]), (&json!("held"), &json!(2)), "{held:#}");
    estate.api.post(&format!("/runs/{id}/approve"), &json!({})).expect(202);
    let run = estate.api.until(&id, |state| state == "succeeded");
    assert_eq!(run["counts"]["copied"], 2);
    assert!(!estate.on("server1", "engines/e1").exists());
}

#[test]
fn a_server_that_is_away_has_an_error_and_no_lists() {
    let estate = Estate::filled(2);
    fs::remove_file(estate.on("server1", "patches/a.msu")).unwrap();
    let away = estate.folder.path().join("server2");
    fs::rename(&away, estate.folder.path().join("unplugged")).unwrap();
    for gone in [true, false] {
        if !gone {
            // A share that is not mounted: an empty folder where it was.
            fs::create_dir(&away).unwrap();
        }
        let servers = estate.report(&["server1", "server2"], "quick");
        assert_eq!(servers[0]["missing"], json!(["patches/a.msu"]), "the others are reported all the same");
        let server = &servers[1];
        assert!(word(&server["error"]["message"]).contains("server2"), "{server:#}");
        assert_eq!((&server["missing"], &server["out_of_date"]), (&Value::Null, &Value::Null));
        word(&server["checked_at"]).parse::<jiff::Timestamp>().unwrap();
    }
    let table = estate.commands().says(0, &["distribution-server", "report", "server2"]);
    assert!(table.contains("error") && !table.contains("missing"), "{table}");
    // A run that fills the others says what became of this one, in its history too.
    assert_eq!(estate.api.run("all", "apply")["state"], "partial");
    let failed = estate.api.all("/events?server=server2&kind=target.failed");
    assert!(word(&failed[0]["message"]).contains("server2"), "{failed:#?}");
    assert_eq!(estate.api.all("/events?server=server1&kind=target.failed"), [Value::Null; 0]);
}

#[test]
fn what_cannot_be_reported_says_what_to_do() {
    let estate = Estate::new(1);
    let unknown = estate.api.post(REPORT, &json!({ "servers": ["nowhere"] })).expect(404);
    assert!(word(&unknown["detail"]).contains("nowhere"));
    let untargeted = estate.api.post(REPORT, &json!({ "servers": ["server1", "library"] })).expect(409);
    assert_eq!(untargeted["code"], "no-patches");
    assert!(word(&untargeted["detail"]).contains("library: add it to the targets"), "{untargeted:#}");
    estate.api.post(REPORT, &json!({ "servers": [] })).expect(422);
    estate.api.post(REPORT, &json!({ "servers": ["server1"], "check": "deep" })).expect(422);
    // A library that cannot be read is no reason to say that everything is fine, or missing.
    fs::remove_dir_all(estate.library("patches")).unwrap();
    let server = &estate.report(&["server1"], "quick")[0];
    assert_eq!((&server["error"]["code"], &server["missing"]), (&json!("empty-source"), &Value::Null));
}

#[test]
fn a_report_does_not_wait_for_a_sync_that_runs() {
    let estate = Estate::new(2);
    for number in 0..40 {
        put(&estate.library(&format!("patches/f{number}")), vec![7; 20_000]);
    }
    let slow = json!({ "bytes_per_second": 40_000 }).to_string();
    estate.api.send("PATCH", "/stores/server1", &[JSON], slow.as_bytes()).expect(200);
    let run = estate.api.start("all", "apply");
    estate.api.until(&run, |state| state == "running");
    for check in ["quick", "full"] {
        let server = estate.report(&["server1"], check).remove(0);
        assert_eq!(server["error"], Value::Null);
        assert!(!server["missing"].as_array().unwrap().is_empty(), "{server:#}");
        assert_eq!(estate.api.get(&format!("/runs/{run}"))["state"], "running");
    }
    estate.api.post(&format!("/runs/{run}/cancel"), &json!({})).expect(202);
    assert_eq!(estate.api.ended(&run)["state"], "cancelled");
    let cancelled = estate.api.all("/events?server=server1&kind=target.");
    assert_eq!(cancelled[0]["kind"], "target.cancelled", "{cancelled:#?}");
}

#[test]
fn a_report_comes_as_a_table_as_csv_and_as_json() {
    let estate = Estate::new(2);
    put(&estate.library("patches/=1+1, \"quoted\".msu"), "a name that a spreadsheet would calculate");
    put(&estate.library("patches/other.msu"), "x");
    let mut sync = estate.api.get("/syncs/all");
    // At the root of the servers, so that paths begin with the names.
    sync["settings"] = json!({ "rules": [{ "collections": ["patches"] }] });
    estate.api.put("/syncs/all", &sync).expect(200);
    assert_eq!(estate.api.run("all", "apply")["state"], "succeeded");
    fs::remove_file(estate.on("server1", "=1+1, \"quoted\".msu")).unwrap();
    put(&estate.on("server1", "a.msu"), "out of date");

    let body = json!({ "servers": ["server1", "server2"] }).to_string();
    let by_header = [JSON, ("accept", "text/csv")];
    let by_query = [JSON, ("accept", "application/json")];
    let forms = [(REPORT.to_owned(), by_header), (format!("{REPORT}?format=csv"), by_query)];
    for (path, headers) in forms {
        let csv = estate.api.send("POST", &path, &headers, body.as_bytes()).expect(200);
        let lines: Vec<&str> = word(&csv).split("\r\n").collect();
        assert_eq!(lines[0], "server,checked_at,state,path,error");
        assert!(lines[1].starts_with("server1,20"), "{csv}");
        assert!(lines[1].ends_with(",missing,\"'=1+1, \"\"quoted\"\".msu\","), "{csv}");
        assert!(lines[2].ends_with(",out-of-date,a.msu,"), "{csv}");
        assert!(lines[3].starts_with("server2,") && lines[3].ends_with(",up-to-date,,"), "{csv}");
        assert_eq!(lines[4..], [""]);
    }
    let ndjson = estate.api.send("POST", &format!("{REPORT}?format=ndjson"), &[JSON], body.as_bytes());
    let ndjson = ndjson.expect(200);
    let lines: Vec<Value> = word(&ndjson).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["out_of_date"]), (2, &json!(["a.msu"])));

    let commands = estate.commands();
    let table = commands.says(0, &["distribution-server", "report", "server1", "server2"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["SERVER", "CHECKED", "STATE", "FILE"]);
    assert_eq!((lines[1][0], lines[1][2]), ("server1", "missing"));
    assert_eq!(lines[2][2..], ["out", "of", "date", "a.msu"]);
    assert_eq!((lines[3][0], &lines[3][2..]), ("server2", &["up", "to", "date", "all", "5", "patches"][..]));
    let csv = commands.says(0, &["distribution-server", "report", "server1", "--csv"]);
    assert!(csv.starts_with("server,checked_at,state,path,error\r\n"), "{csv}");
    let report = commands.json(&["distribution-server", "report", "server1", "--full"]);
    assert_eq!((&report["check"], &report["servers"][0]["out_of_date"]), (&json!("full"), &json!(["a.msu"])));

    let report = report.to_string();
    let said = commands.says(0, &["distribution-server", "repair", "--report", &report, "--wait"]);
    assert!(said.contains("succeeded"), "{said}");
    commands.says(0, &["distribution-server", "repair", "server1", "--full", "--wait"]);
    let table = commands.says(0, &["distribution-server", "report"]);
    assert!(table.lines().skip(1).all(|line| line.contains("up to date")), "{table}");
}
