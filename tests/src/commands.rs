//! The command line as a client of a server.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::{programs, server::Server};

/// Runs commands at a server.
#[derive(Debug)]
pub struct Commands {
    url: String,
    /// File with the token of who asks.
    pub token: PathBuf,
}

impl Commands {
    /// As the first administrator.
    pub fn of(server: &Server) -> Self {
        Self { url: server.url.clone(), token: server.data.join("admin.token") }
    }

    /// What a command prints on its standard output, if it ends with this code.
    #[track_caller]
    pub fn says(&self, code: i32, words: &[&str]) -> String {
        let output = self.run(words);
        let (said, noted) = (utf8(&output.stdout), utf8(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}{noted}");
        said.trim_end().to_owned()
    }

    /// What a command complains of, if it ends with this code.
    #[track_caller]
    pub fn complains(&self, code: i32, words: &[&str]) -> String {
        let output = self.run(words);
        let noted = utf8(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}{noted}", utf8(&output.stdout));
        noted
    }

    /// What a command prints for programs.
    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        self.json_of(0, words)
    }

    /// The same, if it ends with this code.
    #[track_caller]
    pub fn json_of(&self, code: i32, words: &[&str]) -> Value {
        let words: Vec<&str> = ["--json"].into_iter().chain(words.iter().copied()).collect();
        serde_json::from_str(&self.says(code, &words)).expect("with --json it prints JSON")
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(programs::binary("syncline"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SYNCLINE_")) {
            command.env_remove(name);
        }
        command.args(["--url", &self.url, "--token-file", text(&self.token)]);
        command.args(words).stdin(Stdio::null()).output().expect("the command can be started")
    }
}

/// What a program wrote.
pub fn utf8(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("folders of tests have names in UTF-8")
}
