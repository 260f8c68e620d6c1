//! What a person decides about one entry.

use serde_json::json;
use syncline_domain::{
    Name,
    directory::{Becomes, EntryRecord, LinkState, import::key},
    event::NewEvent,
    ids::{DirectoryEntryId, UserId},
};

use super::{
    BATCH,
    entries::{self, each},
    people::DirectoryUser,
};
use crate::{
    db::{Db, Tx},
    devices::groups,
    dialect::{Session, sql},
    error::{Error, Result},
    row::Row,
};

/// What becomes of the user of an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum UserWrite {
    /// There is none, or it stays as it is.
    Nothing,
    /// It is made, and the entry linked to it.
    Add(DirectoryUser),
    /// It is changed, and the entry linked to it or not.
    Change(DirectoryUser),
    /// It is removed.
    Remove(UserId),
}

impl Db {
    /// Writes down what was decided about an entry that was read before: its revision must still be what it was. Gives the
    /// entry as it is now; `None` if it is forgotten. `by_hand` keeps runs from linking it again.
    pub async fn decide_directory_entry(
        &self,
        entry: &EntryRecord,
        becomes: Becomes,
        by_hand: bool,
        user: &UserWrite,
        event: NewEvent,
    ) -> Result<Option<EntryRecord>> {
        let mut tx = self.begin().await?;
        if entries::lock(&mut tx, entry.id).await?.revision != entry.revision {
            return Err(Error::Stale { what: "directory entry", name: entry.id.to_string() });
        }
        let linked = match user {
            UserWrite::Nothing | UserWrite::Remove(_) => None,
            UserWrite::Add(user) => {
                add(&mut tx, user, self.now()).await?;
                Some(user.user)
            }
            UserWrite::Change(user) => {
                change(&mut tx, user, self.now()).await?;
                Some(user.user)
            }
        };
        write_entry(&mut tx, entry.id, becomes, by_hand, linked).await?;
        if let UserWrite::Remove(user) = user {
            sql("DELETE FROM users WHERE id = $1").bind(*user).execute(&mut tx).await?;
        }
        let stored = match becomes {
            Becomes::Forgotten => None,
            Becomes::State(_) => Some(entries::find(&mut tx, entry.id).await?),
        };
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }
}

/// Users that go by entries of this sync are nobody's but ours from now on, and stay as they are.
pub(crate) async fn let_users_go(session: &mut Session, sync: &Name, now: jiff::Timestamp) -> Result<()> {
    // Entries before users, as everybody does, so that no two wait for each other.
    let query = sql("SELECT id, user_id FROM directory_entries
        WHERE sync = $1 AND user_id IS NOT NULL ORDER BY id {for update}");
    let rows = query.bind(sync).rows(session).await?;
    let user = |row: &Row| row.of("directory_entries", "id").get::<String>("user_id");
    let users = rows.iter().map(user).collect::<Result<Vec<_>>>()?;
    for batch in users.chunks(BATCH) {
        let query = sql("UPDATE users SET origins = '{}', changed_at = $2, revision = revision + 1
            WHERE id IN (SELECT item.value ->> 'e' FROM {each})");
        query.bind_json(&each(batch)).bind(now).execute(session).await?;
    }
    Ok(())
}

async fn write_entry(
    tx: &mut Tx,
    id: DirectoryEntryId,
    becomes: Becomes,
    by_hand: bool,
    linked: Option<UserId>,
) -> Result<()> {
    let query = match becomes {
        Becomes::Forgotten => sql("DELETE FROM directory_entries WHERE id = $1").bind(id),
        Becomes::State(state) => {
            let user = linked.filter(|_| state == LinkState::Linked);
            sql("UPDATE directory_entries SET state = $2, user_id = $3, by_hand = $4, held = NULL,
                    revision = revision + 1
                WHERE id = $1")
            .bind(id)
            .bind(state.as_str())
            .bind(user)
            .bind(by_hand)
        }
    };
    match query.execute(tx).await {
        Ok(1) => Ok(()),
        Ok(_) => Err(Error::Stale { what: "directory entry", name: id.to_string() }),
        Err(error) => {
            let user = linked.map(|user| user.to_string()).unwrap_or_default();
            Err(error.or_exists("entry that goes by user", user))
        }
    }
}

async fn add(tx: &mut Tx, user: &DirectoryUser, now: jiff::Timestamp) -> Result<()> {
    groups::must_exist(tx, &user.group).await?;
    let query =
        sql("INSERT INTO users (id, name, name_key, display_name, email, email_key, disabled, group_path,
            origins, key_sets, changed_at, created_at, revision)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, 1)");
    let query = query.bind(user.user).bind(&user.name).bind(key(&user.name)).bind(&user.display_name);
    let query = query.bind(user.email.as_ref()).bind(user.email.as_deref().map(key)).bind(user.disabled);
    let query = query.bind(&user.group).bind_json(&user.origins).bind_json(&json!({})).bind(now);
    query.execute(tx).await.map_err(|error| error.or_exists("user", &user.name))?;
    Ok(())
}

async fn change(tx: &mut Tx, user: &DirectoryUser, now: jiff::Timestamp) -> Result<()> {
    let query =
        sql("UPDATE users SET name = $2, name_key = $3, display_name = $4, email = $5, email_key = $6,
            disabled = $7, group_path = $8, origins = $9, changed_at = $10, revision = revision + 1
        WHERE id = $1");
    let query = query.bind(user.user).bind(&user.name).bind(key(&user.name)).bind(&user.display_name);
    let query = query.bind(user.email.as_ref()).bind(user.email.as_deref().map(key)).bind(user.disabled);
    let query = query.bind(&user.group).bind_json(&user.origins).bind(now);
    match query.execute(tx).await.map_err(|error| error.or_exists("user", &user.name))? {
        1 => Ok(()),
        _ => Err(Error::not_found("user", user.user)),
    }
}
