//! Collections are refreshed from a web server: whole or not at all, gone on with where it broke off, and syncs wait for them.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use syncline_tests::{
    api::{Api, eventually},
    commands::Commands,
    mirror::{Mirror, listed},
    programs,
    server::{Options, Server},
    tree::assert_same,
};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

/// A server with its library, a mirror, and a distribution server to be filled from `patches`.
struct Stage {
    folder: TempDir,
    mirror: Mirror,
    target: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("mirror");
        fs::create_dir(&own).unwrap();
        let target = folder.path().join("target");
        fs::create_dir(&target).unwrap();
        Self { mirror: Mirror::start(&own), target, folder }
    }

    fn serve(&self) -> Server {
        let arguments = vec!["--lease-seconds".to_owned(), "3".to_owned()];
        Server::start_with(&self.folder.path().join("data"), &Options { arguments, ..Options::default() })
    }

    /// `patches` with the mirror as source, and the sync `all` of it.
    fn set_up(&self, api: &Api, more: Value) {
        let mut source = json!({ "kind": "http", "url": self.mirror.url("manifest.json") });
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        patch(api, json!({ "source": source }));
        let plugin = api.install(&programs::plugin("distribution-files"));
        api.add_store("target", &self.target, false);
        let sync = json!({
            "name": "all", "plugin": plugin, "sources": ["patches"], "targets": ["target"],
        });
        api.post("/syncs", &sync).expect(201);
    }

    /// Where `patches` is.
    fn collection(&self) -> PathBuf {
        self.folder.path().join("data/library/patches")
    }

    /// What of the collection anybody can see.
    fn visible(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.collection())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Temporary files of the library.
    fn parts(&self) -> Vec<PathBuf> {
        syncline_tests::tree::leftovers(&self.folder.path().join("data/library"))
    }

    /// Waits until so much of a file has come.
    fn until_came(&self, bytes: u64) {
        eventually("some of the file to come", || {
            let came: u64 =
                self.parts().iter().filter_map(|path| fs::metadata(path).ok()).map(|one| one.len()).sum();
            (came >= bytes).then_some(())
        });
    }
}

fn patch(api: &Api, change: Value) -> Value {
    let body = change.to_string();
    let headers = [("content-type", "application/json")];
    api.send("PATCH", "/collections/patches", &headers, body.as_bytes()).expect(200)
}

fn start(api: &Api) -> String {
    let answer = api.post("/collections/patches/refresh", &json!({}));
    let location = answer.location.clone().unwrap();
    answer.expect(202);
    location.rsplit('/').next().unwrap().to_owned()
}

fn refresh(api: &Api) -> Value {
    api.ended(&start(api))
}

/// Bytes that are not the same twice.
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::RngExt::fill(
        &mut <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed),
        bytes.as_mut_slice(),
    );
    bytes
}

#[test]
fn a_collection_comes_from_its_mirror_and_once_only() {
    let stage = Stage::new();
    let server = stage.serve();
    let api = server.api();
    for number in 0..40 {
        stage
            .mirror
            .put(&format!("d{}/f {number}#.bin", number % 7), &bytes((number + 1) * 1_000, number as u64));
    }
    stage.mirror.put("twin", &bytes(5_000, 4));
    stage.mirror.list();
    stage.set_up(&api, json!({}));

    let run = refresh(&api);
    assert_eq!((&run["state"], &run["collection"]), (&json!("succeeded"), &json!("patches")), "{run:#}");
    assert_eq!((&run["counts"]["copied"], &run["sync"]), (&json!(41), &Value::Null));
    fs::remove_file(stage.mirror.files.join("manifest.json")).unwrap();
    // Times are those of the download: lines that begin with a dot.
    let differences = syncline_tests::tree::differences(&stage.mirror.files, &stage.collection());
    assert_eq!(
        differences.lines().filter(|line| !line.starts_with('.')).collect::<Vec<_>>(),
        Vec::<&str>::new()
    );
    assert_eq!(stage.parts(), Vec::<PathBuf>::new());
    let asked = stage.mirror.asked();
    assert_eq!(asked.len(), 41, "each content once, and the manifest: {asked:?}");
    assert_eq!(api.run("all", "apply")["state"], "succeeded");
    assert_same(&stage.collection(), &stage.target);

    // Nothing has changed: nothing comes.
    stage.mirror.list();
    let again = refresh(&api);
    assert_eq!(
        (&again["state"], &again["counts"]["unchanged"]),
        (&json!("succeeded"), &json!(41)),
        "{again:#}"
    );
    let asked = stage.mirror.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");

    // A file that changed, one that went, and one that has another name: its content is there.
    stage.mirror.put("d1/f 1#.bin", b"another content");
    fs::remove_file(stage.mirror.files.join("twin")).unwrap();
    fs::rename(stage.mirror.files.join("d3/f 3#.bin"), stage.mirror.files.join("moved.bin")).unwrap();
    stage.mirror.list();
    let run = refresh(&api);
    assert_eq!((&run["counts"]["copied"], &run["counts"]["updated"]), (&json!(1), &json!(1)), "{run:#}");
    let asked: Vec<String> = stage.mirror.asked().into_iter().map(|one| one.path).collect();
    assert_eq!(asked, ["manifest.json", "d1/f 1#.bin"]);
    assert!(stage.collection().join("twin").exists(), "what is not listed stays by default");

    // What is not listed goes where that is asked for, and not beyond the limits.
    let source = json!({ "kind": "http", "url": stage.mirror.url("manifest.json"), "unlisted": "remove" });
    patch(&api, json!({ "source": source, "limits": { "max_deletes": 1 } }));
    let held = refresh(&api);
    assert_eq!((&held["state"], held["sizes"][0]["deletes"].as_u64()), (&json!("held"), Some(2)), "{held:#}");
    assert!(stage.collection().join("twin").exists());
    let id = held["id"].as_str().unwrap();
    api.post(&format!("/runs/{id}/approve"), &json!({})).expect(202);
    let run = api.ended(id);
    assert_eq!((&run["state"], &run["counts"]["removed"]), (&json!("succeeded"), &json!(2)), "{run:#}");
    assert!(!stage.collection().join("twin").exists());
    assert!(!stage.collection().join("d3/f 3#.bin").exists());
}

#[test]
fn a_download_goes_on_where_its_server_was_killed() {
    let mut stage = Stage::new();
    let server = stage.serve();
    let api = server.api();
    stage.mirror.put("large.bin", &bytes(16 * MIB, 1));
    stage.mirror.list();
    stage.set_up(&api, json!({}));
    stage.mirror.again("limit_rate 4m;");
    let run = start(&api);
    stage.until_came(4 * MIB as u64);
    stage.mirror.kill();
    assert_eq!(stage.visible(), Vec::<String>::new());
    let came: u64 = stage.parts().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    stage.mirror.asked();
    stage.mirror.again("");
    let ended = api.ended(&run);
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert!(fs::read(stage.collection().join("large.bin")).unwrap() == bytes(16 * MIB, 1));
    let asked = stage.mirror.asked();
    let rest: Vec<_> = asked.iter().filter(|one| one.path == "large.bin").collect();
    assert_eq!(rest.len(), 1, "{asked:?}");
    assert_eq!(rest[0].status, 206, "{asked:?}");
    assert!(rest[0].bytes <= 16 * MIB as u64 - came, "what had come came again: {asked:?}");
}

#[test]
fn killed_in_the_middle_it_goes_on_and_the_sync_behind_it_runs_once() {
    let mut stage = Stage::new();
    let server = stage.serve();
    let api = server.api();
    stage.mirror.put("large.bin", &bytes(16 * MIB, 2));
    stage.mirror.put("small.bin", b"small");
    stage.mirror.list();
    stage.set_up(&api, json!({}));
    stage.mirror.again("limit_rate 4m;");
    let run = start(&api);
    assert_eq!(start(&api), run, "a repeat gives the one under way");
    stage.until_came(4 * MIB as u64);
    let sync = api.start("all", "apply");
    let why = format!("collection patches is being refreshed by run {run}");
    eventually("the sync to wait", || {
        (api.get(&format!("/runs/{sync}"))["waiting_for"] == why.as_str()).then_some(())
    });
    let shown = Commands::of(&server).says(0, &["run", "show", &sync]);
    assert!(shown.contains(&why), "{shown}");
    server.kill();
    stage.mirror.kill();
    stage.mirror.asked();
    stage.mirror.again("");

    let server = stage.serve();
    let api = server.api();
    let ended = api.ended(&sync);
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_eq!((ended["attempt"].as_u64(), &ended["counts"]["copied"]), (Some(1), &json!(2)), "{ended:#}");
    let refreshed = api.get(&format!("/runs/{run}"));
    assert_eq!(refreshed["state"], "succeeded", "{refreshed:#}");
    assert!(refreshed["finished_at"].as_str() <= ended["started_at"].as_str());
    assert_eq!(api.all("/syncs/all/runs").len(), 1);
    assert_eq!(api.all("/runs?collection=patches").len(), 1);
    assert_same(&stage.collection(), &stage.target);
    let asked = stage.mirror.asked();
    let again: u64 = asked.iter().filter(|one| one.path == "large.bin").map(|one| one.bytes).sum();
    assert!(again <= 12 * MIB as u64, "what had come by then came again: {asked:?}");
}

#[test]
fn what_is_not_as_listed_is_refused_and_nothing_of_it_is_seen() {
    let stage = Stage::new();
    let server = stage.serve();
    let api = server.api();
    stage.set_up(&api, json!({}));
    let good = bytes(10_000, 3);
    stage.mirror.put("good.bin", &good);
    stage.mirror.put("bad.bin", b"what stands there");
    let wanted = listed("bad.bin", b"what is wanted ..");
    let told = |files: Value| {
        stage.mirror.write_list(&json!({ "files": files }));
        let run = refresh(&api);
        assert_eq!(run["state"], "failed", "{run:#}");
        assert_eq!(stage.visible(), Vec::<String>::new());
        run["failure"].clone()
    };

    let failure = told(json!([listed("good.bin", &good), wanted]));
    let message = failure["message"].as_str().unwrap();
    let found = format!("blake3:{}", blake3::hash(b"what stands there").to_hex());
    let listed_digest = format!("blake3:{}", wanted["blake3"].as_str().unwrap());
    assert_eq!(failure["code"], "digest");
    for part in ["bad.bin", &found, &listed_digest] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let mut longer = listed("good.bin", &good);
    longer["size"] = json!(10_001);
    assert_eq!(told(json!([longer]))["code"], "size");
    let mut shorter = listed("good.bin", &good);
    shorter["size"] = json!(9_999);
    assert_eq!(told(json!([shorter]))["code"], "size");
    assert_eq!(told(json!([listed("../escaped", b"x")]))["code"], "manifest");
    assert_eq!(told(json!([listed(".syncline/store.json", b"x")]))["code"], "manifest");
    assert_eq!(told(json!([listed("missing.bin", b"x")]))["code"], "status");
    assert_eq!(told(json!([]))["code"], "empty-source");
    let mut elsewhere = listed("good.bin", &good);
    elsewhere["url"] = json!("http://127.0.0.2:9/good.bin");
    assert_eq!(told(json!([elsewhere]))["code"], "origin");
    let mut file = fs::File::create(stage.mirror.files.join("manifest.json")).unwrap();
    file.set_len(300 << 20).unwrap();
    std::io::Write::flush(&mut file).unwrap();
    let run = refresh(&api);
    assert_eq!(run["failure"]["code"], "body-size", "{run:#}");
    assert!(!stage.folder.path().join("data/library/escaped").exists());

    // Mended, it comes; also by SHA-256, under another name, and with a time.
    let mut mended = listed("good.bin", &good);
    mended["modified"] = json!("2020-02-02T02:02:02Z");
    let sum =
        std::process::Command::new("sha256sum").arg(stage.mirror.files.join("bad.bin")).output().unwrap();
    let sum = &String::from_utf8(sum.stdout).unwrap()[..64];
    let other = json!({ "path": "named/otherwise", "url": "bad.bin", "size": 17, "sha256": sum });
    stage.mirror.write_list(&json!({ "files": [mended, other] }));
    let run = refresh(&api);
    assert_eq!((&run["state"], &run["counts"]["copied"]), (&json!("succeeded"), &json!(2)), "{run:#}");
    assert_eq!(fs::read(stage.collection().join("named/otherwise")).unwrap(), b"what stands there");
    let time = fs::metadata(stage.collection().join("good.bin")).unwrap().modified().unwrap();
    assert_eq!(time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_580_608_922);
    assert_eq!(refresh(&api)["counts"]["unchanged"], 2);
}

#[test]
fn a_refresh_that_fails_releases_those_that_wait() {
    let mut stage = Stage::new();
    let server = stage.serve();
    let api = server.api();
    stage.mirror.put("first.bin", b"first");
    stage.mirror.list();
    stage.set_up(&api, json!({}));
    assert_eq!(refresh(&api)["state"], "succeeded");
    stage.mirror.put("second.bin", &bytes(8 * MIB, 4));
    let mut manifest = stage.mirror.list();
    for file in manifest["files"].as_array_mut().unwrap() {
        if file["path"] == "second.bin" {
            file["blake3"] = json!("ab".repeat(32));
        }
    }
    stage.mirror.write_list(&manifest);
    stage.mirror.again("limit_rate 4m;");
    let run = start(&api);
    stage.until_came(MIB as u64);
    let sync = api.ended(&api.start("all", "apply"));
    assert_eq!(sync["state"], "succeeded", "{sync:#}");
    let failed = api.get(&format!("/runs/{run}"));
    assert_eq!(
        (&failed["state"], &failed["failure"]["code"]),
        (&json!("failed"), &json!("digest")),
        "{failed:#}"
    );
    assert!(failed["finished_at"].as_str() <= sync["started_at"].as_str());
    assert_eq!(fs::read(stage.target.join("first.bin")).unwrap(), b"first");
    assert_eq!(stage.visible(), ["first.bin"]);
}

#[test]
fn a_sync_that_asks_for_it_runs_after_a_refresh_and_schedules_do_both() {
    let stage = Stage::new();
    let server = stage.serve();
    let api = server.api();
    stage.mirror.put("one.bin", b"one");
    stage.mirror.list();
    stage.set_up(&api, json!({}));
    let desk = Commands::of(&server);
    let message = api.run("all", "apply")["failure"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("syncline collection refresh patches") && message.contains("by hand"),
        "{message}"
    );

    desk.says(0, &["sync", "change", "all", "--refresh-before"]);
    let run = api.run("all", "apply");
    assert_eq!((&run["state"], &run["counts"]["copied"]), (&json!("succeeded"), &json!(1)), "{run:#}");
    let refreshes = api.all("/runs?collection=patches");
    assert_eq!(refreshes.len(), 1);
    assert!(refreshes[0]["finished_at"].as_str() <= run["started_at"].as_str());

    stage.mirror.put("two.bin", b"two");
    stage.mirror.list();
    desk.says(0, &["collection", "change", "patches", "--every", "1s"]);
    eventually("a tick to refresh it", || stage.collection().join("two.bin").exists().then_some(()));
    desk.says(0, &["collection", "change", "patches", "--no-schedule"]);
    let ticks = api.all("/runs?collection=patches");
    assert!(ticks.iter().any(|run| run["trigger"] == "schedule"), "{ticks:#?}");
}

#[test]
fn a_new_server_has_its_collections_and_they_give_way() {
    let stage = Stage::new();
    let server = stage.serve();
    let api = server.api();
    let names: Vec<String> =
        api.all("/collections").iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["definitions", "engines", "patches"]);
    for name in &names {
        assert!(stage.folder.path().join("data/library").join(name).is_dir());
    }
    let plugin = api.install(&programs::plugin("distribution-files"));
    api.add_store("target", &stage.target, false);
    let sync = json!({ "name": "engines", "plugin": plugin, "sources": ["engines"], "targets": ["target"] });
    api.post("/syncs", &sync).expect(201);
    let run = api.run("engines", "apply");
    let message = run["failure"]["message"].as_str().unwrap();
    assert_eq!((&run["state"], &run["failure"]["code"]), (&json!("failed"), &json!("empty-source")));
    assert!(message.contains("refresh") && message.contains("by hand"), "{message}");
    let refused = api.post("/collections/engines/refresh", &json!({}));
    let detail = refused.body["detail"].as_str().unwrap().to_owned();
    assert_eq!(refused.status, 409, "{detail}");
    assert!(detail.contains("by hand"), "{detail}");
    fs::write(stage.folder.path().join("data/library/engines/e"), b"filled by hand").unwrap();
    assert_eq!(api.run("engines", "apply")["state"], "succeeded");

    // Nobody uses patches: one's own takes its place. A sync reads engines: that stays.
    let own = stage.folder.path().join("own");
    fs::create_dir(&own).unwrap();
    api.add_store("own", &own, false);
    let new = |name: &str| api.post("/collections", &json!({ "name": name, "store": "own" }));
    assert_eq!(new("patches").expect(201)["store"], "own");
    new("patches").expect(409);
    new("engines").expect(409);
}

#[test]
fn only_who_may_refreshes_and_names_secrets() {
    let stage = Stage::new();
    let server = stage.serve();
    let api = server.api();
    stage.mirror.put("one.bin", b"one");
    stage.mirror.list();
    api.post("/secrets", &json!({ "name": "mirror", "value": "hush-hush" })).expect(201);
    stage.set_up(&api, json!({ "secret": "mirror" }));
    let token = |role: &str| {
        let made = api.post("/tokens", &json!({ "name": role, "role": role })).expect(201);
        api.with_token(made["token"].as_str().unwrap())
    };
    let (viewer, operator) = (token("viewer"), token("operator"));
    assert_eq!(viewer.post("/collections/patches/refresh", &json!({})).status, 403);
    let path = "/collections/patches/refresh";
    let headers = [("idempotency-key", "k")];
    let first = operator.send("POST", path, &headers, &[]);
    assert_eq!(first.status, 202, "{first:?}");
    let run = api.ended(first.location.as_ref().unwrap().rsplit('/').next().unwrap());
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let again = operator.send("POST", path, &headers, &[]);
    assert_eq!(again.location, first.location, "a repetition starts nothing");
    let asked = stage.mirror.asked();
    assert!(asked.iter().all(|one| one.authorization == "Bearer hush-hush"), "{asked:?}");
    assert!(!server.log().contains("hush-hush"));

    let json_type = [("content-type", "application/json")];
    let source = json!({ "source": { "kind": "http", "url": "http://127.0.0.1:1/m", "secret": "mirror" } });
    let refused = operator.send("PATCH", "/collections/patches", &json_type, source.to_string().as_bytes());
    assert_eq!(refused.status, 403, "{refused:?}");
    let limits = json!({ "limits": { "max_deletes": 100_000 } });
    let refused = operator.send("PATCH", "/collections/patches", &json_type, limits.to_string().as_bytes());
    assert_eq!(refused.status, 403, "{refused:?}");
    let text = json!({ "description": "Mirrored" });
    let etag = api.send("GET", "/collections/patches", &[], &[]).etag.unwrap();
    let stale = [("content-type", "application/json"), ("if-match", "\"77\"")];
    assert_eq!(
        operator.send("PATCH", "/collections/patches", &stale, text.to_string().as_bytes()).status,
        412
    );
    let known = [("content-type", "application/json"), ("if-match", etag.as_str())];
    operator.send("PATCH", "/collections/patches", &known, text.to_string().as_bytes()).expect(200);
}

#[test]
fn a_collection_comes_from_another_store() {
    let stage = Stage::new();
    let server = stage.serve();
    let api = server.api();
    let share = stage.folder.path().join("share");
    syncline_tests::tree::fill(&share.join("new"), 300, 10_000, 9);
    api.add_store("share", &share, false);
    let desk = Commands::of(&server);
    let change = ["collection", "change", "patches", "--from-store", "share:new", "--unlisted", "remove"];
    desk.says(0, &change);
    desk.says(0, &["collection", "refresh", "patches", "--wait"]);
    assert_same(&share.join("new"), &stage.collection());
    fs::remove_dir_all(share.join("new/d000")).unwrap();
    let held = desk.says(4, &["collection", "refresh", "patches", "--wait"]);
    assert!(held.contains("max_delete_percent"), "{held}");
    let id = api.all("/runs?collection=patches&state=held")[0]["id"].as_str().unwrap().to_owned();
    desk.says(0, &["run", "approve", &id, "--wait"]);
    assert_same(&share.join("new"), &stage.collection());
}
