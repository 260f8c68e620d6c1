//! A PostgreSQL of one's own.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
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

    /// What it answers to a query, one line a row.
    pub fn ask(&self, query: &str) -> String {
        let output = self.psql().args(["-c", query]).output().expect("psql is installed");
        assert!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Lets nobody write to a table until this is dropped.
    pub fn lock(&self, table: &str) -> TableLock {
        let mut session = self.psql().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let session = session.as_mut().expect("psql is installed");
        let mut input = session.stdin.take().expect("its input is a pipe");
        writeln!(input, "BEGIN; LOCK TABLE {table} IN SHARE MODE; SELECT 'locked';").expect("psql reads");
        let output = session.stdout.take().expect("its output is a pipe");
        let answer = BufReader::new(output).lines().map_while(Result::ok).next();
        assert_eq!(answer.as_deref(), Some("locked"));
        TableLock { _input: input }
    }

    fn psql(&self) -> Command {
        let mut command = Command::new("psql");
        command.args(["-XAtq", &self.url()]);
        command
    }
}

/// See [`Postgres::lock`].
#[derive(Debug)]
pub struct TableLock {
    /// At its end the session ends.
    _input: ChildStdin,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The end of its input is what stops it.
        drop(self.guard.stdin.take());
        // An error means that it has ended already.
        let _ = self.guard.wait();
    }
}
