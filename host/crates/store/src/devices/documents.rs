//! Documents: bodies under the BLAKE3 of their bytes, so that a hundred thousand devices with one document have one row.

use jiff::Timestamp;
use syncline_domain::device::DocumentDigest;

use crate::{
    db::Db,
    dialect::sql,
    error::{Error, OrNotFound, Result},
};

/// A document that devices should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// BLAKE3 of the body.
    pub digest: DocumentDigest,
    /// Such as `application/json`.
    pub content_type: String,
    /// The bytes.
    pub body: Vec<u8>,
}

/// The digest of a document's bytes.
pub fn document_digest(body: &[u8]) -> Result<DocumentDigest> {
    // 64 hexadecimal digits by construction.
    blake3::hash(body).to_hex().as_str().parse().map_err(Error::Conflict)
}

impl Db {
    /// Keeps a document; one that is there already is kept as it is, and not thrown away before it would be if it were new.
    pub async fn add_document(&self, content_type: &str, body: &[u8]) -> Result<DocumentDigest> {
        let digest = document_digest(body)?;
        let query =
            sql("INSERT INTO documents (digest, content_type, body, created_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (digest) DO UPDATE SET created_at = excluded.created_at");
        let query = query.bind(&digest).bind(content_type).bind(body).bind(self.now());
        query.execute(&mut self.write_once().await?).await?;
        Ok(digest)
    }

    /// The document of this digest.
    pub async fn document(&self, digest: &DocumentDigest) -> Result<Document> {
        let query = sql("SELECT digest, content_type, body FROM documents WHERE digest = $1");
        let row = query.bind(digest).row(&mut self.read().await?).await?.or_not_found("document", digest)?;
        let row = row.of("documents", "digest");
        Ok(Document {
            digest: row.parse("digest")?,
            content_type: row.get("content_type")?,
            body: row.get("body")?,
        })
    }

    /// Removes documents that no device should hold or holds, and that were kept before this time. Gives how many.
    pub async fn prune_documents(&self, kept_before: Timestamp) -> Result<u64> {
        let query = sql("DELETE FROM documents WHERE created_at < $1
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE wanted = documents.digest)
            AND digest NOT IN (SELECT held FROM deliveries WHERE held IS NOT NULL)");
        query.bind(kept_before).execute(&mut self.write_once().await?).await
    }
}
