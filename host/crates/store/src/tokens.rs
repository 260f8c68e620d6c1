//! Access tokens: shown once, kept as hashes.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use syncline_domain::{
    access::{Role, TokenRecord},
    event::NewEvent,
    ids::TokenId,
};

use crate::{
    db::Db,
    dialect::sql,
    error::{Error, Result},
    row::Row,
};

macro_rules! columns {
    () => {
        "id, name, role, created_at, expires_at, last_used_at"
    };
}

/// What tokens begin with, so that scanners for leaked secrets can tell them.
const PREFIX: &str = "syn_";

impl Db {
    /// Makes a token of 32 random bytes. The text is given this once; only its SHA-256 is kept, which is enough for what
    /// cannot be guessed.
    pub async fn create_token(
        &self,
        name: &str,
        role: Role,
        expires_at: Option<Timestamp>,
        event: NewEvent,
    ) -> Result<(TokenRecord, String)> {
        let token = random(PREFIX);
        let now = self.now();
        let mut tx = self.begin().await?;
        let query = sql(concat!(
            "INSERT INTO tokens (hash, ",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, NULL) RETURNING ",
            columns!()
        ));
        let query = query.bind(hash(&token)).bind(TokenId::new(now)).bind(name).bind_word(&role);
        let row = query.bind(now).bind(expires_at).row(&mut tx).await?;
        let record = parse(&row.ok_or(Error::Database(sqlx::Error::RowNotFound))?)?;
        tx.event(event);
        tx.commit().await?;
        Ok((record, token))
    }

    /// The record of a token, unless it is unknown or over. Remembers the use, to the minute.
    pub async fn token_by_secret(&self, token: &str) -> Result<Option<TokenRecord>> {
        if !token.starts_with(PREFIX) {
            return Ok(None);
        }
        let now = self.now();
        // Looked up by hash: how long that takes tells nothing of the token.
        let query = sql(concat!(
            "SELECT ",
            columns!(),
            " FROM tokens WHERE hash = $1 AND (expires_at IS NULL OR expires_at > $2)"
        ));
        let row = query.bind(hash(token)).bind(now).row(&mut self.read().await?).await?;
        let Some(mut record) = row.as_ref().map(parse).transpose()? else { return Ok(None) };
        let minute = Timestamp::from_second(now.as_second().div_euclid(60) * 60).unwrap_or(now);
        if record.last_used_at.is_none_or(|last| last < minute) {
            let query = sql("UPDATE tokens SET last_used_at = $2 WHERE id = $1");
            query.bind(record.id).bind(minute).execute(&mut self.write_once().await?).await?;
            record.last_used_at = Some(minute);
        }
        Ok(Some(record))
    }

    /// All tokens, oldest first.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM tokens ORDER BY id"));
        query.rows(&mut self.read().await?).await?.iter().map(parse).collect()
    }

    /// Removes a token: whoever shows it from now on is refused.
    pub async fn remove_token(&self, id: TokenId, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        if sql("DELETE FROM tokens WHERE id = $1").bind(id).execute(&mut tx).await? == 0 {
            return Err(Error::not_found("token", id));
        }
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }
}

/// A token that cannot be guessed.
pub(crate) fn random(prefix: &str) -> String {
    format!("{prefix}{}", hex::encode(rand::random::<[u8; 32]>()))
}

/// What is kept of a token.
pub(crate) fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

fn parse(row: &Row) -> Result<TokenRecord> {
    let row = row.of("tokens", "id");
    Ok(TokenRecord {
        id: row.parse("id")?,
        name: row.get("name")?,
        role: row.word("role")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_opt("expires_at")?,
        last_used_at: row.time_opt("last_used_at")?,
    })
}
