//! Applications: what is configured on devices.

use std::collections::BTreeSet;

use syncline_domain::{
    Name,
    device::policy::{Application, ApplicationSpec},
    event::NewEvent,
    ids::DeviceId,
};

use super::status;
use crate::{
    db::{Db, Tx},
    dialect::{Session, sql},
    error::{Error, OrNotFound, Result},
    row::Row,
};

macro_rules! columns {
    () => {
        "name, plugin, spec, created_at, updated_at, revision"
    };
}

impl Db {
    /// Makes an application.
    pub async fn add_application(
        &self,
        name: &Name,
        spec: &ApplicationSpec,
        event: NewEvent,
    ) -> Result<Application> {
        let mut tx = self.begin().await?;
        let query =
            sql(concat!("INSERT INTO applications (", columns!(), ") VALUES ($1, $2, $3, $4, $4, 1)"));
        let query = query.bind(name).bind(&spec.plugin).bind_json(spec).bind(self.now());
        query.execute(&mut tx).await.map_err(|error| error.or_exists("application", name))?;
        let added = find(&mut tx, name).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(added)
    }

    /// All applications, by name.
    pub async fn applications(&self) -> Result<Vec<Application>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM applications"));
        let rows = query.rows(&mut self.read().await?).await?;
        let mut all = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The application of this name.
    pub async fn application(&self, name: &Name) -> Result<Application> {
        find(&mut self.read().await?, name).await
    }

    /// Changes an application that was read before: its revision must still be what it was.
    pub async fn update_application(
        &self,
        application: &Application,
        event: NewEvent,
    ) -> Result<Application> {
        let mut tx = self.begin().await?;
        let query =
            sql("UPDATE applications SET plugin = $3, spec = $4, updated_at = $5, revision = revision + 1
            WHERE name = $1 AND revision = $2");
        let query = query.bind(&application.name).bind(application.revision).bind(&application.spec.plugin);
        let changed = query.bind_json(&application.spec).bind(self.now()).execute(&mut tx).await?;
        let stored = find(&mut tx, &application.name).await?;
        if changed == 0 {
            return Err(Error::Stale { what: "application", name: application.name.to_string() });
        }
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }

    /// Removes an application. [`Error::InUse`] while it has policies, or a device is known to hold a document of it.
    pub async fn remove_application(&self, name: &Name, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        let query = sql("SELECT name FROM applications WHERE name = $1 {for update}");
        query.bind(name).row(&mut tx).await?.or_not_found("application", name)?;
        let by = users(&mut tx, name).await?;
        if !by.is_empty() {
            return Err(Error::InUse { what: "application", name: name.to_string(), by });
        }
        sql("DELETE FROM deliveries WHERE application = $1").bind(name).execute(&mut tx).await?;
        forget_waiting(&mut tx, name).await?;
        sql("DELETE FROM applications WHERE name = $1").bind(name).execute(&mut tx).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }
}

/// What is said of devices about an application that is gone is gone with it.
async fn forget_waiting(tx: &mut Tx, application: &Name) -> Result<()> {
    let mut devices = BTreeSet::new();
    for table in [
        "DELETE FROM resolve_failures WHERE application = $1 RETURNING device",
        "DELETE FROM unpublished WHERE application = $1 RETURNING device",
    ] {
        for row in sql(table).bind(application).rows(tx).await? {
            devices.insert(row.of("devices", "device").parse::<DeviceId>("device")?);
        }
    }
    let now = tx.now();
    status::refresh(tx, &devices.into_iter().collect::<Vec<_>>(), now).await
}

async fn users(tx: &mut Tx, name: &Name) -> Result<Vec<String>> {
    let mut by = Vec::new();
    for row in sql("SELECT id FROM policies WHERE application = $1 LIMIT 5").bind(name).rows(tx).await? {
        by.push(format!("policy {}", row.of("policies", "id").get::<String>("id")?));
    }
    let query = sql("SELECT device FROM deliveries WHERE application = $1
        AND (wanted IS NOT NULL OR held IS NOT NULL OR state NOT IN ('applied', 'verified')) LIMIT 5");
    for row in query.bind(name).rows(tx).await? {
        by.push(format!("device {}", row.of("deliveries", "device").get::<String>("device")?));
    }
    Ok(by)
}

/// [`Error::NotFound`] unless the application is there, and stays there until this transaction ends.
pub(crate) async fn must_exist(session: &mut Session, name: &Name) -> Result<()> {
    let query = sql("SELECT name FROM applications WHERE name = $1 {for share}");
    query.bind(name).row(session).await?.or_not_found("application", name)?;
    Ok(())
}

async fn find(session: &mut Session, name: &Name) -> Result<Application> {
    let query = sql(concat!("SELECT ", columns!(), " FROM applications WHERE name = $1"));
    parse(&query.bind(name).row(session).await?.or_not_found("application", name)?)
}

fn parse(row: &Row) -> Result<Application> {
    let row = row.of("applications", "name");
    Ok(Application {
        name: row.parse("name")?,
        spec: row.json("spec")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        revision: row.get("revision")?,
    })
}
