//! Answers to requests with an `Idempotency-Key`, so that a request that is sent twice is done once.

use std::time::Duration;

use crate::{
    db::Db,
    dialect::sql,
    error::{Error, Result},
};

/// How long an answer is remembered.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The answer that was given to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Digest of the request: the same key with another request is a mistake of the client.
    pub request_digest: String,
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: String,
    /// `Location`.
    pub location: Option<String>,
}

impl Db {
    /// The answer to the request of this key by this actor, if it is less than a day old.
    pub async fn remembered(&self, key: &str, actor: &str) -> Result<Option<Remembered>> {
        let query = sql("SELECT request_key, request_digest, status, body, location FROM requests
            WHERE request_key = $1 AND actor = $2 AND created_at > $3");
        let query = query.bind(key).bind(actor).bind(self.forgotten_before());
        let Some(row) = query.row(&mut self.read().await?).await? else { return Ok(None) };
        let row = row.of("requests", "request_key");
        Ok(Some(Remembered {
            request_digest: row.get("request_digest")?,
            status: row.unsigned("status")?,
            body: row.get("body")?,
            location: row.get("location")?,
        }))
    }

    /// Remembers an answer for a day, and forgets those that are older. [`Error::Exists`] if there is one for this key: two
    /// requests with it were under way at a time, and the first answer stays.
    pub async fn remember(&self, key: &str, actor: &str, answer: &Remembered) -> Result<()> {
        let mut tx = self.begin().await?;
        let query = sql("DELETE FROM requests WHERE created_at <= $1");
        query.bind(self.forgotten_before()).execute(&mut tx).await?;
        let query = sql(
            "INSERT INTO requests (request_key, actor, request_digest, status, body, location, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (request_key, actor) DO NOTHING",
        );
        let query = query
            .bind(key)
            .bind(actor)
            .bind(&answer.request_digest)
            .bind(u32::from(answer.status))
            .bind(&answer.body)
            .bind(answer.location.as_ref())
            .bind(self.now());
        if query.execute(&mut tx).await? == 0 {
            return Err(Error::Exists { what: "answer to the request with key", name: key.to_owned() });
        }
        tx.commit().await?;
        Ok(())
    }

    fn forgotten_before(&self) -> jiff::Timestamp {
        self.now().checked_sub(REMEMBERED_FOR).unwrap_or(jiff::Timestamp::MIN)
    }
}
