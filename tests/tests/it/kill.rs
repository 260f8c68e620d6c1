//! A server that is killed loses nothing: the run goes on after a restart, and nobody ever sees half a file.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use syncline_tests::{
    api::eventually,
    programs,
    server::Server,
    tree::{assert_same, fill, leftovers},
};

use crate::copy::Stage;

/// Reads all files below a folder.
fn each_file(folder: &Path, look: &mut impl FnMut(&Path, Vec<u8>)) {
    // A folder or file can go while it is read: whoever makes and removes it is under test.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != ".syncline") {
                each_file(&path, look);
            }
        } else if let Ok(bytes) = fs::read(&path) {
            look(&path, bytes);
        }
    }
}

/// Contents of all files below a folder, by their paths in it.
fn contents(folder: &Path) -> HashMap<PathBuf, Vec<u8>> {
    let mut found = HashMap::new();
    each_file(folder, &mut |path, bytes| {
        found.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
    });
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

/// Files that say what they should be: each is one number of eight bytes over and over, its version and its own number.
mod marked {
    use std::{fs, path::Path};

    /// Files that all versions have.
    const KEPT: u64 = 800;
    /// Files that one version alone has.
    const OWN: u64 = 150;
    /// Files that are resumed where a copy broke off.
    const LARGE: u64 = 3;

    fn mark(version: u64, number: u64) -> [u8; 8] {
        (version << 32 | number).to_le_bytes()
    }

    /// Another in each version.
    fn size(version: u64, number: u64) -> u64 {
        let large = (KEPT..KEPT + LARGE).contains(&number);
        let units = if large { 5_000_000 + 500_000 * (number - KEPT) } else { 1 + number * 7 % 200 };
        8 * (units + version)
    }

    fn write(path: &Path, version: u64, number: u64) {
        fs::create_dir_all(path).unwrap();
        let units = size(version, number) / 8;
        fs::write(path.join(number.to_string()), mark(version, number).repeat(units as usize)).unwrap();
    }

    /// Makes of `library` its next version: each file another content of another size, some gone, some new.
    pub fn fill(library: &Path, version: u64) {
        for number in 0..KEPT {
            write(&library.join(format!("pool/{}", number % 20)), version, number);
        }
        let own = |version: u64| library.join(format!("pool/only-{version}"));
        for number in 0..OWN {
            write(&own(version), version, 10_000 * (version + 1) + number);
        }
        if version > 0 {
            fs::remove_dir_all(own(version - 1)).unwrap();
        }
        for number in KEPT..KEPT + LARGE {
            write(&library.join("images"), version, number);
        }
    }

    /// The version that a file is of as a whole, if it is of one.
    pub fn version(path: &Path, bytes: &[u8]) -> Option<u64> {
        let number: u64 = path.file_name()?.to_str()?.parse().ok()?;
        let first: [u8; 8] = bytes.get(..8)?.try_into().ok()?;
        let version = u64::from_le_bytes(first) >> 32;
        let whole = first == mark(version, number) && bytes.len() as u64 == size(version, number);
        // Each eight bytes are like those before them.
        (whole && bytes[8..] == bytes[..bytes.len() - 8]).then_some(version)
    }
}

/// Bytes that stand at the target of large files that are not whole yet.
fn broken_off(target: &Path) -> u64 {
    leftovers(target)
        .iter()
        .filter(|path| path.file_name().unwrap().as_encoded_bytes().starts_with(b"r-"))
        .filter_map(|path| path.metadata().ok())
        .map(|meta| meta.len())
        .sum()
}

#[test]
fn killed_while_three_targets_get_the_next_version_each_file_is_the_old_or_the_new_one() {
    let mut random = StdRng::seed_from_u64(3);
    let stage = Stage::new(3);
    let mut server = Server::start(&stage.data());
    let plugin = server.api().install(&programs::plugin("distribution-files"));
    stage.set_up(&server.api(), &plugin, json!({ "prune": ["pool"] }), false);
    marked::fill(&stage.library, 0);
    let begun = Instant::now();
    let undisturbed = server.api().run("all", "apply");
    let length = begun.elapsed();
    assert_eq!(undisturbed["state"], "succeeded", "{undisturbed:#}");

    let (mut interrupted, mut resumable) = (0, 0);
    for version in 1..=8 {
        marked::fill(&stage.library, version);
        let run = server.api().start("all", "apply");
        let done = AtomicBool::new(false);
        let moment = length.mul_f64(random.random());
        let part = random.random_range(1..120_000_000);
        let (restarted, ended) = std::thread::scope(|scope| {
            let done = DoneAtEnd(&done);
            scope.spawn(|| watch_versions(&stage.targets, version, done.0));
            server.api().until(&run, |state| state != "queued");
            if version % 2 == 0 {
                std::thread::park_timeout(moment);
            } else {
                // All large files are written at first, as far as there are threads.
                eventually("so much of large files", || {
                    let enough = stage.targets.iter().map(|target| broken_off(target)).sum::<u64>() >= part;
                    (enough || server.api().get(&format!("/runs/{run}"))["state"] == "succeeded")
                        .then_some(())
                });
            }
            server.kill();
            resumable += u32::from(stage.targets.iter().any(|target| broken_off(target) > 0));
            let server = Server::start(&stage.data());
            let ended = server.api().ended(&run);
            (server, ended)
        });
        server = restarted;
        assert_eq!(ended["state"], "succeeded", "version {version}: {ended:#}");
        for target in &stage.targets {
            assert_same(&stage.library, target);
            assert_eq!(leftovers(target), Vec::<PathBuf>::new(), "version {version}");
        }
        interrupted += u32::from(ended["attempt"].as_u64().unwrap() > 1);
    }
    assert!(interrupted >= 5, "only {interrupted} of 8 runs were under way when they were killed");
    assert!(resumable >= 3, "only {resumable} of 8 kills broke off a large file");
}

/// Reads the targets again and again until `done`, and fails at the first file that is neither of this version nor of the
/// one before as a whole.
fn watch_versions(targets: &[PathBuf], version: u64, done: &AtomicBool) {
    while !done.load(Ordering::Acquire) {
        for target in targets {
            each_file(target, &mut |path, bytes| {
                let seen = marked::version(path, &bytes);
                let right = seen.is_some_and(|seen| seen == version || seen + 1 == version);
                assert!(
                    right,
                    "a reader saw {} with {} bytes of version {seen:?}",
                    path.display(),
                    bytes.len()
                );
            });
        }
    }
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
