//! Syncs: made, changed and removed; what they name is looked up and their settings are checked by the plugin's schema.

use syncline_domain::{
    Name,
    event::NewEvent,
    ids::NodeId,
    place::{Collection, StoreRecord},
    plugin::{DEVICE_POLICY, DIRECTORY_SYNC, FILE_SYNC, PluginVersion},
    server::Origin,
    sync::{Sync, SyncSpec},
};

use crate::{Engine, Error, Result, settings};

/// Where a source of a sync is.
#[derive(Debug, Clone)]
pub(crate) struct ResolvedSource {
    /// What the sync calls it.
    pub name: Name,
    /// The collection, if it is one.
    pub collection: Option<Collection>,
    /// The store.
    pub store: StoreRecord,
}

/// What a sync names, looked up.
#[derive(Debug, Clone)]
pub(crate) struct Bindings {
    /// Sorted by name.
    pub sources: Vec<ResolvedSource>,
    /// Sorted by name.
    pub targets: Vec<StoreRecord>,
}

impl Bindings {
    /// The node that alone sees all stores; `None` if all are shared.
    pub fn bound_to(&self) -> Result<Option<NodeId>> {
        let stores = self.sources.iter().map(|source| &source.store).chain(&self.targets);
        let mut own = stores.filter(|store| !store.shared);
        let Some(first) = own.next() else { return Ok(None) };
        if let Some(other) = own.find(|store| store.node != first.node) {
            let message = format!(
                "stores {} and {} are not shared and belong to different nodes: no node sees both",
                first.name, other.name
            );
            return Err(Error::invalid("sync-nodes", message));
        }
        Ok(Some(first.node))
    }
}

impl Engine {
    /// Makes a sync.
    pub async fn create_sync(&self, name: Name, spec: SyncSpec, actor: &str) -> Result<Sync> {
        let spec = self.checked(spec).await?;
        self.is_alone_for_its_plugin(&name, &spec).await?;
        let now = self.clock().now();
        let sync = Sync { name, spec, made_by: None, created_at: now, updated_at: now, revision: 1 };
        let event = NewEvent::new("sync.created", actor, format!("Sync {} was made", sync.name))
            .sync(&sync.name)
            .plugin(&sync.spec.plugin);
        if sync.spec.directory.is_some() {
            self.add_with_import_schedule(&sync, event, actor).await?;
        } else {
            self.db().add_sync(&sync, event).await?;
        }
        Ok(sync)
    }

    /// Changes a sync. `revision` is the one that the caller read. A run under way goes on as it began.
    pub async fn change_sync(
        &self,
        name: &Name,
        spec: SyncSpec,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<Sync> {
        let mut sync = self.db().sync(name).await?;
        refuse_parts(&sync, &spec)?;
        let spec = self.checked(spec).await?;
        self.is_alone_for_its_plugin(name, &spec).await?;
        sync.revision = revision.unwrap_or(sync.revision);
        sync.spec = spec;
        sync.updated_at = self.clock().now();
        let event = NewEvent::new("sync.changed", actor, format!("Sync {name} was changed")).sync(name);
        Ok(self.db().update_sync(&sync, event).await?)
    }

    /// Removes a sync. What it put on its targets stays. Refused while a schedule or an unfinished run needs it.
    pub async fn remove_sync(&self, name: &Name, actor: &str) -> Result<()> {
        let event = NewEvent::new("sync.removed", actor, format!("Sync {name} was removed")).sync(name);
        Ok(self.db().remove_sync(name, event).await?)
    }

    /// Throws the plugin's cursor of a sync away, so that its next run reads everything.
    pub async fn clear_cursor(&self, name: &Name, actor: &str) -> Result<()> {
        let event =
            NewEvent::new("sync.cursor-cleared", actor, format!("The cursor of sync {name} was thrown away"))
                .sync(name);
        Ok(self.db().clear_cursor(name, event).await?)
    }

    /// Documents of devices have one origin: a plugin that decides for them has one sync, whose settings and limits hold.
    async fn is_alone_for_its_plugin(&self, name: &Name, spec: &SyncSpec) -> Result<()> {
        if !decides_for_devices(spec) {
            return Ok(());
        }
        match self.policy_sync(&spec.plugin).await?.filter(|other| other.name != *name) {
            None => Ok(()),
            Some(other) => {
                let message = format!(
                    "sync {} runs plugin {} already, which decides for devices: change that one",
                    other.name, spec.plugin
                );
                Err(Error::conflict("sync-plugin", message))
            }
        }
    }

    /// The sync by which a plugin decides for devices.
    pub(crate) async fn policy_sync(&self, plugin: &Name) -> Result<Option<Sync>> {
        let all = self.db().syncs().await?;
        Ok(all.into_iter().find(|sync| sync.spec.plugin == *plugin && decides_for_devices(&sync.spec)))
    }

    /// The same, made if there is none. `None` while the plugin is not installed.
    pub(crate) async fn policy_sync_or_new(&self, plugin: &Name) -> Result<Option<Sync>> {
        if let Some(sync) = self.policy_sync(plugin).await? {
            return Ok(Some(sync));
        }
        match self.plugin(plugin).await {
            Ok(found) if found.world == DEVICE_POLICY => {}
            Ok(_) | Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        let spec: SyncSpec = serde_json::from_value(serde_json::json!({
            "plugin": plugin,
            "description": "Publishes what devices should hold. Made by itself; its limits and settings can be changed."
        }))
        .map_err(Error::internal)?;
        // The name may be another sync's.
        let other =
            format!("{plugin}-documents").parse().map_err(|error| Error::internal(format!("{error}")))?;
        for name in [plugin.clone(), other] {
            match self.create_sync(name, spec.clone(), "system").await {
                Ok(sync) => return Ok(Some(sync)),
                Err(Error::Conflict { .. }) => return self.policy_sync(plugin).await,
                Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.policy_sync(plugin).await
    }

    /// What an operator set of a sync, in order and with all that it names looked up.
    pub(crate) async fn checked(&self, mut spec: SyncSpec) -> Result<SyncSpec> {
        sort_and_check_names("source", &mut spec.sources)?;
        sort_and_check_names("target", &mut spec.targets)?;
        if !(1..=20).contains(&spec.max_attempts) {
            let message = format!("max_attempts of {}: use 1 to 20", spec.max_attempts);
            return Err(Error::invalid("sync-attempts", message));
        }
        spec.pace.check().map_err(|message| Error::invalid("sync-pace", message))?;
        let percents = [spec.limits.max_delete_percent, spec.limits.max_change_percent];
        if let Some(percent) = percents.into_iter().flatten().find(|percent| *percent > 100) {
            return Err(Error::invalid("sync-limits", format!("a limit of {percent} percent: use 0 to 100")));
        }
        let plugin = self.plugin_of(&spec).await?;
        if plugin.world == DIRECTORY_SYNC {
            self.check_directory(&mut spec).await?;
            settings::check(&plugin, &spec.settings)?;
            return Ok(spec);
        }
        if spec.directory.is_some() {
            let message = format!("plugin {} reads no directory: leave `directory` out", plugin.name);
            return Err(Error::invalid("sync-directory", message));
        }
        if plugin.world == DEVICE_POLICY {
            if !(spec.sources.is_empty() && spec.targets.is_empty()) {
                let message = format!(
                    "plugin {} decides for devices, and has neither sources nor targets: leave them out",
                    plugin.name
                );
                return Err(Error::invalid("sync-bindings", message));
            }
            settings::check(&plugin, &spec.settings)?;
            return Ok(spec);
        }
        if plugin.world != FILE_SYNC {
            let message = format!(
                "plugin {} is of world {}, which syncs do not run: take a plugin of world {FILE_SYNC}, {DIRECTORY_SYNC} or \
                 {DEVICE_POLICY}",
                plugin.name, plugin.world
            );
            return Err(Error::invalid("sync-world", message));
        }
        if spec.sources.is_empty() || spec.targets.is_empty() {
            let message =
                format!("plugin {} fills targets from sources: name at least one of each", plugin.name);
            return Err(Error::invalid("sync-bindings", message));
        }
        settings::check(&plugin, &spec.settings)?;
        self.bindings(&spec).await?.bound_to()?;
        Ok(spec)
    }

    async fn plugin_of(&self, spec: &SyncSpec) -> Result<PluginVersion> {
        self.plugin(&spec.plugin).await.map_err(|error| match error {
            Error::NotFound { name, .. } => {
                Error::invalid("sync-plugin", format!("there is no plugin {name:?}: install it first"))
            }
            other => other,
        })
    }

    /// Whether such a sync would read directories, by its plugin: what was not checked yet may leave `directory` out.
    pub async fn reads_directories(&self, spec: &SyncSpec) -> Result<bool> {
        Ok(self.plugin_of(spec).await?.world == DIRECTORY_SYNC)
    }

    /// A sync that reads directories says always what becomes of what is read: by that it is known for one.
    async fn check_directory(&self, spec: &mut SyncSpec) -> Result<()> {
        if spec.sources.is_empty() || !spec.targets.is_empty() {
            let message = "this plugin reads directories: name at least one directory source, and no targets";
            return Err(Error::invalid("sync-bindings", message));
        }
        let known = self.db().directory_sources().await?;
        if let Some(name) = spec.sources.iter().find(|name| !known.iter().any(|source| source.name == **name))
        {
            let message = format!("source {name:?} is no directory source: register it first");
            return Err(Error::invalid("sync-source", message));
        }
        let import = spec.directory.get_or_insert_default();
        import.check().map_err(|message| Error::invalid("sync-directory", message))?;
        let groups = self.db().groups().await?;
        let named = import.placement.iter().map(|rule| &rule.group).chain(&import.group);
        for group in named {
            if !groups.iter().any(|one| one.path == *group) {
                let message = format!("there is no group {group}: make it first");
                return Err(Error::invalid("sync-directory", message));
            }
        }
        Ok(())
    }

    /// Looks up what a sync names.
    pub(crate) async fn bindings(&self, spec: &SyncSpec) -> Result<Bindings> {
        if spec.directory.is_some() {
            // Directory sources are no places with files.
            return Ok(Bindings { sources: Vec::new(), targets: Vec::new() });
        }
        let stores = self.db().stores().await?;
        let collections = self.db().collections().await?;
        let store = |name: &Name| stores.iter().find(|store| store.name == *name).cloned();
        let mut sources = Vec::new();
        for name in &spec.sources {
            let collection = collections.iter().find(|collection| collection.name == *name).cloned();
            let found = store(collection.as_ref().map_or(name, |collection| &collection.store));
            let missing = || {
                let message =
                    format!("source {name:?} is neither a collection nor a store: register it first");
                Error::invalid("sync-source", message)
            };
            sources.push(ResolvedSource {
                name: name.clone(),
                collection,
                store: found.ok_or_else(missing)?,
            });
        }
        let mut targets = Vec::new();
        for name in &spec.targets {
            let missing = || {
                let message = format!("target {name:?} is not a store: register it first");
                Error::invalid("sync-target", message)
            };
            targets.push(store(name).ok_or_else(missing)?);
        }
        let origins = Origin::all(&collections);
        for target in &targets {
            if let Some(why) = Origin::forbids_download(&origins, &target.name) {
                let message = format!("nothing is synchronised to store {}: {why}", target.name);
                return Err(Error::conflict("download-source", message));
            }
        }
        for source in &sources {
            if let Some(target) = targets.iter().find(|target| target.name == source.store.name) {
                let message = format!(
                    "store {:?} is a target and holds source {:?}: a sync cannot fill what it reads",
                    target.name, source.name
                );
                return Err(Error::invalid("sync-loop", message));
            }
        }
        check_nesting(&sources, &targets)?;
        Ok(Bindings { sources, targets })
    }
}

/// What a sync was made of by a schedule is changed there: it would say one thing and do another.
fn refuse_parts(sync: &Sync, wanted: &SyncSpec) -> Result<()> {
    let Some(made) = &sync.made_by else { return Ok(()) };
    let parts = |spec: &SyncSpec| {
        let mut names = (spec.sources.clone(), spec.targets.clone());
        names.0.sort();
        names.1.sort();
        (spec.plugin.clone(), spec.settings.clone(), names)
    };
    if parts(&sync.spec) == parts(wanted) {
        return Ok(());
    }
    let message = format!(
        "plugin, settings, sources and targets of sync {} come from schedule {}: change its components or servers there",
        sync.name, made.schedule
    );
    Err(Error::conflict("sync-made", message))
}

/// Whether a sync has what the plugin of a sync that decides for devices has: nothing to read, and nothing to fill.
fn decides_for_devices(spec: &SyncSpec) -> bool {
    spec.targets.is_empty() && spec.directory.is_none()
}

/// Two targets, or a target and a source, of which one lies in the other, would see each other's files.
fn check_nesting(sources: &[ResolvedSource], targets: &[StoreRecord]) -> Result<()> {
    for (at, target) in targets.iter().enumerate() {
        let others = targets[at + 1..].iter().chain(sources.iter().map(|source| &source.store));
        for other in others.filter(|other| other.name != target.name) {
            let (a, b) = (std::path::Path::new(&target.path), std::path::Path::new(&other.path));
            if a.starts_with(b) || b.starts_with(a) {
                let message = format!(
                    "store {} ({}) and store {} ({}) lie in each other: a sync needs folders apart",
                    target.name, target.path, other.name, other.path
                );
                return Err(Error::invalid("sync-nesting", message));
            }
        }
    }
    Ok(())
}

fn sort_and_check_names(what: &str, names: &mut [Name]) -> Result<()> {
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Error::invalid("sync-names", format!("{what} {:?} is named twice", pair[0]))),
    }
}
