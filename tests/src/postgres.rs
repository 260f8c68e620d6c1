//! A PostgreSQL of one's own.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::programs;

/// A running server with one empty database. Stopped and removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    folder: String,
    guard: Child,
}

impl Postgres {
    /// Starts a server and waits until it answers.
    pub fn start() -> Self {
        let mut guard = Command::new(programs::root().join("scripts/postgres.sh"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/postgres.sh can be started");
        let output = guard.stdout.take().expect("its output is a pipe");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let mut told = Vec::new();
        let ready = lines
            .by_ref()
            .inspect(|line| told.push(line.clone()))
            .any(|line| line.contains("ready to accept"));
        assert!(ready, "PostgreSQL did not start:\n{}", told.join("\n"));
        let folder = told.iter().find_map(|line| line.strip_prefix("folder "));
        let folder = folder.expect("the script names its folder").to_owned();
        // A full pipe would stop the server.
        std::thread::spawn(move || lines.for_each(drop));
        Self { folder, guard }
    }

    /// URL of its database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.folder)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The end of its input is what stops it.
        drop(self.guard.stdin.take());
        // An error means that it has ended already.
        let _ = self.guard.wait();
    }
}
