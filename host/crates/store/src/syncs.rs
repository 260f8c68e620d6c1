//! Syncs, and the cursors that their plugins keep.

use syncline_domain::{
    Name,
    event::NewEvent,
    ids::ScheduleId,
    sync::{Sync, SyncSpec},
};

use crate::{
    db::{Db, Tx},
    dialect::{Session, Turn, sql},
    directory,
    error::{Error, OrNotFound, Result},
    places, plugins,
    row::Row,
};

macro_rules! columns {
    () => {
        "name, plugin, spec, made_by, created_at, updated_at, revision"
    };
}

impl Db {
    /// Makes a sync. Its plugin, sources and targets must be there. Its revision is 1, whatever `sync` says.
    pub async fn add_sync(&self, sync: &Sync, event: NewEvent) -> Result<Sync> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        insert(&mut tx, sync).await?;
        let added = find(&mut tx, &sync.name).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(added)
    }

    /// All syncs, by name.
    pub async fn syncs(&self) -> Result<Vec<Sync>> {
        all(&mut self.read().await?).await
    }

    /// The sync of this name.
    pub async fn sync(&self, name: &Name) -> Result<Sync> {
        find(&mut self.read().await?, name).await
    }

    /// Changes a sync that was read before: its revision must still be what it was. The time of the change is now.
    pub async fn update_sync(&self, sync: &Sync, event: NewEvent) -> Result<Sync> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        let stored = put(&mut tx, sync).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }

    /// Removes a sync with its cursor and what it read of directories; its runs stay in the history, and users that went by
    /// its entries are let go. One that reads directories takes its schedules with it: it came with one. [`Error::InUse`] if
    /// another has schedules, or a run of it has not ended.
    pub async fn remove_sync(&self, name: &Name, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        if find(&mut tx, name).await?.spec.directory.is_some() {
            sql("DELETE FROM schedules WHERE sync = $1").bind(name).execute(&mut tx).await?;
        }
        remove(&mut tx, name).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }

    /// Removes syncs that were made for a schedule that is not there any more, once no run of them is under way. Gives their
    /// names.
    pub async fn remove_orphaned_syncs(&self) -> Result<Vec<Name>> {
        let made = |sync: &Sync| sync.made_by.is_some();
        if !all(&mut self.read().await?).await?.iter().any(made) {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        let mut removed = Vec::new();
        for sync in all(&mut tx).await?.into_iter().filter(made) {
            if remove_if_idle(&mut tx, &sync).await? {
                let message = format!("Sync {} went after its schedule", sync.name);
                tx.event(NewEvent::new("sync.removed", "system", message).sync(&sync.name));
                removed.push(sync.name);
            }
        }
        tx.commit().await?;
        Ok(removed)
    }

    /// Where the plugin left off, if it said so.
    pub async fn cursor(&self, sync: &Name) -> Result<Option<Vec<u8>>> {
        let query = sql("SELECT sync, body FROM cursors WHERE sync = $1");
        match query.bind(sync).row(&mut self.read().await?).await? {
            Some(row) => row.of("cursors", "sync").get("body").map(Some),
            None => Ok(None),
        }
    }

    /// Throws the cursor away, so that the next run starts from nothing.
    pub async fn clear_cursor(&self, sync: &Name, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        find(&mut tx, sync).await?;
        sql("DELETE FROM cursors WHERE sync = $1").bind(sync).execute(&mut tx).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }
}

/// Writes a new sync. Its plugin, sources and targets must be there.
pub(crate) async fn insert(tx: &mut Tx, sync: &Sync) -> Result<()> {
    check_names(tx, &sync.spec).await?;
    let query = sql(concat!("INSERT INTO syncs (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, 1)"));
    let query = query
        .bind(&sync.name)
        .bind(&sync.spec.plugin)
        .bind_json(&sync.spec)
        .bind_json_opt(sync.made_by.as_ref())
        .bind(sync.created_at)
        .bind(sync.updated_at);
    query.execute(tx).await.map_err(|error| error.or_exists("sync", &sync.name))?;
    Ok(())
}

/// Changes a sync, whose revision must be what it was.
pub(crate) async fn put(tx: &mut Tx, sync: &Sync) -> Result<Sync> {
    check_names(tx, &sync.spec).await?;
    let query =
        sql("UPDATE syncs SET plugin = $3, spec = $4, made_by = $5, updated_at = $6, revision = revision + 1
        WHERE name = $1 AND revision = $2");
    let query = query
        .bind(&sync.name)
        .bind(sync.revision)
        .bind(&sync.spec.plugin)
        .bind_json(&sync.spec)
        .bind_json_opt(sync.made_by.as_ref())
        .bind(tx.now());
    let changed = query.execute(tx).await?;
    let stored = find(tx, &sync.name).await?;
    if changed == 0 {
        return Err(Error::Stale { what: "sync", name: sync.name.to_string() });
    }
    Ok(stored)
}

/// Removes a sync. [`Error::InUse`] if it has schedules or a run of it has not ended.
async fn remove(tx: &mut Tx, name: &Name) -> Result<()> {
    let query = sql("SELECT name FROM syncs WHERE name = $1 {for update}");
    query.bind(name).row(tx).await?.or_not_found("sync", name)?;
    let by = users(tx, name).await?;
    if !by.is_empty() {
        return Err(Error::InUse { what: "sync", name: name.to_string(), by });
    }
    let now = tx.now();
    directory::links::let_users_go(tx, name, now).await?;
    sql("DELETE FROM syncs WHERE name = $1").bind(name).execute(tx).await?;
    Ok(())
}

/// Removes a sync that was made for a schedule, if that is gone and no run of it is under way. Gives whether it did.
pub(crate) async fn remove_if_idle(tx: &mut Tx, sync: &Sync) -> Result<bool> {
    match remove(tx, &sync.name).await {
        Ok(()) => Ok(true),
        Err(Error::InUse { .. } | Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The sync of this name, within a transaction.
pub(crate) async fn of_schedule(tx: &mut Tx, name: &Name, schedule: ScheduleId) -> Result<Option<Sync>> {
    let sync = find(tx, name).await?;
    Ok(Some(sync).filter(|sync| sync.made_by.as_ref().is_some_and(|made| made.schedule == schedule)))
}

/// Schedules and unfinished runs of a sync, for people.
async fn users(tx: &mut Tx, name: &Name) -> Result<Vec<String>> {
    let mut by = ids(tx, "schedule", sql("SELECT id FROM schedules WHERE sync = $1"), name).await?;
    let unfinished = sql("SELECT id FROM runs
        WHERE sync = $1 AND state IN ('queued', 'claimed', 'running', 'held', 'cancelling')");
    by.extend(ids(tx, "run", unfinished, name).await?);
    Ok(by)
}

/// Sets or removes the cursor, in the transaction that records what it stands for.
pub(crate) async fn set_cursor(
    session: &mut Session,
    sync: &Name,
    cursor: Option<&[u8]>,
    now: jiff::Timestamp,
) -> Result<()> {
    let query = match cursor {
        None => sql("DELETE FROM cursors WHERE sync = $1").bind(sync),
        Some(body) => sql("INSERT INTO cursors (sync, body, updated_at) VALUES ($1, $2, $3)
            ON CONFLICT (sync) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at")
        .bind(sync)
        .bind(body)
        .bind(now),
    };
    query.execute(session).await?;
    Ok(())
}

/// [`Error::NotFound`] unless the sync is there, and stays there until this transaction ends.
pub(crate) async fn must_exist(session: &mut Session, name: &Name) -> Result<()> {
    let query = sql("SELECT name FROM syncs WHERE name = $1 {for update}");
    query.bind(name).row(session).await?.or_not_found("sync", name)?;
    Ok(())
}

/// The collections that a sync reads, sorted; none of a sync that is not there.
pub(crate) async fn collections_of(session: &mut Session, name: &Name) -> Result<Vec<Name>> {
    let query = sql(concat!("SELECT ", columns!(), " FROM syncs WHERE name = $1"));
    let Some(sync) = query.bind(name).row(session).await?.as_ref().map(parse).transpose()? else {
        return Ok(Vec::new());
    };
    if sync.spec.directory.is_some() || sync.spec.sources.is_empty() {
        return Ok(Vec::new());
    }
    places::collections_among(session, &sync.spec.sources).await
}

/// Syncs that fit, for people: `sync NAME`.
pub(crate) async fn using(session: &mut Session, fits: impl Fn(&SyncSpec) -> bool) -> Result<Vec<String>> {
    let syncs = all(session).await?;
    Ok(syncs.iter().filter(|sync| fits(&sync.spec)).map(|sync| format!("sync {}", sync.name)).collect())
}

/// Syncs of this plugin, for people: `sync NAME`.
pub(crate) async fn using_plugin(session: &mut Session, plugin: &Name) -> Result<Vec<String>> {
    using(session, |spec| spec.plugin == *plugin).await
}

async fn check_names(session: &mut Session, spec: &SyncSpec) -> Result<()> {
    if !plugins::exists(session, &spec.plugin).await? {
        return Err(Error::not_found("plugin", &spec.plugin));
    }
    if spec.directory.is_some() {
        return directory::sources::check_names(session, &spec.sources).await;
    }
    places::check_names(session, &spec.sources, &spec.targets).await
}

async fn ids(
    session: &mut Session,
    what: &'static str,
    query: crate::dialect::Query,
    sync: &Name,
) -> Result<Vec<String>> {
    let rows = query.bind(sync).rows(session).await?;
    rows.iter().map(|row| Ok(format!("{what} {}", row.of(what, "id").get::<String>("id")?))).collect()
}

async fn all(session: &mut Session) -> Result<Vec<Sync>> {
    let rows = sql(concat!("SELECT ", columns!(), " FROM syncs")).rows(session).await?;
    let mut syncs = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
    syncs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(syncs)
}

async fn find(session: &mut Session, name: &Name) -> Result<Sync> {
    let query = sql(concat!("SELECT ", columns!(), " FROM syncs WHERE name = $1"));
    parse(&query.bind(name).row(session).await?.or_not_found("sync", name)?)
}

fn parse(row: &Row) -> Result<Sync> {
    let row = row.of("syncs", "name");
    Ok(Sync {
        name: row.parse("name")?,
        spec: row.json("spec")?,
        made_by: row.json_opt("made_by")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        revision: row.get("revision")?,
    })
}
