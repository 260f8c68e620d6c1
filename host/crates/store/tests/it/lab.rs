//! What every test starts from: an empty database of one engine, a clock that the test sets, and things to put in.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, task::Poll, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;
use sqlx::{Connection, PgConnection, SqliteConnection};
use syncline_domain::{
    Name, RelPath,
    clock::Clock,
    event::NewEvent,
    guard::GuardLimits,
    ids::{NodeId, RunId, StoreId},
    place::{Collection, StoreKind, StoreRecord},
    plugin::{Manifest, PluginState, PluginVersion, SandboxLimits},
    refresh::CollectionSource,
    run::{Run, RunMode, Subject, Trigger},
    sync::{Sync, SyncSpec},
};
use syncline_store::{Claim, Db, Lock, NewRun, Result, SecretKey};

use crate::postgres;

/// Makes each test two: one for SQLite and one for PostgreSQL.
macro_rules! both_engines {
    ($($(#[$meta:meta])* async fn $name:ident($lab:ident: Lab) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports, reason = "not every test needs all that its file imports")]
            use super::*;

            $(#[$meta])*
            async fn on_either($lab: Lab) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                on_either(Lab::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                on_either(Lab::postgres().await).await;
            }
        }
    )*};
}
pub(crate) use both_engines;

/// A lease that does not end while a test runs.
pub const LONG: Duration = Duration::from_secs(3_600);
/// A lease that is over at once.
pub const OVER: Duration = Duration::ZERO;

/// A clock that stands until it is set.
pub struct TestClock(Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// A database of one engine.
pub struct Lab {
    pub url: String,
    pub key: SecretKey,
    pub node: NodeId,
    pub clock: Arc<TestClock>,
    #[allow(dead_code, reason = "it is there as long as the lab is")]
    pub folder: Option<tempfile::TempDir>,
}

impl Lab {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("syncline.db").display());
        Self::at(url, Some(folder))
    }

    pub async fn postgres() -> Self {
        Self::at(postgres::shared().database().await, None)
    }

    fn at(url: String, folder: Option<tempfile::TempDir>) -> Self {
        let clock = Arc::new(TestClock(Mutex::new(at("2026-01-01T00:00:00Z"))));
        let node = NodeId::new(clock.now());
        Self { url, key: SecretKey::generate(), node, clock, folder }
    }

    /// Another, with an empty database of the same engine.
    pub async fn another(&self) -> Self {
        if self.is_sqlite() { Self::sqlite() } else { Self::postgres().await }
    }

    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn pass(&self, time: Duration) {
        *self.clock.0.lock() += time;
    }

    /// Opens the database as this lab's node.
    pub async fn open(&self) -> Db {
        self.try_open(self.node, self.key.clone()).await.unwrap()
    }

    pub async fn try_open(&self, node: NodeId, key: SecretKey) -> Result<Db> {
        Db::open(&self.url, self.clock.clone(), node, key).await
    }

    /// Another node on the same database; on SQLite, which has one node, the same again.
    pub async fn second(&self, first: &Db) -> Db {
        self.second_with(first, self.key.clone()).await
    }

    /// The same, where the key is not this lab's any more.
    pub async fn second_with(&self, first: &Db, key: SecretKey) -> Db {
        if self.is_sqlite() {
            return first.clone();
        }
        self.try_open(NodeId::new(self.now()), key).await.unwrap()
    }

    /// Runs a statement past the store.
    pub async fn raw(&self, statement: &'static str) {
        if self.is_sqlite() {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }

    /// A database with the plugin `p`, the store `site`, the collection `patches` and the sync `s`.
    pub async fn with_sync(&self) -> Db {
        let db = self.open().await;
        db.add_plugin(&self.plugin("p", "1.0.0", "blake3:1"), b"package", event("plugin.uploaded"))
            .await
            .unwrap();
        db.add_store(&self.store("site"), event("store.added")).await.unwrap();
        db.add_collection(&self.collection("patches", "site"), event("collection.added")).await.unwrap();
        db.add_sync(&self.sync("s"), event("sync.added")).await.unwrap();
        db
    }

    pub fn plugin(&self, plugin: &str, version: &str, digest: &str) -> PluginVersion {
        let manifest = serde_json::json!({
            "name": plugin, "version": version, "world": "file-sync", "contract": "0.1.0",
        });
        let manifest: Manifest = serde_json::from_value(manifest).unwrap();
        PluginVersion {
            name: name(plugin),
            version: version.parse().unwrap(),
            digest: digest.to_owned(),
            world: manifest.world.clone(),
            wants: manifest.wants.clone(),
            manifest,
            imports: vec!["syncline:plugin/stores@0.1.0".to_owned()],
            grants: None,
            state: PluginState::Installed,
            suspended: None,
            strikes: 0,
            limits: SandboxLimits::default(),
            size: 7,
            installed_at: self.now(),
            installed_by: "tester".to_owned(),
        }
    }

    pub fn store(&self, store: &str) -> StoreRecord {
        StoreRecord {
            name: name(store),
            id: StoreId::new(self.now()),
            kind: StoreKind::Folder,
            path: format!("/srv/{store}"),
            shared: true,
            node: self.node,
            labels: BTreeMap::from([("component".to_owned(), "patches".to_owned())]),
            description: String::new(),
            bytes_per_second: Some(1_000_000),
            created_at: self.now(),
            revision: 1,
        }
    }

    pub fn collection(&self, collection: &str, store: &str) -> Collection {
        Collection {
            name: name(collection),
            store: name(store),
            prefix: RelPath::new(b"library/\xff".to_vec()).unwrap(),
            description: "Patches".to_owned(),
            source: CollectionSource::None,
            refresh: None,
            limits: GuardLimits::default(),
            as_made: false,
            created_at: self.now(),
            revision: 1,
        }
    }

    pub fn sync(&self, sync: &str) -> Sync {
        let spec = serde_json::json!({ "plugin": "p", "sources": ["patches"], "targets": ["site"] });
        let spec: SyncSpec = serde_json::from_value(spec).unwrap();
        Sync {
            name: name(sync),
            spec,
            made_by: None,
            created_at: self.now(),
            updated_at: self.now(),
            revision: 1,
        }
    }

    /// A run of the sync `s` that needs `locks`: those that begin with `!` exclusively.
    pub fn new_run(&self, locks: &[&str]) -> NewRun {
        let lock = |text: &&str| Lock {
            resource: text.trim_start_matches('!').to_owned(),
            exclusive: text.starts_with('!'),
        };
        NewRun {
            id: RunId::new(self.now()),
            subject: Subject::Sync(name("s")),
            mode: RunMode::Apply,
            trigger: Trigger::Manual,
            actor: "tester".to_owned(),
            schedule: None,
            nominal_time: None,
            retry_of: None,
            repair: None,
            anew: false,
            only: None,
            bound_to: None,
            max_attempts: 3,
            locks: locks.iter().map(lock).collect(),
        }
    }

    /// Queues a run, a moment after the one before.
    pub async fn enqueue(&self, db: &Db, locks: &[&str]) -> Run {
        self.pass(Duration::from_millis(1));
        db.enqueue_run(&self.new_run(locks), event("run.queued")).await.unwrap()
    }

    /// Queues a run and claims it. Nothing else may be queued.
    pub async fn claimed(&self, db: &Db, lease: Duration) -> Claim {
        let run = self.enqueue(db, &["!store:site"]).await;
        let claim = db.claim_run(lease).await.unwrap().unwrap();
        assert_eq!(claim.run.id, run.id);
        claim
    }

    /// The same, begun.
    pub async fn running(&self, db: &Db, lease: Duration) -> Claim {
        let claim = self.claimed(db, lease).await;
        db.begin_run(&claim, "blake3:1").await.unwrap();
        claim
    }
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn event(kind: &str) -> NewEvent {
    NewEvent::new(kind, "tester", "Something happened.")
}

/// A future that is dropped after it was polled so many times, as when a client goes away or a node stops.
pub async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future: Pin<Box<_>> = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
