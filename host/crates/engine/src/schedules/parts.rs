//! Schedules made of components and servers: an operator picks what goes where and when, and the sync behind it is made of
//! that.

use std::collections::BTreeSet;

use syncline_domain::{
    Name,
    event::NewEvent,
    ids::ScheduleId,
    place::Collection,
    plugin::not_granted,
    schedule::{Schedule, ScheduleSpec},
    server::DistributionServer,
    sync::{MadeBy, Pace, Sync, SyncSpec},
};

use crate::{Engine, Error, Result, servers::KnownServer};

/// The plugin that fills servers.
const PLUGIN: &str = "distribution-files";
/// Two collections that operators pick as one.
const PAIR: (&str, [&str; 2]) = ("engines-and-definitions", ["engines", "definitions"]);

/// What an operator picks of a schedule in place of a sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// Collections, or `engines-and-definitions` for these two.
    pub components: Vec<String>,
    /// Distribution servers.
    pub servers: Vec<Name>,
}

/// What a schedule was made of, looked up.
struct Picked {
    components: Vec<Name>,
    servers: Vec<KnownServer>,
}

impl Engine {
    /// Makes a schedule that brings components to servers, with the sync behind it, called `name` or after the schedule. Gives
    /// what to know of servers that could not be tried.
    pub async fn create_schedule_of_parts(
        &self,
        parts: Parts,
        name: Option<Name>,
        pace: Pace,
        mut spec: ScheduleSpec,
        cluster: bool,
        actor: &str,
    ) -> Result<(Schedule, Vec<String>)> {
        let now = self.clock().now();
        spec.check(now)?;
        let id = ScheduleId::new(now);
        let name = name.map_or_else(|| named_after(id), Ok)?;
        let (made, sync_spec, warnings) = self.sync_of_parts(id, &parts, pace).await?;
        spec.sync.clone_from(&name);
        let sync = Sync {
            name,
            spec: sync_spec,
            made_by: Some(made),
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        let schedule = self.new_schedule(id, spec, cluster, now)?;
        let message = format!("A schedule was made, and sync {} for it", sync.name);
        let event = NewEvent::new("schedule.created", actor, message).sync(&sync.name);
        let schedule = self.db().add_schedule_with_sync(&sync, &schedule, vec![event]).await?;
        self.wake();
        Ok((schedule, warnings))
    }

    /// The sync of these parts, checked as if an operator had written it.
    pub(super) async fn sync_of_parts(
        &self,
        schedule: ScheduleId,
        parts: &Parts,
        pace: Pace,
    ) -> Result<(MadeBy, SyncSpec, Vec<String>)> {
        self.distribution_plugin().await?;
        let picked = self.pick(parts).await?;
        let chosen: Vec<&KnownServer> = picked.servers.iter().collect();
        let warnings = self.must_have_access(&chosen, &picked.components).await?;
        let servers: Vec<Name> = picked.servers.iter().map(|one| one.server.name.clone()).collect();
        let mut spec: SyncSpec = serde_json::from_value(serde_json::json!({
            "plugin": PLUGIN,
            "description": format!("Made for schedule {schedule}, and goes with it."),
        }))
        .map_err(Error::internal)?;
        spec.pace = pace;
        let all: Vec<DistributionServer> = picked.servers.iter().map(|one| one.server.clone()).collect();
        self.fill_from_parts(&mut spec, &picked.components, &servers, &all).await?;
        let spec = self.checked(spec).await?;
        Ok((MadeBy { schedule, components: picked.components, servers }, spec, warnings))
    }

    /// Sets what a sync reads, fills and is told, by what its servers get.
    pub(crate) async fn fill_from_parts(
        &self,
        spec: &mut SyncSpec,
        components: &[Name],
        servers: &[Name],
        known: &[DistributionServer],
    ) -> Result<()> {
        let chosen: Vec<&DistributionServer> =
            known.iter().filter(|server| servers.contains(&server.name)).collect();
        let mut rules = Vec::new();
        let (mut sources, mut targets) = (BTreeSet::new(), BTreeSet::new());
        for component in components {
            let stores: Vec<&Name> =
                chosen.iter().filter(|server| server.gets(component)).map(|server| &server.store).collect();
            if stores.is_empty() {
                let message = format!(
                    "none of these servers gets component {component}: name one that does, or change the components of a server"
                );
                return Err(Error::conflict("schedule-components", message));
            }
            sources.insert(component.clone());
            targets.extend(stores.iter().map(|store| (*store).clone()));
            rules.push(serde_json::json!({
                "collections": [component], "servers": stores, "folder": component, "prune": true,
            }));
        }
        if let Some(idle) = chosen.iter().find(|server| !targets.contains(&server.store)) {
            let message = format!(
                "server {} gets none of these components: leave it out, or change its components",
                idle.name
            );
            return Err(Error::conflict("schedule-servers", message));
        }
        spec.settings = serde_json::json!({ "rules": rules });
        spec.sources = sources.into_iter().collect();
        spec.targets = targets.into_iter().collect();
        Ok(())
    }

    async fn pick(&self, parts: &Parts) -> Result<Picked> {
        let collections = self.db().collections().await?;
        let components = components(&parts.components, &collections)?;
        let known = self.known_servers().await?;
        let wanted: BTreeSet<&Name> = parts.servers.iter().collect();
        if wanted.is_empty() {
            return Err(Error::invalid(
                "schedule-servers",
                "no servers: name at least one distribution server",
            ));
        }
        let mut servers = Vec::new();
        for name in wanted {
            let found = known.iter().find(|one| one.server.name == *name).cloned();
            let missing = || {
                let message = format!("there is no distribution server {name:?}: register it first");
                Error::invalid("schedule-servers", message)
            };
            let server = found.ok_or_else(missing)?;
            if let Some(why) = &server.forbidden {
                let message = format!("server {name} cannot be scheduled: {why}");
                return Err(Error::conflict("download-source", message));
            }
            servers.push(server);
        }
        Ok(Picked { components, servers })
    }

    /// The plugin must be there and be allowed what the made sync asks of it.
    async fn distribution_plugin(&self) -> Result<()> {
        let name: Name = PLUGIN.parse()?;
        let refused = |why: &str, commands: &str| {
            let message = format!("the built-in plugin {name} {why}: an administrator gives {commands}");
            Err(Error::conflict("plugin-not-enabled", message))
        };
        let all = "`syncline plugin grant distribution-files --all` and `syncline plugin enable distribution-files`";
        match self.db().enabled_plugin(&name).await? {
            Some(plugin) => {
                if not_granted(&plugin.wants, plugin.grants.as_deref().unwrap_or_default()).is_empty() {
                    return Ok(());
                }
                refused(
                    "was not granted all that it wants",
                    "`syncline plugin grant distribution-files --all`",
                )
            }
            None if self.plugin(&name).await.is_ok() => refused("is not enabled", all),
            None => refused(
                "is not installed",
                &format!("`syncline plugin install distribution-files.wasm`, {all}"),
            ),
        }
    }
}

fn components(given: &[String], collections: &[Collection]) -> Result<Vec<Name>> {
    let mut names = BTreeSet::new();
    for text in given {
        let is = |name: &str| collections.iter().any(|one| one.name.as_str() == name);
        if !is(text) && text.replace(' ', "-") == PAIR.0 {
            for one in PAIR.1 {
                names.insert(one.to_owned());
            }
        } else {
            names.insert(text.clone());
        }
    }
    if names.is_empty() {
        return Err(Error::invalid("schedule-components", "no components: name at least one collection"));
    }
    let find = |name: String| {
        let found = collections.iter().find(|one| one.name.as_str() == name);
        let missing = || {
            let message = format!("component {name:?} is no collection: register the collection first");
            Error::invalid("schedule-components", message)
        };
        found.map(|one| one.name.clone()).ok_or_else(missing)
    };
    names.into_iter().map(find).collect()
}

/// Ids begin with the time: their ends tell two schedules apart.
fn named_after(id: ScheduleId) -> Result<Name> {
    let text = id.to_string();
    let end = text.rsplit('-').next().unwrap_or_default();
    Ok(format!("schedule-{end}").parse()?)
}
