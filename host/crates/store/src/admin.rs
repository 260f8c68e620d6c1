//! For whoever runs the server: backup, schema, is it there.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::{
    db::{self, Db},
    dialect::{Pools, sql},
    error::{Error, Result},
};

impl Db {
    /// Writes a copy of a SQLite database, as of one moment, to a new file with mode 0600, while work goes on. The key file
    /// is not in it. For PostgreSQL: [`Error::Conflict`], which names `pg_dump`.
    pub async fn backup_to(&self, path: &Path) -> Result<()> {
        if matches!(self.pools(), Pools::Postgres(_)) {
            return Err(Error::Conflict("the database is PostgreSQL: back it up with pg_dump".to_owned()));
        }
        let text = path.to_str().ok_or_else(|| cannot(path, "its name is not UTF-8"))?;
        // Made by us and not by SQLite, which takes an empty file that is there: so its mode is right from the start.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        made.map_err(|error| cannot(path, &error.to_string()))?;
        let copied = sql("VACUUM INTO $1").bind(text).execute(&mut self.read().await?).await;
        if let Err(error) = copied {
            fs::remove_file(path).map_err(|error| cannot(path, &error.to_string()))?;
            return Err(error);
        }
        fs::File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|error| cannot(path, &error.to_string()))
    }

    /// Schema of the database: the number of its newest migration.
    pub async fn schema_version(&self) -> Result<i64> {
        db::found_schema(self).await
    }

    /// Whether the database answers, for writing too.
    pub async fn ping(&self) -> Result<()> {
        sql("SELECT 1").rows(&mut self.read().await?).await?;
        sql("UPDATE counters SET value = value WHERE name = 'ping'")
            .execute(&mut self.write_once().await?)
            .await?;
        Ok(())
    }
}

fn cannot(path: &Path, why: &str) -> Error {
    Error::Conflict(format!("no backup can be written to {}: {why}", path.display()))
}
