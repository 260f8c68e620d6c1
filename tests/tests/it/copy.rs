//! The main job: a plugin in the sandbox keeps folders in step with the library.

use std::{fs, path::PathBuf};

use serde_json::json;
use syncline_tests::{
    api::Api,
    programs,
    server::Server,
    tree::{assert_same, fill, leftovers},
};
use tempfile::TempDir;

/// A library of one collection, and targets to fill from it.
pub struct Stage {
    /// Keeps the folders.
    pub folder: TempDir,
    /// The collection's folder.
    pub library: PathBuf,
    /// The targets' folders.
    pub targets: Vec<PathBuf>,
}

impl Stage {
    /// Folders for `targets` targets, and an empty library.
    pub fn new(targets: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("library");
        fs::create_dir(&library).unwrap();
        let targets: Vec<PathBuf> = (1..=targets).map(|n| folder.path().join(format!("server{n}"))).collect();
        for target in &targets {
            fs::create_dir(target).unwrap();
        }
        Self { folder, library, targets }
    }

    /// Where a server keeps its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Registers the library as collection `patches`, the targets as stores, and a sync `all` of `plugin` with `settings`.
    pub fn set_up(&self, api: &Api, plugin: &str, settings: serde_json::Value, shared: bool) {
        api.add_store("library", &self.library, shared);
        api.post("/collections", &json!({ "name": "patches", "store": "library", "prefix": "" })).expect(201);
        let mut names = Vec::new();
        for (number, target) in self.targets.iter().enumerate() {
            let name = format!("server{}", number + 1);
            api.add_store(&name, target, shared);
            names.push(name);
        }
        let sync = json!({
            "name": "all", "plugin": plugin, "settings": settings, "sources": ["patches"], "targets": names,
        });
        api.post("/syncs", &sync).expect(201);
    }
}

#[test]
fn three_servers_come_to_hold_what_the_library_holds() {
    let stage = Stage::new(3);
    fill(&stage.library, 500, 20_000, 1);
    fs::create_dir(stage.library.join("empty")).unwrap();
    let server = Server::start(&stage.data());
    let api = server.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), false);

    let preview = api.run("all", "preview");
    assert_eq!(
        (&preview["state"], &preview["counts"]["copied"]),
        (&json!("succeeded"), &json!(1_500)),
        "{preview:#}"
    );
    assert!(fs::read_dir(&stage.targets[0]).unwrap().all(|entry| entry.unwrap().file_name() == ".syncline"));

    let run = api.run("all", "apply");
    assert_eq!((&run["state"], &run["counts"]["copied"]), (&json!("succeeded"), &json!(1_500)), "{run:#}");
    for target in &stage.targets {
        assert_same(&stage.library, target);
        assert_eq!(leftovers(target), Vec::<PathBuf>::new());
    }

    let again = api.run("all", "apply");
    let counts = &again["counts"];
    assert_eq!(
        (&counts["copied"], &counts["unchanged"], &counts["bytes"]),
        (&json!(0), &json!(1_500), &json!(0))
    );
}
