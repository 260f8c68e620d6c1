//! Distribution servers, and what runs left of them for later.

use jiff::Timestamp;
use syncline_domain::{
    Name,
    event::NewEvent,
    ids::{RunId, ScheduleId},
    place::StoreRecord,
    run::{Left, Run},
    schedule::Schedule,
    server::DistributionServer,
    sync::Sync,
};

use crate::{
    db::{Db, Tx},
    dialect::{Session, Turn, sql},
    error::{Error, OrNotFound, Result},
    places,
    row::Row,
    runs::{self, NewRun},
    schedules, syncs,
};

macro_rules! columns {
    () => {
        "name, store, spec, brought_store, created_at, revision"
    };
}

/// What goes, or changes, with a server that is forgotten.
#[derive(Debug, Clone, Default)]
pub struct ServerRemoval {
    /// Schedules that have no server left.
    pub schedules: Vec<ScheduleId>,
    /// Schedules that stay, as they are then: paused.
    pub paused: Vec<Schedule>,
    /// Syncs that stay, as they are then: without the server.
    pub narrowed: Vec<Sync>,
    /// Whether the store goes too.
    pub store: bool,
}

/// Something of a server that is left for later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The sync that puts it there.
    pub sync: Name,
    /// The store of the server.
    pub store: Name,
    /// Since when it is left.
    pub since: Timestamp,
    /// How often it was left again.
    pub times: u32,
    /// When a run of its own begins.
    pub next_try: Timestamp,
    /// Why it is left.
    pub reason: String,
    /// The run that left it last.
    pub run: RunId,
}

impl Db {
    /// Registers a server of a store that is there, or with its store. Its revision is 1, whatever `server` says.
    /// [`Error::Conflict`] if the store is another server's.
    pub async fn add_server(
        &self,
        server: &DistributionServer,
        store: Option<&StoreRecord>,
        events: Vec<NewEvent>,
    ) -> Result<DistributionServer> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        if let Some(store) = store {
            places::put_store(&mut tx, store).await?;
        }
        let query = sql("SELECT name FROM distribution_servers WHERE store = $1 AND name <> $2");
        if let Some(row) = query.bind(&server.store).bind(&server.name).row(&mut tx).await? {
            let other: Name = row.of("distribution_servers", "name").parse("name")?;
            let message = format!("store {} is that of distribution server {other} already", server.store);
            return Err(Error::Conflict(message));
        }
        let query = sql(concat!(
            "INSERT INTO distribution_servers (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, 1)"
        ));
        let query = query
            .bind(&server.name)
            .bind(&server.store)
            .bind_json(&server.spec)
            .bind(server.brought_store)
            .bind(server.created_at);
        let inserted = query.execute(&mut tx).await;
        inserted.map_err(|error| error.or_exists("distribution server", &server.name))?;
        let added = find(&mut tx, &server.name).await?;
        for event in events {
            tx.event(event);
        }
        tx.commit().await?;
        Ok(added)
    }

    /// All servers, by name.
    pub async fn servers(&self) -> Result<Vec<DistributionServer>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM distribution_servers"));
        let rows = query.rows(&mut self.read().await?).await?;
        let mut servers = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        servers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(servers)
    }

    /// The server of this name.
    pub async fn server(&self, name: &Name) -> Result<DistributionServer> {
        find(&mut self.read().await?, name).await
    }

    /// Changes a server that was read before, and the syncs that go by its components, all of which must be what they were. What
    /// waits for its time there (by the `lock` that its runs take) is looked at anew.
    pub async fn update_server(
        &self,
        server: &DistributionServer,
        with: &[Sync],
        lock: &str,
        event: NewEvent,
    ) -> Result<DistributionServer> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        let query = sql("UPDATE distribution_servers SET spec = $3, revision = revision + 1
            WHERE name = $1 AND revision = $2");
        let query = query.bind(&server.name).bind(server.revision).bind_json(&server.spec);
        let changed = query.execute(&mut tx).await?;
        let stored = find(&mut tx, &server.name).await?;
        if changed == 0 {
            return Err(Error::Stale { what: "distribution server", name: server.name.to_string() });
        }
        for sync in with {
            syncs::put(&mut tx, sync).await?;
        }
        let query = sql("UPDATE runs SET not_before = NULL WHERE state = 'queued' AND not_before IS NOT NULL
            AND id IN (SELECT run FROM run_locks WHERE resource = $1)");
        query.bind(lock).execute(&mut tx).await?;
        let query = sql("UPDATE backlog SET next_try = $2 WHERE store = $1 AND next_try > $2");
        query.bind(&server.store).bind(self.now()).execute(&mut tx).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }

    /// Forgets a server, with what goes with it.
    pub async fn remove_server(
        &self,
        name: &Name,
        removal: &ServerRemoval,
        events: Vec<NewEvent>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        let server = find(&mut tx, name).await?;
        for sync in &removal.narrowed {
            syncs::put(&mut tx, sync).await?;
        }
        for schedule in &removal.paused {
            schedules::put(&mut tx, schedule).await?;
        }
        for id in &removal.schedules {
            schedules::remove(&mut tx, *id).await?;
        }
        sql("DELETE FROM distribution_servers WHERE name = $1").bind(name).execute(&mut tx).await?;
        sql("DELETE FROM backlog WHERE store = $1").bind(&server.store).execute(&mut tx).await?;
        if removal.store {
            places::remove(&mut tx, &server.store).await?;
        }
        for event in events {
            tx.event(event);
        }
        tx.commit().await?;
        Ok(())
    }

    /// All that is left for later, by sync and store.
    pub async fn backlog(&self) -> Result<Vec<Backlog>> {
        let query = sql("SELECT sync, store, since, times, next_try, reason, run FROM backlog");
        let rows = query.rows(&mut self.read().await?).await?;
        let mut backlog = rows.iter().map(parse_backlog).collect::<Result<Vec<_>>>()?;
        backlog.sort_by(|a, b| (&a.sync, &a.store).cmp(&(&b.sync, &b.store)));
        Ok(backlog)
    }

    /// What is left for later and whose time has come, by sync and store. What belongs to a sync whose schedules are all paused
    /// is not.
    pub async fn due_backlog(&self, now: Timestamp) -> Result<Vec<Backlog>> {
        let query = sql("SELECT sync, store, since, times, next_try, reason, run FROM backlog b
            WHERE next_try <= $1
                AND (EXISTS (SELECT 1 FROM schedules s WHERE s.sync = b.sync AND NOT s.paused)
                    OR NOT EXISTS (SELECT 1 FROM schedules s WHERE s.sync = b.sync))
            ORDER BY sync, store");
        query.bind(now).rows(&mut self.read().await?).await?.iter().map(parse_backlog).collect()
    }

    /// Queues the run that does what is left, of which each entry must be as it was read: it comes again at `again` unless the
    /// run says otherwise. `None`, and nothing done, if another node was first or a run of the sync has not ended, which does
    /// it as well.
    pub async fn enqueue_backlog(
        &self,
        run: &NewRun,
        due: &[Backlog],
        again: Timestamp,
        event: NewEvent,
    ) -> Result<Option<Run>> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Runs).await?;
        runs::must_exist(&mut tx, &run.subject).await?;
        let unfinished = sql("SELECT id FROM runs WHERE sync = $1 AND mode = 'apply'
            AND state IN ('queued', 'claimed', 'running', 'cancelling') LIMIT 1");
        if unfinished.bind(run.subject.sync()).row(&mut tx).await?.is_some() {
            return Ok(None);
        }
        for one in due {
            let query =
                sql("UPDATE backlog SET next_try = $4 WHERE sync = $1 AND store = $2 AND next_try = $3");
            let query = query.bind(&one.sync).bind(&one.store).bind(one.next_try).bind(again);
            if query.execute(&mut tx).await? == 0 {
                return Ok(None);
            }
        }
        runs::insert(&mut tx, run, syncline_domain::run::RunState::Queued, None, self.now()).await?;
        let queued = runs::find(&mut tx, run.id).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(Some(queued))
    }
}

/// Writes down what a run left, in the transaction that ends it.
pub(crate) async fn leave(tx: &mut Tx, sync: &Name, run: RunId, left: &[Left], now: Timestamp) -> Result<()> {
    for Left { target, waits } in left {
        let query = match waits {
            None => sql("DELETE FROM backlog WHERE sync = $1 AND store = $2").bind(sync).bind(target),
            // Its server may have been forgotten meanwhile.
            Some(waits) => sql("INSERT INTO backlog (sync, store, since, times, next_try, reason, run)
                SELECT $1, store, $3, 1, $4, $5, $6 FROM distribution_servers WHERE store = $2
                ON CONFLICT (sync, store) DO UPDATE SET times = backlog.times + 1,
                    next_try = excluded.next_try, reason = excluded.reason, run = excluded.run")
            .bind(sync)
            .bind(target)
            .bind(now)
            .bind(waits.until)
            .bind(&waits.reason)
            .bind(run),
        };
        query.execute(tx).await?;
    }
    Ok(())
}

/// For people: the server whose store this is, if it is one's.
pub(crate) async fn of_store(session: &mut Session, store: &Name) -> Result<Option<String>> {
    let query = sql("SELECT name FROM distribution_servers WHERE store = $1");
    let row = query.bind(store).row(session).await?;
    let name = row.map(|row| row.of("distribution_servers", "name").get::<String>("name")).transpose()?;
    Ok(name.map(|name| format!("distribution server {name}")))
}

async fn find(session: &mut Session, name: &Name) -> Result<DistributionServer> {
    let query = sql(concat!("SELECT ", columns!(), " FROM distribution_servers WHERE name = $1"));
    parse(&query.bind(name).row(session).await?.or_not_found("distribution server", name)?)
}

fn parse(row: &Row) -> Result<DistributionServer> {
    let row = row.of("distribution_servers", "name");
    Ok(DistributionServer {
        name: row.parse("name")?,
        store: row.parse("store")?,
        spec: row.json("spec")?,
        brought_store: row.get("brought_store")?,
        created_at: row.time("created_at")?,
        revision: row.get("revision")?,
    })
}

fn parse_backlog(row: &Row) -> Result<Backlog> {
    let row = row.of("backlog", "sync");
    Ok(Backlog {
        sync: row.parse("sync")?,
        store: row.parse("store")?,
        since: row.time("since")?,
        times: row.unsigned("times")?,
        next_try: row.time("next_try")?,
        reason: row.get("reason")?,
        run: row.parse("run")?,
    })
}
