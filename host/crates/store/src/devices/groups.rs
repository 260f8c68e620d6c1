//! The tree of groups. The root is always there.

use jiff::Timestamp;
use syncline_domain::{
    device::{GroupPath, user::KeySets},
    event::NewEvent,
};

use super::users;
use crate::{
    db::{Db, Tx},
    dialect::{Session, Turn, sql},
    error::{Error, OrNotFound, Result},
    row::Row,
};

macro_rules! columns {
    () => {
        "path, description, key_sets, created_at, revision"
    };
}

/// A group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRecord {
    /// Where it is.
    pub path: GroupPath,
    /// For people.
    pub description: String,
    /// Key sets of the users in it, and of those below that have none of that name.
    pub keys: KeySets,
    /// When it was made.
    pub created_at: Timestamp,
    /// Counts changes; the `ETag` of the API.
    pub revision: i64,
}

/// What sits in groups: who does, in `$1` or below it (`$2` is what those paths begin with), and what it is called.
const INSIDE: [(&str, &str); 4] = [
    (
        "SELECT id FROM devices WHERE group_path = $1 OR substr(group_path, 1, length($2)) = $2 LIMIT 5",
        "device",
    ),
    (
        "SELECT name AS id FROM users WHERE group_path = $1 OR substr(group_path, 1, length($2)) = $2 LIMIT 5",
        "user",
    ),
    (
        "SELECT id FROM enrolment_tokens WHERE ended_at IS NULL
            AND (group_path = $1 OR substr(group_path, 1, length($2)) = $2) LIMIT 5",
        "enrolment token",
    ),
    (
        "SELECT id FROM policies WHERE place = 'group'
            AND (at_place = $1 OR substr(at_place, 1, length($2)) = $2) LIMIT 5",
        "policy",
    ),
];

/// The moves of those paths: `$1` the group, `$2` what all below it begin with, `$3` where it goes.
const MOVES: [&str; 5] = [
    "UPDATE device_groups SET path = $3 || substr(path, length($1) + 1), revision = revision + 1
        WHERE path = $1 OR substr(path, 1, length($2)) = $2",
    "UPDATE devices SET group_path = $3 || substr(group_path, length($1) + 1)
        WHERE group_path = $1 OR substr(group_path, 1, length($2)) = $2",
    "UPDATE users SET group_path = $3 || substr(group_path, length($1) + 1)
        WHERE group_path = $1 OR substr(group_path, 1, length($2)) = $2",
    "UPDATE enrolment_tokens SET group_path = $3 || substr(group_path, length($1) + 1)
        WHERE group_path = $1 OR substr(group_path, 1, length($2)) = $2",
    "UPDATE policies SET at_place = $3 || substr(at_place, length($1) + 1)
        WHERE place = 'group' AND (at_place = $1 OR substr(at_place, 1, length($2)) = $2)",
];

impl Db {
    /// Makes a group below one that is there.
    pub async fn add_group(
        &self,
        path: &GroupPath,
        description: &str,
        keys: &KeySets,
        event: NewEvent,
    ) -> Result<GroupRecord> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        if let Some(parent) = path.parent() {
            must_exist(&mut tx, &parent).await?;
        }
        let query = sql(concat!("INSERT INTO device_groups (", columns!(), ") VALUES ($1, $2, $3, $4, 1)"));
        let query = query.bind(path).bind(description).bind_json(keys).bind(self.now());
        query.execute(&mut tx).await.map_err(|error| error.or_exists("group", path))?;
        let added = find(&mut tx, path).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(added)
    }

    /// All groups, each after those above it.
    pub async fn groups(&self) -> Result<Vec<GroupRecord>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM device_groups"));
        let rows = query.rows(&mut self.read().await?).await?;
        let mut groups = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        groups.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(groups)
    }

    /// The group at this path.
    pub async fn group(&self, path: &GroupPath) -> Result<GroupRecord> {
        find(&mut self.read().await?, path).await
    }

    /// Changes description and key sets of a group that was read before: its revision must still be what it was. Other key sets
    /// are a change of all users in it and below it.
    pub async fn update_group(&self, group: &GroupRecord, event: NewEvent) -> Result<GroupRecord> {
        let mut tx = self.begin().await?;
        let before = find(&mut tx, &group.path).await?;
        let query = sql("UPDATE device_groups SET description = $3, key_sets = $4, revision = revision + 1
            WHERE path = $1 AND revision = $2");
        let query = query.bind(&group.path).bind(group.revision).bind(&group.description);
        let changed = query.bind_json(&group.keys).execute(&mut tx).await?;
        let stored = find(&mut tx, &group.path).await?;
        if changed == 0 {
            return Err(Error::Stale { what: "group", name: group.path.to_string() });
        }
        if before.keys != stored.keys {
            users::changed_in(&mut tx, &group.path, self.now()).await?;
        }
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }

    /// Moves a group with all that is below and in it. Its new parent must be there, and nothing at the new path. What devices
    /// should hold can change by that: it has to be published anew.
    pub async fn move_group(&self, from: &GroupPath, to: &GroupPath, event: NewEvent) -> Result<GroupRecord> {
        if from.is_root() || to.is_within(from) {
            return Err(Error::Conflict(format!(
                "group {from} cannot move to {to}: the root stays, and no group moves below itself"
            )));
        }
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        find(&mut tx, from).await?;
        // A group other than the root that moves away from the root has a parent at its new place.
        must_exist(&mut tx, &to.parent().unwrap_or_else(GroupPath::root)).await?;
        if find_opt(&mut tx, to).await?.is_some() {
            return Err(Error::Exists { what: "group", name: to.to_string() });
        }
        refuse_too_deep(&mut tx, from, to).await?;
        for text in MOVES {
            sql(text).bind(from).bind(below(from)).bind(to).execute(&mut tx).await?;
        }
        // Other groups are above them now, and so other keys.
        users::changed_in(&mut tx, to, self.now()).await?;
        let moved = find(&mut tx, to).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(moved)
    }

    /// Removes a group. [`Error::InUse`] while there is anything in it or below it; [`Error::Conflict`] for the root.
    pub async fn remove_group(&self, path: &GroupPath, event: NewEvent) -> Result<()> {
        if path.is_root() {
            return Err(Error::Conflict(
                "the root group / cannot be removed: it holds all others".to_owned(),
            ));
        }
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        // First: whoever sits down in the group meanwhile waits for this transaction, or this one for theirs.
        if sql("DELETE FROM device_groups WHERE path = $1").bind(path).execute(&mut tx).await? == 0 {
            return Err(Error::not_found("group", path));
        }
        let by = inside(&mut tx, path).await?;
        if !by.is_empty() {
            return Err(Error::InUse { what: "group", name: path.to_string(), by });
        }
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }
}

/// What all paths below a group begin with.
pub(crate) fn below(path: &GroupPath) -> String {
    if path.is_root() { "/".to_owned() } else { format!("{path}/") }
}

/// [`Error::NotFound`] unless the group is there, and stays there until this transaction ends.
pub(crate) async fn must_exist(session: &mut Session, path: &GroupPath) -> Result<()> {
    let query = sql("SELECT path FROM device_groups WHERE path = $1 {for share}");
    query.bind(path).row(session).await?.or_not_found("group", path)?;
    Ok(())
}

async fn refuse_too_deep(tx: &mut Tx, from: &GroupPath, to: &GroupPath) -> Result<()> {
    let query = sql("SELECT path FROM device_groups WHERE substr(path, 1, length($1)) = $1");
    for row in query.bind(below(from)).rows(tx).await? {
        let path: GroupPath = row.of("device_groups", "path").parse("path")?;
        path.moved(from, to).map_err(|error| Error::Conflict(error.to_string()))?;
    }
    Ok(())
}

async fn inside(tx: &mut Tx, path: &GroupPath) -> Result<Vec<String>> {
    let mut by = Vec::new();
    let query = sql("SELECT path AS id FROM device_groups WHERE substr(path, 1, length($1)) = $1 LIMIT 5");
    for row in query.bind(below(path)).rows(tx).await? {
        by.push(format!("group {}", row.of("device_groups", "id").get::<String>("id")?));
    }
    for (query, what) in INSIDE {
        for row in sql(query).bind(path).bind(below(path)).rows(tx).await? {
            by.push(format!("{what} {}", row.of("device_groups", "id").get::<String>("id")?));
        }
    }
    Ok(by)
}

async fn find_opt(session: &mut Session, path: &GroupPath) -> Result<Option<GroupRecord>> {
    let query = sql(concat!("SELECT ", columns!(), " FROM device_groups WHERE path = $1"));
    query.bind(path).row(session).await?.as_ref().map(parse).transpose()
}

async fn find(session: &mut Session, path: &GroupPath) -> Result<GroupRecord> {
    find_opt(session, path).await?.or_not_found("group", path)
}

fn parse(row: &Row) -> Result<GroupRecord> {
    let row = row.of("device_groups", "path");
    Ok(GroupRecord {
        path: row.parse("path")?,
        description: row.get("description")?,
        keys: row.json("key_sets")?,
        created_at: row.time("created_at")?,
        revision: row.get("revision")?,
    })
}
