//! Nodes that share this database, and when each was last seen.

use jiff::Timestamp;
use syncline_domain::ids::NodeId;

use crate::{db::Db, dialect::sql, error::Result, row::Row};

/// A node, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// Id.
    pub id: NodeId,
    /// For people: the machine's name, say.
    pub name: String,
    /// Version of the program that it runs.
    pub version: String,
    /// When it last said that it is there, by the database's clock.
    pub last_seen: Timestamp,
}

impl Db {
    /// Says that a node is there. To be repeated every few seconds: what waits for a node that is silent for a minute no
    /// longer holds up the others.
    pub async fn touch_node(&self, id: NodeId, name: &str, version: &str) -> Result<()> {
        let query = sql("INSERT INTO nodes (id, name, version, last_seen) VALUES ($1, $2, $3, {now})
            ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version,
                last_seen = excluded.last_seen");
        query.bind(id).bind(name).bind(version).execute(&mut self.write_once().await?).await?;
        Ok(())
    }

    /// All nodes that were ever seen, oldest first.
    pub async fn nodes(&self) -> Result<Vec<NodeRecord>> {
        let query = sql("SELECT id, name, version, last_seen FROM nodes ORDER BY id");
        let parse = |row: &Row| {
            let row = row.of("nodes", "id");
            Ok(NodeRecord {
                id: row.parse("id")?,
                name: row.get("name")?,
                version: row.get("version")?,
                last_seen: row.time("last_seen")?,
            })
        };
        query.rows(&mut self.read().await?).await?.iter().map(parse).collect()
    }
}
