//! Running the tool, and looking into what it made.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

/// What a run of the tool came to.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Fails the test if it did not work.
    #[track_caller]
    pub fn worked(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Fails the test if it did not end with code 1 and all of these words.
    #[track_caller]
    pub fn refused(self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in: {}", self.stderr);
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// The tool, with no host to be found. All projects share what they are built from, with the repository's own guests.
pub fn tool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-plugin"));
    command.env("CARGO_TARGET_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests"));
    command.env_remove("SYNCLINE_SDK").env("SYNCLINE_BIN", "/does/not/exist/syncline");
    command
}

pub fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    tool().args(args).output().unwrap().into()
}

/// A new project in a folder of its own.
pub struct Project {
    folder: TempDir,
    name: &'static str,
}

impl Project {
    pub fn new(name: &'static str) -> Self {
        Self::of_world(name, "file-sync")
    }

    pub fn of_world(name: &'static str, world: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        run([OsStr::new("new"), path.as_os_str(), OsStr::new("--world"), OsStr::new(world)]).worked();
        Self { folder, name }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    pub fn package(&self) -> PathBuf {
        self.folder.path().join("out/package.wasm")
    }

    pub fn build(&self) -> Ran {
        run([
            OsStr::new("build"),
            self.path().as_os_str(),
            OsStr::new("--output"),
            self.package().as_os_str(),
        ])
    }

    /// Replaces `old`, which must be there, in one of the files.
    #[track_caller]
    pub fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{old:?} is not in {file}");
        fs::write(path, text.replacen(old, new, 1)).unwrap();
    }
}

/// The manifest of a package, read without this tool.
pub fn manifest(package: &Path) -> Value {
    let bytes = fs::read(package).unwrap();
    let mut depth = 0;
    let mut found = None;
    for payload in wasmparser::Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            wasmparser::Payload::ModuleSection { .. } | wasmparser::Payload::ComponentSection { .. } => {
                depth += 1
            }
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::CustomSection(section)
                if depth == 0 && section.name() == "syncline-manifest" =>
            {
                found = Some(serde_json::from_slice(section.data()).unwrap());
            }
            _ => {}
        }
    }
    found.unwrap()
}

/// A program in `folder` that prints its arguments, a line each, and ends with `code`: stands in for the host's.
pub fn fake_host(folder: &Path, code: u8) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("syncline");
    fs::write(&path, format!("#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit {code}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}
