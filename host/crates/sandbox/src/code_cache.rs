//! Compiled code on disk, so that a restart does not compile again.
//!
//! A file is named by the package's digest and the engine that compiled it, is written under another name and renamed
//! when it is whole, and is never changed: running code is mapped from it. Beside it stands its BLAKE3, so that one that
//! was cut or garbled is compiled anew instead of run. The folder is the host's own (mode 0700): whoever can write there
//! can run code as the host.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    hash::{Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use syncline_domain::Failure;
use wasmtime::{Engine, component::Component};

/// A folder with compiled code.
#[derive(Debug)]
pub(crate) struct CodeCache {
    folder: PathBuf,
    /// What the engine is, for code made by another one does not fit.
    engine: String,
}

impl CodeCache {
    /// Makes the folder if need be, readable by the host alone.
    pub(crate) fn open(folder: PathBuf, engine: &Engine) -> Result<Self, Failure> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o700))).map_err(|error| {
            let folder = folder.display();
            Failure::host(
                "code-cache",
                format!("the folder {folder} for compiled plugins cannot be used: {error}"),
            )
        })?;
        let mut hasher = EngineHasher(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = hasher.0.finalize().to_hex()[..32].to_owned();
        Ok(Self { folder, engine })
    }

    /// The code of a package, if it is there and whole.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let (code, sum) = self.paths(digest);
        let told = fs::read_to_string(&sum).ok()?;
        let is_whole = match file_sum(&code) {
            Ok(sum) => sum == told.trim(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %code.display(), %error, "compiled code could not be read; compiling again");
                return None;
            }
        };
        if !is_whole {
            tracing::warn!(file = %code.display(), "compiled code is damaged; compiling again");
            return None;
        }
        match map(engine, &code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = %code.display(), %error, "compiled code does not fit; compiling again");
                None
            }
        }
    }

    /// Keeps the code of a package, and drops what other engines made of it.
    pub(crate) fn store(&self, digest: &str, component: &Component) -> Result<(), String> {
        let (code, sum) = self.paths(digest);
        let bytes = component.serialize().map_err(|error| format!("{error:#}"))?;
        let written = write_whole(&code, &bytes)
            .and_then(|()| write_whole(&sum, blake3::hash(&bytes).to_hex().as_bytes()))
            .and_then(|()| File::open(&self.folder)?.sync_all())
            .and_then(|()| self.remove_others(digest));
        written.map_err(|error| format!("{}: {error}", code.display()))
    }

    fn remove_others(&self, digest: &str) -> io::Result<()> {
        let (code, sum) = self.paths(digest);
        let stem = stem(digest);
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_of_it =
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(stem.as_bytes()));
            if is_of_it && path != code && path != sum {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// The code, and its BLAKE3.
    fn paths(&self, digest: &str) -> (PathBuf, PathBuf) {
        let stem = format!("{}{}", stem(digest), self.engine);
        (self.folder.join(format!("{stem}.code")), self.folder.join(format!("{stem}.sum")))
    }
}

/// What names of files of a package begin with. Digests come from the host, and still only their digits get into a path.
fn stem(digest: &str) -> String {
    let digits = digest.rsplit(':').next().unwrap_or_default();
    format!("{}-", digits.chars().filter(char::is_ascii_alphanumeric).collect::<String>())
}

fn file_sum(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = File::create(&temporary)?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What counts is why it could not be written; that a remnant stays is seen and mended by the next attempt.
        fs::remove_file(&temporary).ok();
    }
    written
}

#[allow(unsafe_code, reason = "running compiled code from a file is the purpose of the cache")]
fn map(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was made by `Component::serialize` of an engine with the same hash (it is in the file's name), its
    // bytes were just compared with the checksum written beside it, no part of the host changes it in place, and its folder
    // belongs to the host alone. The engine checks its own header on top.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Makes a name of what the engine hashes.
struct EngineHasher(blake3::Hasher);

impl Hasher for EngineHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}
