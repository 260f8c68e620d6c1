//! Digests that are known of the files of a store: one value a folder, since reading a row a file would cost as much as
//! scanning the folder.

use syncline_domain::{Name, RelPath};

use crate::{db::Db, dialect::sql, error::Result, row::Row};

/// Folders in one statement.
const BATCH: usize = 200;

impl Db {
    /// What was last saved for one folder alone.
    pub async fn digests_of(&self, store: &Name, folder: &RelPath) -> Result<Option<Vec<u8>>> {
        let query = sql("SELECT body FROM digests WHERE store = $1 AND folder = $2");
        let row = query.bind(store).bind(folder.as_bytes()).row(&mut self.read().await?).await?;
        row.map(|row| row.of("digests", "store").get("body")).transpose()
    }

    /// What is known of `folder` and all folders below it, by path.
    pub async fn known_digests(&self, store: &Name, folder: &RelPath) -> Result<Vec<(RelPath, Vec<u8>)>> {
        let mut query = sql("SELECT folder, body FROM digests WHERE store = $1").bind(store);
        if !folder.is_root() {
            let bytes = folder.as_bytes();
            // All that begins with "folder/" is below "folder0": '0' follows '/'.
            query = query
                .push_with(" AND (folder = $?", bytes)
                .push_with(" OR (folder > $?", [bytes, b"/"].concat())
                .push_with(" AND folder < $?))", [bytes, b"0"].concat());
        }
        let rows = query.push(" ORDER BY folder").rows(&mut self.read().await?).await?;
        let parse = |row: &Row| {
            let row = row.of("digests", "folder");
            Ok((row.path("folder")?, row.get("body")?))
        };
        rows.iter().map(parse).collect()
    }

    /// Remembers what is known of each of these folders; an empty value forgets it. All or none. A store that is gone by now
    /// has nothing to remember.
    pub async fn save_digests(&self, store: &Name, folders: &[(RelPath, Vec<u8>)]) -> Result<()> {
        let mut tx = self.begin().await?;
        let query = sql("SELECT name FROM stores WHERE name = $1 {for update}");
        if query.bind(store).row(&mut tx).await?.is_none() {
            return Ok(());
        }
        // In one order everywhere, so that two who save the same folders wait for each other instead of blocking each other;
        // and of a folder that is named twice the last value counts.
        let folders: std::collections::BTreeMap<_, _> =
            folders.iter().map(|(folder, body)| (folder.as_bytes(), body)).collect();
        let (known, gone): (Vec<_>, Vec<_>) = folders.into_iter().partition(|(_, body)| !body.is_empty());
        for batch in known.chunks(BATCH) {
            let mut query = sql("INSERT INTO digests (store, folder, body) VALUES ");
            for (at, (folder, body)) in batch.iter().enumerate() {
                query = query.push_with(if at == 0 { "($?, " } else { ", ($?, " }, store);
                query = query.push_with("$?, ", *folder).push_with("$?)", body.as_slice());
            }
            let query = query.push(" ON CONFLICT (store, folder) DO UPDATE SET body = excluded.body");
            query.execute(&mut tx).await?;
        }
        for (folder, _) in gone {
            let query = sql("DELETE FROM digests WHERE store = $1 AND folder = $2");
            query.bind(store).bind(folder).execute(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
