//! Places with files: stores and collections.
//!
//! Syncs name them without a reference that the database knows, since a source can be either: whatever comes or goes here
//! takes the turn [`Turn::Setup`], in which the names are looked at.

use jiff::Timestamp;
use syncline_domain::{
    Name,
    event::NewEvent,
    place::{Collection, StoreRecord},
    refresh::CollectionSource,
};

use crate::{
    db::{Db, Tx},
    dialect::{Query, Session, Turn, sql},
    error::{Error, OrNotFound, Result},
    row::Row,
    servers, syncs,
};

macro_rules! store_columns {
    () => {
        "name, id, kind, path, shared, node, labels, description, bytes_per_second, created_at, revision"
    };
}

macro_rules! collection_columns {
    () => {
        "name, store, prefix, description, source, refresh, limits, as_made, created_at, revision"
    };
}
pub(crate) use collection_columns;

impl Db {
    /// Registers a store. Its revision is 1, whatever `store` says. [`Error::Conflict`] if the folder with this mark is
    /// registered under another name.
    pub async fn add_store(&self, store: &StoreRecord, event: NewEvent) -> Result<StoreRecord> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        put_store(&mut tx, store).await?;
        let added = find_store(&mut tx, &store.name).await?.or_not_found("store", &store.name)?;
        tx.event(event);
        tx.commit().await?;
        Ok(added)
    }

    /// All stores, by name.
    pub async fn stores(&self) -> Result<Vec<StoreRecord>> {
        let query = sql(concat!("SELECT ", store_columns!(), " FROM stores"));
        let rows = query.rows(&mut self.read().await?).await?;
        let mut stores = rows.iter().map(parse_store).collect::<Result<Vec<_>>>()?;
        stores.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(stores)
    }

    /// The store of this name.
    pub async fn store(&self, name: &Name) -> Result<StoreRecord> {
        find_store(&mut self.read().await?, name).await?.or_not_found("store", name)
    }

    /// Changes a store that was read before: its revision must still be what it was. Name and time of registration stay.
    pub async fn update_store(&self, store: &StoreRecord, event: NewEvent) -> Result<StoreRecord> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        refuse_same_mark(&mut tx, store).await?;
        let query =
            sql("UPDATE stores SET id = $3, kind = $4, path = $5, shared = $6, node = $7, labels = $8,
                description = $9, bytes_per_second = $10, revision = revision + 1
            WHERE name = $1 AND revision = $2");
        let query = query
            .bind(&store.name)
            .bind(store.revision)
            .bind(store.id)
            .bind_word(&store.kind)
            .bind(&store.path)
            .bind(store.shared)
            .bind(store.node)
            .bind_json(&store.labels)
            .bind(&store.description)
            .bind_u64(store.bytes_per_second);
        let changed = query.execute(&mut tx).await?;
        let stored = find_store(&mut tx, &store.name).await?.or_not_found("store", &store.name)?;
        if changed == 0 {
            return Err(Error::Stale { what: "store", name: store.name.to_string() });
        }
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }

    /// Forgets a store, with the digests of its files; the files stay. [`Error::InUse`] if collections or syncs name it.
    pub async fn remove_store(&self, name: &Name, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        remove(&mut tx, name).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }

    /// Registers a collection in a store that is there, with its next tick. Its revision is 1, whatever `collection` says. One of
    /// that name that is as the server made it, and that nobody uses, goes.
    pub async fn add_collection(&self, collection: &Collection, event: NewEvent) -> Result<Collection> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        stores_must_exist(&mut tx, collection).await?;
        if find_collection(&mut tx, &collection.name).await?.is_some_and(|present| present.as_made)
            && users_of_collection(&mut tx, &collection.name).await?.is_empty()
        {
            sql("DELETE FROM collections WHERE name = $1").bind(&collection.name).execute(&mut tx).await?;
        }
        let inserted = insert_collection(collection, self.now()).execute(&mut tx).await;
        inserted.map_err(|error| error.or_exists("collection", &collection.name))?;
        let added = find_collection(&mut tx, &collection.name).await?;
        tx.event(event);
        tx.commit().await?;
        added.or_not_found("collection", &collection.name)
    }

    /// All collections, by name.
    pub async fn collections(&self) -> Result<Vec<Collection>> {
        let query = sql(concat!("SELECT ", collection_columns!(), " FROM collections"));
        let rows = query.rows(&mut self.read().await?).await?;
        let mut collections = rows.iter().map(parse_collection).collect::<Result<Vec<_>>>()?;
        collections.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(collections)
    }

    /// The collection of this name.
    pub async fn collection(&self, name: &Name) -> Result<Collection> {
        find_collection(&mut self.read().await?, name).await?.or_not_found("collection", name)
    }

    /// Changes a collection that was read before, with its next tick: its revision must still be what it was.
    pub async fn update_collection(&self, collection: &Collection, event: NewEvent) -> Result<Collection> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        stores_must_exist(&mut tx, collection).await?;
        let query = sql("UPDATE collections
            SET store = $3, prefix = $4, description = $5, source = $6, refresh = $7, limits = $8, as_made = $9,
                next_tick = $10, revision = revision + 1
            WHERE name = $1 AND revision = $2");
        let query = query
            .bind(&collection.name)
            .bind(collection.revision)
            .bind(&collection.store)
            .bind(collection.prefix.as_bytes())
            .bind(&collection.description)
            .bind_json(&collection.source)
            .bind_json_opt(collection.refresh.as_ref())
            .bind_json(&collection.limits)
            .bind(collection.as_made)
            .bind(collection.next_tick(self.now()));
        let changed = query.execute(&mut tx).await?;
        let found = find_collection(&mut tx, &collection.name).await?;
        let stored = found.or_not_found("collection", &collection.name)?;
        if changed == 0 {
            return Err(Error::Stale { what: "collection", name: collection.name.to_string() });
        }
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }

    /// Forgets a collection; the files stay. [`Error::InUse`] if syncs read it, or if it is being refreshed.
    pub async fn remove_collection(&self, name: &Name, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        let by = users_of_collection(&mut tx, name).await?;
        if !by.is_empty() {
            return Err(Error::InUse { what: "collection", name: name.to_string(), by });
        }
        if sql("DELETE FROM collections WHERE name = $1").bind(name).execute(&mut tx).await? == 0 {
            return Err(Error::not_found("collection", name));
        }
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }
}

/// Writes a new store.
pub(crate) async fn put_store(session: &mut Session, store: &StoreRecord) -> Result<()> {
    if find_store(session, &store.name).await?.is_some() {
        return Err(Error::Exists { what: "store", name: store.name.to_string() });
    }
    refuse_same_mark(session, store).await?;
    insert_store(store).execute(session).await?;
    Ok(())
}

/// Forgets a store. [`Error::InUse`] if collections, servers or syncs name it.
pub(crate) async fn remove(tx: &mut Tx, name: &Name) -> Result<()> {
    let mut by = collections_with(tx, name).await?;
    by.extend(servers::of_store(tx, name).await?);
    let collection = find_collection(tx, name).await?;
    by.extend(
        syncs::using(tx, |spec| {
            let reads = spec.directory.is_none() && spec.sources.contains(name);
            spec.targets.contains(name) || (collection.is_none() && reads)
        })
        .await?,
    );
    if !by.is_empty() {
        return Err(Error::InUse { what: "store", name: name.to_string(), by });
    }
    if sql("DELETE FROM stores WHERE name = $1").bind(name).execute(tx).await? == 0 {
        return Err(Error::not_found("store", name));
    }
    Ok(())
}

/// [`Error::NotFound`] unless every source is a collection or a store, and every target a store.
pub(crate) async fn check_names(session: &mut Session, sources: &[Name], targets: &[Name]) -> Result<()> {
    for name in sources {
        if find_collection(session, name).await?.is_none() && find_store(session, name).await?.is_none() {
            return Err(Error::not_found("collection or store", name));
        }
    }
    for name in targets {
        find_store(session, name).await?.or_not_found("store", name)?;
    }
    Ok(())
}

/// Those of the names that are collections, in their order.
pub(crate) async fn collections_among(session: &mut Session, names: &[Name]) -> Result<Vec<Name>> {
    let rows = sql("SELECT name FROM collections").rows(session).await?;
    let known = rows.iter().map(|row| row.of("collections", "name").parse("name"));
    let known = known.collect::<Result<Vec<Name>>>()?;
    Ok(names.iter().filter(|name| known.contains(name)).cloned().collect())
}

pub(crate) async fn find_store(session: &mut Session, name: &Name) -> Result<Option<StoreRecord>> {
    let query = sql(concat!("SELECT ", store_columns!(), " FROM stores WHERE name = $1"));
    query.bind(name).row(session).await?.as_ref().map(parse_store).transpose()
}

pub(crate) async fn find_collection(session: &mut Session, name: &Name) -> Result<Option<Collection>> {
    let query = sql(concat!("SELECT ", collection_columns!(), " FROM collections WHERE name = $1"));
    query.bind(name).row(session).await?.as_ref().map(parse_collection).transpose()
}

/// Two names for one folder would let two runs write to it at a time.
async fn refuse_same_mark(session: &mut Session, store: &StoreRecord) -> Result<()> {
    let query = sql("SELECT name FROM stores WHERE id = $1 AND name <> $2");
    match query.bind(store.id).bind(&store.name).row(session).await? {
        None => Ok(()),
        Some(row) => {
            let other: Name = row.of("stores", "name").parse("name")?;
            Err(Error::Conflict(format!(
                "the folder {} is registered already, as store {other}: use that, or adopt the folder anew if it is a copy",
                store.path
            )))
        }
    }
}

/// Collections that are in a store, or refreshed from it, for people.
async fn collections_with(session: &mut Session, store: &Name) -> Result<Vec<String>> {
    let query = sql(concat!("SELECT ", collection_columns!(), " FROM collections"));
    let rows = query.rows(session).await?;
    let mut names = Vec::new();
    for row in &rows {
        let collection = parse_collection(row)?;
        if collection.store == *store || source_store(&collection.source) == Some(store) {
            names.push(format!("collection {}", collection.name));
        }
    }
    names.sort();
    Ok(names)
}

const fn source_store(source: &CollectionSource) -> Option<&Name> {
    match source {
        CollectionSource::Store(source) => Some(&source.store),
        CollectionSource::None | CollectionSource::Http(_) => None,
    }
}

async fn stores_must_exist(session: &mut Session, collection: &Collection) -> Result<()> {
    for store in [Some(&collection.store), source_store(&collection.source)].into_iter().flatten() {
        find_store(session, store).await?.or_not_found("store", store)?;
    }
    Ok(())
}

/// What needs a collection, for people: syncs that read it, and runs that refresh it.
async fn users_of_collection(session: &mut Session, name: &Name) -> Result<Vec<String>> {
    let mut by =
        syncs::using(session, |spec| spec.directory.is_none() && spec.sources.contains(name)).await?;
    let query = sql("SELECT id FROM runs
        WHERE collection = $1 AND state IN ('queued', 'claimed', 'running', 'held', 'cancelling') ORDER BY id");
    for row in &query.bind(name).rows(session).await? {
        by.push(format!("run {}", row.of("runs", "id").get::<String>("id")?));
    }
    Ok(by)
}

/// [`Error::NotFound`] unless the collection is there, and stays there until this transaction ends.
pub(crate) async fn collection_must_exist(session: &mut Session, name: &Name) -> Result<()> {
    let query = sql("SELECT name FROM collections WHERE name = $1 {for update}");
    query.bind(name).row(session).await?.or_not_found("collection", name)?;
    Ok(())
}

pub(crate) fn insert_store(store: &StoreRecord) -> Query {
    sql(concat!(
        "INSERT INTO stores (",
        store_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1)"
    ))
    .bind(&store.name)
    .bind(store.id)
    .bind_word(&store.kind)
    .bind(&store.path)
    .bind(store.shared)
    .bind(store.node)
    .bind_json(&store.labels)
    .bind(&store.description)
    .bind_u64(store.bytes_per_second)
    .bind(store.created_at)
}

pub(crate) fn insert_collection(collection: &Collection, now: Timestamp) -> Query {
    sql(concat!(
        "INSERT INTO collections (",
        collection_columns!(),
        ", next_tick) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10)"
    ))
    .bind(&collection.name)
    .bind(&collection.store)
    .bind(collection.prefix.as_bytes())
    .bind(&collection.description)
    .bind_json(&collection.source)
    .bind_json_opt(collection.refresh.as_ref())
    .bind_json(&collection.limits)
    .bind(collection.as_made)
    .bind(collection.created_at)
    .bind(collection.next_tick(now))
}

fn parse_store(row: &Row) -> Result<StoreRecord> {
    let row = row.of("stores", "name");
    Ok(StoreRecord {
        name: row.parse("name")?,
        id: row.parse("id")?,
        kind: row.word("kind")?,
        path: row.get("path")?,
        shared: row.get("shared")?,
        node: row.parse("node")?,
        labels: row.json("labels")?,
        description: row.get("description")?,
        bytes_per_second: row.unsigned_opt("bytes_per_second")?,
        created_at: row.time("created_at")?,
        revision: row.get("revision")?,
    })
}

pub(crate) fn parse_collection(row: &Row) -> Result<Collection> {
    let row = row.of("collections", "name");
    Ok(Collection {
        name: row.parse("name")?,
        store: row.parse("store")?,
        prefix: row.path("prefix")?,
        description: row.get("description")?,
        source: row.json("source")?,
        refresh: row.json_opt("refresh")?,
        limits: row.json("limits")?,
        as_made: row.get("as_made")?,
        created_at: row.time("created_at")?,
        revision: row.get("revision")?,
    })
}
