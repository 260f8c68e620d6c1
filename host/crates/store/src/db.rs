//! [`Db`]: opening, migrating, closing, and the transaction in which every change and its events go together.

use std::{
    fs::{File, OpenOptions, TryLockError},
    ops::{Deref, DerefMut},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use sqlx::{
    Executor,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use syncline_domain::{
    clock::Clock,
    event::{Event, NewEvent},
    ids::NodeId,
};
use tokio::sync::watch;

use crate::{
    devices::{Queues, presence::Presence},
    dialect::{Pools, Session, sql},
    error::{Error, Result},
    events,
    key::SecretKey,
    readers::Readers,
    secrets,
};

/// One text for both engines; see the head of the first migration.
static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// The state of a node or cluster. Cheap to clone; the clones share their connections.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    pools: Pools,
    clock: Arc<dyn Clock>,
    node: NodeId,
    /// The key of the secrets, and the next one while a rotation is under way.
    keys: RwLock<Vec<SecretKey>>,
    signal: watch::Sender<i64>,
    /// Contacts of devices, on their way to the log.
    presence: Presence,
    queues: Queues,
    /// SQLite: held as long as the database is open, so that no second process opens it.
    lock: Mutex<Option<File>>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("node", &self.inner.node).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the database at `url` (`sqlite:///absolute/file.db`, made if it is not there, or `postgres://…`) and brings
    /// its schema up to date.
    ///
    /// Fails with [`Error::Conflict`] if another process has the SQLite file, with [`Error::NewerSchema`] if a newer
    /// version has been here, and with [`Error::Key`] if there are secrets that `key` does not open.
    pub async fn open(url: &str, clock: Arc<dyn Clock>, node: NodeId, key: SecretKey) -> Result<Self> {
        let (pools, lock) = if url.starts_with("sqlite:") {
            open_sqlite(url).await?
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            (open_postgres(url).await?, None)
        } else {
            let scheme = url.split(':').next().unwrap_or_default();
            return Err(Error::Conflict(format!(
                "{scheme:?} is no kind of database: use sqlite:///absolute/file.db or postgres://user@host/name"
            )));
        };
        let (signal, _) = watch::channel(0);
        let inner = Inner {
            pools,
            clock,
            node,
            keys: RwLock::new(vec![key]),
            signal,
            presence: Presence::default(),
            queues: Queues::default(),
            lock: Mutex::new(lock),
        };
        let db = Self { inner: Arc::new(inner) };
        if let Err(error) = db.begin_use().await {
            db.close().await;
            return Err(error);
        }
        Ok(db)
    }

    async fn begin_use(&self) -> Result<()> {
        secrets::check_key(self).await?;
        self.load_presence().await?;
        let last = self.last_event().await?;
        self.inner.signal.send_replace(last);
        Ok(())
    }

    /// Ends all connections, after what is under way on them, and lets other processes have the file.
    pub async fn close(self) {
        self.inner.pools.close().await;
        self.inner.lock.lock().take();
    }

    /// The node whose changes these are.
    pub fn node(&self) -> NodeId {
        self.inner.node
    }

    /// Now, by the injected clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The key that this database was opened with, or that was rotated to.
    pub(crate) fn key(&self) -> Result<SecretKey> {
        let missing = || Error::Key("no key of the secrets is known".to_owned());
        self.inner.keys.read().first().cloned().ok_or_else(missing)
    }

    /// The key of this id, if it is known.
    pub(crate) fn key_of(&self, id: &str) -> Option<SecretKey> {
        self.inner.keys.read().iter().find(|key| key.key_id() == id).cloned()
    }

    /// Learns a key that secrets may be under from now on.
    pub(crate) fn learn_key(&self, key: SecretKey) {
        self.inner.keys.write().push(key);
    }

    /// Forgets all keys but this one.
    pub(crate) fn use_key(&self, key: SecretKey) {
        *self.inner.keys.write() = vec![key];
    }

    pub(crate) fn presence(&self) -> &Presence {
        &self.inner.presence
    }

    pub(crate) fn queues(&self) -> &Queues {
        &self.inner.queues
    }

    pub(crate) fn signal(&self) -> &watch::Sender<i64> {
        &self.inner.signal
    }

    pub(crate) fn pools(&self) -> &Pools {
        &self.inner.pools
    }

    /// A connection for reading.
    pub(crate) async fn read(&self) -> Result<Session> {
        self.inner.pools.reader(Arc::clone(&self.inner.clock)).await
    }

    /// A connection for one statement that writes and needs no transaction around it.
    pub(crate) async fn write_once(&self) -> Result<Session> {
        self.inner.pools.writer(Arc::clone(&self.inner.clock)).await
    }

    /// A transaction for writing.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        let session = self.inner.pools.begin(Arc::clone(&self.inner.clock)).await?;
        Ok(Tx { session, db: self.clone(), events: Vec::new() })
    }
}

/// A transaction. Dropped without [`Tx::commit`], it leaves nothing behind.
pub(crate) struct Tx {
    session: Session,
    db: Db,
    events: Vec<NewEvent>,
}

impl Tx {
    /// An event to be written if and when this is committed.
    pub(crate) fn event(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    /// Writes the events and makes all of it permanent.
    ///
    /// Events come last because their counter is one row that all writers share: a transaction that has it waits for nothing
    /// else any more, so no two can wait for each other.
    pub(crate) async fn commit(mut self) -> Result<Vec<Event>> {
        let pending = std::mem::take(&mut self.events);
        let written = events::write(&mut self.session, &self.db, pending).await?;
        self.session.commit().await?;
        if let Some(last) = written.last() {
            events::announce(&self.db, last.seq);
        }
        Ok(written)
    }
}

impl Deref for Tx {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

async fn open_sqlite(url: &str) -> Result<(Pools, Option<File>)> {
    let options: SqliteConnectOptions = url.parse()?;
    let file = options.get_filename().to_owned();
    if !file.is_absolute() {
        return Err(Error::Conflict(format!(
            "{url:?} names no absolute file: use sqlite:///absolute/file.db"
        )));
    }
    let lock = lock_file(&file)?;
    // Hashes of tokens stand in it: no other user needs to read it. SQLite gives its own files beside it the same mode.
    let made = OpenOptions::new().create(true).append(true).mode(0o600).open(&file);
    made.map_err(|error| cannot_open(&file, &error))?;

    // FULL: a commit that was answered survives a power cut. With NORMAL a WAL loses the last ones, and what was
    // acknowledged (a revoked token, an approval) would come back undone.
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10))
        .foreign_keys(true);
    // In KiB: what a large transaction changes is found in memory, and not written and read again before it ends.
    let writing = options.clone().pragma("cache_size", "-65536");
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(writing)
        .await?;
    if let Err(error) = migrated(MIGRATOR.run(&writer).await) {
        writer.close().await;
        return Err(error);
    }
    let readers = SqlitePoolOptions::new().max_connections(4).connect_with(options.read_only(true)).await?;
    Ok((Pools::Sqlite { writer, readers: Readers::new(readers) }, Some(lock)))
}

/// Takes the lock beside a SQLite file. The system takes it back when the process ends, however it ends.
fn lock_file(file: &Path) -> Result<File> {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let lock = lock.map_err(|error| cannot_open(&path, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Conflict(format!(
            "{} is in use by another process: stop it first, or use PostgreSQL for several nodes",
            file.display()
        ))),
        Err(TryLockError::Error(error)) => Err(cannot_open(&path, &error)),
    }
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Error {
    Error::Conflict(format!("{} cannot be opened: {error}", path.display()))
}

/// A node that stands still within a transaction (its machine paused, its network gone) has locks that all others wait for, also
/// those that would take its runs over. PostgreSQL ends such a transaction then; to the node it is one that failed.
const END_IDLE_TRANSACTIONS: &str = "SET idle_in_transaction_session_timeout = '10s'";

async fn open_postgres(url: &str) -> Result<Pools> {
    let options: PgConnectOptions = url.parse()?;
    let options = options.application_name("syncline");
    let pool = PgPoolOptions::new().max_connections(10).after_connect(|connection, _| {
        Box::pin(async move { connection.execute(END_IDLE_TRANSACTIONS).await.map(drop) })
    });
    let pool = pool.connect_with(options).await?;
    if let Err(error) = migrated(MIGRATOR.run(&pool).await) {
        pool.close().await;
        return Err(error);
    }
    Ok(Pools::Postgres(pool))
}

fn migrated(result: Result<(), MigrateError>) -> Result<()> {
    result.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > known_schema() => {
            Error::NewerSchema { found, known: known_schema() }
        }
        error => Error::Database(error.into()),
    })
}

/// The newest schema that this program knows.
pub(crate) fn known_schema() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The schema that the database has.
pub(crate) async fn found_schema(db: &Db) -> Result<i64> {
    let row =
        sql("SELECT MAX(version) FROM _sqlx_migrations WHERE success").row(&mut db.read().await?).await?;
    row.map_or(Ok(0), |row| row.number())
}
