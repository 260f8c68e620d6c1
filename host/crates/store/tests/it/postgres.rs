//! A PostgreSQL for tests: one for each test process, with a database for whoever asks.
//!
//! The server is the child of a small shell script, which waits for the end of its standard input. That comes when the test
//! process ends, however it ends (a panic, a signal, a kill): the script then stops the server and removes its folder. Should
//! the script itself be killed, the kernel stops the server.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{Connection, PgConnection};

const SCRIPT: &str = r#"
set -eu
trap '' INT TERM HUP
folder=$(mktemp -d /tmp/syncline-postgres.XXXXXX)
user=''
if [ "$(id -u)" = 0 ]; then
    # initdb and postgres refuse to run as root.
    chown postgres "$folder"
    user='--reuid=postgres --regid=postgres --init-groups'
fi
echo "folder $folder"
cd "$folder"
setpriv $user "$1/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync 2>&1
setpriv $user --pdeathsig QUIT "$1/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=500 2>&1 &
server=$!
read -r _ || true
kill -QUIT "$server" || true
wait "$server" || true
cd /
rm -rf "$folder"
"#;

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
        let mut guard = Command::new("sh")
            .args(["-c", SCRIPT, "postgres-guard"])
            .arg(newest_programs())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
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

/// Folder of `initdb` and `postgres`, of the newest version that is installed.
fn newest_programs() -> PathBuf {
    let versions =
        std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed (Debian: postgresql)");
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let paths = versions.map(|entry| entry.expect("the folder can be read").path());
    let newest = paths.filter(|path| path.join("bin/initdb").exists()).max_by_key(|path| version(path));
    newest.expect("/usr/lib/postgresql/VERSION/bin/initdb exists").join("bin")
}
