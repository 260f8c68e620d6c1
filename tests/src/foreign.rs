//! Agents that nobody here wrote: small programs around OpAMP clients of others, in `tests/agents`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{process::Process, programs, server::Server};

/// Whose client it is.
#[derive(Debug, Clone, Copy)]
pub enum Language {
    /// npm's `@elastic/opamp-client-node`.
    Node,
    /// PyPI's `opentelemetry-opamp-client`.
    Python,
}

/// A running agent. Killed when dropped.
#[derive(Debug)]
pub struct Foreign {
    folder: TempDir,
    _process: Process,
}

impl Foreign {
    /// Starts an agent that comes with `token` for its device alone.
    pub fn start(language: Language, server: &Server, token: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let documents = folder.path().join("documents");
        fs::create_dir(&documents).expect("a folder can be made");
        let log = File::create(folder.path().join("log")).expect("a log can be made");
        let sources = programs::root().join("tests/agents");
        let mut command = match language {
            Language::Node => {
                let mut command = Command::new("node");
                command.env("NODE_PATH", programs::agent("node/node_modules"));
                command.arg(sources.join("node/agent.js"));
                command
            }
            Language::Python => {
                let mut command = Command::new(programs::agent("python/bin/python"));
                command.arg(sources.join("python/agent.py"));
                command
            }
        };
        command.arg(server.device_endpoint()).arg(token).arg(documents);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self { _process: Process::start(&mut command), folder }
    }

    /// What it holds, by application.
    pub fn documents(&self) -> BTreeMap<String, Value> {
        let files = fs::read_dir(self.folder.path().join("documents")).expect("the folder can be read");
        let document = |path: std::path::PathBuf| {
            let name = path.file_stem()?.to_str()?.to_owned();
            // It may be written just now: then it is looked at again.
            Some((name, serde_json::from_slice(&fs::read(&path).ok()?).ok()?))
        };
        files.filter_map(|file| document(file.ok()?.path())).collect()
    }

    /// What it said, for a test that fails.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
