//! Collections as they are filled from their sources: changed, refreshed by hand, by their schedules and before syncs; and the
//! library that a server comes with.
//!
//! A refresh is a run of a collection in place of a sync: queue, lease, attempts, progress, log and cancellation are those of all
//! runs, its road is `pipeline::refresh`. It has its collection for itself, so that no sync reads what is half refreshed.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use syncline_domain::{
    Name, RelPath,
    event::NewEvent,
    guard::GuardLimits,
    ids::{NodeId, RunId, ScheduleId, StoreId},
    place::{BUILT_IN_STORE, Collection, PREDEFINED, StoreKind, StoreRecord},
    refresh::{CollectionSource, RefreshSchedule},
    run::{Run, RunMode, Subject, Trigger},
    schedule::due,
    sync::Sync,
};
use syncline_files::FolderStore;
use syncline_store::{Lock, NewRun, Refresh};

use crate::{Engine, Error, Result, places::blocking, syncs::ResolvedSource};

/// Attempts of a refresh. Within each, a file that breaks off is gone on with several times.
const ATTEMPTS: u32 = 4;

/// What can be changed of a collection; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CollectionChange {
    /// Store that holds it. Files stay where they are: move them by hand, or refresh it anew.
    pub store: Option<Name>,
    /// Folder in the store.
    #[schema(value_type = Option<String>)]
    pub prefix: Option<RelPath>,
    /// For people.
    pub description: Option<String>,
    /// Where its files come from.
    pub source: Option<CollectionSource>,
    /// When it is refreshed by itself; `null` for never.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RefreshSchedule>)]
    pub refresh: Option<Option<RefreshSchedule>>,
    /// Limits on the difference that a refresh applies unasked.
    pub limits: Option<GuardLimits>,
}

/// What is `null` was given, too.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Engine {
    /// Changes a collection. `revision` is the one that the caller read.
    pub async fn change_collection(
        &self,
        name: &Name,
        change: CollectionChange,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<Collection> {
        let mut collection = self.db().collection(name).await?;
        collection.revision = revision.unwrap_or(collection.revision);
        collection.as_made = false;
        collection.store = change.store.unwrap_or(collection.store);
        collection.prefix = change.prefix.unwrap_or(collection.prefix);
        collection.description = change.description.unwrap_or(collection.description);
        collection.source = change.source.unwrap_or(collection.source);
        collection.refresh = change.refresh.unwrap_or(collection.refresh);
        collection.limits = change.limits.unwrap_or(collection.limits);
        self.check_collection(&collection).await?;
        let event = NewEvent::new("collection.changed", actor, format!("Collection {name} was changed"))
            .store(&collection.store);
        let changed = self.db().update_collection(&collection, event).await?;
        self.wake();
        Ok(changed)
    }

    /// Whether a collection makes sense: its store, its source and its schedule.
    pub(crate) async fn check_collection(&self, collection: &Collection) -> Result<()> {
        let stores = self.db().stores().await?;
        let find = |name: &Name| {
            let missing =
                || Error::invalid("store", format!("there is no store {name:?}: register it first"));
            stores.iter().find(|one| one.name == *name).ok_or_else(missing)
        };
        let own = find(&collection.store)?;
        let refuse = |message: String| Err(Error::invalid("collection-source", message));
        collection.source.check().or_else(refuse)?;
        match &collection.source {
            CollectionSource::None => {}
            CollectionSource::Http(http) => self.check_http_source(http).await?,
            CollectionSource::Store(from) => {
                let other = find(&from.store)?;
                let (a, b) = (Path::new(&own.path), Path::new(&other.path));
                if own.name == other.name || a.starts_with(b) || b.starts_with(a) {
                    let message = format!(
                        "store {} cannot be refreshed from store {}: they are one, or lie in each other",
                        own.name, other.name
                    );
                    return refuse(message);
                }
                one_node(own, Some(other))?;
            }
        }
        if collection.refresh.is_some() && !collection.source.is_some() {
            return refuse("a schedule needs a source to refresh from: set it first".to_owned());
        }
        if let Some(refresh) = &collection.refresh {
            refresh.check(&collection.name, self.clock().now())?;
        }
        let percents = [collection.limits.max_delete_percent, collection.limits.max_change_percent];
        if let Some(percent) = percents.into_iter().flatten().find(|percent| *percent > 100) {
            return Err(Error::invalid("collection-limits", format!("{percent} percent: use 0 to 100")));
        }
        Ok(())
    }

    /// Queues a refresh of a collection, or gives the one that is under way.
    pub async fn start_refresh(&self, name: &Name, actor: &str) -> Result<Refresh> {
        let collection = self.db().collection(name).await?;
        if !collection.source.is_some() {
            return Err(Error::conflict("no-source", no_source(&collection)));
        }
        let new = self.new_refresh(&collection, actor).await?;
        let message = format!("A refresh of collection {name} was started");
        let event = NewEvent::new("run.queued", actor, message).of_run(new.id, &new.subject);
        let refresh = self.db().enqueue_refresh(&new, event).await?;
        self.wake();
        Ok(refresh)
    }

    /// Queues refreshes of the collections of a sync that asks for them, before a run of it is queued behind them.
    pub(crate) async fn refresh_before(&self, sync: &Sync, actor: &str) -> Result<()> {
        if !sync.spec.refresh_before {
            return Ok(());
        }
        for source in self.bindings(&sync.spec).await?.sources {
            if let Some(collection) = source.collection.filter(|one| one.source.is_some()) {
                let refresh = self.start_refresh(&collection.name, actor).await?;
                tracing::debug!(sync = %sync.name, run = %refresh.run.id, "A sync is queued behind a refresh");
            }
        }
        Ok(())
    }

    /// A refresh, with the locks that it needs.
    pub(crate) async fn new_refresh(&self, collection: &Collection, actor: &str) -> Result<NewRun> {
        let lock = |resource: String, exclusive| Lock { resource, exclusive };
        let all = self.db().collections().await?;
        let own = self.db().store(&collection.store).await?;
        // What it writes is read by way of collections that lie in it, too, or that it lies in.
        let concerned = all.iter().filter(|one| one.overlaps(collection));
        let mut locks: Vec<Lock> =
            concerned.map(|one| lock(format!("collection {}", one.name), true)).collect();
        // No sync may fill the store meanwhile.
        locks.push(lock(format!("store {}", own.name), false));
        let mut from = None;
        if let CollectionSource::Store(source) = &collection.source {
            let store = self.db().store(&source.store).await?;
            let place =
                Collection { store: store.name.clone(), prefix: source.prefix.clone(), ..collection.clone() };
            let read = all.iter().filter(|one| one.overlaps(&place));
            locks.extend(read.map(|one| lock(format!("collection {}", one.name), false)));
            locks.push(lock(format!("store {}", store.name), false));
            // Who copies clears a store's temporary files.
            locks.push(lock(format!("copies into store {}", own.name), true));
            from = Some(store);
        }
        locks.sort_by(|a, b| a.resource.cmp(&b.resource));
        locks.dedup();
        Ok(NewRun {
            id: RunId::new(self.clock().now()),
            subject: Subject::Collection(collection.name.clone()),
            mode: RunMode::Apply,
            trigger: Trigger::Manual,
            actor: actor.to_owned(),
            schedule: None,
            nominal_time: None,
            retry_of: None,
            repair: None,
            only: None,
            anew: false,
            bound_to: one_node(&own, from.as_ref())?,
            max_attempts: ATTEMPTS,
            locks,
        })
    }

    /// The collections that a source of a sync reads: the one that it is, or those that lie in the store that it is.
    pub(crate) async fn read_collections(&self, source: &ResolvedSource) -> Result<Vec<Lock>> {
        let shared = |name: &Name| Lock { resource: format!("collection {name}"), exclusive: false };
        if let Some(collection) = &source.collection {
            return Ok(vec![shared(&collection.name)]);
        }
        let all = self.db().collections().await?;
        Ok(all.iter().filter(|one| one.store == source.store.name).map(|one| shared(&one.name)).collect())
    }

    /// Begins the refreshes whose time has come.
    pub(crate) async fn fire_refreshes(&self, now: Timestamp) -> Result<()> {
        for (collection, tick) in self.db().due_refreshes(now).await? {
            if let Err(error) = self.fire_refresh(&collection, tick, now).await {
                let name = &collection.name;
                tracing::error!(collection = %name, %error, "A collection could not be refreshed by its schedule");
            }
        }
        Ok(())
    }

    async fn fire_refresh(&self, collection: &Collection, tick: Timestamp, now: Timestamp) -> Result<()> {
        let Some(refresh) = &collection.refresh else { return Ok(()) };
        let ticks = refresh.ticks(&collection.name);
        // Of no schedule: there is no jitter that it would tell from others.
        let due = due(ScheduleId(uuid::Uuid::nil()), &ticks, collection.created_at, tick, now)?;
        let mut new = None;
        if let Some(nominal) = due.run.filter(|_| collection.source.is_some()) {
            let mut run =
                self.new_refresh(collection, &format!("schedule of collection {}", collection.name)).await?;
            run.trigger = Trigger::Schedule;
            run.nominal_time = Some(nominal);
            new = Some(run);
        }
        if self.db().fire_refresh(collection, tick, &due, new.as_ref()).await?.is_some() {
            self.wake();
        }
        Ok(())
    }

    /// Makes the library that a server comes with, once in the life of a database.
    pub(crate) async fn make_library(&self) -> Result<()> {
        let Some(path) = self.config().library.clone() else { return Ok(()) };
        if self.db().has_library().await? {
            return Ok(());
        }
        let now = self.clock().now();
        let id = StoreId::new(now);
        let (path, id) = blocking(move || make_folders(&path, id)).await?;
        let name = |text: &str| text.parse::<Name>().map_err(|error| Error::internal(error.to_string()));
        let store = StoreRecord {
            name: name(BUILT_IN_STORE)?,
            id,
            kind: StoreKind::Folder,
            path,
            shared: false,
            node: self.node(),
            labels: Default::default(),
            description: "The library that the server came with".to_owned(),
            bytes_per_second: None,
            created_at: now,
            revision: 1,
        };
        let mut collections = Vec::new();
        for (collection, description) in PREDEFINED {
            collections.push(Collection {
                name: name(collection)?,
                store: store.name.clone(),
                prefix: RelPath::new(collection).map_err(|error| Error::internal(error.to_string()))?,
                description: description.to_owned(),
                source: CollectionSource::None,
                refresh: None,
                limits: GuardLimits::default(),
                as_made: true,
                created_at: now,
                revision: 1,
            });
        }
        let message = format!("The library was made at {}", store.path);
        let event = NewEvent::new("library.made", "system", message).store(&store.name);
        self.db().make_library(&store, &collections, event).await?;
        Ok(())
    }

    /// The last refresh of a collection that ended.
    pub(crate) async fn last_refresh(&self, collection: &Name) -> Result<Option<Run>> {
        let filter = syncline_store::RunFilter {
            collection: Some(collection.clone()),
            ..syncline_store::RunFilter::default()
        };
        let runs = self.db().runs(&filter, &syncline_store::Page::first(5)).await?;
        Ok(runs.items.into_iter().find(|run| run.state.is_final()))
    }
}

/// Why a collection cannot be refreshed, and what to do.
fn no_source(collection: &Collection) -> String {
    format!(
        "collection {} has no source to refresh from: give it one (`syncline collection change {} --from-url URL`), or fill it \
         by hand",
        collection.name, collection.name
    )
}

/// The node that alone sees both stores; `None` if all see them.
fn one_node(own: &StoreRecord, other: Option<&StoreRecord>) -> Result<Option<NodeId>> {
    let mut alone = [Some(own), other].into_iter().flatten().filter(|store| !store.shared);
    let Some(first) = alone.next() else { return Ok(None) };
    match alone.find(|store| store.node != first.node) {
        None => Ok(Some(first.node)),
        Some(second) => {
            let message = format!(
                "stores {} and {} are not shared and belong to different nodes: no node sees both",
                first.name, second.name
            );
            Err(Error::invalid("collection-nodes", message))
        }
    }
}

/// The folder with its mark, and one for each collection, so that there is a place to fill by hand.
fn make_folders(
    path: &Path,
    id: StoreId,
) -> std::result::Result<(String, StoreId), syncline_domain::Failure> {
    let cannot = |error: std::io::Error| {
        let message = format!("the folder of the library, {}, cannot be made: {error}", path.display());
        syncline_domain::Failure::settings("library", message)
    };
    for (collection, _) in PREDEFINED {
        std::fs::create_dir_all(path.join(collection)).map_err(cannot)?;
    }
    let real = path.canonicalize().map_err(cannot)?;
    let text = real.to_str().map(str::to_owned).ok_or_else(|| {
        let message =
            format!("the folder of the library, {}, is not Unicode: set another one", path.display());
        syncline_domain::Failure::settings("library", message)
    })?;
    let id = FolderStore::adopt(&real, id)?;
    Ok((text, id))
}
