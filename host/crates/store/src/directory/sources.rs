//! Directory sources as administrators register them.

use syncline_domain::{
    Name,
    directory::{DirectorySource, SourceSpec},
    event::NewEvent,
};

use crate::{
    db::Db,
    dialect::{Session, Turn, sql},
    error::{Error, OrNotFound, Result},
    row::Row,
    syncs,
};

macro_rules! columns {
    () => {
        "name, spec, created_at, updated_at, revision"
    };
}

impl Db {
    /// Registers a directory source.
    pub async fn add_directory_source(
        &self,
        name: &Name,
        spec: &SourceSpec,
        event: NewEvent,
    ) -> Result<DirectorySource> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        let query =
            sql(concat!("INSERT INTO directory_sources (", columns!(), ") VALUES ($1, $2, $3, $3, 1)"));
        let inserted = query.bind(name).bind_json(spec).bind(self.now()).execute(&mut tx).await;
        inserted.map_err(|error| error.or_exists("directory source", name))?;
        let added = find(&mut tx, name).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(added)
    }

    /// All directory sources, by name.
    pub async fn directory_sources(&self) -> Result<Vec<DirectorySource>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM directory_sources"));
        let rows = query.rows(&mut self.read().await?).await?;
        let mut sources = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(sources)
    }

    /// The directory source of this name.
    pub async fn directory_source(&self, name: &Name) -> Result<DirectorySource> {
        find(&mut self.read().await?, name).await
    }

    /// Changes a directory source that was read before: its revision must still be what it was.
    pub async fn update_directory_source(
        &self,
        source: &DirectorySource,
        event: NewEvent,
    ) -> Result<DirectorySource> {
        let mut tx = self.begin().await?;
        let query = sql("UPDATE directory_sources SET spec = $3, updated_at = $4, revision = revision + 1
            WHERE name = $1 AND revision = $2");
        let query = query.bind(&source.name).bind(source.revision).bind_json(&source.spec).bind(self.now());
        let changed = query.execute(&mut tx).await?;
        let stored = find(&mut tx, &source.name).await?;
        if changed == 0 {
            return Err(Error::Stale { what: "directory source", name: source.name.to_string() });
        }
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }

    /// Forgets a directory source. [`Error::InUse`] if syncs read it.
    pub async fn remove_directory_source(&self, name: &Name, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        find(&mut tx, name).await?;
        let by =
            syncs::using(&mut tx, |spec| spec.directory.is_some() && spec.sources.contains(name)).await?;
        if !by.is_empty() {
            return Err(Error::InUse { what: "directory source", name: name.to_string(), by });
        }
        sql("DELETE FROM directory_sources WHERE name = $1").bind(name).execute(&mut tx).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }
}

/// [`Error::NotFound`] unless all of them are there.
pub(crate) async fn check_names(session: &mut Session, names: &[Name]) -> Result<()> {
    for name in names {
        find(session, name).await?;
    }
    Ok(())
}

async fn find(session: &mut Session, name: &Name) -> Result<DirectorySource> {
    let query = sql(concat!("SELECT ", columns!(), " FROM directory_sources WHERE name = $1"));
    parse(&query.bind(name).row(session).await?.or_not_found("directory source", name)?)
}

fn parse(row: &Row) -> Result<DirectorySource> {
    let row = row.of("directory_sources", "name");
    Ok(DirectorySource {
        name: row.parse("name")?,
        spec: row.json("spec")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        revision: row.get("revision")?,
    })
}
