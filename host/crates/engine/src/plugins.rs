//! Plugins: upload, grants, enabling, going back.

use std::sync::Arc;

use syncline_domain::{
    Name,
    event::NewEvent,
    log::LogLevel,
    plugin::{Capability, Manifest, PluginState, PluginVersion, SandboxLimits, not_granted},
};
use syncline_sandbox::{Package, Plugin, Sandbox};

use crate::{Engine, Error, Result, settings};

impl Engine {
    /// What a package says of itself and whether this host would take it. Runs and stores nothing.
    pub fn inspect_package(package: &[u8]) -> Result<Package> {
        Ok(Sandbox::inspect(package)?)
    }

    /// Takes a package in: inspected, compiled, stored beside earlier versions, not enabled.
    ///
    /// The same package again changes nothing; another one under the same name and version is a conflict. The flag
    /// says whether it is new.
    pub async fn install_plugin(&self, package: Vec<u8>, actor: &str) -> Result<(PluginVersion, bool)> {
        let inspected = {
            let package = package.clone();
            tokio::task::spawn_blocking(move || Sandbox::inspect(&package))
                .await
                .map_err(Error::internal)??
        };
        if let Some(known) = self.plugin_by_digest(&inspected.digest).await? {
            return Ok((known, false));
        }
        let Manifest { name, version, world, wants, .. } = inspected.manifest.clone();
        let same =
            self.db().plugin_versions(Some(&name)).await?.into_iter().find(|one| one.version == version);
        if let Some(same) = same {
            let digest = same.digest;
            let message = format!(
                "plugin {name} {version} is installed with other contents ({digest}): give the new package a new version"
            );
            return Err(Error::conflict("plugin-version", message));
        }
        settings::check_schema(&inspected.manifest)?;
        let bytes = Arc::new(package);
        let for_compiler = Arc::clone(&bytes);
        self.sandbox().load(&inspected.digest, async move || Ok(for_compiler.to_vec())).await?;
        let plugin = PluginVersion {
            digest: inspected.digest,
            manifest: inspected.manifest,
            imports: inspected.imports,
            size: bytes.len() as u64,
            grants: None,
            state: PluginState::Installed,
            suspended: None,
            strikes: 0,
            limits: SandboxLimits::for_world(&world),
            installed_at: self.clock().now(),
            installed_by: actor.to_owned(),
            name,
            version,
            world,
            wants,
        };
        let message = format!("Plugin {} {} was installed", plugin.name, plugin.version);
        let event = NewEvent::new("plugin.installed", actor, message).plugin(&plugin.name);
        self.db().add_plugin(&plugin, &bytes, event).await?;
        Ok((plugin, true))
    }

    /// The version that calls without a version mean: the enabled one, else the newest.
    pub async fn plugin(&self, name: &Name) -> Result<PluginVersion> {
        if let Some(enabled) = self.db().enabled_plugin(name).await? {
            return Ok(enabled);
        }
        self.newest(name).await
    }

    /// A version by its number or digest; without one, as [`Engine::plugin`].
    pub async fn plugin_version(&self, name: &Name, version: Option<&str>) -> Result<PluginVersion> {
        let Some(version) = version else { return self.plugin(name).await };
        let versions = self.db().plugin_versions(Some(name)).await?;
        let matches = |one: &PluginVersion| one.digest == version || one.version.to_string() == version;
        let name = || format!("{name} {version}");
        versions
            .into_iter()
            .find(matches)
            .ok_or_else(|| Error::NotFound { what: "plugin version", name: name() })
    }

    async fn newest(&self, name: &Name) -> Result<PluginVersion> {
        let versions = self.db().plugin_versions(Some(name)).await?;
        let not_found = || Error::NotFound { what: "plugin", name: name.to_string() };
        versions.into_iter().max_by(|a, b| a.version.cmp(&b.version)).ok_or_else(not_found)
    }

    async fn plugin_by_digest(&self, digest: &str) -> Result<Option<PluginVersion>> {
        match self.db().plugin_by_digest(digest).await {
            Ok(plugin) => Ok(Some(plugin)),
            Err(syncline_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets what a version may do, in place of what it had. Each entry must be within one of its wants.
    pub async fn grant(
        &self,
        name: &Name,
        version: Option<&str>,
        grants: &[Capability],
        actor: &str,
    ) -> Result<PluginVersion> {
        let plugin = self.plugin_version(name, version).await?;
        for grant in grants {
            if !plugin.wants.iter().any(|want| want.covers(grant)) {
                let given = serde_json::to_string(grant).map_err(Error::internal)?;
                let wants = serde_json::to_string(&plugin.wants).map_err(Error::internal)?;
                let message = format!("{given} is more than plugin {name} asks for: grant within {wants}");
                return Err(Error::invalid("grant", message));
            }
        }
        let data = serde_json::json!({ "digest": plugin.digest, "grants": grants });
        let message = format!("Grants of plugin {name} {} were set", plugin.version);
        let event = NewEvent::new("plugin.granted", actor, message).plugin(name).data(data);
        self.db().set_grants(&plugin.digest, grants, event).await?;
        Ok(self.db().plugin_by_digest(&plugin.digest).await?)
    }

    /// Sets the limits of a version's sandbox.
    pub async fn set_plugin_limits(
        &self,
        name: &Name,
        version: Option<&str>,
        limits: &SandboxLimits,
        actor: &str,
    ) -> Result<PluginVersion> {
        let plugin = self.plugin_version(name, version).await?;
        check_limits(limits)?;
        let data = serde_json::json!({ "digest": plugin.digest, "limits": limits });
        let message = format!("Limits of plugin {name} {} were set", plugin.version);
        let event = NewEvent::new("plugin.limits", actor, message).plugin(name).data(data);
        self.db().set_limits(&plugin.digest, limits, event).await?;
        Ok(self.db().plugin_by_digest(&plugin.digest).await?)
    }

    /// Sends the plugin's syncs to this version from their next run on.
    ///
    /// A version that nobody decided on takes over the grants of the version enabled now, if it wants nothing wider.
    pub async fn enable_plugin(
        &self,
        name: &Name,
        version: Option<&str>,
        actor: &str,
    ) -> Result<PluginVersion> {
        let plugin = self.plugin_version(name, version).await?;
        if plugin.grants.is_none() {
            self.carry_grants_over(&plugin, actor).await?;
        }
        let message = format!("Plugin {name} {} was enabled", plugin.version);
        let event = NewEvent::new("plugin.enabled", actor, message).plugin(name);
        self.db().enable_plugin(&plugin.digest, event).await?;
        self.wake();
        Ok(self.db().plugin_by_digest(&plugin.digest).await?)
    }

    async fn carry_grants_over(&self, plugin: &PluginVersion, actor: &str) -> Result<()> {
        let name = &plugin.name;
        let before = match self.db().enabled_plugin(name).await? {
            Some(enabled) => enabled.grants.unwrap_or_default(),
            None if plugin.wants.is_empty() => Vec::new(),
            None => {
                let message = format!(
                    "plugin {name} {} asks for {} and nobody decided on it: PUT /api/v1/plugins/{name}/grants first (an empty list grants nothing)",
                    plugin.version,
                    words(plugin.wants.iter()),
                );
                return Err(Error::conflict("plugin-not-granted", message));
            }
        };
        let wider = not_granted(&plugin.wants, &before);
        if !wider.is_empty() {
            let message = format!(
                "plugin {name} {version} asks for more than the version before was granted ({}): PUT /api/v1/plugins/{name}/grants?version={version} first",
                words(wider.into_iter()),
                version = plugin.version,
            );
            return Err(Error::conflict("plugin-wider-wants", message));
        }
        let message = format!("Plugin {name} {} took over the grants of the version before", plugin.version);
        let event = NewEvent::new("plugin.granted", actor, message).plugin(name);
        self.db().set_grants(&plugin.digest, &before, event).await?;
        Ok(())
    }

    /// Goes back to the version that was enabled before this one.
    pub async fn roll_plugin_back(&self, name: &Name, actor: &str) -> Result<PluginVersion> {
        self.newest(name).await?;
        let Some(digest) = self.db().previous_plugin(name).await? else {
            let message = format!("plugin {name} has no version that was enabled before the present one");
            return Err(Error::conflict("plugin-no-previous", message));
        };
        let plugin = self.db().plugin_by_digest(&digest).await?;
        let message = format!("Plugin {name} went back to {}", plugin.version);
        let event = NewEvent::new("plugin.rolled-back", actor, message).plugin(name);
        self.db().enable_plugin(&digest, event).await?;
        self.wake();
        Ok(self.db().plugin_by_digest(&digest).await?)
    }

    /// Stops the plugin's syncs: runs that have not begun fail and say so.
    pub async fn disable_plugin(&self, name: &Name, actor: &str) -> Result<PluginVersion> {
        let plugin = self.plugin(name).await?;
        let message = format!("Plugin {name} was disabled");
        let event = NewEvent::new("plugin.disabled", actor, message).plugin(name).level(LogLevel::Warn);
        self.db().disable_plugin(name, event).await?;
        Ok(self.db().plugin_by_digest(&plugin.digest).await?)
    }

    /// Removes a version, or all of them. Refused while a sync needs it.
    pub async fn remove_plugin(&self, name: &Name, version: Option<&str>, actor: &str) -> Result<()> {
        let versions = match version {
            Some(_) => vec![self.plugin_version(name, version).await?],
            None => self.db().plugin_versions(Some(name)).await?,
        };
        if versions.is_empty() {
            return Err(Error::NotFound { what: "plugin", name: name.to_string() });
        }
        // The enabled one last: it is the one that a sync may need, and then the others have gone for nothing.
        let users = self.syncs_of_plugin(name).await?;
        let takes_all = version.is_none();
        if !users.is_empty() && (takes_all || versions.iter().any(|one| one.state == PluginState::Enabled)) {
            let message = format!(
                "plugin {name} is used by sync {}: remove these, or give them another plugin, first",
                users.join(", ")
            );
            return Err(Error::conflict("in-use", message));
        }
        for plugin in versions {
            let message = format!("Plugin {name} {} was removed", plugin.version);
            let event = NewEvent::new("plugin.removed", actor, message).plugin(name).level(LogLevel::Warn);
            self.db().remove_plugin(&plugin.digest, event).await?;
        }
        Ok(())
    }

    async fn syncs_of_plugin(&self, name: &Name) -> Result<Vec<String>> {
        let syncs = self.db().syncs().await?;
        Ok(syncs
            .into_iter()
            .filter(|sync| sync.spec.plugin == *name)
            .map(|sync| sync.name.to_string())
            .collect())
    }

    /// Compiled code of an installed version, from the cache where it is there.
    pub(crate) async fn load_plugin(&self, digest: &str) -> Result<Plugin> {
        let db = self.db().clone();
        let wanted = digest.to_owned();
        let package =
            async move || db.package(&wanted).await.map_err(|error| Error::from(error).into_failure());
        Ok(self.sandbox().load(digest, package).await?)
    }
}

fn words<'a>(capabilities: impl Iterator<Item = &'a Capability>) -> String {
    let one = |capability: &Capability| match capability.allow.as_slice() {
        [] => capability.capability.clone(),
        allow => format!("{} with {}", capability.capability, allow.join(" and ")),
    };
    capabilities.map(one).collect::<Vec<_>>().join(", ")
}

/// Limits that would stop every call, or none, are mistakes.
fn check_limits(limits: &SandboxLimits) -> Result<()> {
    let ranges = [
        ("memory_bytes", limits.memory_bytes, 1 << 20, 4 << 30),
        ("cpu_ms", limits.cpu_ms, 10, 3_600_000),
        ("wall_ms", limits.wall_ms, 100, 86_400_000),
        ("log_bytes", limits.log_bytes, 0, 64 << 20),
        ("log_lines_per_second", limits.log_lines_per_second.into(), 0, 100_000),
        ("call_bytes", limits.call_bytes, 1 << 16, 256 << 20),
        ("calls", limits.calls, 100, u64::MAX),
        ("handles", limits.handles.into(), 1, 1_000_000),
        ("settings_bytes", limits.settings_bytes, 1 << 10, 16 << 20),
    ];
    for (name, value, least, most) in ranges {
        if !(least..=most).contains(&value) {
            let message = format!("limit {name} of {value}: use {least} to {most}");
            return Err(Error::invalid("plugin-limits", message));
        }
    }
    Ok(())
}
