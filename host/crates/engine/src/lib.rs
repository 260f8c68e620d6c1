//! The use cases of Syncline: everything the API and the command line can ask for, and everything that runs by itself.
//!
//! Where to look:
//!
//! * [`Engine`]: start, stop, and what all use cases share
//! * [`plugins`], [`places`], [`servers`], [`syncs`], [`schedules`], [`access`]: what administrators and operators register
//! * [`devices`]: devices, their policies, and what they and the server say to each other
//! * [`directory`]: directories, and what is imported from them
//! * [`refresh`]: collections that are filled from their sources, and those that a server comes with
//! * [`runs`]: starting, previewing, approving, cancelling, retrying
//! * [`worker`]: how a node takes runs and keeps its leases
//! * [`report`]: the File Status Report, and repairing what it finds
//! * [`pipeline`]: declare, diff, guard, apply, verify, record
//! * [`admin`]: work on a data folder from outside its server: token, backup, restore, upgrade, key
//! * [`try_out`]: the same pipeline on folders, without a server, for authors of plugins
//!
//! Use cases are methods of [`Engine`], one file a noun. They check, then write through [`syncline_store::Db`], with the
//! event that says who did it in the same transaction.

pub mod access;
pub mod admin;
pub mod devices;
pub mod directory;
mod error;
mod node;
pub mod pipeline;
pub mod places;
pub mod plugins;
pub mod refresh;
pub mod report;
pub mod runs;
pub mod schedules;
pub mod servers;
mod settings;
pub mod syncs;
pub mod try_out;
pub mod worker;

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use syncline_domain::{
    clock::Clock,
    event::NewEvent,
    ids::{NodeId, StoreId},
};
use syncline_sandbox::{Sandbox, SandboxConfig};
use syncline_store::Db;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use error::{Error, Result};
pub use node::DataFolder;
pub use syncline_sandbox::Allocation;

/// How a node is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Folder of this node: identity, key, embedded database, compiled plugins.
    pub data: PathBuf,
    /// URL of the database; the embedded one in `data` if absent.
    pub database: Option<String>,
    /// Folder of the library that a server comes with; none is made if absent.
    pub library: Option<PathBuf>,
    /// What people call this node.
    pub node_name: String,
    /// Runs under way at a time.
    pub concurrent_runs: usize,
    /// How long a node that stops answering keeps its runs.
    pub lease: Duration,
    /// How often a node looks for work that another node made, and for schedules that are due.
    pub poll: Duration,
    /// How memory of plugins is allocated.
    pub allocation: Allocation,
    /// Calls into plugins at a time.
    pub concurrent_calls: u32,
    /// How long events are kept. Those of runs that have not ended are kept in any case.
    pub keep_events: Duration,
    /// How many events are kept at most.
    pub keep_events_count: u64,
    /// How long after a run that could not reach a distribution server it is tried again first; later each time after that.
    pub catch_up: Duration,
    /// How devices are managed.
    pub devices: devices::DeviceConfig,
}

impl EngineConfig {
    /// The defaults, with everything in `data`.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            database: None,
            library: None,
            node_name: "syncline".to_owned(),
            concurrent_runs: 4,
            lease: Duration::from_secs(15),
            poll: Duration::from_millis(500),
            allocation: Allocation::Pooling,
            concurrent_calls: 64,
            keep_events: Duration::from_secs(30 * 24 * 3_600),
            keep_events_count: 10_000_000,
            catch_up: Duration::from_secs(30),
            devices: devices::DeviceConfig::default(),
        }
    }
}

/// A running node. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: EngineConfig,
    clock: Arc<dyn Clock>,
    node: NodeId,
    db: Db,
    sandbox: Sandbox,
    /// Work may have arrived.
    wake: Notify,
    /// The node is to stop: runs go to a safe point.
    stopping: CancellationToken,
    tasks: TaskTracker,
    worker: worker::Worker,
    /// Stores that a look at has not come back from.
    unanswered: Mutex<HashSet<StoreId>>,
    devices: devices::Shared,
    first_token: bool,
}

impl Engine {
    /// Opens the data folder and the database and prepares the sandbox. Nothing runs before [`Engine::run`].
    pub async fn start(config: EngineConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        refuse_embedded_url(config.database.as_deref())?;
        let mut folder = DataFolder::open(&config.data, clock.as_ref())?;
        let url = config.database.clone().unwrap_or_else(|| folder.database_url());
        let db = Db::open(&url, Arc::clone(&clock), folder.node, folder.key()?).await?;
        db.touch_node(folder.node, &config.node_name, env!("CARGO_PKG_VERSION")).await?;
        let sandbox = Sandbox::new(SandboxConfig {
            cache: Some(folder.cache()),
            allocation: config.allocation,
            concurrency: config.concurrent_calls,
            clock: Arc::clone(&clock),
        })
        .map_err(Error::Failed)?;
        let first_token = folder.token.is_none();
        if first_token {
            node::first_token(&db, &mut folder, &config.node_name).await?;
        }
        let inner = Inner {
            node: folder.node,
            worker: worker::Worker::default(),
            unanswered: Mutex::default(),
            wake: Notify::new(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            config,
            clock,
            db,
            sandbox,
            devices: devices::Shared::default(),
            first_token,
        };
        if !inner.db.is_shared() {
            // All changes are this node's own.
            inner.devices.quiet.open();
        }
        let engine = Self { inner: Arc::new(inner) };
        engine.make_library().await?;
        Ok(engine)
    }

    /// Takes up what this node left when it died, then works and fires schedules until [`Engine::stop`].
    pub async fn run(&self) -> Result<()> {
        for run in self.db().release_leases_of_node(self.node()).await? {
            tracing::info!(run = %run.id, of = %run.subject, state = %run.state, "Took up a run that this node left");
        }
        let scheduler = self.clone();
        self.inner.tasks.spawn(async move { scheduler.fire_schedules_until_stopped().await });
        let keeper = self.clone();
        self.inner.tasks.spawn(async move { keeper.keep_house_until_stopped().await });
        let nodes = self.clone();
        self.inner.tasks.spawn(async move { nodes.hear_nodes_until_stopped().await });
        let devices = self.clone();
        self.inner.tasks.spawn(async move { devices.look_after_devices_until_stopped().await });
        self.work_until_stopped().await;
        Ok(())
    }

    /// Asks all runs to go to a safe point and takes no more, without waiting for that. [`Engine::stop`] waits.
    pub fn begin_stop(&self) {
        self.inner.stopping.cancel();
        self.inner.wake.notify_waiters();
    }

    /// Asks all runs to go to a safe point, waits until they are there, and closes the database.
    pub async fn stop(&self) {
        self.begin_stop();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.db.clone().close().await;
    }

    /// The state: for reading. What changes it goes through the use cases.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.inner.node
    }

    /// How this node is set up.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        self.inner.clock.as_ref()
    }

    /// The sandbox.
    pub fn sandbox(&self) -> &Sandbox {
        &self.inner.sandbox
    }

    /// Whether this was the first start of the data folder: an admin token was made.
    pub fn made_first_token(&self) -> bool {
        self.inner.first_token
    }

    /// Whether [`Engine::begin_stop`] or [`Engine::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.inner.stopping.is_cancelled()
    }

    /// Says that there may be work.
    fn wake(&self) {
        self.inner.wake.notify_waiters();
    }

    /// Writes an event that goes with no other change.
    async fn tell(&self, event: NewEvent) -> Result<()> {
        self.db().append_event(event).await?;
        Ok(())
    }
}

/// The embedded database is the one in the data folder: another one would be left out of backups and upgrades.
pub(crate) fn refuse_embedded_url(database: Option<&str>) -> Result<()> {
    if database.is_some_and(|url| url.starts_with("sqlite:")) {
        let message = "the embedded database is in the data folder and needs no URL: leave the database out, or give \
            postgres://user@host/name";
        return Err(Error::invalid("database-url", message));
    }
    Ok(())
}
