//! Where the binaries and plugins under test are. `make test` and `make bench` build them first.

use std::path::{Path, PathBuf};

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above tests/").to_owned()
}

/// A binary of the workspace, from the same profile as the running program.
pub fn binary(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("the path of the running program is known");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    built(folder.join(name), "cargo build --workspace")
}

/// A plugin that comes with Syncline.
pub fn plugin(name: &str) -> Vec<u8> {
    read(&built(root().join("target/plugins").join(name).with_extension("wasm"), "make plugins"))
}

/// A guest of tests/guests.
pub fn guest(name: &str) -> Vec<u8> {
    read(&built(root().join("target/guests").join(name).with_extension("wasm"), "make guests"))
}

/// What agents of others need, as `scripts/setup.sh test` installs it.
pub fn agent(path: &str) -> PathBuf {
    built(root().join("target/agents").join(path), "scripts/setup.sh test")
}

fn built(path: PathBuf, how: &str) -> PathBuf {
    assert!(path.exists(), "{} is missing: {how}", path.display());
    path
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
