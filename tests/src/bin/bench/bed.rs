//! Where a benchmark runs: a folder on one file system, and a server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use syncline_tests::{api::Api, programs, server::Server};
use tempfile::TempDir;

/// A folder and a server in it.
pub struct Bed {
    folder: TempDir,
    server: Server,
    api: Api,
    plugin: String,
    /// How often each tool takes its turn.
    pub repetitions: usize,
}

impl Bed {
    /// A server with its data in a new folder below `on`.
    pub fn new(on: &Path, repetitions: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("syncline-bench-").tempdir_in(on).unwrap();
        let server = Server::start(&folder.path().join("data"));
        let api = server.api();
        let plugin = api.install(&programs::plugin("distribution-files"));
        Self { folder, server, api, plugin, repetitions }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new empty folder.
    pub fn fresh(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        remove(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Registers `library` as a source and `targets` as its targets, in a sync of the same name.
    pub fn sync(&self, name: &str, library: &Path, targets: &[PathBuf]) {
        let source = format!("{name}-library");
        self.api.add_store(&source, library, false);
        let names: Vec<String> = (0..targets.len()).map(|number| format!("{name}-{number}")).collect();
        for (target, path) in names.iter().zip(targets) {
            self.api.add_store(target, path, false);
        }
        let sync = json!({
            "name": name, "plugin": self.plugin, "settings": {}, "sources": [source], "targets": names,
        });
        self.api.post("/syncs", &sync).expect(201);
    }

    /// Forgets a sync and its stores.
    pub fn forget(&self, name: &str, targets: usize) {
        self.api.delete(&format!("/syncs/{name}")).expect(204);
        self.api.delete(&format!("/stores/{name}-library")).expect(204);
        for number in 0..targets {
            self.api.delete(&format!("/stores/{name}-{number}")).expect(204);
        }
    }

    /// Runs a sync; answers the time from the request to its end, and the run.
    pub fn run(&self, name: &str) -> (Duration, Value) {
        self.run_to(name, "succeeded")
    }

    /// The same, of a run that ends in this state.
    pub fn run_to(&self, name: &str, state: &str) -> (Duration, Value) {
        let begun = Instant::now();
        let run = self.api.run(name, "apply");
        let time = begun.elapsed();
        assert_eq!(run["state"], state, "{run:#}");
        (time, run)
    }

    /// Most memory that the server has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1_024
    }
}

/// The time of a run on its own clock.
pub fn own_clock(run: &Value) -> Duration {
    let at = |name: &str| run[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    at("finished_at").duration_since(at("started_at")).unsigned_abs()
}

/// The time that a command takes.
pub fn command(program: &str, arguments: &[&str], paths: &[&Path]) -> Duration {
    let begun = Instant::now();
    let output = Command::new(program).args(arguments).args(paths).output().unwrap();
    let time = begun.elapsed();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    time
}

/// Removes a folder and all in it, if it is there.
pub fn remove(path: &Path) {
    if path.exists() {
        fs::remove_dir_all(path).unwrap();
    }
}
