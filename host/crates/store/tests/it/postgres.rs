//! A PostgreSQL for tests: one for each test process, with a database for whoever asks.
//!
//! The script that runs it stops it when its standard input ends, which it does when the test process ends, however that
//! is: a panic, a signal, a kill.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{Connection, PgConnection};

/// A running server.
pub struct Postgres {
    folder: PathBuf,
    databases: AtomicU32,
    /// Its standard input is never written to; that it closes is what stops the server.
    _guard: Child,
}

/// The server of this test process, started by whoever comes first.
pub fn shared() -> &'static Postgres {
    static SHARED: LazyLock<Postgres> = LazyLock::new(Postgres::start);
    &SHARED
}

impl Postgres {
    fn start() -> Self {
        let mut guard = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../scripts/postgres.sh"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/postgres.sh can be started");
        let output = guard.stdout.take().expect("standard output is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let mut told = Vec::new();
        let ready = lines
            .by_ref()
            .inspect(|line| told.push(line.clone()))
            .any(|line| line.contains("ready to accept"));
        assert!(ready, "PostgreSQL did not start:\n{}", told.join("\n"));
        let folder =
            told.iter().find_map(|line| line.strip_prefix("folder ")).expect("the script names its folder");
        let folder = PathBuf::from(folder);
        // A full pipe would stop the server.
        std::thread::spawn(move || lines.for_each(drop));
        Self { folder, databases: AtomicU32::new(0), _guard: guard }
    }

    /// URL of a database of this server.
    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.display())
    }

    /// Makes an empty database and gives its URL.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.expect("the server answers");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .expect("a database can be made");
        connection.close().await.expect("the connection closes");
        self.url(&name)
    }
}
