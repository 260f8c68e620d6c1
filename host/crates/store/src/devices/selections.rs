//! Selections: saved queries over devices.

use syncline_domain::{
    Name,
    device::selection::{Condition, Selection},
    event::NewEvent,
};

use crate::{
    db::{Db, Tx},
    dialect::{Session, sql},
    error::{Error, OrNotFound, Result},
    row::Row,
};

macro_rules! columns {
    () => {
        "name, condition, description, created_at, updated_at, revision"
    };
}

impl Db {
    /// Saves a selection.
    pub async fn add_selection(
        &self,
        name: &Name,
        condition: &Condition,
        description: &str,
        event: NewEvent,
    ) -> Result<Selection> {
        let mut tx = self.begin().await?;
        let query = sql(concat!("INSERT INTO selections (", columns!(), ") VALUES ($1, $2, $3, $4, $4, 1)"));
        let query = query.bind(name).bind_json(condition).bind(description).bind(self.now());
        query.execute(&mut tx).await.map_err(|error| error.or_exists("selection", name))?;
        let added = find(&mut tx, name).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(added)
    }

    /// All selections, by name.
    pub async fn selections(&self) -> Result<Vec<Selection>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM selections"));
        let rows = query.rows(&mut self.read().await?).await?;
        let mut all = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The selection of this name.
    pub async fn selection(&self, name: &Name) -> Result<Selection> {
        find(&mut self.read().await?, name).await
    }

    /// Changes a selection that was read before: its revision must still be what it was.
    pub async fn update_selection(&self, selection: &Selection, event: NewEvent) -> Result<Selection> {
        let mut tx = self.begin().await?;
        let query = sql("UPDATE selections
            SET condition = $3, description = $4, updated_at = $5, revision = revision + 1
            WHERE name = $1 AND revision = $2");
        let query = query.bind(&selection.name).bind(selection.revision).bind_json(&selection.condition);
        let changed = query.bind(&selection.description).bind(self.now()).execute(&mut tx).await?;
        let stored = find(&mut tx, &selection.name).await?;
        if changed == 0 {
            return Err(Error::Stale { what: "selection", name: selection.name.to_string() });
        }
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }

    /// Removes a selection. [`Error::InUse`] while policies hold on it.
    pub async fn remove_selection(&self, name: &Name, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        // First: whoever makes a policy on it meanwhile waits for this transaction, or this one for theirs.
        if sql("DELETE FROM selections WHERE name = $1").bind(name).execute(&mut tx).await? == 0 {
            return Err(Error::not_found("selection", name));
        }
        let by = users(&mut tx, name).await?;
        if !by.is_empty() {
            return Err(Error::InUse { what: "selection", name: name.to_string(), by });
        }
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }
}

async fn users(tx: &mut Tx, name: &Name) -> Result<Vec<String>> {
    let query = sql("SELECT id FROM policies WHERE place = 'selection' AND at_place = $1 LIMIT 5");
    let rows = query.bind(name).rows(tx).await?;
    let policy = |row: &Row| Ok(format!("policy {}", row.of("policies", "id").get::<String>("id")?));
    rows.iter().map(policy).collect()
}

/// [`Error::NotFound`] unless the selection is there, and stays there until this transaction ends.
pub(crate) async fn must_exist(session: &mut Session, name: &Name) -> Result<()> {
    let query = sql("SELECT name FROM selections WHERE name = $1 {for share}");
    query.bind(name).row(session).await?.or_not_found("selection", name)?;
    Ok(())
}

async fn find(session: &mut Session, name: &Name) -> Result<Selection> {
    let query = sql(concat!("SELECT ", columns!(), " FROM selections WHERE name = $1"));
    parse(&query.bind(name).row(session).await?.or_not_found("selection", name)?)
}

fn parse(row: &Row) -> Result<Selection> {
    let row = row.of("selections", "name");
    Ok(Selection {
        name: row.parse("name")?,
        condition: row.json("condition")?,
        description: row.get("description")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        revision: row.get("revision")?,
    })
}
