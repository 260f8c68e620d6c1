//! Distribution servers, as their operators run them: what they get, when, and what becomes of one that is away.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use syncline_tests::{
    api::{Answer, Api, eventually},
    commands::Commands,
    postgres::Postgres,
    programs,
    server::{Options, Server, give},
    tree::{assert_same, fill},
};

use crate::copy::Stage;

/// An ordinary account: nobody.
const NOBODY: u32 = 65_534;

fn options(arguments: &[&str]) -> Options {
    let arguments = [&["--catch-up-seconds", "1"], arguments].concat();
    Options { arguments: arguments.into_iter().map(str::to_owned).collect(), ..Options::default() }
}

/// Three folders as distribution servers, and a library of patches, engines and definitions.
struct Site {
    stage: Stage,
    shared: bool,
}

impl Site {
    fn new(servers: usize, shared: bool) -> Self {
        let stage = Stage::new(servers);
        for (seed, component) in ["patches", "engines", "definitions"].into_iter().enumerate() {
            fill(&stage.library.join(component), 20, 2_000, seed as u64 + 1);
        }
        Self { stage, shared }
    }

    fn set_up(&self, api: &Api) {
        api.install(&programs::plugin("distribution-files"));
        api.add_store("library", &self.stage.library, self.shared);
        for component in ["patches", "engines", "definitions"] {
            let collection = json!({ "name": component, "store": "library", "prefix": component });
            api.post("/collections", &collection).expect(201);
        }
        for (number, target) in self.stage.targets.iter().enumerate() {
            let name = format!("server{}", number + 1);
            let server = json!({ "name": name, "path": target, "shared": self.shared });
            api.post("/distribution-servers", &server).expect(201);
        }
    }

    fn holds(&self, server: usize, component: &str) -> PathBuf {
        self.stage.targets[server - 1].join(component)
    }

    fn library(&self, component: &str) -> PathBuf {
        self.stage.library.join(component)
    }

    #[track_caller]
    fn assert_has(&self, server: usize, component: &str) {
        assert_same(&self.library(component), &self.holds(server, component));
    }
}

fn started(servers: usize) -> (Site, Server, Api) {
    let site = Site::new(servers, false);
    let server = Server::start_with(&site.stage.data(), &options(&[]));
    let api = server.api();
    site.set_up(&api);
    (site, server, api)
}

fn hourly(components: &[&str], servers: &[&str]) -> Value {
    json!({ "components": components, "servers": servers, "when": { "kind": "interval", "seconds": 3600 } })
}

fn patch(api: &Api, path: &str, body: &Value) -> Answer {
    api.send("PATCH", path, &[("content-type", "application/json")], body.to_string().as_bytes())
}

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

#[track_caller]
fn says(answer: &Answer, status: u16, words: &[&str]) {
    assert_eq!(answer.status, status, "{answer:?}");
    let detail = answer.body["detail"].as_str().unwrap();
    for word in words {
        assert!(detail.contains(word), "{word:?} is not in {detail:?}");
    }
}

/// Runs a schedule at once and gives the run as it ended.
#[track_caller]
fn run_now(api: &Api, schedule: &Value) -> Value {
    let begun = api.post("/schedules/run", &json!({ "ids": [schedule["id"]] })).expect(202);
    let run = begun["entries"][0]["run"].as_str().unwrap_or_else(|| panic!("{begun:#}"));
    api.ended(run)
}

fn target(run: &Value, name: &str) -> Value {
    let targets = run["targets"].as_array().unwrap();
    targets.iter().find(|one| one["target"] == name).unwrap_or_else(|| panic!("{run:#}")).clone()
}

#[test]
fn components_are_brought_to_servers_and_kept_there_by_a_schedule() {
    let (site, server, api) = started(2);
    patch(&api, "/distribution-servers/server2", &json!({ "components": ["engines", "definitions"] }))
        .expect(200);
    let schedule = api
        .post("/schedules", &hourly(&["patches", "engines-and-definitions"], &["server1", "server2"]))
        .expect(201);
    assert_eq!(schedule["components"], json!(["definitions", "engines", "patches"]));
    let sync = api.get(&format!("/syncs/{}", schedule["sync"].as_str().unwrap()));
    assert_eq!(sync["made_by"]["schedule"], schedule["id"]);
    fs::create_dir_all(site.holds(2, "patches")).unwrap();
    fs::write(site.holds(2, "patches").join("own"), "").unwrap();
    fs::create_dir_all(site.holds(1, "patches")).unwrap();
    fs::write(site.holds(1, "patches").join("stale"), "").unwrap();
    let run = run_now(&api, &schedule);
    assert_eq!(run["state"], "succeeded", "{run:#}");
    for component in ["patches", "engines", "definitions"] {
        site.assert_has(1, component);
    }
    site.assert_has(2, "engines");
    assert!(site.holds(2, "patches").join("own").exists(), "what a server does not get is left alone there");

    // A server that gets more, or less, does so with the next run.
    patch(&api, "/distribution-servers/server2", &json!({ "components": ["patches"] })).expect(200);
    assert_eq!(run_now(&api, &schedule)["state"], "succeeded");
    site.assert_has(2, "patches");

    // What the schedule is made of is changed there, and not behind its back.
    let mut edit = api.get(&format!("/schedules/{}", id(&schedule)));
    edit["components"] = json!(["patches"]);
    let edited = api.put(&format!("/schedules/{}", id(&schedule)), &edit).expect(200);
    assert_eq!(edited["components"], json!(["patches"]));
    let mut behind = api.get(&format!("/syncs/{}", schedule["sync"].as_str().unwrap()));
    behind["targets"] = json!(["server1"]);
    let name = schedule["sync"].as_str().unwrap();
    says(&api.put(&format!("/syncs/{name}"), &behind), 409, &[id(&schedule)]);

    api.delete(&format!("/schedules/{}", id(&schedule))).expect(204);
    assert_eq!(api.send("GET", &format!("/syncs/{name}"), &[], &[]).status, 404, "it goes with its schedule");

    let commands = Commands::of(&server);
    let made = commands
        .says(0, &["schedule", "add", "--component", "patches", "--server", "server1", "--every", "1h"]);
    assert!(made.contains("server1"), "{made}");
    assert!(commands.says(0, &["distribution-server", "list"]).contains("server2"));
    assert!(commands.says(0, &["distribution-server", "test", "server1"]).contains("a run can fill it"));
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let (site, _server, api) = started(2);
    let add = |body: Value| api.post("/distribution-servers", &body);
    let folder = site.stage.targets[0].to_str().unwrap();
    says(&add(json!({ "name": "x" })), 422, &["`store` or `path`"]);
    says(&add(json!({ "name": "x", "store": "nowhere" })), 422, &["nowhere"]);
    says(&add(json!({ "name": "x", "store": "server1" })), 409, &["server1"]);
    says(&add(json!({ "name": "server1", "path": folder })), 409, &["server1"]);
    says(&add(json!({ "name": "x", "path": folder, "components": ["games"] })), 422, &["games"]);
    says(&add(json!({ "name": "x", "path": folder, "secret": "s" })), 422, &["account"]);
    let mars = json!({ "from": "01:00", "to": "02:00", "time_zone": "Mars/Olympus" });
    says(&add(json!({ "name": "x", "path": folder, "window": mars })), 422, &["Mars/Olympus"]);
    add(json!({ "name": "library", "store": "library" })).expect(201);
    let library = api.get("/distribution-servers/library");
    assert_eq!(library["can_schedule"], false, "{library:#}");
    assert!(library["reason"].as_str().unwrap().contains("lives in it"), "{library:#}");

    let schedule =
        |components: &[&str], servers: &[&str]| api.post("/schedules", &hourly(components, servers));
    says(&schedule(&["patches"], &["library"]), 409, &["library", "lives in it"]);
    says(&schedule(&["games"], &["server1"]), 422, &["games"]);
    says(&schedule(&["patches"], &["nowhere"]), 422, &["nowhere"]);
    says(&schedule(&["patches"], &[]), 422, &["server"]);
    patch(&api, "/distribution-servers/server1", &json!({ "components": ["engines"] })).expect(200);
    says(&schedule(&["patches"], &["server1"]), 409, &["patches"]);
    api.post("/plugins/distribution-files/disable", &json!({})).expect(200);
    says(&schedule(&["patches"], &["server2"]), 409, &["syncline plugin enable distribution-files"]);
}

#[test]
fn a_server_that_a_collection_is_downloaded_from_is_not_filled() {
    let (_site, server, api) = started(2);
    let both = api.post("/schedules", &hourly(&["patches"], &["server1", "server2"])).expect(201);
    let other = api.post("/schedules", &hourly(&["patches"], &["server2"])).expect(201);
    let change = ["collection", "change", "definitions", "--from-store", "server1:definitions"];
    Commands::of(&server).says(0, &change);

    let source = api.get("/distribution-servers/server1");
    assert_eq!(source["can_schedule"], false, "{source:#}");
    assert!(
        source["reason"].as_str().unwrap().contains("download source of collection definitions"),
        "{source:#}"
    );
    says(&api.post("/schedules", &hourly(&["patches"], &["server1"])), 409, &["server1", "download source"]);
    let paused = eventually("the schedule to be paused", || {
        api.get(&format!("/schedules/{}", id(&both)))["paused"].as_str().map(str::to_owned)
    });
    assert!(paused.contains("server1") && paused.contains("download source"), "{paused}");
    let sync = both["sync"].as_str().unwrap();
    let run = api.post(&format!("/syncs/{sync}/runs"), &json!({ "mode": "apply" }));
    says(&run, 409, &["server1", "download source"]);
    // A selection answers for each of its entries.
    let mixed = api.post("/schedules/run", &json!({ "ids": [both["id"], other["id"]] })).expect(202);
    assert_eq!(mixed["entries"][0]["refusal"]["status"], 409, "{mixed:#}");
    assert_eq!(api.ended(mixed["entries"][1]["run"].as_str().unwrap())["state"], "succeeded");
}

#[test]
fn a_server_in_use_is_not_removed_unless_that_is_said() {
    let (site, _server, api) = started(3);
    let both = api.post("/schedules", &hourly(&["patches"], &["server1", "server2"])).expect(201);
    let alone = api.post("/schedules", &hourly(&["engines"], &["server1"])).expect(201);
    let plain = json!({
        "name": "plain", "plugin": "distribution-files", "sources": ["patches"], "targets": ["server1"],
        "settings": { "rules": [{ "folder": "plain" }] },
    });
    api.post("/syncs", &plain).expect(201);
    let of_plain = json!({ "sync": "plain", "when": { "kind": "interval", "seconds": 3600 } });
    let of_plain = api.post("/schedules", &of_plain).expect(201);
    let refused = api.delete("/distribution-servers/server1");
    says(&refused, 409, &[id(&both), id(&alone), id(&of_plain), "sync plain", "force"]);

    api.delete("/distribution-servers/server1?force=true").expect(204);
    let left = api.get(&format!("/schedules/{}", id(&both)));
    assert_eq!(left["servers"], json!(["server2"]));
    assert_eq!(api.send("GET", &format!("/schedules/{}", id(&alone)), &[], &[]).status, 404);
    let paused = api.get(&format!("/schedules/{}", id(&of_plain)));
    assert!(paused["paused"].as_str().unwrap().contains("server1"), "{paused:#}");
    assert_eq!(run_now(&api, &left)["state"], "succeeded");
    site.assert_has(2, "patches");
    // One that nothing uses goes with the store that it brought, and can come again.
    api.delete("/distribution-servers/server3").expect(204);
    assert_eq!(api.send("GET", "/stores/server3", &[], &[]).status, 404);
    let again = json!({ "name": "server3", "path": site.stage.targets[2] });
    api.post("/distribution-servers", &again).expect(201);
}

#[test]
fn run_now_runs_in_the_background_and_leaves_the_next_time_alone() {
    let (site, _server, api) = started(2);
    let first = api.post("/schedules", &hourly(&["patches"], &["server1"])).expect(201);
    let second = api.post("/schedules", &hourly(&["engines"], &["server2"])).expect(201);
    let nowhere = "01930000-0000-7000-8000-000000000001";
    let answer = api.post("/schedules/run", &json!({ "ids": [first["id"], nowhere, second["id"]] }));
    let location = answer.location.clone().unwrap();
    let begun = answer.expect(202);
    assert_eq!(begun["entries"][1]["refusal"]["status"], 404, "{begun:#}");
    let path = location.strip_prefix("/api/v1").unwrap();
    let done = eventually("the operation to be done", || {
        let now = api.get(path);
        (now["done"] == true).then_some(now)
    });
    for at in [0, 2] {
        assert_eq!(done["entries"][at]["state"], "succeeded", "{done:#}");
        let events = api.all(&format!("/events?run={}", done["entries"][at]["run"].as_str().unwrap()));
        let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
        assert!(kinds.contains(&"run.queued") && kinds.contains(&"run.succeeded"), "{kinds:?}");
    }
    site.assert_has(1, "patches");
    site.assert_has(2, "engines");
    for schedule in [&first, &second] {
        let now = api.get(&format!("/schedules/{}", id(schedule)));
        assert_eq!((&now["next_run"], &now["revision"]), (&schedule["next_run"], &schedule["revision"]));
    }
}

#[test]
fn one_server_that_is_away_neither_stops_nor_delays_the_others_and_catches_up_unattended() {
    let (site, _server, api) = started(3);
    let schedule =
        api.post("/schedules", &hourly(&["patches"], &["server1", "server2", "server3"])).expect(201);
    let away = site.stage.folder.path().join("away");
    fs::rename(&site.stage.targets[1], &away).unwrap();
    fs::create_dir(&site.stage.targets[1]).unwrap();
    let run = run_now(&api, &schedule);
    assert_eq!((&run["state"], &run["attempt"]), (&json!("partial"), &json!(1)), "{run:#}");
    assert_eq!(target(&run, "server2")["cause"], "unreachable");
    assert!(run["reason"].as_str().unwrap().contains("server2 (unreachable)"), "{run:#}");
    site.assert_has(1, "patches");
    site.assert_has(3, "patches");
    assert_eq!(fs::read_dir(&site.stage.targets[1]).unwrap().count(), 0);
    let left = eventually("it to be left for later twice", || {
        let server = api.get("/distribution-servers/server2");
        (server["left"][0]["times"].as_u64() >= Some(2)).then_some(server)
    });
    assert!(left["left"][0]["reason"].as_str().unwrap().contains("mount"), "{left:#}");

    fs::remove_dir(&site.stage.targets[1]).unwrap();
    fs::rename(&away, &site.stage.targets[1]).unwrap();
    let caught_up = eventually("it to have caught up", || {
        let runs = api.all(&format!("/runs?sync={}", schedule["sync"].as_str().unwrap()));
        runs.into_iter().find(|run| run["trigger"] == "catch-up" && run["state"] == "succeeded")
    });
    assert_eq!(
        (&caught_up["only"], caught_up["targets"].as_array().unwrap().len()),
        (&json!(["server2"]), 1)
    );
    site.assert_has(2, "patches");
    assert_eq!(api.get("/distribution-servers/server2")["left"], json!([]));
}

#[test]
fn a_server_that_is_full_is_told_from_one_that_is_away() {
    let (site, _server, api) = started(2);
    let at = site.stage.folder.path().join("small");
    fs::create_dir(&at).unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(&at).status().unwrap();
    assert!(mount.success(), "this test mounts a file system: run the tests as root");
    let small = json!({ "name": "small", "path": at });
    api.post("/distribution-servers", &small).expect(201);
    let test = api.post("/distribution-servers/small/test", &json!({})).expect(200);
    assert!(test["free_bytes"].as_u64().unwrap() < 16_384, "{test:#}");
    let schedule = api.post("/schedules", &hourly(&["patches"], &["server1", "small"])).expect(201);
    let run = run_now(&api, &schedule);
    Command::new("umount").arg("-l").arg(&at).status().unwrap();
    assert_eq!(
        (&run["state"], &target(&run, "small")["cause"]),
        (&json!("partial"), &json!("no-space")),
        "{run:#}"
    );
    site.assert_has(1, "patches");
}

#[test]
fn the_account_and_the_right_that_it_lacks_are_named() {
    let site = Site::new(3, false);
    for folder in site.stage.targets.iter().chain([&site.stage.library]) {
        give(folder, NOBODY);
    }
    // Owners are compared too, and what a run writes belongs to its account.
    let owner = format!("{NOBODY}:{NOBODY}");
    assert!(Command::new("chown").arg("-R").arg(owner).arg(&site.stage.library).status().unwrap().success());
    let server = Server::start_with(&site.stage.data(), &Options { account: Some(NOBODY), ..options(&[]) });
    let api = server.api();
    site.set_up(&api);
    let good = api.post("/distribution-servers/server1/test", &json!({})).expect(200);
    assert_eq!(good["ok"], true, "{good:#}");

    // It may look, and not write.
    chown(&site.stage.targets[1], Some(0), Some(0)).unwrap();
    let test = api.post("/distribution-servers/server2/test", &json!({})).expect(200);
    assert_eq!((&test["ok"], &test["cause"]), (&json!(false), &json!("denied")), "{test:#}");
    let why = test["failure"]["message"].as_str().unwrap();
    assert!(why.contains("65534") && why.contains("write"), "{why}");
    let rights: Vec<_> = test["rights"].as_array().unwrap().iter().map(|one| &one["ok"]).collect();
    assert_eq!(rights, [true, false]);
    let refused = api.post("/schedules", &hourly(&["patches"], &["server1", "server2"]));
    says(&refused, 422, &["server2", "65534", "write"]);

    // It may not even look.
    mode(&site.stage.targets[1], 0o700);
    let test = api.post("/distribution-servers/server2/test", &json!({})).expect(200);
    assert_eq!(test["cause"], "denied", "{test:#}");
    assert!(test["failure"]["message"].as_str().unwrap().contains("read"), "{test:#}");

    // A right that goes later costs that server alone.
    mode(&site.stage.targets[1], 0o755);
    chown(&site.stage.targets[1], Some(NOBODY), None).unwrap();
    let schedule =
        api.post("/schedules", &hourly(&["patches"], &["server1", "server2", "server3"])).expect(201);
    chown(&site.stage.targets[1], Some(0), Some(0)).unwrap();
    mode(&site.stage.targets[1], 0o700);
    let run = run_now(&api, &schedule);
    assert_eq!(
        (&run["state"], &target(&run, "server2")["cause"]),
        (&json!("partial"), &json!("denied")),
        "{run:#}"
    );
    site.assert_has(1, "patches");
    site.assert_has(3, "patches");
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_server_is_reached_within_its_window_and_the_rest_is_left_for_it() {
    let (site, _server, api) = started(2);
    // Open for a minute, half a day from now.
    let made = api.get("/distribution-servers/server2")["created_at"].as_str().unwrap().to_owned();
    let noon =
        made.parse::<jiff::Timestamp>().unwrap().checked_add(jiff::SignedDuration::from_hours(12)).unwrap();
    let time = |at: jiff::Timestamp| at.to_string()[11..16].to_owned();
    let end = noon.checked_add(jiff::SignedDuration::from_mins(1)).unwrap();
    let window = json!({ "window": { "from": time(noon), "to": time(end), "time_zone": "UTC" } });
    patch(&api, "/distribution-servers/server2", &window).expect(200);
    let alone = api.post("/schedules", &hourly(&["engines"], &["server2"])).expect(201);
    let begun = api.post("/schedules/run", &json!({ "ids": [alone["id"]] })).expect(202);
    let waiting = begun["entries"][0]["run"].as_str().unwrap();
    eventually("the run to say what it waits for", || {
        let run = api.get(&format!("/runs/{waiting}"));
        run["reason"].as_str()?.contains("window of server server2").then_some(())
    });
    assert!(!site.holds(2, "engines").exists());

    let both = api.post("/schedules", &hourly(&["patches"], &["server1", "server2"])).expect(201);
    let run = run_now(&api, &both);
    assert_eq!(run["state"], "partial", "{run:#}");
    assert!(target(&run, "server2")["waits"]["until"].is_string(), "{run:#}");
    site.assert_has(1, "patches");
    assert!(!site.holds(2, "patches").exists());
    let left = api.get("/distribution-servers/server2");
    assert!(left["left"][0]["reason"].as_str().unwrap().contains("window"), "{left:#}");

    // It may be reached at any time after all.
    patch(&api, "/distribution-servers/server2", &json!({ "window": null })).expect(200);
    assert_eq!(api.ended(waiting)["state"], "succeeded");
    eventually("the rest to be there", || {
        (api.get("/distribution-servers/server2")["left"] == json!([])).then_some(())
    });
    site.assert_has(2, "engines");
    site.assert_has(2, "patches");
}

#[test]
fn a_site_is_filled_at_its_own_pace() {
    let (site, _server, api) = started(3);
    for server in ["server1", "server2"] {
        patch(&api, &format!("/distribution-servers/{server}"), &json!({ "site": "north" })).expect(200);
    }
    let mut schedule = hourly(&["patches"], &["server1", "server2", "server3"]);
    schedule["pace"] = json!({ "servers_at_once": 1, "files_at_once": 1, "stagger_seconds": 1 });
    let schedule = api.post("/schedules", &schedule).expect(201);
    let run = run_now(&api, &schedule);
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let at = |field: &str| run[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(
        at("finished_at").duration_since(at("started_at")).as_millis() >= 1_000,
        "one waited for its turn"
    );
    for server in 1..=3 {
        site.assert_has(server, "patches");
    }
    schedule_refuses_pace(&api);
}

fn schedule_refuses_pace(api: &Api) {
    let mut schedule = hourly(&["patches"], &["server1"]);
    schedule["pace"] = json!({ "servers_at_once": 0 });
    says(&api.post("/schedules", &schedule), 422, &["servers_at_once"]);
}

#[test]
fn schedules_of_all_nodes_are_seen_and_run_by_their_own() {
    let postgres = Postgres::start();
    let site = Site::new(2, true);
    let start = |name: &str| {
        let arguments = ["--lease-seconds", "1", "--node-name", name];
        let options = Options { database: Some(postgres.url()), ..options(&arguments) };
        Server::start_with(&site.stage.folder.path().join(name), &options)
    };
    let (first, second) = (start("one"), start("two"));
    let (one, two) = (first.api(), second.api());
    site.set_up(&one);
    let of_one = one.post("/schedules", &hourly(&["patches"], &["server1"])).expect(201);
    let of_two = two.post("/schedules", &hourly(&["engines"], &["server2"])).expect(201);
    let mut cluster = hourly(&["definitions"], &["server1"]);
    cluster["owner"] = json!("cluster");
    let of_all = two.post("/schedules", &cluster).expect(201);

    let seen = two.all("/schedules");
    assert_eq!(seen.len(), 3);
    let path = format!("/schedules/{}", id(&of_one));
    let owner = two.get(&path)["owner"].clone();
    assert_eq!(
        (&owner["node"], &owner["name"], &owner["gone"]),
        (&json!(one.node()), &json!("one"), &json!(false))
    );

    // Another node's can be deleted, and neither changed nor run.
    let what_to_do = ["one", &one.node(), "delete it here and make it anew"];
    says(&two.put(&path, &two.get(&path)), 403, &what_to_do);
    says(&two.post(&format!("{path}/pause"), &json!({ "reason": "x" })), 403, &what_to_do);
    says(&two.post(&format!("{path}/run"), &json!({})), 403, &what_to_do);
    let mixed =
        two.post("/schedules/run", &json!({ "ids": [of_one["id"], of_two["id"], of_all["id"]] })).expect(202);
    let entries = mixed["entries"].as_array().unwrap();
    assert_eq!(entries[0]["refusal"]["status"], 403, "{mixed:#}");
    assert!(entries[0]["refusal"]["detail"].as_str().unwrap().contains(&one.node()), "{mixed:#}");
    for entry in &entries[1..] {
        assert_eq!(two.ended(entry["run"].as_str().unwrap())["state"], "succeeded", "{mixed:#}");
    }
    site.assert_has(2, "engines");
    site.assert_has(1, "definitions");
    assert!(!site.holds(1, "patches").exists());

    // Deleted and made anew, it has moved.
    let name = of_one["sync"].as_str().unwrap();
    two.delete(&path).expect(204);
    assert_eq!(one.send("GET", &format!("/syncs/{name}"), &[], &[]).status, 404);
    let moved = two.post("/schedules", &hourly(&["patches"], &["server1"])).expect(201);
    assert_eq!(moved["owner"]["node"], two.node());
    assert_eq!(run_now(&two, &moved)["state"], "succeeded");

    // Those of a node that is gone can be deleted.
    second.kill();
    let path = format!("/schedules/{}", id(&moved));
    eventually("the node to be gone", || (one.get(&path)["owner"]["gone"] == true).then_some(()));
    says(&one.post(&format!("{path}/run"), &json!({})), 403, &["two"]);
    one.delete(&path).expect(204);
}
