//! The sandbox: one engine, the plugins loaded into it, and the calls of them.

use std::{
    future::Future,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use syncline_domain::{
    Failure,
    clock::Clock,
    plugin::{DEVICE_POLICY, DIRECTORY_SYNC, FILE_SYNC},
};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use wasmtime::{
    Engine,
    component::{Component, Linker},
};

use crate::{
    bindings::{FileSyncPre, device_policy::DevicePolicyPre, directory_sync::DirectorySyncPre},
    call::{Call, Gate},
    capability::desired_directory,
    code_cache::CodeCache,
    device_policy::{self, PolicyAnswer, PolicyCall},
    directory_sync::{self, DirectorySyncAnswer, DirectorySyncCall},
    engine::{Allocation, engine},
    file_sync::{self, FileSyncAnswer, FileSyncCall},
    limits::{Limit, MEMORIES},
    package::{self, Package},
    ticker::Ticker,
};

/// Plugins that are kept ready to be instantiated; the one not used for longest goes first.
const READY: usize = 64;

/// How a sandbox is made.
pub struct SandboxConfig {
    /// Folder for compiled code; without one, every process compiles anew. Made if it is not there, mode 0700.
    pub cache: Option<PathBuf>,
    /// Where instances get their memory from.
    pub allocation: Allocation,
    /// Most calls at a time, 1 to 64; more of them wait.
    pub concurrency: u32,
    /// What plugins are told of time.
    pub clock: Arc<dyn Clock>,
}

/// Runs plugins. Cheap to clone; its epoch thread ends with the last clone.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

struct Shared {
    gate: Gate,
    clock: Arc<dyn Clock>,
    linkers: Linkers,
    cache: Option<CodeCache>,
    compilations: AtomicU64,
    /// Latest used last.
    ready: Mutex<Vec<Plugin>>,
    /// One load at a time: compiling takes all processors anyhow, and nothing is compiled twice.
    loading: AsyncMutex<()>,
}

/// What each world imports, and nothing beside it.
struct Linkers {
    file_sync: Linker<Call>,
    directory_sync: Linker<Call>,
    device_policy: Linker<Call>,
}

/// A plugin that can be called. Cheap to clone.
#[derive(Clone)]
pub struct Plugin(Arc<Ready>);

struct Ready {
    digest: String,
    world: World,
}

enum World {
    FileSync(FileSyncPre<Call>),
    DirectorySync(DirectorySyncPre<Call>),
    DevicePolicy(DevicePolicyPre<Call>),
}

impl Plugin {
    /// Digest of its package.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The world that it implements.
    pub fn world(&self) -> &'static str {
        match self.0.world {
            World::FileSync(_) => FILE_SYNC,
            World::DirectorySync(_) => DIRECTORY_SYNC,
            World::DevicePolicy(_) => DEVICE_POLICY,
        }
    }

    fn other_world(&self, wanted: &str) -> Failure {
        let message = format!(
            "the plugin is of world `{}`, and one of world `{wanted}` is called for: choose another plugin",
            self.world()
        );
        Failure::settings("world", message)
    }
}

impl Sandbox {
    /// Sets the engine up. Fails if the configuration makes no sense or the machine does not have what it asks for.
    pub fn new(config: SandboxConfig) -> Result<Self, Failure> {
        let engine = engine(config.allocation, config.concurrency)?;
        let unlinked = |error: wasmtime::Error| {
            Failure::host("sandbox", format!("the contract could not be linked: {error:#}"))
        };
        let linkers = Linkers {
            file_sync: file_sync::linker(&engine).map_err(unlinked)?,
            directory_sync: directory_sync::linker(&engine).map_err(unlinked)?,
            device_policy: device_policy::linker(&engine).map_err(unlinked)?,
        };
        let cache = config.cache.map(|folder| CodeCache::open(folder, &engine)).transpose()?;
        let ticker = Ticker::start(&engine)?;
        let places = Semaphore::new(config.concurrency as usize);
        Ok(Self(Arc::new(Shared {
            gate: Gate { engine, ticker, places },
            clock: config.clock,
            linkers,
            cache,
            compilations: AtomicU64::new(0),
            ready: Mutex::new(Vec::new()),
            loading: AsyncMutex::new(()),
        })))
    }

    /// Looks a package through without running or compiling any of it. A refusal is of kind `invalid` or `unsupported`,
    /// has a code that tells which, and says what is wrong (all of it, where several things are) and what to do.
    pub fn inspect(bytes: &[u8]) -> Result<Package, Failure> {
        package::inspect(bytes)
    }

    /// Makes a plugin ready to be called. `bytes` is asked for the package only if its code has to be compiled; that
    /// they have the digest is checked.
    pub async fn load<F, B>(&self, digest: &str, bytes: F) -> Result<Plugin, Failure>
    where
        F: FnOnce() -> B,
        B: Future<Output = Result<Vec<u8>, Failure>>,
    {
        if let Some(plugin) = self.ready(digest) {
            return Ok(plugin);
        }
        let _loading = self.0.loading.lock().await;
        if let Some(plugin) = self.ready(digest) {
            return Ok(plugin);
        }
        let shared = Arc::clone(&self.0);
        let owned = digest.to_owned();
        let component = match blocking(move || Ok(shared.cached(&owned))).await? {
            Some(component) => component,
            None => {
                let bytes = bytes().await?;
                let (shared, owned) = (Arc::clone(&self.0), digest.to_owned());
                blocking(move || shared.compile(&owned, &bytes)).await?
            }
        };
        let plugin = self.0.prepare(digest, &component)?;
        self.keep_ready(plugin.clone());
        Ok(plugin)
    }

    /// How many packages this sandbox compiled, rather than took from its cache.
    pub fn compilations(&self) -> u64 {
        self.0.compilations.load(Relaxed)
    }

    /// Runs a `file-sync` plugin in a fresh instance: what it declared, or why there is nothing. At most as many calls
    /// as the sandbox has places run at a time; the clock starts when a place was found.
    pub async fn declare_files(
        &self,
        plugin: &Plugin,
        call: FileSyncCall,
    ) -> Result<FileSyncAnswer, Failure> {
        let World::FileSync(ready) = &plugin.0.world else { return Err(plugin.other_world(FILE_SYNC)) };
        file_sync::declare(&self.0.gate, Arc::clone(&self.0.clock), ready, call).await
    }

    /// Runs a `directory-sync` plugin in a fresh instance: the sink that took what it declared, and whether the host saw
    /// that the read is not whole; or why it does not count. Places and clock are as for
    /// [`declare_files`](Self::declare_files).
    pub async fn declare_directory(
        &self,
        plugin: &Plugin,
        call: DirectorySyncCall,
    ) -> Result<DirectorySyncAnswer, Failure> {
        let World::DirectorySync(ready) = &plugin.0.world else {
            return Err(plugin.other_world(DIRECTORY_SYNC));
        };
        directory_sync::declare(&self.0.gate, Arc::clone(&self.0.clock), ready, call).await
    }

    /// Asks a `device-policy` plugin in a fresh instance: one answer for each application asked about, in the same order,
    /// within all that the contract says of answers; or why there are none, and then every application keeps what it has.
    /// Places and clock are as for [`declare_files`](Self::declare_files).
    pub async fn resolve(&self, plugin: &Plugin, call: PolicyCall) -> Result<PolicyAnswer, Failure> {
        let World::DevicePolicy(ready) = &plugin.0.world else {
            return Err(plugin.other_world(DEVICE_POLICY));
        };
        device_policy::resolve(&self.0.gate, Arc::clone(&self.0.clock), ready, call).await
    }

    fn ready(&self, digest: &str) -> Option<Plugin> {
        let mut ready = self.0.ready.lock();
        let at = ready.iter().position(|plugin| plugin.digest() == digest)?;
        let plugin = ready.remove(at);
        ready.push(plugin.clone());
        Some(plugin)
    }

    fn keep_ready(&self, plugin: Plugin) {
        let mut ready = self.0.ready.lock();
        if ready.len() >= READY {
            ready.remove(0);
        }
        ready.push(plugin);
    }
}

impl Shared {
    fn cached(&self, digest: &str) -> Option<Component> {
        self.cache.as_ref()?.load(self.engine(), digest)
    }

    fn engine(&self) -> &Engine {
        &self.gate.engine
    }

    fn compile(&self, digest: &str, bytes: &[u8]) -> Result<Component, Failure> {
        let found = package::digest(bytes);
        if found != digest {
            let message = format!(
                "the stored package is damaged: its digest is {found} and should be {digest}; upload the plugin again"
            );
            return Err(Failure::host("package-digest", message));
        }
        let component = Component::from_binary(self.engine(), bytes).map_err(|error| {
            let message =
                format!("the plugin cannot be compiled: {error:#}; its author has to build it anew");
            Failure::plugin("compile", message)
        })?;
        self.compilations.fetch_add(1, Relaxed);
        if let Some(cache) = &self.cache
            && let Err(error) = cache.store(digest, &component)
        {
            tracing::warn!(%digest, %error, "compiled code could not be kept; the next start compiles it again");
        }
        Ok(component)
    }

    /// Checks what can be checked before the first call, and finds the world by what it exports and imports.
    fn prepare(&self, digest: &str, component: &Component) -> Result<Plugin, Failure> {
        // The pool has so many places for an instance. Without this, the two allocators would differ.
        if let Some(needs) = component.resources_required()
            && let most = needs.num_memories.max(needs.num_tables)
            && most > MEMORIES
        {
            return Err(Limit::Memories(most).failure(None));
        }
        let unfit = |error: wasmtime::Error| {
            let message = format!(
                "the plugin does not fit this host: {error:#}; upload it again to see all that it lacks"
            );
            Failure::plugin("contract", message)
        };
        let exports = |name| component.get_export_index(None, name).is_some();
        let imports =
            |name| component.component_type().imports(self.engine()).any(|(import, _)| import == name);
        let linkers = &self.linkers;
        let world = if exports(directory_sync::EXPORT) && imports(desired_directory::IMPORT) {
            let instance = linkers.directory_sync.instantiate_pre(component).map_err(unfit)?;
            World::DirectorySync(directory_sync::prepare(instance).map_err(unfit)?)
        } else if exports(file_sync::EXPORT) {
            let instance = linkers.file_sync.instantiate_pre(component).map_err(unfit)?;
            World::FileSync(file_sync::prepare(instance).map_err(unfit)?)
        } else if exports(device_policy::EXPORT) {
            let instance = linkers.device_policy.instantiate_pre(component).map_err(unfit)?;
            World::DevicePolicy(device_policy::prepare(instance).map_err(unfit)?)
        } else {
            let message = format!(
                "the plugin has no world that this host knows; use a newer host, or build it for `{FILE_SYNC}`, \
                 `{DIRECTORY_SYNC}` or `{DEVICE_POLICY}`"
            );
            return Err(Failure::plugin("world-unknown", message));
        };
        Ok(Plugin(Arc::new(Ready { digest: digest.to_owned(), world })))
    }
}

/// Runs work that keeps a thread busy, or waits for a disk, beside the runtime's own threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Failure::host("sandbox", format!("loading a plugin ended in a fault of the host: {error}")))
    })
}
