//! SQLite files looked at from outside: without taking them from a server that runs, and without migrating them.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::error::{Error, Result};

/// The newest schema that this program knows.
pub fn known_schema() -> i64 {
    crate::db::known_schema()
}

/// The schema that a SQLite file has: the number of its newest migration. The file must be there.
pub async fn stored_schema(file: &Path) -> Result<i64> {
    let mut connection = look(file).await?;
    let schema = schema(&mut connection).await;
    connection.close().await?;
    schema
}

/// Writes a copy of a SQLite file, as of one moment, to a new file with mode 0600, and says which schema it has. A server
/// may be at work on it.
pub async fn snapshot(file: &Path, to: &Path) -> Result<i64> {
    let cannot = |why: &str| Error::Conflict(format!("no copy can be written to {}: {why}", to.display()));
    let text = to.to_str().ok_or_else(|| cannot("its name is not UTF-8"))?;
    let mut connection = look(file).await?;
    // Made by us and not by SQLite, which takes an empty file that is there: so its mode is right from the start.
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    made.map_err(|error| cannot(&error.to_string()))?;
    sqlx::query("VACUUM INTO ?").bind(text).execute(&mut connection).await?;
    connection.close().await?;
    fs::File::open(to).and_then(|file| file.sync_all()).map_err(|error| cannot(&error.to_string()))?;
    let mut copy = look(to).await?;
    let schema = schema(&mut copy).await;
    copy.close().await?;
    schema
}

async fn look(file: &Path) -> Result<SqliteConnection> {
    let options =
        SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(Duration::from_secs(30));
    Ok(options.connect().await?)
}

async fn schema(connection: &mut SqliteConnection) -> Result<i64> {
    let migrated = "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
    if sqlx::query_scalar::<_, i64>(migrated).fetch_one(&mut *connection).await? == 0 {
        return Ok(0);
    }
    let newest = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";
    let found: Option<i64> = sqlx::query_scalar(newest).fetch_one(connection).await?;
    Ok(found.unwrap_or(0))
}
