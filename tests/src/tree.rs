//! Folders with real files, and the question whether two of them are the same.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// Fills `folder` with `files` files of up to `most_bytes` bytes in folders of about a hundred: the same for one seed.
pub fn fill(folder: &Path, files: usize, most_bytes: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = vec![0_u8; most_bytes];
    random.fill_bytes(&mut bytes);
    for number in 0..files {
        let below = folder.join(format!("d{:03}/e{}", number / 100, number % 3));
        fs::create_dir_all(&below).expect("a folder can be made");
        let size = random.random_range(0..=most_bytes);
        let from = random.random_range(0..=most_bytes - size);
        fs::write(below.join(format!("f{number:06}.bin")), &bytes[from..from + size])
            .expect("a file can be written");
    }
}

/// What rsync would still have to do to make `to` like `from`, contents compared: nothing if they are the same.
#[track_caller]
pub fn differences(from: &Path, to: &Path) -> String {
    let with_slash = |path: &Path| format!("{}/", path.display());
    let output = Command::new("rsync")
        .args(["-anci", "--delete", "--exclude=/.syncline"])
        .arg(with_slash(from))
        .arg(with_slash(to))
        .output()
        .expect("rsync is installed");
    assert!(output.status.success(), "rsync: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails unless both are the same.
#[track_caller]
pub fn assert_same(from: &Path, to: &Path) {
    assert_eq!(differences(from, to), "", "{} is not as {}", to.display(), from.display());
}

/// Temporary files that were left in a store.
pub fn leftovers(store: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![store.join(".syncline/tmp")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.map(|entry| entry.expect("a folder can be read")) {
            if entry.path().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found
}
