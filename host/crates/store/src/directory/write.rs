//! All that one run of a directory writes, as one transaction: entries, memberships, users and the cursor are there together
//! or not at all. Dropped without [`DirectoryWriting::commit`], it leaves nothing behind: that is a preview.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::json;
use syncline_domain::{
    Name,
    directory::{EntryId, EntryKind, ImportSpec, LinkState, Person, Reference, RejectionRecord, import::key},
    event::NewEvent,
    ids::{DeviceId, DirectoryEntryId},
};

use super::{BATCH, entries::each, key_of, look::DirectorySize, reference_key};
use crate::{
    Claim,
    db::{Db, Tx},
    dialect::{Arg, ROWS, sql, sql_rows},
    error::{Error, Result},
    runs::claim::{beat, hold},
    syncs,
};

/// An entry as it was declared, to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutEntry {
    /// What it is known by in the directory.
    pub entry: EntryId,
    /// What it is.
    pub kind: EntryKind,
    /// For people.
    pub name: String,
    /// What others call it by.
    pub aliases: Vec<String>,
    /// The unit that it sits in.
    pub parent: Option<Reference>,
    /// Whether the account is in use there.
    pub enabled: bool,
    /// Its attributes, as JSON.
    pub attributes: String,
    /// BLAKE3 of all of it, in hexadecimal.
    pub digest: String,
    /// What a user takes over, if it is a person.
    pub person: Option<Person>,
}

/// A membership to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutMember {
    /// The group.
    pub group: EntryId,
    /// As it was declared.
    pub reference: Reference,
    /// Who that is, if anybody is found.
    pub member: Option<EntryId>,
}

/// A transaction of one run. Its methods are here, in `look.rs` and in `people.rs`.
pub struct DirectoryWriting {
    pub(super) tx: Tx,
    pub(super) sync: Name,
    claim: Claim,
    pub(super) now: Timestamp,
    /// Whether others can write to the database meanwhile.
    shared: bool,
}

impl Db {
    /// Begins to write what a run of a directory comes to.
    pub async fn write_directory(&self, claim: &Claim) -> Result<DirectoryWriting> {
        let sync = claim.sync()?;
        let tx = self.begin().await?;
        Ok(DirectoryWriting {
            tx,
            sync: sync.clone(),
            claim: claim.clone(),
            now: self.now(),
            shared: self.is_shared(),
        })
    }
}

impl DirectoryWriting {
    /// Extends the lease to `lease` from now where heartbeats wait for this transaction (SQLite), as does whoever would take the
    /// run. False where heartbeats go on beside it, and it is left to them. [`Error::Fenced`] if it is lost.
    pub async fn keep_lease(&mut self, lease: Duration) -> Result<bool> {
        if self.shared {
            return Ok(false);
        }
        beat(&mut self.tx, &self.claim, lease).await?;
        Ok(true)
    }

    /// Writes entries, new or known, in full. What is known by them here stays: see [`DirectoryWriting::set_state`].
    pub async fn put_entries(&mut self, entries: impl IntoIterator<Item = &PutEntry>) -> Result<()> {
        let entries: Vec<_> = entries.into_iter().collect();
        let ids = DirectoryEntryId::ascending(self.now, entries.len());
        for (batch, ids) in entries.chunks(ROWS).zip(ids.chunks(ROWS)) {
            let rows = batch
                .iter()
                .zip(ids)
                .map(|(entry, id)| self.entry_row(*id, entry))
                .collect::<Result<Vec<_>>>()?;
            let query = "INSERT INTO directory_entries (id, sync, entry, kind, name, name_folded, aliases, parent, parent_key,
                    enabled, attributes, digest, person, name_key, email_key, state, created_at, changed_at, revision)
                VALUES {rows}
                ON CONFLICT (sync, entry) DO UPDATE SET kind = excluded.kind, name = excluded.name,
                    name_folded = excluded.name_folded, aliases = excluded.aliases, parent = excluded.parent, parent_key = excluded.parent_key,
                    enabled = excluded.enabled, attributes = excluded.attributes, digest = excluded.digest,
                    person = excluded.person, name_key = excluded.name_key, email_key = excluded.email_key,
                    changed_at = excluded.changed_at, gone_at = NULL, revision = directory_entries.revision + 1";
            sql_rows(query, rows).execute(&mut self.tx).await?;
        }
        self.put_aliases(&entries).await
    }

    fn entry_row(&self, id: DirectoryEntryId, entry: &PutEntry) -> Result<[Arg; 19]> {
        let text = |value: &Reference| serde_json::to_string(value).map_err(Error::encode);
        let person = entry.person.as_ref();
        Ok([
            id.into(),
            (&self.sync).into(),
            (&entry.entry).into(),
            entry.kind.as_str().into(),
            (&entry.name).into(),
            key(&entry.name).into(),
            serde_json::to_string(&entry.aliases).map_err(Error::encode)?.into(),
            entry.parent.as_ref().map(text).transpose()?.into(),
            entry.parent.as_ref().map(reference_key).into(),
            entry.enabled.into(),
            (&entry.attributes).into(),
            (&entry.digest).into(),
            person.map(serde_json::to_string).transpose().map_err(Error::encode)?.into(),
            person.map(Person::name_key).into(),
            person.and_then(Person::email_key).into(),
            LinkState::Unlinked.as_str().into(),
            self.now.into(),
            self.now.into(),
            1_i64.into(),
        ])
    }

    /// An alias is whose entry said so last.
    async fn put_aliases(&mut self, entries: &[&PutEntry]) -> Result<()> {
        for batch in entries.chunks(BATCH) {
            let ids: Vec<_> = batch.iter().map(|entry| entry.entry.as_str()).collect();
            let query = sql("DELETE FROM directory_aliases
                WHERE sync = $2 AND entry IN (SELECT item.value ->> 'e' FROM {each})");
            query.bind_json(&each(&ids)).bind(&self.sync).execute(&mut self.tx).await?;
        }
        let aliases =
            entries.iter().flat_map(|one| one.aliases.iter().map(|alias| (key_of("a:", alias), &one.entry)));
        // One that two entries have is the later one's.
        let aliases: BTreeMap<_, _> = aliases.collect();
        let aliases: Vec<_> = aliases.into_iter().collect();
        for batch in aliases.chunks(ROWS) {
            let rows = batch.iter().map(|(key, entry)| [(&self.sync).into(), key.into(), (*entry).into()]);
            let query = "INSERT INTO directory_aliases (sync, key, entry) VALUES {rows}
                ON CONFLICT (sync, key) DO UPDATE SET entry = excluded.entry";
            sql_rows(query, rows).execute(&mut self.tx).await?;
        }
        Ok(())
    }

    /// These entries stand so from now on, and are gone in the directory only if they are orphans.
    pub async fn set_state(&mut self, entries: &[EntryId], state: LinkState) -> Result<()> {
        let gone = (state == LinkState::Orphaned).then_some(self.now);
        for batch in entries.chunks(BATCH) {
            let query = sql(
                "UPDATE directory_entries SET state = $3, gone_at = $4, held = NULL, revision = revision + 1
                WHERE sync = $2 AND entry IN (SELECT item.value ->> 'e' FROM {each})",
            );
            let query =
                query.bind_json(&each(&texts(batch))).bind(&self.sync).bind(state.as_str()).bind(gone);
            let changed = query.execute(&mut self.tx).await?;
            self.must_be(changed, batch.len())?;
        }
        Ok(())
    }

    /// Nothing is known of these entries any more.
    pub async fn forget(&mut self, entries: &[EntryId]) -> Result<()> {
        for batch in entries.chunks(BATCH) {
            let query = sql("DELETE FROM directory_entries
                WHERE sync = $2 AND entry IN (SELECT item.value ->> 'e' FROM {each})");
            let query = query.bind_json(&each(&texts(batch))).bind(&self.sync);
            let changed = query.execute(&mut self.tx).await?;
            self.must_be(changed, batch.len())?;
        }
        Ok(())
    }

    /// Nobody is in these any more, and what they were called by is nobody's; who refers to them waits.
    pub async fn let_go(&mut self, entries: &[EntryId]) -> Result<()> {
        const GONE: [&str; 3] = [
            "DELETE FROM directory_memberships
                WHERE sync = $2 AND group_entry IN (SELECT item.value ->> 'e' FROM {each})",
            "UPDATE directory_memberships SET member = NULL
                WHERE sync = $2 AND member IN (SELECT item.value ->> 'e' FROM {each})",
            "DELETE FROM directory_aliases
                WHERE sync = $2 AND entry IN (SELECT item.value ->> 'e' FROM {each})",
        ];
        for batch in entries.chunks(BATCH) {
            for text in GONE {
                let query = sql(text).bind_json(&each(&texts(batch))).bind(&self.sync);
                query.execute(&mut self.tx).await?;
            }
        }
        Ok(())
    }

    /// Writes memberships; one that is there under the same reference is given its member.
    pub async fn put_members(&mut self, members: &[PutMember]) -> Result<()> {
        for batch in members.chunks(ROWS) {
            let row = |one: &PutMember| {
                let reference = serde_json::to_string(&one.reference).map_err(Error::encode)?;
                let member = one.member.as_ref().map(EntryId::as_str).into();
                Ok([
                    (&self.sync).into(),
                    (&one.group).into(),
                    reference_key(&one.reference).into(),
                    reference.into(),
                    member,
                ])
            };
            let rows = batch.iter().map(row).collect::<Result<Vec<[Arg; 5]>>>()?;
            let query =
                "INSERT INTO directory_memberships (sync, group_entry, key, reference, member) VALUES {rows}
                ON CONFLICT (sync, group_entry, key) DO UPDATE SET member = excluded.member";
            sql_rows(query, rows).execute(&mut self.tx).await?;
        }
        Ok(())
    }

    /// Removes memberships by group and key of the reference.
    pub async fn remove_members(&mut self, members: &[(EntryId, String)]) -> Result<()> {
        for batch in members.chunks(BATCH) {
            let rows: Vec<_> = batch.iter().map(|(group, key)| json!({ "g": group, "k": key })).collect();
            let query = sql("DELETE FROM directory_memberships WHERE sync = $2 AND (group_entry, key) IN
                (SELECT item.value ->> 'g', item.value ->> 'k' FROM {each})");
            query.bind_json(&rows).bind(&self.sync).execute(&mut self.tx).await?;
        }
        Ok(())
    }

    /// Memberships whose member was not found before and is one of these are theirs. Gives who is in what by that.
    pub async fn settle_members(
        &mut self,
        entries: impl IntoIterator<Item = &PutEntry>,
    ) -> Result<Vec<(EntryId, EntryId)>> {
        let entries: Vec<_> = entries.into_iter().collect();
        if self.waiting_members().await? == 0 {
            return Ok(Vec::new());
        }
        let mut settled = Vec::new();
        for batch in entries.chunks(BATCH) {
            let names = |one: &&PutEntry| {
                let own = key_of("i:", one.entry.as_str());
                let aliases = one.aliases.iter().map(|alias| key_of("a:", alias));
                aliases.chain([own]).map(|key| (key, one.entry.clone())).collect::<Vec<_>>()
            };
            let rows: HashMap<_, _> = batch.iter().flat_map(names).collect();
            let rows: Vec<_> = rows.iter().map(|(key, entry)| json!({ "k": key, "e": entry })).collect();
            let query = sql("UPDATE directory_memberships SET member = item.value ->> 'e' FROM {each}
                WHERE sync = COALESCE($2, item.value ->> 'k') AND member IS NULL
                    AND directory_memberships.key = item.value ->> 'k'
                RETURNING group_entry, member");
            let rows = query.bind_json(&rows).bind(&self.sync).rows(&mut self.tx).await?;
            for row in &rows {
                let row = row.of("directory_memberships", "group_entry");
                settled.push((row.parse("group_entry")?, row.parse("member")?));
            }
        }
        Ok(settled)
    }

    /// Remembers what the lists of members of these groups come to.
    pub async fn set_lists(&mut self, lists: &[(EntryId, Option<String>)]) -> Result<()> {
        for batch in lists.chunks(BATCH) {
            let rows: Vec<_> = batch.iter().map(|(group, list)| json!({ "e": group, "l": list })).collect();
            let query = sql("UPDATE directory_entries SET members = item.value ->> 'l' FROM {each}
                WHERE sync = COALESCE($2, item.value ->> 'e') AND entry = item.value ->> 'e'");
            query.bind_json(&rows).bind(&self.sync).execute(&mut self.tx).await?;
        }
        Ok(())
    }

    /// Says why these entries wait for a person, or that they do not.
    pub async fn set_held(&mut self, held: &[(EntryId, Option<String>)]) -> Result<()> {
        for batch in held.chunks(BATCH) {
            let rows: Vec<_> = batch.iter().map(|(entry, why)| json!({ "e": entry, "w": why })).collect();
            let query = sql(
                "UPDATE directory_entries SET held = item.value ->> 'w', revision = revision + 1 FROM {each}
                WHERE sync = COALESCE($2, item.value ->> 'e') AND entry = item.value ->> 'e'",
            );
            query.bind_json(&rows).bind(&self.sync).execute(&mut self.tx).await?;
        }
        Ok(())
    }

    /// Says which devices these computers are.
    pub async fn set_devices(&mut self, matched: &[(EntryId, Option<DeviceId>)]) -> Result<()> {
        for batch in matched.chunks(BATCH) {
            let rows: Vec<_> =
                batch.iter().map(|(entry, device)| json!({ "e": entry, "d": device })).collect();
            let query = sql("UPDATE directory_entries SET device = item.value ->> 'd', revision = revision + 1 FROM {each}
                WHERE sync = COALESCE($2, item.value ->> 'e') AND entry = item.value ->> 'e'");
            query.bind_json(&rows).bind(&self.sync).execute(&mut self.tx).await?;
        }
        Ok(())
    }

    /// Keeps these rejections: those that are known already keep their time. What is in `settled` is rejected no more; where the
    /// whole directory was read, so is all that is not rejected now.
    pub async fn put_rejections(
        &mut self,
        rejected: &[RejectionRecord],
        settled: &[EntryId],
        whole: bool,
    ) -> Result<()> {
        let key = |one: &RejectionRecord| match &one.entry {
            Some(entry) => key_of("i:", entry.as_str()),
            None => key_of("n:", &one.name),
        };
        let keys: Vec<_> = rejected.iter().map(key).collect();
        if whole {
            let query = sql("DELETE FROM directory_rejections
                WHERE sync = $2 AND key NOT IN (SELECT item.value ->> 'e' FROM {each})");
            query.bind_json(&each(&keys)).bind(&self.sync).execute(&mut self.tx).await?;
        }
        for batch in settled.chunks(BATCH) {
            let query = sql("DELETE FROM directory_rejections
                WHERE sync = $2 AND entry IN (SELECT item.value ->> 'e' FROM {each})");
            query.bind_json(&each(&texts(batch))).bind(&self.sync).execute(&mut self.tx).await?;
        }
        for (batch, keys) in rejected.chunks(BATCH).zip(keys.chunks(BATCH)) {
            let row = |(key, one): (&String, &RejectionRecord)| {
                let reason = serde_json::to_string(&one.reason).map_err(Error::encode)?;
                Ok((key.clone(), json!({ "k": key, "e": one.entry, "n": one.name, "r": reason })))
            };
            let rows = keys.iter().zip(batch).map(row).collect::<Result<HashMap<_, _>>>()?;
            let rows: Vec<_> = rows.into_values().collect();
            let query = sql("INSERT INTO directory_rejections (sync, key, entry, name, reason, since)
                SELECT CAST($2 AS TEXT), item.value ->> 'k', item.value ->> 'e', item.value ->> 'n',
                    item.value ->> 'r', CAST($3 AS BIGINT)
                FROM {each} WHERE TRUE
                ON CONFLICT (sync, key) DO UPDATE SET name = excluded.name, reason = excluded.reason");
            query.bind_json(&rows).bind(&self.sync).bind(self.now).execute(&mut self.tx).await?;
        }
        Ok(())
    }

    /// Remembers what the import is set to do. True if that is another than the last time.
    pub async fn set_import(&mut self, spec: &ImportSpec) -> Result<bool> {
        let before = sql("SELECT sync, spec FROM directory_imports WHERE sync = $1").bind(&self.sync);
        let before = before.row(&mut self.tx).await?;
        // One that this version does not read is another one.
        if before.is_some_and(|row| {
            row.of("directory_imports", "sync").json("spec").is_ok_and(|one: ImportSpec| one == *spec)
        }) {
            return Ok(false);
        }
        let query = sql("INSERT INTO directory_imports (sync, spec) VALUES ($1, $2)
            ON CONFLICT (sync) DO UPDATE SET spec = excluded.spec");
        query.bind(&self.sync).bind_json(spec).execute(&mut self.tx).await?;
        Ok(true)
    }

    /// Writes down how much is known from now on, for [`DirectoryWriting::size`].
    pub async fn set_size(&mut self, size: DirectorySize) -> Result<()> {
        let query = sql("UPDATE directory_imports SET present = $2, members = $3 WHERE sync = $1");
        let query = query.bind(&self.sync).bind_u64(size.present).bind_u64(size.members);
        query.execute(&mut self.tx).await.map(drop)
    }

    /// Makes all of it permanent, with the cursor that stands for it; `None` leaves the one that is there, `Some(None)` throws
    /// it away. [`Error::Fenced`] if the lease on the run is lost.
    pub async fn commit(mut self, cursor: Option<Option<&[u8]>>, events: Vec<NewEvent>) -> Result<()> {
        // Last: whoever holds the run's row would hold up its heartbeats.
        hold(&mut self.tx, &self.claim).await?;
        if let Some(cursor) = cursor {
            syncs::set_cursor(&mut self.tx, &self.sync, cursor, self.now).await?;
        }
        for event in events {
            self.tx.event(event);
        }
        self.tx.commit().await?;
        Ok(())
    }

    pub(super) fn must_be(&self, changed: u64, expected: usize) -> Result<()> {
        if usize::try_from(changed).ok() == Some(expected) {
            return Ok(());
        }
        let lost = format!(
            "{changed} of {expected} entries of sync {} were changed: the others were changed by somebody else \
             meanwhile; run it again",
            self.sync
        );
        Err(Error::Conflict(lost))
    }
}

pub(super) fn texts(ids: &[EntryId]) -> Vec<&str> {
    ids.iter().map(EntryId::as_str).collect()
}
