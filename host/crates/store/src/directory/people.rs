//! People of a directory and their users, within the transaction of a run.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::json;
use syncline_domain::{
    Name,
    device::GroupPath,
    directory::{EntryId, LinkState, Origin, Person, import::key},
    ids::{DeviceId, UserId},
};

use super::{
    BATCH,
    entries::each,
    write::{DirectoryWriting, texts},
};
use crate::{
    dialect::{Arg, Query, ROWS, sql, sql_rows},
    error::{Error, Result},
    row::Row,
};

/// A person as it is known, with the user that goes by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPerson {
    /// What it is known by in the directory.
    pub entry: EntryId,
    /// For people.
    pub name: String,
    /// What a user takes over.
    pub person: Person,
    /// How it stands to a user.
    pub state: LinkState,
    /// The user.
    pub user: Option<UserId>,
    /// The unit that it sits in, by its key.
    pub parent: Option<String>,
    /// Why it waits for a person.
    pub held: Option<String>,
}

/// What a directory gives a user, as it is or as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryUser {
    /// The user.
    pub user: UserId,
    /// The account's name.
    pub name: String,
    /// What to call the person.
    pub display_name: String,
    /// Its e-mail.
    pub email: Option<String>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// The group that it sits in.
    pub group: GroupPath,
    /// Where these came from.
    pub origins: BTreeMap<String, Origin>,
}

/// Who has a name or an e-mail already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A user that goes by no entry of this sync that is asked about.
    User(UserId, String),
    /// Another person of a directory.
    Entry(Name, EntryId, String),
}

/// Names and e-mails that are taken, as they are compared: by each, who has it.
#[derive(Debug, Default)]
pub struct Taken {
    /// By name of the account.
    pub names: HashMap<String, Vec<Holder>>,
    /// By e-mail.
    pub emails: HashMap<String, Vec<Holder>>,
}

macro_rules! person_columns {
    () => {
        "SELECT entry, name, person, state, user_id, parent_key, held FROM directory_entries \
         WHERE kind = 'person' AND person IS NOT NULL AND sync = "
    };
}

impl DirectoryWriting {
    /// People whom nobody let go of by hand, and who are not linked: in the order of the directory's ids, after
    /// `after`, so that a preview goes the same way.
    pub async fn waiting_people(
        &mut self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<KnownPerson>, Option<String>)> {
        let query = sql("SELECT entry, name, person, state, user_id, parent_key, held FROM directory_entries
            WHERE sync = $1 AND kind = 'person' AND state = 'unlinked' AND NOT by_hand AND gone_at IS NULL")
        .bind(&self.sync)
        .push_some(" AND entry > $?", after)
        .push_with(" ORDER BY entry LIMIT $?", limit);
        let rows = query.rows(&mut self.tx).await?;
        let last =
            rows.last().map(|row| row.of("directory_entries", "entry").get::<String>("entry")).transpose()?;
        Ok((rows.iter().map(parse).collect::<Result<_>>()?, last))
    }

    /// These people, as far as they are known.
    pub async fn people(&mut self, entries: &[EntryId]) -> Result<Vec<KnownPerson>> {
        let mut found = Vec::new();
        for batch in entries.chunks(BATCH) {
            let query = sql(concat!(
                person_columns!(),
                "$2 AND entry IN (SELECT item.value ->> 'e' FROM {each}) ORDER BY id"
            ));
            let query = query.bind_json(&each(&texts(batch))).bind(&self.sync);
            found.extend(self.parsed(query).await?);
        }
        Ok(found)
    }

    /// People who are linked, and wait for a person all the same.
    pub async fn held_people(&mut self) -> Result<Vec<EntryId>> {
        let query = sql("SELECT entry FROM directory_entries
            WHERE sync = $1 AND held IS NOT NULL AND state = 'linked' ORDER BY id");
        let rows = query.bind(&self.sync).rows(&mut self.tx).await?;
        rows.iter().map(|row| row.of("directory_entries", "entry").parse("entry")).collect()
    }

    /// All people who are linked.
    pub async fn linked_people(&mut self) -> Result<Vec<EntryId>> {
        let query = sql("SELECT entry FROM directory_entries
            WHERE sync = $1 AND kind = 'person' AND state = 'linked' ORDER BY id");
        let rows = query.bind(&self.sync).rows(&mut self.tx).await?;
        rows.iter().map(|row| row.of("directory_entries", "entry").parse("entry")).collect()
    }

    async fn parsed(&mut self, query: Query) -> Result<Vec<KnownPerson>> {
        query.rows(&mut self.tx).await?.iter().map(parse).collect()
    }

    /// Who has the names and e-mails of these people, other than their own entries and users: users here, and people of any
    /// directory who are not ignored.
    pub async fn taken(&mut self, people: &[&Person]) -> Result<Taken> {
        let names: Vec<_> = people.iter().map(|one| one.name_key()).collect();
        let emails: Vec<_> = people.iter().filter_map(|one| one.email_key()).collect();
        let mut taken = Taken::default();
        for batch in names.chunks(BATCH) {
            let query = sql("SELECT id, name, name_key FROM users
                WHERE name_key IN (SELECT item.value ->> 'e' FROM {each})");
            for row in &query.bind_json(&each(batch)).rows(&mut self.tx).await? {
                let row = row.of("users", "id");
                let name: String = row.get("name")?;
                let holders = taken.names.entry(row.get("name_key")?).or_default();
                holders.push(Holder::User(row.parse("id")?, name));
            }
            let query = sql("SELECT sync, entry, name, name_key FROM directory_entries
                WHERE gone_at IS NULL AND state <> 'ignored' AND name_key IN (SELECT item.value ->> 'e' FROM {each})");
            for row in &query.bind_json(&each(batch)).rows(&mut self.tx).await? {
                let holders =
                    taken.names.entry(row.of("directory_entries", "entry").get("name_key")?).or_default();
                holders.push(entry_holder(row)?);
            }
        }
        for batch in emails.chunks(BATCH) {
            let query = sql("SELECT id, name, email_key FROM users
                WHERE email_key IN (SELECT item.value ->> 'e' FROM {each})");
            for row in &query.bind_json(&each(batch)).rows(&mut self.tx).await? {
                let row = row.of("users", "id");
                let name: String = row.get("name")?;
                let holders = taken.emails.entry(row.get("email_key")?).or_default();
                holders.push(Holder::User(row.parse("id")?, name));
            }
            let query = sql("SELECT sync, entry, name, email_key FROM directory_entries
                WHERE gone_at IS NULL AND state <> 'ignored' AND email_key IN (SELECT item.value ->> 'e' FROM {each})");
            for row in &query.bind_json(&each(batch)).rows(&mut self.tx).await? {
                let holders =
                    taken.emails.entry(row.of("directory_entries", "entry").get("email_key")?).or_default();
                holders.push(entry_holder(row)?);
            }
        }
        Ok(taken)
    }

    /// Makes users and links these entries to them. All names are free.
    pub async fn add_users(&mut self, users: &[(EntryId, DirectoryUser)]) -> Result<()> {
        for batch in users.chunks(ROWS) {
            let rows = batch.iter().map(|(_, user)| self.user_row(user)).collect::<Result<Vec<_>>>()?;
            let query = "INSERT INTO users (id, name, name_key, display_name, email, email_key, disabled, group_path, origins,
                    key_sets, changed_at, created_at, revision)
                VALUES {rows}";
            sql_rows(query, rows).execute(&mut self.tx).await?;
        }
        for batch in users.chunks(BATCH) {
            let rows: Vec<_> =
                batch.iter().map(|(entry, user)| json!({ "id": user.user, "entry": entry })).collect();
            let query = sql(
                "UPDATE directory_entries SET state = 'linked', user_id = item.value ->> 'id', held = NULL,
                    revision = revision + 1
                FROM {each}
                WHERE sync = COALESCE($2, item.value ->> 'entry') AND entry = item.value ->> 'entry'
                    AND state = COALESCE('unlinked', item.value ->> 'entry')",
            );
            let linked = query.bind_json(&rows).bind(&self.sync).execute(&mut self.tx).await?;
            self.must_be(linked, batch.len())?;
        }
        Ok(())
    }

    fn user_row(&self, user: &DirectoryUser) -> Result<[Arg; 13]> {
        Ok([
            user.user.into(),
            (&user.name).into(),
            key(&user.name).into(),
            (&user.display_name).into(),
            user.email.as_deref().into(),
            user.email.as_deref().map(key).into(),
            user.disabled.into(),
            (&user.group).into(),
            serde_json::to_string(&user.origins).map_err(Error::encode)?.into(),
            "{}".into(),
            self.now.into(),
            self.now.into(),
            1_i64.into(),
        ])
    }

    /// Users as they are, as far as a directory gives them anything.
    pub async fn users(&mut self, users: &[UserId]) -> Result<HashMap<UserId, DirectoryUser>> {
        let mut found = HashMap::new();
        for batch in users.chunks(BATCH) {
            let ids: Vec<_> = batch.iter().map(ToString::to_string).collect();
            let query = sql("SELECT id, name, display_name, email, disabled, group_path, origins FROM users
                WHERE id IN (SELECT item.value ->> 'e' FROM {each}) ORDER BY id {for update}");
            for row in &query.bind_json(&each(&ids)).rows(&mut self.tx).await? {
                let row = row.of("users", "id");
                let user = DirectoryUser {
                    user: row.parse("id")?,
                    name: row.get("name")?,
                    display_name: row.get("display_name")?,
                    email: row.get("email")?,
                    disabled: row.get("disabled")?,
                    group: row.parse("group_path")?,
                    origins: row.json("origins")?,
                };
                found.insert(user.user, user);
            }
        }
        Ok(found)
    }

    /// Changes users. All names are free, or their own.
    pub async fn update_users(&mut self, users: &[DirectoryUser]) -> Result<()> {
        for batch in users.chunks(BATCH) {
            let rows = batch.iter().map(user_row).collect::<Result<Vec<_>>>()?;
            let query = sql("UPDATE users SET name = item.value ->> 'name', name_key = item.value ->> 'name_key',
                    display_name = item.value ->> 'display_name', email = item.value ->> 'email',
                    email_key = item.value ->> 'email_key', disabled = CAST(item.value ->> 'disabled' AS BOOLEAN),
                    group_path = item.value ->> 'group', origins = item.value ->> 'origins', changed_at = $2,
                    revision = revision + 1
                FROM {each} WHERE users.id = item.value ->> 'id'");
            let changed = query.bind_json(&rows).bind(self.now).execute(&mut self.tx).await?;
            if usize::try_from(changed).ok() != Some(batch.len()) {
                let lost =
                    format!("{changed} of {} users were changed: the others were removed", batch.len());
                return Err(Error::Conflict(lost));
            }
        }
        Ok(())
    }

    /// Removes users, with their subscriptions and codes.
    pub async fn remove_users(&mut self, users: &[UserId]) -> Result<()> {
        for batch in users.chunks(BATCH) {
            let ids: Vec<_> = batch.iter().map(ToString::to_string).collect();
            let query = sql("DELETE FROM users WHERE id IN (SELECT item.value ->> 'e' FROM {each})");
            query.bind_json(&each(&ids)).execute(&mut self.tx).await?;
        }
        Ok(())
    }

    /// Devices of these users.
    pub async fn devices_of(&mut self, users: &[UserId]) -> Result<Vec<DeviceId>> {
        let mut found = Vec::new();
        for batch in users.chunks(BATCH) {
            let ids: Vec<_> = batch.iter().map(ToString::to_string).collect();
            let query = sql("SELECT DISTINCT device FROM users
                WHERE device IS NOT NULL AND id IN (SELECT item.value ->> 'e' FROM {each})");
            for row in &query.bind_json(&each(&ids)).rows(&mut self.tx).await? {
                found.push(row.of("users", "device").parse("device")?);
            }
        }
        Ok(found)
    }

    /// Groups here; each stays until this ends.
    pub async fn groups_here(&mut self) -> Result<Vec<GroupPath>> {
        let rows = sql("SELECT path FROM device_groups ORDER BY path {for share}").rows(&mut self.tx).await?;
        rows.iter().map(|row| row.of("device_groups", "path").parse("path")).collect()
    }

    /// The time that all of this is written at.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

fn user_row(user: &DirectoryUser) -> Result<serde_json::Value> {
    Ok(json!({
        "id": user.user,
        "name": user.name,
        "name_key": key(&user.name),
        "display_name": user.display_name,
        "email": user.email,
        "email_key": user.email.as_deref().map(key),
        "disabled": user.disabled,
        "group": user.group.as_str(),
        "origins": serde_json::to_string(&user.origins).map_err(Error::encode)?,
    }))
}

fn entry_holder(row: &Row) -> Result<Holder> {
    let row = row.of("directory_entries", "entry");
    Ok(Holder::Entry(row.parse("sync")?, row.parse("entry")?, row.get("name")?))
}

fn parse(row: &Row) -> Result<KnownPerson> {
    let row = row.of("directory_entries", "entry");
    Ok(KnownPerson {
        entry: row.parse("entry")?,
        name: row.get("name")?,
        person: row.json("person")?,
        state: row.parse("state")?,
        user: row.parse_opt("user_id")?,
        parent: row.get("parent_key")?,
        held: row.get("held")?,
    })
}
