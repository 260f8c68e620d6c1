//! A server that is killed loses nothing: the run goes on after a restart, and nobody ever sees half a file.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use syncline_tests::{
    programs,
    server::Server,
    tree::{assert_same, fill, leftovers},
};

use crate::copy::Stage;

/// Contents of all files below a folder, by their paths in it.
fn contents(folder: &Path) -> HashMap<PathBuf, Vec<u8>> {
    let mut found = HashMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(below) = folders.pop() {
        // A folder or file can go while it is read: whoever makes and removes it is under test.
        let Ok(entries) = fs::read_dir(&below) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != ".syncline") {
                    folders.push(path);
                }
            } else if let Ok(bytes) = fs::read(&path) {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

/// Reads the target again and again until `done`, and fails at the first file that is not as it should be.
fn watch(target: &Path, wanted: &HashMap<PathBuf, Vec<u8>>, done: &AtomicBool) {
    while !done.load(Ordering::Acquire) {
        for (path, bytes) in contents(target) {
            assert!(wanted[&path] == bytes, "a reader saw {} as it should never be", path.display());
        }
    }
}

/// Ends the watching, also where the test fails before its end: the scope would wait for the watcher otherwise.
struct DoneAtEnd<'a>(&'a AtomicBool);

impl Drop for DoneAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn killed_at_twenty_random_moments_every_run_still_ends_whole() {
    let mut random = StdRng::seed_from_u64(20);
    let stage = Stage::new(1);
    fill(&stage.library, 20_000, 2_000, 7);
    let wanted = contents(&stage.library);
    let mut server = Server::start(&stage.data());
    let plugin = server.api().install(&programs::plugin("distribution-files"));
    stage.set_up(&server.api(), &plugin, json!({}), false);
    let target = &stage.targets[0];

    let undisturbed = server.api().run("all", "apply");
    assert_eq!(undisturbed["state"], "succeeded", "{undisturbed:#}");
    let at = |name: &str| undisturbed[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let length = at("finished_at").duration_since(at("started_at")).unsigned_abs();

    let mut interrupted = 0;
    for round in 0..20 {
        for entry in fs::read_dir(target).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.file_name().unwrap() != ".syncline" {
                fs::remove_dir_all(entry).unwrap();
            }
        }
        let api = server.api();
        let run = api.start("all", "apply");
        let done = AtomicBool::new(false);
        let moment = Duration::from_micros(random.random_range(0..length.as_micros() as u64));
        let (restarted, ended) = std::thread::scope(|scope| {
            let done = DoneAtEnd(&done);
            scope.spawn(|| watch(target, &wanted, done.0));
            api.until(&run, |state| state != "queued");
            std::thread::park_timeout(moment);
            server.kill();
            let server = Server::start(&stage.data());
            let ended = server.api().ended(&run);
            (server, ended)
        });
        server = restarted;
        assert_eq!(ended["state"], "succeeded", "round {round}: {ended:#}");
        assert_same(&stage.library, target);
        assert_eq!(leftovers(target), Vec::<PathBuf>::new(), "round {round}");
        interrupted += u32::from(ended["attempt"].as_u64().unwrap() > 1);
    }
    assert!(interrupted >= 10, "only {interrupted} of 20 runs were under way when they were killed");
}

#[test]
fn a_run_that_is_killed_again_and_again_still_ends() {
    let stage = Stage::new(1);
    fill(&stage.library, 3_000, 20_000, 8);
    let mut server = Server::start(&stage.data());
    let plugin = server.api().install(&programs::plugin("distribution-files"));
    stage.set_up(&server.api(), &plugin, json!({}), false);
    let run = server.api().start("all", "apply");
    for _ in 0..12 {
        server.api().until(&run, |state| state != "queued");
        server.kill();
        server = Server::start(&stage.data());
    }
    let ended = server.api().ended(&run);
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_same(&stage.library, &stage.targets[0]);
}

#[test]
fn a_server_that_is_stopped_lets_its_runs_reach_a_safe_point_and_goes_on_later() {
    let stage = Stage::new(1);
    fill(&stage.library, 5_000, 20_000, 9);
    let server = Server::start(&stage.data());
    let plugin = server.api().install(&programs::plugin("distribution-files"));
    stage.set_up(&server.api(), &plugin, json!({}), false);
    let run = server.api().start("all", "apply");
    server.api().until(&run, |state| state == "running");
    assert_eq!(server.stop(), Some(0));
    let server = Server::start(&stage.data());
    let ended = server.api().ended(&run);
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_same(&stage.library, &stage.targets[0]);
}
