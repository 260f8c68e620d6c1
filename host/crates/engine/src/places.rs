//! Stores and collections.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use syncline_domain::{
    Failure, Name, RelPath,
    event::NewEvent,
    guard::GuardLimits,
    ids::StoreId,
    log::LogLevel,
    place::{Collection, StoreKind, StoreRecord, StoreStatus},
    refresh::{CollectionSource, RefreshSchedule},
};
use syncline_files::{FolderOptions, FolderStore};

use crate::{Engine, Error, Result};

/// How long a store may take to be looked at.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// What is needed to register a store.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewStore {
    /// What syncs and collections will call it.
    pub name: Name,
    /// Kind.
    pub kind: StoreKind,
    /// Absolute path of a folder that is there.
    pub path: String,
    /// Whether every node sees this same folder at this path.
    #[serde(default)]
    pub shared: bool,
    /// For people and plugins.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Most bytes a second that are written to it.
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
}

/// What can be changed of a store; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreChange {
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// For people.
    pub description: Option<String>,
    /// Most bytes a second that are written to it; 0 takes the limit away.
    pub bytes_per_second: Option<u64>,
    /// Whether every node sees this same folder.
    pub shared: Option<bool>,
}

/// What is needed to register a collection.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCollection {
    /// What syncs will call it.
    pub name: Name,
    /// Store that holds it.
    pub store: Name,
    /// Folder in the store; all of it if absent.
    #[serde(default)]
    #[schema(value_type = String)]
    pub prefix: RelPath,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Where its files come from; it is filled by hand if absent.
    #[serde(default)]
    pub source: CollectionSource,
    /// When it is refreshed by itself; never if absent.
    #[serde(default)]
    pub refresh: Option<RefreshSchedule>,
    /// Limits on the difference that a refresh applies unasked.
    #[serde(default)]
    pub limits: GuardLimits,
}

impl Engine {
    /// Registers a folder and leaves the mark in it by which it is known again. A mark of an earlier registration that
    /// nobody here uses any more is taken over.
    pub async fn create_store(&self, new: NewStore, actor: &str) -> Result<StoreRecord> {
        let (record, event) = self.new_store(new, actor).await?;
        Ok(self.db().add_store(&record, event).await?)
    }

    /// A store that is to be registered: its folder carries the mark already.
    pub(crate) async fn new_store(&self, new: NewStore, actor: &str) -> Result<(StoreRecord, NewEvent)> {
        check_labels(&new.labels)?;
        if new.bytes_per_second == Some(0) {
            return Err(Error::invalid(
                "bytes-per-second",
                "bytes_per_second of 0 would stop every copy: leave it out",
            ));
        }
        let stores = self.db().stores().await?;
        if stores.iter().any(|one| one.name == new.name) {
            return Err(Error::Exists { what: "store", name: new.name.to_string() });
        }
        let path = folder_path(&new.path)?;
        let wanted = StoreId::new(self.clock().now());
        let id = {
            let path = path.clone();
            blocking(move || FolderStore::adopt(Path::new(&path), wanted)).await?
        };
        if let Some(other) = stores.iter().find(|one| one.id == id) {
            let message = format!(
                "the folder {path} is registered as store {:?} already: use that one, or a folder of its own",
                other.name
            );
            return Err(Error::conflict("store-folder", message));
        }
        let record = StoreRecord {
            id,
            path,
            name: new.name,
            kind: new.kind,
            shared: new.shared,
            node: self.node(),
            labels: new.labels,
            description: new.description,
            bytes_per_second: new.bytes_per_second,
            created_at: self.clock().now(),
            revision: 1,
        };
        let message = format!("Store {} was registered at {}", record.name, record.path);
        let event = NewEvent::new("store.registered", actor, message).store(&record.name);
        Ok((record, event))
    }

    /// Changes a store. `revision` is the one that the caller read.
    pub async fn change_store(
        &self,
        name: &Name,
        change: StoreChange,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<StoreRecord> {
        let mut record = self.db().store(name).await?;
        record.revision = revision.unwrap_or(record.revision);
        if let Some(labels) = change.labels {
            check_labels(&labels)?;
            record.labels = labels;
        }
        if let Some(description) = change.description {
            record.description = description;
        }
        if let Some(limit) = change.bytes_per_second {
            record.bytes_per_second = (limit > 0).then_some(limit);
        }
        if let Some(shared) = change.shared {
            record.shared = shared;
            record.node = self.node();
        }
        let event = NewEvent::new("store.changed", actor, format!("Store {name} was changed")).store(name);
        Ok(self.db().update_store(&record, event).await?)
    }

    /// Leaves a new mark in the store's folder: an administrator says that what stands there now is the store.
    pub async fn adopt_store(&self, name: &Name, actor: &str) -> Result<StoreRecord> {
        let record = self.db().store(name).await?;
        self.must_see(&record)?;
        let (path, id) = (record.path.clone(), record.id);
        blocking(move || FolderStore::adopt_anew(Path::new(&path), id)).await?;
        let message = format!("Store {name} was adopted anew at {}", record.path);
        let event = NewEvent::new("store.adopted", actor, message).store(name).level(LogLevel::Warn);
        self.tell(event).await?;
        Ok(record)
    }

    /// Forgets a store; its files and its mark stay. Refused while a collection or a sync uses it.
    pub async fn remove_store(&self, name: &Name, actor: &str) -> Result<()> {
        let event = NewEvent::new("store.removed", actor, format!("Store {name} was removed")).store(name);
        Ok(self.db().remove_store(name, event).await?)
    }

    /// Whether the store can be used now.
    pub async fn store_status(&self, record: &StoreRecord) -> StoreStatus {
        if !record.shared && record.node != self.node() {
            return StoreStatus::OnAnotherNode { node: record.node };
        }
        match self.open_store(record).await {
            Ok(_) => StoreStatus::Available,
            Err(error) => StoreStatus::Unavailable { failure: error.into_failure() },
        }
    }

    /// Opens a store that this node sees, and finds its mark.
    pub(crate) async fn open_store(&self, record: &StoreRecord) -> Result<Arc<FolderStore>> {
        self.must_see(record)?;
        let record = record.clone();
        let options = FolderOptions { bytes_per_second: record.bytes_per_second };
        let open = move || FolderStore::open(record.name, Path::new(&record.path), record.id, options);
        Ok(Arc::new(blocking(open).await?))
    }

    /// The same, within [`LONGEST_LOOK`]: a share whose server is gone can keep whoever looks at it for ever. While such a look
    /// has not come back, nobody else waits for that store.
    pub(crate) async fn open_in_time(&self, record: &StoreRecord) -> Result<Arc<FolderStore>> {
        let (id, name) = (record.id, record.name.clone());
        let silent = move || {
            let message = format!(
                "store {name} does not answer: it was looked at for {} s and more; look at its mount and the server behind it",
                LONGEST_LOOK.as_secs()
            );
            Error::Failed(Failure::unavailable("no-answer", message))
        };
        if self.inner.unanswered.lock().contains(&id) {
            return Err(silent());
        }
        let answered = Arc::new(AtomicBool::new(false));
        let look = {
            let (engine, record, answered) = (self.clone(), record.clone(), Arc::clone(&answered));
            tokio::spawn(async move {
                let opened = engine.open_store(&record).await;
                let mut unanswered = engine.inner.unanswered.lock();
                answered.store(true, Ordering::Relaxed);
                unanswered.remove(&record.id);
                opened
            })
        };
        match tokio::time::timeout(LONGEST_LOOK, look).await {
            Ok(opened) => opened.map_err(Error::internal)?,
            Err(_) => {
                let mut unanswered = self.inner.unanswered.lock();
                if !answered.load(Ordering::Relaxed) {
                    unanswered.insert(id);
                }
                Err(silent())
            }
        }
    }

    fn must_see(&self, record: &StoreRecord) -> Result<()> {
        if record.shared || record.node == self.node() {
            return Ok(());
        }
        let message = format!(
            "store {} is not shared and belongs to node {}: ask that node, or register it as shared if all nodes see it",
            record.name, record.node
        );
        Err(Error::conflict("store-node", message))
    }

    /// Registers a part of a store as a collection. The folder need not be there yet. One that the server came with, and that
    /// nobody changed or uses, gives way.
    pub async fn create_collection(&self, new: NewCollection, actor: &str) -> Result<Collection> {
        let collection = Collection {
            name: new.name,
            store: new.store,
            prefix: new.prefix,
            description: new.description,
            source: new.source,
            refresh: new.refresh,
            limits: new.limits,
            as_made: false,
            created_at: self.clock().now(),
            revision: 1,
        };
        self.check_collection(&collection).await?;
        let message = format!("Collection {} was made in store {}", collection.name, collection.store);
        let event = NewEvent::new("collection.created", actor, message).store(&collection.store);
        self.db().add_collection(&collection, event).await?;
        Ok(collection)
    }

    /// Forgets a collection; its files stay. Refused while a sync uses it.
    pub async fn remove_collection(&self, name: &Name, actor: &str) -> Result<()> {
        let event = NewEvent::new("collection.removed", actor, format!("Collection {name} was removed"));
        Ok(self.db().remove_collection(name, event).await?)
    }
}

/// A path that is the same however it was written, so that one folder is not registered twice.
fn folder_path(given: &str) -> Result<String> {
    let path = Path::new(given);
    if !path.is_absolute() {
        let message = format!("path {given:?} is not absolute: give it from / on");
        return Err(Error::invalid("store-path", message));
    }
    let real = path.canonicalize().map_err(|error| {
        Error::invalid(
            "store-path",
            format!("path {given:?} cannot be opened ({error}): make the folder first"),
        )
    })?;
    if !real.is_dir() {
        return Err(Error::invalid("store-path", format!("path {given:?} is not a folder")));
    }
    let not_unicode = || Error::invalid("store-path", format!("path {given:?} is not Unicode"));
    real.to_str().map(str::to_owned).ok_or_else(not_unicode)
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<()> {
    let fits =
        |text: &str, most: usize| !text.is_empty() && text.len() <= most && !text.contains(char::is_control);
    match labels.iter().find(|(name, value)| !fits(name, 64) || !fits(value, 256)) {
        None if labels.len() <= 64 => Ok(()),
        None => Err(Error::invalid("labels", "a store has at most 64 labels")),
        Some((name, value)) => {
            let message = format!(
                "label {name:?} = {value:?}: use 1 to 64 bytes for the name and 1 to 256 for the value"
            );
            Err(Error::invalid("labels", message))
        }
    }
}

/// Runs what waits for a file system, outside the threads that answer requests.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, Failure> + Send + 'static,
) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(Error::internal)??)
}
