//! Plugins: versions with their packages, grants, limits and states.

use syncline_domain::{
    Failure, Name,
    event::NewEvent,
    log::LogLevel,
    plugin::{Capability, PluginState, PluginVersion, STRIKES, SandboxLimits},
};

use crate::{
    db::{Db, Tx},
    dialect::{Query, Session, Turn, sql},
    error::{Error, OrNotFound, Result},
    row::Row,
    syncs,
};

macro_rules! columns {
    () => {
        "digest, name, version, world, manifest, wants, imports, grants, state, suspended, strikes, limits, size, \
         installed_at, installed_by"
    };
}

impl Db {
    /// Adds a version with its package. [`Error::Exists`] if this very package is there.
    pub async fn add_plugin(&self, plugin: &PluginVersion, package: &[u8], event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        let inserted = insert(plugin).execute(&mut tx).await;
        inserted.map_err(|error| error.or_exists("plugin", &plugin.digest))?;
        let query = sql("INSERT INTO packages (digest, body) VALUES ($1, $2)");
        query.bind(&plugin.digest).bind(package).execute(&mut tx).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }

    /// All versions, or those of one plugin: by name, then newest version first, then the latest upload first.
    pub async fn plugin_versions(&self, name: Option<&Name>) -> Result<Vec<PluginVersion>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM plugins WHERE TRUE"));
        let rows = query.push_some(" AND name = $?", name).rows(&mut self.read().await?).await?;
        let mut plugins = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        plugins.sort_by(|a, b| {
            let versions = a.name.cmp(&b.name).then_with(|| b.version.cmp(&a.version));
            versions.then_with(|| b.installed_at.cmp(&a.installed_at))
        });
        Ok(plugins)
    }

    /// The version of this digest.
    pub async fn plugin_by_digest(&self, digest: &str) -> Result<PluginVersion> {
        find(&mut self.read().await?, digest).await
    }

    /// The version that runs go to, if there is one.
    pub async fn enabled_plugin(&self, name: &Name) -> Result<Option<PluginVersion>> {
        let query =
            sql(concat!("SELECT ", columns!(), " FROM plugins WHERE name = $1 AND state = 'enabled'"));
        let row = query.bind(name).row(&mut self.read().await?).await?;
        row.as_ref().map(parse).transpose()
    }

    /// The package of this digest.
    pub async fn package(&self, digest: &str) -> Result<Vec<u8>> {
        let query = sql("SELECT digest, body FROM packages WHERE digest = $1");
        let row = query.bind(digest).row(&mut self.read().await?).await?;
        row.or_not_found("plugin", digest)?.of("packages", "digest").get("body")
    }

    /// Sets what an administrator grants this digest.
    pub async fn set_grants(
        &self,
        digest: &str,
        grants: &[Capability],
        event: NewEvent,
    ) -> Result<PluginVersion> {
        let query = sql("UPDATE plugins SET grants = $2 WHERE digest = $1");
        self.change_plugin(digest, query.bind(digest).bind_json(&grants), event).await
    }

    /// Sets the limits of this digest's sandbox.
    pub async fn set_limits(
        &self,
        digest: &str,
        limits: &SandboxLimits,
        event: NewEvent,
    ) -> Result<PluginVersion> {
        let query = sql("UPDATE plugins SET limits = $2 WHERE digest = $1");
        self.change_plugin(digest, query.bind(digest).bind_json(limits), event).await
    }

    async fn change_plugin(&self, digest: &str, query: Query, event: NewEvent) -> Result<PluginVersion> {
        let mut tx = self.begin().await?;
        if query.execute(&mut tx).await? == 0 {
            return Err(Error::not_found("plugin", digest));
        }
        let plugin = find(&mut tx, digest).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(plugin)
    }

    /// Sends runs to this version from now on. Another version of the plugin that was enabled becomes disabled and is
    /// what [`Db::previous_plugin`] tells; strikes and suspension of this one are over.
    pub async fn enable_plugin(&self, digest: &str, event: NewEvent) -> Result<PluginVersion> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        let plugin = find(&mut tx, digest).await?;
        let query = sql("UPDATE plugins SET state = 'disabled' WHERE name = $1 AND state = 'enabled'");
        query.bind(&plugin.name).execute(&mut tx).await?;
        let query =
            sql("UPDATE plugins SET state = 'enabled', suspended = NULL, strikes = 0 WHERE digest = $1");
        query.bind(digest).execute(&mut tx).await?;
        let query = sql("INSERT INTO plugin_versions_enabled (name, latest) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET
                previous = CASE WHEN plugin_versions_enabled.latest = excluded.latest
                    THEN plugin_versions_enabled.previous ELSE plugin_versions_enabled.latest END,
                latest = excluded.latest");
        query.bind(&plugin.name).bind(digest).execute(&mut tx).await?;
        let plugin = find(&mut tx, digest).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(plugin)
    }

    /// The digest of the version that was enabled before the one that was enabled last: where "go back" goes.
    pub async fn previous_plugin(&self, name: &Name) -> Result<Option<String>> {
        let query = sql("SELECT name, previous FROM plugin_versions_enabled WHERE name = $1");
        match query.bind(name).row(&mut self.read().await?).await? {
            Some(row) => row.of("plugin_versions_enabled", "name").get("previous"),
            None => Ok(None),
        }
    }

    /// Sends no more runs to any version of this plugin. [`Error::NotFound`] if none is enabled or suspended.
    pub async fn disable_plugin(&self, name: &Name, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        let query = sql("UPDATE plugins SET state = 'disabled', suspended = NULL
            WHERE name = $1 AND state IN ('enabled', 'suspended')");
        if query.bind(name).execute(&mut tx).await? == 0 {
            return Err(Error::not_found("enabled plugin", name));
        }
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }

    /// Counts a run that ended by the plugin's own fault. At [`STRIKES`] in a row an enabled plugin is suspended.
    pub async fn strike(&self, digest: &str, failure: &Failure) -> Result<PluginVersion> {
        let mut tx = self.begin().await?;
        let query = sql("UPDATE plugins SET strikes = strikes + 1 WHERE digest = $1");
        if query.bind(digest).execute(&mut tx).await? == 0 {
            return Err(Error::not_found("plugin", digest));
        }
        let mut plugin = find(&mut tx, digest).await?;
        if plugin.strikes >= STRIKES && plugin.state == PluginState::Enabled {
            suspend(&mut tx, &plugin, failure).await?;
            plugin = find(&mut tx, digest).await?;
        }
        tx.commit().await?;
        Ok(plugin)
    }

    /// Forgets the strikes: a run ended without a fault of the plugin.
    pub async fn clear_strikes(&self, digest: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let query = sql("UPDATE plugins SET strikes = 0 WHERE digest = $1 AND strikes > 0");
        query.bind(digest).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes a version. [`Error::InUse`] if syncs name the plugin and this version is enabled or the only one, or if a
    /// run under way goes by it.
    pub async fn remove_plugin(&self, digest: &str, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        let plugin = find(&mut tx, digest).await?;
        let query = sql("SELECT COUNT(*) FROM plugins WHERE name = $1 AND digest <> $2");
        let others = query.bind(&plugin.name).bind(digest).row(&mut tx).await?;
        let only = others.map_or(Ok(0), |row| row.number())? == 0;
        if only || plugin.state == PluginState::Enabled {
            let by = syncs::using_plugin(&mut tx, &plugin.name).await?;
            if !by.is_empty() {
                return Err(Error::InUse { what: "plugin", name: plugin.name.to_string(), by });
            }
        }
        let under_way = sql("SELECT id FROM runs
            WHERE plugin_digest = $1 AND state IN ('claimed', 'running', 'cancelling')");
        let rows = under_way.bind(digest).rows(&mut tx).await?;
        if !rows.is_empty() {
            let id = |row: &Row| Ok(format!("run {}", row.of("runs", "id").get::<String>("id")?));
            let by = rows.iter().map(id).collect::<Result<Vec<_>>>()?;
            return Err(Error::InUse { what: "plugin", name: plugin.name.to_string(), by });
        }
        sql("DELETE FROM plugins WHERE digest = $1").bind(digest).execute(&mut tx).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }
}

/// Whether any version of the plugin is there.
pub(crate) async fn exists(session: &mut Session, name: &Name) -> Result<bool> {
    let row = sql("SELECT digest FROM plugins WHERE name = $1 LIMIT 1").bind(name).row(session).await?;
    Ok(row.is_some())
}

async fn suspend(tx: &mut Tx, plugin: &PluginVersion, failure: &Failure) -> Result<()> {
    let query = sql("UPDATE plugins SET state = 'suspended', suspended = $2 WHERE digest = $1");
    query.bind(&plugin.digest).bind_json(failure).execute(tx).await?;
    let message = format!(
        "plugin {} {} is suspended: {} runs in a row ended by its own fault, the last with: {failure}",
        plugin.name, plugin.version, plugin.strikes
    );
    tx.event(
        NewEvent::new("plugin.suspended", "system", message)
            .level(LogLevel::Error)
            .plugin(&plugin.name)
            .data(serde_json::json!({ "digest": plugin.digest, "failure": failure })),
    );
    Ok(())
}

async fn find(session: &mut Session, digest: &str) -> Result<PluginVersion> {
    let query = sql(concat!("SELECT ", columns!(), " FROM plugins WHERE digest = $1"));
    parse(&query.bind(digest).row(session).await?.or_not_found("plugin", digest)?)
}

fn insert(plugin: &PluginVersion) -> Query {
    sql(concat!(
        "INSERT INTO plugins (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
    ))
    .bind(&plugin.digest)
    .bind(&plugin.name)
    .bind(plugin.version.to_string())
    .bind(&plugin.world)
    .bind_json(&plugin.manifest)
    .bind_json(&plugin.wants)
    .bind_json(&plugin.imports)
    .bind_json_opt(plugin.grants.as_ref())
    .bind_word(&plugin.state)
    .bind_json_opt(plugin.suspended.as_ref())
    .bind(plugin.strikes)
    .bind_json(&plugin.limits)
    .bind_u64(plugin.size)
    .bind(plugin.installed_at)
    .bind(&plugin.installed_by)
}

fn parse(row: &Row) -> Result<PluginVersion> {
    let row = row.of("plugins", "digest");
    Ok(PluginVersion {
        name: row.parse("name")?,
        version: row.parse("version")?,
        digest: row.get("digest")?,
        world: row.get("world")?,
        manifest: row.json("manifest")?,
        wants: row.json("wants")?,
        imports: row.json("imports")?,
        grants: row.json_opt("grants")?,
        state: row.word("state")?,
        suspended: row.json_opt("suspended")?,
        strikes: row.unsigned("strikes")?,
        limits: row.json("limits")?,
        size: row.unsigned("size")?,
        installed_at: row.time("installed_at")?,
        installed_by: row.get("installed_by")?,
    })
}
