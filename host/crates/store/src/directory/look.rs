//! What a run of a directory looks at: what is known of it already.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use syncline_domain::{
    Name,
    directory::{EntryId, EntryKind, LinkState, Reference, RejectionRecord, import::key},
    ids::{DeviceId, UserId},
};

use super::{
    BATCH,
    entries::{each, parse_rejection},
    key_of,
    write::{DirectoryWriting, texts},
};
use crate::{
    db::Db,
    dialect::{Query, Session, sql},
    error::Result,
    row::Row,
};

/// What is known of an entry, as far as a run compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownEntry {
    /// What it is known by in the directory.
    pub entry: EntryId,
    /// What it is.
    pub kind: EntryKind,
    /// BLAKE3 of all of it, in hexadecimal.
    pub digest: String,
    /// Groups: what the list of members comes to.
    pub members: Option<String>,
    /// Whether it is gone in the directory.
    pub gone: bool,
}

/// What is known of an entry, as far as it decides what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What it is known by in the directory.
    pub entry: EntryId,
    /// What it is.
    pub kind: EntryKind,
    /// For people.
    pub name: String,
    /// What others call it by.
    pub aliases: Vec<String>,
    /// The unit that it sits in, by its key.
    pub parent: Option<String>,
    /// How it stands to a user.
    pub state: LinkState,
    /// The user.
    pub user: Option<UserId>,
}

/// A membership as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownMember {
    /// The group.
    pub group: EntryId,
    /// Key of the reference.
    pub key: String,
    /// Who that is, if anybody is found.
    pub member: Option<EntryId>,
}

/// How much is known of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectorySize {
    /// Entries that are there, by the last word of the directory.
    pub present: u64,
    /// Memberships.
    pub members: u64,
}

impl Db {
    /// All that is known of a sync's entries, as far as a run compares.
    pub async fn known_entries(&self, sync: &Name) -> Result<Vec<KnownEntry>> {
        let query = sql(KNOWN).push_with(" WHERE sync = $?", sync);
        known(query, &mut self.read().await?).await
    }
}

const KNOWN: &str =
    "SELECT entry, kind, digest, members, gone_at IS NOT NULL AS is_gone FROM directory_entries";

async fn known(query: Query, session: &mut Session) -> Result<Vec<KnownEntry>> {
    let parse = |row: &Row| {
        let row = row.of("directory_entries", "entry");
        Ok(KnownEntry {
            entry: row.parse("entry")?,
            kind: row.parse("kind")?,
            digest: row.get("digest")?,
            members: row.get("members")?,
            gone: row.get("is_gone")?,
        })
    };
    query.rows(session).await?.iter().map(parse).collect()
}

impl DirectoryWriting {
    /// What is known of these entries, as far as a run compares.
    pub async fn known(&mut self, entries: &[EntryId]) -> Result<Vec<KnownEntry>> {
        let mut found = Vec::new();
        for batch in entries.chunks(BATCH) {
            let query = sql(
                "SELECT entry, kind, digest, members, gone_at IS NOT NULL AS is_gone FROM directory_entries
                WHERE sync = $2 AND entry IN (SELECT item.value ->> 'e' FROM {each})",
            );
            let query = query.bind_json(&each(&texts(batch))).bind(&self.sync);
            found.extend(known(query, &mut self.tx).await?);
        }
        Ok(found)
    }

    /// How these entries stand. They stay so until this ends.
    pub async fn standings(&mut self, entries: &[EntryId]) -> Result<HashMap<EntryId, Standing>> {
        let mut found = HashMap::new();
        for batch in entries.chunks(BATCH) {
            let query = sql("SELECT entry, kind, name, aliases, parent_key, state, user_id FROM directory_entries
                WHERE sync = $2 AND entry IN (SELECT item.value ->> 'e' FROM {each}) ORDER BY id {for update}");
            let query = query.bind_json(&each(&texts(batch))).bind(&self.sync);
            for row in &query.rows(&mut self.tx).await? {
                let row = row.of("directory_entries", "entry");
                let standing = Standing {
                    entry: row.parse("entry")?,
                    kind: row.parse("kind")?,
                    name: row.get("name")?,
                    aliases: row.json("aliases")?,
                    parent: row.get("parent_key")?,
                    state: row.parse("state")?,
                    user: row.parse_opt("user_id")?,
                };
                found.insert(standing.entry.clone(), standing);
            }
        }
        Ok(found)
    }

    /// Orphans that were gone before this time.
    pub async fn orphans_before(&mut self, time: Timestamp) -> Result<Vec<EntryId>> {
        let query = sql("SELECT entry FROM directory_entries
            WHERE sync = $1 AND gone_at IS NOT NULL AND gone_at < $2 AND state = 'orphaned' ORDER BY id");
        let rows = query.bind(&self.sync).bind(time).rows(&mut self.tx).await?;
        rows.iter().map(|row| row.of("directory_entries", "entry").parse("entry")).collect()
    }

    /// How much is known of this sync's directory, as the last run left it written down.
    pub async fn size(&mut self) -> Result<DirectorySize> {
        let query =
            sql("SELECT sync, present, members FROM directory_imports WHERE sync = $1").bind(&self.sync);
        if let Some(row) = query.row(&mut self.tx).await? {
            let row = row.of("directory_imports", "sync");
            if let (Some(present), Some(members)) =
                (row.unsigned_opt("present")?, row.unsigned_opt("members")?)
            {
                return Ok(DirectorySize { present, members });
            }
        }
        self.count_size().await
    }

    /// The same, counted.
    pub async fn count_size(&mut self) -> Result<DirectorySize> {
        // Not as those that are not gone: that would read each of them.
        let query = sql("SELECT (SELECT COUNT(*) FROM directory_entries WHERE sync = $1)
            - (SELECT COUNT(*) FROM directory_entries WHERE sync = $1 AND gone_at IS NOT NULL)");
        let present = self.count(query).await?;
        let members = self.count(sql("SELECT COUNT(*) FROM directory_memberships WHERE sync = $1")).await?;
        Ok(DirectorySize { present, members })
    }

    /// How many memberships nobody is found for.
    pub async fn waiting_members(&mut self) -> Result<u64> {
        self.count(sql("SELECT COUNT(*) FROM directory_memberships WHERE sync = $1 AND member IS NULL")).await
    }

    async fn count(&mut self, query: Query) -> Result<u64> {
        let row = query.bind(&self.sync).row(&mut self.tx).await?;
        row.map_or(Ok(0), |row| row.number()).map(i64::unsigned_abs)
    }

    /// Direct members of these groups.
    pub async fn members_of(&mut self, groups: &[EntryId]) -> Result<Vec<KnownMember>> {
        let mut found = Vec::new();
        for batch in groups.chunks(BATCH) {
            let query = sql("SELECT group_entry, key, member FROM directory_memberships
                WHERE sync = $2 AND group_entry IN (SELECT item.value ->> 'e' FROM {each})");
            let query = query.bind_json(&each(&texts(batch))).bind(&self.sync);
            for row in &query.rows(&mut self.tx).await? {
                let row = row.of("directory_memberships", "group_entry");
                found.push(KnownMember {
                    group: row.parse("group_entry")?,
                    key: row.get("key")?,
                    member: row.parse_opt("member")?,
                });
            }
        }
        Ok(found)
    }

    /// Which groups these are directly in: member and group.
    pub async fn groups_of(&mut self, members: &[EntryId]) -> Result<Vec<(EntryId, EntryId)>> {
        let mut found = Vec::new();
        for batch in members.chunks(BATCH) {
            let query = sql("SELECT group_entry, member FROM directory_memberships
                WHERE sync = $2 AND member IN (SELECT item.value ->> 'e' FROM {each})");
            let query = query.bind_json(&each(&texts(batch))).bind(&self.sync);
            for row in &query.rows(&mut self.tx).await? {
                let row = row.of("directory_memberships", "group_entry");
                found.push((row.parse("member")?, row.parse("group_entry")?));
            }
        }
        Ok(found)
    }

    /// Who goes by these aliases, by key of the reference.
    pub async fn aliases(&mut self, keys: &[String]) -> Result<HashMap<String, EntryId>> {
        let mut found = HashMap::new();
        for batch in keys.chunks(BATCH) {
            let query = sql("SELECT key, entry FROM directory_aliases
                WHERE sync = $2 AND key IN (SELECT item.value ->> 'e' FROM {each})");
            let query = query.bind_json(&each(batch)).bind(&self.sync);
            for row in &query.rows(&mut self.tx).await? {
                let row = row.of("directory_aliases", "key");
                found.insert(row.get("key")?, row.parse("entry")?);
            }
        }
        Ok(found)
    }

    /// Units by what others refer to them by: the unit, and the key of the one that it sits in.
    pub async fn units(&mut self, keys: &[String]) -> Result<HashMap<String, (EntryId, Option<String>)>> {
        let mut by_key = self.aliases(keys).await?;
        let missing: BTreeSet<_> = keys.iter().filter(|key| !by_key.contains_key(*key)).cloned().collect();
        if !missing.is_empty() {
            // Few refer to units by id, and there are few units.
            let query = sql("SELECT entry FROM directory_entries WHERE sync = $1 AND kind = 'unit'");
            for row in &query.bind(&self.sync).rows(&mut self.tx).await? {
                let unit: EntryId = row.of("directory_entries", "entry").parse("entry")?;
                let key = key_of("i:", unit.as_str());
                if missing.contains(&key) {
                    by_key.insert(key, unit);
                }
            }
        }
        let units: Vec<_> = by_key.values().cloned().collect();
        let standings = self.standings(&units).await?;
        let parent = |unit: &EntryId| standings.get(unit).and_then(|one| one.parent.clone());
        Ok(by_key.into_iter().map(|(key, unit)| (key, (unit.clone(), parent(&unit)))).collect())
    }

    /// Entries of this kind that are known by this text: their id, an alias in this or in lower case, or their name.
    pub async fn named(&mut self, kind: EntryKind, text: &str) -> Result<BTreeSet<EntryId>> {
        let lower = text.to_lowercase();
        let query = sql("SELECT entry FROM directory_entries
            WHERE sync = $1 AND kind = $2 AND gone_at IS NULL AND (entry = $3 OR name_folded = $4 OR entry IN
                (SELECT entry FROM directory_aliases WHERE sync = $1 AND key IN ($5, $6)))");
        let query = query.bind(&self.sync).bind(kind.as_str()).bind(text).bind(key(text));
        let query = query.bind(key_of("a:", text)).bind(key_of("a:", &lower));
        let rows = query.rows(&mut self.tx).await?;
        rows.iter().map(|row| row.of("directory_entries", "entry").parse("entry")).collect()
    }

    /// Enrolled devices of these names, in lower case; a name that several have is nobody's.
    pub async fn devices_named(&mut self, names: &[String]) -> Result<BTreeMap<String, DeviceId>> {
        let mut found: BTreeMap<String, Option<DeviceId>> = BTreeMap::new();
        for batch in names.chunks(BATCH) {
            let query = sql("SELECT id, lower(name) AS name FROM devices
                WHERE state = 'enrolled' AND lower(name) IN (SELECT item.value ->> 'e' FROM {each})");
            for row in &query.bind_json(&each(batch)).rows(&mut self.tx).await? {
                let row = row.of("devices", "id");
                let (name, id): (String, DeviceId) = (row.get("name")?, row.parse("id")?);
                found.entry(name).and_modify(|one| *one = None).or_insert(Some(id));
            }
        }
        Ok(found.into_iter().filter_map(|(name, id)| Some((name, id?))).collect())
    }

    /// Computers that are there, with their names in lower case and the devices that they were matched to.
    pub async fn computers(&mut self) -> Result<Vec<(EntryId, String, Option<DeviceId>)>> {
        let query = sql("SELECT entry, lower(name) AS name, device FROM directory_entries
            WHERE sync = $1 AND kind = 'computer' AND gone_at IS NULL ORDER BY id");
        let rows = query.bind(&self.sync).rows(&mut self.tx).await?;
        let parse = |row: &Row| {
            let row = row.of("directory_entries", "entry");
            Ok((row.parse("entry")?, row.get("name")?, row.parse_opt("device")?))
        };
        rows.iter().map(parse).collect()
    }

    /// What could not be taken over, by name.
    pub async fn rejections(&mut self) -> Result<Vec<RejectionRecord>> {
        let query = sql("SELECT sync, entry, name, reason, since FROM directory_rejections
            WHERE sync = $1 ORDER BY name, key");
        query.bind(&self.sync).rows(&mut self.tx).await?.iter().map(parse_rejection).collect()
    }

    /// Who a reference by id or alias is: an id that is known, or whose alias it is.
    pub async fn resolve(&mut self, references: &[Reference]) -> Result<HashMap<Reference, EntryId>> {
        let mut ids = Vec::new();
        let mut aliases = HashMap::new();
        for reference in references {
            match reference {
                Reference::Id(id) => ids.push(id.clone()),
                Reference::Alias(alias) => {
                    aliases.insert(key_of("a:", alias), reference.clone());
                }
            }
        }
        let known = self.known(&ids).await?;
        let present = known.into_iter().filter(|one| !one.gone);
        let mut found: HashMap<_, _> =
            present.map(|one| (Reference::Id(one.entry.clone()), one.entry)).collect();
        let keys: Vec<_> = aliases.keys().cloned().collect();
        for (key, entry) in self.aliases(&keys).await? {
            if let Some(reference) = aliases.remove(&key) {
                found.insert(reference, entry);
            }
        }
        Ok(found)
    }
}
