//! Entries for looking at: lists, one, counts, what was rejected.

use std::collections::BTreeMap;

use syncline_domain::{
    Name,
    directory::{EntryId, EntryKind, EntryRecord, LinkState, RejectionRecord},
    ids::{DirectoryEntryId, UserId},
};

use super::BATCH;
use crate::{
    db::Db,
    dialect::{Query, Session, sql},
    error::{OrNotFound, Result},
    page::{Listed, Page},
    row::Row,
};

macro_rules! columns {
    () => {
        "id, sync, entry, kind, name, aliases, parent, enabled, attributes, state, user_id, device, held, \
         created_at, changed_at, gone_at, revision"
    };
}

/// Which entries are wanted: those for which all that is set holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EntryFilter {
    /// In this state.
    pub state: Option<LinkState>,
    /// Of this kind.
    pub kind: Option<EntryKind>,
    /// Read by one of these syncs.
    pub syncs: Option<Vec<Name>>,
    /// Whose user this is.
    pub user: Option<UserId>,
    /// Those that wait for a person, or those that do not.
    pub held: Option<bool>,
    /// Whose name or e-mail has this in it, or which is known by it.
    pub text: Option<String>,
}

impl Db {
    /// Entries, in the order in which they were first read.
    pub async fn directory_entries(&self, filter: &EntryFilter, page: &Page) -> Result<Listed<EntryRecord>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM directory_entries WHERE TRUE"));
        let query = matching(query, filter)
            .push_some(" AND id > $?", page.position::<DirectoryEntryId>()?)
            .push_with(" ORDER BY id LIMIT $?", page.one_more());
        let rows = query.rows(&mut self.read().await?).await?;
        let entries = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(entries, page, |entry| entry.id.to_string()))
    }

    /// The entry of this id.
    pub async fn directory_entry(&self, id: DirectoryEntryId) -> Result<EntryRecord> {
        find(&mut self.read().await?, id).await
    }

    /// How many entries of a sync are in each state.
    pub async fn directory_counts(&self, sync: &Name) -> Result<BTreeMap<LinkState, u64>> {
        let query =
            sql("SELECT state, COUNT(*) AS many FROM directory_entries WHERE sync = $1 GROUP BY state");
        let rows = query.bind(sync).rows(&mut self.read().await?).await?;
        let count = |row: &Row| {
            let row = row.of("directory_entries", "state");
            Ok((row.parse("state")?, row.unsigned("many")?))
        };
        rows.iter().map(count).collect()
    }

    /// What a sync read and could not take over, by name.
    pub async fn directory_rejections(&self, sync: &Name) -> Result<Vec<RejectionRecord>> {
        let query = sql("SELECT sync, entry, name, reason, since FROM directory_rejections
            WHERE sync = $1 ORDER BY name, key");
        let rows = query.bind(sync).rows(&mut self.read().await?).await?;
        rows.iter().map(parse_rejection).collect()
    }

    /// Which of these entries are not as they were written: read back, independent of who wrote them. With each entry goes its
    /// digest, or `None` where it should be gone.
    pub async fn directory_differences(
        &self,
        sync: &Name,
        written: &[(EntryId, Option<String>)],
    ) -> Result<Vec<EntryId>> {
        let mut wrong = Vec::new();
        for batch in written.chunks(BATCH) {
            let ids: Vec<_> = batch.iter().map(|(id, _)| id.as_str()).collect();
            let query = sql("SELECT entry, digest FROM directory_entries
                WHERE gone_at IS NULL AND sync = $2 AND entry IN (SELECT item.value ->> 'e' FROM {each})");
            let query = query.bind_json(&each(&ids)).bind(sync);
            let rows = query.rows(&mut self.read().await?).await?;
            let mut found = BTreeMap::new();
            for row in &rows {
                let row = row.of("directory_entries", "entry");
                found.insert(row.get::<String>("entry")?, row.get::<String>("digest")?);
            }
            let differs =
                |(id, digest): &&(EntryId, Option<String>)| found.get(id.as_str()) != digest.as_ref();
            wrong.extend(batch.iter().filter(differs).map(|(id, _)| id.clone()));
        }
        Ok(wrong)
    }
}

/// Texts as the rows of `{each}`, under `e`.
pub(super) fn each(texts: &[impl AsRef<str>]) -> Vec<serde_json::Value> {
    texts.iter().map(|text| serde_json::json!({ "e": text.as_ref() })).collect()
}

fn matching(query: Query, filter: &EntryFilter) -> Query {
    let mut query = query
        .push_some(" AND state = $?", filter.state.map(LinkState::as_str))
        .push_some(" AND kind = $?", filter.kind.map(EntryKind::as_str))
        .push_some(" AND user_id = $?", filter.user);
    if let Some(syncs) = &filter.syncs {
        query = query.push(" AND sync IN (''");
        query = syncs.iter().fold(query, |query, sync| query.push_with(", $?", sync)).push(")");
    }
    query = match filter.held {
        None => query,
        Some(true) => query.push(" AND held IS NOT NULL"),
        Some(false) => query.push(" AND held IS NULL"),
    };
    if let Some(text) = &filter.text {
        let escaped = |text: &str| text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
        let folded = escaped(&text.to_lowercase());
        query = query
            .push_with(" AND (name_folded LIKE $? ESCAPE '!'", format!("%{folded}%"))
            .push_with(" OR name_key LIKE $? ESCAPE '!'", format!("%{folded}%"))
            .push_with(" OR email_key LIKE $? ESCAPE '!'", format!("%{folded}%"))
            .push_with(" OR entry = $?)", text);
    }
    query
}

pub(super) async fn find(session: &mut Session, id: DirectoryEntryId) -> Result<EntryRecord> {
    let query = sql(concat!("SELECT ", columns!(), " FROM directory_entries WHERE id = $1"));
    parse(&query.bind(id).row(session).await?.or_not_found("directory entry", id)?)
}

/// The same, held as it is until the transaction ends.
pub(super) async fn lock(session: &mut Session, id: DirectoryEntryId) -> Result<EntryRecord> {
    let query = sql(concat!("SELECT ", columns!(), " FROM directory_entries WHERE id = $1 {for update}"));
    parse(&query.bind(id).row(session).await?.or_not_found("directory entry", id)?)
}

fn parse(row: &Row) -> Result<EntryRecord> {
    let row = row.of("directory_entries", "id");
    Ok(EntryRecord {
        id: row.parse("id")?,
        sync: row.parse("sync")?,
        entry: row.parse("entry")?,
        kind: row.parse("kind")?,
        name: row.get("name")?,
        aliases: row.json("aliases")?,
        parent: row.json_opt("parent")?,
        enabled: row.get("enabled")?,
        attributes: row.json("attributes")?,
        state: row.parse("state")?,
        user: row.parse_opt("user_id")?,
        device: row.parse_opt("device")?,
        held: row.get("held")?,
        created_at: row.time("created_at")?,
        changed_at: row.time("changed_at")?,
        gone_at: row.time_opt("gone_at")?,
        revision: row.get("revision")?,
    })
}

pub(super) fn parse_rejection(row: &Row) -> Result<RejectionRecord> {
    let row = row.of("directory_rejections", "name");
    Ok(RejectionRecord {
        sync: row.parse("sync")?,
        entry: row.parse_opt("entry")?,
        name: row.get("name")?,
        reason: row.json("reason")?,
        since: row.time("since")?,
    })
}
