//! Secrets, encrypted with XChaCha20-Poly1305 under the key of the data folder or cluster. The name is authenticated with the
//! value, so a value cannot be moved to another name.
//!
//! All secrets are under one key at any time: [`Db::rotate_key`] encrypts all of them anew in one transaction.

use syncline_domain::{Name, event::NewEvent, secret::SecretRecord};
use zeroize::Zeroizing;

use crate::{
    db::Db,
    dialect::{Session, Turn, sql},
    error::{Error, OrNotFound, Result},
    key::SecretKey,
    row::Row,
};

macro_rules! columns {
    () => {
        "name, description, updated_at, revision"
    };
}

impl Db {
    /// Sets a secret, new or not.
    pub async fn put_secret(
        &self,
        name: &Name,
        value: &[u8],
        description: &str,
        event: NewEvent,
    ) -> Result<SecretRecord> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Secrets).await?;
        let key = key_in_use(self, &mut tx).await?;
        let query = sql(concat!(
            "INSERT INTO secrets (key_id, body, ",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, 1)
            ON CONFLICT (name) DO UPDATE SET key_id = excluded.key_id, body = excluded.body,
                description = excluded.description, updated_at = excluded.updated_at,
                revision = secrets.revision + 1
            RETURNING ",
            columns!()
        ));
        let query = query.bind(key.key_id()).bind(key.seal(name.as_str(), value)?);
        let row = query.bind(name).bind(description).bind(self.now()).row(&mut tx).await?;
        let record = parse(&row.ok_or(Error::Database(sqlx::Error::RowNotFound))?)?;
        tx.event(event);
        tx.commit().await?;
        Ok(record)
    }

    /// All secrets, by name, without their values.
    pub async fn secrets(&self) -> Result<Vec<SecretRecord>> {
        let rows = sql(concat!("SELECT ", columns!(), " FROM secrets")).rows(&mut self.read().await?).await?;
        let mut secrets = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        secrets.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(secrets)
    }

    /// The value of a secret, for the host's own use. Never to be given out or logged.
    pub async fn secret_value(&self, name: &Name) -> Result<Zeroizing<Vec<u8>>> {
        let query = sql("SELECT name, key_id, body FROM secrets WHERE name = $1");
        let row = query.bind(name).row(&mut self.read().await?).await?.or_not_found("secret", name)?;
        let row = row.of("secrets", "name");
        let key_id: String = row.get("key_id")?;
        let Some(key) = self.key_of(&key_id) else { return Err(other_key(&key_id, &self.key()?)) };
        key.open(name.as_str(), &row.get::<Vec<u8>>("body")?)
    }

    /// Removes a secret.
    pub async fn remove_secret(&self, name: &Name, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        if sql("DELETE FROM secrets WHERE name = $1").bind(name).execute(&mut tx).await? == 0 {
            return Err(Error::not_found("secret", name));
        }
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }

    /// Encrypts all secrets under `new`, all or none, and uses it from now on. Gives how many there are.
    ///
    /// Write the new key to a file of its own before ([`SecretKey::to_file`]) and move it into place after: whichever moment
    /// the machine stops at, one of the two files opens the secrets. Other nodes need the new key file and a restart.
    pub async fn rotate_key(&self, new: &SecretKey, event: NewEvent) -> Result<u64> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Secrets).await?;
        let old = key_in_use(self, &mut tx).await?;
        let rows = sql("SELECT name, body FROM secrets ORDER BY name {for update}").rows(&mut tx).await?;
        let mut count = 0;
        for row in &rows {
            let row = row.of("secrets", "name");
            let name: Name = row.parse("name")?;
            let value = old.open(name.as_str(), &row.get::<Vec<u8>>("body")?)?;
            let query = sql("UPDATE secrets SET key_id = $2, body = $3 WHERE name = $1");
            let query = query.bind(&name).bind(new.key_id()).bind(new.seal(name.as_str(), &value)?);
            count += query.execute(&mut tx).await?;
        }
        tx.event(event);
        // Known before the commit: whoever is left in the middle of it, or never hears how it ended, reads on with either.
        self.learn_key(new.clone());
        tx.commit().await?;
        self.use_key(new.clone());
        Ok(count)
    }
}

/// [`Error::Key`] if there are secrets under another key than this database was opened with.
pub(crate) async fn check_key(db: &Db) -> Result<()> {
    key_in_use(db, &mut db.read().await?).await.map(drop)
}

/// The key that the secrets are under; [`Error::Key`] if it is not known here.
async fn key_in_use(db: &Db, session: &mut Session) -> Result<SecretKey> {
    let current = db.key()?;
    let query = sql("SELECT name, key_id FROM secrets WHERE key_id <> $1 LIMIT 1");
    let Some(row) = query.bind(current.key_id()).row(session).await? else { return Ok(current) };
    let other: String = row.of("secrets", "name").get("key_id")?;
    db.key_of(&other).ok_or_else(|| other_key(&other, &current))
}

fn other_key(stored: &str, key: &SecretKey) -> Error {
    Error::Key(format!(
        "the secrets are encrypted under key {stored}, and the key file holds {}: put the right key file back, or take \
         the one of the node that rotated it",
        key.key_id()
    ))
}

fn parse(row: &Row) -> Result<SecretRecord> {
    let row = row.of("secrets", "name");
    Ok(SecretRecord {
        name: row.parse("name")?,
        description: row.get("description")?,
        updated_at: row.time("updated_at")?,
        revision: row.get("revision")?,
    })
}
